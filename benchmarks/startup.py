"""What it costs to be traced at all: CPU time, memory and modules of a process that only starts.

`gossamer.auto` beside `ddtrace.auto`, OpenTelemetry's auto-instrumentation and the bare interpreter, each in processes
of their own, in turn. The figures of the tracers are what they add to the bare interpreter.

    python benchmarks/startup.py [--rounds 15] [--json] [--python PATH]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Dict, List

if __package__ in (None, ""):
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import side_by_side as bench

STARTS = {
    "gossamer.auto": "import gossamer.auto",
    "ddtrace.auto": "import ddtrace.auto",
    "opentelemetry": "from opentelemetry.instrumentation.auto_instrumentation import initialize; initialize()",
    "bare python": "pass",
}
# Before and after: what the interpreter itself needed is not the tracer's. `os._exit`: no flush at the end.
PROGRAM = """
import json, os, resource, sys, time
cpu, wall, modules = time.process_time(), time.perf_counter(), len(sys.modules)
def memory():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 1e6
resident = memory()
%s
result = {
    "CPU ms": (time.process_time() - cpu) * 1e3,
    "wall ms": (time.perf_counter() - wall) * 1e3,
    "RSS MB": memory() - resident,
    "modules": len(sys.modules) - modules,
}
sys.stdout.write(json.dumps(result) + "\\n")
sys.stdout.flush()
os._exit(0)
"""
COLUMNS = ("CPU ms", "wall ms", "RSS MB", "modules")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--python", help="interpreter for ours; default: that of the peers, so that all have the same")
    options = parser.parse_args()
    peers = bench.peers_python()
    ours = options.python or peers or sys.executable
    names = [name for name in STARTS if peers or name in ("gossamer.auto", "bare python")]
    rounds: Dict[str, Dict[str, List[float]]] = {name: {column: [] for column in COLUMNS} for name in names}
    for number in range(options.rounds + 1):
        for name in names:
            mine = name in ("gossamer.auto", "bare python")
            env = bench.environment(
                DD_TRACE_AGENT_URL="http://127.0.0.1:9",  # nobody
                **({"PYTHONPATH": bench.SOURCE} if mine else {}),
            )
            result = bench.run([ours if mine else str(peers), "-c", PROGRAM % STARTS[name]], env, bench.ROOT)
            if number:  # the first round compiles and warms the disk's cache
                for column in COLUMNS:
                    rounds[name][column].append(result[column])
    cells = {name: {key: bench.summary(values) for key, values in found.items()} for name, found in rounds.items()}
    if options.json:
        print(json.dumps({"python": ours, "results": cells}, indent=1))
        return
    bench.show("Added to a process at start: median (min) of %d rounds" % options.rounds, names, COLUMNS, cells)
    if not peers:
        print("The peers' environment is not there: run `make test`, or name an interpreter in TEST_PEERS_PYTHON.")


if __name__ == "__main__":
    main()
