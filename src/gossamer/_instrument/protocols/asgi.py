"""ASGI: a server span for each HTTP request and each websocket.

The span of a request ends with the last message of the answer; what the application does after it, as background tasks,
becomes late children. An answer that is an error waits for the application's end, since frameworks send "500" first
and raise the exception then. The span of a websocket ends with the application's call.

A hook `@library.asgi(target, operation="starlette.request")` names the operation; its handler is called as
`handler(span, scope)` when the request ends, unless the hook says `details=False`. Routes are told by
`http_server.route`, as the request goes down to its endpoint: a hook `@library.asgi(target, route=True)` is for the
method by which a router hands on a request, and its handler answers, as `handler(scope, route)`, the part of the
template that this route stands for.

Source: https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

from time import time_ns

from ..._core import active, set_active
from ..._trace.decorate import CO_COROUTINE, function_flags
from ..conventions.http_server import KEY, WebServer, route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Awaitable, Callable, Dict, Optional

    from ..._core import Span
    from ..status import Site

    Scope = Dict[str, Any]
    Message = Dict[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[Any]]
    Details = Callable[[Span, Scope], None]


class Requests:
    """The requests to one application.

    Args:
        server: what they have in common.
        details: called with span and scope when a request ends.
        report: gets a failure of ours, which is then none of the application's.
    """

    __slots__ = ("server", "details", "report")

    def __init__(
        self, server: WebServer, details: Optional[Details] = None, report: Optional[Callable[[Exception], None]] = None
    ) -> None:
        self.server = server
        self.details = details
        self.report = report or (lambda error: None)

    def begin(self, scope: Scope) -> Optional[Exchange]:
        """A request that gets a span, or None: for a lifespan, and for a nested application."""
        try:
            kind = scope["type"]
            if kind == "http":
                made: Any = Exchange
            elif kind == "websocket":
                made = WebSocket
            else:
                return None
            outer = scope.get(KEY)
            if outer is not None and outer.duration is None:
                return None
            span = scope[KEY] = self.server.from_scope(scope, active())
            return made(self, span, scope)  # type: ignore[no-any-return]
        except Exception as error:
            self.report(error)
            return None

    def end(self, exchange: Exchange, end_time: Optional[int] = None) -> None:
        """Let the framework add what it knows, and end the span."""
        if exchange.span.duration is not None:
            return
        if self.details is not None:
            try:
                self.details(exchange.span, exchange.scope)
            except Exception as error:
                self.report(error)
        self.server.finish(exchange.span, end_time)


class Exchange:
    """A request and its answer: what goes between server and application, watched."""

    __slots__ = ("requests", "span", "scope", "_receive", "_send", "ended", "before")

    def __init__(self, requests: Requests, span: Span, scope: Scope) -> None:
        self.requests = requests
        self.span = span
        self.scope = scope
        self.ended: Optional[int] = None

    def enter(self, receive: Receive, send: Send) -> None:
        """Begin to watch; the span is active from now on."""
        self._receive = receive
        self._send = send
        self.before = set_active(self.span)

    def leave(self, error: Optional[BaseException]) -> None:
        """The application's call is over."""
        span = self.span
        if span.duration is None:
            if error is not None:
                self.requests.server.failed(span, error)
            self.requests.end(self, self.ended or None)
        set_active(self.before)

    def send(self, message: Message) -> Awaitable[None]:
        """Pass on a message of the application: what the server's `send` answers, except for the last message."""
        kind = message["type"]
        if kind == "http.response.body":
            if not message.get("more_body"):
                return self._send_last(message)
        elif kind == "http.response.start":
            try:
                self.start(message)
            except Exception as error:
                self.requests.report(error)
        return self._send(message)

    def start(self, message: Message) -> None:
        """Note the status and the headers of the answer."""
        server = self.requests.server
        status = message["status"]
        server.answered(self.span, status if status.__class__ is int else int(status))
        if server.header_tags:
            server.response_headers(self.span, message.get("headers", ()))

    async def _send_last(self, message: Message) -> None:
        await self._send(message)
        if self.ended is None:
            span = self.span
            self.ended = time_ns() if span.error else 0
            if not span.error and span.duration is None:
                inside = set_active(None if self.requests.details is None else span)
                self.requests.end(self)
                # The parent of what comes late: the request, not what happened to be the last finished span in it.
                set_active(inside if inside is not None and inside.live else span)

    async def receive(self) -> Message:
        """Pass on a message of the client."""
        message = await self._receive()
        if message["type"] == "http.disconnect" and self.ended is None:
            self.span.set_attribute("client.disconnected", True)
        return message


