"""Make the pictures of README: `python -m scripts.screenshots` with the demo in `data` (see `make dashboard`).

Starts the server on a free port, opens the page in Chromium as a user would, and writes PNGs to docs/images.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser.chromium import FLAGS, find_chromium

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
LAPTOP = {"width": 1440, "height": 900}


@contextmanager
def served(catalogue: Path, labelled: Path) -> Iterator[str]:
    """The address of a server that shows the catalogues, ready to draw."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "galviz",
        "serve",
        str(catalogue),
        "--labelled",
        str(labelled),
        "--port",
        str(port),
    ]
    process = subprocess.Popen(command)
    try:
        address = f"http://127.0.0.1:{port}"
        while not _healthy(address):
            if process.poll() is not None:
                raise SystemExit("The server stopped; run `make dashboard` first, so that there is a demo to show.")
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def settle(page: Page) -> None:
    """Wait until the page shows the exact picture."""
    page.wait_for_timeout(700)
    page.wait_for_function(
        "() => { const all = (root) => [...root.querySelectorAll('*')].flatMap((node) => "
        "[node, ...(node.shadowRoot ? all(node.shadowRoot) : [])]);"
        "return all(document).some((node) => node.classList.contains('gv-quality') && node.textContent === 'exact'); }"
    )
    page.wait_for_timeout(500)


def drag(page: Page, handle: str, *corners: tuple[float, float]) -> None:
    """Drag the mouse over a view through corners given as fractions of its width and height."""
    box = page.locator(handle).bounding_box()
    if box is None:
        raise SystemExit(f"The page has no {handle}.")
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()
    settle(page)


def explore(page: Page) -> None:
    """The three views as they open."""
    settle(page)


def brushed(page: Page) -> None:
    """A box in the embedding and a probability filter, in the other two views."""
    drag(page, ".gv-view-umap", (0.2, 0.2), (0.55, 0.6))


def models(page: Page) -> None:
    """How good the model of the demo is."""
    page.locator(".gv-tab-models").click()
    page.locator(".gv-curve-psf_r").wait_for(timeout=180_000)
    page.wait_for_timeout(3_000)


def candidates(page: Page) -> None:
    """Quasar candidates above a threshold."""
    page.locator(".gv-filter-probability select").select_option(label="of being a quasar")
    threshold = page.locator(".gv-filter-probability input").first
    threshold.fill("0.9")
    threshold.press("Enter")
    settle(page)
    page.locator(".gv-tab-candidates").click()
    page.locator(".gv-export").wait_for()
    page.wait_for_timeout(4_000)


PICTURES: tuple[tuple[str, str, Callable[[Page], None]], ...] = (
    ("explore", "dark", explore),
    ("explore-light", "light", brushed),
    ("models", "dark", models),
    ("candidates", "dark", candidates),
)


def main() -> None:
    """Write every picture."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with served(ROOT / "data" / "demo", ROOT / "data" / "demo-labelled") as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        for name, theme, act in PICTURES:
            page = browser.new_page(viewport=LAPTOP)
            page.goto(f"{address}/?theme={theme}")
            page.locator(".gv-sentence[data-count]").wait_for()
            settle(page)
            act(page)
            page.screenshot(path=IMAGES / f"{name}.png")
            page.close()
            print(IMAGES.relative_to(ROOT) / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
