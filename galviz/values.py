"""The values of a column in the order of a sorted plane, for means and other statistics.

A plane has copies of the usual columns. Any other is read once and put in the order of every plane, in files that are
gone when the server is; without room for these it is kept in row order and picked from place by place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from galviz.catalogue import Catalogue
from galviz.disk import unnamed
from galviz.index import Index, Plane
from galviz.kernels import sums
from galviz.scan import rows_of
from galviz.work import Stop, at_once, never

ROW_BYTES, DISK_BYTES = 512 << 20, 4 << 30  # of columns in row order, and of those in the order of planes
COPIED_ROWS = 1 << 22  # rows from which a column is put in the order of planes
# Magnitudes of values that sums and sums of squares can be scaled for.
SMALLEST, LARGEST = 1e-100, 1e100
_NO_TABLE = np.zeros(0)
_NO_CODES = np.zeros(0, np.uint8)
_NO_VALUES = np.zeros(0, np.float32)


@dataclass(frozen=True, eq=False)
class Values:
    """A column in a plane: its smallest and largest value, whether some are missing, the values of its codes if it is
    coded, and `pick`, the stored values of the places [start, stop). `whole` tells whether all are whole in units of
    1/scale."""

    low: float
    high: float
    gaps: bool
    table: NDArray[np.float64]
    pick: Callable[[int, int], NDArray[Any]]
    whole: Callable[[float], bool]
    in_single_precision: bool

    def part(self, start: int, stop: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """The values and the codes of the places [start, stop), one of which is empty."""
        stored = self.pick(start, stop)
        return (_NO_VALUES, stored) if self.table.size else (stored, _NO_CODES)

    @property
    def can_be_summed(self) -> bool:
        return max(abs(self.low), abs(self.high)) <= LARGEST


_known: WeakKeyDictionary[Plane, dict[str, Values]] = WeakKeyDictionary()


def values_of(catalogue: Catalogue, index: Index, plane: Plane, name: str, stop: Stop) -> Values | None:
    """The values of a column in a plane; None for one of long whole numbers that the plane has no copy of.

    Not to be called from a job of `at_once`. Raises Cancelled when `stop` says so.
    """
    if name in plane.columns:
        known = _known.setdefault(plane, {})
        if name not in known:
            known[name] = _carried(plane, name)
        return known[name]
    dtype = np.dtype(catalogue.manifest.columns[name].dtype)
    if dtype.kind in "iu" and dtype.itemsize > 4:
        return None
    return _loose(catalogue, index, plane, name, stop)


def _carried(plane: Plane, name: str) -> Values:
    column, table = plane.columns[name], plane.tables.get(name, _NO_TABLE)
    wholes: dict[float, bool] = {}

    def whole(scale: float) -> bool:
        if scale not in wholes:
            wholes[scale] = _is_whole(table if table.size else column, scale)
        return wholes[scale]

    def pick(start: int, stop: int) -> NDArray[Any]:
        return column[start:stop]

    gaps = bool(np.isnan(table if table.size else plane.zones[name]).any())
    return Values(*_extent(plane, name), gaps, table, pick, whole, column.dtype == np.float32)


def _extent(plane: Plane, name: str) -> tuple[float, float]:
    if name in plane.tables:
        return _ends(plane.tables[name])
    zones = plane.zones[name].copy()
    values = plane.columns[name]
    block = plane.size // len(zones)
    for number in np.flatnonzero(np.isnan(zones).any(axis=1)).tolist():
        part = values[number * block : (number + 1) * block]
        part = part[~np.isnan(part)]
        zones[number] = (part.min(), part.max()) if part.size else (np.inf, -np.inf)
    low, high = float(zones[:, 0].min(initial=np.inf)), float(zones[:, 1].max(initial=-np.inf))
    return (low, high) if low <= high else (0.0, 0.0)


def _ends(values: NDArray[Any]) -> tuple[float, float]:
    low, high = float(np.fmin.reduce(values, initial=np.inf)), float(np.fmax.reduce(values, initial=-np.inf))
    return (low, high) if low <= high else (0.0, 0.0)


def _is_whole(values: NDArray[Any], scale: float) -> bool:
    pieces = pairwise(np.linspace(0, values.size, 33).astype(int).tolist())
    return all(at_once([partial(sums.is_exact, values, scale, *piece) for piece in pieces], never))


@dataclass(frozen=True, eq=False)
class _Column:
    """A column that no plane has a copy of: in the order of each plane if the disk has room for that, else of rows.

    `values` are those of the first plane, or of the rows where there are no `planes`.
    """

    values: NDArray[Any]
    planes: tuple[NDArray[Any], ...]
    low: float
    high: float
    gaps: bool
    wholes: dict[float, bool]

    @property
    def bytes_on_disk(self) -> int:
        return sum(values.nbytes for values in self.planes)


_in_memory: LRUCache[tuple[str, str], _Column] = LRUCache(ROW_BYTES, getsizeof=lambda column: column.values.nbytes)
_on_disk: LRUCache[tuple[str, str], _Column] = LRUCache(DISK_BYTES, getsizeof=lambda column: column.bytes_on_disk)
_lock, _reading = threading.Lock(), threading.Lock()


def _loose(catalogue: Catalogue, index: Index, plane: Plane, name: str, stop: Stop) -> Values:
    column = _column(catalogue, index, name, stop)

    def pick(start: int, end: int) -> NDArray[Any]:
        if column.planes:
            return column.planes[plane.number][start:end]
        places = index.row[start:end] if plane.home is None else index.row.take(plane.home[start:end], mode="clip")
        picked = column.values.take(places, mode="clip")  # padding is picked too, and never looked at
        picked.flags.writeable = False
        return picked

    def whole(scale: float) -> bool:
        if scale not in column.wholes:
            column.wholes[scale] = _is_whole(column.values, scale)
        return column.wholes[scale]

    is_single = column.values.dtype == np.float32
    return Values(column.low, column.high, column.gaps, _NO_TABLE, pick, whole, is_single)


def _column(catalogue: Catalogue, index: Index, name: str, stop: Stop) -> _Column:
    key = (index.identity, name)
    with _reading:  # one column is read at a time, and by one of those who ask for it
        with _lock:
            known = _on_disk.get(key) or _in_memory.get(key)
        if known is None:
            known = _read(catalogue, index, name, stop)
            cache = _on_disk if known.planes else _in_memory
            with _lock:
                if cache.getsizeof(known) <= cache.maxsize:
                    cache[key] = known
    return known


def _read(catalogue: Catalogue, index: Index, name: str, stop: Stop) -> _Column:
    dtype = np.dtype(catalogue.manifest.columns[name].dtype)
    is_single = dtype.itemsize < 4 or dtype == np.float32
    values = _rows(index, np.dtype(np.float32 if is_single else np.float64), catalogue.rows)
    for start, block in rows_of(catalogue, [name], stop):
        values[start : start + len(block)] = block.codes(name)
    values.flags.writeable = False
    planes = _in_planes(index, values, stop) if catalogue.rows >= COPIED_ROWS else ()
    return _Column(planes[0] if planes else values, planes, *_ends(values), bool(np.isnan(values).any()), {})


def _rows(index: Index, dtype: np.dtype[Any], rows: int) -> NDArray[Any]:
    """Room for a column in the order of rows: on the disk, if it has some, where the column goes on to the planes."""
    if rows >= COPIED_ROWS:
        with suppress(OSError):
            return unnamed(index.path, dtype, rows)
    return np.empty(rows, dtype)


def _in_planes(index: Index, rows: NDArray[Any], stop: Stop) -> tuple[NDArray[Any], ...]:
    """The values in the order of each plane, on the disk; nothing where there is no room for them."""
    try:
        made = tuple(unnamed(index.path, rows.dtype, plane.size) for plane in index.planes)
    except OSError:
        return ()
    for plane, out in zip(index.planes, made, strict=True):
        source, places = (rows, index.row) if plane.home is None else (made[0], plane.home)
        edges = np.linspace(0, plane.size, 33).astype(int).tolist()
        at_once([partial(sums.pick, source, places, *piece, out) for piece in pairwise(edges)], stop)
        out.flags.writeable = False
    return made
