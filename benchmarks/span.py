"""What a span costs the process that makes it: made by hand, encoded and sent to an agent that takes everything.

    python benchmarks/span.py [--quick] [--tracers gossamer,ddtrace] [--rounds 7]

Each tracer runs in processes of its own, in turn with the others. The CPU time is that of the whole process, background
threads included, until everything is sent; beside it that of the calling thread alone. What the same loop costs with no
tracer is taken off. The agent counts the spans that arrive: where some are lost, the table says how many.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import urllib.request
from typing import Any, Callable, Dict, List, NamedTuple

if __package__ in (None, ""):
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import side_by_side as bench
import tracers

NAME = "span"
TITLE = "A span, CPU time of the process, encoding and sending included"
ROOT = "bare root span, encoding included"
TEN = "span in a trace of ten, encoding included"
TAGGED = "root with 5 strings + 2 numbers"
DECORATED = "decorated function"
ASYNC = "async span"
SCENARIOS = (ROOT, TEN, TAGGED, DECORATED, ASYNC)
THREAD = " (calling thread)"
UNITS = {case: "µs" for case in (*SCENARIOS, *(case + THREAD for case in SCENARIOS))}
# Spans of a measurement, and after how many a loop looks whether it has run long enough.
MOST = 20000
PIECE = 100
# Nothing but the end of the process sends what these hold back: each scenario has a process of its own.
ONE_SHOT = ("newrelic",)


TAGS: Dict[str, Any] = {
    "http.request.method": "GET", "url.full": "http://shop.example/cart/7", "http.route": "/cart/<id>",
    "client.address": "10.0.0.1", "user_agent.original": "curl/8.0", "http.response.status_code": 200, "items": 3.5,
}  # fmt: skip


# -- the same scenarios in every tracer's own words -------------------------------------------------------------------


class Words(NamedTuple):
    """How a tracer's API says it, as source: the loops are compiled from it, so that nothing stands between."""

    # Statements run once; `BODY` in the next two is what happens inside the span.
    setup: str
    root: str
    part: str
    # One attribute of the root; {key} and {value} are literals.
    put: str
    # What decorates a function whose calls are spans.
    decorator: str
    # The root in a coroutine, where that reads differently.
    awaiting: str = ""


WORDS = {
    "none": Words("", "BODY", "BODY", "pass", ""),
    "gossamer": Words(
        "from gossamer import trace",
        "with trace('request') as span:\n    BODY",
        "with trace('part'):\n    BODY",
        "span.set_attribute({key}, {value})",
        "@trace('work')",
    ),
    "ddtrace": Words(
        "from ddtrace.trace import tracer",
        "with tracer.trace('request') as span:\n    BODY",
        "with tracer.trace('part'):\n    BODY",
        "span.set_tag({key}, {value})",
        "@tracer.wrap('work')",
    ),
    "opentelemetry": Words(
        "from opentelemetry import trace\ntracer = trace.get_tracer('bench')",
        "with tracer.start_as_current_span('request') as span:\n    BODY",
        "with tracer.start_as_current_span('part'):\n    BODY",
        "span.set_attribute({key}, {value})",
        "@tracer.start_as_current_span('work')",
    ),
    "sentry": Words(
        "import sentry_sdk",
        "with sentry_sdk.start_transaction(op='request', name='request') as span:\n    BODY",
        "with sentry_sdk.start_span(op='part', name='part'):\n    BODY",
        "span.set_data({key}, {value})",
        "@sentry_sdk.trace",
    ),
    "elastic": Words(
        "import elasticapm",
        "elasticapm.get_client().begin_transaction('script')\nBODY\n"
        "elasticapm.get_client().end_transaction('request', 'success')",
        "with elasticapm.capture_span('part'):\n    BODY",
        "elasticapm.label(**{{{key}: {value}}})",
        "@elasticapm.capture_span('work')",
    ),
    "newrelic": Words(
        "import newrelic.agent as agent\napplication = agent.application()",
        "with agent.BackgroundTask(application, name='request'):\n    BODY",
        "with agent.FunctionTrace(name='part'):\n    BODY",
        "agent.add_custom_span_attribute({key}, {value})",
        "@agent.function_trace(name='work')",
    ),
    "logfire": Words(
        "import logfire",
        "with logfire.span('request') as span:\n    BODY",
        "with logfire.span('part'):\n    BODY",
        "span.set_attribute({key}, {value})",
        "@logfire.instrument('work', extract_args=False)",
    ),
    "scout": Words(
        "from scout_apm.api import BackgroundTransaction, Context, instrument",
        "with BackgroundTransaction('request'):\n    BODY",
        "with instrument('part'):\n    BODY",
        "Context.add({key}, {value})",
        "@instrument('work')",
    ),
}
WORDS["gossamer-pure"] = WORDS["gossamer"]
SOURCE = """
import asyncio
{setup}
{decorator}
def work():
    pass
def roots(count):
    for _ in range(count):
{root}
def ten(count):
    for _ in range(count // 10):
{ten}
def tagged(count):
    for _ in range(count):
{tagged}
def decorated(count):
    for _ in range(count // 10):
{decorated}
async def one():
{awaiting}
async def tasks(count):
    for _ in range(count // 100):
        await asyncio.gather(*[one() for _ in range(100)])
def tasked(count):
    asyncio.run(tasks(count))
"""


