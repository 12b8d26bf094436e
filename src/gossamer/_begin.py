"""The start of tracing, kept small: the import hook, the ends of the process, a word on malformed settings.

The rest (`_start`: the tracer, the engine, the settings in full) is made when the program imports the first library
that is traced, or makes a span of its own. A program that does neither pays for neither.
"""

from __future__ import annotations

import sys

from . import _exit, _log
from ._instrument import imports
from ._settings import settings
from .integrations import _index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

_started = False
_first = ["the first library"]  # taken out by whoever comes first: `pop` is atomic, and nobody waits in an import


def start() -> None:
    """Switch on what `gossamer run` switches on: every automatic integration, and the flush at the end.

    Calling it again does nothing. With `DD_TRACE_ENABLED=false` nothing is patched.
    """
    global _started
    if _started:
        return
    _started = True
    _log.configure(settings.log_level, settings.log_file or None)
    settings.report()
    if not settings.trace_enabled:
        return
    _exit.install(_flush_at_exit)
    loaded = [module for module in _index.MODULES if module in sys.modules]
    if loaded:
        _install()
        return
    for module in _index.MODULES:
        imports.watch(module, _imported)


def _imported(module: ModuleType) -> None:
    """The first library was imported: from here on the engine watches."""
    try:
        _first.pop()
    except IndexError:  # in another thread, just now: the engine will find this one among what is there
        return
    try:
        _install(fresh=True)
    finally:
        imports.unwatch(_imported)  # last: so that no module is without a watcher in between


def _install(fresh: bool = False) -> None:
    from . import _start

    _start.engine.install(fresh=fresh)


def _flush_at_exit(final: bool = True) -> None:
    start = sys.modules.get("gossamer._start")
    if start is not None:
        start.flush_at_exit(final)
