"""An index on disk as mapped arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.index.layout import Layout, PlaneLayout


@dataclass(frozen=True, eq=False)
class Sample:
    """A stratified sample of a plane: stored values of every indexed column, the weight of each row, and the grid of
    squared errors (64, 64) that sources which the sample cannot see leave open."""

    columns: Mapping[str, NDArray[Any]]
    weight: NDArray[np.float32]
    floor: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Plane:
    """One sorted copy of the rows; see `galviz.index.layout`.

    `size` places with padding; `bounds` (strips + 1, groups + 1) the places where each group of each strip starts and
    ends, the last strip being the rows without coordinates; `spans` (strips + 1, 2) the smallest and largest y of each
    strip; `columns` x, y and the carried columns by name; `zones` (blocks, 2) their smallest and largest stored value in
    each block; `tables` the values of coded columns; `home` the place in plane 0 of each place, None for plane 0 itself.
    """

    number: int
    layout: PlaneLayout
    size: int
    bounds: NDArray[np.int64]
    spans: NDArray[np.float64]
    columns: Mapping[str, NDArray[Any]]
    zones: Mapping[str, NDArray[np.float64]]
    tables: Mapping[str, NDArray[np.float64]]
    home: NDArray[np.uint32] | None
    sample: Sample | None

    @property
    def strips(self) -> int:
        return len(self.bounds) - 1


@dataclass(frozen=True, eq=False)
class Index:
    """The index of one version of a catalogue: `columns` in row order (those that fit), and the sorted `planes`.

    `row` is the catalogue row of each place of plane 0, `to[k]` its place in plane k.
    """

    path: Path
    layout: Layout
    columns: Mapping[str, NDArray[Any]]
    planes: tuple[Plane, ...]
    row: NDArray[np.uint32]
    to: Mapping[int, NDArray[np.uint32]]

    @property
    def rows(self) -> int:
        return self.layout.rows
