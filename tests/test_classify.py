"""Classifiers: trained the same way every time, kept in a file, applied to catalogues."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator

from galviz import classify as module
from galviz.catalogue import Catalogue
from galviz.classify import (
    CLASSIFIERS,
    Model,
    base_digest,
    best,
    classify,
    held_out,
    load,
    predict,
    read_card,
    save,
    split,
    train,
)
from galviz.errors import Cancelled, CatalogueError, ModelError
from galviz.features import labelled_rows, training_set
from galviz.manifest import SourceClass
from tests.labelled import FEATURES, labelled_arrays, labelled_catalogue


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return labelled_catalogue(tmp_path_factory.mktemp("classify") / "blobs")


@pytest.fixture(scope="module")
def model(catalogue: Catalogue) -> Model:
    return train(catalogue, size=20)


def test_the_split_is_stratified_disjoint_and_whole(catalogue: Catalogue) -> None:
    first, second = split(catalogue, 0.5, 0)
    codes = labelled_arrays()["class"]
    np.testing.assert_array_equal(np.union1d(first, second), np.flatnonzero(codes >= 0))
    assert not np.intersect1d(first, second).size
    assert np.abs(np.bincount(codes[first]) - np.bincount(codes[second])).max() <= 1
    np.testing.assert_array_equal(split(catalogue, 0.5, 0)[0], first)
    assert not np.array_equal(split(catalogue, 0.5, 1)[0], first)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, 0.001, float("nan")])
def test_a_fraction_that_leaves_nothing_is_refused(catalogue: Catalogue, fraction: float) -> None:
    with pytest.raises(ModelError, match=r"between 0 and 1|fraction of 0\.001"):
        split(catalogue, fraction, 0)


@pytest.mark.parametrize("algorithm", CLASSIFIERS)
def test_growing_in_steps_equals_one_fit(catalogue: Catalogue, algorithm: str) -> None:
    told: list[float] = []
    grown = train(catalogue, algorithm=algorithm, size=30, progress=lambda fraction, _: told.append(fraction))
    rows = split(catalogue, 0.5, 0)[0]
    labelled = training_set(catalogue, FEATURES, rows=rows)
    whole = CLASSIFIERS[algorithm](30, 0, True).fit(labelled.matrix, labelled.codes)
    test = labelled_rows(catalogue, FEATURES).matrix
    np.testing.assert_allclose(grown.estimator.predict_proba(test), whole.predict_proba(test), rtol=0, atol=1e-12)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) > 5


def test_training_is_reproducible_and_the_card_tells_it(catalogue: Catalogue, model: Model) -> None:
    again = train(catalogue, size=20)
    assert again.id == model.id
    assert train(catalogue, size=20, seed=1).id != model.id
    card = model.card
    assert card["training_rows"] + card["test_rows"] <= 600
    assert card["class_counts"] == dict(zip(model.classes, np.bincount(_training(catalogue).codes), strict=True))
    assert set(card["versions"]) == {"python", "scikit-learn", "galviz"}
    assert len(card["matrix_sha256"]) == 64
    assert json.loads(json.dumps(card)) == card


def _training(catalogue: Catalogue) -> module.TrainingSet:
    return training_set(catalogue, FEATURES, rows=split(catalogue, 0.5, 0)[0])


def test_limits_of_the_training_share_leave_the_test_share_alone(catalogue: Catalogue, model: Model) -> None:
    bright = train(catalogue, size=5, where="d < 20")
    fewer = train(catalogue, size=5, max_rows=100)
    assert bright.card["training_rows"] < model.card["training_rows"]
    assert abs(fewer.card["training_rows"] - 100) <= 2
    test = held_out(catalogue, model)
    assert test is not None
    for other in (bright, fewer):
        np.testing.assert_array_equal(held_out(catalogue, other), test)
    assert not np.intersect1d(test, _training(catalogue).rows).size
    another = train(catalogue, size=2, seed=3, train_fraction=0.3)
    np.testing.assert_array_equal(held_out(catalogue, another), split(catalogue, 0.3, 3)[1])


def test_the_held_out_rows_survive_new_columns_and_end_with_the_catalogue(model: Model, tmp_path: Path) -> None:
    copy = labelled_catalogue(tmp_path / "copy")
    classified = classify(copy, model)
    assert classified.digest != copy.digest
    assert base_digest(classified) == base_digest(copy)
    np.testing.assert_array_equal(held_out(classified, model), split(copy, 0.5, 0)[1])
    assert held_out(labelled_catalogue(tmp_path / "other", labelled_arrays(seed=5)), model) is None


def test_cancelling_stops_the_training(catalogue: Catalogue) -> None:
    def stop(fraction: float, _: str) -> None:
        if fraction > 0.3:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        train(catalogue, size=20, progress=stop)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"algorithm": "oracle"}, "no classifier 'oracle'"), ({"size": 0}, "at least one"), ({"features": ["z"]}, "'z'"),
     ({"max_rows": 20}, "training needs at least 10"), ({"where": "d < 0"}, "at least two classes")],
)  # fmt: skip
def test_unusable_settings_are_refused(catalogue: Catalogue, settings: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        train(catalogue, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("algorithm", CLASSIFIERS)
def test_a_saved_model_predicts_the_same(catalogue: Catalogue, algorithm: str, tmp_path: Path) -> None:
    model = train(catalogue, algorithm=algorithm, size=10)
    save(model, tmp_path / "a.model")
    loaded = load(tmp_path / "a.model")
    matrix = labelled_rows(catalogue, FEATURES).matrix
    np.testing.assert_array_equal(predict(loaded, matrix), predict(model, matrix))
    assert (loaded.features, loaded.classes, loaded.id) == (model.features, model.classes, model.id)
    assert read_card(tmp_path / "a.model") == loaded.card
    assert [path.name for path in tmp_path.iterdir()] == ["a.model"]


def _rewritten(path: Path, **changes: object) -> Path:
    """The model at `path` with another card and the estimator as it was."""
    with zipfile.ZipFile(path) as archive:
        card, data = json.loads(archive.read(module.CARD)), archive.read(module.ESTIMATOR)
    data = changes.pop("estimator", data)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(module.CARD, json.dumps({**card, **changes}))
        archive.writestr(module.ESTIMATOR, data)
    return path


def test_what_is_no_model_is_refused(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model at"):
        load(tmp_path / "nowhere.model")
    (tmp_path / "text.model").write_text("hello")
    with pytest.raises(ModelError, match="not a model"):
        load(tmp_path / "text.model")
    save(model, tmp_path / "old.model")
    with pytest.raises(ModelError, match=r"made with scikit-learn 0\.20\.1"):
        load(_rewritten(tmp_path / "old.model", versions={"scikit-learn": "0.20.1"}))
    save(model, tmp_path / "swapped.model")
    with pytest.raises(ModelError, match="checksum does not agree"):
        load(_rewritten(tmp_path / "swapped.model", estimator=skops.io.dumps(Stranger())))
    with pytest.raises(ModelError, match="another format"):
        load(_rewritten(tmp_path / "old.model", format=99))
    with pytest.raises(ModelError, match="Cannot write"):
        save(model, tmp_path / "no folder" / "a.model")


def test_every_damaged_byte_is_noticed(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "a.model"
    save(model, path)
    good, rng = path.read_bytes(), np.random.default_rng(0)
    for place in rng.integers(0, len(good), 40):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :])
        try:
            loaded = load(path)
        except ModelError:
            continue
        np.testing.assert_array_equal(  # a byte that means nothing, such as a time stamp
            predict(loaded, np.ones((3, 4), np.float32)), predict(model, np.ones((3, 4), np.float32))
        )
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(ModelError):
        load(path)


class Stranger(BaseEstimator):
    """A type that no model of galviz holds."""


def test_a_foreign_type_is_never_built(model: Model, tmp_path: Path) -> None:
    save(model, tmp_path / "a.model")
    data = skops.io.dumps(Stranger())
    path = _rewritten(tmp_path / "a.model", estimator=data, estimator_sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(ModelError, match="Stranger, which galviz does not trust"):
        load(path)


def test_probabilities_of_grown_trees_lie_on_their_grid(catalogue: Catalogue, model: Model) -> None:
    found = predict(model, labelled_rows(catalogue, FEATURES).matrix)
    np.testing.assert_array_equal(found, (np.round(found.astype(float) * 20) / 20).astype(np.float32))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_rows_without_all_features_have_no_class(catalogue: Catalogue, model: Model) -> None:
    matrix = np.array([[0, 0, 0, 20], [np.nan, 0, 0, 20], [0, np.inf, 0, 20]], np.float32)
    found = predict(model, matrix)
    assert np.isnan(found[1:]).all()
    assert not np.isnan(found[0]).any()
    np.testing.assert_array_equal(best(found), [0, -1, -1])
    with pytest.raises(ModelError, match="needs 4 features"):
        predict(model, matrix[:, :3])


def test_classify_adds_columns_that_say_what_they_are(model: Model, tmp_path: Path) -> None:
    made = classify(labelled_catalogue(tmp_path / "blobs"), model)
    manifest = made.manifest
    assert manifest.version == 2
    assert [c.name for c in manifest.of_role("probability")] == ["p_galaxy", "p_quasar", "p_star"]
    assert [c.of_class for c in manifest.of_role("probability")] == ["GALAXY", "QSO", "STAR"]
    assert manifest.of_role("best_probability")[0].name == "p_best"
    assert manifest.class_column == manifest.of_role("prediction")[0]
    assert manifest.groups[-1].provenance["model"]["id"] == model.id
    arrays = labelled_arrays()
    frame = made.frame().compute().reset_index(drop=True)
    usable = np.isfinite(np.column_stack([arrays[name] for name in FEATURES])).all(axis=1)
    likely = frame[["p_galaxy", "p_quasar", "p_star"]].to_numpy()
    np.testing.assert_array_equal(np.isnan(likely).any(axis=1), ~usable)
    np.testing.assert_array_equal(np.isnan(frame["p_best"]), ~usable)
    np.testing.assert_array_equal(frame["class_pred"].isna(), ~usable)
    np.testing.assert_array_equal(frame["p_best"][usable], likely[usable].max(axis=1))
    np.testing.assert_array_equal(frame["class_pred"].cat.codes[usable], likely[usable].argmax(axis=1))
    right = frame["class_pred"].astype(str) == frame["class"].astype(str)
    assert right[usable & (arrays["class"] >= 0)].mean() > 0.95


def test_classes_keep_their_meaning_in_a_catalogue_of_another_order(model: Model, tmp_path: Path) -> None:
    plain = classify(labelled_catalogue(tmp_path / "plain"), model)
    turned = tuple(reversed(plain.manifest.classes))
    other = classify(labelled_catalogue(tmp_path / "turned", classes=turned), model)
    assert [c.name for c in other.manifest.of_role("probability")] == ["p_galaxy", "p_quasar", "p_star"]
    one, two = (c.frame(["class_pred", "p_star"]).compute() for c in (plain, other))
    assert [str(name) for name in one["class_pred"]] == [str(name) for name in two["class_pred"]]
    np.testing.assert_array_equal(one["p_star"], two["p_star"])


def test_two_classes_of_three_make_a_model_of_two(tmp_path: Path) -> None:
    arrays = labelled_arrays()
    arrays["class"][arrays["class"] == 0] = -1
    made = labelled_catalogue(tmp_path / "two", arrays)
    model = train(made, size=5)
    assert model.classes == ("QSO", "STAR")
    codes = classify(made, model).read_part(0, ["class_pred"])["class_pred"]
    assert set(codes) <= {-1, 1, 2}


def test_a_catalogue_that_does_not_fit_is_left_as_it_was(model: Model, tmp_path: Path) -> None:
    arrays = labelled_arrays()
    narrow = labelled_catalogue(tmp_path / "narrow", {n: v for n, v in arrays.items() if n != "b"}, features=("a",))
    with pytest.raises(ModelError, match="no column 'b'"):
        classify(narrow, model)
    foreign = labelled_catalogue(tmp_path / "foreign", classes=(SourceClass("EARLY", "early", "early", "#f00"),) * 3)
    with pytest.raises(ModelError, match="has no class GALAXY"):
        classify(foreign, model)
    made = labelled_catalogue(tmp_path / "blobs")
    before = (made.path / "manifest.json").read_bytes()
    with pytest.raises(Cancelled):
        classify(made, model, progress=_stop)
    assert (made.path / "manifest.json").read_bytes() == before
    assert not list((made.path / "sidecars").iterdir())


def _stop(fraction: float, words: str) -> None:
    if fraction > 0.5:
        raise Cancelled("stopped")


def test_classifying_again_replaces_the_columns(catalogue: Catalogue, model: Model, tmp_path: Path) -> None:
    made = classify(classify(labelled_catalogue(tmp_path / "blobs"), model), train(catalogue, size=3))
    assert made.manifest.version == 3
    assert [group.name for group in made.manifest.groups] == ["base", "classify"]
    published = dataclasses.replace(made.manifest.of_role("prediction")[0], name="p_best", kind="number")
    taken = labelled_catalogue(tmp_path / "taken")
    taken = taken.add_columns("published", [published], [{"p_best": np.zeros(200)} for _ in range(3)])
    with pytest.raises(CatalogueError, match="already has a column 'p_best'"):
        classify(taken, model)
