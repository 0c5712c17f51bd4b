"""Views: what a drag asks for, what is drawn, and that an unchanged view is not drawn again."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from dashboard.explore import Explore
from dashboard.pictures import Answer, Asked, Backdrop, Counts, Shaded, answers
from dashboard.state import Plane, Session
from dashboard.style import rounded
from dashboard.tasks import Stepwise
from dashboard.views import HistogramView, PlaneView, brush_clause, default_planes
from galviz.catalogue import Catalogue
from galviz.draw import never
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
    explore, asked = asking(session, monkeypatch)
    show_all(explore, asked[-1])
    session.choose("umap", Box("umap_x", "umap_y", 0, 5, 0, 5))
    assert "umap front" not in asked[-1].requests
    assert {"sky front", "sky back", "cmd front", "cmd back", "counts", "psf_r bars"} <= set(asked[-1].requests)


def asking(session: Session, monkeypatch: pytest.MonkeyPatch) -> tuple[Explore, list[Asked]]:
    """Explore as the browser has laid it out, and what it asks for; nothing is drawn."""
    asked: list[Asked] = []
    monkeypatch.setattr(Stepwise, "ask", lambda _, request: asked.append(request))
    explore = Explore(session)
    for view in explore.planes:
        sized(view)
    return explore, asked


def show_all(explore: Explore, asked: Asked) -> None:
    for step in answers(asked, never):
        explore._show(asked, step)


def quality(explore: Explore) -> str:
    return explore._busy.object.split('gv-quality">')[1].split("<")[0]


def estimates(asked: Asked) -> dict[str, Answer]:
    """What is asked, exact in truth but said to be estimated."""
    found = {name: answer for step in answers(asked, never) for name, answer in step.items()}
    return {name: Answer(answer.result, exact=False) for name, answer in found.items()}


def test_the_page_says_whether_it_shows_estimates(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    explore, asked = asking(session, monkeypatch)
    assert quality(explore) == "…"
    session.choose("psf_r", Range("psf_r", high=18.0))
    explore._show(asked[-1], estimates(asked[-1]))
    assert quality(explore) == "estimate"
    assert "drawing" in explore._busy.object
    exact = session.catalogue.count("psf_r <= 18")
    assert f'data-count="{exact}"' in explore._sentence.object
    assert f"about {rounded(exact)}</b>" in explore._sentence.object
    assert all("≈ " in caption.words.object for caption in explore.legend._counts.values())
    steps = list(answers(asked[-1], never))
    for step in steps[:-1]:
        explore._show(asked[-1], step)
        assert quality(explore) == "estimate"
    explore._show(asked[-1], steps[-1])
    assert quality(explore) == "exact"
    assert "drawing" not in explore._busy.object
    assert f"<b>{exact:,}</b>" in explore._sentence.object


def test_an_estimate_that_is_shown_is_only_made_exact(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    explore, asked = asking(session, monkeypatch)
    first = asked[-1]
    assert first.seen == frozenset()
    explore._show(first, {"sky front": estimates(first)["sky front"]})
    session.look = dataclasses.replace(session.look, safe=True)
    assert asked[-1].seen == frozenset(), "another look is another picture"
    explore._show(asked[-1], {"sky front": estimates(asked[-1])["sky front"]})
    session.choose("sky", Box("sky_x", "sky_y", -1, 1, -1, 1))
    assert asked[-1].seen == {"sky front"}, "a view leaves its own brush out"
    assert "sky front" in asked[-1].requests


def test_what_is_back_where_it_was_is_not_drawn(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    explore, asked = asking(session, monkeypatch)
    show_all(explore, asked[-1])
    session.choose("psf_r", Range("psf_r", high=18.0))
    assert asked[-1].requests
    session.undo()
    assert asked[-1].requests == {}


def test_a_late_answer_does_not_replace_what_is_wanted(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    explore, asked = asking(session, monkeypatch)
    show_all(explore, asked[-1])
    before = [view._front.data["image"][0] for view in explore.planes]
    session.choose("psf_r", Range("psf_r", high=18.0))
    left_behind = asked[-1]
    session.undo()
    for step in (estimates(left_behind), *answers(left_behind, never)):
        explore._show(left_behind, step)
        assert quality(explore) == "exact"
    assert all(view._front.data["image"][0] is old for view, old in zip(explore.planes, before, strict=True))
    assert f'data-count="{session.catalogue.rows}"' in explore._sentence.object


def test_a_plane_that_is_back_is_drawn_again(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    explore, asked = asking(session, monkeypatch)
    show_all(explore, asked[-1])
    planes = session.planes
    session.planes = {**planes, "cmd": Plane("psf_r", "resolved_r")}
    left_behind = asked[-1]
    session.planes = planes
    assert "cmd front" in asked[-1].requests, "the plot was emptied for the other plane"
    show_all(explore, left_behind)
    show_all(explore, asked[-1])
    assert quality(explore) == "exact"
    assert explore.planes[2]._front.data["image"][0].any()


def test_a_failure_leaves_the_old_picture(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    explore, asked = asking(session, monkeypatch)
    show_all(explore, asked[-1])
    before = [view._front.data["image"][0] for view in explore.planes]
    session.choose("psf_r", Range("psf_r", high=18.0))
    explore._fail("The index is damaged; run `galviz index`.")
    assert 'role="alert">The index is damaged' in explore._sentence.object
    assert quality(explore) == "out of date"
    assert all(view._front.data["image"][0] is old for view, old in zip(explore.planes, before, strict=True))
    session.choose("psf_r", Range("psf_r", high=19.0))
    show_all(explore, asked[-1])
    assert quality(explore) == "exact"
    assert "data-count" in explore._sentence.object


def test_a_picture_that_looks_the_same_is_not_sent_again(plane: PlaneView) -> None:
    request = sized(plane).requests()["umap front"]
    pixels = np.full((200, 300), 7, np.uint32)
    plane.show("front", request, Shaded(pixels))
    sent = plane._front.data
    plane.show("front", request, Shaded(pixels.copy()))
    assert plane._front.data is sent
    plane.show("front", request, Shaded(pixels + 1))
    assert plane._front.data["image"][0][0, 0] == 8


def test_a_late_picture_of_another_plane_is_not_shown(plane: PlaneView, session: Session) -> None:
    request = sized(plane).requests()["umap front"]
    session.planes = session.planes | {"umap": Plane("g_r", "psf_r")}
    plane.follow()
    plane.show("front", request, Shaded(np.zeros((200, 300), np.uint32)))
    assert plane._front.data["image"] == []


def test_the_colour_bar_of_each_scale_keeps_its_mapper(plane: PlaneView) -> None:
    sized(plane)
    session = plane.session
    mappers = [bar.color_mapper for bar in plane._bars]
    session.look = dataclasses.replace(session.look, by="maximum", column="psf_r")
    for high in (2.0, 3.0):
        plane.show("front", plane.requests()["umap front"], Shaded(np.zeros((200, 300), np.uint32), 1.0, high))
        assert (mappers[0].low, mappers[0].high) == (1.0, high)
        assert [bar.visible for bar in plane._bars] == [True, False]
    colours = mappers[0].palette
    session.theme = "light"
    session.look = dataclasses.replace(session.look, by="count", scale="log")
    plane.show("front", plane.requests()["umap front"], Shaded(np.zeros((200, 300), np.uint32), 1.0, 900.0))
    assert (mappers[1].low, mappers[1].high) == (1.0, 900.0)
    assert mappers[1].palette != colours
    assert [bar.visible for bar in plane._bars] == [False, True]
    assert [bar.color_mapper for bar in plane._bars] == mappers, "a bar in the browser follows no other one"


def test_what_a_filter_leaves_out_is_shaded(session: Session) -> None:
    view = HistogramView("resolved_r", session, lambda: None)
    view.follow(session.catalogue.manifest.columns["resolved_r"])
    start, end = view.plot.x_range.start, view.plot.x_range.end
    for limits, left, right in (
        ((0.01, 0.1), [start, -1.0], [-2.0, end]),
        ((0.01, None), [start], [-2.0]),
        ((None, 0.1), [-1.0], [end]),
        ((-5.0, None), [start], [start]),
        ((None, None), [], []),
    ):
        view.mark(*limits)
        assert view._outside.data == {"left": left, "right": right}


def test_many_changes_are_one_update(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    explore, asked = asking(session, monkeypatch)
    waiting: list[object] = []
    monkeypatch.setattr("dashboard.explore.soon", lambda document, callback: waiting.append(callback))
    asked.clear()
    for high in (18.0, 18.5, 19.0):
        session.choose("psf_r", Range("psf_r", high=high))
        explore.planes[0].plot.x_range.end += 0.1
        explore.planes[0]._changed()
    assert len(waiting) == 1
    waiting.pop()()
    assert len(asked) == 1
    assert asked[0].requests["counts"].selection.get("psf_r") == Range("psf_r", high=19.0)


def test_the_sentence_counts_and_speaks(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    explore, _ = asking(session, monkeypatch)
    request = Counts(session.catalogue, Selection((("psf_r", Range("psf_r", high=18.0)),)))
    explore._say(request, *request.answer(exact=True), exact=True)
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
    explore, asked = asking(session, monkeypatch)
    explore._shown["counts"] = (Counts(session.catalogue, session.selection), True)
    explore._fail("The index is stale; run `galviz index`.")
    assert "stale" in explore._sentence.object
    explore.redraw()
    assert "counts" in asked[-1].requests
