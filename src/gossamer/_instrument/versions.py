"""Versions of installed distributions and ranges of them, without `importlib.metadata`, whose import is dear."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, List, Optional, Tuple

    Version = Tuple[int, ...]


def parse(version: str) -> Version:
    """The release numbers of `version` ("1.26.20.post1" gives (1, 26, 20)); what follows them is not compared."""
    numbers = []
    for part in version.lower().lstrip("v").split("!")[-1].split("."):
        digits = ""
        for character in part:
            if not ("0" <= character <= "9"):
                break
            digits += character
        if not digits:
            break
        numbers.append(int(digits))
        if len(digits) != len(part):
            break
    return tuple(numbers)


def _compare(left: Version, right: Version) -> int:
    length = max(len(left), len(right))
    left += (0,) * (length - len(left))
    right += (0,) * (length - len(right))
    return (left > right) - (left < right)


class Range:
    """Comma-separated bounds that a version must meet all: `">=2.6, <4"`. Empty: every version.

    Operators: `>=`, `>`, `<=`, `<`, `==`, `!=`.

    Raises:
        ValueError: for anything else.
    """

    __slots__ = ("text", "_bounds")

    _OPERATORS: Dict[str, Callable[[int], bool]] = {
        ">=": lambda order: order >= 0,
        "<=": lambda order: order <= 0,
        "==": lambda order: order == 0,
        "!=": lambda order: order != 0,
        ">": lambda order: order > 0,
        "<": lambda order: order < 0,
    }

    def __init__(self, text: str = "") -> None:
        self.text = text
        self._bounds: List[Tuple[Callable[[int], bool], Version]] = []
        for bound in text.split(","):
            bound = bound.strip()
            if not bound:
                continue
            sign = bound[:2] if bound[:2] in self._OPERATORS else bound[:1]
            version = parse(bound[len(sign) :].strip())
            if sign not in self._OPERATORS or not version:
                raise ValueError("not a version bound: %r" % bound)
            self._bounds.append((self._OPERATORS[sign], version))

    def __contains__(self, version: Optional[str]) -> bool:
        """Whether `version` meets every bound; an unknown version (None) is given the benefit of the doubt."""
        if version is None or not self._bounds:
            return True
        numbers = parse(version)
        return all(holds(_compare(numbers, bound)) for holds, bound in self._bounds)

    def __repr__(self) -> str:
        return "Range(%r)" % self.text


def normalize(name: str) -> str:
    """The canonical form of a distribution's name (PEP 503)."""
    out: List[str] = []
    for character in name.lower():
        if character in "-_.":
            if out and out[-1] != "-":
                out.append("-")
        else:
            out.append(character)
    return "".join(out)


class Installed:
    """Which distributions this interpreter can import: read from the names of the metadata folders on `sys.path`."""

    def __init__(self) -> None:
        self._folders: Dict[str, Dict[str, str]] = {}

    def version(self, name: str) -> Optional[str]:
        """The version of the distribution `name`, or None when it is not installed."""
        key = normalize(name)
        for entry in sys.path:
            found = self._read(entry or os.curdir).get(key)
            if found is not None:
                return found
        return None

    def _read(self, folder: str) -> Dict[str, str]:
        known = self._folders.get(folder)
        if known is None:
            known = self._folders[folder] = {}
            try:
                names = os.listdir(folder)
            except OSError:
                names = []
            for name in names:
                if name.endswith(".dist-info"):
                    distribution, _, version = name[:-10].rpartition("-")
                    known.setdefault(normalize(distribution), version)
                elif name.endswith(".egg-info"):
                    found = _metadata_version(os.path.join(folder, name))
                    if found is not None:
                        known.setdefault(normalize(name[:-9].partition("-")[0]), found)
        return known

    def forget(self) -> None:
        """Read the folders again at the next question."""
        self._folders.clear()


def _metadata_version(path: str) -> Optional[str]:
    for candidate in (os.path.join(path, "PKG-INFO"), path):
        try:
            with open(candidate, encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    if line.startswith("Version:"):
                        return line.partition(":")[2].strip()
        except OSError:
            continue
    return None


installed = Installed()
