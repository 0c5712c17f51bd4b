"""The values of a column in the order of a sorted plane, for means and other statistics.

A plane has copies of the usual columns. Any other is read once in row order, kept while it is in use, and picked from
place by place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from galviz.catalogue import Catalogue
from galviz.index import Index, Plane
from galviz.kernels import sums
from galviz.scan import rows_of
from galviz.work import Stop, at_once, never

ROW_BYTES = 512 << 20
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
    """The values of a column in a plane; None for one of double precision that the plane has no copy of.

    Not to be called from a job of `at_once`. Raises Cancelled when `stop` says so.
    """
    if name in plane.columns:
        known = _known.setdefault(plane, {})
        if name not in known:
            known[name] = _carried(plane, name)
        return known[name]
    if np.dtype(catalogue.manifest.columns[name].dtype).itemsize > 4:
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
class _Rows:
    """A column in row order."""

    values: NDArray[Any]
    low: float
    high: float
    gaps: bool
    wholes: dict[float, bool]


_rows: LRUCache[tuple[str, str], _Rows] = LRUCache(ROW_BYTES, getsizeof=lambda rows: rows.values.nbytes)
_lock, _reading = threading.Lock(), threading.Lock()


def _loose(catalogue: Catalogue, index: Index, plane: Plane, name: str, stop: Stop) -> Values:
    rows = _in_rows(catalogue, index, name, stop)

    def pick(start: int, end: int) -> NDArray[Any]:
        places = index.row[start:end] if plane.home is None else index.row.take(plane.home[start:end], mode="clip")
        picked = rows.values.take(places, mode="clip")  # padding is picked too, and never looked at
        picked.flags.writeable = False
        return picked

    def whole(scale: float) -> bool:
        if scale not in rows.wholes:
            rows.wholes[scale] = _is_whole(rows.values, scale)
        return rows.wholes[scale]

    return Values(rows.low, rows.high, rows.gaps, _NO_TABLE, pick, whole, rows.values.dtype == np.float32)


def _in_rows(catalogue: Catalogue, index: Index, name: str, stop: Stop) -> _Rows:
    key = (index.identity, name)
    with _reading:  # one column is read at a time, and by one of those who ask for it
        with _lock:
            known = _rows.get(key)
        if known is None:
            known = _read(catalogue, name, stop)
            with _lock:
                if known.values.nbytes <= _rows.maxsize:
                    _rows[key] = known
    return known


def _read(catalogue: Catalogue, name: str, stop: Stop) -> _Rows:
    dtype = np.dtype(catalogue.manifest.columns[name].dtype)
    exact = dtype.kind == "f" or dtype.itemsize < 4
    values = np.empty(catalogue.rows, np.float32 if exact else np.float64)
    for start, block in rows_of(catalogue, [name], stop):
        values[start : start + len(block)] = block.codes(name)
    values.flags.writeable = False
    return _Rows(values, *_ends(values), bool(np.isnan(values).any()), {})
