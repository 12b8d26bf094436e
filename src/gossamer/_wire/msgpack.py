"""A bounded MessagePack decoder: hostile bytes give ``ValueError`` with an offset, and nothing else.

Lengths are checked against the bytes that are left before anything is allocated, and nesting is bounded. ``skip``
finds the end of a value without making it, so that a slice can be cut out of a payload.
"""

from struct import Struct
from struct import error as _StructError
from typing import Any, Callable, Dict, List, Tuple

MAX_DEPTH = 32

_u16 = Struct(">H").unpack_from
_u32 = Struct(">I").unpack_from
_u64 = Struct(">Q").unpack_from
_i8 = Struct(">b").unpack_from
_i16 = Struct(">h").unpack_from
_i32 = Struct(">i").unpack_from
_i64 = Struct(">q").unpack_from
_f32 = Struct(">f").unpack_from
_f64 = Struct(">d").unpack_from

# By first byte: reader of the number that follows, and the size of the whole value.
NUMBERS: Dict[int, Tuple[Callable[..., Tuple[Any, ...]], int]] = {
    0xCA: (_f32, 5),
    0xCB: (_f64, 9),
    0xCC: (Struct(">B").unpack_from, 2),
    0xCD: (_u16, 3),
    0xCE: (_u32, 5),
    0xCF: (_u64, 9),
    0xD0: (_i8, 2),
    0xD1: (_i16, 3),
    0xD2: (_i32, 5),
    0xD3: (_i64, 9),
}


def _sizes() -> List[int]:
    # Whole size of a value by its first byte; 0 where it depends on more than that byte.
    sizes = [0] * 256
    for byte in range(256):
        if byte < 0x80 or byte >= 0xE0 or byte in (0xC0, 0xC2, 0xC3):
            sizes[byte] = 1
        elif 0xA0 <= byte < 0xC0:
            sizes[byte] = byte - 0x9F
        elif byte in NUMBERS:
            sizes[byte] = NUMBERS[byte][1]
        elif 0xD4 <= byte <= 0xD8:  # fixext 1, 2, 4, 8, 16
            sizes[byte] = 2 + (1 << (byte - 0xD4))
    return sizes


SIZES = _sizes()


