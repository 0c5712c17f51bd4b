"""Pictures: pixels where sources are, in the colours of their classes; bars and counts that agree; what comes first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import datashader.transfer_functions as tf
import numpy as np
import pytest
import xarray as xr

from dashboard import pictures, style
from dashboard.pictures import Asked, Backdrop, Bars, Counts, Picture, Shaded, answers, shade_classes, shade_values
from dashboard.state import Look
from galviz.catalogue import Catalogue
from galviz.draw import Request, Viewport, draw_many
from galviz.errors import Cancelled
from galviz.selection import OneOf, Range, Selection

VIEW = Viewport("umap_x", "umap_y", (-12, 12), (-12, 12), 80, 60)
COLOURS = style.colour_map(style.DARK)


def shaded(plane: Picture | Backdrop) -> Shaded:
    return plane.shade(draw_many(plane.catalogue, [plane.request()])[0])


def alpha(pixels: np.ndarray) -> np.ndarray:
    return pixels >> 24


def test_pixels_are_painted_where_sources_are(catalogue: Catalogue) -> None:
    everything = shaded(Picture(catalogue, Selection(), VIEW, Look(), "dark"))
    assert everything.pixels.shape == (60, 80)
    assert np.count_nonzero(alpha(everything.pixels)) > 300
    nothing = shaded(Picture(catalogue, Selection.parse("psf_r < -99"), VIEW, Look(), "dark"))
    assert not alpha(nothing.pixels).any()


def test_a_class_has_its_colour(catalogue: Catalogue) -> None:
    only = shaded(Picture(catalogue, Selection.parse("class_pred == 'QSO'"), VIEW, Look(), "dark"))
    painted = only.pixels[alpha(only.pixels) > 0]
    seen = np.stack([painted & 255, painted >> 8 & 255, painted >> 16 & 255]).astype(int)
    # Sources that grow over each other are rounded when they are composed.
    assert np.abs(seen.T - (0xFF, 0x69, 0xB4)).max() <= 2


LOOKS = [Look(by, "psf_r") for by in pictures.STATISTICS] + [Look("count")]


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.by)
def test_values_have_a_colour_bar(catalogue: Catalogue, look: Look) -> None:
    shown = shaded(Picture(catalogue, Selection(), VIEW, look, "light"))
    assert np.isfinite([shown.low, shown.high]).all()
    assert shown.low < shown.high
    assert alpha(shown.pixels).any()


def test_each_statistic_is_drawn_as_what_it_says(catalogue: Catalogue) -> None:
    def request(by: str) -> Request:
        return Picture(catalogue, Selection(), VIEW, Look(by, "psf_r"), "dark").request()

    for by, option in (("mean", "mean"), ("spread", "std"), ("minimum", "min"), ("maximum", "max")):
        assert request(by) == Request(VIEW, **{option: "psf_r"})
    assert request("class") == Request(VIEW, by="class_pred")
    assert request("count") == Request(VIEW)


def test_grey_lies_where_any_source_is(catalogue: Catalogue) -> None:
    grey = shaded(Backdrop(catalogue, VIEW, "dark")).pixels
    counts = draw_many(catalogue, [Request(VIEW)])[0].values
    assert np.array_equal(grey > 0, counts > 0)
    assert {int(pixel) & 0xFFFFFF for pixel in grey[grey > 0]} == {0x86766B}
    assert alpha(grey)[counts == counts.max()].min() == alpha(grey).max() > alpha(grey)[counts == 1].max()


def test_bars_and_counts_agree(catalogue: Catalogue) -> None:
    selection = Selection.parse("class_pred in ['QSO', 'STAR']")
    bars = Bars(catalogue, selection, "p_best", tuple(np.linspace(0, 1, 51))).answer(exact=True)
    chosen = Selection((("class", OneOf("class_pred", ("QSO", "STAR"))),))
    total, by_class = Counts(catalogue, chosen).answer(exact=True)
    assert bars.sum() == total
    assert bars.sum(axis=0).tolist() == [0, by_class["QSO"], by_class["STAR"]]
    assert by_class["GALAXY"] > 0, "the legend counts a class that is switched off too"


def test_a_lonely_source_grows_and_a_crowd_does_not() -> None:
    lonely = np.zeros((40, 50), np.uint32)
    lonely[0, 0] = lonely[20, 30] = 0xFF112233
    grown = pictures.spread(lonely, 2)
    assert np.count_nonzero(grown) == 4 + 9
    assert set(np.unique(grown)) == {0, 0xFF112233}
    crowd = np.full((40, 50), 0xFF112233, np.uint32)
    assert np.array_equal(pictures.spread(crowd, crowd.size), crowd)


def channels(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels, "<u4").view(np.uint8).reshape(*pixels.shape, 4).astype(int)


@pytest.mark.parametrize("how", ["log", "linear", "eq_hist"])
def test_counts_are_coloured_as_datashader_does(how: str) -> None:
    rng = np.random.default_rng(1)
    counts = rng.poisson(np.exp(rng.uniform(-2, 7, (60, 80))))
    counts[0, :2] = 0, 1
    shown = shade_values(counts, counts > 0, how, COLOURS)
    span = None if how == "eq_hist" else (shown.low, shown.high)
    drawn = xr.DataArray(np.where(counts > 0, counts, np.nan), dims=("y", "x"))
    theirs = tf.shade(drawn, cmap=COLOURS, how=how, span=span).values
    difference = np.abs(channels(shown.pixels) - channels(theirs))
    assert np.array_equal(shown.pixels > 0, counts > 0)
    # One step of the colour map at most; equalised, the levels of datashader are as coarse as 1 in 256 * 256 of all.
    assert difference.max() <= 8


def test_the_ends_of_the_colour_bar_have_the_ends_of_the_colours() -> None:
    values = np.array([[40.0, 400.0, 4000.0, np.nan]])
    shown = shade_values(values, np.isfinite(values), "log", COLOURS)
    assert (shown.low, shown.high) == (40, 4000)
    red, green, blue, opacity = np.moveaxis(channels(shown.pixels)[0], -1, 0)
    seen = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in zip(red, green, blue, strict=True)]
    assert seen[:3] == [COLOURS[0], COLOURS[128], COLOURS[255]]
    assert opacity.tolist() == [255, 255, 255, 0]


@pytest.mark.parametrize("how", ["log", "linear", "eq_hist"])
def test_an_estimate_is_coloured_as_what_it_estimates(how: str) -> None:
    counts = np.random.default_rng(2).poisson(3.0, (40, 50, 3)).astype(np.uint32)
    colours = ["#66ee66", "#ff69b4", "#2277ee"]
    exact = shade_classes(counts, how, colours)
    assert np.array_equal(shade_classes(counts.astype(np.float64), how, colours), exact)
    assert np.array_equal(exact > 0, counts.any(axis=2))
    assert exact.dtype == np.uint32


@pytest.mark.parametrize("theme", style.THEMES.values(), ids=style.THEMES)
def test_every_colour_of_a_map_is_visible_on_the_paper(theme: style.Theme) -> None:
    assert style.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert style.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    colours = style.colour_map(theme)
    assert len(colours) == 256
    assert min(style.contrast(colour, theme.paper) for colour in colours) >= style.FAINTEST
    assert style.contrast(colours[-1], theme.paper) > 3


def test_nothing_and_one_value_can_be_shaded() -> None:
    nothing = np.full((4, 5), np.nan)
    assert not shade_values(nothing, np.isfinite(nothing), "linear", COLOURS).pixels.any()
    assert not shade_classes(np.zeros((4, 5, 2)), "log", ["#ffffff", "#000000"]).any()
    same = np.full((4, 5), 7.0)
    for how in ("log", "linear", "eq_hist"):
        shown = shade_values(same, same > 0, how, COLOURS)
        assert len(np.unique(shown.pixels)) == 1
        assert shown.low < shown.high


@dataclass
class Engine:
    """Stands in for `galviz.draw`: notes what it is asked, answers with ones, has the pictures `at_hand` exactly."""

    at_hand: set[Request] = field(default_factory=set)
    calls: list[tuple[str, bool]] = field(default_factory=list)
    told_to_stop: list[bool] = field(default_factory=list)
    clients: list[Any] = field(default_factory=list)
    on_exact: Callable[[], None] = lambda: None

    def draw_many(
        self, catalogue: Catalogue, requests: Sequence[Request], *, exact: bool = True, stop: Callable[[], bool],
        client: Any = None,
    ) -> list[xr.DataArray]:  # fmt: skip
        self.clients.append(client)
        self.calls.append((f"{len(requests)} planes", exact))
        if not exact:
            self.told_to_stop.append(stop())
        else:
            self.on_exact()
            self.check(stop)
        return [self._array(request, exact) for request in requests]

    def _array(self, request: Request, exact: bool) -> xr.DataArray:
        sure = exact or request in self.at_hand
        return xr.DataArray(np.ones((60, 80)), dims=("y", "x"), attrs={"exact": sure})

    def check(self, stop: Callable[[], bool]) -> None:
        if stop():
            raise Cancelled("Drawing was stopped.")

    def number(self, *args: Any, exact: bool = True, stop: Callable[[], bool], **options: Any) -> int:
        self.calls.append(("number", exact))
        if exact:
            self.check(stop)
        return 1


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    engine = Engine()
    monkeypatch.setattr(pictures, "draw_many", engine.draw_many)
    pictures._numbers.clear()
    for name in ("count", "class_counts", "histogram"):
        monkeypatch.setattr(pictures, name, engine.number)
    monkeypatch.setattr(pictures, "open_index", lambda _: SimpleNamespace(layout=SimpleNamespace(sampled=True)))
    yield engine
    pictures._numbers.clear()


CHOSEN = Selection((("psf_r", Range("psf_r", high=20.0)),))


def asked(catalogue: Catalogue, seen: Sequence[str] = ()) -> Asked:
    """Two views of a selection, an empty place, and a histogram."""
    other = Viewport("g_r", "psf_r", (-1, 3), (14, 25), 80, 60)
    requests = {
        "umap front": Picture(catalogue, CHOSEN, VIEW, Look("count"), "dark"),
        "cmd front": Picture(catalogue, CHOSEN, other, Look("count"), "dark"),
        "umap back": None,
        "psf_r bars": Bars(catalogue, CHOSEN, "psf_r", (14.0, 20.0, 25.0)),
    }
    return Asked(requests, frozenset(seen))


def exactness(steps: list[dict[str, Any]]) -> list[dict[str, bool]]:
    return [{name: answer.exact for name, answer in step.items()} for step in steps]


PLANES = ("umap front", "cmd front")


def test_estimates_come_first_and_all_views_at_once(catalogue: Catalogue, engine: Engine) -> None:
    steps = list(answers(asked(catalogue), lambda: False))
    assert exactness(steps) == [
        {"umap back": True, **dict.fromkeys(PLANES, False)},
        dict.fromkeys(PLANES, True),
        {"psf_r bars": False},
        {"psf_r bars": True},
    ]
    assert engine.calls == [("2 planes", False), ("2 planes", True), ("number", False), ("number", True)]


def test_estimated_numbers_do_not_wait_long_for_exact_pictures(
    catalogue: Catalogue, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    engine.on_exact = lambda: go.wait(10)
    monkeypatch.setattr(pictures, "PATIENCE", 0.05)
    steps = answers(asked(catalogue), lambda: False)
    assert exactness([next(steps), next(steps)])[1] == {"psf_r bars": False}
    go.set()
    assert exactness(list(steps)) == [dict.fromkeys(PLANES, True), {"psf_r bars": True}]


def test_estimates_are_finished_though_something_newer_waits(catalogue: Catalogue, engine: Engine) -> None:
    steps: list[dict[str, Any]] = []
    with pytest.raises(Cancelled):
        for step in answers(asked(catalogue), lambda: True):
            steps.append(step)
    assert exactness(steps) == [{"umap back": True, **dict.fromkeys(PLANES, False)}, {"psf_r bars": False}]
    assert not any(exact for _, exact in engine.calls), "the exact work does not even begin"


def test_exact_work_stops_while_it_runs(catalogue: Catalogue, engine: Engine) -> None:
    newer: list[bool] = []
    engine.on_exact = lambda: newer.append(True)
    steps = answers(asked(catalogue), lambda: bool(newer))
    assert exactness([next(steps), next(steps)])[1] == {"psf_r bars": False}
    with pytest.raises(Cancelled):
        next(steps)


def test_what_was_drawn_before_is_exact_at_once(catalogue: Catalogue, engine: Engine) -> None:
    request = asked(catalogue)
    assert len(list(answers(request, lambda: False))) == 4
    engine.at_hand = {request.requests[name].request() for name in PLANES}
    engine.calls.clear()
    steps = list(answers(request, lambda: False))
    assert exactness(steps) == [{"umap back": True, **dict.fromkeys(PLANES, True)}, {"psf_r bars": True}]
    assert engine.calls == [("2 planes", False)]


def test_one_view_that_was_drawn_before_does_not_wait_for_the_other(catalogue: Catalogue, engine: Engine) -> None:
    request = asked(catalogue)
    engine.at_hand = {request.requests["cmd front"].request()}
    steps = exactness(list(answers(request, lambda: False)))
    assert steps[0] == {"umap back": True, "cmd front": True, "umap front": False}
    assert steps[1] == {"umap front": True}


def test_the_count_follows_a_drag_and_the_histograms_wait(catalogue: Catalogue, engine: Engine) -> None:
    bars = [Bars(catalogue, CHOSEN, column, (14.0, 20.0, 25.0)) for column in ("psf_r", "psf_g")]
    requests = {"counts": Counts(catalogue, CHOSEN), "psf_r bars": bars[0], "psf_g bars": bars[1]}
    steps: list[dict[str, Any]] = []
    with pytest.raises(Cancelled):
        for step in answers(Asked(requests), lambda: True):
            steps.append(step)
    assert exactness(steps) == [{"counts": False}]


def test_an_estimate_that_takes_too_long_gives_way(
    catalogue: Catalogue, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patience in (60.0, -1.0):
        monkeypatch.setattr(pictures, "PATIENCE", patience)
        with pytest.raises(Cancelled):
            list(answers(asked(catalogue), lambda: True))
    assert engine.told_to_stop == [False, True]


def test_an_estimate_on_the_page_is_not_made_again(catalogue: Catalogue, engine: Engine) -> None:
    steps = exactness(list(answers(asked(catalogue, [*PLANES, "psf_r bars"]), lambda: False)))
    assert steps == [{"umap back": True}, dict.fromkeys(PLANES, True), {"psf_r bars": True}]


def test_counts_of_everything_are_exact_at_once(catalogue: Catalogue, engine: Engine) -> None:
    steps = list(answers(Asked({"counts": Counts(catalogue, Selection())}), lambda: False))
    assert exactness(steps) == [{"counts": True}]
    assert list(answers(Asked({}), lambda: False)) == []


def test_a_small_catalogue_is_exact_at_once(catalogue: Catalogue) -> None:
    steps = list(answers(asked(catalogue), lambda: False))
    assert len(steps) == 2
    assert all(exact for step in exactness(steps) for exact in step.values())


def test_exact_pictures_are_drawn_on_the_cluster_of_the_server(
    catalogue: Catalogue, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures.CLUSTER, "client", "a cluster")
    list(answers(asked(catalogue), lambda: False))
    assert set(engine.clients) == {"a cluster"}
