"""The viewer beside a program: one that runs already, or one that is started and ended with the program."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import tempfile
import time
from typing import Optional, Tuple

from gossamer._cli.messages import message

PORT = 8126
_HOST = "127.0.0.1"
_PATIENCE = 10.0


class Viewer:
    """A viewer that answers; `process` is there if it is ours to end."""

    def __init__(self, port: int, process: Optional[subprocess.Popen[bytes]] = None) -> None:
        self.url = f"http://localhost:{port}"
        self._process = process

    def stop(self) -> bool:
        """End it, if it was started for this program, and tell whether it was."""
        if self._process is None:
            return False
        end(self._process)
        return True


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and insist after a while."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def find_or_start() -> Optional[Viewer]:
    """The viewer on the usual port; else a new one, there or on a free port."""
    if is_viewer(PORT):
        return Viewer(PORT)
    reason = ""
    # A second round: somebody may have taken the port between our look and the viewer's start.
    for port in (PORT if _is_free(PORT) else _free_port(), _free_port()):
        viewer, reason = _start(port)
        if viewer is not None:
            return viewer
    message("the viewer did not start" + (f": {reason}" if reason else ""))
    return None


def _start(port: int) -> Tuple[Optional[Viewer], str]:
    """A viewer on this port, or the reason why there is none."""
    # A session of its own: Ctrl-C is for the program, whose last spans the viewer still has to receive.
    errors = tempfile.TemporaryFile()  # noqa: SIM115 (a pipe that nobody reads would fill up)
    process = subprocess.Popen(
        [sys.executable, "-m", "gossamer.viewer", "--port", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,
    )
    deadline = time.monotonic() + _PATIENCE
    try:
        while time.monotonic() < deadline and process.poll() is None:
            if is_viewer(port):
                return Viewer(port, process), ""
            time.sleep(0.02)
    except BaseException:
        end(process)
        raise
    end(process)
    errors.seek(0)
    said = errors.read().decode("utf-8", "replace").strip()
    return None, said.splitlines()[-1] if said else ""


def is_viewer(port: int) -> bool:
    """Whether a viewer of ours answers on this port."""
    connection = http.client.HTTPConnection(_HOST, port, timeout=1.0)
    try:
        connection.request("GET", "/api/status")
        answer = connection.getresponse()
        data = json.loads(answer.read(1 << 20).decode("utf-8"))
        return answer.status == 200 and isinstance(data, dict) and "version" in data
    except (OSError, ValueError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
