"""Features to class probabilities: train, save, load and apply a classifier.

A model never travels without its card: what it was trained on, with which features, seed and versions. The
half of the labelled rows that it did not see can be found again from the card, so that evaluation never
touches a row of training.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import skops.io
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from galviz.catalogue import Catalogue, as_selection
from galviz.disk import whole
from galviz.errors import ModelError
from galviz.features import (
    Codes,
    Matrix,
    Rows,
    TrainingSet,
    check_classes,
    feature_names,
    features,
    stratified,
    take,
    training_set,
    truth_codes,
)
from galviz.manifest import Column
from galviz.progress import Progress, silent
from galviz.selection import Selection
from galviz.version import __version__

FORMAT = 1
CARD, ESTIMATOR = "card.json", "estimator.skops"
# Types of scikit-learn that skops does not know as harmless by itself; reviewed: plain arrays of nodes.
TRUSTED = ("sklearn.tree._tree.Tree", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor")
CHUNK = 50_000  # rows predicted between two reports of progress
SIDECAR = "classify"
STEPS = {"trees": 25, "rounds": 8}  # of one training; each step of boosting starts with all rounds so far
ROWS_A_THREAD = {"fit": 100_000, "predict": 10_000}


def _forest(size: int, seed: int, balanced: bool) -> RandomForestClassifier:
    """The forest of Clarke et al. 2020, section 4, with size 200 and seed 0."""
    return RandomForestClassifier(size, class_weight="balanced" if balanced else None, random_state=seed)


def _extra_trees(size: int, seed: int, balanced: bool) -> ExtraTreesClassifier:
    return ExtraTreesClassifier(size, class_weight="balanced" if balanced else None, random_state=seed)


def _boosting(size: int, seed: int, balanced: bool) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=size, class_weight="balanced" if balanced else None, random_state=seed, early_stopping=False
    )


# Each takes (size, seed, balanced); size is the number of trees or of boosting rounds.
CLASSIFIERS: dict[str, Callable[[int, int, bool], Any]] = {
    "random-forest": _forest,
    "extra-trees": _extra_trees,
    "gradient-boosting": _boosting,
}


@dataclass(frozen=True, eq=False)
class Model:
    """A trained classifier: `features` in order, the names of its `classes` in order, and its card."""

    estimator: Any
    features: tuple[str, ...]
    classes: tuple[str, ...]
    card: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that tell this training from any other."""
        return str(self.card["id"])


def base_digest(catalogue: Catalogue) -> str:
    """SHA-256 of the sources of a catalogue; sidecar columns added later do not change it."""
    parts = "".join(part.sha256 for part in catalogue.manifest.groups[0].parts)
    return hashlib.sha256(parts.encode()).hexdigest()


def split(catalogue: Catalogue, train_fraction: float, seed: int) -> tuple[Rows, Rows]:
    """Row numbers of the training and of the test share of all rows of known class, stratified, sorted.

    The split depends on the true classes, the fraction and the seed alone, so that models of other features
    or of a limited training range are tested on the same rows. Raises ModelError for a fraction that leaves
    nothing to train or to test.
    """
    if not 0 < train_fraction < 1:
        raise ModelError(f"The fraction to train on must lie between 0 and 1, not {train_fraction:g}.")
    codes = truth_codes(catalogue)
    rows = np.flatnonzero(codes >= 0)
    check_classes(catalogue, codes[rows])
    try:
        train, test = train_test_split(rows, train_size=train_fraction, random_state=seed, stratify=codes[rows])
    except ValueError as error:
        raise ModelError(
            f"{len(rows)} labelled sources cannot be split with a fraction of {train_fraction:g} for training; "
            f"choose another fraction."
        ) from error
    return np.sort(train), np.sort(test)


