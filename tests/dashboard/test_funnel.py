from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.funnel import funnel_html
from dashboard.guide import guide_html
from galviz.catalogue import Catalogue
from galviz.ingest import ingest
from tests.foreign import sources, write

EVIL = "<img src=x onerror=alert(1)>"


def widths(text: str) -> list[float]:
    """The widths of the bars in per cent, rim and bar in turn."""
    return [float(width) for width in re.findall(r"width:([\d.]+)%", text)]


def cells(text: str) -> list[str]:
    return [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r'<td class="n">(.*?)</td>', text)]


@pytest.fixture
def ingested(tmp_path: Path) -> Catalogue:
    frame = sources(40, labelled=True)
    frame.loc[:9, "zwarning"] = 4
    frame.loc[8:11, "w3"] = 9999.0
    frame.loc[30, "class"] = EVIL
    return ingest(write(frame, tmp_path / "rows.csv"), tmp_path / "out", "sdss-wise")


def test_the_funnel_says_what_fell_where_and_why() -> None:
    text = funnel_html({
        "rows_read": 40_000, "rows_kept": 28_000, "steps": [
            {"kept where": "ra..dec known", "reason": "a source needs a position", "dropped": 0, "left": 40_000},
            {"kept where": "zwarning in {0, 16}", "reason": "no good redshift", "dropped": 10_000, "left": 30_000},
            {"kept where": "w1..w4 < 50", "reason": "no WISE magnitude", "dropped": 2_000, "left": 28_000},
        ],
    })  # fmt: skip
    assert cells(text) == ["", "40,000", "0", "40,000", "−10,000", "30,000", "−2,000", "28,000", "", "28,000"]
    assert "no good redshift" in text
    assert "kept where zwarning in {0, 16}" in text
    assert widths(text) == [100, 100, 100, 100, 100, 75, 75, 70, 70, 70]
    assert "70 % of the rows read" in text


def test_an_ingest_is_drawn_with_all_its_steps(ingested: Catalogue) -> None:
    made = ingested.manifest.groups[0].provenance
    text = funnel_html(made)
    assert cells(text)[-1] == "28"
    assert text.count("<tr><th scope") == len(made["steps"]) + 2
    assert all(str(step["reason"]) in text for step in made["steps"])
    assert "became empty, in all rows read: w3 4." in text


def test_the_funnel_stands_in_the_guide_and_its_numbers_only_there(ingested: Catalogue) -> None:
    text = guide_html(ingested)
    assert "From the files to this catalogue" in text
    assert "labelled catalogue" not in text
    assert text.count("the redshift is not to be trusted") == 1
    both = guide_html(ingested, Catalogue(ingested.path, ingested.manifest, "another"))
    assert "From the files to the labelled catalogue" in both
    assert "<img" not in text


def test_a_catalogue_that_counted_no_rows_has_no_funnel(catalogue: Catalogue) -> None:
    assert funnel_html(catalogue.manifest.groups[0].provenance) == ""
    assert "gv-funnel" not in guide_html(catalogue)


def test_everything_from_a_provenance_is_escaped() -> None:
    text = funnel_html({
        "rows_read": 3, "rows_kept": 2, "unknown_classes": {EVIL: 1, "": 1},
        "steps": [{"kept where": EVIL, "reason": EVIL, "dropped": 1, "left": 2, "more": EVIL}],
        "columns": [{"name": EVIL, "sentinels to null": 1}],
    })  # fmt: skip
    assert "<img" not in text
    assert "(empty) 1" in text


def test_a_step_without_a_condition_is_drawn() -> None:
    text = funnel_html({"rows_read": 4, "rows_kept": 3, "steps": [{"reason": "the same objid", "dropped": 1}]})
    assert "kept where" not in text
    assert cells(text) == ["", "4", "−1", "3", "", "3"]


@given(read=st.integers(0, 10**9), data=st.data())
def test_bars_shrink_from_all_to_what_is_kept(read: int, data: st.DataObject) -> None:
    left, steps = read, []
    for dropped in data.draw(st.lists(st.integers(0, 10**9), max_size=6)):
        steps.append({"kept where": "a", "reason": "b", "dropped": min(dropped, left)})
        left -= steps[-1]["dropped"]
    found = widths(funnel_html({"rows_read": read, "rows_kept": left, "steps": steps}))
    assert found == sorted(found, reverse=True)
    assert all(0 <= width <= 100 for width in found)
    if read:
        assert (found[0], found[-1]) == (100, pytest.approx(100 * left / read, abs=1e-4))
