"""Raw file to catalogue: columns found by their names, sentinels to null, rows cleaned, everything on record.

Three passes: stretches of the input become runs of rows sorted by place, duplicates are found among all of them, and
parts are merged from the runs. Each leaves files that a journal knows, so that interrupted work goes on where it
stopped, and memory holds a few runs or parts at a time.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from galviz.catalogue import Catalogue, open_catalogue
from galviz.disk import room, take_room
from galviz.errors import IngestError
from galviz.ingest.job import Job, bytes_at_least, bytes_needed, plans
from galviz.ingest.ledger import account
from galviz.ingest.matching import find_survey
from galviz.ingest.readers import open_table
from galviz.ingest.staging import staged, staging_of
from galviz.ingest.work import SURVEY_TEXT, make_catalogue
from galviz.progress import Progress, silent
from galviz.surveys import Survey

__all__ = ["SURVEY_TEXT", "account", "ingest"]


def ingest(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    survey: str | Path | Survey | None = None,
    *,
    keep: Sequence[str] = (),
    overwrite: bool = False,
    trust_pickle: bool = False,
    progress: Progress = silent,
    client: Any = None,
) -> Catalogue:
    """Read files of a survey, of any format of `readers`, into a catalogue at `out` and open it.

    `survey` is the name of one of SURVEYS, a TOML file that describes one, or None for the one of SURVEYS that fits
    best. Rows are sorted by HEALPix pixel in parts of about 250,000; of rows that share an identifier the nearest match
    stays. `keep` names further columns of numbers to take along; a pickle runs code, so it is read with `trust_pickle`
    only. What was done with each column and row is the provenance of the base columns. With a `distributed.Client` the
    workers of its cluster do the work.

    What is done is kept beside `out`, and the same call goes on with it after an interruption. Raises IngestError for a
    file that cannot be read as this survey, or that is not the one that an unfinished ingest began with, and
    CatalogueError when `out` is taken or cannot be written; a catalogue that was there stays. A disk that is plainly
    too small is a GalvizError before anything is read.
    """
    paths = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    if not paths:
        raise IngestError("There is no file to ingest; name at least one.")
    target = Path(os.path.realpath(out))
    names = tuple(os.fspath(path) if client is None else os.path.abspath(path) for path in paths)
    job = Job(
        names,
        find_survey(survey, [open_table(Path(path), trust_pickle=trust_pickle) for path in paths]),
        tuple(keep),
        str(staging_of(target)),
        uuid.uuid4().hex,
        trust_pickle,
    )
    plans(job)
    with room(target, bytes_needed(job)), staged(job, target, overwrite) as stage:
        if stage is not None:
            take_room(stage.path, bytes_at_least(job))
            make_catalogue(job, stage, progress, client)
    return open_catalogue(out)
