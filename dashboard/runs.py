"""Training, testing and applying models for the page: the work itself, free of widgets.

Each function takes a `progress(fraction, words)` that may raise to stop the work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cachetools import LRUCache, cached

from dashboard.state import Run, Session
from galviz import classify
from galviz.catalogue import Catalogue
from galviz.errors import Cancelled
from galviz.evaluate import evaluate
from galviz.features import presets
from galviz.index import build_index
from galviz.selection import Range, Selection

Progress = Callable[[float, str], None]
SHARE = 0.85  # of the progress bar that training takes, the rest is the test


@dataclass(frozen=True)
class Recipe:
    """What to train: the arguments of `galviz.classify.train`, and a magnitude `limit` for the training share."""

    features: tuple[str, ...]
    algorithm: str
    size: int = 200
    balanced: bool = True
    seed: int = 0
    limit: Range | None = None


def train_run(labelled: Catalogue, recipe: Recipe, progress: Progress) -> Run:
    """Train on one half of the labelled sources and test on the other."""
    where = Selection().choose("limit", recipe.limit) if recipe.limit else None
    model = classify.train(
        labelled,
        algorithm=recipe.algorithm,
        features=recipe.features,
        size=recipe.size,
        balanced=recipe.balanced,
        seed=recipe.seed,
        where=where,
        progress=lambda fraction, words: progress(SHARE * fraction, f"training: {words}"),
    )
    return _tested(labelled, model, recipe_title(labelled, model), progress)


def _tested(labelled: Catalogue, model: classify.Model, title: str, progress: Progress) -> Run:
    def testing(fraction: float, words: str) -> None:
        progress(SHARE + (1 - SHARE) * fraction, words)

    return Run(model, evaluate(labelled, model, progress=testing), title)


def recipe_title(labelled: Catalogue, model: classify.Model) -> str:
    """A model in a few words: its features by the name of their set, the algorithm, what is not as usual."""
    card = model.card
    names = {features: title for title, features in presets(labelled).items()}
    what = names.get(model.features, f"{len(model.features)} features")
    parts = [what, f"{card['algorithm'].replace('-', ' ')} of {card['size']}"]
    if not card["balanced"]:
        parts.append("not balanced")
    if card["where"]:
        parts.append(card["where"])
    if card["seed"]:
        parts.append(f"seed {card['seed']}")
    return ", ".join(parts)


def stored_model(session: Session) -> Path | None:
    """The model that lies beside the catalogue or the labelled one as NAME.model, if there is one to test."""
    if session.labelled is None:
        return None
    places = [path.with_name(f"{path.name}.model") for path in (session.catalogue.path, session.labelled.path)]
    return next((place for place in places if place.is_file()), None)


_stored: LRUCache[tuple[str, str, int], Run] = LRUCache(4)


def _key(labelled: Catalogue, file: Path, progress: Progress) -> tuple[str, str, int]:
    return labelled.digest, str(file), file.stat().st_mtime_ns


@cached(_stored, key=_key, lock=threading.Lock())
def stored_run(labelled: Catalogue, file: Path, progress: Progress) -> Run:
    """Load a stored model and test it on the labelled sources it did not see; once for all sessions."""
    progress(0.0, "loading the stored model")
    model = classify.load(file)
    progress(0.2, "testing the stored model")
    return _tested(labelled, model, recipe_title(labelled, model), progress)


def add_run(session: Session, run: Run) -> Run:
    """Keep a run in the session, once; returns the one that is kept."""
    for other in session.runs:
        if other.model.id == run.model.id:
            return other
    session.runs = (*session.runs, run)
    return run


def applied_model(catalogue: Catalogue) -> str:
    """The id of the model that made the classes of a catalogue, or nothing where that is not known."""
    for group in catalogue.manifest.groups:
        if group.name == classify.SIDECAR:
            return str(group.provenance.get("model", {}).get("id", ""))
    return ""


def run_of(session: Session) -> Run | None:
    """The run whose model made the probabilities of the catalogue, else the latest run."""
    wanted = applied_model(session.catalogue)
    return next((run for run in session.runs if run.model.id == wanted), session.runs[-1] if session.runs else None)


def apply_run(catalogue: Catalogue, run: Run, progress: Progress) -> Catalogue:
    """Classify a catalogue anew and rebuild its index; the next version of it.

    It can be stopped until the new classes are written; from then on the index is always finished.
    """
    new = classify.classify(catalogue, run.model, progress=lambda done, words: progress(0.8 * done, words))
    rows = 0

    def indexed(more: int) -> None:
        nonlocal rows
        rows += more
        with suppress(Cancelled):
            progress(0.8 + 0.2 * rows / new.rows, f"{rows:,} of {new.rows:,} sources indexed")

    build_index(new, indexed)
    return new
