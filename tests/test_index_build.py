"""What an index holds is what the catalogue holds, however its build went: in order, tallied, linked and sampled."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galviz.catalogue import Catalogue, CatalogueWriter, open_catalogue
from galviz.errors import CatalogueError
from galviz.index import (
    Index,
    Plane,
    build_index,
    has_index,
    layout,
    open_index,
    planes,
    runs,
    samples,
    scan,
    sealing,
)
from galviz.index.files import facts_of, load, save
from galviz.index.layout import PlaneLayout
from galviz.index.loops import NOWHERE
from galviz.index.planes import in_order
from galviz.index.ranges import shown_range
from galviz.manifest import Column, Manifest, new_manifest
from tests.cluster import cluster
from tests.samples import CLASSES, COLUMNS, DERIVED, random_arrays, small_disk

# Small numbers that make a small catalogue look like a large one.
SMALL = {"CHUNK_ROWS": 300, "STRIP_ROWS": 60, "RANGE_ROWS": 700, "EXACT_ROWS": 900, "SAMPLE_ROWS": 300, "CELL_ROWS": 3}
EXTRA = {
    "k": Column("k", "float64", "magnitude"),
    "u": Column("u", "float32", "position"),
    "v": Column("v", "float32", "position"),
    "p": Column("p", "float32", "best_probability"),
    "n": Column("n", "int64", "magnitude"),
    "flag": Column("flag", "bool", "flag", kind="flag"),
}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SMALL.items():
        monkeypatch.setattr(layout, name, value)


def rich_arrays(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Three planes, float32 and float64, some coordinates infinite, some columns of few values."""
    rng = np.random.default_rng(seed)
    arrays = random_arrays(rows, seed) | {
        "u": rng.normal(0, 1, rows).astype(np.float32),
        "v": np.sin(np.arange(rows) / 50).astype(np.float32),
        "p": (rng.integers(67, 201, rows) / 200).astype(np.float32),
    }
    for name, value in (("x", np.inf), ("y", -np.inf), ("u", -np.inf), ("v", np.inf), ("p", np.nan)):
        arrays[name][rng.random(rows) < 0.02] = value
    return arrays


def write(path: Path, arrays: Mapping[str, np.ndarray], cuts: list[int], **manifest: Any) -> Catalogue:
    """A catalogue whose parts end at `cuts`."""
    known = COLUMNS | EXTRA
    fields = {"title": "Sample", "simulated": True, "classes": CLASSES, "features": ("r", "w"), "derived": DERIVED}
    new = new_manifest("sample", "none", {"made": "by a test"}, **({"defaults": {}} | fields | manifest))
    with CatalogueWriter(path, tuple(known[name] for name in arrays), new) as writer:
        pieces = {name: np.split(values, cuts) for name, values in arrays.items()}
        for number in range(len(cuts) + 1):
            writer.write(number, {name: piece[number] for name, piece in pieces.items()})
    return open_catalogue(path)


def every(catalogue: Catalogue, name: str) -> np.ndarray:
    return np.concatenate([catalogue.read_part(part, [name])[name] for part in range(catalogue.parts)])


def real_places(plane: Plane) -> np.ndarray:
    real = np.zeros(plane.size, bool)
    for start, stop in plane.bounds[:, [0, -1]]:
        real[start:stop] = True
    return real


def rows_of(index: Index, plane: Plane) -> np.ndarray:
    """The catalogue row of each real place."""
    places = np.flatnonzero(real_places(plane))
    return index.row[places if plane.home is None else plane.home[places]]


def strip_of(values: np.ndarray, plane: PlaneLayout) -> np.ndarray:
    scaled = (values.astype(float) - plane.low) * (plane.strips / (plane.high - plane.low))
    return np.clip(np.floor(scaled), 0, plane.strips - 1)


# What a plane promises


