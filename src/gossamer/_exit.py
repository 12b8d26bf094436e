"""The ends of a process at which finished spans are sent: a normal end, SIGTERM, the exit of multiprocessing children.

`os._exit` and signals that kill outright run no Python code; what was finished less than a flush interval before is
lost there. `multiprocessing` and `billiard` children end by `os._exit` as well, but run their finalizers first.
"""

from __future__ import annotations

import atexit
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from types import ModuleType
    from typing import Any, Callable, Optional

    Flush = Callable[[bool], None]
else:
    try:
        import _signal as signal  # all that is needed, without the enumerations of the module above it
    except ImportError:
        import signal

_MULTIPROCESSING = ("multiprocessing.util", "billiard.util")
_flush: Optional[Flush] = None


def install_atexit(flush: Flush) -> None:
    """Call `flush(True)` at the normal end of the program. Twice is once."""
    global _flush
    if _flush is None:
        _flush = flush
        atexit.register(_run)


def install(flush: Flush) -> None:
    """`install_atexit`, and the same for SIGTERM and for children of multiprocessing and billiard."""
    install_atexit(flush)
    _install_sigterm()
    from ._instrument.imports import watch

    for name in _MULTIPROCESSING:
        watch(name, _finalize_in)


def _run() -> None:
    if _flush is not None:
        _flush(True)


# -- multiprocessing --------------------------------------------------------------------------------------------------


class _Anchor:
    """What the finalizer registry of multiprocessing holds on to, weakly."""


_anchor = _Anchor()


def _finalize_in(util: ModuleType) -> None:
    package = util.__name__.rpartition(".")[0]

    def flush_in_child() -> None:
        # Asked at the end: at the time of the import a spawned or forkserver child does not know yet what it is.
        process = sys.modules.get(package + ".process")
        if _flush is not None and type(getattr(process, "current_process", object)()).__name__ != "_MainProcess":
            _flush(False)

    def register(_: Any = None) -> None:
        # Lowest priority: after the program's own finalizers, which may still make spans.
        util.Finalize(None, flush_in_child, exitpriority=-1000000)

    # A child clears the finalizers it inherits, and then runs what was registered for after a fork.
    util.register_after_fork(_anchor, register)
    register()


# -- SIGTERM ----------------------------------------------------------------------------------------------------------


def _install_sigterm() -> None:
    """Flush before SIGTERM ends the program, where nobody else handles it. The exit status stays that of the signal."""
    try:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _on_sigterm)
    except (ValueError, OSError, AttributeError):  # not the main thread, or no such signal here
        pass


def _on_sigterm(number: int, frame: Any) -> None:
    signal.signal(number, signal.SIG_DFL)
    _run()
    os.kill(os.getpid(), number)


# -- open traces ------------------------------------------------------------------------------------------------------


def flush_open_traces() -> None:
    """Hand on the finished spans of traces that are still open.

    Nobody keeps a list of open traces, which would cost every trace; the garbage collector has one.
    """
    import gc

    from ._core import Trace

    for found in gc.get_objects():
        if type(found) is Trace:
            try:
                found.flush()
            except Exception:
                pass
