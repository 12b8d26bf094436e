"""The tracing core: spans, traces, ids, the clock, the active span, finished chunks.

There are two, with one interface: `native`, compiled, and `pure`, the readable reference, which runs where the other
was not built or where `GOSSAMER_PURE=1` asks for it. `tests/core` holds them together.
"""

from __future__ import annotations

import os

from .context import SpanContext
from .events import ACTIVE, ENTRY, INSIDE, ROOT, Event, Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Tuple

    from . import pure as core

    _reason: str

__all__ = [
    "ACTIVE", "ENTRY", "INSIDE", "NATIVE", "ROOT", "Batch", "Buffer", "Chunk", "Event",
    "Link", "Recorder", "Span", "SpanContext", "Starter", "Trace", "TraceScope",
    "active", "current_span", "set_active", "implementation", "why_pure",
]  # fmt: skip


def _choose() -> Tuple[Any, str]:
    # Read here and not from the settings: everything else imports this package.
    if os.environ.get("GOSSAMER_PURE", "").strip().lower() in ("1", "true", "yes", "on"):
        reason = "GOSSAMER_PURE is set"
    else:
        try:
            from . import native  # type: ignore[attr-defined]

            return native, ""
        except ImportError as error:
            missing = getattr(error, "name", None) or "native"
            built = not isinstance(error, ModuleNotFoundError) and "cannot import name" not in str(error)
            reason = str(error) if built or not missing.endswith("native") else "the compiled core is not built"
        except Exception as error:  # built for something else, or damaged: the traced program must start
            reason = "the compiled core fails: %r" % error
    from . import pure

    return pure, reason


if not TYPE_CHECKING:
    core, _reason = _choose()

NATIVE = core.NATIVE
Batch = core.Batch
Buffer = core.Buffer
Chunk = core.Chunk
Recorder = core.Recorder
Span = core.Span
Starter = core.Starter
Trace = core.Trace
TraceScope = core.TraceScope
active = core.active
current_span = core.current_span
set_active = core.set_active


def implementation() -> str:
    """Which core runs: "pure" or "native"."""
    return core.__name__.rpartition(".")[2]


def why_pure() -> str:
    """Why the compiled core does not run, in a few words; "" when it does."""
    return "" if NATIVE else _reason
