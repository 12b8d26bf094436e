"""Traces to a Datadog Agent, or whatever listens like one."""

from __future__ import annotations

import json

from .. import _log
from .._wire.datadog import encode_v04, encode_v05
from .._wire.info import INTERPRETER
from .container import container_headers
from .exporter import Exporter, ExportError
from .http import HttpClient, HttpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional, Tuple

    from .._core.buffer import Batch
    from .._wire.info import Process
    from .http import Response

__all__ = ["DatadogExporter"]

_VERSIONS = ("v0.5", "v0.4", "v0.3")


class DatadogExporter(Exporter):
    """Posts to the Agent's trace endpoint.

    Args:
        url: "http://localhost:8126" or "unix:///var/run/datadog/apm.socket".
        version: the newest trace API to use: "v0.5", "v0.4" or "v0.3". An Agent without it gets the next older one.
        timeout: seconds for a request. Default 2.
        on_rates: is given the sampling rates by service that the Agent answers.
        headers: added to each request.
    """

    def __init__(
        self,
        url: str,
        version: str = "v0.4",
        timeout: float = 2.0,
        on_rates: Optional[Callable[[Dict[str, float]], None]] = None,
        headers: Optional[Dict[str, str]] = None,
    ) -> None:
        self.name = "the Datadog Agent at " + url
        self.client = HttpClient(url, timeout=timeout, connect_timeout=timeout)
        self.preferred = version if version in _VERSIONS else "v0.4"
        self.version = ""
        self.native_events = False
        self.on_rates = on_rates
        self._headers = dict(headers or {})
        self._rates_version = ""

    # -- the exporter ---------------------------------------------------------------------------------------------

    def export(self, batch: Batch, process: Process, timeout: Optional[float] = None) -> None:
        """Post `batch`, after asking once what this Agent understands."""
        try:
            if not self.version:
                self._negotiate(timeout)
            self._send(batch, process, timeout)
        except HttpError as error:
            self.version = ""  # whoever answers next may be another one
            raise ExportError(str(error), True, error.reason) from None

    def close(self) -> None:
        """Close the connection."""
        self.client.close()

    # -- which API ------------------------------------------------------------------------------------------------

    def _negotiate(self, timeout: Optional[float]) -> None:
        response = self.client.request("GET", "/info", timeout=timeout)
        info: Any = None
        if response.status == 200:
            try:
                info = json.loads(response.body.decode("utf-8", "replace"))
            except ValueError:
                pass
        self.version = self.preferred
        if not isinstance(info, dict):  # Agents before 7.28 have no /info; they know v0.4
            return
        self.native_events = info.get("span_events") is True
        endpoints = info.get("endpoints")
        if isinstance(endpoints, list):
            older = _VERSIONS[_VERSIONS.index(self.preferred) :]
            known = [version for version in older if "/%s/traces" % version in endpoints]
            if known:
                self.version = known[0]

    def _older(self) -> bool:
        """Step down to the next older API, if there is one."""
        place = _VERSIONS.index(self.version) + 1
        if place >= len(_VERSIONS):
            return False
        self.version = _VERSIONS[place]
        return True

    # -- sending --------------------------------------------------------------------------------------------------

    def _send(self, batch: Batch, process: Process, timeout: Optional[float]) -> None:
        while True:
            response = self._post(batch, process, timeout)
            status = response.status
            if 200 <= status < 300:
                self._take_rates(response)
                return
            if status in (404, 405, 415) and self._older():
                continue
            if status == 404:
                self.version = ""
            raise status_error(self.name, response, (408, 429))

    def _post(self, batch: Batch, process: Process, timeout: Optional[float]) -> Response:
        if self.version == "v0.5":
            body = encode_v05(batch, process)
        else:
            body = encode_v04(batch, process, self.native_events)
        return self.client.request("PUT", "/%s/traces" % self.version, body, self._head(process, len(batch)), timeout)

    def _head(self, process: Process, traces: int) -> Dict[str, str]:
        head = {
            "Content-Type": "application/msgpack",
            "Datadog-Meta-Lang": "python",
            "Datadog-Meta-Lang-Version": process.language_version,
            "Datadog-Meta-Lang-Interpreter": INTERPRETER,
            "Datadog-Meta-Tracer-Version": process.tracer_version,
            "Datadog-Client-Computed-Top-Level": "yes",
            "Datadog-Send-Real-Http-Status": "1",
            "X-Datadog-Trace-Count": str(traces),
        }
        if self._rates_version:
            head["Datadog-Rates-Payload-Version"] = self._rates_version
        head.update(_container())
        head.update(self._headers)
        return head

    def _take_rates(self, response: Response) -> None:
        """Hand on the sampling rates of an answer; anything else in it is ignored."""
        if self.on_rates is None or not response.body:
            return
        try:
            rates = json.loads(response.body.decode("utf-8")).get("rate_by_service")
            if not isinstance(rates, dict):
                return
            found = {str(key): float(rate) for key, rate in rates.items() if 0 <= float(rate) <= 1}
        except (ValueError, AttributeError, TypeError):
            return
        self._rates_version = response.headers.get("datadog-rates-payload-version", "")
        try:
            self.on_rates(found)
        except Exception as error:
            _log.once("rates", _log.WARNING, "the Agent's sampling rates could not be applied: %r", error)


_container_found: Optional[Dict[str, str]] = None


def _container() -> Dict[str, str]:
    global _container_found
    if _container_found is None:
        _container_found = container_headers()
    return _container_found


def status_error(name: str, response: Response, retried: Tuple[int, ...]) -> ExportError:
    """The error for an answer that is no success."""
    status = response.status
    said = " ".join(response.body[:200].decode("utf-8", "replace").split())
    retry = status in retried or (status >= 500 and status != 501)
    message = "%s answered %d%s" % (name, status, ": " + said if said else "")
    return ExportError(message, retry, "status_%d" % status, retry_after(response.headers), split=status == 413)


def retry_after(headers: Dict[str, str]) -> Optional[float]:
    """Seconds of a Retry-After header; its form with a date is taken as no wish."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86400 else None
