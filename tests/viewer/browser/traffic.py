"""Traces as a Datadog tracer would send them in v0.4."""

from __future__ import annotations

import http.client
import itertools
import random
import time
from typing import Any

msgpack = __import__("pytest").importorskip("msgpack")

STACK = """Traceback (most recent call last):
  File "/srv/shop/views.py", line 41, in checkout
    total = price(cart)
  File "/srv/shop/pricing.py", line 12, in price
    raise ValueError("no price for 'A-17'")
ValueError: no price for 'A-17'
"""
MS = 1_000_000
_ids = itertools.count(1000)


def span(
    trace: int, parent: int = 0, start: int = 0, duration: int = MS, *, service: str = "shop",
    name: str = "flask.request",
    resource: str = "GET /", type: str = "web", meta: dict | None = None, metrics: dict | None = None,
    error: int = 0, id: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """One span; times in nanoseconds."""
    return {
        "trace_id": trace, "span_id": id or next(_ids), "parent_id": parent, "service": service, "name": name,
        "resource": resource,
        "type": type, "start": start, "duration": duration, "error": error, "meta": meta or {},
        "metrics": metrics or {},
    }  # fmt: skip


def request(resource: str = "GET /cart/{id}", failed: bool = False, start: int | None = None) -> list[dict[str, Any]]:
    """A request to a small shop: a query, a call to another service that asks a cache, a template."""
    trace = next(_ids)
    start = start or time.time_ns()
    meta = {
        "env": "dev",
        "http.method": resource.split()[0],
        "component": "flask",
        "span.kind": "server",
        "usr.id": str(trace),
        "http.route": resource.split()[1],
    }
    if failed:
        meta.update({"error.type": "ValueError", "error.message": "no price for 'A-17'", "error.stack": STACK})
    root = span(
        trace,
        0,
        start,
        100 * MS,
        resource=resource,
        meta=meta,
        metrics={"http.status_code": 500 if failed else 200},
        error=int(failed),
    )
    query = span(
        trace,
        root["span_id"],
        start + 5 * MS,
        20 * MS,
        service="shop-db",
        name="sqlite.query",
        resource="SELECT * FROM items",
        type="sql",
    )
    call = span(
        trace,
        root["span_id"],
        start + 30 * MS,
        40 * MS,
        name="requests.request",
        resource="GET pricing/price",
        type="http",
    )
    served = span(
        trace,
        call["span_id"],
        start + 32 * MS,
        30 * MS,
        service="pricing",
        name="fastapi.request",
        resource="GET /price",
    )
    cached = span(
        trace,
        served["span_id"],
        start + 33 * MS,
        4 * MS,
        service="cache",
        name="redis.command",
        resource="GET price:*",
        type="redis",
    )
    page = span(
        trace, root["span_id"], start + 75 * MS, 20 * MS, name="jinja2.render", resource="cart.html", type="template"
    )
    return [root, query, call, served, cached, page]


def large(size: int, seed: int = 1) -> list[dict[str, Any]]:
    """One trace of many spans, up to some tens of levels deep; every 997th failed."""
    chance = random.Random(seed)
    trace, start = next(_ids), time.time_ns()
    spans = [
        span(trace, 0, start, 4000 * MS, service="batch", name="job.run", resource="nightly import", type="worker")
    ]
    kinds = [
        ("batch", "job.step", "parse row"),
        ("shop-db", "sqlite.query", "INSERT INTO items VALUES (?, ?)"),
        ("cache", "redis.command", "SET item:*"),
    ]
    for number in range(1, size):
        parent = spans[chance.randrange(max(0, number - 40), number)]
        begin = parent["start"] + int(parent["duration"] * chance.random() * 0.5)
        service, name, resource = chance.choice(kinds)
        length = int(parent["duration"] * chance.random() * 0.49) + 1000
        spans.append(
            span(
                trace,
                parent["span_id"],
                begin,
                length,
                service=service,
                name=name,
                resource=resource,
                error=int(number % 997 == 0),
            )
        )
    return spans


def hexadecimal(spans: list[dict[str, Any]]) -> str:
    """The trace's id as it stands in addresses."""
    return f"{spans[0]['trace_id']:032x}"


def send(port: int, *traces: list[dict[str, Any]]) -> None:
    """Deliver traces in one payload."""
    # Lone surrogates, which no honest tracer sends, pass here as they would from a dishonest one.
    body = msgpack.packb(list(traces), unicode_errors="surrogatepass")
    headers = {
        "Content-Type": "application/msgpack",
        "Datadog-Meta-Lang": "python",
        "Datadog-Meta-Tracer-Version": "0.1.0",
    }
    for _ in range(100):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("PUT", "/v0.4/traces", body, headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        if answer.status != 429:  # the viewer asks for patience
            break
        time.sleep(0.1)
    assert answer.status == 200, answer.status
