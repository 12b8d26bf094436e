"""Threads: what a thread does belongs to the span under which it was started.

Only the active span goes along. Threads that serve many callers, such as the workers of a pool, do not belong to the
one who happened to need them first, so they start without.
"""

from __future__ import annotations

from gossamer.instrument import Call, Integration, active, set_active

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

threads = Integration(
    "threads",
    title="Threads",
    docs="https://docs.python.org/3/library/threading.html",
    aliases=("threading",),
    notes="Carries the active span; makes none.",
)

_PARENT = "_gossamer_parent"

LONG_LIVED = frozenset(
    (
        "anyio",
        "apscheduler",
        "asyncio",
        "concurrent",
        "ddtrace",
        "elasticapm",
        "eventlet",
        "gevent",
        "gossamer",
        "grpc",
        "kafka",
        "logging",
        "multiprocessing",
        "newrelic",
        "opentelemetry",
        "prometheus_client",
        "pymongo",
        "redis",
        "sentry_sdk",
        "watchdog",
    )
)
"""Packages whose threads serve many callers, or nobody in particular."""


def is_shared(thread: Any) -> bool:
    """Whether a thread serves more than the one who starts it."""
    for code in (type(thread), getattr(thread, "_target", None)):
        module = getattr(code, "__module__", None)
        if isinstance(module, str) and module.partition(".")[0] in LONG_LIVED:
            return True
    return False


@threads.before("threading:Thread.start")
def start(call: Call) -> None:
    """Keep the active span with the thread."""
    parent = active()
    if parent is not None and not is_shared(call.instance):
        call.instance.__dict__[_PARENT] = parent


@threads.before("threading:Thread._bootstrap_inner")
def begin(call: Call) -> None:
    """In the new thread, before its `run`, which subclasses may have overridden."""
    parent = call.instance.__dict__.pop(_PARENT, None)
    if parent is not None:
        set_active(parent)
