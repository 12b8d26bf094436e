"""What every payload says of the process that sends it."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional

__all__ = ["INTERPRETER", "Process"]

INTERPRETER = {"cpython": "CPython", "pypy": "PyPy"}.get(sys.implementation.name, sys.implementation.name)
"""The interpreter's name, as `platform` writes it, whose import is dear."""


def _random_id() -> str:
    return os.urandom(16).hex()


class Process:
    """Facts of a process, given to the encoders. It does not change: make another one instead.

    Attributes:
        service: the application's name.
        env: the deployment environment ("production"), or "".
        version: the application's version, or "".
        hostname: sent where a host name was asked for, or "".
        tags: set on every span.
        runtime_id: 32 hexadecimal digits, different in each process.
        pid: the process id.
        language_version: of Python.
        tracer_version: ours.
    """

    __slots__ = (
        "service", "env", "version", "hostname", "tags", "runtime_id", "pid", "language_version", "tracer_version",
    )  # fmt: skip

    def __init__(
        self,
        service: str,
        env: str = "",
        version: str = "",
        hostname: str = "",
        tags: Optional[Dict[str, str]] = None,
        runtime_id: str = "",
        pid: int = 0,
        language_version: str = "",
        tracer_version: str = "",
    ) -> None:
        self.service = service
        self.env = env
        self.version = version
        self.hostname = hostname
        self.tags: Dict[str, str] = dict(tags or {})
        self.runtime_id = runtime_id or _random_id()
        self.pid = pid or os.getpid()
        self.language_version = language_version or sys.version.split()[0]
        self.tracer_version = tracer_version

    def forked(self) -> Process:
        """The same facts for a forked child: another id, another process."""
        return Process(
            self.service,
            self.env,
            self.version,
            self.hostname,
            self.tags,
            language_version=self.language_version,
            tracer_version=self.tracer_version,
        )

    def __repr__(self) -> str:
        return "Process(service=%r, env=%r, version=%r, pid=%d)" % (self.service, self.env, self.version, self.pid)
