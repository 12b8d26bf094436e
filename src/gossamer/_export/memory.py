"""Keeps finished spans in memory, for tests."""

from __future__ import annotations

from .exporter import Exporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional

    from .._core.buffer import Batch, Chunk
    from .._core.pure import Span
    from .._wire.info import Process

__all__ = ["MemoryExporter"]


class MemoryExporter(Exporter):
    """Keeps what it is given.

    Args:
        max_spans: chunks beyond are counted in `dropped_spans` and forgotten. Default 10,000.
    """

    name = "memory"

    def __init__(self, max_spans: int = 10000) -> None:
        self.max_spans = max_spans
        self.dropped_spans = 0
        self.process: Optional[Process] = None
        self._chunks: List[Chunk] = []
        self._count = 0

    def export(self, batch: Batch, process: Process, timeout: Optional[float] = None) -> None:
        """Keep the chunks of `batch`."""
        self.process = process
        for chunk in batch:
            if self._count + len(chunk.spans) > self.max_spans:
                self.dropped_spans += len(chunk.spans)
            else:
                self._count += len(chunk.spans)
                self._chunks.append(chunk)

    @property
    def chunks(self) -> List[Chunk]:
        """The chunks in the order of their arrival."""
        return list(self._chunks)

    @property
    def spans(self) -> List[Span]:
        """All spans in the order of their ends."""
        return [span for chunk in self._chunks for span in chunk.spans]

    def clear(self) -> None:
        """Forget everything."""
        self._chunks = []
        self._count = 0