def train(
    catalogue: Catalogue,
    *,
    algorithm: str = "random-forest",
    features: Sequence[str] | None = None,
    size: int = 200,
    balanced: bool = True,
    seed: int = 0,
    train_fraction: float = 0.5,
    where: Selection | str | None = None,
    max_rows: int | None = None,
    progress: Progress = silent,
    n_jobs: int = -1,
) -> Model:
    """Train a classifier on a stratified share of the labelled rows; the rest stays for `evaluate`.

    `where` and `max_rows` limit the training share only, never the test share. A forest trained here is equal
    to one trained in a single call with the same seed. Raises ModelError for an unknown algorithm, unusable
    features, or too few labelled rows; what `progress` raises stops the training.
    """
    if algorithm not in CLASSIFIERS:
        raise ModelError(f"There is no classifier {algorithm!r}; choose one of {', '.join(CLASSIFIERS)}.")
    if size < 1:
        raise ModelError(f"A classifier needs at least one tree or round, not {size}.")
    names = feature_names(catalogue, features)
    progress(0.0, "reading the labelled sources")
    rows, test = split(catalogue, train_fraction, seed)
    labelled = training_set(catalogue, names, rows=rows, where=where)
    if max_rows is not None and max_rows < len(labelled.rows):
        labelled = take(labelled, stratified(labelled.codes, max_rows, seed=seed))
        check_classes(catalogue, labelled.codes)
    codes = np.unique(labelled.codes)
    classes = tuple(catalogue.manifest.class_names[code] for code in codes)
    estimator = CLASSIFIERS[algorithm](size, seed, balanced)
    _fit(estimator, labelled.matrix, np.searchsorted(codes, labelled.codes), size, progress, n_jobs)
    settings = {
        "algorithm": algorithm,
        "size": size,
        "balanced": balanced,
        "seed": seed,
        "train_fraction": train_fraction,
        "where": str(as_selection(where)),
        "max_rows": max_rows,
    }
    return Model(estimator, names, classes, _card(catalogue, names, classes, labelled, len(test), settings))


def _fit(
    estimator: Any, matrix: Matrix, targets: NDArray[np.int64], size: int, progress: Progress, n_jobs: int
) -> None:
    """Grow the estimator in steps, so that progress can be told and the work be stopped.

    Growing with `warm_start` draws the same seeds as one fit, so the result is the same. The weights of
    balanced classes are given as numbers because scikit-learn warns of the word together with warm_start.
    """
    parameter = "max_iter" if hasattr(estimator, "max_iter") else "n_estimators"
    unit = "rounds" if parameter == "max_iter" else "trees"
    if estimator.class_weight == "balanced":
        counts = np.bincount(targets)
        estimator.set_params(class_weight=dict(enumerate((len(targets) / (len(counts) * counts)).tolist())))
    if hasattr(estimator, "n_jobs"):
        estimator.set_params(n_jobs=n_jobs)
    estimator.set_params(warm_start=True)
    steps = np.unique(np.linspace(0, size, min(size, STEPS[unit]) + 1).astype(int))[1:]
    with _few_threads(len(matrix), ROWS_A_THREAD["fit"]):
        for done in steps.tolist():
            estimator.set_params(**{parameter: done})
            estimator.fit(matrix, targets)
            progress(done / size, f"{done} of {size} {unit}")
    estimator.set_params(warm_start=False)
    if hasattr(estimator, "n_jobs"):
        estimator.set_params(n_jobs=-1)


