"""The list of traces: live, searchable, and calm."""

from __future__ import annotations

import time

from selenium.webdriver.common.keys import Keys

from gossamer.viewer.app import Viewer
from tests.viewer.browser.conftest import Page, until
from tests.viewer.browser.traffic import MS, request, send


def fill(page: Page, count: int) -> None:
    now = time.time_ns()
    send(
        page.port, *[request(f"GET /item/{number}", start=now - (count - number) * 50 * MS) for number in range(count)]
    )


def test_first_trace_appears_live(page: Page) -> None:
    page.open()
    page.wait_text("h1", "Waiting for the first trace")
    send(page.port, request(failed=True))
    page.wait_rows(1)
    row = page.text(".trace-row")
    assert "GET /cart/{id}" in row and "flask.request" in row and "shop" in row
    assert "100 ms" in row and "1 error" in row
    assert page.run("return document.querySelector('.spans').textContent") == "6"


def test_empty_state_tells_how(page: Page) -> None:
    page.open()
    page.wait_text(".command", f"http://localhost:{page.port}")
    for name, wanted in {
        "ddtrace": "ddtrace-run",
        "OpenTelemetry": "http/protobuf",
        "Docker": "host.docker.internal",
    }.items():
        next(tab for tab in page.all('[role="tab"]') if tab.text == name).click()
        page.wait_text(".command", wanted)
    page.wait_text(".contacts", "Nobody has called yet")


def test_sample_trace(page: Page) -> None:
    page.open()
    page.one("#sample").click()
    page.one(".w-row")
    assert "trace=" in page.hash
    page.wait_rows(1)


def test_refusals_are_told(page: Page) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", page.port)
    connection.request("PUT", "/v0.4/traces", b"\xc1", {"Content-Type": "application/msgpack"})
    assert connection.getresponse().status == 400
    page.open()
    page.wait_text(".contacts", "refused")
    page.wait_text("#status", "1 refused")


def test_news_wait_and_nothing_moves(page: Page) -> None:
    fill(page, 60)
    page.open()
    page.wait_rows(60)
    first = page.texts(".trace-row .main")[0]
    send(page.port, request("GET /new"))
    send(page.port, request("GET /newer"))
    page.wait_text("#news", "2 new")
    assert page.texts(".trace-row .main")[0] == first
    assert len(page.all(".trace-row")) == 60
    page.keys(".")
    until(lambda: page.texts(".trace-row .main")[0] in ("GET /new", "GET /newer"))
    assert not page.all("#news")


def test_a_short_list_grows_by_itself(page: Page) -> None:
    fill(page, 3)
    page.open()
    page.wait_rows(3)
    send(page.port, request())
    page.wait_rows(4)


def test_pause(page: Page) -> None:
    fill(page, 3)
    page.open()
    page.wait_rows(3)
    page.one("#live").click()
    page.wait_text("#banner", "Paused")
    send(page.port, request())
    page.wait_text("#status", "24 of")  # received all the same
    assert len(page.all(".trace-row")) == 3
    page.one("#live").click()
    page.run("document.activeElement.blur()")
    page.wait_rows(4)
    assert not page.text("#banner")


def test_viewer_stops_and_comes_back(page: Page) -> None:
    fill(page, 3)
    page.open()
    page.wait_rows(3)
    page.viewer.stop()
    page.wait_text("#banner", "The viewer has stopped", 8)
    assert len(page.all(".trace-row")) == 3
    again = Viewer(port=page.port).start()
    try:
        until(lambda: not page.text("#banner"), 8, "the banner to go")
        send(page.port, request("GET /after"))
        page.wait_text(".trace-row, #news", "", 1)
        until(lambda: page.all("#news") or "GET /after" in page.text(".trace-row"), 8, "news after the reconnect")
    finally:
        page.driver.get("about:blank")
        again.stop()
    page.driver.get_log("browser")


def test_search_hits_and_does_not(page: Page) -> None:
    send(page.port, request("GET /good"), request("POST /checkout", failed=True))
    page.open()
    page.wait_rows(2)
    page.search("status:error")
    page.wait_rows(1)
    assert "POST /checkout" in page.text(".trace-row")
    assert "q=status%3Aerror" in page.hash
    page.search('service:shop resource:"GET /good" status:error')
    page.wait_text("h1", "No trace matches")
    # It says which term stands in the way, and goes on without it at a click.
    page.wait_text(".without", "status:error")
    next(link for link in page.all(".without span") if "status:error" in link.text).find_element(
        "css selector", "button"
    ).click()
    page.wait_rows(1)
    page.driver.back()
    page.wait_text("h1", "No trace matches")
    page.driver.back()
    page.wait_rows(1)


def test_search_error_is_underlined(page: Page) -> None:
    send(page.port, request())
    page.open()
    page.wait_rows(1)
    page.search("service:shop wrong:thing")
    page.wait_text("#search-fault", "wrong")
    assert page.texts("#search .bad") == ["wrong:thing"]
    box, mark = page.run(
        "return ['#search input', '#search .bad']"
        ".map((s) => document.querySelector(s).getBoundingClientRect()).map((r) => [r.left, r.right])"
    )
    assert box[0] < mark[0] < mark[1] < box[1]
    assert len(page.all(".trace-row")) == 1  # what was listed stays
    page.keys("x")
    assert not page.text("#search-fault")


def test_completion(page: Page) -> None:
    send(page.port, request())
    page.open()
    page.wait_rows(1)
    page.wait_text("#facets", "pricing")
    page.keys("/", "serv")
    page.wait_text("#search-options", "service:")
    page.keys(Keys.ARROW_DOWN, Keys.ENTER)
    page.wait_text("#search-options", "service:pricing")
    page.keys("pric", Keys.ARROW_DOWN, Keys.ENTER, Keys.ENTER)
    until(lambda: "service%3Apricing" in page.hash)
    page.wait_rows(1)


def test_facets(page: Page) -> None:
    send(page.port, request("GET /good"), request("POST /checkout", failed=True))
    page.open()
    page.wait_rows(2)
    until(lambda: page.all('.facet[data-term="status:error"]'), what="the facet")[0].click()
    page.wait_rows(1)
    assert "status%3Aerror" in page.hash
    until(lambda: page.all('.facet[aria-pressed="true"]'), what="the pressed facet")[0].click()
    page.wait_rows(2)


def test_match_is_opened(page: Page) -> None:
    send(page.port, request())
    page.open("#/traces?q=service%3Acache")
    page.wait_rows(1)
    page.one(".trace-row").click()
    page.wait_text(".panel h2", "GET price:*")


def test_sort_by_duration(page: Page) -> None:
    now = time.time_ns()
    slow, fast = request("GET /slow", start=now - 1000 * MS), request("GET /fast", start=now)
    slow[0]["duration"] = 900 * MS
    send(page.port, slow, fast)
    page.open()
    page.wait_rows(2)
    assert page.texts(".trace-row .main") == ["GET /fast", "GET /slow"]
    next(head for head in page.all(".list-cols button") if head.text == "Duration").click()
    until(lambda: page.texts(".trace-row .main") == ["GET /slow", "GET /fast"])
    assert page.run("return document.querySelector('[aria-sort]').textContent").startswith("Duration")


def test_more_rows_come_when_scrolled_to(page: Page) -> None:
    fill(page, 150)
    page.open()
    page.wait_rows(100)
    page.run("const s = document.querySelector('.list-scroll'); s.scrollTop = s.scrollHeight")
    page.wait_rows(150)
    assert len(set(page.run("return [...document.querySelectorAll('.trace-row')].map((r) => r.dataset.trace)"))) == 150
