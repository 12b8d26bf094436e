"""A traced program that does what it is told: reads a line of JSON, works, answers with a line of JSON.

Launched under a tracer by `workers.py`. Commands: `{"do": "load", "case": C}` makes a case ready;
`{"do": "run", "case": C, "count": N}` runs it so often and has the tracer send what is pending, and answers the CPU
nanoseconds that this process took meanwhile, all of its threads; `{"do": "check", ...}` does the same and says for how
many calls the tracer's own API told of something recorded; `{"do": "end"}` answers what was spent outside of the runs.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from typing import Any, Callable, Dict

import tracing


class Program:
    """The cases of this process, each made when it is first asked for."""

    def __init__(self) -> None:
        self.tracer = tracing.of_process()
        self.cases: Dict[str, Callable[[int], int]] = {}
        self.began = 0
        self.inside = 0

    def perform(self, order: Dict[str, Any]) -> Dict[str, Any]:
        """Carry out one command."""
        return getattr(self, order.pop("do"))(**order)  # type: ignore[no-any-return]

    def load(self, case: str) -> Dict[str, Any]:
        """Make a case ready."""
        kind, _, what = case.partition(":")
        if kind == "web":
            import web_apps as source
        else:
            import library_calls as source  # type: ignore[no-redef]
        self.cases[case] = source.make(what, self.tracer)
        return {}

    def run(self, case: str, count: int) -> Dict[str, Any]:
        """Run a case `count` times and flush."""
        run = self.cases[case]
        began = time.process_time_ns()
        calls = run(count)
        tracing.tracers.finish()
        took = time.process_time_ns() - began
        self.began = self.began or began
        self.inside += took
        return {"cpu": took, "calls": calls}

    def check(self, case: str, count: int) -> Dict[str, Any]:
        """Run, and count what the tracer records."""
        self.tracer.watch()
        calls = self.cases[case](count)
        seen = self.tracer.watched()
        tracing.tracers.finish()
        return {"calls": calls, "seen": seen}

    def end(self) -> Dict[str, Any]:
        """What the process spent outside of the runs since the first one, the end of the tracer included."""
        self.tracer.end()
        return {"outside": time.process_time_ns() - self.began - self.inside}


def main() -> None:
    """Read commands until the input ends. What anybody prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    program = Program()
    for line in sys.stdin:
        try:
            answer = program.perform(json.loads(line))
        except Exception as error:
            traceback.print_exc()
            answer = {"error": "%s: %s" % (type(error).__name__, error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
