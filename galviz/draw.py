"""Index, selection and requests to arrays: all that a view ever receives.

The arrays equal those of `datashader.Canvas.points` on the selected rows in catalogue order, pixel for pixel.
Shading stays outside.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from cachetools import LRUCache, cached
from numpy.typing import NDArray

from galviz import kernels
from galviz.catalogue import Catalogue, as_selection, blocks
from galviz.errors import Cancelled, SelectionError
from galviz.index import has_index, open_index
from galviz.selection import Clause, Mask, Selection

BLOCK = 1 << 20
MASK_BYTES = 256 << 20
RANGE_ROWS = 1_000_000


@dataclass(frozen=True)
class Viewport:
    """A rectangle of the plane (x, y) and the pixels that it is drawn on; both edges are inside."""

    x: str
    y: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    width: int = 600
    height: int = 500

    def __post_init__(self) -> None:
        for low, high in (self.x_range, self.y_range):
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise SelectionError(f"A viewport needs a finite range that grows, not {low} to {high}.")
            # Closer than the numbers around it can tell pixels apart, or wider than any number.
            if not 1e-12 * max(abs(low), abs(high), 1e-288) < high - low < 1e300:
                raise SelectionError(f"A viewport cannot be zoomed to {low} to {high}; zoom out.")
        if not (1 <= self.width <= 20_000 and 1 <= self.height <= 20_000):
            raise SelectionError(f"A viewport has 1 to 20000 pixels a side, not {self.width} x {self.height}.")

    @property
    def window(self) -> NDArray[np.float64]:
        return np.array([*self.x_range, *self.y_range], float)


class _Block(Mapping[str, Any]):
    """One block of rows as `Selection.mask` reads it: columns looked up when asked for."""

    def __init__(self, catalogue: Catalogue, arrays: Mapping[str, NDArray[Any]], rows: slice) -> None:
        self._catalogue, self._arrays, self._rows = catalogue, arrays, rows

    def __getitem__(self, name: str) -> Any:
        column = self._catalogue.manifest.column(name)
        return self._catalogue.labelled(column.name, self._arrays[column.name][self._rows])

    def codes(self, name: str) -> NDArray[Any]:
        """The values as they are stored: class codes, not names; read-only, so that loops compile for one kind."""
        values = self._arrays[self._catalogue.manifest.column(name).name][self._rows]
        values.flags.writeable = False
        return values

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return int(self._rows.stop - self._rows.start)


class _MaskCache:
    """Masks of single clauses, shared by all sessions; keys hold the version of the catalogue."""

    def __init__(self) -> None:
        self._masks: LRUCache[tuple[str, Clause, int], Mask] = LRUCache(MASK_BYTES, getsizeof=lambda mask: mask.nbytes)
        self._lock = threading.Lock()

    def mask(self, catalogue: Catalogue, selection: Selection, block: _Block, start: int) -> Mask:
        result: Mask | None = None
        for _, clause in selection:
            key = (catalogue.digest, clause, start)
            with self._lock:
                mask = self._masks.get(key)
            if mask is None:
                mask = clause.mask(block)
                mask.flags.writeable = False
                with self._lock:
                    if mask.nbytes < self._masks.maxsize:
                        self._masks[key] = mask
            result = mask if result is None else result & mask
        if result is None:
            result = np.ones(len(block), bool)
        result.flags.writeable = False
        return result


_masks = _MaskCache()


def _selected(catalogue: Catalogue, selection: Selection, columns: list[str]) -> Iterator[tuple[_Block, Mask]]:
    """Blocks of rows with their mask: from the index where it has the columns, else from the Parquet parts."""
    names = {catalogue.manifest.column(name).name for name in (*columns, *selection.columns)}
    index = open_index(catalogue) if has_index(catalogue) else None
    if index and names <= set(index.columns):
        for rows in blocks(index.rows, BLOCK):
            block = _Block(catalogue, index.columns, rows)
            yield block, _masks.mask(catalogue, selection, block, rows.start)
        return
    for part in range(catalogue.parts):
        arrays = catalogue.read_part(part, sorted(names))
        block = _Block(catalogue, arrays, slice(0, catalogue.manifest.groups[0].parts[part].rows))
        mask = selection.mask(block)
        mask.flags.writeable = False
        yield block, mask


def never() -> bool:
    """The work goes on."""
    return False


@dataclass(frozen=True)
class Request:
    """One picture: a viewport, the sources in it, and what a pixel holds."""

    view: Viewport
    selection: Selection = Selection()
    by: str | None = None
    mean: str | None = None
    std: str | None = None
    min: str | None = None
    max: str | None = None


def draw_many(
    catalogue: Catalogue, requests: Sequence[Request], *, exact: bool = True, stop: Callable[[], bool] = never
) -> list[xr.DataArray]:
    """The pictures of several requests, as `draw` makes them, in one go."""
    result = []
    for request in requests:
        if stop():
            raise Cancelled("Drawing was stopped.")
        result.append(
            _draw(catalogue, request.view, request.selection, by=request.by, mean=request.mean, std=request.std)
        )
    return result


def _draw(
    catalogue: Catalogue,
    view: Viewport,
    selection: Selection | str | None = None,
    *,
    by: str | None = None,
    mean: str | None = None,
    std: str | None = None,
    exact: bool = True,
) -> xr.DataArray:
    """Rasterise the selected sources.

    Returns an array of shape (height, width) with dimensions (y, x): counts (uint32), or with `mean` or `std`
    the mean or the standard deviation (population, not sample) of that column per pixel, NaN where no source
    falls. With `by`, a class column, the shape is (height, width, classes) with a last dimension named `by`.
    Sources without a coordinate or outside the viewport are not drawn. `exact` False allows an estimate, and
    `attrs["exact"]` tells what came back. Reads the index; columns outside it come from the Parquet parts,
    which is slower. Raises SelectionError for unknown columns.
    """
    if sum(option is not None for option in (by, mean, std)) > 1:
        raise SelectionError("A picture shows one of by, mean and std, not several.")
    chosen = as_selection(selection)
    if by is not None:
        data, last = _draw_by(catalogue, view, chosen, by), {by: list(catalogue.manifest.class_names)}
        return _array(view, data, last)
    if value := mean or std:
        return _array(view, _draw_moment(catalogue, view, chosen, value, spread=std is not None), {})
    counts = np.zeros((view.height, view.width), np.uint32)
    for block, mask in _selected(catalogue, chosen, [view.x, view.y]):
        kernels.count_points(block.codes(view.x), block.codes(view.y), mask, view.window, counts)
    return _array(view, counts, {})


def _draw_by(catalogue: Catalogue, view: Viewport, selection: Selection, by: str) -> NDArray[np.uint32]:
    if catalogue.manifest.column(by).kind != "class":
        raise SelectionError(f"The column {by!r} holds no classes; count by a class column.")
    out = np.zeros((view.height, view.width, len(catalogue.manifest.classes)), np.uint32)
    for block, mask in _selected(catalogue, selection, [view.x, view.y, by]):
        kernels.count_points_by(block.codes(view.x), block.codes(view.y), block.codes(by), mask, view.window, out)
    return out


def _draw_moment(
    catalogue: Catalogue, view: Viewport, selection: Selection, value: str, *, spread: bool
) -> NDArray[np.float64]:
    shape = (view.height, view.width)
    counts, sums, squares = np.zeros(shape, np.uint32), np.zeros(shape), np.zeros(shape)
    for block, mask in _selected(catalogue, selection, [view.x, view.y, value]):
        kernels.moments_of_points(
            block.codes(view.x), block.codes(view.y), block.codes(value), mask, view.window, counts, sums, squares
        )
    result = np.full(shape, np.nan)
    with np.errstate(invalid="ignore"):
        np.divide(squares if spread else sums, counts, out=result, where=counts > 0)
        if spread:
            np.sqrt(result, out=result)
    return result


def _array(view: Viewport, data: NDArray[Any], last: dict[str, list[str]]) -> xr.DataArray:
    def centres(low: float, high: float, pixels: int) -> NDArray[np.float64]:
        scale = pixels / (high - low)
        return (np.arange(pixels, dtype=np.float64) + 0.5 + low * scale) / scale

    coords: dict[str, Any] = {
        "y": centres(*view.y_range, view.height),
        "x": centres(*view.x_range, view.width),
        **last,
    }
    attrs = {"exact": True, "x_range": view.x_range, "y_range": view.y_range}
    return xr.DataArray(data, dims=("y", "x", *last), coords=coords, attrs=attrs)


def draw(
    catalogue: Catalogue,
    view: Viewport,
    selection: Selection | str | None = None,
    *,
    exact: bool = True,
    stop: Callable[[], bool] = never,
    **what: str | None,
) -> xr.DataArray:
    request = Request(view, as_selection(selection), **what)
    return draw_many(catalogue, [request], exact=exact, stop=stop)[0]


def histogram(
    catalogue: Catalogue,
    column: str,
    edges: NDArray[np.float64],
    selection: Selection | str | None = None,
    *,
    by: str | None = "class",
    exact: bool = True,
    stop: Callable[[], bool] = never,
) -> NDArray[np.int64]:
    """Counts (bins, classes) of a column between ascending `edges`; the last bin includes its upper edge.

    With `by` None there is one column of counts for all sources.
    """
    out = np.zeros((len(edges) - 1, len(catalogue.manifest.classes) if by else 1), np.int64)
    for block, mask in _selected(catalogue, as_selection(selection), [column, by] if by else [column]):
        codes = block.codes(by) if by else np.zeros(len(block), np.int8)
        kernels.count_values_by(block.codes(column), codes, mask, np.asarray(edges, float), out)
    return out


@cached(LRUCache(maxsize=512), key=lambda catalogue, column: (catalogue.digest, column), lock=threading.Lock())
def column_range(catalogue: Catalogue, column: str) -> tuple[float, float]:
    """A range that shows nearly all values of a column: outliers beyond 1 in 2,000 on either side do not widen it.

    Taken from at most a million evenly spaced rows; positive for a column of logarithmic scale; (0, 1) when
    there is no finite value.
    """
    known = catalogue.manifest.column(column)
    parts = [block.codes(known.name) for block, _ in _selected(catalogue, Selection(), [known.name])]
    step = max(1, catalogue.rows // RANGE_ROWS)
    values = np.concatenate([part[::step] for part in parts]).astype(float)
    values = values[np.isfinite(values) & (values > 0)] if known.scale == "log" else values[np.isfinite(values)]
    if not values.size:
        return (0.001, 1.0) if known.scale == "log" else (0.0, 1.0)
    low, high = (float(n) for n in np.percentile(values, (0.05, 99.95)))
    if known.scale == "log":
        return low / 1.2, high * 1.2
    margin = 0.04 * (high - low) or 0.5
    return low - margin, high + margin


def class_counts(
    catalogue: Catalogue,
    selection: Selection | str | None = None,
    *,
    by: str = "class",
    exact: bool = True,
    stop: Callable[[], bool] = never,
) -> dict[str, int]:
    """The number of selected sources of each class."""
    names = catalogue.manifest.class_names
    out = np.zeros(len(names), np.int64)
    for block, mask in _selected(catalogue, as_selection(selection), [by]):
        kernels.count_codes(block.codes(by), mask, out)
    return {name: int(number) for name, number in zip(names, out, strict=True)}


def count(
    catalogue: Catalogue,
    selection: Selection | str | None = None,
    *,
    exact: bool = True,
    stop: Callable[[], bool] = never,
) -> int:
    """The number of selected sources, as `Catalogue.count` but from the index."""
    chosen = as_selection(selection)
    if not chosen:
        return catalogue.rows
    return sum(int(mask.sum()) for _, mask in _selected(catalogue, chosen, []))


def selected(
    catalogue: Catalogue, selection: Selection | str | None = None, columns: Sequence[str] = ()
) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[Any]]]]:
    """The selected sources block by block: their row numbers, ascending, and the values of `columns` as stored."""
    start = 0
    for block, mask in _selected(catalogue, as_selection(selection), list(columns)):
        places = np.flatnonzero(mask)
        yield places + start, {name: block.codes(name)[places] for name in columns}
        start += len(block)
