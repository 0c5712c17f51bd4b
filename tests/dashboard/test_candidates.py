from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pytest

from dashboard import style
from dashboard.candidates import CandidatesTab, at_threshold, distinct_suffixes, rarest
from dashboard.plots import share_text
from dashboard.runs import Recipe, train_run
from dashboard.sheets import NAME, name_prefix, table_columns
from dashboard.state import Session, Settings
from galviz.catalogue import Catalogue
from galviz.index import build_index
from galviz.manifest import SourceClass
from galviz.naming import iau_name
from galviz.selection import OneOf, Range, Selection
from galviz.simulate.catalogue import simulate
from galviz.surveys import PROBABILITIES
from tests.samples import random_arrays, write_catalogue

# Bokeh turns the frame of a table into columns in a way that pandas 3.1 is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index")

PLAIN = Settings(Path("unused"))
WITH_ROUTES = Settings(Path("unused"), routes=True)


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def idle(tab: CandidatesTab) -> None:
    """Wait until what is shown is what was asked for last."""
    until(lambda: not tab.newest._running and tab.fetched is not None)


@pytest.fixture
def tab(session: Session) -> CandidatesTab:
    made = CandidatesTab(session, WITH_ROUTES)
    idle(made)
    return made


def counted(tab: CandidatesTab) -> int:
    """The count of the sentence, as its handle for tests gives it."""
    found = re.search(r'data-count="(\d+)"', tab.sentence.object)
    assert found
    assert f"<b>{style.number(int(found[1]))}</b>" in tab.sentence.object
    return int(found[1])


def test_opening_shows_the_best_candidates_of_the_chosen_class_and_selects_nothing(tab: CandidatesTab) -> None:
    catalogue = tab.session.catalogue
    assert tab.threshold.select.value == "QSO"
    assert tab.session.selection == Selection()
    assert counted(tab) == catalogue.rows
    whole = catalogue.frame().compute().reset_index(drop=True)
    best = whole.sort_values("p_quasar", ascending=False, kind="stable")[:50]
    assert tab.table.value["objid"].tolist() == best["objid"].astype(str).tolist()
    assert tab.table.value[NAME].tolist() == iau_name(best["ra"], best["dec"]).tolist()
    assert tab.table.value["p_quasar"].tolist() == [f"{p:.3f}" for p in best["p_quasar"]]
    assert f"<b>{style.number(round(whole['p_quasar'].astype(float).sum()))} ±" in tab.sentence.object


def test_moving_the_threshold_selects_strictly_above_it(tab: CandidatesTab) -> None:
    tab.threshold.slider.value = 0.8
    idle(tab)
    assert tab.session.selection.get("probability") == Range("p_quasar", low=0.8, include_low=False)
    assert tab.threshold.typed.value == 0.8
    p = tab.session.catalogue.frame(["p_quasar"]).compute()["p_quasar"]
    assert counted(tab) == (p > np.float32(0.8)).sum()
    tab.threshold.typed.value = 0.0
    idle(tab)
    assert tab.session.selection == Selection()


def test_a_threshold_set_elsewhere_is_mirrored_and_not_written_again(tab: CandidatesTab) -> None:
    written = []
    tab.session.param.watch(lambda event: written.append(event.new), "selection")
    tab.session.choose("probability", Range("p_star", low=0.4, high=0.9))
    idle(tab)
    assert tab.threshold.select.value == "STAR"
    assert tab.threshold.slider.value == tab.threshold.typed.value == 0.4
    assert written == [Selection().choose("probability", Range("p_star", low=0.4, high=0.9))]
    assert tab.pager.sort.value == "p_star"
    assert counted(tab) == tab.session.catalogue.count(tab.session.selection)
    tab.threshold.slider.value = 0.5  # an upper limit made elsewhere stays
    assert tab.session.selection.get("probability") == Range("p_star", 0.5, 0.9, include_low=False)


def test_another_class_takes_the_threshold_over(tab: CandidatesTab) -> None:
    tab.threshold.slider.value = 0.6
    tab.threshold.select.value = "GALAXY"
    idle(tab)
    assert tab.session.selection.get("probability") == Range("p_galaxy", low=0.6, include_low=False)
    assert tab.pager.sort.value == "p_galaxy"
    assert "Expected galaxies" in tab.sentence.object


def test_turning_all_pages_shows_every_selected_source_once(tab: CandidatesTab) -> None:
    tab.session.choose("psf_r", Range("psf_r", 18, 19))
    tab.pager.size.value = 25
    idle(tab)
    seen: list[str] = []
    for number in range(1, tab.pager.number.end + 1):
        assert tab.fetched is not None
        assert tab.fetched.page == number
        seen += tab.table.value["objid"].tolist()
        tab.pager.after.clicks += 1
        idle(tab)
    wanted = tab.session.catalogue.frame(["objid"], tab.session.selection).compute()["objid"].astype(str)
    assert len(seen) == len(wanted) == counted(tab)
    assert set(seen) == set(wanted)
    assert tab.pager.after.disabled
    assert not tab.pager.before.disabled


