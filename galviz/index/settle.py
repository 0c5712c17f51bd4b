"""What follows from the sorted parts: where everything lies, which columns fit, and the files to write them into."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from galviz.catalogue import Catalogue
from galviz.index import layout as sizes
from galviz.index.files import reserve, save
from galviz.index.job import Job, buckets_of, cells_of, opened, planned
from galviz.index.layout import Layout
from galviz.index.planes import column_path
from galviz.index.runs import run_dtypes, tallies
from galviz.index.samples import rates
from galviz.index.store import (
    column_file,
    plane_column_file,
    plane_columns,
    plane_file,
    rows_file,
    sample_file,
    to_file,
)


def settle(job: Job) -> Layout:
    """Lay out the places of all planes and reserve their files; the layout with its loose columns."""
    catalogue, plan = opened(job), planned(job)
    layout = plan.layout
    counts = [np.zeros(buckets_of(layout, number), np.int64) for number in range(len(layout.planes))]
    cells = [np.zeros(cells_of(layout), np.int64) for _ in layout.planes]
    offsets = []
    for part in tallies(job):
        for number, (_, buckets, squares) in enumerate(part):
            counts[number] += buckets
            cells[number] += squares
        offsets.append([places for places, _, _ in part])
    needed = 0
    for number in range(len(layout.planes)):
        save(job.at(f"offsets-{number}.npy"), np.array([part[number] for part in offsets]))
        needed += _settle_plane(job, catalogue, layout, number, counts[number], cells[number])
    loose = _fitting(catalogue, needed)
    for name in loose:
        reserve(job.final(column_file(name)), catalogue.manifest.columns[name].dtype, (layout.rows,))
    return dataclasses.replace(layout, loose=loose)


def _settle_plane(
    job: Job, catalogue: Catalogue, layout: Layout, number: int, counts: NDArray[np.int64], cells: NDArray[np.int64]
) -> int:
    """Bytes that a plane will take, roughly."""
    grid = counts.reshape(-1, layout.groups)
    starts = places_of_strips(grid.sum(axis=1))
    size = int(starts[-1])
    bounds = starts[:-1, None] + np.concatenate([np.zeros((len(grid), 1), np.int64), np.cumsum(grid, axis=1)], axis=1)
    save(job.at(f"starts-{number}.npy"), starts)
    save(job.at(f"cells-{number}.npy"), cells)
    save(job.at(f"rates-{number}.npy"), rates(layout, cells))
    save(job.final(plane_file(number, "bounds")), bounds)
    dtypes = run_dtypes(catalogue, layout, number)
    for name, dtype in dtypes.items():
        reserve(column_path(job, number, name), dtype, (size,))
    columns = sum(dtype.itemsize for dtype in dtypes.values()) + (4 if number else 0)  # home and to, not the rows
    zones = 16 * len(plane_columns(layout, number)) / sizes.BLOCK
    tables = bounds.nbytes + 16 * len(bounds)
    return int(size * (columns + zones) + tables + _sample_bytes(catalogue, layout, cells))


def _sample_bytes(catalogue: Catalogue, layout: Layout, cells: NDArray[np.int64]) -> float:
    if not layout.sampled:
        return 0.0
    kept = sizes.kept_columns(catalogue.manifest)
    each = 4 + sum(np.dtype(catalogue.manifest.columns[name].dtype).itemsize for name in kept)
    expected = float((cells * rates(layout, cells)).sum())
    return 8.0 * sizes.CELLS**2 + each * (expected + 5 * math.sqrt(expected))


def places_of_strips(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each strip starts, a multiple of WORD, and where the last ends, a multiple of BLOCK."""
    padded = -(-rows // sizes.WORD) * sizes.WORD
    starts = np.concatenate([[0], np.cumsum(padded)])
    starts[-1] = -(-starts[-1] // sizes.BLOCK) * sizes.BLOCK
    return starts


def _fitting(catalogue: Catalogue, needed: int) -> tuple[str, ...]:
    """The columns that come first, as many as fit beside `needed` bytes."""
    room = max(sizes.ROW_BYTES * catalogue.rows, sizes.LEAST_BYTES) - needed
    fitting = []
    for name in sizes.kept_columns(catalogue.manifest):
        room -= catalogue.rows * np.dtype(catalogue.manifest.columns[name].dtype).itemsize
        if room < 0:
            break
        fitting.append(name)
    return tuple(fitting)


def array_files(catalogue: Catalogue, layout: Layout) -> tuple[str, ...]:
    """All files that `seal_file` reads: those of an index but what is derived from them on the way."""
    names = [column_file(name) for name in layout.loose]
    for number in range(len(layout.planes)):
        names += [plane_column_file(number, name) for name in plane_columns(layout, number)]
        names += [plane_file(number, "bounds")]
        names += [plane_file(number, "home"), to_file(number)] if number else [rows_file(0)]
        if layout.sampled:
            names += [sample_file(number, name) for name in sizes.kept_columns(catalogue.manifest)]
            names += [plane_file(number, "floor"), plane_file(number, "weight")]
    return tuple(names)
