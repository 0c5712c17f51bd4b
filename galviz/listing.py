"""Selection to table: one page of the selected sources, and sums over all of them.

A page is found from two order statistics of the sort column, so that no more than the rows between them are
sorted, and no more than one page is ever read of the other columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galviz.catalogue import Catalogue
from galviz.draw import selected
from galviz.index import has_index, open_index
from galviz.manifest import Column
from galviz.selection import Selection
from galviz.work import at_once, never

Rows = NDArray[np.int64]
_SMALL = np.uint32  # row numbers while they are sorted; no catalogue has 4 billion rows


@dataclass(frozen=True)
class Expectation:
    """How many of `rows` sources are expected to be of a class, and the standard deviation of that number."""

    rows: int
    number: float
    deviation: float


def page(
    catalogue: Catalogue,
    selection: Selection | str | None = None,
    *,
    columns: Sequence[str],
    sort: str | None = None,
    descending: bool = False,
    offset: int = 0,
    limit: int = 50,
) -> pd.DataFrame:
    """The selected sources from place `offset` on, at most `limit`, in the order of the column `sort`.

    Sources that are equal in it follow by row number, those without a value come last, so that pages of
    consecutive offsets hold every source once. The index of the frame is the row number in the catalogue;
    classes are categories, all other values as they are stored. Raises SelectionError for unknown columns.
    """
    names = [catalogue.manifest.column(name).name for name in columns]
    if sort is None:
        rows = np.concatenate([rows.astype(_SMALL) for rows, _ in selected(catalogue, selection)])
        last = min(max(offset, 0) + limit, rows.size)
        if last < rows.size:
            rows.partition(last)
        rows = np.sort(rows[:last])[max(offset, 0) :].astype(np.int64)
    else:
        rows = _sorted_rows(catalogue, selection, catalogue.manifest.column(sort), descending, offset, limit)
    values = read_rows(catalogue, rows, names)
    labelled = {name: catalogue.labelled(name, values[name]) for name in names}
    return pd.DataFrame(labelled, index=pd.Index(rows, name="row"))


def expected(catalogue: Catalogue, selection: Selection | str | None, column: str) -> Expectation:
    """The number of true members that a column of probabilities promises among the selected sources.

    The sum of p and the deviation sqrt(sum p (1 - p)) of independent trials of unequal chance (Poisson 1837);
    a source without a probability counts as a row and adds nothing.
    """
    rows, total, variance = 0, 0.0, 0.0
    for numbers, values in selected(catalogue, selection, [column]):
        p = np.nan_to_num(values[column].astype(np.float64))
        rows += numbers.size
        total += float(p.sum())
        variance += float((p * (1 - p)).sum())
    return Expectation(rows, total, variance**0.5)


def _sorted_rows(
    catalogue: Catalogue, selection: Selection | str | None, column: Column, descending: bool, offset: int, limit: int
) -> Rows:
    def blocks() -> Iterator[tuple[Rows, NDArray[Any]]]:
        for rows, values in selected(catalogue, selection, [column.name]):
            yield rows, sort_keys(values[column.name], column, descending)

    # Twice over the rows, so that no more than their keys are held at once.
    keys = np.concatenate([keys for _, keys in blocks()])
    offset = max(offset, 0)
    last = min(offset + limit, keys.size) - 1
    if last < offset:
        return np.zeros(0, np.int64)
    keys.partition([offset, last])
    low, high = keys[offset], keys[last]
    before = int((keys < low).sum())
    found = [(rows[here], part[here]) for rows, part in blocks() for here in [(part >= low) & (part <= high)]]
    rows, keys = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return rows[np.lexsort((rows, keys))[offset - before : last + 1 - before]]


def sort_keys(values: NDArray[Any], column: Column, descending: bool) -> NDArray[Any]:
    """Numbers that ascend in the order asked for, with missing values last in both."""
    if column.kind == "class":
        values = np.where(values < 0, np.nan, values.astype(np.float32))
    if values.dtype.kind == "f":
        # The bits of a number ascend with it, those of a negative one the other way round; NaN beyond infinity.
        turned = -values if descending else values
        bits = (turned + 0).view(f"i{values.itemsize}")  # no zero is negative
        most = np.iinfo(bits.dtype).max
        return np.where(np.isnan(values), most, np.where(bits < 0, bits ^ most, bits))
    whole = values.view(np.int8) if values.dtype.kind == "b" else values
    return np.invert(whole) if descending else whole


def read_rows(catalogue: Catalogue, rows: Rows, columns: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The values of `columns`, as stored, at row numbers in any order: from the index, else from the parts."""
    index = open_index(catalogue).columns if has_index(catalogue) else {}
    values = {name: index[name][rows] for name in columns if name in index}
    rest = [name for name in columns if name not in values]
    if not rest:
        return values
    sizes = [part.rows for part in catalogue.manifest.groups[0].parts]
    ends = np.cumsum(sizes)
    part_of = np.searchsorted(ends, rows, side="right")
    values |= {name: np.empty(rows.size, catalogue.manifest.column(name).dtype) for name in rest}

    def take(part: int) -> None:
        here = part_of == part
        arrays = catalogue.read_part(part, rest)
        for name in rest:
            values[name][here] = arrays[name][rows[here] - (ends[part] - sizes[part])]

    at_once([partial(take, part) for part in np.unique(part_of).tolist()], never)
    return values
