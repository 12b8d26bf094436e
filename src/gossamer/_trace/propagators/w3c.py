"""W3C Trace Context, level 2: the `traceparent` and `tracestate` headers.

Datadog's part of `tracestate` is the member `dd`: the sampling priority (`s`), the origin (`o`), the last span that
a Datadog tracer made (`p`) and the propagated trace tags (`t.*`). Members of other vendors pass through unchanged.

Source: https://www.w3.org/TR/trace-context-2/
"""

from __future__ import annotations

import re

from ..._core import SpanContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Optional, Tuple

MAX_MEMBERS = 32
MAX_LENGTH = 512
LONG_MEMBER = 128
MAX_DD = 256

SAMPLED = 1
RANDOM = 2

_parent = re.compile("([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL).fullmatch
_member = re.compile(
    r"([a-z0-9][a-z0-9_\-*/@]{0,255})=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])"
).fullmatch
_id = re.compile("[0-9a-f]{16}").fullmatch
_priority = re.compile("-1|[012]").fullmatch
# What may not stand in the `dd` member, whose own separators are ";" and ":".
_bad_key = re.compile(r"[^\x21-\x7e]|[,;:=~]").sub
_bad_value = re.compile(r"[^\x20-\x7e]|[,;~]").sub


class TraceContextPropagator:
    """`traceparent` and `tracestate`."""

    name = "tracecontext"
    fields = ("traceparent", "tracestate")

    def extract(self, get: Callable[[str], Optional[str]]) -> Optional[SpanContext]:
        """The context of a valid `traceparent`. An invalid `tracestate` is as none; alone it is not read."""
        header = get("traceparent")
        if not header:
            return None
        match = _parent(header.strip(" \t"))
        if match is None:
            return None
        version, trace_id, span_id, flags, rest = match.groups()
        if version == "ff" or (version == "00" and rest is not None):
            return None
        trace, span = int(trace_id, 16), int(span_id, 16)
        if not trace or not span:
            return None
        bits = int(flags, 16)
        context = SpanContext(trace, span, bits & SAMPLED, is_remote=True)
        context.random = bool(bits & RANDOM)
        state = get("tracestate")
        if state:
            ours, context.tracestate = split_state(state)
            if ours:
                _read_ours(ours, context)
        return context

    def inject(self, context: SpanContext, set: Callable[[str, str], object]) -> None:
        """Write both headers; `dd` is the first member of `tracestate`, the others keep their order."""
        if not context.trace_id or not context.span_id:
            return
        priority = context.priority
        flags = (SAMPLED if priority is not None and priority > 0 else 0) | (RANDOM if context.random else 0)
        set("traceparent", "00-%032x-%016x-%02x" % (context.trace_id, context.span_id, flags))
        state = _write_ours(context)
        if context.tracestate:
            state = _join(state, context.tracestate)
        if state:
            set("tracestate", state)


def split_state(header: str) -> Tuple[str, str]:
    """The value of the member `dd`, and the other members; both empty if any member is invalid or stands twice."""
    ours = ""
    members: Dict[str, str] = {}
    for part in header.split(",", MAX_MEMBERS * 4):
        part = part.strip(" \t")
        if not part:
            continue
        match = _member(part)
        if match is None or match.group(1) in members or len(members) >= MAX_MEMBERS:
            return "", ""
        members[match.group(1)] = part
        if match.group(1) == "dd":
            ours = match.group(2)
    members.pop("dd", None)
    return ours, ",".join(members.values())


def _read_ours(value: str, context: SpanContext) -> None:
    """Take over what a Datadog tracer wrote, as far as it does not contradict the sampled flag.

    The flag is the younger word: a tracer between us and that one, which knows nothing of `dd`, may have changed it.
    """
    sampled = context.priority
    tags = context.tags
    decided: Optional[int] = None
    for part in value.split(";"):
        key, _, text = part.partition(":")
        if not text:
            continue
        if key == "s":
            if _priority(text):
                decided = int(text)
        elif key == "o":
            context.origin = text.replace("~", "=")
        elif key == "p":
            if _id(text):
                tags["_dd.parent_id"] = text
        elif key[:2] == "t." and len(key) > 2 and key != "t.tid":
            tags["_dd.p." + key[2:]] = text.replace("~", "=")
    if decided is not None:
        if (decided > 0) == (sampled == 1):
            context.priority = decided
        elif sampled:
            tags["_dd.p.dm"] = "-0"
    if not sampled:
        tags.pop("_dd.p.dm", None)


def _write_ours(context: SpanContext) -> str:
    """The member `dd`, or an empty string when there is nothing to say."""
    parts = []
    if context.priority is not None:
        parts.append("s:%d" % context.priority)
    if context.origin:
        parts.append("o:" + _bad_value("_", context.origin).replace("=", "~"))
    tags = context.tags
    last = tags.get("_dd.parent_id") if context.is_remote else "%016x" % context.span_id
    if last:
        parts.append("p:" + last)
    length = sum(map(len, parts)) + len(parts)
    for key, value in tags.items():
        if key[:6] != "_dd.p." or key == "_dd.p.tid" or not value:
            continue
        part = "t.%s:%s" % (_bad_key("_", key[6:]), _bad_value("_", value).replace("=", "~"))
        if length + len(part) + 1 > MAX_DD:
            continue
        parts.append(part)
        length += len(part) + 1
    value = ";".join(parts).rstrip(" ")[:MAX_DD]
    return "dd=" + value if value else ""


def _join(ours: str, others: str) -> str:
    """Our member before the others. What is too much goes: long members first, then from the end."""
    state = ours + "," + others if ours else others
    if len(state) <= MAX_LENGTH and state.count(",") < MAX_MEMBERS:
        return state
    members = state.split(",")
    first = 1 if ours else 0
    if len(state) > MAX_LENGTH:
        for index in range(len(members) - 1, first - 1, -1):
            if len(members[index]) > LONG_MEMBER:
                del members[index]
                if len(",".join(members)) <= MAX_LENGTH:
                    break
    del members[MAX_MEMBERS:]
    while len(members) > first and len(",".join(members)) > MAX_LENGTH:
        del members[-1]
    return ",".join(members)
