"""Conditions on what a sorted plane holds itself: clauses as limits of stored values, and the places that are within.

Several conditions narrow one set of places, so that the later ones are asked of what the earlier ones leave. Where
bytes stand for the values of a column (see `galviz.coarse`), the few places that these cannot tell are looked at last.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from galviz.catalogue import Catalogue
from galviz.coarse import coarse_of
from galviz.index import Plane
from galviz.index.layout import BLOCK, WORD
from galviz.kernels import bits
from galviz.selection import Box, Clause, OneOf, Polygon, Range

Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Draft:
    """A set of places of the strips [first, last) under way: `words` begins with the word `origin` of the plane.

    Those of `parts` (parts, 2), first word and the one after the last, are wanted; the others may end as anything.
    """

    plane: Plane
    first: int
    last: int
    origin: int
    parts: NDArray[np.int64]
    words: Words


class Condition(Protocol):
    """Something that places fulfil or not."""

    @property
    def cost(self) -> int:
        """Conditions of less cost are asked first."""

    def narrow(self, draft: Draft, spare: Words) -> bool:
        """Keep what fulfils the condition; True where `spare` now holds places that `settle` has to look at."""

    def settle(self, draft: Draft, unsure: Words) -> None:
        """Keep of the places that `narrow` was unsure of those that fulfil the condition."""


@dataclass(frozen=True)
class Between:
    """Whether the stored value of a column lies in [low, high]."""

    name: str
    low: Any
    high: Any
    cost: int

    def narrow(self, draft: Draft, spare: Words) -> bool:
        plane = draft.plane
        limits = self.low, self.high, plane.zones[self.name], BLOCK // WORD, draft.parts, draft.origin, draft.words
        if coarse := coarse_of(plane, self.name):
            codes, least, most = coarse.codes(draft.first, draft.last), coarse.code(self.low), coarse.code(self.high)
            bits.narrow_coarsely(codes, least, most, *limits, spare)
            return True
        bits.narrow_between(plane.columns[self.name], *limits)
        return False

    def settle(self, draft: Draft, unsure: Words) -> None:
        values = draft.plane.columns[self.name]
        bits.settle(values, self.low, self.high, draft.parts, draft.origin, draft.words, unsure)


@dataclass(frozen=True)
class Inside:
    """Whether a place lies in a polygon of the plane itself, its vertices given as two arrays."""

    xs: NDArray[np.float64]
    ys: NDArray[np.float64]
    cost = 0

    def narrow(self, draft: Draft, spare: Words) -> bool:
        plane = draft.plane
        coordinates = plane.columns[plane.layout.x], plane.columns[plane.layout.y]
        bits.mark_polygon(*coordinates, plane.bounds, plane.spans, self.xs, self.ys, draft.first, draft.last, spare)
        np.bitwise_and(draft.words, spare, out=draft.words)
        return False

    def settle(self, draft: Draft, unsure: Words) -> None:
        """Nothing is left open."""


def hold(conditions: Iterable[Condition], draft: Draft) -> None:
    """Make the draft the set of the places that fulfil all conditions."""
    bits.begin(draft.parts, draft.origin, draft.words)
    unsure = []
    for number, condition in enumerate(sorted(conditions, key=lambda each: each.cost)):
        spare = scratch(f"unsure {number}", draft.words.size)
        if condition.narrow(draft, spare):
            unsure.append((condition, spare))
    for condition, spare in unsure:
        condition.settle(draft, spare)


_own = threading.local()


def scratch(name: str, words: int) -> Words:
    """Words of the calling thread to write on; asking for the same name again gives the same ones."""
    known: dict[str, Words] = _own.__dict__.setdefault("words", {})
    if name not in known or known[name].size < words:
        known[name] = np.empty(words, np.uint64)
    return known[name][:words]


def conditions_of(catalogue: Catalogue, plane: Plane, clause: Clause) -> tuple[Condition, ...] | None:
    """A clause as conditions on the plane's own columns, all of which have to hold; None where they cannot tell."""
    names = tuple(catalogue.manifest.column(name).name for name in clause.columns)
    if isinstance(clause, Polygon) and set(names) == {plane.layout.x, plane.layout.y} and len(set(names)) == 2:
        axes = [np.ascontiguousarray(axis) for axis in np.array(clause.vertices, float).T]
        return (Inside(*(axes if names[0] == plane.layout.x else axes[::-1])),)
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
    found: list[Condition] = []
    for name, part in parts:
        if (limits := _stored_limits(catalogue, plane, name, part)) is None:
            return None
        # Zone maps spare nearly all of the reading where rows are sorted by the column.
        cost = 0 if name in (plane.layout.x, plane.layout.y) else plane.columns[name].dtype.itemsize
        found.append(Between(name, *limits, cost))
    return tuple(found)


def _stored_limits(catalogue: Catalogue, plane: Plane, name: str, clause: Range | OneOf) -> tuple[Any, Any] | None:
    """The smallest and the largest stored value that a condition admits; None where it admits others not between."""
    if name in plane.tables:
        dtype = catalogue.manifest.columns[name].dtype
        codes = np.flatnonzero(clause.mask({clause.column: plane.tables[name].astype(dtype)}))
        if not codes.size:
            return np.uint8(1), np.uint8(0)
        if codes[-1] - codes[0] + 1 != codes.size:
            return None
        return np.uint8(codes[0]), np.uint8(codes[-1])
    if not isinstance(clause, Range):
        return None
    stored = plane.columns[name].dtype
    return _whole_limits(stored, clause) if stored.kind in "iu" else _real_limits(stored.type, clause)


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
