"""What an integration is written with: the declaration, a call, a span's start, the conventions.

An integration imports this module and, inside its handlers, the library it traces; nothing else.
"""

from __future__ import annotations

from ._core import Span, SpanContext, active, current_span, set_active
from ._instrument.conventions import db, http_client, http_server
from ._instrument.declare import Call, Integration, Option, SpanStart
from ._instrument.status import Site

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
    "http_client",
    "http_server",
    "set_active",
]
