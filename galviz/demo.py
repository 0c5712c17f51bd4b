"""The demo: a simulated sky, classified by a forest that learnt from its labelled half, embedded and indexed.

Each step leaves something behind that is looked for before it is done again, so a demo that was interrupted
goes on where it stopped. The labelled half is made by a process of its own beside the unlabelled one.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from galviz import classify
from galviz.catalogue import MANIFEST, Catalogue, open_catalogue
from galviz.embed import embed
from galviz.errors import GalvizError, StaleIndexError
from galviz.index import build_index, has_index, open_index
from galviz.progress import Report, rows_of
from galviz.simulate.catalogue import simulate

SEED = 0
MODEL_READY, DONE = "model", "done"


def places(data: Path) -> tuple[Path, Path, Path]:
    """The unlabelled catalogue, the labelled one, and the model, in the folder `data`."""
    return data / "demo", data / "demo-labelled", data / "demo.model"


def make_demo(data: Path, rows: int, labelled_rows: int) -> tuple[Path, Path]:
    """Make what is missing of the demo in `data`; returns the unlabelled and the labelled catalogue.

    Raises GalvizError when a step fails; the steps before it stay done.
    """
    unlabelled, labelled, model = places(data)
    if is_ready(unlabelled) and is_ready(labelled):
        return unlabelled, labelled
    data.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    beside = context.Process(target=_labelled_half, args=(data, labelled_rows, theirs))
    beside.start()
    theirs.close()
    try:
        catalogue = _simulated(unlabelled, rows, labelled=False)
        _wait_for(ours, MODEL_READY)
        _finish(catalogue, model)
        _wait_for(ours, DONE)
        beside.join()
    finally:
        beside.terminate()
        beside.join()
    return unlabelled, labelled


def is_ready(path: Path) -> bool:
    """Whether the catalogue at `path` is there, classified, embedded and indexed."""
    if not (path / MANIFEST).is_file():
        return False
    catalogue = open_catalogue(path)
    roles = {column.role for column in catalogue.manifest.columns.values()}
    return {"prediction", "embedding"} <= roles and _has_sound_index(catalogue)


def _has_sound_index(catalogue: Catalogue) -> bool:
    """Whether the index can be used: one that is stale, damaged or of an older galviz is made anew."""
    try:
        open_index(catalogue)
    except StaleIndexError:
        return False
    return has_index(catalogue)


def _wait_for(messages: Connection, wanted: str) -> None:
    try:
        word, text = messages.recv()
    except EOFError:
        raise GalvizError("The labelled half of the demo stopped without a word; run the command again.") from None
    if word != wanted:
        raise GalvizError(text)


def _labelled_half(data: Path, rows: int, messages: Connection) -> None:
    """The work of the process beside: it tells when the model can be used, when all is done, and what failed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that was started first ends this one
    _, path, model = places(data)
    try:
        catalogue = _simulated(path, rows, labelled=True)
        if not model.is_file():
            _step(f"train on {path.name}", lambda report: _train(catalogue, model, report))
        messages.send((MODEL_READY, ""))
        _finish(catalogue, model)
        messages.send((DONE, ""))
    except (GalvizError, OSError) as error:
        messages.send(("failed", str(error)))


def _train(catalogue: Catalogue, model: Path, report: Report) -> None:
    classify.save(classify.train(catalogue, progress=report), model)


def _simulated(path: Path, rows: int, *, labelled: bool) -> Catalogue:
    if not (path / MANIFEST).is_file():
        _step(f"simulate {path.name}", lambda report: simulate(path, rows, SEED, labelled=labelled, progress=report))
    return open_catalogue(path)


def _finish(catalogue: Catalogue, model: Path) -> None:
    """Classify, embed and index a catalogue, as far as that is not done."""
    name = catalogue.path.name
    if not catalogue.manifest.of_role("prediction"):
        _step(f"classify {name}", lambda report: classify.classify(catalogue, classify.load(model), progress=report))
        catalogue = open_catalogue(catalogue.path)
    if not catalogue.manifest.of_role("embedding"):
        _step(f"embed {name}", lambda report: embed(catalogue, progress=report))
        catalogue = open_catalogue(catalogue.path)
    if not _has_sound_index(catalogue):
        _step(f"index {name}", lambda report: build_index(catalogue, rows_of(catalogue.rows, report, "indexed")))


def _step(name: str, work: Callable[[Report], object]) -> None:
    with Report(name, lines=True) as report:
        work(report)
