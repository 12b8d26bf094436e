"""Packed texts, kept: in full for v0.4, as places in a table for v0.5; and packed names of attributes."""

from __future__ import annotations

from .datadog_span import MAX_KEY, MAX_TEXT
from .names_datadog import AS_TEXT, STATEMENT, URL_PARTS, translate
from .pack import pack_str, pack_uint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, FrozenSet, List, Union

__all__ = ["CACHED_TEXT", "MAX_CACHED", "Keys", "Table", "Written"]

MAX_CACHED = 4096
"""Entries of a cache; it starts again when full."""
CACHED_TEXT = 100
"""Characters; longer texts seldom repeat."""


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


class Keys(Dict[str, Any] if False else dict):  # type: ignore[misc]
    """Packed names of attributes. None: only the full translation knows what to do.

    Empty: the text of a query, which the resource may say already. False: a number that is to be a text.
    """

    def __init__(self, names: Dict[str, str], reserved: FrozenSet[str], texts: Dict[str, bytes]) -> None:
        self.names = names
        self.reserved = reserved
        self.texts = texts
        self.targets = frozenset(names.values())

    def __missing__(self, key: str) -> Union[bytes, bool, None]:
        name = translate(key, self.names)
        packed: Union[bytes, bool, None]
        if name == STATEMENT and key != name:
            packed = b""
        elif key in URL_PARTS or len(name) > MAX_KEY or key[:1] == "_" or name in self.reserved:
            packed = None
        elif key in self.targets:
            packed = None
        elif key in AS_TEXT:
            packed = False
        else:
            packed = self.texts[name]
        if len(self) >= MAX_CACHED:
            self.clear()
        self[key] = packed
        return packed
