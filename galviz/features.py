"""Rows to feature matrix: the embedding and the classifier share it, so that they cannot drift apart.

Which columns are features is said by the manifest of a catalogue, never by a constant here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.catalogue import Catalogue, as_selection
from galviz.errors import ModelError
from galviz.manifest import Column
from galviz.selection import Selection

Matrix = NDArray[np.float32]
Codes = NDArray[np.int8]
Rows = NDArray[np.int64]

FEWEST = 10  # rows of a class, below which nothing can be learnt of it


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Rows with a known class and finite features, in row order.

    `matrix` is (rows, features), `codes` (rows,) into the classes of the manifest, `rows` (rows,) the row
    numbers in the catalogue.
    """

    matrix: Matrix
    codes: Codes
    rows: Rows


def feature_names(catalogue: Catalogue, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """The names of the features in order: those of the manifest, or `names` when given.

    Raises ModelError for no name at all, a name twice, and a name that is no column of numbers.
    """
    manifest = catalogue.manifest
    chosen = manifest.features if names is None else tuple(names)
    if not chosen:
        raise ModelError(f"No features are chosen for {manifest.name}; name at least one column of numbers.")
    for name in chosen:
        column = manifest.columns.get(name)
        if column is None:
            raise ModelError(f"The catalogue {manifest.name} has no column {name!r}, which the features ask for.")
        if column.kind != "number":
            raise ModelError(f"The column {name!r} holds {column.kind} values, not numbers, and cannot be a feature.")
        if chosen.count(name) > 1:
            raise ModelError(f"The feature {name!r} is named twice; name each feature once.")
    return chosen


def features(frame: Any, names: Sequence[str]) -> Matrix:
    """The feature matrix, shape (rows, features), C-contiguous, of a data frame or a mapping of arrays.

    Missing values are NaN in it. Raises ModelError for a column that is absent.
    """
    if missing := [name for name in names if name not in frame]:
        raise ModelError(f"The feature {missing[0]!r} is missing; the features are {', '.join(names)}.")
    columns = [np.asarray(frame[name]) for name in names]
    matrix = np.empty((len(columns[0]), len(columns)), np.float32)
    for number, values in enumerate(columns):
        matrix[:, number] = values
    return matrix


def presets(catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    """Sets of features worth comparing, by title: those of the manifest of which every column exists."""
    columns = catalogue.manifest.columns
    sets = catalogue.manifest.defaults.get("feature_sets", {})
    usable = {title: tuple(names) for title, names in sets.items() if set(names) <= set(columns)}
    return usable or {"all features": catalogue.manifest.features}


def truth_column(catalogue: Catalogue) -> Column:
    """The column of true classes. Raises ModelError when there is none."""
    truth = catalogue.manifest.of_role("truth")
    if not truth:
        raise ModelError(
            f"The catalogue {catalogue.manifest.name} has no column of true classes; use a labelled catalogue."
        )
    return truth[0]


def truth_codes(catalogue: Catalogue) -> Codes:
    """The true class of every row, shape (rows,), -1 where unknown. Raises ModelError without such a column."""
    name = truth_column(catalogue).name
    parts = [catalogue.read_part(part, [name])[name] for part in range(catalogue.parts)]
    return np.concatenate(parts).astype(np.int8)


def training_set(
    catalogue: Catalogue,
    names: Sequence[str],
    *,
    rows: NDArray[np.integer[Any]] | None = None,
    balanced: bool = False,
    seed: int = 0,
    where: Selection | str | None = None,
) -> TrainingSet:
    """The rows of known class and finite features, read part by part.

    `rows` and `where` restrict them; `balanced` keeps a random choice (by `seed`) of equally many of each
    class. Raises ModelError without a column of true classes, with fewer than two classes, or with fewer
    than ten rows of a class that occurs.
    """
    found = labelled_rows(catalogue, names, rows=rows, where=where)
    check_classes(catalogue, found.codes)
    if not balanced:
        return found
    fewest = np.bincount(found.codes)[np.unique(found.codes)].min()
    groups = [np.flatnonzero(found.codes == code) for code in np.unique(found.codes)]
    random = np.random.default_rng(seed)
    return take(found, np.sort(np.concatenate([random.choice(group, fewest, replace=False) for group in groups])))


def take(labelled: TrainingSet, chosen: NDArray[np.integer[Any]]) -> TrainingSet:
    """The rows of a training set at the places `chosen`."""
    return TrainingSet(labelled.matrix[chosen], labelled.codes[chosen], labelled.rows[chosen])


def labelled_rows(
    catalogue: Catalogue,
    names: Sequence[str],
    *,
    rows: NDArray[np.integer[Any]] | None = None,
    where: Selection | str | None = None,
) -> TrainingSet:
    """Like `training_set`, for any number of rows and classes."""
    truth = truth_column(catalogue).name
    chosen = as_selection(where)
    wanted = None if rows is None else np.zeros(catalogue.rows, bool)
    if wanted is not None:
        wanted[rows] = True
    found = []
    start = 0
    for part, size in enumerate(entry.rows for entry in catalogue.manifest.groups[0].parts):
        here = None if wanted is None else wanted[start : start + size]
        found.append(_labelled_part(catalogue, part, start, names, truth, here, chosen))
        start += size
    matrices, codes, numbers = zip(*found, strict=True)
    return TrainingSet(np.concatenate(matrices), np.concatenate(codes), np.concatenate(numbers))


def _labelled_part(
    catalogue: Catalogue,
    part: int,
    start: int,
    names: Sequence[str],
    truth: str,
    wanted: NDArray[np.bool_] | None,
    chosen: Selection,
) -> tuple[Matrix, Codes, Rows]:
    arrays = catalogue.read_part(part, [*names, truth])
    matrix = features(arrays, names)
    codes = arrays[truth]
    keep = (codes >= 0) & np.isfinite(matrix).all(axis=1)
    if wanted is not None:
        keep &= wanted
    if chosen:
        keep &= chosen.mask(catalogue.read_frame(part, chosen.columns))
    return matrix[keep], codes[keep].astype(np.int8), start + np.flatnonzero(keep)


def check_classes(catalogue: Catalogue, codes: Codes) -> None:
    """Raise ModelError unless there are two classes, and ten rows of each class that occurs."""
    classes = catalogue.manifest.classes
    counts = np.bincount(codes, minlength=len(classes))
    if (counts > 0).sum() < 2:
        raise ModelError(
            f"Training needs at least two classes of known truth with finite features; "
            f"{catalogue.manifest.name} offers {(counts > 0).sum()}."
        )
    for entry, count in zip(classes, counts, strict=True):
        if 0 < count < FEWEST:
            raise ModelError(
                f"Only {count} {entry.plural} of {catalogue.manifest.name} are left to learn from; "
                f"training needs at least {FEWEST} of each class."
            )


def stratified(codes: NDArray[np.integer[Any]], size: int, *, seed: int, share: float = 0.0) -> Rows:
    """Places of a random sample of about `size`, sorted; each class in proportion, no class lost.

    A class gets at least one place, and at least the fraction `share` of `size` as long as it has so many.
    All places when there are no more than `size`.
    """
    if len(codes) <= size:
        return np.arange(len(codes))
    random = np.random.default_rng(seed)
    chosen = []
    for code in np.unique(codes):
        group = np.flatnonzero(codes == code)
        wish = max(1, round(size * share), round(size * len(group) / len(codes)))
        chosen.append(random.choice(group, min(wish, len(group)), replace=False))
    return np.sort(np.concatenate(chosen))
