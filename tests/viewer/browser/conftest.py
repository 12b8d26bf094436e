"""A headless Chromium, a viewer that keeps traces in memory, and words to drive the page with."""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Iterator

import pytest

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

from gossamer.viewer.app import Viewer  # noqa: E402

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync --window-size=1280,940"
)


class Page:
    """The viewer's page in a browser."""

    def __init__(self, driver: Any, viewer: Viewer) -> None:
        self.driver = driver
        self.viewer = viewer
        self.port = viewer.port
        self.root = f"http://127.0.0.1:{viewer.port}/"

    def open(self, hash: str = "") -> None:
        # Another document first: otherwise a new hash would be mere navigation inside the old page.
        self.driver.get("about:blank")
        self.driver.get(self.root + hash)

    def go(self, hash: str) -> None:
        self.driver.execute_script("location.hash = arguments[0]", hash)

    def size(self, width: int, height: int, dark: bool = False) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.media(("prefers-color-scheme", "dark" if dark else "light"))

    def media(self, *features: tuple[str, str]) -> None:
        named = [{"name": name, "value": value} for name, value in features]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": named})

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def one(self, selector: str, seconds: float = 5) -> Any:
        """The first visible element, waited for."""
        return until(lambda: next((found for found in self.all(selector) if shown(found)), None), seconds, selector)

    def texts(self, selector: str) -> list[str]:
        return self.run(
            "return [...document.querySelectorAll(arguments[0])].filter((e) => e.checkVisibility())"
            ".map((e) => e.textContent)",
            selector,
        )

    def text(self, selector: str) -> str:
        return " ".join(self.texts(selector))

    def wait_text(self, selector: str, text: str, seconds: float = 5) -> None:
        until(
            lambda: text in self.text(selector),
            seconds,
            lambda: f"{text!r} in {selector}: {self.text(selector)[:300]!r}",
        )

    def wait_rows(self, count: int, seconds: float = 5) -> None:
        until(
            lambda: len(self.texts(".trace-row")) == count,
            seconds,
            lambda: f"{count} rows, not {len(self.texts('.trace-row'))}",
        )

    def keys(self, *keys: str) -> None:
        """Types into whatever has the focus."""
        chain = webdriver.ActionChains(self.driver)
        for key in keys:
            chain.send_keys(key)
        chain.perform()

    def search(self, query: str) -> None:
        box = self.one("#search input")
        box.click()
        box.send_keys(Keys.CONTROL, "a")
        box.send_keys(query, Keys.ENTER)

    @property
    def hash(self) -> str:
        return self.run("return location.hash")

    def focused(self) -> str:
        """Role and name of what holds the focus."""
        return self.run(
            "const e = document.activeElement; return (e.getAttribute('role') || "
            "e.localName) + ' ' + (e.getAttribute('aria-label') || e.textContent)"
        )

    def complaints(self) -> list[str]:
        """What the browser's console reports, but for refused requests, which some tests want."""
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] == "SEVERE" and entry["source"] != "network"
        ]


def shown(element: Any) -> bool:
    try:
        return element.is_displayed()
    except Exception:  # it was replaced since it was found
        return False


def until(test: Callable[[], Any], seconds: float = 20, what: Any = "it") -> Any:
    """Wait for something true."""
    end = time.monotonic() + seconds
    while True:
        found = test()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what() if callable(what) else what}")
        time.sleep(0.03)


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if not (os.path.exists(CHROMIUM) and os.path.exists(DRIVER)):
        pytest.skip("Debian's chromium and chromium-driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def viewer() -> Iterator[Viewer]:
    viewer = Viewer(port=0).start()
    yield viewer
    viewer.stop()


@pytest.fixture
def page(driver: Any, viewer: Viewer) -> Iterator[Page]:
    page = Page(driver, viewer)
    page.size(1280, 800)
    driver.get_log("browser")
    yield page
    complaints = page.complaints()
    driver.get("about:blank")
    assert not complaints
