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


def main(biosigd, directory, kills=2):
    different = check.Differences()
    for n in range(int(kills)):
        folder = pathlib.Path(directory) / str(n)
        folder.mkdir(parents=True)
        (folder / "killed.toml").write_text(CONFIG)
        with open(folder / "log", "w") as log:
            daemon = subprocess.Popen([biosigd, "-c", str(folder / "killed.toml")], stderr=log)
        try:
            time.sleep(3 + 3 * random.random())
            url = re.search(r"look at (http://\S+)", (folder / "log").read_text()).group(1)
            frames = json.load(urllib.request.urlopen(url + "api/v1/status", timeout=10))["frames"]
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
        missing = (frames - written) / RATE
        different.compare("at most 2 s are missing", True, missing <= 2)
        print(f"   killed after {frames / RATE:.3f} s: pyEDFlib and MNE read {written / RATE:.3f} s, {missing:.3f} s are missing")
    return 1 if different.n else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
