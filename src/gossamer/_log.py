"""Gossamer's own log: quiet, bounded, and never able to disturb the program that is traced.

Records go to stderr (or to a file) through a handler of our own. They are not passed on to the root logger, so a flood
of ours never reaches the application's log. Who wants them there adds a handler to ``logging.getLogger("gossamer")``.

`logging` itself is imported with the first line that is to be written.
"""

from __future__ import annotations

import sys
import time
from _thread import allocate_lock

from gossamer import _fork

TYPE_CHECKING = False
if TYPE_CHECKING:
    from logging import Logger
    from typing import Any, Dict, Hashable, List, Optional

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40

_LEVELS = {"trace": 5, "debug": DEBUG, "info": INFO, "warning": WARNING, "error": ERROR, "none": 60}
_MAX_KEYS = 1000


class _Plain:
    """Stands in for a logger while `logging` cannot be imported: that may be under way, further up in this thread."""

    def __init__(self, name: str) -> None:
        self.name = name

    def isEnabledFor(self, level: int) -> bool:
        return level >= WARNING

    def log(self, level: int, message: str, *args: object, exc_info: object = None) -> None:
        if level >= WARNING:
            try:
                error = sys.exc_info()[1] if exc_info is True else exc_info
                more = ": %r" % (error,) if error else ""
                sys.stderr.write("%s: %s%s\n" % (self.name, message % args if args else message, more))
            except Exception:
                pass

    def debug(self, message: str, *args: object, exc_info: object = None) -> None:
        pass

    info = debug

    def warning(self, message: str, *args: object, exc_info: object = None) -> None:
        self.log(WARNING, message, *args, exc_info=exc_info)

    error = critical = warning

    def exception(self, message: str, *args: object) -> None:
        self.log(ERROR, message, *args, exc_info=True)


def get(name: str = "") -> Logger:
    """The logger of a part of Gossamer, usable at any time: "export" and "gossamer.export" name the same."""
    full = name if name == "gossamer" or name.startswith("gossamer.") else ("gossamer." + name).rstrip(".")
    try:
        from . import _logger

        return _logger.get(full)
    except Exception:
        plain: Any = _Plain(full)
        return plain  # type: ignore[no-any-return]


def configure(level: str = "warning", file: Optional[str] = None) -> None:
    """Set the level by name and, if a file is named, write there instead of to stderr."""
    if level == "warning" and not file and "logging" not in sys.modules:
        return  # what the first line finds anyway
    try:
        from . import _logger

        _logger.set_level(_LEVELS.get(level, WARNING))
    except Exception:
        return
    if file:
        try:
            handler = _logger.File(file)
        except (OSError, ValueError) as error:
            once(("log file", file), WARNING, "cannot write the log file %s: %s; writing to stderr", file, error)
        else:
            _logger.use(handler)


def _enabled(level: int) -> bool:
    if level < WARNING and "logging" not in sys.modules:  # nobody can have asked for it
        return False
    return get().isEnabledFor(level)


_seen: Dict[Hashable, object] = {}


def once(key: Hashable, level: int, message: str, *args: object) -> None:
    """Log one line per key in the life of the process. The set of keys is bounded; once full, new keys are dropped."""
    if key in _seen or not _enabled(level):
        return
    if len(_seen) >= _MAX_KEYS:
        if "full" in _seen:
            return
        key, level, args = "full", WARNING, (_MAX_KEYS,)
        message = "%d different messages were logged; new ones are dropped"
    token = object()
    if _seen.setdefault(key, token) is token:
        get().log(level, message, *args)


_limits: Dict[Hashable, List[float]] = {}  # key -> [time before which nothing is logged, records left out]
_limits_lock = allocate_lock()


def limited(key: Hashable, level: int, message: str, *args: object, interval: float = 60.0) -> None:
    """Log at most one line per key and interval (a minute); the next line tells how many were left out."""
    if not _enabled(level):
        return
    # Never waits: a thread that finds the lock taken has met another that is logging, and counts as left out.
    if not _limits_lock.acquire(False):
        return
    try:
        now = time.monotonic()
        entry = _limits.get(key)
        if entry is None:
            if len(_limits) >= _MAX_KEYS:
                _forget(now)
            if len(_limits) >= _MAX_KEYS:
                return
            entry = _limits[key] = [0.0, 0]
        if now < entry[0]:
            entry[1] += 1
            return
        left_out, entry[0], entry[1] = int(entry[1]), now + interval, 0
    finally:
        _limits_lock.release()
    if left_out:
        message, args = message + " (%d more like this left out)", args + (left_out,)
    get().log(level, message, *args)


def _forget(now: float) -> None:
    for key in [key for key, entry in _limits.items() if entry[0] <= now and not entry[1]]:
        del _limits[key]


def _after_fork() -> None:
    global _limits_lock
    _limits_lock = allocate_lock()


_fork.in_child(_after_fork)
