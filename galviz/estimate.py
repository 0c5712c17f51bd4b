"""Quick estimates from the stratified samples of the sorted planes, each with its standard error.

A sample holds every source of a sparse cell, and of a crowded one a share that is known for each class, so that neither
an outlier nor a rare class is lost. A sampled source of weight w stands for w sources.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from cachetools import LRUCache, cached
from cachetools.keys import hashkey
from numpy.typing import NDArray

from galviz.catalogue import Catalogue
from galviz.index import Index, Plane
from galviz.index.layout import CELLS
from galviz.kernels import runs
from galviz.requests import Request, Viewport
from galviz.scan import Block
from galviz.selection import Clause, Mask, OneOf, Selection
from galviz.spare import full

MASK_BYTES = 64 << 20
PLACE_BYTES = 128 << 20
BIN_BYTES = 32 << 20
COLUMN_BYTES = 128 << 20
WEIGHT = ""  # the weights, which no column is named like
Estimate = tuple[NDArray[Any], NDArray[Any]]


def plane_of(catalogue: Catalogue, index: Index, request: Request) -> Plane | None:
    """The plane whose sample can estimate a request, best its own; None where there is no sample."""
    asked = (request.view.x, request.view.y, request.column or request.view.x, *request.selection.columns)
    names = {catalogue.manifest.column(name).name for name in asked}
    able = [plane for plane in index.planes if plane.sample is not None and names <= set(plane.sample.columns)]
    return next((plane for plane in able if _is_own(plane, request.view)), able[0] if able else None)


def _is_own(plane: Plane, view: Viewport) -> bool:
    return (plane.layout.x, plane.layout.y) == (view.x, view.y)


def home_of(index: Index, columns: tuple[str, ...]) -> Plane | None:
    """The plane whose sample answers for the whole catalogue."""
    return next((p for p in index.planes if p.sample is not None and set(columns) <= set(p.sample.columns)), None)


_masks: LRUCache[Any, Mask] = LRUCache(MASK_BYTES, getsizeof=lambda mask: max(mask.nbytes, 1))
_lock = threading.Lock()


def mask_of(catalogue: Catalogue, index: Index, plane: Plane, selection: Selection) -> Mask:
    """The selected rows of a sample."""
    assert plane.sample is not None
    rows = len(plane.sample.weight)
    result = np.ones(rows, bool)
    for _, clause in selection:
        key = (index.identity, plane.number, clause)
        with _lock:
            mask = _masks.get(key)
        if mask is None:
            mask = _mask(catalogue, index, plane, clause)
            with _lock:
                if mask.nbytes <= _masks.maxsize:
                    _masks[key] = mask
        result &= mask
    return result


def _mask(catalogue: Catalogue, index: Index, plane: Plane, clause: Clause) -> Mask:
    names = {catalogue.manifest.column(name).name for name in clause.columns}
    arrays = {name: _column(index, plane, name) for name in names}
    if isinstance(clause, OneOf) and all(catalogue.manifest.columns[name].kind == "class" for name in names):
        (codes,) = arrays.values()
        classes = np.append(np.arange(len(catalogue.manifest.classes)), -1).astype(np.int8)
        chosen = clause.mask({clause.column: catalogue.labelled(clause.column, classes)})
        return np.asarray(chosen[codes])  # that of no class comes last, where -1 looks it up
    return clause.mask(Block(catalogue, arrays, slice(0, len(next(iter(arrays.values()))))))


_kept_columns: LRUCache[Any, NDArray[Any]] = LRUCache(COLUMN_BYTES, getsizeof=lambda values: max(values.nbytes, 1))


@cached(
    _kept_columns,
    key=lambda index, plane, name: hashkey(index.identity, plane.number, name),
    lock=threading.Lock(),
)
def _column(index: Index, plane: Plane, name: str) -> NDArray[Any]:
    """A column of a sample in memory: the pages of a mapped file go cold, and an estimate cannot wait for them."""
    assert plane.sample is not None
    values = np.array(plane.sample.weight if name == WEIGHT else plane.sample.columns[name])
    values.flags.writeable = False
    return values


def draw(catalogue: Catalogue, index: Index, plane: Plane, request: Request) -> Estimate:
    """The estimate of a picture and its standard error, arrays of the shape of the exact picture."""
    sample = plane.sample
    assert sample is not None
    rows = np.flatnonzero(mask_of(catalogue, index, plane, request.selection))
    height, width = request.view.shape
    depth = len(catalogue.manifest.classes) if request.by else 1
    places, cells = _places(index, plane, request.view, request.by, depth)
    if request.statistic in ("count", "by"):
        counts, squared = (full((height, width, depth), 0, np.float32) for _ in range(2))
        # Sources that the sample does not show may be anywhere in their cell, of any class.
        floor = sample.floor if _is_own(plane, request.view) else np.full_like(sample.floor, sample.floor.mean())
        field = np.repeat(floor[:, :, None] / depth, depth, axis=2)
        weights = _column(index, plane, WEIGHT)
        runs.weigh_points(rows, places, cells, weights, counts.ravel(), squared.ravel(), field.ravel())
        runs.errors_of(squared, field, *_cells_shown(plane, request.view), squared)
        return (counts, squared) if request.by else (counts[:, :, 0], squared[:, :, 0])
    values = sample.columns[str(request.column)]
    pixels, ends = np.zeros((height * width, 4)), np.full((height * width, 2), np.nan)
    runs.weigh_values(rows, places, values, sample.weight, pixels, ends)
    sums, extremes = pixels.reshape(height, width, 4), ends.reshape(height, width, 2)
    filled = sums[:, :, 0] > 0
    spread = np.full((height, width), np.nan)
    np.divide(sums[:, :, 2], sums[:, :, 0], out=spread, where=filled)
    np.sqrt(spread, out=spread)
    # Of a weighted mean: the spread over the square root of the effective number of sources (Kish 1965).
    error = spread * np.sqrt(
        np.divide(sums[:, :, 3], sums[:, :, 0] ** 2, out=np.full_like(spread, np.nan), where=filled)
    )
    if request.statistic == "mean":
        return np.where(filled, sums[:, :, 1], np.nan), error
    if request.statistic == "std":
        return spread, error / np.sqrt(2.0)
    return extremes[:, :, 0 if request.statistic == "min" else 1], spread


_kept_places: LRUCache[Any, tuple[NDArray[np.int32], NDArray[np.int32]]] = LRUCache(
    PLACE_BYTES, getsizeof=lambda known: known[0].nbytes + known[1].nbytes
)


@cached(
    _kept_places,
    key=lambda index, plane, view, by, depth: hashkey(index.identity, plane.number, view, by),
    lock=threading.Lock(),
)
def _places(
    index: Index, plane: Plane, view: Viewport, by: str | None, depth: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Where each row of the sample counts in a picture, and in which cell; -1 for nowhere."""
    sample, layout = plane.sample, plane.layout
    assert sample is not None
    xs, ys = sample.columns[view.x], sample.columns[view.y]
    codes = sample.columns[by] if by else np.zeros(xs.size, np.int8)
    places = np.empty(xs.size, np.int32)
    runs.pixels_of(xs, ys, codes, depth, view.window, view.width, view.height, places)
    if not _is_own(plane, view):  # the cells are those of another plane, so that errors are of the rows alone
        return places, np.full(xs.size, -1, np.int32)
    columns, rows = _cells(xs, layout.x_low, layout.x_high), _cells(ys, layout.low, layout.high)
    known = np.isfinite(xs) & np.isfinite(ys) & (codes >= 0)
    return places, np.where(known, (rows * CELLS + columns) * depth + codes, -1).astype(np.int32)


