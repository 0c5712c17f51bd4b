"""Candidates: the table, the threshold and the file say the same as the sentence."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser import hand

pytestmark = pytest.mark.browser


def listed(page: Page) -> int:
    """The number of sources that the Candidates tab says are selected."""
    return int(page.locator(".gv-candidate-count").get_attribute("data-count") or "")


def test_the_csv_has_exactly_the_rows_that_the_sentence_counts(page: Page, tmp_path: Path) -> None:
    fewer = hand.after(page, lambda: hand.slide(page, "probability", 0.9))
    page.locator(".gv-tab-candidates button").click()
    page.wait_for_selector(f".gv-candidate-count[data-count='{fewer}']")
    with page.expect_download() as download:
        page.locator(".gv-export").click()
    file = tmp_path / "candidates.csv"
    download.value.save_as(file)
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert len(rows) == fewer
    assert len({row["objid"] for row in rows}) == fewer
    assert min(float(row["p_best"]) for row in rows) > 0.5


def test_the_threshold_of_quasars_selects_what_the_table_lists(page: Page) -> None:
    page.locator(".gv-tab-candidates button").click()
    page.wait_for_selector(".gv-candidate-count[data-count='40000']")
    page.wait_for_selector(".gv-candidates-table .tabulator-row")
    handle = hand.box_of(page.locator(".gv-candidate-threshold .noUi-handle").first)
    page.mouse.click(handle["x"] + handle["width"] / 2 + 120, handle["y"] + handle["height"] / 2)
    hand.wait_for(lambda: listed(page) < 40_000, "a threshold")
    chosen = listed(page)
    assert chosen > 0
    page.locator(".gv-tab-explore button").click()
    hand.wait_for(lambda: hand.count(page) == chosen, "the same count in Explore")
