"""Parts are stretches of the sky: sorted, of the size that was asked for, however the sources lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from benchmarks import ingest as benchmark
from galviz.catalogue import Catalogue, open_catalogue
from galviz.healpix import healpix
from galviz.ingest import ingest
from galviz.verify import verify
from tests.foreign import sources, write

SKIES = ("everywhere", "one place", "two places", "one pixel", "nowhere")


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("galviz.ingest.job.PART_ROWS", 50)
    monkeypatch.setattr("galviz.ingest.job.RUN_BYTES", 8 * 14 * 40)
    monkeypatch.setattr("galviz.ingest.readers.ROWS", 20)


def spread(frame: pd.DataFrame, sky: str) -> pd.DataFrame:
    """The sources in no order, over as much of the sky as the name says."""
    rng = np.random.default_rng(5)
    frame = frame.sample(frac=1, random_state=1).reset_index(drop=True)
    if sky == "one place":
        return frame.assign(ra=10.0, dec=-5.0)
    if sky == "two places":
        return frame.assign(ra=np.where(rng.random(len(frame)) < 0.7, 10.0, 200.0), dec=-5.0)
    if sky == "one pixel":
        return frame.assign(ra=10 + 1e-9 * rng.integers(0, 5, len(frame)), dec=-5.0)
    return frame


def column(catalogue: Catalogue, name: str) -> np.ndarray:
    return np.concatenate([catalogue.read_part(part, [name])[name] for part in range(catalogue.parts)])


@pytest.mark.parametrize("sky", SKIES[:4])
@pytest.mark.parametrize("samples", [1 << 21, 40])
def test_rows_are_sorted_by_place_and_then_as_in_the_input(
    tmp_path: Path, sky: str, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("galviz.ingest.parts.SAMPLES", samples)
    frame = spread(sources(330), sky)
    frame.loc[::11, "objid"] = frame["objid"].shift(-7)[::11].fillna(3).astype(np.int64)
    pieces = (frame[:100], frame[100:250], frame[250:])
    files = [write(piece, tmp_path / f"{number}.parquet") for number, piece in enumerate(pieces)]
    catalogue = ingest(files, tmp_path / "out", "sdss-wise")
    kept = frame.drop_duplicates("objid")
    order = np.argsort(healpix(kept["ra"], kept["dec"]), kind="stable")
    np.testing.assert_array_equal(column(catalogue, "objid"), kept["objid"].to_numpy()[order])
    sizes = [part.rows for part in catalogue.manifest.groups[0].parts]
    if samples > len(kept):
        assert sizes == [50] * (len(kept) // 50) + [len(kept) % 50]
    else:
        assert max(sizes) < 2 * 50
    verify(catalogue)


def test_of_equal_matches_the_first_row_stays_though_it_lies_behind_on_the_sky(tmp_path: Path) -> None:
    frame = sources(6).iloc[::-1].assign(objid=4, match_dist=0.5)
    catalogue = ingest(write(frame, tmp_path / "rows.csv"), tmp_path / "out", "sdss-wise")
    assert column(catalogue, "ra").tolist() == frame["ra"].tolist()[:1]


def test_the_order_is_named_in_the_manifest(tmp_path: Path) -> None:
    catalogue = ingest(write(sources(3), tmp_path / "rows.csv"), tmp_path / "out", "sdss-wise")
    assert catalogue.manifest.groups[0].provenance["sorted by"] == {
        "scheme": "HEALPix, nested", "order": 29, "columns": ["ra", "dec"],
    }  # fmt: skip


def test_the_benchmark_measures_the_published_layout(tmp_path: Path) -> None:
    benchmark.write_csv(tmp_path / "rows.csv", 700)
    benchmark.with_galviz(tmp_path / "rows.csv", tmp_path / "out")
    benchmark.with_types(tmp_path / "rows.csv", tmp_path / "rows.parquet")
    table = pq.read_table(tmp_path / "rows.parquet")
    assert tuple(table.column_names) == benchmark.LAYOUT
    made = open_catalogue(tmp_path / "out")
    assert 650 < made.rows <= 700 == table.num_rows
    assert not set(made.manifest.groups[0].provenance["ignored"])
    run = {"seconds": 2.0, "cpu": 3.0, "memory": 4e8, "bytes": 5e6}
    results = {"results": {"pyarrow": [run], "galviz": [{**run, "seconds": 3.0}]}}
    assert benchmark.ratio_to(results["results"], "pyarrow") == 1.5
    assert "pyarrow                    2.00        1.50 x" in benchmark.table(results)