def filled(template: str, body: str, depth: int) -> str:
    """A template with its body in place, indented."""
    lines = []
    for line in template.split("\n"):
        if line.strip() == "BODY":
            indent = line[: len(line) - len(line.lstrip())]
            lines += [indent + inner for inner in body.split("\n")]
        else:
            lines.append(line)
    return "\n".join("    " * depth + line for line in lines)


def scenarios(tracer: str) -> Dict[str, Callable[[int], None]]:
    """The functions that make so many spans, by case."""
    words = WORDS[tracer]
    inner = "for _ in range(9):\n" + filled(words.part, "pass", 1)
    puts = "\n".join(words.put.format(key=repr(key), value=repr(value)) for key, value in TAGS.items())
    source = SOURCE.format(
        setup=words.setup,
        decorator=words.decorator,
        root=filled(words.root, "pass", 2),
        ten=filled(words.root, inner, 2),
        tagged=filled(words.root, puts, 2),
        decorated=filled(words.root, "for _ in range(9):\n    work()", 2),
        awaiting=filled(words.awaiting or words.root, "await asyncio.sleep(0)", 1),
    )
    space: Dict[str, Any] = {}
    exec(compile(source, "scenarios of " + tracer, "exec"), space)
    return dict(zip(SCENARIOS, (space[name] for name in ("roots", "ten", "tagged", "decorated", "tasked"))))


# -- in the worker ----------------------------------------------------------------------------------------------------


def arrived(port: str) -> int:
    """The spans, of Datadog's formats the traces, that have reached the agent since the last call."""
    url = "http://127.0.0.1:%s/bench/" % port
    count = json.load(urllib.request.urlopen(url + "traces"))["traces"]
    urllib.request.urlopen(url + "reset").read()
    return int(count)


def make(function: Callable[[int], None], seconds: float) -> int:
    """Make spans for so long, MOST at most; how many."""
    made, until = 0, time.thread_time_ns() + seconds * 1e9
    while made < MOST and time.thread_time_ns() < until:
        function(PIECE)
        made += PIECE
    return made


def measure(names: List[str], seconds: float, port: str) -> Dict[str, float]:
    """CPU microseconds for each span, of the process and of this thread; and the share that arrived."""
    tracer = tracers.current()
    flush = tracers.start()
    functions = scenarios(tracer)
    result: Dict[str, float] = {}
    for name in names:
        flush = tracers.start() if tracer == "elastic" else flush
        make(functions[name], seconds / 2)
        if tracer not in ONE_SHOT:
            flush()
        arrived(port)
        flush = tracers.start() if tracer == "elastic" else flush
        gc.collect()
        process, thread = time.process_time_ns(), time.thread_time_ns()
        made = make(functions[name], seconds)
        thread = time.thread_time_ns() - thread
        flush()
        process = time.process_time_ns() - process
        result[name] = process / made / 1e3
        result[name + THREAD] = thread / made / 1e3
        traces = made // 10 if name in (TEN, DECORATED) and tracer.startswith(("gossamer", "ddtrace")) else made
        result["share of " + name] = arrived(port) / traces
    return result


# -- in the driver ----------------------------------------------------------------------------------------------------


def cases(options: bench.Options) -> List[bench.Row]:
    seconds = 0.1 if options.quick else 0.4
    with bench.null_agent("--keep") as port:

        def once(tracer: str) -> Dict[str, float]:
            groups = [[name] for name in SCENARIOS] if tracer in ONE_SHOT else [list(SCENARIOS)]
            result: Dict[str, float] = {}
            for names in groups:
                args = ["--worker", json.dumps(names), str(seconds), str(port)]
                result.update(bench.run(*tracers.worker(tracer, os.path.abspath(__file__), args, port)))
            return result

        names = list(options.tracers)
        found, failed = bench.interleave([bench.BASE, *(n for n in names if n != bench.BASE)], once, options.pick(3, 9))
    rows = []
    for each in bench.added_rows(found, UNITS):
        share = min(found[each.tracer].get("share of " + each.case, [1.0]))
        known = each.tracer not in ONE_SHOT and not each.case.endswith(THREAD)
        note = "%.0f %% arrived" % (share * 100) if known and not 0.99 < share < 1.01 else ""
        rows.append(each._replace(note=note))
    return rows + bench.missing(failed, {case: "µs" for case in SCENARIOS})


def work(args: List[str]) -> None:
    print(json.dumps(measure(json.loads(args[0]), float(args[1]), args[2])), flush=True)
    os._exit(0)  # what comes after the last flush is nobody's


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2:])
    else:
        bench.main(sys.modules[__name__])
