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

# What makes a monotonic time one since the epoch, and the upper half of new trace ids: the seconds since the epoch.
# Looked up once a second, when the seconds change, as the wall clock is corrected.
_offset = 0
_upper = 0
_until = -1
_SECOND = 1000000000


def _after_fork() -> None:
    global _generation
    _generation += 1
    _random.seed(int.from_bytes(os.urandom(32), "big"))


_fork.in_child(_after_fork)


def _look_at_clock() -> None:
    global _offset, _upper, _until
    wall, now = time_ns(), perf_counter_ns()
    _offset = wall - now
    _upper = (wall // _SECOND & 0xFFFFFFFF) << 96
    _until = now + _SECOND - wall % _SECOND


class Trace:
    """What the spans of one trace in this process share: a new one, or the continuation of a `remote` one.

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

    def __init__(self, recorder: Recorder, now: int, remote: Optional[SpanContext] = None) -> None:
        if now >= _until:
            _look_at_clock()
        self.recorder = recorder
        self.offset = _offset
        self.generation = _generation
        # Containers whose single operations are atomic, so that spans may start and finish in any thread.
        # By id, without the spans: that would be a cycle, and work for the garbage collector. `_NONE` holds the
        # finished ones, from the second span on: most traces of one span never need that list.
        self._open: Dict[int, Any] = {}
        self._finished: Optional[List[Span]] = None
        if remote is None or not remote.trace_id:
            low = _getrandbits(64) or 1
            self.trace_id: int = _upper | low if recorder.ids_128 else low
            self.priority: Optional[int] = None
            self.origin: Optional[str] = None
            self.tags: Optional[Dict[str, str]] = None
            self.tracestate = ""
            self.random = True
        else:
            self.trace_id = remote.trace_id
            self.priority = remote.priority
            self.origin = remote.origin
            self.tags = remote.tags
            self.tracestate = remote.tracestate
            self.random = remote.random
        self.mechanism: Optional[int] = None
        self.rate: Optional[float] = None
        self.recording: bool = recorder.enabled
        if self.priority is None and recorder.decision is not None and recorder.enabled:
            self.priority, self.mechanism, self.rate = recorder.decision

    @property
    def trace_id_hex(self) -> str:
        """The trace id as 32 lower-case hexadecimal digits."""
        try:
            return self._hex
        except AttributeError:  # asked for the first time: most traces never are
            self._hex: str = "%032x" % self.trace_id
            return self._hex

    def continued(self) -> Trace:
        """The part of this trace that a forked child adds."""
        trace = Trace(self.recorder, 0)
        for name in (
            "trace_id", "priority", "mechanism", "rate", "origin", "tags", "tracestate", "random", "offset",
            "recording",
        ):  # fmt: skip
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
        parent: the span of this process that caused it, None for a local root. Before the span begins: the parent that
            it was given.
        enclosing: what is active again after it.
        parent_id: its id, or that of the remote parent; 0 for the root of the whole trace.
    """

    __slots__ = (
        "recorder", "parent_id", "parent", "enclosing", "name", "resource", "service", "type", "kind", "integration",
        "layer", "live", "_start", "__weakref__",
    )  # fmt: skip

    parent_id: int
    parent: Any
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
        parent: Any = ACTIVE,
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
        self.parent = parent
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
        self.parent = parent
        return self.__enter__(activate, start_time)

    def finish(self, end_time: Optional[int] = None) -> None:
        """End the span now, or at `end_time` (nanoseconds since the epoch). Only the first call counts."""
        self.__exit__(None, None, None, end_time)

    # Calls are what a span costs most. So these two do all of the work themselves, for whoever begins or ends a span.

    def __enter__(self, activate: bool = True, start_time: Optional[int] = None) -> Span:
        if self.span_id:
            if self.live:
                _set_active(self)
            return self
        parent = self.parent
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
        self.span_id = span_id = _getrandbits(64) or 1
        if parent is None:
            now = perf_counter_ns()
            self.trace = trace = Trace(self.recorder, now)
            self.parent = self.baggage = None
            self.parent_id = 0
            if trace.priority != 1:
                self._decide_first(trace)
        elif parent.__class__ is SpanContext:
            now = perf_counter_ns()
            self.trace = trace = Trace(self.recorder, now, parent)
            self.parent = None
            self.parent_id = parent.span_id if parent.trace_id else 0
            self.baggage = parent.baggage or None
            if parent.trace_id:
                for link in parent.links:
                    self.add_link(link.context, link.attributes)
            self._decide_first(trace)
        else:
            trace = parent.trace
            if trace.generation != _generation:
                trace = trace.continued()
            self.trace = trace
            self.parent = parent
            self.parent_id = parent.span_id
            self.baggage = parent.baggage
            now = perf_counter_ns()
        self._start = now if start_time is None else moment(start_time, now + trace.offset) - trace.offset
        trace._open[span_id] = self.live = True
        if activate:
            _set_active(self)
        return self

    def __exit__(
        self,
        error_type: Optional[Type[BaseException]] = None,
        error: Optional[BaseException] = None,
        traceback: Optional[TracebackType] = None,
        end_time: Optional[int] = None,
    ) -> None:
        if error is not None:
            try:
                self.fail(error)
            except Exception:  # an exception class that overrides more than one could foresee
                self.error = True
        if not self.live:
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
            if stored is not None and (stored is self or _same(stored, trace)):
                enclosing = self.enclosing
                _set_active(None if enclosing is None else _open_from(enclosing))
        if trace.generation != _generation:
            return  # of the process that forked this one, which will send it
        if not opened and trace.recording:  # nor has any other span ended before
            recorder = self.recorder
            if recorder.processors:
                recorder.emit(trace, [self])
            else:
                recorder.buffer.put(self)
            return
        finished = trace._finished
        if finished is None:
            finished = trace._finished = opened.setdefault(_NONE, [])  # atomic: all threads get the same list
        if trace.recording:
            finished.append(self)
            if len(opened) == 1 or len(finished) >= self.recorder.partial_flush_min_spans:
                trace.flush()
        elif len(opened) == 1:
            trace.flush()  # what was recorded before the decision to drop

    def _decide_first(self, trace: Trace) -> None:
        """Let the sampler decide on the trace that this span begins, if nobody else has."""
        recorder = self.recorder
        if not recorder.enabled:
            return
        if trace.priority is None and recorder.sampler is not None:
            try:
                recorder.sampler(trace, self)
            except Exception:
                trace.priority = 1
        if trace.priority is not None and trace.priority <= 0:
            trace.recording = recorder.keep_unsampled

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


_NONE = 0
"""The id of no span; in `Trace._open`, the key of the finished ones."""

_LATE: Any = object()
"""As what encloses a span: nothing was open any more when it began."""


def _same(stored: Any, trace: Trace) -> bool:
    """Whether the active span is of this trace; in a forked child the same trace has a second object."""
    if stored.__class__ is SpanContext:
        return False
    return stored.trace is trace or (trace.generation != _generation and stored.trace_id == trace.trace_id)


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