def test_another_selection_starts_at_its_first_page(tab: CandidatesTab) -> None:
    tab.pager.go(7)
    idle(tab)
    assert tab.fetched is not None
    assert tab.fetched.page == 7
    tab.session.choose("class", OneOf("class_pred", ("STAR",)))
    idle(tab)
    assert tab.pager.number.value == tab.fetched.page == 1
    assert set(tab.table.value["class_pred"]) == {"STAR"}


def test_a_click_on_a_title_sorts_all_rows_by_that_column(tab: CandidatesTab) -> None:
    tab.table.sorters = [{"field": "psf_r", "dir": "asc"}]
    idle(tab)
    r = tab.session.catalogue.frame(["psf_r"]).compute()["psf_r"].sort_values()
    assert tab.table.value["psf_r"].tolist() == [f"{value:.2f}" for value in r[:50]]
    assert (tab.pager.sort.value, tab.pager.down.value) == ("psf_r", False)
    tab.pager.down.value = True
    idle(tab)
    assert tab.table.value["psf_r"].tolist() == [f"{value:.2f}" for value in r[::-1][:50]]
    assert tab.table.sorters == [{"field": "psf_r", "dir": "desc"}]


def test_a_result_that_comes_late_moves_no_control(tab: CandidatesTab) -> None:
    late, rows = tab._asked, tab.fetched
    assert late is not None
    assert rows is not None
    tab.pager.order("psf_r", False)
    idle(tab)
    tab._show(late, rows)
    idle(tab)
    assert (tab.pager.sort.value, tab.pager.down.value) == ("psf_r", False)


def test_an_empty_selection_is_an_empty_table(tab: CandidatesTab) -> None:
    tab.session.choose("psf_r", Range("psf_r", 90, 91))
    idle(tab)
    assert counted(tab) == 0
    assert tab.table.value.empty
    assert (tab.pager.number.value, tab.pager.number.end) == (1, 1)


def test_links_ask_for_exactly_the_selection(tab: CandidatesTab) -> None:
    tab.session.choose("class", OneOf("class_pred", ("QSO", "STAR")))
    tab.session.choose("probability", Range("p_quasar", low=0.3, include_low=False))
    idle(tab)
    links = [unescape(link) for link in re.findall(r'href="([^"]*)"', tab.links.object)]
    assert [Path(urlsplit(link).path).suffix for link in links] == distinct_suffixes()
    assert 'class="gv-export" href="./export/small-candidates.csv?where=' in tab.links.object
    for link in links:
        where = parse_qs(urlsplit(link).query)["where"][0]
        assert tab.session.catalogue.count(Selection.parse(where)) == counted(tab)


def test_without_routes_the_file_goes_through_the_page_with_the_rows_of_the_sentence(session: Session) -> None:
    tab = CandidatesTab(session, PLAIN)
    session.choose("psf_r", Range("psf_r", 18, 20))
    idle(tab)
    assert tab.inline.visible
    assert not tab.links.visible
    rows = pd.read_csv(io.BytesIO(tab._inline_file().getvalue()), comment="#", dtype={"objid": str})
    assert len(rows) == counted(tab)
    assert set(rows["objid"]) == set(
        session.catalogue.frame(["objid"], session.selection).compute()["objid"].astype(str)
    )


