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

_PRIORITIES = {"-1": -1, "0": 0, "1": 1, "2": 2}

_plain_parent = re.compile("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}").fullmatch
_parent = re.compile("([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL).fullmatch
_member = re.compile(
    r"([a-z0-9][a-z0-9_\-*/@]{0,255})=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])"
).fullmatch
_id = re.compile("[0-9a-f]{16}").fullmatch
# What may not stand in the `dd` member, whose own separators are ";" and ":".
_bad_key = re.compile(r"[^\x21-\x7e]|[,;:=~]").sub
_bad_value = re.compile(r"[^\x20-\x7e]|[,;~]").sub


# What was read from our member of `tracestate`, without the id of the last span. Others choose it, so there is an end.
_states: Dict[Tuple[str, Optional[int]], Tuple[Optional[int], Optional[str], Dict[str, str]]] = {}
_MAX_STATES = 256
_NO_ID = "0000000000000000"


class TraceContextPropagator:
    """`traceparent` and `tracestate`."""

    name = "tracecontext"
    leads = ("traceparent",)
    fields = ("traceparent", "tracestate")

    def extract(self, get: Callable[[str], Optional[str]]) -> Optional[SpanContext]:
        """The context of a valid `traceparent`. An invalid `tracestate` is as none; alone it is not read."""
        header = get("traceparent")
        if not header:
            return None
        if _plain_parent(header):
            trace, span, bits = int(header[3:35], 16), int(header[36:52], 16), int(header[53:], 16)
        else:
            match = _parent(header.strip(" \t"))
            if match is None:
                return None
            version, trace_id, span_id, flags, rest = match.groups()
            if version == "ff" or (version == "00" and rest is not None):
                return None
            trace, span, bits = int(trace_id, 16), int(span_id, 16), int(flags, 16)
        if not trace or not span:
            return None
        context = SpanContext(trace, span, bits & SAMPLED, is_remote=True)
        context.random = bool(bits & RANDOM)
        state = get("tracestate")
        if state:
            _read_state(state, context)
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


def _read_state(state: str, context: SpanContext) -> None:
    """Take over what `tracestate` says.

    Most consist of our member alone, and differ in the id of the last span only: those are read once.
    """
    start = state.find("p:") + 2
    last = state[start : start + 16]
    usual = state[:3] == "dd=" and "," not in state and state.count("p:") == 1
    if not usual or state[start - 3] not in "=;" or not _id(last):
        ours, context.tracestate = split_state(state)
        if ours:
            _read_ours(ours, context)
        return
    key = (state[:start] + _NO_ID + state[start + 16 :], context.priority)
    known = _states.get(key)
    if known is None:
        first = SpanContext(1, 1, context.priority)
        ours, _ = split_state(key[0])
        if ours:
            _read_ours(ours, first)
        known = first.priority, first.origin, first.tags
        if len(_states) < _MAX_STATES and len(state) <= MAX_LENGTH:
            _states[key] = known
    context.priority, context.origin, tags = known
    if tags:
        context.tags = tags = tags.copy()
        if tags.get("_dd.parent_id") == _NO_ID:
            tags["_dd.parent_id"] = last


def split_state(header: str) -> Tuple[str, str]:
    """The value of the member `dd`, and the other members; both empty if any member is invalid or stands twice."""
    ours = ""
    members: Dict[str, str] = {}
    for part in header.split(",", MAX_MEMBERS * 4):
        part = part.strip(" \t")
        if not part:
            continue
        match = _member(part)
        if match is None:
            return "", ""
        key, value = match.groups()
        if key in members or len(members) >= MAX_MEMBERS:
            return "", ""
        members[key] = part
        if key == "dd":
            ours = value
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
            decided = _PRIORITIES.get(text, decided)
        elif key == "o":
            context.origin = text.replace("~", "=")
        elif key == "p":
            if _id(text):
                tags["_dd.parent_id"] = text
        elif key[:2] == "t." and len(key) > 2 and key != "t.tid":
            tags["_dd.p." + key[2:]] = text.replace("~", "=") if "~" in text else text
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
