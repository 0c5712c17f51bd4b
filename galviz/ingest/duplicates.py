"""Second pass: of rows that share an identifier the nearest match stays, wherever in the input they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.disk import replacing
from galviz.ingest.job import ROW, THREADS, Job, new_ledger, read_section
from galviz.ingest.runs import Facts
from galviz.work import mapped

BUCKET = 8_000_000  # identifiers that are sorted at once, roughly
LOSERS = "losers"
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio (Knuth, The Art of Computer Programming, 6.4)


@dataclass(frozen=True)
class Losers:
    """Duplicates that lost: where in which run they stand, shape (n, 2) in that order; how many of them had fallen at
    each cleaning step; how many identifiers several rows have, and the most rows that one has."""

    places: NDArray[np.int64]
    fallen: tuple[int, ...]
    shared: int
    most: int


def find_losers(job: Job, runs: Sequence[Facts], progress: Callable[[float], None], client: Any) -> Losers:
    """Compare all identifiers, a share of them at a time so that memory does not grow with the rows."""
    buckets = max(1, -(-sum(run["rows"] for run in runs) // BUCKET))
    work = partial(_losers_of, job, runs, buckets)
    found = []
    with closing(mapped(work, range(buckets), client, most=THREADS)) as results:
        for _, losers in results:
            found.append(losers)
            progress(len(found) / buckets)
    places = np.concatenate([losers.places for losers in found])
    return Losers(
        places[np.lexsort(places.T[::-1])],
        tuple(sum(numbers) for numbers in zip(*(losers.fallen for losers in found), strict=True)),
        sum(losers.shared for losers in found),
        max(losers.most for losers in found),
    )


def save_losers(job: Job, losers: Losers) -> Facts:
    """Write what was found and return what the journal keeps of it."""
    with replacing(job.at(LOSERS)) as file:
        file.write(losers.places.view(np.uint8).data)
    return {
        "name": LOSERS,
        "sha256": file.sha256,
        "dropped": len(losers.places),
        "fallen": losers.fallen,
        "shared": losers.shared,
        "most": losers.most,
    }


def load_losers(job: Job) -> NDArray[np.int64]:
    """The places of a `Losers` that `save_losers` wrote."""
    return np.fromfile(job.at(LOSERS), np.int64).reshape(-1, 2)


def _losers_of(job: Job, runs: Sequence[Facts], buckets: int, bucket: int) -> Losers:
    """The losers among the identifiers of one bucket."""
    ids = np.concatenate([ids for _, (ids, _) in _identifiers(job, runs, buckets, bucket)])
    ids.sort()
    shared = np.unique(ids[1:][ids[1:] == ids[:-1]])
    del ids
    steps = len(new_ledger(job).steps)
    if not len(shared):
        return Losers(np.empty((0, 2), np.int64), (0,) * steps, 0, 0)
    rivals = np.concatenate(
        [
            _rivals(job, runs[number], number, ids, places, shared)
            for number, (ids, places) in _identifiers(job, runs, buckets, bucket)
        ]
    )
    order = np.lexsort([rivals[name] for name in ("row", "run", "near", "id")])  # a missing separation comes last
    rivals = rivals[order]
    first = np.concatenate([[True], rivals["id"][1:] != rivals["id"][:-1]])
    losers = rivals[~first]
    fell = losers["key"][losers["key"] < 0]
    places = np.stack([losers["run"].astype(np.int64), losers["place"].astype(np.int64)], axis=1)
    most = int(np.diff(np.append(np.flatnonzero(first), len(rivals))).max())
    return Losers(places, tuple(np.bincount(-1 - fell, minlength=steps).tolist()), len(shared), most)


_Places = tuple[NDArray[np.int64], NDArray[np.int64]]


def _identifiers(job: Job, runs: Sequence[Facts], buckets: int, bucket: int) -> Iterator[tuple[int, _Places]]:
    """For each run, the identifiers that belong to a bucket and where they stand."""
    name = new_ledger(job).identity
    for number, run in enumerate(runs):
        ids = read_section(job, run["name"], run["rows"], "id")[name].astype(np.int64)
        places = np.flatnonzero((ids.view(np.uint64) * _GOLDEN >> np.uint64(32)) % np.uint64(buckets) == bucket)
        yield number, (ids[places], places)


_RIVAL = np.dtype([("id", "i8"), ("near", "f8"), ("run", "i4"), ("row", "u4"), ("place", "i4"), ("key", "i8")])


def _rivals(
    job: Job, run: Facts, number: int, ids: NDArray[np.int64], places: NDArray[np.int64], shared: NDArray[np.int64]
) -> NDArray[Any]:
    """The rows of a run whose identifier is one of `shared`, with all that decides between them."""
    at = np.minimum(np.searchsorted(shared, ids), len(shared) - 1)
    ours = shared[at] == ids
    rivals = np.zeros(int(ours.sum()), _RIVAL)
    if len(rivals):
        nearest, place = new_ledger(job).nearest, places[ours]
        near = read_section(job, run["name"], run["rows"], "near")[place]
        rivals["id"], rivals["run"], rivals["place"] = ids[ours], number, place
        rivals["row"] = near[ROW]
        rivals["near"] = near[nearest] if nearest else 0.0
        rivals["key"] = read_section(job, run["name"], run["rows"], "key")[place]
    return rivals
