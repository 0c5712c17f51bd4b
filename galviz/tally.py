"""Exact numbers from the sorted planes of an index: sources of each class, histograms, the selected rows themselves."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from cachetools import LRUCache, cached
from numpy.typing import NDArray

from galviz.catalogue import Catalogue
from galviz.index import Index, Plane
from galviz.kernels import runs
from galviz.marks import chunks, combined, groups_on, prepare, word_range
from galviz.selection import Selection
from galviz.work import Stop, at_once, never

OPEN, NOWHERE = -1, -2


def class_counts(catalogue: Catalogue, index: Index, selection: Selection, stop: Stop) -> NDArray[np.int64]:
    """How many sources of each group are selected, (groups,)."""
    plane = index.planes[0]
    on, others = groups_on(plane, [clause for _, clause in selection], catalogue, index.layout.by)
    marks = prepare(catalogue, index, plane, others, stop)

    def part(first: int, last: int) -> NDArray[np.int64]:
        out = np.zeros(on.size, np.int64)
        runs.count_groups(combined(plane, marks, first, last), plane.bounds, first, last, out)
        return out

    total = sum(at_once([partial(part, *strips) for strips in chunks(plane)], stop))
    return np.where(on, total, 0)


def holds(index: Index, columns: Iterable[str]) -> bool:
    """Whether `selected` knows the values of these columns."""
    return set(columns) <= {*index.planes[0].columns, index.layout.by}


def selected(
    catalogue: Catalogue, index: Index, selection: Selection, columns: Sequence[str]
) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[Any]]]]:
    """The selected sources in the order of plane 0: their rows in the catalogue, and values of `columns` as stored."""
    plane = index.planes[0]
    on, others = groups_on(plane, [clause for _, clause in selection], catalogue, index.layout.by)
    marks = prepare(catalogue, index, plane, others, never)
    codes = np.append(np.arange(on.size - 1), -1).astype(np.int8)
    for first, last in chunks(plane):
        origin = int(plane.bounds[first, 0])
        end = int(plane.bounds[last - 1, -1])
        chosen = np.zeros(-(-(end - origin) // 64), np.uint64)
        runs.mark_groups(plane.bounds, on, first, last, chosen)
        words = combined(plane, marks, first, last)
        if words.size:
            chosen &= words[: chosen.size]
        places = origin + np.flatnonzero(np.unpackbits(chosen.view(np.uint8), bitorder="little"))
        values: dict[str, NDArray[Any]] = {}
        for name in columns:
            if name == index.layout.by:
                groups = np.searchsorted(plane.bounds[first:last, :-1].ravel(), places, side="right") - 1
                values[name] = codes[groups % on.size]
            elif name in plane.tables:
                dtype = catalogue.manifest.columns[name].dtype
                values[name] = plane.tables[name].astype(dtype)[plane.columns[name][places]]
            else:
                values[name] = plane.columns[name][places]
        yield index.row[places].astype(np.int64), values


def histogram_plane(index: Index, column: str) -> Plane | None:
    """A plane that holds the column in single precision or as codes, if there is one that its strips slice."""
    able = [p for p in index.planes if column in p.tables or (column in p.columns and p.columns[column].dtype == "f4")]
    return next((p for p in able if p.layout.y == column), able[0] if able else None)


def histogram(
    catalogue: Catalogue, index: Index, column: str, edges: NDArray[np.float64], selection: Selection, by_class: bool,
    stop: Stop,
) -> NDArray[np.int64]:  # fmt: skip
    """Counts (bins, classes), or (bins, 1), of a column that `histogram_plane` has a plane for."""
    plane = histogram_plane(index, column)
    assert plane is not None
    on, others = groups_on(plane, [clause for _, clause in selection], catalogue, index.layout.by)
    marks = prepare(catalogue, index, plane, others, stop)
    category = np.where(on, np.arange(on.size) if by_class else 0, -1)
    if by_class:
        category[-1] = -1
    values, depth = plane.columns[column], on.size - 1 if by_class else 1
    told = _bins_of_strips(plane, column, edges)

    def part(first: int, last: int) -> NDArray[np.int64]:
        words = combined(plane, marks, first, last)
        if column in plane.tables:
            out = np.zeros((256, depth), np.int64)
            runs.count_codes_of(values, words, plane.bounds, category, first, last, out)
            return out
        out = np.zeros((len(edges) - 1, depth), np.int64)
        raw, origin = values.view(np.uint32), word_range(plane, first, last)[0]
        changes = first + 1 + np.flatnonzero(np.diff(told[first:last]))
        for start, stop in pairwise([first, *changes.tolist(), last]):
            here = words[word_range(plane, start, stop)[0] - origin :]
            if told[start] >= 0:
                numbers = np.zeros(on.size, np.int64)
                runs.count_groups(here, plane.bounds, start, stop, numbers)
                np.add.at(out[told[start]], category[category >= 0], numbers[category >= 0])
            elif told[start] == OPEN:
                runs.count_bins(values, raw, edges, _near(edges), here, plane.bounds, category, start, stop, out)
        return out

    total = np.sum(at_once([partial(part, *strips) for strips in chunks(plane)], stop), axis=0)
    return _binned(plane.tables[column], total, edges) if column in plane.tables else total


def _bins_of_strips(plane: Plane, column: str, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin that all values of a strip lie in, NOWHERE if they lie beyond the edges, OPEN where that is not known, as
    of the last strip, where values may be missing."""
    told = np.full(plane.strips, OPEN)
    if column == plane.layout.y:
        low, high = plane.spans.T
        bins = np.where(plane.spans == edges[-1], len(edges) - 2, np.searchsorted(edges, plane.spans, side="right") - 1)
        whole = (bins[:, 0] == bins[:, 1]) & (low >= edges[0]) & (high <= edges[-1])
        told[whole] = bins[whole, 0]
        told[(high < edges[0]) | (low > edges[-1])] = NOWHERE
    return told


