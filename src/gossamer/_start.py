"""Puts the parts together: settings, tracer, exporters, writer, integrations. The only module that knows them all."""

from __future__ import annotations

from . import _exit, _log
from ._core import Buffer, Recorder
from ._instrument.engine import Engine
from ._instrument.status import IntegrationSettings
from ._settings import Settings, settings
from ._trace.sampler import Sampler
from ._trace.tracer import Tracer
from .integrations import _index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional

    from ._export.exporter import Exporter
    from ._export.writer import Writer
    from ._instrument.declare import Integration
    from ._trace.propagation import Propagation

FLUSH_SECONDS = 1.0
"""How long the end of a program may be held up."""


def new_tracer() -> Tracer:
    """A tracer as the settings want it. The program has one, `tracer`; others are for measuring."""
    sampler = Sampler(settings.sample_rate, rate_limit=settings.rate_limit, env=settings.env)
    recorder = Recorder(Buffer(settings.buffer_size), sampler)
    recorder.enabled = settings.trace_enabled
    recorder.ids_128 = settings.trace_id_128_bit
    recorder.partial_flush_min_spans = settings.partial_flush_min_spans if settings.partial_flush else 1 << 62
    recorder.keep_unsampled = any(destination.kind == "agent" for destination in settings.destinations())
    return Tracer(recorder, _new_propagation)


def _new_propagation() -> Propagation:
    from ._trace.propagation import Propagation  # with the first message: its expressions take long to compile

    return Propagation(settings.propagation_inject, settings.propagation_extract)


def configure(integration: Integration) -> IntegrationSettings:
    """How an integration is to run here."""
    own = settings.integration(integration.name, integration.aliases)
    enabled, reason = own.enabled, own.enabled_by
    if integration.name == "logging" and enabled is None and not settings.logs_injection:
        enabled, reason = False, settings.value(Settings.logs_injection).origin
    options = {option.name: own.option(option.name, option.default) for option in integration.options}
    return IntegrationSettings(
        enabled is not False, "off by %s" % reason, own.service or integration.service, options, settings
    )


tracer: Tracer = new_tracer()
engine = Engine(tracer, _index.MODULES, configure)
_writer: Optional[Writer] = None


def patch(*names: str) -> None:
    """Instrument libraries by name, those already imported included; without a name, every automatic one.

    Raises:
        ValueError: no integration has that name.
    """
    engine.install(names or None)


def unpatch(*names: str) -> None:
    """Take the wrappers out again; without a name, all of them."""
    engine.uninstall(names or None)


def make_exporters() -> List[Exporter]:
    """An exporter for each destination that the settings name."""
    exporters: List[Exporter] = []
    for destination in settings.destinations():
        if destination.kind == "agent":
            from ._export.datadog import DatadogExporter

            sampler = tracer.recorder.sampler
            exporters.append(
                DatadogExporter(
                    destination.url,
                    settings.api_version or "v0.4",
                    settings.agent_timeout,
                    sampler.update_rates if isinstance(sampler, Sampler) else None,
                )
            )
        elif destination.kind == "otlp":
            from ._export.otlp import OTLPExporter

            exporters.append(
                OTLPExporter(
                    destination.url,
                    protocol=settings.otlp_protocol,
                    headers=settings.otlp_headers,
                    timeout=settings.otlp_timeout,
                    compression=settings.otlp_compression,
                )
            )
        else:
            from ._export.console import ConsoleExporter

            exporters.append(ConsoleExporter())
    return exporters


def writer() -> Writer:
    """The writer of this process, made when it is first needed."""
    global _writer
    if _writer is None:
        from ._export.writer import Writer
        from ._version import __version__
        from ._wire.info import Process

        hostname = settings.hostname
        if not hostname and settings.report_hostname:
            import socket

            hostname = socket.gethostname()
        process = Process(
            settings.service, settings.env, settings.version, hostname, settings.tags, tracer_version=__version__
        )
        sampler = tracer.recorder.sampler
        if isinstance(sampler, Sampler):
            sampler.service = settings.service
        tracer.recorder.service = settings.service
        _writer = Writer(
            make_exporters(),
            tracer.recorder.buffer,
            process,
            interval=settings.flush_interval,
            max_bytes=settings.buffer_size,
            payload_limit=settings.payload_size,
        )
    return _writer


def _first_chunk() -> None:
    try:
        _log.configure(settings.log_level, settings.log_file or None)
        _exit.install_atexit(flush_at_exit)
        writer()
    except Exception:
        _log.get(__name__).exception("tracing could not start; spans are dropped")


tracer.recorder.buffer.on_first = _first_chunk


def flush(timeout: float = 5.0) -> bool:
    """Send what is finished now.

    Args:
        timeout: seconds to wait at most. Default 5.

    Returns:
        Whether everything has arrived at every destination.
    """
    if _writer is None and not tracer.recorder.buffer.pending_spans:
        return True
    return writer().flush(timeout)


def shutdown(timeout: float = FLUSH_SECONDS) -> bool:
    """Send what is finished, the finished spans of open traces included, and stop. Calling it again does nothing.

    Args:
        timeout: seconds to wait at most. Default 1.
    """
    _exit.flush_open_traces()
    if _writer is None and not tracer.recorder.buffer.pending_spans:
        return True
    return writer().shutdown(timeout)


def flush_at_exit(final: bool = True) -> None:
    """Send what there is, in little time and without a word: the process ends, or (`final=False`) may end."""
    try:
        if final:
            shutdown(FLUSH_SECONDS)
        else:
            _exit.flush_open_traces()
            flush(FLUSH_SECONDS)
    except Exception as error:
        _log.get(__name__).debug("the last flush failed: %r", error)
