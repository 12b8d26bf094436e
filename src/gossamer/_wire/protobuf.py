"""A bounded reader of protobuf's wire format: hostile bytes give ``ValueError`` with an offset, and nothing else."""

from struct import Struct
from typing import Any, Iterator, Tuple

from gossamer._wire.msgpack import Malformed

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

_f32 = Struct("<I").unpack_from
_f64 = Struct("<Q").unpack_from
_double = Struct("<d").unpack_from


def varint(data: bytes, pos: int, end: int) -> Tuple[int, int]:
    """The number at ``pos`` and the position after it."""
    start = pos
    result = shift = 0
    while pos < end:
        byte = data[pos]
        pos += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFFFFFFFFFFFFFF, pos
        shift += 7
        if shift > 63:
            raise Malformed("a number longer than 10 bytes", start)
    raise Malformed("the bytes end inside a number", start)


def span(data: bytes, pos: int, end: int) -> Tuple[int, int]:
    """Start and end of the length-delimited value whose length is at ``pos``."""
    size, start = varint(data, pos, end)
    if size > end - start:
        raise Malformed("a value longer than the bytes left", pos)
    return start, start + size


def fields(data: bytes, pos: int, end: int) -> Iterator[Tuple[int, int, Any, int, int]]:
    """Fields of a message: number, wire type, value, and where the field (tag included) starts and ends.

    The value of a length-delimited field is the pair of its start and end.
    """
    while pos < end:
        at = pos
        tag = data[pos]
        pos += 1
        if tag >= 0x80:
            tag, pos = varint(data, at, end)
        kind = tag & 7
        value: Any
        if kind == BYTES:
            value = span(data, pos, end)
            pos = value[1]
        elif kind == VARINT:
            value, pos = varint(data, pos, end)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
            if pos + size > end:
                raise Malformed("the bytes end inside a number", at)
            value = (_f64 if kind == FIXED64 else _f32)(data, pos)[0]
            pos += size
        else:
            raise Malformed("wire type {} is not supported".format(kind), at)
        if not tag >> 3:
            raise Malformed("field number 0", at)
        yield tag >> 3, kind, value, at, pos


def expect(kind: int, wanted: int, at: int) -> None:
    """Raise where a known field has another wire type than its own."""
    if kind != wanted:
        raise Malformed("wire type {} where {} belongs".format(kind, wanted), at)


def double(bits: int) -> float:
    """The double whose bits were read as a number."""
    return float(_double(bits.to_bytes(8, "little"))[0])


def signed(value: int) -> int:
    """An int64 that was read as a varint."""
    return value - (1 << 64) if value >> 63 else value


def encode_varint(value: int) -> bytes:
    """A number as a varint."""
    result = bytearray()
    while value >= 0x80:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)


def delimited(number: int, data: bytes) -> bytes:
    """A length-delimited field."""
    return encode_varint(number << 3 | BYTES) + encode_varint(len(data)) + data
