"""What another implementation answers to the same bytes: the server of the `websockets` library, without a network."""

import codecs

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

MESSAGE_BYTES_MAX = 16 * 1024


def answers(pieces):
    """`[("pong", payload), .., ("close", code)]`, as `Peer.heard` has them."""
    server = ServerProtocol(state=OPEN, max_size=MESSAGE_BYTES_MAX)
    decoder = None
    sent = StreamReader()
    for piece in pieces:
        server.receive_data(piece)
        for frame in server.events_received():
            # The protocol leaves the text to its caller, and so to Python's own decoder.
            if frame.opcode is Opcode.TEXT:
                decoder = codecs.getincrementaldecoder("utf-8")()
            elif frame.opcode is Opcode.BINARY:
                decoder = None
            if frame.opcode in (Opcode.TEXT, Opcode.CONT) and decoder:
                try:
                    decoder.decode(frame.data, final=frame.fin)
                except UnicodeDecodeError:
                    server.fail(CloseCode.INVALID_DATA)
                    break
    for data in server.data_to_send():
        sent.feed_data(data)
    heard = []
    while len(sent.buffer) > 0:
        frame = whole(Frame.parse(sent.read_exact, mask=False))
        if frame.opcode is Opcode.PONG:
            heard.append(("pong", bytes(frame.data)))
        elif frame.opcode is Opcode.CLOSE:
            heard.append(("close", int.from_bytes(frame.data[:2], "big") if frame.data else None))
    return heard


def whole(parsing):
    try:
        next(parsing)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("half a frame")
