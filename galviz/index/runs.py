"""Each part of a catalogue, sorted by strip and class, as the runs that the planes are merged from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.catalogue import Catalogue
from galviz.index.files import finished, load, save
from galviz.index.job import (
    Job,
    Plan,
    buckets_of,
    cells_of,
    coordinate_dtype,
    group_codes,
    opened,
    placed,
    planned,
    rows_of_part,
)
from galviz.index.layout import Layout
from galviz.index.loops import order_by_bucket
from galviz.index.store import plane_columns

ROW = "#row"  # no column has such a name
_ALIGNED = 8


def run_dtypes(catalogue: Catalogue, layout: Layout, number: int) -> dict[str, np.dtype[Any]]:
    """What a run of a plane holds, wide types first so that all values are aligned."""
    plane = layout.planes[number]
    dtypes: dict[str, np.dtype[Any]] = {ROW: np.dtype(np.uint32)}
    for name in plane_columns(layout, number):
        if name in (plane.x, plane.y):
            dtypes[name] = coordinate_dtype(catalogue, name)
        else:
            dtypes[name] = np.dtype(np.uint8 if name in layout.tables else catalogue.manifest.columns[name].dtype)
    return dict(sorted(dtypes.items(), key=lambda item: -item[1].itemsize))


def sort_part(job: Job, part: int) -> None:
    """Write the runs of a part for all planes, then its tally: where they lie and how many rows each bucket has."""
    catalogue, plan = opened(job), planned(job)
    layout = plan.layout
    columns = (name for number in range(len(layout.planes)) for name in plane_columns(layout, number))
    arrays = catalogue.read_part(part, list(dict.fromkeys((*columns, *([layout.by] if layout.by else [])))))
    first, rows = rows_of_part(catalogue, part)
    group = group_codes(layout, arrays, rows)
    values = {ROW: np.arange(first, first + rows, dtype=np.uint32)}
    coded = {name: _encode(arrays[name], table) for name, table in layout.tables.items() if name in arrays}
    tally: list[NDArray[np.int64]] = []
    with finished(job.at("runs", f"{part:05d}.bin")) as file:
        for number, plane in enumerate(layout.planes):
            bucket, cell = placed(layout, plane, arrays, group)
            counts = np.bincount(bucket, minlength=buckets_of(layout, number))
            order = np.empty(rows, np.int64)
            order_by_bucket(bucket, np.cumsum(counts) - counts, order)
            held = arrays | coded | {name: arrays[name] for name in (plane.x, plane.y)} | values
            dtypes = run_dtypes(catalogue, layout, number)
            run = {name: np.take(held[name], order).astype(dtype, copy=False) for name, dtype in dtypes.items()}
            offsets = [file.tell()]
            for piece in _sections(plan, number, counts, run):
                file.write(piece)
                offsets.append(file.tell())
            tally += [np.array(offsets), counts, np.bincount(cell, minlength=cells_of(layout))]
    save(job.at("tallies", f"{part:05d}.npy"), np.concatenate(tally) if tally else np.zeros(0, np.int64))


def _encode(values: NDArray[Any], table: tuple[float, ...]) -> NDArray[np.uint8]:
    return np.searchsorted(np.array(table).astype(values.dtype), values).astype(np.uint8)


def _sections(plan: Plan, number: int, counts: NDArray[np.int64], run: Mapping[str, NDArray[Any]]) -> Iterator[bytes]:
    """For each chunk of strips the counts of its buckets and the values of its rows, a multiple of 8 bytes."""
    ends = np.concatenate([[0], np.cumsum(counts)])
    edges = np.array(plan.chunks[number]) * plan.layout.groups
    for start, stop in pairwise(edges):
        rows = slice(ends[start], ends[stop])
        section = b"".join((counts[start:stop].tobytes(), *(values[rows].tobytes() for values in run.values())))
        yield section + bytes(-len(section) % _ALIGNED)


def read_section(
    section: bytes, buckets: int, dtypes: Mapping[str, np.dtype[Any]]
) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """What `sort_part` wrote for one chunk: counts of its buckets, and the values of its rows."""
    counts = np.frombuffer(section, np.int64, buckets)
    rows, place = int(counts.sum()), counts.nbytes
    run = {}
    for name, dtype in dtypes.items():
        run[name] = np.frombuffer(section, dtype, rows, place)
        place += run[name].nbytes
    return counts, run


def tallies(job: Job) -> Iterator[list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]]:
    """Part by part, for each plane: where the chunks of its run start and end, rows of buckets, rows of cells."""
    plan = planned(job)
    lengths = [
        (len(chunks), buckets_of(plan.layout, number), cells_of(plan.layout))
        for number, chunks in enumerate(plan.chunks)
    ]
    cuts = np.cumsum([length for plane in lengths for length in plane])[:-1]
    for part in range(opened(job).parts):
        pieces = np.split(load(job.at("tallies", f"{part:05d}.npy")), cuts)
        yield [(pieces[3 * number], pieces[3 * number + 1], pieces[3 * number + 2]) for number in range(len(lengths))]
