"""Kills a recording daemon and has pyEDFlib and MNE open what it leaves.

    python killed.py BIOSIGD DIRECTORY [KILLS]

Each time the file must open as it is and after `recover`, hold the counter's codes from the first frame on, and lack at most 2 s
of what the daemon had converted. Exit code 0: it does; 1: each difference is one line.
"""

import json
import pathlib
import random
import re
import subprocess
import sys
import time
import urllib.request

import numpy as np

import check

RATE, CHANNELS = 4000, 32
WITHIN_S = 60
CONFIG = f"""
[source]
kind = "synthetic"
signal = "counter"
n_channels = {CHANNELS}
rate_hz = {RATE}
[recorder]
min_free_gb = 0
[http]
listen = "127.0.0.1:0"
"""


def until(log, frames):
    """The status when so many frames were converted."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        if found := re.search(r"look at (http://\S+)\n", log.read_text()):
            status = json.load(urllib.request.urlopen(found[1] + "api/v1/status", timeout=WITHIN_S))
            if status["frames"] >= frames:
                return status
        time.sleep(0.01)
    raise AssertionError(f"no {frames} frames within {WITHIN_S} s:\n{log.read_text()}")


def main(biosigd, directory, kills=2):
    different = check.Differences()
    for n in range(int(kills)):
        folder = pathlib.Path(directory) / str(n)
        folder.mkdir(parents=True)
        (folder / "killed.toml").write_text(CONFIG)
        with open(folder / "log", "w") as log:
            daemon = subprocess.Popen([biosigd, "-c", str(folder / "killed.toml")], stderr=log)
        try:
            status = until(folder / "log", RATE * (3 + 3 * random.random()))
        finally:
            daemon.kill()
            daemon.wait()
        for recovered in (False, True):
            if recovered:
                subprocess.run([biosigd, "recover", str(folder / "recordings")], check=True, stdout=subprocess.DEVNULL)
            file, = (folder / "recordings").glob("*.bdf")
            different.compare("the file is finished", recovered, not file.name.endswith(".part.bdf"))
            plain = check.Plain(file)
            check.check_pyedflib(file, plain, different)
            check.check_mne(file, plain, different)
        written = len(plain.codes[0])
        counter = np.arange(written)[:, None] * 64 + np.arange(CHANNELS)
        for i, codes in enumerate(plain.codes):
            different.codes(f"signal {i}", counter[:, i] % (1 << 24) - (1 << 23), codes)
        frames = status["frames"]
        missing, waited = (frames - written) / RATE, status["recording"]["backlog"]["seconds"]
        # What waits for a disk or a thread that this machine holds up has not come to the recorder's hands.
        different.compare("at most 2 s are missing", True, missing - waited <= 2)
        different.compare("what was told to be on the disk is there", True, written >= status["ledger"]["recorder"]["delivered"])
        print(f"   killed after {frames / RATE:.3f} s: pyEDFlib and MNE read {written / RATE:.3f} s, {missing:.3f} s are missing")
    return 1 if different.n else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
