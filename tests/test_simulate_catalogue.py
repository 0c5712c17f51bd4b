from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import numpy as np
import pytest

from galviz.errors import CatalogueError, GalvizError
from galviz.simulate import catalogue as module
from galviz.simulate import schema
from galviz.simulate.catalogue import simulate
from galviz.surveys import SDSS_WISE


@pytest.mark.parametrize("labelled", [False, True])
def test_the_columns_are_those_of_the_survey_and_the_simulator(labelled: bool) -> None:
    columns = schema(labelled)
    known = {column.name: column for column in SDSS_WISE.columns}
    # Only the description of what the simulator gets wrong on purpose is another one.
    for column in columns:
        if column.name in known:
            assert dataclasses.replace(column, description="") == dataclasses.replace(
                known[column.name], description=""
            )
            assert ("wrong" in column.description) == (column.name in ("class", "redshift"))
    assert {column.name for column in columns if column.name not in known} == {"w3_limit", "w4_limit"} | (
        set() if labelled else {"sim_class", "sim_redshift"}
    )
    kinds = {column.name: column.kind for column in columns}
    assert kinds["w3_limit"] == "flag"
    assert kinds["class" if labelled else "sim_class"] == "class"


def test_parts_do_not_depend_on_the_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", 300)
    one = simulate(tmp_path / "a", 1000, 7)
    monkeypatch.setattr(module, "THREADS", 4)
    many = simulate(tmp_path / "b", 1000, 7)
    parts = one.manifest.groups[0].parts
    assert [part.rows for part in parts] == [300, 300, 300, 100]
    assert parts == many.manifest.groups[0].parts
    ids = np.concatenate([one.read_part(part, ["objid"])["objid"] for part in range(4)])
    assert len(np.unique(ids)) == 1000


def test_few_parts_are_in_memory_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive, most, lock = [0], [0], threading.Lock()
    real = module.batch

    def batch(rows: int, seed: int, part: int, *, labelled: bool) -> dict[str, np.ndarray]:
        with lock:
            alive[0] += 1
            most[0] = max(most[0], alive[0])
        try:
            return real(rows, seed, part, labelled=labelled)
        finally:
            with lock:
                alive[0] -= 1

    monkeypatch.setattr(module, "batch", batch)
    monkeypatch.setattr(module, "PART", 20)
    simulate(tmp_path / "out", 600, 1)
    assert most[0] <= module.THREADS


@pytest.mark.parametrize(("rows", "seed"), [(0, 1), (-5, 1), (10, -1)])
def test_impossible_wishes(tmp_path: Path, rows: int, seed: int) -> None:
    with pytest.raises(GalvizError, match="Cannot simulate"):
        simulate(tmp_path / "out", rows, seed)
    assert not list(tmp_path.iterdir())


def test_a_failure_in_a_thread_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def batch(rows: int, seed: int, part: int, *, labelled: bool) -> dict[str, np.ndarray]:
        raise CatalogueError("broken")

    monkeypatch.setattr(module, "batch", batch)
    with pytest.raises(CatalogueError, match="broken"):
        simulate(tmp_path / "out", 100, 1)
    assert not list(tmp_path.iterdir())


def test_progress_counts_the_rows(tmp_path: Path) -> None:
    heard: list[tuple[float, str]] = []
    simulate(tmp_path / "out", 100, 1, progress=lambda fraction, words: heard.append((fraction, words)))
    assert heard == [(1.0, "100 of 100 sources simulated")]