def _few_threads(rows: int, rows_a_thread: int) -> threadpool_limits:
    """Limit the threads of boosting: on a busy machine they wait for each other, so a small set gets one."""
    return threadpool_limits(max(1, min(os.cpu_count() or 1, rows // rows_a_thread)), "openmp")


def _card(
    catalogue: Catalogue,
    names: tuple[str, ...],
    classes: tuple[str, ...],
    labelled: TrainingSet,
    test_rows: int,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """What a reader needs to judge the model, and what `held_out` needs to find the test rows again."""
    counts = np.bincount(labelled.codes, minlength=len(catalogue.manifest.classes))
    facts: dict[str, Any] = {
        "format": FORMAT,
        **settings,
        "features": list(names),
        "classes": list(classes),
        "catalogue": {
            "name": catalogue.manifest.name,
            "survey": catalogue.manifest.survey,
            "simulated": catalogue.manifest.simulated,
            "digest": base_digest(catalogue),
            "rows": catalogue.rows,
        },
        "training_rows": len(labelled.rows),
        "test_rows": test_rows,
        "class_counts": {name: int(n) for name, n in zip(catalogue.manifest.class_names, counts, strict=True)},
        "matrix_sha256": hashlib.sha256(labelled.matrix.tobytes() + labelled.codes.tobytes()).hexdigest(),
        "versions": {"python": platform.python_version(), "scikit-learn": sklearn.__version__, "galviz": __version__},
    }
    identity = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"id": identity, "date": date, **facts}


def held_out(catalogue: Catalogue, model: Model) -> Rows | None:
    """The labelled rows that the model did not train on, or None where it saw no row of this catalogue."""
    if model.card["catalogue"]["digest"] != base_digest(catalogue):
        return None
    return split(catalogue, model.card["train_fraction"], model.card["seed"])[1]


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a model with its card into one file, whole or not at all. Raises ModelError when it cannot be."""
    target = Path(path)
    data = skops.io.dumps(model.estimator)
    card = {**model.card, "estimator_sha256": hashlib.sha256(data).hexdigest()}
    try:
        with whole(target) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr(CARD, json.dumps(card, indent=1))
            archive.writestr(ESTIMATOR, data)
    except OSError as error:
        raise ModelError(f"Cannot write the model {target}: {error.strerror}.") from error


def read_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The card of a saved model, without loading the model. Raises ModelError as `load` does."""
    return _read(Path(path), with_estimator=False)[0]


def load(path: str | os.PathLike[str]) -> Model:
    """Read a model that `save` wrote; no code of the file is ever run.

    Raises ModelError when the file is missing, damaged, not a model of galviz, holds a type that is not a
    known one of scikit-learn, or was made with another minor version of scikit-learn.
    """
    file = Path(path)
    card, data = _read(file, with_estimator=True)
    made, here = card["versions"]["scikit-learn"], sklearn.__version__
    if made.split(".")[:2] != here.split(".")[:2]:
        raise ModelError(f"The model {file} was made with scikit-learn {made}, this is {here}; train it again.")
    try:
        unknown = sorted(set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED))
        if unknown:
            raise ModelError(f"The model {file} holds {unknown[0]}, which galviz does not trust; train it again.")
        estimator = skops.io.loads(data, trusted=list(TRUSTED))
    except (OSError, ValueError, TypeError, KeyError, LookupError, AttributeError, zipfile.BadZipFile) as error:
        raise ModelError(f"The model {file} is damaged ({type(error).__name__}); train it again.") from error
    return Model(estimator, tuple(card["features"]), tuple(card["classes"]), card)


def _read(file: Path, *, with_estimator: bool) -> tuple[dict[str, Any], bytes]:
    try:
        with zipfile.ZipFile(file) as archive:
            card = json.loads(archive.read(CARD))
            data = archive.read(ESTIMATOR) if with_estimator else b""
    except FileNotFoundError:
        raise ModelError(f"There is no model at {file}; make one with `galviz train`.") from None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelError(f"{file} is not a model of galviz, or is damaged; make one with `galviz train`.") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise ModelError(f"The model {file} is of another format than {FORMAT}; train it again.")
    if with_estimator and hashlib.sha256(data).hexdigest() != card.get("estimator_sha256"):
        raise ModelError(f"The model {file} is damaged: its checksum does not agree; train it again.")
    return card, data


def predict(model: Model, matrix: Matrix) -> NDArray[np.float32]:
    """Class probabilities, shape (rows, classes), in the order of `model.classes`.

    Rows with a feature that is not finite get NaN. Raises ModelError for another number of features.
    """
    if matrix.ndim != 2 or matrix.shape[1] != len(model.features):
        raise ModelError(
            f"The model needs {len(model.features)} features ({', '.join(model.features)}), "
            f"the matrix has the shape {matrix.shape}."
        )
    probabilities = np.full((len(matrix), len(model.classes)), np.nan, np.float32)
    usable = np.isfinite(matrix).all(axis=1)
    if usable.any():
        with _few_threads(len(matrix), ROWS_A_THREAD["predict"]):
            probabilities[usable] = model.estimator.predict_proba(matrix if usable.all() else matrix[usable])
    return probabilities


def best(probabilities: NDArray[np.float32]) -> Codes:
    """The most probable class of each row as a code, the first one of a tie, -1 where there is none."""
    known: NDArray[np.bool_] = np.asarray(~np.isnan(probabilities).any(axis=1))
    return np.where(known, np.argmax(np.where(known[:, None], probabilities, 0), axis=1), -1).astype(np.int8)


def class_codes(catalogue: Catalogue, model: Model) -> NDArray[np.int8]:
    """The code in the catalogue of each class of the model. Raises ModelError for a class it does not have."""
    names = catalogue.manifest.class_names
    for name in model.classes:
        if name not in names:
            raise ModelError(
                f"The model tells {', '.join(model.classes)} apart, but the catalogue {catalogue.manifest.name} "
                f"has no class {name}; its classes are {', '.join(names)}."
            )
    return np.array([names.index(name) for name in model.classes], np.int8)


def probability_columns(catalogue: Catalogue, model: Model) -> tuple[Column, ...]:
    """The columns that `classify` adds: the class, one probability a class of the model, the best of them."""
    entries = [catalogue.manifest.classes[code] for code in class_codes(catalogue, model)]
    likely = tuple(
        Column(f"p_{re.sub(r'[^A-Za-z0-9]', '_', entry.label)}", "float32", "probability", "",
               "stat.probability;src.class", f"Probability of the class {entry.name}, model {model.id}",
               of_class=entry.name, label=f"p({entry.label})")
        for entry in entries
    )  # fmt: skip
    return (
        Column("class_pred", "int8", "prediction", "", "src.class", f"Most probable class, model {model.id}",
               label="predicted class", kind="class"),
        *likely,
        Column("p_best", "float32", "best_probability", "", "stat.probability;src.class",
               "Probability of the most probable class", label="p(best)"),
    )  # fmt: skip


def classify(catalogue: Catalogue, model: Model, *, progress: Progress = silent) -> Catalogue:
    """Apply a model to every row; the next version of the catalogue has the predictions as columns.

    Rows with a feature that is not finite get the class -1 and NaN. Raises ModelError when the catalogue
    lacks a feature or a class of the model; nothing has changed then, nor when `progress` raises.
    """
    feature_names(catalogue, model.features)
    columns = probability_columns(catalogue, model)
    parts = _predicted_parts(catalogue, model, columns, progress)
    return catalogue.add_columns(SIDECAR, columns, parts, {"model": dict(model.card)})


def _predicted_parts(
    catalogue: Catalogue, model: Model, columns: Sequence[Column], progress: Progress
) -> Iterator[dict[str, NDArray[Any]]]:
    codes = class_codes(catalogue, model)
    done = 0
    for part in range(catalogue.parts):
        matrix = features(catalogue.read_part(part, model.features), model.features)
        blocks = []
        for start in range(0, len(matrix), CHUNK):
            blocks.append(predict(model, matrix[start : start + CHUNK]))
            done += len(blocks[-1])
            progress(done / catalogue.rows, f"{done:,} of {catalogue.rows:,} sources classified")
        probabilities = np.concatenate(blocks) if blocks else predict(model, matrix)
        places = best(probabilities)
        class_pred = np.where(places >= 0, codes[places], -1).astype(np.int8)
        arrays = [class_pred, *probabilities.T, probabilities.max(axis=1)]
        yield {column.name: values for column, values in zip(columns, arrays, strict=True)}
