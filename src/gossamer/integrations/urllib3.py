"""urllib3: a span for each request of a connection pool, retries included; `PoolManager` asks one pool for each hop."""

from __future__ import annotations

from gossamer.instrument import Call, Integration, deferred, http_client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gossamer.instrument import Fields

urllib3 = Integration(
    "urllib3",
    packages={"urllib3": ">=1.22"},
    title="urllib3",
    service="urllib3",
    layer=http_client.LAYER,
    docs="https://urllib3.readthedocs.io",
    page=(">= 1.22", False),
)


def answered(call: Call, response: Any) -> None:
    """Status and headers of the answer."""
    deferred.settle(call.span)
    http_client.response(call, response.status, response.headers)


def failed(call: Call, error: BaseException) -> None:
    """Nothing is to be written any more."""
    deferred.settle(call.span)


@urllib3.trace("urllib3.connectionpool:HTTPConnectionPool.urlopen", after=answered, failed=failed)
def urlopen(call: Call) -> Fields:
    """The span of a request, which goes out with headers of its own: those given belong to the caller."""
    pool = call.instance
    url = call.argument(1, "url")
    if url[:1] == "/":
        host, port = pool.host, pool.port
        if ":" in host and host[:1] != "[":
            host = "[%s]" % host
        url = pool.scheme + "://" + host + (":%d" % port if port else "") + url
    headers = call.argument(3, "headers")
    if headers is None:
        headers = pool.headers
    carrier = deferred.LATER
    if not deferred.writes(getattr(pool.ConnectionCls, "endheaders", None)):
        headers = carrier = {} if headers is None else headers.copy() if hasattr(headers, "copy") else dict(headers)
        call.replace(3, "headers", headers)
    return http_client.request_fields(call, "urllib3.request", call.argument(0, "method"), url, headers, carrier)
