"""What both cores share: events, links, times given by users, and a few marks."""

from __future__ import annotations

from .values import MAX_KEY, coerce, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Mapping, Optional

    from .context import SpanContext
    from .values import Value

MAX_EVENTS = 128
MAX_LINKS = 128
MAX_MESSAGE = 1000
_LATEST = 2**63

INSIDE, ENTRY, ROOT = 0, 1, 2
"""Roles of a span: under a span of the same service; under one of another; without a parent in this process."""

ACTIVE: Any = object()
"""As the parent of a span: the span that is active now."""


class Event:
    """Something that happened at one moment of a span. Time: nanoseconds since the epoch."""

    __slots__ = ("name", "time", "attributes")

    def __init__(self, name: str, time: int, attributes: Dict[str, Value]) -> None:
        self.name = name
        self.time = time
        self.attributes = attributes


class Link:
    """A reference from a span to another one that is not its parent."""

    __slots__ = ("context", "attributes")

    def __init__(self, context: SpanContext, attributes: Dict[str, Value]) -> None:
        self.context = context
        self.attributes = attributes


def plain(attributes: Optional[Mapping[str, object]]) -> Dict[str, Value]:
    """Attributes as they are kept; none where they are no mapping."""
    if attributes is None:
        return {}
    try:
        return {text(key, MAX_KEY): coerce(value) for key, value in attributes.items() if value is not None}
    except Exception:
        return {}


def moment(time: object, default: int) -> int:
    """A user's time, nanoseconds since the epoch, as an integer; `default` for what is no time."""
    try:
        moment = int(time + 0)  # type: ignore[operator]  # a text is no time
    except Exception:
        return default
    return moment if 0 <= moment < _LATEST else default
