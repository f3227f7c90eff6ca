"""Do the programs that laboratories use read what we record, sample for sample?

    python recordings.py BIOSIGD DIRECTORY [--long]

Makes recordings with the daemon and gives them to check.py. The counter signal says what every sample must be; a replay
must arrive as its source is. `--long` adds the replay of a recording at its own speed.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd

from check import GAP, Differences, Plain, check_edfio, check_mne, check_pyedflib, check_source
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


def readers_agree(file, source=None):
    """Our bytes, pyEDFlib, MNE and edfio say the same of `file`, and of `source` where it was replayed. Answers with the bytes."""
    plain, differences = Plain(file), Differences()
    check_pyedflib(file, plain, differences)
    check_mne(file, plain, differences)
    check_edfio(file, plain, differences)
    if source:
        check_source(file, plain, Plain(source), differences)
    assert differences.n == 0, f"{differences.n} differences"
    return plain


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
        before = daemon.until_frames(4000 * RECORDING_S // 2)["frames"]
        daemon.process.send_signal(signal.SIGSTOP)
        time.sleep(HOLE_S)
        daemon.process.send_signal(signal.SIGCONT)
        daemon.until_frames(before + 4000 * RECORDING_S // 2)
    file, sidecar = daemon.recording()
    verify(binary, "--counter", file)

    n_frames, lost = sidecar["frames_written"], sum(sidecar["ledger"]["recorder"]["lost"].values())
    readme_lines(file)
    plain = readers_agree(file)
    codes = np.stack(plain.codes, axis=1)
    assert plain.rate == 4000 and codes.shape[1] == 32 and len(codes) >= n_frames >= 4000 * RECORDING_S
    holes = [(round(onset_ns * 4e-6), round(duration_ns * 4e-6)) for onset_ns, duration_ns, text in plain.annotations if text == GAP]
    assert sidecar["ledger"]["recorder"]["lost"]["missed"] > 0, "the hole was not missed conversions"
    assert sum(n for _, n in holes) == lost, f"{lost} frames lost, but the file is annotated {plain.annotations}"

    expected = counter_codes(n_frames, 32)
    for first, n in holes:
        expected[first : first + n] = expected[first - 1]  # a hole holds each channel's last code
    wrong = np.argwhere(codes[:n_frames] != expected)
    assert len(wrong) == 0, f"{len(wrong)} wrong samples, the first at frame, channel {wrong[0]}"
    assert (codes[n_frames:] == expected[-1]).all(), "the padding is not the last code"
    print(f"counter: {codes[:n_frames].size} samples of {n_frames} frames right in pyEDFlib, MNE and edfio; {lost} frames lost, annotated in {len(holes)} holes")


def markers(binary, directory):
    """79 markers a second and 800 at once stand on exactly their frames, for every reader and in the table of events."""
    config = '[source]\nkind = "synthetic"\nsignal = "counter"\nn_channels = 4\nrate_hz = 4000\nfifo_s = 30\n'
    with Daemon(binary, directory, config) as daemon:
        told = {}

        def mark(frame):
            body = json.dumps({"text": f"marker {len(told)}", "frame": frame, "sent_utc_ns": len(told)}).encode()
            request = urllib.request.Request(f"http://{daemon.address}/api/v1/markers", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                told[f"marker {len(told)}"] = json.load(answer)["frame"]

        first_frame = daemon.status()["frames"]
        for n in range(3 * 79):
            mark(first_frame + n * 4000 // 79)
        for n in range(800):
            mark(first_frame + 12000 + n)
        daemon.until_frames(first_frame + 16000)
    file, sidecar = daemon.recording()
    plain = readers_agree(file)
    found = {text: round(onset_ns * 4e-6) + sidecar["first_frame"] for onset_ns, _, text in plain.annotations}
    assert found == told and len(plain.annotations) == len(told), "annotations are not what was answered"
    lines = Path(f"{str(file)[:-4]}_events.tsv").read_text().splitlines()
    rows = [dict(zip(lines[0].split("\t"), line.split("\t"))) for line in lines[1:]]
    assert {row["trial_type"]: int(row["sample"]) + sidecar["first_frame"] for row in rows} == told, "the table is not what was answered"
    assert all((row["origin"], row["trial_type"]) == ("http", f"marker {row['sent_utc_ns']}") for row in rows), rows[0]
    print(f"{len(told)} markers on exactly their frames in pyEDFlib, MNE, edfio and the table of events")


def tables(binary, directory):
    """The README's lines read CSV and raw: every sample is the counter's, as code and in units."""
    for ending, keys in {"csv": "", "csv in units": 'csv_values = "units"', "raw": ""}.items():
        name = ending.split()[0]
        config = f'[source]\nkind = "synthetic"\nsignal = "counter"\nn_channels = 8\nrate_hz = 1000\nfifo_s = 30\n[recorder]\nformat = "{name}"\n{keys}\n'
        with Daemon(binary, directory / ending.replace(" ", "-"), config) as daemon:
            daemon.until_frames(1000 * RECORDING_S)
        file, sidecar = daemon.recording(name)
        verify(binary, "--counter", file)
        n_frames, expected = sidecar["frames_written"], counter_codes(sidecar["frames_written"], 8)
        assert n_frames >= 1000 * RECORDING_S and sidecar["format"] == name
        if name == "raw":
            found = readme_codes(file)
        else:
            table = pd.read_csv(file, comment="#", float_precision="round_trip")
            assert (table["frame"] == np.arange(n_frames)).all() and np.allclose(table["time_s"], np.arange(n_frames) / 1000, rtol=0, atol=1e-9)
            found = table.iloc[:, 2:].to_numpy()
        if keys:
            channel = sidecar["channels"][0]
            low, high = (channel[f"physical_{end}"] for end in ("min", "max"))
            step = (high - low) / (2**24 - 1)
            found = np.rint((found - low) / step - 2**23)
        assert found.shape == expected.shape and (found == expected).all(), f"{ending}: other samples than the counter's"
        print(f"{ending}: {expected.size} samples of {n_frames} frames right in {'NumPy' if name == 'raw' else 'pandas'}")


def readme_codes(file):
    """The README's lines that read raw."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (lines,) = [block for block in blocks if "recording.raw" in block]
    names = {}
    exec(lines.replace("recording.raw", str(file)), names)
    return names["codes"]


