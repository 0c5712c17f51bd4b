"""A file that is arriving, and what is needed to go on with it after any interruption.

While `NAME` arrives it is called `NAME.part`, with a small `NAME.part.json` beside it: what the file is to become
(size and MD5), how the archive names the version that is arriving (ETag, Last-Modified), and how many bytes have
reached the disk. Bytes after those are not trusted; the MD5 of the whole decides in the end.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from io import FileIO
from pathlib import Path
from typing import Any

from galviz.catalogue import write_text
from galviz.errors import FetchError
from galviz.fetch.records import RemoteFile

_BLOCK = 4 << 20  # bytes hashed at once


def md5_of(path: Path, tell: Callable[[int], None]) -> str:
    """The MD5 of a file in hexadecimal; `tell` hears how many bytes have been read."""
    with path.open("rb", buffering=0) as file:
        return _digest(file, tell).hexdigest()


def _digest(file: FileIO, tell: Callable[[int], None]) -> hashlib._Hash:
    digest, done = hashlib.md5(usedforsecurity=False), 0
    while block := file.read(_BLOCK):
        digest.update(block)
        done += len(block)
        tell(done)
    return digest


@dataclass(frozen=True)
class State:
    """What `NAME.part.json` holds."""

    url: str
    size: int
    md5: str
    etag: str = ""
    last_modified: str = ""
    arrived: int = 0

    @classmethod
    def of(cls, remote: RemoteFile) -> State:
        """The state of a file of which nothing has arrived."""
        return cls(remote.url, remote.size, remote.md5)


class Partial:
    """The bytes of a file that have arrived, in the folder `folder`.

    A context manager: what has arrived is on the disk and on record when the block ends, however it ends, unless
    the disk itself failed. It is put on record each time that another `every` bytes have arrived.
    """

    def __init__(self, folder: Path, remote: RemoteFile, every: int) -> None:
        self.remote, self._final = remote, folder / remote.name
        self._part, self._beside = folder / f"{remote.name}.part", folder / f"{remote.name}.part.json"
        self._every = every
        self.state = self._found()

    @property
    def size(self) -> int:
        """How many bytes have arrived."""
        return self.state.arrived

    def _found(self) -> State:
        """The state on record where it is that of the same file, else one of which nothing has arrived."""
        nothing = State.of(self.remote)
        try:
            raw: Any = json.loads(self._beside.read_bytes())
            state = State(**raw)
            there = self._part.stat().st_size
        except (FileNotFoundError, ValueError, TypeError, RecursionError):
            return nothing
        types = [str, int, str, str, str, int]
        if [type(value) for value in asdict(state).values()] != types or not 0 <= state.arrived <= there:
            return nothing
        if (state.size, state.md5) != (nothing.size, nothing.md5) or state.arrived > state.size:
            return nothing
        return state if state.url == nothing.url else replace(nothing, arrived=state.arrived)

    def __enter__(self) -> Partial:
        self._part.touch()
        self._file = self._part.open("r+b", buffering=0)
        self._file.truncate(self.size)
        self._marked = self.size
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._file.closed:
            return
        try:
            if self.size == 0:
                self.discard()
            elif not (kind and issubclass(kind, OSError)):
                self.mark()
        finally:
            self._file.close()

    @property
    def validator(self) -> str:
        """What names the version that is arriving in an If-Range header, empty where nothing can."""
        strong = self.state.etag if self.state.etag.startswith('"') else self.state.last_modified
        return strong if strong.isascii() and strong.isprintable() else ""

    def is_other(self, etag: str, last_modified: str) -> bool:
        """Whether these are names of another version than the one that is arriving."""
        if etag and self.state.etag:
            return etag != self.state.etag
        return bool(last_modified and self.state.last_modified) and last_modified != self.state.last_modified

    def read_again(self, tell: Callable[[int], None]) -> None:
        """Take the bytes that are there into the checksum; `tell` hears how many have been read."""
        self._digest = _digest(self._file, tell)

    def begin(self, etag: str, last_modified: str) -> None:
        """Put on record which version of the file is arriving, before its first byte."""
        self.state = replace(self.state, etag=etag, last_modified=last_modified)
        self.mark()

    def append(self, data: bytes) -> None:
        """Write the bytes that come next."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._digest.update(data)
        self.state = replace(self.state, arrived=self.size + len(data))
        if self.size - self._marked >= self._every:
            self.mark()

    def mark(self) -> None:
        """Put on record what has arrived, once it is on the disk."""
        os.fsync(self._file.fileno())
        write_text(self._beside, json.dumps(asdict(self.state), indent=1) + "\n")
        self._marked = self.size

    def discard(self) -> None:
        """Throw away what has arrived."""
        self._file.close()
        self._beside.unlink(missing_ok=True)
        self._part.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the whole file its name; raises FetchError, and leaves nothing, where its MD5 is another one."""
        self.mark()
        if (found := self._digest.hexdigest()) != self.remote.md5:
            self.discard()
            raise FetchError(
                f"{self.remote.name} arrived with the MD5 {found} and not {self.remote.md5}, as its record has it, and "
                "was removed; run the command again to fetch it anew."
            )
        self._file.close()
        os.replace(self._part, self._final)
        self._beside.unlink()
