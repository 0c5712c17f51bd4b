"""Pictures, counts and histograms from the sorted planes equal what the rows say, however the work is cut."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import law, soak
from galviz import exact, scan, tally
from galviz.catalogue import Catalogue
from galviz.draw import Request, Viewport, class_counts, count, draw, draw_many, histogram, is_cached, never
from galviz.errors import Cancelled
from galviz.index import build_index, open_index
from galviz.selection import OneOf, Polygon, Range, Selection
from tests.fresh import forget, forget_pictures

ROWS = 6000
VIEW = Viewport("u", "v", (-6, 6), (-4, 4), 7, 5)
FINE = Viewport("u", "v", (-6, 6), (-4, 4), 300, 200)
SELECTIONS = (
    "", "r > 17 and p_best >= 0.5", "class_pred in ['GALAXY', 'STAR']", "class == 'QSO' and i > 15", "r > 99",
    "polygon(u, v, -4, -3, 4, 2, -4, 2, 4, -3, 0, 4)", "box(ra, dec, 50, 200, -30, 30) and odd == True", "note > 0",
    "cone(ra, dec, 180, 0, 70)", "class_pred == 'NOVA'", "class_pred in []", "polygon(v, u, -1, -1, 2, 0, -1, 3)",
)  # fmt: skip


@pytest.fixture(scope="module", params=[True, False], ids=["loose columns", "none"])
def catalogue(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """Cut into many strips and several pieces, with and without columns in row order."""
    with law.cut_small(ROWS, loose=request.param):
        made = law.write(tmp_path_factory.mktemp("exact") / "cat", law.survey(ROWS, 4))
        build_index(made)
        yield made


@pytest.fixture(scope="module")
def peer(catalogue: Catalogue) -> law.Peer:
    return law.Peer(catalogue)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_pictures_equal_datashader(catalogue: Catalogue, peer: law.Peer, seed: int) -> None:
    assert law.check_pictures(catalogue, peer, 1, seed)["differ"] == 0


def test_lassos_equal_exact_arithmetic_with_sources_on_edges_and_vertices(tmp_path: Path) -> None:
    arrays = law.gridded(2000, 1)
    sources = np.rint(np.stack([arrays["u"], arrays["v"]], axis=1).astype(float) * law.UNIT).astype(np.int64)
    with law.cut_small(2000, loose=False):
        catalogue = law.write(tmp_path / "cat", arrays)
        build_index(catalogue)
        told = law.check_lassos(catalogue, 60, 1)
    assert told["differ"] == 0
    rng = np.random.default_rng(1)
    on_vertices = sum(int(np.isin(sources, law.lasso(rng, sources)).all(axis=1).sum()) for _ in range(20))
    assert on_vertices > 20


def test_runs_are_found_where_strips_lie_in_few_rows_of_pixels(catalogue: Catalogue) -> None:
    index = open_index(catalogue)
    plane = index.planes[0]
    forget()
    for view, some in ((VIEW, True), (FINE, False)):
        first, last = exact.Job(catalogue, index, Request(view), never, here=True).strips()
        found = exact._runs(index, plane, view, first, last)
        assert found.ends.size == found.columns.size == found.starts[-1]
        assert (found.ends.size > 0) is some


@pytest.mark.parametrize("statistic", law.STATISTICS)
@pytest.mark.parametrize("text", SELECTIONS)
def test_planes_and_rows_draw_the_same(catalogue: Catalogue, statistic: str, text: str) -> None:
    column = {"count": None, "by": "class_pred"}.get(statistic, "r")
    options = {} if column is None else {statistic: column}
    index = open_index(catalogue)
    for view in (VIEW, FINE):
        request = Request(view, Selection.parse(text), **options)
        assert exact.plane_of(catalogue, index, request, never) is not None
        (picture,) = exact.draw(catalogue, index, [request], never)
        truth = scan.draw(catalogue, request, never)
        assert picture.dtype == truth.dtype
        if statistic == "std":
            np.testing.assert_allclose(picture, truth, rtol=1e-9, atol=1e-9)
        else:
            np.testing.assert_array_equal(picture, truth)


def test_what_no_plane_can_draw_is_left_to_the_rows(catalogue: Catalogue) -> None:
    index = open_index(catalogue)
    for request in (
        Request(VIEW, by="class"),
        Request(VIEW, mean="u"),  # infinite somewhere
        Request(Viewport("v", "u", (0, 1), (0, 1))),
        Request(Viewport("u", "r", (0, 1), (0, 1))),
    ):
        assert exact.plane_of(catalogue, index, request, never) is None
    for column in ("odd", "i"):
        assert exact.plane_of(catalogue, index, Request(VIEW, mean=column), never) is index.planes[0]


@pytest.mark.parametrize("text", SELECTIONS)
def test_numbers_and_histograms_equal_those_of_the_rows(catalogue: Catalogue, peer: law.Peer, text: str) -> None:
    chosen = Selection.parse(text)
    table = peer.table[chosen.mask(peer.table, ROWS)]
    assert count(catalogue, chosen) == len(table)
    for by in ("class_pred", "class"):
        assert list(class_counts(catalogue, chosen, by=by).values()) == [
            int((table[by] == entry.name).sum()) for entry in law.CLASSES
        ]
    for name in ("r", "p_best", "p_star", "g_r", "size", "ra", "i", "odd", "u"):
        values = table[name].to_numpy(float)
        known = values[np.isfinite(values)]
        edges = np.linspace(*(np.quantile(known, (0.01, 0.99)) if known.size else (0, 1)), 30)
        if edges[0] == edges[-1]:
            edges = np.linspace(0, 1, 30)
        everything = np.array([known.min(), known.max()]) if known.size > 1 else edges
        for by, limits in product(("class_pred", "class", None), (edges, everything)):
            made = histogram(catalogue, name, limits, chosen, by=by)
            wanted = [values] if by is None else [values[table[by] == entry.name] for entry in law.CLASSES]
            for own, column in zip(made.T, wanted, strict=True):
                np.testing.assert_array_equal(own, np.histogram(column[~np.isnan(column)], limits)[0])


def test_bins_may_be_uneven_and_very_many(catalogue: Catalogue, peer: law.Peer) -> None:
    values = peer.table["p_star"].dropna().to_numpy(float)
    for edges in (
        np.array([-1, 0, 1e-30, 0.25, 0.3, 0.30000001, float(np.float32(0.3)), 1]),
        np.unique(values),
        np.linspace(0, 1, 40_001),
    ):
        made = histogram(catalogue, "p_star", edges, by=None)
        np.testing.assert_array_equal(made[:, 0], np.histogram(values, edges)[0])


def test_the_cutting_changes_nothing(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums are whole numbers: the same bits in any order."""
    requests = [
        Request(view, Selection.parse(text), **{statistic: name})
        for view in (VIEW, FINE)
        for text in ("", "r > 17 and ra > 90", "polygon(u, v, -4, -3, 4, 2, -4, 2, 4, -3, 0, 4)")
        for statistic in ("mean", "std", "min", "max")
        for name in ("p_star", "r", "size")
    ]
    index = open_index(catalogue)
    whole = exact.draw(catalogue, index, requests, never)
    for rows in (1, 200, 1 << 22):
        monkeypatch.setattr(exact, "LEAST_PIECE", rows)
        monkeypatch.setattr(exact, "MOST_PIECE", rows)
        forget()
        for picture, truth in zip(exact.draw(catalogue, index, requests, never), whole, strict=True):
            np.testing.assert_array_equal(picture, truth)


