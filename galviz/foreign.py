"""Values of files that galviz did not write, as a catalogue has them: in its units, gaps as NaN, classes as codes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from galviz.errors import IngestError
from galviz.formulas import FORMULAS
from galviz.manifest import Column, Group, Reading

UNKNOWN = -1
_EXACT = (1 << 53) - 1  # beyond this a float64 may stand for several whole numbers
ARROW = {"integer": pa.int64(), "number": pa.float64(), "text": pa.string()}
Arrays = dict[str, NDArray[Any]]
Count = Callable[[str, int], None]  # is told why, or which, and how many


def kind_of(column: Column) -> str:
    """What to read for a column: "integer", "number" or "text"."""
    if column.kind == "class":
        return "text"
    return "integer" if column.role == "id" else "number"


def first_line(error: BaseException) -> str:
    """The first line of an error that others raised, without its full stop."""
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    return "".join(letter if letter.isprintable() else "?" for letter in line[:300]).rstrip(". ")


# From Arrow


def arrow_column(path: Path, name: str, values: Any, kind: str) -> Any:
    """An Arrow column of numbers as NumPy, of text as it is.

    Raises IngestError for numbers as names, floats as identifiers and empty identifiers.
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode() if isinstance(values, pa.Array) else values.cast(values.type.value_type)
    if kind == "text" and not (_is_text(values.type) or pa.types.is_null(values.type)):
        raise IngestError(f"The column {name} of {path} holds {values.type}, not the names of classes; write names.")
    if kind == "integer":
        refuse_float_ids(path, name, pa.types.is_floating(values.type))
    try:
        values = values.cast(ARROW[kind])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise IngestError(f"The column {name} of {path} does not hold numbers: {first_line(error)}.") from error
    if kind == "integer":
        refuse_empty_ids(path, name, values.null_count)
    if kind == "text":
        return values
    result: NDArray[Any] = values.to_numpy() if isinstance(values, pa.ChunkedArray) else _zero_copy(values)
    return result


def _zero_copy(values: Any) -> Any:
    return values.to_numpy(zero_copy_only=False)


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def without(values: Any, null: str) -> Any:
    """An Arrow column of whole numbers or of text, null where it equals the one that stands for a missing value."""
    whole = pa.types.is_integer(values.type)
    if not null or not (whole or pa.types.is_string(values.type)):
        return values
    try:
        wanted = pa.scalar(int(null) if whole else null, values.type)
    except (ValueError, OverflowError):
        return values
    gaps = pc.equal(values, wanted).fill_null(False)
    return pc.if_else(gaps, pa.scalar(None, values.type), values)


def refuse_float_ids(path: Path, name: str, floating: bool) -> None:
    """Raise IngestError for identifiers that were stored as floating-point numbers."""
    if floating:
        raise IngestError(
            f"The column {name} of {path} holds floating-point numbers, which lose digits of identifiers above 2^53; "
            "write it as 64-bit integers or as text."
        )


def refuse_empty_ids(path: Path, name: str, missing: int) -> None:
    """Raise IngestError where `missing` identifiers are empty."""
    if missing:
        raise IngestError(f"The column {name} of {path} is empty in {missing} rows; every row needs one.")


# To columns


def numbers(values: NDArray[Any], reading: Reading, column: Column, count: Count) -> NDArray[Any]:
    """Numbers of a file in the unit of the column, NaN where they mean that there is none, which is counted."""
    return _within_limits(_in_unit(values, reading, count), reading, column, count)


def _in_unit(values: NDArray[Any], reading: Reading, count: Count) -> NDArray[Any]:
    if values.dtype.kind != "f" or (reading.factor == 1.0 and not reading.sentinels):
        return values
    bad = np.zeros(len(values), bool)
    for sentinel in reading.sentinels:
        found = ~bad & (np.abs(values - sentinel) <= 1e-6 * abs(sentinel))  # of single precision, maybe
        count(f"{sentinel:g}", int(found.sum()))
        bad |= found
    return np.where(bad, np.nan, values) * reading.factor