class WebSocket(Exchange):
    """A websocket, from the handshake to its end."""

    __slots__ = ("accepted", "received", "sent")

    def __init__(self, requests: Requests, span: Span, scope: Scope) -> None:
        super().__init__(requests, span, scope)
        self.accepted = False
        self.received = self.sent = 0
        span.attributes["http.upgraded"] = "websocket"

    def send(self, message: Message) -> Awaitable[None]:
        """Pass on a message of the application, and count it."""
        kind = message["type"]
        if kind == "websocket.send":
            self.sent += 1
        else:
            try:
                self._control(kind, message)
            except Exception as error:
                self.requests.report(error)
        return self._send(message)

    def _control(self, kind: str, message: Message) -> None:
        if kind == "websocket.accept":
            self.accepted = True
            self.requests.server.answered(self.span, 101)
        elif kind == "websocket.close":
            if self.accepted:
                self._closed(message.get("code"), message.get("reason"))
            else:
                self.requests.server.answered(self.span, 403)
        elif kind == "websocket.http.response.start":
            self.start(message)

    async def receive(self) -> Message:
        """Pass on a message of the client, and count it."""
        message = await self._receive()
        kind = message["type"]
        if kind == "websocket.receive":
            self.received += 1
        elif kind == "websocket.disconnect":
            self._closed(message.get("code"), message.get("reason"))
        return message

    def _closed(self, code: Any, reason: Any) -> None:
        if "websocket.close.code" not in self.span.attributes:
            self.span.set_attribute("websocket.close.code", 1000 if code is None else code)
            if reason:
                self.span.set_attribute("websocket.close.reason", reason)

    def leave(self, error: Optional[BaseException]) -> None:
        """The application's call is over."""
        self.span.set_attribute("websocket.messages.received", self.received)
        self.span.set_attribute("websocket.messages.sent", self.sent)
        super().leave(error)


def is_double_callable(application: Any) -> bool:
    """Whether it is of ASGI's second version: `application(scope)` answers what is called with receive and send."""
    if getattr(application, "_asgi_single_callable", False):
        return False
    if getattr(application, "_asgi_double_callable", False) or isinstance(application, type):
        return True
    if function_flags(application) & CO_COROUTINE:
        return False
    return not function_flags(type(application).__call__) & CO_COROUTINE


async def call(requests: Requests, application: Application, scope: Scope, receive: Receive, send: Send) -> Any:
    """Run an application of ASGI's third version under a span."""
    exchange = requests.begin(scope)
    if exchange is None:
        return await application(scope, receive, send)
    exchange.enter(receive, send)
    try:
        result = await application(scope, exchange.receive, exchange.send)
    except BaseException as error:
        exchange.leave(error)
        raise
    exchange.leave(None)
    return result


def single(application: Any) -> Application:
    """An application of the second version in the form of the third."""

    async def run(scope: Scope, receive: Receive, send: Send) -> Any:
        return await application(scope)(receive, send)

    return run


def tells_route(site: Site) -> Callable[..., Any]:
    """The wrapper of a method by which a router hands a request on."""
    original, template, failed = site.original, site.hook.handler, site.failed

    async def handle(self: Any, scope: Scope, receive: Receive, send: Send) -> Any:
        if not site.off:
            try:
                route(scope, self, template(scope, self))
            except Exception as error:
                failed(error)
        return await original(self, scope, receive, send)

    return handle


def build(site: Site) -> Callable[..., Any]:
    """The wrapper of an `asgi` hook."""
    integration, extra = site.hook.integration, site.hook.extra
    if extra.get("route"):
        return tells_route(site)
    server = WebServer(
        site.tracer,
        extra.get("operation") or integration.name + ".request",
        integration.name,
        site.service,
        site.settings.shared,
    )
    details = site.hook.handler if extra.get("details", True) else None
    requests, original = Requests(server, details, site.failed), site.original

    async def method(self: Any, scope: Scope, receive: Receive, send: Send) -> Any:
        exchange = None if site.off else requests.begin(scope)
        if exchange is None:
            return await original(self, scope, receive, send)
        exchange.enter(receive, send)
        try:
            result = await original(self, scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.leave(error)
            raise
        exchange.leave(None)
        return result

    async def function(scope: Scope, receive: Receive, send: Send) -> Any:
        if site.off:
            return await original(scope, receive, send)
        return await call(requests, original, scope, receive, send)

    return method if site.bound else function
