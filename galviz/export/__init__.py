"""Selection to a file with its provenance inside: what was selected, of which catalogue, by which model, when.

Files are written chunk by chunk under a temporary name and renamed into place. An exporter is one entry in
`EXPORTERS`, by suffix, or in `FOLDERS` where it writes a folder.
"""

from __future__ import annotations

import datetime
import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table
from astropy.units import Unit
from numpy.typing import NDArray

from galviz.catalogue import Catalogue, as_selection, blocks
from galviz.disk import room, whole
from galviz.errors import GalvizError
from galviz.export.hats import replace_hats, write_hats
from galviz.export.sheet import Sheet, schema_of, table_of
from galviz.export.votable import described, write_votable
from galviz.manifest import Column
from galviz.progress import Progress, silent
from galviz.selection import Selection
from galviz.version import __version__

_CHUNK = 50_000  # rows in memory as text
_BYTES_A_VALUE = 12  # of text, roughly; the binary formats need less


def export(
    catalogue: Catalogue,
    selection: Selection | str | None,
    path: str | os.PathLike[str],
    columns: Sequence[str] | None = None,
    progress: Progress = silent,
) -> int:
    """Write the selected sources to `path`, in the format of its suffix, and return their number.

    `columns` None gives every stored column; derived ones such as colours are written when named. An existing
    file is replaced, whole or not at all, and so is a HATS catalogue. Raises GalvizError for a suffix that is not
    one of EXPORTERS and FOLDERS or a full disk, SelectionError for a column that the catalogue does not have.
    """
    target, suffix = Path(path), Path(path).suffix.lower()
    if suffix not in EXPORTERS and suffix not in FOLDERS:
        known = ", ".join((*EXPORTERS, *FOLDERS))
        raise GalvizError(f"Cannot export to {target.name}: the suffix must be one of {known}.")
    chosen = as_selection(selection)
    wanted = _columns(catalogue, columns)
    rows = catalogue.count(chosen)
    chunks = _chunks(catalogue, chosen, wanted, rows, progress)
    width = max((len(name) for name in catalogue.manifest.class_names), default=1)
    sheet = Sheet(wanted, rows, chunks, provenance(catalogue, chosen, rows), width, catalogue.manifest)
    with room(target, rows * len(wanted) * _BYTES_A_VALUE):
        if suffix in FOLDERS:
            replace_hats(FOLDERS[suffix], sheet, target)
        else:
            with whole(target) as file:
                EXPORTERS[suffix](sheet, file)
    return rows


def _columns(catalogue: Catalogue, names: Sequence[str] | None) -> tuple[Column, ...]:
    manifest = catalogue.manifest
    if names is None:
        return tuple(column for column in manifest.columns.values() if not column.formula)
    if not names:
        raise GalvizError("An export needs at least one column.")
    return tuple(dict.fromkeys(manifest.column(name) for name in names))


