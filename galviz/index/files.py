"""Arrays in files: written so that a full disk is an error, mapped so that damage is one."""

from __future__ import annotations

import io
import mmap
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.format import dtype_to_descr, write_array_header_1_0
from numpy.typing import DTypeLike, NDArray

from galviz.index.loops import checksum_words

_SEED = 0xCBF29CE484222325
_PIECE = 8 << 20
_HEADER = re.compile(
    r"\{'descr': ('(?P<simple>[^']+)'|\[(?P<fields>.*)\]), 'fortran_order': False, 'shape': \((?P<shape>[0-9, ]*)\), \}"
)
_FIELD = re.compile(r"\('([^']+)', '([^']+)'\)")


def header(dtype: DTypeLike, shape: tuple[int, ...]) -> bytes:
    """What a .npy file of that type and shape starts with."""
    start = io.BytesIO()
    write_array_header_1_0(start, {"descr": dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape})
    return start.getvalue()


@contextmanager
def finished(path: Path) -> Iterator[BinaryIO]:
    """A new file that gets its name when the block is done, so that a file that exists is whole."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save(path: Path, array: NDArray[Any]) -> None:
    """Write a .npy file; plain writes name the error of a full disk, where `numpy.save` only says that it failed."""
    with finished(path) as file:
        file.write(header(array.dtype, array.shape))
        file.write(np.ascontiguousarray(array).data)


def reserve(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> None:
    """Make a .npy file whose values are written later, in any order; one that is there already stays."""
    if not path.exists():
        start = header(dtype, shape)
        with finished(path) as file:
            file.write(start)
            file.truncate(len(start) + np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64)))


def write_into(path: Path, start: int, values: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Write `values` at place `start` of the one-dimensional array of `shape` in a .npy file."""
    with path.open("r+b") as file:
        file.seek(len(header(values.dtype, shape)) + start * values.itemsize)
        file.write(np.ascontiguousarray(values).data)


def load(path: Path) -> NDArray[Any]:
    """A file that `save` or `reserve` made, mapped read-only.

    `numpy.load` would parse the header as Python, which in several threads at once fails now and then.
    """
    raw = raw_bytes(path)
    start = 10 + int.from_bytes(raw[8:10].tobytes(), "little")
    found = _HEADER.match(raw[10:start].tobytes().decode("latin1"))
    if not found:
        raise ValueError(f"{path.name} has no header")
    dtype = np.dtype(found["simple"] or _FIELD.findall(found["fields"]))
    shape = tuple(int(size) for size in found["shape"].split(",") if size.strip())
    return raw[start:].view(dtype).reshape(shape)


@dataclass(frozen=True)
class Facts:
    """What is known of an array file: enough to refuse any other."""

    dtype: str
    shape: tuple[int, ...]
    checksum: str

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Facts:
        return cls(raw["dtype"], tuple(raw["shape"]), raw["checksum"])

    @property
    def start(self) -> bytes:
        return header(self.dtype, self.shape)

    @property
    def nbytes(self) -> int:
        """Size of the file."""
        return len(self.start) + np.dtype(self.dtype).itemsize * int(np.prod(self.shape, dtype=np.int64))


def raw_bytes(path: Path) -> NDArray[np.uint8]:
    """A file mapped read-only, as a plain array. Raises ValueError when it is empty."""
    with path.open("rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


def checksum(raw: NDArray[np.uint8], start: int = _SEED) -> int:
    """A checksum that no flipped bit escapes; `start` is that of what comes before, a multiple of 8 bytes."""
    whole = len(raw) // 8 * 8
    return int(checksum_words(np.uint64(start), raw[:whole].view(np.uint64), raw[whole:]))


def file_checksum(path: Path) -> int:
    """The checksum of a file, read piece by piece so that it takes no memory."""
    result, buffer = _SEED, np.empty(_PIECE, np.uint8)
    with path.open("rb") as file:
        while size := file.readinto(buffer.data):
            piece = buffer[:size]
            piece.flags.writeable = False
            result = checksum(piece, result)
    return result


def facts_of(path: Path) -> Facts:
    """The facts of a finished file, which from then on are what it must be; what it holds reaches the disk."""
    array = load(path)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return Facts(str(dtype_to_descr(array.dtype)), array.shape, f"{file_checksum(path):016x}")
