"""Raw file to catalogue: columns found by their names, sentinels to null, rows cleaned, everything on record."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from galviz.catalogue import Catalogue, CatalogueWriter, open_catalogue
from galviz.disk import room
from galviz.errors import IngestError
from galviz.ingest.cleaning import Arrays, Ledger, applicable, clean
from galviz.ingest.matching import Plan, make_plan
from galviz.ingest.readers import ROWS, open_table
from galviz.manifest import new_manifest
from galviz.progress import Progress, silent
from galviz.surveys import SURVEYS, Survey

__all__ = ["account", "ingest"]

_BYTES_A_VALUE = 4  # on disk, roughly: most values are single precision and hardly compress


def ingest(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    survey: str | Survey,
    *,
    keep: Sequence[str] = (),
    overwrite: bool = False,
    progress: Progress = silent,
) -> Catalogue:
    """Read CSV (plain or gzip), FITS or Parquet files of a survey into a catalogue at `out` and open it.

    The files are read in chunks, in order, and written in parts of 250,000 rows. `keep` names further columns of
    numbers to take along. What was done with each column and row is the provenance of the base columns. Raises
    IngestError for a file that cannot be read as this survey, CatalogueError when `out` is taken; nothing is
    left at `out` then, and a catalogue that was there stays.
    """
    paths = [Path(sources)] if isinstance(sources, str | os.PathLike) else [Path(source) for source in sources]
    if not paths:
        raise IngestError("There is no file to ingest; name at least one.")
    chosen = _survey(survey)
    plans = [make_plan(open_table(path), chosen, keep) for path in paths]
    for plan in plans[1:]:
        plan.check_against(plans[0])
    columns = tuple(source.column for source in plans[0].sources)
    ledger = Ledger(applicable(chosen.steps, {column.name for column in columns}))
    provenance: dict[str, Any] = {}  # filled in when the rows have been counted
    simulated = any(plan.table.simulated for plan in plans)
    manifest = new_manifest(
        Path(out).name,
        chosen.name,
        provenance,
        title=f"{chosen.title}, simulated" if simulated else chosen.title,
        simulated=simulated,
        doi=chosen.doi,
        **chosen.manifest_fields(columns),
    )
    needed = _BYTES_A_VALUE * len(columns) * sum(plan.rows for plan in plans)
    with room(Path(out), needed), CatalogueWriter(Path(out), columns, manifest, overwrite) as writer:
        for number, arrays in enumerate(_parts(_cleaned(plans, chosen, ledger, progress))):
            writer.write(number, arrays)
        if ledger.kept == 0:
            raise IngestError(_nothing_left(plans, ledger))
        provenance.update(_account(plans, chosen, ledger))
    return open_catalogue(out)


def _survey(survey: str | Survey) -> Survey:
    if isinstance(survey, Survey):
        return survey
    if survey not in SURVEYS:
        raise IngestError(f"There is no survey {survey!r}; known are {', '.join(SURVEYS)}.")
    return SURVEYS[survey]


def _cleaned(plans: Sequence[Plan], survey: Survey, ledger: Ledger, progress: Progress) -> Iterator[Arrays]:
    for number, plan in enumerate(plans):
        for chunk, fraction in plan.table.chunks(plan.kinds):
            arrays = {name: chunk[spelling] for name, spelling in plan.spellings.items()}
            cleaned = clean(arrays, plan.sources, survey, ledger)
            progress((number + fraction) / len(plans), f"{ledger.read:,} rows read, {ledger.kept:,} kept")
            yield cleaned


def _parts(chunks: Iterator[Arrays]) -> Iterator[Arrays]:
    """The rows of `chunks` again, in parts of `ROWS` rows; only the last one may be shorter."""
    waiting: list[Arrays] = []
    size = 0
    for chunk in chunks:
        waiting.append(chunk)
        size += _length(chunk)
        if size >= ROWS:
            whole = _joined(waiting)
            full = size - size % ROWS
            for start in range(0, full, ROWS):
                yield {name: values[start : start + ROWS] for name, values in whole.items()}
            waiting, size = [{name: values[full:] for name, values in whole.items()}], size - full
    if size:
        yield _joined(waiting)


def _length(chunk: Arrays) -> int:
    return len(next(iter(chunk.values())))


def _joined(chunks: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def _nothing_left(plans: Sequence[Plan], ledger: Ledger) -> str:
    names = ", ".join(str(plan.table.path) for plan in plans)
    if ledger.read == 0:
        return f"{names} has column names but no row; there is nothing to ingest."
    worst = max(ledger.steps, key=lambda step: ledger.dropped[step])
    return (
        f"None of the {ledger.read:,} rows of {names} is left after cleaning; most fell at {worst.condition!r} "
        f"({worst.reason}); check the survey."
    )


def _account(plans: Sequence[Plan], survey: Survey, ledger: Ledger) -> dict[str, Any]:
    """What was done, for the manifest: files, columns, steps, and what was left out."""
    columns = [
        {
            "name": source.column.name,
            "read as": plans[0].spellings.get(source.column.name, f"made: {' '.join(source.made)}"),
            "unit": source.column.unit,
            "sentinels to null": ledger.sentinels[source.column.name],
            "missing": ledger.missing[source.column.name],
        }
        for source in plans[0].sources
    ]
    files = [{"name": plan.table.path.name, "bytes": plan.table.path.stat().st_size} for plan in plans]
    ignored = {name: reason for plan in plans for name, reason in plan.ignored.items()}
    return {"files": files, "survey": survey.name, **ledger.entries(), "columns": columns, "ignored": ignored}


def account(provenance: Mapping[str, Any]) -> list[str]:
    """The account of an ingested catalogue in lines for a reader; empty for a catalogue made otherwise."""
    if "rows_read" not in provenance:
        return []
    lines = [f"{provenance['rows_read']:,} rows read"]
    for step in provenance["steps"]:
        lines.append(f"{step['dropped']:,} dropped, kept where {step['kept where']}: {step['reason']}")
    lines.append(f"{provenance['rows_kept']:,} rows kept")
    for column in provenance["columns"]:
        lines.append(_column_line(column))
    for name, reason in provenance["ignored"].items():
        lines.append(f"{name}: ignored ({reason})")
    for text, number in provenance["unknown_classes"].items():
        lines.append(f"class {text!r} is not one of the survey's: {number:,} rows without a class")
    if any(column["name"] == "objid" for column in provenance["columns"]):
        lines.append("rows that share an objid are all kept")
    return lines


def _column_line(column: Mapping[str, Any]) -> str:
    notes = [f"from {column['read as']}", column["unit"]]
    if column["sentinels to null"]:
        notes.append(f"{column['sentinels to null']:,} sentinels to null")
    if column["missing"]:
        notes.append(f"missing in {column['missing']:,} rows read")
    return f"{column['name']}: {', '.join(note for note in notes if note)}"
