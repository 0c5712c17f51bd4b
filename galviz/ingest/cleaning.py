"""What happens to the rows of a foreign file before they become a catalogue, with the account of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.foreign import codes, numbers, stored
from galviz.formulas import FORMULAS
from galviz.ingest.ledger import Ledger
from galviz.manifest import Column
from galviz.surveys import Source, Step, Survey

__all__ = ["KEPT", "Arrays", "Ledger", "applicable", "clean", "judged", "ledger_of"]

Arrays = dict[str, NDArray[Any]]
Ranges = dict[str, tuple[float, float]]  # smallest and largest value of columns that lack none
KEPT = -1
_SEPARATION = "pos.angDistance"


def applicable(steps: Sequence[Step], present: set[str]) -> tuple[Step, ...]:
    """The steps that concern a file of these columns, each with the columns that are there."""
    chosen = []
    for step in steps:
        columns = tuple(name for name in step.columns if name in present)
        wrong_kind = (step.only_with and step.only_with not in present) or step.only_without in present
        if columns and not wrong_kind:
            chosen.append(Step(step.reason, columns, step.low, step.high, step.values))
    return tuple(chosen)


def ledger_of(survey: Survey, columns: Sequence[Column]) -> Ledger:
    """A ledger without any count, for rows of these columns.

    Sources that several rows show are told by the first column of the role id; the nearest match wins, which the
    first column of the UCD pos.angDistance tells. Of labelled rows it is found before any step, of others after all
    of them, as Clarke et al. (2020) did.
    """
    identity = next((column.name for column in columns if column.role == "id"), "")
    nearest = next((column.name for column in columns if column.ucd.split(";")[0] == _SEPARATION), "")
    labelled = any(column.role == "truth" and column.kind == "class" for column in columns)
    steps = applicable(survey.steps, {column.name for column in columns})
    return Ledger(steps, identity, nearest if identity else "", bool(identity) and labelled)


def clean(arrays: Mapping[str, Any], sources: Sequence[Source], survey: Survey, ledger: Ledger) -> Arrays:
    """One chunk as the catalogue stores it: `judged`, less the rows that a step drops."""
    columns, fell = judged(arrays, sources, survey, ledger)
    return columns if (fell == KEPT).all() else {name: values[fell == KEPT] for name, values in columns.items()}


def judged(
    arrays: Mapping[str, Any], sources: Sequence[Source], survey: Survey, ledger: Ledger, origin: object = "The file"
) -> tuple[Arrays, NDArray[np.int8]]:
    """One chunk as the catalogue stores it, and for each row the number of the step at which it falls, or `KEPT`.

    Sentinels become null, columns are made, classes become codes. `arrays` maps canonical names to float64, int64 or
    text (objects or an Arrow array) of one length; the result has the types of the columns. Every change is counted
    in `ledger`. Raises IngestError, which names `origin`, where a row that does not fall has a number that its column
    cannot hold exactly, but for the digits of fractions.
    """
    rows = len(next(iter(arrays.values())))
    ledger.read += rows
    result: Arrays = {}
    ranges: Ranges = {}
    names = [entry.name for entry in survey.classes]
    for source in sources:
        name = source.column.name
        if name not in arrays:
            result[name] = FORMULAS[source.made[0]](*(result[column] for column in source.made[1:]))
        elif source.column.kind == "class":
            result[name] = codes(arrays[name], survey.class_names, names, ledger.leave_unclassed)
        else:
            result[name] = numbers(arrays[name], source.reading(), source.column, partial(ledger.null, name))
        if result[name].dtype.kind == "f":
            _count_missing(name, result[name], ledger, ranges)
    fell = _fell(result, ranges, ledger, rows)
    columns = [source.column for source in sources]
    return {column.name: stored(result[column.name], column, fell == KEPT, origin) for column in columns}, fell


def _count_missing(name: str, values: NDArray[Any], ledger: Ledger, ranges: Ranges) -> None:
    """Count what is missing; where nothing is, remember the range, which tells whether a step has work at all."""
    if not values.size:
        return
    low, high = values.min(), values.max()
    if np.isnan(low):
        ledger.missing[name] += int(np.isnan(values).sum())
    else:
        ranges[name] = float(low), float(high)


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
