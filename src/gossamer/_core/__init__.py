"""The tracing core: spans, traces, ids, the clock, the active span, finished chunks.

`pure` is the reference. What this package exports is the interface that a compiled twin will have as well; `tests/core`
is written over implementations, to hold both together.
"""

from __future__ import annotations

from . import pure as _implementation
from .buffer import Batch, Buffer, Chunk
from .context import SpanContext
from .pure import (
    ACTIVE,
    ENTRY,
    INSIDE,
    NATIVE,
    ROOT,
    Event,
    Link,
    Recorder,
    Span,
    Trace,
    active,
    current_span,
    set_active,
)

__all__ = [
    "ACTIVE", "ENTRY", "INSIDE", "NATIVE", "ROOT", "Batch", "Buffer", "Chunk", "Event",
    "Link", "Recorder", "Span", "SpanContext", "Trace", "active", "current_span", "set_active", "implementation",
]  # fmt: skip


def implementation() -> str:
    """Which core runs: "pure" or "native"."""
    return _implementation.__name__.rpartition(".")[2]
