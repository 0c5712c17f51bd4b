"""What of an ingest is done: a file of lines, each on the disk before the next step is taken."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galviz.disk import sync_folder
from galviz.errors import GalvizError, IngestError
from galviz.ingest.job import Job
from galviz.manifest import stamp

FORMAT = 1  # of what lies in the staging folder
FACTS = {"size": "size", "mtime": "time of change", "ends": "content"}  # of an input that may not change
_ENDS = 1 << 16  # bytes at each end of a file that are compared
_TAB = b"\t"  # JSON has none in it
Entry = dict[str, Any]


class Journal:
    """The entries of a journal by name, in order; later ones of the same name count.

    A line that was cut off when the machine stopped, or that does not agree with the checksum at its end, is dropped,
    and with it all that follows.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.entries: dict[str, Entry] = {}
        whole = 0
        for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
            entry = _entry(line)
            if entry is None:
                break
            self.entries[entry["name"]] = entry
            whole += len(line)
        if path.exists() and path.stat().st_size > whole:
            with path.open("r+b") as file:
                file.truncate(whole)
                os.fsync(file.fileno())

    def add(self, entry: Mapping[str, Any]) -> None:
        """Enter what is done, from any thread; it is on the disk when this returns. Raises OSError."""
        with self._lock:
            text = json.dumps(entry).encode()
            self._append(text + _TAB + _checksum(text) + b"\n")
            self.entries[entry["name"]] = dict(entry)

    def _append(self, line: bytes) -> None:
        new = not self._path.exists()
        with self._path.open("ab", buffering=0) as file:
            size = file.tell()
            try:
                while line:
                    line = line[file.write(line) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)
                raise
        if new:
            sync_folder(self._path.parent)

    def clear(self) -> None:
        """Forget all entries for good."""
        self._path.unlink()
        self.entries.clear()

    def forget(self, name: str) -> None:
        """Leave an entry out of account until it is made again."""
        self.entries.pop(name, None)


def _entry(line: bytes) -> Entry | None:
    text, _, checksum = line.rpartition(_TAB)
    if checksum != _checksum(text) + b"\n":
        return None
    entry: Entry = json.loads(text)
    return entry


def _checksum(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()


@dataclass(frozen=True)
class Origin:
    """What the result of an ingest follows from: the inputs, the survey and the settings; and when it was begun."""

    inputs: tuple[Mapping[str, Any], ...]
    survey: str
    description: str
    settings: Mapping[str, Any]
    begun: Mapping[str, str]

    @classmethod
    def of(cls, job: Job) -> Origin:
        """Of a job that begins now. Raises GalvizError for an input that cannot be read."""
        described = hashlib.sha256(repr(job.survey).encode()).hexdigest()
        settings = {"keep": list(job.keep), "part_rows": job.part_rows, "run_bytes": job.run_bytes, "format": FORMAT}
        inputs = tuple(facts_of_input(Path(source)) for source in job.sources)
        return cls(inputs, job.survey.name, described, settings, stamp())

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Origin:
        """What `dataclasses.asdict` and JSON made of it."""
        return cls(tuple(raw["inputs"]), raw["survey"], raw["description"], raw["settings"], raw["begun"])

    def check(self, begun: Origin, staging: Path) -> None:
        """Raise IngestError unless the ingest that was `begun` in a staging folder is this one."""
        if changed := self._changed(begun):
            raise IngestError(
                f"The unfinished ingest in {staging} {changed}; put that back to go on, or remove the folder to start "
                "over."
            )

    def is_sure_of(self, begun: Origin) -> bool:
        """Whether no input can have been changed since, not even behind an old time."""
        times = ([facts["touched"] for facts in origin.inputs] for origin in (self, begun))
        return next(times) == next(times)

    def _changed(self, begun: Origin) -> str:
        ours, theirs = ([str(facts["path"]) for facts in origin.inputs] for origin in (self, begun))
        if ours != theirs:
            return f"reads {', '.join(theirs)}, not {', '.join(ours)}"
        for now, before in zip(self.inputs, begun.inputs, strict=True):
            for fact, words in FACTS.items():
                if now[fact] != before[fact]:
                    return f"read {now['path']} when its {words} was another"
        if self.survey != begun.survey:
            return f"is of the survey {begun.survey}, not {self.survey}"
        if self.description != begun.description:
            return f"took the survey {self.survey} when it was described otherwise"
        if self.settings["keep"] != begun.settings["keep"]:
            return f"keeps {', '.join(begun.settings['keep']) or 'no further column'}"
        if self.begun["software"] != begun.begun["software"] or self.settings != begun.settings:
            return f"is of {begun.begun['software']} with other settings than {self.begun['software']}"
        return ""


def facts_of_input(path: Path) -> dict[str, Any]:
    """What tells whether an input has changed: path, size, time of change, and a checksum of its ends.

    A file that was changed in its middle and given its old time again can be told by `touched` alone, the time when
    anything about it changed, its name and its rights included. Raises GalvizError.
    """
    try:
        return _facts(path)
    except OSError as error:
        raise GalvizError(
            f"Cannot read {error.filename or path}: {error.strerror}; what is done is kept: mend it and run the same "
            "command again."
        ) from error


def _facts(path: Path) -> dict[str, Any]:
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    digest, size, changed, touched = hashlib.sha256(), 0, 0, 0
    for file in files:
        state = file.stat()
        size, changed = size + state.st_size, max(changed, state.st_mtime_ns)
        touched = max(touched, state.st_ctime_ns)
        digest.update(f"{file.relative_to(path)}:{state.st_size};".encode())
        with file.open("rb") as opened:
            digest.update(opened.read(_ENDS))
            opened.seek(max(0, state.st_size - _ENDS))
            digest.update(opened.read(_ENDS))
    return {
        "path": os.path.abspath(path), "size": size, "mtime": changed, "ends": digest.hexdigest(), "touched": touched,
    }  # fmt: skip
