"""Group 6: text messages, with the byte sequences of Markus Kuhn's "UTF-8 decoder capability and stress test".

Whether a sequence is UTF-8 is written down for each group, and the referee (Python's decoder) must agree.
"""

from cases import Case, refused
from peer import CONT, TEXT, frame

KOSME = "\u03ba\u1f79\u03c3\u03bc\u03b5".encode()
MIXED = "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!".encode()
SURROGATE = b"\xed\xa0\x80"
TOO_HIGH = b"\xf4\x90\x80\x80"


def overlong(code, n):
    """`code` in `n` bytes, by the scheme of RFC 2279, whatever it needs."""
    rest = [0x80 | code >> 6 * i & 0x3F for i in reversed(range(n - 1))]
    return bytes([0xFF << 8 - n & 0xFF | code >> 6 * (n - 1), *rest])


def surrogates(*codes):
    return b"".join(overlong(code, 3) for code in codes)


CUT = [overlong(0, n)[:-1] for n in range(2, 7)] + [
    b"\xdf", b"\xef\xbf", b"\xf7\xbf\xbf", b"\xfb\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf",
]  # fmt: skip
HIGH, LOW = [0xD800, 0xDB7F, 0xDB80, 0xDBFF], [0xDC00, 0xDFFF]
NONCHARACTERS = [0xFFFE, 0xFFFF] + [plane << 16 | last for plane in range(1, 17) for last in (0xFFFE, 0xFFFF)]

# Number, what it is, whether it is UTF-8 (or which ones are), the sequences.
GROUPS = [
    (5, "characters of 1 to 4 bytes", True, [b"hello%bworld" % c.encode() for c in "$\u00a2\u20ac\U00024b62"] + [KOSME]),
    (6, "prefixes of a word", {2, 5, 7, 9, 11}, [KOSME[:n] for n in range(1, len(KOSME) + 1)]),
    (7, "first of each length", True, [b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"]),
    (8, "first of 5 and 6 bytes", False, [overlong(0x200000, 5), overlong(0x4000000, 6)]),
    (9, "last of each length", True, [b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"]),
    (10, "last of 4, 5 and 6 bytes", False, [overlong(0x1FFFFF, 4), overlong(0x3FFFFFF, 5), overlong(0x7FFFFFFF, 6)]),
    (11, "other boundaries", {1, 2, 3, 4}, [b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xf4\x8f\xbf\xbf", TOO_HIGH]),
    (12, "continuation bytes alone", False, [b"\x80", b"\xbf"] + [(b"\x80\xbf" * 3)[:n] for n in range(2, 7)] + [bytes(range(0x80, 0xC0))]),
    (13, "start bytes alone", False, [b"".join(bytes([b, 0x20]) for b in range(first, last + 1)) for first, last in [(0xC0, 0xDF), (0xE0, 0xEF), (0xF0, 0xF7), (0xF8, 0xFB), (0xFC, 0xFD)]]),
    (14, "the last byte missing", False, CUT),
    (15, "many of these in a row", False, [b"".join(CUT)]),
    (16, "impossible bytes", False, [b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"]),
    (17, "overlong slash", False, [overlong(0x2F, n) for n in range(2, 7)]),
    (18, "longest overlong", False, [overlong(code, n) for n, code in [(2, 0x7F), (3, 0x7FF), (4, 0xFFFF), (5, 0x1FFFFF), (6, 0x3FFFFFF)]]),
    (19, "overlong NUL", False, [overlong(0, n) for n in range(2, 7)]),
    (20, "single surrogates", False, [surrogates(code) for code in [*HIGH, 0xDC00, 0xDF80, 0xDFFF]]),
    (21, "paired surrogates", False, [surrogates(high, low) for high in HIGH for low in LOW]),
    (22, "noncharacters", True, [chr(code).encode() for code in NONCHARACTERS]),
    (23, "specials", True, [chr(code).encode() for code in range(0xFFF9, 0x10000)]),
]  # fmt: skip


def fragments(*pieces):
    last = len(pieces) - 1
    return [frame(CONT if i else TEXT, piece, fin=i == last) for i, piece in enumerate(pieces)]


def octets(text):
    return fragments(*(text[i : i + 1] for i in range(len(text))))


def cases():
    yield Case("6.1.1", "empty text", [frame(TEXT)])
    yield Case("6.1.2", "3 empty fragments", fragments(b"", b"", b""))
    yield Case("6.1.3", "empty, text, empty", fragments(b"", b"middle frame payload", b""))
    yield Case("6.2.1", "UTF-8", [frame(TEXT, MIXED)])
    yield Case("6.2.2", "UTF-8 in 2 fragments, between characters", fragments(MIXED[:8], MIXED[8:]))
    yield Case("6.2.3", "UTF-8 in fragments of 1 byte", octets(MIXED))
    yield Case("6.2.4", "Greek in fragments of 1 byte", octets(KOSME))
    yield Case("6.2.a", "a ping within a character", [frame(TEXT, b"\xe2\x82", fin=False), frame(0x9, b"?"), frame(CONT, b"\xac")], [("pong", b"?")])
    wrong = KOSME + SURROGATE + b"edited"
    yield Case("6.3.1", "a surrogate within a text", [frame(TEXT, wrong)], refused(1007))
    yield Case("6.3.2", "a surrogate within a text, in fragments of 1 byte", octets(wrong), refused(1007))
    # The message never ends: what is wrong is refused as soon as its fragment is there.
    yield Case("6.4.1", "refused at the wrong fragment, not at the end", fragments(KOSME, TOO_HIGH, b"edited")[:2], refused(1007))
    yield Case("6.4.2", "refused at the byte that makes it wrong", fragments(KOSME + TOO_HIGH[:1], TOO_HIGH[1:2], b"edited")[:2], refused(1007))
    yield Case("6.4.a", "a message that ends within a character", fragments(KOSME, KOSME[:1]), refused(1007))
    for number, title, valid, sequences in GROUPS:
        for n, sequence in enumerate(sequences, 1):
            good = valid if isinstance(valid, bool) else n in valid
            name, shown = f"6.{number}.{n}", f"{title}: {sequence[:8].hex()}{'..' if len(sequence) > 8 else ''}"
            yield Case(name, shown, [frame(TEXT, sequence)], [] if good else refused(1007))
            yield Case(f"{name}f", f"{shown}, in fragments of 1 byte", octets(sequence), [] if good else refused(1007))
