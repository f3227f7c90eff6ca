"""What a client may and may not say once it is connected, by the numbers of the Autobahn test suite where it has the case.

That suite expects its messages back. This server streams and throws messages away, so that where Autobahn waits for an
echo a ping follows here, whose pong proves that the message was read to its end and taken. Autobahn's messages above our
limit of 16 KiB are here once at the limit, and once at their own length, refused with 1009.
"""

import struct
from dataclasses import dataclass, field

from peer import BINARY, CLOSE, CONT, MASK, PING, PONG, TEXT, close, frame
from referee import MESSAGE_BYTES_MAX as MAX

EACH = -1  # chopped into frames; otherwise into so many bytes


@dataclass
class Case:
    """`sends` pieces, hears `hears`. Where that does not end with a close, the connection goes on."""

    name: str
    title: str
    sends: list
    hears: list = field(default_factory=list)
    n_chop: int = 0  # bytes of one write
    pauses: bool = False  # waits for every pong before it goes on
    differs: str = ""  # why the referee answers otherwise


def refused(code):
    return [("close", code)]


def pong(payload=b""):
    return ("pong", payload)


def auto_fragmented(opcode, payload, n):
    """The payload in frames of `n` bytes."""
    pieces = [payload[start : start + n] for start in range(0, len(payload), n)]
    return [frame(CONT if i else opcode, piece, fin=i == len(pieces) - 1) for i, piece in enumerate(pieces)]


def framing():
    for group, kind, opcode, fill in [("1.1", "text", TEXT, b"*"), ("1.2", "binary", BINARY, b"\xfe")]:
        for n, length in enumerate([0, 125, 126, 127, 128, MAX - 1, MAX], 1):
            yield Case(f"{group}.{n}", f"{kind} of {length} bytes", [frame(opcode, fill * length)])
        yield Case(f"{group}.8", f"{kind} of {MAX} bytes in writes of 997", [frame(opcode, fill * MAX)], n_chop=997)
        yield Case(f"{group}.a", f"{kind} of 300 bytes in writes of 1", [frame(opcode, fill * 300)], n_chop=1)
        yield Case(f"{group}.b", f"{kind} of 5 bytes, length in 8 bytes", [frame(opcode, fill * 5, n_length_bytes=8)])
    yield Case("1.3.1", "a mask of zeros", [frame(TEXT, b"hello", mask=bytes(4))])
    for opcode, kind in [(TEXT, "text"), (BINARY, "binary"), (PING, "ping"), (PONG, "pong"), (CLOSE, "close")]:
        payload = struct.pack("!H", 1000) if opcode == CLOSE else b"hi"
        yield Case(f"1.4.{opcode}", f"{kind} without a mask", [frame(opcode, payload, mask=b"")], refused(1002))
    yield Case("1.4.0", "second fragment without a mask", [frame(TEXT, b"hi", fin=False), frame(CONT, b"hi", mask=b"")], refused(1002))


def pings():
    binary = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
    yield Case("2.1", "ping without payload", [frame(PING)], [pong()])
    yield Case("2.2", "ping with text", [frame(PING, b"Hello, world!")], [pong(b"Hello, world!")])
    yield Case("2.3", "ping with bytes that are not UTF-8", [frame(PING, binary)], [pong(binary)])
    yield Case("2.4", "ping of 125 bytes", [frame(PING, b"\xfe" * 125)], [pong(b"\xfe" * 125)])
    yield Case("2.5", "ping of 126 bytes", [frame(PING, b"\xfe" * 126)], refused(1002))
    yield Case("2.6", "ping of 125 bytes in writes of 1", [frame(PING, b"\xfe" * 125)], [pong(b"\xfe" * 125)], n_chop=1)
    yield Case("2.7", "pong unasked", [frame(PONG)])
    yield Case("2.8", "pong unasked with payload", [frame(PONG, b"unasked")])
    yield Case("2.9", "pong unasked, then ping", [frame(PONG, b"unasked") + frame(PING, b"asked")], [pong(b"asked")])
    ten = [b"payload-%d" % n for n in range(10)]
    yield Case("2.10", "10 pings at once", [b"".join(frame(PING, payload) for payload in ten)], [pong(payload) for payload in ten])
    yield Case("2.11", "10 pings in writes of 1", [frame(PING, payload) for payload in ten], [pong(payload) for payload in ten], n_chop=1)
    yield Case("2.a", "pong of 126 bytes", [frame(PONG, b"\xfe" * 126)], refused(1002))


