"""Do the programs that laboratories use read what we record, sample for sample?

    python recordings.py BIOSIGD DIRECTORY [--long]

The counter signal says what every sample must be; a replay must arrive as its source is. pyEDFlib and MNE-Python do
the reading: two implementations, neither of them ours. `--long` adds the replay of a recording at its own speed.
"""

import argparse
import os
import signal
import subprocess
import time
from pathlib import Path

import mne
import numpy as np
import pyedflib

from daemon import Daemon

RECORDING_S = 3
HOLE_S = 0.8
ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("BIOSIGD_TEST_DATA") or ROOT / "../shared/data")
REAL = ["eeg32.bdf", "eeg16.edf"]


def counter_codes(n_frames, n_channels):
    """What the counter signal promises: `((frame * 64 + channel) mod 2^24) - 2^23`."""
    frames, channels = np.arange(n_frames)[:, None], np.arange(n_channels)[None, :]
    return (frames * 64 + channels) % 2**24 - 2**23


def by_pyedflib(file):
    """Codes (frame, channel), what the header says of each channel, and the annotations."""
    with pyedflib.EdfReader(str(file)) as reader:
        n = reader.signals_in_file
        codes = np.stack([reader.readSignal(i, digital=True) for i in range(n)], axis=1)
        headers = [
            (
                reader.getLabel(i),
                reader.getPhysicalDimension(i),
                reader.getPhysicalMinimum(i),
                reader.getPhysicalMaximum(i),
                reader.getDigitalMinimum(i),
                reader.getDigitalMaximum(i),
                reader.getSampleFrequency(i),
            )
            for i in range(n)
        ]
        onsets, durations, texts = reader.readAnnotations()
        return codes, headers, list(zip(onsets, durations, texts))


def by_mne(file):
    """Samples in volts (frame, channel), names, rate, and the annotations."""
    read = mne.io.read_raw_bdf if file.suffix == ".bdf" else mne.io.read_raw_edf
    raw = read(file, preload=True, verbose="error")
    annotations = [(a["onset"], a["duration"], a["description"]) for a in raw.annotations]
    return raw.get_data().T, raw.ch_names, raw.info["sfreq"], annotations


def to_codes(volts, headers):
    """The codes that MNE's volts stand for. MNE knows its unit names; ours here are microvolts."""
    physical_min, physical_max, digital_min, digital_max = (np.array([h[i] for h in headers], float) for i in range(2, 6))
    steps = (volts * 1e6 - physical_min) * (digital_max - digital_min) / (physical_max - physical_min) + digital_min
    assert np.abs(steps - np.round(steps)).max() < 1e-3, "MNE's samples lie between two codes"
    return np.round(steps).astype(np.int64)


