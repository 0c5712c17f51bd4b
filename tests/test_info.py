from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galviz import open_catalogue
from galviz.catalogue import Catalogue, tallies
from galviz.errors import CatalogueError
from galviz.index import build_index
from galviz.info import describe, lines
from galviz.ingest import ingest
from galviz.manifest import Column
from tests.foreign import sources, write
from tests.samples import COLUMNS, random_arrays, write_catalogue


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


def columns(catalogue: Catalogue) -> dict[str, dict[str, object]]:
    return {column["name"]: column for column in describe(catalogue)["columns"]}


def test_no_value_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = random_arrays(1000)
    catalogue = write_catalogue(tmp_path / "cat", arrays)
    monkeypatch.setattr(Catalogue, "read_part", None)
    facts = columns(catalogue)
    for name in ("x", "y", "r", "w"):
        known = arrays[name][np.isfinite(arrays[name])]
        assert (facts[name]["min"], facts[name]["max"]) == (known.min(), known.max())
        assert facts[name]["missing"] == 1000 - len(known)
    assert (facts["objid"]["min"], facts["objid"]["max"], facts["objid"]["missing"]) == (2**60, 2**60 + 999, 0)
    codes = np.bincount(arrays["class"] + 1, minlength=4).tolist()
    assert facts["class"]["counts"] == dict(zip(("GALAXY", "QSO", "STAR"), codes[1:], strict=True))
    assert facts["class"]["missing"] == codes[0]


def test_parts_that_were_written_without_are_read(tmp_path: Path) -> None:
    catalogue = write_catalogue(tmp_path / "cat")
    before = describe(catalogue)
    for part in catalogue.manifest.groups[0].parts[:2]:
        path = catalogue.path / part.path
        pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    assert describe(catalogue) == before


def test_a_part_whose_end_is_lost_is_named(tmp_path: Path) -> None:
    catalogue = write_catalogue(tmp_path / "cat")
    path = catalogue.path / catalogue.manifest.groups[0].parts[1].path
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CatalogueError, match=f"Cannot read {path}"):
        describe(catalogue)


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.floats(width=32) | st.just(float("nan")), max_size=8), cut=st.integers(0, 8))
def test_parts_sum_up_to_the_whole(values: list[float], cut: int) -> None:
    array = np.array(values, np.float32)
    whole = tallies([COLUMNS["r"]], {"r": array})["r"]
    parts = [tallies([COLUMNS["r"]], {"r": piece})["r"] for piece in (array[:cut], array[cut:])]
    assert whole["missing"] == sum(part["missing"] for part in parts)
    for side, of in (("min", min), ("max", max)):
        assert whole[side] == of((part[side] for part in parts if part[side] is not None), default=None)
    assert json.loads(json.dumps(parts)) == parts


def test_the_ledger_the_extinction_and_the_versions_are_told(tmp_path: Path) -> None:
    frame = sources(12, labelled=True)
    frame.loc[1, "zwarning"] = 4
    frame.loc[2, "class"] = "NEBULA"
    facts = describe(ingest(write(frame, tmp_path / "rows.csv"), tmp_path / "cat", "sdss-wise"))
    assert (facts["ledger"]["rows_read"], facts["ledger"]["rows_kept"], facts["rows"]) == (12, 11, 11)
    dropped = {step["kept where"]: step["dropped"] for step in facts["ledger"]["steps"]}
    assert {where: number for where, number in dropped.items() if number} == {"zwarning in {0, 16}": 1}
    assert facts["ledger"]["unknown_classes"] == {"NEBULA": 1}
    found = {column["name"]: column for column in facts["columns"]}
    assert (found["psf_r"]["extinction"], found["psf_r"]["group"]) == ("uncorrected", "base")
    assert (facts["version"], facts["format"]) == (1, 1)
    assert facts["software"].startswith("galviz ")
    assert describe(write_catalogue(tmp_path / "other"))["ledger"] == {}
