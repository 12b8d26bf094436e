"""Query strings with what looks like a secret blotted out."""

from __future__ import annotations

import re

from ... import _log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Optional

REDACTED = "<redacted>"
MAX_QUERY = 4096

# Nothing here repeats without a bound before something that may be missing: a query string comes from anybody, and
# must not make the search slow.
_NAMES = (
    r"passw(?:or)?d|pass_?(?:phrase|code)|pwd|secret|token|credential|signature|authori[sz]ation|authenticat"
    r"|session_?id|consumer_?id|(?:api|private|public|access|signing|encryption|consumer)[_-]?key"
    r"|(?<![a-z])(?:pass|auth|sign|sig|jwt|otp|pin|sid)(?![a-z])"
)
_VALUES = (
    r"bearer(?:\s|%20|\+)[\w.\-]+"
    r"|token(?::|%3A)[a-z0-9]{13}"
    r"|gh[opsu]_[0-9a-z]{36}"
    r"|ey[i-l][\w=\-]{1,400}\.ey[i-l][\w=\-]*(?:\.[\w.+/=%\-]*)?"
    r"|BEGIN(?:\s|%20|\+).{0,20}PRIVATE(?:\s|%20|\+)KEY.*"
)
_name = re.compile(_NAMES, re.IGNORECASE).search
_value = re.compile(_VALUES, re.IGNORECASE).sub

# Whether the name of a parameter says that it is secret. Clients choose the names, so there is an end to it.
_secret: Dict[str, bool] = {}
_MAX_NAMES = 1024
_MAX_NAME = 64


def redact(query: str) -> str:
    """`query` without the parameters whose name says that they are secret, and values that look so."""
    if len(query) > MAX_QUERY:
        query = query[:MAX_QUERY]
    # The expressions are slow, so they see what nobody has asked before. Beyond ASCII, case is not so simple.
    if query.isascii():
        lower = query.lower()
        # Each of `_VALUES` contains one of these.
        if not (
            "bearer" in lower
            or "token" in lower
            or ".ey" in lower
            or "begin" in lower
            or ("gh" in lower and "_" in lower)
        ):
            for part in query.split("&"):
                name, equals, _ = part.partition("=")
                if not equals:
                    name, equals, _ = part.partition("%3D")
                if equals and _is_secret(name):
                    break
            else:
                return query
    return "&".join([_redact_parameter(part) for part in query.split("&")])


def _is_secret(name: str) -> bool:
    found = _secret.get(name)
    if found is None:
        found = _name(name) is not None
        if len(name) <= _MAX_NAME:
            if len(_secret) >= _MAX_NAMES:
                _secret.clear()
            _secret[name] = found
    return found


def _redact_parameter(part: str) -> str:
    name, equals, value = part.partition("=")
    if not equals:
        name, equals, value = part.partition("%3D")
    if equals and _name(name):
        return REDACTED
    return _value(REDACTED, part)


class Redactor:
    """Blots out secrets in a query string; cuts one that is very long.

    Args:
        expression: what to blot out, instead of the built-in rules; empty: nothing.

    Attributes:
        redact: the plain function that does it.
    """

    __slots__ = ("redact",)

    def __init__(self, expression: Optional[str] = None) -> None:
        self.redact: Callable[[str], str] = redact
        if expression == "":
            self.redact = lambda query: query[:MAX_QUERY]
        elif expression is not None:
            try:
                pattern = re.compile(expression)
            except re.error as error:
                _log.get(__name__).warning("%r is not a regular expression: %s", expression, error)
            else:
                self.redact = lambda query: pattern.sub(REDACTED, query[:MAX_QUERY])

    def __call__(self, query: str) -> str:
        return self.redact(query)
