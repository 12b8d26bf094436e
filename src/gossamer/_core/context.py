"""What crosses a process boundary of a trace: ids, the sampling decision, baggage."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional, Tuple


class SpanContext:
    """The propagated identity of a span.

    Attributes:
        trace_id: 128 bits; 0 for a context that carries nothing but baggage.
        span_id: 64 bits; 0 when only the id of the trace was decided elsewhere.
        priority: Datadog's sampling priority (-1 user drop, 0 drop, 1 keep, 2 user keep), None when undecided.
        origin: Datadog's origin of the trace ("synthetics", "rum", ...), or None.
        tags: propagated trace tags by their Datadog names (`_dd.p.*`), without the trace id's upper half.
        tracestate: the W3C `tracestate` members of other vendors, as received.
        baggage: key-value pairs of the application.
        is_remote: whether the context was extracted from a message of another process.
        random: W3C's random-trace-id flag: the lower 56 bits of the trace id are random.
        links: to spans of other traces that the same message named; the first span here takes them over.
    """

    __slots__ = (
        "trace_id", "span_id", "priority", "origin", "tags", "tracestate", "baggage", "is_remote", "random", "links",
    )  # fmt: skip

    live = True  # stands where an open span may stand: it is a parent as long as it is active
    layer = None  # so that who asks the active span or context for it need not look which of them it is

    def __init__(
        self,
        trace_id: int,
        span_id: int,
        priority: Optional[int] = None,
        origin: Optional[str] = None,
        tags: Optional[Dict[str, str]] = None,
        tracestate: str = "",
        baggage: Optional[Dict[str, str]] = None,
        is_remote: bool = False,
    ) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.priority = priority
        self.origin = origin
        self.tags = tags or {}
        self.tracestate = tracestate
        self.baggage = baggage or {}
        self.is_remote = is_remote
        self.random = False
        self.links: Tuple[Any, ...] = ()

    @property
    def trace_id_hex(self) -> str:
        """The trace id as 32 lower-case hexadecimal digits."""
        return "%032x" % self.trace_id

    @property
    def span_id_hex(self) -> str:
        """The span id as 16 lower-case hexadecimal digits."""
        return "%016x" % self.span_id

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SpanContext):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        return hash((self.trace_id, self.span_id))

    def __repr__(self) -> str:
        return "SpanContext(trace_id=%s, span_id=%s, priority=%r)" % (
            self.trace_id_hex,
            self.span_id_hex,
            self.priority,
        )
