"""Outgoing HTTP calls, by OpenTelemetry's stable semantic conventions.

One span stands for one call of the library, redirects and retries included: `url.full` is what was asked for, the
status is that of the answer which the caller got.
"""

from __future__ import annotations

from ..._core.values import text
from ..declare import SpanStart
from .query import Redactor
from .urls import split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Tuple

    from ..._core.values import Value
    from ..declare import Call, Fields, Options

LAYER = "http.client"
"""A call inside an open span of this layer gets none of its own: requests over urllib3 over http.client is one span."""

ERROR_STATUSES = frozenset(range(400, 600))


class Rules:
    """What the tracer's settings say of outgoing calls; they are read once for each hook.

    Attributes:
        errors: statuses that make a call count as failed.
        tags: of headers that are recorded: (name, attribute of a request's, attribute of an answer's).
        query: whether query strings are shown, and `redact`, what is done to them before.
    """

    __slots__ = ("errors", "tags", "query", "redact")

    def __init__(self, settings: Any) -> None:
        self.errors = ERROR_STATUSES if settings is None else settings.http_client_error_statuses
        tags = {} if settings is None else settings.header_tags
        self.tags: List[Tuple[str, str, str]] = [
            (name, tag or "http.request.header." + name, tag or "http.response.header." + name)
            for name, tag in tags.items()
        ]
        self.query = settings is None or settings.http_client_query_string
        self.redact = Redactor(None if settings is None else settings.query_string_obfuscation)


def rules(options: Options) -> Rules:
    """The rules for the hooks of one integration."""
    found = options._http_client
    if found is None:
        found = options._http_client = Rules(options.shared)
    return found  # type: ignore[no-any-return]


def request(
    call: Call,
    name: str,
    method: Any,
    url: Any,
    headers: Any = None,
    carrier: Any = None,
) -> SpanStart:
    """The span of a request.

    Args:
        call: whose options hold the tracer's settings.
        name: operation name.
        method: as the library has it.
        url: absolute.
        headers: of the request: those that the settings name are recorded.
        carrier: where the context is injected; default: `headers`.
    """
    return SpanStart.of(request_fields(call, name, method, url, headers, headers if carrier is None else carrier))


def request_fields(call: Call, name: str, method: Any, url: Any, headers: Any, carrier: Any) -> Fields:
    """The same as a tuple, which is cheaper; the carrier has no default."""
    if not call.recording:
        return name, None, None, "http", "client", {}, carrier
    known = call.options._http_client or rules(call.options)
    if method.__class__ is not str:
        method = text(method, 20)
    if not method.isupper():
        method = method.upper()
    if url.__class__ is not str:
        url = text(url)
    (origin, host, port), path, query = split(url)
    if not path:
        path = "/"
    full = origin + path
    if query and known.query:
        full += "?" + known.redact(query)
    attributes: Dict[str, Value]
    if not host:
        attributes = {"http.request.method": method, "url.full": full}
    elif port is None:
        attributes = {"http.request.method": method, "url.full": full, "server.address": host}
    else:
        attributes = {"http.request.method": method, "url.full": full, "server.address": host, "server.port": port}
    if known.tags and headers is not None:
        for header, tag, _ in known.tags:
            value = headers.get(header)
            if value is not None:
                attributes[tag] = text(value)
    return name, method + " " + path, None, "http", "client", attributes, carrier


def response(call: Call, status: Any, headers: Any = None) -> None:
    """What the answer tells: its status, whether that is an error, and the headers that the settings name."""
    if not call.recording:
        return
    span, known = call.span, call.options._http_client or rules(call.options)
    attributes = span.attributes
    attributes["http.response.status_code"] = status
    if status in known.errors:
        failed(span, status)
    if known.tags and headers is not None:
        for header, _, tag in known.tags:
            value = headers.get(header)
            if value is not None:
                attributes[tag] = text(value)


def failed(span: Any, status: int) -> None:
    """Mark the span of a call whose answer counts as an error."""
    span.set_error()
    span.attributes["error.type"] = str(status)
