"""What a span says to Datadog besides its fixed fields: `meta` (text) and `metrics` (numbers), by Datadog's names.

This is the full translation, readable and complete. The encoder has a faster way of its own for plain spans and comes
here for the constants of a kind of span, and for whatever is out of the ordinary.
"""

from __future__ import annotations

import json

from .._core import ENTRY, ROOT
from .names_datadog import AS_TEXT, EXCEPTIONS, FIXED, STATEMENT, URL_PARTS, translate
from .pack import utf8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

    from .._core.context import SpanContext
    from .._core.pure import Event, Link, Span, Trace
    from .info import Process


__all__ = ["MAX_KEY", "MAX_RESOURCE", "MAX_TEXT", "constants", "translated", "trace_facts"]

MAX_RESOURCE = 5000
MAX_TEXT = 25000
MAX_KEY = 200
_EXACT = 2**53  # integers beyond are not exact as a float64
_PORTS = {"http": "80", "https": "443"}


def constants(
    service: Optional[str], kind: str, integration: Optional[str], role: int, process: Process
) -> Tuple[Dict[str, str], Dict[str, float]]:
    """`meta` and `metrics` of every span of a kind."""
    meta: Dict[str, str] = {}
    metrics: Dict[str, float] = {}
    if process.env:
        meta["env"] = process.env
    if service is None or service.lower() == process.service.lower():
        if process.version:
            meta["version"] = process.version
    else:
        meta["_dd.base_service"] = process.service
    meta.update(process.tags)
    if kind != "internal":
        meta["span.kind"] = kind
        metrics["_dd.measured"] = 1.0
    if integration:
        meta["component"] = integration
    if role >= ENTRY:
        metrics["_dd.top_level"] = 1.0
    if role == ROOT:
        meta["language"] = "python"
        meta["runtime-id"] = process.runtime_id
        metrics["process_id"] = float(process.pid)
        if process.hostname:
            meta["_dd.hostname"] = process.hostname
    return meta, metrics


def trace_facts(trace: Trace) -> Tuple[Dict[str, str], Dict[str, float]]:
    """`meta` and `metrics` that stand once in a chunk, on its first span."""
    meta: Dict[str, str] = {}
    metrics: Dict[str, float] = {}
    if trace.tags:
        meta.update((key, value) for key, value in trace.tags.items() if key != "_dd.p.tid")
    high = trace.trace_id >> 64
    if high:
        meta["_dd.p.tid"] = "%016x" % high
    priority = trace.priority
    if priority is not None:
        metrics["_sampling_priority_v1"] = float(priority)
        if priority > 0 and trace.mechanism is not None:
            meta["_dd.p.dm"] = "-%d" % trace.mechanism
    if trace.rate is not None:
        rule = trace.mechanism is not None and trace.mechanism >= 3
        metrics["_dd.rule_psr" if rule else "_dd.agent_psr"] = float(trace.rate)
    if trace.origin:
        meta["_dd.origin"] = trace.origin
    return meta, metrics


def translated(
    span: Span, resource: str, names: Dict[str, str], fixed: Tuple[Dict[str, str], Dict[str, float]]
) -> Tuple[Dict[str, str], Dict[str, float]]:
    """`meta` and `metrics` of one span, on top of the `fixed` ones; what the program set itself wins."""
    meta, metrics = dict(fixed[0]), dict(fixed[1])
    attributes = span.attributes
    for key, value in list(attributes.items()):
        name = translate(key, names)
        if key == "db.query.text" and name == STATEMENT and value == resource:
            continue
        if key in URL_PARTS and span.kind == "server":
            if "url.full" in attributes or "http.url" in attributes:
                continue
            name, value = "http.url", url_of(attributes)
        elif name == key and key in names.values() and _has_source(key, names, attributes):
            continue  # our own name for the same thing is there as well
        _put(name, value, meta, metrics)
    if span.error:
        meta.update(error_pairs(span))
    return meta, metrics


def _has_source(key: str, names: Dict[str, str], attributes: Dict[str, Any]) -> bool:
    return any(theirs == key and ours in attributes for ours, theirs in names.items())


def url_of(attributes: Dict[str, Any]) -> str:
    """The URL of a request from the parts that a server knows."""
    get = attributes.get
    scheme, path = get("url.scheme", "http"), get("url.path", "")
    host, port, query = get("server.address", ""), get("server.port", ""), get("url.query", "")
    if port.__class__ is int:
        port = str(port)
    if not (scheme.__class__ is path.__class__ is host.__class__ is port.__class__ is query.__class__ is str):
        scheme, path, host, port, query = map(text, (scheme, path, host, port, query))
    scheme = scheme or "http"
    if ":" in host and host[0] != "[":
        host = "[" + host + "]"
    if port and port != _PORTS.get(scheme):
        host += ":" + port
    if query:
        return "".join((scheme, "://", host, path, "?", query))
    return "".join((scheme, "://", host, path))