class Malformed(ValueError):
    """Bytes that are not what they should be. ``offset`` says where."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__("{} at byte {}".format(reason, offset))
        self.reason = reason
        self.offset = offset


def length(data: bytes, pos: int) -> Tuple[int, int]:
    """Length of the str, bin or ext at ``pos`` and the position of its first byte."""
    byte = data[pos]
    if 0xA0 <= byte < 0xC0:
        return byte & 31, pos + 1
    if byte in (0xD9, 0xC4):
        return data[pos + 1], pos + 2
    if byte in (0xDA, 0xC5):
        return _u16(data, pos + 1)[0], pos + 3
    if byte in (0xDB, 0xC6):
        return _u32(data, pos + 1)[0], pos + 5
    if byte == 0xC7:
        return data[pos + 1] + 1, pos + 2
    if byte == 0xC8:
        return _u16(data, pos + 1)[0] + 1, pos + 3
    if byte == 0xC9:
        return _u32(data, pos + 1)[0] + 1, pos + 5
    raise Malformed("expected a string, found type 0x{:02x}".format(byte), pos)


def items(data: bytes, pos: int, what: str = "an array") -> Tuple[int, int]:
    """Number of elements of the array at ``pos`` and the position of the first. Nil is an empty array."""
    byte = data[pos]
    if 0x90 <= byte < 0xA0:
        count, pos = byte & 15, pos + 1
    elif byte == 0xDC:
        count, pos = _u16(data, pos + 1)[0], pos + 3
    elif byte == 0xDD:
        count, pos = _u32(data, pos + 1)[0], pos + 5
    elif byte == 0xC0:
        return 0, pos + 1
    else:
        raise Malformed("expected {}, found type 0x{:02x}".format(what, byte), pos)
    if count > len(data) - pos:
        raise Malformed("an array longer than the bytes left", pos)
    return count, pos


def entries(data: bytes, pos: int, what: str = "a map") -> Tuple[int, int]:
    """Number of entries of the map at ``pos`` and the position of the first key. Nil is an empty map."""
    byte = data[pos]
    if 0x80 <= byte < 0x90:
        count, pos = byte & 15, pos + 1
    elif byte == 0xDE:
        count, pos = _u16(data, pos + 1)[0], pos + 3
    elif byte == 0xDF:
        count, pos = _u32(data, pos + 1)[0], pos + 5
    elif byte == 0xC0:
        return 0, pos + 1
    else:
        raise Malformed("expected {}, found type 0x{:02x}".format(what, byte), pos)
    if 2 * count > len(data) - pos:
        raise Malformed("a map longer than the bytes left", pos)
    return count, pos


def text(data: bytes, pos: int) -> Tuple[str, int]:
    """The string (or bytes, or nil: empty) at ``pos``. What is not UTF-8 is replaced."""
    if data[pos] == 0xC0:
        return "", pos + 1
    size, start = length(data, pos)
    end = start + size
    if end > len(data):
        raise Malformed("a string longer than the bytes left", pos)
    return str(data[start:end], "utf-8", "replace"), end


def number(data: bytes, pos: int) -> Tuple[Any, int]:
    """The number (or bool; nil: 0) at ``pos``."""
    byte = data[pos]
    if byte < 0x80:
        return byte, pos + 1
    if byte >= 0xE0:
        return byte - 256, pos + 1
    found = NUMBERS.get(byte)
    if found is not None:
        if pos + found[1] > len(data):
            raise Malformed("the bytes end inside a number", pos)
        return found[0](data, pos + 1)[0], pos + found[1]
    if byte == 0xC3:
        return 1, pos + 1
    if byte in (0xC0, 0xC2):
        return 0, pos + 1
    raise Malformed("expected a number, found type 0x{:02x}".format(byte), pos)


def skip(data: bytes, pos: int) -> int:
    """Position after the value at ``pos``."""
    size = len(data)
    waiting: List[int] = []  # values still to come, one entry for each open container
    left = 1
    start = pos
    try:
        while True:
            while not left:
                if not waiting:
                    if pos > size:
                        raise Malformed("the bytes end inside a value", start)
                    return pos
                left = waiting.pop()
            left -= 1
            byte = data[pos]
            step = SIZES[byte]
            if step:
                pos += step
                continue
            if byte < 0x90 or byte >= 0xDE:
                count, pos = entries(data, pos)
                count *= 2
            elif byte < 0xA0 or byte >= 0xDC:
                count, pos = items(data, pos)
            else:
                more, pos = length(data, pos)
                pos += more
                continue
            if len(waiting) + 1 >= MAX_DEPTH:
                raise Malformed("nested too deeply", pos)
            waiting.append(left)
            left = count
    except (IndexError, _StructError):
        raise Malformed("the bytes end inside a value", start) from None


def unpack(data: bytes, pos: int = 0, depth: int = 0) -> Tuple[Any, int]:
    """The value at ``pos`` and the position after it."""
    try:
        return _unpack(data, pos, depth)
    except (IndexError, _StructError):
        raise Malformed("the bytes end inside a value", pos) from None


def _unpack(data: bytes, pos: int, depth: int) -> Tuple[Any, int]:
    byte = data[pos]
    if 0xA0 <= byte < 0xC0 or 0xD9 <= byte <= 0xDB:
        return text(data, pos)
    if byte < 0x80 or byte >= 0xE0 or byte in NUMBERS:
        return number(data, pos)
    if byte == 0xC0:
        return None, pos + 1
    if byte in (0xC2, 0xC3):
        return byte == 0xC3, pos + 1
    if depth >= MAX_DEPTH:
        raise Malformed("nested too deeply", pos)
    if byte < 0x90 or byte >= 0xDE:
        count, pos = entries(data, pos)
        result: Dict[Any, Any] = {}
        for _ in range(count):
            key, pos = _unpack(data, pos, depth + 1)
            value, pos = _unpack(data, pos, depth + 1)
            result[key if isinstance(key, (str, int, float, bytes)) else repr(key)] = value
        return result, pos
    if byte < 0xA0 or byte >= 0xDC:
        count, pos = items(data, pos)
        values: List[Any] = []
        for _ in range(count):
            value, pos = _unpack(data, pos, depth + 1)
            values.append(value)
        return values, pos
    if 0xD4 <= byte <= 0xD8:
        start, size = pos + 1, SIZES[byte] - 1
    elif byte == 0xC1:
        raise Malformed("type 0xc1 is never used", pos)
    else:
        size, start = length(data, pos)
    if start + size > len(data):
        raise Malformed("a value longer than the bytes left", pos)
    return data[start : start + size], start + size
