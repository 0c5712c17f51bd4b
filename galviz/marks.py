"""Clause to bit mask: which places of a sorted plane fulfil a condition.

A condition on the columns that a plane holds is looked up where they lie, strip by strip as they are needed; zone maps
spare much of the reading. One on the coordinates of another plane is found there and carried over place by place. Any
other is answered in row order, from the index or the Parquet parts. Masks are kept for the next picture, so that of
several conditions only the one that changes costs time.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from galviz import spare
from galviz.catalogue import Catalogue
from galviz.coarse import coarse_of
from galviz.index import Index, Plane
from galviz.index.layout import BLOCK, WORD
from galviz.kernels import bits
from galviz.scan import row_mask
from galviz.selection import Box, Clause, OneOf, Polygon, Range
from galviz.spare import Words, borrow, give_back
from galviz.work import THREADS, Stop, at_once

# A condition on one column as stored, [low, high]; or a polygon of the plane itself.
Between = tuple[str, Any, Any]
MASK_BYTES = 256 << 20


def groups_on(
    plane: Plane, clauses: Iterable[Clause], catalogue: Catalogue, by: str
) -> tuple[NDArray[np.bool_], list[Clause]]:
    """Which groups conditions on the class leave (groups,), and the other conditions."""
    groups = plane.bounds.shape[1] - 1
    on, others = np.ones(groups, bool), []
    codes = np.append(np.arange(groups - 1), -1).astype(np.int8)
    for clause in clauses:
        if by and isinstance(clause, OneOf) and catalogue.manifest.column(clause.column).name == by:
            on &= clause.mask({clause.column: catalogue.labelled(by, codes)})
        else:
            others.append(clause)
    return on, others


class Marks:
    """The bit mask of one clause in one plane, filled in strip by strip."""

    def __init__(self, catalogue: Catalogue, index: Index, plane: Plane, clause: Clause) -> None:
        self.catalogue, self.index, self.plane, self.clause = catalogue, index, plane, clause
        self.words = borrow(plane.size // WORD)
        self._test = local_test(catalogue, plane, clause)
        self._done = np.zeros(plane.strips, bool)
        self._whole = threading.Lock()

    def __del__(self) -> None:
        give_back(self.words)

    @property
    def nbytes(self) -> int:
        return int(self.words.nbytes)

    @property
    def is_local(self) -> bool:
        """Whether the columns of the plane itself tell."""
        return self._test is not None

    @property
    def is_whole(self) -> bool:
        return bool(self._done.all())

    def fill(self, first: int, last: int) -> None:
        """Fill in the strips [first, last) of a local mask; two threads may do the same at once."""
        assert self._test is not None
        if not self._done[first:last].all():
            # Finished words only are shown: another thread may be reading what it has filled in meanwhile.
            start, stop = word_range(self.plane, first, last)
            draft = _scratch(0, self.words.size)
            self._test(first, last, draft)
            self.words[start:stop] = draft[start:stop]
            self._done[first:last] = True

    def fill_whole(self, stop: Stop) -> None:
        """Fill in everything, on every processor; called outside of `at_once`."""
        with self._whole:
            if self.is_whole:
                return
            if self.is_local:
                at_once([partial(self.fill, *part) for part in chunks(self.plane)], stop)
            else:
                self._carry_over(stop)
                self._done[:] = True

    def _carry_over(self, stop: Stop) -> None:
        """Fill in everything by way of plane 0, from the plane that can tell or from row order."""
        plane, index = self.plane, self.index
        if plane.number != 0:
            home = marks_of(self.catalogue, index, index.planes[0], self.clause)
            home.fill_whole(stop)
            _move(home.words, index.to[plane.number], self.words, stop)
            return
        for other in index.planes[1:]:
            if local_test(self.catalogue, other, self.clause) is not None:
                source = marks_of(self.catalogue, index, other, self.clause)
                source.fill_whole(stop)
                assert other.home is not None
                _move(source.words, other.home, self.words, stop)
                return
        rows = borrow(-(-self.catalogue.rows // WORD))
        bits.mark_mask(row_mask(self.catalogue, self.clause, stop), rows)
        pieces = _pieces(self.words.size)
        at_once([partial(bits.gather, rows, index.row, first, last, self.words) for first, last in pieces], stop)
        give_back(rows)


def _move(source: Words, places: NDArray[np.uint32], out: Words, stop: Stop) -> None:
    """Make `out` the set of places[i] for every i of `source`; the fewer of the ones and the zeros are carried."""
    few = int(np.bitwise_count(source).sum()) * 2 <= source.size * WORD
    wanted = source if few else np.invert(source, out=borrow(source.size))
    pieces = _pieces(source.size, THREADS)
    parts = [out, *(borrow(out.size) for _ in pieces[1:])]
    for part in parts:
        part[:] = 0
    at_once(
        [
            partial(bits.scatter, wanted[first:last], places[first * WORD : last * WORD], part)
            for (first, last), part in zip(pieces, parts, strict=True)
        ],
        stop,
    )
    for part in parts[1:]:
        out |= part
        give_back(part)
    if not few:
        np.invert(out, out=out)
        give_back(wanted)


def _pieces(words: int, number: int = 8 * THREADS) -> list[tuple[int, int]]:
    edges = np.linspace(0, words, min(number, words) + 1).astype(int).tolist()
    return list(pairwise(edges))


def chunks(plane: Plane, first: int = 0, last: int | None = None, rows: int = 1 << 22) -> list[tuple[int, int]]:
    """The strips [first, last) in pieces of about so many rows."""
    last = plane.strips if last is None else last
    starts = (
        plane.bounds[first : last + 1, 0] if last < plane.strips else np.append(plane.bounds[first:, 0], plane.size)
    )
    total = int(starts[-1] - starts[0])
    marks = starts[0] + np.arange(1, max(1, total // rows)) * rows
    edges = np.unique([first, *(first + np.searchsorted(starts, marks)).tolist(), last]).tolist()
    return list(pairwise(edges)) if first < last else []


def local_test(catalogue: Catalogue, plane: Plane, clause: Clause) -> Callable[[int, int, Words], None] | None:
    """What fills in the strips [first, last) of a mask from the plane's own columns; None where they cannot tell."""
    names = tuple(catalogue.manifest.column(name).name for name in clause.columns)
    if isinstance(clause, Polygon) and set(names) == {plane.layout.x, plane.layout.y} and len(set(names)) == 2:
        return _polygon_test(plane, clause, swapped=names[0] != plane.layout.x)
    if not all(name in plane.columns for name in names):
        return None
    parts: list[tuple[str, Range | OneOf]]
    if isinstance(clause, Range):
        parts = [(names[0], clause)]
    elif isinstance(clause, Box):
        parts = list(zip(names, clause.sides, strict=True))
    elif isinstance(clause, OneOf) and names[0] in plane.tables:
        parts = [(names[0], clause)]
    else:
        return None
    limits = [_stored_limits(catalogue, plane, name, part) for name, part in parts]
    return _between_test(plane, [limit for limit in limits if limit is not None]) if None not in limits else None


