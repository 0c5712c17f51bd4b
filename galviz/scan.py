"""Row by row: pictures, masks and values in the order of the catalogue, for whatever the sorted planes do not hold.

Columns come from the index, memory-mapped, where it has them, else from the Parquet parts, several of which are
decoded ahead. Sums are made in row order, as Datashader makes them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz import kernels
from galviz.catalogue import Catalogue, blocks
from galviz.index import has_index, open_index
from galviz.requests import Request
from galviz.selection import Clause, Mask, Selection
from galviz.work import THREADS, Stop, ask

ROWS = 1 << 20
AHEAD = 2 * THREADS
_readers = ThreadPoolExecutor(THREADS, thread_name_prefix="read")


class Block(Mapping[str, Any]):
    """Some rows as a clause reads them: columns by name, class codes as categories; made when asked for."""

    def __init__(self, catalogue: Catalogue, arrays: Mapping[str, NDArray[Any]], rows: slice) -> None:
        self._catalogue, self._arrays, self._rows = catalogue, arrays, rows

    def __getitem__(self, name: str) -> Any:
        column = self._catalogue.manifest.column(name)
        return self._catalogue.labelled(column.name, self._arrays[column.name][self._rows])

    def codes(self, name: str) -> NDArray[Any]:
        """The values as they are stored: class codes, not names; read-only, so that loops compile for one kind."""
        values = self._arrays[self._catalogue.manifest.column(name).name][self._rows]
        values.flags.writeable = False
        return values

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return int(self._rows.stop - self._rows.start)


def rows_of(catalogue: Catalogue, columns: Sequence[str], stop: Stop) -> Iterator[tuple[int, Block]]:
    """All rows, block by block in order, with at least these columns; and the row that each block starts at.

    Raises Cancelled when `stop` says so.
    """
    names = sorted({catalogue.manifest.column(name).name for name in columns})
    index = open_index(catalogue) if has_index(catalogue) else None
    if index and set(names) <= set(index.columns):
        arrays = {name: index.columns[name] for name in names}
        for rows in blocks(index.rows, ROWS):
            ask(stop)
            yield rows.start, Block(catalogue, arrays, rows)
        return
    start = 0
    waiting: deque[Future[Any]] = deque()
    parts = iter(range(catalogue.parts))
    for part in range(catalogue.parts):
        ask(stop)
        while len(waiting) < AHEAD and (following := next(parts, None)) is not None:
            waiting.append(_readers.submit(catalogue.read_part, following, names))
        number = catalogue.manifest.groups[0].parts[part].rows
        yield start, Block(catalogue, waiting.popleft().result(), slice(0, number))
        start += number


def selected(
    catalogue: Catalogue, selection: Selection, columns: Sequence[str], stop: Stop
) -> Iterator[tuple[int, Block, Mask]]:
    """Like `rows_of`, with the mask of the selected rows of each block."""
    for start, block in rows_of(catalogue, [*columns, *selection.columns], stop):
        mask = selection.mask(block)
        mask.flags.writeable = False
        yield start, block, mask


def row_mask(catalogue: Catalogue, clause: Clause, stop: Stop) -> Mask:
    """The rows of the catalogue that fulfil a clause, shape (rows,)."""
    mask = np.empty(catalogue.rows, bool)
    for start, block in rows_of(catalogue, clause.columns, stop):
        mask[start : start + len(block)] = clause.mask(block)
    return mask


def draw(catalogue: Catalogue, request: Request, stop: Stop) -> NDArray[Any]:
    """One picture, as `galviz.draw.draw` describes it, from the rows in their order."""
    view, window = request.view, request.view.window
    if request.statistic == "count":
        counts = np.zeros(view.shape, np.uint32)
        for _, block, mask in selected(catalogue, request.selection, [view.x, view.y], stop):
            kernels.count_points(block.codes(view.x), block.codes(view.y), mask, window, counts)
        return counts
    column = str(request.column)
    parts = selected(catalogue, request.selection, [view.x, view.y, column], stop)
    if request.statistic == "by":
        by_class = np.zeros((*view.shape, len(catalogue.manifest.classes)), np.uint32)
        for _, block, mask in parts:
            kernels.count_points_by(
                block.codes(view.x), block.codes(view.y), block.codes(column), mask, window, by_class
            )
        return by_class
    counts = np.zeros(view.shape, np.uint32)
    if request.statistic in ("min", "max"):
        extremes = np.full(view.shape, np.nan)
        for _, block, mask in parts:
            kernels.extremes_of_points(
                block.codes(view.x), block.codes(view.y), block.codes(column), mask, window, request.statistic == "max",
                extremes,
            )  # fmt: skip
        return extremes
    sums, squares = np.zeros(view.shape), np.zeros(view.shape)
    for _, block, mask in parts:
        kernels.moments_of_points(
            block.codes(view.x), block.codes(view.y), block.codes(column), mask, window, counts, sums, squares
        )
    result = np.full(view.shape, np.nan)
    with np.errstate(invalid="ignore"):
        np.divide(sums if request.statistic == "mean" else squares, counts, out=result, where=counts > 0)
        if request.statistic == "std":
            np.sqrt(result, out=result)
    return result
