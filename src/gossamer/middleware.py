"""Middleware to trace WSGI and ASGI applications by hand: those of frameworks that have no integration.

    application = gossamer.middleware.WSGIMiddleware(application)

Where an integration traces the application as well, a request still has one span: the outermost one.
"""

from __future__ import annotations

from ._instrument.conventions.http_server import WebServer
from ._instrument.protocols import asgi, wsgi
from ._settings import settings
from ._start import tracer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Awaitable, Callable, Dict, Iterable, Optional

__all__ = ["ASGIMiddleware", "WSGIMiddleware"]


class WSGIMiddleware:
    """A WSGI application with a span for each request.

    Args:
        application: the application to trace.
        service: of the spans; default: that of the process.
        name: operation name.
    """

    def __init__(self, application: Any, service: Optional[str] = None, name: str = "wsgi.request") -> None:
        if not callable(application):
            raise TypeError("a WSGI application is callable, %s is not" % type(application).__name__)
        self.application = application
        self._requests = wsgi.Requests(WebServer(tracer, name, "wsgi", service, settings))

    def __call__(self, environ: Dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        return self._requests.call(self.application, environ, start_response)


class ASGIMiddleware:
    """An ASGI application, of version 2 or 3, with a span for each HTTP request and websocket.

    Args:
        application: the application to trace.
        service: of the spans; default: that of the process.
        name: operation name.
    """

    def __init__(self, application: Any, service: Optional[str] = None, name: str = "asgi.request") -> None:
        if not callable(application):
            raise TypeError("an ASGI application is callable, %s is not" % type(application).__name__)
        self.application = application
        self._single = asgi.single(application) if asgi.is_double_callable(application) else application
        self._requests = asgi.Requests(WebServer(tracer, name, "asgi", service, settings))

    async def __call__(
        self,
        scope: Dict[str, Any],
        receive: Callable[[], Awaitable[Dict[str, Any]]],
        send: Callable[[Dict[str, Any]], Awaitable[None]],
    ) -> Any:
        """Answer one request, serve one websocket, or pass on a lifespan."""
        exchange = self._requests.begin(scope)
        if exchange is None:
            return await self._single(scope, receive, send)
        exchange.enter(receive, send)  # as `asgi.call` does, without a coroutine more
        try:
            result = await self._single(scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.leave(error)
            raise
        exchange.leave(None)
        return result
