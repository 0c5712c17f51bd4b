from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from itertools import count, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import galviz as gv
from galviz.catalogue import Catalogue
from galviz.errors import Cancelled, GalvizError
from galviz.export import hats
from galviz.healpix import healpix
from galviz.index import build_index
from galviz.ingest.readers import open_table
from galviz.manifest import Column
from galviz.simulate.catalogue import simulate
from tests.faults import Disk, failing
from tests.samples import write_catalogue

# LSDB speaks to pandas in ways that pandas warns of, so it has a process of its own.
OPEN_WITH_LSDB = """
import json, logging, sys, warnings
warnings.simplefilter("ignore")
import lsdb
from hats.io.validation import is_valid_catalog
opened = lsdb.open_catalog(sys.argv[1])
rows = opened.compute().sort_values("objid")
near = opened.cone_search(float(sys.argv[2]), float(sys.argv[3]), 5 * 3600).compute()
opened.write_catalog(sys.argv[4])
told = {name: rows[name].tolist() for name in ("objid", "ra", "dec", "class")}
print(json.dumps({"valid": is_valid_catalog(sys.argv[1], strict=True), "near": sorted(near["objid"].tolist()), **told}))
"""


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return simulate(tmp_path_factory.mktemp("hats") / "sky", 4000, 5, labelled=True)


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hats, "ROWS", 300)
    monkeypatch.setattr(sys.modules["galviz.export"], "_CHUNK", 900)  # so that a tile is put together


@pytest.mark.skipif(find_spec("lsdb") is None, reason="lsdb is not installed")
def test_lsdb_opens_it_with_equal_rows(sky: Catalogue, small_tiles: None, tmp_path: Path) -> None:
    gv.export(sky, "psf_r < 21", tmp_path / "sky.hats")
    before = sky.frame(["objid", "ra", "dec", "class"], "psf_r < 21").compute().sort_values("objid")
    middle = before.iloc[len(before) // 2]
    arguments = [str(tmp_path / "sky.hats"), str(middle["ra"]), str(middle["dec"]), str(tmp_path / "again")]
    run = subprocess.run(
        [sys.executable, "-c", OPEN_WITH_LSDB, *arguments], capture_output=True, text=True, check=False, timeout=300
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])
    assert told["valid"]
    for name in ("objid", "ra", "dec"):
        assert told[name] == before[name].tolist()
    assert told["class"] == before["class"].astype(object).where(before["class"].notna(), None).tolist()
    east, north = (np.radians(before[name].to_numpy()) for name in ("ra", "dec"))
    cosine = np.sin(north) * np.sin(np.radians(middle["dec"])) + np.cos(north) * np.cos(
        np.radians(middle["dec"])
    ) * np.cos(east - np.radians(middle["ra"]))
    assert told["near"] == before["objid"][cosine >= np.cos(np.radians(5))].tolist()
    again = open_table(tmp_path / "again")
    objids = np.concatenate([columns["objid"] for columns, _ in again.chunks({"objid": "integer"})])
    assert sorted(objids.tolist()) == told["objid"], "what LSDB writes is read as well"


def test_tiles_are_small_sorted_and_where_their_names_say(sky: Catalogue, small_tiles: None, tmp_path: Path) -> None:
    rows = gv.export(sky, None, tmp_path / "sky.hats")
    listed = (tmp_path / "sky.hats" / "partition_info.csv").read_text().split()
    assert listed[0] == "Norder,Npix"
    total = 0
    for line in listed[1:]:
        order, pixel = map(int, line.split(","))
        file = tmp_path / "sky.hats" / "dataset" / f"Norder={order}" / "Dir=0" / f"Npix={pixel}.parquet"
        table = pq.read_table(file, page_checksum_verification=True, partitioning=None)
        places = table["_healpix_29"].to_numpy()
        np.testing.assert_array_equal(places, healpix(table["ra"].to_numpy(), table["dec"].to_numpy()))
        assert np.all(np.diff(places) >= 0)
        assert set((places >> 2 * (29 - order)).tolist()) == {pixel}
        assert 0 < len(places) <= 300
        total += len(places)
    assert total == rows == sky.rows
    assert pq.read_metadata(tmp_path / "sky.hats" / "dataset" / "_metadata").num_rows == rows
    assert not list((tmp_path / "sky.hats").glob(".*"))


@given(
    counts=st.lists(st.integers(0, 9), min_size=12 * 16, max_size=12 * 16),
    rows=st.integers(1, 60),
)
def test_tiles_hold_every_source_once(counts: list[int], rows: int) -> None:
    tiles = hats.tile(np.array(counts), rows)
    assert sum(entry.rows for entry in tiles) == sum(counts)
    spans = [entry.span for entry in tiles]
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
    assert all(0 < entry.rows <= rows or entry.order == 2 for entry in tiles)
    for entry in tiles:
        depth = 2 * (2 - entry.order)
        assert entry.rows == sum(counts[entry.pixel << depth : (entry.pixel + 1) << depth])
        if entry.order:
            parent = entry.pixel // 4 << depth + 2
            assert sum(counts[parent : parent + (4 << depth)]) > rows, "the tile could be larger"