def _put(name: str, value: Any, meta: Dict[str, str], metrics: Dict[str, float]) -> None:
    """Set one attribute where its type says: text in `meta`, numbers in `metrics`, sequences one by one."""
    name = name[:MAX_KEY]
    if isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            _put("%s.%d" % (name, index), item, meta, metrics)
        return
    kind = value.__class__
    number = (kind is float and value - value == 0.0) or (
        kind is int and -_EXACT <= value <= _EXACT and name not in AS_TEXT
    )
    if number and name not in FIXED:
        metrics[name] = float(value)
        meta.pop(name, None)
    else:
        meta[name] = text(value)
        metrics.pop(name, None)


def text(value: Any) -> str:
    """A scalar as text."""
    if value.__class__ is str:
        return value
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    try:
        return str(value)
    except Exception:
        return "<%s>" % value.__class__.__name__


def error_pairs(span: Span) -> Dict[str, str]:
    """The last exception of a failed span, or what it says of its failure."""
    exception = last_exception(span)
    if exception is None:
        return {"error.message": span.status_message} if span.status_message else {}
    facts = exception.attributes
    kind = text(facts.get("exception.type", ""))
    meta = {
        "error.type": "builtins." + kind if kind in EXCEPTIONS else kind,
        "error.message": text(facts.get("exception.message", "")),
    }
    stack = facts.get("exception.stacktrace")
    if stack:
        meta["error.stack"] = text(stack)
    return meta


def plain_error(span: Span) -> Optional[Dict[str, str]]:
    """The same for a span whose events say nothing else; None for others."""
    events = span.events
    if events and not (span.error and len(events) == 1 and events[0].name == "exception"):
        return None
    return error_pairs(span) if span.error else {}


def last_exception(span: Span) -> Optional[Event]:
    """The exception event that says why a span failed."""
    if span.error:
        for event in reversed(span.events or ()):
            if event.name == "exception":
                return event
    return None


def events_of(span: Span) -> List[Event]:
    """The events to send as such: the exception that became the span's error is not sent twice."""
    error = last_exception(span)
    return [event for event in span.events or () if event is not error]


def events_json(events: List[Event]) -> str:
    """Events as Datadog's tracers put them into `meta` for an Agent that knows no events."""
    return _json(
        [
            {"name": event.name, "time_unix_nano": event.time, "attributes": _jsonable(event.attributes)}
            for event in events
        ]
    )


def links_json(links: List[Link]) -> str:
    """Links as Datadog's tracers put them into `meta` where the format has no place for them."""
    found = []
    for link in links:
        context = link.context
        item: Dict[str, Any] = {"trace_id": context.trace_id_hex, "span_id": context.span_id_hex}
        if link.attributes:
            item["attributes"] = flat_text(link.attributes)
        if context.tracestate:
            item["tracestate"] = context.tracestate
        flags = link_flags(context)
        if flags:
            item["flags"] = flags & 1
        found.append(item)
    return _json(found)


def _json(value: Any) -> str:
    """`value` as JSON; lone surrogates, which no reader could decode, are written out as everywhere else."""
    found = json.dumps(value, separators=(",", ":"))
    return json.dumps(_decodable(value), separators=(",", ":")) if "\\ud" in found else found


def _decodable(value: Any) -> Any:
    if isinstance(value, str):
        return utf8(value).decode()
    if isinstance(value, dict):
        return {_decodable(key): _decodable(item) for key, item in value.items()}
    return [_decodable(item) for item in value] if isinstance(value, list) else value


def link_flags(context: SpanContext) -> int:
    """W3C's flags; the highest bit says that they are known."""
    return 0 if context.priority is None else 0x80000000 | (context.priority > 0)


def flat_text(attributes: Dict[str, Any]) -> Dict[str, str]:
    """Attributes as text, the items of sequences one by one."""
    found: Dict[str, str] = {}
    for key, value in list(attributes.items()):
        if isinstance(value, (tuple, list)):
            found.update(("%s.%d" % (key, index), text(item)) for index, item in enumerate(value))
        else:
            found[key] = text(value)
    return found


def _jsonable(attributes: Dict[str, Any]) -> Dict[str, Any]:
    def scalar(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return [scalar(item) for item in value]
        if isinstance(value, (bool, int)) or (isinstance(value, float) and value - value == 0.0):
            return value
        return text(value)

    return {key: scalar(value) for key, value in list(attributes.items())}
