"""A request that a web server received, as a span: OpenTelemetry's semantic conventions for HTTP servers.

Every request of a traced application comes through here, so a header is looked up only if something reads it, and what
is the same for all requests is worked out once, by `WebServer`.

Source: https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server
"""

from __future__ import annotations

import re
from urllib.parse import quote

from ..._core import ACTIVE, SpanContext, active, current_span
from ..._core.errors import describe
from ..._core.values import text
from ..._trace.propagation import FIELDS, environ_getter
from .query import Redactor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Mapping, Optional, Tuple

    from ..._core import Span
    from ..._core.pure import Parent
    from ..._core.values import Value
    from ..._trace.tracer import Tracer

LAYER = "http.server"
KEY = "gossamer.request"
"""Where a WSGI environment or an ASGI scope keeps the span of its request."""
ROOT = "gossamer.root"
"""Where a WSGI environment keeps the `SCRIPT_NAME` that it had when the span began."""
ROUTE = "gossamer.route"
"""Where an ASGI scope keeps the route that was found so far, and the object that told it."""

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"))
ERROR_STATUSES = frozenset(range(500, 600))
MAX_HEADER = 4096
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

_plain_path = re.compile(r"[A-Za-z0-9/._~!$&'()*+,;=:@-]*").fullmatch
_PATH_SAFE = "/!$&'()*+,;=:@"
_BASIC = frozenset(("host", "user-agent"))
_CARRIERS = frozenset("HTTP_" + field.upper().replace("-", "_") for field in FIELDS)

# Host headers, parsed. Clients choose them, so there is an end to it.
_hosts: Dict[str, Tuple[str, Optional[int]]] = {}
_MAX_HOSTS = 256


