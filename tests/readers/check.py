"""Do the readers that people use find in a recording what stands in it?

    python -m venv env && env/bin/pip install -r requirements.txt
    env/bin/python check.py FILE.bdf [--source ORIGINAL] [--only-mne]

The file is parsed here with numpy alone, then opened with pyEDFlib (the EDFlib family: EDFbrowser), MNE and edfio; codes,
labels, ranges, units and annotations must agree. With --source the recording is also compared with the file that was
replayed into it. --only-mne leaves the others out, for files beyond its limits (640 signals).
Exit code 0: everything agrees; 1: each difference is one line.
"""

import argparse
import datetime
import json
import pathlib
import re
import sys
from decimal import Decimal

import numpy as np

GAP = "BAD_ACQ_SKIP"
NS = Decimal(1_000_000_000)
FIELDS = [("label", 16), ("transducer", 80), ("unit", 8), ("pmin", 8), ("pmax", 8),
          ("dmin", 8), ("dmax", 8), ("prefilter", 80), ("samples", 8), ("reserved", 32)]
TAL = re.compile(rb"([+-][0-9.]+)(?:\x15([0-9.]*))?\x14((?:[^\x00]*\x14)?)\x00")


class Plain:
    """A file as its bytes say, without anybody's library."""

    def __init__(self, path):
        raw = pathlib.Path(path).read_bytes()
        self.width = 3 if raw[0] == 0xFF else 2
        n_signals = int(raw[252:256])
        n_records = int(raw[236:244])
        self.duration = Decimal(raw[244:252].decode().strip())
        self.signals = [{} for _ in range(n_signals)]
        at = 256
        for name, width in FIELDS:
            for signal in self.signals:
                signal[name] = raw[at:at + width].replace(b"\xb5", b"u").decode("ascii").strip()
                at += width
        for signal in self.signals:
            signal["samples"] = int(signal["samples"])
        record_bytes = sum(s["samples"] for s in self.signals) * self.width
        whole = (len(raw) - at) // record_bytes
        n_records = whole if n_records < 0 else n_records
        if n_records > whole:
            raise SystemExit(f"{path}: the header counts {n_records} records, the file has {whole}")
        records = np.frombuffer(raw, np.uint8, n_records * record_bytes, at).reshape(n_records, record_bytes)
        self.annotations, self.codes, self.data = [], [], []
        at = 0
        for signal in self.signals:
            part = records[:, at:at + signal["samples"] * self.width]
            at += signal["samples"] * self.width
            if signal["label"] in ("EDF Annotations", "BDF Annotations"):
                for area in part:
                    self.lists(area.tobytes())
            else:
                self.codes.append(decode(part.reshape(-1, self.width)))
                self.data.append(signal)
        self.annotations.sort(key=lambda a: a[0])
        self.rate = float(Decimal(self.data[0]["samples"]) / self.duration)

    def lists(self, area):
        for onset, duration, texts in TAL.findall(area):
            length = int(Decimal(duration.decode()) * NS) if duration else None
            for text in texts.split(b"\x14"):
                if text:
                    self.annotations.append((int(Decimal(onset.decode()) * NS), length, text.decode("utf-8")))


def decode(samples):
    """Bytes of little-endian samples, one row each, to codes."""
    wide = np.zeros((len(samples), 4), np.uint8)
    width = samples.shape[1]
    wide[:, 4 - width:] = samples
    return wide.view("<i4")[:, 0] >> (32 - 8 * width)


class Differences:
    """Counts what was compared, prints what differs."""

    def __init__(self):
        self.n = 0

    def compare(self, what, expected, found):
        if expected != found:
            self.n += 1
            print(f"DIFFERENT: {what}: expected {expected!r}, found {found!r}")

    def codes(self, what, expected, found):
        if len(expected) != len(found):
            self.n += 1
            print(f"DIFFERENT: {what}: expected {len(expected)} samples, found {len(found)}")
        n = min(len(expected), len(found))
        wrong = np.flatnonzero(expected[:n] != found[:n])
        if len(wrong):
            self.n += 1
            at = wrong[0]
            print(f"DIFFERENT: {what}: {len(wrong)} samples, the first is {at}: expected {expected[at]}, found {found[at]}")

    def annotations(self, what, expected, found, tolerance_ns):
        """Both sorted by onset; texts that fall on one instant may change places."""
        if len(expected) != len(found):
            self.n += 1
            print(f"DIFFERENT: {what}: expected {len(expected)} annotations, found {len(found)}")
            return
        key = lambda a: (round(a[0] / 1e6), a[2])
        for one, other in zip(sorted(expected, key=key), sorted(found, key=key)):
            near = abs(one[0] - other[0]) <= tolerance_ns and abs((one[1] or 0) - (other[1] or 0)) <= tolerance_ns
            if not near or one[2] != other[2]:
                self.n += 1
                print(f"DIFFERENT: {what}: expected {one!r}, found {other!r}")
                return


