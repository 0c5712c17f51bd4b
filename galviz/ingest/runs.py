"""First pass: the input, stretch by stretch, cleaned and sorted by place into runs of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from galviz.disk import replacing
from galviz.errors import IngestError
from galviz.healpix import healpix
from galviz.ingest.cleaning import KEPT, Arrays, judged
from galviz.ingest.job import ROW, Job, new_ledger, plans, position, run_rows, sections
from galviz.ingest.matching import Plan


@dataclass(frozen=True)
class Stretch:
    """A stretch of a file that can be read by itself, less the first `done` runs of it."""

    file: int
    number: int
    done: int = 0

    def run(self, number: int) -> str:
        """The name of a run; names sort as the rows of the input do."""
        return f"{self.file:04d}-{self.number:06d}-{number:06d}"


Facts = dict[str, Any]  # of one run, as the journal keeps them


def stretches(job: Job) -> list[Stretch]:
    """All of the input, in order."""
    return [Stretch(file, number) for file, plan in enumerate(plans(job)) for number in range(plan.table.stretches)]


def write_stretch(job: Job, stretch: Stretch) -> list[Facts]:
    """Write the runs of a stretch and return their facts, the last one's with `last` True."""
    return list(write_runs(job, stretch))


def write_runs(job: Job, stretch: Stretch) -> Iterator[Facts]:
    """Write the runs of a stretch one after the other; the facts of each when it is on the disk.

    Raises IngestError for input that cannot be read and OSError for what cannot be written.
    """
    plan = plans(job)[stretch.file]
    number, run = 0, _Run(job, plan)
    for chunk, fraction in plan.chunks(stretch.number):
        if run.size >= run_rows(job):
            if number >= stretch.done:
                yield {**run.write(stretch.run(number)), "last": False}
            number, run = number + 1, _Run(job, plan, run.fraction)
        run.size += len(next(iter(chunk.values())))
        run.fraction = fraction
        if number >= stretch.done:
            run.take(chunk)
    if number >= stretch.done:
        run.fraction = 1.0
        yield {**run.write(stretch.run(number)), "last": True}


class _Run:
    """Rows that are sorted and written together."""

    def __init__(self, job: Job, plan: Plan, before: float = 0.0) -> None:
        self.size = 0  # rows read
        self.fraction = self._before = before  # of the stretch that is read
        self._job, self._plan = job, plan
        self._ledger = new_ledger(job)
        self._arrays: list[Arrays] = []
        self._fell: list[NDArray[np.int8]] = []
        self._rows: list[NDArray[np.uint32]] = []

    def take(self, chunk: Mapping[str, Any]) -> None:
        """Clean a chunk and keep of it what may become a part of the catalogue."""
        ledger, first = self._ledger, self._ledger.read
        _check_twins(self._plan, chunk)
        arrays = {name: chunk[spelling] for name, spelling in self._plan.spellings.items()}
        stored, fell = judged(arrays, self._plan.sources, self._job.survey, ledger, self._plan.table.path)
        rows = np.arange(first, ledger.read, dtype=np.uint32)
        if not ledger.nearest_first and (fell != KEPT).any():
            stored = {name: values[fell == KEPT] for name, values in stored.items()}
            rows, fell = rows[fell == KEPT], fell[fell == KEPT]
        self._arrays.append(stored)
        self._fell.append(fell)
        self._rows.append(rows)

    def write(self, name: str) -> Facts:
        """Write the rows sorted by key and return what the journal keeps of them."""
        arrays = {
            column: np.concatenate([chunk[column] for chunk in self._arrays]) for column in next(iter(self._arrays), {})
        }
        arrays[ROW] = np.concatenate([np.empty(0, np.uint32), *self._rows])
        fell = np.concatenate([np.empty(0, np.int8), *self._fell])
        key = self._keys(arrays, fell)
        order = np.argsort(key, kind="stable")
        with replacing(self._job.run(name)) as file:
            for section, kind in sections(self._job).items():
                values = key[order] if section == "key" else _records(kind, arrays, order)
                file.write(values.view(np.uint8).data if kind.itemsize else b"")
        return {
            "name": name,
            "rows": len(key),
            "fallen": int((fell != KEPT).sum()),
            "sha256": file.sha256,
            "counts": self._ledger.to_json(),
            "share": self.fraction - self._before,
        }

    def _keys(self, arrays: Arrays, fell: NDArray[np.int8]) -> NDArray[np.int64]:
        place = position(self._job)
        key = healpix(*(arrays[name] for name in place)) if place and len(fell) else np.zeros(len(fell), np.int64)
        return np.where(fell == KEPT, key, -1 - fell.astype(np.int64))


def _check_twins(plan: Plan, chunk: Mapping[str, Any]) -> None:
    """Raise IngestError where two columns of a file that have one name differ."""
    for spelling, twins in plan.twins.items():
        values = _series(chunk[spelling])
        for other in (_series(chunk[twin]) for twin in twins):
            differ = ~((values == other) | (values.isna() & other.isna()))
            if differ.any():
                raise IngestError(
                    f"{plan.table.path} has several columns {plan.table.name_in_file(spelling)}, which differ: in one "
                    f"row they say {values[differ].iloc[0]} and {other[differ].iloc[0]}; rename or remove all but one."
                )


def _series(values: Any) -> Any:
    return values.to_pandas() if isinstance(values, pa.Array | pa.ChunkedArray) else pd.Series(values)


def _records(kind: np.dtype[Any], arrays: Arrays, order: NDArray[np.int64]) -> NDArray[Any]:
    """Columns as records in the given order."""
    records = np.empty(len(order), kind)
    for name in (kind.names or ()) if len(order) else ():
        records[name] = arrays[name][order]
    return records
