"""All benchmarks, one after another, each in a process of its own, beside the other tracers.

    python benchmarks/run.py [--quick] [--tracers a,b] [--docs] [NAME ...]

Prints the tables and writes the results as JSON to .cache/bench/. A whole run of all tracers also writes
docs/benchmarks.md; `--docs` makes a quick one write it too. Numbers of one machine and one moment: compare the ratios
within a run. Exit code 1 when a benchmark failed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional

if __package__ in (None, ""):
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import report
import side_by_side as bench
import tracers

HERE = bench.HERE

# Seconds in quick mode, on two cores that do nothing else; together under five minutes. After these no further round
# begins; after four times as long (a busy machine) a benchmark is ended and its table is missing.
# Cases by hand have half of it: span to startup. Workloads have the same: web to service; slope is not quick.
QUICK = {"span": 50, "encode": 5, "memory": 25, "pauses": 30, "startup": 40, "web": 60, "libraries": 50, "service": 35}
FULL = (*QUICK, "slope")
# Our own pages, without peers: arguments that make them quick. Run whole, or by name.
ALONE = {"viewer": ["--quick"], "viewer_page": ["10000"]}
LIBRARIES = (
    "django", "fastapi", "flask", "gunicorn", "httpx", "jinja2", "psycopg", "redis", "requests", "starlette", "uvicorn",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds: under five minutes")
    parser.add_argument("--tracers", default="", help="of %s; default: all" % ", ".join(tracers.TRACERS))
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.md in any case")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of: %s (default: all)" % ", ".join((*FULL, *ALONE)))
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in FULL and name not in ALONE]
    if unknown:
        parser.error("no such benchmark: %s; there are %s" % (", ".join(unknown), ", ".join((*FULL, *ALONE))))
    try:
        chosen = tracers.available(options.tracers.split(",") if options.tracers else None)
    except ValueError as error:
        parser.error(str(error))
    names = options.names or [*QUICK] if options.quick else options.names or [*FULL, *ALONE]
    results = facts(options.quick, chosen)
    failed = []
    for name in names:
        done = alone(name, options.quick) if name in ALONE else measured(name, options.quick, chosen, results)
        if not done:
            failed.append(name)
    finish(results, options, whole=not options.names and not options.tracers)
    if failed:
        print("failed, or budget not held: %s" % ", ".join(failed))
    return 1 if failed else 0


def facts(quick: bool, chosen: List[str]) -> Dict[str, Any]:
    """Machine and versions, as far as results depend on them."""
    bench.say("tracers: " + ", ".join(chosen))
    versions = {}
    for name in chosen:
        package = tracers.TRACERS[name].package
        if package == "gossamer":
            versions[name] = "this checkout, %s core" % ("native" if name == "gossamer" else "pure")
        elif package:
            versions[name] = version(name, package)[package]
    machine = {**report.machine(), "Python": python_version()}
    return {
        "quick": quick, "machine": machine, "tracers": versions, "left_out": tracers.left_out,
        "libraries": version("none", *LIBRARIES), "benchmarks": {},
    }  # fmt: skip


def version(tracer: str, *packages: str) -> Dict[str, str]:
    """Versions of distributions in a tracer's environment."""
    code = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    found: Dict[str, str] = bench.run([tracers.python(tracer), "-c", code, *packages], bench.environment())
    return found


def python_version() -> str:
    code = "import json, platform as p; print(json.dumps(p.python_implementation() + ' ' + p.python_version()))"
    return str(bench.run([tracers.python("none"), "-c", code], bench.environment()))


def measured(name: str, quick: bool, chosen: List[str], results: Dict[str, Any]) -> bool:
    """Run one of ours in a process of its own, and take its rows; whether it ran."""
    module = importlib.import_module(name)
    os.makedirs(bench.RESULTS, exist_ok=True)
    output = os.path.join(bench.RESULTS, name + ".json")
    if os.path.exists(output):
        os.remove(output)
    command = [sys.executable, os.path.join(HERE, name + ".py"), "--output", output, "--tracers", ",".join(chosen)]
    began = time.monotonic()
    bench.say("== %s" % name)
    seconds = QUICK.get(name, 30) if quick else None
    if seconds is not None:
        command += ["--quick", "--seconds", str(seconds)]
    ended = wait(command, seconds and 4 * seconds)
    rows = []
    if os.path.exists(output):
        with open(output) as file:
            rows = json.load(file)
    results["benchmarks"][name] = {"title": module.TITLE, "rows": rows}
    if rows:
        print(report.table(module.TITLE, [bench.Row(**row) for row in rows]) + "\n", flush=True)
    bench.say("== %s: %.0f s" % (name, time.monotonic() - began))
    return ended == 0 and bool(rows)


def wait(command: List[str], limit: Optional[float]) -> int:
    """Run a command, ended with all that it started when it takes too long; its exit code."""
    process = subprocess.Popen(command, cwd=bench.ROOT, start_new_session=True)
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        bench.say("ended after %.0f s: the machine is too busy for the quick mode" % (limit or 0))
        return 1
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)  # it ends what it has started
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def alone(name: str, quick: bool) -> bool:
    """Run one without peers, in the environment of the tests; whether its budgets held."""
    script = os.path.join(bench.ROOT, "scripts", "environments.py")
    python = subprocess.run([sys.executable, script, "python", "peers"], stdout=subprocess.PIPE).stdout.decode().strip()
    print("== %s" % name, flush=True)
    env = bench.environment(PYTHONPATH=os.pathsep.join([bench.SOURCE, bench.ROOT]))
    command = [python, os.path.join(HERE, name + ".py"), *(ALONE[name] if quick else [])]
    return bool(python) and subprocess.run(command, env=env, cwd=bench.ROOT).returncode == 0


def finish(results: Dict[str, Any], options: argparse.Namespace, whole: bool) -> None:
    """Print the targets; write the results, and the page."""
    rows = [bench.Row(**row) for part in results["benchmarks"].values() for row in part["rows"]]
    if not rows:
        return
    print(report.targets(rows) + "\n")
    with open(os.path.join(bench.RESULTS, "results.json"), "w") as file:
        json.dump(results, file, indent=1)
    if options.docs or (whole and not options.quick):
        print("written: " + report.write(results, os.path.join(bench.ROOT, "docs", "benchmarks.md")))


if __name__ == "__main__":
    sys.exit(main())
