"""A request that a web server received, as a span: OpenTelemetry's semantic conventions for HTTP servers.

Every request of a traced application comes through here, so a header is looked up only if something reads it, and what
many requests share is worked out once: their attributes begin as the copy of a template.

Source: https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server
"""

from __future__ import annotations

import re
from urllib.parse import quote

from ..._core import ACTIVE, SpanContext, current_span
from ..._core.errors import describe
from ..._core.values import text
from ..._trace.propagation import FIELDS, environ_getter, environ_key
from .query import Redactor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Mapping, Optional, Set, Tuple

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

# Paths that need no quoting, and the codes of status lines. Others choose them, so there is an end to it.
_plain_paths: Set[str] = set()
_statuses: Dict[Any, int] = {}
_MAX_PATHS = 1024
_MAX_PATH = 200
_MAX_STATUSES = 256
_MAX_STATUS = 100
_MAX_TEMPLATES = 256
_MAX_HOST = 255


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
        self.redact = Redactor(getattr(settings, "query_string_obfuscation", None)).redact
        tags: Mapping[str, str] = getattr(settings, "header_tags", None) or {}
        self.header_tags = dict(tags)
        self._environ_headers = [
            (environ_key(name), tag or "http.request.header." + name) for name, tag in tags.items()
        ]
        # Where none of these is, there is no context to extract.
        leads = self.propagation.leads
        self._environ_leads = tuple(environ_key(name) for name in leads)
        self._scope_leads = frozenset(leads)
        # The headers of an ASGI scope that something reads, under the names they are looked up by.
        self._wanted: Dict[bytes, str] = {
            name.encode("latin-1", "replace"): name for name in (*FIELDS, *_BASIC, *self.header_tags)
        }
        self._templates: Dict[Tuple[Any, ...], Dict[str, Value]] = {}

    # -- the beginning --------------------------------------------------------------------------------------------

    def from_environ(self, environ: Dict[str, Any], outer: Parent) -> Span:
        """The begun, inactive span of a request to a WSGI application; `outer` was active before it."""
        get = environ.get
        method = get("REQUEST_METHOD", "GET")
        scheme = get("wsgi.url_scheme", "http")
        host = get("HTTP_HOST")
        if host is None:
            host = "%s:%s" % (get("SERVER_NAME", ""), get("SERVER_PORT", ""))
        protocol = get("SERVER_PROTOCOL")
        template = self._templates.get((method, scheme, host, protocol))
        if template is None:
            template = self._template((method, scheme, host, protocol), host, protocol and protocol[5:])
        attributes = template.copy()
        path = get("SCRIPT_NAME", "") + get("PATH_INFO", "")
        attributes["url.path"] = path if path in _plain_paths else quoted_path(path)
        query = get("QUERY_STRING")
        if query and self.query:
            attributes["url.query"] = self.redact(query)
        agent = get("HTTP_USER_AGENT")
        if agent:
            attributes["user_agent.original"] = agent if len(agent) <= MAX_HEADER else agent[:MAX_HEADER]
        client = get("REMOTE_ADDR")
        if client and client.__class__ is str:
            attributes["client.address"] = client
        if self._environ_headers:
            for key, tag in self._environ_headers:
                value = get(key)
                if value is not None:
                    attributes[tag] = text(value, MAX_HEADER)
        for key in self._environ_leads:
            if key in environ:
                return self._continue(attributes, self.propagation.extract_from(environ_getter(environ)), outer)
        parent: Parent = None if outer is None or not outer.live else ACTIVE
        return self.recorder.start(
            self.name, None, self.service, "web", "server", attributes, self.integration, LAYER, parent, False
        )

    def from_scope(self, scope: Mapping[str, Any], outer: Parent) -> Span:
        """The begun, inactive span of an HTTP request or a websocket to an ASGI application; `outer` as above."""
        wanted = self._wanted
        headers: Dict[str, bytes] = {}
        for name, value in scope["headers"]:
            if name in wanted:
                key = wanted[name]
                headers[key] = value if key not in headers else headers[key] + b"," + value
        get = scope.get
        host: Any = headers.get("host")
        if host is None:
            server = get("server")
            host = "%s:%s" % (server[0], server[1] or "") if server and server[0] else ""
        method = get("method", "GET")
        scheme = get("scheme") or ("http" if scope["type"] == "http" else "ws")
        version = get("http_version")
        template = self._templates.get((method, scheme, host, version))
        if template is None:
            shown = host if host.__class__ is str else host.decode("latin-1")
            template = self._template((method, scheme, host, version), shown, version)
        attributes = template.copy()
        path = scope["path"]
        attributes["url.path"] = path if path in _plain_paths else scope_path(scope)
        query = get("query_string")
        if query and self.query:
            attributes["url.query"] = self.redact(query.decode("latin-1"))
        agent = headers.get("user-agent")
        if agent:
            attributes["user_agent.original"] = agent[:MAX_HEADER].decode("latin-1")
        client = get("client")
        if client and client[0].__class__ is str:
            attributes["client.address"] = client[0]
        if self.header_tags:
            for name, tag in self.header_tags.items():
                if name in headers:
                    attributes[tag or "http.request.header." + name] = headers[name][:MAX_HEADER].decode("latin-1")
        if not self._scope_leads.isdisjoint(headers):
            found = {name: value.decode("latin-1") for name, value in headers.items()}
            return self._continue(attributes, self.propagation.extract_from(found.get), outer)
        parent: Parent = None if outer is None or not outer.live else ACTIVE
        return self.recorder.start(
            self.name, None, self.service, "web", "server", attributes, self.integration, LAYER, parent, False
        )

    def _template(self, key: Tuple[Any, ...], host: str, version: Optional[str]) -> Dict[str, Value]:
        """The attributes that a request shares with many others; kept under `key`, which begins with the method."""
        method, scheme = key[:2]
        attributes: Dict[str, Value] = {"http.request.method": method, "url.scheme": scheme, "url.path": ""}
        if method not in METHODS:
            # Clients may send anything as a method; one name for all of it keeps the resources few.
            attributes["http.request.method"] = "_OTHER"
            attributes["http.request.method_original"] = text(method, 64)
        if self.attributes:
            attributes.update(self.attributes)
        if version:
            attributes["network.protocol.version"] = version
        if host:
            address, port = host_and_port(host)
            attributes["server.address"] = address
            if port is not None and port != _PORTS.get(scheme):
                attributes["server.port"] = port
        if method in METHODS and len(host) <= _MAX_HOST:
            if len(self._templates) >= _MAX_TEMPLATES:
                self._templates.clear()
            self._templates[key] = attributes
        return attributes

    def _continue(self, attributes: Dict[str, Value], context: Optional[SpanContext], outer: Parent) -> Span:
        """The span of a request that came with a context, or with headers that hold none."""
        parent: Parent = context
        if context is None or not context.trace_id:
            parent = None if outer is None or not outer.live else ACTIVE
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
        if span.duration is None:
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
    return f"{method} {get('http.route') or get('http.response.status_code', '')}"


