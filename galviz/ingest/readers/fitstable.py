"""FITS tables, binary and ASCII, plain or gzip, read row by row as the header lays them out.

astropy reads the cards; the rows are decoded here, since astropy maps or unpacks a file as a whole. What the
header says is checked against the file before, and DATASUM, where there is one, after the rows were read.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray

from galviz.errors import IngestError
from galviz.foreign import first_line, refuse_float_ids
from galviz.ingest.readers import table
from galviz.ingest.readers.streams import Stream, opened, skip
from galviz.ingest.readers.table import NOTHING, Chunk, ColumnNote, ForeignTable, Kinds, distinct
from galviz.ingest.readers.values import refuse_numbers, text_column, with_gaps

_BLOCK = 2880
_CARD = 80
_END = b"END" + b" " * 77
_HEADER = 1000 * _BLOCK  # bytes of a header, at most
_WIDE = 16 << 20  # bytes of a row, at most
_CHUNK = 64 << 20  # bytes of a chunk, at most
_SIZES = {"L": 1, "B": 1, "I": 2, "J": 4, "K": 8, "E": 4, "D": 8, "A": 1, "C": 8, "M": 16, "P": 8, "Q": 16}
_NUMPY = {"L": "S1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}


@dataclass(frozen=True)
class _Field:
    """One column: where it lies in a row, and how its bytes become values."""

    name: str
    dtype: str  # of NumPy; empty where it holds several values a row
    code: str  # the letter of TFORM, or "text" in an ASCII table
    offset: int
    scale: float = 1.0
    zero: float = 0.0
    null: str = ""
    note: ColumnNote = NOTHING

    @property
    def shift(self) -> int | None:
        """What is added to whole numbers, None where they become others."""
        return int(self.zero) if self.scale == 1 and float(self.zero).is_integer() else None


@dataclass(frozen=True)
class _Layout:
    path: Path
    start: int  # of the rows, in bytes after unpacking
    rows: int
    width: int
    heap: int
    fields: tuple[_Field, ...]
    sum: int | None = None
    simulated: bool = False

    @property
    def padding(self) -> int:
        return -(self.rows * self.width + self.heap) % _BLOCK


def open_fits(path: Path) -> ForeignTable:
    """Open the first table of a FITS file; raises IngestError where its header does not fit the file."""
    with opened(path) as stream:
        layout = _find_table(path, stream)
        called = distinct([entry.name for entry in layout.fields])
        fields = tuple(replace(entry, name=name) for entry, name in zip(layout.fields, called, strict=True))
        layout = replace(layout, fields=fields)
        packed = stream.file is not stream.raw
        if not packed and layout.start + layout.rows * layout.width + layout.heap > stream.size:
            raise _short(path)
    return ForeignTable(
        path,
        tuple(entry.name for entry in layout.fields),
        lambda kinds: _chunks(layout, kinds, 0, layout.rows),
        layout.rows,
        layout.simulated,
        {entry.name: entry.note for entry in layout.fields if entry.note != NOTHING},
        stretches=1 if packed else max(1, -(-layout.rows // table.ROWS)),
        stretch=None if packed else lambda kinds, number: _stretch(layout, kinds, number),
        called=called,
    )


def _stretch(layout: _Layout, kinds: Kinds, number: int) -> Iterator[Chunk]:
    first = number * table.ROWS
    return _chunks(layout, kinds, first, min(first + table.ROWS, layout.rows))


def _short(path: Path) -> IngestError:
    return IngestError(f"{path} is shorter than its header says; fetch it again.")


# The header


class _Cards:
    """The cards of a header, as numbers and text; raises IngestError where a card is something else."""

    def __init__(self, path: Path, header: Any) -> None:
        self._path, self._header = path, header

    def value(self, key: str, kinds: tuple[type, ...], default: Any = None) -> Any:
        found = self._header.get(key, default)
        if found is None or not isinstance(found, kinds) or (isinstance(found, bool) and bool not in kinds):
            raise IngestError(f"The header of {self._path} lacks a proper {key}; fetch it again.")
        return found

    def whole(self, key: str, default: int | None = None, most: int = 1 << 62) -> int:
        number = int(self.value(key, (int,), default))
        if not 0 <= number <= most:
            raise IngestError(f"The header of {self._path} says {key} = {number}, which cannot be; fetch it again.")
        return number

    def text(self, key: str) -> str:
        found = self._header.get(key, "")
        return found.strip() if isinstance(found, str) else str(found)


def _find_table(path: Path, stream: Stream) -> _Layout:
    """The layout of the first table; the stream is left at its rows."""
    at, simulated = 0, False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)  # of cards that are not quite standard
        try:
            while (block := _read_header(path, stream)) is not None:
                header = fits.Header.fromstring(block)
                cards = _Cards(path, header)
                simulated |= header.get("SIMULATD") is True
                at += len(block)
                if at > len(block) and _is_table(header):
                    return _layout(path, cards, at, simulated)
                size = _data_size(cards)
                if skip(stream, size) < size:
                    raise _short(path)
                at += size
        except (fits.VerifyError, ValueError, KeyError, TypeError, IndexError) as error:
            raise IngestError(f"Cannot read {path} as FITS: {first_line(error)}; fetch it again.") from error
    raise IngestError(f"{path} has no table; name a FITS file with a table extension.")


def _read_header(path: Path, stream: Stream) -> bytes | None:
    """The blocks of a header, None at the end of the file."""
    header = b""
    while block := stream.file.read(_BLOCK):
        if not header and not block.startswith((b"SIMPLE", b"XTENSION")):
            raise IngestError(f"{path} goes on after its data with something else than FITS; fetch it again.")
        if not block.isascii():
            raise IngestError(f"The header of {path} holds bytes that are no text; fetch it again.")
        header += block
        if len(block) < _BLOCK or len(header) > _HEADER:
            break
        if any(block[card : card + _CARD] == _END for card in range(0, _BLOCK, _CARD)):
            return header
    if not header:
        return None
    raise IngestError(f"{path} has a header without an end; fetch it again.")


def _is_table(header: Any) -> bool:
    kind = str(header.get("XTENSION", "")).strip()
    return kind == "TABLE" or (kind in ("BINTABLE", "A3DTABLE") and header.get("ZIMAGE") is not True)


def _data_size(cards: _Cards) -> int:
    """Bytes from the end of a header to the next one."""
    axes = [cards.whole(f"NAXIS{axis}") for axis in range(1, cards.whole("NAXIS", most=999) + 1)]
    if not axes:
        return 0
    values = cards.whole("GCOUNT", 1) * (cards.whole("PCOUNT", 0) + int(np.prod(axes, dtype=object)))
    size = abs(int(cards.value("BITPIX", (int,)))) // 8 * values
    return size + -size % _BLOCK


def _layout(path: Path, cards: _Cards, start: int, simulated: bool) -> _Layout:
    width, rows = cards.whole("NAXIS1", most=_WIDE), cards.whole("NAXIS2")
    numbers = range(1, cards.whole("TFIELDS", most=999) + 1)
    if cards.text("XTENSION") == "TABLE":
        fields = tuple(_ascii_field(path, cards, number, width) for number in numbers)
    else:
        fields = tuple(_binary_fields(path, cards, numbers, width))
    if not fields or not width:
        raise IngestError(f"The table in {path} has no columns; there is nothing to ingest.")
    said = cards.text("DATASUM")
    if said and not said.isdecimal():
        raise IngestError(f"The header of {path} lacks a proper DATASUM; fetch it again.")
    return _Layout(path, start, rows, width, cards.whole("PCOUNT", 0), fields, int(said) if said else None, simulated)


def _binary_fields(path: Path, cards: _Cards, numbers: range, width: int) -> Iterator[_Field]:
    offset = 0
    for number in numbers:
        form = re.match(r"(\d{0,9})([LXBIJKAEDCMPQ])", cards.text(f"TFORM{number}"))
        if form is None:
            raise IngestError(f"The header of {path} lacks a proper TFORM{number}; fetch it again.")
        count, code = int(form[1] or 1), form[2]
        yield _field(cards, number, code, offset, _numpy_type(code, count))
        offset += (count + 7) // 8 if code == "X" else count * _SIZES[code]
    if offset != width:
        raise IngestError(
            f"The columns of {path} take {offset:,} bytes a row and its header says {width:,}; fetch it again."
        )


def _numpy_type(code: str, count: int) -> str:
    if code == "A":
        return f"S{count}" if count else ""
    return _NUMPY.get(code, "") if count == 1 else ""


def _ascii_field(path: Path, cards: _Cards, number: int, width: int) -> _Field:
    form = re.match(r"([AIFED])(\d{1,9})", cards.text(f"TFORM{number}"))
    begin = cards.whole(f"TBCOL{number}")
    if form is None or not 1 <= begin <= begin + int(form[2]) - 1 <= width:
        raise IngestError(f"The header of {path} lacks a proper TFORM{number} or TBCOL{number}; fetch it again.")
    return _field(cards, number, "A" if form[1] == "A" else "text", begin - 1, f"S{form[2]}")


def _field(cards: _Cards, number: int, code: str, offset: int, dtype: str) -> _Field:
    null = cards.text(f"TNULL{number}")
    note = ColumnNote(cards.text(f"TUNIT{number}"), cards.text(f"TUCD{number}"), cards.text(f"TCOMM{number}"), null)
    scale, zero = (cards.value(f"{key}{number}", (int, float), plain) for key, plain in (("TSCAL", 1), ("TZERO", 0)))
    name = cards.text(f"TTYPE{number}") or f"col{number}"
    return _Field(name, dtype, code, offset, scale, zero, null, note)


# The rows


def _chunks(layout: _Layout, kinds: Kinds, first: int, last: int) -> Iterator[Chunk]:
    """The rows from `first` to before `last`; where these are the last ones, what follows them is checked too."""
    fields = [entry for entry in layout.fields if entry.name in kinds]
    kind = _row_type(layout, fields)
    size = max(min(table.ROWS, _CHUNK // layout.width), 1)
    done = first
    with opened(layout.path) as stream:
        skip(stream, layout.start + first * layout.width)
        while done < last:
            data = stream.file.read(min(size, last - done) * layout.width)
            if not data or len(data) % layout.width:
                raise _short(layout.path)
            rows = np.frombuffer(data, kind)
            chunk = {entry.name: _column(layout.path, entry, rows, kinds[entry.name], done) for entry in fields}
            done += len(rows)
            yield chunk, (done - first) / (last - first)
        if last == layout.rows:
            _check_end(layout, stream)


def _row_type(layout: _Layout, fields: list[_Field]) -> np.dtype[Any]:
    for entry in fields:
        if not entry.dtype:
            raise IngestError(
                f"The column {entry.name} of {layout.path} holds several values a row; write one value a row."
            )
    return np.dtype(
        {
            "names": [entry.name for entry in fields],
            "formats": [entry.dtype for entry in fields],
            "offsets": [entry.offset for entry in fields],
            "itemsize": layout.width,
        }
    )


def _check_end(layout: _Layout, stream: Stream) -> None:
    """Raise IngestError where rows follow that the header does not count, or the checksum is another."""
    short = skip(stream, layout.heap) < layout.heap
    padding = stream.file.read(layout.padding)
    following = stream.file.read(len(b"XTENSION"))
    if short or padding.strip(b"\0 ") or following.strip(b"\0 ") not in (b"", b"XTENSION"):
        raise IngestError(f"{layout.path} does not end where its header says; fetch it again.")
    if layout.sum is not None and layout.sum != _sum(layout):
        raise IngestError(f"The rows of {layout.path} do not agree with its checksum (DATASUM); fetch it again.")


def _sum(layout: _Layout) -> int:
    """The checksum of the rows: the ones' complement sum of big-endian 32-bit words."""
    total, left = 0, layout.rows * layout.width + layout.heap + layout.padding
    with opened(layout.path) as stream:
        skip(stream, layout.start)
        while left and (data := stream.file.read(min(left, _CHUNK))):
            total += int(np.frombuffer(data.ljust(len(data) + -len(data) % 4, b"\0"), ">u4").sum(dtype=np.uint64))
            left -= len(data)
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _column(path: Path, entry: _Field, rows: NDArray[Any], kind: str, before: int) -> Any:
    values = rows[entry.name]
    if entry.code in ("A", "text"):
        if kind == "text" and entry.code != "A":
            refuse_numbers(path, entry.name)
        return text_column(path, entry.name, _texts(entry, values), kind, before)
    if kind == "text":
        refuse_numbers(path, entry.name)
    if entry.code == "L":
        return with_gaps(path, entry.name, (values == b"T").astype(np.int64), ~np.isin(values, (b"T", b"F")), kind)
    if values.dtype.kind == "f" or entry.shift is None:
        if kind == "integer":
            refuse_float_ids(path, entry.name, floating=True)
        return _scaled(entry, values)
    return with_gaps(path, entry.name, _whole_numbers(path, entry, values), _missing(entry, values), kind)