def test_many_rows_without_routes_become_a_sentence(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.candidates.MOST_INLINE", 1000)
    tab = CandidatesTab(session, PLAIN)
    idle(tab)
    assert not tab.inline.visible
    assert "galviz export" in tab.links.object


def test_completeness_and_purity_are_those_of_the_tested_run(session: Session, tmp_path: Path) -> None:
    labelled = simulate(tmp_path / "labelled", 3_000, 1, labelled=True)
    tab = CandidatesTab(session, PLAIN)
    idle(tab)
    assert not tab.plot.visible
    assert "--labelled" in tab.quality.object
    run = train_run(labelled, Recipe(labelled.manifest.features, "random-forest", size=10), lambda *_: None)
    session.runs = (run,)
    tab.threshold.slider.value = 0.85
    idle(tab)
    table = run.evaluation.thresholds
    place = int(np.argmin(np.abs(table.threshold - 0.85)))
    expected = table.completeness.value[1, place], table.purity.value[1, place]
    assert at_threshold(table, "QSO", 0.85) == expected
    step = np.flatnonzero(np.diff(table.selected[1]))[3] + 1  # a threshold at which fewer are selected than before
    assert at_threshold(table, "QSO", float(table.threshold[step]))[0] == table.completeness.value[1, step]
    assert f"<b>{share_text(expected[0], 1)}</b>" in tab.quality.object
    assert f"<b>{share_text(expected[1], 1)}</b>" in tab.quality.object
    assert tab.plot.visible
    assert tab.figure.mark.location == 0.85
    np.testing.assert_array_equal(tab.figure._lines["purity"].data["y"], table.purity.value[1])
    assert at_threshold(table, "PULSAR", 0.5) is None


def test_the_theme_reaches_the_figure(tab: CandidatesTab) -> None:
    tab.session.theme = "light"
    assert tab.figure.plot.background_fill_color == style.LIGHT.paper


def test_a_hidden_tab_asks_for_nothing_until_it_is_seen_again(tab: CandidatesTab) -> None:
    tab.panel.visible = False
    asked = tab._asked
    tab.session.choose("psf_r", Range("psf_r", 18, 19))
    assert tab._asked is asked
    tab.panel.visible = True
    idle(tab)
    assert counted(tab) == tab.session.catalogue.count(tab.session.selection)


def test_a_catalogue_without_identifier_position_and_probability_is_listed(tmp_path: Path) -> None:
    arrays = random_arrays(130)
    del arrays["objid"]
    bare = write_catalogue(tmp_path / "bare", arrays)
    build_index(bare)
    tab = CandidatesTab(Session(catalogue=bare), PLAIN)
    idle(tab)
    assert counted(tab) == 130
    assert not tab.threshold.panel.visible
    assert list(tab.table.value.columns) == ["class"]
    assert set(tab.table.value["class"]) <= {"GALAXY", "QSO", "STAR", ""}


def test_columns_that_a_catalogue_gains_appear(no_index: Catalogue) -> None:
    tab = CandidatesTab(Session(catalogue=no_index), PLAIN)
    idle(tab)
    assert not tab.threshold.panel.visible
    assert "p_quasar" not in tab.table.value
    shares = np.random.default_rng(0).random(no_index.rows).astype(np.float32)
    column = replace(PROBABILITIES[1], description="made up")
    tab.session.catalogue = no_index.add_columns("classify", (column,), [{"p_quasar": shares}])
    idle(tab)
    assert tab.threshold.panel.visible
    assert tab.threshold.select.options == {"quasars": "QSO"}
    assert tab.table.titles["p_quasar"] == "p(quasar)"
    assert tab.table.value["p_quasar"].tolist() == [f"{p:.3f}" for p in np.sort(shares)[::-1][:50]]


def test_the_class_to_begin_with_is_the_rarest_unless_the_manifest_says_so(catalogue: Catalogue) -> None:
    classes = list(catalogue.manifest.classes)
    assert rarest(catalogue, classes) == "QSO"
    silent = replace(catalogue, manifest=replace(catalogue.manifest, defaults={}))
    counts = catalogue.frame(["class_pred"]).compute()["class_pred"].value_counts()
    assert rarest(silent, classes) == counts.idxmin()


def test_names_from_a_manifest_are_escaped(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    arrays = random_arrays(60)
    classes = tuple(SourceClass(name, evil, evil, "#ffffff") for name in ("GALAXY", "QSO", "STAR"))
    made = write_catalogue(tmp_path / "evil", arrays, classes=classes)
    build_index(made)
    column = replace(PROBABILITIES[0], name="p", label=evil)
    made = made.add_columns(
        "classify", (column,), [{"p": np.linspace(0, 1, part.size)} for part in np.split(np.arange(60), 3)]
    )
    session = Session(catalogue=made)
    session.choose("class", OneOf("class", (evil,)))
    tab = CandidatesTab(Session(catalogue=made), PLAIN)
    tab.session.choose("probability", Range("p", low=0.5))
    idle(tab)
    assert counted(tab) == 30
    assert "&lt;img" in tab.sentence.object
    assert "<img" not in tab.sentence.object + tab.quality.object + str(tab.table.titles)
    titles = CandidatesTab(session, PLAIN)
    until(lambda: "gv-failed" in titles.sentence.object)
    assert "<img" not in titles.sentence.object  # the class has no such value, and the sentence quotes it


def test_columns_of_the_table_follow_the_roles(catalogue: Catalogue) -> None:
    names = [column.name for column in table_columns(catalogue.manifest)]
    assert names == [
        "objid", "ra", "dec", "class_pred", "p_galaxy", "p_quasar", "p_star", "psf_r", "resolved_r",
    ]  # fmt: skip
    assert name_prefix(catalogue.manifest) == "SDSS"
