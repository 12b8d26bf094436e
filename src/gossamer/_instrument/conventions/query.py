"""Query strings with what looks like a secret blotted out."""

from __future__ import annotations

import re

from ... import _log

if False:
    from typing import Optional

REDACTED = "<redacted>"
MAX_QUERY = 4096

_EQUALS = "(?:=|%3D)"
# A parameter whose name says that it is secret, with its value; then values that are secret under any name.
_BUILT_IN = (
    r"[\w.\-%\[\]]*"
    r"(?:pass(?:w(?:or)?d|_?phrase|code)?|pwd|secret|token|credential|signature|auth(?:entication|orization)?"
    r"|session_?id|jwt|otp|(?:api|private|public|access|secret|signing|encryption|consumer)_?-?key(?:_?id)?"
    r"|consumer_?id|sig|sign)"
    r"(?:[\]\[]|%5B|%5D)*" + _EQUALS + r"[^&;]*"
    r"|bearer(?:\s|%20|\+)+[a-z0-9._\-]+"
    r"|token(?::|%3A)[a-z0-9]{13}"
    r"|gh[opsu]_[0-9a-z]{36}"
    r"|ey[i-l][\w=\-]+\.ey[i-l][\w=\-]+(?:\.[\w.+/=%\-]+)?"
    r"|-+BEGIN(?:\s|%20|\+)[a-z\s%20+]+PRIVATE(?:\s|%20|\+)KEY-+[^&]*"
)


class Redactor:
    """Blots out secrets in a query string; cuts one that is very long.

    Args:
        expression: what to blot out, instead of the built-in rules; empty: nothing.
    """

    def __init__(self, expression: Optional[str] = None) -> None:
        self._sub = None
        if expression is None:
            self._sub = re.compile(_BUILT_IN, re.IGNORECASE).sub
        elif expression:
            try:
                self._sub = re.compile(expression).sub
            except re.error as error:
                _log.get(__name__).warning("%r is not a regular expression: %s", expression, error)
                self._sub = re.compile(_BUILT_IN, re.IGNORECASE).sub

    def __call__(self, query: str) -> str:
        if len(query) > MAX_QUERY:
            query = query[:MAX_QUERY]
        return query if self._sub is None else self._sub(REDACTED, query)
