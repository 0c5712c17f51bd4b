"""Scores: against scikit-learn and SciPy, and against the three defects that are not to come back."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix as peer_confusion
from sklearn.metrics import precision_recall_fscore_support

from galviz.catalogue import Catalogue
from galviz.classify import Model, best, classify, held_out, predict, train
from galviz.errors import ModelError, SelectionError
from galviz.evaluate import (
    Measure,
    curve,
    default_edges,
    evaluate,
    f1_measure,
    reliability,
    scores,
    table,
    thresholds,
    wilson,
)
from galviz.features import labelled_rows
from galviz.ingest import ingest
from galviz.manifest import Column
from tests.labelled import FEATURES, labelled_arrays, labelled_catalogue

CLASSES = ("GALAXY", "QSO", "STAR")
CODES = arrays(np.int8, st.shared(st.integers(1, 200), key="rows"), elements=st.integers(0, 2))
SEEDS = st.integers(0, 2**32 - 1)


def random_case(rows: int, seed: int, votes: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True codes, probabilities of a forest that is often right, and values to bin by."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, rows, p=(0.6, 0.1, 0.3))
    favour = np.full((rows, 3), 1.0)
    favour[np.arange(rows), truth] += rng.exponential(3, rows)
    likely = [rng.multinomial(votes, weights) for weights in favour / favour.sum(axis=1, keepdims=True)]
    return truth, (np.array(likely) / votes).astype(np.float32), rng.normal(18, 2, rows)


@given(st.integers(0, 500), st.integers(1, 500))
def test_wilson_equals_scipy(successes: int, trials: int) -> None:
    successes = min(successes, trials)
    found = wilson(successes, trials)
    expected = binomtest(successes, trials).proportion_ci(0.95, "wilson")
    np.testing.assert_allclose([found.low, found.high], [expected.low, expected.high], rtol=0, atol=1e-12)
    assert found.low <= found.value <= found.high


def test_what_was_never_tried_is_undefined() -> None:
    found = wilson(np.array([0, 0, 3]), np.array([0, 4, 3]))
    np.testing.assert_array_equal(found.value, [np.nan, 0, 1])
    np.testing.assert_array_equal(np.isnan(found.low), [True, False, False])
    assert found.low[1] == 0 < found.high[1]
    assert found.low[2] < 1 == found.high[2]
    assert np.isnan(f1_measure(0, 0, 0).value)


@given(CODES, CODES)
def test_scores_equal_those_of_scikit_learn(truth: np.ndarray, predicted: np.ndarray) -> None:
    found = scores(truth, predicted, CLASSES)
    np.testing.assert_array_equal(found.confusion, peer_confusion(truth, predicted, labels=[0, 1, 2]))
    peers = precision_recall_fscore_support(truth, predicted, labels=[0, 1, 2], zero_division=np.nan)
    for mine, peer in zip((found.precision.value, found.recall.value, found.f1.value), peers[:3], strict=True):
        np.testing.assert_allclose(mine, peer, equal_nan=True)
    np.testing.assert_array_equal(found.support, peers[3])
    assert found.accuracy == pytest.approx((truth == predicted).mean())


def test_the_interval_of_f1_is_one_of_f1() -> None:
    """Defect of the published code: its band was that of TP / (TP + FP + FN), which lies below F1."""
    found = f1_measure(80, 10, 10)
    assert found.value == pytest.approx(160 / 180)
    assert found.low < found.value < found.high
    ratio = binomtest(80, 100).proportion_ci(0.95, "wilson")
    assert found.low == pytest.approx(2 * ratio.low / (1 + ratio.low))
    assert found.high == pytest.approx(2 * ratio.high / (1 + ratio.high))


def test_the_interval_of_f1_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    true, missed, false, _ = rng.multinomial(300, (0.25, 0.04, 0.06, 0.65), 4000).T
    found = f1_measure(true, missed, false)
    expected = 2 * 0.25 / (2 * 0.25 + 0.04 + 0.06)
    assert 0.93 <= ((found.low <= expected) & (expected <= found.high)).mean() <= 0.97


def test_unknown_codes_are_left_out() -> None:
    found = scores(np.array([0, 1, -1, 2]), np.array([0, 1, 1, -1]), CLASSES)
    assert found.n == 2
    assert found.macro_f1 == 1.0
    assert np.isnan(found.f1.value[2])
    nothing = scores(np.array([], int), np.array([], int), CLASSES)
    assert np.isnan([nothing.accuracy, nothing.macro_f1]).all()


@given(st.integers(1, 400), SEEDS)
def test_a_curve_is_the_scores_of_each_bin(rows: int, seed: int) -> None:
    truth, likely, values = random_case(rows, seed)
    edges = np.array([14.0, 16, 17, 19, 24])
    found = curve(truth, likely, values, edges, CLASSES)
    for number, (low, high) in enumerate(itertools.pairwise(edges)):
        here = (values >= low) & ((values < high) if high < 24 else (values <= high))
        expected = scores(truth[here], likely[here].argmax(axis=1), CLASSES)
        correct = np.diag(expected.confusion)
        np.testing.assert_array_equal(found.correct[:, number], correct)
        np.testing.assert_array_equal(found.support[:, number], expected.support)
        for name in ("precision", "recall", "f1"):
            mine, peer = getattr(found, name), getattr(expected, name)
            for part in ("value", "low", "high"):
                wanted = np.where(correct >= 2, getattr(peer, part), np.nan)
                np.testing.assert_allclose(getattr(mine, part)[:, number], wanted, equal_nan=True)
        for code in range(3):
            best = likely[here].max(axis=1)[likely[here].argmax(axis=1) == code].astype(float)
            if correct[code] >= 2:
                np.testing.assert_allclose(found.mean_probability[code, number], best.mean())
                np.testing.assert_allclose(found.std_probability[code, number], best.std(), atol=1e-9)
            else:
                assert np.isnan(found.mean_probability[code, number])


def test_a_galaxy_mistaken_counts_against_recall_and_a_false_one_against_precision() -> None:
    """Defects of the published code: FN for FP in the galaxy curve, and zeros replaced by one."""
    truth = np.array([0] * 10 + [2] * 6)
    likely = np.zeros((16, 3), np.float32)
    likely[np.arange(16), [0] * 10 + [0] * 4 + [2] * 2] = 1
    found = curve(truth, likely, np.ones(16), np.array([0.0, 2.0]), CLASSES)
    assert found.precision.value[0, 0] == pytest.approx(10 / 14)
    assert found.recall.value[0, 0] == 1.0
    assert found.f1.value[0, 0] == pytest.approx(20 / 24)
    assert found.precision.value[2, 0] == 1.0


def test_values_outside_the_edges_or_missing_are_in_no_bin() -> None:
    truth, likely, values = random_case(200, 1)
    values[:20], values[20:30], values[30:40], values[40:50] = np.nan, np.inf, -5, 40
    found = curve(truth, likely, values, np.array([0.0, 18, 40]), CLASSES)
    assert found.support.sum() == 160  # the last edge belongs to the last bin
    empty = curve(truth, likely, values, np.array([50.0, 60]), CLASSES)
    assert empty.support.sum() == 0
    assert np.isnan(empty.f1.value).all()


@given(st.integers(1, 300), SEEDS)
def test_reliability_counts_every_source_once_per_class(rows: int, seed: int) -> None:
    truth, likely, _ = random_case(rows, seed)
    found = reliability(truth, likely, CLASSES, bins=10)
    np.testing.assert_array_equal(found.count.sum(axis=1), [rows] * 3)
    for code in range(3):
        own = np.round(likely[:, code].astype(float), 6)
        for number in range(10):
            low, high = number / 10, (number + 1) / 10
            here = (own <= high + 1e-9) & ((own > low + 1e-9) | (number == 0))
            assert found.count[code, number] == here.sum()
            if here.any():
                assert found.fraction.value[code, number] == pytest.approx((truth[here] == code).mean())
                assert found.mean_probability[code, number] == pytest.approx(own[here].mean(), abs=1e-6)
            else:
                assert np.isnan(found.fraction.value[code, number])


@given(st.integers(1, 300), SEEDS)
def test_thresholds_are_strict(rows: int, seed: int) -> None:
    truth, likely, _ = random_case(rows, seed)
    found = thresholds(truth, likely, CLASSES)
    assert found.threshold[180] == 0.9
    for code in range(3):
        for number in (0, 100, 110, 180, 199):  # float32(0.55) lies above 0.55
            above = likely[:, code] > np.float32(found.threshold[number])
            right = (above & (truth == code)).sum()
            assert found.selected[code, number] == above.sum()
            expected = right / above.sum() if above.any() else np.nan
            np.testing.assert_allclose(found.purity.value[code, number], expected)
            support = (truth == code).sum()
            np.testing.assert_allclose(found.completeness.value[code, number], right / support if support else np.nan)


def test_edges_are_round_and_hold_the_data() -> None:
    rng = np.random.default_rng(0)
    values = np.append(rng.normal(19, 1.5, 5000), [np.nan, np.inf, -9999])
    edges = default_edges(Column("r", "float32"), values)
    np.testing.assert_allclose(np.diff(edges), 0.5)
    assert edges[0] <= np.percentile(rng.normal(19, 1.5, 5000), 0.6)
    assert 10 < edges[0] < edges[-1] < 30
    logarithmic = default_edges(
        Column("size", "float32", scale="log"), np.append(10 ** rng.normal(-2, 1, 5000), [0, -1])
    )
    np.testing.assert_allclose(np.diff(np.log10(logarithmic)), 0.25, rtol=0.3)
    assert 1e-6 < logarithmic[0] < 1e-4 < 1 < logarithmic[-1] < 1e3
    for few in ([], [np.nan], [18.0], [18.0, 18.0]):
        edges = default_edges(Column("r", "float32"), np.array(few))
        assert (np.diff(edges) > 0).all()


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return labelled_catalogue(tmp_path_factory.mktemp("evaluate") / "blobs")


@pytest.fixture(scope="module")
def model(catalogue: Catalogue) -> Model:
    return train(catalogue, size=20)


def test_a_model_is_tested_on_rows_it_has_not_seen(catalogue: Catalogue, model: Model, tmp_path: Path) -> None:
    found = evaluate(catalogue, model)
    usable = labelled_arrays()["class"] >= 0
    assert found.held_out
    assert found.scores.n == model.card["test_rows"] - found.left_out
    assert found.scores.n + model.card["training_rows"] < usable.sum()
    assert found.scores.macro_f1 < 1.0  # a grown forest makes no mistake on what it was trained on
    everywhere = evaluate(labelled_catalogue(tmp_path / "other", labelled_arrays(seed=9)), model)
    assert not everywhere.held_out
    assert everywhere.scores.n > 1.8 * found.scores.n
    assert evaluate(classify(labelled_catalogue(tmp_path / "same"), model), model).held_out


def test_an_evaluation_is_the_scores_of_its_rows(catalogue: Catalogue, model: Model) -> None:
    found = evaluate(catalogue, model)
    labelled = labelled_rows(catalogue, FEATURES, rows=held_out(catalogue, model))
    likely = predict(model, labelled.matrix)
    np.testing.assert_array_equal(found.confusion, scores(labelled.codes, best(likely), CLASSES).confusion)
    values = labelled_arrays()["size"][labelled.rows]
    expected = curve(labelled.codes, likely, values, found.curves["size"].edges, CLASSES)
    np.testing.assert_array_equal(found.curves["size"].support, expected.support)
    np.testing.assert_array_equal(found.curves["size"].f1.low, expected.f1.low)


def test_a_model_of_two_classes_is_scored_in_a_catalogue_of_three(tmp_path: Path) -> None:
    arrays = labelled_arrays()
    arrays["class"][arrays["class"] == 0] = -1
    made = labelled_catalogue(tmp_path / "two", arrays)
    found = evaluate(made, train(made, size=5)).scores
    assert found.classes == CLASSES
    assert np.isnan(found.f1.value[0])
    assert (found.f1.value[1:] > 0.9).all()


def test_the_curves_are_those_of_the_filters_of_the_manifest(catalogue: Catalogue, model: Model) -> None:
    found = evaluate(catalogue, model)
    assert list(found.curves) == ["d", "size"]
    assert found.curves["size"].scale == "log"
    assert 0.9 * found.scores.n <= found.curves["d"].support.sum() <= found.scores.n
    assert list(evaluate(catalogue, model, against=["a"]).curves) == ["a"]
    assert not evaluate(catalogue, model, against=[]).curves
    with pytest.raises(SelectionError, match="'nothing'"):
        evaluate(catalogue, model, against=["nothing"])


def test_importances_are_those_of_a_forest_only(catalogue: Catalogue, model: Model) -> None:
    found = evaluate(catalogue, model).importances
    assert found is not None
    assert found.features == FEATURES
    assert found.mean.sum() == pytest.approx(1)
    each = np.array([tree.feature_importances_ for tree in model.estimator.estimators_])
    np.testing.assert_allclose(found.spread, np.sqrt(((each - found.mean) ** 2).mean(axis=0)))
    assert evaluate(catalogue, train(catalogue, algorithm="gradient-boosting", size=3)).importances is None


def test_an_evaluation_is_json(catalogue: Catalogue, model: Model) -> None:
    found = evaluate(catalogue, model)
    text = json.dumps(found.to_dict(), allow_nan=False)
    again = json.loads(text)
    assert again["scores"]["f1"]["low"] == found.scores.f1.low.tolist()
    assert len(again["curves"]["d"]["centres"]) == len(found.curves["d"].edges) - 1
    assert None in again["curves"]["d"]["f1"]["value"][2]
    assert again["card"]["id"] == model.id


def test_an_evaluation_without_labels_is_refused(model: Model, tmp_path: Path) -> None:
    bare = {name: values for name, values in labelled_arrays().items() if name != "class"}
    with pytest.raises(ModelError, match="no column of true classes"):
        evaluate(labelled_catalogue(tmp_path / "bare", bare), model)
    unknown = {**labelled_arrays(), "class": np.full(600, -1, np.int8)}
    with pytest.raises(ModelError, match="no labelled source"):
        evaluate(labelled_catalogue(tmp_path / "unknown", unknown), model)


def test_the_table_has_a_line_a_class() -> None:
    lines = table(scores(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), CLASSES[:2]), title="two")
    assert lines[0] == "two"
    assert "0.667" in lines[2]
    assert lines[2].startswith("GALAXY")
    assert lines[-1].startswith("accuracy 0.750")


def test_a_measure_can_be_emptied() -> None:
    found = Measure(*(np.array([0.1, 0.2]) for _ in range(3))).where(np.array([True, False]))
    np.testing.assert_array_equal(found.high, [0.1, np.nan])


@pytest.mark.realdata
def test_the_real_sample_reaches_its_marks(real_sample: Path, tmp_path: Path) -> None:
    made = ingest([real_sample], tmp_path / "real", "sdss-wise-sample")
    model = train(made)
    assert len(model.features) == 9
    found = evaluate(made, model)
    print("\n".join(table(found.scores)))
    assert found.held_out
    assert found.scores.n + model.card["training_rows"] == made.rows == 8180
    assert (found.scores.f1.value >= [0.97, 0.87, 0.90]).all()
    assert (found.scores.f1.high - found.scores.f1.low < 0.06).all()
