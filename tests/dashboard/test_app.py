"""The page: tabs built when opened, a sentence where there is nothing to show, what there is to train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import panel as pn
import pytest

from dashboard import app
from dashboard.app import Page, create_app, labelled_catalogue, settings_from_environment
from dashboard.pictures import Bars, Counts, Picture
from dashboard.state import Session, Settings
from dashboard.views import default_planes
from galviz.catalogue import Catalogue
from galviz.draw import draw_many
from galviz.index import build_index
from galviz.ingest import ingest
from galviz.requests import Viewport
from galviz.selection import Selection
from galviz.simulate.catalogue import simulate
from tests.foreign import write


def test_a_tab_is_built_when_it_is_first_opened(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    names = [name for name, _, _ in app.TABS]

    def maker(name: str) -> pn.viewable.Viewable:
        built.append(name)
        return pn.Column()

    tabs = tuple((name, name.title(), lambda *_, name=name: maker(name)) for name in names)
    monkeypatch.setattr(app, "TABS", tabs)
    page = Page(session, Settings(session.catalogue.path))
    assert built == ["explore"]
    page.open("models")
    page.open("explore")
    page.open("models")
    assert built == ["explore", "models"]
    assert [view.visible for view in page._made.values()] == [False, True]
    assert "gv-open" in page._buttons["models"].css_classes
    assert "gv-open" not in page._buttons["explore"].css_classes


def test_the_page_says_simulated(session: Session) -> None:
    page = Page(session, Settings(session.catalogue.path))
    assert "simulated</span>" in page._title.object
    assert "6,000 sources" in page._title.object


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_theme_changes_every_plot(session: Session, theme: str) -> None:
    page = Page(session, Settings(session.catalogue.path))
    session.theme = theme
    plots = [pane.object for pane in page.root.select(pn.pane.Bokeh)]
    assert len(plots) == 6
    assert {plot.background_fill_color for plot in plots} == {app.style.THEMES[theme].paper}


def test_a_catalogue_that_cannot_be_shown_becomes_a_sentence(no_index: Catalogue, tmp_path: Path) -> None:
    assert "galviz index" in create_app(Settings(no_index.path)).object
    assert "no such folder" in create_app(Settings(tmp_path / "<b>nowhere</b>")).object
    assert "<b>" not in create_app(Settings(tmp_path / "<b>nowhere</b>")).object


def test_what_to_train_on_is_found(catalogue: Catalogue, tmp_path: Path) -> None:
    plain = simulate(tmp_path / "sky", 500, 1)
    assert labelled_catalogue(Settings(plain.path), plain) is None
    beside = simulate(tmp_path / "sky-labelled", 500, 1, labelled=True)
    assert labelled_catalogue(Settings(plain.path), plain) == beside
    assert labelled_catalogue(Settings(beside.path), beside) == beside
    assert labelled_catalogue(Settings(plain.path, catalogue.path), plain) == catalogue


def test_panel_serve_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GALVIZ_CATALOGUE", "GALVIZ_LABELLED", "GALVIZ_ROUTES"):
        monkeypatch.delenv(name, raising=False)
    assert settings_from_environment() == Settings(Path("data/demo"))
    monkeypatch.setenv("GALVIZ_CATALOGUE", "mine")
    monkeypatch.setenv("GALVIZ_LABELLED", "taught")
    monkeypatch.setenv("GALVIZ_ROUTES", "1")
    assert settings_from_environment() == Settings(Path("mine"), Path("taught"), routes=True)


@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index")
@pytest.mark.parametrize("bands", [("gmag", "rmag"), ("gmag",), ()])
def test_a_file_of_positions_and_any_magnitudes_opens_in_every_tab(tmp_path: Path, bands: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"RAJ2000": rng.uniform(0, 360, 200), "DEJ2000": rng.uniform(-90, 90, 200)})
    for band in bands:
        frame[band] = rng.uniform(15, 20, 200)
    catalogue = ingest(write(frame, tmp_path / "rows.csv"), tmp_path / "out", "generic")
    build_index(catalogue)
    session = Session(catalogue=catalogue, planes=default_planes(catalogue.manifest))
    page = Page(session, Settings(catalogue.path))
    for name, _, _ in app.TABS:
        page.open(name)
    assert list(session.planes) == (["sky", "cmd"] if len(bands) == 2 else ["sky"])
    for plane in session.planes.values():
        view = Viewport(plane.x, plane.y, (-400, 400), (-400, 400), 60, 50)
        picture = Picture(catalogue, Selection(), view, session.look, "dark")
        (drawn,) = draw_many(catalogue, [picture.request()])
        assert int(drawn.sum()) == 200
        assert picture.shade(drawn).pixels.any()
    assert Counts(catalogue, Selection()).answer(True) == (200, {})
    for band in bands:
        assert Bars(catalogue, Selection(), band, (10.0, 25.0)).answer(True).sum() == 200
