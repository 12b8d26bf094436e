"""Where our log lines go: loggers and handlers of our own, for `_log` alone, which imports this at its first line.

`logging` costs more to import than all that Gossamer does at the start of a program, and most programs that are well
set up never see a line of ours.
"""

from __future__ import annotations

import logging
import os
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

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


class Stderr(_Handler):
    """Writes to ``sys.stderr``, whatever that is at the moment."""

    def write(self, line: str) -> None:
        stream = sys.stderr
        if stream is not None:
            stream.write(line + "\n")
            stream.flush()


class File(_Handler):
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


def use(handler: _Handler) -> None:
    """Write through this handler, and no longer through the one before."""
    global _handler
    _base.addHandler(handler)
    if _handler is not None:
        _base.removeHandler(_handler)
        _handler.close()
    _handler = handler


def get(full: str) -> logging.Logger:
    """The logger of that full name."""
    logger = _loggers.get(full)
    if logger is None:
        logger = _Logger(full)
        logger.parent = _base
        logger = _loggers.setdefault(full, logger)
    return logger


def set_level(level: int) -> None:
    """What is below is not written."""
    _base.setLevel(level)


if _base.level == logging.NOTSET:  # the application may have set one before us
    _base.setLevel(logging.WARNING)
use(Stderr())
