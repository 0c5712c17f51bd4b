"""Which rows: a selection is a predicate, never a list of rows.

A `Selection` is a set of named clauses joined by AND. Each clause belongs to the widget or view that made
it, so that a view can draw `selection.without(its own name)`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from galviz.clauses import Box, Clause, Cone, Frame, Labels, Mask, OneOf, Polygon, Range, intersect
from galviz.errors import SelectionError
from galviz.grammar import parse_clauses

__all__ = ["Box", "Clause", "Cone", "Frame", "Mask", "OneOf", "Polygon", "Range", "Selection"]


@dataclass(frozen=True)
class Selection:
    """Named clauses joined by AND, kept in the order of their names; the empty selection is every row."""

    clauses: tuple[tuple[str, Clause], ...] = field(default=())

    def __post_init__(self) -> None:
        names = [name for name, _ in self.clauses]
        if len(set(names)) != len(names):
            raise SelectionError("Two clauses of a selection bear the same name.")
        object.__setattr__(self, "clauses", tuple(sorted(self.clauses, key=lambda pair: pair[0])))

    def __iter__(self) -> Iterator[tuple[str, Clause]]:
        return iter(self.clauses)

    def __bool__(self) -> bool:
        return bool(self.clauses)

    def get(self, name: str) -> Clause | None:
        """The clause of that name, or None."""
        return next((clause for key, clause in self.clauses if key == name), None)

    def choose(self, name: str, clause: Clause | None) -> Selection:
        """A new selection in which `name` holds `clause`; None removes it."""
        others = self.without(name).clauses
        return Selection(others if clause is None else (*others, (name, clause)))

    def without(self, *names: str) -> Selection:
        """A new selection less the clauses of those names."""
        return Selection(tuple(pair for pair in self.clauses if pair[0] not in names))

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that the clauses read, each once."""
        return tuple(dict.fromkeys(column for _, clause in self.clauses for column in clause.columns))

    def mask(self, frame: Frame, rows: int | None = None) -> Mask:
        """True for selected rows; `rows` is needed when there is no clause and `frame` is an empty dict."""
        mask: Mask | None = None
        for _, clause in self.clauses:
            part = clause.mask(frame)
            mask = part if mask is None else mask & part
        if mask is not None:
            return mask
        if rows is None:
            rows = len(next(iter(frame.values()))) if isinstance(frame, dict) else len(frame)
        return np.ones(rows, bool)

    def bounds(self) -> dict[str, tuple[float, float]]:
        """The ranges of `Clause.bounds`, intersected over the clauses."""
        result: dict[str, tuple[float, float]] = {}
        for _, clause in self.clauses:
            for column, (low, high) in clause.bounds().items():
                old_low, old_high = result.get(column, (-math.inf, math.inf))
                result[column] = (max(old_low, low), min(old_high, high))
        return result

    def sentence(self, label: Labels = str) -> str:
        """The selection in plain English, without the counts."""
        return "; ".join(clause.sentence(label) for _, clause in self.clauses) or "every source"

    def __str__(self) -> str:
        return " and ".join(str(clause) for _, clause in self.clauses)

    @classmethod
    def parse(cls, text: str) -> Selection:
        """Read the expression that `str(selection)` prints; conditions are joined by `and`.

        A condition is `17 <= psf_r < 21`, `p_quasar > 0.9`, `class == 'QSO'`, `class in ['QSO', 'STAR']`,
        `box(x, y, x_low, x_high, y_low, y_high)`, `polygon(x, y, x1, y1, x2, y2, ...)` or
        `cone(ra, dec, centre_ra, centre_dec, radius)` in degrees. The text is never executed. Clauses are
        named after their columns; two ranges of one column become their intersection.

        Raises SelectionError for anything else.
        """
        selection = cls()
        for clause in parse_clauses(text):
            name = " ".join(clause.columns)
            other = selection.get(name)
            if isinstance(other, Range) and isinstance(clause, Range):
                selection = selection.choose(name, intersect(other, clause))
                continue
            number, base = 2, name
            while other is not None:
                name, number = f"{base} {number}", number + 1
                other = selection.get(name)
            selection = selection.choose(name, clause)
        return selection
