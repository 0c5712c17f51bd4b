"""Stretches of a file, one after the other, are the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galviz.ingest.readers import ForeignTable, open_table
from tests.foreign import sources, write

KINDS = {"objid": "integer", "ra": "number", "psf_r": "number", "class": "text"}


def joined(chunks: Any) -> dict[str, list[Any]]:
    result: dict[str, list[Any]] = {name: [] for name in KINDS}
    for columns, fraction, *_ in chunks:
        assert 0 <= fraction <= 1
        for name, values in columns.items():
            result[name] += values.to_pylist() if isinstance(values, pa.Array) else values.tolist()
    return result


def by_stretches(table: ForeignTable) -> dict[str, list[Any]]:
    assert table.stretch is not None
    stretch = table.stretch
    return joined(chunk for number in range(table.stretches) for chunk in stretch(KINDS, number))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".fits", ".parquet"])
def test_the_stretches_of_every_format_are_the_file(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("galviz.ingest.readers.delimited._STRETCH", 3_000)
    monkeypatch.setattr("galviz.ingest.readers.table.ROWS", 40)
    frame = sources(300, labelled=True)
    path = write(frame, tmp_path / f"rows{suffix}")
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, row_group_size=30)
    table = open_table(path)
    assert table.stretches > 3
    found = by_stretches(table)
    assert found == joined(table.chunks(KINDS))
    assert np.array_equal(np.float32(found.pop("psf_r")), frame["psf_r"])
    assert found == frame[list(found)].to_dict("list")


@given(
    lines=st.lists(st.text("abc", max_size=9), max_size=12),
    stretch=st.integers(1, 60),
    ending=st.sampled_from(["\n", "\r\n", "\n\n"]),
    final=st.booleans(),
)
@settings(max_examples=60)
def test_every_line_of_a_csv_is_in_one_stretch(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], stretch: int, ending: str, final: bool
) -> None:
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    text = ending.join(["# a comment", "objid,ra,psf_r,class", *(f"{n},1.5,,x{line}" for n, line in enumerate(lines))])
    path.write_bytes(("\ufeff" + text + ending * final).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("galviz.ingest.readers.delimited._STRETCH", stretch)
        table = open_table(path)
        assert table.stretches >= 1
        found = by_stretches(table)
    assert found["class"] == [f"x{line}" for line in lines]
    assert found["objid"] == list(range(len(lines)))
    assert np.isnan(found["psf_r"]).all()


def test_lines_that_end_as_long_ago_are_read_in_one_go(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_bytes(b"objid,ra,psf_r,class\r1,2.5,3,QSO\r2,2.5,3,STAR\r")
    table = open_table(tmp_path / "old.csv")
    assert (table.stretch, table.stretches) == (None, 1)
    assert joined(table.chunks(KINDS))["class"] == ["QSO", "STAR"]