def test_pieces_add_up_in_any_order() -> None:
    rng = np.random.default_rng(0)
    pieces = []
    for _ in range(9):
        top, height = int(rng.integers(0, 5)), int(rng.integers(1, 4))
        piece = exact.blank(top, height, 3, 1, exact.MODES["min"])
        piece.counts[:] = rng.integers(0, 9, piece.counts.shape)
        piece.extremes[:] = np.where(rng.random((height, 3)) < 0.3, np.nan, rng.normal(size=(height, 3)))
        pieces.append(piece)
    forth, back = exact.merge(pieces), exact.merge([exact.merge(pieces[:4:-1]), exact.merge(pieces[4::-1])])
    np.testing.assert_array_equal(forth.counts, back.counts)
    np.testing.assert_array_equal(forth.extremes, back.extremes)
    assert forth.counts.sum() == sum(piece.counts.sum() for piece in pieces)


@pytest.mark.parametrize("power", [38, 0, -30, -36, -40])
def test_values_that_are_all_alike_missing_huge_or_tiny(tmp_path: Path, power: int) -> None:
    arrays = law.survey(1500, 6)
    arrays["size"][:], arrays["p_star"][:] = 0, np.nan
    arrays["ra"], arrays["dec"] = arrays["u"].astype(float) * 1e150, np.full(1500, 7.25)
    arrays["r"] = (np.random.default_rng(0).uniform(-3, 3, 1500) * 10.0**power).astype(np.float32)
    arrays["p_best"] = np.where(np.arange(1500) % 2, 1e-40, 1e-41).astype(np.float32)
    with law.cut_small(1500):
        catalogue = law.write(tmp_path / "cat", arrays)
        build_index(catalogue)
        peer = law.Peer(catalogue)
        views = (VIEW, Viewport("ra", "dec", (-5e150, 5e150), (7, 8), 4, 3))
        for view in views:
            for name in ("size", "p_star", "r", "p_best", "dec", "ra"):
                for statistic in ("mean", "std", "min", "max"):
                    if (name, statistic) == ("ra", "std"):
                        continue  # the square of such a number is none
                    request = Request(view, **{statistic: name})
                    own, truth = draw(catalogue, view, **{statistic: name}), peer.picture(request)
                    most = 0 if statistic != "std" else 1e-9 * float(np.nanmax(np.abs(arrays[name]), initial=0))
                    np.testing.assert_allclose(own, truth, rtol=1e-9, atol=most, err_msg=f"{statistic} of {name}")


