"""One client of the live stream that can say anything, and a referee that reads every byte it is answered.

What goes out is put together here by hand, so that it can be wrong. What comes in is parsed by the `websockets` library,
which complains of anything that RFC 6455 does not allow a server to send.
"""

import socket
import struct
import time

from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.streams import StreamReader
from websockets.uri import parse_uri

BOUND_S = 60
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"\x37\xfa\x21\x3d"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def frame(opcode, payload=b"", fin=True, rsv=0, mask=MASK, n_length_bytes=None, length=None):
    """One frame (RFC 6455, section 5.2), right or wrong. `length` is what it claims to hold, if that is not what it holds."""
    length = len(payload) if length is None else length
    if n_length_bytes is None:
        n_length_bytes = 0 if length < 126 else 2 if length < 2**16 else 8
    masked = 0x80 if mask else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if n_length_bytes == 0:
        head += bytes([masked | length])
    else:
        head += struct.pack("!BH" if n_length_bytes == 2 else "!BQ", masked | (126 if n_length_bytes == 2 else 127), length)
    if not mask:
        return head + payload
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    n = len(payload)
    return head + mask + (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(n, "big")


def close(code, reason=b""):
    """A close frame."""
    return frame(CLOSE, struct.pack("!H", code) + reason)


def request(address, line="GET /v1/stream?streams=raw&channels=0 HTTP/1.1", **changes):
    """The head of an opening handshake. `Header_Name=value` replaces a header, a list gives several lines, None none."""
    headers = {
        "Host": address,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
    }
    headers.update({name.replace("_", "-"): value for name, value in changes.items()})
    text = line + "\r\n"
    for name, values in headers.items():
        for value in values if isinstance(values, list) else [] if values is None else [values]:
            text += f"{name}: {value}\r\n"
    return text.encode("latin-1") + b"\r\n"


class Peer:
    """A connection after its opening handshake, which may have been refused: see `response`."""

    def __init__(self, address, head):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=BOUND_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.heard = []  # pongs and the close, in order
        self.n_blocks = 0
        self.next_frame = None  # of the stream
        self.n_unread_bytes = 0  # bytes received that no frame accounts for yet
        self.socket.sendall(head)
        reader = StreamReader()
        parsing = Response.parse(reader.read_line, reader.read_exact, reader.read_to_eof)
        while True:
            try:
                next(parsing)
            except StopIteration as stop:
                self.response = stop.value
                break
            reader.feed_data(self.receive())
        self.referee = None
        if self.response.status_code == 101:
            self.referee = ClientProtocol(parse_uri(f"ws://{address}/"), state=OPEN, max_size=None)
            self.take(bytes(reader.buffer))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def receive(self):
        data = self.socket.recv(1 << 16)
        assert data, "the daemon closed the connection without a close frame"
        return data

    def send(self, data, n_chop=0):
        """Sends, in writes of `n_chop` bytes where it is not 0."""
        for start in range(0, len(data), n_chop or len(data) or 1):
            self.socket.sendall(data[start : start + n_chop] if n_chop else data)

    @property
    def closed(self):
        return bool(self.heard) and self.heard[-1][0] == "close"

    def take(self, data):
        """What came, frame by frame."""
        self.n_unread_bytes += len(data)
        self.referee.receive_data(data)
        frames = self.referee.events_received()
        assert self.referee.parser_exc is None, f"the referee: {self.referee.parser_exc}"
        for received in frames:
            self.take_frame(received)

    def take_frame(self, received):
        n = len(received.data)
        self.n_unread_bytes -= 2 + (0 if n < 126 else 2 if n < 2**16 else 8) + n
        if received.opcode is Opcode.TEXT:
            assert self.next_frame is None and b'"hello"' in received.data, received
            self.next_frame = -1
        elif received.opcode is Opcode.BINARY:
            self.take_block(received.data)
        elif received.opcode is Opcode.PONG:
            self.heard.append(("pong", bytes(received.data)))
        elif received.opcode is Opcode.CLOSE:
            code = struct.unpack("!H", received.data[:2])[0] if received.data else None
            self.heard.append(("close", code))
            self.reason = bytes(received.data[2:])
        else:
            assert received.opcode is Opcode.PING, f"nobody expects {received}"

    def take_block(self, data):
        """A block of the counter signal follows the one before it, every code right; what is missing between is told."""
        assert self.next_frame is not None, "a block came before the hello"
        magic, flags, first, n_frames, n_channels, missing = struct.unpack_from("<4s3xBQ8xHHI", data)
        assert (magic, n_channels, len(data)) == (b"BSG1", 1, 32 + 4 * n_frames), data[:32]
        follows = self.next_frame == -1 or self.next_frame + missing == first
        assert follows and bool(missing) == bool(flags & 1), f"{missing} frames are told missing before {first}, after {self.next_frame}"
        expected = [(index * 64) % 2**24 - 2**23 for index in range(first, first + n_frames)]
        assert list(struct.unpack_from(f"<{n_frames}i", data, 32)) == expected, f"wrong codes in the block at {first}"
        self.next_frame = first + n_frames
        self.n_blocks += 1

    def until(self, done):
        """Reads until something is so."""
        deadline = time.monotonic() + BOUND_S
        while not done():
            assert time.monotonic() < deadline, f"nothing of the kind within {BOUND_S} s; heard {self.heard}"
            assert not self.closed, f"closed with {self.heard[-1][1]} {self.reason}, having said {self.heard[:-1]}"
            self.take(self.receive())

    def until_end(self):
        """Reads until the end of the connection, which only a close frame may announce."""
        self.until(lambda: self.closed)
        while data := self.socket.recv(1 << 16):
            self.take(data)
        assert self.n_unread_bytes == 0, f"{self.n_unread_bytes} bytes after the close frame"

    def goes_on(self, heard=()):
        """The connection, which has heard `heard`, is as good as new: it answers, streams and closes."""
        still_there = b"still there?"
        self.send(frame(PING, still_there))
        self.until(lambda: ("pong", still_there) in self.heard)
        assert self.heard == [*heard, ("pong", still_there)], f"heard {self.heard}"
        n_blocks = self.n_blocks
        self.until(lambda: self.n_blocks > n_blocks)
        self.send(close(1000, b"done"))
        self.until_end()
        assert (self.heard[-1], self.reason) == (("close", 1000), b"done"), f"heard {self.heard[-1]} {self.reason}"
