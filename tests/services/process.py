"""Programs as child processes: servers on a free port, and short scripts run to their end.

A server is the leader of its own process group, and the whole group is ended with the test (or with the run), so that
reloaders and worker processes do not stay behind.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

import pytest

from tests.services.ports import free_port, wait_for_port

ROOT = Path(__file__).resolve().parents[2]
OUR_PREFIXES = ("DD_", "OTEL_", "GOSSAMER_", "_DD_")


def clean_environment(**extra: Any) -> Dict[str, str]:
    """The environment without anybody's tracing settings, with this checkout importable, and `extra` on top.

    A value of None takes the name out. The choice of the core stays: children run on the one that is tested.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OUR_PREFIXES)}
    env = dict(kept, **{name: os.environ[name] for name in ("GOSSAMER_PURE",) if name in os.environ})
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    env["PYTHONUNBUFFERED"] = "1"
    for name, value in extra.items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = str(value)
    return env


class Result(NamedTuple):
    """What a program that ran to its end left."""

    returncode: int
    stdout: str
    stderr: str


def run(args: Sequence[Any], timeout: float = 30.0, input: Optional[str] = None, cwd: Any = None, **env: Any) -> Result:
    """Run a program to its end, in a clean environment with `env` on top. Its process group dies at the timeout."""
    process = subprocess.Popen(
        [str(arg) for arg in args],
        stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        env=clean_environment(**env),
        cwd=None if cwd is None else str(cwd),
        start_new_session=True,
    )
    try:
        out, err = process.communicate(input, timeout=timeout)
    except subprocess.TimeoutExpired:
        kill_group(process, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"still running after {timeout} s: {list(args)}\n{out}\n{err}") from None
    return Result(process.returncode, out, err)


def run_python(source: str, *args: Any, **options: Any) -> Result:
    """Run a piece of Python in a process of its own; `options` as for `run`."""
    return run([sys.executable, "-c", source] + list(args), **options)


def kill_group(process: subprocess.Popen, number: int) -> None:  # type: ignore[type-arg]
    """Send a signal to a process and all that it started."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def dies_with_us(args: List[str]) -> List[str]:
    """Let the kernel end the program with the thread that starts it: with this run, if that is the main thread."""
    setpriv = shutil.which("setpriv")
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return args
    return [setpriv, "--pdeathsig", "KILL"] + args


class Server:
    """A running program that listens on `port`."""

    def __init__(self, args: Sequence[Any], port: int, env: Dict[str, str], cwd: Any, wait: float) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._log = tempfile.NamedTemporaryFile(prefix="server-", suffix=".log")
        self.process = subprocess.Popen(
            dies_with_us([str(arg).replace("{port}", str(port)) for arg in args]),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=None if cwd is None else str(cwd),
            start_new_session=True,
        )
        if wait and not wait_for_port(port, wait, lambda: self.process.poll() is None):
            output = self.stop()
            raise RuntimeError(f"no answer on port {port} from {list(args)}:\n{output}")

    @property
    def pid(self) -> int:
        """Of the program itself, not of what it started."""
        return self.process.pid

    @property
    def output(self) -> str:
        """What it has printed so far, both streams."""
        with open(self._log.name, errors="replace") as log:
            return log.read()

    def send(self, number: int) -> None:
        """Send a signal to the program alone."""
        self.process.send_signal(number)

    def wait(self, timeout: float = 10.0) -> int:
        """Wait for its end; the exit code."""
        return self.process.wait(timeout)

    def stop(self, number: int = signal.SIGTERM, timeout: float = 5.0) -> str:
        """Ask it to end, then end its whole process group; what it printed."""
        if self._log.closed:
            return ""
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
        kill_group(self.process, signal.SIGKILL)
        self.process.wait()
        output = self.output
        self._log.close()
        return output


def start(args: Sequence[Any], port: int = 0, wait: float = 15.0, cwd: Any = None, **env: Any) -> Server:
    """Start a program, `{port}` in its arguments replaced by a free port, and wait until it accepts connections."""
    return Server(args, port or free_port(), clean_environment(**env), cwd, wait)


@pytest.fixture
def start_server() -> Iterator[Callable[..., Server]]:
    """`start`, for the length of a test: whatever it started is ended after it, the last first."""
    servers: List[Server] = []

    def starter(args: Sequence[Any], **options: Any) -> Server:
        server = start(args, **options)
        servers.append(server)
        return server

    yield starter
    for server in reversed(servers):
        server.stop()


def other_python(variable: str) -> str:
    """The interpreter of another environment that the test run has built; skips the test where it has not."""
    path = os.environ.get(variable, "")
    if not path or not os.path.exists(path):
        pytest.skip(f"{variable} is not set: `make test` builds that environment")
    return path


@pytest.fixture(scope="session")
def peers_python() -> str:
    """An interpreter with the released ddtrace and OpenTelemetry SDK."""
    return other_python("TEST_PEERS_PYTHON")
