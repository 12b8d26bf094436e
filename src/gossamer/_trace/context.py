"""The propagated identity of a span, where code above the core looks for it."""

from .._core.context import SpanContext

__all__ = ["SpanContext"]
