"""A cluster makes the very bytes that one machine does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from galviz.__main__ import main
from galviz.errors import IngestError
from galviz.ingest import ingest
from tests.cluster import cluster
from tests.faults import contents
from tests.foreign import sources, write


def test_a_cluster_of_two_workers_makes_the_same_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setattr("galviz.ingest.job.PART_ROWS", 700)
    monkeypatch.setattr("galviz.ingest.job.RUN_BYTES", 8 * 14 * 300)
    rng = np.random.default_rng(3)
    frame = sources(3_000, labelled=True).assign(match_dist=rng.uniform(0, 2, 3_000)).sample(frac=1, random_state=2)
    frame["objid"] = rng.choice(frame["objid"], 3_000)
    pieces = {"a.csv": frame[:900], "b.parquet": frame[900:1700], "c.fits": frame[1700:2400], "d.csv.gz": frame[2400:]}
    files = [write(piece, tmp_path / name) for name, piece in pieces.items()]
    ingest(files, tmp_path / "here" / "out", "sdss-wise")
    bad = write(frame.assign(psf_r="bright"), tmp_path / "bad.parquet")
    with cluster() as client:
        ingest(files, tmp_path / "there" / "out", "sdss-wise", client=client)
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
