"""HTTPX: a span for each request of a client, sync or async, redirects included.

The span of a streamed answer ends when its headers are here, as the body is read by the caller when it likes.
"""

from __future__ import annotations

from gossamer.instrument import Call, Integration, http_client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gossamer.instrument import Fields

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
def send(call: Call) -> Fields:
    """The span of a request."""
    request = call.argument(0, "request")
    headers = request.headers
    return http_client.request_fields(call, "http.request", request.method, request.url, headers, carrier(headers))


def carrier(headers: Any) -> Any:
    """What the context is put into. Their own assignment looks through all of them each time, so we look but once."""
    try:
        items = headers._list  # (name, name in lower case, value), each in bytes
        present = {lower for _, lower, _ in items}
    except Exception:
        return headers

    def put(name: str, value: str) -> None:
        key = name.encode("ascii")
        if key in present:
            headers[name] = value
        else:
            items.append((key, key, value.encode("ascii")))

    return put
