"""One session: clauses replaced by name, undo and redo, planes from the manifest."""

from __future__ import annotations

import pytest

from dashboard import state
from dashboard.state import Plane, Session
from galviz.catalogue import Catalogue
from galviz.selection import Range, Selection

BRIGHT, FAINT = Range("psf_r", high=18.0), Range("psf_r", low=20.0)


@pytest.fixture(autouse=True)
def _every_change_is_a_gesture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "SAME_GESTURE", -1.0)


def test_choose_replaces_the_clause_of_a_name(session: Session) -> None:
    session.choose("psf_r", BRIGHT)
    session.choose("psf_r", FAINT)
    assert session.selection == Selection((("psf_r", FAINT),))
    session.choose("psf_r", None)
    assert session.selection == Selection()


def test_undo_and_redo_walk_through_what_was_selected(session: Session) -> None:
    session.choose("psf_r", BRIGHT)
    session.choose("other", FAINT)
    session.undo()
    assert session.selection == Selection((("psf_r", BRIGHT),))
    session.undo()
    session.undo()
    assert session.selection == Selection()
    session.redo()
    assert session.selection == Selection((("psf_r", BRIGHT),))
    session.choose("w1", Range("w1", low=1.0))
    session.redo()
    assert session.selection.get("w1"), "a new choice forgets what was undone"


def test_an_equal_choice_is_no_step(session: Session) -> None:
    session.choose("psf_r", BRIGHT)
    session.choose("psf_r", Range("psf_r", high=18.0))
    session.undo()
    assert session.selection == Selection()


def test_a_drag_is_undone_in_one_step(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "SAME_GESTURE", 60.0)
    for limit in (18.0, 18.1, 18.2):
        session.choose("psf_r", Range("psf_r", high=limit))
    session.undo()
    assert session.selection == Selection()


def test_a_clause_that_is_removed_right_after_a_drag_comes_back(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "SAME_GESTURE", 60.0)
    session.choose("psf_r", BRIGHT)
    session.remove("psf_r")
    assert session.selection == Selection()
    session.undo()
    assert session.selection.get("psf_r") == BRIGHT


def test_sessions_do_not_share_anything(catalogue: Catalogue) -> None:
    first, second = Session(catalogue=catalogue), Session(catalogue=catalogue)
    first.choose("psf_r", BRIGHT)
    first.planes = {**first.planes, "cmd": Plane("w1", "w2")}
    assert second.selection == Selection()
    assert second.planes == {}
