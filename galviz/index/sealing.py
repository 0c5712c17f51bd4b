"""Finished files become part of an index: zone maps and spans, and the checksums that files must have from then on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from galviz.index import layout as sizes
from galviz.index.files import Facts, facts_of, finished, load, save
from galviz.index.job import Job, planned
from galviz.index.layout import Layout
from galviz.index.loops import span, zone
from galviz.index.store import plane_column_file, plane_columns, plane_file, zones_file


def sealed_path(job: Job, name: str) -> Path:
    return job.at("sealed", name.replace("/", "@"))


def seal_file(job: Job, name: str) -> None:
    """Keep the facts of a file, and of the zones and spans that are made of it on the way."""
    files = [name]
    if name in (planes := _plane_columns(planned(job).layout)):
        files += _summarise(job, *planes[name])
    facts = {file: dataclasses.asdict(facts_of(job.final(file))) for file in files}
    with finished(sealed_path(job, name)) as out:
        out.write(json.dumps(facts).encode())


def sealed(job: Job, name: str) -> dict[str, Facts]:
    """What `seal_file` kept."""
    facts = json.loads(sealed_path(job, name).read_text(encoding="utf-8"))
    return {file: Facts.from_json(raw) for file, raw in facts.items()}


def _plane_columns(layout: Layout) -> dict[str, tuple[int, str]]:
    return {
        plane_column_file(number, column): (number, column)
        for number in range(len(layout.planes))
        for column in plane_columns(layout, number)
    }


def _summarise(job: Job, number: int, column: str) -> list[str]:
    """Write the zones of a column of a plane, and the spans of its strips for y; the names of the files."""
    bounds = load(job.final(plane_file(number, "bounds")))
    starts, ends = bounds[:, 0].copy(), bounds[:, -1].copy()
    values = load(job.final(plane_column_file(number, column)))
    zones = np.tile([np.inf, -np.inf], (len(values) // sizes.BLOCK, 1))
    zone(values, starts, ends, sizes.BLOCK, zones)
    save(job.final(zones_file(number, column)), zones)
    if column != planned(job).layout.planes[number].y:
        return [zones_file(number, column)]
    spans = np.full((len(bounds), 2), np.nan)
    span(values, starts[:-1], ends[:-1], spans)
    save(job.final(plane_file(number, "spans")), spans)
    return [zones_file(number, column), plane_file(number, "spans")]