def provenance(catalogue: Catalogue, selection: Selection, rows: int) -> dict[str, str]:
    """Where the rows of an export come from, in words by keyword."""
    manifest = catalogue.manifest
    models = [str(group.provenance["model"]["id"]) for group in manifest.groups if "model" in group.provenance]
    return {
        "catalogue": manifest.name,
        "title": manifest.title,
        "version": str(manifest.version),
        "simulated": "yes" if manifest.simulated else "no",
        "selection": str(selection) or "every source",
        "rows": str(rows),
        **({"doi": manifest.doi} if manifest.doi else {}),
        **({"model": ", ".join(models)} if models else {}),
        "software": f"galviz {__version__}",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _chunks(
    catalogue: Catalogue, selection: Selection, columns: tuple[Column, ...], rows: int, progress: Progress
) -> Iterator[dict[str, NDArray[Any]]]:
    """The selected rows part by part, class codes as names."""
    names = [column.name for column in columns]
    labels = np.array([*catalogue.manifest.class_names, ""], dtype=object)  # the last one for the code -1
    done = 0
    for part in range(catalogue.parts):
        frame = catalogue.read_frame(part, selection.columns)
        size = catalogue.manifest.groups[0].parts[part].rows
        chosen = np.flatnonzero(selection.mask(frame, rows=size))
        arrays = catalogue.read_part(part, names) if len(chosen) else {}
        for block in blocks(len(chosen), _CHUNK):
            here = chosen[block]
            yield {
                column.name: labels[arrays[column.name][here]] if column.kind == "class" else arrays[column.name][here]
                for column in columns
            }
            done += len(here)
            progress(done / rows, f"{done:,} of {rows:,} sources written")
    progress(1.0, f"{done:,} of {rows:,} sources written")


def write_csv(sheet: Sheet, file: BinaryIO) -> None:
    """Comma-separated values: comment lines with the provenance, then a header, then the rows."""
    for key, value in sheet.provenance.items():
        file.write(f"# {key}: {' '.join(value.split())}\n".encode())
    units = ", ".join(f"{column.name} [{column.unit}]" for column in sheet.columns if column.unit)
    file.write(f"# units: {units}\n".encode())
    schema = schema_of(sheet)
    options = pa.csv.WriteOptions(quoting_style="needed", quoting_header="none")
    with pa.csv.CSVWriter(file, schema, write_options=options) as writer:
        for chunk in sheet.chunks:
            writer.write_table(table_of(chunk, schema))


def write_ecsv(sheet: Sheet, file: BinaryIO) -> None:
    """ECSV with commas: units, descriptions and UCDs of the columns, and the provenance, in the header."""
    names = [column.name for column in sheet.columns]
    described = Table(
        np.zeros(0, [(column.name, _ecsv_type(column)) for column in sheet.columns]), meta=sheet.provenance
    )
    for column in sheet.columns:
        info = described[column.name].info
        info.unit = Unit(column.unit, parse_strict="silent") if column.unit else None
        info.description = column.description or None
        info.meta = {"ucd": column.ucd} if column.ucd else {}
    text = io.StringIO()
    described.write(text, format="ascii.ecsv", delimiter=",")
    file.write(text.getvalue().encode())
    flags = {column.name for column in sheet.columns if column.dtype == "bool"}
    schema = pa.schema([entry.with_type(pa.string()) if entry.name in flags else entry for entry in schema_of(sheet)])
    options = pa.csv.WriteOptions(include_header=False, quoting_style="needed")
    with pa.csv.CSVWriter(file, schema, write_options=options) as writer:
        for chunk in sheet.chunks:
            words = {name: np.where(chunk[name], "True", "False") if name in flags else chunk[name] for name in names}
            writer.write_table(table_of(words, schema))


def _ecsv_type(column: Column) -> str:
    return "U1" if column.kind == "class" else column.dtype


def write_parquet(sheet: Sheet, file: BinaryIO) -> None:
    """Parquet with page checksums, described twice: in metadata of file and columns, and as VOParquet."""
    schema = described(schema_of(sheet), sheet)
    with pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:
        for chunk in sheet.chunks:
            writer.write_table(table_of(chunk, schema))


def write_fits(sheet: Sheet, file: BinaryIO) -> None:
    """A FITS binary table; the provenance is HISTORY of both headers, UCDs are TUCDn, DATASUM guards the rows.

    Raises GalvizError for names of classes that are not ASCII.
    """
    _refuse_foreign_letters(sheet)
    kind = np.dtype([(column.name, _fits_type(column, sheet.width)) for column in sheet.columns])
    on_disk = np.dtype([(name, "S1" if kind[name].kind == "b" else kind[name]) for name in kind.names or ()])
    primary, table = fits.PrimaryHDU(), fits.BinTableHDU(np.zeros(0, kind), name="SOURCES")
    primary.header["SIMULATD"] = (sheet.provenance["simulated"] == "yes", "sources are simulated")
    primary.header["ORIGIN"] = sheet.provenance["software"]
    for key, value in sheet.provenance.items():
        for header in (primary.header, table.header):
            header.add_history(_ascii(f"{key}: {value}"))
    for number, column in enumerate(sheet.columns, start=1):
        for key, text in (("TCOMM", column.description), ("TUNIT", column.unit), ("TUCD", column.ucd)):
            if text:
                table.header.set(f"{key}{number}", _ascii(text), after=f"TFORM{number}")
    table.header["NAXIS2"] = sheet.rows
    file.write(primary.header.tostring().encode("ascii"))
    start = file.tell()
    _write_header(table.header, 0, file)
    total = _write_rows(sheet, on_disk, file)
    end = file.tell()
    file.seek(start)
    _write_header(table.header, total, file)
    file.seek(end)


def _refuse_foreign_letters(sheet: Sheet) -> None:
    foreign = [name for name in sheet.manifest.class_names if not name.isascii()]
    if foreign and any(column.kind == "class" for column in sheet.columns):
        raise GalvizError(f"FITS holds ASCII text only, and a class is called {foreign[0]}; export to another format.")


def _write_header(header: Any, total: int, file: BinaryIO) -> None:
    header["DATASUM"] = f"{total:010d}"
    file.write(header.tostring().encode("ascii"))


def _write_rows(sheet: Sheet, kind: np.dtype[Any], file: BinaryIO) -> int:
    """The rows up to a whole block; returns the ones' complement sum of their big-endian 32-bit words."""
    total, rest = 0, b""
    for chunk in sheet.chunks:
        rows = np.empty(len(chunk[sheet.columns[0].name]), kind)
        for column in sheet.columns:
            rows[column.name] = _fits_values(column, chunk[column.name])
        data = rows.tobytes()
        file.write(data)
        data = rest + data
        whole = len(data) // 4
        total, rest = total + int(np.frombuffer(data, ">u4", whole).sum(dtype=np.uint64)), data[4 * whole :]
    file.write(b"\0" * (-sheet.rows * kind.itemsize % 2880))
    total += int.from_bytes(rest.ljust(4, b"\0"), "big")
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _ascii(text: str) -> str:
    """Text as a header of FITS can hold it."""
    return " ".join(text.split()).encode("ascii", "replace").decode()


def _fits_type(column: Column, width: int) -> str:
    if column.kind == "class":
        return f"S{width}"
    kind = np.dtype(column.dtype)
    return ">i2" if kind == np.int8 else kind.newbyteorder(">").str


def _fits_values(column: Column, values: NDArray[Any]) -> NDArray[Any]:
    if column.kind == "class":
        return values.astype(str).astype("S")
    return np.where(values, b"T", b"F") if values.dtype.kind == "b" else values


EXPORTERS: dict[str, Callable[[Sheet, BinaryIO], None]] = {
    ".csv": write_csv,
    ".ecsv": write_ecsv,
    ".parquet": write_parquet,
    ".fits": write_fits,
    ".vot": write_votable,
    ".xml": write_votable,
}
FOLDERS: dict[str, Callable[[Sheet, Path], None]] = {".hats": write_hats}
