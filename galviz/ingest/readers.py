"""Foreign files as streams of columns: CSV (plain or gzip), FITS tables and Parquet; nothing else reads them."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray

from galviz.errors import IngestError

Chunk = tuple[dict[str, NDArray[Any]], float]  # columns by name in the file, and the fraction of the file read
Kinds = Mapping[str, str]  # what to read: name in the file to "integer", "number" or "text"

ROWS = 250_000
_HEAD = 1 << 16
_BLOCK = 4 << 20
_NULLS = ["", "NULL", "null", "None", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "-nan", "NAN", "--", "-"]
_ARROW = {"integer": pa.int64(), "number": pa.float64(), "text": pa.string()}


@dataclass(frozen=True)
class ForeignTable:
    """A file that was opened: its column names, and how to read some of them chunk by chunk.

    Numbers come as float64 with NaN where missing, integers as int64, text as objects with None where missing.
    `rows` is None where the file does not say; `simulated` is True where the file says that its sources are.
    """

    path: Path
    names: tuple[str, ...]
    chunks: Callable[[Kinds], Iterator[Chunk]] = field(repr=False)
    rows: int | None = None
    simulated: bool = False

    def __post_init__(self) -> None:
        for name, number in Counter(self.names).items():
            if number > 1:
                raise IngestError(
                    f"{self.path} names the column {name!r} {number} times; rename or remove all but one of them."
                )


def open_table(path: Path) -> ForeignTable:
    """Open a CSV, FITS or Parquet file, told apart by their first bytes.

    Raises IngestError where there is no such file, or it is empty, damaged or of another format.
    """
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except FileNotFoundError:
        raise IngestError(f"There is no file {path}; check its name and place.") from None
    except IsADirectoryError:
        raise IngestError(f"{path} is a folder; name the files in it.") from None
    except OSError as error:
        raise IngestError(f"Cannot read {path}: {error.strerror}.") from error
    if not start:
        raise IngestError(f"{path} is empty; there is nothing to ingest.")
    if start[:4] == b"PAR1":
        return _open_parquet(path)
    if start.startswith(b"SIMPLE  ="):
        return _open_fits(path)
    if start.lstrip()[:5].lower() in (b"<?xml", b"<vota"):
        raise IngestError(f"{path} is XML, such as VOTable, which is not read; convert it to FITS, Parquet or CSV.")
    return _open_csv(path, packed=start[:2] == b"\x1f\x8b")


# CSV


def _open_csv(path: Path, *, packed: bool) -> ForeignTable:
    try:
        with _text(path, packed) as file:
            head = file.read(_HEAD)
    except (OSError, EOFError) as error:
        raise IngestError(f"Cannot unpack {path}: {error}; fetch or pack it again.") from error
    if b"\0" in head or head[:1] == b"\x80" or head.startswith(b"SIMPLE  ="):
        raise IngestError(f"{path} is neither CSV (plain or gzip) nor FITS nor Parquet; convert it to one of these.")
    notes, header, skipped = _header(path, head)
    delimiter = max(",\t;", key=header.count)
    names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter))]
    layout = _Layout(path, packed, tuple(names), delimiter, skipped)
    return ForeignTable(path, layout.names, lambda kinds: _csv_chunks(layout, kinds), simulated=_says_simulated(notes))


@dataclass(frozen=True)
class _Layout:
    path: Path
    packed: bool
    names: tuple[str, ...]
    delimiter: str
    skipped: int


def _text(path: Path, packed: bool) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if packed else path.open("rb")


def _header(path: Path, head: bytes) -> tuple[list[str], str, int]:
    """The comment lines before the header, the header itself, and the lines up to and with it."""
    notes: list[str] = []
    for number, line in enumerate(head.decode("utf-8-sig", errors="replace").splitlines(), start=1):
        if line.startswith("#"):
            notes.append(line)
        elif line.strip():
            return notes, line, number
    raise IngestError(f"{path} has no line with column names; there is nothing to ingest.")


def _says_simulated(notes: list[str]) -> bool:
    return any(re.fullmatch(r"#\s*simulated\s*[:=]\s*(yes|true)\s*", note, re.IGNORECASE) for note in notes)


def _csv_chunks(layout: _Layout, kinds: Kinds) -> Iterator[Chunk]:
    size = layout.path.stat().st_size
    try:
        with layout.path.open("rb") as raw:
            stream = pa.CompressedInputStream(raw, "gzip") if layout.packed else pa.PythonFile(raw, mode="r")
            reader = pa.csv.open_csv(
                stream,
                pa.csv.ReadOptions(column_names=layout.names, skip_rows=layout.skipped, block_size=_BLOCK),
                pa.csv.ParseOptions(delimiter=layout.delimiter),
                pa.csv.ConvertOptions(
                    column_types={name: _ARROW[kind] for name, kind in kinds.items()},
                    include_columns=list(kinds),
                    null_values=_NULLS,
                    strings_can_be_null=True,
                ),
            )
            for batch in reader:
                yield _from_arrow(layout.path, batch, kinds), raw.tell() / size
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return
        raise IngestError(_fault(layout, kinds) or f"Cannot read {layout.path} as CSV: {_first(error)}.") from error
    except OSError as error:
        raise IngestError(f"Cannot read {layout.path}: {_first(error)}; fetch or pack it again.") from error


def _first(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _fault(layout: _Layout, kinds: Kinds) -> str | None:
    """What is wrong with a CSV file and in which line: the slow way, for a file that the fast way refused."""
    wanted = [(layout.names.index(name), name, kind) for name, kind in kinds.items() if kind != "text"]
    with io.TextIOWrapper(_text(layout.path, layout.packed), encoding="utf-8", errors="replace", newline="") as file:
        for _ in range(layout.skipped):
            file.readline()
        rows = csv.reader(file, delimiter=layout.delimiter)
        for row in rows:
            line = layout.skipped + rows.line_num
            if row and len(row) != len(layout.names):
                return (
                    f"Line {line} of {layout.path} has {len(row)} values, but there are {len(layout.names)} column "
                    "names; mend the line."
                )
            for place, name, kind in wanted if row else ():
                if not _readable(row[place].strip(), kind):
                    return (
                        f"Line {line} of {layout.path} has {row[place][:40]!r} in the column {name}, which needs "
                        f"{'a whole number' if kind == 'integer' else 'a number'}; mend the value or leave it empty."
                    )
    return None


def _readable(text: str, kind: str) -> bool:
    if text in _NULLS:
        return True
    try:
        number = int(text) if kind == "integer" else float(text)
    except ValueError:
        return False
    return "_" not in text and (kind == "number" or -(2**63) <= number < 2**63)


# Parquet


def _open_parquet(path: Path) -> ForeignTable:
    try:
        metadata = pq.read_metadata(path)
    except (OSError, pa.ArrowException) as error:
        raise IngestError(f"Cannot read {path} as Parquet: {_first(error)}; fetch or make it again.") from error
    schema = metadata.schema.to_arrow_schema()
    simulated = (schema.metadata or {}).get(b"simulated") in (b"yes", b"true")
    return ForeignTable(
        path, tuple(schema.names), lambda kinds: _parquet_chunks(path, kinds), metadata.num_rows, simulated
    )


def _parquet_chunks(path: Path, kinds: Kinds) -> Iterator[Chunk]:
    done = 0
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            total = max(file.metadata.num_rows, 1)
            for batch in file.iter_batches(batch_size=ROWS, columns=list(kinds)):
                done += batch.num_rows
                yield _from_arrow(path, batch, kinds), done / total
    except (OSError, pa.ArrowException) as error:
        raise IngestError(f"Cannot read {path} as Parquet: {_first(error)}; fetch or make it again.") from error


def _from_arrow(path: Path, batch: Any, kinds: Kinds) -> dict[str, NDArray[Any]]:
    return {name: _arrow_column(path, name, batch.column(name), kind) for name, kind in kinds.items()}


def _arrow_column(path: Path, name: str, values: Any, kind: str) -> NDArray[Any]:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if kind == "text" and not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        raise IngestError(f"The column {name} of {path} holds {values.type}, not the names of classes; write names.")
    if kind == "integer":
        _refuse_float_ids(path, name, pa.types.is_floating(values.type))
    try:
        values = values.cast(_ARROW[kind])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise IngestError(f"The column {name} of {path} does not hold numbers: {_first(error)}.") from error
    if kind == "integer" and values.null_count:
        raise IngestError(f"The column {name} of {path} is empty in {values.null_count} rows; every row needs one.")
    result: NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return result


def _refuse_float_ids(path: Path, name: str, floating: bool) -> None:
    if floating:
        raise IngestError(
            f"The column {name} of {path} holds floating-point numbers, which lose digits of identifiers above 2^53; "
            "write it as 64-bit integers or as text."
        )


# FITS


def _open_fits(path: Path) -> ForeignTable:
    with _fits_table(path) as (hdu, simulated):
        rows, names = int(hdu.header["NAXIS2"]), tuple(hdu.columns.names)
        info = hdu.fileinfo()
        if info["datLoc"] + rows * int(hdu.header["NAXIS1"]) > os.path.getsize(path):
            raise IngestError(f"{path} is shorter than its header says; fetch it again.")
    return ForeignTable(path, names, lambda kinds: _fits_chunks(path, kinds), rows, simulated)


@contextmanager
def _fits_table(path: Path) -> Iterator[tuple[Any, bool]]:
    """The first table of a FITS file, memory-mapped, and whether it is simulated."""
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", AstropyWarning)  # truncation is looked for and said by ourselves
        try:
            file = stack.enter_context(fits.open(path, memmap=True))
            tables = [hdu for hdu in file if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
        except (OSError, fits.VerifyError, ValueError) as error:
            raise IngestError(f"Cannot read {path} as FITS: {_first(error)}; fetch it again.") from error
        if not tables:
            raise IngestError(f"{path} has no table; name a FITS file with a table extension.")
        yield tables[0], bool(file[0].header.get("SIMULATD", False))


def _fits_chunks(path: Path, kinds: Kinds) -> Iterator[Chunk]:
    with _fits_table(path) as (hdu, _):
        rows = int(hdu.header["NAXIS2"])
        for start in range(0, rows, ROWS):
            part = hdu.data[start : start + ROWS]
            chunk = {
                name: _fits_column(path, hdu.columns[name], part.field(name), kind) for name, kind in kinds.items()
            }
            yield chunk, min(start + ROWS, rows) / rows


def _fits_column(path: Path, column: Any, values: NDArray[Any], kind: str) -> NDArray[Any]:
    if values.ndim != 1 or values.dtype == object:
        raise IngestError(f"The column {column.name} of {path} holds several values a row; write one value a row.")
    if kind == "text":
        if values.dtype.kind not in "US":
            raise IngestError(
                f"The column {column.name} of {path} holds numbers, not the names of classes; write names."
            )
        return np.array([text.strip() for text in np.asarray(values).astype(str).tolist()], dtype=object)
    if kind == "integer":
        _refuse_float_ids(path, column.name, values.dtype.kind == "f")
    missing = (values == column.null) if column.null not in (None, "") and values.dtype.kind in "iu" else None
    try:
        numbers = np.array(values, dtype=np.int64 if kind == "integer" else np.float64)
    except (ValueError, OverflowError) as error:
        raise IngestError(f"The column {column.name} of {path} does not hold numbers: {_first(error)}.") from error
    if missing is not None and missing.any():
        if kind == "integer":
            raise IngestError(
                f"The column {column.name} of {path} is empty in {missing.sum()} rows; every row needs one."
            )
        numbers[missing] = np.nan
    return numbers
