"""A look at the columns of a file: its names, what it says of them, and their first values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.errors import IngestError
from galviz.ingest.matching import plain_name, refuse_several
from galviz.ingest.readers import ColumnNote, ForeignTable
from galviz.ingest.ucds import modern
from galviz.surveys.units import factor, known_unit

# What catalogues write where there is no value; one of them counts when it lies far from the other values.
SENTINELS = (-9999.0, 9999.0, -999.0, 999.0, -99.0, 99.0, -999.9, 999.9, -99.9, 99.9, -99.99, 99.99, 1e20, -1e20)
_ROWS = 50_000  # of numbers that are looked at
_ENOUGH = 10_000  # rows, from as many chunks as it takes


@dataclass(frozen=True, eq=False)
class Look:
    """A column of a file: its name, what the file says of it, and its first values.

    `kind` is "integer", "number" or "text", and nothing where no value of the column can be read.
    """

    name: str
    note: ColumnNote
    kind: str
    values: NDArray[Any]

    @cached_property
    def plain(self) -> str:
        return plain_name(self.name)

    @cached_property
    def ucd(self) -> str:
        """What it is, in today's words."""
        return modern(self.note.ucd)

    @cached_property
    def plain_ucd(self) -> str:
        """The same in lower case, as UCDs are compared."""
        return "".join(self.ucd.lower().split())

    @property
    def is_number(self) -> bool:
        return self.kind in ("integer", "number")

    @cached_property
    def known(self) -> NDArray[Any]:
        """The numbers that are neither missing nor sentinels."""
        finite = self._finite
        return finite[~_among(finite, self.sentinels)]

    @cached_property
    def sentinels(self) -> tuple[float, ...]:
        """Those of SENTINELS that occur, and lie farther from the other values than those spread."""
        finite = self._finite
        found = [value for value in SENTINELS if _among(finite, [value]).any()]
        rest = finite[~_among(finite, found)]
        if not found or not len(rest):
            return tuple(found)
        low, high = rest.min(), rest.max()
        return tuple(value for value in found if max(low - value, value - high) > max(high - low, 5.0))

    @property
    def _finite(self) -> NDArray[np.float64]:
        values = self.values.astype(np.float64) if self.is_number else np.empty(0)
        return values[np.isfinite(values)]

    def in_unit(self, unit: str | None) -> NDArray[np.float64] | None:
        """The known values in `unit`, or None where the file gives a unit that cannot be converted."""
        if unit is None or known_unit(self.note.unit) is None:
            return self.known
        ratio = factor(self.note.unit, unit)
        return None if ratio is None else self.known * ratio


def _among(values: NDArray[np.float64], wanted: Sequence[float]) -> NDArray[np.bool_]:
    """Where a value is one of the wanted ones, of single precision maybe."""
    result = np.zeros(len(values), bool)
    for value in wanted:
        result |= np.abs(values - value) <= 1e-6 * abs(value)
    return result


def within(entry: Look, unit: str | None, low: float, high: float) -> bool:
    """Whether nine tenths of the known values lie in the range; also where there is none."""
    values = entry.in_unit(unit)
    if values is None:
        return False
    return not len(values) or bool(((values >= low) & (values <= high)).mean() >= 0.9)


def spelling(entry: Look) -> str:
    """The name by which a survey finds the column again."""
    return entry.name if entry.name.lower() == entry.plain else entry.plain


def remark(what: str, entry: Look) -> str:
    """Why a column was taken for what it is, and where its values lie."""
    known = entry.known
    extent = f"{known.min():.6g} to {known.max():.6g}" if len(known) else "no value"
    missing = f"; {', '.join(f'{value:g}' for value in entry.sentinels)} for missing" if entry.sentinels else ""
    return f"{what}; {extent} in the first rows{missing}"


def look(table: ForeignTable) -> list[Look]:
    """Every column with its first values. Raises IngestError where there is no row, or a name occurs twice."""
    spelled: dict[str, list[str]] = {}
    for name in table.names:
        spelled.setdefault(plain_name(table.name_in_file(name)), []).append(name)
    for names in spelled.values():
        refuse_several(table, names)
    numbers = _first_rows(table, table.names, "number")
    perhaps_whole = [name for name in table.names if name not in numbers or _is_whole(numbers[name])]
    integers = _first_rows(table, perhaps_whole, "integer")
    rest = [name for name in table.names if name not in numbers and name not in integers]
    texts = _first_rows(table, rest, "text")
    if not numbers and not integers and not texts:
        _read(table, dict.fromkeys(table.names, "text"))
        raise IngestError(f"{table.path} has no column that can be read; name a file with one value a row and column.")
    read = {"integer": integers, "number": numbers, "text": texts}
    rows = max(len(values) for columns in read.values() for values in columns.values())
    if rows == 0:
        raise IngestError(f"{table.path} has column names but no row; there is nothing to look at.")
    return [
        next(
            (_look(table, name, kind, found[name]) for kind, found in read.items() if name in found),
            _look(table, name, "", np.full(rows, np.nan)),
        )
        for name in table.names
    ]


def _look(table: ForeignTable, name: str, kind: str, values: NDArray[Any]) -> Look:
    seen = np.asarray(values, object) if kind == "text" else values[:_ROWS]
    return Look(name, table.columns.get(name, ColumnNote()), kind, seen)


def _first_rows(table: ForeignTable, names: Sequence[str], kind: str) -> dict[str, NDArray[Any]]:
    """The first values of those columns that can be read as `kind`: halves, where one column spoils the rest."""
    if not names:
        return {}
    try:
        return _read(table, dict.fromkeys(names, kind))
    except IngestError:
        middle = len(names) // 2
        if not middle:
            return {}
        return _first_rows(table, names[:middle], kind) | _first_rows(table, names[middle:], kind)


def _read(table: ForeignTable, kinds: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    chunks: list[Mapping[str, Any]] = []
    for chunk, _ in table.chunks(kinds):
        chunks.append(chunk)
        if sum(len(next(iter(part.values()))) for part in chunks) >= _ENOUGH:
            break
    return {name: _joined([chunk[name] for chunk in chunks], kind) for name, kind in kinds.items()}


def _joined(pieces: Sequence[Any], kind: str) -> NDArray[Any]:
    arrays = [np.asarray(piece, object) if kind == "text" else piece for piece in pieces]
    return np.concatenate(arrays) if arrays else np.empty(0)


def _is_whole(values: NDArray[Any]) -> bool:
    return bool(len(values)) and bool((np.isfinite(values) & (values == np.round(values))).all())