class WebServer:
    """What the requests of one application have in common.

    Args:
        tracer: starts the spans.
        name: of the operation ("flask.request").
        integration: name of the integration, or None.
        service: None: the application's.
        settings: the tracer-wide settings, or None for their defaults.
        attributes: constant attributes of every span.
    """

    def __init__(
        self,
        tracer: Tracer,
        name: str,
        integration: Optional[str] = None,
        service: Optional[str] = None,
        settings: Any = None,
        attributes: Optional[Dict[str, Value]] = None,
    ) -> None:
        self.recorder = tracer.recorder
        self.propagation = tracer.propagation
        self.name = name
        self.integration = integration
        self.service = service
        self.attributes = attributes
        self.error_statuses = getattr(settings, "http_server_error_statuses", ERROR_STATUSES)
        self.query = bool(getattr(settings, "http_server_query_string", True))
        self.redact = Redactor(getattr(settings, "query_string_obfuscation", None))
        tags: Mapping[str, str] = getattr(settings, "header_tags", None) or {}
        self.header_tags = dict(tags)
        self._request_headers = [
            ("HTTP_" + name.upper().replace("-", "_"), tag or "http.request.header." + name)
            for name, tag in tags.items()
        ]
        # The only headers of an ASGI scope that are decoded, under the names they are looked up by.
        self._wanted: Dict[bytes, str] = {
            name.encode("latin-1", "replace"): name for name in (*FIELDS, *_BASIC, *self.header_tags)
        }

    # -- the beginning --------------------------------------------------------------------------------------------

    def from_environ(self, environ: Dict[str, Any]) -> Span:
        """The begun, inactive span of a request to a WSGI application."""
        get = environ.get
        method = get("REQUEST_METHOD", "GET")
        scheme = get("wsgi.url_scheme", "http")
        host = get("HTTP_HOST")
        if host is None:
            host = "%s:%s" % (get("SERVER_NAME", ""), get("SERVER_PORT", ""))
        attributes = self._start(method, scheme, environ_path(environ), host, get("QUERY_STRING"))
        agent = get("HTTP_USER_AGENT")
        if agent:
            attributes["user_agent.original"] = agent if len(agent) <= MAX_HEADER else agent[:MAX_HEADER]
        client = get("REMOTE_ADDR")
        if client and client.__class__ is str:
            attributes["client.address"] = client
        protocol = get("SERVER_PROTOCOL")
        if protocol:
            attributes["network.protocol.version"] = protocol[5:]
        for key, tag in self._request_headers:
            value = get(key)
            if value is not None:
                attributes[tag] = text(value, MAX_HEADER)
        carried = not environ.keys().isdisjoint(_CARRIERS)
        return self._begin(attributes, self.propagation.extract_from(environ_getter(environ)) if carried else None)

    def from_scope(self, scope: Mapping[str, Any]) -> Span:
        """The begun, inactive span of an HTTP request or a websocket to an ASGI application."""
        headers, carried = self._headers(scope)
        get = scope.get
        scheme = get("scheme") or ("http" if scope["type"] == "http" else "ws")
        host = headers.get("host")
        if host is None:
            server = get("server")
            host = "%s:%s" % (server[0], server[1] or "") if server and server[0] else ""
        query = get("query_string")
        attributes = self._start(
            get("method", "GET"), scheme, scope_path(scope), host, query.decode("latin-1") if query else None
        )
        agent = headers.get("user-agent")
        if agent:
            attributes["user_agent.original"] = agent if len(agent) <= MAX_HEADER else agent[:MAX_HEADER]
        client = get("client")
        if client and client[0].__class__ is str:
            attributes["client.address"] = client[0]
        version = get("http_version")
        if version:
            attributes["network.protocol.version"] = version
        if self.header_tags:
            for name, tag in self.header_tags.items():
                if name in headers:
                    attributes[tag or "http.request.header." + name] = text(headers[name], MAX_HEADER)
        return self._begin(attributes, self.propagation.extract_from(headers.get) if carried else None)

    def _headers(self, scope: Mapping[str, Any]) -> Tuple[Dict[str, str], bool]:
        """The headers that something reads, and whether one that carries a context may be among them."""
        found: Dict[str, str] = {}
        known = self._wanted.get
        carried = False
        for name, value in scope["headers"]:
            key = known(name)
            if key is not None:
                value = value.decode("latin-1")
                found[key] = value if key not in found else found[key] + "," + value
                carried = carried or key not in _BASIC
        return found, carried

    def _start(self, method: str, scheme: str, path: str, host: str, query: Optional[str]) -> Dict[str, Value]:
        attributes: Dict[str, Value] = {"http.request.method": method, "url.scheme": scheme, "url.path": path}
        if self.attributes:
            attributes.update(self.attributes)
        if method not in METHODS:
            # Clients may send anything as a method; one name for all of it keeps the resources few.
            attributes["http.request.method"] = "_OTHER"
            attributes["http.request.method_original"] = text(method, 64)
        if query and self.query:
            attributes["url.query"] = self.redact(query)
        if host:
            address = _hosts.get(host)
            if address is None:
                address = host_and_port(host)
            attributes["server.address"] = address[0]
            if address[1] is not None and address[1] != _PORTS.get(scheme):
                attributes["server.port"] = address[1]
        return attributes

    def _begin(self, attributes: Dict[str, Value], context: Optional[SpanContext]) -> Span:
        parent: Parent = context
        if context is None or not context.trace_id:
            parent = local_parent()
        span = self.recorder.start(
            self.name, None, self.service, "web", "server", attributes, self.integration, LAYER, parent, False
        )
        if context is not None:
            if not context.trace_id:
                span.baggage = context.baggage
            if context.links and not span.links:
                span.links = list(context.links)
        return span

    # -- the answer -----------------------------------------------------------------------------------------------

    def answered(self, span: Span, status: int) -> None:
        """Note the status of the answer."""
        span.attributes["http.response.status_code"] = status
        if status in self.error_statuses:
            span.error = True

    def response_headers(self, span: Span, headers: Any) -> None:
        """Record the configured ones among the pairs `headers`, of str or bytes."""
        for name, value in headers:
            name = text(name).lower()
            if name in self.header_tags:
                span.attributes[self.header_tags[name] or "http.response.header." + name] = text(value, MAX_HEADER)

    def failed(self, span: Span, error: BaseException) -> None:
        """Note an exception that left the application; the server answers 500 if nothing was sent before."""
        fail_once(span, error)
        if span.error and "http.response.status_code" not in span.attributes:
            self.answered(span, 500)

    def finish(self, span: Span, end_time: Optional[int] = None) -> None:
        """Give the span its resource, unless it has one, and end it."""
        if span.duration is not None:
            return
        if span.resource is None:
            span.resource = resource(span.attributes)
        span.finish(end_time)


