"""Statements of SQL without their literals, so that spans show no data and equal statements have one resource."""

from __future__ import annotations

import re

from ..._core.values import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Match, Tuple

MAX_STATEMENT = 50000
"""What stands behind this many characters of a statement is not looked at."""
MAX_CACHED = 2000
"""Longest statement that is remembered; longer ones are mostly written by programs and do not come back."""
_CACHE_SIZE = 2000

# A literal that is not closed goes on to the end, as the statement may have been cut there. Each repetition consumes
# something that the next one cannot begin with, so that no statement makes the search slow.
_COMMENT = r"(?P<comment>/\*(?:[^*]|\*(?!/))*(?:\*/|\Z)|--[^\n]*"
_PLAIN = r"(?:\b[NnXxBb])?'[^']*(?:''[^']*)*(?:'|\Z)"
_WITH_BACKSLASH = r"'[^'\\]*(?:(?:\\.|'')[^'\\]*)*(?:'|\\?\Z)"
_DOUBLE = r'"[^"\\]*(?:(?:\\.|"")[^"\\]*)*(?:"|\\?\Z)'
_DOLLAR = r"\$(?P<tag>[A-Za-z_]\w*|)\$(?:[^$]|\$(?!(?P=tag)\$))*(?:\$(?P=tag)\$|\Z)"
_NUMBER = r"(?<![\w.$:@?])(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
_NAME = r'(?P<name>"[^"]*(?:"|\Z)|`[^`]*(?:`|\Z))'
_SPACE = r"(?P<space>\s+)"


_STANDARD, _POSTGRES, _MYSQL = "standard", "postgres", "mysql"
_PARTS = {  # dialect: comments, names, literals
    _STANDARD: (_COMMENT, _NAME, (_PLAIN, _DOLLAR, _NUMBER)),
    # E'it\'s' is a string with escapes.
    _POSTGRES: (_COMMENT, _NAME, (r"\b[Ee]" + _WITH_BACKSLASH, _PLAIN, _DOLLAR, _NUMBER)),
    # A backslash escapes everywhere, "text" is a string, and # begins a comment.
    _MYSQL: (_COMMENT + r"|\#[^\n]*", r"(?P<name>`[^`]*(?:`|\Z))", (_WITH_BACKSLASH, _DOUBLE, _NUMBER)),
}
_DIALECTS = {
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "clickhouse": _MYSQL,
    "postgresql": _POSTGRES,
    "cockroachdb": _POSTGRES,
    "aws.redshift": _POSTGRES,
}
_patterns: Dict[str, Any] = {}  # compiled when they are first needed


def _pattern(system: str) -> Any:
    dialect = _DIALECTS.get(system, _STANDARD)
    pattern = _patterns.get(dialect)
    if pattern is None:
        comments, names, literals = _PARTS[dialect]
        parts = (comments + ")", "(?P<literal>%s)" % "|".join(literals), names, _SPACE)
        pattern = _patterns[dialect] = re.compile("|".join(parts), re.DOTALL)
    return pattern


_MEMBER = r"(?:\?\d*|%s|[$:]\w+)"
_LIST = re.compile(r"\bIN ?\( ?{0}(?: ?, ?{0})+ ?\)".format(_MEMBER), re.IGNORECASE)
_BLANKS = re.compile(" {2,}")
_WORD = re.compile(r"\W*(\w+)")

_MAX_SYSTEMS = 50
_caches: Dict[Any, Dict[str, Tuple[str, str]]] = {}


def known(system: Any) -> Dict[str, Tuple[str, str]]:
    """The statements that `normalize` remembers for a database system, with its answers. Only to be read."""
    cache = _caches.get(system)
    if cache is None:
        if len(_caches) >= _MAX_SYSTEMS:
            _caches.clear()
        cache = _caches[system] = {}
    return cache


def normalize(statement: object, system: Any, limit: int = 5000) -> Tuple[str, str]:
    """(the statement without literals and comments, its first word in capitals).

    Comments go because they may hold anything, the context of a trace included. Runs of white space become a blank,
    and the members of an IN list one. Placeholders and names stay.
    """
    if statement.__class__ is not str:
        statement = text(statement, MAX_STATEMENT)
    cache = known(system)
    found = cache.get(statement)
    if found is None:
        found = _normalize(statement, system)
        if len(statement) <= MAX_CACHED:
            if len(cache) >= _CACHE_SIZE:
                cache.clear()
            cache[statement] = found
    return found if len(found[0]) <= limit else (found[0][:limit], found[1])


def _normalize(statement: str, system: Any) -> Tuple[str, str]:
    shown = _pattern(system).sub(_replace, statement[:MAX_STATEMENT]).strip()
    shown = _LIST.sub("IN (?)", _BLANKS.sub(" ", shown))
    word = _WORD.match(shown)
    return shown, word.group(1).upper()[:40] if word else ""


def _replace(match: Match[str]) -> str:
    kind = match.lastgroup
    if kind == "name":
        return match.group()
    if kind == "space" or kind == "comment":
        return " "
    return "?"
