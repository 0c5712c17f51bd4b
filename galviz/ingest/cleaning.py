"""What happens to the rows of a foreign file before they become a catalogue, with the account of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galviz.formulas import FORMULAS
from galviz.manifest import Column
from galviz.surveys import Source, Step, Survey

Arrays = dict[str, NDArray[Any]]
UNKNOWN = -1


@dataclass
class Ledger:
    """Counts of what was done; rows read = rows dropped by the steps + rows kept."""

    steps: tuple[Step, ...]
    read: int = 0
    kept: int = 0
    dropped: Counter[Step] = field(default_factory=Counter)
    sentinels: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)

    def entries(self) -> dict[str, Any]:
        """The account as it stands in the manifest."""
        left, steps = self.read, []
        for step in self.steps:
            left -= self.dropped[step]
            steps.append(
                {"kept where": step.condition, "reason": step.reason, "dropped": self.dropped[step], "left": left}
            )
        return {
            "rows_read": self.read,
            "steps": steps,
            "rows_kept": self.kept,
            "unknown_classes": dict(self.unknown.most_common(20)),
        }


def applicable(steps: Sequence[Step], present: set[str]) -> tuple[Step, ...]:
    """The steps that concern a file of these columns, each with the columns that are there."""
    chosen = []
    for step in steps:
        columns = tuple(name for name in step.columns if name in present)
        wrong_kind = (step.only_with and step.only_with not in present) or step.only_without in present
        if columns and not wrong_kind:
            chosen.append(Step(step.reason, columns, step.low, step.high, step.values))
    return tuple(chosen)


def clean(arrays: Arrays, sources: Sequence[Source], survey: Survey, ledger: Ledger) -> Arrays:
    """One chunk as the catalogue stores it: sentinels to null, columns made, classes to codes, rows dropped.

    `arrays` maps canonical names to float64, int64 or text of one length; so does the result, in the types of the
    columns and less the rows that a step drops. Every change is counted in `ledger`.
    """
    rows = len(next(iter(arrays.values())))
    ledger.read += rows
    result: Arrays = {}
    for source in sources:
        name = source.column.name
        if name not in arrays:
            result[name] = FORMULAS[source.made[0]](*(result[column] for column in source.made[1:]))
        elif source.column.kind == "class":
            result[name] = _codes(arrays[name], survey, ledger)
        else:
            result[name] = _without_sentinels(arrays[name], source, ledger)
        if result[name].dtype.kind == "f":
            ledger.missing[name] += int(np.isnan(result[name]).sum())
    keep = np.ones(rows, bool)
    for step in ledger.steps:
        passed = _passes(step, result)
        ledger.dropped[step] += int((keep & ~passed).sum())
        keep &= passed
    ledger.kept += int(keep.sum())
    return {source.column.name: _stored(result[source.column.name][keep], source.column) for source in sources}


def _without_sentinels(values: NDArray[Any], source: Source, ledger: Ledger) -> NDArray[Any]:
    if values.dtype.kind != "f":
        return values
    bad = np.isinf(values) | (values < source.minimum) | (values >= source.maximum)
    number = int(bad.sum())
    ledger.sentinels[source.column.name] += number
    return np.where(bad, np.nan, values) if number else values


def _codes(texts: NDArray[Any], survey: Survey, ledger: Ledger) -> NDArray[np.int8]:
    """Codes into the classes of the survey; a text that names none of them is -1 and counted."""
    numbers, spellings = pd.factorize(texts)
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
    return codes[numbers]


def _passes(step: Step, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    passed = np.ones(len(arrays[step.columns[0]]), bool)
    for name in step.columns:
        values = arrays[name]
        if step.values:
            passed &= np.isin(values, step.values)
        else:
            passed &= (values > step.low) & (values < step.high)
    return passed


def _stored(values: NDArray[Any], column: Column) -> NDArray[Any]:
    if np.dtype(column.dtype).kind == "i" and values.dtype.kind == "f":
        values = np.where(np.isnan(values), UNKNOWN, values)
    return values.astype(column.dtype)
