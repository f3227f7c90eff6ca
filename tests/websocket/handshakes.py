"""The opening handshake (RFC 6455, section 4.2): what is accepted, what is refused and how. Autobahn has no such group."""

import http.client
import socket
from dataclasses import dataclass, field

from websockets.exceptions import NegotiationError
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.streams import StreamReader
from websockets.utils import accept_key

from peer import BOUND_S, KEY, Peer, request
from referee import whole

LINE = "GET /v1/stream?streams=raw&channels=0 HTTP/1.1"
UPGRADED = 101
# RFC 6455, section 4.4, and RFC 9110, section 15.5.22: what would be right instead.
NO_UPGRADE = {"Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Connection": "upgrade"}
DEFLATE = "permessage-deflate; client_max_window_bits"


@dataclass
class Case:
    """A head, the status that answers it, and headers that must be there, or must not (`None`)."""

    name: str
    title: str
    head: bytes
    status: int
    headers: dict = field(default_factory=dict)
    differs: str = ""  # why the referee answers otherwise


def cases(address):
    def head(line=LINE, **changes):
        return request(address, line, **changes)

    def post(method):
        return head(LINE.replace("GET", method))

    plain = head()
    rows = [
        ("as in the RFC", plain, UPGRADED, {"Sec-WebSocket-Protocol": None}),
        ("header names in lower case", lower(plain), UPGRADED),
        ("Upgrade: WebSocket", head(Upgrade="WebSocket"), UPGRADED),
        ("Connection: upgrade", head(Connection="upgrade"), UPGRADED),
        ("Connection: keep-alive, Upgrade", head(Connection="keep-alive, Upgrade"), UPGRADED),
        ("Connection: Upgrade,keep-alive", head(Connection="Upgrade,keep-alive"), UPGRADED),
        ("Connection in two lines", head(Connection=["keep-alive", "Upgrade"]), UPGRADED),
        ("Connection with tabs", head(Connection="keep-alive\t,\tUpgrade\t"), UPGRADED),
        ("no blank after colons", plain.replace(b": ", b":"), UPGRADED),
        ("60 headers more than needed", head(**{f"X_{n}": "y" for n in range(55)}), UPGRADED),
        ("an Origin of its own", head(Origin=f"http://{address}"), UPGRADED),
        ("our subprotocol", head(Sec_WebSocket_Protocol="biosigd.v1"), UPGRADED, {"Sec-WebSocket-Protocol": "biosigd.v1"}),
        ("several subprotocols", head(Sec_WebSocket_Protocol="chat, biosigd.v1,biosigd.v2"), UPGRADED, {"Sec-WebSocket-Protocol": "biosigd.v1"}),
        ("several subprotocols in two lines", head(Sec_WebSocket_Protocol=["chat", "biosigd.v1"]), UPGRADED, {"Sec-WebSocket-Protocol": "biosigd.v1"}),
        ("a subprotocol of others", head(Sec_WebSocket_Protocol="chat"), 400),
        ("a subprotocol in the wrong case", head(Sec_WebSocket_Protocol="BIOSIGD.V1"), 400),
        ("compression offered", head(Sec_WebSocket_Extensions=DEFLATE), UPGRADED),
        ("several extensions offered", head(Sec_WebSocket_Extensions=[DEFLATE, "x-webkit-deflate-frame, nonsense; a=1"]), UPGRADED),
        ("no Upgrade", head(Upgrade=None), 426, NO_UPGRADE),
        ("Upgrade: h2c", head(Upgrade="h2c"), 426, NO_UPGRADE),
        ("no Connection", head(Connection=None), 426, NO_UPGRADE),
        ("Connection: keep-alive", head(Connection="keep-alive"), 426, NO_UPGRADE),
        ("no Sec-WebSocket-Version", head(Sec_WebSocket_Version=None), 426, NO_UPGRADE),
        ("two of them", head(Sec_WebSocket_Version=["13", "13"]), 426, NO_UPGRADE),
        *((f"version {version}", head(Sec_WebSocket_Version=version), 426, NO_UPGRADE) for version in ["8", "12", "14", "013", "13, 8", "x", "-13"]),
        ("no Sec-WebSocket-Key", head(Sec_WebSocket_Key=None), 400),
        ("two of them", head(Sec_WebSocket_Key=[KEY, KEY]), 400),
        ("two different ones", head(Sec_WebSocket_Key=[KEY, "AAAAAAAAAAAAAAAAAAAAAA=="]), 400),
        ("an empty key", head(Sec_WebSocket_Key=""), 400),
        ("a key of 15 bytes", head(Sec_WebSocket_Key="AAAAAAAAAAAAAAAAAAAA"), 400),
        ("a key of 17 bytes", head(Sec_WebSocket_Key="AAAAAAAAAAAAAAAAAAAAAAA="), 400),
        ("a key that is not base64", head(Sec_WebSocket_Key="!!!!!!!!!!!!!!!!!!!!!!=="), 400),
        ("HTTP/1.0", head(LINE.replace("1.1", "1.0")), 426, NO_UPGRADE),
        ("HTTP/2.0", head(LINE.replace("1.1", "2.0")), 400),
        ("POST", post("POST"), 405, {"Allow": "GET, HEAD"}),
        ("PUT", post("PUT"), 405, {"Allow": "GET, HEAD"}),
        ("OPTIONS", post("OPTIONS"), 405, {"Allow": "GET, HEAD"}),
        ("HEAD", post("HEAD"), 426, NO_UPGRADE),
        ("no Host", head(Host=None), 400, {}, "it leaves Host to others"),
        ("two Hosts", head(Host=[address, "evil.example"]), 400, {}, "it leaves Host to others"),
        ("a Host of others", head(Host="evil.example"), 421, {}, "it leaves Host to others"),
        ("an Origin of others", head(Origin="http://evil.example"), 403, {}, "it was not told which are allowed"),
        ("two Origins, the second of others", head(Origin=[f"http://{address}", "http://evil.example"]), 400),
        ("an Origin that is not text", head(Origin="http://\xe9vil.example"), 400, {}, "it was not told which are allowed"),
        ("Origin: null", head(Origin="null"), 403, {}, "it was not told which are allowed"),
        ("another path", head(LINE.replace("/v1/stream", "/v2/stream")), 404, {}, "it has no paths"),
        ("a stream that is not there", head(LINE.replace("raw", "row")), 400, {}, "it has no streams"),
    ]
    for n, row in enumerate(rows, 1):
        yield Case(f"0.{n}", *row)