def _within_limits(values: NDArray[Any], reading: Reading, column: Column, count: Count) -> NDArray[Any]:
    if values.dtype.kind != "f" or not values.size:
        return values
    with np.errstate(invalid="ignore"):
        low, high = np.fmin.reduce(values), np.fmax.reduce(values)
    most = _largest(column)
    if not (low < max(reading.minimum, -most) or high >= reading.maximum or high > most):
        return values
    infinite = np.isinf(values)
    below, above = (values < reading.minimum) & ~infinite, (values >= reading.maximum) & ~infinite
    beyond = (np.abs(values) > most) & ~(infinite | below | above)
    for reason, which in (
        ("infinite", infinite),
        (f"below {reading.minimum:g}", below),
        (f"at least {reading.maximum:g}", above),
        (f"beyond {column.dtype}", beyond),
    ):
        count(reason, int(which.sum()))
    return np.where(infinite | below | above | beyond, np.nan, values)


def _largest(column: Column) -> float:
    """The largest number that does not become infinite in a column of fractions."""
    if column.dtype == "float32":
        return math.nextafter((2 - 2**-24) * 2.0**127, 0)  # half a step above the largest one is rounded down to it
    return float(np.finfo(np.float64).max)


def codes(texts: Any, spellings: Mapping[str, str], names: Sequence[str], count: Count) -> NDArray[np.int8]:
    """Codes into the classes called `names`; a text that means none of them is -1 and counted.

    `spellings` are others of these classes, in capitals.
    """
    column = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.string(), from_pandas=True)
    encoded = column.dictionary_encode()
    places = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    found = [str(text).strip() for text in encoded.dictionary.to_pylist()]
    known = np.full(len(found) + 1, UNKNOWN, np.int8)  # the last one is for a missing text
    counts = np.bincount(places + 1, minlength=len(found) + 1)
    for place, text in enumerate(found):
        name = spellings.get(text.upper(), text.upper())
        if name in names:
            known[place] = names.index(name)
        else:
            count(text[:40], int(counts[place + 1]))
    if counts[0]:
        count("", int(counts[0]))
    result: NDArray[np.int8] = known[places]
    return result


def stored(values: NDArray[Any], column: Column, kept: NDArray[np.bool_], origin: object) -> NDArray[Any]:
    """Values with the type of the column; whole numbers are -1 where one is missing.

    Raises IngestError, which names `origin`, where a row that is `kept` has a number that is none of that type.
    """
    kind = np.dtype(column.dtype)
    if kind.kind == "i" and values.dtype.kind == "f":
        least, most = max(np.iinfo(kind).min, -_EXACT), min(np.iinfo(kind).max, _EXACT)
        whole = (values >= least) & (values <= most) & (values == np.trunc(values))
        odd = values[kept & ~whole & ~np.isnan(values)]
        if len(odd):
            raise IngestError(
                f"{origin} has {odd[0]:.17g} in the column {column.name}, which is {column.dtype} and holds whole "
                f"numbers from {least} to {most}; mend the value, or say another dtype in the survey."
            )
        values = np.where(whole, values, UNKNOWN)
    return values.astype(kind, copy=False)


# Files


def read_foreign(path: Path, rows: int, group: Group, names: Sequence[str], classes: Sequence[str]) -> Arrays:
    """Columns of a file of `rows` rows as the readings of `group` say; `classes` are the names of all classes.

    Raises IngestError where the file is damaged, or is not as it was when the readings were made.
    """
    known = {column.name: (column, reading) for column, reading in zip(group.columns, group.readings, strict=True)}
    needed = dict.fromkeys(other for name in names for other in (known[name][1].made[1:] or (name,)))
    table = _read(path, rows, [known[name][1].spelling for name in needed])
    found: dict[str, NDArray[Any]] = {}
    for name in needed:
        column, reading = known[name]
        values = without(table.column(reading.spelling), reading.null)
        values = arrow_column(path, reading.spelling, values, kind_of(column))
        if column.kind == "class":
            found[name] = codes(values.combine_chunks(), reading.classes, classes, _uncounted)
        else:
            found[name] = numbers(values, reading, column, _uncounted)
    for name in names:
        if made := known[name][1].made:
            found[name] = FORMULAS[made[0]](*(found[other] for other in made[1:]))
    kept = np.ones(rows, bool)
    return {name: stored(found[name], known[name][0], kept, path) for name in names}


def _uncounted(reason: str, number: int) -> None:
    """What was done is in the account of an ingest only."""


def _read(path: Path, rows: int, spellings: list[str]) -> Any:
    try:
        table = pq.read_table(
            path, columns=spellings, page_checksum_verification=True, memory_map=True, partitioning=None
        )
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise IngestError(f"Cannot read {path} as Parquet: {first_line(error)}; fetch or make it again.") from error
    if table.num_rows != rows:
        raise IngestError(f"{path} has {table.num_rows:,} rows, not {rows:,} as before; fetch or make it again.")
    return table
