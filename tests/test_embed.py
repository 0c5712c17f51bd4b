"""The embedding: a sample that loses no class, rows placed among it, and one run of the real UMAP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from sklearn.manifold import trustworthiness
from tqdm import tqdm

from galviz.catalogue import Catalogue
from galviz.classify import classify, train
from galviz.embed import NEIGHBOURS, STIFFNESS, embed, fit_umap, place_among, sample_matrix
from galviz.errors import Cancelled, ModelError
from galviz.features import features
from tests.labelled import FEATURES, labelled_arrays, labelled_catalogue


class Plane:
    """A reducer that keeps the first two features, and remembers what it was given."""

    def fit_transform(self, matrix: np.ndarray) -> np.ndarray:
        self.matrix = matrix
        return matrix[:, :2]


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return labelled_catalogue(tmp_path / "blobs")


def coordinates(catalogue: Catalogue) -> np.ndarray:
    names = [column.name for column in catalogue.manifest.of_role("embedding")]
    return catalogue.frame(names).compute().to_numpy()


def test_every_row_with_all_features_is_placed(catalogue: Catalogue) -> None:
    made = embed(catalogue, reducer=Plane(), sample=1000)
    assert [column.name for column in made.manifest.of_role("embedding")] == ["umap_x", "umap_y"]
    arrays = labelled_arrays()
    matrix = features(arrays, FEATURES)
    usable = np.isfinite(matrix).all(axis=1)
    found = coordinates(made)
    np.testing.assert_array_equal(np.isnan(found).any(axis=1), ~usable)
    np.testing.assert_allclose(found[usable], matrix[usable, :2], atol=1e-6)  # all rows are fitted ones here
    assert made.manifest.groups[-1].provenance["sample"] == usable.sum()
    assert made.manifest.groups[-1].provenance["features"] == list(FEATURES)


def test_rows_outside_the_sample_lie_near_their_neighbours(catalogue: Catalogue) -> None:
    plane = Plane()
    found = coordinates(embed(catalogue, reducer=plane, sample=200))
    assert 195 <= len(plane.matrix) <= 235
    matrix = features(labelled_arrays(), FEATURES)
    usable = np.isfinite(matrix).all(axis=1)
    distance = np.hypot(*(found - matrix[:, :2])[usable].T)
    assert np.median(distance) < 0.6
    assert np.median(np.hypot(*(found[usable] - np.median(matrix[usable, :2], axis=0)).T)) > 0.8


@given(st.integers(NEIGHBOURS, 60), st.integers(0, 2**32 - 1), st.sampled_from([1e-9, 1.0, 1e6]))
def test_a_place_lies_among_the_fitted_ones_and_knows_no_scale(rows: int, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    matrix, fitted = rng.normal(size=(rows, 3)), rng.normal(size=(rows, 2))
    other = rng.normal(size=(20, 3))
    found = place_among(cKDTree(matrix * scale), fitted, other * scale)
    same = np.tile(fitted[:1], (rows, 1))
    np.testing.assert_allclose(place_among(cKDTree(matrix), same, other), np.tile(fitted[:1], (20, 1)), atol=1e-4)
    np.testing.assert_allclose(found, place_among(cKDTree(matrix), fitted, other), atol=1e-4)
    np.testing.assert_allclose(place_among(cKDTree(matrix * scale), fitted, matrix * scale), fitted, rtol=1e-6)


def test_places_rebuild_the_row_from_its_neighbours() -> None:
    rng = np.random.default_rng(1)
    matrix, fitted, row = rng.normal(size=(NEIGHBOURS, 4)), rng.normal(size=(NEIGHBOURS, 2)), rng.normal(size=(1, 4))
    edges = matrix - row
    stiff = np.sqrt(STIFFNESS * (edges**2).sum())
    # The same least squares by elimination of the last weight, which makes the sum one.
    basis = np.vstack([np.eye(NEIGHBOURS - 1), -np.ones(NEIGHBOURS - 1)])
    last = np.eye(NEIGHBOURS)[-1]
    system = np.vstack([edges.T, stiff * np.eye(NEIGHBOURS)])
    free = np.linalg.lstsq(system @ basis, -system @ last, rcond=None)[0]
    expected = (basis @ free + last) @ fitted
    np.testing.assert_allclose(place_among(cKDTree(matrix), fitted, row)[0], expected, rtol=1e-4, atol=1e-5)


def test_rows_that_are_equal_lie_in_the_middle_of_their_twins() -> None:
    matrix = np.repeat(np.arange(10.0), 2)[:, None]
    fitted = np.column_stack([np.arange(20.0), np.zeros(20)])
    np.testing.assert_allclose(place_among(cKDTree(matrix), fitted, np.array([[4.0]])), [[8.5, 0]])


def test_the_sample_is_seeded_and_loses_no_class(tmp_path: Path) -> None:
    arrays = labelled_arrays(3000)
    rare = np.flatnonzero(arrays["class"] == 2)[7:]
    for name in FEATURES:
        arrays[name] = np.delete(arrays[name], rare)
    arrays = {name: arrays[name] if name in FEATURES else np.delete(arrays[name], rare) for name in arrays}
    made = labelled_catalogue(tmp_path / "rare", arrays)
    first = sample_matrix(made, 300, 42)
    np.testing.assert_array_equal(first, sample_matrix(made, 300, 42))
    assert not np.array_equal(first, sample_matrix(made, 300, 43))
    stars = features(arrays, FEATURES)[arrays["class"] == 2]
    stars = stars[np.isfinite(stars).all(axis=1)]
    assert (first[:, None] == stars).all(axis=2).any(axis=0).all()
    assert np.isfinite(first).all()


def test_the_sample_follows_the_predicted_class_where_there_is_one(tmp_path: Path) -> None:
    made = classify(labelled_catalogue(tmp_path / "blobs"), train(labelled_catalogue(tmp_path / "other"), size=5))
    codes = np.concatenate([made.read_part(part, ["class_pred"])["class_pred"] for part in range(made.parts)])
    sample = sample_matrix(made, 100, 0)
    matrix = features(labelled_arrays(), FEATURES)
    places = [int(np.flatnonzero((matrix == row).all(axis=1))[0]) for row in sample]
    wanted = np.bincount(codes[codes >= 0]) / (codes >= 0).sum() * 100
    np.testing.assert_allclose(np.bincount(codes[places]), wanted, atol=1)


def test_a_catalogue_without_classes_is_embedded_too(tmp_path: Path) -> None:
    bare = {name: values for name, values in labelled_arrays().items() if name != "class"}
    assert np.isfinite(
        coordinates(embed(labelled_catalogue(tmp_path / "bare", bare), reducer=Plane(), sample=50))
    ).any()


def test_what_cannot_be_embedded_is_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    few = {name: values[:NEIGHBOURS] for name, values in labelled_arrays().items()}
    with pytest.raises(ModelError, match="needs more than 15 sources"):
        embed(labelled_catalogue(tmp_path / "few", few), reducer=Plane())
    with pytest.raises(ModelError, match="called 'magic'"):
        embed(catalogue, reducer=Plane(), method="magic")
    missing = {name: values for name, values in labelled_arrays().items() if name != "c"}
    with pytest.raises(ModelError, match="no column 'c'"):
        embed(labelled_catalogue(tmp_path / "missing", missing), reducer=Plane())
    nothing = {**labelled_arrays(), "a": np.full(600, np.nan, np.float32)}
    with pytest.raises(ModelError, match="offers 0"):
        embed(labelled_catalogue(tmp_path / "nothing", nothing), reducer=Plane())


def test_cancelling_changes_nothing(catalogue: Catalogue) -> None:
    before = (catalogue.path / "manifest.json").read_bytes()

    def stop(fraction: float, _: str) -> None:
        if fraction > 0.7:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        embed(catalogue, reducer=Plane(), progress=stop)
    assert (catalogue.path / "manifest.json").read_bytes() == before


def test_umap_keeps_neighbours_and_tells_its_progress() -> None:
    matrix = features(labelled_arrays(700, spread=0.5), FEATURES)
    matrix = matrix[np.isfinite(matrix).all(axis=1)]
    told: list[float] = []
    found = fit_umap(matrix, 42, lambda fraction, _: told.append(fraction))
    assert found.shape == (len(matrix), 2)
    assert trustworthiness(matrix, found, n_neighbors=15) > 0.9
    np.testing.assert_array_equal(found, fit_umap(matrix, 42))
    assert told == sorted(told)
    assert len(told) > 3

    def stop(fraction: float, _: str) -> None:
        if fraction > 0.1:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        fit_umap(matrix, 42, stop)
    with ThreadPoolExecutor(1) as other:
        assert other.submit(bars_can_be_drawn).result()


def bars_can_be_drawn() -> bool:
    """Whether the lock that all progress bars share is free."""
    lock = tqdm.get_lock().locks[0]
    free: bool = lock.acquire(False)
    if free:
        lock.release()
    return free
