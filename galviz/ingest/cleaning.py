"""What happens to the rows of a foreign file before they become a catalogue, with the account of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from galviz.formulas import FORMULAS
from galviz.ingest.ledger import Ledger
from galviz.manifest import Column
from galviz.surveys import Source, Step, Survey

__all__ = ["KEPT", "Arrays", "Ledger", "applicable", "clean", "judged"]

Arrays = dict[str, NDArray[Any]]
Ranges = dict[str, tuple[float, float]]  # smallest and largest value of columns that lack none
UNKNOWN = -1
KEPT = -1


def applicable(steps: Sequence[Step], present: set[str]) -> tuple[Step, ...]:
    """The steps that concern a file of these columns, each with the columns that are there."""
    chosen = []
    for step in steps:
        columns = tuple(name for name in step.columns if name in present)
        wrong_kind = (step.only_with and step.only_with not in present) or step.only_without in present
        if columns and not wrong_kind:
            chosen.append(Step(step.reason, columns, step.low, step.high, step.values))
    return tuple(chosen)


def clean(arrays: Mapping[str, Any], sources: Sequence[Source], survey: Survey, ledger: Ledger) -> Arrays:
    """One chunk as the catalogue stores it: `judged`, less the rows that a step drops."""
    columns, fell = judged(arrays, sources, survey, ledger)
    return columns if (fell == KEPT).all() else {name: values[fell == KEPT] for name, values in columns.items()}


def judged(
    arrays: Mapping[str, Any], sources: Sequence[Source], survey: Survey, ledger: Ledger
) -> tuple[Arrays, NDArray[np.int8]]:
    """One chunk as the catalogue stores it, and for each row the number of the step at which it falls, or `KEPT`.

    Sentinels become null, columns are made, classes become codes. `arrays` maps canonical names to float64, int64 or
    text (objects or an Arrow array) of one length; the result has the types of the columns. Every change is counted
    in `ledger`.
    """
    rows = len(next(iter(arrays.values())))
    ledger.read += rows
    result: Arrays = {}
    ranges: Ranges = {}
    for source in sources:
        name = source.column.name
        if name not in arrays:
            result[name] = FORMULAS[source.made[0]](*(result[column] for column in source.made[1:]))
        elif source.column.kind == "class":
            result[name] = _codes(arrays[name], survey, ledger)
        else:
            result[name] = _without_sentinels(_in_unit(arrays[name], source, ledger), source, ledger)
        if result[name].dtype.kind == "f":
            _count_missing(name, result[name], ledger, ranges)
    fell = _fell(result, ranges, ledger, rows)
    return {source.column.name: _stored(result[source.column.name], source.column) for source in sources}, fell


def _in_unit(values: NDArray[Any], source: Source, ledger: Ledger) -> NDArray[Any]:
    """The values of a file in the unit of the column; what equals a sentinel, in the file's unit, is null."""
    if values.dtype.kind != "f" or (source.factor == 1.0 and not source.sentinels):
        return values
    bad = np.zeros(len(values), bool)
    for sentinel in source.sentinels:
        found = ~bad & (np.abs(values - sentinel) <= 1e-6 * abs(sentinel))  # of single precision, maybe
        ledger.null(source.column.name, f"{sentinel:g}", int(found.sum()))
        bad |= found
    return np.where(bad, np.nan, values) * source.factor


def _without_sentinels(values: NDArray[Any], source: Source, ledger: Ledger) -> NDArray[Any]:
    if values.dtype.kind != "f" or not values.size:
        return values
    with np.errstate(invalid="ignore"):
        low, high = np.fmin.reduce(values), np.fmax.reduce(values)
    if not (low < source.minimum or high >= source.maximum or np.isinf(low) or np.isinf(high)):
        return values
    infinite = np.isinf(values)
    below, above = (values < source.minimum) & ~infinite, (values >= source.maximum) & ~infinite
    for reason, which in (
        ("infinite", infinite),
        (f"below {source.minimum:g}", below),
        (f"at least {source.maximum:g}", above),
    ):
        ledger.null(source.column.name, reason, int(which.sum()))
    return np.where(infinite | below | above, np.nan, values)


def _count_missing(name: str, values: NDArray[Any], ledger: Ledger, ranges: Ranges) -> None:
    """Count what is missing; where nothing is, remember the range, which tells whether a step has work at all."""
    if not values.size:
        return
    low, high = values.min(), values.max()
    if np.isnan(low):
        ledger.missing[name] += int(np.isnan(values).sum())
    else:
        ranges[name] = float(low), float(high)


def _codes(texts: Any, survey: Survey, ledger: Ledger) -> NDArray[np.int8]:
    """Codes into the classes of the survey; a text that names none of them is -1 and counted."""
    column = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.string(), from_pandas=True)
    encoded = column.dictionary_encode()
    numbers = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    spellings = encoded.dictionary.to_pylist()
    names = [entry.name for entry in survey.classes]
    codes = np.full(len(spellings) + 1, UNKNOWN, np.int8)  # the last one is for a missing text
    counts = np.bincount(numbers + 1, minlength=len(spellings) + 1)
    for place, spelling in enumerate(spellings):
        text = str(spelling).strip()
        name = survey.class_names.get(text.upper(), text.upper())
        if name in names:
            codes[place] = names.index(name)
        else:
            ledger.unknown[text[:40]] += int(counts[place + 1])
    if counts[0]:
        ledger.unknown[""] += int(counts[0])
    result: NDArray[np.int8] = codes[numbers]
    return result


def _fell(arrays: Arrays, ranges: Ranges, ledger: Ledger, rows: int) -> NDArray[np.int8]:
    """The first step at which each row falls, counted."""
    fell = np.full(rows, KEPT, np.int8)
    for number, step in enumerate(ledger.steps):
        names = [name for name in step.columns if step.values or not _inside(ranges.get(name), step)]
        if not names:
            continue
        falls = (fell == KEPT) & ~_passes(step, arrays, names)
        ledger.dropped[step] += int(falls.sum())
        fell[falls] = number
    ledger.kept += int((fell == KEPT).sum())
    return fell


def _inside(extent: tuple[float, float] | None, step: Step) -> bool:
    return extent is not None and step.low < extent[0] and extent[1] < step.high


def _passes(step: Step, arrays: Arrays, names: Sequence[str]) -> NDArray[np.bool_]:
    passed = np.ones(len(arrays[names[0]]), bool)
    for name in names:
        values = arrays[name]
        if step.values:
            passed &= np.isin(values, step.values)
        else:
            passed &= (values > step.low) & (values < step.high)
    return passed


def _stored(values: NDArray[Any], column: Column) -> NDArray[Any]:
    if np.dtype(column.dtype).kind == "i" and values.dtype.kind == "f":
        values = np.where(np.isnan(values), UNKNOWN, values)
    return values.astype(column.dtype, copy=False)
