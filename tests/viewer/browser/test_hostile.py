"""Traces made to harm whoever looks at them: nothing runs, nothing hides, nothing hangs."""

from __future__ import annotations

import time
from typing import Any

from tests.viewer.browser.conftest import Page, until
from tests.viewer.browser.traffic import MS, hexadecimal, send, span

MARKUP = (
    '<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>'
    "<svg/onload=window.harmed=1>'\"--></style></textarea>"
)
BIDI = "user\u202etxt.exe\u2066 \u200b\u0007\u001b[31m"
META = {
    "markup": MARKUP,
    MARKUP: "markup as key",
    "script.link": "javascript:window.harmed=1",
    "data.link": "data:text/html,<script>window.harmed=1</script>",
    "web.link": "https://example.org/a?b=c",
    "spaced.link": "https://example.org/ javascript:window.harmed=1",
    "bidi": BIDI,
    "__proto__": "polluted",
    "constructor": "polluted",
    "toString": "polluted",
    "hasOwnProperty": "polluted",
    "megabyte": "A" * 1_000_000,
    "lines": "one\ntwo\r\nthree",
    "surrogate": "a\ud800b\udfffc",
    "error.type": MARKUP,
    "error.message": MARKUP + BIDI,
    "error.stack": "x" * 200_000 + MARKUP,
}


def trace() -> list[dict[str, Any]]:
    number, now = 0x5EED, time.time_ns()
    root = span(
        number, 0, now, 50 * MS, service=MARKUP, name=MARKUP, resource=MARKUP + BIDI, type=MARKUP, meta=META, error=1
    )
    return [
        root,
        span(
            number,
            root["span_id"],
            now,
            -5 * MS,
            service="__proto__",
            name="constructor",
            resource="ends before it begins",
        ),
        span(number, root["span_id"], 0, 10 * MS, service="", name="", resource="", type=""),
        span(number, root["span_id"], now + MS, 2**62, service="x" * 5000, name="y" * 5000, resource="z" * 100_000),
    ]


def deliver(page: Page) -> None:
    try:
        send(page.port, trace())
    except AssertionError:
        # The viewer may refuse what is no UTF-8: then all but that goes.
        spans = trace()
        del spans[0]["meta"]["surrogate"]
        send(page.port, spans)
    page.viewer.store.flush()


def harmless(page: Page) -> None:
    assert page.run("return window.harmed") is None
    assert page.run("return document.querySelectorAll('img, iframe, object, embed, body script').length") == 0
    assert page.run("return ({}).polluted === undefined && Object.prototype.toString.call([])") == "[object Array]"


def test_list_and_search(page: Page) -> None:
    deliver(page)
    page.open()
    page.wait_rows(1)
    assert "<img src=x onerror" in page.text(".trace-row .main")
    page.wait_text("#facets", "__proto__")
    harmless(page)
    page.run("[...document.querySelectorAll('.facet')].find((f) => f.textContent.includes('<img')).click()")
    until(lambda: "q=" in page.hash)
    page.wait_rows(1)  # the quotation marks in it are escaped
    harmless(page)


def test_trace_and_panel(page: Page) -> None:
    deliver(page)
    page.open(f"#/trace/{hexadecimal(trace())}")
    page.one(".w-row")
    assert len([row for row in page.all(".w-row") if row.is_displayed()]) == 4
    page.one('.w-row[aria-level="1"]').click()
    page.wait_text(".error-box h3", "<img src=x onerror")
    assert "[RLO]" in page.text(".error-message")
    for tab in ("Raw", "Attributes"):
        next(each for each in page.all(".panel [role='tab']") if each.text.startswith(tab)).click()
        harmless(page)
    values = page.run(
        "return [...document.querySelectorAll('.attribute')].map((a) => [a.querySelector('dt').textContent, "
        "a.querySelector('dd > *').textContent])"
    )
    shown = {key: value for key, value in values}
    assert shown["markup"] == MARKUP and shown[MARKUP] == "markup as key"
    assert shown["__proto__"] == shown["constructor"] == shown["toString"] == "polluted"
    assert shown["bidi"] == "user[RLO]txt.exe[LRI] [ZWSP]\u2407\u241b[31m"
    assert shown["lines"] == "one\ntwo\nthree"
    links = page.run("return [...document.querySelectorAll('.panel a')].map((a) => [a.href, a.rel, a.target])")
    assert links == [["https://example.org/a?b=c", "noopener noreferrer", "_blank"]]
    harmless(page)


def test_a_megabyte_is_shown_by_and_by(page: Page) -> None:
    deliver(page)
    page.open(f"#/trace/{hexadecimal(trace())}")
    page.one('.w-row[aria-level="1"]').click()
    next(each for each in until(lambda: page.all(".panel [role='tab']")) if each.text.startswith("Attributes")).click()
    page.one(".panel .filter").send_keys("megab")
    until(lambda: page.texts(".attribute dt") == ["megabyte"])
    length = lambda: len(page.text(".attribute dd > *"))  # noqa: E731
    assert length() < 70_000
    page.one(".attribute .long .plain").click()
    until(lambda: 60_000 < length() < 70_000)
    page.wait_text(".panel-note", "cut at 64 KB")
    page.one(".panel-note .plain").click()
    until(lambda: not page.texts(".panel-note"))
    for _ in range(2):
        until(lambda: page.all(".attribute .long .plain"))[0].click()
    until(lambda: length() >= 1_000_000, what=length)


def test_hostile_addresses(page: Page) -> None:
    for hash in (
        "#/trace/<script>",
        "#/traces?sort=__proto__&trace=%22%3E%3Cimg",
        "#/traces?span=9&zoom=NaN-x&since=x&from=x&panel=constructor",
        "#/%E0%A4%A",
        "#/traces?q=%ff",
    ):
        page.open(hash)
        until(
            lambda: (
                {"Waiting for the first trace", "The search cannot be read", "No trace matches"} & set(page.texts("h1"))
            ),
            what=hash,
        )
        harmless(page)
