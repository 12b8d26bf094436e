"""Requests: a span for each `Session.send`, redirects included."""

from __future__ import annotations

from gossamer.instrument import Call, Integration, deferred, http_client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

    from gossamer.instrument import Fields

requests = Integration(
    "requests",
    packages={"requests": ">=2.8"},
    title="Requests",
    service="requests",
    layer=http_client.LAYER,
    docs="https://requests.readthedocs.io",
    page=(">= 2.08", True),
)


# Classes of adapters -> whether they send through http.client: what is no `HTTPAdapter` may send in any way.
_over_http_client: Dict[type, bool] = {}
_MAX_CLASSES = 100


def answered(call: Call, response: Any) -> None:
    """Status and headers of the answer."""
    if not deferred.settle(call.span):
        # It did not come through http.client, whatever the adapters are called.
        for adapter in call.instance.adapters.values():
            _over_http_client[adapter.__class__] = False
    http_client.response(call, response.status_code, response.headers)


def failed(call: Call, error: BaseException) -> None:
    """Nothing is to be written any more."""
    deferred.settle(call.span)


@requests.trace("requests.sessions:Session.send", after=answered, failed=failed)
def send(call: Call) -> Optional[Fields]:
    """The span of a prepared request; anything else is left to `send`, which refuses it."""
    request = call.argument(0, "request")
    if not hasattr(request, "prepare_headers"):
        return None
    headers = request.headers
    carrier = deferred.LATER if deferred.possible() and _defers(call.instance) else headers
    return http_client.request_fields(call, "requests.request", request.method, request.url, headers, carrier)


def _defers(session: Any) -> bool:
    for adapter in session.adapters.values():
        kind = adapter.__class__
        known = _over_http_client.get(kind)
        if known is None:
            if len(_over_http_client) >= _MAX_CLASSES:
                _over_http_client.clear()
            known = _over_http_client[kind] = _sends_itself(kind)
        if not known:
            return False
    return True


def _sends_itself(kind: type) -> bool:
    from requests.adapters import HTTPAdapter

    return issubclass(kind, HTTPAdapter) and getattr(kind, "send", None) is HTTPAdapter.send
