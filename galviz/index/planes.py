"""The runs of all parts merged into planes, and the links between planes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.index.files import finished, load, save, write_into
from galviz.index.job import Job, opened, planned
from galviz.index.loops import NOWHERE, invert, link, pack_keys, spread
from galviz.index.runs import ROW, read_section, run_dtypes
from galviz.index.store import plane_column_file, plane_file, rows_file, to_file

_WORDS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def rows_path(job: Job, number: int) -> Path:
    """The catalogue rows of a plane; only those of plane 0 are kept in the index."""
    return job.at(f"rows-{number}.npy") if number else job.final(rows_file(0))


def column_path(job: Job, number: int, name: str) -> Path:
    return rows_path(job, number) if name == ROW else job.final(plane_column_file(number, name))


def merge_chunk(job: Job, item: tuple[int, int]) -> None:
    """Sort the rows of one chunk of strips of a plane, and write them where they belong; `item` is plane and chunk."""
    number, chunk = item
    catalogue, plan = opened(job), planned(job)
    layout, plane = plan.layout, plan.layout.planes[number]
    first, last = plan.chunks[number][chunk : chunk + 2]
    starts = load(job.at(f"starts-{number}.npy"))
    dtypes = run_dtypes(catalogue, layout, number)
    counts, run = _read_chunk(job, number, chunk, (last - first) * layout.groups, dtypes)
    order = in_order(np.repeat(np.tile(np.arange(counts.shape[1]), len(counts)), counts.ravel()), run[plane.x])
    each = counts.sum(axis=0).reshape(-1, layout.groups).sum(axis=1)
    shift = starts[first:last] - starts[first] - (np.cumsum(each) - each)
    places = np.arange(len(order)) + np.repeat(shift, each)
    for name in dtypes:
        values = run.pop(name)
        padding = NOWHERE if name == ROW else np.nan if name in (plane.x, plane.y) else 0
        out = np.full(starts[last] - starts[first], padding, values.dtype)
        word = _WORDS[values.itemsize]
        spread(values.view(word), order, places, out.view(word))
        write_into(column_path(job, number, name), int(starts[first]), out, (int(starts[-1]),))
    with finished(job.at("merged", f"{number}-{chunk:05d}")):
        pass


def _read_chunk(
    job: Job, number: int, chunk: int, buckets: int, dtypes: dict[str, np.dtype[Any]]
) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """Counts (parts, buckets) of a chunk and its values, part by part."""
    counts, pieces = [], []
    for part, (start, stop) in enumerate(load(job.at(f"offsets-{number}.npy"))[:, chunk : chunk + 2]):
        with job.at("runs", f"{part:05d}.bin").open("rb", buffering=0) as file:
            file.seek(start)
            each, run = read_section(file.read(stop - start), buckets, dtypes)
        counts.append(each)
        pieces.append(run)
    return np.array(counts), {name: np.concatenate([run.pop(name) for run in pieces]) for name in dtypes}


def in_order(bucket: NDArray[np.int64], x: NDArray[Any]) -> NDArray[np.int64]:
    """The order of rows by bucket, x (NaN last), and as they come."""
    bits = max(1, (len(x) - 1).bit_length())
    if x.dtype != np.float32 or int(bucket.max(initial=0)).bit_length() + 32 + bits > 64:
        return np.lexsort((x, bucket))
    keys = np.empty(len(x), np.uint64)
    pack_keys(x, x.view(np.uint32), bucket, bits, keys)
    keys.sort()
    return keys.view(np.int64) & ((1 << bits) - 1)


def link_plane(job: Job, number: int) -> None:
    """Write for each place of plane `number` its place in plane 0, and back."""
    home_rows, rows = load(rows_path(job, 0)), load(rows_path(job, number))
    inverse = np.full(planned(job).layout.rows, NOWHERE, np.uint32)
    invert(home_rows, inverse)
    home, to = np.full(len(rows), NOWHERE, np.uint32), np.full(len(home_rows), NOWHERE, np.uint32)
    link(rows, inverse, home, to)
    save(job.final(to_file(number)), to)
    save(job.final(plane_file(number, "home")), home)
