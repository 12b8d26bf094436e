"""What a span costs the thread that makes it: ours beside ddtrace and the OpenTelemetry SDK.

Each tracer runs in processes of its own, in turn with the others, and measures the CPU time of its main thread. All
keep every span and hand it on to a background thread as they do in production: ours to a buffer that a thread empties,
ddtrace to its writer with a local server that says yes to everything, OpenTelemetry to its batch processor with an
exporter that does nothing.

    python benchmarks/span.py [--rounds 7] [--json] [--python PATH]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Callable, Dict, List

if __package__ in (None, ""):
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import side_by_side as bench

SCENARIOS = ("root span", "in a trace of 10", "tagged (5 str, 2 num)", "decorated function")
TRACERS = ("gossamer", "gossamer (engine)", "ddtrace", "opentelemetry")


def gossamer() -> Dict[str, Callable[[int], None]]:
    """The public API."""
    tracer = _tracer()
    trace = tracer.trace

    def root(count: int) -> None:
        for _ in range(count):
            with trace("request"):
                pass

    def ten(count: int) -> None:
        for _ in range(count // 10):
            with trace("request"):
                for _ in range(9):
                    with trace("part"):
                        pass

    def tagged(count: int) -> None:
        for _ in range(count):
            with trace("request", resource="GET /", service="shop", type="web") as span:
                _tag(span.set_attribute)

    @trace("work")
    def work() -> None:
        pass

    return _scenarios(root, ten, tagged, work)


def gossamer_engine() -> Dict[str, Callable[[int], None]]:
    """What the instrumentation calls: arguments are trusted."""
    start = _tracer().recorder.start

    def root(count: int) -> None:
        for _ in range(count):
            with start("request"):
                pass

    def ten(count: int) -> None:
        for _ in range(count // 10):
            with start("request"):
                for _ in range(9):
                    with start("part"):
                        pass

    def tagged(count: int) -> None:
        for _ in range(count):
            with start("request", "GET /", "shop", "web", "server", _attributes()):
                pass

    def work() -> None:
        with start("work"):
            pass

    return _scenarios(root, ten, tagged, work)


def _attributes() -> Dict[str, Any]:
    return {
        "http.request.method": "GET", "url.full": "http://shop.example/cart/7", "http.route": "/cart/<id>",
        "client.address": "10.0.0.1", "user_agent.original": "curl/8.0", "http.response.status_code": 200, "items": 3.5,
    }  # fmt: skip


def _tracer() -> Any:
    from gossamer._core import Buffer, Recorder
    from gossamer._trace.sampler import Sampler
    from gossamer._trace.tracer import Tracer

    tracer = Tracer(Recorder(Buffer(10**9), Sampler()))

    def drain() -> None:
        while True:
            time.sleep(0.05)
            tracer.recorder.buffer.swap()

    threading.Thread(target=drain, daemon=True).start()
    return tracer


def ddtrace() -> Dict[str, Callable[[int], None]]:
    """Its public API."""
    from ddtrace.trace import tracer

    def root(count: int) -> None:
        for _ in range(count):
            with tracer.trace("request"):
                pass

    def ten(count: int) -> None:
        for _ in range(count // 10):
            with tracer.trace("request"):
                for _ in range(9):
                    with tracer.trace("part"):
                        pass

    def tagged(count: int) -> None:
        for _ in range(count):
            with tracer.trace("request", resource="GET /", service="shop", span_type="web") as span:
                _tag(span.set_tag)

    @tracer.wrap("work")
    def work() -> None:
        pass

    return _scenarios(root, ten, tagged, work)


def opentelemetry() -> Dict[str, Callable[[int], None]]:
    """The SDK's public API."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> Any:
            return SpanExportResult.SUCCESS

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Nowhere(), max_queue_size=200000))
    start = provider.get_tracer("benchmark").start_as_current_span

    def root(count: int) -> None:
        for _ in range(count):
            with start("request"):
                pass

    def ten(count: int) -> None:
        for _ in range(count // 10):
            with start("request"):
                for _ in range(9):
                    with start("part"):
                        pass

    def tagged(count: int) -> None:
        for _ in range(count):
            with start("request") as span:
                _tag(span.set_attribute)

    @start("work")
    def work() -> None:
        pass

    return _scenarios(root, ten, tagged, work)


def _tag(tag: Callable[[str, Any], object]) -> None:
    tag("http.request.method", "GET")
    tag("url.full", "http://shop.example/cart/7")
    tag("http.route", "/cart/<id>")
    tag("client.address", "10.0.0.1")
    tag("user_agent.original", "curl/8.0")
    tag("http.response.status_code", 200)
    tag("items", 3.5)


def _scenarios(
    root: Callable[[int], None], ten: Callable[[int], None], tagged: Callable[[int], None], work: Callable[[], None]
) -> Dict[str, Callable[[int], None]]:
    def decorated(count: int) -> None:
        for _ in range(count):
            work()

    return dict(zip(SCENARIOS, (root, ten, tagged, decorated)))


WORKERS = {
    "gossamer": gossamer,
    "gossamer (engine)": gossamer_engine,
    "ddtrace": ddtrace,
    "opentelemetry": opentelemetry,
}


def measure(name: str, count: int) -> Dict[str, float]:
    """Nanoseconds a span, the least of five, after a warm-up."""
    scenarios = WORKERS[name]()
    result = {}
    for scenario, function in scenarios.items():
        function(count // 4)
        best = float("inf")
        for _ in range(5):
            begun = time.thread_time_ns()
            function(count)
            best = min(best, (time.thread_time_ns() - begun) / count)
        result[scenario] = best
    return result


class Yes(BaseHTTPRequestHandler):
    """An agent that takes everything."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET = do_PUT

    def log_message(self, *args: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=4000, help="spans in a measurement")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--python", help="interpreter for ours; default: that of the peers, so that all have the same")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(options.worker, options.count)), flush=True)
        os._exit(0)  # nobody's last flush is measured or waited for
    peers = bench.peers_python()
    ours = options.python or peers or sys.executable
    server = HTTPServer(("127.0.0.1", 0), Yes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    agent = "http://127.0.0.1:%d" % server.server_port
    tracers = TRACERS if peers else TRACERS[:2]
    rounds: Dict[str, Dict[str, List[float]]] = {name: {scenario: [] for scenario in SCENARIOS} for name in tracers}
    for _ in range(options.rounds):
        for name in tracers:
            mine = name.startswith("gossamer")
            env = bench.environment(DD_TRACE_AGENT_URL=agent, **({"PYTHONPATH": bench.SOURCE} if mine else {}))
            command = [
                ours if mine else str(peers),
                os.path.abspath(__file__),
                "--worker",
                name,
                "--count",
                str(options.count),
            ]
            for scenario, value in bench.run(command, env, bench.ROOT).items():
                rounds[name][scenario].append(value)
    server.shutdown()
    cells = {name: {key: bench.summary(values) for key, values in found.items()} for name, found in rounds.items()}
    if options.json:
        print(json.dumps({"unit": "ns", "python": ours, "results": cells}, indent=1))
        return
    bench.show(
        "CPU time a span on the calling thread, ns: median (min) of %d rounds" % options.rounds,
        tracers,
        SCENARIOS,
        cells,
    )
    if not peers:
        print("The peers' environment is not there: run `make test`, or name an interpreter in TEST_PEERS_PYTHON.")


if __name__ == "__main__":
    main()
