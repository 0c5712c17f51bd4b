from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from galviz import demo, open_catalogue
from galviz.catalogue import Catalogue
from galviz.embed import COLUMNS, SIDECAR
from galviz.errors import GalvizError
from galviz.index import has_index, open_index


@pytest.fixture(autouse=True)
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps that were done; the embedding, which takes long, is replaced and signals stay as they are."""
    done: list[str] = []

    def embed(catalogue: Catalogue, **_: Any) -> Catalogue:
        parts = [{c.name: np.zeros(part.rows) for c in COLUMNS} for part in catalogue.manifest.groups[0].parts]
        return catalogue.add_columns(SIDECAR, COLUMNS, parts)

    real = demo._step
    monkeypatch.setattr(demo, "embed", embed)
    monkeypatch.setattr(demo.signal, "signal", lambda *_: None)
    monkeypatch.setattr(demo, "_step", lambda name, work: (done.append(name), real(name, work)))
    return done


def labelled_half(data: Path, rows: int = 600) -> list[tuple[str, str]]:
    """What the process beside says when it makes the labelled half, here without a process."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    demo._labelled_half(data, rows, theirs)
    theirs.close()
    said = []
    while ours.poll():
        try:
            said.append(ours.recv())
        except EOFError:
            break
    return said


STEPS = ["simulate {}", "train on {}", "classify {}", "embed {}", "index {}"]


def test_the_labelled_half_is_made_step_by_step(tmp_path: Path, steps: list[str]) -> None:
    assert labelled_half(tmp_path) == [("model", ""), ("done", "")]
    assert steps == [step.format("demo-labelled") for step in STEPS]
    _, labelled, model = demo.places(tmp_path)
    assert demo.is_ready(labelled)
    assert model.is_file()
    assert open_catalogue(labelled).manifest.of_role("truth")


def test_what_is_done_is_not_done_again(tmp_path: Path, steps: list[str]) -> None:
    labelled_half(tmp_path)
    steps.clear()
    assert labelled_half(tmp_path) == [("model", ""), ("done", "")]
    assert steps == []


@pytest.mark.parametrize("stop_at", range(1, 5))
def test_an_interrupted_demo_goes_on_where_it_stopped(
    tmp_path: Path, steps: list[str], stop_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = demo._step

    def interrupted(name: str, work: Any) -> None:
        if len(steps) == stop_at:
            raise KeyboardInterrupt
        real(name, work)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(demo, "_step", interrupted)
        labelled_half(tmp_path)
    first = list(steps)
    labelled_half(tmp_path)
    assert len(first) == stop_at
    assert steps == [step.format("demo-labelled") for step in STEPS]


def test_a_failure_beside_is_told(tmp_path: Path) -> None:
    _, labelled, _ = demo.places(tmp_path)
    labelled.mkdir(parents=True)
    (labelled / "mine.txt").write_text("not a catalogue")
    said = labelled_half(tmp_path)
    assert [word for word, _ in said] == ["failed"]
    assert "demo-labelled" in said[0][1]


@pytest.mark.parametrize(
    ("message", "words"), [(("failed", "The disk is full."), "disk is full"), (None, "without a word")]
)
def test_waiting_for_the_process_beside_ends_in_words(message: tuple[str, str] | None, words: str) -> None:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    if message:
        theirs.send(message)
    theirs.close()
    with pytest.raises(GalvizError, match=words):
        demo._wait_for(ours, demo.DONE)


def test_a_finished_demo_starts_no_process(tmp_path: Path, steps: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    labelled_half(tmp_path)
    unlabelled, labelled, model = demo.places(tmp_path)
    demo._finish(demo._simulated(unlabelled, 500, labelled=False), model)
    steps.clear()
    monkeypatch.setattr(demo.multiprocessing, "get_context", lambda _: pytest.fail("a process was started"))
    assert demo.make_demo(tmp_path, 500, 600) == (unlabelled, labelled)
    assert steps == []


def test_a_demo_without_its_index_is_not_ready(tmp_path: Path) -> None:
    labelled_half(tmp_path)
    _, labelled, _ = demo.places(tmp_path)
    (next((labelled / "index").iterdir()) / "index.json").unlink()
    assert not has_index(open_catalogue(labelled))
    assert not demo.is_ready(labelled)


def test_an_index_of_an_older_galviz_is_made_anew(
    tmp_path: Path, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled_half(tmp_path)
    _, labelled, model = demo.places(tmp_path)
    facts = next((labelled / "index").iterdir()) / "index.json"
    facts.write_text(facts.read_text().replace('"format": 2', '"format": 1'))
    monkeypatch.setattr(demo, "open_index", open_index.__wrapped__)  # as a process that has not opened it before
    assert has_index(open_catalogue(labelled))
    assert not demo.is_ready(labelled)
    steps.clear()
    demo._finish(open_catalogue(labelled), model)
    assert steps == ["index demo-labelled"]
    assert demo.is_ready(labelled)
