"""A small service, whose route asks SQLite and Redis and fills a Jinja2 template; and the trivial ones of `web_apps`.

Served by gunicorn (`service_app:app`, `service_app:trivial`) or uvicorn (`service_app:trivial_fastapi`), under the
tracer of the process. What is served is made when it is asked for.
"""

from __future__ import annotations

import os
from typing import Any

import tracing
import web_apps

TEMPLATE = """<!doctype html>
<title>{{ user.name }}</title>
<h1>{{ user.name }}</h1><p>{{ visits }} visits</p>
<ul>{% for order in orders %}<li>{{ order.item }}: {{ order.price }}</li>{% endfor %}</ul>
"""


def _service() -> Any:
    import sqlite3

    import redis
    from flask import Flask, render_template

    app = Flask("shop")
    from jinja2 import DictLoader

    app.jinja_loader = DictLoader({"user.html": TEMPLATE})  # type: ignore[assignment]
    cache = redis.Redis(host="127.0.0.1", port=int(os.environ["BENCH_REDIS"]))
    database = sqlite3.connect(":memory:", check_same_thread=False)
    database.execute("CREATE TABLE orders (user INTEGER, item TEXT, price REAL)")
    rows = [(user, "item %d" % item, item * 1.5) for user in range(20) for item in range(5)]
    database.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows)
    database.commit()

    @app.route("/users/<int:id>")
    def user(id: int) -> str:
        cursor = database.cursor()
        cursor.execute("SELECT item, price FROM orders WHERE user = ?", (id % 20,))
        orders = [{"item": item, "price": price} for item, price in cursor.fetchall()]
        visits = int(cache.get("visits:%d" % id) or 0)  # type: ignore[arg-type]
        return render_template("user.html", user={"name": "user %d" % id}, orders=orders, visits=visits)

    tracing.tracers.attach("flask", app)
    return app


def __getattr__(name: str) -> Any:
    if name == "app":
        made = _service()
    elif name == "trivial":
        made = web_apps.flask_application(tracing.of_process())
    elif name == "trivial_fastapi":
        made = web_apps.fastapi_application(tracing.of_process())
    else:
        raise AttributeError(name)
    globals()[name] = made
    return made
