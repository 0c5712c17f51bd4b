"""Truth and probabilities to scores: how good a classifier is, and where.

Every count is kept as it is, every interval is a Wilson score interval at 95 %, and what is undefined is NaN.
Arrays of a quantity per class are in the order of `classes`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from galviz.catalogue import Catalogue
from galviz.classify import CHUNK, Model, class_codes, held_out, predict
from galviz.errors import ModelError
from galviz.features import feature_names, labelled_rows, truth_codes
from galviz.manifest import Column
from galviz.progress import Progress, silent

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Codes = NDArray[np.integer[Any]]

CONFIDENCE = 0.95
FEWEST_TRUE = 2  # true positives of a class in a bin, below which the bin of a curve stays empty
RELIABILITY_BINS = 20
THRESHOLDS = np.linspace(0.0, 1.0, 201)[:-1]  # the grid of a forest of 200 trees


class Plain:
    """Results that can say themselves in JSON."""

    def to_dict(self) -> dict[str, Any]:
        """Lists, numbers and text, ready for JSON; NaN becomes None."""
        return {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}  # type: ignore[attr-defined]


@dataclass(frozen=True, eq=False)
class Measure(Plain):
    """A ratio with its interval: three arrays of the same shape, NaN where undefined."""

    value: Floats
    low: Floats
    high: Floats

    def where(self, keep: NDArray[np.bool_]) -> Measure:
        """The same with NaN outside `keep`."""
        return Measure(*(np.where(keep, array, np.nan) for array in (self.value, self.low, self.high)))


@dataclass(frozen=True, eq=False)
class Scores(Plain):
    """How well predicted classes agree with true ones.

    `confusion` is (true, predicted) counts; `support` the number of sources of each true class; precision,
    recall and f1 have shape (classes,); `macro_f1` is the plain mean of the F1 that are defined; `n` is the
    number of sources.
    """

    classes: tuple[str, ...]
    support: Counts
    confusion: Counts
    precision: Measure
    recall: Measure
    f1: Measure
    accuracy: float
    macro_f1: float
    n: int


@dataclass(frozen=True, eq=False)
class Curve(Plain):
    """Scores in bins of one column; arrays are (classes, bins), `edges` is (bins + 1,).

    `correct` counts the true positives, `support` the sources of the class, `predicted` those predicted as it.
    `mean_probability` and `std_probability` are over the sources *predicted* as the class, whatever they are:
    this needs no truth and so can stand for F1 where no labels are.
    """

    column: str
    edges: Floats
    classes: tuple[str, ...]
    precision: Measure
    recall: Measure
    f1: Measure
    correct: Counts
    support: Counts
    predicted: Counts
    mean_probability: Floats
    std_probability: Floats
    scale: str = "linear"

    @property
    def centres(self) -> Floats:
        """The middle of each bin, in the logarithm where the scale is logarithmic; shape (bins,)."""
        low, high = self.edges[:-1], self.edges[1:]
        middle: Floats = np.sqrt(low * high) if self.scale == "log" else (low + high) / 2
        return middle

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "centres": _plain(self.centres)}


@dataclass(frozen=True, eq=False)
class Reliability(Plain):
    """How often a probability is right: arrays (classes, bins) over all sources, whatever was predicted.

    Bins are (low, high], the first one includes 0, so that those of a forest fall on its grid.
    """

    edges: Floats
    classes: tuple[str, ...]
    count: Counts
    mean_probability: Floats
    fraction: Measure


@dataclass(frozen=True, eq=False)
class Thresholds(Plain):
    """Completeness and purity of the sources with a probability *above* each threshold; (classes, thresholds)."""

    threshold: Floats
    classes: tuple[str, ...]
    selected: Counts
    completeness: Measure
    purity: Measure


@dataclass(frozen=True, eq=False)
class Importances(Plain):
    """Mean decrease of impurity of each feature, with the standard deviation over the trees."""

    features: tuple[str, ...]
    mean: Floats
    spread: Floats


@dataclass(frozen=True, eq=False)
class Evaluation(Plain):
    """All that is known of a model on labelled sources it did not train on.

    `held_out` tells whether these are the test share of the catalogue it was trained on (else all labelled
    rows of another catalogue); `left_out` counts labelled rows with a feature that is not finite.
    """

    catalogue: str
    held_out: bool
    left_out: int
    scores: Scores
    curves: Mapping[str, Curve]
    reliability: Reliability
    thresholds: Thresholds
    importances: Importances | None
    card: Mapping[str, Any]

    @property
    def confusion(self) -> Counts:
        return self.scores.confusion


def _plain(value: Any) -> Any:
    """A value as JSON knows it."""
    if isinstance(value, Plain):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def wilson(successes: Any, trials: Any, confidence: float = CONFIDENCE) -> Measure:
    """A binomial ratio with the Wilson score interval, NaN where there was no trial.

    `successes` and `trials` are counts of the same shape. Wilson 1927, JASA 22, 209; equal to
    `scipy.stats.binomtest(...).proportion_ci(confidence, "wilson")`.
    """
    k, n = np.asarray(successes, float), np.asarray(trials, float)
    z2 = ndtri((1 + confidence) / 2) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(n > 0, k / n, np.nan)
        centre = (k + z2 / 2) / (n + z2)
        half = np.sqrt(z2 * (k * (1 - ratio) + z2 / 4)) / (n + z2)
    low = np.where(k == 0, 0 * ratio, np.clip(centre - half, 0, 1))
    high = np.where(k == n, ratio, np.clip(centre + half, 0, 1))
    return Measure(ratio, low, high)


def f1_measure(true: Any, missed: Any, false: Any, confidence: float = CONFIDENCE) -> Measure:
    """F1 from counts of true positives, false negatives and false positives, with an interval of its own.

    F1 = 2 J / (1 + J) rises with J = TP / (TP + FP + FN), a binomial ratio, so the Wilson bounds of J become
    those of F1.
    """
    ratio = wilson(true, np.asarray(true) + np.asarray(missed) + np.asarray(false), confidence)
    return Measure(*(2 * j / (1 + j) for j in (ratio.value, ratio.low, ratio.high)))


def confusion_matrix(truth: Codes, predicted: Codes, classes: int) -> Counts:
    """Counts (true, predicted); rows where either code is negative are left out."""
    known = (truth >= 0) & (predicted >= 0)
    cells = truth[known].astype(np.int64) * classes + predicted[known]
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def scores(truth: Codes, predicted: Codes, classes: Sequence[str]) -> Scores:
    """Scores of predicted class codes against true ones; both (rows,), codes into `classes`, -1 unknown."""
    confusion = confusion_matrix(truth, predicted, len(classes))
    true = np.diag(confusion)
    support, found = confusion.sum(axis=1), confusion.sum(axis=0)
    f1 = f1_measure(true, support - true, found - true)
    n = int(confusion.sum())
    defined = f1.value[~np.isnan(f1.value)]
    return Scores(
        tuple(classes),
        support,
        confusion,
        precision=wilson(true, found),
        recall=wilson(true, support),
        f1=f1,
        accuracy=true.sum() / n if n else math.nan,
        macro_f1=float(defined.mean()) if defined.size else math.nan,
        n=n,
    )


def default_edges(column: Column, values: NDArray[Any]) -> Floats:
    """Edges of bins for a curve against a column: round numbers that hold the central 99 % of `values`.

    Linear or logarithmic as `column.scale` says; values that a logarithm does not know are left out.
    """
    finite = values[np.isfinite(values)].astype(float)
    logarithmic = column.scale == "log"
    if logarithmic:
        finite = np.log10(finite[finite > 0])
    if not finite.size:
        return np.array([0.1, 1.0]) if logarithmic else np.array([0.0, 1.0])
    low, high = np.percentile(finite, [0.5, 99.5])
    step = _round_step((high - low) / 25)
    first, last = math.floor(low / step), math.ceil(high / step)
    edges = np.arange(first, max(last, first + 1) + 1) * step
    return 10**edges if logarithmic else edges


def _round_step(width: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is at least `width`."""
    if width <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(width))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= width * (1 - 1e-9))


