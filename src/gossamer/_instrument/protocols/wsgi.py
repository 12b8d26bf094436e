"""WSGI (PEP 3333): a server span for each request, from the call of the application to the end of its body.

The span is active while code of the application runs: during the call and while the server asks for a part of the
body, not in between, when the thread may serve somebody else.

A hook `@library.wsgi(target, operation="flask.request")` names the operation. Its handler is called as
`handler(span, environ)` when the application begins its answer, to add what only the framework knows. `ready=` may
name a function that tells of a body whether all its parts are there already, which makes it cheaper.
"""

from __future__ import annotations

from io import IOBase
from time import time_ns
from types import MethodType

from ..._core import active, set_active
from ..conventions.http_server import KEY, ROOT, WebServer, current_request, environ_path, status_code
from ..versions import installed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterable, Optional

    from ..._core import Span
    from ..status import Site

    Environ = Dict[str, Any]
    StartResponse = Callable[..., Any]
    Application = Callable[[Environ, StartResponse], Iterable[bytes]]
    Details = Callable[[Span, Environ], None]

_ABSENT: Any = object()


class Requests:
    """The requests to one application.

    Args:
        server: what they have in common.
        details: called with span and environment when an answer begins.
        report: gets a failure of ours, which is then none of the application's.
        ready: tells of a body whether it holds nothing but finished parts, so that no code of the application runs
            while the server takes them.
    """

    __slots__ = ("server", "details", "report", "ready")

    def __init__(
        self,
        server: WebServer,
        details: Optional[Details] = None,
        report: Optional[Callable[[Exception], None]] = None,
        ready: Optional[Callable[[Any], bool]] = None,
    ) -> None:
        self.server = server
        self.details = details
        self.report = report or (lambda error: None)
        self.ready = ready

    def call(self, application: Application, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Call the application under a span. One that is called inside a request that has a span gets none."""
        server = self.server
        try:
            outer = active()
            nested = (outer is not None or KEY in environ) and inside_request(environ)
            if not nested:
                span = environ[KEY] = server.from_environ(environ, outer)
                environ[ROOT] = environ.get("SCRIPT_NAME", "")
        except Exception as error:
            self.report(error)
            return application(environ, start_response)
        if nested:
            if self.details is not None:
                start_response = self._describing(environ[KEY], environ, start_response)
            return application(environ, start_response)
        before = set_active(span)
        try:
            body = application(environ, self._start_response(span, environ, start_response))
        except BaseException as error:
            server.failed(span, error)
            server.finish(span)
            set_active(before)
            raise
        inside = set_active(before)
        kind = body.__class__
        if kind is list or kind is tuple:
            server.finish(span)
            return body
        return self._watch(body, span, environ, inside)  # type: ignore[no-any-return]

    def _start_response(self, span: Span, environ: Environ, start_response: StartResponse) -> StartResponse:
        server, details, report = self.server, self.details, self.report

        # Names that no keyword has: what is passed by keyword is passed on by keyword.
        def start(status: Any, _headers: Any = _ABSENT, _exc_info: Any = _ABSENT, *args: Any, **kwargs: Any) -> Any:
            try:
                code = status_code(status)
                span.attributes["http.response.status_code"] = code
                if code in server.error_statuses:
                    span.error = True
                if details is not None:
                    details(span, environ)
                if server.header_tags and _headers is not _ABSENT:
                    server.response_headers(span, _headers)
                if _exc_info is not _ABSENT and _exc_info:
                    span.record_exception(_exc_info[1])
            except Exception as error:
                report(error)
            if _exc_info is _ABSENT and _headers is not _ABSENT and not kwargs:
                return start_response(status, _headers)
            given = [value for value in (_headers, _exc_info) if value is not _ABSENT]
            return start_response(status, *given, *args, **kwargs)

        return start

    def _describing(self, span: Span, environ: Environ, start_response: StartResponse) -> StartResponse:
        details, report = self.details, self.report

        def start(*args: Any, **kwargs: Any) -> Any:
            try:
                details(span, environ)  # type: ignore[misc]
            except Exception as error:
                report(error)
            return start_response(*args, **kwargs)

        return start

    def _watch(self, body: Any, span: Span, environ: Environ, inside: Any) -> Any:
        """The body as the server shall get it. Where its identity or type matters to servers it stays what it is."""
        wrapper = environ.get("wsgi.file_wrapper")
        if wrapper is not None and (
            isinstance(body, wrapper) if isinstance(wrapper, type) else isinstance(body, IOBase)
        ):
            self._end_on_close(body, span)
            return body
        made: Any = Body
        if hasattr(body.__class__, "__len__"):
            made = SizedBody
        elif self.ready is not None:
            try:
                if self.ready(body):
                    made = ReadyBody
            except Exception as error:
                self.report(error)
        return made(body, self.server, span, inside)

    def _end_on_close(self, body: Any, span: Span) -> None:
        """Servers send a file that their own wrapper holds without reading it, so only its `close` tells the end."""
        close = getattr(body, "close", None)

        def ending() -> None:
            try:
                if close is not None:
                    close()
            finally:
                self.server.finish(span)

        try:
            body.close = ending
        except Exception:
            self.server.finish(span)


def inside_request(environ: Environ) -> bool:
    """Whether the request has a span already: of an outer WSGI application, or of an ASGI one that handed it on."""
    span = environ.get(KEY)
    if span is not None:
        return bool(span.duration is None)
    outer = current_request()
    if outer is None:
        return False
    attributes = outer.attributes
    if (
        "http.upgraded" in attributes
        or attributes.get("http.request.method") != environ.get("REQUEST_METHOD")
        or attributes.get("url.path") != environ_path(environ)
    ):
        return False
    environ[KEY] = outer
    return True


class Body:
    """Stands for the body that an application returned; the span ends when the server closes it."""

    __slots__ = ("__wrapped__", "_iterator", "_server", "_span", "_inside", "_last")

    def __init__(self, wrapped: Any, server: WebServer, span: Span, inside: Any) -> None:
        self.__wrapped__ = wrapped
        self._iterator: Any = None
        self._server = server
        self._span = span
        self._inside = inside
        self._last: Optional[int] = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> bytes:
        outside = set_active(self._inside)
        try:
            iterator = self._iterator
            if iterator is None:
                iterator = self._iterator = iter(self.__wrapped__)
            part = next(iterator, _ABSENT)  # dearer to us: an exception for the end
        except BaseException as error:
            self._server.failed(self._span, error)
            raise
        finally:
            self._last = time_ns()
            self._inside = set_active(outside)
        if part is _ABSENT:
            raise StopIteration
        return part  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close what the application returned, if it can be closed, and end the span."""
        close = getattr(self.__wrapped__, "close", None)
        outside = set_active(self._inside)
        try:
            if close is not None:
                close()
        except BaseException as error:
            self._server.failed(self._span, error)
            raise
        finally:
            self._server.finish(self._span)
            set_active(outside)

    def __del__(self) -> None:
        if self._span.duration is None:  # a server that does not close, as some do when the client has gone
            self._server.finish(self._span, self._last)


class SizedBody(Body):
    """The same for a body that knows its length, by which servers know that one part is all."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self.__wrapped__)


class ReadyBody(Body):
    """The same for a body of finished parts, which servers take without us."""

    __slots__ = ()

    def __iter__(self) -> Any:
        self._last = time_ns()
        return iter(self.__wrapped__)


def build(site: Site) -> Callable[..., Any]:
    """The wrapper of a `wsgi` hook."""
    integration = site.hook.integration
    attributes = {}
    for package in integration.packages:
        version = installed.version(package)
        if version is not None:
            attributes["%s.version" % integration.name] = version
            break
    server = WebServer(
        site.tracer,
        site.hook.extra.get("operation") or integration.name + ".request",
        integration.name,
        site.service,
        site.settings.shared,
        attributes,  # type: ignore[arg-type]
    )
    original = site.original
    call = Requests(server, site.hook.handler, site.failed, site.hook.extra.get("ready")).call

    def method(self: Any, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if site.off:
            return original(self, environ, start_response)  # type: ignore[no-any-return]
        return call(MethodType(original, self), environ, start_response)

    def function(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if site.off:
            return original(environ, start_response)  # type: ignore[no-any-return]
        return call(original, environ, start_response)

    return method if site.bound else function
