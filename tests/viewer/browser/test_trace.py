"""The page of one trace: geometry, folding, finding, and the panel."""

from __future__ import annotations

import json
import time
from typing import Any

from selenium.webdriver.common.keys import Keys

from tests.viewer.browser.conftest import Page, until
from tests.viewer.browser.traffic import MS, hexadecimal, large, request, send, span

GEOMETRY = """
return [...document.querySelectorAll('.w-row')].filter((row) => !row.hidden).map((row) => {
  const bar = row.querySelector('.w-bar').getBoundingClientRect();
  return {top: row.getBoundingClientRect().top, name: row.querySelector('.w-main').textContent,
    level: Number(row.getAttribute('aria-level')),
          left: bar.left, right: bar.right, label: row.querySelector('.w-label').textContent,
            spoken: row.getAttribute('aria-label')};
}).sort((a, b) => a.top - b.top);
"""


def opened(page: Page, spans: list[dict[str, Any]], query: str = "") -> None:
    send(page.port, spans)
    page.viewer.store.flush()
    page.open(f"#/trace/{hexadecimal(spans)}{query}")
    page.one(".w-row")


def test_waterfall_geometry(page: Page) -> None:
    opened(page, request())
    rows = page.run(GEOMETRY)
    assert [(row["name"], row["level"]) for row in rows] == [
        ("GET /cart/{id}", 1), ("SELECT * FROM items", 2), ("GET pricing/price", 2), ("GET /price", 3),
        ("GET price:*", 4), ("cart.html", 2),
    ]  # fmt: skip
    by_name = {row["name"]: row for row in rows}
    parents = {
        "SELECT * FROM items": "GET /cart/{id}",
        "GET pricing/price": "GET /cart/{id}",
        "GET /price": "GET pricing/price",
        "GET price:*": "GET /price",
    }
    for child, parent in parents.items():
        assert (
            by_name[parent]["left"]
            <= by_name[child]["left"]
            <= by_name[child]["right"]
            <= by_name[parent]["right"] + 0.01
        )
    root = by_name["GET /cart/{id}"]
    pixel = (root["right"] - root["left"]) / 100  # a millisecond
    call = by_name["GET pricing/price"]
    assert abs(call["left"] - root["left"] - 30 * pixel) < 1 and abs(call["right"] - call["left"] - 40 * pixel) < 1
    assert call["label"] == "40.0 ms"
    assert by_name["GET price:*"]["spoken"] == "redis.command, GET price:*, 4.00 ms, cache, level 4"


def test_attributes(page: Page) -> None:
    spans = request()
    opened(page, spans)
    page.one(".w-row").click()
    page.wait_text(".attributes", "usr.id")
    number = str(spans[0]["trace_id"])
    shown = dict(
        page.run(
            "return [...document.querySelectorAll('.attribute')]"
            ".map((a) => [a.querySelector('dt').textContent, a.querySelector('dd > *').textContent])"
        )
    )
    assert shown["http.method"] == "GET" and shown["http.status_code"] == "200" and shown["usr.id"] == number
    page.one(".panel .filter").send_keys("usr")
    until(lambda: page.texts(".attribute dt") == ["usr.id"])
    page.one("button.key").click()
    until(lambda: f"%40usr.id%3A{number}" in page.hash)
    page.wait_rows(1)


def test_error_with_stack(page: Page) -> None:
    opened(page, request(failed=True))
    page.one(".w-row").click()
    page.wait_text(".error-box h3", "ValueError")
    assert "no price for 'A-17'" in page.text(".error-message")
    assert 'File "/srv/shop/pricing.py", line 12, in price' in page.text(".error-box pre")
    assert page.one('[role="tab"][aria-selected="true"]').text == "Error"


def test_events_and_links(page: Page) -> None:
    spans = request()
    other = "00000000000000ab00000000000000cd"
    event = {
        "name": "cache.miss",
        "time_unix_nano": spans[0]["start"] + 3 * MS,
        "attributes": {"cache.key": "price:A-17"},
    }
    spans[0]["meta"]["events"] = json.dumps([event])
    spans[0]["meta"]["_dd.span_links"] = json.dumps(
        [{"trace_id": other, "span_id": "00000000000000ef", "attributes": {"reason": "batch"}}]
    )
    opened(page, spans)
    page.one(".w-row").click()
    page.wait_text(".panel .tabs", "Links")
    tabs = {tab.text.split()[0]: tab for tab in page.all(".panel [role='tab']")}
    tabs["Events"].click()
    page.wait_text(".events", "cache.miss")
    assert "+3.00 ms" in page.text(".events") and "price:A-17" in page.text(".events")
    tabs["Links"].click()
    page.wait_text(".events", "reason")
    assert page.one(".events a").get_attribute("href").partition("#")[2].startswith(f"/trace/{other}")
    tabs["Raw"].click()
    page.wait_text(".block pre", '"name": "flask.request"')


def test_fold_find_errors_zoom(page: Page) -> None:
    spans = request()
    spans[3]["error"] = 1
    opened(page, spans)
    names = lambda: [row["name"] for row in page.run(GEOMETRY)]  # noqa: E731
    page.one(".w-fold.open").click()
    until(lambda: names() == ["GET /cart/{id}"], what="one row")
    assert page.texts(".w-note") and "+5" in page.texts(".w-note")
    page.keys("e")  # opens what is folded above the error
    until(lambda: "span=" in page.hash)
    assert len(names()) == 6
    page.wait_text(".panel h2", "GET /price")
    page.keys("f", "price", Keys.ENTER)
    until(lambda: len(page.all(".w-row.hit")) == 3, what="three hits")
    page.wait_text(".found", "of 3")
    page.keys(Keys.ESCAPE)
    until(lambda: not page.all(".w-row.hit"))
    before = page.run(GEOMETRY)[4]
    page.keys("+")
    until(lambda: "zoom=" in page.hash)
    after = page.run(GEOMETRY)[4]
    assert after["right"] - after["left"] > 1.4 * (before["right"] - before["left"])
    page.keys("0")
    until(lambda: "zoom=" not in page.hash)


