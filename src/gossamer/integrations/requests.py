"""Requests: a span for each `Session.send`, redirects included."""

from __future__ import annotations

from gossamer.instrument import Call, Integration, SpanStart, http_client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

requests = Integration(
    "requests",
    packages={"requests": ">=2.8"},
    title="Requests",
    service="requests",
    layer=http_client.LAYER,
    docs="https://requests.readthedocs.io",
    page=(">= 2.08", True),
)


def answered(call: Call, response: Any) -> None:
    """Status and headers of the answer."""
    http_client.response(call, response.status_code, response.headers)


@requests.trace("requests.sessions:Session.send", after=answered)
def send(call: Call) -> Optional[SpanStart]:
    """The span of a prepared request; anything else is left to `send`, which refuses it."""
    request = call.argument(0, "request")
    if not hasattr(request, "prepare_headers"):
        return None
    return http_client.request(call, "requests.request", request.method, request.url, request.headers)
