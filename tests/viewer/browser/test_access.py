"""For everybody: by keyboard alone, by screen reader, on a phone, in both themes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.viewer.browser.conftest import Page, until
from tests.viewer.browser.traffic import hexadecimal, request, send

NAMELESS = """
const name = (e) => (e.getAttribute('aria-label') || e.textContent || e.title || '').trim()
  || [...(e.labels || [])].map((l) => l.textContent).join('').trim();
const roles = ['tab', 'separator', 'row', 'grid', 'treegrid'].map((role) => '[role=' + role + ']');
return [...document.querySelectorAll(['button', 'a', 'input', 'select', 'dialog[open]', ...roles])]
  .filter((e) => e.checkVisibility() && !name(e) && !e.getAttribute('aria-labelledby'))
  .map((e) => e.outerHTML.slice(0, 200));
"""
SMALL = """
const least = (e) => e.matches('.plain, .list-cols button, .key') ? 20 : 23.9;  // words in a line may be lower
return [...document.querySelectorAll('button, input, select, [role=tab]')]
  .filter((e) => e.checkVisibility() && !e.closest('.off, .skip, .choice'))
  .map((e) => [e, e.getBoundingClientRect()])
  .filter(([e, r]) => r.width && Math.min(r.width, r.height) < least(e))
  .map(([e, r]) => e.outerHTML.slice(0, 120) + r.width + 'x' + r.height);
"""
ROLES = """
const found = [];
const inside = (selector, parents) => {
  for (const e of document.querySelectorAll(selector)) if (!e.closest(parents)) found.push(e.outerHTML.slice(0, 120));
};
inside('[role=row]', '[role=grid], [role=treegrid]');
inside('[role=gridcell]', '[role=row]');
inside('[role=tab]', '[role=tablist]');
inside('[role=option]', '[role=listbox]');
const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
for (const id of new Set(ids)) if (ids.filter((i) => i === id).length > 1) found.push('twice: ' + id);
const references = ['aria-controls', 'aria-describedby', 'aria-labelledby', 'aria-activedescendant'];
for (const e of document.querySelectorAll(references.map((a) => '[' + a + ']')))
  for (const a of references)
    if (e.getAttribute(a) && !document.getElementById(e.getAttribute(a))) found.push(a + ' ' + e.getAttribute(a));