def test_galviz_opens_it_in_place(sky: Catalogue, small_tiles: None, tmp_path: Path) -> None:
    gv.export(sky, "psf_r < 21", tmp_path / "sky.hats")
    opened = gv.open_catalogue(tmp_path / "sky.hats")
    assert opened.rows == sky.count("psf_r < 21")
    assert list(opened.manifest.columns) == list(sky.manifest.columns)
    assert opened.manifest.classes == sky.manifest.classes
    assert opened.manifest.groups[0].provenance["selection"] == "psf_r < 21"
    names = list(sky.manifest.columns)
    before, after = (
        catalogue.frame(names, where).compute().sort_values("objid").reset_index(drop=True)
        for catalogue, where in ((sky, "psf_r < 21"), (opened, ""))
    )
    pd.testing.assert_frame_equal(before, after)
    where = "class == 'QSO' and g_r < 0.3"
    assert opened.count(where) == sky.count(f"{where} and psf_r < 21") > 0
    for part in opened.manifest.groups[0].parts:
        assert hashlib.sha256((opened.path / part.path).read_bytes()).hexdigest() == part.sha256
    column = Column("twice", "float32")
    added = opened.add_columns(
        "twice", (column,), [{"twice": np.ones(p.rows)} for p in opened.manifest.groups[0].parts]
    )
    build_index(added)
    view = gv.Viewport("ra", "dec", x_range=(0, 360), y_range=(-90, 90), width=40, height=30)
    drawn = [gv.draw(cat, view, "psf_r < 21", by="class") for cat in (added, sky)]
    assert drawn[0].equals(drawn[1])


def test_columns_that_are_derived_here_are_stored_there(sky: Catalogue, tmp_path: Path) -> None:
    gv.export(sky, None, tmp_path / "sky.hats", ["ra", "dec", "class", "g_r"])
    opened = gv.open_catalogue(tmp_path / "sky.hats")
    assert list(opened.manifest.columns)[:4] == ["ra", "dec", "class", "g_r"]
    assert opened.manifest.features == ()
    values = [catalogue.frame(["g_r"]).compute()["g_r"].sort_values().to_numpy() for catalogue in (opened, sky)]
    np.testing.assert_array_equal(*values)


def test_a_stop_leaves_the_old_catalogue(sky: Catalogue, tmp_path: Path) -> None:
    def stop(fraction: float, words: str) -> None:
        raise Cancelled("The export was stopped.")

    gv.export(sky, "psf_r < 18", tmp_path / "sky.hats")
    before = sorted(path.read_bytes() for path in (tmp_path / "sky.hats").rglob("*") if path.is_file())
    with pytest.raises(Cancelled):
        gv.export(sky, None, tmp_path / "sky.hats", progress=stop)
    assert sorted(path.read_bytes() for path in (tmp_path / "sky.hats").rglob("*") if path.is_file()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["sky.hats"]
    gv.export(sky, None, tmp_path / "sky.hats")
    assert f"hats_nrows={sky.rows}\n" in (tmp_path / "sky.hats" / "hats.properties").read_text()


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_disk_that_fails_leaves_the_old_catalogue_or_the_new_one(
    sky: Catalogue, tmp_path: Path, exchanges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchanges:
        monkeypatch.setattr("galviz.disk._exchanged", lambda one, other: False)
    rows = {gv.export(sky, where, tmp_path / "sky.hats") for where in ("psf_r < 19", "psf_r < 18")}
    for number in count(1, 3):
        with failing(Disk(number)) as disk, suppress(GalvizError, OSError):
            gv.export(sky, "psf_r < 19", tmp_path / "sky.hats")
        if disk.done < number:
            break
        assert gv.open_catalogue(tmp_path / "sky.hats").rows in rows
        assert [path.name for path in tmp_path.iterdir()] == ["sky.hats"]
    assert number > 20


def test_what_is_no_hats_catalogue_is_not_replaced(sky: Catalogue, tmp_path: Path) -> None:
    (tmp_path / "mine.hats").mkdir()
    (tmp_path / "mine.hats" / "notes.txt").write_text("mine")
    with pytest.raises(GalvizError, match="is not a HATS catalogue and is not overwritten"):
        gv.export(sky, None, tmp_path / "mine.hats")
    assert (tmp_path / "mine.hats" / "notes.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.hats"]


def test_what_hats_cannot_hold(sky: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(GalvizError, match="export the columns of right ascension and declination too"):
        gv.export(sky, None, tmp_path / "sky.hats", ["objid", "ra"])
    with pytest.raises(GalvizError, match="without sources"):
        gv.export(sky, "psf_r < 0", tmp_path / "sky.hats")
    made = write_catalogue(tmp_path / "cat", {"r": np.arange(2, dtype=np.float32)}, parts=1)
    places = (Column("ra", "float64", "position", "deg"), Column("dec", "float64", "position", "deg"))
    made = made.add_columns("place", places, [{"ra": np.array([1.0, np.nan]), "dec": np.zeros(2)}])
    with pytest.raises(GalvizError, match="1 have none"):
        gv.export(made, None, tmp_path / "cat.hats")
    assert gv.export(made, "r < 1", tmp_path / "cat.hats") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cat", "cat.hats"]
