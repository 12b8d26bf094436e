"""One call of each library, twenty of them in one transaction: trace, root span or transaction, as the tracer names it.

The servers are named by the environment: BENCH_REDIS (port), BENCH_HTTP (port), BENCH_POSTGRES (conninfo).
"""

from __future__ import annotations

import os
from typing import Any, Callable, Dict

import tracing

CALLS = 20
Call = Callable[[], None]


def nothing(tracer: tracing.Tracing) -> Call:
    """No call: what the transaction alone costs."""
    return lambda: None


def sqlite3(tracer: tracing.Tracing) -> Call:
    """A cursor, execute and fetch, on a database in memory."""
    import sqlite3 as library

    connection = library.connect(":memory:")
    connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
    connection.execute("INSERT INTO users VALUES (7, 'Ann')")
    connection.commit()

    def call() -> None:
        cursor = connection.cursor()
        cursor.execute("SELECT name FROM users WHERE id = ?", (7,))
        assert cursor.fetchone() == ("Ann",)

    return call


def redis(tracer: tracing.Tracing) -> Call:
    """GET."""
    import redis as library

    client = library.Redis(host="127.0.0.1", port=int(os.environ["BENCH_REDIS"]))
    client.set("user:7", "Ann")

    def call() -> None:
        assert client.get("user:7") == b"Ann"

    return call


def requests(tracer: tracing.Tracing) -> Call:
    """GET over a connection that is kept open."""
    import requests as library

    session = library.Session()
    session.trust_env = False
    url = "http://127.0.0.1:%s/users/7" % os.environ["BENCH_HTTP"]

    def call() -> None:
        assert session.get(url).status_code == 200

    return call


def httpx(tracer: tracing.Tracing) -> Call:
    """GET over a connection that is kept open."""
    import httpx as library

    client = library.Client(trust_env=False)
    url = "http://127.0.0.1:%s/users/7" % os.environ["BENCH_HTTP"]

    def call() -> None:
        assert client.get(url).status_code == 200

    return call


def psycopg(tracer: tracing.Tracing) -> Call:
    """A cursor, SELECT 1 and fetch."""
    import psycopg as library

    connection = library.connect(os.environ["BENCH_POSTGRES"], autocommit=True)

    def call() -> None:
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)

    return call


CASES: Dict[str, Callable[[Any], Call]] = {
    "nothing": nothing, "sqlite3": sqlite3, "redis": redis, "requests": requests, "httpx": httpx, "psycopg": psycopg
}  # fmt: skip


def make(name: str, tracer: tracing.Tracing) -> Callable[[int], int]:
    """What makes the call of a library N times, rounded down to whole transactions."""
    call = CASES[name](tracer)

    def run(count: int) -> int:
        whole = max(1, count // CALLS)
        for _ in range(whole):
            with tracer.transaction("batch"):
                for _ in range(CALLS):
                    call()
        return whole * CALLS

    return run
