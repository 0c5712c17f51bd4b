"""Views: what a drag asks for, what is drawn, and that an unchanged view is not drawn again."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from dashboard.explore import Explore
from dashboard.pictures import Backdrop, Counts
from dashboard.state import Plane, Session
from dashboard.views import HistogramView, PlaneView, brush_clause, default_planes
from galviz.catalogue import Catalogue
from galviz.selection import Box, Polygon, Range, Selection


def sized(view: PlaneView, width: int = 300, height: int = 200) -> PlaneView:
    """A view whose plot the browser has laid out."""
    view._resized("inner_width", 0, width)
    view._resized("inner_height", 0, height)
    return view


@pytest.fixture
def plane(session: Session) -> PlaneView:
    view = PlaneView("umap", session, lambda: None)
    view.follow()
    return view


def test_a_box_and_a_lasso_become_clauses() -> None:
    plane = Plane("a", "b")
    box = brush_clause(plane, {"type": "rect", "x0": 3, "x1": 1, "y0": 2, "y1": 5})
    assert box == Box("a", "b", 1.0, 3.0, 2.0, 5.0)
    lasso = brush_clause(plane, {"type": "poly", "x": [0, 1, 0.5], "y": [0, 0, 1]})
    assert lasso == Polygon("a", "b", ((0.0, 0.0), (1.0, 0.0), (0.5, 1.0)))


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "rect", "x0": 1, "x1": 1, "y0": 0, "y1": 2},
        {"type": "poly", "x": [0, 1], "y": [0, 1]},
        {"type": "poly", "x": [0, 1, float("nan")], "y": [0, 1, 2]},
        {"type": "point", "x": 0, "y": 0},
    ],
)
def test_a_mere_click_is_no_brush(geometry: dict[str, object]) -> None:
    assert brush_clause(Plane("a", "b"), geometry) is None


def test_a_long_lasso_is_thinned() -> None:
    turn = np.linspace(0, 6, 5000)
    clause = brush_clause(Plane("a", "b"), {"type": "poly", "x": np.cos(turn), "y": np.sin(turn)})
    assert isinstance(clause, Polygon)
    assert 300 < len(clause.vertices) <= 400


def test_a_view_without_size_asks_for_nothing(plane: PlaneView) -> None:
    assert plane.requests() == {}


def test_a_view_leaves_its_own_brush_out(plane: PlaneView, session: Session) -> None:
    sized(plane)
    session.choose("umap", Box("umap_x", "umap_y", 0, 1, 0, 1))
    session.choose("psf_r", Range("psf_r", high=20))
    front = plane.requests()["umap front"]
    assert front.selection == Selection((("psf_r", Range("psf_r", high=20)),))
    assert (front.view.width, front.view.height) == (300, 200)


def test_grey_lies_under_a_selection_only(plane: PlaneView, session: Session) -> None:
    sized(plane)
    assert plane.requests()["umap back"] is None
    session.choose("psf_r", Range("psf_r", high=20))
    assert isinstance(plane.requests()["umap back"], Backdrop)


def test_magnitudes_point_downwards_and_right_ascension_to_the_left(session: Session) -> None:
    session.planes = session.planes | {"cmd": Plane("ra", "psf_r")}
    view = PlaneView("cmd", session, lambda: None)
    view.follow()
    assert view.plot.x_range.start > view.plot.x_range.end
    assert view.plot.y_range.start > view.plot.y_range.end
    window = sized(view).viewport()
    assert window is not None
    assert window.x_range[0] < window.x_range[1]


def test_the_sky_keeps_its_proportions(session: Session) -> None:
    view = PlaneView("sky", session, lambda: None)
    view.follow()
    window = sized(view, 500, 400).viewport()
    assert window is not None
    scales = [(high - low) / size for (low, high), size in ((window.x_range, 500), (window.y_range, 400))]
    assert scales[0] == pytest.approx(scales[1], rel=1e-3)


def test_a_drag_on_a_histogram_is_the_filter(session: Session) -> None:
    view = HistogramView("resolved_r", session, lambda: None)
    view.follow(session.catalogue.manifest.columns["resolved_r"])

    view._dragged(SimpleNamespace(final=True, geometry={"type": "rect", "x0": -1.0, "x1": -2.0}))
    assert session.selection.get("resolved_r") == Range("resolved_r", 0.01, 0.1)


def test_only_what_changed_is_drawn_again(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []
    explore = Explore(session)
    monkeypatch.setattr(explore._newest, "ask", asked.append)
    for view in explore.planes:
        sized(view)
    explore._asked = {}
    explore.redraw()
    everything = asked[-1]
    explore._show(everything, {name: request and request.compute() for name, request in everything.items()})
    session.choose("umap", Box("umap_x", "umap_y", 0, 5, 0, 5))
    assert "umap front" not in asked[-1]
    assert {"sky front", "sky back", "cmd front", "cmd back", "counts", "psf_r bars"} <= set(asked[-1])


def test_the_sentence_counts_and_speaks(session: Session) -> None:
    explore = Explore(session)
    request = Counts(session.catalogue, Selection((("psf_r", Range("psf_r", high=18.0)),)))
    explore._say(request, *request.compute())
    text = explore._sentence.object
    assert f'data-count="{session.catalogue.count("psf_r <= 18")}"' in text
    assert "6,000 sources" in text
    assert "r PSF ≤ 18" in text


def test_planes_come_from_the_manifest(catalogue: Catalogue) -> None:
    manifest = catalogue.manifest
    assert default_planes(manifest) == {
        "umap": Plane("umap_x", "umap_y"),
        "sky": Plane("sky_x", "sky_y"),
        "cmd": Plane("g_r", "psf_r"),
    }
    bare = dataclasses.replace(manifest, groups=manifest.groups[:1], derived=(), defaults={})
    assert default_planes(bare) == {"sky": Plane("ra", "dec"), "cmd": Plane(*manifest.features[:2])}


def test_the_sentence_comes_back_after_a_failure(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []
    explore = Explore(session)
    monkeypatch.setattr(explore._newest, "ask", asked.append)
    explore._shown["counts"] = Counts(session.catalogue, session.selection)
    explore._fail("The index is stale; run `galviz index`.")
    assert "stale" in explore._sentence.object
    explore.redraw()
    assert "counts" in asked[-1]
