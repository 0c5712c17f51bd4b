"""Clauses to bit mask: which places of a sorted plane fulfil conditions.

Conditions on the columns that a plane holds are looked up where they lie, strip by strip as they are needed. One on the
coordinates of another plane is found there and carried over place by place. Any other is answered in row order, from
the index or the Parquet parts. Masks are kept for the next picture, so that of several conditions only the one that
changes costs time: those that come together share a mask, and those that stay while others change share another.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from functools import partial
from itertools import pairwise

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from galviz.catalogue import Catalogue
from galviz.conditions import Condition, Draft, conditions_of, hold, scratch
from galviz.index import Index, Plane
from galviz.index.layout import WORD
from galviz.kernels import bits
from galviz.scan import row_mask
from galviz.selection import Clause, OneOf
from galviz.spare import Words, borrow, give_back
from galviz.work import THREADS, Stop, at_once

MASK_BYTES, LEAST_BYTES = 256 << 20, 4 << 20
REMEMBERED = 1024  # conditions that may stay while others change


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
    """The bit mask of clauses in one plane, filled in strip by strip; several if the plane can tell of all of them."""

    def __init__(self, catalogue: Catalogue, index: Index, plane: Plane, clauses: Collection[Clause]) -> None:
        self.catalogue, self.index, self.plane, self.clauses = catalogue, index, plane, tuple(clauses)
        self.words, self._let_go = borrow(plane.size // WORD), give_back
        found = [conditions_of(catalogue, plane, clause) for clause in self.clauses]
        self.is_local = None not in found
        self.conditions: list[Condition] = [condition for known in found if known for condition in known]
        assert self.is_local or len(found) == 1
        self._done = np.zeros(plane.strips, bool)
        self._whole = threading.Lock()

    def __del__(self) -> None:
        self._let_go(self.words)

    @property
    def nbytes(self) -> int:
        return int(self.words.nbytes)

    @property
    def is_whole(self) -> bool:
        return bool(self._done.all())

    def has(self, first: int, last: int) -> bool:
        """Whether the strips [first, last) are filled in."""
        return bool(self._done[first:last].all())

    def fill(self, first: int, last: int) -> None:
        """Fill in the strips [first, last) of a local mask; two threads may do the same at once."""
        if not self.has(first, last):
            # Finished words only are shown: another thread may be reading what it has filled in meanwhile.
            start, stop = word_range(self.plane, first, last)
            draft = Draft(self.plane, first, last, start, np.array([[start, stop]]), scratch("draft", stop - start))
            hold(self.conditions, draft)
            self.words[start:stop] = draft.words
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
            home = marks_of(self.catalogue, index, index.planes[0], self.clauses)
            home.fill_whole(stop)
            _move(home.words, index.to[plane.number], self.words, stop)
            return
        (clause,) = self.clauses
        for other in index.planes[1:]:
            if conditions_of(self.catalogue, other, clause) is not None:
                source = marks_of(self.catalogue, index, other, self.clauses)
                source.fill_whole(stop)
                assert other.home is not None
                _move(source.words, other.home, self.words, stop)
                return
        rows = borrow(-(-self.catalogue.rows // WORD))
        bits.mark_mask(row_mask(self.catalogue, clause, stop), rows)
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
    """The strips [first, last) in equal pieces of about so many rows."""
    last = plane.strips if last is None else last
    starts = (
        plane.bounds[first : last + 1, 0] if last < plane.strips else np.append(plane.bounds[first:, 0], plane.size)
    )
    total = int(starts[-1] - starts[0])
    number = max(1, round(total / rows))
    marks = starts[0] + np.arange(1, number) * total // number
    edges = np.unique([first, *(first + np.searchsorted(starts, marks)).tolist(), last]).tolist()
    return list(pairwise(edges)) if first < last else []


def word_range(plane: Plane, first: int, last: int) -> tuple[int, int]:
    """The words of the strips [first, last)."""
    stop = int(plane.bounds[last, 0]) if last < plane.strips else plane.size
    return int(plane.bounds[first, 0]) // WORD, stop // WORD


_Key = tuple[str, int, frozenset[Clause]]
# A mask keeps the files of its index open, so that even of small ones there are few.
_cache: LRUCache[_Key, Marks] = LRUCache(MASK_BYTES, getsizeof=lambda marks: max(marks.nbytes, LEAST_BYTES))
_asked: LRUCache[tuple[str, int, Clause], None] = LRUCache(REMEMBERED)
_lock = threading.Lock()


def marks_of(catalogue: Catalogue, index: Index, plane: Plane, clauses: Collection[Clause]) -> Marks:
    """The mask of clauses in a plane, shared by all sessions; the key holds the version of the catalogue."""
    key = (index.identity, plane.number, frozenset(clauses))
    with _lock:
        if key in _cache and _cache[key].index is index:
            return _cache[key]
        while _cache and _cache.currsize + 8 * (plane.size // WORD) > _cache.maxsize:
            _cache.popitem()  # before there is a new one, which can then take its memory
        marks = Marks(catalogue, index, plane, clauses)
        if _cache.getsizeof(marks) <= _cache.maxsize:
            _cache[key] = marks
        return marks


def prepare(catalogue: Catalogue, index: Index, plane: Plane, clauses: Iterable[Clause], stop: Stop) -> list[Marks]:
    """The masks whose intersection several clauses are; those that the plane cannot tell by itself are filled in."""
    local: set[Clause] = set()
    every = []
    for clause in dict.fromkeys(clauses):
        if conditions_of(catalogue, plane, clause) is not None:
            local.add(clause)
        else:
            every.append(marks_of(catalogue, index, plane, [clause]))
            every[-1].fill_whole(stop)
    return every + [marks_of(catalogue, index, plane, group) for group in _shared(index, plane, local)]


def _shared(index: Index, plane: Plane, clauses: set[Clause]) -> list[frozenset[Clause]]:
    """Clauses in groups that share a mask: those that one is kept of, those that have been asked for, and new ones."""
    place = index.identity, plane.number
    with _lock:
        kept = [group for *where, group in _cache if tuple(where) == place]
        left, groups = frozenset(clauses), []
        while known := max((group for group in kept if group <= left), key=len, default=frozenset()):
            groups.append(known)
            left -= known
        old = frozenset(clause for clause in left if (*place, clause) in _asked)
        _asked.update(((*place, clause), None) for clause in clauses)
    return groups + [group for group in (old, left - old) if group]


def is_at_hand(catalogue: Catalogue, index: Index, plane: Plane, clause: Clause) -> bool:
    """Whether a clause needs no work beyond the strips of a plane that are looked at."""
    if conditions_of(catalogue, plane, clause) is not None:
        return True
    with _lock:
        known = _cache.get((index.identity, plane.number, frozenset([clause])))
    return known is not None and known.is_whole


def combined(plane: Plane, every: list[Marks], first: int, last: int, parts: NDArray[np.int64] | None = None) -> Words:
    """The words of the strips [first, last) that all masks share; empty when there is no mask.

    With `parts` only these of the words are wanted, the first of each and the one after its last; of a mask that has
    to be filled in no more are. The words may be written on when the calling thread asks again.
    """
    if not every:
        return np.zeros(0, np.uint64)
    start, stop = word_range(plane, first, last)
    left = [marks for marks in every if marks.is_local and not marks.has(first, last)]
    shared = [marks.words[start:stop] for marks in every if parts is None or marks not in left]
    if parts is None:
        for marks in left:
            marks.fill(first, last)
    elif left:
        draft = Draft(plane, first, last, start, parts, scratch("draft", stop - start))
        hold([condition for marks in left for condition in marks.conditions], draft)
        shared.append(draft.words)
    words = shared[0]
    for other in shared[1:]:
        words = np.bitwise_and(words, other, out=scratch("shared", stop - start))
    return words
