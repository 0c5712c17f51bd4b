"""One build of an index: where it works, what was decided, and which rows a unit of it reads.

Everything that a unit needs lies in the staging folder, so that units run in any order on any machine that sees it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.catalogue import Catalogue
from galviz.errors import CatalogueError
from galviz.index import layout as sizes
from galviz.index.layout import Layout, PlaneLayout
from galviz.index.loops import locate
from galviz.manifest import Manifest

FOLDERS = ("scan", "runs", "tallies", "merged", "pieces", "copied", "sealed")
FINAL = "index"


@dataclass(frozen=True)
class Job:
    """Which catalogue, at which version, and the staging folder; `session` tells a build from one that is continued."""

    path: str
    folder: str
    digest: str
    session: str

    def at(self, *names: str) -> Path:
        """A file of the staging folder."""
        return Path(self.folder, *names)

    def final(self, name: str) -> Path:
        """A file of the index itself."""
        return Path(self.folder, FINAL, name)


@dataclass(frozen=True)
class Plan:
    """What is decided before rows are sorted: the layout, and for each plane the first strips of the chunks that are
    merged at once, with the number of all strips at the end."""

    layout: Layout
    chunks: tuple[tuple[int, ...], ...]

    def to_json(self) -> str:
        return json.dumps({"layout": self.layout.to_json(), "chunks": self.chunks})

    @classmethod
    def from_json(cls, text: str) -> Plan:
        raw = json.loads(text)
        return cls(Layout.from_json(raw["layout"]), tuple(tuple(chunks) for chunks in raw["chunks"]))


@lru_cache(maxsize=2)
def opened(job: Job) -> Catalogue:
    """The catalogue as it was when the build began. Raises CatalogueError where its folder cannot be seen."""
    try:
        text = job.at("manifest.json").read_text(encoding="utf-8")
    except OSError as error:
        raise CatalogueError(
            f"A worker cannot see {job.folder}; all workers need the file system that the catalogue lies on."
        ) from error
    return Catalogue(Path(job.path), Manifest.from_json(text), job.digest)


@lru_cache(maxsize=2)
def planned(job: Job) -> Plan:
    """What was decided for a build."""
    return Plan.from_json(job.at("plan.json").read_text(encoding="utf-8"))


def rows_of_part(catalogue: Catalogue, part: int) -> tuple[int, int]:
    """The first row of a part and the number of its rows."""
    parts = catalogue.manifest.groups[0].parts
    return sum(before.rows for before in parts[:part]), parts[part].rows


def groups_of(catalogue: Catalogue) -> int:
    """Groups that the rows of a strip are ordered by: one a class and one for unknown, or a single one."""
    return len(catalogue.manifest.classes) + 1 if sizes.ordering_column(catalogue.manifest) else 1


def group_codes(layout: Layout, arrays: Mapping[str, NDArray[Any]], rows: int) -> NDArray[np.uint8]:
    """The group of each row."""
    if not layout.by:
        return np.zeros(rows, np.uint8)
    codes, unknown = arrays[layout.by], layout.groups - 1
    return np.where((codes >= 0) & (codes < unknown), codes, unknown).astype(np.uint8)


def placed(
    layout: Layout, plane: PlaneLayout, arrays: Mapping[str, NDArray[Any]], group: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The bucket (strip, group) and the sample cell of each row, shapes (rows,)."""
    bucket, cell = np.empty((2, len(group)), np.int64)
    with np.errstate(over="ignore"):
        scales = (
            sizes.CELLS / (plane.x_high - plane.x_low),
            plane.strips / (plane.high - plane.low),
            sizes.CELLS / (plane.high - plane.low),
        )
    locate(
        np.array(arrays[plane.x], np.float64),
        np.array(arrays[plane.y], np.float64),
        group,
        (plane.x_low, plane.low),
        scales,
        plane.strips,
        sizes.CELLS,
        layout.groups,
        bucket,
        cell,
    )
    return bucket, cell


def buckets_of(layout: Layout, number: int) -> int:
    """How many buckets (strip, group) a plane has, with those of rows without coordinates."""
    return (layout.planes[number].strips + 1) * layout.groups


def cells_of(layout: Layout) -> int:
    """How many sample cells (y cell, x cell, group) a plane has, with those of rows without coordinates."""
    return (sizes.CELLS**2 + 1) * layout.groups


def coordinate_dtype(catalogue: Catalogue, name: str) -> np.dtype[Any]:
    """The type that a coordinate is stored with."""
    dtype = np.dtype(catalogue.manifest.columns[name].dtype)
    return dtype if dtype in (np.dtype(np.float32), np.dtype(np.float64)) else np.dtype(np.float64)
