"""The law of drawing: every picture equals `datashader.Canvas` on the selected rows, pixel for pixel."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import datashader as ds
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galviz import scan
from galviz.catalogue import Catalogue
from galviz.draw import Request, Viewport, class_counts, count, draw, draw_many, histogram, is_cached
from galviz.errors import Cancelled, SelectionError
from galviz.index import build_index, open_index
from galviz.manifest import Column
from galviz.selection import Box, Clause, OneOf, Polygon, Range, Selection
from tests.fresh import forget
from tests.samples import random_arrays, write_catalogue

ROWS = 600
# Coordinates on a coarse grid too, so that many points fall on the edges of pixels and viewports.
GRID = np.round(np.random.default_rng(5).uniform(-4, 4, (2, ROWS)) * 2) / 2


def arrays() -> dict[str, np.ndarray]:
    columns = random_arrays(ROWS, seed=3)
    columns["x"][::2] = GRID[0, ::2]
    columns["y"][::2] = GRID[1, ::2]
    return columns


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """A catalogue without an index: pictures come from the Parquet parts."""
    return write_catalogue(tmp_path_factory.mktemp("parquet") / "cat", arrays())


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """The same rows with an index."""
    catalogue = write_catalogue(tmp_path_factory.mktemp("indexed") / "cat", arrays())
    build_index(catalogue)
    return catalogue


@pytest.fixture(params=["parquet", "indexed"])
def catalogue(request: pytest.FixtureRequest) -> Catalogue:
    """Both roads to a picture."""
    return request.getfixturevalue(request.param)


TABLE = pd.DataFrame(arrays()).assign(r_w=lambda t: (t["r"] - t["w"]).astype(np.float32))
TABLE["class"] = pd.Categorical.from_codes(TABLE["class"], ["GALAXY", "QSO", "STAR"])

planes = st.sampled_from([("x", "y"), ("y", "x"), ("r_w", "r"), ("w", "y"), ("x", "x")])
edges = st.one_of(st.integers(-10, 48).map(lambda n: n / 2), st.floats(-5, 24))
ranges = st.tuples(edges, edges).map(sorted).filter(lambda pair: pair[1] - pair[0] > 1e-9).map(tuple)
pixels = st.integers(1, 40)
views = st.builds(
    lambda plane, xs, ys, width, height: Viewport(*plane, xs, ys, width, height), planes, ranges, ranges, pixels, pixels
)
columns = st.sampled_from(["x", "y", "r", "w", "r_w"])
limits = st.floats(-6, 24, width=32)
clauses: st.SearchStrategy[Clause] = st.one_of(
    st.builds(Range, columns, limits, st.one_of(st.none(), limits), st.booleans(), st.booleans()),
    st.builds(OneOf, st.just("class"), st.lists(st.sampled_from(["GALAXY", "QSO", "STAR"]), max_size=3).map(tuple)),
    st.builds(OneOf, columns, st.lists(limits, max_size=2).map(tuple)),
    st.builds(Box, columns, columns, limits, limits, limits, limits),
    st.builds(Polygon, columns, columns, st.lists(st.tuples(limits, limits), min_size=3, max_size=6).map(tuple)),
)
selections = st.lists(clauses, max_size=3).map(
    lambda several: Selection(tuple((str(i), clause) for i, clause in enumerate(several)))
)


def canvas(view: Viewport) -> ds.Canvas:
    return ds.Canvas(view.width, view.height, view.x_range, view.y_range)


def peer(view: Viewport, selection: Selection, reduction: ds.reductions.Reduction, value: str = "r") -> Any:
    """What Datashader makes of the selected rows, of `value` under the name "value"."""
    table = TABLE[selection.mask(TABLE)]
    if table.empty:  # Datashader cannot draw no rows at all
        table = TABLE.iloc[:1].assign(**dict.fromkeys((view.x, view.y), np.nan))
    # Fixed names, since Datashader compiles anew for every name of a column.
    renamed = pd.DataFrame({"x": table[view.x], "y": table[view.y], "value": table[value], "class": table["class"]})
    return canvas(view).points(renamed, "x", "y", reduction)


@settings(max_examples=150)
@given(view=views, selection=selections)
def test_counts_equal_datashader(parquet: Catalogue, indexed: Catalogue, view: Viewport, selection: Selection) -> None:
    expected = peer(view, selection, ds.count())
    for catalogue in (parquet, indexed):
        picture = draw(catalogue, view, selection)
        assert picture.dtype == np.uint32
        np.testing.assert_array_equal(picture.to_numpy(), expected)


@settings(max_examples=150)
@given(view=views, selection=selections)
def test_counts_by_class_equal_datashader(
    parquet: Catalogue, indexed: Catalogue, view: Viewport, selection: Selection
) -> None:
    known = selection.choose("known", OneOf("class", ("GALAXY", "QSO", "STAR")))  # Datashader has no "no class"
    expected = peer(view, known, ds.count_cat("class"))
    for catalogue in (parquet, indexed):
        picture = draw(catalogue, view, selection, by="class")
        assert picture.dims == ("y", "x", "class")
        assert picture.coords["class"].to_numpy().tolist() == ["GALAXY", "QSO", "STAR"]
        np.testing.assert_array_equal(picture.to_numpy(), expected)


@settings(max_examples=150)
@given(view=views, selection=selections, value=columns)
def test_means_and_spreads_equal_datashader(
    parquet: Catalogue, indexed: Catalogue, view: Viewport, selection: Selection, value: str
) -> None:
    expected = peer(view, selection, ds.summary(mean=ds.mean("value"), std=ds.std("value")), value)
    for catalogue in (parquet, indexed):
        np.testing.assert_array_equal(draw(catalogue, view, selection, mean=value).to_numpy(), expected["mean"])
        np.testing.assert_allclose(draw(catalogue, view, selection, std=value).to_numpy(), expected["std"], rtol=1e-12)


@settings(max_examples=100)
@given(view=views, selection=selections, value=columns)
def test_extremes_equal_datashader(
    parquet: Catalogue, indexed: Catalogue, view: Viewport, selection: Selection, value: str
) -> None:
    expected = peer(view, selection, ds.summary(min=ds.min("value"), max=ds.max("value")), value)
    for catalogue in (parquet, indexed):
        np.testing.assert_array_equal(draw(catalogue, view, selection, min=value), expected["min"])
        np.testing.assert_array_equal(draw(catalogue, view, selection, max=value), expected["max"])


def test_the_axes_are_the_centres_that_datashader_gives(indexed: Catalogue) -> None:
    view = Viewport("x", "y", (-3.3, 4.7), (-2, 2), 7, 5)
    expected = canvas(view).points(TABLE, "x", "y")
    picture = draw(indexed, view)
    np.testing.assert_allclose(picture.coords["x"], expected.coords["x"], rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(picture.coords["y"], expected.coords["y"], rtol=1e-14, atol=1e-14)
    assert picture.attrs["exact"] is True


def test_a_viewport_outside_the_data_and_an_empty_selection_give_empty_pictures(catalogue: Catalogue) -> None:
    away, view = Viewport("x", "y", (90, 91), (90, 91), 3, 2), Viewport("x", "y", (-9, 9), (-9, 9), 3, 2)
    for window, text in ((away, ""), (view, "r > 90"), (view, "class in []")):
        assert draw(catalogue, window, text).sum() == 0
        assert draw(catalogue, window, text, by="class").shape == (2, 3, 3)
        assert np.isnan(draw(catalogue, window, text, mean="r")).all()
        assert np.isnan(draw(catalogue, window, text, std="r")).all()


def test_one_pixel_holds_every_source_with_coordinates(catalogue: Catalogue) -> None:
    view = Viewport("x", "y", (-99, 99), (-99, 99), 1, 1)
    assert int(draw(catalogue, view)[0, 0]) == int((TABLE["x"].notna() & TABLE["y"].notna()).sum())


def test_a_column_that_the_index_does_not_hold_is_still_drawn(indexed: Catalogue) -> None:
    view = Viewport("note", "r", (-2, 2), (14, 23), 9, 8)
    np.testing.assert_array_equal(draw(indexed, view, "note > 0"), peer(view, Selection.parse("note > 0"), ds.count()))


@given(selection=selections)
def test_numbers_of_rows_equal_pandas(parquet: Catalogue, indexed: Catalogue, selection: Selection) -> None:
    table = TABLE[selection.mask(TABLE)]
    expected = {name: int((table["class"] == name).sum()) for name in ("GALAXY", "QSO", "STAR")}
    for catalogue in (parquet, indexed):
        assert count(catalogue, selection) == len(table) == catalogue.count(selection)
        assert class_counts(catalogue, selection) == expected


@given(selection=selections, column=columns, bins=st.integers(1, 30))
def test_histograms_equal_numpy(
    parquet: Catalogue, indexed: Catalogue, selection: Selection, column: str, bins: int
) -> None:
    table, limits = TABLE[selection.mask(TABLE)], np.linspace(-4, 23, bins + 1)
    for catalogue in (parquet, indexed):
        made = histogram(catalogue, column, limits, selection)
        for i, name in enumerate(("GALAXY", "QSO", "STAR")):
            values = table.loc[table["class"] == name, column].to_numpy(float)
            np.testing.assert_array_equal(made[:, i], np.histogram(values, limits)[0])


def test_blocks_of_rows_make_the_same_picture_as_one(parquet: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    view, text = Viewport("r_w", "r", (-5, 12), (13, 23), 11, 9), "r < 20 and class == 'QSO'"
    whole = draw(parquet, view, text, std="note")
    build_index(parquet)
    monkeypatch.setattr(scan, "ROWS", 77)
    forget()
    np.testing.assert_array_equal(draw(parquet, view, text, std="note"), whole)
    shutil.rmtree(parquet.path / "index")
    open_index.cache.clear()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"by": "class", "mean": "r"}, "one of by, mean, std, min and max"),
        ({"by": "r"}, "holds no classes"),
        ({"by": "absent"}, "no column 'absent'"),
        ({"mean": "absent"}, "no column 'absent'"),
        ({"min": "class"}, "holds classes, not numbers"),
        ({"selection": "absent > 1"}, "no column 'absent'"),
        ({"selection": "r > "}, "Cannot read"),
        ({"selection": "class == 'WIZARD'"}, "class has no value 'WIZARD'"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_a_sentence(catalogue: Catalogue, options: dict[str, str], words: str) -> None:
    with pytest.raises(SelectionError, match=words):
        draw(catalogue, Viewport("x", "y", (-5, 5), (-5, 5), 4, 4), **options)


@pytest.mark.parametrize(
    "changes",
    [
        {"x_range": (1, 1)},
        {"x_range": (2, 1)},
        {"y_range": (math.nan, 1)},
        {"y_range": (0, math.inf)},
        {"x_range": (-1.7e308, 1.7e308)},
        {"x_range": (0, 5e-324)},
        {"x_range": (1, math.nextafter(1, 2))},
        {"width": 0},
        {"height": -1},
        {"width": 10**6},
    ],
)
def test_a_viewport_without_an_area_is_refused(changes: dict[str, object]) -> None:
    fields: dict[str, object] = {"x": "x", "y": "y", "x_range": (0, 1), "y_range": (0, 1), "width": 4, "height": 4}
    with pytest.raises(SelectionError):
        Viewport(**(fields | changes))  # type: ignore[arg-type]


def test_several_views_are_drawn_together(catalogue: Catalogue) -> None:
    views_ = [Viewport("x", "y", (-3, 3), (-2, 2), 7, 5), Viewport("r_w", "r", (-5, 12), (13, 23), 4, 6)]
    together = draw(catalogue, views_, "r > 16", by="class")
    assert isinstance(together, list)
    for picture, view in zip(together, views_, strict=True):
        np.testing.assert_array_equal(picture, draw(catalogue, view, "r > 16", by="class"))
        assert picture.shape == (*view.shape, 3)
        assert picture.attrs["x_range"] == view.x_range
    assert draw(catalogue, [], "r > 16") == []


def test_different_pictures_are_drawn_in_one_go(catalogue: Catalogue) -> None:
    view, chosen = Viewport("x", "y", (-3, 3), (-2, 2), 7, 5), Selection.parse("w < 16")
    requests = [Request(view), Request(view, chosen, std="w"), Request(view, chosen, by="class"), Request(view)]
    pictures = draw_many(catalogue, requests)
    for picture, other in zip(pictures, [draw_many(catalogue, [request])[0] for request in requests], strict=True):
        np.testing.assert_array_equal(picture, other)
    assert is_cached(catalogue, requests)


@pytest.mark.parametrize("options", [{}, {"by": "class"}, {"mean": "w"}, {"std": "r"}, {"max": "note"}])
def test_a_stop_is_heard_and_leaves_nothing_behind(catalogue: Catalogue, options: dict[str, str]) -> None:
    forget()
    view = Viewport("x", "y", (-3, 3), (-2, 2), 7, 5)
    with pytest.raises(Cancelled):
        draw(catalogue, view, "w < 15", stop=lambda: True, **options)
    assert not is_cached(catalogue, [Request(view, Selection.parse("w < 15"), **options)])
    assert draw(catalogue, view, "w < 15", **options).shape[:2] == (5, 7)


def test_a_new_version_is_not_answered_with_pictures_of_the_old(tmp_path: Path) -> None:
    view = Viewport("x", "y", (-9, 9), (-9, 9), 2, 2)
    first = write_catalogue(tmp_path / "cat", arrays())
    build_index(first)
    assert draw(first, view, "r > 15").sum() > 0
    parts = ({"u": first.read_part(part, ["r"])["r"] * 0} for part in range(first.parts))
    second = first.add_columns("side", [Column("u", "float32", "magnitude")], parts)
    for catalogue in (second, (build_index(second), second)[1]):
        assert not is_cached(catalogue, [Request(view, Selection.parse("r > 15"))])
        assert draw(catalogue, view, "u > 0").sum() == 0
        np.testing.assert_array_equal(draw(catalogue, view, max="u").fillna(0), np.zeros((2, 2)))


def test_class_means_the_prediction_where_no_true_class_is_known(tmp_path: Path) -> None:
    columns = arrays()
    columns["class_pred"] = columns.pop("class")
    catalogue = write_catalogue(tmp_path / "cat", columns)
    build_index(catalogue)
    view = Viewport("x", "y", (-5, 5), (-5, 5), 4, 4)
    np.testing.assert_array_equal(
        draw(catalogue, view, "class == 'QSO'", by="class"), draw(catalogue, view, "class_pred == 'QSO'", by="class")
    )
    assert class_counts(catalogue)["QSO"] == int((TABLE["class"] == "QSO").sum())
