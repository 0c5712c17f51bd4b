"""What a user does at a catalogue, as requests that every contestant draws.

Each repeat asks with other thresholds, or from a viewport a little aside, so that no cache can answer it; all
contestants get the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from galviz.catalogue import Catalogue
from galviz.clauses import Box, OneOf, Polygon, Range
from galviz.draw import Request, Viewport, column_range
from galviz.selection import Selection

PLANES = (("umap_x", "umap_y"), ("sky_x", "sky_y"), ("g_r", "psf_r"))
TITLES = ("UMAP", "sky", "colour-magnitude")
ZOOMS = (("full extent", 1.0), ("1 % of the area", 1e-2), ("0.01 % of the area", 1e-4))
CLASS = "class_pred"
# What a contestant that keeps columns in memory needs; w1 stands for a column that no usual view or filter reads.
COLUMNS = (*(name for plane in PLANES for name in plane), "p_best", "resolved_r", "w1", CLASS)
WARM_UP = 99  # the repeat that is not measured
MOST = 19  # repeats that select other sources than each other and than the warm-up
STEPS = 30


@dataclass(frozen=True)
class Scenario:
    """Something done at the page: the requests of each repeat, in the order of its steps.

    With `own` it is measured for galviz alone: the others would have to be told what they may keep. After `most`
    repeats a cache could answer.
    """

    name: str
    make: Callable[[int], list[list[Request]]]
    own: bool = False
    most: int = MOST

    def steps(self, repeat: int) -> list[list[Request]]:
        return self.make(repeat)


def viewports(catalogue: Catalogue) -> list[Viewport]:
    """The three views at full extent, 600x500 pixels each."""
    return [Viewport(x, y, column_range(catalogue, x), column_range(catalogue, y)) for x, y in PLANES]


def confident(repeat: int, scenario: int = 0) -> Selection:
    """The probability filter: probabilities are multiples of 0.005, so each repeat selects other sources.

    Scenarios differ by less, so that they select the same and none is answered by what another has left behind.
    """
    low = 0.8825 + 0.005 * (repeat % (MOST + 1)) + 1e-5 * scenario
    return Selection().choose("p", Range("p_best", low=low, include_low=False))


def bright_and_resolved(repeat: int) -> Selection:
    chosen = confident(repeat).choose("r", Range("psf_r", 17 + 0.013 * repeat, 21.5))
    return chosen.choose("resolved", Range("resolved_r", low=0.02 + 0.0003 * repeat))


def one_moved(repeat: int) -> Selection:
    """The same three filters, of which only that of psf_r moves."""
    chosen = Selection().choose("p", Range("p_best", low=0.88251, include_low=False))
    chosen = chosen.choose("resolved", Range("resolved_r", low=0.0201))
    return chosen.choose("r", Range("psf_r", 17.0001 + 0.013 * repeat, 21.5))


def without_a_class(names: Sequence[str], repeat: int) -> Selection:
    """All classes but one, in turn; the warm-up has them all."""
    left = [name for number, name in enumerate(names) if repeat == WARM_UP or (number - repeat - 1) % len(names)]
    return Selection().choose("class", OneOf(CLASS, tuple(left)))


@dataclass(frozen=True)
class Brush:
    """A shape in the embedding, grown from `centre` until it holds a tenth of the sources."""

    centre: tuple[float, float]
    box: tuple[float, float]  # half of the sides
    blob: float  # mean radius of the lasso

    def boxed(self, repeat: int) -> Selection:
        (x, y), grown = self.centre, 1 + 0.002 * repeat
        w, h = self.box[0] * grown, self.box[1] * grown
        return Selection().choose("umap", Box(*PLANES[0], x - w, x + w, y - h, y + h))

    def lassoed(self, repeat: int) -> Selection:
        corners = blob(self.centre, self.blob * (1 + 0.002 * repeat))
        return Selection().choose("umap", Polygon(*PLANES[0], corners))


def blob(centre: tuple[float, float], radius: float, corners: int = 30) -> tuple[tuple[float, float], ...]:
    """A lasso as a hand draws it: dents and bulges around a circle."""
    angles = np.arange(corners) * 2 * math.pi / corners
    reach = radius * (1 + 0.2 * np.sin(3 * angles) + 0.1 * np.cos(5 * angles))
    x, y = centre[0] + reach * np.cos(angles), centre[1] + reach * np.sin(angles)
    return tuple((float(a), float(b)) for a, b in zip(x, y, strict=True))


def brush(catalogue: Catalogue, share: float = 0.1) -> Brush:
    """Shapes around the median of the embedding that hold `share` of the first rows."""
    arrays = [catalogue.read_part(part, PLANES[0]) for part in range(min(2, catalogue.parts))]
    x, y = (np.concatenate([part[name] for part in arrays]).astype(float) for name in PLANES[0])
    centre = float(np.median(x)), float(np.median(y))
    dx, dy = x - centre[0], y - centre[1]
    width, height = float(x.std()), float(y.std())
    half = float(np.quantile(np.maximum(abs(dx) / width, abs(dy) / height), share))
    angle = np.arctan2(dy, dx)
    radius = np.hypot(dx, dy) / (1 + 0.2 * np.sin(3 * angle) + 0.1 * np.cos(5 * angle))
    return Brush(centre, (half * width, half * height), float(np.quantile(radius, share)))


def densest(catalogue: Catalogue, view: Viewport) -> tuple[float, float]:
    """The middle of the tenth of the width and height that holds most of the first rows: a zoom to the worst place."""
    arrays = catalogue.read_part(0, (view.x, view.y))
    counts, xs, ys = np.histogram2d(arrays[view.x], arrays[view.y], 30, (view.x_range, view.y_range))
    sums = sum(counts[i : 28 + i, j : 28 + j] for i in range(3) for j in range(3))
    i, j = np.unravel_index(np.argmax(sums), sums.shape)
    return float((xs[i + 1] + xs[i + 2]) / 2), float((ys[j + 1] + ys[j + 2]) / 2)


def zoomed(view: Viewport, centre: tuple[float, float], area: float, repeat: float = 0) -> Viewport:
    """The viewport of that share of the area around `centre`, a hundredth of its width aside at each repeat."""
    ranges = []
    for middle, (low, high) in zip(centre, (view.x_range, view.y_range), strict=True):
        size = (high - low) * math.sqrt(area)
        start = middle - size / 2 + 0.01 * size * repeat
        ranges.append((start, start + size))
    return Viewport(view.x, view.y, ranges[0], ranges[1], view.width, view.height)


def scenarios(catalogue: Catalogue) -> list[Scenario]:
    """Every scenario for this catalogue, in the order of the table."""
    views, shape, names = viewports(catalogue), brush(catalogue), catalogue.manifest.class_names
    places = [densest(catalogue, view) for view in views]

    def counts(wanted: Sequence[Viewport], selection: Selection) -> list[Request]:
        return [Request(view, selection, by=CLASS) for view in wanted]

    def means(column: str, scenario: int) -> Callable[[int], list[list[Request]]]:
        return lambda repeat: [[Request(view, confident(repeat, scenario), mean=column) for view in views]]

    def filtered(
        choose: Callable[[int], Selection], wanted: Sequence[Viewport]
    ) -> Callable[[int], list[list[Request]]]:
        return lambda repeat: [counts(wanted, choose(repeat))]

    def aside(repeat: int) -> list[Viewport]:
        return [zoomed(view, middle(view), 1.0, repeat) for view in views]

    def within(number: int, area: float) -> Callable[[int], list[list[Request]]]:
        view = zoomed(views[number], places[number], area) if area < 1 else views[number]
        scenario = 10 + 4 * number + round(-math.log10(area)) // 2
        return lambda repeat: [counts([view], confident(repeat, scenario))]

    def towards(number: int, area: float) -> Callable[[int], list[list[Request]]]:
        view = views[number]
        place, chosen = places[number] if area < 1 else middle(view), confident(0, 30 + number)
        # Between the viewports of `aside`, whose runs are kept.
        return lambda repeat: [counts([zoomed(view, place, area, repeat + 0.5)], chosen)]

    def drag(repeat: int) -> list[list[Request]]:
        lows = np.linspace(0.30, 0.99, STEPS) + 0.0013 * (repeat + 1) % 0.02
        return [counts(views, Selection().choose("p", Range("p_best", low=float(low)))) for low in lows]

    return [
        Scenario("no filter", lambda repeat: [counts(aside(repeat), Selection())]),
        Scenario("probability", filtered(confident, views)),
        Scenario("probability, psf_r, resolved_r", filtered(bright_and_resolved, views)),
        Scenario("psf_r moved, two filters stay", filtered(one_moved, views)),
        Scenario("class off", filtered(lambda repeat: without_a_class(names, repeat), views), most=len(names)),
        Scenario("box in UMAP, two views", filtered(shape.boxed, views[1:])),
        Scenario("lasso in UMAP, two views", filtered(shape.lassoed, views[1:])),
        *(
            Scenario(f"{title}: {words}{', new viewport' if own else ''}", make(number, area), own)
            for number, title in enumerate(TITLES)
            for own, make in ((False, within), (True, towards))
            for words, area in ZOOMS
        ),
        Scenario("mean p_best", means("p_best", 1)),
        Scenario("mean psf_r", means("psf_r", 2)),
        Scenario("mean w1", means("w1", 3)),
        Scenario("mean resolved_r", means("resolved_r", 4)),
        Scenario("slider drag, a step", drag),
    ]


def middle(view: Viewport) -> tuple[float, float]:
    return sum(view.x_range) / 2, sum(view.y_range) / 2
