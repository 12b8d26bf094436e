"""Datadog's `x-datadog-*` headers.

Trace ids are decimal and of 64 bits there; the upper half travels as the tag `_dd.p.tid`. What is wrong with tags is
told in the tag `_dd.propagation_error`, in the words that Datadog's tracers use, and the trace goes on without them.
"""

from __future__ import annotations

import re

from ..._core import SpanContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Optional

MAX_TAGS = 512
_LOW = 0xFFFFFFFFFFFFFFFF
_ERROR = "_dd.propagation_error"

_number = re.compile("[0-9]{1,20}").fullmatch
_priority = re.compile("-1|[012]").fullmatch
_origin = re.compile(r"[\x20-\x7e]{1,512}").fullmatch
_key = re.compile(r"_dd\.p\.[\x21-\x2b\x2d-\x3c\x3e-\x7e]+").fullmatch
_value = re.compile(r"[\x20-\x2b\x2d-\x7e]+").fullmatch
_tid = re.compile("[0-9a-f]{16}").fullmatch
_mechanism = re.compile("-[0-9]{1,3}").fullmatch


class DatadogPropagator:
    """`x-datadog-trace-id` and its companions."""

    name = "datadog"
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
        trace_id, span_id = _integer(header), _integer(get("x-datadog-parent-id") or "0")
        if not trace_id or span_id is None:
            return None
        priority = (get("x-datadog-sampling-priority") or "").strip()
        origin = (get("x-datadog-origin") or "").strip()
        context = SpanContext(
            trace_id,
            span_id,
            int(priority) if _priority(priority) else None,
            origin if _origin(origin) else None,
            is_remote=True,
        )
        tags = get("x-datadog-tags")
        if tags:
            context.tags = read_tags(tags)
            upper = context.tags.pop("_dd.p.tid", None)
            if upper is not None:
                if _tid(upper) and upper != "0000000000000000":
                    context.trace_id |= int(upper, 16) << 64
                else:
                    context.tags[_ERROR] = "malformed_tid " + upper
        return context

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
    header = header.strip(" \t")
    if not _number(header):
        return None
    value = int(header)
    return value if value <= _LOW else None


def read_tags(header: str) -> Dict[str, str]:
    """Propagated tags; of a header that is malformed or too long, only the word for that."""
    if len(header) > MAX_TAGS:
        return {_ERROR: "extract_max_size"}
    tags: Dict[str, str] = {}
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
