"""HATS: the sources in Parquet files, one a HEALPix pixel, as LSDB reads them.

The folder has the manifest of a catalogue too, so that galviz opens it in place.

A file holds at most `ROWS` sources, unless a pixel of the order `DEEPEST` holds more. The rows wait in one file, each
chunk sorted by pixel, until it is known how many there are in each pixel.
"""

from __future__ import annotations

import datetime
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from galviz.catalogue import MANIFEST, write_text
from galviz.disk import put, sha256_of, whole
from galviz.errors import GalvizError
from galviz.export.sheet import Sheet, schema_of, table_of
from galviz.export.votable import described
from galviz.healpix import NOWHERE, ORDER, healpix
from galviz.manifest import Column, Group, Manifest, Part, stamp

ROWS = 1_000_000
DEEPEST = 9
INDEX = f"_healpix_{ORDER}"
PROPERTIES = "hats.properties"
_GROUP = 100_000  # rows of a row group
_PLACE = Column(INDEX, "int64", "other", "", "pos.healpix", f"HEALPix pixel of order {ORDER}, nested")


@dataclass(frozen=True)
class Tile:
    """A HEALPix pixel, nested, and how many sources lie in it."""

    order: int
    pixel: int
    rows: int

    @property
    def path(self) -> str:
        """Where its file lies in the folder `dataset`."""
        return f"Norder={self.order}/Dir={self.pixel // 10_000 * 10_000}/Npix={self.pixel}.parquet"

    @property
    def span(self) -> tuple[int, int]:
        """The pixels of the finest order in it: the first, and the one behind the last."""
        depth = 2 * (ORDER - self.order)
        return self.pixel << depth, (self.pixel + 1) << depth