for (const e of [...document.querySelectorAll('[role=grid], [role=treegrid]')].filter((g) => g.checkVisibility())) {
  const stops = [e, ...e.querySelectorAll('[role=row]')].filter((r) => r.tabIndex === 0 && r.checkVisibility());
  if (stops.length !== 1) found.push(stops.length + ' tab stops in ' + e.getAttribute('role'));
}
return found;
"""


def show(page: Page) -> list[dict[str, Any]]:
    spans = request(failed=True)
    send(page.port, request(), spans)
    page.viewer.store.flush()
    page.open(f"#/traces?trace={hexadecimal(spans)}")
    page.one(".w-row")
    return spans


def test_keyboard_alone(page: Page) -> None:
    send(page.port, request("GET /first"))
    send(page.port, request("POST /checkout", failed=True))
    page.viewer.store.flush()
    page.open()
    page.wait_rows(2)
    page.keys("j")
    until(lambda: page.focused().startswith("row") and "POST /checkout" in page.focused(), what=page.focused)
    page.keys("j")
    until(lambda: "GET /first" in page.focused(), what=page.focused)
    page.keys("k", Keys.ENTER)
    page.one(".w-row")
    assert page.hash.startswith("#/trace/")
    page.keys("j")
    until(lambda: "span=" in page.hash)
    assert "sqlite.query" in page.focused() and "level 2" in page.focused()
    page.keys(Keys.HOME)
    until(lambda: "flask.request" in page.focused(), what=page.focused)
    page.keys(Keys.ARROW_LEFT)
    until(lambda: len(page.texts(".w-row")) == 1)
    assert page.run("return document.activeElement.getAttribute('aria-expanded')") == "false"
    page.keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    until(lambda: "level 2" in page.focused(), what=page.focused)
    page.keys("E")
    page.wait_text(".error-box", "ValueError")
    page.keys("?")
    page.one("dialog[open]")
    page.keys(Keys.ESCAPE)
    until(lambda: not page.all("dialog[open]"))
    page.keys(Keys.ESCAPE)
    until(lambda: "span=" not in page.hash)
    page.keys(Keys.ESCAPE)
    until(lambda: page.hash.startswith("#/traces"))
    page.keys("/", "status:error", Keys.ENTER)
    page.wait_rows(1)


def test_tab_reaches_everything(page: Page) -> None:
    show(page)
    page.one(".w-row").click()
    page.wait_text(".panel", "Attributes")
    page.run("document.activeElement.blur()")
    reached = set()
    for _ in range(60):
        page.keys(Keys.TAB)
        reached.add(
            page.run(
                "const e = document.activeElement; return e.id || e.getAttribute('role') || "
                "e.getAttribute('aria-label') || e.className"
            )
        )
    assert {"skip", "brand", "live", "theme", "help-button", "row", "tab", "separator"} <= reached


def test_single_letters_can_be_turned_off(page: Page) -> None:
    page.open()
    page.wait_text("h1", "Waiting")
    page.keys("?")
    page.one("#letters").click()
    page.keys(Keys.ESCAPE)
    until(lambda: not page.all("dialog[open]"))
    page.keys("?")
    assert not page.all("dialog[open]")
    page.one("#help-button").click()
    page.one("#letters").click()
    page.keys(Keys.ESCAPE)
    page.keys("?")
    page.one("dialog[open]")


@pytest.mark.parametrize("width", [1280, 390])
def test_names_roles_and_sizes(page: Page, width: int) -> None:
    page.size(width, 844)
    page.open()
    page.wait_text("h1", "Waiting")
    for script in (NAMELESS, SMALL, ROLES):
        assert page.run(script) == []
    spans = show(page)
    for script in (NAMELESS, SMALL, ROLES):
        assert page.run(script) == []
    page.one(".w-row").click()
    page.wait_text(".panel", "Attributes")
    for script in (NAMELESS, SMALL, ROLES):
        assert page.run(script) == []
    page.open("#/traces")
    page.wait_rows(2)
    page.one("#help-button").click()
    for script in (NAMELESS, SMALL, ROLES):
        assert page.run(script) == []
    assert hexadecimal(spans)


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_a_phone(page: Page, dark: bool) -> None:
    page.size(390, 844, dark)
    narrow = lambda: page.run("return [document.documentElement.scrollWidth, document.body.scrollWidth, innerWidth]")  # noqa: E731
    page.open()
    page.wait_text("h1", "Waiting")
    assert max(narrow()) == 390
    spans = show(page)
    assert max(narrow()) == 390
    assert page.run("return document.querySelector('.w-row').offsetHeight") == 44
    page.one(".w-row").click()
    page.wait_text(".panel", "ValueError")
    panel = page.run(
        "const r = document.querySelector('.panel').getBoundingClientRect(); return [r.left, r.top, r.width, r.height]"
    )
    assert panel == [0, 0, 390, 844]
    assert max(narrow()) == 390
    page.one(".panel-head .mini").click()
    until(lambda: not page.texts(".panel"))
    page.go("#/traces")
    page.wait_rows(2)
    page.one("#facet-toggle").click()
    page.one(".facet")
    assert max(narrow()) == 390
    page.keys(Keys.ESCAPE)
    until(lambda: not page.texts(".facet"))
    page.one(".trace-row").click()
    until(lambda: page.hash.startswith("#/trace/"))
    assert spans


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_contrast(page: Page, dark: bool) -> None:
    page.size(1280, 800, dark)
    page.open()
    page.wait_text("h1", "Waiting")
    names = [
        "text",
        "muted",
        "accent",
        "err",
        "warn",
        "ok",
        "on-accent",
        "line-strong",
        "bg",
        "surface",
        "raised",
        "accent-soft",
        "err-soft",
        "warn-soft",
    ]
    names += [f"s{number}" for number in range(8)]
    colours = page.run(
        "const probe = document.createElement('i'); document.body.append(probe); const found = {};"
        "for (const n of arguments[0]) { probe.style.color = 'var(--' + n + ')'; "
        "found[n] = getComputedStyle(probe).color; } return found", names,
    )  # fmt: skip
    assert (luminance(colours["bg"]) < 0.1) == dark
    texts = [(name, back) for name in ("text", "muted", "accent", "err") for back in ("bg", "surface", "accent-soft")]
    texts += [
        ("text", "raised"),
        ("muted", "raised"),
        ("err", "err-soft"),
        ("warn", "warn-soft"),
        ("warn", "surface"),
        ("on-accent", "accent"),
    ]
    for text, back in texts:
        assert contrast(colours[text], colours[back]) >= 4.5, (text, back, contrast(colours[text], colours[back]))
    shapes = [(f"s{number}", back) for number in range(8) for back in ("surface", "bg", "accent-soft")]
    for shape, back in [*shapes, ("line-strong", "surface"), ("ok", "surface"), ("err", "surface")]:
        assert contrast(colours[shape], colours[back]) >= 3, (shape, back, contrast(colours[shape], colours[back]))


def test_theme_is_chosen_and_kept(page: Page) -> None:
    page.open()
    page.wait_text("h1", "Waiting")
    ground = lambda: luminance(page.run("return getComputedStyle(document.body).backgroundColor"))  # noqa: E731
    button = page.one("#theme")
    assert ground() > 0.8
    button.click()
    button.click()
    assert button.get_attribute("aria-label") == "Theme: dark" and ground() < 0.1
    page.open()
    page.wait_text("h1", "Waiting")
    assert ground() < 0.1
    page.one("#theme").click()
    assert ground() > 0.8


def test_forced_colours_and_less_motion(page: Page) -> None:
    page.media(("forced-colors", "active"), ("prefers-reduced-motion", "reduce"))
    show(page)
    assert page.run("return getComputedStyle(document.querySelector('.w-bar')).backgroundColor") not in (
        "rgba(0, 0, 0, 0)",
        "transparent",
    )
    assert page.run("return getComputedStyle(document.querySelector('.trace-row')).animationName") == "none"
