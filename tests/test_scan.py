"""Rows in their order, from the index or the Parquet parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import law
from galviz import scan
from galviz.catalogue import Catalogue
from galviz.draw import Request, Viewport, never
from galviz.errors import Cancelled, CatalogueError
from galviz.index import build_index
from galviz.selection import Selection

ROWS = 3000


@pytest.fixture(scope="module", params=["parquet", "loose columns", "none"])
def catalogue(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """Every place that rows are read from."""
    made = law.write(tmp_path_factory.mktemp("scan") / "cat", law.survey(ROWS, 31), parts=5)
    if request.param != "parquet":
        with law.cut_small(ROWS, loose=request.param == "loose columns"):
            build_index(made)
    return made


@pytest.mark.parametrize("rows", [1 << 20, 700])
def test_blocks_hold_every_row_once_in_order(catalogue: Catalogue, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "ROWS", rows)
    monkeypatch.setattr(scan, "AHEAD", 2)
    frame = catalogue.frame().compute()
    for columns in (["r", "class_pred"], ["g_r", "note"], ["ra"]):
        place = 0
        for start, block in scan.rows_of(catalogue, columns, never):
            assert start == place
            part = slice(start, start + len(block))
            for name in columns:
                if name == "class_pred":
                    np.testing.assert_array_equal(block.codes(name), frame[name].cat.codes[part])
                    assert list(block[name]) == frame[name].iloc[part].tolist() or block[name].codes.min() < 0
                else:
                    np.testing.assert_array_equal(block[name], frame[name].iloc[part])
                    assert not block.codes(name).flags.writeable
            place += len(block)
        assert place == ROWS


@pytest.mark.parametrize("text", ["", "r > 17 and note > 0", "class == 'QSO'", "r > 99"])
def test_selected_rows_are_those_of_the_frame(catalogue: Catalogue, text: str) -> None:
    chosen = Selection.parse(text)
    frame = catalogue.frame().compute()
    mask = np.concatenate([mask for _, _, mask in scan.selected(catalogue, chosen, ["r"], never)])
    np.testing.assert_array_equal(mask, chosen.mask(frame))


@pytest.mark.parametrize("statistic", law.STATISTICS)
def test_pictures_of_any_columns_equal_datashader(catalogue: Catalogue, statistic: str) -> None:
    peer = law.Peer(catalogue)
    for view in (Viewport("u", "i", (-6, 6), (13, 22), 9, 8), Viewport("ra", "ra", (0, 360), (0, 360), 30, 20)):
        options = {} if statistic == "count" else {statistic: "class" if statistic == "by" else "note"}
        request = Request(view, Selection.parse("r > 16 and note > -1"), **options)
        assert not law.differs(request, scan.draw(catalogue, request, never), peer.picture(request), 10.0)


def test_rows_are_not_read_once_it_is_stopped(catalogue: Catalogue) -> None:
    with pytest.raises(Cancelled):
        next(iter(scan.rows_of(catalogue, ["note"], lambda: True)))
    with pytest.raises(Cancelled):
        scan.draw(catalogue, Request(Viewport("u", "v", (0, 1), (0, 1)), mean="i"), lambda: True)


def test_a_damaged_part_is_said(tmp_path: Path) -> None:
    broken = law.write(tmp_path / "cat", law.survey(200, 1))
    (broken.path / "parts" / "part-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(CatalogueError, match="Cannot read"):
        list(scan.rows_of(broken, ["note"], never))
