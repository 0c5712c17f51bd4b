"""A disk that fails at the n-th write, sync or rename, and catalogues as bytes."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock


class Disk:
    """Counts writes, syncs and renames, and lets the one of number `fails` fail, a write after half of its bytes."""

    def __init__(self, fails: int = 0, error: int = errno.EIO) -> None:
        self.fails, self.error, self.done = fails, error, 0

    def step(self) -> bool:
        """Whether this step fails."""
        self.done += 1
        return self.done == self.fails

    def failure(self, path: Any = None) -> OSError:
        return OSError(self.error, os.strerror(self.error), path)


@contextmanager
def failing(disk: Disk) -> Iterator[Disk]:
    """All that is written in bytes, synced or renamed goes to `disk`."""
    opened, sync, replace = io.open, os.fsync, os.replace

    class File(io.FileIO):
        def write(self, data: Any) -> int:
            if disk.step():
                super().write(bytes(data)[: len(data) // 2])
                raise disk.failure(self.name)
            return super().write(data)

    def open_file(path: Any, mode: str = "r", buffering: int = -1, *rest: Any, **options: Any) -> Any:
        if "b" not in mode or not set(mode) & {"w", "a", "+"}:
            return opened(path, mode, buffering, *rest, **options)
        file = File(path, mode.replace("b", ""))
        return file if buffering == 0 else io.BufferedWriter(file, buffering)

    def fsync(file: int) -> None:
        if disk.step():
            raise disk.failure()
        sync(file)

    def rename(old: Any, new: Any) -> None:
        if disk.step():
            raise disk.failure(old)
        replace(old, new)

    with mock.patch("io.open", open_file), mock.patch("os.fsync", fsync), mock.patch("os.replace", rename):
        yield disk


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all files of a folder by their names in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
