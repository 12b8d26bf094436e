"""W3C Baggage: key-value pairs of the application, in the header `baggage`.

Properties of a member (after a semicolon) are not kept. Source: https://www.w3.org/TR/baggage/
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from ..._core import SpanContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Optional

MAX_MEMBERS = 64
MAX_BYTES = 8192

# `quote` keeps letters, digits and "_.-~" besides these.
_KEY_SAFE = "!#$&'*+^`|"
_VALUE_SAFE = "!#$&'()*+/:<=>?@[]^`{|}"
_key = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_value = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*").fullmatch


class BaggagePropagator:
    """The header `baggage`."""

    name = "baggage"
    leads = ("baggage",)
    fields = ("baggage",)

    def extract(self, get: Callable[[str], Optional[str]]) -> Optional[SpanContext]:
        """A context without a trace that holds the valid members, or None if there is none."""
        header = get("baggage")
        if not header:
            return None
        baggage = parse(header)
        return SpanContext(0, 0, baggage=baggage, is_remote=True) if baggage else None

    def inject(self, context: SpanContext, set: Callable[[str, str], object]) -> None:
        """Write the members that fit."""
        if context.baggage:
            header = write(context.baggage)
            if header:
                set("baggage", header)


def parse(header: str) -> Dict[str, str]:
    """The members of a `baggage` header, as many as are valid and within the limits; of a repeated key the last."""
    baggage: Dict[str, str] = {}
    if len(header) > MAX_BYTES:
        header = header[:MAX_BYTES].rpartition(",")[0]
    for member in header.split(",", MAX_MEMBERS)[:MAX_MEMBERS]:
        key, equals, value = member.partition(";")[0].partition("=")
        key, value = key.strip(" \t"), value.strip(" \t")
        if equals and _key(key) and _value(value):
            baggage[unquote(key)] = unquote(value)
    return baggage


def write(baggage: Dict[str, str]) -> str:
    """The header for `baggage`; members that pass the limits are left out."""
    members = []
    size = -1
    for key, value in list(baggage.items()):
        name = quote(key, _KEY_SAFE, errors="replace")
        if not name:
            continue
        member = name + "=" + quote(value, _VALUE_SAFE, errors="replace")
        if size + len(member) + 1 > MAX_BYTES:
            continue
        members.append(member)
        size += len(member) + 1
        if len(members) == MAX_MEMBERS:
            break
    return ",".join(members)
