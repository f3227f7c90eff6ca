"""Does a program that is not ours read the live stream, and do the ledgers say what it got?

    python stream.py BIOSIGD DIRECTORY [--long]

The client of the README is taken from the README and run. Then three clients follow the counter signal: two read and
check every code, one does not read at all until it has been given up. What each of them got and missed is held against
the daemon's own ledger. `--long` does so for a minute instead of 15 seconds.
"""

import argparse
import asyncio
import json
import re
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from daemon import Daemon
from recordings import counter_codes, verify

README = Path(__file__).resolve().parents[2] / "README.md"
PLAIN_S = 15
WITHIN_S = 120
PERIOD = 2**18  # frames after which the counter's codes repeat


def readme_client(binary, directory):
    """The README's Python client runs as it stands there, on another port, and prints lines that grow."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    client = [block for block in blocks if "/v1/stream" in block]
    assert len(client) == 1, f"the README has {len(client)} clients in Python"
    with Daemon(binary, directory, "[recorder]\nrecord = \"off\"\n[chain.live]\n") as daemon:
        text, n = re.subn(r"127\.0\.0\.1:8707", daemon.address, client[0])
        assert n > 0, "the README's client does not ask the default address"
        process = subprocess.Popen([sys.executable, "-u", "-c", text], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
        try:
            lines = [process.stdout.readline() for _ in range(20)]
        finally:
            process.kill()
            process.wait()
    blocks = [(int(found[1]), int(found[2])) for line in lines if (found := re.match(r"(\d+) (\d+) ", line))]
    firsts = [first for first, _ in blocks]
    # Blocks hold 40 frames, but for one that a gap ends; how many the gap cost is what the client prints beside.
    held = [(first - before - missing, missing) for (before, _), (first, missing) in zip(blocks, blocks[1:])]
    assert len(firsts) >= 18 and all(n == 40 or (missing and 0 < n < 40) for n, missing in held), f"the README's client printed {lines}"
    print(f"README: its {len(text.strip().splitlines())}-line client printed {len(firsts)} blocks in a row, the first at frame {firsts[0]}")


class Client:
    """One subscriber to `raw`, which keeps its own account."""

    def __init__(self):
        self.first = self.next = None
        self.got = self.missing = self.wrong = 0
        self.code = self.reason = None

    def take(self, message):
        if isinstance(message, str):
            hello = json.loads(message)
            if hello["type"] == "hello":
                (stream,) = hello["streams"]
                self.first = self.next = stream["first_frame"]
            return
        magic, version, kind, _, flags, first, utc_ns, n_frames, n_channels, missing = struct.unpack_from("<4sBBBBQQHHI", message)
        assert (magic, version, kind) == (b"BSG1", 1, 0), message[:8]
        assert first == self.next + missing and bool(flags & 1) == (missing > 0), (first, self.next, missing, flags)
        assert abs(utc_ns * 1e-9 - time.time()) < 120 and len(message) == 32 + 4 * n_frames * n_channels
        codes = np.frombuffer(message, "<i4", offset=32).reshape(n_frames, n_channels)
        self.wrong += int((codes != EXPECTED[first % PERIOD :][:n_frames]).sum())
        self.missing += missing
        self.got += n_frames
        self.next = first + n_frames

    async def read(self, stream):
        try:
            while True:
                self.take(await stream.recv())
        except ConnectionClosed as closed:
            self.code, self.reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


EXPECTED = np.tile(counter_codes(PERIOD, 32), (2, 1)).astype("<i4")


def subscribe(daemon):
    # One message in its hands is all that a client that does not read may take from the socket.
    uri = f"ws://{daemon.address}/v1/stream?streams=raw"
    return connect(uri, subprotocols=["biosigd.v1"], max_size=None, max_queue=1, ping_interval=None, compression=None, proxy=None)


def until_given_up(daemon):
    """While its buffer is full each new block costs the client that does not read one; then nothing is offered to it any more,
    and what was lost stands still while the others get a second and another."""
    deadline, last = time.monotonic() + WITHIN_S, None
    while True:
        account = daemon.status()["ledger"]["websocket.raw"]
        lost, delivered = sum(account["lost"].values()), account["delivered"]
        if last is None or last[0] != lost:
            last = (lost, delivered)
        if lost > 0 and delivered >= last[1] + 2 * 4000:
            return
        assert time.monotonic() < deadline, f"the client that does not read is not given up: {account}"
        time.sleep(0.05)


async def three_clients(daemon, seconds):
    clients = [Client() for _ in range(3)]
    async with subscribe(daemon) as one, subscribe(daemon) as two, subscribe(daemon) as three:
        readers = [asyncio.create_task(clients[0].read(one)), asyncio.create_task(clients[1].read(two))]
        # Given up after 10 s in which it took nothing; from then on it has 30 s to take the reason.
        await asyncio.to_thread(until_given_up, daemon)
        await asyncio.wait_for(clients[2].read(three), WITHIN_S)
        await asyncio.to_thread(daemon.until_frames, 4000 * seconds)
        before, metrics, after = [await asyncio.to_thread(daemon.get, path) for path in ["/api/v1/status", "/metrics", "/api/v1/status"]]
        daemon.process.terminate()
        await asyncio.wait_for(asyncio.gather(*readers), 60)
    return clients, json.loads(before), metrics, json.loads(after)


def same_numbers(before, metrics, after):
    """What `/metrics` says lies between what the status said just before and just after."""
    for consumer in before["ledger"]:
        for name in ["expected", "delivered"]:
            value = float(re.search(rf'^biosigd_{name}_frames_total{{consumer="{re.escape(consumer)}"}} (\S+)$', metrics, re.M)[1])
            assert before["ledger"][consumer][name] <= value <= after["ledger"][consumer][name], (consumer, name, value)
        for cause, n_before in before["ledger"][consumer]["lost"].items():
            value = float(re.search(rf'^biosigd_lost_frames_total{{cause="{cause}",consumer="{re.escape(consumer)}"}} (\S+)$', metrics, re.M)[1])
            assert n_before <= value <= after["ledger"][consumer]["lost"][cause], (consumer, cause, value)


def ledgers(binary, directory, seconds):
    config = """
