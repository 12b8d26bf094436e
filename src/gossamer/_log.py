"""Gossamer's own log: quiet, bounded, and never able to disturb the program that is traced.

Records go to stderr (or to a file) through a handler of our own. They are not passed on to the root logger, so a flood
of ours never reaches the application's log. Who wants them there adds a handler to ``logging.getLogger("gossamer")``.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from typing import Any, Dict, Hashable, List, Optional

from gossamer import _fork

DEBUG, INFO, WARNING, ERROR = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR

_LEVELS = {"trace": 5, "debug": DEBUG, "info": INFO, "warning": WARNING, "error": ERROR, "none": logging.CRITICAL + 10}
_MAX_KEYS = 1000
_MAX_LINE = 16 * 1024
_MAX_FILE = 15 * 1024 * 1024


class _Logger(logging.Logger):
    """A logger that survives a record factory, a filter or a handler of the application that raises."""

    def isEnabledFor(self, level: int) -> bool:
        # No cache: logging clears the caches of the loggers it keeps itself, and ours are not among them.
        return self.manager.disable < level and level >= self.getEffectiveLevel()

    def makeRecord(
        self, name: str, level: int, fn: str, lno: int, msg: object, args: Any, *rest: Any, **more: Any
    ) -> logging.LogRecord:
        try:
            return super().makeRecord(name, level, fn, lno, msg, args, *rest, **more)
        except Exception:
            return logging.LogRecord(name, level, fn, lno, msg, args, None)

    def handle(self, record: logging.LogRecord) -> None:
        try:
            super().handle(record)
        except Exception:
            pass


class _Handler(logging.Handler):
    """Writes whole lines without a lock, so that a fork leaves nothing held, and swallows every failure."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self._busy = threading.local()

    def createLock(self) -> None:
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        # A replaced sys.stderr may log in turn; the second round is dropped.
        if getattr(self._busy, "now", False):
            return False
        self._busy.now = True
        try:
            if not self.filter(record):
                return False
            line = self.format(record)
            self.write(line if len(line) <= _MAX_LINE else line[:_MAX_LINE] + " ...")
        except Exception:
            pass
        finally:
            self._busy.now = False
        return True

    def write(self, line: str) -> None:
        """Write one line."""
        raise NotImplementedError


class _Stderr(_Handler):
    """Writes to ``sys.stderr``, whatever that is at the moment."""

    def write(self, line: str) -> None:
        stream = sys.stderr
        if stream is not None:
            stream.write(line + "\n")
            stream.flush()


class _File(_Handler):
    """Appends to a file, which is renamed to ``NAME.1`` when it grows too large.

    The file is opened for each line: lines are rare, and nothing is left to be closed under us by ``logging.config``,
    to be shared with a forked child, or to point at a file that another process has renamed.
    """

    def __init__(self, path: str, limit: int = _MAX_FILE) -> None:
        super().__init__()
        self._path = path
        self._limit = limit
        os.close(self._open())

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, line: str) -> None:
        descriptor = self._open()
        try:
            os.write(descriptor, (line + "\n").encode("utf-8", "backslashreplace"))
            if os.fstat(descriptor).st_size > self._limit:
                os.replace(self._path, self._path + ".1")
        finally:
            os.close(descriptor)


_base = logging.getLogger("gossamer")
_base.propagate = False
_loggers: Dict[str, logging.Logger] = {}
_handler: Optional[_Handler] = None


def _use(handler: _Handler) -> None:
    global _handler
    _base.addHandler(handler)
    if _handler is not None:
        _base.removeHandler(_handler)
        _handler.close()
    _handler = handler


def get(name: str = "") -> logging.Logger:
    """The logger of a part of Gossamer, usable at any time: "export" and "gossamer.export" name the same."""
    full = name if name == "gossamer" or name.startswith("gossamer.") else ("gossamer." + name).rstrip(".")
    logger = _loggers.get(full)
    if logger is None:
        logger = _Logger(full)
        logger.parent = _base
        logger = _loggers.setdefault(full, logger)
    return logger


def configure(level: str = "warning", file: Optional[str] = None) -> None:
    """Set the level by name and, if a file is named, write there instead of to stderr."""
    _base.setLevel(_LEVELS.get(level, WARNING))
    if file:
        try:
            handler = _File(file)
        except (OSError, ValueError) as error:
            once(("log file", file), WARNING, "cannot write the log file %s: %s; writing to stderr", file, error)
        else:
            _use(handler)


_seen: Dict[Hashable, object] = {}


def once(key: Hashable, level: int, message: str, *args: object) -> None:
    """Log one line per key in the life of the process. The set of keys is bounded; once full, new keys are dropped."""
    if key in _seen or not get().isEnabledFor(level):
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
_limits_lock = threading.Lock()


def limited(key: Hashable, level: int, message: str, *args: object, interval: float = 60.0) -> None:
    """Log at most one line per key and interval (a minute); the next line tells how many were left out."""
    if not get().isEnabledFor(level):
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
    _limits_lock = threading.Lock()


_fork.in_child(_after_fork)
if _base.level == logging.NOTSET:  # the application may have set one before we were imported
    _base.setLevel(WARNING)
_use(_Stderr())
