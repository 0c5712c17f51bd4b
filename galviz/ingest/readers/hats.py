"""HATS catalogues: a folder of Parquet files, one a HEALPix pixel, with a file of properties."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from galviz.errors import IngestError
from galviz.foreign import first_line
from galviz.ingest.readers.described import Description, description_of
from galviz.ingest.readers.parquet import parquet_chunks, read_footer
from galviz.ingest.readers.streams import HEAD
from galviz.ingest.readers.table import NOTHING, Chunk, ColumnNote, ForeignTable, Kinds

PROPERTIES = ("hats.properties", "properties")
_COLLECTION = "collection.properties"
_OWN = ("_healpix_29", "_hipscat_index", "Norder", "Dir", "Npix")  # columns that place a row, not of the survey
_LEAF = re.compile(r"Norder=(\d+)/Dir=(\d+)/Npix=(\d+)\b")
_DEEPEST = 29


@dataclass(frozen=True)
class _Leaf:
    path: Path
    order: int
    pixel: int
    rows: int

    @property
    def place(self) -> int:
        """Where the pixel begins, as a pixel of the deepest order, nested."""
        return self.pixel << 2 * (_DEEPEST - self.order)


def open_hats(path: Path) -> ForeignTable:
    """Open a HATS catalogue, or the main one of a collection, at the folder `path`.

    Raises IngestError where the folder is none, or a leaf is missing or damaged, or the rows are not as many as
    its properties say. The rows come in nested order of their pixels.
    """
    root = main_catalogue(path)
    properties = properties_of(root)
    kind = properties.get("dataproduct_type", "object")
    if kind not in ("object", "source"):
        raise IngestError(f"{root} is a HATS catalogue of the type {kind!r}; name one of objects or sources.")
    leaves = sorted(_leaves(root), key=lambda leaf: (leaf.place, leaf.order, leaf.path))
    _check(root, properties, leaves)
    _, schema = read_footer(leaves[0].path)
    description = _description(root, leaves[0].path, schema)
    names = tuple(name for name in schema.names if name not in (*_OWN, *description.masks.values()))
    rows = sum(leaf.rows for leaf in leaves)
    files = tuple(leaf.path for leaf in leaves)
    return ForeignTable(
        path,
        names,
        lambda kinds: _chunks(leaves, kinds, description),
        rows,
        description.simulated,
        _placed(description.notes, properties),
        files,
        len(leaves),
        lambda kinds, number: _leaf_chunks(leaves[number], kinds, description),
    )


def _description(root: Path, leaf: Path, schema: Any) -> Description:
    """What the first leaf says, and the schema of all of them, where hats puts the header of VOParquet."""
    description, common = description_of(leaf, schema), root / "dataset" / "_common_metadata"
    if not common.is_file():
        return description
    return description.completed(description_of(common, read_footer(common)[1]))


def _placed(notes: Mapping[str, ColumnNote], properties: Mapping[str, str]) -> dict[str, ColumnNote]:
    """The notes, with the UCD of a position for the columns that the rows are sorted by."""
    placed = dict(notes)
    for axis in ("ra", "dec"):
        if name := properties.get(f"hats_col_{axis}"):
            note = notes.get(name, NOTHING)
            placed[name] = replace(note, ucd=note.ucd or f"pos.eq.{axis};meta.main")
    return placed


def is_hats(path: Path) -> bool:
    """Whether a folder says that it is a HATS catalogue or a collection of such."""
    return any((path / name).is_file() for name in (*PROPERTIES, _COLLECTION))


def main_catalogue(path: Path) -> Path:
    """The folder of the catalogue itself, which of a collection is its main one. Raises IngestError for any other."""
    if any((path / name).is_file() for name in PROPERTIES):
        return path
    if (path / _COLLECTION).is_file():
        main = _read_properties(path / _COLLECTION).get("hats_primary_table_url", "")
        folder = (path / main).resolve()
        if main and folder.is_relative_to(path.resolve()) and any((folder / name).is_file() for name in PROPERTIES):
            return folder
        raise IngestError(f"The collection {path} has no main catalogue at {main[:100]!r}; fetch it again.")
    raise IngestError(f"{path} is a folder and no HATS catalogue; name the files in it.")


def properties_of(root: Path) -> dict[str, str]:
    """What the properties of a catalogue say. Raises IngestError where they cannot be read."""
    return _read_properties(next(root / name for name in PROPERTIES if (root / name).is_file()))


def _read_properties(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            text = file.read(HEAD).decode("utf-8", "replace")
    except OSError as error:
        raise IngestError(f"Cannot read {path}: {error.strerror}.") from error
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", "!"))]
    pairs = [re.split(r"\s*[=:]\s*", line.strip(), maxsplit=1) for line in lines]
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def _leaves(root: Path) -> Iterator[_Leaf]:
    for file in files_of(root):
        yield _Leaf(file, *pixel_of(file), read_footer(file)[0].num_rows)


def files_of(root: Path) -> Iterator[Path]:
    """The files of the rows: one a pixel, or several in a folder of it. Raises IngestError for one of no pixel."""
    for path in sorted((root / "dataset").glob("Norder=*/Dir=*/Npix=*")):
        pixel_of(path)
        yield from sorted(path.glob("[!._]*")) if path.is_dir() else [path]


def pixel_of(path: Path) -> tuple[int, int]:
    """The order and the number of the HEALPix pixel that a file, or the folder of it, is named for."""
    found = _LEAF.search(path.as_posix())
    if found is None or int(found[1]) > _DEEPEST or path.name.startswith((".", "_")):
        raise IngestError(f"{path} does not name its HEALPix pixel; fetch the catalogue again.")
    return int(found[1]), int(found[3])


def _check(root: Path, properties: dict[str, str], leaves: list[_Leaf]) -> None:
    if not leaves:
        raise IngestError(f"The HATS catalogue {root} has no file dataset/Norder=*/Dir=*/Npix=*; fetch it again.")
    rows, said = sum(leaf.rows for leaf in leaves), properties.get("hats_nrows", "")
    if said.isdecimal() and int(said) != rows:
        raise IngestError(f"The HATS catalogue {root} has {rows:,} rows and says {int(said):,}; fetch it again.")
    if missing := sorted(_listed(root) - {(leaf.order, leaf.pixel) for leaf in leaves}):
        order, pixel = missing[0]
        raise IngestError(f"The HATS catalogue {root} lacks the file of Norder={order}, Npix={pixel}; fetch it again.")


def _listed(root: Path) -> set[tuple[int, int]]:
    """The pixels of partition_info.csv, where there is one."""
    path = root / "partition_info.csv"
    if not path.is_file():
        return set()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {(int(row["Norder"]), int(row["Npix"])) for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise IngestError(f"Cannot read {path}: {first_line(error)}; fetch the catalogue again.") from error


def _chunks(leaves: list[_Leaf], kinds: Kinds, description: Description) -> Iterator[Chunk]:
    done, total = 0, max(sum(leaf.rows for leaf in leaves), 1)
    for leaf in leaves:
        for columns, fraction in _leaf_chunks(leaf, kinds, description):
            yield columns, (done + fraction * leaf.rows) / total
        done += leaf.rows


def _leaf_chunks(leaf: _Leaf, kinds: Kinds, description: Description) -> Iterator[Chunk]:
    masks = (description.masks[name] for name in kinds if name in description.masks)
    lacking = {*kinds, *masks} - set(read_footer(leaf.path)[1].names)
    if lacking:
        raise IngestError(f"{leaf.path} lacks the column {min(lacking)} of the first file; fetch it again.")
    return parquet_chunks(leaf.path, kinds, description)
