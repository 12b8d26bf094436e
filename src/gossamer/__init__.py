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

from ._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List

    from ._core import Span, SpanContext
    from ._settings import settings
    from ._start import flush, patch, shutdown, tracer, unpatch

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

# Where each name comes from; it is fetched when it is first asked for, so that a launcher, or a program that never
# makes a span, imports next to nothing.
_SOURCES = {"Span": "_core", "SpanContext": "_core", "settings": "_settings"}
_SOURCES.update(dict.fromkeys(("flush", "patch", "shutdown", "tracer", "unpatch"), "_start"))

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError("module 'gossamer' has no attribute %r" % name)
        source = _SOURCES.get(name)
        if source is None:
            value = getattr(__getattr__("tracer"), name)
        else:
            value = getattr(__import__("gossamer." + source, fromlist=[name]), name)
        globals()[name] = value
        return value

    def __dir__() -> List[str]:
        return sorted(set(globals()) | set(__all__))