def _cells(values: NDArray[Any], low: float, high: float) -> NDArray[np.int64]:
    """Which of the cells of the range each value lies in; those beyond count to the first and the last."""
    places = np.nan_to_num((values.astype(float) - low) / (high - low) * CELLS, nan=0.0)
    return np.clip(places, 0, CELLS - 1).astype(np.int64)


def _cells_shown(plane: Plane, view: Viewport) -> tuple[NDArray[np.int64], NDArray[np.int64], float]:
    """The cell of each row and of each column of pixels, and the share of a cell that a pixel is."""
    layout = plane.layout
    if not _is_own(plane, view):  # where the cells lie is not known
        nowhere = np.zeros(max(view.shape), np.int64)
        return nowhere, nowhere, CELLS**2 / (view.width * view.height)
    cells, share = [], 1.0
    for limits, pixels, low, high in (
        (view.y_range, view.height, layout.low, layout.high),
        (view.x_range, view.width, layout.x_low, layout.x_high),
    ):
        size = (limits[1] - limits[0]) / pixels
        cells.append(_cells(limits[0] + (np.arange(pixels) + 0.5) * size, low, high))
        share *= min(1.0, size * CELLS / (high - low))
    return cells[0], cells[1], share


def class_counts(catalogue: Catalogue, index: Index, plane: Plane, selection: Selection, by: str) -> NDArray[np.int64]:
    """The estimated number of selected sources of each class."""
    assert plane.sample is not None
    rows = np.flatnonzero(mask_of(catalogue, index, plane, selection))
    out = np.zeros((1, len(catalogue.manifest.classes)))
    bins = np.zeros(len(plane.sample.weight), np.int32)
    runs.weigh_bins(rows, bins, plane.sample.columns[by], plane.sample.weight, out)
    return np.asarray(np.rint(out[0]), np.int64)


def count(catalogue: Catalogue, index: Index, plane: Plane, selection: Selection) -> int:
    """The estimated number of selected sources."""
    assert plane.sample is not None
    mask = mask_of(catalogue, index, plane, selection)
    return int(np.rint(plane.sample.weight[mask].sum(dtype=float)))


def histogram(
    catalogue: Catalogue, index: Index, plane: Plane, column: str, edges: NDArray[np.float64], selection: Selection,
    by: str | None,
) -> NDArray[np.int64]:  # fmt: skip
    """The estimated counts (bins, classes), or (bins, 1)."""
    assert plane.sample is not None
    rows = np.flatnonzero(mask_of(catalogue, index, plane, selection))
    codes = plane.sample.columns[by] if by else np.zeros(len(plane.sample.weight), np.int8)
    out = np.zeros((len(edges) - 1, len(catalogue.manifest.classes) if by else 1))
    runs.weigh_bins(rows, _bins(index, plane, column, edges), codes, plane.sample.weight, out)
    return np.asarray(np.rint(out), np.int64)


_kept_bins: LRUCache[Any, NDArray[np.int32]] = LRUCache(BIN_BYTES, getsizeof=lambda bins: max(bins.nbytes, 1))


@cached(
    _kept_bins,
    key=lambda index, plane, column, edges: hashkey(index.identity, plane.number, column, edges.tobytes()),
    lock=threading.Lock(),
)
def _bins(index: Index, plane: Plane, column: str, edges: NDArray[np.float64]) -> NDArray[np.int32]:
    """The bin of each row of a sample, the last one including its upper edge; -1 for none."""
    assert plane.sample is not None
    values = plane.sample.columns[column].astype(float)
    places = np.minimum(np.searchsorted(edges, values, side="right") - 1, len(edges) - 2)
    return np.asarray(np.where((values >= edges[0]) & (values <= edges[-1]), places, -1), np.int32)
