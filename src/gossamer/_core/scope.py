"""What user code starts spans with, in the pure core: `trace(...)`, a context manager and a decorator."""

from __future__ import annotations

from .context import SpanContext
from .events import ACTIVE
from .recorder import Recorder
from .span import Span
from .values import MAX_KEY, coerce, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Callable, Dict, Mapping, Optional, Type, TypeVar, overload

    from typing_extensions import ParamSpec

    from .span import Parent
    from .values import Value

    P = ParamSpec("P")
    R = TypeVar("R")
else:  # `typing` is too dear for that

    def overload(function):
        """As `typing.overload`."""
        return function


__all__ = ["Starter", "TraceScope"]

KINDS = frozenset(("internal", "server", "client", "producer", "consumer"))


class TraceScope(Span):
    """What `trace(...)` answers: a span that begins on `with`, or a decorator that gives each call a span."""

    __slots__ = ("_starter",)
    _starter: Starter

    if TYPE_CHECKING:

        def __enter__(self, activate: bool = True, start_time: Optional[int] = None) -> TraceScope: ...

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
        recorder, attributes, parent = self.recorder, self.attributes, ACTIVE if self.span_id else self.parent
        name = self.name or getattr(function, "__qualname__", None) or type(function).__name__
        resource, service, type_, kind = self.resource, self.service, self.type, self.kind

        def begin(activate: bool = True) -> Span:
            given = dict(attributes) if attributes else None
            return Span(recorder, name, resource, service, type_, kind, given, None, None, parent).__enter__(activate)

        return self._starter.decorate(function, begin)  # type: ignore[no-any-return]


class Starter:
    """The half of the tracer that starts spans.

    Attributes:
        recorder: what begins and collects the spans.
        decorate: given a function and what begins a span (`begin(activate=True)`), answers the function with a span
            round each call.
    """

    decorate: Callable[..., Any]

    def __init__(self, recorder: Optional[Recorder] = None) -> None:
        self.recorder = Recorder() if recorder is None else recorder

    @overload
    def trace(self, name: Callable[P, R]) -> Callable[P, R]: ...

    @overload
    def trace(  # noqa: F811
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

    def trace(  # noqa: F811 (the linter does not see that these are overloads)
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
        if name.__class__ is not str:
            if callable(name) and not isinstance(name, str):
                return self.trace("")(name)
            name = text(name, MAX_KEY)
        scope = TraceScope(self.recorder, name, resource, service, type, kind)
        scope._starter = self
        if parent is not ACTIVE:
            scope.parent = usable(parent)
        # What user code gives is not trusted; looked at one by one, as there is mostly nothing.
        if resource is not None and resource.__class__ is not str:
            scope.resource = text(resource)
        if service is not None and service.__class__ is not str:
            scope.service = text(service, MAX_KEY)
        if type is not None and type.__class__ is not str:
            scope.type = text(type, MAX_KEY)
        if kind != "internal" and (kind.__class__ is not str or kind not in KINDS):
            scope.kind = "internal"
        if attributes:
            scope.attributes = given_attributes(attributes)
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
        scope: TraceScope = self.trace(
            name if name.__class__ is str else text(name, MAX_KEY),
            resource=resource,
            service=service,
            type=type,
            kind=kind,
            attributes=attributes,
            parent=parent,
        )
        return scope.__enter__(bool(activate), start_time)


def usable(parent: Any) -> Parent:
    """A usable parent: a begun span or a context; anything else stands for no parent."""
    if isinstance(parent, SpanContext):
        return parent  # ids of 0 have a meaning: baggage without a trace, a trace whose root is to be made here
    if isinstance(parent, Span) and parent.span_id:
        return parent
    return ACTIVE if parent is ACTIVE else None


def given_attributes(attributes: Any) -> Dict[str, Value]:
    """Attributes of user code; none where they are no mapping."""
    try:
        return {text(key, MAX_KEY): coerce(value) for key, value in attributes.items() if value is not None}
    except Exception:
        return {}
