"""Feature matrices: what goes in, in which order, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galviz.catalogue import Catalogue
from galviz.errors import ModelError
from galviz.features import feature_names, features, presets, stratified, training_set
from galviz.surveys import SURVEYS
from tests.labelled import FEATURES, labelled_arrays, labelled_catalogue


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return labelled_catalogue(tmp_path_factory.mktemp("features") / "blobs")


def test_names_are_those_of_the_manifest_in_order(catalogue: Catalogue) -> None:
    assert feature_names(catalogue) == FEATURES
    assert feature_names(catalogue, ["d", "a"]) == ("d", "a")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "No features"),
        (["a", "e"], "no column 'e'"),
        (["a", "class"], "'class'"),
        (["a", "b", "a"], "'a' is named"),
    ],
)
def test_unusable_names_are_refused(catalogue: Catalogue, names: list[str], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        feature_names(catalogue, names)


def test_the_matrix_has_the_order_asked_for() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, np.nan]})
    matrix = features(frame, ("b", "a"))
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    np.testing.assert_array_equal(matrix, np.array([[3, 1], [np.nan, 2]], np.float32))
    np.testing.assert_array_equal(features(dict(frame), ("b", "a")), matrix)
    with pytest.raises(ModelError, match="'c' is missing"):
        features(frame, ("a", "c"))


def test_a_training_set_has_known_classes_and_finite_features(catalogue: Catalogue) -> None:
    arrays = labelled_arrays()
    everything = np.column_stack([arrays[name] for name in FEATURES])
    expected = np.flatnonzero((arrays["class"] >= 0) & np.isfinite(everything).all(axis=1))
    found = training_set(catalogue, FEATURES)
    np.testing.assert_array_equal(found.rows, expected)
    np.testing.assert_array_equal(found.matrix, everything[expected])
    np.testing.assert_array_equal(found.codes, arrays["class"][expected])


def test_rows_and_a_selection_restrict_a_training_set(catalogue: Catalogue) -> None:
    every = training_set(catalogue, FEATURES)
    some = training_set(catalogue, FEATURES, rows=every.rows[::2], where="d < 20")
    bright = every.matrix[:, 3] < 20
    np.testing.assert_array_equal(some.rows, np.intersect1d(every.rows[::2], every.rows[bright]))


def test_a_balanced_training_set_has_equally_many_of_each_class(catalogue: Catalogue) -> None:
    every = training_set(catalogue, FEATURES)
    even = training_set(catalogue, FEATURES, balanced=True, seed=3)
    assert np.bincount(even.codes).tolist() == [np.bincount(every.codes).min()] * 3
    np.testing.assert_array_equal(even.rows, training_set(catalogue, FEATURES, balanced=True, seed=3).rows)
    assert not np.array_equal(even.rows, training_set(catalogue, FEATURES, balanced=True, seed=4).rows)


def test_training_without_enough_to_learn_from_is_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    arrays = labelled_arrays()
    with pytest.raises(ModelError, match="no column of true classes"):
        training_set(labelled_catalogue(tmp_path / "a", {n: v for n, v in arrays.items() if n != "class"}), FEATURES)
    with pytest.raises(ModelError, match="offers 1"):
        training_set(catalogue, FEATURES, where="class == 'QSO'")
    few = np.flatnonzero(arrays["class"] == 2)[9:]
    arrays["class"][few] = -1
    with pytest.raises(ModelError, match="stars of blobs are left"):
        training_set(labelled_catalogue(tmp_path / "b", arrays), FEATURES)


def test_presets_are_those_whose_columns_exist(catalogue: Catalogue, tmp_path: Path) -> None:
    assert presets(catalogue) == {"three": ("a", "b", "c")}
    bare = labelled_catalogue(tmp_path / "bare", defaults={})
    assert presets(bare) == {"all features": FEATURES}


def test_the_feature_sets_of_every_survey_are_its_features() -> None:
    for survey in SURVEYS.values():
        sets = survey.defaults.get("feature_sets", {})
        assert len(sets) == (0 if survey.is_open else 5 if "resolved_r" in survey.features else 3)
        for names in sets.values():
            assert set(names) <= {column.name for column in survey.columns}


@given(
    st.lists(st.integers(-1, 4), min_size=1, max_size=300), st.integers(1, 320), st.floats(0, 0.3), st.integers(0, 9)
)
def test_a_stratified_sample_loses_no_class(codes: list[int], size: int, share: float, seed: int) -> None:
    values = np.array(codes)
    places = stratified(values, size, seed=seed, share=share)
    assert (np.diff(places) > 0).all()
    assert set(values[places]) == set(codes)
    kinds, counts = np.unique(values, return_counts=True)
    for kind, count in zip(kinds, counts, strict=True):
        fair = min(count, size * count / len(codes))
        assert (values[places] == kind).sum() >= min(count, max(np.floor(fair), np.floor(size * share)))
    assert len(places) <= max(size * (1 + 5 * share) + 5, len(kinds))


def test_a_rare_class_gets_its_share() -> None:
    codes = np.repeat([0, 1, 2], [5000, 60, 4])
    places = stratified(codes, 500, seed=0, share=0.05)
    assert np.bincount(codes[places]).tolist() == [494, 25, 4]