def test_sources_on_one_spot_and_infinite_ones(tmp_path: Path) -> None:
    arrays = law.survey(1500, 7)
    arrays["u"][:], arrays["v"][:] = 1.5, -2.5
    arrays["u"][:9] = [-np.inf, np.inf, 1.5, 1.5, np.nan, np.nan, np.inf, 1.5, 1.5]
    arrays["v"][:9] = [-2.5, -2.5, np.inf, -np.inf, -2.5, np.nan, -np.inf, np.nan, -2.5]
    with law.cut_small(1500):
        catalogue = law.write(tmp_path / "cat", arrays)
        build_index(catalogue)
        spot = Viewport("u", "v", (1.5, 2), (-3, -2.5), 4, 3)
        assert draw(catalogue, spot).to_numpy()[2, 0] == 1492
        # Upright edges beside a strip that reaches to infinity.
        square = Polygon("u", "v", ((1, -1e30), (2, -1e30), (2, 1e30), (1, 1e30)))
        chosen = Selection().choose("a", square)
        assert int(draw(catalogue, spot, chosen).sum()) == 1492
        assert count(catalogue, chosen) == 1492
        peer = law.Peer(catalogue)
        for statistic, name in (("mean", "p_best"), ("mean", "u"), ("min", "v"), ("by", "class_pred")):
            request = Request(spot, **{statistic: name})
            np.testing.assert_array_equal(draw(catalogue, spot, **{statistic: name}), peer.picture(request))


def test_a_catalogue_without_classes_is_drawn(tmp_path: Path) -> None:
    arrays = law.survey(2000, 8)
    del arrays["class"], arrays["class_pred"]
    with law.cut_small(2000, loose=False):
        catalogue = law.write(tmp_path / "cat", arrays)
        index = build_index(catalogue)
        assert index.layout.groups == 1
        peer = law.Peer(catalogue)
        chosen = Selection.parse("r > 16 and polygon(u, v, -4, -3, 4, 2, -4, 2, 4, -3, 0, 4)")
        for options in ({}, {"mean": "r"}, {"max": "p_star"}):
            request = Request(VIEW, chosen, **options)
            np.testing.assert_array_equal(draw(catalogue, VIEW, chosen, **options), peer.picture(request))
        table = peer.table[chosen.mask(peer.table)]
        assert count(catalogue, chosen) == len(table)
        made = histogram(catalogue, "r", np.linspace(14, 23, 10), chosen, by=None)
        np.testing.assert_array_equal(made[:, 0], np.histogram(table["r"], np.linspace(14, 23, 10))[0])


def test_a_stopped_picture_leaves_nothing_and_the_next_is_right(catalogue: Catalogue, peer: law.Peer) -> None:
    text = "r > 16.5 and polygon(u, v, -4, -3, 4, 2, -4, 2, 4, -3, 0, 4) and ra > 100 and i > 15 and note > -1"
    requests = [Request(view, Selection.parse(text), std="r") for view in (VIEW, FINE)]
    truth = [peer.picture(request) for request in requests]
    forget()
    stopped = 0
    for asked in range(60):
        left = iter([False] * asked)
        try:
            drawn = draw_many(catalogue, requests, stop=lambda left=left: next(left, True))
        except Cancelled:
            stopped += 1
            assert not is_cached(catalogue, requests)
            forget_pictures()
        else:
            break
    assert stopped > 5
    drawn = draw_many(catalogue, requests)
    for picture, wanted in zip(drawn, truth, strict=True):
        np.testing.assert_allclose(picture, wanted, rtol=1e-9, atol=1e-9)
    for work in (count, class_counts):
        with pytest.raises(Cancelled):
            work(catalogue, text, stop=lambda: True)
    with pytest.raises(Cancelled):
        histogram(catalogue, "r", np.linspace(14, 23, 9), text, stop=lambda: True)


