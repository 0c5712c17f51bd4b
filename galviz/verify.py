"""A catalogue read again from end to end: whether it is what was written."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from galviz.catalogue import MANIFEST, Catalogue
from galviz.disk import sha256_of
from galviz.errors import CatalogueError
from galviz.foreign import first_line
from galviz.healpix import ORDER, healpix
from galviz.index import check_index, has_index
from galviz.ingest import account
from galviz.ingest.inplace import footer_digest
from galviz.ingest.readers.hats import open_hats, pixel_of
from galviz.manifest import Group, Part, is_as_written
from galviz.progress import Progress, rows_of, silent
from galviz.work import mapped

_PIXELS = f"_healpix_{ORDER}"
_Ends = tuple[int, int] | None  # the first and the last HEALPix pixel of a part that is sorted by them


def verify(catalogue: Catalogue, progress: Progress = silent) -> None:
    """Read every file of a catalogue and compare it with the manifest, and the index with the catalogue.

    Of each part the SHA-256, the checksums of its pages, the columns and their types, the rows, and their order where
    the manifest names one; of the ledger the sum; of the manifest its own checksum. Of files that galviz did not
    write: whether they are those that were opened and as many rows as their properties say, can be read from end to
    end, and hold rows of their pixel only. Raises CatalogueError, or IngestError for such files, at the first part that
    is not what was written, and StaleIndexError for an index that is not.
    """
    manifest, indexed = catalogue.manifest, has_index(catalogue)
    _check_manifest(catalogue)
    if catalogue.is_in_place:
        open_hats(catalogue.path)
    for group in manifest.groups:
        _check_ledger(catalogue, group)
    tell = rows_of(catalogue.rows * (len(manifest.groups) + indexed), progress, "read")
    units = [_Unit(group, number) for group in range(len(manifest.groups)) for number in range(catalogue.parts)]
    ends: dict[_Unit, _Ends] = {}
    with closing(mapped(partial(_check_part, catalogue), units)) as results:
        for unit, found in results:
            ends[unit] = found
            tell(unit.part(catalogue).rows)
    _check_ends(catalogue, units, ends)
    if indexed:
        check_index(catalogue, tell)


@dataclass(frozen=True)
class _Unit:
    """A part of a group of columns, both by number."""

    group: int
    number: int

    def part(self, catalogue: Catalogue) -> Part:
        return catalogue.manifest.groups[self.group].parts[self.number]


def _check_manifest(catalogue: Catalogue) -> None:
    path = catalogue.path / MANIFEST
    if path.is_file() and not is_as_written(path.read_text(encoding="utf-8")):
        raise _damaged(path, "its checksum is another")


def _check_ledger(catalogue: Catalogue, group: Group) -> None:
    """Raise CatalogueError unless rows read less those dropped at each step are those kept, and in the catalogue."""
    made = group.provenance
    if "rows_read" not in made:
        return
    account(made)
    left = made["rows_read"]
    for step in made["steps"]:
        left -= step["dropped"]
        if step.get("left") != left:
            raise _damaged(catalogue.path, f"its ledger does not add up at {step['kept where']!r}")
    if not left == made["rows_kept"] == catalogue.rows:
        raise _damaged(
            catalogue.path, f"its ledger keeps {made['rows_kept']:,} rows, and {catalogue.rows:,} are in its parts"
        )


def _damaged(path: Path, reason: str) -> CatalogueError:
    return CatalogueError(f"{path} is not what was written: {reason}; make the catalogue again.")


def _check_part(catalogue: Catalogue, unit: _Unit) -> _Ends:
    """Raise CatalogueError unless a part is what was written."""
    group, part = catalogue.manifest.groups[unit.group], unit.part(catalogue)
    path = catalogue.path / part.path
    if group.readings:
        return _check_foreign(catalogue, unit)
    try:
        if sha256_of(path) != part.sha256:
            raise _damaged(path, "its SHA-256 is another")
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            _check_schema(path, file.schema_arrow, group)
            if file.metadata.num_rows != part.rows:
                raise _damaged(path, f"it has {file.metadata.num_rows:,} rows, not {part.rows:,}")
            return _read(path, file, _place(group))
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, " ".join(str(error).split()).rstrip(".")) from error


def _check_foreign(catalogue: Catalogue, unit: _Unit) -> _Ends:
    """Raise GalvizError unless a file of others is the one that was opened, and its rows are of its pixel."""
    path = catalogue.path / unit.part(catalogue).path
    if footer_digest(path) != unit.part(catalogue).sha256:
        raise CatalogueError(
            f"{path} is not the file that was opened: its footer is another; open the catalogue again."
        )
    catalogue.read_part(unit.number, [column.name for column in catalogue.manifest.groups[unit.group].columns])
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            astray = sum(_astray(path, batch) for batch in file.iter_batches())
    except (OSError, pa.ArrowException) as error:
        raise CatalogueError(f"Cannot read {path}: {first_line(error)}; fetch it again.") from error
    if astray:
        raise CatalogueError(f"{path} holds {astray:,} rows that lie outside of its HEALPix pixel; fetch it again.")
    return None


def _astray(path: Path, batch: Any) -> int:
    """How many rows are not of the pixel that the file is named for, by the column of pixels where there is one."""
    if _PIXELS not in batch.schema.names:
        return 0
    order, pixel = pixel_of(path)
    pixels = batch.column(_PIXELS).to_numpy(zero_copy_only=False)
    return int((pixels.astype(np.int64) >> 2 * (ORDER - order) != pixel).sum())


def _check_schema(path: Path, schema: Any, group: Group) -> None:
    found = {field.name: field.type for field in schema}  # of a catalogue in HATS: further columns, names of classes
    for column in group.columns:
        kinds = [pa.from_numpy_dtype(np.dtype(column.dtype)), *([pa.string()] if column.kind == "class" else [])]
        if found.get(column.name) in kinds:
            continue
        raise _damaged(path, f"its columns are {', '.join(schema.names)}, or of other types")


def _place(group: Group) -> tuple[str, ...]:
    """The columns whose HEALPix pixels sort the rows, or nothing."""
    order = group.provenance.get("sorted by") or {}
    return tuple(order["columns"]) if order.get("order") == ORDER else ()


def _read(path: Path, file: Any, place: tuple[str, ...]) -> _Ends:
    """Read all batches of a part; raise CatalogueError where rows are not in order."""
    first, last = None, -1
    for batch in file.iter_batches():
        if place and batch.num_rows:
            pixels = healpix(*(batch.column(name).to_numpy() for name in place))
            if pixels[0] < last or (np.diff(pixels) < 0).any():
                raise _damaged(path, "its rows are not in the order of HEALPix")
            first, last = int(pixels[0]) if first is None else first, int(pixels[-1])
    return None if first is None else (first, last)


def _check_ends(catalogue: Catalogue, units: list[_Unit], ends: dict[_Unit, _Ends]) -> None:
    """Raise CatalogueError where a part begins before the one in front of it ends."""
    before = -1
    for unit in units:
        if found := ends[unit]:
            if found[0] < before:
                raise _damaged(catalogue.path / unit.part(catalogue).path, "it is not in the order of HEALPix")
            before = found[1]