def verify(binary, *arguments):
    done = subprocess.run([str(binary), "verify", *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"biosigd verify: {done.stdout}{done.stderr}"


def counter(binary, directory):
    """32 channels at 4 kSPS, with a hole in the middle: the process is held for longer than the converter's FIFO."""
    config = f"""
[source]
kind = "synthetic"
signal = "counter"
fifo_s = 0.2
"""
    with Daemon(binary, directory, config) as daemon:
        time.sleep(RECORDING_S / 2)
        daemon.process.send_signal(signal.SIGSTOP)
        time.sleep(HOLE_S)
        daemon.process.send_signal(signal.SIGCONT)
        time.sleep(RECORDING_S / 2)
    file, sidecar = daemon.recording()
    verify(binary, "--counter", file)

    n_frames, lost = sidecar["frames_written"], sum(sidecar["ledger"]["recorder"]["lost"].values())
    codes, headers, annotations = by_pyedflib(file)
    n_channels = codes.shape[1]
    assert n_channels == 32 and len(codes) >= n_frames > 4000 * RECORDING_S * 0.9
    holes = [(round(onset * 4000), round(duration * 4000)) for onset, duration, text in annotations if text == "BAD_ACQ_SKIP"]
    assert sidecar["ledger"]["recorder"]["lost"]["missed"] > 0, "the hole was not missed conversions"
    assert sum(n for _, n in holes) == lost, f"{lost} frames lost, but the file is annotated {annotations}"

    expected = counter_codes(n_frames, n_channels)
    for first, n in holes:
        expected[first : first + n] = expected[first - 1]  # a hole holds each channel's last code
    wrong = np.argwhere(codes[:n_frames] != expected)
    assert len(wrong) == 0, f"pyEDFlib: {len(wrong)} wrong samples, the first at frame, channel {wrong[0]}"
    assert (codes[n_frames:] == expected[-1]).all(), "the padding is not the last code"

    volts, names, rate_hz, mne_annotations = by_mne(file)
    assert rate_hz == 4000 and names == [header[0] for header in headers]
    assert np.array_equal(to_codes(volts, headers), codes), "MNE and pyEDFlib differ"
    mne_holes = [(round(onset * 4000), round(n * 4000)) for onset, n, text in mne_annotations if text == "BAD_ACQ_SKIP"]
    assert mne_holes == holes, f"MNE's holes {mne_holes}, pyEDFlib's {holes}"
    print(f"counter: {codes[:n_frames].size} samples of {n_frames} frames right in pyEDFlib and MNE; {lost} frames lost, annotated in {len(holes)} holes")


def replay(binary, directory, source, speed):
    """Every code, label, range and annotation of the new recording equals the source's."""
    config = f"""
[source]
kind = "replay"
file = "{source.resolve()}"
speed = {speed}
[chain.live]
[[chain.live.stage]]
kind = "high_pass"
"""
    began = time.monotonic()
    daemon = Daemon(binary, directory, config)
    with subprocess.Popen(daemon.command, stdin=subprocess.DEVNULL, stdout=daemon.log_file.open("w"), stderr=subprocess.STDOUT) as daemon.process:
        try:
            daemon.ends_well(within_s=300)
        except BaseException:
            daemon.process.kill()
            raise
    took_s = time.monotonic() - began
    file, sidecar = daemon.recording()
    verify(binary, file)
    assert sum(sidecar["ledger"]["recorder"]["lost"].values()) == 0, sidecar["ledger"]

    (codes, headers, annotations), (old_codes, old_headers, old_annotations) = by_pyedflib(file), by_pyedflib(source)
    assert sidecar["frames_written"] == len(old_codes)
    assert np.array_equal(codes[: len(old_codes)], old_codes), "pyEDFlib: the codes differ"
    assert headers == old_headers, f"pyEDFlib: {headers}\nwas {old_headers}"
    assert annotations == old_annotations, f"pyEDFlib: {annotations}\nwas {old_annotations}"

    (volts, names, rate_hz, marks), (old_volts, old_names, old_rate_hz, old_marks) = by_mne(file), by_mne(source)
    assert (names, rate_hz) == (old_names, old_rate_hz)
    assert np.array_equal(volts[: len(old_volts)], old_volts), f"MNE: the samples differ by up to {np.abs(volts[: len(old_volts)] - old_volts).max()} V"
    assert marks == old_marks, f"MNE: {marks}\nwas {old_marks}"
    print(f"{source.name} at speed {speed}: {old_codes.size} codes, {len(headers)} labels and ranges, {len(annotations)} annotations equal in pyEDFlib and MNE; {took_s:.1f} s")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("biosigd", type=Path)
    arguments.add_argument("directory", type=Path)
    arguments.add_argument("--long", action="store_true")
    arguments = arguments.parse_args()
    counter(arguments.biosigd, arguments.directory / "counter")
    for name in REAL:
        source = DATA / name
        if not source.exists():
            print(f"skipped: no recording at {source}")
            continue
        replay(arguments.biosigd, arguments.directory / f"{source.stem}-max", source, '"max"')
        if arguments.long and name == "eeg32.bdf":
            replay(arguments.biosigd, arguments.directory / source.stem, source, "1.0")


if __name__ == "__main__":
    main()
