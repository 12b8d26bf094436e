"""Prints finished spans, for a look at what is recorded."""

from __future__ import annotations

import json
import sys

from .exporter import Exporter, ExportError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional, TextIO

    from .._core.buffer import Batch
    from .._core.pure import Span
    from .._wire.info import Process

__all__ = ["ConsoleExporter"]

_MAX_LINE = 1000


class ConsoleExporter(Exporter):
    """Writes a line for each span.

    Args:
        stream: where to; None: what `sys.stdout` is at that time.
        format: "text", for people, or "json", one object a line.
    """

    name = "the console"

    def __init__(self, stream: Optional[TextIO] = None, format: str = "text") -> None:
        self.stream = stream
        self.format = format

    def export(self, batch: Batch, process: Process, timeout: Optional[float] = None) -> None:
        """Write the spans of `batch`."""
        line = _json_line if self.format == "json" else _text_line
        text = "".join([line(span, process) + "\n" for chunk in batch for span in chunk.spans])
        stream = sys.stdout if self.stream is None else self.stream
        if stream is None:
            return
        try:
            try:
                stream.write(text)
            except UnicodeEncodeError:
                stream.write(text.encode("ascii", "backslashreplace").decode())
            stream.flush()
        except (OSError, ValueError) as error:  # a closed stream, a full disk, a reader that has gone
            raise ExportError("cannot print spans: %s" % error, False, "unwritable") from None


def _text_line(span: Span, process: Process) -> str:
    trace_id, span_id = "%032x" % span.trace.trace_id, "%016x" % span.span_id
    parts = [trace_id, span_id, "%10.3f ms" % ((span.duration or 0) / 1e6), span.service or process.service, span.name]
    if span.resource and span.resource != span.name:
        parts.append(span.resource)
    if span.error:
        parts.append("ERROR " + span.status_message)
    parts.extend("%s=%r" % item for item in span.attributes.items())
    line = " ".join(" ".join(part.split()) if "\n" in part or "\r" in part else part for part in parts)
    return line if len(line) <= _MAX_LINE else line[:_MAX_LINE] + " ..."


def _json_line(span: Span, process: Process) -> str:
    trace = span.trace
    found: Dict[str, Any] = {
        "trace_id": "%032x" % trace.trace_id,
        "span_id": "%016x" % span.span_id,
        "parent_id": "%016x" % span.parent_id if span.parent_id else None,
        "service": span.service or process.service,
        "name": span.name,
        "resource": span.resource or span.name,
        "type": span.type,
        "kind": span.kind,
        "start": span.start_time,
        "duration": span.duration,
        "error": span.error,
        "status_message": span.status_message,
        "attributes": span.attributes,
        "events": [
            {"name": event.name, "time": event.time, "attributes": event.attributes} for event in span.events or ()
        ],
        "links": [
            {"trace_id": link.context.trace_id_hex, "span_id": link.context.span_id_hex, "attributes": link.attributes}
            for link in span.links or ()
        ],
        "priority": trace.priority,
    }
    return json.dumps(found, default=_plain)


def _plain(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
