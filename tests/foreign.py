"""Small foreign files for tests: rows as SDSS and WISE would list them, in any format."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import Table

from galviz.healpix import healpix

BANDS = ("u", "g", "r", "i", "z")


def sources(rows: int, seed: int = 0, *, labelled: bool = False) -> pd.DataFrame:
    """Rows that pass every cleaning step, sorted by place as a catalogue is; identifiers above 2^53."""
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(0, 360, rows), rng.uniform(-20, 70, rows)
    order = np.argsort(healpix(ra, dec), kind="stable")
    frame: dict[str, Any] = {
        "objid": 1237648720693755918 + np.arange(rows),
        "ra": ra[order],
        "dec": dec[order],
    }
    frame |= {f"psf_{band}": rng.uniform(15, 22, rows).astype(np.float32) for band in BANDS}
    frame |= {f"w{number}": rng.uniform(8, 16, rows).astype(np.float32) for number in range(1, 5)}
    frame["cmod_r"] = (frame["psf_r"] - rng.uniform(0, 2, rows)).astype(np.float32)
    if labelled:
        frame["class"] = rng.choice(["GALAXY", "QSO", "STAR"], rows)
        frame["zwarning"] = rng.choice([0, 16], rows)
        frame["z"] = rng.uniform(0, 3, rows).astype(np.float32)
    return pd.DataFrame(frame)


def write(frame: pd.DataFrame, path: Path) -> Path:
    """Write a frame in the format of the suffix: .csv, .csv.gz, .tsv, .ssv (semicolons), .fits or .parquet."""
    separators = {".csv": ",", ".tsv": "\t", ".ssv": ";"}
    if path.suffix in separators:
        frame.to_csv(path, index=False, sep=separators[path.suffix])
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    elif path.suffix == ".fits":
        table = Table({name: np.array(frame[name].tolist()) for name in frame.columns})
        table.write(path, overwrite=True)
    else:
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
    return path


def write_hats(rows: pd.DataFrame | pa.Table, path: Path, *, order: int = 1) -> Path:
    """A HATS catalogue as hats-import writes it: rows sorted by place, one file a pixel of `order`."""
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pandas(rows, preserve_index=False)
    pixels = healpix(*(table[name].to_numpy() for name in ("ra", "dec")))
    sorting = np.argsort(pixels, kind="stable")
    table = table.take(pa.array(sorting)).add_column(0, "_healpix_29", pa.array(pixels[sorting]))
    tiles = pixels[sorting] >> 2 * (29 - order)
    found, starts = np.unique(tiles, return_index=True)
    for pixel, start, stop in zip(found.tolist(), starts, [*starts[1:], len(tiles)], strict=True):
        leaf = path / "dataset" / f"Norder={order}" / f"Dir={pixel // 10_000 * 10_000}" / f"Npix={pixel}.parquet"
        leaf.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.slice(start, stop - start), leaf, write_page_checksum=True)
    words = {
        "obs_collection": path.name, "dataproduct_type": "object", "hats_nrows": len(tiles), "hats_col_ra": "ra",
        "hats_col_dec": "dec", "hats_builder": "a test", "hats_creation_date": "2026-11-21T12:00UTC",
    }  # fmt: skip
    for name in ("hats.properties", "properties"):
        (path / name).write_text("#HATS catalog\n" + "".join(f"{key}={value}\n" for key, value in words.items()))
    (path / "partition_info.csv").write_text("Norder,Npix\n" + "".join(f"{order},{pixel}\n" for pixel in found))
    return path
