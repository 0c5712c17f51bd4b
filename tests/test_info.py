from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from galviz import open_catalogue
from galviz.index import build_index
from galviz.info import describe, lines
from galviz.ingest import ingest
from galviz.manifest import Column
from tests.foreign import sources, write
from tests.samples import write_catalogue


def test_the_state_of_the_index(tmp_path: Path) -> None:
    catalogue = write_catalogue(tmp_path / "cat")
    assert describe(catalogue)["index"] == "missing"
    build_index(catalogue)
    assert describe(catalogue)["index"] == "up to date"
    sizes = [part.rows for part in catalogue.manifest.groups[0].parts]
    changed = catalogue.add_columns("more", (Column("more", "float32"),), [{"more": np.zeros(n)} for n in sizes])
    assert describe(changed)["index"] == "stale"


def test_the_account_of_an_ingest_is_shown(tmp_path: Path) -> None:
    frame = sources(12, labelled=True)
    frame.loc[1, "zwarning"] = 4
    ingest(write(frame, tmp_path / "rows.csv"), tmp_path / "cat", "sdss-wise")
    facts = describe(open_catalogue(tmp_path / "cat"))
    assert json.loads(json.dumps(facts))["groups"]["base"]["rows_read"] == 12
    text = lines(facts)
    assert "  1 dropped, kept where zwarning in {0, 16}: the redshift is not to be trusted" in text
    assert any(line.startswith("psf_u") and "mag AB" in line for line in text)
    assert "SDSS x WISE (observed)" in text


def test_progress_runs_over_the_parts(tmp_path: Path) -> None:
    heard: list[float] = []
    describe(write_catalogue(tmp_path / "cat", parts=4), lambda fraction, words: heard.append(fraction))
    assert heard == [0.25, 0.5, 0.75, 1.0]
