"""The test runs of `make test`, in sequence; the first that fails ends them.

    python3 scripts/run_tests.py [--part main|core|oldest|memcheck] [pytest arguments ...]

The compiled core is built first, for every interpreter; where there is a compiler and it cannot be built, that is a
failure. What a run uses is said by TEST_CORE, and tests/conftest.py ends a run that would use the other one.

main      all tests on the newest CPython with the newest version of every library, with the compiled core
core      what needs no third-party library, on every CPython from the oldest on, with each of the two cores;
          the integrations on the core in plain Python
memcheck  the core's tests with AddressSanitizer and UBSan
oldest    each integration with the oldest version of its library
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Dict, Iterator, List, NamedTuple, Tuple

from build_native import PYTHONS, Built, build_all, find_compiler, sanitized
from compat import AT_ONCE, Outcome, Row, pytest_run, read_lock, run_rows
from debian import FOR_TESTS, ensure
from environments import NEWEST, ROOT, SetupError, build, fail, find_python, named, newest_python, pins, say, version_of

PARTS = ("main", "core", "memcheck", "oldest")
# Of every interpreter: the tests that know the core. Of these: all that need no third-party library.
WHOLE = ("3.7", "3.11")
PURE_WHOLE = "3.13"
# Folders of tests/ that need more than the tests' own requirements, and those that hardly touch the core.
NOT_CORE = ("services", "integrations", "demo", "viewer/browser")
APART_FROM_CORE = ("viewer", "config", "cli", "export")
COMPILER = {"cc": "build-essential"}
# What runs under the sanitizers; slow there, and without tests that measure.
CHECKED = ["tests/core", "tests/wire/test_native_bytes.py"]
CHECKED += ["tests/native/test_%s.py" % name for name in ("at_once", "objects", "same_bytes")]
Results = List[Tuple[str, Outcome]]


class Failed(Exception):
    """A run failed; the others are left out."""


class Run(NamedTuple):
    """One run of pytest: where, with which core, with which tests."""

    label: str
    version: str
    python: str
    core: str
    args: List[str]

    @property
    def environment(self) -> Dict[str, str]:
        """What selects the core."""
        pure = {"GOSSAMER_PURE": "1"} if self.core == "pure" else {}
        return dict(pure, TEST_CORE=self.core)


class Runs:
    """The runs so far, and what had to be left out."""

    def __init__(self, arguments: List[str]) -> None:
        self.arguments = arguments
        self.results: Results = []
        self.notes: List[str] = []
        self.native: Dict[str, Built] = {}
        self.tested: List[Tuple[str, str]] = []  # core, version

    def run(self, run: Run) -> None:
        """One run of pytest, shown as it goes."""
        print(f"\n==> {run.label}", flush=True)
        args = run.args + self.arguments
        outcome = pytest_run(run.python, run.label, args, show=True, extra=run.environment)
        self.tested.append((run.core, run.version))
        self.add_all([(run.label, outcome)])

    def captured(self, run: Run) -> Tuple[str, Outcome]:
        """One run of pytest, shown when it has ended: another may run beside it."""
        outcome = pytest_run(run.python, run.label, run.args + self.arguments, extra=run.environment)
        print(f"\n==> {run.label}\n{outcome.output}", flush=True)
        self.tested.append((run.core, run.version))
        return run.label, outcome

    def add_all(self, results: Results) -> None:
        """Note results; stop if one is a failure."""
        self.results += results
        for label, outcome in results:
            if outcome.status != "passed" and not (outcome.status == "no test ran" and self.arguments):
                raise Failed(label)

    # -- the compiled core --------------------------------------------------------------------------------------------

    def build(self) -> None:
        """Build the compiled core for all interpreters; a failure here would hide it from all tests."""
        for asked, built in zip(PYTHONS, build_all()):
            self.native[asked] = built
            if built.status == "failed":
                self.results.append((f"build of the compiled core for {asked}", Outcome("not built", failed=1)))
        if self.results:
            raise Failed("build of the compiled core")

    def core_of(self, version: str) -> str:
        """The core that runs there when nobody asks for one."""
        built = self.native.get(version)
        return "native" if built is not None and built.usable else "pure"

    # -- the parts ----------------------------------------------------------------------------------------------------

    def main(self) -> None:
        """Everything, newest."""
        python = newest_python(install=True)
        version = version_of(python)
        if version != NEWEST[0]:
            self.notes.append(f"Python {NEWEST[0]} cannot be had here: the main run was on {version}")
        peers = {"TEST_PEERS_PYTHON": named("peers"), "TEST_AGENT_PYTHON": named("agent")}
        os.environ.update(peers)
        paths = [] if self.has_paths() else ["tests"]
        self.run(Run("main-" + version, version, build("main", python, pins("main")), self.core_of(version), paths))
        for name in peers:  # other people's tracers need asking once
            del os.environ[name]

    def has_paths(self) -> bool:
        """Whether the arguments name tests."""
        return any(os.path.exists(argument.partition("::")[0]) for argument in self.arguments)

    def core(self) -> None:
        """What must work everywhere, with the integrations of the standard library."""
        runs = list(self.core_runs())
        print("\n==> core on " + ", ".join(run.label[len("core-") :] for run in runs), flush=True)
        # Much of a run is waiting: two at a time take little more than one.
        with ThreadPoolExecutor(AT_ONCE) as pool:
            outcomes = list(pool.map(self.captured, runs))
        self.add_all(outcomes)

    def core_runs(self) -> Iterator[Run]:
        """Each interpreter with each core, the long runs first."""
        pythons = {version: find_python(version) for version in PYTHONS}
        self.notes += [f"Python {version} cannot be had here" for version in PYTHONS if pythons[version] is None]
        later = []
        for version, python in pythons.items():
            if python is None:
                continue
            environment = build("core-" + version, python, pins("core"))
            for core in dict.fromkeys((self.core_of(version), "pure")):
                label = f"core-{version}" + ("" if core == "native" else "-pure")
                if core == self.core_of(version) and version in WHOLE:
                    yield Run(label, version, environment, core, core_args())
                elif (core, version) not in self.tested:  # the main run holds this
                    left_out = APART_FROM_CORE[:2] if version == PURE_WHOLE else APART_FROM_CORE
                    left_out += ("native",) if core == "pure" else ()
                    args = core_args(left_out) + ["--ignore-glob=tests/*/test_native_*"] * (core == "pure")
                    later.append(Run(label, version, environment, core, args))
        python = newest_python()
        if self.core_of(version_of(python)) == "native" and not self.has_paths():
            paths = ["tests/integrations", "tests/test_every_integration.py"]
            environment = build("main", python, pins("main"))
            yield Run("core-integrations-pure", version_of(python), environment, "pure", paths)
        yield from later

    def memcheck(self) -> None:
        """The core's tests under AddressSanitizer and UBSan."""
        python = newest_python()
        version = version_of(python)
        checker = sanitized(python) if self.core_of(version) == "native" else "there is no compiled core"
        if isinstance(checker, str):
            self.notes.append("memcheck: " + checker)
            return
        # Errors are printed by the C library: to what the tests would have captured.
        args = ["-p", "tests.native.sanitized", "--capture=sys", "-p", "no:faulthandler", "-k", "not pure"]
        args += [] if self.has_paths() else [path for path in CHECKED if has_tests(path)]
        environment = dict(checker, TEST_CORE="native")
        label = "memcheck-" + version
        print(f"\n==> {label}", flush=True)
        python = build("core-" + version, python, pins("core"))
        self.tested.append(("native", version))
        self.add_all([(label, pytest_run(python, label, args + self.arguments, show=True, extra=environment))])

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

    # -- the end ------------------------------------------------------------------------------------------------------

    def summary(self) -> None:
        """The closing lines."""
        print("\n==> summary")
        for label, outcome in self.results:
            counts = f"{outcome.passed:5} passed {outcome.failed:4} failed {outcome.skipped:4} skipped"
            print(f"{label:32} {outcome.status:12} {counts} {outcome.seconds:7.1f} s")
        for note in self.notes:
            print("left out: " + note)
        print(self.cores())
        outcomes = [outcome for _, outcome in self.results]
        failed = sum(outcome.failed for outcome in outcomes)
        broken = any(outcome.status not in ("passed", "no test ran") for outcome in outcomes)
        counts = (sum(outcome.passed for outcome in outcomes), failed or int(broken), sum(o.skipped for o in outcomes))
        print("{} passed, {} failed, {} skipped".format(*counts), flush=True)

    def cores(self) -> str:
        """Which cores were tested on which interpreters, and why one was not."""
        parts = []
        for core in ("native", "pure"):
            versions = [version for version in PYTHONS if (core, version) in self.tested]
            parts.append(f"{core} on {', '.join(versions) or 'none'}")
        absent = [f"{version} ({built.status})" for version, built in self.native.items() if not built.usable]
        return "cores tested: " + "; ".join(parts) + ("; no compiled core on " + ", ".join(absent) if absent else "")


def core_args(without: Tuple[str, ...] = ()) -> List[str]:
    """What pytest is told for the tests that need no third-party library, some folders left out."""
    left_out = NOT_CORE + without
    folders = sorted(path for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name not in left_out)
    paths = [str(path.relative_to(ROOT)) for path in folders]
    paths += sorted({str(row.test_file.relative_to(ROOT)) for row in read_lock() if row.version == "stdlib"})
    paths += [] if without else ["tests/test_services.py"]
    ignored = [f"--ignore=tests/{name}" for name in left_out]
    return ["-m", "not newest", *ignored, *(path for path in paths if has_tests(path))]


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
        runs.notes += ensure({**FOR_TESTS, **COMPILER} if find_compiler() is None else FOR_TESTS)
        runs.build()
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
