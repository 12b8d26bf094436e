"""Gossamer: tracing for Python programs.

`import gossamer.auto`, or `gossamer run python app.py`, instruments the libraries that a program uses. This module is
for spans of your own:

    with gossamer.trace("checkout", resource="cart") as span:
        span.set_attribute("cart.items", 3)

    @gossamer.trace("price")
    def price(item): ...

Spans go where the settings say: a Datadog Agent, an OTLP collector, or the viewer on this machine.
"""

from __future__ import annotations

from ._core import Span, SpanContext
from ._settings import settings
from ._start import flush, patch, shutdown, tracer, unpatch
from ._version import __version__

trace = tracer.trace
start_span = tracer.start_span
current_span = tracer.current_span
activate = tracer.activate
inject = tracer.inject
extract = tracer.extract
add_processor = tracer.add_processor

__all__ = [
    "Span",
    "SpanContext",
    "__version__",
    "activate",
    "add_processor",
    "current_span",
    "extract",
    "flush",
    "inject",
    "patch",
    "settings",
    "shutdown",
    "start_span",
    "trace",
    "tracer",
    "unpatch",
]
