"""A quick estimate says how far off it may be, is not off on the whole, and hides no class."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import law
from galviz import estimate, exact
from galviz.catalogue import Catalogue
from galviz.draw import Request, Viewport, class_counts, count, draw, draw_many, histogram
from galviz.errors import SelectionError
from galviz.index import build_index, layout, open_index
from galviz.selection import Box, OneOf, Polygon, Range, Selection
from tests.fresh import forget, forget_pictures

Floats = NDArray[np.float64]
ROWS = 120_000
FULL = Viewport("u", "v", (-9, 9), (-6, 6), 96, 80)
ZOOM = Viewport("u", "v", (-1, 1.5), (-1, 1), 64, 48)
SKY = Viewport("ra", "dec", (0, 360), (-90, 90), 80, 64)
VIEWS = (FULL, ZOOM, SKY)
STATISTICS = {"count": None, "by": "class_pred", "mean": "r", "std": "r", "min": "r", "max": "r"}


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """A twelfth of the rows of a crowded cell are in its sample."""
    arrays = law.survey(ROWS, 11)
    arrays["class_pred"][np.random.default_rng(3).random(ROWS) < 0.0125] = 2  # 1,500 rare ones
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "EXACT_ROWS", 1000)
        patch.setattr(layout, "SAMPLE_ROWS", ROWS // 12)
        patch.setattr(layout, "CELL_ROWS", 16)
        for module in (layout, estimate):
            patch.setattr(module, "CELLS", 16)
        catalogue = law.write(tmp_path_factory.mktemp("sampled") / "cat", arrays)
        index = build_index(catalogue)
        assert all(p.sample is not None and p.sample.weight.size < ROWS // 4 for p in index.planes)
        yield catalogue


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exact picture that is at hand, or as quick, would answer."""
    monkeypatch.setattr(exact, "QUICK_ROWS", 0)
    forget()


