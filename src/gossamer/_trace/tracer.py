"""The tracer: what user code and the instrumentation start spans with."""

from __future__ import annotations

from typing import overload

from .._core import ACTIVE, Recorder, Span, SpanContext, active, current_span, set_active
from .._core.values import MAX_KEY, coerce, text
from .decorate import decorate
from .propagation import Propagation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Callable, Dict, Mapping, Optional, Type, TypeVar, Union

    from typing_extensions import ParamSpec

    from .._core.pure import Parent, Processor
    from .._core.values import Value

    P = ParamSpec("P")
    R = TypeVar("R")
    F = TypeVar("F", bound=Callable[..., Any])

KINDS = frozenset(("internal", "server", "client", "producer", "consumer"))


class TraceScope(Span):
    """What `trace(...)` answers: a span that begins on `with`, or a decorator that gives each call a span."""

    __slots__ = ("_parent",)
    _parent: Parent

    def __enter__(self) -> TraceScope:
        if not self.span_id:
            self.name = self.name or "trace"
            self.begin(self._parent)
        elif self.live:
            set_active(self)
        return self

    async def __aenter__(self) -> TraceScope:
        return self.__enter__()

    async def __aexit__(
        self,
        error_type: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.__exit__(error_type, error, traceback)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function, coroutine function, generator function or async generator function."""
        if not callable(function):
            raise TypeError("gossamer.trace decorates functions, not %s" % type(function).__name__)
        recorder, attributes = self.recorder, self.attributes
        name = self.name or getattr(function, "__qualname__", None) or type(function).__name__
        facts = (self.resource, self.service, self.type, self.kind)

        def make() -> Span:
            return Span(recorder, name, *facts, attributes=dict(attributes) if attributes else None)

        return decorate(function, make, self._parent)


class Activation:
    """A context manager under which a span or a remote context is active; what was before is active again after it."""

    __slots__ = ("_parent", "_before")

    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self._before: Parent = None

    def __enter__(self) -> Parent:
        self._before = set_active(self._parent)
        return self._parent

    def __exit__(self, *exception: object) -> None:
        set_active(self._before)


class Tracer:
    """Starts spans and carries their context over process boundaries.

    There is one for a process, `gossamer.tracer`; more are made in tests only.
    """

    def __init__(self, recorder: Optional[Recorder] = None, propagation: Optional[Propagation] = None) -> None:
        self.recorder = Recorder() if recorder is None else recorder
        self.propagation = Propagation() if propagation is None else propagation

    @overload
    def trace(self, name: Callable[P, R]) -> Callable[P, R]: ...

    @overload
    def trace(
        self,
        name: str = "",
        *,
        resource: Optional[str] = None,
        service: Optional[str] = None,
        type: Optional[str] = None,
        kind: str = "internal",
        attributes: Optional[Mapping[str, object]] = None,
        parent: Parent = ACTIVE,
    ) -> TraceScope: ...

    def trace(
        self,
        name: Any = "",
        *,
        resource: Optional[str] = None,
        service: Optional[str] = None,
        type: Optional[str] = None,
        kind: str = "internal",
        attributes: Optional[Mapping[str, object]] = None,
        parent: Parent = ACTIVE,
    ) -> Any:
        """Trace a block or a function.

        `with trace("checkout") as span: ...` opens a span for the block, active inside it, `async with` as well.
        `@trace("price")` or `@trace` gives every call a span: of functions, coroutine functions, generator functions
        and async generator functions (theirs lasts until they are exhausted or closed). An exception that leaves the
        block or the call is recorded and goes on unchanged.

        Args:
            name: the operation name, the same for all calls of a kind. Default for functions: their qualified name.
            resource: what is operated on; of low cardinality. Default: the name.
            service: default: the application's (`DD_SERVICE`).
            type: Datadog's span type: "web", "http", "sql", "cache", "worker", "template" ...
            kind: "internal" (default), "server", "client", "producer" or "consumer".
            attributes: by OpenTelemetry's names where these have one.
            parent: a span or a `SpanContext`; None begins a new trace. Default: the active span.
        """
        if callable(name) and not isinstance(name, str):
            return self._scope("", None, None, None, "internal", None, ACTIVE)(name)
        return self._scope(name, resource, service, type, kind, attributes, parent)

    def _scope(
        self,
        name: object,
        resource: object,
        service: object,
        type: object,
        kind: object,
        attributes: Optional[Mapping[str, object]],
        parent: Any,
    ) -> TraceScope:
        scope = TraceScope(
            self.recorder,
            name if name.__class__ is str else text(name, MAX_KEY),
            resource if resource is None or resource.__class__ is str else text(resource),
            service if service is None or service.__class__ is str else text(service, MAX_KEY),
            type if type is None or type.__class__ is str else text(type, MAX_KEY),
            kind if kind.__class__ is str and kind in KINDS else "internal",
            _attributes(attributes) if attributes else None,
        )
        scope._parent = parent if parent is ACTIVE else _parent(parent)
        return scope

    def start_span(
        self,
        name: str,
        *,
        parent: Parent = ACTIVE,
        resource: Optional[str] = None,
        service: Optional[str] = None,
        type: Optional[str] = None,
        kind: str = "internal",
        attributes: Optional[Mapping[str, object]] = None,
        activate: bool = False,
        start_time: Optional[int] = None,
    ) -> Span:
        """Begin a span that the caller finishes with `span.finish()`.

        Args:
            activate: whether spans that start after it become its children. Default False.
            start_time: nanoseconds since the epoch. Default: now.

        The other arguments are those of `trace`.
        """
        scope = self._scope(name, resource, service, type, kind, attributes, parent)
        return scope.begin(scope._parent, bool(activate), start_time)

    def current_span(self) -> Optional[Span]:
        """The active span of this thread, task or greenlet, or None."""
        return current_span()

    def activate(self, parent: Parent) -> Activation:
        """`with tracer.activate(span_or_context):` makes it the parent of what starts inside; None: of nothing."""
        return Activation(_parent(parent))

    def inject(self, carrier: Any, span: Union[Span, SpanContext, None] = None) -> None:
        """Write the context of `span` (default: the active one) into the headers `carrier`, a mutable mapping."""
        found = active() if span is None else span
        if found is not None:
            self.propagation.inject(found, carrier)

    def extract(self, carrier: Any) -> Optional[SpanContext]:
        """The context that the headers `carrier` continue, or None. Malformed headers are as none."""
        return self.propagation.extract(carrier)

    def add_processor(self, processor: Processor) -> None:
        """Let `processor` see the finished spans of a trace before they are written.

        It gets and answers a list of spans; fewer, or None, leaves out the rest. It may change them through their
        attributes (`span.attributes`, `span.resource` ...). One that raises is counted and passed over.
        """
        if not callable(processor):
            raise TypeError("a span processor is a function of a list of spans, not %s" % type(processor).__name__)
        self.recorder.processors += (processor,)

    def remove_processor(self, processor: Processor) -> None:
        """Undo `add_processor`; unknown ones are no error."""
        self.recorder.processors = tuple(known for known in self.recorder.processors if known != processor)


def _parent(parent: Any) -> Parent:
    """A usable parent: a begun span or a context; anything else stands for no parent."""
    if isinstance(parent, SpanContext):
        return parent  # ids of 0 have a meaning: baggage without a trace, a trace whose root is to be made here
    if isinstance(parent, Span) and parent.span_id:
        return parent
    return ACTIVE if parent is ACTIVE else None


def _attributes(attributes: Any) -> Dict[str, Value]:
    try:
        return {text(key, MAX_KEY): coerce(value) for key, value in attributes.items() if value is not None}
    except Exception:
        return {}
