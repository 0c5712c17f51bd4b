"""One ingest: which files, as which survey, and how its rows lie in the staging folder until they are sorted.

A job is all that a unit of the work needs besides the files that it names, so that units run on any machine that
sees them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cachetools import LRUCache, cached
from numpy.typing import NDArray

from galviz.errors import IngestError
from galviz.ingest.cleaning import ledger_of
from galviz.ingest.ledger import Ledger
from galviz.ingest.matching import Plan, make_plan
from galviz.ingest.readers import open_table
from galviz.manifest import Column
from galviz.surveys import Survey

PART_ROWS = 250_000
_PART_BYTES = 128 << 20  # of the values of a part, at most
RUN_BYTES = 64 << 20  # of the values of a run while it is cleaned, roughly
THREADS = 6  # that clean, compare or merge at once, so that memory is bounded on a machine of many cores
CATALOGUE = "catalogue"
_PACKED = 4  # times as large is text as when it is packed, roughly
_LONGER = (8, 2)  # times as long as is usual for a text, and as its first rows, are its rows at most
_LEFT = 4  # one row in so many is left after cleaning, at least but for the worst of files
ROW = "#row"  # no column can be called this


@dataclass(frozen=True)
class Job:
    """The files and how to read them, the staging folder, and sizes; `session` tells one run of the program."""

    sources: tuple[str, ...]
    survey: Survey
    keep: tuple[str, ...]
    folder: str
    session: str
    trust_pickle: bool = False
    part_rows: int = field(default_factory=lambda: PART_ROWS)
    run_bytes: int = field(default_factory=lambda: RUN_BYTES)

    def at(self, *names: str) -> Path:
        """A file of the staging folder."""
        return Path(self.folder, *names)

    def run(self, name: str) -> Path:
        """The file of a run."""
        return self.at("runs", f"{name}.run")


_plans: LRUCache[str, tuple[Plan, ...]] = LRUCache(maxsize=4)


@cached(_plans, key=lambda job: job.session, lock=threading.Lock())
def plans(job: Job) -> tuple[Plan, ...]:
    """How to read each file. Raises IngestError where one cannot be read as this survey, or they do not agree."""
    made = tuple(
        make_plan(open_table(Path(source), trust_pickle=job.trust_pickle), job.survey, job.keep)
        for source in job.sources
    )
    for plan in made[1:]:
        plan.check_against(made[0])
    return made


def columns(job: Job) -> tuple[Column, ...]:
    """The columns of the catalogue, in order."""
    return tuple(source.column for source in plans(job)[0].sources)


def position(job: Job) -> tuple[str, ...]:
    """Right ascension and declination, or nothing where the survey has no positions."""
    names = tuple(column.name for column in columns(job) if column.role == "position")
    return names[:2] if len(names) >= 2 else ()


def new_ledger(job: Job) -> Ledger:
    """A ledger of this job without any count."""
    return ledger_of(job.survey, columns(job))


def run_rows(job: Job) -> int:
    """How many rows are read for one run, or a few more."""
    return max(1, job.run_bytes // (8 * len(columns(job))))


def part_rows(job: Job) -> int:
    """How many rows a part has, roughly: fewer than the job says where rows are very wide."""
    width = sum(kind.itemsize for kind in sections(job).values())
    return max(1, min(job.part_rows, _PART_BYTES // width))


@cached(LRUCache(maxsize=4), key=lambda job: job.session, lock=threading.Lock())
def sections(job: Job) -> dict[str, np.dtype[Any]]:
    """How the rows of a run lie in its file: one array after the other, each row of the same type.

    `key` sorts them: the HEALPix pixel, or -1 - the step at which a row fell that may yet turn out to be a duplicate.
    `id` is what duplicates share, `near` says which of them wins, `rest` has all other columns.
    """
    ledger = new_ledger(job)
    types = {column.name: np.dtype(column.dtype) for column in columns(job)}
    parts: dict[str, np.dtype[Any]] = {"key": np.dtype(np.int64)}
    if ledger.identity:
        parts["id"] = np.dtype([(ledger.identity, types.pop(ledger.identity))])
        near = [(ledger.nearest, types.pop(ledger.nearest))] if ledger.nearest else []
        parts["near"] = np.dtype([*near, (ROW, np.uint32)])
    parts["rest"] = np.dtype(list(types.items()))
    return parts


def read_section(job: Job, name: str, rows: int, section: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
    """Rows `start` to `stop` of one section of a run that has `rows` rows.

    Raises IngestError where the file is shorter than that.
    """
    offset = 0
    for other, kind in sections(job).items():
        if other == section:
            break
        offset += kind.itemsize * rows
    count = (rows if stop is None else stop) - start
    if count == 0 or not kind.itemsize:
        return np.empty(count, kind)
    values = np.fromfile(job.run(name), kind, count, offset=offset + start * kind.itemsize)
    if len(values) < count:
        raise IngestError(f"{job.run(name)} is shorter than it was; run the command again.")
    return values


def bytes_needed(job: Job) -> int:
    """About how much room an ingest takes for a while: all rows as runs, and once more as parts."""
    width = sum(kind.itemsize for kind in sections(job).values())
    return 2 * width * sum(_rows(plan) for plan in plans(job))


def bytes_at_least(job: Job) -> int:
    """How much room even an ingest of which little is left takes: a part of its rows as runs."""
    width = sum(kind.itemsize for kind in sections(job).values())
    left = 1 if new_ledger(job).nearest_first else _LEFT  # where the nearest stay, rows wait for that with their faults
    return width * sum(_rows_at_least(plan) for plan in plans(job)) // left


def _rows_at_least(plan: Plan) -> int:
    """The rows of a file, as far as its size bears out what it says of them."""
    table = plan.table
    size = sum(path.stat().st_size for path in table.files or (table.path,))
    return plan.rows // _LONGER[table.row_bytes > 0] if table.rows is None else min(table.rows, size)


def _rows(plan: Plan) -> int:
    packed = plan.table.rows is None and plan.table.stretch is None
    return plan.rows * (_PACKED if packed else 1)
