"""Single bytes in place of single-precision values, so that a filter reads a quarter of the memory.

A byte ascends with the value it stands for, each one for about as many rows. A condition on a range is then one on
bytes, but for the rows whose byte is that of a limit: they are looked at in full. The bytes are made strip by strip, as
filters ask for them, and kept in memory.
"""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from galviz.index import Plane
from galviz.kernels import bits

LEAST_ROWS = 1 << 24  # in smaller planes the values are as quick
MOST_BYTES = 640 << 20
_PIECES, _PIECE_ROWS = 64, 4096  # of the rows that the bytes are chosen by


class Coarse:
    """The bytes of one column of a plane."""

    def __init__(self, plane: Plane, name: str) -> None:
        self.plane, self.name = plane, name
        self._values = plane.columns[name]
        self._raw = self._values.view(np.uint32)
        self._bytes = np.empty(plane.size, np.uint8)
        self._done = np.zeros(plane.strips, bool)
        starts = np.linspace(0, max(0, plane.size - _PIECE_ROWS), _PIECES).astype(int)
        known = np.concatenate([self._raw[start : start + _PIECE_ROWS] for start in starts])
        edges = np.unique(np.quantile(_ordered(known) >> 12, np.linspace(0, 1, 254), method="nearest"))
        self._table = np.searchsorted(edges, np.arange(1 << 20), side="right").clip(0, 254).astype(np.uint8)
        self._table[0xFF800:] = 255  # infinity and what is no number

    def code(self, value: np.float32) -> np.uint8:
        """The byte that stands for a value."""
        place = _ordered((np.array([value], np.float32) + np.float32(0)).view(np.uint32))[0] >> 12
        return np.uint8(self._table[place])

    def codes(self, first: int, last: int) -> NDArray[np.uint8]:
        """The byte of each place, known for those of the strips [first, last)."""
        if not self._done[first:last].all():
            bounds = self.plane.bounds
            stop = int(bounds[last, 0]) if last < len(bounds) else self.plane.size
            bits.look_up(self._raw, self._table, int(bounds[first, 0]), stop, self._bytes)
            self._done[first:last] = True
        return self._bytes


def _ordered(raw: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The bits of single-precision numbers turned so that they ascend with the number."""
    return np.where(raw >> 31, ~raw, raw | np.uint32(0x80000000))


_known: WeakKeyDictionary[Plane, dict[str, Coarse]] = WeakKeyDictionary()
_lock = threading.Lock()


def coarse_of(plane: Plane, name: str) -> Coarse | None:
    """The bytes of a column; None where they would not pay: coordinates, few rows, other types, or no room for more."""
    if plane.size < LEAST_ROWS or name in (plane.layout.x, plane.layout.y) or plane.columns[name].dtype != "f4":
        return None
    with _lock:
        known = _known.setdefault(plane, {})
        used = sum(each.plane.size for columns in _known.values() for each in columns.values())
        if name not in known and used + plane.size <= MOST_BYTES:
            known[name] = Coarse(plane, name)
        return known.get(name)
