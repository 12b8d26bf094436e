"""Finished chunks on their way to the writer: lock-free on the side of the traced program, bounded in bytes."""

from __future__ import annotations

from collections import deque

from .values import value_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Deque, Iterator, List, Optional, Union

    from .pure import Span, Trace

    Group = Union[Span, List[Span]]

# Measured with tracemalloc, tests/core/test_memory.py: objects, their dictionaries, short strings.
TRACE_BYTES = 500
SPAN_BYTES = 450
ATTRIBUTE_BYTES = 110
BARE_BYTES = TRACE_BYTES + SPAN_BYTES


class Chunk:
    """Finished spans of one trace in one process: the unit that is written.

    Attributes:
        trace: what the spans share.
        spans: at least one, in the order of their ends.
    """

    __slots__ = ("trace", "spans")

    def __init__(self, trace: Trace, spans: List[Span]) -> None:
        self.trace = trace
        self.spans = spans

    @property
    def size(self) -> int:
        """Estimated bytes that the chunk holds in memory."""
        return TRACE_BYTES + spans_size(self.spans)


def spans_size(spans: List[Span]) -> int:
    """Estimated bytes of spans, without their trace."""
    size = SPAN_BYTES * len(spans)
    for span in spans:
        attributes = span.attributes
        if attributes:
            size += ATTRIBUTE_BYTES * len(attributes)
            for value in attributes.values():
                kind = type(value)
                if kind is str:
                    size += len(value)  # type: ignore[arg-type]
                elif kind is tuple or kind is bytes:
                    size += value_bytes(value)
        if span.events is not None or span.links is not None:
            size += span.extra_size()
    return size


def group_size(group: Group) -> int:
    """The size of a chunk by its spans, or its only span."""
    if group.__class__ is list:
        return TRACE_BYTES + spans_size(group)
    if group.attributes or group.events or group.links:  # type: ignore[union-attr]
        return TRACE_BYTES + spans_size([group])  # type: ignore[list-item]
    return BARE_BYTES


class Batch:
    """Chunks taken from a `Buffer` at one time; iterating gives them in the order of their arrival.

    Args:
        groups: the spans of each chunk, or the span where it is but one: `Chunk` objects are made when asked for.
        size: estimated bytes of all.
    """

    __slots__ = ("groups", "size", "span_count")

    native = False
    """Whether the compiled encoders can read it."""

    def __init__(self, groups: List[Group], size: Optional[int] = None) -> None:
        self.groups = groups
        self.size = sum(map(group_size, groups)) if size is None else size
        larger = [len(group) - 1 for group in groups if group.__class__ is list]
        self.span_count = len(groups) + sum(larger)

    def __iter__(self) -> Iterator[Chunk]:
        for group in self.groups:
            spans: Any = group if group.__class__ is list else [group]
            yield Chunk(spans[0].trace, spans)

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def chunks(self) -> List[Chunk]:
        """All of them."""
        return list(self)

    @property
    def payload_bytes(self) -> int:
        """About the size of the payload that it makes, and certainly no less: what `split` compares."""
        return self.size

    def split(self, max_bytes: int) -> List[Batch]:
        """The same chunks in batches of about `max_bytes` each; a larger chunk stands alone."""
        if self.size <= max_bytes:
            return [self]
        parts: List[Batch] = []
        part: List[Group] = []
        size = 0
        for group in self.groups:
            more = group_size(group)
            if part and size + more > max_bytes:
                parts.append(Batch(part, size))
                part, size = [], 0
            part.append(group)
            size += more
        parts.append(Batch(part, size))
        return parts

    def halves(self) -> List[Batch]:
        """The same chunks in two batches, to be sent one by one; in one batch where there is but one chunk."""
        middle = len(self.groups) // 2
        return [Batch(self.groups[:middle]), Batch(self.groups[middle:])] if middle else [self]


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
        self._groups: Deque[Group] = deque()

    def put(self, group: Group) -> None:
        """Keep the spans of a chunk (or the one span) for the writer, or drop and count them when there is no room."""
        count = len(group) if group.__class__ is list else 1
        try:
            pending = self.pending_bytes + group_size(group)
            if pending <= self.max_bytes:
                self._groups.append(group)
                self.pending_bytes = pending
                self.pending_spans += count
                if self.asleep:
                    self.asleep = False
                    if self.on_first is not None:
                        self.on_first()
                elif pending * 2 > self.max_bytes and self.on_half_full is not None:
                    self.on_half_full()
                return
        except Exception:  # the writer's thread could not start, or a processor left attributes that are none
            pass
        self.dropped_spans += count
        self.dropped_traces += 1

    def swap(self) -> Optional[Batch]:
        """Everything that is pending, or None. One consumer at a time."""
        taken: List[Group] = []
        take = self._groups.popleft
        size = self.pending_bytes
        self.pending_bytes = 0  # set, not subtracted: what a colliding `put` miscounted is forgotten here
        self.pending_spans = 0
        try:
            for _ in range(len(self._groups)):
                taken.append(take())
        except IndexError:
            pass
        return Batch(taken, size) if taken else None

    def clear(self) -> None:
        """Forget what is pending: a forked child does not send what its parent will."""
        self._groups.clear()
        self.pending_bytes = 0
        self.pending_spans = 0
        self.asleep = True
