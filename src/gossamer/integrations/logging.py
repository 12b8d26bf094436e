"""logging of the standard library: every record says in which trace it was written.

Records get the attributes of Datadog's log injection (`dd.trace_id`, `dd.span_id`, `dd.service`, `dd.env`,
`dd.version`) and OpenTelemetry's (`otelTraceID`, `otelSpanID`, `otelServiceName`, `otelTraceSampled`), so that formats
made for either work. They are plain values: a record may be pickled. What the program sets itself is kept.
"""

from __future__ import annotations

from gossamer.instrument import Call, Integration, SpanContext, active

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional, Tuple

logging = Integration(
    "logging",
    title="logging",
    docs="https://docs.python.org/3/library/logging.html",
    notes="Adds the ids of the trace to log records; makes no spans.",
)

# The span that wrote the last record, and what its records say: one that writes once mostly writes more.
_last: Tuple[Any, Any, Optional[int], Dict[str, Any]] = (None, None, None, {})


@logging.after("logging:Logger.makeRecord")
def make_record(call: Call, record: Any) -> None:
    """Add the ids to a record that was just made, by whatever factory."""
    global _last
    found = active()
    settings = call.options.shared
    if found is None:
        priority = None
    else:
        priority = found.priority if found.__class__ is SpanContext else found.trace.priority  # type: ignore[union-attr]
    span, configured, decided, facts = _last
    if span is not found or configured is not settings or decided != priority or not facts:
        facts = describe(found, settings, priority)
        _last = (found, settings, priority, facts)
    known = record.__dict__
    if facts.keys().isdisjoint(known):
        known.update(facts)
    else:  # given as `extra`, or by a factory of the program
        for name, value in facts.items():
            known.setdefault(name, value)


def describe(found: Any, settings: Any, priority: Optional[int]) -> Dict[str, Any]:
    """What a record says of the active span `found`, or of there being none."""
    if found is None:
        trace_id = span_id = decimal = "0"
    else:
        number = found.trace_id if found.__class__ is SpanContext else found.trace.trace_id
        trace_id, span_id, decimal = "%032x" % number, "%016x" % found.span_id, str(found.span_id)
    service = "" if settings is None else settings.service
    return {
        "dd.trace_id": trace_id,
        "dd.span_id": decimal,
        "dd.service": service,
        "dd.env": "" if settings is None else settings.env,
        "dd.version": "" if settings is None else settings.version,
        "otelTraceID": trace_id,
        "otelSpanID": span_id,
        "otelServiceName": service,
        "otelTraceSampled": priority is not None and priority > 0,
    }
