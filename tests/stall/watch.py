"""The live view beside a disk in trouble: follows the stream until SIGTERM, and tells what came.

    python watch.py ws://ADDRESS/v1/stream

Prints one line: frames seen, frames missing, the longest pause between two messages in seconds.
"""

import signal
import struct
import sys
import time

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


def end(*_):
    raise SystemExit


seen = missing = 0
expected = last = None
pause = 0.0
signal.signal(signal.SIGTERM, end)
try:
    with connect(f"{sys.argv[1]}?streams=live", subprotocols=["biosigd.v1"], max_size=None) as client:
        for message in client:
            if isinstance(message, str):
                continue
            first, _, n_frames, _, left_out = struct.unpack_from("<QQHHI", message, 8)
            now = time.monotonic()
            pause = max(pause, now - (last or now))
            last = now
            assert expected is None or first - expected == left_out, f"frame {first} after {expected}: {left_out} are said to be missing"
            missing += first - (expected or first)
            seen += n_frames
            expected = first + n_frames
except (SystemExit, ConnectionClosed):
    pause = max(pause, time.monotonic() - (last or time.monotonic()))
print(seen, missing, f"{pause:.2f}")
