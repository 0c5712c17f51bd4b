"""The first look at every row: ranges, distinct values, and from them the layout."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.catalogue import Catalogue
from galviz.index import layout as sizes
from galviz.index.files import finished, load, save
from galviz.index.job import Job, Plan, group_codes, groups_of, opened, placed, rows_of_part
from galviz.index.layout import Layout, PlaneLayout
from galviz.index.ranges import shown_range

_PEEK = 4096


def scan_part(job: Job, part: int) -> None:
    """Keep evenly spaced values of all columns of a part, and the distinct values of carried columns, if few."""
    catalogue = opened(job)
    names = _scanned(catalogue)
    arrays = catalogue.read_part(part, names)
    first, rows = rows_of_part(catalogue, part)
    step = -(-catalogue.rows // sizes.RANGE_ROWS)
    spaced = slice((-first) % step, None, step)
    values = np.empty(len(range(rows)[spaced]), [(name, catalogue.manifest.columns[name].dtype) for name in names])
    for name in names:
        values[name] = arrays[name][spaced]
    save(job.at("scan", f"{part:05d}.npy"), values)
    found = {name: _distinct(arrays[name]) for name in sizes.carried_columns(catalogue.manifest)}
    with finished(job.at("scan", f"{part:05d}.json")) as file:
        file.write(json.dumps(found).encode())


def _scanned(catalogue: Catalogue) -> list[str]:
    by = sizes.ordering_column(catalogue.manifest)
    return list(dict.fromkeys((*sizes.kept_columns(catalogue.manifest), *([by] if by else []))))


def _distinct(values: NDArray[Any]) -> list[float] | None:
    """Ascending distinct values, NaN last, or None when there are too many or they are not floats exactly."""
    if len(np.unique(values[:_PEEK])) > sizes.CODES:
        return None
    found = np.unique(values)
    exact = found.astype(np.float64)
    if len(found) > sizes.CODES or not np.array_equal(
        exact.astype(found.dtype), found, equal_nan=found.dtype.kind == "f"
    ):
        return None
    return [float(value) for value in exact]


def decide(job: Job) -> Plan:
    """The layout that follows from what was scanned, without loose columns yet."""
    catalogue = opened(job)
    manifest = catalogue.manifest
    parts = range(catalogue.parts)
    values = np.concatenate([load(job.at("scan", f"{part:05d}.npy")) for part in parts])
    ranges = {name: shown_range(manifest.columns[name], values[name]) for name in sizes.kept_columns(manifest)}
    planes = tuple(
        PlaneLayout(x, y, *ranges[x], *ranges[y], strips=sizes.strips_of(catalogue.rows))
        for x, y in sizes.usual_planes(manifest)
    )
    layout = Layout(
        rows=catalogue.rows,
        by=sizes.ordering_column(manifest),
        groups=groups_of(catalogue),
        planes=planes,
        carried=sizes.carried_columns(manifest) if planes else (),
        tables=_tables(job, catalogue) if planes else {},
        loose=(),
        ranges=ranges,
        sampled=bool(planes) and catalogue.rows > sizes.EXACT_ROWS,
    )
    return Plan(layout, tuple(_chunks(layout, plane, values) for plane in planes))


def _tables(job: Job, catalogue: Catalogue) -> dict[str, tuple[float, ...]]:
    found: dict[str, set[float] | None] = {name: set() for name in sizes.carried_columns(catalogue.manifest)}
    missing: set[str] = set()
    for part in range(catalogue.parts):
        for name, values in json.loads(job.at("scan", f"{part:05d}.json").read_text(encoding="utf-8")).items():
            known = found[name]
            if values is None or known is None:
                found[name] = None
                continue
            known.update(value for value in values if value == value)
            missing.update([name] if values and values[-1] != values[-1] else [])
            if len(known) + (name in missing) > sizes.CODES:
                found[name] = None
    return {
        name: (*sorted(known), *([float("nan")] if name in missing else []))
        for name, known in found.items()
        if known is not None
    }


def _chunks(layout: Layout, plane: PlaneLayout, values: NDArray[Any]) -> tuple[int, ...]:
    """First strips of chunks of about CHUNK_ROWS rows each, by the spaced values."""
    fields = {name: values[name] for name in (plane.x, plane.y, *([layout.by] if layout.by else []))}
    bucket, _ = placed(layout, plane, fields, group_codes(layout, fields, len(values)))
    each = np.bincount(bucket // layout.groups, minlength=plane.strips + 1) * (layout.rows / max(1, len(values)))
    number = ((np.cumsum(each) - each) // sizes.CHUNK_ROWS).astype(np.int64)
    firsts = np.flatnonzero(np.diff(number, prepend=-1))
    return (*(int(first) for first in firsts), plane.strips + 1)
