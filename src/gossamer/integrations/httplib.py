"""http.client of the standard library, and with it urllib: a span from sending a request to the head of its answer."""

from __future__ import annotations

from gossamer.instrument import Call, Integration, SpanStart, http_client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

httplib = Integration(
    "httplib",
    title="http.client",
    layer=http_client.LAYER,
    docs="https://docs.python.org/3/library/http.client.html",
    page=("fully supported", False),
)

_OPEN = "_gossamer_open"


class _Open:
    """The span of a request whose answer has not come; it lives on the connection and ends with it at the latest."""

    __slots__ = ("call", "done")

    def __init__(self, call: Call, done: Callable[..., None]) -> None:
        self.call = call
        self.done = done

    def __del__(self) -> None:
        self.done()


def sent(call: Call, result: Any, done: Callable[..., None]) -> bool:
    """Keep the span open on the connection."""
    connection, call.instance = call.instance, None  # no cycle: the span is to end with the connection
    connection.__dict__[_OPEN] = _Open(call, done)
    return True


@httplib.trace("http.client:HTTPConnection.endheaders", stream=sent)
def endheaders(call: Call) -> Optional[SpanStart]:
    """The span of a request whose head is complete; its first line is in the connection's buffer."""
    connection = call.instance
    connection.__dict__.pop(_OPEN, None)
    lines = connection._buffer
    if not lines:
        return None
    method, _, rest = lines[0].decode("latin-1").partition(" ")
    url = rest.rpartition(" ")[0]

    def put(name: str, value: str) -> None:
        start = name.encode("latin-1") + b":"
        lines[1:] = [line for line in lines[1:] if line[: len(start)].lower() != start]
        connection.putheader(name, value)

    return http_client.request(call, "http.client.request", method, _absolute(connection, url), carrier=put)


def _absolute(connection: Any, url: str) -> str:
    if "://" in url[:10]:
        return url  # to a proxy
    host, port = connection._tunnel_host or connection.host, connection.port
    if connection._tunnel_host:
        port = connection._tunnel_port or connection.default_port
    if ":" in host and host[:1] != "[":
        host = "[%s]" % host
    scheme = "https" if connection.default_port == 443 else "http"
    if port != connection.default_port:
        host = "%s:%s" % (host, port)
    return "%s://%s%s" % (scheme, host, url)


@httplib.wrap("http.client:HTTPConnection.getresponse")
def getresponse(original: Callable[..., Any], call: Call) -> Any:
    """End the span with the head of the answer."""
    opened = call.instance.__dict__.pop(_OPEN, None)
    if opened is None:
        return original(*call.args, **call.kwargs)
    try:
        response = original(*call.args, **call.kwargs)
    except BaseException as error:
        opened.done(error)
        raise
    try:
        http_client.response(opened.call, response.status, response.headers)
    except Exception:
        pass
    opened.done()
    return response


@httplib.before("http.client:HTTPConnection.close")
def close(call: Call) -> None:
    """End the span of a request whose answer nobody waits for."""
    call.instance.__dict__.pop(_OPEN, None)
