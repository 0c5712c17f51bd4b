"""A cluster makes the very bytes that one machine does."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from galviz.__main__ import main
from galviz.errors import IngestError
from galviz.ingest import ingest
from tests.cluster import cluster
from tests.faults import contents
from tests.foreign import sources, write


def not_here(*_: object) -> None:
    raise AssertionError("a file was read in the main process")


def test_a_cluster_of_two_workers_makes_the_same_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setattr("galviz.ingest.job.PART_ROWS", 700)
    monkeypatch.setattr("galviz.ingest.job.RUN_BYTES", 8 * 14 * 300)
    rng = np.random.default_rng(3)
    frame = sources(3_000, labelled=True).assign(match_dist=rng.uniform(0, 2, 3_000)).sample(frac=1, random_state=2)
    frame["objid"] = rng.choice(frame["objid"], 3_000)
    names = ("a.csv", "b.parquet", "c.fits", "d.csv.gz", "e.csv.gz")
    cuts = pairwise((0, 900, 1700, 2400, 2800, 3000))
    files = [write(frame[slice(*cut)], tmp_path / name) for name, cut in zip(names, cuts, strict=True)]
    ingest(files, tmp_path / "here" / "out", "sdss-wise")
    bad = write(frame.assign(psf_r="bright"), tmp_path / "bad.parquet")
    alone = ingest(files[-1], tmp_path / "alone" / "here", "sdss-wise")
    with cluster() as client:
        with monkeypatch.context() as patch:
            patch.setattr("galviz.ingest.work.write_runs", not_here)
            ingest(files, tmp_path / "there" / "out", "sdss-wise", client=client)
            with pytest.raises(AssertionError, match="main process"):
                ingest(files[-1], tmp_path / "alone" / "there", "sdss-wise", client=client)
        assert ingest(files[-1], tmp_path / "alone" / "there", "sdss-wise", client=client).rows == alone.rows
        with pytest.raises(IngestError, match=r"psf_r of .*bad.parquet does not hold numbers"):
            ingest(bad, tmp_path / "bad" / "out", "sdss-wise", client=client)
        address = client.scheduler.address
        command = ["ingest", *map(str, files), str(tmp_path / "line" / "out"), "--survey", "sdss-wise"]
        assert main([*command, "--scheduler", address]) == 0
    made = contents(tmp_path / "here" / "out")
    assert len(made) == 4
    assert contents(tmp_path / "there" / "out") == made
    assert not list((tmp_path / "bad").iterdir())
    assert contents(tmp_path / "line" / "out") == made
