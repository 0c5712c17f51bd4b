"""Room on the disk, in words."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from galviz.errors import GalvizError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def room(path: Path, needed: int) -> Iterator[None]:
    """Turn a disk that gets full in the block into one sentence; `needed` is an estimate in bytes.

    Raises GalvizError. What is free is looked up after the block has cleaned up behind itself.
    """
    try:
        yield
    except (OSError, GalvizError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if not (isinstance(cause, OSError) and cause.errno in _FULL):
            raise
        place = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        raise GalvizError(
            f"The disk is full: {path} needs about {size_in_words(needed)} and {size_in_words(free_at(place))} are "
            "free there; nothing was changed; make room or choose another place."
        ) from error


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