def _scaled(entry: _Field, values: NDArray[Any]) -> NDArray[Any]:
    with np.errstate(invalid="ignore"):  # of NaN that signal
        numbers = values.astype(np.float64)
    if (entry.scale, entry.zero) != (1, 0):
        numbers = numbers * entry.scale + entry.zero
    if values.dtype.kind in "iu":
        numbers[_missing(entry, values)] = np.nan
    return numbers


def _missing(entry: _Field, values: NDArray[Any]) -> NDArray[np.bool_]:
    try:
        return np.asarray(values == values.dtype.type(int(entry.null)))
    except (ValueError, OverflowError):
        return np.zeros(len(values), bool)


def _whole_numbers(path: Path, entry: _Field, values: NDArray[Any]) -> NDArray[np.int64]:
    """Exactly what the numbers stand for; unsigned ones are stored with half their range taken off."""
    numbers, shift = values.astype(np.int64), entry.shift or 0
    if shift and len(numbers):
        low, high = int(numbers.min()) + shift, int(numbers.max()) + shift
        if low < -(2**63) or high >= 2**63:
            raise IngestError(f"The column {entry.name} of {path} holds numbers above 2^63; write smaller ones.")
        numbers = (numbers.astype(np.uint64) + np.uint64(shift % 2**64)).astype(np.int64)
    return numbers


def _texts(entry: _Field, values: NDArray[Any]) -> list[str | None]:
    """Text up to the first null byte, None where TNULL says that it is missing."""
    kinds, places = np.unique(values, return_inverse=True)
    texts = [text.split(b"\0")[0].decode("ascii", "replace").strip() for text in kinds.tolist()]
    if entry.code == "text":
        texts = [text.replace("D", "E") for text in texts]
    found: list[str | None] = [None if entry.null and text == entry.null else text for text in texts]
    return [found[place] for place in places.tolist()]
