"""The tracer: what user code and the instrumentation start spans with."""

from __future__ import annotations

from .._core import Span, SpanContext, Starter, active, current_span, set_active
from .decorate import decorate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional, Union

    from .._core import Recorder
    from .._core.pure import Parent, Processor
    from .propagation import Propagation


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


class Tracer(Starter):
    """Starts spans and carries their context over process boundaries.

    There is one for a process, `gossamer.tracer`; more are made in tests only.

    Args:
        recorder: what begins and collects the spans.
        propagation: the formats of headers, or a function that makes them when they are first needed.
    """

    propagation: Propagation
    decorate = staticmethod(decorate)

    def __init__(
        self,
        recorder: Optional[Recorder] = None,
        propagation: Union[Propagation, Callable[[], Propagation], None] = None,
    ) -> None:
        super().__init__(recorder)
        if propagation is None or callable(propagation):
            self._make_propagation = propagation
        else:
            self.propagation = propagation

    def __getattr__(self, name: str) -> Any:
        """`propagation`, made now; from then on it is an attribute like others."""
        if name != "propagation":
            raise AttributeError(name)
        if self._make_propagation is None:
            from .propagation import Propagation

            self.propagation = Propagation()
        else:
            self.propagation = self._make_propagation()
        return self.propagation

    def current_span(self) -> Optional[Span]:
        """The active span of this thread, task or greenlet, or None."""
        return current_span()

    def activate(self, parent: Parent) -> Activation:
        """`with tracer.activate(span_or_context):` makes it the parent of what starts inside; None: of nothing."""
        return Activation(usable(parent))

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


def usable(parent: Any) -> Parent:
    """A begun span or a context; None for anything else."""
    if isinstance(parent, SpanContext) or (isinstance(parent, Span) and parent.span_id):
        return parent
    return None
