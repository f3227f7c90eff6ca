"""A daemon for the length of one test: its own directory, a free port, and an end that is waited for."""

import json
import re
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

START_WITHIN_S = 60
END_WITHIN_S = 60
FRAMES_WITHIN_S = 120


class Daemon:
    """`with Daemon(binary, directory, config) as daemon:` runs it; leaving the block stops it and expects exit code 0."""

    def __init__(self, binary, directory, config):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True)
        self.log_file = self.directory / "daemon.log"
        file = self.directory / "biosigd.toml"
        file.write_text('[http]\nlisten = "127.0.0.1:0"\n' + config)
        self.command = [str(binary), "run", "-c", str(file)]

    def __enter__(self):
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_WITHIN_S
        while not (found := re.search(r"look at http://([^ /]+)/\n", self.log())):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise AssertionError(f"the daemon did not start:\n{self.log()}")
            time.sleep(0.01)
        self.address = found[1]
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.process.kill()
            self.process.wait()
            print(f"--- the daemon's log ---\n{self.log()}------------------------")
            return
        self.process.send_signal(signal.SIGTERM)
        self.ends_well()

    def ends_well(self, within_s=END_WITHIN_S):
        """Waits for its end and expects that it was a good one."""
        code = self.process.wait(timeout=within_s)
        assert code == 0, f"the daemon ended with {code}:\n{self.log()}"

    def log(self):
        return self.log_file.read_text()

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=30) as answer:
            return answer.read().decode()

    def status(self):
        return json.loads(self.get("/api/v1/status"))

    def until_frames(self, n_frames):
        """Waits until so many frames were converted; the status of that moment."""
        deadline = time.monotonic() + FRAMES_WITHIN_S
        while (status := self.status())["frames"] < n_frames:
            assert time.monotonic() < deadline, f"{status['frames']} of {n_frames} frames came"
            time.sleep(0.05)
        return status

    def recording(self, ending="bdf"):
        """The one file that it recorded, and its sidecar."""
        files = list(self.directory.glob(f"recordings/*.{ending}"))
        assert len(files) == 1, f"{len(files)} recordings: {files}\n{self.log()}"
        return files[0], json.loads(files[0].with_suffix(".json").read_text())

    def final_ledgers(self):
        """`{consumer: (expected, delivered, lost)}` as the log says it at the end."""
        line = r" (\S+): (\d+) frames expected, (\d+) delivered, (\d+) lost \("
        return {name: tuple(map(int, numbers)) for name, *numbers in re.findall(line, self.log())}
