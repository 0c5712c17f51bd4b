"""Rows of a VOTable: TABLEDATA, BINARY and BINARY2 as columns of NumPy."""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.errors import IngestError
from galviz.foreign import refuse_float_ids
from galviz.ingest.readers.table import NOTHING, ColumnNote, Kinds
from galviz.ingest.readers.values import refuse_numbers, text_column, with_gaps

PIECE = 16 << 20  # bytes of one element, row or array, at most
TYPES = {
    "boolean": "S1", "unsignedByte": "u1", "short": ">i2", "int": ">i4", "long": ">i8", "float": ">f4", "double": ">f8",
    "char": "S1", "unicodeChar": "S2", "floatComplex": "V8", "doubleComplex": "V16", "bit": "u1",
}  # fmt: skip
_TRUE, _FALSE = ("T", "t", "1", "true", "True", "TRUE"), ("F", "f", "0", "false", "False", "FALSE")


@dataclass(frozen=True)
class Field:
    """A FIELD: name, datatype, arraysize, and what else it says."""

    name: str
    datatype: str
    arraysize: str = ""
    note: ColumnNote = NOTHING

    @property
    def is_text(self) -> bool:
        return self.datatype in ("char", "unicodeChar")

    @property
    def count(self) -> int | None:
        """Values a row; None where it varies."""
        if not self.arraysize:
            return 1
        factors = self.arraysize.split("x")
        return None if "*" in self.arraysize else int(np.prod([int(factor) for factor in factors], dtype=object))

    @property
    def size(self) -> int:
        """Bytes of a row; of the number of values where it varies."""
        if self.count is None:
            return 4
        return (self.count + 7) // 8 if self.datatype == "bit" else self.count * self.size_of_one

    @property
    def size_of_one(self) -> int:
        return np.dtype(TYPES[self.datatype]).itemsize


class Cells:
    """Rows of TABLEDATA, as text: the `pieces` of the present cell, and the `cells` of the rows that wait."""

    def __init__(self, path: Path, fields: list[Field]) -> None:
        self._path, self._fields = path, fields
        self._whole = 0  # cells in rows that have ended
        self.pieces: list[str] = []
        self.cells: list[str] = []

    @property
    def waiting(self) -> int:
        return self._whole // len(self._fields)

    @property
    def pending(self) -> int:
        return sum(map(len, self.pieces)) + len(self.cells) - self._whole

    def end_row(self) -> bool:
        """Whether the row that ends has a value for each column."""
        self._whole += len(self._fields)
        return len(self.cells) == self._whole

    def take(self, kinds: Kinds, before: int) -> dict[str, NDArray[Any]]:
        width, whole = len(self._fields), self._whole
        places = {field.name: (field, self.cells[place:whole:width]) for place, field in enumerate(self._fields)}
        del self.cells[:whole]
        self._whole = 0
        return {name: self._column(*places[name], kind, before) for name, kind in kinds.items()}

    def _column(self, field: Field, cells: list[str], kind: str, before: int) -> Any:
        _refuse_kind(self._path, field, kind)
        texts: list[str | None] = list(cells)
        if null := field.note.null:
            texts = [None if text.strip() == null else text for text in cells]
        if field.datatype in ("boolean", "bit"):
            texts = [_flag(text) for text in texts]
        return text_column(self._path, field.name, texts, kind, before)


def _flag(text: str | None) -> str | None:
    text = (text or "").strip()
    return "1" if text in _TRUE else "0" if text in _FALSE else None


def _refuse_kind(path: Path, field: Field, kind: str) -> None:
    if kind == "text" and not field.is_text:
        refuse_numbers(path, field.name)
    if kind == "integer":
        refuse_float_ids(path, field.name, field.datatype in ("float", "double"))
    if not field.is_text and (field.count != 1 or TYPES[field.datatype][0] == "V"):
        raise IngestError(f"The column {field.name} of {path} holds several values a row; write one value a row.")


