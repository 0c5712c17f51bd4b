"""Explore as a user plays it: three linked views, filters, legend, brushes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page

from tests.browser import hand
from tests.browser.hand import VIEWS, after, coloured, count, pink, pixels

pytestmark = pytest.mark.browser


def test_three_views_paint_their_sources(page: Page) -> None:
    for view in VIEWS:
        assert coloured(pixels(page, view)) > 300, view
    assert count(page) == 40_000
    assert "simulated" in page.locator(".gv-badge").first.inner_text().lower()


def test_the_page_fits_a_laptop_without_scrolling(page: Page) -> None:
    size = "({ inner: innerHeight, full: document.documentElement.scrollHeight })"
    assert page.evaluate(size)["full"] <= page.evaluate(size)["inner"]
    for handle in (*VIEWS, "gv-hist-probability", "gv-hist-psf_r", "gv-hist-resolved_r", "gv-legend", "gv-sentence"):
        box = hand.box_of(page.locator(f".{handle}").first)
        assert 0 <= box["y"] < box["y"] + box["height"] <= 900, handle
        assert box["width"] > 60, handle


# The ends of the scale that each colour bar on the page shows.
ENDS = """() => Bokeh.documents.flatMap((document) =>
  [...document._all_models.values()].filter((model) => model.type == "ColorBar" && model.visible).map((model) => {
    const range = Bokeh.index.find_one(model)._frame_view.y_range
    return [range.start, range.end]
  }))"""


def test_the_colour_bars_follow_what_is_shown(page: Page) -> None:
    def choose(number: int, label: str) -> None:
        page.locator(".gv-side select").nth(number).select_option(label=label)

    def all_within(low: float, high: float) -> Callable[[], bool]:
        def holds() -> bool:
            ends = page.evaluate(ENDS)
            return len(ends) == len(VIEWS) and all(low <= start < end <= high for start, end in ends)

        return holds

    choose(0, "Mean of")
    hand.wait_for(all_within(0.2, 1), "a bar of mean probabilities")
    choose(1, "r PSF [mag AB]")
    hand.wait_for(all_within(10, 30), "a bar of mean magnitudes")
    choose(0, "Count")
    hand.wait_for(all_within(1, 1000), "a bar of numbers")
    choose(0, "Class")
    hand.wait_for(lambda: page.evaluate(ENDS) == [], "no bar for classes")


def test_the_probability_filter_changes_all_views_and_the_count(page: Page) -> None:
    before = {view: pixels(page, view) for view in VIEWS}
    fewer = after(page, lambda: hand.slide(page, "probability", 0.8))
    assert 0 < fewer < 40_000
    for view, picture in before.items():
        assert (pixels(page, view) != picture).any(axis=2).sum() > 50, view
    assert f"{fewer:,}" in page.locator(".gv-sentence").inner_text().replace("\u202f", ",").replace("\u2009", ",")


@pytest.mark.parametrize("name", ["psf_r", "resolved_r"])
def test_every_range_filter_changes_the_count(page: Page, name: str) -> None:
    assert 0 < after(page, lambda: hand.slide(page, name, 0.5)) < 40_000


def test_a_box_in_umap_changes_the_other_two_and_leaves_the_rest_grey(page: Page) -> None:
    before = {view: pixels(page, view) for view in VIEWS}
    fewer = after(page, lambda: hand.drag_box(page, "gv-view-umap", (0.3, 0.3), (0.55, 0.6)))
    assert 0 < fewer < 40_000
    for view in ("gv-view-sky", "gv-view-cmd"):
        picture = pixels(page, view)
        assert (picture != before[view]).any(axis=2).sum() > 50, view
        # What is not selected stays visible: not coloured any more, and brighter than the background.
        background = np.median(picture.reshape(-1, 3), axis=0)
        turned = coloured_mask(before[view]) & ~coloured_mask(picture)
        assert turned.sum() > 50, view
        assert (np.abs(picture[turned] - background).max(axis=1) > 4).mean() > 0.5, view


def coloured_mask(picture: np.ndarray) -> np.ndarray:
    return picture.max(axis=2) - picture.min(axis=2) > 60


def test_a_class_that_is_switched_off_vanishes(page: Page) -> None:
    before = [pink(pixels(page, view)) for view in VIEWS]
    quasars = page.locator(".gv-legend .gv-class", has_text="quasars")
    there = int("".join(filter(str.isdigit, quasars.locator(".gv-count").inner_text())))
    fewer = after(page, quasars.click)
    assert count(page) == fewer == 40_000 - there
    for view, number in zip(VIEWS, before, strict=True):
        assert pink(pixels(page, view)) < 0.1 * number, view
    assert after(page, quasars.click) == 40_000


def test_a_chip_and_undo_take_a_clause_back(page: Page) -> None:
    fewer = after(page, lambda: hand.slide(page, "probability", 0.7))
    assert after(page, lambda: page.locator(".gv-chip button").first.click()) == 40_000
    assert after(page, lambda: page.get_by_role("button", name="Undo").click()) == fewer
    assert after(page, lambda: page.get_by_role("button", name="Clear").click()) == 40_000


# Counts how often the whole page is laid out from now on.
COUNT_LAYOUTS = """() => {
  const [root] = Bokeh.index.roots, layOut = root.compute_layout
  window.gvLayouts = 0
  root.compute_layout = function (...options) { window.gvLayouts++; return layOut.apply(this, options) }
}"""


def test_a_filter_that_moves_does_not_lay_out_the_whole_page(page: Page) -> None:
    after(page, lambda: hand.slide(page, "probability", 0.5))  # its chip needs a place, once
    page.evaluate(COUNT_LAYOUTS)
    after(page, lambda: hand.slide(page, "probability", 0.8))
    assert page.evaluate("window.gvLayouts") == 0


def test_two_tabs_do_not_influence_each_other(open_page: Callable[[], Page]) -> None:
    mine, other = open_page(), open_page()
    picture = pixels(other, "gv-view-sky")
    mine.bring_to_front()
    fewer = after(mine, lambda: hand.slide(mine, "probability", 0.8))
    other.bring_to_front()
    other.wait_for_timeout(500)
    assert count(other) == 40_000
    np.testing.assert_array_equal(pixels(other, "gv-view-sky"), picture)
    more = after(other, lambda: hand.slide(other, "psf_r", 0.3))
    assert count(mine) == fewer != more


def test_light_and_dark_are_two_looks_of_the_same_page(page: Page) -> None:
    dark = pixels(page, "gv-view-umap").mean()
    page.locator(".gv-theme button").click()
    hand.wait_for(lambda: pixels(page, "gv-view-umap").mean() > dark + 60, "a light page")
    hand.wait_for_exact(page)
    assert coloured(pixels(page, "gv-view-umap")) > 300