def _binned(table: NDArray[np.float64], counts: NDArray[np.int64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Counts of each code (256, categories) as counts of each bin."""
    inside = np.flatnonzero((table >= edges[0]) & (table <= edges[-1]))
    places = np.minimum(np.searchsorted(edges, table[inside], side="right") - 1, len(edges) - 2)
    out = np.zeros((len(edges) - 1, counts.shape[1]), np.int64)
    np.add.at(out, places, counts[inside])
    return out


@cached(LRUCache(16), key=lambda edges: edges.tobytes(), lock=threading.Lock())
def _near(edges: NDArray[np.float64]) -> NDArray[np.integer[Any]]:
    """The bin of any single-precision number by its upper 19 bits, in order; -1 - the lowest one where that is open."""
    ordered = np.arange(1 << 19, dtype=np.uint32)
    positive = (ordered >> 18).astype(bool)
    # The ends of what has the same upper bits; rounding to single precision may have come from just outside.
    ends = [np.where(positive, (ordered << 13) & 0x7FFFFFFF | low, ~(ordered << 13 | low)) for low in (0, 0x1FFF)]
    with np.errstate(invalid="ignore", over="ignore"):
        least = np.nextafter(ends[0].astype(np.uint32).view(np.float32), np.float32(-np.inf)).astype(np.float64)
        most = np.nextafter(ends[1].astype(np.uint32).view(np.float32), np.float32(np.inf)).astype(np.float64)
    last = len(edges) - 2
    low = np.clip(np.searchsorted(edges, np.nan_to_num(least, nan=-np.inf), side="right") - 1, 0, last)
    high = np.clip(np.searchsorted(edges, np.nan_to_num(most, nan=np.inf), side="right") - 1, 0, last)
    return np.where(low == high, low, -1 - low).astype(np.int16 if last < 1 << 15 else np.int32)