def _stored_limits(catalogue: Catalogue, plane: Plane, name: str, clause: Range | OneOf) -> Between | None:
    """The smallest and the largest stored value that a condition admits; None where it admits others not between."""
    if name in plane.tables:
        dtype = catalogue.manifest.columns[name].dtype
        codes = np.flatnonzero(clause.mask({clause.column: plane.tables[name].astype(dtype)}))
        if not codes.size:
            return name, np.uint8(1), np.uint8(0)
        if codes[-1] - codes[0] + 1 != codes.size:
            return None
        return name, np.uint8(codes[0]), np.uint8(codes[-1])
    if not isinstance(clause, Range):
        return None
    stored = plane.columns[name].dtype
    return name, *(_whole_limits(stored, clause) if stored.kind in "iu" else _real_limits(stored.type, clause))


def _real_limits(kind: Any, clause: Range) -> tuple[Any, Any]:
    """The smallest and the largest number of a floating-point type in a range; (1, 0) where there is none."""
    low, high = kind(-np.inf), kind(np.inf)
    with np.errstate(over="ignore"):
        if clause.low is not None:
            low = kind(clause.low) if clause.include_low else np.nextafter(kind(clause.low), kind(np.inf))
            if not clause.include_low and np.isposinf(kind(clause.low)):
                return kind(1), kind(0)
        if clause.high is not None:
            high = kind(clause.high) if clause.include_high else np.nextafter(kind(clause.high), kind(-np.inf))
            if not clause.include_high and np.isneginf(kind(clause.high)):
                return kind(1), kind(0)
    return low, high


