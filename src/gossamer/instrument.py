"""What an integration is written with: the declaration, a call, a span's start, the conventions.

An integration imports this module and, inside its handlers, the library it traces; nothing else.
"""

from __future__ import annotations

from ._core import Span, SpanContext, active, current_span, set_active
from ._instrument import deferred
from ._instrument.declare import Call, Integration, Option, SpanStart
from ._instrument.status import Site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from ._instrument.conventions import db, http_client, http_server
    from ._instrument.declare import Fields as Fields

__all__ = [
    "Call",
    "Integration",
    "Option",
    "Site",
    "Span",
    "SpanContext",
    "SpanStart",
    "active",
    "current_span",
    "db",
    "deferred",
    "http_client",
    "http_server",
    "set_active",
]

_CONVENTIONS = ("db", "http_client", "http_server")

if not TYPE_CHECKING:

    def __getattr__(name: str) -> ModuleType:
        """A convention, imported by the first integration that speaks in its terms: their expressions are many."""
        if name not in _CONVENTIONS:
            raise AttributeError("module 'gossamer.instrument' has no attribute %r" % name)
        module = __import__("gossamer._instrument.conventions." + name, fromlist=[name])
        globals()[name] = module
        return module
