from __future__ import annotations

import csv
import io
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dashboard import plots, runs, style
from dashboard.models import OWN, ModelsTab, limit_column, models_tab, runs_html
from dashboard.runs import Recipe, add_run, applied_model, apply_run, run_of, train_run
from dashboard.state import Look, Run, Session, Settings
from galviz import classify
from galviz.catalogue import Catalogue, open_catalogue
from galviz.errors import Cancelled
from galviz.features import presets
from galviz.index import has_index
from galviz.manifest import Column, SourceClass
from galviz.selection import Range
from galviz.simulate.catalogue import simulate
from tests.labelled import labelled_catalogue


def silent(fraction: float, words: str) -> None:
    """Progress that nobody reads."""


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return simulate(tmp_path_factory.mktemp("models") / "labelled", 4_000, 1, labelled=True)


@pytest.fixture(scope="module")
def run(labelled: Catalogue) -> Run:
    """A small run of all features."""
    return train_run(labelled, Recipe(labelled.manifest.features, "random-forest", size=12), silent)


@pytest.fixture
def tab(catalogue: Catalogue, labelled: Catalogue) -> ModelsTab:
    return ModelsTab(Session(catalogue=catalogue, labelled=labelled), labelled)


def finished(tab: ModelsTab) -> None:
    until(lambda: tab.task.state not in ("idle", "running"))
    until(lambda: tab.task.state != "done" or tab.words.object is not None)


def test_without_a_labelled_catalogue_the_tab_says_how_to_start(session: Session) -> None:
    panel = models_tab(session, Settings(Path("some/<place>")))
    assert "galviz serve some/&lt;place&gt; --labelled CATALOGUE" in panel[0].object


def test_preset_and_check_boxes_follow_each_other(tab: ModelsTab) -> None:
    form = tab.form
    for title, names in presets(tab.labelled).items():
        form.preset.value = title
        assert set(form.features.value) == set(names)
    form.preset.value = "WISE"
    form.features.value = [*form.features.value, "psf_g"]
    assert form.preset.value == OWN
    form.features.value = ["w4", "w3", "w2", "w1"]
    assert form.preset.value == "WISE"


def test_the_recipe_is_what_the_form_says_with_features_in_the_order_of_the_manifest(tab: ModelsTab) -> None:
    form = tab.form
    form.features.value = ["w1", "psf_u", "psf_g"]
    form.algorithm.value, form.size.value, form.seed.value = "extra-trees", 7, 3
    form.balanced.value, form.limit.value = False, 19.5
    limit = Range("psf_r", high=19.5, include_high=False)
    assert form.recipe() == Recipe(("psf_u", "psf_g", "w1"), "extra-trees", 7, False, 3, limit)
    form.limit.value = None
    assert form.recipe().limit is None


def test_the_limit_is_the_first_magnitude_among_the_filters(tmp_path: Path) -> None:
    blobs = labelled_catalogue(tmp_path / "blobs")
    assert limit_column(blobs) == blobs.manifest.columns["d"]
    assert limit_column(labelled_catalogue(tmp_path / "other", defaults={"filters": ["size"]})) is None


def test_training_shows_scores_and_curves_of_the_held_out_half(tab: ModelsTab) -> None:
    tab.form.size.value = 10
    tab.train.clicks += 1
    until(lambda: tab.task.state == "running" or bool(tab.session.runs))
    finished(tab)
    assert tab.task.state == "done"
    until(lambda: tab.results.panel.visible)
    (made,) = tab.session.runs
    assert made.evaluation.held_out
    assert made.evaluation.scores.n == 2_000
    assert [card.column.name for card in tab.results.curves] == ["psf_r", "resolved_r"]
    for card in tab.results.curves:
        curve = made.evaluation.curves[card.column.name]
        for place, name in enumerate(curve.classes):
            data = card.figure._parts[name]["curve"].data
            np.testing.assert_array_equal(data["f1"], curve.f1.value[place])
            np.testing.assert_allclose(data["below"], curve.mean_probability[place] - curve.std_probability[place])
    for value in made.evaluation.scores.f1.value:
        assert f"<b>{value:.3f}</b>" in tab.results.scores.table.object
    assert style.number(made.evaluation.confusion[0, 0]) in tab.results.confusion.table.object
    assert tab.head.visible
    assert not tab.cancel.visible


def test_training_twice_in_the_same_way_makes_one_run(labelled: Catalogue, run: Run, session: Session) -> None:
    again = train_run(labelled, Recipe(labelled.manifest.features, "random-forest", size=12), silent)
    assert add_run(session, run) is run
    assert add_run(session, again) is run
    assert session.runs == (run,)