def bin_numbers(values: NDArray[Any], edges: Floats) -> NDArray[np.int64]:
    """The bin of each value, [low, high) and the last [low, high]; -1 outside and for NaN."""
    finite = np.where(np.isnan(values), -np.inf, values.astype(float))
    places = np.searchsorted(edges, finite, side="right") - 1
    places[finite == edges[-1]] = len(edges) - 2
    return np.where((places >= 0) & (places < len(edges) - 1), places, -1)


def curve(
    truth: Codes,
    probabilities: NDArray[np.floating[Any]],
    values: NDArray[Any],
    edges: Floats,
    classes: Sequence[str],
    *,
    column: str = "",
    scale: str = "linear",
) -> Curve:
    """Scores per class in bins of `values`.

    `truth` (rows,) codes, `probabilities` (rows, classes) of which the largest is the prediction, `values`
    (rows,). Bins with fewer than two true positives of a class are NaN for that class.
    """
    shape = (len(classes), len(edges) - 1)
    predicted = np.argmax(probabilities, axis=1)
    bins = bin_numbers(values, edges)
    keep = (truth >= 0) & (bins >= 0) & ~np.isnan(probabilities).any(axis=1)
    truth, predicted, bins = truth[keep].astype(np.int64), predicted[keep], bins[keep]
    chosen = probabilities[keep, predicted].astype(float)

    def count(codes: Codes, rows: Any = slice(None), weights: Floats | None = None) -> NDArray[Any]:
        cells = codes[rows] * shape[1] + bins[rows]
        return np.bincount(cells, weights, minlength=shape[0] * shape[1]).reshape(shape)

    correct, support, found = count(truth, truth == predicted), count(truth), count(predicted)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = count(predicted, weights=chosen) / found
        variance = count(predicted, weights=(chosen - mean[predicted, bins]) ** 2) / found
    usable = correct >= FEWEST_TRUE
    return Curve(
        column,
        np.asarray(edges, float),
        tuple(classes),
        precision=wilson(correct, found).where(usable),
        recall=wilson(correct, support).where(usable),
        f1=f1_measure(correct, support - correct, found - correct).where(usable),
        correct=correct,
        support=support,
        predicted=found,
        mean_probability=np.where(usable, mean, np.nan),
        std_probability=np.where(usable, np.sqrt(variance), np.nan),
        scale=scale,
    )


