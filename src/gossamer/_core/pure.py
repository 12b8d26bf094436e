"""The tracing core in plain Python: the readable reference for the compiled one, and what runs where that is missing.

A `Recorder` starts spans; a `Span` records one operation; the `Trace` counts the open spans of this process and hands
the finished ones on as a chunk when none is open. One `ContextVar` says which span is active.
"""

from __future__ import annotations

from .buffer import Batch, Buffer, Chunk
from .context import SpanContext
from .events import ACTIVE, ENTRY, INSIDE, ROOT, Event, Link
from .recorder import Recorder
from .scope import Starter, TraceScope
from .span import Span, Trace, active, current_span, set_active

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .recorder import Processor, Sampler
    from .span import Parent

    __all__ = ["Parent", "Processor", "Sampler"]

__all__ = [
    "ACTIVE", "ENTRY", "INSIDE", "NATIVE", "ROOT", "Batch", "Buffer", "Chunk", "Event", "Link", "Recorder", "Span",
    "SpanContext", "Starter", "Trace", "TraceScope", "active", "current_span", "set_active",
]  # fmt: skip

NATIVE = False
