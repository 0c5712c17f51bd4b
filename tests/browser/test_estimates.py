"""First the estimate, then the exact picture: what a user of a large catalogue sees."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser import hand
from tests.browser.conftest import serving, settle
from tests.browser.hand import VIEWS, box_of, count, pixels

pytestmark = pytest.mark.browser

# Notes each word of quality and each sentence that the page shows, wherever in the shadows they are.
WATCH = """() => {
  const words = window.gvWords = [], find = (root, name) => {
    const found = root.querySelector(name)
    if (found) return found
    for (const child of root.querySelectorAll("*")) {
      const deeper = child.shadowRoot && find(child.shadowRoot, name)
      if (deeper) return deeper
    }
  }
  const look = () => {
    const seen = [".gv-quality", ".gv-sentence b"].map((name) => find(document, name)?.textContent ?? "").join("|")
    if (words.at(-1) != seen) words.push(seen)
    requestAnimationFrame(look)
  }
  look()
}"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """While there is a file of this name, the server draws no exact picture."""
    return tmp_path_factory.mktemp("gate") / "shut"


@pytest.fixture(scope="module")
def slow_server(demo: Path, gate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that estimates, with its own copy of the demo."""
    catalogue = tmp_path_factory.mktemp("large") / "demo"
    shutil.copytree(demo / "demo", catalogue)
    command = [sys.executable, "-m", "tests.browser.slow", str(catalogue)]
    yield from serving(lambda port: [*command, str(port), str(gate)])


@pytest.fixture
def page(context: BrowserContext, slow_server: str) -> Page:
    page = context.new_page()
    page.goto(slow_server)
    settle(page)
    page.evaluate(WATCH)
    return page


def words(page: Page) -> list[tuple[str, str]]:
    """Each quality and count that the page has shown, in turn."""
    return [tuple(seen.split("|")) for seen in page.evaluate("window.gvWords")]


def resting(page: Page) -> bool:
    """Whether the sentence stays as it is for a while."""
    before = page.locator(".gv-sentence").inner_text()
    page.wait_for_timeout(600)
    return page.locator(".gv-sentence").inner_text() == before


def test_an_estimate_is_shown_first_and_says_so(page: Page, gate: Path) -> None:
    gate.touch()
    hand.slide(page, "psf_r", 0.6)
    page.locator(".gv-quality", has_text=re.compile("^estimate$")).wait_for()
    page.locator(".gv-sentence b", has_text="about ").wait_for()
    hand.wait_for(lambda: resting(page), "the estimate of where the hand has let go")
    assert page.locator(".gv-busy.on").count() == 1, "the wait is visible"
    estimated, first = count(page), {view: pixels(page, view) for view in VIEWS}
    assert re.fullmatch(r"about [\d,]+", page.locator(".gv-sentence b").inner_text())
    gate.unlink()
    hand.wait_for_exact(page)
    exact = count(page)
    assert page.locator(".gv-sentence b").inner_text() == f"{exact:,}"
    assert page.locator(".gv-busy.on").count() == 0
    assert estimated == pytest.approx(exact, rel=0.1)
    assert estimated != exact
    for view, picture in first.items():
        assert (pixels(page, view) != picture).any(axis=2).sum() > 50, f"the exact picture of {view} is another one"


def test_a_slider_that_is_dragged_is_followed_and_ends_where_the_hand_rests(page: Page, gate: Path) -> None:
    panel = page.locator(".gv-filter-psf_r")
    handle, track = box_of(panel.locator(".noUi-handle").first), box_of(panel.locator(".noUi-base"))
    y = handle["y"] + handle["height"] / 2
    page.mouse.move(handle["x"] + handle["width"] / 2, y)
    page.mouse.down()
    gate.touch()
    for step in range(40):
        page.mouse.move(track["x"] + track["width"] * (0.1 + 0.015 * step), y)
        page.wait_for_timeout(25)
    dragged = words(page)
    assert len({sentence for quality, sentence in dragged if quality == "estimate"}) > 5, f"it follows: {dragged}"
    assert "exact" not in [quality for quality, _ in dragged[1:]]
    page.mouse.up()
    gate.unlink()
    hand.wait_for_exact(page)
    last = page.locator(".gv-filter-psf_r input").first.input_value()
    assert f"≥ {last}" in page.locator(".gv-sentence").inner_text()
    assert words(page)[-1] == ("exact", f"{count(page):,}")


def test_undo_needs_no_estimate(page: Page) -> None:
    fewer = hand.after(page, lambda: hand.slide(page, "psf_r", 0.4))
    hand.after(page, lambda: hand.slide(page, "probability", 0.6))
    before = len(words(page))
    assert hand.after(page, lambda: page.get_by_role("button", name="Undo").click()) == fewer
    assert "estimate" not in [quality for quality, _ in words(page)[before:]]
    assert hand.after(page, lambda: page.get_by_role("button", name="Undo").click()) == 40_000


def test_zooming_keeps_the_old_picture_until_a_finer_one_comes(page: Page, gate: Path) -> None:
    box = box_of(page.locator(".gv-view-umap canvas").first)
    old = pixels(page, "gv-view-umap")
    gate.touch()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    for _ in range(6):
        page.mouse.wheel(0, -240)
        page.wait_for_timeout(40)
    painted = pixels(page, "gv-view-umap")
    assert (painted != old).any(axis=2).sum() > 50
    assert hand.coloured(painted) > 300, "it does not go blank"
    page.locator(".gv-quality", has_text=re.compile("^estimate$")).wait_for()
    gate.unlink()
    hand.wait_for_exact(page)
    assert (pixels(page, "gv-view-umap") != painted).any(axis=2).sum() > 50
    assert count(page) == 40_000
