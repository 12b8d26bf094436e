"""Datadog's `x-datadog-*` headers.

Trace ids are decimal and of 64 bits there; the upper half travels as the tag `_dd.p.tid`. What is wrong with tags is
told in the tag `_dd.propagation_error`, in the words that Datadog's tracers use, and the trace goes on without them.
"""

from __future__ import annotations

import re

from ..._core import SpanContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Optional, Tuple

MAX_TAGS = 512
_LOW = 0xFFFFFFFFFFFFFFFF
_ERROR = "_dd.propagation_error"

_PRIORITIES = {"-1": -1, "0": 0, "1": 1, "2": 2}

_number = re.compile("[0-9]{1,20}").fullmatch
_origin = re.compile(r"[\x20-\x7e]{1,512}").fullmatch
_key = re.compile(r"_dd\.p\.[\x21-\x2b\x2d-\x3c\x3e-\x7e]+").fullmatch
_value = re.compile(r"[\x20-\x2b\x2d-\x7e]+").fullmatch
_tid = re.compile("[0-9a-f]{16}").fullmatch
_mechanism = re.compile("-[0-9]{1,3}").fullmatch

# What was read from a header of tags without its id: the same few come with every request. Others choose them, so there
# is an end to it.
_read: Dict[str, Dict[str, str]] = {}
_MAX_READ = 256
_TID = "_dd.p.tid="
_NO_UPPER = "0000000000000000"


class DatadogPropagator:
    """`x-datadog-trace-id` and its companions."""

    name = "datadog"
    leads = ("x-datadog-trace-id",)
    fields = (
        "x-datadog-trace-id",
        "x-datadog-parent-id",
        "x-datadog-sampling-priority",
        "x-datadog-origin",
        "x-datadog-tags",
    )

    def extract(self, get: Callable[[str], Optional[str]]) -> Optional[SpanContext]:
        """The context of a valid trace id. No parent id, or 0: the trace begins here, under the id that was given."""
        header = get("x-datadog-trace-id")
        if not header:
            return None
        trace_id, parent = _integer(header), get("x-datadog-parent-id")
        span_id = _integer(parent) if parent else 0
        if not trace_id or span_id is None:
            return None
        priority, origin = get("x-datadog-sampling-priority"), get("x-datadog-origin")
        if origin:
            origin = origin.strip()
        tags, upper = split_tags(get("x-datadog-tags") or "")
        return SpanContext(
            upper << 64 | trace_id,
            span_id,
            _PRIORITIES.get(priority.strip()) if priority else None,
            origin if origin and _origin(origin) else None,
            tags,
            is_remote=True,
        )

    def inject(self, context: SpanContext, set: Callable[[str, str], object]) -> None:
        """Write the headers; tags that are too long are left out as a whole."""
        trace_id = context.trace_id
        if not trace_id:
            return
        set("x-datadog-trace-id", str(trace_id & _LOW))
        set("x-datadog-parent-id", str(context.span_id))
        if context.priority is not None:
            set("x-datadog-sampling-priority", str(context.priority))
        if context.origin and _origin(context.origin):
            set("x-datadog-origin", context.origin)
        tags = write_tags(context)
        if tags:
            set("x-datadog-tags", tags)


def _integer(header: str) -> Optional[int]:
    if not (len(header) <= 20 and header.isdigit() and header.isascii()):  # else it is what the expression looks for
        header = header.strip(" \t")
        if not _number(header):
            return None
    value = int(header)
    return value if value <= _LOW else None


def split_tags(header: str) -> Tuple[Dict[str, str], int]:
    """Propagated tags, and the upper half of the trace id that is among them."""
    start = header.find(_TID)
    if start < 0:
        return read_tags(header), 0
    end = start + 26
    upper = header[start + 10 : end]
    # Cut out, since what is left is the same in most requests; but no comma may stand at an end.
    if start == 0:
        rest = header[end + 1 :]
        whole = end >= len(header) or (header[end] == "," and rest != "")
    else:
        rest = header[: start - 1] + header[end:]
        whole = start > 1 and header[start - 1] == "," and header[end : end + 1] in ("", ",")
    if whole and _tid(upper):
        known = _read.get(rest)
        if known is None and _TID not in rest and len(header) <= MAX_TAGS:
            known = read_tags(rest)
            if _ERROR not in known and len(_read) < _MAX_READ:
                _read[rest] = known
        if known is not None and _ERROR not in known and upper != _NO_UPPER:
            return known.copy(), int(upper, 16)
    tags = read_tags(header)
    if "_dd.p.tid" not in tags:
        return tags, 0
    upper = tags.pop("_dd.p.tid")
    if _tid(upper) and upper != _NO_UPPER:
        return tags, int(upper, 16)
    tags[_ERROR] = "malformed_tid " + upper
    return tags, 0


def read_tags(header: str) -> Dict[str, str]:
    """Propagated tags; of a header that is malformed or too long, only the word for that."""
    tags: Dict[str, str] = {}
    if not header:
        return tags
    if len(header) > MAX_TAGS:
        return {_ERROR: "extract_max_size"}
    for part in header.split(","):
        key, _, value = part.strip(" \t").partition("=")
        if not key or not _value(value):
            return {_ERROR: "decoding_error"}
        if key[:6] != "_dd.p.":
            continue
        if not _key(key):
            return {_ERROR: "decoding_error"}
        tags[key] = value
    mechanism = tags.get("_dd.p.dm")
    if mechanism is not None and not _mechanism(mechanism):
        del tags["_dd.p.dm"]
        tags[_ERROR] = "decoding_error"
    return tags


def write_tags(context: SpanContext) -> str:
    """The header for the tags of `context`, or an empty string; says in the tags why it could not be written."""
    parts = []
    for key, value in context.tags.items():
        if key[:6] != "_dd.p." or key == "_dd.p.tid":
            continue
        if not _key(key) or not _value(value):
            context.tags[_ERROR] = "encoding_error"
            return ""
        parts.append(key + "=" + value)
    upper = context.trace_id >> 64
    if upper:
        parts.append("_dd.p.tid=%016x" % upper)
    header = ",".join(parts)
    if len(header) > MAX_TAGS:
        context.tags[_ERROR] = "inject_max_size"
        return ""
    return header
