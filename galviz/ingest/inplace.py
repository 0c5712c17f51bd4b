"""HATS catalogues that galviz did not write, opened where they lie.

A part is a file of the folder, in nested order of the pixels; its columns are found, named and converted as an ingest
would. Rows stay as they are: no cleaning step drops one, and of rows that share an identifier all stay. Nothing is
written until there is something to keep, such as an index: then the manifest lands in the folder too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cachetools import LRUCache, cached

from galviz.catalogue import MANIFEST, Catalogue, digest_of
from galviz.catalogue import open_catalogue as open_with_manifest
from galviz.errors import CatalogueError, IngestError
from galviz.foreign import first_line
from galviz.ingest.cleaning import ledger_of
from galviz.ingest.matching import Plan, find_survey, fitting, make_plan
from galviz.ingest.proposals import propose
from galviz.ingest.readers.hats import files_of, is_hats, main_catalogue, open_hats, properties_of
from galviz.ingest.readers.parquet import read_footer
from galviz.ingest.readers.table import NOTHING
from galviz.ingest.work import SURVEY_TEXT
from galviz.manifest import Group, Manifest, Part, Reading, new_manifest
from galviz.surveys import Source, Survey
from galviz.surveys.toml import survey_text

_TAIL = 8  # bytes behind the footer of a Parquet file: its length, and PAR1
_AS_THEY_ARE = "rows are as the files hold them, none was dropped; `galviz ingest` makes a catalogue of those to keep"


def open_catalogue(path: str | os.PathLike[str], survey: str | Path | Survey | None = None) -> Catalogue:
    """Open the catalogue in the folder `path`: one that galviz made, or a HATS catalogue of others, in place.

    `survey` says of the latter whose columns these are, as for `galviz.ingest.ingest`; by default it is the one of
    SURVEYS that fits best, else one that is proposed. Raises CatalogueError or IngestError when there is no catalogue,
    or it cannot be read, or a file of it is missing, and when its files are not those that an index or further columns
    in the folder were made of.
    """
    folder = Path(path)
    root = main_catalogue(folder).resolve() if is_hats(folder) else folder
    if is_hats(folder) and not (root / MANIFEST).exists():
        return _new(root, survey)
    opened = open_with_manifest(root)
    if not opened.is_in_place:
        _refuse_other_survey(opened, survey)
    elif survey is not None:
        _refuse_other_manifest(opened, _new(root, survey).manifest)
    else:
        _refuse_other_files(opened)
    return opened


def _refuse_other_survey(opened: Catalogue, survey: str | Path | Survey | None) -> None:
    if survey is not None and find_survey(survey, ()).name != opened.manifest.survey:
        raise CatalogueError(
            f"{opened.path} is a catalogue of the survey {opened.manifest.survey} already; leave --survey out."
        )


def _refuse_other_manifest(opened: Catalogue, manifest: Manifest) -> None:
    base = dataclasses.replace(opened.manifest, version=1, groups=opened.manifest.groups[:1])
    if base.to_json() != manifest.to_json():
        raise _changed(opened.path, "other files, or another description of the survey, than now")


def _refuse_other_files(opened: Catalogue) -> None:
    parts = {opened.path / part.path: part for part in opened.manifest.groups[0].parts}
    for path, part in parts.items():
        if footer_digest(path) != part.sha256:
            raise _changed(opened.path, f"another {part.path} than is there now")
    for path in files_of(opened.path):
        if path not in parts and read_footer(path)[0].num_rows:
            raise _changed(opened.path, f"files without {path.relative_to(opened.path)}")


def _changed(root: Path, what: str) -> CatalogueError:
    return CatalogueError(
        f"What galviz wrote into {root} was made of {what}; remove {MANIFEST}, sidecars and index there to begin anew."
    )


def _new(root: Path, survey: str | Path | Survey | None) -> Catalogue:
    """A HATS catalogue as its files and their columns are now."""
    table = open_hats(root)
    proposed = survey is None and not fitting([table])
    chosen = propose(table).survey if proposed else find_survey(survey, [table])
    plan = make_plan(table, chosen)
    manifest = _manifest(root, plan, chosen, proposed)
    return Catalogue(root, manifest, digest_of(manifest.to_json().encode()))


def _manifest(root: Path, plan: Plan, survey: Survey, proposed: bool) -> Manifest:
    columns = tuple(source.column for source in plan.sources)
    readings = tuple(_reading(plan, source, survey) for source in plan.sources)
    made = _made(root)
    group = Group("base", columns, tuple(_parts(root, plan)), _provenance(plan, survey, proposed) | made, readings)
    simulated = plan.table.simulated
    manifest = new_manifest(
        root.name,
        survey.name,
        {},
        title=f"{survey.title}, simulated" if simulated else survey.title,
        simulated=simulated,
        doi=survey.doi,
        **survey.manifest_fields(columns),
    )
    return dataclasses.replace(manifest, created=made["date"], software=made["software"], groups=(group,))


def _reading(plan: Plan, source: Source, survey: Survey) -> Reading:
    spelling = plan.spellings.get(source.column.name, "")
    classes = survey.class_names if source.column.kind == "class" else None
    return source.reading(spelling, classes, plan.table.columns.get(spelling, NOTHING).null)


def _parts(root: Path, plan: Plan) -> Iterator[Part]:
    """The files that hold rows. Raises IngestError for one of other columns, and where no file holds a row."""
    empty, files = True, plan.table.files
    names = set(read_footer(files[0])[1].names)
    for path in files:
        metadata, schema = read_footer(path)
        if other := names ^ set(schema.names):
            raise IngestError(f"{files[0]} and {path} do not both have the column {min(other)}; fetch them again.")
        if metadata.num_rows:
            empty = False
            yield Part(path.relative_to(root).as_posix(), metadata.num_rows, footer_digest(path))
    if empty:
        raise IngestError(f"{root} has column names but no row; there is nothing to open.")


def footer_digest(path: Path) -> str:
    """The SHA-256 of the footer of a Parquet file, which says where its values lie, and much of what they are."""
    try:
        state = path.stat()
        return _digest_of_footer(path, state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise IngestError(f"Cannot read {path}: {first_line(error)}; fetch it again.") from error


@cached(LRUCache(1 << 16), lock=threading.Lock())
def _digest_of_footer(path: Path, size: int, changed: int) -> str:
    """As `footer_digest`, of a file of this size and this time of change."""
    with path.open("rb") as file:
        end = file.seek(-_TAIL, os.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
        file.seek(max(0, end - length))
        return hashlib.sha256(file.read()).hexdigest()


def _made(root: Path) -> dict[str, str]:
    """Who made the files, and when."""
    properties = properties_of(root)
    return {
        "software": properties.get("hats_builder", "") or "others",
        "date": properties.get("hats_creation_date", "") or "on an unknown date",
    }


def _provenance(plan: Plan, survey: Survey, proposed: bool) -> dict[str, Any]:
    """What was made of the columns, and which steps of an ingest were left out."""
    columns = [source.column for source in plan.sources]
    steps = ledger_of(survey, columns).entries()["steps"]
    return {
        "opened in place": _AS_THEY_ARE,
        "survey": f"{survey.name}, proposed from its columns" if proposed else survey.name,
        SURVEY_TEXT: survey_text(survey),
        "not applied": [{key: step[key] for key in ("kept where", "reason")} for step in steps],
        "columns": [_told(plan, source) for source in plan.sources],
        "ignored": dict(plan.ignored),
    }


def _told(plan: Plan, source: Source) -> dict[str, str]:
    name = source.column.name
    return {
        "name": name,
        "read as": plan.spellings.get(name, f"made: {' '.join(source.made)}"),
        "unit": source.column.unit,
        "note": plan.notes.get(name, ""),
    }
