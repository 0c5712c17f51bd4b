"""The passes of an ingest, one after the other, each unit entered in the journal when it is done."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.disk import sha256_of
from galviz.errors import IngestError
from galviz.healpix import ORDER
from galviz.ingest.duplicates import LOSERS, find_losers, load_losers, save_losers
from galviz.ingest.job import THREADS, Job, columns, new_ledger, plans, position
from galviz.ingest.journal import FACTS, facts_of_input
from galviz.ingest.ledger import Ledger
from galviz.ingest.parts import cut, make_part
from galviz.ingest.runs import Facts, Stretch, stretches, write_runs, write_stretch
from galviz.ingest.staging import Stage
from galviz.manifest import Group, Manifest, Part, new_manifest
from galviz.progress import Progress
from galviz.surveys.toml import survey_text
from galviz.work import mapped

_READ, _RESOLVED = 0.65, 0.7  # of the time is over when all is read, and when duplicates are found; measured
_PART = "part-"
SURVEY_TEXT = "survey text"  # the key of the TOML of the survey in the provenance


def make_catalogue(job: Job, stage: Stage, progress: Progress, client: Any = None) -> None:
    """Do what is left of a job and put the catalogue into its place.

    Raises IngestError for input that cannot be read, CatalogueError and OSError for what cannot be written.
    """
    _Work(job, stage, progress, client).run()


class _Work:
    """The passes and how far they are."""

    def __init__(self, job: Job, stage: Stage, progress: Progress, client: Any) -> None:
        self._job, self._stage, self._progress, self._client = job, stage, progress, client
        self._journal = stage.journal
        self._ledger = new_ledger(job)
        self._shares: dict[Stretch, float] = {}
        self._over = 0.0  # of the input is read

    def run(self) -> None:
        self._check_files()
        runs = self._read()
        losers = self._resolve(runs)
        if self._ledger.kept == 0:
            raise IngestError(_nothing_left(self._job, self._ledger))
        self._stage.place(self._manifest(self._merge(runs, losers)))
        self._tell(1.0)

    def _tell(self, fraction: float) -> None:
        self._progress(fraction, f"{self._ledger.read:,} rows read, {self._ledger.kept:,} kept")

    def _check_files(self) -> None:
        """Forget entries whose file is not what was written, and remove files that no entry knows."""
        entries = {name: entry for name, entry in self._journal.entries.items() if self._file(name) is not None}
        with closing(mapped(lambda name: _is_whole(self._file(name), entries[name]["sha256"]), entries)) as results:
            for number, (name, whole) in enumerate(results, start=1):
                self._progress(0.0, f"{number:,} of {len(entries):,} files checked")
                if not whole:
                    self._journal.forget(name)
        known = {self._file(name) for name in self._journal.entries}
        for folder in (self._job.at("runs"), self._stage.parts, self._stage.parts.parent):
            for path in folder.iterdir():
                if path not in known and path.is_file():
                    path.unlink()

    def _file(self, name: str) -> Path | None:
        """The file that an entry of the journal is about."""
        if name == LOSERS:
            return self._job.at(LOSERS)
        if name.startswith(_PART):
            return self._stage.parts / f"{name}.parquet"
        return self._job.run(name) if name[0].isdigit() else None

    # First pass

    def _read(self) -> list[Facts]:
        """Make the runs that are not there yet, and return all of them in order."""
        known = {stretch: self._known(stretch) for stretch in stretches(self._job)}
        self._shares = _shares(self._job, self._stage, list(known))
        todo = []
        for stretch, runs in known.items():
            for run in runs:
                self._count(stretch, run)
            if not (runs and runs[-1]["last"]):
                todo.append(dataclasses.replace(stretch, done=len(runs)))
        self._write(todo)
        self._check_inputs()
        runs = [run for stretch in known for run in self._known(stretch)]
        self._ledger = new_ledger(self._job)  # again, in the order of the input
        for run in runs:
            self._ledger.add(run["counts"])
        return [run for run in runs if run["rows"]]

    def _write(self, todo: Sequence[Stretch]) -> None:
        """Write the runs of stretches, at once but for files that can only be read as a whole.

        A worker of a cluster takes such a file too, and tells of its runs when it has read all of it; one that is
        alone is read here, run by run, and so is one that fills the memory.
        """
        tables = [plans(self._job)[stretch.file].table for stretch in todo]
        handed_out = self._client is not None and len(todo) > 1
        apart = [
            stretch
            for stretch, table in zip(todo, tables, strict=True)
            if table.stretch or (handed_out and not table.in_memory)
        ]
        for stretch in todo:
            if stretch not in apart:
                for run in write_runs(self._job, stretch):
                    self._journal.add(run)
                    self._count(stretch, run)
        work = self._write_stretch if self._client is None else partial(write_stretch, self._job)
        with closing(mapped(work, apart, self._client, most=THREADS)) as results:
            for stretch, runs in results:
                for run in runs:
                    if self._client is not None:
                        self._journal.add(run)
                    self._count(stretch, run)

    def _known(self, stretch: Stretch) -> list[Facts]:
        """The first runs of a stretch, as far as the journal knows them without a gap."""
        runs: list[Facts] = []
        while (run := self._journal.entries.get(stretch.run(len(runs)))) and not (runs and runs[-1]["last"]):
            runs.append(run)
        return runs

    def _write_stretch(self, stretch: Stretch) -> list[Facts]:
        """Write the runs of a stretch on a thread of this machine, each entered at once."""
        runs = []
        for run in write_runs(self._job, stretch):
            self._journal.add(run)
            runs.append(run)
        return runs

    def _count(self, stretch: Stretch, run: Facts) -> None:
        key = dataclasses.replace(stretch, done=0)
        self._over += self._shares[key] * run["share"]
        self._ledger.add(run["counts"])
        self._tell(_READ * self._over)

    def _check_inputs(self) -> None:
        """Raise IngestError when a file has changed while it was read."""
        for facts in self._stage.origin.inputs:
            now = facts_of_input(Path(facts["path"]))
            if any(now[fact] != facts[fact] for fact in FACTS):
                raise IngestError(f"{facts['path']} was changed while it was read; run the command again.")

    # Second pass

    def _resolve(self, runs: Sequence[Facts]) -> NDArray[np.int64]:
        if not self._ledger.identity or not runs:
            return np.empty((0, 2), np.int64)
        if LOSERS not in self._journal.entries:
            losers = find_losers(
                self._job, runs, lambda done: self._tell(_READ + (_RESOLVED - _READ) * done), self._client
            )
            self._journal.add(save_losers(self._job, losers))
        found = self._journal.entries[LOSERS]
        self._ledger.resolve(found["dropped"], found["fallen"], found["shared"], found["most"])
        return load_losers(self._job)

    # Third pass

    def _merge(self, runs: Sequence[Facts], losers: NDArray[np.int64]) -> tuple[Part, ...]:
        slices = cut(self._job, runs, losers, self._ledger.kept, self._stage.folder)
        names = [f"{_PART}{entry.number:05d}" for entry in slices]
        todo = [entry for entry, name in zip(slices, names, strict=True) if name not in self._journal.entries]
        done = len(slices) - len(todo)
        with closing(mapped(partial(make_part, self._job), todo, self._client, most=THREADS)) as results:
            for _, facts in results:
                self._journal.add(facts)
                done += 1
                self._tell(_RESOLVED + (1 - _RESOLVED) * done / len(slices))
        parts = [self._journal.entries[name] for name in names]
        return tuple(Part(part["path"], part["rows"], part["sha256"]) for part in parts)

    def _manifest(self, parts: tuple[Part, ...]) -> Manifest:
        job, begun = self._job, self._stage.origin.begun
        known, made = columns(job), plans(job)
        simulated = any(plan.table.simulated for plan in made)
        survey = job.survey
        manifest = new_manifest(
            self._stage.target.name,
            survey.name,
            {},
            title=f"{survey.title}, simulated" if simulated else survey.title,
            simulated=simulated,
            doi=survey.doi,
            **survey.manifest_fields(known),
        )
        group = Group("base", known, parts, {**self._provenance(), **begun})
        return dataclasses.replace(manifest, created=begun["date"], groups=(group,))

    def _provenance(self) -> dict[str, Any]:
        """What was done, for the manifest: files, columns, steps, order, and what was left out."""
        made, place = plans(self._job), position(self._job)
        inputs = self._stage.origin.inputs
        return {
            "files": [_file(facts, plan.table.warning) for facts, plan in zip(inputs, made, strict=True)],
            "survey": self._job.survey.name,
            SURVEY_TEXT: survey_text(self._job.survey),
            "keep": list(self._job.keep),
            **self._ledger.entries(),
            "columns": list(_columns(self._job, self._ledger)),
            "ignored": {name: reason for plan in made for name, reason in plan.ignored.items()},
            "sorted by": {"scheme": "HEALPix, nested", "order": ORDER, "columns": list(place)} if place else {},
        }


def _shares(job: Job, stage: Stage, known: Sequence[Stretch]) -> dict[Stretch, float]:
    """The share of the input that each stretch is."""
    inputs = zip(stage.origin.inputs, plans(job), strict=True)
    sizes = [max(1, facts["size"]) / plan.table.stretches for facts, plan in inputs]
    total = sum(sizes[stretch.file] for stretch in known)
    return {stretch: sizes[stretch.file] / total for stretch in known}


def _is_whole(path: Path | None, digest: str) -> bool:
    return path is not None and path.is_file() and sha256_of(path) == digest


def _nothing_left(job: Job, ledger: Ledger) -> str:
    names = ", ".join(job.sources)
    if ledger.read == 0:
        return f"{names} has column names but no row; there is nothing to ingest."
    worst = max(ledger.entries()["steps"], key=lambda step: step["dropped"])
    return (
        f"None of the {ledger.read:,} rows of {names} is left after cleaning; most fell at {worst['kept where']!r} "
        f"({worst['reason']}); check the survey."
    )


def _file(facts: Mapping[str, Any], warning: str) -> dict[str, Any]:
    return {"name": Path(facts["path"]).name, "bytes": facts["size"], **({"warning": warning} if warning else {})}


def _columns(job: Job, ledger: Ledger) -> Iterator[dict[str, Any]]:
    first = plans(job)[0]
    for source in first.sources:
        name = source.column.name
        reasons = {reason: number for (column, reason), number in sorted(ledger.reasons.items()) if column == name}
        yield {
            "name": name,
            "read as": first.spellings.get(name, f"made: {' '.join(source.made)}"),
            "unit": source.column.unit,
            "note": "; ".join(dict.fromkeys(filter(None, (plan.notes.get(name) for plan in plans(job))))),
            "sentinels to null": ledger.sentinels[name],
            **({"nulled": reasons} if reasons else {}),
            "missing": ledger.missing[name],
        }
