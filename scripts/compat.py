"""The compatibility matrix: each integration's tests with each locked version of its library.

    python3 scripts/compat.py [LIBRARY ...]

Reads tests/versions.lock, builds an environment for each line, runs tests/integrations/test_LIBRARY.py in it, prints a
table and writes the results to .cache/compat.json. Exit code 1 when a line fails or runs no test.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from debian import FOR_TESTS, ensure
from environments import CACHE, ROOT, SetupError, build, fail, find_python, pins, say

LOCK = ROOT / "tests" / "versions.lock"
RESULTS = CACHE / "compat.json"
AT_ONCE = 2
TIMEOUT = 900  # seconds for one run of pytest


class Row(NamedTuple):
    """A line of the lock file."""

    library: str
    role: str
    version: str
    python: str
    pins: List[str]
    build: List[str]

    @property
    def label(self) -> str:
        """Its name in tables and folders."""
        return f"{self.library}-{self.version}-{self.python}"

    @property
    def test_file(self) -> Path:
        """The tests that it is for."""
        return ROOT / "tests" / "integrations" / f"test_{self.library}.py"


class Outcome(NamedTuple):
    """How a run of pytest ended."""

    status: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    output: str = ""


def read_lock() -> List[Row]:
    """All lines, in the order of the file."""
    lines = [line for line in LOCK.read_text().splitlines() if line and not line.startswith("#")]
    rows = []
    for line in lines[1:]:
        cells = line.split("\t") + [""] * 2
        rows.append(Row(cells[0], cells[1], cells[2], cells[3], cells[4].split(), cells[5].split()))
    return rows


def environment(row: Row) -> Optional[str]:
    """The interpreter of the row's environment; None where its Python cannot be had."""
    python = find_python(row.python)
    if python is None:
        return None
    if not row.pins:
        return build("core-" + row.python, python, pins("core"))
    return build("compat-" + row.label, python, pins("core") + row.pins, row.pins, row.build)


def pytest_run(
    python: str, label: str, args: Sequence[str], show: bool = False, extra: Optional[Dict[str, str]] = None
) -> Outcome:
    """Run pytest in an environment; its output is shown as it comes, or goes into the outcome.

    `extra` is set in its process environment.
    """
    report = CACHE / "reports" / (label + ".xml")
    report.parent.mkdir(parents=True, exist_ok=True)
    if report.exists():
        report.unlink()
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *args]
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    env.update(extra or {})
    started = time.monotonic()
    streams: Dict[str, Any] = {"stdin": subprocess.DEVNULL}
    if not show:
        streams.update(stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        done = subprocess.run(command, cwd=str(ROOT), env=env, timeout=TIMEOUT, **streams)
    except subprocess.TimeoutExpired as error:
        return Outcome("timed out", output=(error.stdout or b"").decode("utf-8", "replace"))
    seconds = time.monotonic() - started
    output = (done.stdout or b"").decode("utf-8", "replace")
    counts = read_report(report)
    status = "passed" if done.returncode == 0 else "failed"
    if done.returncode in (0, 5) and not counts.get("passed"):
        status = "no test ran"
    return Outcome(status, seconds=round(seconds, 1), output=output, **counts)


def read_report(path: Path) -> Dict[str, int]:
    """The counts of a JUnit report; empty when pytest did not get that far."""
    if not path.exists():
        return {}
    suites = xml.etree.ElementTree.parse(str(path)).getroot().iter("testsuite")
    total: Dict[str, int] = dict.fromkeys(("tests", "errors", "failures", "skipped"), 0)
    for suite in suites:
        for name in total:
            total[name] += int(suite.get(name) or 0)
    failed = total["errors"] + total["failures"]
    return {"failed": failed, "skipped": total["skipped"], "passed": total["tests"] - failed - total["skipped"]}


def run_row(row: Row) -> Outcome:
    """The tests of one line in its environment."""
    if not row.test_file.exists():
        return Outcome("no test", output=f"{row.test_file.relative_to(ROOT)} is missing")
    try:
        python = environment(row)
    except SetupError as error:
        return Outcome("not built", output=str(error))
    if python is None:
        return Outcome("no python")
    return pytest_run(python, row.label, [str(row.test_file.relative_to(ROOT))])


def run_rows(rows: Sequence[Row]) -> List[Outcome]:
    """All rows, two at a time; a line as each one ends."""

    def one(row: Row) -> Outcome:
        outcome = run_row(row)
        say(f"{row.label}: {outcome.status}")
        return outcome

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, rows))


def table(rows: Sequence[Row], outcomes: Sequence[Outcome]) -> str:
    """The results as aligned text."""
    lines = [("library", "version", "python", "role", "result", "passed", "failed", "skipped", "seconds")]
    for row, outcome in zip(rows, outcomes):
        counts = (outcome.passed, outcome.failed, outcome.skipped, outcome.seconds)
        lines.append((row.library, row.version, row.python, row.role, outcome.status, *map(str, counts)))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def save(rows: Sequence[Row], outcomes: Sequence[Outcome]) -> None:
    """Keep the results; those of lines that were not run this time stay, unless the lock has lost them."""
    known: Dict[str, Any] = {}
    if RESULTS.exists():
        known = {"{library}-{version}-{python}".format(**entry): entry for entry in json.loads(RESULTS.read_text())}
    for row, outcome in zip(rows, outcomes):
        facts = {"library": row.library, "version": row.version, "python": row.python, "role": row.role}
        result = {name: value for name, value in outcome._asdict().items() if name != "output"}
        known[row.label] = dict(facts, **result)
    labels = [row.label for row in read_lock()]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([known[label] for label in labels if label in known], indent=1) + "\n")


def ok(outcome: Outcome) -> bool:
    """Whether the matrix may be green with it: an interpreter that cannot be had is no failure."""
    return outcome.status in ("passed", "no python")


def main(libraries: List[str]) -> int:
    """Run the matrix, or the part of it that is named."""
    rows = [row for row in read_lock() if not libraries or row.library in libraries]
    unknown = set(libraries) - {row.library for row in rows}
    if unknown:
        fail("not in {}: {}".format(LOCK.relative_to(ROOT), ", ".join(sorted(unknown))))
    ensure(FOR_TESTS)
    outcomes = run_rows(rows)
    save(rows, outcomes)
    for row, outcome in zip(rows, outcomes):
        if not ok(outcome):
            print(f"\n===== {row.label}: {outcome.status}\n{outcome.output}")
    print("\n" + table(rows, outcomes))
    bad = [outcome for outcome in outcomes if not ok(outcome)]
    print(f"\n{len(rows) - len(bad)} of {len(rows)} lines passed; results in {RESULTS.relative_to(ROOT)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
