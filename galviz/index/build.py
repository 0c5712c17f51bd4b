"""A build of an index: passes over the rows in units that each leave a file when they are done.

A build that was interrupted goes on where it stopped. The old index works until the new one is in place.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from galviz.catalogue import MANIFEST, Catalogue, cannot_write
from galviz.disk import FULL, discard, held
from galviz.errors import CatalogueError
from galviz.index import layout as sizes
from galviz.index import planes, runs, samples, scan, sealing, settle
from galviz.index.files import finished
from galviz.index.job import FINAL, FOLDERS, Job, Plan
from galviz.index.layout import Layout
from galviz.index.store import FORMAT, plane_file, seal
from galviz.work import mapped

Item = TypeVar("Item")

_STAGING = ".partial"
_MOST_ROWS = 4_000_000_000  # places, with padding, are numbers of 32 bits


def write_index(catalogue: Catalogue, folder: Path, progress: Callable[[int], None], client: Any) -> None:
    """Make the index of `catalogue` in `folder`, in place of whatever index there is.

    Raises CatalogueError when a part is damaged, the disk is full or another build is running.
    """
    if catalogue.rows > _MOST_ROWS:
        raise CatalogueError(f"{catalogue.path} has {catalogue.rows:,} sources; an index holds {_MOST_ROWS:,} at most.")
    catalogue.check_writable()
    staging = folder.parent / _STAGING
    _refuse_what_others_wrote(catalogue, staging)
    try:
        with _alone(staging, catalogue):
            with _cleared_when_full(staging):
                job = _prepared(catalogue, staging)
                _Build(job, catalogue, progress, client).run()
            catalogue.keep_manifest()
            _move_in(job.at(FINAL), folder)
            for other in folder.parent.iterdir():
                if other not in (folder, staging):
                    shutil.rmtree(other, ignore_errors=True)
            discard(staging)
    except OSError as error:
        raise cannot_write(folder, error) from error


def _refuse_what_others_wrote(catalogue: Catalogue, staging: Path) -> None:
    """Raise CatalogueError where the place of the index was taken before galviz wrote anything into the folder."""
    if not catalogue.is_in_place or (catalogue.path / MANIFEST).exists():
        return
    if staging.parent.exists() and any(entry != staging for entry in staging.parent.iterdir()):
        raise CatalogueError(f"{staging.parent} holds what galviz did not write; move it elsewhere to make an index.")


@contextmanager
def _alone(staging: Path, catalogue: Catalogue) -> Iterator[None]:
    """Hold the staging folder, which then is there; raises CatalogueError when another build does."""
    with held(staging) as alone:
        if not alone:
            raise CatalogueError(f"Another build of the index of {catalogue.path} is running; wait until it is done.")
        yield


def _prepared(catalogue: Catalogue, staging: Path) -> Job:
    """The job in its staging folder; what is left of other builds, and of before the machine started, goes."""
    key = _key(catalogue)
    for other in staging.iterdir():
        if other.is_dir() and other.name != key:
            shutil.rmtree(other, ignore_errors=True)
    job = Job(str(catalogue.path), str(staging / key), catalogue.digest, uuid.uuid4().hex)
    if not job.at(FINAL).is_dir():
        shutil.rmtree(job.folder, ignore_errors=True)  # of a build that was killed when all but this was done
    job.at(FINAL, "columns").mkdir(parents=True, exist_ok=True)
    for name in FOLDERS:
        job.at(name).mkdir(exist_ok=True)
    for number in range(len(sizes.usual_planes(catalogue.manifest))):
        for name in ("columns", "zones", "sample"):
            job.at(FINAL, f"plane-{number}", name).mkdir(parents=True, exist_ok=True)
    with finished(job.at("manifest.json")) as file:
        file.write(catalogue.manifest.to_json().encode())
    return job


def _key(catalogue: Catalogue) -> str:
    """A name for all that the files of a build follow from.

    What was written before the machine went down may not have reached the disk, so a boot is part of it.
    """
    boot = Path("/proc/sys/kernel/random/boot_id")
    constants = {name: value for name, value in vars(sizes).items() if name.isupper()}
    facts = (FORMAT, catalogue.digest, constants, boot.read_text() if boot.is_file() else "")
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


@contextmanager
def _cleared_when_full(staging: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            discard(staging)
        raise


def _move_in(new: Path, folder: Path) -> None:
    old = folder.with_name(f"{_STAGING}.{uuid.uuid4().hex}")
    if folder.exists():
        os.replace(folder, old)
    os.replace(new, folder)


class _Build:
    """The passes, one after the other."""

    def __init__(self, job: Job, catalogue: Catalogue, progress: Callable[[int], None], client: Any) -> None:
        self._job, self._catalogue, self._client = job, catalogue, client
        self._report = progress
        self._told, self._before = 0, 0.0

    def run(self) -> None:
        job, parts = self._job, range(self._catalogue.parts)
        number = len(sizes.usual_planes(self._catalogue.manifest))
        # Shares of the time, measured.
        self._pass(0.15, scan.scan_part, parts, lambda part: job.at("scan", f"{part:05d}.json"))
        plan = scan.decide(job)
        with finished(job.at("plan.json")) as file:
            file.write(plan.to_json().encode())
        self._pass(0.3, runs.sort_part, parts, lambda part: job.at("tallies", f"{part:05d}.npy"))
        layout = settle.settle(job)
        self._merge(plan)
        self._pass(0.05, planes.link_plane, range(1, number), lambda plane: job.final(plane_file(plane, "home")))
        self._copy(layout, parts)
        files = settle.array_files(self._catalogue, layout)
        self._pass(0.1, sealing.seal_file, files, lambda name: sealing.sealed_path(job, name))
        facts = {file: known for name in files for file, known in sealing.sealed(job, name).items()}
        seal(job.at(FINAL), self._catalogue.digest, layout, facts)
        self._tell(1.0)

    def _merge(self, plan: Plan) -> None:
        job = self._job
        chunks = [(number, chunk) for number, edges in enumerate(plan.chunks) for chunk in range(len(edges) - 1)]
        self._pass(0.2, planes.merge_chunk, chunks, lambda item: job.at("merged", f"{item[0]}-{item[1]:05d}"))
        for run in job.at("runs").iterdir():
            run.unlink()

    def _copy(self, layout: Layout, parts: Sequence[int]) -> None:
        job = self._job
        work = partial(samples.copy_part, loose=layout.loose)
        self._pass(0.2, work, parts, lambda part: job.at("copied", f"{part:05d}"))
        if layout.sampled:
            numbers = range(len(layout.planes))
            self._pass(0.0, samples.finish_sample, numbers, lambda number: job.final(plane_file(number, "weight")))

    def _pass(
        self, share: float, work: Callable[[Job, Item], None], items: Sequence[Item], result: Callable[[Item], Path]
    ) -> None:
        """Do what `items` ask for, but for those whose result is there; `share` of the whole progress."""
        todo = [item for item in items if not result(item).exists()]
        done = len(items) - len(todo)
        self._tell(self._before + share * done / max(1, len(items)))
        for _ in mapped(partial(work, self._job), todo, self._client):
            done += 1
            self._tell(self._before + share * done / len(items))
        self._before += share

    def _tell(self, fraction: float) -> None:
        rows = round(self._catalogue.rows * fraction)
        self._report(rows - self._told)
        self._told = rows
