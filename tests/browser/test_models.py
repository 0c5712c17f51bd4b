"""Models: training runs beside the page, ends, and shows how good the model is."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser import hand

pytestmark = pytest.mark.browser


def test_training_finishes_and_the_f1_curves_appear(page: Page) -> None:
    page.locator(".gv-tab-models button").click()
    train = page.locator(".gv-train button")
    hand.wait_for(train.is_enabled, "the test of the stored model")
    page.get_by_label("Trees or rounds").fill("20")
    page.get_by_label("Trees or rounds").press("Enter")
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Seed").press("Enter")
    runs = page.locator("table.gv-runs tbody tr")
    before = runs.count()
    train.click()
    hand.wait_for(lambda: runs.count() == before + 1, "a trained model")
    for column in ("psf_r", "resolved_r"):
        curve = page.locator(f".gv-curve-{column}")
        curve.scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        assert hand.coloured(hand.pixels(page, f"gv-curve-{column}")) > 200, column
    for name in ("galaxies", "quasars", "stars"):
        assert name in page.locator(".gv-score-table table").inner_text()
    page.locator(".gv-tab-explore button").click()
    assert hand.count(page) == 40_000