def reserved_bits():
    text = frame(TEXT, b"small")
    for n, (title, before, wrong, n_chop) in enumerate(
        [
            ("text with RSV 1", b"", frame(TEXT, b"small", rsv=1), 0),
            ("text, then text with RSV 2, then ping", text, frame(TEXT, b"small", rsv=2), 0),
            ("text, then text with RSV 3, then ping, a write a frame", text, frame(TEXT, b"small", rsv=3), EACH),
            ("text, then text with RSV 4, then ping, in writes of 1", text, frame(TEXT, b"small", rsv=4), 1),
            ("binary with RSV 5", b"", frame(BINARY, b"\x00\xff\xfe", rsv=5), 0),
            ("ping with RSV 6", b"", frame(PING, b"Hello", rsv=6), 0),
            ("close with RSV 7", b"", frame(CLOSE, struct.pack("!H", 1000), rsv=7), 0),
        ],
        1,
    ):
        pieces = [before, wrong, frame(PING)] if before else [wrong]
        yield Case(f"3.{n}", title, pieces if n_chop == EACH else [b"".join(pieces)], refused(1002), n_chop=max(n_chop, 0))
    yield Case("3.a", "second fragment with RSV 4, as of a compressed message", [frame(TEXT, b"hi", fin=False) + frame(CONT, b"hi", rsv=4)], refused(1002))


def reserved_opcodes():
    text = frame(TEXT, b"small")
    for group, opcodes in [("4.1", range(3, 8)), ("4.2", range(11, 16))]:
        for n, opcode in enumerate(opcodes, 1):
            payload = b"" if n in (1, 3) else b"reserved opcode payload"
            wrong = frame(opcode, payload)
            title = f"opcode {opcode}, {len(payload)} bytes"
            if n < 3:
                yield Case(f"{group}.{n}", title, [wrong], refused(1002))
            else:
                yield Case(f"{group}.{n}", f"text, then {title}, then ping", [text + wrong + frame(PING)], refused(1002), n_chop=n == 5)


def fragmentation():
    def part(opcode, payload, last=False):
        return frame(opcode, payload, fin=last)

    one, two = b"fragment1", b"fragment2"
    whole = [part(TEXT, one), part(CONT, two, True)]
    between = [part(TEXT, one), frame(PING, b"pongme"), part(CONT, two, True)]
    plain = frame(TEXT, b"Hello, world!")
    yield Case("5.1", "ping in 2 fragments", [part(PING, one) + part(CONT, two, True)], refused(1002))
    yield Case("5.2", "pong in 2 fragments", [part(PONG, one) + part(CONT, two, True)], refused(1002))
    yield Case("5.3", "text in 2 fragments, one write", [b"".join(whole)])
    yield Case("5.4", "text in 2 fragments, a write each", whole)
    yield Case("5.5", "text in 2 fragments, writes of 1", whole, n_chop=1)
    yield Case("5.6", "a ping between 2 fragments, one write", [b"".join(between)], [pong(b"pongme")])
    yield Case("5.7", "a ping between 2 fragments, a write each", between, [pong(b"pongme")])
    yield Case("5.8", "a ping between 2 fragments, writes of 1", between, [pong(b"pongme")], n_chop=1)
    for n, last in [(9, True), (12, False)]:
        lost = [part(CONT, b"non-continuation payload", last), plain]
        title = f"continuation of nothing, FIN = {last}, then text"
        yield Case(f"5.{n}", f"{title}, one write", [b"".join(lost)], refused(1002))
        yield Case(f"5.{n + 1}", f"{title}, a write each", lost, refused(1002))
        yield Case(f"5.{n + 2}", f"{title}, writes of 1", lost, refused(1002), n_chop=1)
    yield Case("5.15", "text in 2 fragments, continuation of nothing, text", [b"".join(whole) + part(CONT, b"fragment3") + plain], refused(1002))
    for n, last in [(16, False), (17, True)]:
        again = (part(CONT, one, last) + part(TEXT, two) + part(CONT, b"fragment3", True)) * 2
        yield Case(f"5.{n}", f"continuation of nothing, FIN = {last}, before text in fragments, twice", [again], refused(1002))
    yield Case("5.18", "text in 2 fragments that are both text", [part(TEXT, one) + part(TEXT, two, True)], refused(1002))
    five = [part(TEXT, b"1"), part(CONT, b"2"), frame(PING, b"pongme 1"), part(CONT, b"3"), part(CONT, b"4"), frame(PING, b"pongme 2"), part(CONT, b"5", True)]
    pongs = [pong(b"pongme 1"), pong(b"pongme 2")]
    yield Case("5.19", "text in 5 fragments, going on when 2 pings are answered", five, pongs, pauses=True)
    yield Case("5.20", "text in 5 fragments, 2 pings, a write each", five, pongs)
    yield Case("5.a", "binary begun within a text", [part(TEXT, one) + part(BINARY, two, True)], refused(1002))
    yield Case("5.b", "2000 empty fragments", [part(TEXT, b"") + part(CONT, b"") * 1998 + part(CONT, b"", True)])


