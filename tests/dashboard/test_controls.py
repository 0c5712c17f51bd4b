"""Each widget writes one clause and follows when another writes it."""

from __future__ import annotations

import re

import pytest

from dashboard.controls import Captioned, ColourControl, Legend, ProbabilityFilter, RangeFilter, filters
from dashboard.state import Look, Session
from galviz.selection import OneOf, Range


def words_of(caption: Captioned) -> str:
    """What is to be read over a button."""
    return re.sub("<[^>]*>", "", caption.words.object)


def test_the_legend_switches_a_class_off_and_on(session: Session) -> None:
    legend = Legend(session)
    legend._buttons["STAR"].value = False
    assert session.selection.get("class") == OneOf("class_pred", ("GALAXY", "QSO"))
    legend._buttons["STAR"].value = True
    assert session.selection.get("class") is None


def test_the_legend_follows_undo_and_shows_counts(session: Session) -> None:
    legend = Legend(session)
    session.choose("class", OneOf("class_pred", ("QSO",)))
    legend.follow()
    assert [button.value for button in legend._buttons.values()] == [False, True, False]
    legend.show({"GALAXY": 1234567, "QSO": 0, "STAR": 5})
    assert [button.label for button in legend._buttons.values()] == ["galaxies", "quasars", "stars"]
    assert [words_of(caption) for caption in legend._counts.values()] == ["1,234,567", "0", "5"]
    legend.show({"GALAXY": 1234567, "QSO": 0, "STAR": 5}, exact=False)
    assert words_of(legend._counts["GALAXY"]) == "≈ 1,230,000"
    assert session.selection.get("class") == OneOf("class_pred", ("QSO",)), "following must not choose"


def test_a_threshold_is_strict(session: Session) -> None:
    control = ProbabilityFilter(session)
    control.slider.value = 0.9
    assert session.selection.get("probability") == Range("p_best", low=0.9, include_low=False)
    control.select.value = "p_quasar"
    assert session.selection.get("probability") == Range("p_quasar", low=0.9, include_low=False)
    control.typed.value = 0.0
    assert session.selection.get("probability") is None


def test_a_range_can_be_slid_typed_and_taken_back(session: Session) -> None:
    control = RangeFilter(session, session.catalogue.manifest.columns["psf_r"])
    start, end = control.slider.start, control.slider.end
    control.slider.value = (18.0, end)
    clause = session.selection.get("psf_r")
    assert isinstance(clause, Range)
    assert clause.low == pytest.approx(18.0, abs=1e-3)
    assert clause.high is None, "a handle at its end is no limit"
    control.high.value = "21.5"
    assert session.selection.get("psf_r") == Range("psf_r", clause.low, 21.5)
    control.low.value = control.high.value = ""
    assert session.selection.get("psf_r") is None
    assert control.slider.value == (start, end)


@pytest.mark.parametrize("text", ["bright", "nan", "inf", "1e400"])
def test_what_is_no_number_is_put_back(session: Session, text: str) -> None:
    control = RangeFilter(session, session.catalogue.manifest.columns["psf_r"])
    control.low.value = "18"
    control.low.value = text
    assert control.low.value == "18"
    assert session.selection.get("psf_r") == Range("psf_r", low=18.0)


def test_limits_in_the_wrong_order_are_turned(session: Session) -> None:
    control = RangeFilter(session, session.catalogue.manifest.columns["psf_r"])
    control.low.value = "21"
    control.high.value = "19"
    assert session.selection.get("psf_r") == Range("psf_r", 19.0, 21.0)


def test_a_logarithmic_column_has_a_logarithmic_slider(session: Session) -> None:
    control = RangeFilter(session, session.catalogue.manifest.columns["resolved_r"])
    control.slider.value = (-1.0, control.slider.end)
    assert session.selection.get("resolved_r") == Range("resolved_r", low=0.1)
    control.low.value = "0.01"
    assert control.slider.value[0] == pytest.approx(-2.0, abs=0.02)


def test_filters_are_those_of_the_manifest(session: Session) -> None:
    assert [entry.name for entry in filters(session)] == ["probability", "psf_r", "resolved_r"]


def test_colour_by_a_mean_needs_a_column(session: Session) -> None:
    control = ColourControl(session)
    assert not control.column.visible
    control.by.value = "mean"
    control.column.value = "p_quasar"
    assert session.look == Look("mean", "p_quasar", "log")
    control.by.value = control.by.options["Minimum of"]
    assert session.look == Look("minimum", "p_quasar", "log")
    assert control.column.visible
    control.by.value = "count"
    control.scale.value = "eq_hist"
    assert session.look == Look("count", "", "eq_hist")
