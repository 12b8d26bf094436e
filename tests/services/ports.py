"""Free ports, and waiting for somebody to listen on one."""

from __future__ import annotations

import socket
import time
from typing import Callable, Optional

HOST = "127.0.0.1"


def free_port() -> int:
    """A port that nobody listens on. Another process may take it first: whoever starts a server waits for it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind((HOST, 0))
        return int(server.getsockname()[1])


def wait_until(condition: Callable[[], object], timeout: float = 10.0, what: str = "") -> None:
    """Poll until the condition is true; AssertionError after the timeout."""
    deadline = time.monotonic() + timeout
    pause = 0.002
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} seconds: {what or condition}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def accepts(port: int, host: str = HOST) -> bool:
    """Whether somebody accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def wait_for_port(port: int, timeout: float = 15.0, alive: Optional[Callable[[], bool]] = None) -> bool:
    """Wait for the first accepted connection; False after the timeout, or when `alive` says no."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if accepts(port):
            return True
        if alive is not None and not alive():
            return False
        time.sleep(0.02)
    return False