def closing():
    text = frame(TEXT, b"Hello World!")
    normal = close(1000)
    yield Case("7.1.1", "text, then close", [text + normal], refused(1000))
    yield Case("7.1.2", "two closes", [normal + normal], refused(1000))
    yield Case("7.1.3", "ping after close", [normal + frame(PING)], refused(1000))
    yield Case("7.1.4", "text after close", [normal + text], refused(1000))
    between = frame(TEXT, b"fragment1", fin=False) + normal + frame(CONT, b"fragment2")
    yield Case("7.1.5", "close between 2 fragments", [between], refused(1000), differs="it calls an unfinished message an error")
    big = frame(TEXT, b"BAsd7&jh23" * (MAX // 10))
    yield Case("7.1.6", f"text of {MAX // 10 * 10} bytes, close, ping", [big + normal + frame(PING)], refused(1000))
    yield Case("7.1.a", "1 MB after close", [normal, text * 60_000], refused(1000))
    yield Case("7.3.1", "close without code", [frame(CLOSE)], refused(None))
    yield Case("7.3.2", "close of 1 byte", [frame(CLOSE, b"a")], refused(1002))
    yield Case("7.3.3", "close with code", [normal], refused(1000))
    yield Case("7.3.4", "close with code and reason", [close(1000, b"Hello World!")], refused(1000))
    yield Case("7.3.5", "close with a reason of 123 bytes", [close(1000, b"*" * 123)], refused(1000))
    yield Case("7.3.6", "close with a reason of 124 bytes", [close(1000, b"*" * 124)], refused(1002))
    yield Case("7.3.a", "close in fragments", [frame(CLOSE, b"\x03", fin=False) + frame(CONT, b"\xe8")], refused(1002))
    yield Case("7.3.b", "close in writes of 1", [close(1000, b"slowly")], refused(1000), n_chop=1)
    yield Case("7.5.1", "close with a reason that is not UTF-8", [close(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80edited")], refused(1007))
    yield Case("7.5.a", "close with a reason that ends within a character", [close(1000, b"\xce\xba\xe1\xbd")], refused(1007))
    valid = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999]
    for n, code in enumerate(valid, 1):
        yield Case(f"7.7.{n}", f"close with {code}, allowed", [close(code)], refused(code))
    for n, code in enumerate([0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999], 1):
        yield Case(f"7.9.{n}", f"close with {code}, not allowed", [close(code)], refused(1002))
    for n, code in enumerate([5000, 65535], 1):
        yield Case(f"7.13.{n}", f"close with {code}, out of range", [close(code)], refused(1002))


def limits():
    for group, kind, opcode, fill in [("9.1", "text", TEXT, b"*"), ("9.2", "binary", BINARY, b"\xfe")]:
        for n, length in enumerate([MAX + 1, 64 << 10, 256 << 10, 1 << 20, 4 << 20], 1):
            yield Case(f"{group}.{n}", f"{kind} of {length} bytes", [frame(opcode, fill * length)], refused(1009))
        yield Case(f"{group}.a", f"{kind} that claims 2^63 - 1 bytes", [frame(opcode, fill, length=2**63 - 1)], refused(1009))
        yield Case(f"{group}.b", f"{kind} of {MAX} bytes and 1 in fragments", auto_fragmented(opcode, fill * (MAX + 1), 4096), refused(1009))
    for group, kind, opcode, fill in [("9.3", "text", TEXT, b"*"), ("9.4", "binary", BINARY, b"\xfe")]:
        for n, length in enumerate([64, 256, 1024, 4096, MAX], 1):
            pieces = auto_fragmented(opcode, fill * MAX, length)
            yield Case(f"{group}.{n}", f"{kind} of {MAX} bytes in fragments of {length}", pieces)
    for group, kind, opcode, fill in [("9.5", "text", TEXT, b"*"), ("9.6", "binary", BINARY, b"\xfe")]:
        for n, n_chop in enumerate([64, 128, 256, 512, 1024, 2048], 1):
            yield Case(f"{group}.{n}", f"{kind} of {MAX} bytes in writes of {n_chop}", [frame(opcode, fill * MAX)], n_chop=n_chop)
    for group, kind, opcode, fill in [("9.7", "text", TEXT, b"*"), ("9.8", "binary", BINARY, b"\xfe")]:
        for n, length in enumerate([0, 16, 64, 256, 1024, MAX], 1):
            yield Case(f"{group}.{n}", f"1000 messages, {kind} of {length} bytes", [frame(opcode, fill * length) * 1000])
    # Compressed messages, which nobody agreed to: RFC 7692 marks them with RSV 4.
    yield Case("12.a", "a message compressed as in RFC 7692, 7.2.3.1", [frame(TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00", rsv=4)], refused(1002))
    yield Case("10.1.1", f"text of {MAX} bytes in fragments of 1300", auto_fragmented(TEXT, b"*" * MAX, 1300))
    yield Case("10.1.a", "what is not a frame at all", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"], refused(1002))


def cases():
    for group in [framing, pings, reserved_bits, reserved_opcodes, fragmentation, closing, limits]:
        yield from group()
