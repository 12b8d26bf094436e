"""What is recorded of a span besides its times: attributes, events, links, errors, baggage."""

from __future__ import annotations

from time import perf_counter_ns, time_ns

from .context import SpanContext
from .errors import describe
from .events import MAX_EVENTS, MAX_LINKS, MAX_MESSAGE, Event, Link, moment, plain
from .values import MAX_KEY, MAX_VALUE, coerce, text, value_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Mapping, Optional

    from .pure import Trace
    from .values import Value

_DECISIONS = frozenset(("manual.keep", "manual.drop"))


class Facts:
    """The half of `Span` that describes an operation; the other half is its life."""

    __slots__ = (
        "trace", "span_id", "duration", "attributes", "error", "status_message", "events", "links", "baggage",
    )  # fmt: skip

    trace: Trace
    span_id: int
    duration: Optional[int]
    attributes: Dict[str, Value]
    error: bool
    status_message: str
    events: Optional[List[Event]]
    links: Optional[List[Link]]
    baggage: Optional[Dict[str, str]]

    @property
    def context(self) -> SpanContext:
        """What a carrier, a link or another process needs to refer to this span; ids of 0 before it began."""
        if not self.span_id:
            return SpanContext(0, 0)
        trace = self.trace
        context = SpanContext(
            trace.trace_id, self.span_id, trace.priority, trace.origin, trace.tags, trace.tracestate, self.baggage
        )
        context.random = trace.random
        return context

    def set_attribute(self, key: str, value: object) -> None:
        """Set one attribute. Values: str, bool, int, float, bytes, sequences of them; others by their `str()`.

        `manual.keep` and `manual.drop` (with a true value) decide on the sampling of the whole trace instead.
        """
        if self.duration is not None:
            return
        # `type`, not `__class__`: objects may lie about the latter (mocks do).
        if type(key) is not str or len(key) > MAX_KEY:
            key = text(key, MAX_KEY)
        kind = type(value)
        if kind is str:
            if len(value) > MAX_VALUE:  # type: ignore[arg-type]
                value = value[:MAX_VALUE]  # type: ignore[index]
        elif kind is not int and kind is not float and kind is not bool:
            if value is None:
                return
            value = coerce(value)
        if key in _DECISIONS and self._decide(key, value):
            return
        self.attributes[key] = value  # type: ignore[assignment]

    def set_attributes(self, attributes: Mapping[str, object]) -> None:
        """Set several attributes, each as `set_attribute` does."""
        try:
            items = [(key, value) for key, value in attributes.items()]
        except Exception:
            return
        for key, value in items:
            self.set_attribute(key, value)

    def _decide(self, key: str, value: object) -> bool:
        if not self.span_id:
            return False
        if value and value != "false":
            self.trace.keep(2 if key == "manual.keep" else -1)
        return True

    def add_event(
        self, name: str, attributes: Optional[Mapping[str, object]] = None, time: Optional[int] = None
    ) -> None:
        """Add an event, now or at `time` (nanoseconds since the epoch). At most 128 are kept."""
        if self.duration is not None:
            return
        events = self.events
        if events is None:
            events = self.events = []
        if len(events) < MAX_EVENTS:
            # On the clock of the trace, so that the event lies within the span whatever the wall clock does.
            now = perf_counter_ns() + self.trace.offset if self.span_id else time_ns()
            events.append(Event(text(name, MAX_KEY), now if time is None else moment(time, now), plain(attributes)))

    def add_link(self, context: SpanContext, attributes: Optional[Mapping[str, object]] = None) -> None:
        """Refer to another span by its context (a `Span` will do as well). At most 128 are kept."""
        kind = type(context)
        if issubclass(kind, Facts):
            context = context.context
        elif not issubclass(kind, SpanContext):
            return
        if self.duration is not None or not context.trace_id:
            return
        links = self.links
        if links is None:
            links = self.links = []
        if len(links) < MAX_LINKS:
            links.append(Link(context, plain(attributes)))

    def record_exception(self, error: BaseException, attributes: Optional[Mapping[str, object]] = None) -> None:
        """Keep type, message and stack of `error` as an event; the span does not count as failed for it."""
        if self.duration is None and issubclass(type(error), BaseException):
            facts = describe(error)
            facts.update(plain(attributes))
            self.add_event("exception", facts)

    def set_error(self, error: object = None) -> None:
        """Mark the operation as failed; `error` is an exception, which is recorded, or a message."""
        if self.duration is not None:
            return
        self.error = True
        if issubclass(type(error), BaseException):
            self.record_exception(error)  # type: ignore[arg-type]
        if error is not None:
            self.status_message = text(error, MAX_MESSAGE)

    def fail(self, error: BaseException) -> None:
        """Judge an exception that leaves the operation: most are errors, leaving early is not."""
        if not isinstance(error, Exception):
            if isinstance(error, GeneratorExit) or (isinstance(error, SystemExit) and not error.code):
                return
            if error.__class__.__name__ == "CancelledError":
                self.set_attribute("cancelled", True)
                return
        elif error.__class__.__name__ == "CancelledError":  # an Exception before Python 3.8
            self.set_attribute("cancelled", True)
            return
        self.set_error(error)

    def set_baggage(self, key: str, value: str) -> None:
        """Give `key` to this span's later children, here and in the processes called."""
        if self.span_id:
            baggage = dict(self.baggage) if self.baggage else {}
            baggage[text(key)] = text(value)
            self.baggage = baggage

    def extra_size(self) -> int:
        """Estimated bytes of events and links."""
        size = 0
        for part in (*(self.links or ()), *(self.events or ())):
            size += 400 + sum(100 + value_bytes(value) for value in part.attributes.values())
        return size
