"""The real servers that the calls of libraries go to, started on free ports and ended with the benchmark."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable, Dict, List, Optional, Sequence

HERE = os.path.dirname(os.path.abspath(__file__))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def accepts(port: int) -> bool:
    """Whether somebody listens on a port."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def wait_until(true: Callable[[], Any], what: str, seconds: float = 30.0) -> None:
    """Poll until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise RuntimeError("%s: not within %.0f s" % (what, seconds))
        time.sleep(0.02)


class Servers:
    """Redis, PostgreSQL and an HTTP responder; what is not installed is left out, and `environ` does not name it.

    Use as a context manager.

    Attributes:
        environ: where they are, for the programs that call them.
        missing: name of a library -> why there is no server for it.
    """

    def __init__(self, *wanted: str) -> None:
        self.wanted = wanted or ("redis", "http", "postgres")
        self.environ: Dict[str, str] = {}
        self.missing: Dict[str, str] = {}
        self._running: List[subprocess.Popen[bytes]] = []
        self._folder = ""

    def __enter__(self) -> Servers:
        self._folder = tempfile.mkdtemp(prefix="bench-servers-")
        os.chmod(self._folder, 0o755)
        try:
            for name in self.wanted:
                getattr(self, "_start_" + name)()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            process.send_signal(signal.SIGINT)
        for process in self._running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, command: Sequence[str]) -> None:
        nowhere = subprocess.DEVNULL
        env = dict(os.environ, LC_ALL="C")
        self._running.append(
            subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere, cwd=self._folder, env=env)
        )

    def _start_redis(self) -> None:
        if not shutil.which("redis-server"):
            self.missing["redis"] = "no redis-server (Debian: apt-get install redis-server)"
            return
        port = free_port()
        self._start(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
            + ["--dir", self._folder]
        )
        wait_until(lambda: accepts(port), "redis-server")
        self.environ["BENCH_REDIS"] = str(port)

    def _start_http(self) -> None:
        path = os.path.join(self._folder, "port")
        self._start([sys.executable, os.path.join(HERE, "responder.py"), path])
        wait_until(lambda: os.path.exists(path), "the responder")
        with open(path) as file:
            self.environ["BENCH_HTTP"] = file.read()

    def _start_postgres(self) -> None:
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))
        binary = found[-1] if found else shutil.which("postgres")
        prefix = _as_postgres()
        if binary is None or prefix is None:
            self.missing["psycopg"] = "no PostgreSQL server (Debian: apt-get install postgresql)"
            return
        folder, port = os.path.join(self._folder, "postgres"), str(free_port())
        os.mkdir(folder)
        if prefix:
            shutil.chown(folder, "postgres", "postgres")
        data = os.path.join(folder, "data")
        initdb = os.path.join(os.path.dirname(os.path.realpath(binary)), "initdb")
        made = subprocess.run(
            [*prefix, initdb, "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=folder, env=dict(os.environ, LC_ALL="C"),
        )  # fmt: skip
        if made.returncode:
            self.missing["psycopg"] = "initdb failed: " + made.stderr.decode("utf-8", "replace").strip()[-200:]
            return
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": folder, "fsync": "off"}
        options = [part for name, value in settings.items() for part in ("-c", "%s=%s" % (name, value))]
        self._start([*prefix, binary, "-D", data, "-p", port, *options])
        wait_until(lambda: accepts(int(port)), "postgres")
        self.environ["BENCH_POSTGRES"] = "host=127.0.0.1 port=%s user=postgres dbname=postgres" % port


def _as_postgres() -> Optional[List[str]]:
    """What to put before a command so that it does not run as root, which PostgreSQL refuses; None if impossible."""
    if os.getuid():
        return []
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        return None
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