def _whole_limits(dtype: np.dtype[Any], clause: Range) -> tuple[Any, Any]:
    """The smallest and the largest whole number of a type in a range; (1, 0) where there is none."""
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    low, high = least, most
    if clause.low is not None:
        low = math.ceil(clause.low) if clause.include_low else math.floor(clause.low) + 1
    if clause.high is not None:
        high = math.floor(clause.high) if clause.include_high else math.ceil(clause.high) - 1
    if low > high or low > most or high < least:
        return dtype.type(1), dtype.type(0)
    return dtype.type(max(low, least)), dtype.type(min(high, most))


def _between_test(plane: Plane, limits: list[Between]) -> Callable[[int, int, Words], None]:
    def test(first: int, last: int, words: Words) -> None:
        start, stop = word_range(plane, first, last)
        for number, (name, low, high) in enumerate(limits):
            out = words if number == 0 else _scratch(1, words.size)
            if coarse := coarse_of(plane, name):
                coarse.mark(low, high, first, last, (start, stop), out)
            else:
                bits.mark_between(plane.columns[name], low, high, plane.zones[name], BLOCK // WORD, start, stop, out)
            if number:
                words[start:stop] &= out[start:stop]

    return test


def _polygon_test(plane: Plane, clause: Polygon, *, swapped: bool) -> Callable[[int, int, Words], None]:
    px, py = (np.ascontiguousarray(axis) for axis in np.array(clause.vertices, float).T)
    if swapped:
        px, py = py, px
    xs, ys = plane.columns[plane.layout.x], plane.columns[plane.layout.y]

    def test(first: int, last: int, words: Words) -> None:
        bits.mark_polygon(xs, ys, plane.bounds, plane.spans, px, py, first, last, words)

    return test


def word_range(plane: Plane, first: int, last: int) -> tuple[int, int]:
    """The words of the strips [first, last)."""
    stop = int(plane.bounds[last, 0]) if last < plane.strips else plane.size
    return int(plane.bounds[first, 0]) // WORD, stop // WORD


_own = threading.local()


def _scratch(number: int, words: int) -> Words:
    """Words of the calling thread to write on; asking for the same number again gives the same ones."""
    known: dict[int, Words] = _own.__dict__.setdefault("words", {})
    if number not in known or known[number].size < words:
        known[number] = np.empty(words, np.uint64)
    return known[number][:words]


_cache: LRUCache[tuple[str, int, Clause], Marks] = LRUCache(MASK_BYTES, getsizeof=lambda marks: max(marks.nbytes, 1))
_lock = threading.Lock()


def marks_of(catalogue: Catalogue, index: Index, plane: Plane, clause: Clause) -> Marks:
    """The mask of a clause in a plane, shared by all sessions; the key holds the version of the catalogue."""
    key = (index.identity, plane.number, clause)
    with _lock:
        if key in _cache and _cache[key].index is index:
            return _cache[key]
        while _cache and _cache.currsize + 8 * (plane.size // WORD) > _cache.maxsize:
            _cache.popitem()  # before there is a new one, which can then take its memory
        marks = Marks(catalogue, index, plane, clause)
        if marks.nbytes <= _cache.maxsize:
            _cache[key] = marks
        return marks


def reserve(index: Index) -> None:
    """Have memory at hand for the masks of the first pictures, so that they are drawn as quickly as the later ones."""
    if index.planes:
        words = index.planes[0].size // WORD
        spare.reserve(words, MASK_BYTES // max(1, 8 * words))


def prepare(catalogue: Catalogue, index: Index, plane: Plane, clauses: Iterable[Clause], stop: Stop) -> list[Marks]:
    """The masks of several clauses; those that the plane cannot tell by itself are filled in."""
    every = [marks_of(catalogue, index, plane, clause) for clause in clauses]
    for marks in every:
        if not marks.is_local:
            marks.fill_whole(stop)
    return every


def combined(plane: Plane, every: list[Marks], first: int, last: int) -> Words:
    """The words of the strips [first, last) that all masks share; empty when there is no mask."""
    if not every:
        return np.zeros(0, np.uint64)
    start, stop = word_range(plane, first, last)
    for marks in every:
        if marks.is_local:
            marks.fill(first, last)
    if len(every) == 1:
        return every[0].words[start:stop]
    words = every[0].words[start:stop] & every[1].words[start:stop]
    for marks in every[2:]:
        words &= marks.words[start:stop]
    return words
