"""Finished chunks on their way to the writer: lock-free on the side of the traced program, bounded in bytes."""

from __future__ import annotations

from collections import deque

from .values import value_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Deque, Iterator, List, Optional

    from .pure import Span, Trace

# Measured with tracemalloc, tests/core/test_memory.py: objects, their dictionaries, short strings.
TRACE_BYTES = 500
SPAN_BYTES = 450
ATTRIBUTE_BYTES = 110


class Chunk:
    """Finished spans of one trace in one process: the unit that is written.

    Attributes:
        trace: what the spans share.
        spans: at least one, in the order of their ends.
        size: estimated bytes that the chunk holds in memory.
    """

    __slots__ = ("trace", "spans", "size")

    def __init__(self, trace: Trace, spans: List[Span]) -> None:
        self.trace = trace
        self.spans = spans
        size = TRACE_BYTES + SPAN_BYTES * len(spans)
        for span in spans:
            attributes = span.attributes
            count = len(attributes)
            if count:
                size += ATTRIBUTE_BYTES * count
                for value in attributes.values():
                    kind = type(value)
                    if kind is str:
                        size += len(value)  # type: ignore[arg-type]
                    elif kind is tuple or kind is bytes:
                        size += value_bytes(value)
            if span.events is not None or span.links is not None:
                size += span.extra_size()
        self.size = size


class Batch:
    """Chunks taken from a `Buffer` at one time; iterating gives them in the order of their arrival."""

    __slots__ = ("chunks", "size", "span_count")

    native = False
    """Whether the compiled encoders can read it."""

    def __init__(self, chunks: List[Chunk]) -> None:
        self.chunks = chunks
        self.size = sum(chunk.size for chunk in chunks)
        self.span_count = sum(len(chunk.spans) for chunk in chunks)

    def __iter__(self) -> Iterator[Chunk]:
        return iter(self.chunks)

    def __len__(self) -> int:
        return len(self.chunks)

    def split(self, max_bytes: int) -> List[Batch]:
        """The same chunks in batches of about `max_bytes` each; a larger chunk stands alone."""
        parts: List[Batch] = []
        part: List[Chunk] = []
        size = 0
        for chunk in self.chunks:
            if part and size + chunk.size > max_bytes:
                parts.append(Batch(part))
                part, size = [], 0
            part.append(chunk)
            size += chunk.size
        if part:
            parts.append(Batch(part))
        return parts

    def halves(self) -> List[Batch]:
        """The same chunks in two batches, to be sent one by one; in one batch where there is but one chunk."""
        middle = len(self.chunks) // 2
        return [Batch(self.chunks[:middle]), Batch(self.chunks[middle:])] if middle else [self]


class Buffer:
    """Holds chunks until the writer takes them.

    `put` is called by the traced program's threads and takes no lock: a deque's `append` and `popleft` are atomic.
    The counters may lose an increment when threads collide; `swap` puts `pending_bytes` right each time.

    Args:
        max_bytes: chunks that would pass this (estimated) size are dropped and counted. Default 20 MB.
    """

    def __init__(self, max_bytes: int = 20000000) -> None:
        self.max_bytes = max_bytes
        self.pending_bytes = 0
        self.pending_spans = 0
        self.dropped_spans = 0
        self.dropped_traces = 0
        #: Called once, at the first chunk after `asleep` was set: the writer starts its thread there.
        self.on_first: Optional[Callable[[], None]] = None
        #: Called when the buffer is half full: the writer wakes before its interval is over.
        self.on_half_full: Optional[Callable[[], None]] = None
        self.asleep = True
        self._chunks: Deque[Chunk] = deque()

    def put(self, chunk: Chunk) -> None:
        """Keep `chunk` for the writer, or drop and count it when there is no room."""
        pending = self.pending_bytes + chunk.size
        if pending > self.max_bytes:
            self.dropped_spans += len(chunk.spans)
            self.dropped_traces += 1
            return
        self._chunks.append(chunk)
        self.pending_bytes = pending
        self.pending_spans += len(chunk.spans)
        if self.asleep:
            self.asleep = False
            if self.on_first is not None:
                self.on_first()
        elif pending * 2 > self.max_bytes and self.on_half_full is not None:
            self.on_half_full()

    def swap(self) -> Optional[Batch]:
        """Everything that is pending, or None. One consumer at a time."""
        chunks: List[Chunk] = []
        take = self._chunks.popleft
        self.pending_bytes = 0  # set, not subtracted: what a colliding `put` miscounted is forgotten here
        self.pending_spans = 0
        try:
            for _ in range(len(self._chunks)):
                chunks.append(take())
        except IndexError:
            pass
        return Batch(chunks) if chunks else None

    def clear(self) -> None:
        """Forget what is pending: a forked child does not send what its parent will."""
        self._chunks.clear()
        self.pending_bytes = 0
        self.pending_spans = 0
        self.asleep = True
