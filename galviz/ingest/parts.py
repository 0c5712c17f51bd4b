"""Third pass: parts of the catalogue, each a stretch of the sky, merged from all runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.catalogue import write_part
from galviz.ingest.cleaning import Arrays
from galviz.ingest.job import CATALOGUE, ROW, Job, columns, part_rows, read_section, sections
from galviz.ingest.runs import Facts

SAMPLES = 1 << 21  # rows among which the edges of parts are chosen, at least


@dataclass(frozen=True)
class Slices:
    """One part: from which row to which of each run it takes, shape (runs, 2), less the rows `lost`, as (run, row)."""

    number: int
    folder: str
    runs: tuple[tuple[str, int], ...]
    places: NDArray[np.int64]
    lost: NDArray[np.int64]


def cut(job: Job, runs: Sequence[Facts], losers: NDArray[np.int64], kept: int, folder: str) -> list[Slices]:
    """Where to cut all runs so that each part has `part_rows` rows, or a few per cent more or less.

    Rows are ordered by key, then by run and by place in it, so that any number of rows at one place can be cut.
    """
    every = max(1, kept // SAMPLES)
    lost = np.split(losers[:, 1], np.searchsorted(losers[:, 0], np.arange(1, len(runs))))
    edges = _edges([_sample(job, run, lost[number], every) for number, run in enumerate(runs)], part_rows(job) // every)
    places = np.stack([_places(job, run, number, edges) for number, run in enumerate(runs)])
    names = tuple((run["name"], run["rows"]) for run in runs)
    return [
        Slices(part, folder, names, places[:, part : part + 2], _within(lost, places[:, part : part + 2]))
        for part in range(places.shape[1] - 1)
    ]


_EDGE = np.dtype([("key", np.int64), ("run", np.int64), ("place", np.int64)])


def _sample(job: Job, run: Facts, lost: NDArray[np.int64], every: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The key and the place of every so-manieth row of a run that is kept."""
    key = read_section(job, run["name"], run["rows"], "key", run["fallen"])
    kept = np.ones(len(key), bool)
    kept[lost[lost >= run["fallen"]] - run["fallen"]] = False
    places = np.flatnonzero(kept)[::every]
    return key[places], places + run["fallen"]


def _edges(samples: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]], step: int) -> NDArray[Any]:
    """The first row of each part but the first one."""
    rows = np.empty(sum(len(key) for key, _ in samples), _EDGE)
    rows["key"] = np.concatenate([key for key, _ in samples])
    rows["place"] = np.concatenate([places for _, places in samples])
    rows["run"] = np.repeat(np.arange(len(samples)), [len(key) for key, _ in samples])
    return rows[np.argsort(rows["key"], kind="stable")[max(1, step) :: max(1, step)]]


def _places(job: Job, run: Facts, number: int, edges: NDArray[Any]) -> NDArray[np.int64]:
    """Where the parts begin in one run, and where the last one ends."""
    key = read_section(job, run["name"], run["rows"], "key")
    before, after = (np.searchsorted(key, edges["key"], side) for side in ("left", "right"))
    inside = np.where(edges["run"] == number, edges["place"], np.where(edges["run"] > number, after, before))
    return np.concatenate([[run["fallen"]], inside, [run["rows"]]])


def _within(lost: Sequence[NDArray[np.int64]], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of the rows lost, sorted in each run, that lie between two places of it; shape (n, 2)."""
    found = []
    for number, (rows, (start, stop)) in enumerate(zip(lost, places, strict=True)):
        inside = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)]
        found.append(np.stack([np.full(len(inside), number), inside], axis=1))
    return np.concatenate(found)


def make_part(job: Job, slices: Slices) -> Facts:
    """Write one part and return what the journal keeps of it."""
    root = job.at(CATALOGUE)
    path = root / slices.folder / f"part-{slices.number:05d}.parquet"
    return {"name": path.stem, **asdict(write_part(path, root, columns(job), _merged(job, slices)))}


def _merged(job: Job, slices: Slices) -> Arrays:
    """The columns of a part, rows by key and then in the order of the input."""
    key = _gathered(job, slices, "key")
    order = np.argsort(key, kind="stable")
    arrays: Arrays = {}
    for section in [name for name in sections(job) if name != "key"]:
        records = _gathered(job, slices, section)[order]
        arrays |= {name: records[name] for name in records.dtype.names or () if name != ROW}
    return arrays


def _gathered(job: Job, slices: Slices, section: str) -> NDArray[Any]:
    """One section of the rows of a part, run after run."""
    pieces = []
    for number, ((name, rows), (start, stop)) in enumerate(zip(slices.runs, slices.places, strict=True)):
        if start < stop:
            piece = read_section(job, name, rows, section, int(start), int(stop))
            lost = slices.lost[slices.lost[:, 0] == number, 1]
            pieces.append(np.delete(piece, lost - start) if len(lost) else piece)
    return np.concatenate(pieces)
