"""Index, selection and requests to arrays: all that a view ever receives.

The exact arrays equal those of `datashader.Canvas.points` on the selected rows, pixel for pixel. The usual planes
are drawn from their sorted copies (`galviz.exact`), any other from its columns in row order (`galviz.scan`); quick
estimates come from samples (`galviz.estimate`). Finished pictures are kept, so that going back to one is a look-up.
Shading stays outside.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from cachetools import LRUCache, cached
from numpy.typing import NDArray

from galviz import estimate as estimates
from galviz import exact as sorted_planes
from galviz import kernels, scan, tally
from galviz.catalogue import Catalogue, as_selection
from galviz.errors import SelectionError
from galviz.index import Index, has_index, open_index, shown_range
from galviz.index.layout import RANGE_ROWS
from galviz.requests import Request, Viewport
from galviz.selection import Selection
from galviz.work import Stop, at_once, never

__all__ = [
    "Request", "Viewport", "class_counts", "column_range", "count", "draw", "draw_many", "histogram", "is_cached",
    "never", "selected",
]  # fmt: skip

PICTURE_BYTES = 256 << 20


def draw(
    catalogue: Catalogue,
    view: Viewport | Sequence[Viewport],
    selection: Selection | str | None = None,
    *,
    by: str | None = None,
    mean: str | None = None,
    std: str | None = None,
    min: str | None = None,
    max: str | None = None,
    exact: bool = True,
    stop: Stop = never,
    client: Any = None,
) -> Any:
    """Rasterise the selected sources.

    Returns an xarray.DataArray of shape (height, width) with dimensions (y, x): counts (uint32), or the `mean`, the
    standard deviation `std` (population, not sample), the `min` or the `max` of a column per pixel (float64), NaN
    where no source with a value falls; a mean is known to 2^-60 of the largest value of the column. With `by`, a class
    column, the shape is (height, width, classes) with a last dimension named `by`. Several views give a list of
    arrays, drawn together. Sources without a coordinate or outside the viewport are not drawn.

    With `exact` False the answer may be an estimate from a sample: `attrs["exact"]` tells, the counts are then
    float32, and `attrs["standard_error"]` is an array of the same shape. `stop` is asked now and then. `client` is a
    `distributed.Client` whose workers draw the parts; it changes nothing in the answer. Exact arrays are kept for the
    next time and cannot be written on; copy one to do so.

    Reads the index; columns outside it come from the Parquet parts, which is slower. Raises SelectionError for
    unknown columns, StaleIndexError for a damaged index, Cancelled when `stop` returns True.
    """
    views = (view,) if isinstance(view, Viewport) else tuple(view)
    chosen = as_selection(selection)
    requests = [Request(one, chosen, by=by, mean=mean, std=std, min=min, max=max) for one in views]
    pictures = draw_many(catalogue, requests, exact=exact, stop=stop, client=client)
    return pictures[0] if isinstance(view, Viewport) else pictures


def draw_many(
    catalogue: Catalogue, requests: Sequence[Request], *, exact: bool = True, stop: Stop = never, client: Any = None
) -> list[xr.DataArray]:
    """The pictures of several requests, as `draw` makes them, drawn together: they share masks and processors."""
    named = [request.named(catalogue) for request in requests]
    index = _index(catalogue)
    known = {request: _pictures.get(catalogue, request) for request in named}
    left = [request for request in dict.fromkeys(named) if known[request] is None]
    errors: dict[Request, NDArray[np.float64]] = {}
    if index is not None and not exact:
        quick = {
            request: plane
            for request in left
            if (plane := estimates.plane_of(catalogue, index, request)) is not None
            and not sorted_planes.is_quick(catalogue, index, request)
        }
        drawn = at_once(
            [partial(estimates.draw, catalogue, index, plane, request) for request, plane in quick.items()], stop
        )
        for request, (values, error) in zip(quick, drawn, strict=True):
            known[request], errors[request] = values, error
        left = [request for request in left if request not in quick]
    for request, values in zip(left, _draw_exactly(catalogue, index, left, stop, client), strict=True):
        known[request] = values
        _pictures.put(catalogue, request, values)
    return [_array(catalogue, request, known[request], errors.get(request)) for request in named]


def _draw_exactly(
    catalogue: Catalogue, index: Index | None, requests: list[Request], stop: Stop, client: Any
) -> list[NDArray[Any]]:
    done: dict[Request, NDArray[Any]] = {}
    if index is not None:
        quick = [request for request in requests if sorted_planes.plane_of(catalogue, index, request, stop) is not None]
        if quick:
            done.update(zip(quick, sorted_planes.draw(catalogue, index, quick, stop, client), strict=True))
    for request in requests:
        if request not in done:
            done[request] = scan.draw(catalogue, request, stop)
    return [done[request] for request in requests]


def is_cached(catalogue: Catalogue, requests: Sequence[Request]) -> bool:
    """Whether the exact pictures of all `requests` are at hand."""
    return all(_pictures.get(catalogue, request.named(catalogue)) is not None for request in requests)


def _index(catalogue: Catalogue) -> Index | None:
    return open_index(catalogue) if has_index(catalogue) else None


class _Pictures:
    """Finished pictures, shared by all sessions; keys hold the version of the catalogue."""

    def __init__(self) -> None:
        self._kept: LRUCache[tuple[str, Request], NDArray[Any]] = LRUCache(
            PICTURE_BYTES, getsizeof=lambda values: values.nbytes
        )
        self._lock = threading.Lock()

    def get(self, catalogue: Catalogue, request: Request) -> NDArray[Any] | None:
        with self._lock:
            return self._kept.get((catalogue.digest, request))

    def put(self, catalogue: Catalogue, request: Request, values: NDArray[Any]) -> None:
        with self._lock:
            if values.nbytes <= self._kept.maxsize:
                self._kept[catalogue.digest, request] = values


_pictures = _Pictures()


def _array(
    catalogue: Catalogue, request: Request, values: NDArray[Any] | None, error: NDArray[np.float64] | None
) -> xr.DataArray:
    assert values is not None
    view = request.view
    attrs: dict[str, Any] = {"exact": error is None, "x_range": view.x_range, "y_range": view.y_range}
    if error is None:
        values = values.view()
        values.flags.writeable = False  # the kept one stays as it is, whatever the caller does
    else:
        attrs["standard_error"] = error
    array = _blank_array(view, request.by, catalogue.manifest.class_names).copy(deep=False, data=values)
    array.attrs = attrs
    return array


@cached(LRUCache(64), lock=threading.Lock())
def _blank_array(view: Viewport, by: str | None, classes: tuple[str, ...]) -> xr.DataArray:
    """An array of zeros, without memory, with the middles of the pixels and the classes.

    A tenth of the time of a small picture if made anew.
    """

    def centres(low: float, high: float, pixels: int) -> NDArray[np.float64]:
        scale = pixels / (high - low)
        return (np.arange(pixels, dtype=np.float64) + 0.5 + low * scale) / scale

    last = {by: list(classes)} if by else {}
    coords = {"y": centres(*view.y_range, view.height), "x": centres(*view.x_range, view.width), **last}
    zeros = np.broadcast_to(0, view.shape + ((len(classes),) if by else ()))
    return xr.DataArray(zeros, coords=coords, dims=tuple(coords))


def histogram(
    catalogue: Catalogue,
    column: str,
    edges: NDArray[np.float64],
    selection: Selection | str | None = None,
    *,
    by: str | None = "class",
    exact: bool = True,
    stop: Stop = never,
) -> NDArray[np.int64]:
    """Counts (bins, classes) of a column between ascending `edges`; the last bin includes its upper edge.

    With `by` None there is one column of counts for all sources. With `exact` False an estimate may come back.
    """
    chosen, limits = as_selection(selection), np.asarray(edges, float)
    name = catalogue.manifest.column(column).name
    group = catalogue.manifest.column(by).name if by else None
    if index := _index(catalogue):
        if not exact and (plane := estimates.home_of(index, _names(catalogue, chosen, name, group))):
            return estimates.histogram(catalogue, index, plane, name, limits, chosen, group)
        if group in (None, index.layout.by) and tally.histogram_plane(index, name):
            return tally.histogram(catalogue, index, name, limits, chosen, group is not None, stop)
    out = np.zeros((len(limits) - 1, len(catalogue.manifest.classes) if group else 1), np.int64)
    for _, block, mask in scan.selected(catalogue, chosen, [name, group] if group else [name], stop):
        codes = block.codes(group) if group else np.zeros(len(block), np.int8)
        kernels.count_values_by(block.codes(name), codes, mask, limits, out)
    return out


def _names(catalogue: Catalogue, selection: Selection, *others: str | None) -> tuple[str, ...]:
    return tuple(catalogue.manifest.column(name).name for name in (*selection.columns, *others) if name)


def column_range(catalogue: Catalogue, column: str) -> tuple[float, float]:
    """A range that shows nearly all values of a column: outliers beyond 1 in 2,000 on either side do not widen it.

    Taken from about a million evenly spaced rows; positive for a column of logarithmic scale; (0, 1) when there is
    no finite value. Instant for the columns that the index knows.
    """
    known = catalogue.manifest.column(column)
    index = _index(catalogue)
    if index is not None and known.name in index.layout.ranges:
        return index.layout.ranges[known.name]
    step = -(-catalogue.rows // RANGE_ROWS)
    parts = [
        block.codes(known.name)[-start % step :: step] for start, block in scan.rows_of(catalogue, [known.name], never)
    ]
    return shown_range(known, np.concatenate(parts))


def class_counts(
    catalogue: Catalogue,
    selection: Selection | str | None = None,
    *,
    by: str = "class",
    exact: bool = True,
    stop: Stop = never,
) -> dict[str, int]:
    """The number of selected sources of each class; with `exact` False an estimate may come back."""
    chosen, name = as_selection(selection), catalogue.manifest.column(by).name
    if catalogue.manifest.columns[name].kind != "class":
        raise SelectionError(f"The column {by!r} holds no classes; count by a class column.")
    names = catalogue.manifest.class_names
    out = np.zeros(len(names), np.int64)
    index = _index(catalogue)
    if index and not exact and (plane := estimates.home_of(index, _names(catalogue, chosen, name))):
        out = estimates.class_counts(catalogue, index, plane, chosen, name)
    elif index and index.planes and name == index.layout.by:
        out = tally.class_counts(catalogue, index, chosen, stop)[:-1]
    else:
        for _, block, mask in scan.selected(catalogue, chosen, [name], stop):
            kernels.count_codes(block.codes(name), mask, out)
    return {name: int(number) for name, number in zip(names, out, strict=True)}


def count(
    catalogue: Catalogue,
    selection: Selection | str | None = None,
    *,
    exact: bool = True,
    stop: Stop = never,
) -> int:
    """The number of selected sources, as `Catalogue.count` but from the index; see `draw` for `exact`."""
    chosen = as_selection(selection)
    if not chosen:
        return catalogue.rows
    index = _index(catalogue)
    if index and not exact and (plane := estimates.home_of(index, _names(catalogue, chosen))):
        return estimates.count(catalogue, index, plane, chosen)
    if index and index.planes:
        return int(tally.class_counts(catalogue, index, chosen, stop).sum())
    return sum(int(mask.sum()) for _, _, mask in scan.selected(catalogue, chosen, [], stop))


def selected(
    catalogue: Catalogue, selection: Selection | str | None = None, columns: Sequence[str] = ()
) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[Any]]]]:
    """The selected sources block by block: their row numbers, in any order, and the values of `columns` as stored."""
    chosen, index = as_selection(selection), _index(catalogue)
    names = {name: catalogue.manifest.column(name).name for name in columns}
    in_rows = index is not None and {*names.values(), *_names(catalogue, chosen)} <= set(index.columns)
    if index and index.planes and not in_rows and tally.holds(index, names.values()):
        for rows, values in tally.selected(catalogue, index, chosen, list(names.values())):
            yield rows, {name: values[stored] for name, stored in names.items()}
        return
    for start, block, mask in scan.selected(catalogue, chosen, list(columns), never):
        places = np.flatnonzero(mask)
        yield places + start, {name: block.codes(name)[places] for name in columns}
