"""The trace behind "Show a sample trace": a small shop, with an error, a slow query and an N+1."""

import json
import os
import time
from typing import Any, Dict, List, Optional, Tuple

from gossamer._wire.datadog_decode import decode_json
from gossamer._wire.decoded import Payload

_STACK = """Traceback (most recent call last):
  File "/srv/shop/checkout.py", line 41, in checkout
    receipt = payment.charge(cart, card)
  File "/srv/shop/payment.py", line 18, in charge
    response.raise_for_status()
shop.payment.PaymentDeclined: card ending in 4242 was declined
"""


class _Trace:
    def __init__(self) -> None:
        self.low = int.from_bytes(os.urandom(8), "big") >> 1 or 1
        self.high = int.from_bytes(os.urandom(8), "big") >> 1
        self.start = time.time_ns() - 700000000
        self.spans: List[Dict[str, Any]] = []

    def add(
        self,
        parent: Optional[int],
        at: float,
        duration: float,
        service: str,
        name: str,
        resource: str,
        type: str,
        kind: str,
        **meta: Any,
    ) -> int:
        """Add a span; times in milliseconds from the trace's start. Double underscores in keys stand for dots."""
        number = int.from_bytes(os.urandom(8), "big") >> 1 or 1
        attributes = {key.replace("__", "."): value for key, value in meta.items()}
        attributes["span.kind"] = kind
        attributes["env"] = "sample"
        if parent is None:
            attributes["_dd.p.tid"] = "{:016x}".format(self.high)
        self.spans.append(
            {
                "trace_id": self.low,
                "span_id": number,
                "parent_id": parent or 0,
                "service": service,
                "name": name,
                "resource": resource,
                "type": type,
                "start": self.start + int(at * 1e6),
                "duration": int(duration * 1e6),
                "error": 1 if "error.type" in attributes else 0,
                "meta": {key: value for key, value in attributes.items() if isinstance(value, str)},
                "metrics": {key: value for key, value in attributes.items() if not isinstance(value, str)},
            }
        )
        return number


def payload() -> Tuple[Payload, str]:
    """A new sample trace and its id."""
    trace = _Trace()
    root = trace.add(
        None,
        0,
        612,
        "shop",
        "flask.request",
        "POST /checkout",
        "web",
        "server",
        http__method="POST",
        http__url="http://localhost:5000/checkout",
        http__status_code=502,
        component="flask",
        error__type="PaymentDeclined",
        error__message="card ending in 4242 was declined",
        error__stack=_STACK,
    )
    view = trace.add(
        root, 4, 600, "shop", "flask.dispatch_request", "checkout.checkout", "", "internal", component="flask"
    )
    trace.add(
        view,
        8,
        2.1,
        "redis",
        "redis.command",
        "GET",
        "redis",
        "client",
        redis__raw_command="GET session:?",
        out__host="cache.local",
        component="redis",
    )
    sql = dict(db__system="postgresql", db__name="shop", out__host="db.local", component="psycopg")
    trace.add(
        view,
        14,
        9.5,
        "postgres",
        "postgres.query",
        "SELECT * FROM cart_items WHERE cart_id = ?",
        "sql",
        "client",
        **sql,
    )
    for index in range(12):
        trace.add(
            view,
            28 + index * 7.5,
            6.2,
            "postgres",
            "postgres.query",
            "SELECT name, price FROM products WHERE id = ?",
            "sql",
            "client",
            db__row_count=1,
            **sql,
        )
    trace.add(
        view,
        124,
        238,
        "postgres",
        "postgres.query",
        "SELECT sum(amount) FROM orders WHERE customer LIKE ?",
        "sql",
        "client",
        **sql,
    )
    call = trace.add(
        view,
        372,
        205,
        "shop",
        "requests.request",
        "POST /charges",
        "http",
        "client",
        http__method="POST",
        http__url="http://payments:8000/charges",
        http__status_code=402,
        component="requests",
    )
    charge = trace.add(
        call,
        381,
        188,
        "payments",
        "fastapi.request",
        "POST /charges",
        "web",
        "server",
        http__method="POST",
        http__status_code=402,
        component="fastapi",
    )
    trace.add(
        charge,
        390,
        160,
        "bank-gateway",
        "httpx.request",
        "POST /authorize",
        "http",
        "client",
        http__method="POST",
        http__status_code=402,
        component="httpx",
    )
    trace.add(
        charge,
        552,
        11,
        "payments",
        "payment.reject",
        "reject",
        "",
        "internal",
        error__type="PaymentDeclined",
        error__message="card ending in 4242 was declined",
        error__stack=_STACK,
    )
    trace.add(view, 582, 16, "shop", "jinja2.render", "declined.html", "template", "internal", component="jinja2")
    body = json.dumps([trace.spans]).encode("ascii")
    return decode_json(body), "{:016x}{:016x}".format(trace.high, trace.low)