def resource(attributes: Mapping[str, Value]) -> str:
    """`GET /users/<id>`, or `GET 404` where no route is known."""
    get: Any = attributes.get
    method = get("http.request.method", "HTTP")
    if method == "_OTHER":
        method = "HTTP"
    if "http.upgraded" in attributes:
        method = "websocket"
    return "%s %s" % (method, get("http.route") or get("http.response.status_code", ""))


def current_request() -> Optional[Span]:
    """The open server span that encloses the active one."""
    span = current_span()
    while span is not None and (span.layer != LAYER or not span.live):
        span = span.parent
    return span


def mounted(span: Span, environ: Mapping[str, Any]) -> str:
    """The route by which the request came to a WSGI application inside the one that it entered first."""
    root: Optional[str] = environ.get(ROOT)
    if root is None:  # it entered an ASGI application
        return str(span.attributes.get("http.route", "")).rstrip("/")
    script: str = environ.get("SCRIPT_NAME", "")
    return script[len(root) :] if script != root and script.startswith(root) else ""


def route(scope: Any, teller: object, path: str) -> None:
    """An ASGI router hands the request on: `teller`, a route or a mount, stands for the part `path` of the template.

    Told twice by the same one it counts once, since a route may be hooked by two integrations.
    """
    span = scope.get(KEY)
    if span is None:
        return
    last, found = scope.get(ROUTE) or (None, "")
    if last is teller:
        return
    found += path
    scope[ROUTE] = teller, found
    if found:
        span.attributes["http.route"] = found


def local_parent() -> Parent:
    """The open span under which the application was called in this process, as by a test client.

    A finished one is no parent: servers keep the context of an earlier request in the callbacks of its connection.
    """
    found = active()
    return ACTIVE if found is None or found.live else None


def fail_once(span: Span, error: BaseException) -> None:
    """Mark the request as failed, unless a hook nearer to the fault has told of the same exception."""
    if span.error and span.events:
        facts = describe(error)
        for event in span.events:
            if event.name == "exception" and all(
                event.attributes.get(key) == facts[key] for key in ("exception.type", "exception.message")
            ):
                return
    span.fail(error)


def environ_path(environ: Mapping[str, Any]) -> str:
    """The path of a WSGI request as it stands in the URL."""
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    if _plain_path(path):
        return path
    return quote(path.encode("latin-1", "replace"), _PATH_SAFE)  # WSGI has bytes there, as latin-1


def scope_path(scope: Mapping[str, Any]) -> str:
    """The path of an ASGI request as it stands in the URL."""
    path: str = scope["path"]
    if _plain_path(path):
        return path
    raw: Optional[bytes] = scope.get("raw_path")
    if raw:
        return raw.partition(b"?")[0].decode("latin-1")
    return quote(path, _PATH_SAFE, errors="replace")


def host_and_port(host: str) -> Tuple[str, Optional[int]]:
    """A `Host` header taken apart; an IPv6 address loses its brackets."""
    address, colon, port = host[:255].rpartition(":")
    if not colon or port.endswith("]"):
        address, port = host[:255], ""
    if address[:1] == "[":
        address = address[1:].rstrip("]")
    found = address, int(port) if port.isdigit() and len(port) <= 5 else None
    if len(_hosts) >= _MAX_HOSTS:
        _hosts.clear()
    _hosts[host] = found
    return found