class Bytes:
    """Rows of BINARY or BINARY2: base64 that becomes rows of bytes, one part of fixed width and one that varies."""

    def __init__(self, path: Path, fields: list[Field], *, masked: bool) -> None:
        self._path, self._fields = path, fields
        self._mask = (len(fields) + 7) // 8 if masked else 0
        self._varying = [field for field in fields if field.count is None]
        self._widths = self._parts()  # of the fixed parts, each up to and with the number of values that follow it
        self._letters = ""
        self._data = b""
        self._fixed = bytearray()
        self._loose: list[list[bytes]] = [[] for _ in self._varying]
        self.waiting = 0

    def _parts(self) -> list[int]:
        widths = [self._mask]
        for field in self._fields:
            widths[-1] += field.size
            if field.count is None:
                widths.append(0)
        return widths

    @property
    def pending(self) -> int:
        return len(self._data)

    @property
    def whole(self) -> bool:
        """Whether what was fed ends with a row."""
        return not self._data and not self._letters

    def add(self, text: str) -> bool:
        """Take further base64; False where it is none, or a row claims too much."""
        letters = self._letters + "".join(text.split())
        whole = len(letters) - len(letters) % 4
        self._letters = letters[whole:]
        try:
            self._data += binascii.a2b_base64(letters[:whole], strict_mode=True)
        except ValueError:
            return False
        return self._split_fixed() if not self._varying else self._split_varying()

    def _split_fixed(self) -> bool:
        rows = len(self._data) // self._widths[0]
        self._fixed += self._data[: rows * self._widths[0]]
        self._data = self._data[rows * self._widths[0] :]
        self.waiting += rows
        return True

    def _split_varying(self) -> bool:
        at = 0
        while (end := self._row_end(at)) is not None:
            if end < 0:
                return False
            at = end
            self.waiting += 1
        self._data = self._data[at:]
        return True

    def _row_end(self, at: int) -> int | None:
        """Take the row that begins at `at` and return where it ends; None where it is not all here, -1 for nonsense."""
        data, fixed, loose = self._data, [], []
        for width, field in zip(self._widths, [*self._varying, None], strict=True):
            fixed.append(data[at : at + width])
            at += width
            if at > len(data):
                return None
            if field is not None:
                count = int.from_bytes(data[at - 4 : at], "big")
                size = (count + 7) // 8 if field.datatype == "bit" else count * field.size_of_one
                if size > PIECE:
                    return -1
                loose.append(data[at : at + size])
                at += size
        if at > len(data):
            return None
        self._fixed += b"".join(fixed)
        for values, value in zip(self._loose, loose, strict=True):
            values.append(value)
        return at

    def take(self, kinds: Kinds, before: int) -> dict[str, NDArray[Any]]:
        rows = np.frombuffer(bytes(self._fixed), np.uint8).reshape(self.waiting, sum(self._widths))
        loose = dict(zip((field.name for field in self._varying), self._loose, strict=True))
        columns, at = {}, self._mask
        for place, field in enumerate(self._fields):
            if field.name in kinds:
                _refuse_kind(self._path, field, kinds[field.name])
                missing = (rows[:, place // 8] & (128 >> place % 8)) > 0 if self._mask else np.zeros(len(rows), bool)
                raw = np.ascontiguousarray(rows[:, at : at + field.size])
                if field.is_text:
                    texts = loose[field.name] if field.name in loose else [row.tobytes() for row in raw]
                    columns[field.name] = self._words(field, texts, missing, kinds[field.name], before)
                else:
                    columns[field.name] = self._numbers(field, raw, missing, kinds[field.name])
            at += field.size
        self._fixed, self._loose, self.waiting = bytearray(), [[] for _ in self._varying], 0
        return {name: columns[name] for name in kinds}

    def _words(self, field: Field, raw: list[bytes], missing: NDArray[np.bool_], kind: str, before: int) -> Any:
        encoding = "utf-8" if field.datatype == "char" else "utf-16-be"
        texts = [value.decode(encoding, "replace").split("\0")[0].strip() for value in raw]
        gaps = [
            None if gap or (field.note.null and text == field.note.null) else text
            for gap, text in zip(missing, texts, strict=True)
        ]
        return text_column(self._path, field.name, gaps, kind, before)

    def _numbers(self, field: Field, raw: NDArray[np.uint8], missing: NDArray[np.bool_], kind: str) -> NDArray[Any]:
        values: NDArray[Any] = raw.view(TYPES[field.datatype]).ravel()
        if field.datatype == "boolean":
            true, false = (np.isin(values, [word.encode() for word in words]) for words in (_TRUE, _FALSE))
            return with_gaps(self._path, field.name, true.astype(np.int64), missing | ~(true | false), kind)
        if field.datatype == "bit":  # a byte a row, of which astropy sets another bit than the standard
            return with_gaps(self._path, field.name, (values > 0).astype(np.int64), missing, kind)
        if values.dtype.kind == "f":
            with np.errstate(invalid="ignore"):  # of NaN that signal
                return np.where(missing, np.nan, values.astype(np.float64))
        return with_gaps(self._path, field.name, values.astype(np.int64), missing | _is_null(field, values), kind)


def _is_null(field: Field, values: NDArray[Any]) -> NDArray[np.bool_]:
    try:
        return np.asarray(values.astype(np.int64) == int(field.note.null))
    except (ValueError, OverflowError):
        return np.zeros(len(values), bool)