def status_code(status: Any) -> int:
    """The number that a WSGI status line begins with.

    Raises:
        TypeError, ValueError: it does not.
    """
    code = _statuses.get(status)
    if code is None:
        code = int(status[:3])
        if len(_statuses) < _MAX_STATUSES and len(status) <= _MAX_STATUS:
            _statuses[status] = code
    return code


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
    return quoted_path(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""))


def quoted_path(path: str) -> str:
    """A path of WSGI, which has its bytes as latin-1, as it stands in the URL."""
    return path if _is_plain(path) else quote(path.encode("latin-1", "replace"), _PATH_SAFE)


def scope_path(scope: Mapping[str, Any]) -> str:
    """The path of an ASGI request as it stands in the URL."""
    path: str = scope["path"]
    if _is_plain(path):
        return path
    raw: Optional[bytes] = scope.get("raw_path")
    if raw:
        return raw.partition(b"?")[0].decode("latin-1")
    return quote(path, _PATH_SAFE, errors="replace")


def _is_plain(path: str) -> bool:
    if path in _plain_paths:
        return True
    if not _plain_path(path):
        return False
    if len(path) <= _MAX_PATH:
        if len(_plain_paths) >= _MAX_PATHS:
            _plain_paths.clear()
        _plain_paths.add(path)
    return True


def host_and_port(host: str) -> Tuple[str, Optional[int]]:
    """A `Host` header taken apart; an IPv6 address loses its brackets."""
    address, colon, port = host[:255].rpartition(":")
    if not colon or port.endswith("]"):
        address, port = host[:255], ""
    if address[:1] == "[":
        address = address[1:].rstrip("]")
    return address, int(port) if port.isdigit() and len(port) <= 5 else None
