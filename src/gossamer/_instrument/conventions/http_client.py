"""Outgoing HTTP calls, by OpenTelemetry's stable semantic conventions.

One span stands for one call of the library, redirects and retries included: `url.full` is what was asked for, the
status is that of the answer which the caller got.
"""

from __future__ import annotations

from ..._core.values import text
from ..declare import SpanStart
from .urls import shown_query, split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Mapping

    from ..._core.values import Value
    from ..declare import Call

LAYER = "http.client"
"""A call inside an open span of this layer gets none of its own: requests over urllib3 over http.client is one span."""


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
    settings = call.options.shared
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
    if query:
        full += shown_query(query, settings)
    attributes: Dict[str, Value] = {"http.request.method": method, "url.full": full}
    if host:
        attributes["server.address"] = host
        if port is not None:
            attributes["server.port"] = port
    if settings is not None and settings.header_tags and headers is not None:
        record_headers(attributes, "http.request.header.", headers, settings.header_tags)
    return SpanStart(
        name, method + " " + path, "client", "http", None, attributes, carrier=headers if carrier is None else carrier
    )


def response(call: Call, status: Any, headers: Any = None) -> None:
    """What the answer tells: its status, whether that is an error, and the headers that the settings name."""
    span, settings = call.span, call.options.shared
    attributes = span.attributes
    attributes["http.response.status_code"] = status
    if status >= 400 if settings is None else status in settings.http_client_error_statuses:
        failed(span, status)
    if settings is not None and settings.header_tags and headers is not None:
        record_headers(attributes, "http.response.header.", headers, settings.header_tags)


def failed(span: Any, status: int) -> None:
    """Mark the span of a call whose answer counts as an error."""
    span.set_error()
    span.attributes["error.type"] = str(status)


def record_headers(attributes: Dict[str, Value], prefix: str, headers: Any, tags: Mapping[str, str]) -> None:
    """Record the headers that `tags` names: under the tag it gives them, or under OpenTelemetry's name."""
    for name, tag in tags.items():
        value = headers.get(name)
        if value is not None:
            attributes[tag or prefix + name] = text(value)
