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
