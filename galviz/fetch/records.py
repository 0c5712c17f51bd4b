"""Records of Zenodo: which files the latest version of a publication has, how large they are, and their checksums.

What a record says is not trusted: every field that is used is looked at, and one that is missing or odd is an error
of one sentence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from galviz.errors import FetchError
from galviz.fetch.web import Patience, Say, Setback

_DOI = re.compile(r"10\.5281/zenodo\.([0-9]{1,12})")
_MD5 = re.compile(r"(?:md5:)?([0-9a-f]{32})")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+ -]{0,199}")
_LARGEST = 8 << 20  # bytes of a record
_MOST_BYTES = 1 << 63  # of a file
_SHOWN = 10  # files that a sentence names


@dataclass(frozen=True)
class RemoteFile:
    """A file of a record: its name, which is no path, its address, its size in bytes and its MD5 in hexadecimal."""

    name: str
    url: str
    size: int
    md5: str


@dataclass(frozen=True)
class Record:
    """One version of a publication; `files` are as the archive describes them, by name."""

    doi: str
    files: Mapping[str, Mapping[str, Any]]

    def file(self, spellings: Sequence[str]) -> RemoteFile:
        """The first file of the record that has one of these names; raises FetchError when there is none."""
        for name in spellings:
            if name in self.files:
                return self._described(name)
        known = ", ".join(repr(name[:80]) for name in list(self.files)[:_SHOWN]) or "none"
        raise FetchError(
            f"The record {self.doi} has no file {' or '.join(spellings)}, its files are {known}; "
            "say which to take with --file."
        )

    def _described(self, name: str) -> RemoteFile:
        if not _NAME.fullmatch(name) or PurePosixPath(name).name != name:
            raise FetchError(
                f"The record {self.doi} has a file {name[:80]!r}, which is no plain name; fetch it by hand."
            )
        entry = self.files[name]
        size, checksum, links = entry.get("size"), entry.get("checksum"), entry.get("links")
        md5 = _MD5.fullmatch(checksum.lower()) if isinstance(checksum, str) else None
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < _MOST_BYTES:
            raise self._odd(name, "size", size)
        if md5 is None:
            raise self._odd(name, "MD5 checksum", checksum)
        # Zenodo has had the content under each of these; where there is a better one, `self` only describes the file.
        known = links if isinstance(links, dict) else {}
        url = next((known[key] for key in ("content", "download", "self") if key in known), None)
        if not isinstance(url, str):
            raise self._odd(name, "link", links)
        return RemoteFile(name, url, size, md5[1])

    def _odd(self, name: str, what: str, value: object) -> FetchError:
        return FetchError(
            f"The record {self.doi} gives {name} no {what} that can be used ({str(value)[:80]!r}); fetch it by hand."
        )


def latest_record(patience: Patience, doi: str, say: Say) -> Record:
    """The latest version of a publication, of whichever version, or of all together, the DOI is.

    `say` hears what is waited for. Raises FetchError when it cannot be had or cannot be understood.
    """
    number = _DOI.fullmatch(doi)
    if number is None:
        raise FetchError(f"{doi!r} is not a DOI of Zenodo, such as 10.5281/zenodo.3459293.")
    patience.turn_to(f"record {doi}", say)
    say(f"looking up {doi}")
    found = _read(patience, f"{patience.web.root}/api/records/{number[1]}")
    if number[1] not in (_text(found.get("id")), _concept(found)):
        raise FetchError(f"The archive gives another record in place of {doi}; look at it with a browser.")
    links = found.get("links")
    newest = links.get("latest") if isinstance(links, dict) else None
    if isinstance(newest, str):
        concept, found = _concept(found), _read(patience, newest)
        if _concept(found) != concept:
            raise FetchError(f"The archive has another record as the latest version of {doi}; look with a browser.")
    return _record(found, doi)


def _record(raw: Mapping[str, Any], asked: str) -> Record:
    entries = raw.get("files")
    if isinstance(entries, dict) and isinstance(entries.get("entries"), dict):  # as InvenioRDM writes it
        entries = list(entries["entries"].values())
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise FetchError(f"The record {asked} lists no files; fetch them by hand.")
    files: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        name = entry.get("key", entry.get("filename"))
        if not isinstance(name, str):
            raise FetchError(f"The record {asked} has a file without a name; fetch its files by hand.")
        if name in files:
            raise FetchError(f"The record {asked} has two files {name[:80]!r}; fetch them by hand.")
        files[name] = entry
    doi = _text(raw.get("doi"))
    return Record(doi if _DOI.fullmatch(doi) else asked, files)


def _concept(raw: Mapping[str, Any]) -> str:
    """The number of all versions of a record together."""
    parent = raw.get("parent")
    return _text(raw.get("conceptrecid", parent.get("id") if isinstance(parent, dict) else None))


def _text(value: object) -> str:
    return str(value) if isinstance(value, int | str) else ""


def _read(patience: Patience, url: str) -> dict[str, Any]:
    """The JSON object at an address of the archive."""
    while True:
        patience.ready()
        try:
            with patience.web.get(url, {"Accept": "application/json"}) as response:
                patience.heed(response)
                content = b"".join(patience.web.body(response, _LARGEST + 1))
            break
        except Setback as setback:
            patience.after(setback)
    try:
        found = json.loads(content) if len(content) <= _LARGEST else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise FetchError(f"The archive does not describe the {patience.what} as it should; look at {url} in a browser.")
    return found