def test_few_rows_are_drawn_exactly_at_once(sampled: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not draw(sampled, ZOOM, exact=False).attrs["exact"]
    index = open_index(sampled)
    first, last = exact.shown_strips(index.planes[0], ZOOM)
    shown = int(index.planes[0].bounds[last - 1, -1] - index.planes[0].bounds[first, 0])
    assert 0 < shown < ROWS
    monkeypatch.setattr(exact, "QUICK_ROWS", shown)
    assert not draw(sampled, FULL, "r < 17", exact=False).attrs["exact"]
    assert not draw(sampled, ZOOM, "box(ra, dec, 0, 90, 0, 90)", exact=False).attrs["exact"]  # found in another plane
    assert draw(sampled, ZOOM, "r < 17", exact=False).attrs["exact"]
    monkeypatch.setattr(exact, "QUICK_ROWS", shown - 1)
    assert not draw(sampled, ZOOM, "r < 16", exact=False).attrs["exact"]


def selections(number: int, seed: int = 0) -> list[Selection]:
    """Random selections that leave a good part of the rows."""
    rng = np.random.default_rng(seed)
    several = [Selection()]
    for k in range(number - 1):
        low, turn = rng.uniform(14, 18), rng.uniform(0, 360)
        clause = (
            Range("r", float(low), float(low + 5)),
            Range("p_best", float(rng.uniform(0, 0.5)), include_low=False),
            Box("u", "v", -3, float(rng.uniform(0, 4)), -3, float(rng.uniform(0, 3))),
            Polygon("ra", "dec", ((turn - 90, -60), (turn + 90, -50), (turn, 80))),
            OneOf("class_pred", ("GALAXY", "NOVA")),
        )[k % 5]
        several.append(Selection().choose("a", clause).choose("b", Range("g_r", float(rng.uniform(-6, -2)))))
    return several


def both(catalogue: Catalogue, request: Request) -> tuple[Floats, Floats, Floats]:
    """The estimate, its error and the exact picture."""
    (quick,) = draw_many(catalogue, [request], exact=False)
    assert quick.attrs["exact"] is False
    (truth,) = draw_many(catalogue, [request])
    forget_pictures()
    return quick.to_numpy().astype(float), quick.attrs["standard_error"].astype(float), truth.to_numpy().astype(float)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_an_estimate_looks_like_the_exact_picture_and_carries_its_error(sampled: Catalogue, statistic: str) -> None:
    column = STATISTICS[statistic]
    options = {} if column is None else {statistic: column}
    quick = draw(sampled, FULL, "r > 15", exact=False, **options)
    exact = draw(sampled, FULL, "r > 15", **options)
    assert exact.attrs["exact"] is True
    assert "standard_error" not in exact.attrs
    assert quick.attrs["exact"] is False
    assert quick.attrs["standard_error"].shape == quick.shape == exact.shape
    assert quick.dims == exact.dims
    for name in quick.coords:
        np.testing.assert_array_equal(quick.coords[name], exact.coords[name])
    assert quick.attrs["x_range"] == exact.attrs["x_range"]
    error = quick.attrs["standard_error"]
    assert (error[~np.isnan(error)] >= 0).all()
    if statistic in ("count", "by"):
        assert quick.dtype == np.float32
        assert not np.isnan(error).any()


def test_totals_are_not_off_on_the_whole(sampled: Catalogue) -> None:
    """Over many selections and views, in units of the standard error: about normal."""
    off = []
    for chosen in selections(20, seed=1):
        for view in VIEWS:
            quick, error, truth = both(sampled, Request(view, chosen))
            if truth.sum() > 500:
                off.append((quick.sum() - truth.sum()) / np.sqrt((error**2).sum()))
                assert abs(quick.sum() / truth.sum() - 1) < 0.2
    assert len(off) > 30
    assert abs(np.mean(off)) < 1.0  # views share a sample, so they are not independent
    assert np.abs(off).max() < 5
    assert 0.3 < np.std(off) < 2


@pytest.mark.parametrize("by", [None, "class_pred"])
def test_blocks_of_pixels_lie_within_three_standard_errors(sampled: Catalogue, by: str | None) -> None:
    within, blocks = 0, 0
    for chosen in selections(10, seed=2):
        for view in VIEWS:
            quick, error, truth = both(sampled, Request(view, chosen, by=by))
            shape = (view.height // 16, 16, view.width // 16, 16, -1)
            off, squared = ((array.reshape(shape).sum(axis=(1, 3))) for array in (quick - truth, error**2))
            within += int((np.abs(off) <= 3 * np.sqrt(squared) + 1e-9).sum())
            blocks += off.size
    assert blocks > 500
    assert within >= 0.99 * blocks


def test_no_class_of_a_thousand_sources_is_hidden(sampled: Catalogue) -> None:
    seen = 0
    for chosen in selections(25, seed=3):
        for view in VIEWS:
            quick, _, truth = both(sampled, Request(view, chosen, by="class_pred"))
            many = truth.sum(axis=(0, 1)) >= 1000
            assert (quick.sum(axis=(0, 1))[many] > 0).all()
            seen += int(many[2])
    assert seen > 5  # the rare class was among them


def test_where_a_cell_holds_few_sources_all_are_shown(sampled: Catalogue) -> None:
    far = Viewport("u", "v", (6.5, 9), (4.5, 7), 40, 40)
    quick, error, truth = both(sampled, Request(far, Selection.parse("r > 0"), by="class_pred"))
    assert 0 < truth.sum() < 50
    np.testing.assert_array_equal(quick, truth)
    assert not error.any()


def test_where_the_sample_shows_nothing_there_may_be_something(sampled: Catalogue) -> None:
    """A pixel without sampled sources in a crowded cell has an error above zero."""
    quick, error, truth = both(sampled, Request(ZOOM))
    assert (error[(quick == 0) & (truth > 0)] > 0).all()
    assert ((quick == 0) & (truth > 0)).any()


def test_means_spreads_and_extremes_are_near(sampled: Catalogue) -> None:
    view = Viewport("u", "v", (-5, 5), (-3, 3), 12, 10)
    for name in ("r", "p_star"):
        mean, error, truth = both(sampled, Request(view, Selection.parse("g_r > -3"), mean=name))
        known = ~np.isnan(mean) & ~np.isnan(truth)
        assert known.mean() > 0.95
        off = np.abs(mean - truth)[known]
        assert (off <= 3 * error[known] + 1e-6).mean() > 0.97
        spread, _, wide = both(sampled, Request(view, Selection.parse("g_r > -3"), std=name))
        assert np.nanmedian(np.abs(spread / wide - 1)) < 0.1
        least, _, low = both(sampled, Request(view, min=name))
        most, _, high = both(sampled, Request(view, max=name))
        assert (least[known] >= low[known]).all()
        assert (most[known] <= high[known]).all()
        assert (np.nan_to_num(least) <= np.nan_to_num(most)).all()


def test_numbers_and_histograms_are_near(sampled: Catalogue) -> None:
    for text in ("r > 16", "p_best > 0.4 and ra > 100", "polygon(u, v, -4, -3, 4, 2, -4, 2, 4, -3, 0, 4)"):
        assert count(sampled, text, exact=False) == pytest.approx(count(sampled, text), rel=0.05)
        quick, truth = class_counts(sampled, text, exact=False), class_counts(sampled, text)
        assert list(quick) == list(truth)
        for name, number in truth.items():
            assert quick[name] == pytest.approx(number, rel=0.3, abs=5 * np.sqrt(12 * number))
        edges = np.linspace(14, 23, 10)
        for by in ("class_pred", None):
            bins = histogram(sampled, "r", edges, text, by=by, exact=False)
            exact = histogram(sampled, "r", edges, text, by=by)
            assert bins.dtype == exact.dtype
            assert bins.shape == exact.shape
            assert (np.abs(bins - exact) <= 5 * np.sqrt(12 * exact) + 12).all()
    assert count(sampled, exact=False) == ROWS
    assert sum(class_counts(sampled, "class_pred in []", exact=False).values()) == 0


def test_weights_stand_for_all_rows(sampled: Catalogue) -> None:
    for plane in open_index(sampled).planes:
        assert plane.sample is not None
        assert (plane.sample.weight >= 1).all()
        assert plane.sample.weight.sum(dtype=float) == pytest.approx(ROWS, rel=1e-5)
        assert (plane.sample.floor >= 0).all()


@pytest.mark.parametrize(
    ("view", "text", "options"),
    [
        (FULL, "note > 0", {}),
        (FULL, "r > 15", {"mean": "note"}),
        (Viewport("v", "note", (-5, 5), (-5, 5), 9, 8), "", {}),
    ],
)
def test_what_the_sample_does_not_hold_is_drawn_exactly(
    sampled: Catalogue, view: Viewport, text: str, options: dict[str, str]
) -> None:
    quick = draw(sampled, view, text, exact=False, **options)
    assert quick.attrs["exact"] is True
    assert "standard_error" not in quick.attrs
    np.testing.assert_array_equal(quick, draw(sampled, view, text, **options))
    assert count(sampled, "note > 0", exact=False) == count(sampled, "note > 0")


def test_a_plane_without_a_sample_of_its_own_is_estimated_from_another(sampled: Catalogue) -> None:
    view = Viewport("r", "u", (13, 21), (-6, 6), 64, 48)
    quick, whole = draw(sampled, view, "p_best > 0.5", exact=False), draw(sampled, view, "p_best > 0.5")
    assert (quick.attrs["exact"], whole.attrs["exact"]) == (False, True)
    assert quick.shape == quick.attrs["standard_error"].shape == whole.shape
    assert float(quick.sum()) == pytest.approx(float(whole.sum()), rel=0.03)
    error = np.sqrt((quick.attrs["standard_error"].astype(float) ** 2).reshape(4, 12, 4, 16).sum(axis=(1, 3)))
    away = (quick.values - whole.values.astype(float)).reshape(4, 12, 4, 16).sum(axis=(1, 3))
    assert (np.abs(away) <= 3 * error).mean() >= 0.93  # of 16 blocks
    assert (error > 0).all()


def test_a_small_catalogue_is_drawn_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "EXACT_ROWS", 2000)
    catalogue = law.write(tmp_path / "cat", law.survey(2000, 12))
    assert all(plane.sample is None for plane in build_index(catalogue).planes)
    assert draw(catalogue, FULL, "r > 16", exact=False).attrs["exact"] is True
    assert count(catalogue, "r > 16", exact=False) == count(catalogue, "r > 16")


def test_class_means_the_prediction_in_an_estimate_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = law.survey(8000, 13)
    del arrays["class"]
    monkeypatch.setattr(layout, "EXACT_ROWS", 1000)
    monkeypatch.setattr(layout, "SAMPLE_ROWS", 800)
    monkeypatch.setattr(layout, "CELL_ROWS", 2)
    catalogue = law.write(tmp_path / "cat", arrays)
    build_index(catalogue)
    pictures = [draw(catalogue, FULL, f"{name} == 'STAR'", by=name, exact=False) for name in ("class", "class_pred")]
    assert pictures[0].attrs["exact"] is False
    np.testing.assert_array_equal(*pictures)


def test_an_exact_picture_at_hand_answers_at_once(sampled: Catalogue) -> None:
    before = draw(sampled, FULL, "r > 19", exact=False)
    exact = draw(sampled, FULL, "r > 19")
    after = draw(sampled, FULL, "r > 19", exact=False)
    assert before.attrs["exact"] is False
    assert after.attrs["exact"] is True
    np.testing.assert_array_equal(after, exact)


def test_a_mistake_is_said_in_a_sentence_here_too(sampled: Catalogue) -> None:
    for text in ("absent > 1", "class_pred == 'WIZARD'", "class_pred > 1"):
        with pytest.raises(SelectionError):
            draw(sampled, FULL, text, exact=False)


def test_estimates_of_an_index_built_anew_are_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks of the old sample have another length."""
    monkeypatch.setattr(layout, "EXACT_ROWS", 1000)
    monkeypatch.setattr(layout, "CELL_ROWS", 2)
    catalogue = law.write(tmp_path / "cat", law.survey(8000, 14))
    for rows in (800, 2000, 400):
        monkeypatch.setattr(layout, "SAMPLE_ROWS", rows)
        build_index(catalogue)
        picture = draw(catalogue, FULL, "r > 16", exact=False)
        assert float(picture.sum()) == pytest.approx(float(draw(catalogue, FULL, "r > 16").sum()), rel=0.2)
        forget_pictures()


def test_masks_are_kept_within_their_bytes(sampled: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = draw(sampled, FULL, "r > 16 and p_best > 0.5", exact=False)
    sys.modules["galviz.estimate"]._masks.clear()
    monkeypatch.setattr(estimate._masks, "_Cache__maxsize", 10)
    np.testing.assert_array_equal(draw(sampled, FULL, "r > 16 and p_best > 0.5", exact=False), wanted)
    assert estimate._masks.currsize == 0
