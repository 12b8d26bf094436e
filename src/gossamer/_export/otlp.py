"""Traces to an OpenTelemetry collector, over OTLP/HTTP."""

from __future__ import annotations

import json

from .. import _log
from .._wire.otlp import encode_json, encode_protobuf, sampled
from .datadog import status_error
from .exporter import Exporter, ExportError
from .http import HttpClient, HttpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional, Tuple

    from .._core.buffer import Batch
    from .._wire.info import Process
    from .http import Response

__all__ = ["OTLPExporter"]

_RETRIED = (408, 429, 502, 503, 504)


class OTLPExporter(Exporter):
    """Posts sampled traces to a collector.

    Args:
        endpoint: the whole address, "http://localhost:4318/v1/traces".
        protocol: "http/protobuf" or "http/json".
        headers: added to each request ("Authorization", "api-key" ...).
        compression: "gzip" or "none".
        timeout: seconds for a request. Default 10.
        tls: makes the TLS context of an https endpoint; None: the system's trusted authorities.
    """

    def __init__(
        self,
        endpoint: str,
        protocol: str = "http/protobuf",
        headers: Optional[Dict[str, str]] = None,
        compression: str = "none",
        timeout: float = 10.0,
        tls: Optional[Callable[[], Any]] = None,
    ) -> None:
        self.name = "the collector at " + endpoint
        self.client = HttpClient(endpoint, timeout=timeout, tls=tls)
        self.json = protocol == "http/json"
        self._compress: Optional[Callable[[Any, int], bytes]] = None
        self.rejected_spans = 0
        self._head = {"Content-Type": "application/json" if self.json else "application/x-protobuf"}
        if compression == "gzip":
            from gzip import compress

            self._compress = compress
            self._head["Content-Encoding"] = "gzip"
        self._headers = dict(headers or {})

    def export(self, batch: Batch, process: Process, timeout: Optional[float] = None) -> None:
        """Post the sampled traces of `batch`; nothing is sent where there are none."""
        if not sampled(batch)[1]:
            return
        body = encode_json(batch, process) if self.json else encode_protobuf(batch, process)
        if self._compress is not None:
            body = self._compress(body, 6)
        head = dict(self._head)
        head["User-Agent"] = "gossamer-otlp-exporter/" + (process.tracer_version or "0")
        head.update(self._headers)
        try:
            response = self.client.request("POST", "", body, head, timeout)
        except HttpError as error:
            raise ExportError(str(error), True, error.reason) from None
        if not 200 <= response.status < 300:
            failure = status_error(self.name, response, _RETRIED)
            failure.retry = response.status in _RETRIED
            raise failure
        self._partial_success(response)

    def _partial_success(self, response: Response) -> None:
        """Count what the collector took and then threw away."""
        try:
            rejected, message = _rejected(response)
        except (ValueError, AttributeError, TypeError, IndexError):
            return
        if rejected or message:
            self.rejected_spans += rejected
            text = "%s rejected %d spans: %s"
            _log.once(("rejected", self.name), _log.WARNING, text, self.name, rejected, message[:200])

    def close(self) -> None:
        """Close the connection."""
        self.client.close()


def _rejected(response: Response) -> Tuple[int, str]:
    """Number of spans and message of an answer's `partial_success`."""
    if not response.body:
        return 0, ""
    if "json" in response.headers.get("content-type", ""):
        partial = json.loads(response.body.decode("utf-8")).get("partialSuccess") or {}
        return max(0, int(partial.get("rejectedSpans") or 0)), str(partial.get("errorMessage") or "")
    partial = _fields(_fields(response.body).get(1, b""))
    message = partial.get(2, b"")
    return int(partial.get(1, 0)), message.decode("utf-8", "replace") if isinstance(message, bytes) else ""


def _fields(data: Any) -> Dict[int, Any]:
    """The fields of a small protobuf message: numbers, and bytes."""
    found: Dict[int, Any] = {}
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        if tag & 7 == 0:
            found[tag >> 3], place = _varint(data, place)
        elif tag & 7 == 2:
            size, place = _varint(data, place)
            found[tag >> 3] = data[place : place + size]
            place += size
        else:
            break
    return found


def _varint(data: bytes, place: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("no varint")
