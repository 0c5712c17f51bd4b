"""Published catalogues by their DOI: found at Zenodo, downloaded with resume and checksum, then ingested."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from galviz.catalogue import Catalogue
from galviz.errors import CatalogueError, FetchError
from galviz.fetch.published import PUBLISHED, FileSet
from galviz.fetch.records import latest_record
from galviz.fetch.transfer import download_files
from galviz.fetch.web import ZENODO, Patience, Web
from galviz.ingest import ingest
from galviz.progress import Progress, silent
from galviz.surveys import SURVEYS

__all__ = ["PUBLISHED", "Download", "download", "downloads_of", "fetch"]

Stage = Callable[[str], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class Download:
    """The files of a published catalogue on this machine, and the DOI of the version that they are of."""

    doi: str
    paths: tuple[Path, ...]


@contextmanager
def _unseen(name: str) -> Iterator[Progress]:
    yield silent


def fetch(
    name: str,
    out: str | os.PathLike[str],
    *,
    labelled: bool = False,
    files: Sequence[str] = (),
    keep: str | os.PathLike[str] | None = None,
    trust_pickle: bool = False,
    overwrite: bool = False,
    stage: Stage = _unseen,
    web: Web = ZENODO,
) -> Catalogue:
    """Download the files of a published catalogue, ingest them into a catalogue at `out` and open it.

    The files land in `keep`, by default the folder of `downloads_of`, and stay there. `stage` is given the name of
    each stage, "fetch" and "ingest", and gives the context in which its progress is told. The other arguments are
    those of `download` and `galviz.ingest.ingest`. Raises FetchError, before anything is asked for, when the files are
    pickles and `trust_pickle` is not said, and all that `download` and `ingest` raise.
    """
    place = Path(out).absolute()
    folder = (downloads_of(place) if keep is None else Path(keep)).absolute()
    chosen = _chosen(name, labelled)
    if chosen.format == "pickle" and not trust_pickle:
        raise FetchError(
            f"The files of {name} are Python pickles, which can run any code when they are read, and their checksum "
            "only proves that they are the published ones: say --trust-pickle if you trust their authors, or "
            "--no-ingest to have the files alone."
        )
    if place.exists() and not overwrite:
        raise CatalogueError(f"{place} exists already; choose another folder or say --overwrite.")
    if place == folder or place in folder.parents:
        raise FetchError(f"The catalogue {place} cannot hold its own downloads in {folder}; choose another folder.")
    with stage("fetch") as progress:
        there = download(name, folder, labelled=labelled, files=files, progress=progress, web=web)
    with stage("ingest") as progress:
        return _ingested(there, place, chosen, trust_pickle, overwrite, progress)


def downloads_of(out: str | os.PathLike[str]) -> Path:
    """The folder beside the catalogue `out` in which its downloads land."""
    place = Path(out).absolute()
    return place.with_name(f"{place.name}.downloads")


def download(
    name: str,
    folder: str | os.PathLike[str],
    *,
    labelled: bool = False,
    files: Sequence[str] = (),
    progress: Progress = silent,
    web: Web = ZENODO,
) -> Download:
    """Download the files of the published catalogue `name` to `folder`, without those that are there already.

    `labelled` asks for the sources with a spectroscopic class; `files` names files of the record to take in place of
    the usual ones. Work that was interrupted goes on where it stopped when it is called again. Raises FetchError when
    a file cannot be had or is not what the record says, GalvizError when the disk is full.
    """
    chosen = _chosen(name, labelled)
    wanted = [(file,) for file in files] or chosen.files
    patience = Patience(web)
    record = latest_record(patience, PUBLISHED[name].doi, lambda words: progress(0.0, words))
    remote = [record.file(spellings) for spellings in wanted]
    return Download(record.doi, tuple(download_files(patience, remote, Path(folder), progress)))


def _chosen(name: str, labelled: bool) -> FileSet:
    if name not in PUBLISHED:
        raise FetchError(f"No published catalogue {name!r} is known; known are {', '.join(PUBLISHED)}.")
    published = PUBLISHED[name]
    if not labelled:
        return published.unlabelled
    if published.labelled is None:
        raise FetchError(f"{name} was published without a labelled table; leave out --labelled.")
    return published.labelled


def _ingested(
    there: Download, out: Path, chosen: FileSet, trust_pickle: bool, overwrite: bool, progress: Progress
) -> Catalogue:
    survey = replace(SURVEYS[chosen.survey], doi=there.doi)
    options: dict[str, Any] = {"trust_pickle": trust_pickle} if chosen.format == "pickle" else {}
    return ingest(there.paths, out, survey, overwrite=overwrite, progress=progress, **options)
