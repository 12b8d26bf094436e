"""What both encodings of OTLP say: how spans are grouped, and what is said beside their attributes."""

from __future__ import annotations

import sys

from .._core import ROOT
from .pack import compiled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Optional, Tuple

    from .._core.buffer import Batch
    from .._core.pure import Link, Span, Trace
    from .info import Process

    Groups = Dict[Optional[str], Dict[Optional[str], List[Span]]]

__all__ = [
    "KINDS",
    "MAX_TEXT",
    "extra_attributes",
    "group_of",
    "grouped",
    "link_flags",
    "resource",
    "sampled",
    "scope",
    "span_flags",
    "span_name",
    "times",
]

KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
MAX_TEXT = 25000
_U64 = 0xFFFFFFFFFFFFFFFF
_I64 = 0x7FFFFFFFFFFFFFFF


def sampled(batch: Batch) -> Tuple[int, int]:
    """How many traces and spans of `batch` an OTLP request will hold."""
    if batch.native:
        return compiled().sampled(batch)  # type: ignore[no-any-return]
    sizes = [len(chunk.spans) for chunk in batch if chunk.trace.priority is None or chunk.trace.priority > 0]
    return len(sizes), sum(sizes)


def group_of(service: Optional[str], integration: Optional[str], kind: str, process: Process) -> Optional[str]:
    """The service that a span goes under; None: the application's."""
    if service == process.service or (integration is not None and kind not in ("server", "consumer")):
        return None
    return service


def grouped(batch: Batch, process: Process) -> Groups:
    """The sampled spans by service (None: the application's) and integration (None: made by hand)."""
    groups: Groups = {}
    for chunk in batch:
        priority = chunk.trace.priority
        if priority is not None and priority <= 0:
            continue
        for span in chunk.spans:
            service = span.service
            if service is not None:
                service = group_of(service, span.integration, span.kind, process)
            scopes = groups.get(service)
            if scopes is None:
                scopes = groups[service] = {}
            spans = scopes.get(span.integration)
            if spans is None:
                spans = scopes[span.integration] = []
            spans.append(span)
    return groups


def span_name(span: Span) -> str:
    """The resource, as it has few values; an outgoing HTTP request, whose path has many, goes by its method."""
    if span.kind == "client" and span.type == "http":
        method = span.attributes.get("http.request.method")
        if method.__class__ is str:
            return method
    return span.resource or span.name


def resource(process: Process, service: Optional[str]) -> Dict[str, Any]:
    """Attributes of the resource for a service."""
    found: Dict[str, Any] = dict(process.tags)
    found["service.name"] = service or process.service
    found["service.instance.id"] = process.runtime_id
    if process.version and not service:
        found["service.version"] = process.version
    if process.env:
        found["deployment.environment.name"] = process.env
    if process.hostname:
        found["host.name"] = process.hostname
    found["process.pid"] = process.pid
    found["process.runtime.name"] = sys.implementation.name
    found["process.runtime.version"] = process.language_version
    found["telemetry.sdk.name"] = "gossamer"
    found["telemetry.sdk.language"] = "python"
    found["telemetry.sdk.version"] = process.tracer_version
    return found


def scope(integration: Optional[str]) -> str:
    """Name of the instrumentation scope."""
    return "gossamer.integrations." + integration if integration else "gossamer"


def extra_attributes(span: Span) -> Iterator[Tuple[str, str]]:
    """What OpenTelemetry has no field for."""
    attributes = span.attributes
    if "operation.name" not in attributes:
        yield "operation.name", span.name
    if span.type and "span.type" not in attributes:
        yield "span.type", span.type


def span_flags(span: Span, trace: Trace) -> int:
    """W3C's flags, and whether the parent is in another process."""
    flags = 0x101 if trace.priority is None or trace.priority > 0 else 0x100
    return flags | 0x200 if span.parent_id and span.role == ROOT else flags


def link_flags(link: Link) -> int:
    """W3C's flags of the linked span, and whether it is in another process."""
    context = link.context
    flags = 0x100 | (1 if context.priority is not None and context.priority > 0 else 0)
    return flags | 0x200 if context.is_remote else flags


def times(span: Span) -> Tuple[int, int]:
    """Start and end in nanoseconds, within 64 bits; an open span has lasted 0."""
    start = min(max(span.start_time, 0), _I64)
    return start, min(start + max(span.duration or 0, 0), _U64)