def test_progress_rises_and_cancelling_leaves_nothing(tab: ModelsTab, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, str]] = []
    monkeypatch.setattr("dashboard.tasks.REPORT_EVERY", 0.0)

    def watch(*_: object) -> None:
        seen.append((tab.task.fraction, tab.task.message))
        if tab.task.state == "running" and tab.task.fraction > 0.3:
            tab.cancel.clicks += 1

    tab.task.param.watch(watch, ["fraction"])
    tab.form.size.value = 200
    tab.train.clicks += 1
    finished(tab)
    assert tab.task.state == "cancelled"
    assert tab.session.runs == ()
    assert "Cancelled" in tab.words.object
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert any("trees" in words for _, words in seen)
    assert not tab.train.disabled


def test_what_cannot_be_trained_becomes_a_sentence(tab: ModelsTab) -> None:
    tab.form.features.value = []
    tab.train.clicks += 1
    finished(tab)
    assert tab.task.state == "failed"
    assert "gv-failed" in tab.words.object
    assert "No features are chosen" in tab.words.object


def test_applying_a_run_rewrites_the_classes_and_the_session_shows_them(
    catalogue: Catalogue, labelled: Catalogue, run: Run, tmp_path: Path
) -> None:
    shutil.copytree(catalogue.path, tmp_path / "copy")
    old = open_catalogue(tmp_path / "copy")
    tab = ModelsTab(Session(catalogue=old, labelled=labelled, runs=(run,)), labelled)
    assert "rewrites" in tab.warning.object
    tab.apply.clicks += 1
    finished(tab)
    assert tab.task.state == "done", tab.task.message
    until(lambda: tab.session.catalogue != old)
    new = tab.session.catalogue
    assert new.manifest.version == old.manifest.version + 1
    assert has_index(new)
    assert applied_model(new) == run.model.id
    matrix = np.column_stack([new.read_part(0, [name])[name] for name in run.model.features]).astype(np.float32)
    np.testing.assert_array_equal(new.read_part(0, ["p_quasar"])["p_quasar"], classify.predict(run.model, matrix)[:, 1])
    assert "made the classes" in tab.warning.object


def test_applying_can_be_stopped_before_the_classes_are_written_and_not_after(
    catalogue: Catalogue, run: Run, tmp_path: Path
) -> None:
    shutil.copytree(catalogue.path, tmp_path / "copy")
    old = open_catalogue(tmp_path / "copy")

    def stop_at(limit: float) -> Callable[[float, str], None]:
        def progress(fraction: float, words: str) -> None:
            if fraction > limit:
                raise Cancelled("Cancelled.")

        return progress

    with pytest.raises(Cancelled):
        apply_run(old, run, stop_at(0.1))
    assert open_catalogue(old.path) == old
    assert has_index(apply_run(old, run, stop_at(0.85)))


def test_the_stored_model_is_tested_when_the_tab_opens(
    catalogue: Catalogue, labelled: Catalogue, run: Run, tmp_path: Path
) -> None:
    shutil.copytree(catalogue.path, tmp_path / "sky")
    classify.save(run.model, tmp_path / "sky.model")
    session = Session(catalogue=open_catalogue(tmp_path / "sky"), labelled=labelled)
    assert runs.stored_model(session) == tmp_path / "sky.model"
    tab = ModelsTab(session, labelled)
    finished(tab)
    until(lambda: len(session.runs) == 1)
    assert session.runs[0].model.id == run.model.id
    assert session.runs[0].title == run.title
    np.testing.assert_array_equal(session.runs[0].evaluation.confusion, run.evaluation.confusion)


def test_the_run_that_made_the_probabilities_comes_before_the_latest(
    catalogue: Catalogue, labelled: Catalogue, run: Run, tmp_path: Path
) -> None:
    other = train_run(labelled, Recipe(("w1", "w2"), "random-forest", size=2), silent)
    assert run_of(Session(catalogue=catalogue)) is None
    assert run_of(Session(catalogue=catalogue, runs=(run, other))) is other
    shutil.copytree(catalogue.path, tmp_path / "copy")
    applied = apply_run(open_catalogue(tmp_path / "copy"), run, silent)
    assert run_of(Session(catalogue=applied, runs=(run, other))) is run


def test_choosing_another_run_shows_it(catalogue: Catalogue, labelled: Catalogue, run: Run) -> None:
    other = train_run(labelled, Recipe(("w1", "w2"), "random-forest", size=2, seed=5), silent)
    assert other.title == "2 features, random forest of 2, seed 5"
    tab = ModelsTab(Session(catalogue=catalogue, labelled=labelled, runs=(run, other)), labelled)
    assert tab.results.run is other
    tab.shown.value = run
    assert tab.results.run is run
    assert f"macro <b>{run.evaluation.scores.macro_f1:.3f}</b>" in tab.results.scores.table.object


def test_theme_and_palette_reach_the_figures(catalogue: Catalogue, labelled: Catalogue, run: Run) -> None:
    session = Session(catalogue=catalogue, labelled=labelled, runs=(run,), theme="dark")
    card = ModelsTab(session, labelled).results.curves[0]
    session.theme = "light"
    assert card.figure.plot.background_fill_color == style.LIGHT.paper
    lines = card.figure._coloured["QSO"]
    assert {glyph.fill_color for glyph in lines if hasattr(glyph, "fill_color")} == {"#ff69b4"}
    session.look = Look(safe=True)
    assert {glyph.fill_color for glyph in lines if hasattr(glyph, "fill_color")} == {"#e69f00"}


