"""logging of the standard library: every record says in which trace it was written.

Records get the attributes of Datadog's log injection (`dd.trace_id`, `dd.span_id`, `dd.service`, `dd.env`,
`dd.version`) and OpenTelemetry's (`otelTraceID`, `otelSpanID`, `otelServiceName`, `otelTraceSampled`), so that formats
made for either work. They are plain values: a record may be pickled. What the program sets itself is kept.
"""

from __future__ import annotations

from gossamer.instrument import Integration, Site, SpanContext, active

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional, Tuple

logging = Integration(
    "logging",
    title="logging",
    docs="https://docs.python.org/3/library/logging.html",
    notes="Adds the ids of the trace to log records; makes no spans.",
)


@logging.wrap("logging:Logger.makeRecord", build=True)
def make_record(site: Site) -> Callable[..., Any]:
    """Add the ids to a record that was just made, by whatever factory."""
    original, settings = site.original, site.options.shared
    # The span that wrote the last record, its priority then, and what records say: who writes once mostly writes more.
    last: Tuple[Any, Optional[int], Dict[str, Any]] = (None, None, describe(None, settings, None))

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        nonlocal last
        record = original(*args, **kwargs)
        if site.off:
            return record
        try:
            found: Any = active()
            span, decided, facts = last
            if found is None:
                priority = None
            else:
                priority = found.priority if found.__class__ is SpanContext else found.trace.priority
            if span is not found or decided != priority:
                facts = describe(found, settings, priority)
                last = (found, priority, facts)
            known = record.__dict__
            if facts.keys().isdisjoint(known):
                known.update(facts)
            else:  # given as `extra`, or by a factory of the program
                for name, value in facts.items():
                    known.setdefault(name, value)
        except Exception as error:
            site.failed(error)
        return record

    return wrapper


def describe(found: Any, settings: Any, priority: Optional[int]) -> Dict[str, Any]:
    """What a record says of the active span `found`, or of there being none."""
    if found is None:
        trace_id = span_id = decimal = "0"
    else:
        trace = found if found.__class__ is SpanContext else found.trace
        trace_id, span_id, decimal = trace.trace_id_hex, found.span_id_hex, str(found.span_id)
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
