"""The values of a column in the order of a plane, whether it has a copy of the column or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import law
from galviz import exact, values
from galviz.catalogue import Catalogue
from galviz.draw import Request, Viewport, draw, draw_many, never
from galviz.errors import Cancelled
from galviz.index import Index, build_index, open_index
from galviz.selection import Selection
from tests.fresh import forget

ROWS = 4000
VIEW = Viewport("u", "v", (-6, 6), (-4, 4), 40, 30)
SKY = Viewport("ra", "dec", (0, 360), (-90, 90), 40, 30)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    with law.cut_small(ROWS, loose=False):
        made = law.write(tmp_path_factory.mktemp("values") / "cat", law.survey(ROWS, 2))
        build_index(made)
    return made


@pytest.fixture
def index(catalogue: Catalogue) -> Index:
    return open_index(catalogue)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No column of another test, and none left behind; catalogues of any size have copies."""
    monkeypatch.setattr(values, "COPIED_ROWS", 1)

    def empty() -> None:
        values._on_disk.clear()
        values._in_memory.clear()

    empty()
    yield
    empty()


def picked(catalogue: Catalogue, index: Index, name: str) -> list[np.ndarray]:
    """Row and value of each place of each plane, in the order of the rows."""
    found = []
    for plane in index.planes:
        home = np.arange(plane.size, dtype=np.uint32) if plane.home is None else plane.home
        row = np.append(index.row, np.uint32(0xFFFFFFFF))[np.minimum(home, index.row.size)]
        column = values.values_of(catalogue, index, plane, name, never)
        assert column is not None
        found.append(column.pick(0, plane.size)[row != 0xFFFFFFFF][np.argsort(row[row != 0xFFFFFFFF])])
    return found


@pytest.mark.parametrize("name", ["note", "i"])
@pytest.mark.parametrize("room", [True, False])
def test_a_column_in_the_order_of_planes_or_rows_is_the_same(
    catalogue: Catalogue, index: Index, room: bool, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    if not room:
        monkeypatch.setattr(values, "unnamed", full)
    wanted = catalogue.frame([name]).compute()[name].to_numpy()
    for column in picked(catalogue, index, name):
        assert column.dtype == wanted.dtype
        np.testing.assert_array_equal(column, wanted)
        assert not column.flags.writeable or column.base is None
    known = values.values_of(catalogue, index, index.planes[0], name, never)
    assert known is not None
    assert (known.low, known.high) == (np.nanmin(wanted), np.nanmax(wanted))
    assert (len(values._on_disk), len(values._in_memory)) == ((1, 0) if room else (0, 1))
    peer = law.Peer(catalogue)
    for view in (VIEW, SKY):
        for options in ({"mean": name}, {"std": name}, {"min": name}, {"max": name}):
            forget()
            request = Request(view, Selection.parse("r > 17"), **options)
            assert exact.plane_of(catalogue, index, request, never) is not None
            (drawn,) = draw_many(catalogue, [request])
            np.testing.assert_allclose(drawn, peer.picture(request), rtol=1e-9, atol=1e-9)


def test_a_disk_with_room_for_the_rows_alone(
    catalogue: Catalogue, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = iter([values.unnamed])

    def once(*arguments: Any) -> np.ndarray:
        if (make := next(made, None)) is None:
            raise OSError(28, "No space left on device")
        return make(*arguments)

    forget()
    wanted = draw(catalogue, VIEW, "r > 17", mean="i").to_numpy()
    values._on_disk.clear()
    monkeypatch.setattr(values, "unnamed", once)
    forget()
    np.testing.assert_array_equal(draw(catalogue, VIEW, "r > 17", mean="i").to_numpy(), wanted)
    assert (len(values._on_disk), len(values._in_memory)) == (0, 1)


def test_copies_have_no_name_on_the_disk(catalogue: Catalogue, index: Index) -> None:
    before = sorted(path for path in catalogue.path.rglob("*"))
    picked(catalogue, index, "note")
    assert sorted(path for path in catalogue.path.rglob("*")) == before


def test_of_many_columns_the_last_ones_are_kept(
    catalogue: Catalogue, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, *_) = picked(catalogue, index, "note")
    one = values._on_disk.currsize
    monkeypatch.setattr(values._on_disk, "_Cache__maxsize", one)
    picked(catalogue, index, "g")
    assert values._on_disk.currsize <= one
    np.testing.assert_array_equal(picked(catalogue, index, "note")[0], first)


def test_reading_a_column_is_stopped_and_done_the_next_time(catalogue: Catalogue) -> None:
    forget()
    answers = iter([False, False, False])
    with pytest.raises(Cancelled):
        draw(catalogue, VIEW, mean="note", stop=lambda: next(answers, True))
    assert draw(catalogue, VIEW, mean="note").count() > 0


def test_a_file_without_a_name_takes_its_room_at_once(tmp_path: Path) -> None:
    import os

    from galviz.disk import unnamed

    made = unnamed(tmp_path, np.dtype(np.float32), 1 << 20)
    assert list(tmp_path.iterdir()) == []
    assert made.shape == (1 << 20,)
    made[:] = 3
    assert made.sum() == 3 << 20
    with pytest.raises(OSError, match=r"No space|too large"):
        unnamed(tmp_path, np.dtype(np.uint8), 8 * os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize)