def check_pyedflib(path, plain, differences):
    import pyedflib

    with pyedflib.EdfReader(str(path)) as reader:
        differences.compare("pyEDFlib: signals", len(plain.data), reader.signals_in_file)
        for i, (signal, codes) in enumerate(zip(plain.data, plain.codes)):
            what = f"pyEDFlib: signal {i}"
            differences.compare(f"{what}, label", signal["label"], reader.getLabel(i))
            differences.compare(f"{what}, unit", signal["unit"], reader.getPhysicalDimension(i))
            differences.compare(f"{what}, rate", plain.rate, reader.getSampleFrequency(i))
            ends = [float(signal["pmin"]), float(signal["pmax"]), int(signal["dmin"]), int(signal["dmax"])]
            found = [reader.getPhysicalMinimum(i), reader.getPhysicalMaximum(i),
                     reader.getDigitalMinimum(i), reader.getDigitalMaximum(i)]
            differences.compare(f"{what}, ranges", ends, found)
            differences.codes(f"{what}, codes", codes, reader.readSignal(i, digital=True))
        onsets, durations, texts = reader.readAnnotations()
        found = [(round(on * 1e9), None if du < 0 else round(du * 1e9), tx) for on, du, tx in zip(onsets, durations, texts)]
        # EDFlib counts time in 100 ns.
        differences.annotations("pyEDFlib: annotations", plain.annotations, found, 100)


def check_mne(path, plain, differences):
    import mne

    # As a trigger channel MNE would take `Status`, and keep 17 of its 24 bits.
    raw = mne.io.read_raw(str(path), preload=True, verbose="error", stim_channel=False)
    differences.compare("MNE: rate", plain.rate, raw.info["sfreq"])
    differences.compare("MNE: labels", [s["label"] for s in plain.data], raw.ch_names)
    scales = {"uV": 1e-6, "mV": 1e-3}
    for i, (signal, codes) in enumerate(zip(plain.data, plain.codes)):
        low, high, dmin, dmax = (float(signal[k]) for k in ("pmin", "pmax", "dmin", "dmax"))
        physical = raw.get_data(picks=[i])[0] / scales.get(signal["unit"], 1.0)
        found = np.rint((physical - low) / (high - low) * (dmax - dmin) + dmin).astype(np.int64)
        differences.codes(f"MNE: signal {i}, codes", codes, found)
    found = [(round(a["onset"] * 1e9), round(a["duration"] * 1e9), a["description"]) for a in raw.annotations]
    # MNE keeps seconds as floats, and cuts annotations where the data ends.
    inside = [a for a in plain.annotations if a[0] * 1e-9 < raw.times[-1]]
    found = [a for a in found if a[0] * 1e-9 < raw.times[-1]]
    differences.annotations("MNE: annotations", inside, found, 1000)
    print(f"MNE: {raw.info['meas_date'] or datetime.datetime.min:%Y-%m-%d %H:%M:%S}, {raw.times[-1]:.3f} s")


def check_edfio(path, plain, differences):
    import edfio

    recording = (edfio.read_bdf if plain.width == 3 else edfio.read_edf)(str(path))
    signals = [signal for signal in recording.signals]
    differences.compare("edfio: labels", [s["label"] for s in plain.data], [signal.label for signal in signals])
    for i, (signal, codes) in enumerate(zip(signals, plain.codes)):
        differences.compare(f"edfio: signal {i}, rate", plain.rate, signal.sampling_frequency)
        differences.compare(f"edfio: signal {i}, unit", plain.data[i]["unit"], signal.physical_dimension)
        differences.codes(f"edfio: signal {i}, codes", codes, np.asarray(signal.digital, np.int64))
    found = [(round(a.onset * 1e9), None if a.duration is None else round(a.duration * 1e9), a.text) for a in recording.annotations]
    # It keeps seconds as floats.
    differences.annotations("edfio: annotations", plain.annotations, found, 1000)


def check_source(path, plain, source, differences):
    sidecar = pathlib.Path(path).with_suffix(".json")
    n_frames = json.loads(sidecar.read_text())["frames_written"] if sidecar.exists() else len(source.codes[0])
    differences.compare("source: rate", source.rate, plain.rate)
    differences.compare("source: frames", len(source.codes[0]), n_frames)
    for name in ("label", "transducer", "unit", "prefilter"):
        differences.compare(f"source: {name}", [s[name] for s in source.data], [s[name] for s in plain.data])
    for name in ("pmin", "pmax", "dmin", "dmax"):
        expected, found = ([float(s[name]) for s in file.data] for file in (source, plain))
        differences.compare(f"source: {name}", expected, found)
    for i, (expected, found) in enumerate(zip(source.codes, plain.codes)):
        differences.codes(f"source: signal {i}, codes", expected, found[:n_frames])
    annotations = [a for a in plain.annotations if a[2] != GAP or a in source.annotations]
    differences.annotations("source: annotations", source.annotations, annotations, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--source")
    parser.add_argument("--only-mne", action="store_true")
    arguments = parser.parse_args()
    plain = Plain(arguments.file)
    differences = Differences()
    if not arguments.only_mne:
        check_pyedflib(arguments.file, plain, differences)
    check_mne(arguments.file, plain, differences)
    if not arguments.only_mne:
        check_edfio(arguments.file, plain, differences)
    if arguments.source:
        check_source(arguments.file, plain, Plain(arguments.source), differences)
    n_samples = sum(len(codes) for codes in plain.codes)
    print(f"{arguments.file}: {len(plain.data)} signals, {n_samples} samples, {len(plain.annotations)} annotations, "
          f"{differences.n} differences")
    sys.exit(1 if differences.n else 0)


if __name__ == "__main__":
    main()
