"""What the decoders make of a payload: chunks, each with its bytes as they came and the facts that are indexed.

Spans are plain tuples, for a decoder in Python makes some tens of thousands of them a second.
"""

from typing import Any, Dict, List, Optional, Tuple, Union

Value = Union[str, int, float, bool]
Pair = Tuple[str, Any]  # one attribute; the same pair is often the same object
Op = Tuple[str, str, str, str, str]  # service, name, resource, type, kind
Row = Tuple[
    Op, int, int, int, int, int, List[Pair]
]  # op, start (ns), duration (ns), error (0 or 1), span id, parent id, attributes

# Formats of a chunk's bytes. Numbers are kept in stores: never reuse one.
MSGPACK, V05, JSON, OTLP, OTLP_JSON = 1, 2, 3, 4, 5

_LONGEST_NAME = 200
_LONGEST_RESOURCE = 1000
_MASK = (1 << 64) - 1
_INFINITY = float("inf")
MAX_SPANS = 250000  # of one payload: what is made of a span is larger than the smallest span's bytes
LATEST = (1 << 53) * 1000  # ns; in microseconds this is the last integer that JavaScript holds exactly


class Chunk:
    """Spans of one trace out of one payload."""

    __slots__ = ("data", "format", "head", "high", "low", "spans")

    def __init__(self, format: int, data: bytes, head: Optional[bytes], high: int, low: int, spans: List[Row]) -> None:
        self.format = format
        self.data = data  # the spans' bytes
        self.head = (
            head  # bytes shared with other chunks of the payload (the same object), without which data cannot be read
        )
        self.high = high  # upper half of the trace id; 0 if not known
        self.low = low
        self.spans = spans


class Payload:
    """One decoded request."""

    __slots__ = ("chunks", "protocol", "refused", "spans")

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.chunks: List[Chunk] = []
        self.spans = 0
        self.refused: Dict[str, int] = {}  # reason -> spans

    def add(self, chunk: Chunk) -> None:
        """Keep a chunk."""
        self.chunks.append(chunk)
        self.spans += len(chunk.spans)

    def refuse(self, reason: str, spans: int) -> None:
        """Count spans that are not kept."""
        self.refused[reason] = self.refused.get(reason, 0) + spans


def operation(service: str, name: str, resource: str, type: str, kind: str) -> Op:
    """An operation with its defaults, cut to a bounded length."""
    name = name or "unnamed_operation"
    return (
        (service or "unnamed-service")[:_LONGEST_NAME],
        name[:_LONGEST_NAME],
        (resource or name)[:_LONGEST_RESOURCE],
        type[:_LONGEST_NAME],
        kind[:_LONGEST_NAME],
    )


def span_id(value: Any) -> int:
    """An id as an unsigned 64-bit number, whatever number it came as."""
    if value != value or value in (_INFINITY, -_INFINITY):
        return 0
    return int(value) & _MASK


def nanoseconds(value: Any) -> int:
    """A time or a duration within what a page can show."""
    if value != value:
        return 0
    return int(max(0, min(value, LATEST)))


def clean(text: str) -> str:
    """The text without lone surrogates, which neither SQLite nor UTF-8 can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text
