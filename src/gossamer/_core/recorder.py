"""What starts spans and receives what they recorded, in the pure core."""

from __future__ import annotations

from .buffer import Buffer
from .events import ACTIVE
from .span import Span, Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, List, Optional, Tuple

    from .span import Parent
    from .values import Value

    Processor = Callable[[List[Span]], Optional[List[Span]]]
    Sampler = Callable[[Trace, Span], None]

__all__ = ["Recorder"]


class Recorder:
    """Starts spans and receives what they recorded.

    Attributes:
        buffer: where finished chunks go.
        sampler: decides on a new trace, given it and its first span: sets `priority`, `mechanism`, `rate`.
            One that has a method `bind` is given the recorder there, to set the next one when it can.
        decision: priority, mechanism and rate of every new trace; None: the sampler is asked.
        processors: see finished traces before they are written; may change them, or answer None to drop them.
        partial_flush_min_spans: so many finished spans are handed on although others are open. Default 300.
        keep_unsampled: record traces that sampling drops, too (the Datadog Agent counts them). Default True.
        enabled: False: spans carry the context, nothing is recorded.
        service: the application's, which spans have that name none.
        ids_128: trace ids of 128 bits whose upper half begins with the seconds since the epoch. Default True.
    """

    def __init__(self, buffer: Optional[Buffer] = None, sampler: Optional[Sampler] = None) -> None:
        self.buffer = Buffer() if buffer is None else buffer
        self.decision: Optional[Tuple[int, Optional[int], Optional[float]]] = None
        self.sampler = sampler
        self.processors: Tuple[Processor, ...] = ()
        self.partial_flush_min_spans = 300
        self.keep_unsampled = True
        self.enabled = True
        self.ids_128 = True
        self.processor_errors = 0
        self.service = ""

    @property
    def sampler(self) -> Optional[Sampler]:
        """What decides where `decision` does not."""
        return self._sampler

    @sampler.setter
    def sampler(self, value: Optional[Sampler]) -> None:
        self._sampler = value
        self.decision = None
        bind = getattr(value, "bind", None)
        if bind is not None:
            bind(self)

    def start(
        self,
        name: str,
        resource: Optional[str] = None,
        service: Optional[str] = None,
        type: Optional[str] = None,
        kind: str = "internal",
        attributes: Optional[Dict[str, Value]] = None,
        integration: Optional[str] = None,
        layer: Optional[str] = None,
        parent: Parent = ACTIVE,
        activate: bool = True,
    ) -> Span:
        """A begun span. The arguments are trusted: `Tracer` coerces those of user code."""
        span = Span(self, name, resource, service, type, kind, attributes, integration, layer, parent)
        return span.__enter__(activate)

    def emit(self, trace: Trace, spans: List[Span]) -> None:
        """Run the processors over finished spans and put what is left into the buffer."""
        for processor in self.processors:
            try:
                kept = processor(list(spans))
                kept = None if kept is None else [span for span in kept if isinstance(span, Span) and span.span_id]
            except Exception:
                self.processor_errors += 1
                if self.processor_errors == 1:
                    from .. import _log

                    _log.get(__name__).exception("a span processor failed; its traces are sent as they were")
                continue
            if not kept:
                return
            spans = kept
        self.buffer.put(spans)
