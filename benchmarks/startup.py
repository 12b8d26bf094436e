"""What it costs to be traced at all: the start of a process, and what the tracer's own import adds.

    python benchmarks/startup.py [--quick] [--tracers gossamer,ddtrace] [--rounds 15]

Whole processes from start to end, the launcher's part and the last flush included: CPU time as the system counts it for
them, memory as the high-water mark of the program. What the same program costs untraced is taken off. Imports are
measured inside a process that does nothing else.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from typing import Dict, List

if __package__ in (None, ""):
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import side_by_side as bench
import tracers

NAME = "startup"
TITLE = "Starting: what a tracer adds"
IMPORT, MODULES, MEMORY = "import of `auto`", "modules of `auto`", "memory of `auto`"
HELLO, FLASK = "hello-world under the launcher, added", "Flask app under the launcher, added"
UNITS = {
    IMPORT: "ms", MODULES: "modules", MEMORY: "MiB",
    HELLO + " CPU": "ms", HELLO + " memory": "MiB", FLASK + " CPU": "ms", FLASK + " memory": "MiB",
}  # fmt: skip
# What a program writes first to be instrumented.
OURS = "import gossamer.auto"
AUTO = {
    "none": "pass",
    "gossamer": OURS,
    "gossamer-pure": OURS,
    "ddtrace": "import ddtrace.auto",
    "opentelemetry": "from opentelemetry.instrumentation.auto_instrumentation import initialize; initialize()",
    "sentry": "import sentry_sdk; sentry_sdk.init(traces_sample_rate=1.0)",
    "elastic": "import elasticapm; elasticapm.instrument(); elasticapm.Client()",
    "newrelic": "import newrelic.agent; newrelic.agent.initialize()",
    "logfire": "import tracers; tracers.automatic()",
    "scout": "import scout_apm.api; scout_apm.api.install()",
}
# `os._exit`: the end is the launcher's case.
IMPORTS = """
import json, os, resource, sys, time
def memory():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 1048576
cpu, resident, modules = time.process_time(), memory(), len(sys.modules)
%s
result = [(time.process_time() - cpu) * 1e3, len(sys.modules) - modules, memory() - resident]
os.write(1, json.dumps(result).encode() + b"\\n")
os._exit(0)
"""
PEAK = """
with open("/proc/self/status") as status:
    peak = next(line for line in status if line.startswith("VmHWM"))
print(int(peak.split()[1]) / 1024)
"""
PROGRAMS = {
    HELLO: "print('hello, world')\n" + PEAK,
    FLASK: """
import flask, sys
sys.path.insert(0, {here!r})
import tracers
app = flask.Flask(__name__)
@app.route("/")
def hello():
    return "hello, world"
tracers.attach("flask", app)
with app.test_client() as client:
    client.get("/", buffered=True).close()
""".format(here=bench.HERE)
    + PEAK,
}


def run(command: List[str], env: Dict[str, str]) -> List[float]:
    """CPU milliseconds of a process and of what it waited for, and MiB that it said it had."""
    process = subprocess.Popen(
        command, env=env, cwd=bench.ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    timer = bench.after(60, lambda: os.killpg(process.pid, signal.SIGKILL))
    errors: List[bytes] = []
    drain = threading.Thread(target=lambda: errors.append(process.stderr.read() if process.stderr else b""))
    drain.start()
    assert process.stdout is not None
    out = process.stdout.read()
    drain.join()
    _, status, usage = os.wait4(process.pid, 0)
    timer.cancel()
    process.returncode = status
    if status:
        raise bench.Failure("exit status %d: %s" % (status, errors[0].decode()[-1000:]))
    return [(usage.ru_utime + usage.ru_stime) * 1e3, float(out.split()[-1])]


def cases(options: bench.Options) -> List[bench.Row]:
    names = [bench.BASE, *(name for name in options.tracers if name != bench.BASE)]
    with bench.null_agent() as port, tempfile.TemporaryDirectory() as folder:
        for case, source in PROGRAMS.items():
            with open(os.path.join(folder, case.split()[0] + ".py"), "w") as file:
                file.write(source)

        def once(tracer: str) -> Dict[str, float]:
            command, env = tracers.worker(tracer, "-c", [IMPORTS % AUTO[tracer]], port)
            if tracer == "logfire":
                env["PYTHONPATH"] = bench.HERE
            result = dict(zip((IMPORT, MODULES, MEMORY), bench.run(command, env)))
            for case in PROGRAMS:
                command, env = tracers.launch(tracer, os.path.join(folder, case.split()[0] + ".py"), [], port)
                result[case + " CPU"], result[case + " memory"] = run(command, env)
            return result

        found, failed = bench.interleave(names, once, options.pick(2, 15), warmup=0 if options.quick else 1)
    return bench.added_rows(found, UNITS) + bench.missing(failed, UNITS)


if __name__ == "__main__":
    bench.main(sys.modules[__name__])