def lower(head):
    """The same with its header names in lower case."""
    first, *lines = head.split(b"\r\n")
    parts = [line.partition(b":") for line in lines]
    return b"\r\n".join([first, *(name.lower() + colon + value for name, colon, value in parts)])


def choose(_, offered):
    """Ours, none where none is offered, and a refusal where only others are: what the referee is told."""
    if offered and "biosigd.v1" not in offered:
        raise NegotiationError("no common subprotocol")
    return "biosigd.v1" if offered else None


def referee_accepts(head):
    reader = StreamReader()
    reader.feed_data(head)
    server = ServerProtocol(select_subprotocol=choose)
    try:
        asked = whole(Request.parse(reader.read_line))
    except ValueError:
        return False
    return server.accept(asked).status_code == UPGRADED


def shake(daemon, case):
    """One handshake. An accepted one is greeted, streams and closes."""
    agrees = referee_accepts(case.head) == (case.status == UPGRADED)
    assert agrees != bool(case.differs), "the referee agrees by now" if agrees else "the referee thinks otherwise"
    if case.head.startswith(b"HEAD"):
        return shake_head(daemon, case)
    with Peer(daemon.address, case.head) as peer:
        response = peer.response
        check(case, response.status_code, response.headers)
        if case.status == UPGRADED:
            assert response.headers["Sec-WebSocket-Accept"] == accept_key(KEY)
            assert "Sec-WebSocket-Extensions" not in response.headers, "an extension was agreed to"
            peer.goes_on()
        else:
            assert len(response.body) > 10, "refused without a reason"


def shake_head(daemon, case):
    """HEAD is answered with a head alone, which a reader of responses takes for half of one."""
    host, port = daemon.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=BOUND_S) as connection:
        connection.sendall(case.head)
        answer = connection.makefile("rb")
        status = int(answer.readline().split()[1])
        headers = http.client.parse_headers(answer)
        check(case, status, headers)
        assert (rest := answer.read()) == b"", f"a body follows: {rest}"


def check(case, status, headers):
    assert status == case.status, f"answered with {status}"
    for name, value in case.headers.items():
        got = headers.get(name)
        tokens = [token.strip().lower() for token in (got or "").split(",")]
        right = value.lower() in tokens if name == "Connection" else got == value
        assert right, f"{name}: {got}, not {value}"
