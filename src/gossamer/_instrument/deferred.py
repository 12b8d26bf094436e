"""Trace contexts that go out where the head of a request is written, not in the headers that a caller hands on.

What is put into the headers of requests or urllib3 passes through each library below, which copies, checks and encodes
one header after the other; for all of ours that costs more than the span. Under http.client they become one piece of
bytes at the end. So a handler may give `LATER` as the carrier, if `possible()`; its `after` and `failed` ask `settle`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

    from .._core import Span
    from .status import Site

LATER: Any = object()

# id of an open span -> whether its context has been written. `settle` takes the span out before it can go.
_waiting: Dict[int, bool] = {}
_writer: Any = None
_function: Any = None


def set_writer(site: Site, function: Any) -> None:
    """The hook that writes for others is in, as `function`; where it is `off`, it does not."""
    global _writer, _function
    _writer, _function = site, function


def possible() -> bool:
    """Whether there is somebody to write."""
    return _writer is not None and not _writer.off


def writes(function: Any) -> bool:
    """Whether `function` is who writes."""
    return function is _function and possible()


def wait(span: Span) -> None:
    """Let the context of `span` be written later."""
    _waiting[id(span)] = False


def take(span: Any) -> bool:
    """Whether the context of the active `span` is to be written now: once for each attempt and each redirect."""
    key = id(span)
    if key not in _waiting:
        return False
    _waiting[key] = True
    return True


def settle(span: Span) -> bool:
    """Forget `span`, whose call is over; False: nobody has written its context."""
    return _waiting.pop(id(span), True)
