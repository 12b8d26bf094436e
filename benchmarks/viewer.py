"""The viewer's budgets, measured on the real thing over HTTP: receiving, the list meanwhile, memory, searches, large
traces.

``python benchmarks/viewer.py`` fills a store with 1,000,000 spans; ``--quick`` takes 100,000 and under a minute.
Prints a table and exits 1 if a budget fails.
"""

import argparse
import http.client
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, Dict, List, Tuple
from urllib.parse import quote

SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src")
PER_PAYLOAD, PER_TRACE = 500, 10
ATTRIBUTES = 13

# Query, and the most milliseconds it may take (median of several), over 1,000,000 spans.
QUERIES = (
    ("", 5),
    ("service:shop status:error duration:>30ms", 20),
    ("service:shop status:error duration:>9s", 20),
    ("service:shop duration:>300ms", 25),
    ("duration:<0ms", 125),
    ("resource:*cart*", 5),
    ("resource:*nowhere*", 5),
    ("@usr.id:1234", 60),
    ("@http.status_code:500", 60),
    ('"refused by peer"', 60),
    ("service:shop @usr.id:12* duration:>30ms", 180),
)


def pack(value: Any) -> bytes:
    """MessagePack of what a payload holds."""
    if isinstance(value, str):
        raw = value.encode("utf-8")
        return (bytes([0xA0 | len(raw)]) if len(raw) < 32 else b"\xda" + struct.pack(">H", len(raw))) + raw
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, int):
        return bytes([value]) if 0 <= value < 128 else b"\xcf" + struct.pack(">Q", value)
    if isinstance(value, dict):
        return (
            b"\xde"
            + struct.pack(">H", len(value))
            + b"".join([pack(key) + pack(inner) for key, inner in value.items()])
        )
    return b"\xdd" + struct.pack(">I", len(value)) + b"".join([pack(inner) for inner in value])


