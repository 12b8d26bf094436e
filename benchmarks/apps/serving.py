"""Real servers with a traced application, one for each tracer, that are put under load in turn."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from typing import Any, Callable, Dict, List, Optional, Sequence

from .servers import accepts, free_port, wait_until
from .workers import HERE, ask_agent, bench, environ, tracers

TICK = os.sysconf("SC_CLK_TCK")
# Elastic's agent sends every ten seconds.
LONGEST_WAIT = 15.0


def group_cpu(session: int) -> float:
    """Seconds of CPU of all processes of a session, those that have ended included where their parent is in it."""
    total = 0
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % name) as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            total += sum(int(field) for field in fields[11:15])
    return total / TICK


class Server:
    """A served application under a tracer, and the null agent that it sends to. Use as a context manager."""

    def __init__(self, tracer: str, kind: str, name: str, running: Dict[str, str]) -> None:
        self.tracer = tracer
        self.arguments = (kind, name)
        self.port = free_port()
        self._running = running
        self._stack = ExitStack()

    def __enter__(self) -> Server:
        self.agent = self._stack.enter_context(bench.null_agent("--keep"))
        kind, name = self.arguments
        script = os.path.join(HERE, "serve.py")
        command, env = tracers.launch(self.tracer, script, [kind, str(self.port), name], self.agent)
        self._errors = self._stack.enter_context(tempfile.TemporaryFile())
        self.process = subprocess.Popen(
            command, env=environ(env, **self._running), cwd=bench.ROOT, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=self._errors, start_new_session=True,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.process.terminate()
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self._stack.close()

    def ready(self) -> None:
        """Wait until it listens."""
        wait_until(lambda: self.process.poll() is not None or accepts(self.port), self.tracer, 60)
        if self.process.poll() is not None:
            self._errors.seek(0)
            raise bench.Failure("the server ended: " + self._errors.read().decode("utf-8", "replace").strip()[-300:])

    def fixed_rate(self, path: str, rate: float, seconds: float) -> Dict[str, Any]:
        """Requests at a fixed rate, from a process of their own."""
        script = os.path.join(HERE, "load.py")
        command = [sys.executable, script, str(self.port), path, str(rate), str(seconds)]
        found: Dict[str, Any] = bench.run(command, bench.environment(), timeout=seconds * 3 + 60)
        if found["failed"]:
            raise bench.Failure("%d of %d requests failed: %s" % (found["failed"], found["sent"], found["first"]))
        return found

    def most(self, path: str, seconds: float) -> Dict[str, float]:
        """As many requests as it answers, by wrk over four connections: requests a second, CPU of one in µs."""
        before = group_cpu(self.process.pid)
        command = ["wrk", "-t1", "-c4", "-d%gs" % seconds, "http://127.0.0.1:%d%s" % (self.port, path)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds + 60)
        text = done.stdout.decode()
        spent = group_cpu(self.process.pid) - before
        count, rate = re.search(r"(\d+) requests in", text), re.search(r"Requests/sec: *([\d.]+)", text)
        if not count or not rate or not int(count.group(1)) or "Non-2xx" in text:
            raise bench.Failure("wrk: " + text[-300:])
        ask_agent(self.agent, "/bench/reset")
        return {"rate": float(rate.group(1)), "cpu": spent / int(count.group(1)) * 1e6}


class Farm:
    """A server for each tracer. Use as a context manager.

    Attributes:
        failed: tracer -> why it is left out.
        notes: tracer -> how many spans a request made.
    """

    def __init__(self, names: Sequence[str], kind: str, name: str, running: Optional[Dict[str, str]] = None) -> None:
        self.failed: Dict[str, str] = {}
        self.notes: Dict[str, str] = {}
        self._servers = {tracer: Server(tracer, kind, name, running or {}) for tracer in names}
        self._stack = ExitStack()

    def __enter__(self) -> Farm:
        for server in self._servers.values():
            self._stack.enter_context(server)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _try(self, call: Callable[[Server], Any]) -> Dict[str, Any]:
        found = {}
        for name, server in self._servers.items():
            if name not in self.failed:
                try:
                    found[name] = call(server)
                except (bench.Failure, RuntimeError) as error:
                    self.failed[name] = " ".join(str(error).split())[:200]
                    bench.say("%s left out: %s" % (name, error))
        return found

    def check(self, path: str, count: int = 40) -> None:
        """Warm up, and leave out who made no span for each request."""
        self._try(lambda server: server.ready())
        self._try(lambda server: server.fixed_rate(path, count * 2, 0.5))
        deadline = time.monotonic() + LONGEST_WAIT
        waiting: List[str] = [name for name in self._servers if name not in ("none", "newrelic", *self.failed)]
        sent: Dict[str, int] = {}
        while waiting and time.monotonic() < deadline:
            for name in list(waiting):
                sent[name] = ask_agent(self._servers[name].agent, "/bench/spans")["spans"]
                if sent[name] >= count:
                    waiting.remove(name)
            time.sleep(0.2)
        for name in waiting:
            self.failed[name] = "%d spans of %d requests" % (sent[name], count) if sent[name] else "no spans"
            bench.say("%s left out: %s" % (name, self.failed[name]))

    def measure(self, once: Callable[[Server], Dict[str, float]], rounds: int) -> bench.Found:
        """{tracer: {case: values}}, in turn."""
        names = [name for name in self._servers if name not in self.failed]
        found, failed = bench.interleave(names, lambda name: once(self._servers[name]), rounds)
        self.failed.update(failed)
        return found


def has_wrk() -> bool:
    """Whether wrk is installed; a line if not."""
    if shutil.which("wrk"):
        return True
    bench.say("left out what needs wrk (Debian: apt-get install wrk)")
    return False
