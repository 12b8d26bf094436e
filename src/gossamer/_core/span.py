"""Spans and traces of the pure core, and the active span.

A `Recorder` starts spans; a `Span` records one operation; the `Trace` counts the open spans of this process and hands
the finished ones on as a chunk when none is open. One `ContextVar` says which span is active.

Leaving a span does not reset the variable. Whoever reads it takes the nearest span that is still open, from the stored
one outwards. So it does not matter in which context a generator is closed or whether a task outlives its parent.
"Outwards" follows `enclosing`: what was active where the span began. Mostly that is its parent; a span that was given
another parent (a message's sender, None) is left towards the one it interrupted.
"""

from __future__ import annotations

import os
from _random import Random
from contextvars import ContextVar
from time import perf_counter_ns, time_ns

from .. import _fork
from .context import SpanContext
from .events import ACTIVE, ENTRY, INSIDE, ROOT, moment
from .facts import Facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Dict, List, Optional, Tuple, Type, Union

    from .recorder import Recorder
    from .values import Value

    Parent = Union["Span", SpanContext, None]

__all__ = ["Span", "Trace", "active", "current_span", "set_active"]

_active: ContextVar[Any] = ContextVar("gossamer.active", default=None)
_get_active = _active.get
_set_active = _active.set

# The C generator itself: `random` would import hashlib and OpenSSL for it. Calls are atomic under the GIL.
_random = Random(int.from_bytes(os.urandom(32), "big"))
_getrandbits = _random.getrandbits

_generation = 0  # of forks: traces of an older one belong to the parent process
_offset = time_ns() - perf_counter_ns()
_offset_until = 0
_OFFSET_NS = 1000000000


def _after_fork() -> None:
    global _generation
    _generation += 1
    _random.seed(int.from_bytes(os.urandom(32), "big"))


_fork.in_child(_after_fork)


def offset_at(now: int) -> int:
    """What makes a monotonic time one since the epoch; looked up once a second, as the wall clock is corrected."""
    global _offset, _offset_until
    if now >= _offset_until:
        _offset = time_ns() - perf_counter_ns()
        _offset_until = now + _OFFSET_NS
    return _offset


def new_id() -> int:
    """A number of 64 bits that is not 0."""
    return _getrandbits(64) or 1


class Trace:
    """What the spans of one trace in this process share.

    Attributes:
        trace_id: 128 bits.
        priority: sampling priority (-1, 0, 1, 2), decided at the root; None until then.
        mechanism: how it was decided (0 default, 1 rate of the Agent, 3 rule of the user, 4 by hand).
        rate: the sampling rate that was applied, or None.
        offset: added to the monotonic clock it gives nanoseconds since the epoch.
        random: W3C's random-trace-id flag.
        recording: False for a trace that nobody will be sent: its spans only carry the context.
    """

    __slots__ = (
        "recorder", "trace_id", "priority", "mechanism", "rate", "origin", "tags", "tracestate", "offset",
        "random", "recording", "generation", "_open", "_finished", "_hex",
    )  # fmt: skip

    offset: int

    def __init__(self, recorder: Recorder, trace_id: int) -> None:
        self.recorder = recorder
        self.trace_id = trace_id
        self.priority: Optional[int] = None
        self.mechanism: Optional[int] = None
        self.rate: Optional[float] = None
        self.origin: Optional[str] = None
        self.tags: Optional[Dict[str, str]] = None
        self.tracestate = ""
        self.random = True
        self.recording = True
        self.generation = _generation
        # Containers whose single operations are atomic, so that spans may start and finish in any thread.
        # By id, without the spans: that would be a cycle, and work for the garbage collector.
        self._open: Dict[int, bool] = {}
        self._finished: List[Span] = []
        self._hex = ""

    @property
    def trace_id_hex(self) -> str:
        """The trace id as 32 lower-case hexadecimal digits."""
        found = self._hex
        if not found:
            found = self._hex = "%032x" % self.trace_id
        return found

    def continued(self) -> Trace:
        """The part of this trace that a forked child adds."""
        trace = Trace(self.recorder, self.trace_id)
        for name in ("priority", "mechanism", "rate", "origin", "tags", "tracestate", "offset", "random", "recording"):
            setattr(trace, name, getattr(self, name))
        return trace

    def __copy__(self) -> Trace:
        return self

    def __deepcopy__(self, memo: Any) -> Trace:
        return self

    def __reduce__(self) -> Any:
        raise TypeError("a trace belongs to its process and is not pickled")

    def keep(self, priority: int = 2, mechanism: int = 4) -> None:
        """Set the sampling priority by hand: 2 keeps the trace, -1 drops it. What ended before stays as it is."""
        self.priority = priority
        self.mechanism = mechanism
        self.recording = priority > 0 or self.recorder.keep_unsampled

    def flush(self) -> None:
        """Hand on the finished spans as a chunk; called when no span is open, or when many have piled up."""
        finished = self._finished
        spans: List[Span] = []
        try:
            while finished:
                spans.append(finished.pop())  # one by one: another thread may do the same
        except IndexError:
            pass
        if spans:
            spans.reverse()
            self.recorder.emit(self, spans)


