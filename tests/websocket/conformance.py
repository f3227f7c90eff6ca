"""Runs every case against one daemon, which streams and records meanwhile.

    python conformance.py BIOSIGD DIRECTORY

A case passes when the daemon answers what the table says, the referee says the same, every block of the connection's
own stream follows the one before it, and the connection ends as it should. Another client reads all the time and misses
nothing, and the recorder loses nothing.
"""

import argparse
import re
import sys
import threading
import time
import traceback
from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import cases
import handshakes
import referee
import utf8
from daemon import Daemon
from peer import BOUND_S, Peer, request

CONFIG = """
[source]
kind = "synthetic"
signal = "counter"
fifo_s = 30
[chain.live]
[[chain.live.stage]]
kind = "high_pass"
"""


def converse(daemon, case):
    """One case on a connection of its own."""
    said = referee.answers(case.sends)
    if case.differs:
        assert said != case.hears, "the referee agrees by now"
    else:
        assert said == case.hears, f"the referee answers {said}"
    with Peer(daemon.address, request(daemon.address)) as peer:
        assert peer.response.status_code == 101, peer.response
        # A block before, so that there is a stream to be disturbed.
        peer.until(lambda: peer.n_blocks > 0)
        n_pings = 0
        for piece in case.sends:
            peer.send(piece, case.n_chop)
            if case.pauses and piece[0] == 0x89:
                n_pings += 1
                peer.until(lambda: len(peer.heard) >= n_pings)
        if case.hears and case.hears[-1][0] == "close":
            peer.until_end()
            assert peer.heard == case.hears, f"heard {peer.heard} {peer.reason}"
            if case.hears[-1][1] in (1002, 1007, 1009) and not answers_a_close(case):
                assert peer.reason, "closed without a reason"
        else:
            peer.goes_on(case.hears)


def answers_a_close(case):
    return any(piece[:1] == b"\x88" for piece in case.sends)


class Witness(threading.Thread):
    """Reads the whole stream all the time with a client that is not ours. What is missing for it, because this machine has two
    cores and other work, must be told in the next message, frame by frame."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.stream = connect(f"ws://{daemon.address}/v1/stream?streams=raw", subprotocols=["biosigd.v1"], max_size=None, compression=None, proxy=None)
        self.n_frames, self.n_missing, self.next, self.wrong, self.end = 0, 0, None, [], None

    def run(self):
        try:
            for message in self.stream:
                if isinstance(message, bytes):
                    first, n_frames = int.from_bytes(message[8:16], "little"), int.from_bytes(message[24:26], "little")
                    n_missing = int.from_bytes(message[28:32], "little")
                    if self.next is not None and self.next + n_missing != first:
                        self.wrong.append((self.next, first, n_missing))
                    self.n_missing += n_missing
                    self.next = first + n_frames
                    self.n_frames += n_frames
        except ConnectionClosed:
            pass
        self.end = self.stream.close_code


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("biosigd", type=Path)
    arguments.add_argument("directory", type=Path)
    arguments.add_argument("--only", default="", help="a regular expression of case numbers")
    arguments = arguments.parse_args()
    n_passed, failed = 0, []
    with Daemon(arguments.biosigd, arguments.directory, CONFIG) as daemon:
        witness = Witness(daemon)
        witness.start()
        todo = [(case, handshakes.shake) for case in handshakes.cases(daemon.address)]
        todo += [(case, converse) for case in [*cases.cases(), *utf8.cases()]]
        names = [case.name for case, _ in todo]
        assert len(names) == len(set(names)), "two cases have one name"
        for case, run in todo:
            if not re.match(arguments.only, case.name):
                continue
            try:
                run(daemon, case)
            except (AssertionError, OSError) as error:
                failed.append(case.name)
                print(f"FAIL {case.name} {case.title}: {error or traceback.format_exc()}")
            else:
                n_passed += 1
                print(f"pass {case.name} {case.title}")
        # The last ones may still be on their way out.
        deadline = time.monotonic() + BOUND_S
        while (n_clients := daemon.status()["clients"]) > 2:
            assert time.monotonic() < deadline, f"{n_clients} clients were left"
            time.sleep(0.05)
    witness.join(timeout=60)
    final = daemon.final_ledgers()
    assert witness.end == 1001 and not witness.wrong, f"the witness ended with {witness.end} and was not told what it missed at {witness.wrong[:5]}"
    expected, delivered, lost = final["recorder"]
    assert lost == 0 and expected == delivered > 0, f"recorder: {final['recorder']} (expected, delivered, lost)"
    for consumer, (expected, delivered, lost) in final.items():
        assert expected == delivered + lost, f"{consumer}: {expected} != {delivered} + {lost}"
    print(f"meanwhile a client read {witness.n_frames} frames in order, was told of {witness.n_missing} that it missed, and the recorder lost 0 of {final['recorder'][0]}")
    print(f"{n_passed} cases passed, {len(failed)} failed{': ' if failed else ''}{' '.join(failed)}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