def test_the_fullest_bin_of_the_largest_class_peaks_at_one_half(labelled: Catalogue, run: Run) -> None:
    figure = plots.CurvePlot(labelled.manifest.columns["psf_r"], labelled.manifest.classes)
    curve = run.evaluation.curves["psf_r"]
    figure.show(curve)
    axis, number = figure.plot.y_range, figure.plot.extra_y_ranges["number"]
    peak = max(max(figure._parts[name]["number"].data["y"]) for name in curve.classes)
    assert peak == curve.correct.max()
    assert peak / number.end * axis.end == pytest.approx(0.5)


def test_a_band_is_cut_where_values_are_missing() -> None:
    nan = np.nan
    low, high = np.array([nan, 1, 2, nan, 4.0]), np.array([nan, 2, 3, 9, 5.0])
    assert plots.segments(np.arange(5.0), low, high) == {
        "xs": [[1, 2, 2, 1], [4, 4]],
        "ys": [[1, 2, 3, 2], [4, 5]],
    }


def test_an_outline_goes_over_every_bin_and_stands_on_zero() -> None:
    assert plots.outline(np.array([0, 1, 3.0]), np.array([5, 2])) == {"x": [0, 0, 1, 1, 3, 3], "y": [0, 5, 5, 2, 2, 0]}


@pytest.mark.parametrize(("peak", "ticks"), [(1, [0, 0.5, 1]), (7, [0, 2, 4, 6]), (4200, [0, 2000, 4000])])
def test_ticks_of_a_histogram_are_round_and_few(peak: float, ticks: list[float]) -> None:
    assert plots.number_ticks(peak) == ticks


def test_downloads_hold_the_numbers_of_the_figures(labelled: Catalogue, run: Run) -> None:
    curve = run.evaluation.curves["resolved_r"]
    rows = list(csv.DictReader(io.StringIO(plots.curve_csv(curve))))
    assert len(rows) == curve.f1.value.size
    got = np.array([float(row["f1"] or "nan") for row in rows]).reshape(curve.f1.value.shape)
    np.testing.assert_array_equal(got, curve.f1.value)
    assert [int(row["correct"]) for row in rows] == curve.correct.ravel().tolist()
    scores = list(csv.DictReader(io.StringIO(plots.scores_csv(run.evaluation.scores))))
    assert [float(row["recall_low"]) for row in scores] == run.evaluation.scores.recall.low.tolist()
    confusion = list(csv.reader(io.StringIO(plots.confusion_csv(run.evaluation.scores))))
    assert confusion[0] == ["true_class", "predicted_GALAXY", "predicted_QSO", "predicted_STAR"]
    assert confusion[2] == ["QSO", *map(str, run.evaluation.confusion[1].tolist())]


def test_sentences_name_the_worst_bin_and_the_most_frequent_confusion(labelled: Catalogue, run: Run) -> None:
    column, classes = labelled.manifest.columns["psf_r"], labelled.manifest.classes
    curve = run.evaluation.curves["psf_r"]
    worst = int(np.nanargmin(curve.f1.value[1]))
    text = plots.curve_sentence(curve, classes, column)
    assert f"down to {np.nanmin(curve.f1.value[1]):.2f} at {curve.edges[worst]:.3g}" in text
    wrong = run.evaluation.confusion.copy()
    np.fill_diagonal(wrong, 0)
    assert f"{wrong.max()} " in plots.confusion_sentence(run.evaluation.scores, classes)


@pytest.mark.parametrize(
    ("count", "total", "text"),
    [(0, 9, "0.0 %"), (1, 5000, "< 0.1 %"), (4999, 5000, "> 99.9 %"), (9, 9, "100.0 %"), (1, 8, "12.5 %")],
)
def test_a_share_never_claims_none_or_all_wrongly(count: int, total: int, text: str) -> None:
    assert plots.share_text(count, total) == text


def test_text_of_a_catalogue_is_escaped_everywhere(run: Run) -> None:
    evil = "<img src=x onerror=alert(1)>"
    classes = tuple(SourceClass(name, evil, evil, "red", "blue") for name in ("GALAXY", "QSO", "STAR"))
    shown = (
        plots.scores_html(run.evaluation.scores, classes, False),
        plots.confusion_html(run.evaluation.scores, classes),
        plots.legend_html(classes, True),
        runs_html((Run(run.model, run.evaluation, evil),), run, classes),
        plots.threshold_html(run.evaluation, classes[0], 0.5, (0.5, 0.5), evil),
    )
    assert not any("<img" in text for text in shown)
    assert plots.CurvePlot(Column("x", "float32", label=evil), classes).plot.xaxis[0].axis_label == evil  # canvas text