[source]
kind = "synthetic"
signal = "counter"
fifo_s = 30
[chain.live]
[[chain.live.stage]]
kind = "high_pass"
"""
    with Daemon(binary, directory, config) as daemon:
        clients, *numbers = asyncio.run(three_clients(daemon, seconds))
        daemon.ends_well()
    same_numbers(*numbers)
    for n, client in enumerate(clients):
        assert client.wrong == 0, f"client {n} saw {client.wrong} wrong codes"
        assert client.got + client.missing == client.next - client.first
    one, two, three = clients
    assert (one.code, two.code) == (1001, 1001), (one.code, two.code)
    assert three.code == 1013 and three.reason, f"the client that did not read was closed with {three.code} {three.reason}"

    final = daemon.final_ledgers()
    for consumer, (expected, delivered, lost) in final.items():
        assert expected == delivered + lost, f"{consumer}: {expected} != {delivered} + {lost}"
    file, sidecar = daemon.recording()
    verify(binary, "--counter", file)
    recorder = sidecar["ledger"]["recorder"]
    assert final["recorder"] == (recorder["expected"], recorder["delivered"], sum(recorder["lost"].values()))
    assert recorder["delivered"] == sidecar["frames_written"] >= 4000 * seconds
    got = sum(client.got for client in clients)
    assert final["websocket.raw"][1] == got, f"the ledger says {final['websocket.raw'][1]} frames delivered, the clients got {got}"
    for n, client in enumerate([one, two]):
        print(f"client {n}: {client.got} frames right, {client.missing} missing")
    print(f"client 2 did not read: {three.got} frames right, then {three.code} ({three.reason})")
    print(f"ledger: websocket.raw {final['websocket.raw']} and recorder {final['recorder']} (expected, delivered, lost) agree with the clients, the sidecar, /metrics and the status")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("biosigd", type=Path)
    arguments.add_argument("directory", type=Path)
    arguments.add_argument("--long", action="store_true")
    arguments = arguments.parse_args()
    readme_client(arguments.biosigd, arguments.directory / "readme")
    ledgers(arguments.biosigd, arguments.directory / "ledgers", 60 if arguments.long else PLAIN_S)


if __name__ == "__main__":
    main()