def test_a_picture_drawn_before_is_looked_up(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    forget()
    chosen = Selection.parse("r > 17")
    requests = [Request(VIEW, chosen, by="class_pred"), Request(VIEW, chosen, mean="r"), Request(VIEW, mean="i")]
    assert not is_cached(catalogue, requests)
    first = draw_many(catalogue, requests)
    assert is_cached(catalogue, requests)
    assert not is_cached(catalogue, [*requests, Request(FINE, chosen)])

    def fail(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(exact, "draw", fail)
    monkeypatch.setattr(scan, "draw", fail)
    monkeypatch.setattr(sys.modules["galviz.draw"], "_draw_exactly", lambda *_: [])
    kept = [picture.to_numpy().copy() for picture in first]
    for picture in first:
        with pytest.raises(ValueError, match="read-only"):
            picture.to_numpy()[:] = 7  # it is kept for the next time
    for quick in (True, False):
        second = draw_many(catalogue, requests, exact=quick)
        assert all(picture.attrs["exact"] is True for picture in second)
        for picture, values in zip(second, kept, strict=True):
            np.testing.assert_array_equal(picture, values)


def test_equal_requests_are_drawn_once(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    forget()
    real, drawn = exact.draw, []

    def counted(catalogue: Catalogue, index: object, requests: list[Request], *rest: object) -> list[np.ndarray]:
        drawn.extend(requests)
        return real(catalogue, index, requests, *rest)

    monkeypatch.setattr(exact, "draw", counted)
    pictures = draw(catalogue, [VIEW, FINE, VIEW], "r > 18")
    assert len(pictures) == 3
    assert len(drawn) == 2
    np.testing.assert_array_equal(pictures[0], pictures[2])


def test_small_caches_change_nothing(catalogue: Catalogue, peer: law.Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    for cache in (exact._known_runs, sys.modules["galviz.marks"]._cache, sys.modules["galviz.draw"]._pictures._kept):
        cache.clear()
        monkeypatch.setattr(cache, "_Cache__maxsize", 3000)
    assert law.check_pictures(catalogue, peer, 25, 99)["differ"] == 0


def test_threads_that_draw_at_once_return_what_one_returns(catalogue: Catalogue) -> None:
    found = soak.Soak(catalogue, soak.requests_for(catalogue, 40, 1))
    found.run(2.0, threads=8)
    assert found.told["mismatches"] == 0
    assert found.told["pictures"] > 100
    assert found.told["stopped"] > 0


def test_selected_sources_come_with_their_values(catalogue: Catalogue, peer: law.Peer) -> None:
    index = open_index(catalogue)
    for text in SELECTIONS:
        chosen = Selection.parse(text)
        rows, parts = [], []
        for numbers, values in tally.selected(catalogue, index, chosen, ["r", "p_best", "odd", "class_pred", "u"]):
            rows.append(numbers)
            parts.append(values)
        order = np.argsort(np.concatenate(rows))
        wanted = peer.table[chosen.mask(peer.table, ROWS)]
        np.testing.assert_array_equal(np.concatenate(rows)[order], wanted.index)
        for name in ("r", "p_best", "odd", "u", "class_pred"):
            values = np.concatenate([part[name] for part in parts])[order]
            assert values.dtype == catalogue.manifest.columns[name].dtype
            truth = wanted[name].cat.codes if name == "class_pred" else wanted[name]
            np.testing.assert_array_equal(values, truth)
    assert tally.holds(index, ["r", "class_pred", "u"])
    assert not tally.holds(index, ["i"])


def test_a_range_without_numbers_keeps_unknown_classes_apart(catalogue: Catalogue, peer: law.Peer) -> None:
    """Sources of no class are in counts, and in no class of counts by class."""
    known = OneOf("class_pred", tuple(entry.name for entry in law.CLASSES))
    unknown = int(draw(catalogue, VIEW).sum()) - int(draw(catalogue, VIEW, by="class_pred").sum())
    assert unknown > 0
    chosen = Selection().choose("class", known).choose("r", Range("r", 0))
    assert int(draw(catalogue, VIEW, chosen).sum()) == int(draw(catalogue, VIEW, "r >= 0", by="class_pred").sum())


def check_straightened(units: np.ndarray) -> bool:
    """Whether units have rests; these stand for what they were made from."""
    step, base, slope, rests = exact.straightened(units)
    assert rests.size in (0, 256)
    if rests.size:
        np.testing.assert_array_equal(step * (base + slope * np.arange(units.size) + rests[: units.size]), units)
    return bool(rests.size)


def test_vote_shares_of_any_forest_are_a_line_and_rests() -> None:
    for trees in range(1, 255):
        for least in {0, 1, trees // 3, trees // 2}:
            shares = np.arange(least, trees + 1).astype(np.float32) / np.float32(trees)
            assert check_straightened((shares.astype(float) * 2.0**34).astype(np.int64))


@given(st.lists(st.integers(-(2**61), 2**61), max_size=256), st.integers(0, 60))
def test_any_units_are_a_line_and_rests_or_told_apart(units: list[int], bits: int) -> None:
    few = np.sort(np.array(units, np.int64) >> bits)
    assert check_straightened(few) or few.size != 1
    assert check_straightened(np.array([7, 7, 7]))
    assert not check_straightened(np.array([0, 1, 2**40, 2**40 + 1]))
