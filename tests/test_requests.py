"""A request says what is to be drawn, and is refused in a sentence where that means nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from galviz.catalogue import Catalogue
from galviz.errors import SelectionError
from galviz.requests import Request, Viewport
from galviz.selection import Selection
from tests.samples import random_arrays, write_catalogue

VIEW = Viewport("x", "y", (-1, 2), (0, 3), 30, 20)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    """With predicted classes only."""
    arrays = random_arrays(50)
    arrays["class_pred"] = arrays.pop("class")
    return write_catalogue(tmp_path / "cat", arrays)


def test_a_viewport_knows_its_window_and_shape() -> None:
    assert VIEW.window.tolist() == [-1, 2, 0, 3]
    assert VIEW.shape == (20, 30)


@pytest.mark.parametrize("name", ["by", "mean", "std", "min", "max"])
def test_a_request_names_its_statistic_and_column(name: str) -> None:
    request = Request(VIEW, **{name: "r"})
    assert (request.statistic, request.column) == (name, "r")


def test_without_a_column_sources_are_counted() -> None:
    assert (Request(VIEW).statistic, Request(VIEW).column) == ("count", None)


@pytest.mark.parametrize("pair", [("by", "mean"), ("mean", "std"), ("min", "max"), ("by", "max")])
def test_two_statistics_at_once_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(SelectionError, match="shows one of"):
        Request(VIEW, **dict.fromkeys(pair, "class"))


def test_equal_requests_are_one_key() -> None:
    same = [
        Request(Viewport("x", "y", (-1.0, 2.0), (0.0, 3.0), 30, 20), Selection.parse("r > 1 and w < 2"), mean="r"),
        Request(VIEW, Selection.parse("w < 2 and r > 1"), mean="r"),
    ]
    assert len(set(same)) == 1
    assert Request(VIEW, mean="r") not in {Request(VIEW, max="r"), Request(VIEW), *same}


def test_names_are_those_that_the_catalogue_stores(catalogue: Catalogue) -> None:
    assert Request(VIEW, by="class").named(catalogue) == Request(VIEW, by="class_pred")
    assert Request(VIEW, std="r").named(catalogue) == Request(VIEW, std="r")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request(Viewport("absent", "y", (0, 1), (0, 1))), "no column 'absent'"),
        (Request(Viewport("x", "absent", (0, 1), (0, 1))), "no column 'absent'"),
        (Request(VIEW, Selection.parse("absent > 1")), "no column 'absent'"),
        (Request(VIEW, max="absent"), "no column 'absent'"),
        (Request(VIEW, by="r"), "holds no classes"),
        (Request(VIEW, mean="class"), "holds classes, not numbers"),
        (Request(VIEW, min="class_pred"), "holds classes, not numbers"),
    ],
)
def test_what_a_catalogue_cannot_draw_is_refused(catalogue: Catalogue, request_: Request, words: str) -> None:
    with pytest.raises(SelectionError, match=words):
        request_.named(catalogue)