def check_places(index: Index, plane: Plane, codes: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    bounds, real = plane.bounds, real_places(plane)
    assert bounds.shape == (plane.layout.strips + 1, index.layout.groups + 1)
    assert plane.strips == len(bounds)
    assert (bounds[:, 0] % layout.WORD == 0).all()
    assert (np.diff(bounds, axis=1) >= 0).all()
    gaps = bounds[1:, 0] - bounds[:-1, -1]
    assert ((gaps >= 0) & (gaps < layout.WORD)).all()
    assert plane.size % layout.BLOCK == 0
    assert 0 <= plane.size - bounds[-1, -1] < layout.BLOCK
    rows = rows_of(index, plane)
    np.testing.assert_array_equal(np.sort(rows), np.arange(index.rows))
    places = np.flatnonzero(real)
    strip = np.searchsorted(bounds[:, -1], places, "right")
    inside = np.isfinite(x[rows]) | np.isinf(x[rows])
    inside &= ~np.isnan(y[rows])
    np.testing.assert_array_equal(strip == plane.layout.strips, ~inside)
    np.testing.assert_array_equal(strip[inside], strip_of(y[rows][inside], plane.layout))
    for number, (start, stop) in enumerate(zip(bounds[:, :-1].ravel(), bounds[:, 1:].ravel(), strict=True)):
        own = rows[np.searchsorted(places, start) : np.searchsorted(places, stop)]
        group = number % index.layout.groups
        wanted = -1 if group == index.layout.groups - 1 else group
        assert (codes[own] == wanted).all()
        np.testing.assert_array_equal(np.lexsort((own, x[own])), np.arange(len(own)))  # by x, then as they come


def check_values(index: Index, plane: Plane, catalogue: Catalogue) -> None:
    real, rows = real_places(plane), rows_of(index, plane)
    own = (plane.layout.x, plane.layout.y)
    assert set(plane.columns) == {*own, *index.layout.carried} == set(plane.zones)
    for name, values in plane.columns.items():
        wanted = every(catalogue, name)[rows]
        found = values[real]
        assert not values.flags.writeable
        assert type(values) is np.ndarray
        if name in plane.tables:
            assert values.dtype == np.uint8
            np.testing.assert_array_equal(plane.tables[name], np.unique(every(catalogue, name)))
            found = plane.tables[name][found]
        else:
            floats = name in own and wanted.dtype.kind != "f"
            assert values.dtype == (np.float64 if floats else wanted.dtype)
        np.testing.assert_array_equal(found, wanted)
        padding = values[~real]
        assert np.isnan(padding).all() if name in own else (padding == 0).all()
        check_zones(plane.zones[name], values, real)
    few = {name for name in index.layout.carried if len(np.unique(every(catalogue, name))) <= layout.CODES}
    assert set(plane.tables) == few - set(own)


def check_zones(zones: np.ndarray, values: np.ndarray, real: np.ndarray) -> None:
    wanted = []
    for start in range(0, len(values), layout.BLOCK):
        block = values[start : start + layout.BLOCK][real[start : start + layout.BLOCK]].astype(float)
        wanted.append((block.min(), block.max()) if block.size else (np.inf, -np.inf))
    np.testing.assert_array_equal(zones, np.array(wanted).reshape(-1, 2))


def check_spans(plane: Plane) -> None:
    y = plane.columns[plane.layout.y]
    for strip, (start, stop) in enumerate(plane.bounds[:, [0, -1]]):
        own = y[start:stop]
        empty = strip == plane.layout.strips or not own.size
        np.testing.assert_array_equal(plane.spans[strip], (np.nan, np.nan) if empty else (own.min(), own.max()))


def check_links(index: Index) -> None:
    assert set(index.to) == set(range(1, len(index.planes)))
    if not index.planes:
        assert index.row.size == 0
        return
    home = real_places(index.planes[0])
    assert (index.row[~home] == NOWHERE).all()
    assert index.planes[0].home is None
    for number, to in index.to.items():
        plane = index.planes[number]
        real = real_places(plane)
        assert plane.home is not None
        assert {to.dtype, plane.home.dtype, index.row.dtype} == {np.dtype(np.uint32)}
        assert (plane.home[~real] == NOWHERE).all()
        assert (to[~home] == NOWHERE).all()
        np.testing.assert_array_equal(to[plane.home[real]], np.flatnonzero(real))


def check_sample(index: Index, plane: Plane, catalogue: Catalogue, codes: np.ndarray) -> None:
    sample, names = plane.sample, (plane.layout.x, plane.layout.y)
    assert sample is not None
    assert set(sample.columns) == set(layout.kept_columns(catalogue.manifest))
    taken = sample.columns["k"].astype(int)  # the number of the row
    for name, values in sample.columns.items():
        np.testing.assert_array_equal(values, every(catalogue, name)[taken], strict=True)
    place = np.empty(index.rows, int)
    place[rows_of(index, plane)] = np.arange(index.rows)
    assert (np.diff(place[taken]) > 0).all()  # the order of the plane, none twice
    cell = cells_of(plane.layout, *(every(catalogue, name) for name in names)) * index.layout.groups + codes
    known, back, totals = np.unique(cell, return_inverse=True, return_counts=True)
    drawn = np.bincount(back[taken], minlength=len(known))
    rate = np.maximum(layout.SAMPLE_ROWS / index.rows, layout.CELL_ROWS / totals)
    assert (drawn[rate >= 1] == totals[rate >= 1]).all()
    assert abs(drawn.sum() - np.minimum(rate, 1) @ totals) < 5 * np.sqrt(index.rows)
    weight = totals / np.maximum(drawn, 1)
    np.testing.assert_array_equal(sample.weight, weight[back[taken]].astype(np.float32), strict=True)
    floor = np.zeros(layout.CELLS**2 + 1)
    np.add.at(floor, known // index.layout.groups, weight * (weight - 1))
    np.testing.assert_allclose(sample.floor, floor[:-1].reshape(layout.CELLS, layout.CELLS))


def cells_of(plane: PlaneLayout, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    def along(values: np.ndarray, low: float, high: float) -> np.ndarray:
        place = np.floor((values.astype(float) - low) * (layout.CELLS / (high - low)))
        return np.nan_to_num(np.clip(place, 0, layout.CELLS - 1)).astype(int)

    cells = along(y, plane.low, plane.high) * layout.CELLS + along(x, plane.x_low, plane.x_high)
    return np.where(np.isnan(x) | np.isnan(y), layout.CELLS**2, cells)


def check(catalogue: Catalogue) -> Index:
    """Build the index of a catalogue and hold it against its contract."""
    told: list[int] = []
    index = build_index(catalogue, told.append)
    assert sum(told) == catalogue.rows == index.rows
    assert min(told) >= 0
    assert os.listdir(index.path.parent) == [index.path.name]
    assert [(plane.layout.x, plane.layout.y) for plane in index.planes] == [*layout.usual_planes(catalogue.manifest)]
    codes = every(catalogue, index.layout.by) if index.layout.by else np.zeros(catalogue.rows, int)
    if index.layout.by:
        codes = np.where((codes >= 0) & (codes < index.layout.groups - 1), codes, -1)
    else:
        codes = np.full(catalogue.rows, -1)
    check_links(index)
    for plane in index.planes:
        check_places(index, plane, codes, *(every(catalogue, name) for name in (plane.layout.x, plane.layout.y)))
        check_values(index, plane, catalogue)
        check_spans(plane)
        if index.layout.sampled:
            groups = np.where(codes < 0, index.layout.groups - 1, codes)
            check_sample(index, plane, catalogue, groups)
    assert index.layout.sampled == (bool(index.planes) and catalogue.rows > layout.EXACT_ROWS)
    for name, values in index.columns.items():
        np.testing.assert_array_equal(values, every(catalogue, name), strict=True)
    return index


def with_rows(arrays: dict[str, np.ndarray], **changes: np.ndarray) -> dict[str, np.ndarray]:
    return arrays | {"k": np.arange(len(arrays["r"]), dtype=float)} | changes


def less(arrays: dict[str, np.ndarray], *names: str) -> dict[str, np.ndarray]:
    return {name: values for name, values in arrays.items() if name not in names}


def none_known(rows: int) -> dict[str, np.ndarray]:
    return {name: np.full(rows, np.nan, COLUMNS[name].dtype) for name in ("x", "y", "r", "w")}


CATALOGUES: dict[str, tuple[dict[str, np.ndarray], list[int], dict[str, Any]]] = {
    "three planes": (with_rows(rich_arrays(2500)), [800, 1700], {"defaults": {"filters": ["p", "r_w", "k"]}}),
    "small": (with_rows(rich_arrays(500)), [100, 450], {}),
    "one row": (with_rows(rich_arrays(1)), [], {}),
    "one row without coordinates": (with_rows(rich_arrays(1), **none_known(1)), [], {}),
    "no usable coordinate": (with_rows(rich_arrays(1200), **none_known(1200)), [600], {}),
    "no class": (less(with_rows(rich_arrays(1500)), "class"), [700], {}),
    "no classes at all": (less(with_rows(rich_arrays(1500)), "class"), [700], {"classes": ()}),
    "classes beyond those known": (with_rows(rich_arrays(1000), **{"class": np.arange(1000) % 7}), [500], {}),
    "no planes": (less(with_rows(rich_arrays(1500)), "x", "y", "u", "v"), [700], {"features": ("r",)}),
    "parts of all sizes": (with_rows(rich_arrays(3000)), [1, 2, 2900, 2950], {}),
    "an empty part": (with_rows(rich_arrays(1000)), [300, 300, 600], {}),
    "one place": (with_rows(rich_arrays(1000), x=np.full(1000, 7.0), y=np.full(1000, 1e9)), [500], {}),
    "many ties": (with_rows(rich_arrays(2000), u=np.arange(2000) % 3, v=np.arange(2000) % 2), [900], {}),
    "zeros of both signs": (with_rows(rich_arrays(1000), u=np.where(np.arange(1000) % 2, 0.0, -0.0)), [500], {}),
    "huge and tiny": (with_rows(rich_arrays(1000), x=np.tile([1e308, -1e308], 500), y=np.full(1000, 1e-44)), [500], {}),
    "whole numbers": (
        with_rows(rich_arrays(1500), n=np.arange(1500) * 7 % 900, flag=np.arange(1500) % 2 == 0),
        [700],
        {"features": ("n", "r"), "defaults": {"filters": ["flag", "n"]}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CATALOGUES)
def test_an_index_keeps_its_contract(tmp_path: Path, kind: str) -> None:
    arrays, cuts, manifest = CATALOGUES[kind]
    index = check(write(tmp_path / "cat", arrays, cuts, **manifest))
    assert all(len(plane.columns) > 2 for plane in index.planes)


def test_a_column_of_few_values_is_coded(tmp_path: Path) -> None:
    rows = 3000
    steps = {"r": np.arange(rows) % 255, "w": np.arange(rows) % 256, "p": np.r_[np.nan, np.arange(1, rows) % 254]}
    arrays = with_rows(rich_arrays(rows), **steps)
    index = check(write(tmp_path / "cat", arrays, [10, 2000]))
    assert set(index.planes[0].tables) == {"r", "p"}
    assert np.isnan(index.layout.tables["p"][-1])
    assert len(index.layout.tables["p"]) == len(index.layout.tables["r"]) == 255


def test_columns_in_row_order_are_those_that_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = write(tmp_path / "cat", with_rows(rich_arrays(1500)), [700])
    assert list(check(catalogue).columns) == list(layout.kept_columns(catalogue.manifest))
    monkeypatch.setattr(layout, "LEAST_BYTES", 0)
    monkeypatch.setattr(layout, "ROW_BYTES", 0)
    assert not build_index(catalogue).columns
    size = sum(file.nbytes for file in open_index(catalogue).files.values())
    monkeypatch.setattr(layout, "LEAST_BYTES", size + 20 * catalogue.rows)
    index = check(catalogue)
    assert sum(file.nbytes for file in index.files.values()) < size + 21 * catalogue.rows
    assert 0 < len(index.columns) < len(layout.kept_columns(catalogue.manifest))
    assert list(index.columns) == [*layout.kept_columns(catalogue.manifest)][: len(index.columns)]


def test_layout_survives_json() -> None:
    known = layout.Layout(
        3, "class", 4, (PlaneLayout("x", "y", 0, 1, 2, 3, 16),), ("p",), {"p": (1.0, 2.5)}, (), {"x": (0, 1)}, True
    )  # fmt: skip
    assert layout.Layout.from_json(json.loads(json.dumps(known.to_json()))) == known


# The pieces


numbers = st.floats(width=32) | st.sampled_from([0.0, -0.0, np.inf, -np.inf, np.nan])


@given(st.lists(st.tuples(st.integers(0, 5), numbers), max_size=60), st.sampled_from([np.float32, np.float64]))
def test_order_is_by_bucket_x_and_row(rows: list[tuple[int, float]], dtype: type) -> None:
    bucket = np.array([row[0] for row in rows], np.int64)
    x = np.array([row[1] for row in rows], dtype)
    np.testing.assert_array_equal(in_order(bucket, x), np.lexsort((x, bucket)))
    np.testing.assert_array_equal(in_order(bucket << 50, x), np.lexsort((x, bucket)))


@given(st.lists(st.floats(), max_size=30), st.sampled_from(["linear", "log"]))
def test_a_range_is_finite_and_grows(values: list[float], scale: str) -> None:
    low, high = shown_range(Column("c", "float64", scale=scale), np.array(values, float))
    assert np.isfinite(low)
    assert np.isfinite(high)
    assert 1e-12 * max(abs(low), abs(high), 1e-288) < high - low < 1e300
    assert scale == "linear" or low > 0


def test_a_range_leaves_outliers_out() -> None:
    column, values = Column("c", "float64"), np.linspace(0, 1, 10_001)
    values[:3], values[-2:] = -1e6, (np.nan, np.inf)
    low, high = shown_range(column, values)
    np.testing.assert_allclose((low, high), (-0.04, 1.04), atol=0.002)
    assert shown_range(column, np.array([np.nan])) == (0.0, 1.0)
    assert shown_range(Column("c", "float64", scale="log"), np.array([-1.0])) == (0.001, 1.0)
    assert shown_range(column, np.zeros(5)) == (-0.5, 0.5)


@given(
    st.sampled_from(["f4", "f8", "u1", "i1", "?", "i8", [("#row", "<u4"), ("a_1", "<f8"), ("b", "|b1")]]),
    st.lists(st.integers(0, 5), max_size=3),
)
def test_what_is_saved_is_loaded(dtype: Any, shape: list[int]) -> None:
    array = np.zeros(shape, dtype)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "a.npy")
        save(file, array)
        np.testing.assert_array_equal(load(file), array, strict=True)
        np.testing.assert_array_equal(np.load(file), array, strict=True)
        assert facts_of(file).shape == array.shape


# However the build went


def snapshot(catalogue: Catalogue) -> dict[str, bytes]:
    root = catalogue.path / "index" / catalogue.digest[:16]
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalogue, dict[str, bytes]]:
    """A catalogue, and its index as a build that nothing disturbs makes it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(layout, name, value)
        path = tmp_path_factory.mktemp("original") / "cat"
        made = write(path, with_rows(rich_arrays(2500)), [400, 800, 1200, 1600, 2000])
        build_index(made)
        return made, snapshot(made)


@pytest.fixture
def catalogue(tmp_path: Path, original: tuple[Catalogue, dict[str, bytes]]) -> Catalogue:
    """A copy of the original without an index."""
    shutil.copytree(original[0].path, tmp_path / "cat", ignore=shutil.ignore_patterns("index"))
    return open_catalogue(tmp_path / "cat")


@pytest.fixture
def wanted(original: tuple[Catalogue, dict[str, bytes]]) -> dict[str, bytes]:
    return original[1]


def forget(catalogue: Catalogue) -> None:
    shutil.rmtree(catalogue.path / "index")
    open_index.cache.clear()  # type: ignore[attr-defined]


UNITS = (
    (scan, "scan_part"), (runs, "sort_part"), (planes, "merge_chunk"), (planes, "link_plane"), (samples, "copy_part"),
    (samples, "finish_sample"), (sealing, "seal_file"),
)  # fmt: skip


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """The units that were done, each when it is."""
    finished: list[tuple[str, Any]] = []

    def recorded(name: str, work: Callable[..., None]) -> Callable[..., None]:
        def unit(job: Any, item: Any, **options: Any) -> None:
            work(job, item, **options)
            finished.append((name, item))

        return unit

    for module, name in UNITS:
        monkeypatch.setattr(module, name, recorded(name, getattr(module, name)))
    return finished


@pytest.mark.parametrize("when", [0, 3, 9, 14, 25, 34, 42, 60])
def test_a_build_goes_on_where_it_was_interrupted(
    catalogue: Catalogue, wanted: dict[str, bytes], done: list[tuple[str, Any]], when: int
) -> None:
    calls = 0

    def interrupt(rows: int) -> None:
        nonlocal calls
        calls += 1
        if calls > when:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(catalogue, interrupt)
    assert not has_index(catalogue)
    before = len(done)
    told: list[int] = []
    build_index(catalogue, told.append)
    assert sum(told) == catalogue.rows
    assert snapshot(catalogue) == wanted
    assert len(set(done)) == len(done)  # nothing was done twice
    assert {name for name, _ in done} == {name for _, name in UNITS}
    assert len(done) - before < len(done) or when < 2


KILLED = """
import os, signal, sys
from galviz.catalogue import open_catalogue
from galviz.index import build_index, layout, planes
for name, value in {small}.items():
    setattr(layout, name, value)
assert "distributed" not in sys.modules  # only those who use a cluster wait for it
merge, calls = planes.merge_chunk, []
def merge_and_die(job, item):
    merge(job, item)
    calls.append(item)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
planes.merge_chunk = merge_and_die
build_index(open_catalogue(sys.argv[1]))
"""


def test_a_build_that_was_killed_goes_on(
    catalogue: Catalogue, wanted: dict[str, bytes], done: list[tuple[str, Any]]
) -> None:
    program = [sys.executable, "-c", KILLED.format(small=SMALL), str(catalogue.path)]
    killed = subprocess.run(program, check=False, capture_output=True, cwd=Path(__file__).parents[1])
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    build_index(catalogue)
    assert snapshot(catalogue) == wanted
    names = [name for name, _ in done]
    assert "scan_part" not in names
    assert "sort_part" not in names
    merged = names.count("merge_chunk")
    done.clear()
    build_index(catalogue)
    assert [name for name, _ in done].count("merge_chunk") - merged >= 4
    assert os.listdir(catalogue.path / "index") == [catalogue.digest[:16]]


def test_an_old_index_works_until_the_new_one_is_there_even_after_a_failure(catalogue: Catalogue) -> None:
    old = build_index(catalogue)

    def fail(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(catalogue, fail)
    assert has_index(catalogue)
    open_index.cache.clear()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(open_index(catalogue).row, old.row)


def test_what_a_build_of_another_version_left_is_removed(catalogue: Catalogue) -> None:
    def fail(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(catalogue, fail)
    assert (catalogue.path / "index" / ".partial").is_dir()
    (catalogue.path / "index" / ".trash-left").mkdir()
    pieces = ({"p2": catalogue.read_part(part, ["p"])["p"]} for part in range(catalogue.parts))
    second = catalogue.add_columns("side", [Column("p2", "float32", "magnitude")], pieces)
    build_index(second)
    assert os.listdir(second.path / "index") == [second.digest[:16]]


def test_a_build_that_was_killed_when_the_index_was_in_place_is_not_continued(
    catalogue: Catalogue, wanted: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("galviz.index.build.discard", die)
        with pytest.raises(KeyboardInterrupt):
            build_index(catalogue)
    assert snapshot(catalogue) == wanted
    build_index(catalogue)
    assert snapshot(catalogue) == wanted


def test_units_parse_no_python(catalogue: Catalogue, wanted: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise SystemError("AST constructor recursion depth mismatch")  # as it does now and then in several threads

    with monkeypatch.context() as patch:
        patch.setattr("ast.parse", refuse)
        build_index(catalogue)
    assert snapshot(catalogue) == wanted


def test_a_file_system_without_locks_will_do(
    catalogue: Catalogue, wanted: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    build_index(catalogue)
    assert snapshot(catalogue) == wanted


def test_two_builds_at_once_do_not_meet(catalogue: Catalogue, wanted: dict[str, bytes]) -> None:
    started, may_go_on = threading.Event(), threading.Event()

    def wait(rows: int) -> None:
        started.set()
        assert may_go_on.wait(20)

    first = threading.Thread(target=build_index, args=(catalogue, wait))
    first.start()
    try:
        assert started.wait(20)
        with pytest.raises(
            CatalogueError, match=r"^Another build of the index of .* is running; wait until it is done\.$"
        ):
            build_index(catalogue)
    finally:
        may_go_on.set()
        first.join()
    assert snapshot(catalogue) == wanted
    build_index(catalogue)
    assert snapshot(catalogue) == wanted


@pytest.mark.parametrize("size", [200, 3000, 30_000, 60_000])
def test_a_full_disk_leaves_nothing_behind(catalogue: Catalogue, size: int) -> None:
    with small_disk(size), pytest.raises(CatalogueError, match=r"Cannot write .*; make room"):
        build_index(catalogue)
    assert os.listdir(catalogue.path / "index") == []


def test_too_many_rows_are_a_sentence(catalogue: Catalogue) -> None:
    parts = tuple(dataclasses.replace(part, rows=10**9) for part in catalogue.manifest.groups[0].parts)
    group = dataclasses.replace(catalogue.manifest.groups[0], parts=parts)
    manifest: Manifest = dataclasses.replace(catalogue.manifest, groups=(group,))
    with pytest.raises(CatalogueError, match="an index holds 4,000,000,000 at most"):
        build_index(dataclasses.replace(catalogue, manifest=manifest))


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with cluster() as made:
        yield made


def test_a_cluster_builds_the_same_index(tmp_path: Path, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # The workers know the numbers of the library only.
    monkeypatch.undo()
    monkeypatch.setattr(layout, "CHUNK_ROWS", 500)
    monkeypatch.setattr(layout, "EXACT_ROWS", 900)
    catalogue = write(tmp_path / "cat", with_rows(rich_arrays(2500)), [400, 800, 1200])
    build_index(catalogue)
    wanted = snapshot(catalogue)
    forget(catalogue)
    told: list[int] = []
    build_index(catalogue, told.append, client=client)
    assert sum(told) == catalogue.rows
    assert snapshot(catalogue) == wanted


def test_what_goes_wrong_on_a_worker_is_the_same_sentence(catalogue: Catalogue, client: Any) -> None:
    (catalogue.path / "parts" / "part-00002.parquet").write_bytes(b"PAR1")
    with pytest.raises(CatalogueError, match="Cannot read"):
        build_index(catalogue, client=client)
    assert not has_index(catalogue)
