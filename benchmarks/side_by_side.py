"""What the benchmarks share: rows of results, rounds in turn, child processes, the command line of one benchmark.

A benchmark is a module with

    NAME      what it is called in `run.py`
    TITLE     the heading of its table
    cases     a function from `Options` to the `Row`s that it measured

and ends with `if __name__ == "__main__": bench.main(sys.modules[__name__])`. `cases` prints nothing on stdout; what
could not be measured becomes a row with a note instead of a figure (`missing`), and the others go on.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
SOURCE = os.path.join(ROOT, "src")
RESULTS = os.path.join(ROOT, ".cache", "bench")
# The tracer that stands for no tracer: what "added" is added to.
BASE = "none"
# No round begins after this, on the monotonic clock: a busy machine makes fewer rounds, not a longer run.
deadline: Optional[float] = None


class Row(NamedTuple):
    """One case measured with one tracer. `median` is None where nothing could be measured; `note` says why."""

    case: str
    tracer: str
    unit: str
    median: Optional[float]
    min: Optional[float] = None
    # Half the distance between the quartiles: what a repeated run may differ by.
    spread: Optional[float] = None
    rounds: int = 0
    note: str = ""


class Options(NamedTuple):
    """What the command line asks for."""

    quick: bool = False
    tracers: Sequence[str] = ()
    rounds: Optional[int] = None

    def pick(self, quick: int, full: int) -> int:
        """A count of rounds: as asked for, else by mode."""
        return self.rounds or (quick if self.quick else full)


class Failure(Exception):
    """A run that gave no figure; its text is for the reader of the table."""


Found = Dict[str, Dict[str, List[float]]]


def interleave(
    tracers: Sequence[str], run_once: Callable[[str], Dict[str, float]], rounds: int, warmup: int = 0
) -> Tuple[Found, Dict[str, str]]:
    """Run every tracer once a round, in turn, the order turned round every second time.

    `run_once(tracer)` answers {case: value}. A tracer that fails (Failure, or a subprocess that ends badly) is left out
    of the rounds that follow, with a line on stderr.

    Returns:
        {tracer: {case: values, one for each round}} and {tracer: why it was left out}.
    """
    found: Found = {tracer: {} for tracer in tracers}
    failed: Dict[str, str] = {}
    for number in range(-warmup, rounds):
        if number > 0 and deadline is not None and time.monotonic() > deadline:
            break
        for tracer in tracers if number % 2 == 0 else reversed(tracers):
            if tracer in failed:
                continue
            try:
                values = run_once(tracer)
            except (Failure, OSError, subprocess.SubprocessError) as error:
                failed[tracer] = " ".join(str(error).split())[:200]
                say("%s left out: %s" % (tracer, error))
                continue
            if number >= 0:
                for case, value in values.items():
                    found[tracer].setdefault(case, []).append(value)
    return found, failed


def added_rows(
    found: Found, units: Dict[str, str], notes: Optional[Dict[str, str]] = None, base: str = BASE
) -> List[Row]:
    """A row for what each tracer adds to the base: the median of the differences in a round, and that of the leasts."""
    result = []
    for case, unit in units.items():
        before = found[base].get(case)
        for tracer, cases in found.items():
            if before and cases.get(case) and tracer != base:
                differences = [value - less for value, less in zip(cases[case], before)]
                each = row(case, tracer, unit, differences, (notes or {}).get(tracer, ""))
                result.append(each._replace(min=min(cases[case]) - min(before)))
    return result


def rows(found: Found, units: Dict[str, str], notes: Optional[Dict[str, str]] = None) -> List[Row]:
    """A row for each case of `units` (case -> unit) and each tracer that has values; `notes` are by tracer."""
    result = []
    for case, unit in units.items():
        for tracer, cases in found.items():
            if cases.get(case):
                result.append(row(case, tracer, unit, cases[case], (notes or {}).get(tracer, "")))
    return result


def missing(failed: Dict[str, str], units: Dict[str, str]) -> List[Row]:
    """Rows for the tracers that could not run."""
    return [Row(case, tracer, unit, None, note=why) for case, unit in units.items() for tracer, why in failed.items()]


def row(case: str, tracer: str, unit: str, values: Sequence[float], note: str = "") -> Row:
    """Median, least and spread of the rounds."""
    spread = 0.0
    if len(values) > 1:
        quartiles = statistics.quantiles(values, n=4, method="inclusive")
        spread = (quartiles[2] - quartiles[0]) / 2
    return Row(case, tracer, unit, statistics.median(values), min(values), spread, len(values), note)


# -- processes --------------------------------------------------------------------------------------------------------


def say(text: str) -> None:
    """A line for whoever watches, apart from the results."""
    print(text, file=sys.stderr, flush=True)


def environment(**more: str) -> Dict[str, str]:
    """The environment of a run: nothing of the caller's settings, the same hashes in each."""
    ours = ("DD_", "_DD", "OTEL_", "GOSSAMER_", "SENTRY_", "ELASTIC_", "NEW_RELIC_", "LOGFIRE_", "SCOUT_", "PYTHON")
    proxies = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(ours) and name.upper() not in proxies and name not in ("COV_CORE_SOURCE", "VIRTUAL_ENV")
    }
    clean.update(PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="", NO_PROXY="127.0.0.1,localhost")
    clean.update(more)
    return clean


def run(command: Sequence[str], env: Dict[str, str], timeout: float = 120.0, cwd: str = ROOT) -> Any:
    """The JSON that a command prints as its last line."""
    process = subprocess.Popen(
        command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=timeout)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise Failure("took more than %d s" % timeout) from None
        raise
    lines = out.decode("utf-8", "replace").strip().splitlines()
    try:
        return json.loads(lines[-1])
    except (IndexError, ValueError):
        text = (err or out).decode("utf-8", "replace").strip()
        raise Failure("exit code %d: %s" % (process.returncode, text[-1500:])) from None


@contextmanager
def null_agent(*options: str) -> Iterator[int]:
    """The port of a null agent that runs in a process of its own."""
    command = [sys.executable, os.path.join(HERE, "null_agent.py"), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


# -- the command line of one benchmark --------------------------------------------------------------------------------


def main(module: Any) -> None:
    """`python benchmarks/NAME.py [--quick] [--tracers a,b] [--rounds N] [--output FILE]`: measure, print a table."""
    import report
    import tracers

    parser = argparse.ArgumentParser(description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--tracers", default="", help="of %s; default: all" % ", ".join(tracers.TRACERS))
    parser.add_argument("--rounds", type=int, help="how often")
    parser.add_argument("--seconds", type=float, help="begin no round after so many")
    parser.add_argument("--output", help="write the rows as JSON to this file instead of a table to stdout")
    parsed = parser.parse_args()
    global deadline
    deadline = time.monotonic() + parsed.seconds if parsed.seconds else None
    try:
        chosen = tracers.available(parsed.tracers.split(",") if parsed.tracers else None)
    except ValueError as error:
        parser.error(str(error))
    found = module.cases(Options(parsed.quick, chosen, parsed.rounds))
    if parsed.output:
        with open(parsed.output, "w") as file:
            json.dump([each._asdict() for each in found], file, indent=1)
    else:
        print(report.table(module.TITLE, found))


def after(seconds: float, call: Callable[[], None]) -> threading.Timer:
    """A daemon timer, started."""
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()
    return timer
