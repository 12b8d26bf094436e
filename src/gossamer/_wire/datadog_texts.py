"""Packed texts, kept: in full for v0.4, as places in a table for v0.5; and packed names of attributes."""

from __future__ import annotations

from .datadog_span import MAX_KEY, MAX_TEXT
from .names_datadog import AS_TEXT, STATEMENT, URL_PARTS, translate
from .pack import pack_double, pack_str, pack_uint, utf8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, FrozenSet, List, Optional, Tuple

__all__ = [
    "CACHED_TEXT", "MAX_CACHED", "PLAIN", "SLOW", "STATUS", "URL", "WORDS", "Bools", "Doubles", "Integers", "Keys",
    "Places", "Statuses", "Table", "Written",
]  # fmt: skip

MAX_CACHED = 4096
"""Entries of a cache; it starts again when full."""
CACHED_TEXT = 100
"""Characters; longer texts seldom repeat."""
_EXACT = 2**53
_LEAST = -_EXACT

SLOW, PLAIN, WORDS, STATUS, URL = range(5)
"""What an attribute becomes. SLOW: the full translation knows; PLAIN: one pair under another name; WORDS: the text of
a query, unless the resource says it already; STATUS: a number that is to be a text; URL: a part of `http.url`."""


class Written(Dict[str, bytes] if False else dict):  # type: ignore[misc]
    """Packed texts. Asking for an unknown one packs it."""

    def __missing__(self, value: str) -> bytes:
        if len(value) > CACHED_TEXT:
            return pack_str(value[:MAX_TEXT])
        packed = pack_str(value)
        if len(self) >= MAX_CACHED:
            self.clear()
        self[value] = packed
        return packed


class Table(Dict[str, bytes] if False else dict):  # type: ignore[misc]
    """The texts of a v0.5 payload by their places in its table, packed."""

    def __init__(self) -> None:
        self.order: List[bytes] = []
        self[""]

    def __missing__(self, value: str) -> bytes:
        if len(value) > MAX_TEXT:
            return self[value[:MAX_TEXT]]  # type: ignore[no-any-return]
        place = self[value] = pack_uint(len(self.order))
        self.order.append(pack_str(value))
        return place


class Places(Dict[str, bytes] if False else dict):  # type: ignore[misc]
    """The same for a table that the compiled encoder keeps; `index` answers the place of a text in UTF-8."""

    def __init__(self, index: Callable[[bytes], int]) -> None:
        self.index = index

    def __missing__(self, value: str) -> bytes:
        if len(value) > MAX_TEXT:
            return self[value[:MAX_TEXT]]  # type: ignore[no-any-return]
        place = self[value] = pack_uint(self.index(utf8(value)))
        return place


class Integers(Dict[int, bytes] if False else dict):  # type: ignore[misc]
    """Packed integers, which become doubles; those that a double cannot hold raise OverflowError."""

    def __missing__(self, value: int) -> bytes:
        if not _LEAST <= value <= _EXACT:
            raise OverflowError
        if len(self) >= MAX_CACHED:
            self.clear()
        packed = self[value] = pack_double(0xCB, value)
        return packed


class Doubles(Dict[float, bytes] if False else dict):  # type: ignore[misc]
    """Packed doubles, not kept; what is no number raises OverflowError."""

    def __missing__(self, value: float) -> bytes:
        if value - value != 0.0:
            raise OverflowError
        return pack_double(0xCB, value)


class Bools(Dict[bool, bytes] if False else dict):  # type: ignore[misc]
    """True and False as packed texts."""

    def __init__(self, texts: Dict[str, bytes]) -> None:
        self.texts = texts

    def __missing__(self, value: bool) -> bytes:
        packed = self[value] = self.texts["true" if value else "false"]
        return packed


class Statuses(Dict[int, bytes] if False else dict):  # type: ignore[misc]
    """Integers as packed texts."""

    def __init__(self, texts: Dict[str, bytes]) -> None:
        self.texts = texts

    def __missing__(self, value: int) -> bytes:
        if len(self) >= MAX_CACHED:
            self.clear()
        packed = self[value] = self.texts[str(value)]
        return packed


class Keys(Dict[str, Any] if False else dict):  # type: ignore[misc]
    """What attributes of one kind of span become: (PLAIN ..., packed name), by their keys."""

    def __init__(self, names: Dict[str, str], reserved: FrozenSet[str], texts: Dict[str, bytes], server: bool) -> None:
        self.names = names
        self.reserved = reserved
        self.texts = texts
        self.server = server
        self.targets = frozenset(names.values())

    def kind(self, key: str) -> Tuple[int, str]:
        """What an attribute becomes, and its name."""
        if self.server and key in URL_PARTS:
            return (SLOW if "http.url" in self.reserved else URL), "http.url"
        name = translate(key, self.names)
        if name == STATEMENT and key != name:
            return (SLOW if name in self.reserved else WORDS), name
        if len(name) > MAX_KEY or key[:1] == "_" or name in self.reserved or key in self.targets:
            return SLOW, name
        if name == key and key.startswith(("http.request.headers.", "http.response.headers.")):
            return SLOW, name  # may come under our name for it as well
        return (STATUS if key in AS_TEXT else PLAIN), name

    def __missing__(self, key: str) -> Tuple[int, Optional[bytes]]:
        kind, name = self.kind(key)
        if len(self) >= MAX_CACHED:
            self.clear()
        found = self[key] = (kind, self.texts[name] if kind else None)
        return found
