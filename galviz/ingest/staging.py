"""The folder beside a catalogue in which it comes to be, and how it gets to its place."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from galviz.catalogue import MANIFEST, check_place, open_catalogue, write_text
from galviz.disk import discard, held, is_full, sha256_of, sync_folder
from galviz.errors import CatalogueError, GalvizError, IngestError
from galviz.ingest.job import CATALOGUE, Job
from galviz.ingest.journal import Journal, Origin
from galviz.manifest import Manifest

JOURNAL = "journal"
BEGUN, PLACED = "begun", "manifest"  # the first and the last entry of a journal
_PARTS = ("parts", "parts-2", "parts-3")  # one of them is always free
_LATER = ("sidecars", "index")  # what belongs to a catalogue that is replaced


def staging_of(target: Path) -> Path:
    """The staging folder of a catalogue. Raises CatalogueError where there is no place beside it."""
    if not target.name:
        raise CatalogueError(f"{target} cannot become a catalogue; name a folder in it.")
    return target.with_name(f".{target.name}.ingest")


@dataclass(frozen=True)
class Stage:
    """A staging folder that this process holds, for a catalogue at `target` whose parts lie in `folder` of it."""

    path: Path
    target: Path
    folder: str
    journal: Journal
    origin: Origin

    @property
    def parts(self) -> Path:
        return self.path / CATALOGUE / self.folder

    def place(self, manifest: Manifest) -> None:
        """Write the manifest and move the catalogue to its place: before the last rename there is only the old one.

        Raises OSError and CatalogueError.
        """
        new = self.path / CATALOGUE
        write_text(new / MANIFEST, manifest.to_json())
        there = sorted(os.listdir(self.target)) if self.target.exists() else []
        replaced = [name for name in there if name in (*_PARTS, *_LATER)]
        self.journal.add({"name": PLACED, "sha256": sha256_of(new / MANIFEST), "replaced": replaced})
        if not there:
            os.replace(new, self.target)
            sync_folder(self.target.parent)
            return
        os.replace(self.parts, self.target / self.folder)
        try:
            sync_folder(self.target)
            os.replace(new / MANIFEST, self.target / MANIFEST)
        except OSError:
            os.replace(self.target / self.folder, self.parts)
            raise
        sync_folder(self.target)


@contextmanager
def staged(job: Job, target: Path, overwrite: bool) -> Iterator[Stage | None]:
    """The staging folder of a job while the block runs, or None where all that was left is to tidy up.

    What is done stays there when the block raises, but for input that is at fault and for a full disk. Raises
    CatalogueError when `target` is taken, another ingest runs there, or something cannot be written, and IngestError
    when what is there belongs to another ingest.
    """
    staging = Path(job.folder)
    try:
        with held(staging) as alone:
            if not alone:
                raise CatalogueError(f"Another ingest into {target} is running; wait until it is done.")
            _sweep(staging)
            journal = Journal(staging / JOURNAL)
            if _is_placed(journal, target):
                yield None
            else:
                stage = _begin(job, target, overwrite, journal)
                with _kept_when_useful(staging, journal):
                    yield stage
            _tidy(journal, target)
            _discard(staging)
    except OSError as error:
        if is_full(error):
            raise
        reason = os.strerror(error.errno) if error.errno else " ".join(str(error).split()).rstrip(".")
        raise CatalogueError(
            f"Cannot write {error.filename or staging}: {reason}; what is done stays in {staging}: mend it and run the "
            "same command again to go on."
        ) from error


@contextmanager
def _kept_when_useful(staging: Path, journal: Journal) -> Iterator[None]:
    """Discard the folder when the input is at fault, so that nothing of it can be used, or when the disk is full while
    there is more to do than to move the catalogue to its place."""
    try:
        yield
    except (GalvizError, OSError) as error:
        if PLACED not in journal.entries and (isinstance(error, IngestError) or is_full(error)):
            _give_up(staging)
        raise


def _is_placed(journal: Journal, target: Path) -> bool:
    """Whether the catalogue of this journal is in its place already."""
    known = journal.entries.get(PLACED)
    return known is not None and (target / MANIFEST).is_file() and sha256_of(target / MANIFEST) == known["sha256"]


def _begin(job: Job, target: Path, overwrite: bool, journal: Journal) -> Stage:
    """Begin an ingest or take up one that was begun with the very same inputs and settings.

    Inputs of which that is not sure are read again.
    """
    staging, origin = Path(job.folder), Origin.of(job)
    if BEGUN not in journal.entries:
        _begin_anew(staging, target, overwrite, journal, origin)
    entry = journal.entries[BEGUN]
    begun, folder = Origin.from_json(entry), entry["folder"]
    origin.check(begun, staging)
    check_place(target, overwrite)
    if PLACED not in journal.entries and not origin.is_sure_of(begun):
        begun = replace(origin, begun=begun.begun)
        journal.clear()
        journal.add({"name": BEGUN, "folder": folder, **asdict(begun)})
    parts = staging / CATALOGUE / folder
    _take_back(journal, target, parts)
    (staging / "runs").mkdir(exist_ok=True)
    parts.mkdir(parents=True, exist_ok=True)
    return Stage(staging, target, folder, journal, begun)


def _begin_anew(staging: Path, target: Path, overwrite: bool, journal: Journal, origin: Origin) -> None:
    try:
        check_place(target, overwrite)
        _empty(staging)
        taken = os.listdir(target) if target.exists() else []
        folder = next(name for name in _PARTS if name not in taken)
        journal.add({"name": BEGUN, "folder": folder, **asdict(origin)})
    except (GalvizError, OSError):
        _discard(staging)
        raise


def _take_back(journal: Journal, target: Path, parts: Path) -> None:
    """Fetch parts that were moved to the old catalogue when the manifest was not yet there."""
    moved = target / parts.name
    if PLACED in journal.entries and moved.is_dir() and not parts.exists():
        old = open_catalogue(target).manifest
        if not any(Path(part.path).parts[0] == parts.name for group in old.groups for part in group.parts):
            os.replace(moved, parts)


def _empty(staging: Path) -> None:
    """Remove everything but the lock and the journal."""
    for path in staging.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in ("lock", JOURNAL):
            path.unlink()


def _tidy(journal: Journal, target: Path) -> None:
    """Remove what the old catalogue consisted of, and nothing that others put there."""
    for name in journal.entries[PLACED]["replaced"]:
        shutil.rmtree(target / name, ignore_errors=True)


def _sweep(staging: Path) -> None:
    """Remove what is left of folders whose removal was interrupted."""
    for path in staging.parent.iterdir():
        if re.fullmatch(re.escape(staging.name) + r"\.[0-9a-f]{32}", path.name):
            shutil.rmtree(path, ignore_errors=True)


def _give_up(staging: Path) -> None:
    """Remove the staging folder so that from the first moment nothing in it is of use."""
    (staging / JOURNAL).unlink(missing_ok=True)
    _discard(staging)


def _discard(staging: Path) -> None:
    """Remove the staging folder, what is large first; then under another name, so that it is whole or gone."""
    _empty(staging)
    discard(staging)
