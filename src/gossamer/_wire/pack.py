"""The smallest pieces of what we write: UTF-8, MessagePack's headers, protobuf's numbers."""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["array_header", "compiled", "map_header", "pack_double", "pack_str", "pack_uint", "utf8", "varint"]

_pack16 = Struct(">BH").pack
_pack32 = Struct(">BI").pack
_pack64 = Struct(">BQ").pack
pack_double = Struct(">Bd").pack
"""A double of MessagePack, given its mark 0xCB and the number."""


def utf8(value: str) -> bytes:
    """`value` as bytes. What UTF-8 cannot express (lone surrogates) is written out."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "backslashreplace")


def varint(value: int) -> bytes:
    """A number of at most 64 bits, never negative, as protobuf writes it."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_SHORT = [bytes((0xA0 | size,)) for size in range(32)] + [bytes((0xD9, size)) for size in range(32, 256)]


def pack_str(value: str) -> bytes:
    """A text of MessagePack."""
    try:
        data = value.encode()
    except UnicodeEncodeError:
        data = utf8(value)
    size = len(data)
    if size < 0x100:
        return _SHORT[size] + data
    if size < 0x10000:
        return _pack16(0xDA, size) + data
    return _pack32(0xDB, size) + data


def pack_uint(value: int) -> bytes:
    """A number of at most 64 bits."""
    if value < 0x80:
        return bytes((value,))
    if value < 0x10000:
        return _pack16(0xCD, value)
    return _pack32(0xCE, value) if value < 0x100000000 else _pack64(0xCF, value)


def map_header(size: int) -> bytes:
    """The start of a map of so many pairs."""
    if size < 16:
        return bytes((0x80 | size,))
    return _pack16(0xDE, size) if size < 0x10000 else _pack32(0xDF, size)


def array_header(size: int) -> bytes:
    """The start of an array of so many items."""
    if size < 16:
        return bytes((0x90 | size,))
    return _pack16(0xDC, size) if size < 0x10000 else _pack32(0xDD, size)


def compiled() -> Any:
    """The compiled encoders, where there are batches for them."""
    from .._core import native  # type: ignore[attr-defined]

    return native
