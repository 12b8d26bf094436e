"""http.client of the standard library, and with it urllib: a span from sending a request to the head of its answer.

Here the head of each request is complete, those of requests and urllib3 included: their contexts are written here, too.
These functions are short and called for every request, so their wrappers are made by hand.
"""

from __future__ import annotations

from gossamer.instrument import Call, Integration, Site, active, deferred, http_client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional

    from gossamer.instrument import Span

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

    __slots__ = ("call",)

    def __init__(self, call: Call) -> None:
        self.call = call

    def done(self, error: Optional[BaseException] = None) -> None:
        span = self.call.span
        if error is not None:
            span.fail(error)
        span.finish()

    def __del__(self) -> None:
        self.call.span.finish()


@httplib.wrap("http.client:HTTPConnection.endheaders", build=True)
def endheaders(site: Site) -> Callable[..., Any]:
    """The head of a request goes out: with the context of a span of the same layer that waits, or of one of its own."""
    original = site.original

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if site.off:
            return original(*args, **kwargs)
        call = None
        try:
            lines = args[0]._buffer
            current: Any = active()
            if current is None or current.layer != http_client.LAYER or not current.live:
                args[0].__dict__.pop(_OPEN, None)
                if lines:
                    call = _begin(site, args[0], lines[0], current)
                    write_context(site, call.span, lines)
            elif lines and deferred.take(current):
                write_context(site, current, lines)
        except Exception as error:
            if args:
                site.failed(error)
        if call is None:
            return original(*args, **kwargs)
        span = call.span
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            span.fail(error)
            span.finish()
            raise
        span.detach()
        args[0].__dict__[_OPEN] = _Open(call)
        return result

    deferred.set_writer(site, wrapper)
    return wrapper


def _begin(site: Site, connection: Any, line: bytes, current: Any) -> Call:
    method, _, rest = line.decode("latin-1").partition(" ")
    call = Call(None, (), {}, site.options)  # without the connection: the span is to end with that
    trace = getattr(current, "trace", None)
    call.recording = trace is None or trace.recording
    name, resource, _, type, kind, attributes, _ = http_client.request_fields(
        call, "http.client.request", method, _absolute(connection, rest.rpartition(" ")[0]), None, None
    )
    start = site.recorder.start
    call.span = start(name, resource, site.service, type, kind, attributes, site.name, http_client.LAYER)
    return call


def write_context(site: Site, span: Span, lines: List[bytes]) -> None:
    """Add the headers that carry the context of `span` to the head of a request, in the place of such as are there."""
    headers: Dict[str, str] = {}
    site.tracer.propagation.inject(span, headers)
    if not headers:
        return
    text = "\r\n".join([name + ": " + value for name, value in headers.items()])
    if text.count("\n") >= len(headers) or text.count("\r") >= len(headers):
        # A foreign tracestate or baggage with a line break in it.
        text = "\r\n".join([name + ": " + " ".join(value.split()) for name, value in headers.items()])
    present = b"\n".join(lines).lower()
    for name in headers:
        if (_names.get(name) or _learn(name)) in present:
            known = {name.encode("latin-1").lower() for name in headers}
            lines[1:] = [line for line in lines[1:] if line.partition(b":")[0].strip().lower() not in known]
            break
    lines.append(text.encode("latin-1", "replace"))


_names: Dict[str, bytes] = {}  # of headers -> what stands in a head that has them


def _learn(name: str) -> bytes:
    if len(_names) >= 100:
        _names.clear()
    found = _names[name] = b"\n" + name.lower().encode("latin-1", "replace")
    return found


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


@httplib.wrap("http.client:HTTPConnection.getresponse", build=True)
def getresponse(site: Site) -> Callable[..., Any]:
    """End the span with the head of the answer."""
    original = site.original

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        opened = args[0].__dict__.pop(_OPEN, None) if args else None
        if opened is None:
            return original(*args, **kwargs)
        try:
            response = original(*args, **kwargs)
        except BaseException as error:
            opened.done(error)
            raise
        try:
            http_client.response(opened.call, response.status, response.headers)
        except Exception as error:
            site.failed(error)
        opened.done()
        return response

    return wrapper


@httplib.wrap("http.client:HTTPConnection.close", build=True)
def close(site: Site) -> Callable[..., Any]:
    """End the span of a request whose answer nobody waits for."""
    original = site.original

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if args:
            args[0].__dict__.pop(_OPEN, None)
        return original(*args, **kwargs)

    return wrapper
