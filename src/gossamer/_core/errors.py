"""What is kept of an exception: type, message and stack, as text, so that no frame is held."""

from __future__ import annotations

from .values import MAX_STACK, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict

    from .values import Value

MAX_FRAMES = 60


def describe(error: BaseException) -> Dict[str, Value]:
    """Attributes of an `exception` event.

    Source: OpenTelemetry's semantic conventions for exceptions. A long stack keeps its two ends.
    """
    kind = error.__class__
    module = getattr(kind, "__module__", "")
    name = getattr(kind, "__qualname__", kind.__name__)
    facts: Dict[str, Value] = {
        "exception.type": name if module in ("builtins", "", None) else "%s.%s" % (module, name),
        "exception.message": text(error),
    }
    stack = _stack(error)
    if stack:
        facts["exception.stacktrace"] = stack
    return facts


def _stack(error: BaseException) -> str:
    try:
        import traceback

        lines = traceback.format_exception(error.__class__, error, error.__traceback__, limit=-MAX_FRAMES)
        stack = "".join(lines)
    except Exception:  # a broken __str__, a vanished source file, a hostile __cause__
        return ""
    if len(stack) > MAX_STACK:
        half = MAX_STACK // 2
        stack = stack[:half] + "\n...\n" + stack[-half:]
    return stack
