"""Attribute values: whatever user code hands over becomes something that can be sent, and nothing is raised."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Tuple, Union

    Scalar = Union[str, bool, int, float, bytes]
    Value = Union[Scalar, Tuple[Scalar, ...]]

MAX_VALUE = 25000
"""Longest text value, in characters; the Datadog Agent cuts there as well."""
MAX_KEY = 200
MAX_ITEMS = 128
MAX_STACK = 20000


def text(value: object, limit: int = MAX_VALUE) -> str:
    """`value` as a string of at most `limit` characters; an object whose `str()` fails gives its type's name."""
    if type(value) is not str:
        try:
            if isinstance(value, (bytes, bytearray)):
                value = bytes(value[:limit]).decode("utf-8", "replace")
            else:
                value = str(value)
            value = "".join((value,))  # a str subclass may override methods that we call later
        except Exception:
            value = "<%s>" % type.__dict__["__name__"].__get__(type(value))  # a metaclass may override that, too
    return value if len(value) <= limit else value[:limit]


def coerce(value: object) -> Value:
    """`value` as one of the types that exporters know."""
    kind = type(value)
    if kind is str:
        return value if len(value) <= MAX_VALUE else value[:MAX_VALUE]  # type: ignore[arg-type,index,return-value]
    if kind is int or kind is float or kind is bool:
        return value  # type: ignore[return-value]
    if kind is bytes:
        return value[:MAX_VALUE]  # type: ignore[index,no-any-return]
    if kind is list or kind is tuple or kind is set or kind is frozenset:
        return _sequence(value)
    try:
        for plain in (bool, int, float):  # IntEnum, numpy.float64 and other subclasses
            if isinstance(value, plain) and not hasattr(value, "name"):
                return plain(value)
    except Exception:
        pass
    return text(value)


def _sequence(value: object) -> Tuple[Scalar, ...]:
    items: List[Scalar] = []
    room = MAX_VALUE
    try:
        for item in value:  # type: ignore[attr-defined]
            if len(items) >= MAX_ITEMS or room <= 0:
                break
            kind = type(item)
            if kind is not int and kind is not float and kind is not bool:
                item = item[:room] if kind is bytes else text(item, room)
                room -= len(item)
            items.append(item)
    except Exception:  # changed while we read it
        pass
    return tuple(items)


def value_bytes(value: object) -> int:
    """About what a value adds to the size of what holds it."""
    kind = type(value)
    if kind is str or kind is bytes:
        return len(value)  # type: ignore[arg-type]
    if kind is tuple:
        return sum(60 + value_bytes(item) for item in value)  # type: ignore[attr-defined,misc]
    return 0
