"""The last look at every row: samples of the planes, and columns in row order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.index import layout as sizes
from galviz.index.files import finished, load, save, write_into
from galviz.index.job import Job, cells_of, group_codes, opened, placed, planned, rows_of_part
from galviz.index.layout import Layout
from galviz.index.loops import choose
from galviz.index.planes import in_order
from galviz.index.runs import ROW
from galviz.index.store import column_file, plane_file, sample_file

BUCKET, CELL = "#bucket", "#cell"


def rates(layout: Layout, totals: NDArray[np.int64]) -> NDArray[np.float64]:
    """The share of the rows of each cell that a sample takes, where `totals` rows are."""
    least = np.minimum(1.0, sizes.SAMPLE_ROWS / layout.rows)
    return np.maximum(least, np.minimum(1.0, sizes.CELL_ROWS / np.maximum(totals, 1)))


def copy_part(job: Job, part: int, loose: tuple[str, ...]) -> None:
    """Write the columns of a part that lie in row order, and the rows of it that each sample takes."""
    catalogue, layout = opened(job), planned(job).layout
    kept = sizes.kept_columns(catalogue.manifest) if layout.sampled else loose
    arrays = catalogue.read_part(part, list(dict.fromkeys((*kept, *([layout.by] if layout.by else [])))))
    first, rows = rows_of_part(catalogue, part)
    for name in loose:
        values = np.asarray(arrays[name], catalogue.manifest.columns[name].dtype)
        write_into(job.final(column_file(name)), first, values, (layout.rows,))
    if layout.sampled:
        group = group_codes(layout, arrays, rows)
        for number, plane in enumerate(layout.planes):
            bucket, cell = placed(layout, plane, arrays, group)
            chosen = np.empty(rows, bool)
            choose(first, cell, np.array(load(job.at(f"rates-{number}.npy"))), number, chosen)
            taken = np.flatnonzero(chosen)
            fields: dict[str, NDArray[Any]] = {
                ROW: (first + taken).astype(np.uint32),
                BUCKET: bucket[taken],
                CELL: cell[taken],
            }
            fields |= {name: np.take(arrays[name], taken) for name in kept}
            piece = np.empty(len(taken), [(name, values.dtype) for name, values in fields.items()])
            for name, values in fields.items():
                piece[name] = values
            save(job.at("pieces", f"{number}-{part:05d}.npy"), piece)
    with finished(job.at("copied", f"{part:05d}")):
        pass


def finish_sample(job: Job, number: int) -> None:
    """Put the sampled rows of all parts in the order of plane `number`, and weigh them."""
    catalogue, layout = opened(job), planned(job).layout
    pieces = np.concatenate([load(job.at("pieces", f"{number}-{part:05d}.npy")) for part in range(catalogue.parts)])
    x = pieces[layout.planes[number].x]
    order = in_order(np.ascontiguousarray(pieces[BUCKET]), np.ascontiguousarray(x))
    for name in sizes.kept_columns(catalogue.manifest):
        save(job.final(sample_file(number, name)), pieces[name][order])
    totals = load(job.at(f"cells-{number}.npy"))
    weight = totals / np.maximum(1, np.bincount(pieces[CELL], minlength=cells_of(layout)))
    error = (weight * (weight - 1)).reshape(-1, layout.groups).sum(axis=1)[:-1]
    save(job.final(plane_file(number, "floor")), error.reshape(sizes.CELLS, sizes.CELLS))
    save(job.final(plane_file(number, "weight")), weight[pieces[CELL][order]].astype(np.float32))
