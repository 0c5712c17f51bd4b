"""Files as streams of bytes, unpacked on the way where they are gzip, never as a whole in memory."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from galviz.errors import IngestError
from galviz.foreign import first_line

GZIP = b"\x1f\x8b"
HEAD = 1 << 16
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Stream:
    """An open file: `file` after unpacking, and how far it is read."""

    file: BinaryIO
    raw: BinaryIO
    size: int  # in bytes on disk

    @property
    def fraction(self) -> float:
        """The fraction of the file that was read."""
        return min(self.raw.tell() / max(self.size, 1), 1.0)


@contextmanager
def opened(path: Path) -> Iterator[Stream]:
    """Open a file, plain or gzip; raises IngestError where the packing is damaged, and OSError with the path."""
    with path.open("rb") as raw:
        damages: tuple[type[Exception], ...] = ()
        try:
            size, file = path.stat().st_size, cast(BinaryIO, raw)
            if is_packed(path):
                damages = (gzip.BadGzipFile, EOFError, zlib.error)
                file = cast(BinaryIO, gzip.GzipFile(fileobj=raw, mode="rb"))
            yield Stream(file, raw, size)
        except damages as error:
            raise IngestError(f"Cannot unpack {path}: {first_line(error)}; fetch or pack it again.") from error
        except OSError as error:
            error.filename = error.filename or str(path)
            raise


def is_packed(path: Path) -> bool:
    """Whether a file is gzip."""
    with path.open("rb") as raw:
        return raw.read(len(GZIP)) == GZIP


def skip(stream: Stream, size: int) -> int:
    """Go on over `size` bytes and return how many there were."""
    if stream.file is stream.raw:
        before = stream.raw.tell()
        return stream.raw.seek(min(before + size, stream.size)) - before
    left = size
    while left and (block := stream.file.read(min(left, _BLOCK))):
        left -= len(block)
    return size - left
