"""The contestants: galviz, Datashader in memory and over Dask Parquet, and DuckDB, each in its quickest fair form.

They draw the same requests: counts per class or the mean of a column for each pixel. Contestants other than galviz
read `peer_table`, a copy of just the columns that they need, derived ones computed, so that none pays for more.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from pathlib import Path
from typing import Any, Protocol

import dask
import dask.dataframe as dd
import datashader as ds
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.scenarios import CLASS, COLUMNS
from galviz.catalogue import Catalogue, blocks
from galviz.clauses import Box, OneOf, Polygon, Range
from galviz.draw import Request, Viewport, draw_many
from galviz.selection import Selection

THREADS = 2
FILE_PARTS = 4  # parts of a catalogue in one file of a peer table
Arrays = Mapping[str, NDArray[Any]]


class Contestant(Protocol):
    """Draws requests of one selection; arrays (height, width, classes), or (height, width) for a mean.

    The best of `tries` in a row counts.
    """

    name: str
    tries: int

    def draw(self, requests: Sequence[Request]) -> list[Any]: ...


class Galviz:
    """The engine itself; answers are arrays with attributes. A second try would be answered by a cache."""

    tries = 1

    def __init__(self, catalogue: Catalogue, *, exact: bool) -> None:
        self.name = "galviz exact" if exact else "galviz first"
        self._catalogue, self._exact = catalogue, exact

    def draw(self, requests: Sequence[Request]) -> list[Any]:
        return draw_many(self._catalogue, requests, exact=self._exact)


def peer_table(catalogue: Catalogue) -> Path:
    """The folder of Parquet files with COLUMNS as float32 and class codes as int8, made if it is missing."""
    folder = catalogue.path.with_name(f"{catalogue.path.name}.peers")
    if folder.is_dir():
        return folder
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)

    def write(parts: slice) -> None:
        read = [catalogue.read_part(part, COLUMNS) for part in range(parts.start, parts.stop)]
        table = pa.table({name: np.concatenate([arrays[name] for arrays in read]) for name in COLUMNS})
        path = partial / f"part-{parts.start:05d}.parquet"
        pq.write_table(table, path, compression="zstd", compression_level=1, row_group_size=250_000)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(write, blocks(catalogue.parts, FILE_PARTS)))
    partial.rename(folder)
    return folder


def files(table: Path) -> list[Path]:
    return sorted(table.glob("*.parquet"))


def columns_of(requests: Sequence[Request]) -> list[str]:
    """The columns that pictures show, those of the selection left out."""
    shown = [name for r in requests for name in (r.view.x, r.view.y, r.by, r.mean) if name]
    return list(dict.fromkeys(shown))


def selected(selection: Selection, arrays: Arrays, names: Sequence[str]) -> NDArray[np.bool_] | None:
    """The mask of a selection by plain comparisons; class codes are compared, `names` being those of the classes."""
    masks = [_clause_mask(clause, arrays, names) for _, clause in selection]
    return reduce(np.logical_and, masks) if masks else None


def _clause_mask(clause: Any, arrays: Arrays, names: Sequence[str]) -> NDArray[np.bool_]:
    if isinstance(clause, Range):
        return reduce(np.logical_and, _sides(clause, arrays[clause.column]))
    if isinstance(clause, OneOf):
        codes = [names.index(str(value)) for value in clause.values]
        return reduce(np.logical_or, [arrays[clause.column] == code for code in codes])
    (x_low, x_high), (y_low, y_high) = clause.bounds()[clause.x], clause.bounds()[clause.y]
    if isinstance(clause, Box):
        x_low, x_high, y_low, y_high = clause.x_low, clause.x_high, clause.y_low, clause.y_high
    x, y = arrays[clause.x], arrays[clause.y]
    near = (x >= _f32(x_low)) & (x <= _f32(x_high)) & (y >= _f32(y_low)) & (y <= _f32(y_high))
    if isinstance(clause, Polygon):  # the slow test only within the bounding box
        places = np.flatnonzero(near)
        near[places] = clause.mask({clause.x: x[places], clause.y: y[places]})
    return near


def _f32(value: float) -> np.float32:
    return np.float32(value)


def _sides(clause: Range, values: NDArray[Any]) -> list[NDArray[np.bool_]]:
    sides = []
    if clause.low is not None:
        sides.append(values >= _f32(clause.low) if clause.include_low else values > _f32(clause.low))
    if clause.high is not None:
        sides.append(values <= _f32(clause.high) if clause.include_high else values < _f32(clause.high))
    return sides


def _canvas(view: Viewport) -> ds.Canvas:
    return ds.Canvas(view.width, view.height, x_range=view.x_range, y_range=view.y_range)


def _points(frame: Any, request: Request) -> NDArray[Any]:
    view = request.view
    agg = ds.mean(request.mean) if request.mean else ds.count_cat(request.by)
    return np.asarray(_canvas(view).points(frame, view.x, view.y, agg=agg))


class Memory:
    """Datashader on a float32 frame in memory: masked once, then `points` for each view.

    Rows are taken by number, column by column: of the ways that pandas and NumPy offer the quickest. With
    `threads` the columns are taken and the views are drawn side by side, which few users do. Of two tries in a
    row the second finds its memory mapped already.
    """

    tries = 2

    def __init__(self, table: Path, class_names: Sequence[str], columns: Sequence[str] = COLUMNS) -> None:
        self.name, self._names = "datashader memory", list(class_names)
        rows = sum(pq.read_metadata(path).num_rows for path in files(table))
        self._arrays = {name: np.empty(rows, np.int8 if name == CLASS else np.float32) for name in columns}
        start = 0
        for path in files(table):
            part = pq.read_table(path, columns=list(columns))
            for name in columns:
                self._arrays[name][start : start + part.num_rows] = part.column(name).to_numpy()
            start += part.num_rows
        self._pool: ThreadPoolExecutor | None = None

    def threaded(self) -> Memory:
        """The same frame, drawn by two threads."""
        other = object.__new__(Memory)
        other.__dict__ = dict(self.__dict__)
        other.name, other._pool = "the same, two threads", ThreadPoolExecutor(THREADS)
        return other

    def draw(self, requests: Sequence[Request]) -> list[Any]:
        each = self._pool.map if self._pool else map
        columns = columns_of(requests)
        mask = selected(requests[0].selection, self._arrays, self._names)
        if mask is None:
            taken = [self._arrays[name] for name in columns]
        else:
            places = np.flatnonzero(mask)
            taken = list(each(lambda name: np.take(self._arrays[name], places), columns))
        frame = _frame(dict(zip(columns, taken, strict=True)), self._names)
        return list(each(lambda request: _points(frame, request), requests))


def _frame(arrays: Arrays, names: Sequence[str]) -> pd.DataFrame:
    def column(name: str, values: NDArray[Any]) -> Any:
        return pd.Categorical.from_codes(values, categories=list(names)) if name == CLASS else values

    return pd.DataFrame({name: column(name, values) for name, values in arrays.items()}, copy=False)


def _needed(requests: Sequence[Request]) -> list[str]:
    return list(dict.fromkeys((*columns_of(requests), *requests[0].selection.columns)))


def _filtered(frame: pd.DataFrame, selection: Selection, columns: list[str], names: Sequence[str]) -> pd.DataFrame:
    arrays = {name: frame[name].to_numpy() for name in frame.columns}
    mask = selected(selection, arrays, names)
    return _frame({name: arrays[name] if mask is None else arrays[name][mask] for name in columns}, names)


class DaskParquet:
    """Datashader over a Dask frame of Parquet, as its users do it: filter, then `points` for each view.

    Each view reads only the columns that it needs.
    """

    tries = 1

    def __init__(self, table: Path, class_names: Sequence[str]) -> None:
        self.name, self._names = "datashader dask", list(class_names)
        self._paths = [str(path) for path in files(table)]

    def draw(self, requests: Sequence[Request]) -> list[Any]:
        with dask.config.set(scheduler="threads", num_workers=THREADS):
            return [_points(self._lazy(request), request) for request in requests]

    def _lazy(self, request: Request) -> Any:
        columns = columns_of([request])
        frame = dd.read_parquet(self._paths, columns=_needed([request]), split_row_groups=False)
        empty = _frame({name: np.empty(0, np.int8 if name == CLASS else np.float32) for name in columns}, self._names)
        return frame.map_partitions(_filtered, request.selection, columns, self._names, meta=empty)


class DaskFused:
    """A hand-written form that few users write: each file is read once, masked once, and drawn into all views."""

    tries = 1

    def __init__(self, table: Path, class_names: Sequence[str]) -> None:
        self.name, self._names = "the same, fused by hand", list(class_names)
        self._paths = files(table)

    def draw(self, requests: Sequence[Request]) -> list[Any]:
        sums = [dask.delayed(self._draw_file)(path, requests) for path in self._paths]
        while len(sums) > 1:
            sums = [dask.delayed(_add)(sums[i : i + 8]) for i in range(0, len(sums), 8)]
        [totals] = dask.compute(*sums, scheduler="threads", num_workers=THREADS)
        return [_mean(*total) if request.mean else total[0] for request, total in zip(requests, totals, strict=True)]

    def _draw_file(self, path: Path, requests: Sequence[Request]) -> list[list[NDArray[Any]]]:
        table = pq.read_table(path, columns=_needed(requests), use_threads=False)
        frame = table.to_pandas(use_threads=False)
        frame = _filtered(frame, requests[0].selection, columns_of(requests), self._names)
        return [self._draw_view(frame, request) for request in requests]

    @staticmethod
    def _draw_view(frame: pd.DataFrame, request: Request) -> list[NDArray[Any]]:
        view = request.view
        if not request.mean:
            return [_points(frame, request)]
        aggregates = (ds.sum(request.mean), ds.count(request.mean))
        return [np.nan_to_num(_canvas(view).points(frame, view.x, view.y, agg=agg)) for agg in aggregates]


def _add(several: list[list[list[NDArray[Any]]]]) -> list[list[NDArray[Any]]]:
    return [[sum(arrays[1:], arrays[0]) for arrays in zip(*views, strict=True)] for views in zip(*several, strict=True)]


def _mean(total: NDArray[Any], count: NDArray[Any]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count)


class DuckDB:
    """DuckDB over the same Parquet: one query a view, filtered and grouped by pixel and class."""

    tries = 1

    def __init__(self, table: Path, class_names: Sequence[str]) -> None:
        duckdb = importlib.import_module("duckdb")  # of the extra `bench`
        self.name, self._names = "duckdb", list(class_names)
        self._connection = duckdb.connect(config={"threads": THREADS, "memory_limit": "6GB"})
        self._source = f"read_parquet('{table}/*.parquet')"

    def draw(self, requests: Sequence[Request]) -> list[Any]:
        return [self._draw(request) for request in requests]

    def _draw(self, request: Request) -> NDArray[Any]:
        view, where = request.view, self._where(request.selection)
        x, y = _pixel(view.x, view.x_range, view.width), _pixel(view.y, view.y_range, view.height)
        inside = [f"{c}::DOUBLE BETWEEN {a!r} AND {b!r}" for c, (a, b) in _ranges(view)]
        key = f"{y} * {view.width} + {x}"
        key, value = (key, f"avg({request.mean})") if request.mean else (f"({key}) * 4 + {request.by}", "count(*)")
        condition = " AND ".join((*where, *inside))
        query = f"SELECT {key} AS k, {value} AS v FROM {self._source} WHERE {condition} GROUP BY k"
        found = self._connection.execute(query).fetchnumpy()
        shape = (view.height, view.width)
        if request.mean:
            means = np.full(view.height * view.width, np.nan)
            means[found["k"]] = found["v"]
            return means.reshape(shape)
        counts = np.zeros(view.height * view.width * 4, np.uint32)
        counts[found["k"]] = found["v"]
        return counts.reshape(*shape, 4)[..., : len(self._names)]

    def _where(self, selection: Selection) -> list[str]:
        return [self._condition(clause) for _, clause in selection]

    def _condition(self, clause: Any) -> str:
        if isinstance(clause, OneOf):
            return f"{clause.column} IN ({', '.join(str(self._names.index(str(v))) for v in clause.values)})"
        if isinstance(clause, Range):
            return _range_condition(clause)
        if isinstance(clause, Box):
            sides = Range(clause.x, clause.x_low, clause.x_high), Range(clause.y, clause.y_low, clause.y_high)
        else:
            sides = tuple(Range(column, *limits) for column, limits in clause.bounds().items())
        box = " AND ".join(_range_condition(side) for side in sides)
        return f"{box} AND {_even_odd(clause)}" if isinstance(clause, Polygon) else box


def _ranges(view: Viewport) -> list[tuple[str, tuple[float, float]]]:
    return [(view.x, view.x_range), (view.y, view.y_range)]


def _pixel(column: str, limits: tuple[float, float], pixels: int) -> str:
    scale = pixels / (limits[1] - limits[0])
    return f"least({pixels - 1}, floor({column}::DOUBLE * {scale!r} + {-limits[0] * scale!r}))::INTEGER"


def _range_condition(clause: Range) -> str:
    sides = []
    if clause.low is not None:
        sides.append(f"{clause.column} {'>=' if clause.include_low else '>'} {clause.low!r}::FLOAT")
    if clause.high is not None:
        sides.append(f"{clause.column} {'<=' if clause.include_high else '<'} {clause.high!r}::FLOAT")
    return " AND ".join(sides)


def _even_odd(clause: Polygon) -> str:
    """The number of sides to the right of a point is odd."""
    corners = clause.vertices
    crossings = []
    for (x0, y0), (x1, y1) in zip(corners, (*corners[1:], corners[0]), strict=True):
        if y0 != y1:
            at = f"{x0!r} + ({clause.y}::DOUBLE - {y0!r}) * {(x1 - x0) / (y1 - y0)!r}"
            crossings.append(f"(({clause.y} > {y0!r}) <> ({clause.y} > {y1!r}) AND {clause.x} < {at})::INTEGER")
    return f"({' + '.join(crossings)}) % 2 = 1"


PEERS: dict[str, Callable[[Path, Sequence[str]], Contestant]] = {
    "dask": DaskParquet,
    "fused": DaskFused,
    "duckdb": DuckDB,
}