def replace_hats(write: Callable[[Sheet, Path], None], sheet: Sheet, target: Path) -> None:
    """Write a folder under a temporary name and put it in the place of what was there.

    Raises GalvizError where that is no HATS catalogue.
    """
    if target.exists() and not (target / PROPERTIES).is_file():
        raise GalvizError(f"{target} is not a HATS catalogue and is not overwritten; choose another name.")
    target = Path(os.path.realpath(target))
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        temporary.mkdir()
        write(sheet, temporary)
        put(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_hats(sheet: Sheet, folder: Path) -> None:
    """A HATS catalogue of objects in the empty `folder`.

    Raises GalvizError where there is no source, or one without a position.
    """
    east, north = _position(sheet.columns)
    if INDEX in (column.name for column in sheet.columns):
        raise GalvizError(f"HATS makes the column {INDEX} itself; leave it out with --columns.")
    if sheet.rows == 0:
        raise GalvizError("HATS has no place for a selection without sources; select some.")
    fields = [pa.field(INDEX, pa.int64()), *schema_of(sheet)]
    schema = described(pa.schema(fields, metadata=sheet.provenance), sheet, (_PLACE,))
    waiting = folder / ".waiting"
    counts = _sort_chunks(sheet, (east.name, north.name), schema, waiting)
    tiles = tile(counts, ROWS)
    _write_tiles(tiles, schema, waiting, folder / "dataset")
    waiting.unlink()
    write_text(folder / MANIFEST, _manifest(sheet, tiles, folder).to_json())
    _write_lines(folder / "partition_info.csv", ["Norder,Npix", *(f"{t.order},{t.pixel}" for t in tiles)])
    properties = _properties(sheet, east.name, north.name, tiles)
    for name in (PROPERTIES, "properties"):  # readers before HATS 0.5 know the second name only
        _write_lines(folder / name, ["#HATS catalog", *(f"{key}={value}" for key, value in properties.items())])


def _position(columns: Sequence[Column]) -> tuple[Column, Column]:
    found = [column for column in columns if column.role == "position"]
    east = [column for column in found if column.ucd.startswith("pos.eq.ra") or column.name == "ra"]
    north = [column for column in found if column.ucd.startswith("pos.eq.dec") or column.name == "dec"]
    if not east or not north:
        raise GalvizError("HATS sorts sources by position; export the columns of right ascension and declination too.")
    return east[0], north[0]


def _sort_chunks(sheet: Sheet, position: tuple[str, str], schema: Any, waiting: Path) -> NDArray[np.int64]:
    """Write each chunk sorted by pixel to the file `waiting` and return the sources of each pixel of `DEEPEST`."""
    counts = np.zeros(12 << 2 * DEEPEST, np.int64)
    with pa.OSFile(str(waiting), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for chunk in sheet.chunks:
            pixels = healpix(*(chunk[name] for name in position))
            if nowhere := int((pixels == NOWHERE).sum()):
                raise GalvizError(
                    f"HATS needs a position of each source, and {nowhere:,} have none; select the others."
                )
            order = np.argsort(pixels, kind="stable")
            found, numbers = np.unique(pixels >> 2 * (ORDER - DEEPEST), return_counts=True)
            counts[found] += numbers
            writer.write_table(table_of({INDEX: pixels, **chunk}, schema).take(pa.array(order)))
    return counts


def tile(counts: NDArray[np.int64], rows: int) -> list[Tile]:
    """The largest pixels of at most `rows` sources that hold them all, in nested order.

    `counts` are the sources of each pixel of one order; a pixel of it that holds more than `rows` is a tile too.
    """
    deepest = int(np.log2(len(counts) // 12)) // 2
    tiles, open_ = [], np.arange(12)
    for order in range(deepest + 1):
        sums = counts.reshape(12 << 2 * order, -1).sum(axis=1)[open_]
        small = (sums <= rows) | (order == deepest)
        tiles += [
            Tile(order, int(pixel), int(number))
            for pixel, number in zip(open_[small], sums[small], strict=True)
            if number
        ]
        open_ = (4 * open_[~small][:, None] + np.arange(4)).ravel()
    return sorted(tiles, key=lambda entry: entry.span)


def _write_tiles(tiles: Sequence[Tile], schema: Any, waiting: Path, folder: Path) -> None:
    """Each tile as a file sorted by pixel, and the metadata of all of them."""
    footers: list[Any] = []
    folder.mkdir()
    with pa.memory_map(str(waiting)) as file:
        reader = pa.ipc.open_file(file)
        chunks = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        pixels = [chunk.column(INDEX).to_numpy() for chunk in chunks]
        for entry in tiles:
            table = pa.Table.from_batches(_slices(chunks, pixels, entry), schema)
            _write_tile(table.sort_by(INDEX), folder, entry, footers)
    pq.write_metadata(schema, folder / "_common_metadata")
    pq.write_metadata(schema, folder / "_metadata", metadata_collector=footers)


def _slices(chunks: Sequence[Any], pixels: Sequence[NDArray[np.int64]], entry: Tile) -> Iterator[Any]:
    for chunk, places in zip(chunks, pixels, strict=True):
        first, last = np.searchsorted(places, entry.span).tolist()
        if first < last:
            yield chunk.slice(first, last - first)


def _write_tile(table: Any, folder: Path, entry: Tile, footers: list[Any]) -> None:
    path = folder / entry.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True, row_group_size=_GROUP)
    footers.append(pq.read_metadata(path))
    footers[-1].set_file_path(entry.path)


def _manifest(sheet: Sheet, tiles: Sequence[Tile], folder: Path) -> Manifest:
    """The manifest of the same sources as a catalogue whose parts are the tiles."""
    names = {column.name for column in sheet.columns}
    parts = tuple(
        Part(f"dataset/{entry.path}", entry.rows, sha256_of(folder / "dataset" / entry.path)) for entry in tiles
    )
    base = Group("base", tuple(replace(column, formula=()) for column in sheet.columns), parts, sheet.provenance)
    return replace(
        sheet.manifest,
        features=tuple(name for name in sheet.manifest.features if name in names),
        derived=tuple(column for column in sheet.manifest.derived if column.name not in names),
        groups=(base,),
        version=1,
        created=stamp()["date"],
    )


def _properties(sheet: Sheet, east: str, north: str, tiles: Sequence[Tile]) -> dict[str, object]:
    area = sum(0.25**entry.order for entry in tiles) / 12
    words = {key: " ".join(value.split()).replace("\\", r"\\\\") for key, value in sheet.provenance.items()}
    return {
        "obs_collection": words["catalogue"],
        "obs_title": words["title"],
        "obs_description": f"selection: {words['selection']}; simulated: {words['simulated']}",
        "dataproduct_type": "object",
        "hats_nrows": sheet.rows,
        "hats_col_ra": east,
        "hats_col_dec": north,
        "hats_col_healpix": INDEX,
        "hats_col_healpix_order": ORDER,
        "hats_npix_suffix": ".parquet",
        "hats_max_rows": max((entry.rows for entry in tiles), default=0),
        "hats_order": max((entry.order for entry in tiles), default=0),
        "hats_builder": words["software"],
        "hats_creation_date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%MUTC"),
        "hats_version": "v1.0",
        "moc_sky_fraction": f"{area:.5f}",
        **({"bib_reference": f"doi:{words['doi']}"} if "doi" in words else {}),
    }


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    with whole(path) as file:
        file.write(("\n".join(lines) + "\n").encode())
