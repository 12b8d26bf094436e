"""A program that runs as our child, with a viewer beside it, as if it stood in our place."""

from __future__ import annotations

import os
import signal
import subprocess

from gossamer._cli import beside
from gossamer._cli.messages import message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, Optional, Tuple

_SIGNALS = ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")


class NotStarted(Exception):
    """The program could not be executed; `error` says why."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def beside_viewer(path: str, command: List[str], environ: Dict[str, str]) -> Optional[int]:
    """Run the program, its traces going to a viewer, and answer its exit code; None if no viewer could be had.

    Raises:
        NotStarted: it could not be executed.
    """
    viewer = beside.find_or_start()
    if viewer is None:
        message("the program runs without it")
        return None
    named = environ.get("DD_TRACE_AGENT_URL")
    environ["DD_TRACE_AGENT_URL"] = viewer.url
    message(f"traces of this program: {viewer.url}")
    if named and named.rstrip("/") != viewer.url:
        message(f"DD_TRACE_AGENT_URL={named} does not count while --view is given")
    try:
        return _supervise(path, command, environ)
    finally:
        if viewer.stop():
            message("the program has ended, and the viewer with it; `gossamer viewer` shows the traces again")


def _supervise(path: str, command: List[str], environ: Mapping[str, str]) -> int:
    """Run the program as a child in our place: it gets our signals, we end with its exit code."""
    children: List[subprocess.Popen[bytes]] = []
    pending: List[int] = []

    def forward(number: int, _: Any) -> None:
        if not children:
            pending.append(number)
        elif children[0].poll() is None:
            children[0].send_signal(number)

    def interrupt(number: int, frame: Any) -> None:
        # Ctrl-C reaches the whole foreground group by itself; a second copy would interrupt the program's clean-up.
        if not _in_foreground():
            forward(number, frame)

    before = _install(forward, interrupt)
    try:
        try:
            child = subprocess.Popen(command, executable=path, env=dict(environ), preexec_fn=lambda: _restore(before))
        except OSError as error:
            raise NotStarted(error) from None
        children.append(child)
        for number in pending:
            child.send_signal(number)
        code = child.wait()
    finally:
        _restore(before)
    return code if code >= 0 else 128 - code


def _install(forward: Any, interrupt: Any) -> List[Tuple[int, Any]]:
    before = []
    for name in _SIGNALS + ("SIGINT",):
        number = getattr(signal, name, None)
        # A signal that is ignored here (nohup) stays ignored, there too.
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            before.append((int(number), signal.signal(number, interrupt if name == "SIGINT" else forward)))
    return before


def _restore(before: List[Tuple[int, Any]]) -> None:
    for number, handler in before:
        signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _in_foreground() -> bool:
    for stream in (0, 1, 2):
        try:
            return os.tcgetpgrp(stream) == os.getpgrp()
        except OSError:
            continue
    return False
