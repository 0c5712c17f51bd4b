"""The law of drawing, from the sorted planes of an index: ``python -m benchmarks.law --cases 1000``.

Random viewports, selections and statistics are drawn by galviz and by `datashader.Canvas.points` on the selected rows
of a pandas frame; random lassos, with sources right on their edges and vertices, are compared with exact integers.
Exits with 1 where one differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import datashader as ds
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galviz import coarse, exact, marks, tally, values
from galviz.catalogue import Catalogue, CatalogueWriter, open_catalogue
from galviz.draw import Request, Viewport, draw_many, never, selected
from galviz.index import build_index, layout, open_index
from galviz.manifest import Column, SourceClass, new_manifest
from galviz.selection import Box, Clause, Cone, OneOf, Polygon, Range, Selection

STATISTICS = ("count", "by", "mean", "std", "min", "max")
CLASSES = tuple(
    SourceClass(name, name.lower(), f"{name.lower()}s", colour)
    for name, colour in (("GALAXY", "#65ec65"), ("QSO", "#ff69b4"), ("NOVA", "#ffffff"), ("STAR", "#1e90ff"))
)  # there is no NOVA
COLUMNS = {
    "u": Column("u", "float32", "embedding"),
    "v": Column("v", "float32", "embedding"),
    "ra": Column("ra", "float64", "position", "deg"),
    "dec": Column("dec", "float64", "position", "deg"),
    "g": Column("g", "float32", "magnitude", "mag"),
    "r": Column("r", "float32", "magnitude", "mag"),
    "i": Column("i", "float64", "magnitude", "mag"),
    "size": Column("size", "float32", "morphology", scale="log"),
    "odd": Column("odd", "bool", "other", kind="flag"),
    "note": Column("note", "float32"),  # of no role that an index holds
    "p_best": Column("p_best", "float32", "best_probability"),
    "p_star": Column("p_star", "float32", "probability", of_class="STAR"),
    "class": Column("class", "int8", "truth", kind="class"),
    "class_pred": Column("class_pred", "int8", "prediction", kind="class"),
}
DERIVED = (Column("g_r", "float32", "colour", formula=("difference", "g", "r")),)
NUMBERS = ("u", "v", "ra", "dec", "g", "r", "g_r", "i", "size", "note", "p_best", "p_star")
CARRIED = ("r", "size", "odd", "p_best", "p_star")  # which every plane has a copy of
ROUNDED = ("ra", "dec", "i")  # double precision, so that Datashader's sums are rounded
PLANES = (("u", "v"), ("ra", "dec"), ("g_r", "r"))
UNIT = 1 << 16  # lassos are told in whole numbers of 1 / UNIT


def survey(rows: int, seed: int) -> dict[str, NDArray[Any]]:
    """Columns with ties, duplicates, missing and infinite values, and sums that double precision holds exactly."""
    rng = np.random.default_rng(seed)

    def stepped(values: NDArray[Any], step: float) -> NDArray[Any]:
        return np.asarray(np.round(values / step) * step, np.float32)

    arrays: dict[str, NDArray[Any]] = {
        "u": rng.normal(0, 3, rows).astype(np.float32),
        "v": rng.normal(0, 2, rows).astype(np.float32),
        "ra": rng.uniform(0, 360, rows),
        "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, rows))),
        "g": stepped(rng.uniform(15, 24, rows), 1 / 200),
        "r": stepped(rng.uniform(14, 23, rows), 1 / 200),
        "i": rng.uniform(13, 22, rows),
        "size": stepped(np.exp(rng.normal(0, 1, rows)), 2**-10),
        "odd": rng.random(rows) < 0.1,
        "note": stepped(rng.normal(0, 1, rows), 2**-12),
        "p_best": stepped(rng.uniform(0, 1, rows), 1 / 200),
        "p_star": stepped(rng.uniform(0, 1, rows), 1 / 1000),  # too many values for codes
        "class": rng.choice([-1, 0, 1, 3], rows).astype(np.int8),
        "class_pred": rng.choice([-1, 0, 1, 3], rows, p=(0.05, 0.6, 0.05, 0.3)).astype(np.int8),
    }
    # On a coarse grid too, so that many sources tie and fall on the edges of pixels and viewports.
    some = rng.random(rows) < 0.3
    for name in ("u", "v", "ra", "dec"):
        arrays[name][some] = np.round(arrays[name][some] * 2) / 2
    spot = rng.random(rows) < 0.05
    arrays["u"][spot], arrays["v"][spot] = 1.25, -0.5
    for name in ("u", "v", "g", "r", "size", "p_best", "p_star"):
        arrays[name][rng.random(rows) < 0.02] = np.nan
    for name in ("u", "v", "dec"):
        arrays[name][rng.random(rows) < 0.001] = np.inf
        arrays[name][rng.random(rows) < 0.001] = -np.inf
    return arrays


def gridded(rows: int, seed: int) -> dict[str, NDArray[Any]]:
    """Two planes of coordinates that are whole numbers of 1 / UNIT, half of them of 1 / 4."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, NDArray[Any]] = {}
    for name, dtype in (("u", np.float32), ("v", np.float32), ("ra", np.float64), ("dec", np.float64)):
        places = rng.integers(-8 * UNIT, 8 * UNIT, rows)
        coarse = rng.integers(-32, 32, rows) * (UNIT // 4)
        arrays[name] = (np.where(np.arange(rows) % 2, places, coarse) / UNIT).astype(dtype)
    arrays["class_pred"] = rng.integers(-1, 4, rows).astype(np.int8)
    return arrays


def write(path: Path, arrays: Mapping[str, NDArray[Any]], parts: int = 3) -> Catalogue:
    """A catalogue of some of `COLUMNS`."""
    new = new_manifest(
        "law", "none", {}, title="Law", simulated=True, classes=CLASSES, features=(), derived=DERIVED,
        defaults={"colour_magnitude": ["g_r", "r"], "filters": ["r", "size", "odd"]},
    )  # fmt: skip
    with CatalogueWriter(path, tuple(COLUMNS[name] for name in arrays), new) as writer:
        pieces = {name: np.array_split(values, parts) for name, values in arrays.items()}
        for number in range(parts):
            writer.write(number, {name: piece[number] for name, piece in pieces.items()})
    return open_catalogue(path)


@contextmanager
def cut_small(rows: int, strips: int = 64, *, loose: bool = True) -> Iterator[None]:
    """Lay out and draw a small catalogue like a large one: many strips, several pieces; `loose` columns or none."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(layout, "STRIP_ROWS", max(1, rows // strips)))
        few = max(500, rows // 4)
        stack.enter_context(patch.multiple(exact, LEAST_PIECE=few, MOST_PIECE=few))
        stack.enter_context(patch.object(coarse, "LEAST_ROWS", 1))
        stack.enter_context(patch.object(values, "COPIED_ROWS", 1))
        for module in (tally, marks):
            stack.enter_context(patch.object(module, "chunks", partial(marks.chunks, rows=few)))
        if not loose:
            stack.enter_context(patch.multiple(layout, ROW_BYTES=0, LEAST_BYTES=0))
        yield


class Peer:
    """Datashader on a pandas frame of the whole catalogue, made from its Parquet parts."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.table: pd.DataFrame = catalogue.frame().compute().reset_index(drop=True)

    def picture(self, request: Request) -> NDArray[Any]:
        """What Datashader makes of a request."""
        view = request.view
        names = {name: self.table[name] for name in {*request.selection.columns, view.x, view.y}}
        chosen = self.table[request.selection.mask(names, len(self.table))]
        if request.statistic == "by":
            chosen = chosen[chosen[request.column].notna()]  # Datashader has no "no class"
        if chosen.empty:  # Datashader cannot draw no rows at all
            chosen = self.table.iloc[:1].assign(**{view.x: np.nan})
            chosen[request.by or "class"] = chosen[request.by or "class"].fillna("STAR")
        value = request.column if request.statistic not in ("count", "by") else view.x
        # Fixed names and types, since Datashader compiles anew for every other.
        frame = pd.DataFrame({"x": chosen[view.x], "y": chosen[view.y], "value": chosen[value].astype(float)})
        canvas = ds.Canvas(view.width, view.height, view.x_range, view.y_range)
        if request.statistic == "by":
            frame["class"] = chosen[request.by]
            return canvas.points(frame, "x", "y", ds.count_cat("class")).to_numpy()
        drawn = canvas.points(frame, "x", "y", ds.summary(count=ds.count(), **_OF_VALUES))
        return drawn[request.statistic].to_numpy()


_OF_VALUES = {name: getattr(ds, name)("value") for name in ("mean", "std", "min", "max")}


def differs(request: Request, own: NDArray[Any], theirs: NDArray[Any], largest: float) -> bool:
    """Whether two pictures are not equal; `largest` is the largest value of the column, without its sign.

    Counts and extremes are the same numbers. So are means where sums need no rounding. Standard deviations are not:
    Datashader rounds a running sum of squares at every source, in the order of the file.
    """
    if own.shape != theirs.shape:
        return True
    if request.statistic == "std":
        return not np.allclose(own, theirs, rtol=1e-9, atol=1e-9 * largest, equal_nan=True)
    if request.statistic == "mean" and request.column in ROUNDED:
        return not np.allclose(own, theirs, rtol=1e-12, atol=1e-12 * largest, equal_nan=True)
    return not np.array_equal(own, theirs, equal_nan=request.statistic not in ("count", "by"))


class Cases:
    """Random requests for a catalogue of `survey`."""

    def __init__(self, peer: Peer, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.table = peer.table
        self.finite = {
            name: values[np.isfinite(values)] for name in NUMBERS for values in [peer.table[name].to_numpy()]
        }

    def request(self) -> Request:
        """A picture of one of the usual planes."""
        statistic, plane = self.one(STATISTICS), self.one(PLANES)
        column = "class_pred" if statistic == "by" else self.one((*CARRIED, *CARRIED, *plane, *plane, *NUMBERS))
        options = {} if statistic == "count" else {statistic: column}
        several = [self.clause() for _ in range(self.rng.choice(5, p=(0.1, 0.4, 0.3, 0.1, 0.1)))]
        selection = Selection(tuple((str(number), clause) for number, clause in enumerate(several)))
        return Request(self.view(*plane), selection, **options)

    def one(self, choices: Sequence[Any]) -> Any:
        return choices[self.rng.integers(len(choices))]

    def value(self, name: str) -> float:
        """A value of a column, or one between."""
        known = self.finite[name]
        stored = float(known[self.rng.integers(known.size)])
        return stored if self.rng.random() < 0.6 else stored + float(self.rng.normal(0, 0.1))

    def ordered(self, name: str) -> tuple[float, float]:
        low, high = sorted((self.value(name), self.value(name)))
        return low, high

    def view(self, x: str, y: str) -> Viewport:
        ranges = [self.extent(name) for name in (x, y)]
        coarse = self.rng.random() < 0.6  # so that a pixel holds many sources of a strip
        width, height = (3, 2), (21, 9) if coarse else (400, 300)
        sizes = [int(self.rng.integers(low, high)) for low, high in zip(width, height, strict=True)]
        return Viewport(x, y, ranges[0], ranges[1], *sizes)

    def extent(self, name: str) -> tuple[float, float]:
        known = self.finite[name]
        low, high = float(known.min()), float(known.max())
        kind = self.rng.random()
        if kind < 0.35:
            return low, high
        if kind < 0.5:
            return low - 1, high + 1
        if kind < 0.55:
            return high + 1, high + 2
        size = (high - low) * 10 ** self.rng.uniform(-3, 0)
        start = self.value(name) - size * self.one((0, 0.5, 1))
        return start, start + size

    def clause(self) -> Clause:
        return self.one((self.range, self.range, self.one_of, self.box, self.polygon, self.cone, self.all_or_none))()

    def range(self) -> Clause:
        name = self.one(NUMBERS)
        low, high = self.ordered(name)
        sides = [bool(side) for side in self.rng.random(2) < 0.5]
        limits = self.one(((low, high), (low, None), (None, high)))
        return Range(name, *limits, *sides)

    def one_of(self) -> Clause:
        classes = tuple(entry.name for entry in CLASSES if self.rng.random() < 0.6)
        several = tuple(self.value(name) for name in ["p_best"] * 3)
        return self.one((
            OneOf("class_pred", classes), OneOf("class", classes), OneOf("odd", (bool(self.rng.integers(2)),)),
            OneOf("p_best", several), OneOf("p_best", several[:1]), OneOf("p_star", (self.value("p_star"), 0.5)),
        ))  # fmt: skip

    def axes(self) -> tuple[str, str]:
        """Mostly a usual plane, as it is or with its axes swapped."""
        x, y = self.one(PLANES)
        return self.one(((x, y), (x, y), (x, y), (y, x), ("i", x), (x, x)))

    def box(self) -> Clause:
        x, y = self.axes()
        return Box(x, y, *self.ordered(x), *self.ordered(y))

    def polygon(self) -> Clause:
        x, y = self.axes()
        number = int(self.rng.integers(3, 12))
        if self.rng.random() < 0.4:  # vertices on sources
            both = self.table[[x]].assign(other=self.table[y]).to_numpy(float)
            known = both[np.isfinite(both).all(axis=1)]
            vertices = known[self.rng.integers(len(known), size=number)]
        else:
            vertices = np.array([(self.value(x), self.value(y)) for _ in range(number)])
        return Polygon(x, y, tuple((float(a), float(b)) for a, b in vertices))

    def cone(self) -> Clause:
        return Cone("ra", "dec", self.value("ra"), min(90.0, max(-90.0, self.value("dec"))), self.rng.uniform(0.1, 180))

    def all_or_none(self) -> Clause:
        name = self.one(NUMBERS)
        return self.one((Range(name, -1e30), Range(name, 1e30), OneOf("class_pred", ()), Range(name, -1e300, 1e300)))


def check_pictures(catalogue: Catalogue, peer: Peer, cases: int, seed: int) -> Counter[str]:
    """Draw random requests twice over; how many were equal, differ, and came from the sorted planes."""
    random, told = Cases(peer, seed), Counter[str]()
    index = open_index(catalogue)
    for _ in range(cases):
        request = random.request()
        own = draw_many(catalogue, [request])[0].to_numpy()
        known = random.finite.get(str(request.column), np.zeros(1))
        wrong = differs(request, own, peer.picture(request), float(np.abs(known).max()))
        told["differ" if wrong else "equal"] += 1
        told["from planes"] += exact.plane_of(catalogue, index, request.named(catalogue), never) is not None
        told[request.statistic] += 1
        if wrong:
            print(f"NOT EQUAL: {request}")
    return told


def lasso(rng: np.random.Generator, sources: NDArray[np.int64]) -> NDArray[np.int64]:
    """Vertices (corners, 2) in units of 1 / UNIT: on sources, or so that a source is the middle of an edge."""
    corners = [sources[rng.integers(len(sources))]]
    for _ in range(int(rng.integers(2, 14))):
        source = sources[rng.integers(len(sources))]
        kind = rng.random()
        if kind < 0.4:
            corners.append(source)
        elif kind < 0.7:
            corners.append(2 * source - corners[-1])
        elif kind < 0.9:
            corners.append(rng.integers(-9 * UNIT, 9 * UNIT, 2))
        else:  # an upright or a level edge
            corners.append(np.where([rng.random() < 0.5, True], source, corners[-1]))
    return np.array(corners)


def inside_exactly(sources: NDArray[np.int64], corners: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The even-odd rule in whole numbers, edges and vertices inside; numbers below 2^30 cannot overflow."""
    x, y = sources.T
    inside, on_edge = np.zeros((2, len(x)), bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        cross = (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)
        between = (np.minimum(x0, x1) <= x) & (x <= np.maximum(x0, x1))
        between &= (np.minimum(y0, y1) <= y) & (y <= np.maximum(y0, y1))
        on_edge |= (cross == 0) & between
        crossed = (np.minimum(y0, y1) <= y) & (y < np.maximum(y0, y1))
        to_the_right = cross > 0 if y1 > y0 else cross < 0
        inside ^= crossed & to_the_right
    return inside | on_edge


def check_lassos(catalogue: Catalogue, lassos: int, seed: int) -> Counter[str]:
    """Select by random lassos in either plane, axes swapped now and then; how many were equal and differ."""
    rng, told = np.random.default_rng(seed), Counter[str]()
    table = catalogue.frame().compute()
    for number in range(lassos):
        x, y = PLANES[number % 2] if rng.random() < 0.7 else PLANES[number % 2][::-1]
        sources = np.rint(table[[x, y]].to_numpy(float) * UNIT).astype(np.int64)
        corners = lasso(rng, sources)
        wanted = inside_exactly(sources, corners)
        vertices = tuple((float(a), float(b)) for a, b in corners / UNIT)
        chosen = Selection().choose("lasso", Polygon(x, y, vertices))
        rows = np.sort(np.concatenate([rows for rows, _ in selected(catalogue, chosen)]))
        # The other plane too, where the lasso is carried over.
        views = [Viewport(*plane, (-9, 9), (-9, 9), 50, 40) for plane in PLANES[:2]]
        pictures = draw_many(catalogue, [Request(view, chosen) for view in views])
        totals = {int(picture.sum()) for picture in pictures}
        same = np.array_equal(rows, np.flatnonzero(wanted)) and totals == {int(wanted.sum())}
        told["equal" if same else "differ"] += 1
        told["sources"] += int(wanted.sum())
        if not same:
            print(f"NOT EQUAL: {chosen}")
    return told


def main(arguments: list[str] | None = None) -> int:
    """Compare, print and return 1 when anything differs."""
    parser = argparse.ArgumentParser(description="Compare pictures with Datashader and lassos with exact arithmetic.")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--lassos", type=int, default=200)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    rows, seed = options.rows, options.seed
    told, lassos = Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        for number, loose in enumerate((True, False)):
            with cut_small(rows, loose=loose):
                catalogue = write(Path(folder) / f"survey-{number}", survey(rows, seed))
                build_index(catalogue)
                cases = options.cases // 2 + (options.cases % 2 if loose else 0)
                told += check_pictures(catalogue, Peer(catalogue), cases, seed + number)
        with cut_small(rows, loose=False):
            catalogue = write(Path(folder) / "gridded", gridded(rows, seed))
            build_index(catalogue)
            lassos = check_lassos(catalogue, options.lassos, seed)
    kinds = ", ".join(f"{told[name]} {name}" for name in STATISTICS)
    print(f"{told['equal']} of {options.cases} pictures of {rows:,} rows equal Datashader's ({kinds}; ", end="")
    print(f"{told['from planes']} from sorted planes)")
    print(f"{lassos['equal']} of {options.lassos} lassos equal exact arithmetic ({lassos['sources']:,} sources inside)")
    return 1 if told["differ"] or lassos["differ"] else 0


if __name__ == "__main__":
    sys.exit(main())
