"""Traced programs that stay alive and take turns: a process for each tracer, a round of each before the next round."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import tempfile
from contextlib import ExitStack
from typing import Any, Callable, Dict, List, NamedTuple, Sequence

import side_by_side as bench
import tracers

HERE = os.path.dirname(os.path.abspath(__file__))

UNIT = "µs"
# These send what is left when the program ends, or in the background as they like.
NO_FLUSH = {"newrelic", "scout"}
# Nothing of it leaves the process, so what arrives cannot be counted.
SENDS_NOTHING = {"newrelic"}
# A client for each framework, of which a flush reaches one: each framework in a process of its own.
ALONE = {"elastic"}


def environ(env: Dict[str, str], **more: str) -> Dict[str, str]:
    """The environment of a program in this folder."""
    path = os.pathsep.join(filter(None, [HERE, os.path.dirname(HERE), env.get("PYTHONPATH", "")]))
    return {**env, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "django_settings", **more}


def ask_agent(port: int, path: str) -> Dict[str, Any]:
    """What a null agent answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST" if path.endswith("reset") else "GET", path)
    answer: Dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return answer


class Checked(NamedTuple):
    """What came of a case under a tracer."""

    calls: int
    # Calls for which the tracer's API told of something recorded, and spans that arrived at the null agent.
    seen: int
    sent: int


class Worker:
    """One traced program, with a null agent of its own. Use as a context manager."""

    def __init__(self, tracer: str, mode: str = "on", servers: Any = None) -> None:
        self.tracer = tracer
        self.mode = mode
        self._servers = dict(servers or {})
        self._stack = ExitStack()

    def __enter__(self) -> Worker:
        self.port = self._stack.enter_context(bench.null_agent("--keep"))
        command, env = tracers.launch(self.tracer, os.path.join(HERE, "worker.py"), [], self.port, self.mode)
        self._errors = self._stack.enter_context(tempfile.TemporaryFile())
        self._process = subprocess.Popen(
            command, env=environ(env, **self._servers), cwd=bench.ROOT, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.close()
            self._process.wait(20)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._stack.close()

    def order(self, do: str, **more: Any) -> None:
        """Give an order, without waiting."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(dict(more, do=do)) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise bench.Failure("the program ended: " + self._tail()) from None

    def answer(self) -> Dict[str, Any]:
        """Wait for what comes of the order."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise bench.Failure("the program ended: " + self._tail())
        found: Dict[str, Any] = json.loads(line)
        if "error" in found:
            raise bench.Failure(str(found["error"]))
        return found

    def ask(self, do: str, **more: Any) -> Dict[str, Any]:
        """Order and answer."""
        self.order(do, **more)
        return self.answer()

    def check(self, case: str, count: int) -> Checked:
        """Run a case, and see whether it was traced."""
        ask_agent(self.port, "/bench/reset")
        found = self.ask("check", case=case, count=count)
        return Checked(found["calls"], found["seen"], ask_agent(self.port, "/bench/spans")["spans"])

    def _tail(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace").strip()[-300:]


Verdict = Callable[[str, str, Checked], str]
"""Case, tracer and what was checked -> why the tracer's figure does not count; empty if it does."""


class Fleet:
    """The workers of all tracers, and what they measure. Use as a context manager.

    Attributes:
        failed: case -> tracer -> why there is no figure.
        notes: case -> tracer -> what to know of the figure.
    """

    def __init__(self, names: Sequence[str], cases: Sequence[str], mode: str = "on", servers: Any = None) -> None:
        self.cases = list(cases)
        self.failed: Dict[str, Dict[str, str]] = {case: {} for case in cases}
        self.notes: Dict[str, Dict[str, str]] = {case: {} for case in cases}
        self._names = list(names)
        shared = {name: Worker(name, mode, servers) for name in names}
        self._workers = {
            (name, case): Worker(name, mode, servers) if name in ALONE and case.startswith("web:") else shared[name]
            for case in cases
            for name in names
        }
        self._stack = ExitStack()
        self._inside = dict.fromkeys(names, 0.0)

    def __enter__(self) -> Fleet:
        for worker in dict.fromkeys(self._workers.values()):
            self._stack.enter_context(worker)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _each(self, call: Callable[[str, str], None]) -> None:
        for case in self.cases:
            for name in self._names:
                if name not in self.failed[case]:
                    try:
                        call(case, name)
                    except bench.Failure as error:
                        self.failed[case][name] = " ".join(str(error).split())[:200]
                        bench.say("%s, %s: %s" % (case, name, error))

    def load(self) -> None:
        """Make all cases ready, in all workers at the same time."""
        for case in self.cases:
            for name in self._names:
                try:
                    self._workers[name, case].order("load", case=case)
                except bench.Failure as error:
                    self.failed[case][name] = str(error)
        self._each(lambda case, name: bool(self._workers[name, case].answer()) and None)

    def check(self, count: int, verdict: Verdict) -> None:
        """Leave out, with a reason, what is not traced, or should not be and is."""

        def one(case: str, name: str) -> None:
            found = self._workers[name, case].check(case, count)
            why = verdict(case, name, found)
            if why:
                raise bench.Failure(why)
            if name in SENDS_NOTHING:
                self.notes[case][name] = "spans not counted: it sends nothing in developer mode"
            elif name != bench.BASE:
                self.notes[case][name] = "%.3g spans/call" % (found.sent / found.calls)

        self._each(one)

    def measure(self, rounds: int, counts: Dict[str, int]) -> bench.Found:
        """Microseconds of CPU for one call: {tracer: {case: values}}. `counts`: calls of a round, by case."""

        def once(name: str) -> Dict[str, float]:
            values = {}
            for case in self.cases:
                if name in self.failed[case]:
                    continue
                answer = self._workers[name, case].ask("run", case=case, count=counts[case])
                values[case] = answer["cpu"] / answer["calls"] / 1e3
                self._inside[name] += answer["cpu"]
            return values

        found, failed = bench.interleave(self._names, once, rounds, warmup=1)
        for name, why in failed.items():
            for case in self.cases:
                self.failed[case].setdefault(name, why)
        for name in NO_FLUSH.intersection(found):
            self._spread(name, found)
        return found

    def _spread(self, name: str, found: bench.Found) -> None:
        """Add what a tracer without a flush does between the rounds and at the end, in proportion."""
        if self._inside[name]:
            try:
                outside = self._workers[name, self.cases[0]].ask("end")["outside"]
            except bench.Failure:
                return
            factor = 1 + max(0.0, outside / self._inside[name])
            for case, values in found[name].items():
                found[name][case] = [value * factor for value in values]

    def rows(self, found: bench.Found, titles: Dict[str, str]) -> List[bench.Row]:
        """For each case (-> title) what the untraced call costs and what each tracer adds to it.

        The median is that of the differences within a round, the least the difference of the least.
        """
        result = []
        for case in self.cases:
            base = found[bench.BASE].get(case)
            for name in self._names:
                title = titles[case] + (", untraced" if name == bench.BASE else ", added")
                values = found.get(name, {}).get(case)
                if name in self.failed[case] or not values or not base:
                    why = self.failed[case].get(name) or "not measured"
                    result.append(bench.Row(title, name, UNIT, None, note=why))
                elif name == bench.BASE:
                    result.append(bench.row(title, name, UNIT, values))
                else:
                    differences = [value - before for value, before in zip(values, base)]
                    row = bench.row(title, name, UNIT, differences, self.notes[case].get(name, ""))
                    result.append(row._replace(min=min(values) - min(base)))
        return result
