"""How much the viewer keeps."""

import re
from typing import NamedTuple

_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)$")
_BYTES = {"kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40, "k": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class Limits(NamedTuple):
    """Whichever is passed first, the oldest traces go."""

    spans: int = 1000000
    bytes: int = 1 << 30
    age: int = 7 * 86400  # seconds


def parse_limits(text: str) -> Limits:
    """Limits from ``1000000``, ``1GB``, ``7d`` or several of them with commas; what is not named keeps its default.

    Raises ``ValueError`` that says what is expected.
    """
    limits = Limits()
    for part in filter(None, (part.strip() for part in text.lower().replace("_", "").split(","))):
        match = _PART.match(part)
        unit = match.group(2) if match else ""
        if match is None or (unit and unit not in _BYTES and unit not in _SECONDS and unit != "spans"):
            raise ValueError("{!r}: expected a number of spans (1000000), bytes (1GB) or an age (7d)".format(part))
        amount = float(match.group(1))
        if unit in _BYTES:
            limits = limits._replace(bytes=int(amount * _BYTES[unit]))
        elif unit in _SECONDS:
            limits = limits._replace(age=int(amount * _SECONDS[unit]))
        else:
            limits = limits._replace(spans=int(amount))
    if limits.spans < 1 or limits.bytes < 1 << 20 or limits.age < 1:
        raise ValueError("{!r}: at least 1 span, 1MB and 1s".format(text))
    return limits
