"""The test runs of `make test`, in sequence; the first that fails ends them.

    python3 scripts/run_tests.py [--part main|core|oldest] [pytest arguments ...]

main     all tests on the newest CPython with the newest version of every library
core     what needs no third-party library, on the oldest, on Debian's and on one between
oldest   each integration with the oldest version of its library
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import List, Tuple

from compat import AT_ONCE, Outcome, Row, pytest_run, read_lock, run_rows
from debian import FOR_TESTS, ensure
from environments import NEWEST, ROOT, SetupError, build, fail, find_python, named, newest_python, pins, say, version_of

PARTS = ("main", "core", "oldest")
CORE_PYTHONS = ("3.7", "3.9", "3.11")
# Folders of tests/ that need more than the tests' own requirements.
NOT_CORE = ("services", "integrations", "demo", "viewer/browser")
Results = List[Tuple[str, Outcome]]


class Failed(Exception):
    """A run failed; the others are left out."""


class Runs:
    """The runs so far, and what had to be left out."""

    def __init__(self, arguments: List[str]) -> None:
        self.arguments = arguments
        self.results: Results = []
        self.notes: List[str] = []

    def run(self, label: str, python: str, args: List[str]) -> None:
        """One run of pytest, shown as it goes."""
        print(f"\n==> {label}", flush=True)
        self.add(label, pytest_run(python, label, args + self.arguments, show=True))

    def captured(self, label: str, python: str, args: List[str]) -> Outcome:
        """One run of pytest, shown when it has ended: another may run beside it."""
        outcome = pytest_run(python, label, args)
        print(f"\n==> {label}\n{outcome.output}", flush=True)
        return outcome

    def add(self, label: str, outcome: Outcome) -> None:
        """Note a result; stop at a failure."""
        self.add_all([(label, outcome)])

    def add_all(self, results: Results) -> None:
        """Note results; stop if one is a failure."""
        self.results += results
        for label, outcome in results:
            if outcome.status != "passed" and not (outcome.status == "no test ran" and self.arguments):
                raise Failed(label)

    def main(self) -> None:
        """Everything, newest."""
        python = newest_python(install=True)
        version = version_of(python)
        if version != NEWEST[0]:
            self.notes.append(f"Python {NEWEST[0]} cannot be had here: the main run was on {version}")
        peers = {"TEST_PEERS_PYTHON": named("peers"), "TEST_AGENT_PYTHON": named("agent")}
        os.environ.update(peers)
        self.run("main-" + version, build("main", python, pins("main")), [] if self.has_paths() else ["tests"])
        for name in peers:  # other people's tracers need asking once
            del os.environ[name]

    def has_paths(self) -> bool:
        """Whether the arguments name tests."""
        return any(os.path.exists(argument.partition("::")[0]) for argument in self.arguments)

    def core(self) -> None:
        """What must work everywhere, with the integrations of the standard library."""
        folders = sorted(path for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name not in NOT_CORE)
        paths = [str(path.relative_to(ROOT)) for path in folders]
        paths += sorted({str(row.test_file.relative_to(ROOT)) for row in read_lock() if row.version == "stdlib"})
        paths += ["tests/test_services.py"]
        paths = [path for path in paths if has_tests(path)]
        interpreters = {}
        for version in CORE_PYTHONS:
            python = find_python(version)
            if python is None:
                self.notes.append(f"Python {version} cannot be had here: its core run was left out")
            else:
                interpreters["core-" + version] = build("core-" + version, python, pins("core"))
        print("\n==> core on " + ", ".join(interpreters), flush=True)
        args = ["-m", "not newest", *(f"--ignore=tests/{name}" for name in NOT_CORE), *paths, *self.arguments]
        # Much of a run is waiting: two at a time take little more than one.
        with ThreadPoolExecutor(AT_ONCE) as pool:
            outcomes = list(pool.map(lambda item: self.captured(item[0], item[1], args), interpreters.items()))
        self.add_all(list(zip(interpreters, outcomes)))

    def oldest(self) -> None:
        """The oldest versions, two at a time; only failures are shown whole."""
        rows = [row for row in read_lock() if row.role == "oldest" and row.version != "stdlib"]
        self.notes += [f"no tests yet for {row.library}" for row in rows if not row.test_file.exists()]
        rows = [row for row in rows if row.test_file.exists()]
        print("\n==> oldest versions", flush=True)
        results = list(zip(rows, run_rows(rows)))
        for row, outcome in results:
            self.show_row(row, outcome)
        self.add_all([(row.label, outcome) for row, outcome in results if outcome.status != "no python"])

    def show_row(self, row: Row, outcome: Outcome) -> None:
        """Print what a row of the lock has to say."""
        if outcome.status == "no python":
            self.notes.append(f"Python {row.python} cannot be had here: {row.library} {row.version} was left out")
        elif outcome.status != "passed":
            print(f"\n==> {row.label}\n{outcome.output}")
        for line in outcome.output.splitlines():
            if line.startswith("SKIPPED"):
                print(f"{row.label}: {line}")

    def summary(self) -> None:
        """The closing lines."""
        print("\n==> summary")
        for label, outcome in self.results:
            counts = f"{outcome.passed:5} passed {outcome.failed:4} failed {outcome.skipped:4} skipped"
            print(f"{label:32} {outcome.status:12} {counts} {outcome.seconds:7.1f} s")
        for note in self.notes:
            print("left out: " + note)
        outcomes = [outcome for _, outcome in self.results]
        failed = sum(outcome.failed for outcome in outcomes)
        broken = any(outcome.status not in ("passed", "no test ran") for outcome in outcomes)
        counts = (sum(outcome.passed for outcome in outcomes), failed or int(broken), sum(o.skipped for o in outcomes))
        print("{} passed, {} failed, {} skipped".format(*counts), flush=True)


def has_tests(path: str) -> bool:
    """Whether there is something to collect."""
    full = ROOT / path
    return full.is_file() or any(full.glob("**/test_*.py"))


def main() -> int:
    """Run the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS)
    options, arguments = parser.parse_known_args()
    os.chdir(str(ROOT))
    runs = Runs(arguments)
    try:
        runs.notes += ensure(FOR_TESTS)
        for part in options.part or PARTS:
            getattr(runs, part)()
    except SetupError as error:
        fail(str(error))
    except Failed as failed:
        runs.summary()
        say(f"the run {failed} failed; the runs after it were left out")
        return 1
    runs.summary()
    return 0


if __name__ == "__main__":
    sys.exit(main())
