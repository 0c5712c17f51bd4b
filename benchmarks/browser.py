"""From slider to paint in Chromium, galviz against a bare Bokeh app: ``python -m benchmarks.browser CATALOGUE``.

Both pages are open in one browser and measured in turn. The clock starts when a slider gets a value and stops two
animation frames after the last of the three image sources has changed; "all exact" is when the page says so, histograms
and counts included. The bare app swaps images as large as those
that galviz shows.
"""

from __future__ import annotations

import importlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.processes import anonymous
from galviz.catalogue import Catalogue, open_catalogue

HOST = "127.0.0.1"
WINDOW = {"width": 1900, "height": 1200}
CHANGES, WARM_UPS = 15, 3
START = 600.0  # seconds that a server may take until it can draw
QUIET = 400  # ms without a change after which a page has settled
SHOWN = 500  # ms after which a page that comes to the front, as a user's is already, is painted

# Notes every change of an image source with the time of its paint, and when the page first said "exact".
WATCH = """() => {
  const models = Bokeh.documents.flatMap((d) => [...d._all_models.values()])
  const images = models.filter((m) => m.type == "GlyphRenderer" && /^Image/.test(m.glyph.type))
  const gv = (window.gvBench = {events: [], slider: models.find((m) => m.type == "Slider" && m.step == 0.005)})
  gv.sources = [...new Set(images.map((m) => m.data_source))]
  gv.sources.forEach((source, number) => {
    const changed = () => {
      const event = {number, changed: performance.now()}
      gv.events.push(event)
      requestAnimationFrame(() => requestAnimationFrame(() => { event.painted = performance.now() }))
    }
    source.connect(source.properties.data.change, changed)
    source.connect(source.patching, changed)
  })
  return gv.sources.length
}"""
CHANGE = """async ([value, quiet]) => {
  const gv = window.gvBench
  const frame = () => new Promise((done) => requestAnimationFrame(done))
  const deep = (root, found = []) => {
    found.push(...root.querySelectorAll(".gv-quality"))
    root.querySelectorAll("*").forEach((e) => e.shadowRoot && deep(e.shadowRoot, found))
    return found
  }
  // To look through the whole page in every frame would slow down what is measured.
  const label = deep(document)[0], place = label?.getRootNode()
  gv.events.length = 0
  const start = performance.now()
  gv.slider.value = value
  const words = []
  for (;;) {
    await frame()
    const now = performance.now(), text = place?.querySelector(".gv-quality")?.textContent ?? ""
    if (!words.length || words.at(-1).text != text) words.push({text, at: now - start})
    const last = Math.max(0, ...gv.events.map((e) => e.changed))
    const settled = gv.events.length && now - last > quiet && (!label || text == "exact")
    if (settled || now - start > 120000) break
  }
  return {words, events: gv.events.map((e) => ({number: e.number, painted: e.painted - start}))}
}"""
SIZES = """() => window.gvBench.sources.map((s) => (s.data.image?.[0]?.shape ?? []).slice(0, 2).reverse())"""


def measured(catalogue: Catalogue) -> dict[str, Any]:
    """Milliseconds of each change for both pages, and what a second session adds to the server, in bytes.

    Empty where there is no browser.
    """
    chromium = _chromium()
    if chromium is None:
        print("No Chromium was found; the page is not measured.")
        return {}
    path, flags = chromium
    playwright = importlib.import_module("playwright.sync_api")  # of the extra `test`
    serve = ["galviz", "serve", str(catalogue.path)]
    with _server(serve, "/health") as (address, process), playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(flags))
        try:
            return _measured(browser, address, process)
        finally:
            browser.close()


def _chromium() -> tuple[str, Sequence[str]] | None:
    try:
        tests = importlib.import_module("tests.browser.chromium")
    except ImportError:
        return None
    path = tests.find_chromium()
    return (path, tests.FLAGS) if path else None


def _measured(browser: Any, address: str, process: int) -> dict[str, Any]:
    page = _opened(browser, address)
    page.locator(".gv-quality", has_text="exact").wait_for()
    page.evaluate(WATCH)
    for number in range(WARM_UPS):
        seen = _change(page, 0.4 + 0.02 * number)
    views = sorted({event["number"] for event in seen["events"]})
    all_sizes = page.evaluate(SIZES)
    sizes = [f"{width}x{height}" for width, height in (all_sizes[number] for number in views)]
    with _server(["benchmarks.bare", "PORT", *sizes], "/") as (bare_address, _):
        bare = _opened(browser, bare_address)
        bare.wait_for_function("() => window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].roots().length")
        bare.wait_for_timeout(1000)
        bare.evaluate(WATCH)
        for number in range(WARM_UPS):
            _change(bare, 0.4 + 0.02 * number)
        found: dict[str, Any] = {"sizes": sizes, "first": [], "exact": [], "all exact": [], "bare": [], "words": []}
        for number in range(CHANGES):
            value = 0.55 + 0.03 * number
            own = _change(page, value)
            found["first"].append(_all_painted(own["events"], views))
            said = next((word["at"] for word in reversed(own["words"]) if word["text"] == "exact"), 0.0)
            found["exact"].append(max(event["painted"] for event in own["events"]))
            found["all exact"].append(max(said, found["exact"][-1]))
            found["words"].append(own["words"])
            found["bare"].append(_all_painted(_change(bare, value)["events"], range(len(views))))
    found["second_session"] = _second_session(browser, address, process)
    return found


def _opened(browser: Any, address: str) -> Any:
    page = browser.new_context(viewport=WINDOW).new_page()
    page.set_default_timeout(START * 1000)
    page.goto(address)
    return page


def _change(page: Any, value: float) -> dict[str, Any]:
    page.bring_to_front()
    page.wait_for_timeout(SHOWN)
    return dict(page.evaluate(CHANGE, [value, QUIET]))


def _all_painted(events: Sequence[dict[str, Any]], views: Sequence[int]) -> float:
    """When each view had been painted once, ms."""
    return max(min(event["painted"] for event in events if event["number"] == view) for view in views)


def _second_session(browser: Any, address: str, process: int) -> int:
    """Bytes that two further sessions add to the memory of the server, halved."""
    before = anonymous(process)
    for _ in range(2):
        page = _opened(browser, address)
        page.locator(".gv-quality", has_text="exact").wait_for()
        page.wait_for_timeout(1500)
    return (anonymous(process) - before) // 2


@contextmanager
def _server(module: list[str], route: str) -> Iterator[tuple[str, int]]:
    """The address and number of a process that runs a module and serves `route` on a free port."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = str(probe.getsockname()[1])
    name, *rest = module
    arguments = [port if word == "PORT" else word for word in rest]
    arguments += [] if "PORT" in rest else ["--port", port]
    process = subprocess.Popen([sys.executable, "-m", name, *arguments], stdout=subprocess.DEVNULL)
    address = f"http://{HOST}:{port}"
    try:
        _wait_for(address + route, process)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server of {url} stopped")
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except urllib.error.HTTPError as error:
            if error.code != 503:  # which says that it is warming up
                raise
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(0.2)
    raise RuntimeError(f"{url} did not answer within {START:g} s")


def main() -> None:
    """Measure one catalogue."""
    found = measured(open_catalogue(Path(sys.argv[1])))
    print(json.dumps(found))
    for name in ("bare", "first", "exact", "all exact"):
        if found.get(name):
            print(f"{name}: {median(found[name]):.0f} ms, {median(found[name]) / median(found['bare']):.2f}x")


if __name__ == "__main__":
    main()