def runs_to_its_end(daemon):
    """A daemon that ends by itself, since its source does."""
    with subprocess.Popen(daemon.command, stdin=subprocess.DEVNULL, stdout=daemon.log_file.open("w"), stderr=subprocess.STDOUT) as daemon.process:
        try:
            daemon.ends_well(within_s=300)
        except BaseException:
            daemon.process.kill()
            raise


def sixteen_bits(binary, directory):
    """A replayed EDF recorded as EDF: the same codes and annotations, for all readers."""
    source = DATA / "eeg16.edf"
    config = f'[source]\nkind = "replay"\nfile = "{source.resolve()}"\nspeed = "max"\n[recorder]\nformat = "edf"\n'
    daemon = Daemon(binary, directory, config)
    runs_to_its_end(daemon)
    file, sidecar = daemon.recording("edf")
    verify(binary, file)
    plain = readers_agree(file, source)
    print(f"edf: {sidecar['frames_written']} frames of {len(plain.codes)} signals in 16 bits as their source, in pyEDFlib, MNE and edfio")


def readme_lines(file):
    """The README's lines that open a recording do so."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (lines,) = [block for block in blocks if "EdfReader" in block]
    done = subprocess.run([sys.executable, "-c", re.sub(r"recordings/[^\"]*\.bdf", str(file), lines)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"the README's lines: {done.stderr}"


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
    runs_to_its_end(daemon)
    took_s = time.monotonic() - began
    file, sidecar = daemon.recording()
    verify(binary, file)
    assert sum(sidecar["ledger"]["recorder"]["lost"].values()) == 0, sidecar["ledger"]

    plain = readers_agree(file, source)
    n_codes = sum(len(codes) for codes in plain.codes)
    print(f"{source.name} at speed {speed}: {n_codes} codes, {len(plain.data)} labels, units and ranges, {len(plain.annotations)} annotations equal in pyEDFlib, MNE and edfio; {took_s:.1f} s")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("biosigd", type=Path)
    arguments.add_argument("directory", type=Path)
    arguments.add_argument("--long", action="store_true")
    arguments = arguments.parse_args()
    counter(arguments.biosigd, arguments.directory / "counter")
    markers(arguments.biosigd, arguments.directory / "markers")
    tables(arguments.biosigd, arguments.directory / "tables")
    if (DATA / "eeg16.edf").exists():
        sixteen_bits(arguments.biosigd, arguments.directory / "edf")
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