def reliability(
    truth: Codes, probabilities: NDArray[np.floating[Any]], classes: Sequence[str], bins: int = RELIABILITY_BINS
) -> Reliability:
    """The fraction of sources that are of a class, in bins of the probability of that class."""
    edges = np.linspace(0, 1, bins + 1)
    known = (truth >= 0) & ~np.isnan(probabilities).any(axis=1)
    truth, likely = truth[known], probabilities[known].astype(float)
    # float32 multiples of 1 / trees do not fall exactly on the edges
    places = np.clip(np.ceil(np.round(likely * bins, 4)).astype(np.int64) - 1, 0, bins - 1)
    shape = (len(classes), bins)
    cells = places + np.arange(len(classes)) * bins
    total = np.bincount(cells.ravel(), minlength=shape[0] * bins).reshape(shape)
    sums = np.bincount(cells.ravel(), likely.ravel(), minlength=shape[0] * bins).reshape(shape)
    right = np.bincount(cells[np.arange(len(truth)), truth], minlength=shape[0] * bins).reshape(shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums / total
    return Reliability(edges, tuple(classes), total, mean, wilson(right, total))


def thresholds(
    truth: Codes,
    probabilities: NDArray[np.floating[Any]],
    classes: Sequence[str],
    grid: Floats = THRESHOLDS,
) -> Thresholds:
    """Completeness and purity against the threshold, for each class; selected means strictly above it."""
    known = (truth >= 0) & ~np.isnan(probabilities).any(axis=1)
    truth, likely = truth[known], probabilities[known]
    limits = grid.astype(likely.dtype)  # a stored float32(0.9) is not above 0.9
    selected = np.zeros((len(classes), len(grid)), np.int64)
    right = np.zeros_like(selected)
    for code in range(len(classes)):
        here = likely[:, code]
        selected[code] = len(here) - np.searchsorted(np.sort(here), limits, side="right")
        own = np.sort(here[truth == code])
        right[code] = len(own) - np.searchsorted(own, limits, side="right")
    support = np.bincount(truth, minlength=len(classes))[:, None]
    return Thresholds(grid, tuple(classes), selected, wilson(right, support + 0 * right), wilson(right, selected))


def importances(model: Model) -> Importances | None:
    """The importance of each feature with its spread over the trees; None for a model without trees of its own."""
    trees = getattr(model.estimator, "estimators_", None)
    if trees is None:
        return None
    each = np.array([tree.feature_importances_ for tree in trees])
    return Importances(model.features, model.estimator.feature_importances_, each.std(axis=0))


def evaluate(
    catalogue: Catalogue, model: Model, *, against: Sequence[str] | None = None, progress: Progress = silent
) -> Evaluation:
    """Test a model on labelled sources that it did not train on.

    On the catalogue it was trained on these are the test share of the split, found again from the card; on
    another one all rows of known class. `against` names the columns of the curves, by default the filters of
    the manifest. Raises ModelError without labels, without a feature or class of the model, or with no row
    to test on.
    """
    manifest = catalogue.manifest
    codes = class_codes(catalogue, model)
    feature_names(catalogue, model.features)
    columns = [manifest.column(name) for name in (_filters(catalogue) if against is None else against)]
    progress(0.0, "reading the test sources")
    test = held_out(catalogue, model)
    labelled = labelled_rows(catalogue, model.features, rows=test)
    if not len(labelled.rows):
        raise ModelError(f"The catalogue {manifest.name} has no labelled source with all features to test on.")
    probabilities = np.zeros((len(labelled.rows), len(manifest.classes)), np.float32)
    for start in range(0, len(labelled.rows), CHUNK):
        block = slice(start, start + CHUNK)
        probabilities[block, codes] = predict(model, labelled.matrix[block])
        progress(0.9 * min(1, (start + CHUNK) / len(labelled.rows)), "predicting the test sources")
    classes, truth = manifest.class_names, labelled.codes
    values = column_values(catalogue, [column.name for column in columns], labelled.rows)
    curves = {
        c.name: curve(truth, probabilities, v, default_edges(c, v), classes, column=c.name, scale=c.scale)
        for c, v in zip(columns, values, strict=True)
    }
    progress(1.0, f"{len(labelled.rows):,} sources tested")
    return Evaluation(
        catalogue=manifest.name,
        held_out=test is not None,
        left_out=_labelled(catalogue, test) - len(labelled.rows),
        scores=scores(truth, np.argmax(probabilities, axis=1), classes),
        curves=curves,
        reliability=reliability(truth, probabilities, classes),
        thresholds=thresholds(truth, probabilities, classes),
        importances=importances(model),
        card=model.card,
    )


def _filters(catalogue: Catalogue) -> list[str]:
    columns = catalogue.manifest.columns
    return [name for name in catalogue.manifest.defaults.get("filters", ()) if name in columns]


def _labelled(catalogue: Catalogue, rows: NDArray[np.int64] | None) -> int:
    """The number of rows of known class, whatever their features."""
    return len(rows) if rows is not None else int((truth_codes(catalogue) >= 0).sum())


def column_values(catalogue: Catalogue, names: Sequence[str], rows: NDArray[np.int64]) -> list[NDArray[Any]]:
    """The values of columns at sorted row numbers, read part by part."""
    if not names:
        return []
    found: list[list[NDArray[Any]]] = [[] for _ in names]
    start = 0
    for part, size in enumerate(entry.rows for entry in catalogue.manifest.groups[0].parts):
        here = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + size)] - start
        arrays = catalogue.read_part(part, names)
        for values, name in zip(found, names, strict=True):
            values.append(arrays[name][here])
        start += size
    return [np.concatenate(values) for values in found]


def table(result: Scores, *, title: str = "") -> list[str]:
    """The scores as lines of text, a class a line, with the 95 % interval of each F1."""
    width = max(len("class"), *(len(name) for name in result.classes))
    lines = [title] if title else []
    lines.append(f"{'class':<{width}}  precision  recall      F1  (95 % interval)     sources")
    for i, name in enumerate(result.classes):
        f1 = result.f1
        lines.append(
            f"{name:<{width}}  {result.precision.value[i]:9.3f}  {result.recall.value[i]:6.3f}  {f1.value[i]:6.3f}"
            f"  ({f1.low[i]:.3f} to {f1.high[i]:.3f})  {result.support[i]:>9,}"
        )
    lines.append(f"accuracy {result.accuracy:.3f}, macro F1 {result.macro_f1:.3f}, {result.n:,} sources")
    return lines