def test_levels(page: Page) -> None:
    opened(page, request())
    count = lambda: len(page.run(GEOMETRY))  # noqa: E731
    assert count() == 6
    for key, wanted in (("[", 5), ("[", 4), ("[", 1), ("]", 4), ("]", 5), ("]", 6)):
        page.keys(key)
        until(lambda wanted=wanted: count() == wanted, what=lambda: f"{wanted} rows after {key}, not {count()}")


def test_cycles_and_missing_parents(page: Page) -> None:
    trace, now = 77, time.time_ns()
    spans = [
        span(trace, 0, now, 50 * MS, resource="root", id=1),
        span(trace, 3, now + MS, MS, resource="cycle a", id=2),
        span(trace, 2, now + 2 * MS, MS, resource="cycle b", id=3),
        span(trace, 4, now + 3 * MS, MS, resource="own parent", id=4),
        span(trace, 999, now + 4 * MS, MS, resource="orphan", id=5),
        span(trace, 5, now + 5 * MS, MS, resource="child of orphan", id=6),
    ]
    opened(page, spans)
    rows = page.run(GEOMETRY)
    assert sorted(row["name"] for row in rows) == sorted(each["resource"] for each in spans)
    levels = {row["name"]: row["level"] for row in rows}
    assert levels["child of orphan"] == levels["orphan"] + 1
    assert {levels["cycle a"], levels["cycle b"]} == {1, 2}
    page.wait_text(".t-notes", "names a parent that is not here")
    assert page.text(".t-title h1").startswith("root")


def test_an_open_trace_that_grows_says_so(page: Page) -> None:
    spans = request()
    opened(page, spans[:3])
    page.wait_text(".t-facts", "3 spans")
    send(page.port, spans[3:])
    page.wait_text(".t-notes", "grown by 3 spans")
    assert len(page.run(GEOMETRY)) == 3
    page.keys(".")
    until(lambda: len(page.run(GEOMETRY)) == 6, what="six rows")
    assert "grown" not in page.text(".t-notes")


def test_unknown_trace(page: Page) -> None:
    page.open("#/trace/" + "ab" * 16)
    page.wait_text(".t-wait", "not here")


def test_a_link_that_is_ahead_of_its_trace(page: Page) -> None:
    spans = request()
    page.open(f"#/trace/{hexadecimal(spans)}")
    page.wait_text(".t-wait", "not here")
    send(page.port, spans)
    until(lambda: len(page.run(GEOMETRY)) == 6, what="the trace")


def test_large_trace_recycles_rows(page: Page) -> None:
    spans = large(10_000)
    opened(page, spans)
    page.wait_text(".t-facts", "10,000 spans")
    assert page.run("return document.querySelectorAll('.w-row').length") <= 60
    nodes = page.run("return document.querySelectorAll('*').length")
    seen = set()
    for share in (0.1, 0.5, 0.93, 1):
        page.run("const s = document.querySelector('.w-scroll'); s.scrollTop = s.scrollHeight * arguments[0]", share)
        rows = until(lambda: [row for row in page.run(GEOMETRY) if 0 < row["top"] < 800])
        seen.add(rows[0]["spoken"] + str(rows[0]["top"]))
        indexes = page.run(
            "return [...document.querySelectorAll('.w-row')].filter((r) => !r.hidden)"
            ".map((r) => Number(r.getAttribute('aria-rowindex'))).sort((a, b) => a - b)"
        )
        assert indexes == list(range(indexes[0], indexes[0] + len(indexes)))
    until(
        lambda: (
            10_000
            in page.run(
                "return [...document.querySelectorAll('.w-row')].map((r) => Number(r.getAttribute('aria-rowindex')))"
            )
        )
    )
    assert page.run("return document.querySelectorAll('.w-row').length") <= 60
    assert abs(page.run("return document.querySelectorAll('*').length") - nodes) < 40
    page.keys("e")
    until(lambda: "error" in page.focused(), what=page.focused)


def test_a_trace_in_pieces_with_parents_that_come_late(page: Page) -> None:
    spans = large(25_000)
    send(page.port, spans[12_000:])
    page.viewer.store.flush()
    send(page.port, spans[:12_000])  # the root and many parents stand in the second piece
    page.viewer.store.flush()
    page.open(f"#/trace/{hexadecimal(spans)}")
    page.wait_text(".t-facts", "25,000 spans", 15)
    assert "so far" not in page.text(".t-facts")
    assert not page.text(".t-notes")  # every parent was found, over the pieces
    assert f"{sum(each['error'] for each in spans)} errors" in page.text(".t-facts")
    assert page.text(".t-title h1").startswith("nightly import")
    parents = {each["span_id"]: each["parent_id"] for each in spans}

    def depth(number: int) -> int:
        found = 0
        while number:
            number, found = parents[number], found + 1
        return found

    top = page.run(GEOMETRY)
    assert top[0]["level"] == 1 and [row["level"] for row in top].count(1) == 1
    names = {(depth(each["span_id"]), each["name"], each["resource"]) for each in spans}
    shown = {(row["level"], *row["spoken"].split(", ")[:1], row["name"]) for row in top}
    assert len(shown) > 5 and shown <= names
