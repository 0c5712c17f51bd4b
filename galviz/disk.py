"""The disk: files that are whole or not there, folders that one process holds, and room, in words."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from galviz.errors import GalvizError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)  # what file systems say that cannot lock files
_PIECE = 1 << 20
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of <fcntl.h> and <linux/fs.h>


class Sink:
    """A file that is being written, as other libraries like it, with the SHA-256 of what was written."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest = file, hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Of all that was written so far, in hexadecimal digits."""
        return self._digest.hexdigest()

    def write(self, data: bytes | memoryview) -> int:
        """Write all of `data` and return its number of bytes."""
        left = memoryview(data)
        size = left.nbytes
        if size:
            left = left.cast("B")
            self._digest.update(left)
            self._file.write(left)
        self.size += size
        return size

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        """Whoever opened the file flushes it."""

    def close(self) -> None:
        """Whoever opened the file closes it."""


@contextmanager
def replacing(path: Path) -> Iterator[Sink]:
    """As `whole`, with the SHA-256 of what is written."""
    with whole(path) as file:
        yield Sink(file)


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name once the block is done and its bytes are on the disk; else nothing is left of it.

    Raises OSError. A file that has replaced another one stays where only its folder cannot be synced.
    """
    temporary, replaces = path.with_name(f".{path.name}.{uuid.uuid4().hex}"), path.exists()
    try:
        with temporary.open("wb", buffering=_PIECE) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    try:
        sync_folder(path.parent)
    except OSError:
        if not replaces:
            path.unlink(missing_ok=True)
        raise


def sync_folder(path: Path) -> None:
    """Have the names in a folder reach the disk, where the system can."""
    if sys.platform == "win32":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def unnamed(folder: Path, dtype: np.dtype[Any], size: int) -> NDArray[Any]:
    """An array in a file without a name in `folder`, mapped; the file is gone when nobody uses the array any more.

    Raises OSError, also when there is no room: writing on a mapped file where there is none would end the process.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size * dtype.itemsize)
        else:
            for _ in range(0, size * dtype.itemsize, _PIECE):
                file.write(bytes(_PIECE))
            file.flush()
        return np.memmap(file, dtype, "r+", shape=(size,))


def discard(folder: Path) -> None:
    """Remove a folder so that from the first moment nobody sees it half removed. Raises OSError."""
    trash = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}")
    os.replace(folder, trash)
    shutil.rmtree(trash, ignore_errors=True)


def put(folder: Path, target: Path) -> None:
    """Give a folder its name; what had that name before is removed once the folder is there.

    There is the old one or the new one at every moment, where the system can exchange names in one step; elsewhere
    there is neither for the time of a rename. Raises OSError, and the old one stays.
    """
    if not target.exists():
        os.replace(folder, target)
    elif _exchanged(folder, target):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        old = folder.with_name(f"{folder.name}.old")
        os.replace(target, old)
        try:
            os.replace(folder, target)
        except BaseException:
            os.replace(old, target)
            raise
        shutil.rmtree(old, ignore_errors=True)
    sync_folder(target.parent)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two names, as only Linux can; whether that was done."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    paths = _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other)
    return rename is not None and rename(*paths, _RENAME_EXCHANGE) == 0


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, read piece by piece, in hexadecimal digits. Raises OSError."""
    digest, buffer = hashlib.sha256(), bytearray(_PIECE)
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            digest.update(memoryview(buffer)[:size])
    return digest.hexdigest()


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold a folder, which then is there, while the block runs; False when another process does.

    Raises OSError. On a file system that cannot lock files nobody is kept out.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("a") as lock:
            if not _locked(lock.fileno()):
                yield False
                return
            if not _is_at(lock.fileno(), folder / "lock"):
                continue  # whoever held it has just moved it away
            yield True
            return


def _locked(file: int) -> bool:
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def room(path: Path, needed: int, left: str = "nothing was changed") -> Iterator[None]:
    """Turn a disk that gets full in the block into one sentence; `needed` is an estimate in bytes.

    `left` says what became of the work. Raises GalvizError. What is free is looked up after the block has cleaned up
    behind itself.
    """
    try:
        yield
    except (OSError, GalvizError) as error:
        if not is_full(error):
            raise
        place = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        raise GalvizError(
            f"The disk is full: {path} needs about {size_in_words(needed)} and {size_in_words(free_at(place))} are "
            f"free there; {left}; make room or choose another place."
        ) from error


def take_room(folder: Path, least: int) -> None:
    """Raise OSError, that the disk is full, unless `least` bytes fit there, those that lie in `folder` included."""
    there = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if least > free_at(folder) + there:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def is_full(error: BaseException) -> bool:
    """Whether an error says that a disk is full, or was raised because one is."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in FULL


def free_at(path: Path) -> int:
    """Bytes that can be written at `path`."""
    return shutil.disk_usage(path).free


def size_in_words(size: float) -> str:
    """A number of bytes as a reader likes it."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
