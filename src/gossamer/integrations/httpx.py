"""HTTPX: a span for each request of a client, sync or async, redirects included.

The span of a streamed answer ends when its headers are here, as the body is read by the caller when it likes.
"""

from __future__ import annotations

from gossamer.instrument import Call, Integration, SpanStart, http_client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

httpx = Integration(
    "httpx",
    packages={"httpx": ">=0.18"},
    title="HTTPX",
    layer=http_client.LAYER,
    docs="https://www.python-httpx.org",
)


def answered(call: Call, response: Any) -> None:
    """Status and headers of the answer."""
    http_client.response(call, response.status_code, response.headers)


@httpx.trace("httpx._client:Client.send", after=answered)
@httpx.trace("httpx._client:AsyncClient.send", after=answered)
def send(call: Call) -> SpanStart:
    """The span of a request."""
    request = call.argument(0, "request")
    return http_client.request(call, "http.request", request.method, request.url, request.headers)
