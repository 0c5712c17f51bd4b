"""What an index holds and in which order: decided from the manifest and a look at every row, kept as JSON.

For each usual plane (x, y) there is a copy of the rows sorted by (strip of y, class, x). The strips are equal
slices of the range of y, so that the sources of one pixel and class are one run of rows, and a run is counted
without looking at its coordinates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from galviz.manifest import Column, Manifest

BLOCK = 2048  # rows of one entry of a zone map
WORD = 64  # strips start at a multiple of it, so that no two strips share a word of a bit mask
CELLS = 64  # a side of the grid within which a sample is stratified
MOST_STRIPS, STRIP_ROWS = 4096, 16_384
CODES = 255  # distinct values up to which a column is stored as codes of one byte
SAMPLE_ROWS, CELL_ROWS = 800_000, 64
EXACT_ROWS = 1_000_000  # catalogues up to here have no sample: the exact picture is as quick
RANGE_ROWS = 1_000_000  # rows from which ranges are taken
CHUNK_ROWS = 1_500_000  # rows of a plane that are put in order at once
ROW_BYTES, LEAST_BYTES = 90, 2 << 30  # columns in row order are added while an index is smaller
# Columns of these roles are indexed; where not all of them fit, those that come first.
ROLES = (
    "prediction", "truth", "best_probability", "probability", "embedding", "projection", "position", "morphology",
    "magnitude", "colour", "redshift", "simulation",
)  # fmt: skip


@dataclass(frozen=True)
class PlaneLayout:
    """One sorted copy: `strips` equal slices of [low, high] of y, and the range of x that the sample's cells cover."""

    x: str
    y: str
    x_low: float
    x_high: float
    low: float
    high: float
    strips: int


@dataclass(frozen=True)
class Layout:
    """What an index of `rows` sources holds.

    `by` is the class column that orders the rows of a strip, empty if there is none, with `groups` groups: one a
    class and one for sources of unknown class. `tables` has the ascending values of the carried columns that are
    stored as codes, NaN last; the other `carried` columns are stored as they are. `loose` columns lie in row
    order. `ranges` shows nearly all values of each indexed column.
    """

    rows: int
    by: str
    groups: int
    planes: tuple[PlaneLayout, ...]
    carried: tuple[str, ...]
    tables: Mapping[str, tuple[float, ...]]
    loose: tuple[str, ...]
    ranges: Mapping[str, tuple[float, float]]
    sampled: bool

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Layout:
        return cls(
            rows=raw["rows"],
            by=raw["by"],
            groups=raw["groups"],
            planes=tuple(PlaneLayout(**plane) for plane in raw["planes"]),
            carried=tuple(raw["carried"]),
            tables={name: tuple(values) for name, values in raw["tables"].items()},
            loose=tuple(raw["loose"]),
            ranges={name: (low, high) for name, (low, high) in raw["ranges"].items()},
            sampled=raw["sampled"],
        )


def indexed_columns(manifest: Manifest) -> tuple[Column, ...]:
    """The columns that views and filters use, in the order of ROLES."""
    return tuple(column for role in ROLES for column in manifest.of_role(role))


def usual_planes(manifest: Manifest) -> tuple[tuple[str, str], ...]:
    """The planes that every session looks at: the embedding, the sky, colour and magnitude."""
    named = [
        manifest.columns[name] for name in manifest.defaults.get("colour_magnitude", ()) if name in manifest.columns
    ]
    features = [manifest.columns[name] for name in manifest.features]
    pairs = (
        manifest.of_role("embedding"),
        manifest.of_role("projection") or manifest.of_role("position"),
        named if len(named) >= 2 else features,
    )
    return tuple(dict.fromkeys((pair[0].name, pair[1].name) for pair in pairs if len(pair) >= 2))


def carried_columns(manifest: Manifest) -> tuple[str, ...]:
    """The columns that the usual filters read, which every plane has a copy of."""
    filters = manifest.defaults.get("filters", manifest.features[:2])
    probabilities = (*manifest.of_role("best_probability"), *manifest.of_role("probability"))
    return tuple(
        dict.fromkeys(
            (*(column.name for column in probabilities), *(name for name in filters if name in manifest.columns))
        )
    )


def kept_columns(manifest: Manifest) -> tuple[str, ...]:
    """All that an index may hold: the indexed columns, and what else a plane has a copy of."""
    indexed = (column.name for column in indexed_columns(manifest))
    planes = (name for plane in usual_planes(manifest) for name in plane)
    return tuple(dict.fromkeys((*indexed, *planes, *carried_columns(manifest))))


def ordering_column(manifest: Manifest) -> str:
    """The class column that orders the rows of a strip, or nothing."""
    column = manifest.class_column
    return column.name if column and column.kind == "class" else ""


def strips_of(rows: int) -> int:
    """How many strips a plane of so many rows has: a strip is thinner than a pixel where there are very many rows."""
    return min(MOST_STRIPS, max(16, rows // STRIP_ROWS))
