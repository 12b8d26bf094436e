"""The shop: pages and a checkout, on Flask, SQLite, Jinja and, where there is one, Redis."""

import logging
import os
import sqlite3
from contextlib import closing

import requests
from flask import Flask, Response, abort, jsonify, render_template, request

import gossamer

app = Flask(__name__)
log = logging.getLogger("shop")

STOCK = os.environ.get("STOCK_URL", "http://127.0.0.1:8002")
DATABASE = os.environ.get("SHOP_DATABASE", "shop.db")
ITEMS = [("teapot", 34.0), ("cup", 9.5), ("saucer", 7.0), ("spoon", 4.25), ("strainer", 12.0), ("kettle", 58.0)]
SLOW_QUERY = """
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 300000)
    SELECT count(*) FROM numbers WHERE n % 7 = 0
"""


def database():
    return closing(sqlite3.connect(DATABASE))


@gossamer.trace("shop.prepare")
def make_database():
    with database() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS item (id INTEGER PRIMARY KEY, name TEXT, price REAL)")
        connection.execute("CREATE TABLE IF NOT EXISTS purchase (id INTEGER PRIMARY KEY, item INTEGER, buyer TEXT)")
        if not connection.execute("SELECT count(*) FROM item").fetchone()[0]:
            connection.executemany("INSERT INTO item (name, price) VALUES (?, ?)", ITEMS)
        connection.commit()


def cache():
    """The cache, or None where no Redis runs."""
    if "REDIS_PORT" not in os.environ:
        return None
    import redis

    return redis.Redis(port=int(os.environ["REDIS_PORT"]), socket_timeout=1)


@app.route("/health")
def health():
    return "ok"


@app.route("/")
def home():
    with database() as connection:
        items = connection.execute("SELECT id, name, price FROM item ORDER BY name").fetchall()
    return render_template("home.html", items=items)


@app.route("/product/<int:item>")
def product(item):
    store = cache()
    hits = store.incr("views:%d" % item) if store else None
    with database() as connection:
        row = connection.execute("SELECT name, price FROM item WHERE id = ?", (item,)).fetchone()
    if row is None:
        abort(404)
    stock = requests.get("%s/stock/%d" % (STOCK, item), timeout=5).json()
    return render_template("product.html", name=row[0], price=row[1], stock=stock, hits=hits)


@app.route("/api/price/<int:item>")
def price(item):
    """What the stock asks back for."""
    with database() as connection:
        row = connection.execute("SELECT price FROM item WHERE id = ?", (item,)).fetchone()
    return jsonify(price=row[0] if row else None)


@app.route("/checkout", methods=["POST"])
def checkout():
    item = int(request.form["item"])
    answer = requests.post("%s/reserve/%d" % (STOCK, item), timeout=5)
    if answer.status_code != 200:
        log.warning("no %d left", item)
        return "sold out", 409
    with database() as connection:
        connection.execute("INSERT INTO purchase (item, buyer) VALUES (?, ?)", (item, request.form["buyer"]))
        connection.commit()
    return "thank you", 201


@app.route("/report")
def report():
    """The N+1 that every shop has: one query for the list, one more for each of its rows."""
    lines = []
    with database() as connection:
        for item, name in connection.execute("SELECT id, name FROM item").fetchall():
            sold = connection.execute("SELECT count(*) FROM purchase WHERE item = ?", (item,)).fetchone()[0]
            lines.append("%s,%d\n" % (name, sold))
    return Response((line for line in lines), mimetype="text/csv")


@app.route("/statistics")
def statistics():
    """A slow query."""
    with database() as connection:
        return jsonify(count=connection.execute(SLOW_QUERY).fetchone()[0])


@app.route("/refund/<int:item>")
def refund(item):
    raise ValueError("no refund for item %d: the till is empty" % item)


if __name__ == "__main__":
    make_database()
    app.run(port=int(os.environ.get("SHOP_PORT", "8001")), threaded=True)