class Payloads:
    """Makes v0.4 payloads fast: of each span only ids and start are new, the rest comes out of a pool."""

    def __init__(self, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.roots = [self._rest(True) for _ in range(500)]
        self.children = [self._rest(False) for _ in range(3000)]

    def _rest(self, root: bool) -> bytes:
        pick = self.random
        duration = pick.randrange(300000000, 900000000) if pick.random() < 0.01 else pick.randrange(50000, 60000000)
        error = int(pick.random() < 0.02)
        meta = {
            "http.method": "GET",
            "component": "flask" if root else "sqlite3",
            "span.kind": "server" if root else "client",
            "env": "prod",
            "version": "1.4.2",
            "usr.id": str(pick.choice((1234, pick.randrange(8000))) if pick.random() < 0.001 else pick.randrange(8000)),
            "http.url": "http://localhost/cart/{}".format(pick.randrange(100000)),
            "peer.service": "db",
            "host": "laptop",
        }
        if error:
            meta["error.message"] = "connection {} refused by peer".format(pick.randrange(50))
        metrics = {
            "_dd.top_level": 1.0,
            "http.status_code": float(pick.choice((200, 200, 200, 304, 404, 500))),
            "rows": float(pick.randrange(60)),
            "pid": 7.0,
        }
        fields: Dict[str, Any] = {
            "service": "shop" if root else pick.choice(("postgres", "redis", "shop")),
            "name": "flask.request" if root else "sqlite.query",
            "resource": "GET /cart/{}".format(pick.randrange(80))
            if root
            else "SELECT * FROM t{}".format(pick.randrange(800)),
            "type": "web" if root else "sql",
            "error": error,
            "duration": duration,
            "meta": meta,
            "metrics": metrics,
        }
        return b"".join([pack(key) + pack(value) for key, value in fields.items()])

    def payload(self, spans: int = PER_PAYLOAD, per_trace: int = PER_TRACE) -> bytes:
        """One payload."""
        bits, choice = self.random.getrandbits, self.random.choice
        ids = struct.Struct(">Q").pack
        start = time.time_ns()
        parts = [b"\xdd" + struct.pack(">I", spans // per_trace)]
        for _ in range(spans // per_trace):
            trace = b"\x8c" + pack("trace_id") + b"\xcf" + ids(bits(63) | 1) + pack("span_id") + b"\xcf"
            root = ids(bits(63) | 1)
            parts.append(b"\xdd" + struct.pack(">I", per_trace))
            for index in range(per_trace):
                own, parent = (ids(bits(63) | 1), root) if index else (root, b"\0" * 8)
                parts += [
                    trace,
                    own,
                    pack("parent_id"),
                    b"\xcf",
                    parent,
                    pack("start"),
                    b"\xcf",
                    ids(start + index * 1000000),
                    choice(self.children) if index else choice(self.roots),
                ]
        return b"".join(parts)

    def large(self, size: int) -> List[bytes]:
        """One trace of ``size`` spans in payloads of 20,000, for a body has at most 25 MB."""
        whole = self.payload(size, size)
        cut: List[bytes] = []
        marks = whole.split(b"\x8c" + pack("trace_id"))[1:]
        for at in range(0, size, 20000):
            part = marks[at : at + 20000]
            cut.append(
                b"\x91\xdd"
                + struct.pack(">I", len(part))
                + b"".join([b"\x8c" + pack("trace_id") + span for span in part])
            )
        return cut


class Viewer:
    """A viewer in a process of its own."""

    def __init__(self, folder: str) -> None:
        environ = dict(os.environ, PYTHONPATH=SOURCE)
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gossamer.viewer", "--port", "0", "--data", folder, "--keep", "3000000,4GB"],
            env=environ,
            stdout=subprocess.PIPE,
            universal_newlines=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.started = (time.perf_counter() - began) * 1000
        self.port = int(line.rpartition(":")[2])

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def memory(self) -> Tuple[float, float]:
        """RSS, and the part of it that is not pages of the file, in MB."""
        values = {}
        with open("/proc/{}/status".format(self.process.pid)) as file:
            for line in file:
                name, _, value = line.partition(":")
                values[name] = value
        return tuple(int(values[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon"))  # type: ignore[return-value]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def get(connection: http.client.HTTPConnection, path: str) -> Tuple[Any, float, int]:
    began = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    data = answer.read()
    took = (time.perf_counter() - began) * 1000
    if answer.status != 200:
        raise SystemExit("{} -> {}: {!r}".format(path, answer.status, data[:300]))
    return json.loads(data), took, len(data)


def send(connection: http.client.HTTPConnection, body: bytes) -> None:
    while True:
        connection.request(
            "PUT", "/v0.4/traces", body, {"Content-Type": "application/msgpack", "Datadog-Meta-Lang": "python"}
        )
        answer = connection.getresponse()
        answer.read()
        if answer.status == 200:
            return
        if answer.status != 429:
            raise SystemExit("the viewer answered {}".format(answer.status))
        time.sleep(0.01)


class Watcher(threading.Thread):
    """Asks for the list all the time and notes how long it takes, and the memory in use."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(daemon=True)
        self.viewer = viewer
        self.ended = threading.Event()
        self.times: List[float] = []
        self.memory = self.anonymous = 0.0

    def run(self) -> None:
        connection = self.viewer.connect()
        while not self.ended.wait(0.03):
            self.times.append(get(connection, "/api/traces?limit=50")[1])
            resident, anonymous = self.viewer.memory()
            self.memory, self.anonymous = max(self.memory, resident), max(self.anonymous, anonymous)


def percentile(values: List[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


class Report:
    def __init__(self) -> None:
        self.failed = False

    def line(self, what: str, value: float, unit: str, budget: float, at_least: bool = False, note: str = "") -> None:
        good = value >= budget if at_least else value <= budget
        self.failed = self.failed or not good
        print(
            "{:<52} {:>10,.1f} {:<8} {} {:>8,.0f}  {} {}".format(
                what, value, unit, ">=" if at_least else "<=", budget, "ok" if good else "FAILED", note
            ),
            flush=True,
        )


def ingest(viewer: Viewer, spans: int, report: Report) -> None:
    payloads = Payloads()
    connection = viewer.connect()
    send(connection, payloads.payload())
    rates: List[float] = []
    watcher = Watcher(viewer)
    watcher.start()
    sent = PER_PAYLOAD
    while sent < spans:
        batch = [payloads.payload() for _ in range(min(200, (spans - sent) // PER_PAYLOAD))]
        if not batch:
            break
        began = time.perf_counter()
        for body in batch:
            send(connection, body)
        sent += len(batch) * PER_PAYLOAD
        while get(connection, "/api/status")[0]["spans"] < sent:
            time.sleep(0.02)
        rates.append(len(batch) * PER_PAYLOAD / (time.perf_counter() - began))
    watcher.ended.set()
    watcher.join()
    rates.sort()
    report.line(
        "received and stored, {:,} spans of {} attributes".format(sent, ATTRIBUTES),
        rates[len(rates) // 2],
        "spans/s",
        20000,
        True,
        "median of {} rounds, {:,.0f} to {:,.0f}".format(len(rates), rates[0], rates[-1]),
    )
    report.line(
        "list meanwhile, p99 of {}".format(len(watcher.times)),
        percentile(watcher.times, 0.99),
        "ms",
        100,
        note="median {:.1f}".format(percentile(watcher.times, 0.5)),
    )
    report.line(
        "memory, highest RSS",
        watcher.memory,
        "MB",
        250,
        note="{:.0f} without pages of the file".format(watcher.anonymous),
    )
    status = get(connection, "/api/status")[0]
    report.line("bytes per span in the store", status["bytes"] / status["spans"], "bytes", 250)


def queries(viewer: Viewer, report: Report) -> None:
    connection = viewer.connect()
    for text, budget in QUERIES:
        path = "/api/traces?limit=50&q=" + quote(text)
        answers = [get(connection, path) for _ in range(7)]
        answer, rows = answers[-1][0], len(answers[-1][0]["rows"])
        took = percentile([each[1] for each in answers], 0.5)
        report.line(
            "search {!r}".format(text)[:52],
            took,
            "ms",
            budget,
            note="{} rows{}".format(rows, ", partial" if answer["partial"] else ""),
        )
    for sort in ("slowest", "spans"):
        report.line(
            "sorted by " + sort,
            percentile([get(connection, "/api/traces?sort=" + sort)[1] for _ in range(5)], 0.5),
            "ms",
            60,
        )
    report.line("facets", percentile([get(connection, "/api/facets")[1] for _ in range(5)], 0.5), "ms", 250)


def large_traces(viewer: Viewer, report: Report) -> None:
    connection = viewer.connect()
    payloads = Payloads(2)
    for size, first, whole in ((10000, 250, 250), (100000, 500, 2500)):
        before = get(connection, "/api/status")[0]["spans"]
        for body in payloads.large(size):
            send(connection, body)
        while get(connection, "/api/status")[0]["spans"] < before + size:
            time.sleep(0.05)
        trace = get(connection, "/api/traces?sort=spans&limit=1")[0]["rows"][0]["trace"]
        answer, took, length = get(connection, "/api/traces/" + trace)
        pieces, last = [took], answer
        while last["next"]:
            last, took, more = get(connection, "/api/traces/{}?after={}".format(trace, last["next"]))
            pieces.append(took)
            length += more
        report.line(
            "trace of {:,}: first piece".format(size),
            pieces[0],
            "ms",
            first,
            note="{:,} bytes in {} pieces".format(length, len(pieces)),
        )
        report.line("trace of {:,}: whole".format(size), sum(pieces), "ms", whole)
        chunk, n = last["chunk"][-1], last["n"][-1]
        report.line(
            "details of its last span",
            get(connection, "/api/spans/{}/{}".format(chunk, n))[1],
            "ms",
            2000 if size > 10000 else 250,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100,000 spans instead of 1,000,000")
    parser.add_argument("--spans", type=int, help="spans to store")
    options = parser.parse_args()
    spans = options.spans or (100000 if options.quick else 1000000)
    folder = tempfile.mkdtemp(prefix="gossamer-bench-")
    report = Report()
    viewer = Viewer(folder)
    try:
        report.line("listening after", viewer.started, "ms", 1000, note="with the interpreter's start")
        ingest(viewer, spans, report)
        queries(viewer, report)
        large_traces(viewer, report)
    finally:
        viewer.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
