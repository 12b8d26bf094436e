"""Time the viewer's page in headless Chromium: opening large traces, and scripting while scrolling.

    python benchmarks/viewer_page.py [10000 100000]

Budgets: 10,000 spans open in 500 ms; 100,000 in 1.5 s, the first 20,000 of them in 500 ms; p95 of scripting
while scrolling under 8 ms. Exit code 1 when one is not held.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
import urllib.request
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from gossamer.viewer.app import Viewer
from tests.viewer.browser.conftest import CHROMIUM, DRIVER, FLAGS
from tests.viewer.browser.traffic import hexadecimal, large, send

# From a click in the list to rows on screen: the time is taken inside the page, two frames after the rows are there.
OPEN = """
const done = arguments[1]; const begin = performance.now(); let first = 0;
location.hash = '#/trace/' + arguments[0];
const look = () => {
  const facts = document.querySelector('.t-facts');
  const shown = facts && document.querySelector('.w-row:not([hidden])') && !document.querySelector('#trace').hidden;
  if (shown && !first) first = performance.now() - begin;
  if (shown && !facts.textContent.includes('so far')) done([first, performance.now() - begin]);
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
# The page's own work per frame: the time from the first to the last callback of a frame while the grid scrolls.
SCROLL = """
const done = arguments[0]; const scroll = document.querySelector('.w-scroll'); const frames = [];
  const script = []; let last = 0; let count = 0;
const original = window.requestAnimationFrame;
let spent = 0;
window.requestAnimationFrame = (call) => original((at) => { const begin = performance.now(); call(at);
  spent += performance.now() - begin; });
const step = (at) => {
  if (last) { frames.push(at - last); script.push(spent); }
  last = at; spent = 0; count += 1;
  scroll.scrollTop = count % 40 === 0 ? Math.random() * scroll.scrollHeight : scroll.scrollTop + 180;
  if (count < 300) original(step); else { window.requestAnimationFrame = original; done([frames, script]); }
};
original(step);
"""


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def measure(driver: Any, viewer: Viewer, size: int) -> bool:
    """Print what one trace costs; whether the budgets held."""
    spans = large(size)
    name = hexadecimal(spans)
    for start in range(0, size, 20_000):
        send(viewer.port, spans[start : start + 20_000])
    viewer.store.flush()
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        with urllib.request.urlopen(f"http://127.0.0.1:{viewer.port}/api/traces/{name}") as answer:
            data = answer.read()
        times.append((time.perf_counter() - begin) * 1000)
    print(
        f"{size:>7,} spans: first piece of the skeleton {min(times):.0f} ms, {len(data) / 1000:.0f} kB, "
        f"{len(json.loads(data)['op']):,} spans"
    )
    opens = []
    for _ in range(5):
        driver.get("about:blank")
        driver.get(f"http://127.0.0.1:{viewer.port}/")
        time.sleep(1)
        opens.append(driver.execute_async_script(OPEN, name))
    first, whole = (statistics.median(each) for each in zip(*opens))
    frames, script = driver.execute_async_script(SCROLL)
    print(f"{'':>15} open: first rows {first:.0f} ms, whole {whole:.0f} ms (median of 5)")
    print(
        f"{'':>15} scroll: frame p50 {percentile(frames, 0.5):.1f} p95 {percentile(frames, 0.95):.1f} ms, "
        f"script p95 {percentile(script, 0.95):.1f} ms"
    )
    print(
        f"{'':>15} rows in the document: {driver.execute_script('return document.querySelectorAll(`.w-row`).length')}",
        flush=True,
    )
    return first <= 500 and whole <= (500 if size <= 10_000 else 1500) and percentile(script, 0.95) <= 8


def main() -> int:
    sizes = [int(size) for size in sys.argv[1:] if size.isdigit()] or [10_000, 100_000]
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    with tempfile.TemporaryDirectory() as folder:
        for flag in [*FLAGS.split(), f"--user-data-dir={folder}"]:
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        driver.set_script_timeout(120)
        try:
            with Viewer(port=0) as viewer:
                held = [measure(driver, viewer, size) for size in sizes]
        finally:
            driver.quit()
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