class Span(Facts):
    """One operation: what it is called, when it ran, what is known of it, and how it ended.

    A span is a context manager: it is active inside the block, records an exception that leaves it, and finishes.
    Every method may be called with anything at any time; nothing is raised, and a finished span no longer changes.

    Attributes:
        name: the operation ("flask.request"), the same for all calls of that kind.
        resource: what was operated on ("GET /users/<id>"); None: the same as the name.
        service: None: the application's.
        type: Datadog's span type ("web", "sql", "cache", "http", "worker", "template"), or None.
        kind: "internal", "server", "client", "producer" or "consumer".
        attributes: by OpenTelemetry's names.
        duration: nanoseconds; None while the span is open.
        error: whether the operation failed; `status_message` says why.
        parent: the span of this process that caused it, None for a local root.
        enclosing: what is active again after it.
        parent_id: its id, or that of the remote parent; 0 for the root of the whole trace.
    """

    __slots__ = (
        "recorder", "parent_id", "parent", "enclosing", "name", "resource", "service", "type", "kind", "integration",
        "layer", "live", "_start", "__weakref__",
    )  # fmt: skip

    parent_id: int
    parent: Optional[Span]
    enclosing: Any
    _start: int

    def __init__(
        self,
        recorder: Recorder,
        name: str,
        resource: Optional[str] = None,
        service: Optional[str] = None,
        type: Optional[str] = None,
        kind: str = "internal",
        attributes: Optional[Dict[str, Value]] = None,
        integration: Optional[str] = None,
        layer: Optional[str] = None,
    ) -> None:
        self.recorder = recorder
        self.name = name
        self.resource = resource
        self.service = service
        self.type = type
        self.kind = kind
        self.attributes = {} if attributes is None else attributes
        self.integration = integration
        self.layer = layer
        self.duration = None
        self.error = False
        self.status_message = ""
        self.events = None
        self.links = None
        self.live = False
        self.span_id = 0

    # -- life -----------------------------------------------------------------------------------------------------

    def begin(self, parent: Any = ACTIVE, activate: bool = True, start_time: Optional[int] = None) -> Span:
        """Start the clock, take the place under `parent` (None: a new trace), and become the active span."""
        if parent is ACTIVE:
            enclosing = parent = _get_active()
            if parent is not None and not parent.live:
                enclosing = parent.enclosing
                if enclosing is not None and enclosing is not _LATE and enclosing.live:
                    parent = enclosing  # the next one in a row of children
                else:
                    parent, enclosing = _late(parent)
        else:
            enclosing = _open_from(_get_active()) if activate else None
        self.enclosing = enclosing
        self.span_id = _getrandbits(64) or 1
        if parent is not None and parent.__class__ is not SpanContext:
            trace: Trace = parent.trace
            if trace.generation != _generation:
                trace = trace.continued()
            self.trace = trace
            self.parent = parent
            self.parent_id = parent.span_id
            self.baggage = parent.baggage
            now = perf_counter_ns()
        else:
            now = perf_counter_ns()
            trace = self.recorder.open_trace(self, parent, now)
        self._start = now if start_time is None else moment(start_time, now + trace.offset) - trace.offset
        self.live = True
        trace._open[self.span_id] = True
        if activate:
            _set_active(self)
        return self

    def finish(self, end_time: Optional[int] = None) -> None:
        """End the span now, or at `end_time` (nanoseconds since the epoch). Only the first call counts."""
        if self.duration is not None or not self.span_id:
            return
        now = perf_counter_ns()
        trace = self.trace
        opened = trace._open
        if opened.pop(self.span_id, None) is None:
            return  # another thread was first
        if end_time is not None:
            now = moment(end_time, now + trace.offset) - trace.offset
        duration = now - self._start
        self.duration = duration if duration > 0 else 0
        self.live = False
        if self.parent is None:
            stored = _get_active()
            if stored is not None and stored.__class__ is not SpanContext:
                # In a forked child the same trace has a second object.
                if stored.trace is trace or (trace.generation != _generation and stored.trace_id == trace.trace_id):
                    enclosing = self.enclosing
                    _set_active(None if enclosing is None else _open_from(enclosing))
        if trace.generation != _generation:
            return  # of the process that forked this one, which will send it
        if trace.recording:
            finished = trace._finished
            if not opened and not finished:
                recorder = self.recorder
                if recorder.processors:
                    recorder.emit(trace, [self])
                else:
                    recorder.put(trace, [self])
                return
            finished.append(self)
            if not opened or len(finished) >= self.recorder.partial_flush_min_spans:
                trace.flush()
        elif not opened:
            trace.flush()  # what was recorded before the decision to drop

    def __enter__(self) -> Span:
        if not self.span_id:
            self.begin()
        elif self.live:
            _set_active(self)
        return self

    def __exit__(
        self,
        error_type: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if error is not None:
            try:
                self.fail(error)
            except Exception:  # an exception class that overrides more than one could foresee
                self.error = True
        self.finish()

    def detach(self) -> None:
        """Stay open, but no longer be the active span here: for work that goes on elsewhere (a streamed body).

        Contexts that were copied from this one keep it: tasks and threads that were started inside remain its children.
        """
        stored = _get_active()
        while stored is not None and stored.__class__ is not SpanContext:
            if stored is self:
                _set_active(_open_from(self.enclosing))
                return
            stored = stored.enclosing

    # -- reading --------------------------------------------------------------------------------------------------

    @property
    def start_time(self) -> int:
        """Nanoseconds since the epoch; 0 before the span began."""
        return self._start + self.trace.offset if self.span_id else 0

    @property
    def trace_id(self) -> int:
        """128 bits; 0 before the span began."""
        return self.trace.trace_id if self.span_id else 0

    @property
    def span_id_hex(self) -> str:
        """The span id as 16 lower-case hexadecimal digits."""
        return "%016x" % self.span_id

    @property
    def role(self) -> int:
        """`ROOT`: without a parent in this process; `ENTRY`: under a span of another service; `INSIDE`: all others."""
        parent = self.parent
        if parent is None or parent.trace is not self.trace:  # the second: of the process that forked this one
            return ROOT
        service = self.service
        if parent.service == service:
            return INSIDE
        default = self.recorder.service
        return INSIDE if (parent.service or default) == (service or default) else ENTRY

    @property
    def local_root(self) -> Span:
        """The outermost span of this trace in this process that encloses this one."""
        span = self
        while span.parent is not None and span.parent.trace is self.trace:
            span = span.parent
        return span

    @property
    def recording(self) -> bool:
        """False when nothing that is set will be sent."""
        return self.duration is None and (not self.span_id or self.trace.recording)

    def __copy__(self) -> Span:
        return self

    def __deepcopy__(self, memo: Any) -> Span:
        return self

    def __reduce__(self) -> Any:
        raise TypeError("a span belongs to its process and is not pickled; its `context` is")

    def __repr__(self) -> str:
        if not self.span_id:
            return "<Span %s, not begun>" % self.name
        return "<Span %s %016x of trace %032x>" % (self.name, self.span_id, self.trace_id)


_LATE: Any = object()
"""As what encloses a span: nothing was open any more when it began."""


def _open_from(enclosing: Any) -> Any:
    """The nearest that is open, from `enclosing` outwards, or None."""
    while enclosing is not None and enclosing is not _LATE:
        if enclosing.live:
            return enclosing
        enclosing = enclosing.enclosing
    return None


def _late(stored: Any) -> Tuple[Any, Any]:
    """The parent of what begins although `stored` has ended, and what will enclose it.

    That is the nearest open span. If none is open, late work keeps its parent: it is `stored`, but not when `stored`
    began late itself. Then it is the parent of that, or else each span would become the child of the last one.
    """
    span = stored
    while span is not None:
        if span.live:
            return span, span
        enclosing = span.enclosing
        if enclosing is _LATE:
            return span.parent, _LATE
        span = enclosing
    return stored, _LATE


def active() -> Union[Span, SpanContext, None]:
    """What a span that starts now would have as its parent."""
    stored = _get_active()
    return stored if stored is None or stored.live else _late(stored)[0]  # type: ignore[no-any-return]


def current_span() -> Optional[Span]:
    """The span that is active here, or None."""
    found = active()
    return None if found.__class__ is SpanContext else found  # type: ignore[return-value]


def set_active(parent: Parent) -> Parent:
    """Make `parent` the active span or context, unconditionally; answers what was stored before."""
    stored = _get_active()
    _set_active(parent)
    return stored  # type: ignore[no-any-return]
