"""What a view asks to be drawn: pictures, histograms and counts, as frozen requests, and the order of the answers.

Requests are values, so a view whose request has not changed is not drawn again. `answers` runs in a thread.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import xarray as xr
from cachetools import LRUCache, cached
from numpy.typing import NDArray

from dashboard import style
from dashboard.state import Look
from galviz.catalogue import Catalogue
from galviz.draw import Request, Viewport, class_counts, count, draw_many, histogram
from galviz.errors import Cancelled
from galviz.index import open_index
from galviz.kernels.colours import mix_colours, totals_of
from galviz.selection import Selection
from galviz.work import Stop, ask, never

MIN_ALPHA = 70
SPARSE_ALPHA = 150
GREY_ALPHA = 28, 150
PATIENCE = 0.25  # seconds that an estimate may take before it gives way to what is newer
# Below these shares of filled pixels, a pixel is more opaque, and grows.
SPARSE, LONELY = 0.1, 0.03
# What a pixel shows of a column: `Look.by` and the option of `galviz.draw.Request`.
STATISTICS = {"mean": "mean", "spread": "std", "minimum": "min", "maximum": "max"}


@dataclass(frozen=True)
class Picture:
    """A plane of the selected sources, coloured."""

    catalogue: Catalogue
    selection: Selection
    view: Viewport
    look: Look
    theme: str

    def request(self) -> Request:
        by = self.catalogue.manifest.class_column
        if self.look.by in STATISTICS:
            return Request(self.view, self.selection, **{STATISTICS[self.look.by]: self.look.column})
        return Request(self.view, self.selection, by=by.name if by and self.look.by == "class" else None)

    def shade(self, drawn: xr.DataArray) -> Shaded:
        """The colours of what was drawn for `request`, counts or values, exact or estimated."""
        if drawn.ndim == 3:
            colours = style.class_colours(self.catalogue.manifest.classes, self.look.safe)
            return Shaded(shade_classes(drawn.values, self.look.scale, list(colours.values())))
        colours = style.colour_map(style.THEMES[self.theme])
        if self.look.by in STATISTICS:
            return shade_values(drawn.values, np.isfinite(drawn.values), "linear", colours)
        return shade_values(drawn.values, drawn.values > 0, self.look.scale, colours)


@dataclass(frozen=True)
class Backdrop:
    """Every source of a plane in grey, to lie under a selection."""

    catalogue: Catalogue
    view: Viewport
    theme: str

    def request(self) -> Request:
        return Request(self.view)

    def shade(self, drawn: xr.DataArray) -> Shaded:
        """Grey that is as opaque as the pixel is full."""
        least, most = GREY_ALPHA
        grey = _bytes(style.rgb(style.THEMES[self.theme].faint))
        filled = drawn.values > 0
        opacity = (least + (most - least) * style.normalise(drawn.values[filled], "log")).astype(np.uint32)
        pixels = np.zeros(filled.shape, np.uint32)
        pixels[filled] = opacity << 24 | grey
        return Shaded(pixels)


@dataclass(frozen=True)
class Bars:
    """A histogram of one column, per class."""

    catalogue: Catalogue
    selection: Selection
    column: str
    edges: tuple[float, ...]

    def answer(self, exact: bool, stop: Stop = never) -> NDArray[Any]:
        by = self.catalogue.manifest.class_column
        name = by.name if by else None
        edges = np.array(self.edges)
        return histogram(self.catalogue, self.column, edges, self.selection, by=name, exact=exact, stop=stop)


@dataclass(frozen=True)
class Counts:
    """How many sources are selected, and how many of each class when all classes are on."""

    catalogue: Catalogue
    selection: Selection

    def answer(self, exact: bool, stop: Stop = never) -> tuple[int, dict[str, int]]:
        by = self.catalogue.manifest.class_column
        total = count(self.catalogue, self.selection, exact=exact, stop=stop)
        if by is None:
            return total, {}
        every = self.selection.without("class")
        return total, class_counts(self.catalogue, every, by=by.name, exact=exact, stop=stop)


@dataclass(frozen=True)
class Shaded:
    """RGBA pixels (height, width) as uint32, and the values at the ends of the colour map."""

    pixels: NDArray[np.uint32]
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Asked:
    """What is to be drawn, by name; an empty place is a None. `seen` names what is on the page as an estimate."""

    requests: Mapping[str, Picture | Backdrop | Bars | Counts | None]
    seen: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Answer:
    """What is to be shown for one request, and whether it is exact or an estimate."""

    result: Any
    exact: bool


def answers(asked: Asked, stop: Stop) -> Iterator[dict[str, Answer]]:
    """Estimates of the planes, then the planes exact; estimates of the numbers, then the numbers exact.

    The numbers make a browser lay out its page, so their estimates wait for the exact planes, but no longer than
    PATIENCE. What is exact at once, because the engine has it at hand or the catalogue is small, comes with the
    estimates and not again. The planes and the first number, quick as they are, are estimated to the end, so that a
    slider that is dragged is always followed. The other numbers are left out, and exact work and what takes longer than
    PATIENCE raise Cancelled, as soon as `stop` says that nobody waits for them.
    """
    begun = time.monotonic()

    def stop_late() -> bool:
        return time.monotonic() - begun > PATIENCE and stop()

    planes = {name: item for name, item in asked.requests.items() if isinstance(item, Picture | Backdrop)}
    numbers = {name: item for name, item in asked.requests.items() if isinstance(item, Bars | Counts)}
    first = {name: Answer(None, exact=True) for name, item in asked.requests.items() if item is None}
    new = {name: item for name, item in planes.items() if name not in asked.seen}
    if first := first | _paint(new, exact=False, stop=stop_late):
        yield first
    left = {name: item for name, item in planes.items() if name not in first or not first[name].exact}
    painting = _PAINTING.submit(_exactly, left, stop)
    if painted := _in_time(painting):
        yield painted
    counted: dict[str, Answer] = {}
    for name in (name for name in numbers if name not in asked.seen):
        if counted and stop():
            break
        counted[name] = _estimate(numbers[name], stop_late)
    if counted:
        yield counted
    if not painted and left:
        yield painting.result()
    if rest := {name: item for name, item in numbers.items() if name not in counted or not counted[name].exact}:
        ask(stop)
        yield {name: Answer(_number(item, stop), exact=True) for name, item in rest.items()}


_PAINTING = ThreadPoolExecutor(2, thread_name_prefix="paint")


def _exactly(planes: Mapping[str, Picture | Backdrop], stop: Stop) -> dict[str, Answer]:
    if planes:
        ask(stop)
    return _paint(planes, exact=True, stop=stop)


def _in_time(painting: Future[dict[str, Answer]]) -> dict[str, Answer]:
    """The exact planes if they are there within PATIENCE and nobody has stopped them, else nothing."""
    with suppress(TimeoutError, Cancelled):
        return painting.result(PATIENCE)
    return {}


class Cluster:
    """Where exact pictures are drawn: by the workers of `client`, or here. Set when the server starts."""

    client: Any = None


CLUSTER = Cluster()


def _paint(planes: Mapping[str, Picture | Backdrop], *, exact: bool, stop: Stop = never) -> dict[str, Answer]:
    """All planes of a step in one go, so that the engine reads what they share once."""
    if not planes:
        return {}
    catalogue = next(iter(planes.values())).catalogue
    requests = [plane.request() for plane in planes.values()]
    arrays = draw_many(catalogue, requests, exact=exact, stop=stop, client=CLUSTER.client)
    return {
        name: Answer(plane.shade(array), bool(array.attrs["exact"]))
        for (name, plane), array in zip(planes.items(), arrays, strict=True)
    }


def _estimate(item: Bars | Counts, stop: Stop) -> Answer:
    with _numbers_lock:
        at_hand = item in _numbers
    everything = isinstance(item, Counts) and not item.selection
    if at_hand or everything or not open_index(item.catalogue).layout.sampled:
        return Answer(_number(item, stop), exact=True)
    return Answer(item.answer(exact=False, stop=stop), exact=False)


# Exact numbers of all sessions; requests hold the version of the catalogue. Pictures are kept by the engine.
_numbers: LRUCache[Bars | Counts, Any] = LRUCache(1024)
_numbers_lock = threading.Lock()


@cached(_numbers, key=lambda item, stop: item, lock=_numbers_lock)
def _number(item: Bars | Counts, stop: Stop) -> Any:
    return item.answer(exact=True, stop=stop)


def shade_classes(counts: NDArray[Any], how: str, colours: list[str]) -> NDArray[np.uint32]:
    """The mean colour of the classes in a pixel, as opaque as the pixel is full, as `datashader.tf.shade` does.

    `counts` (height, width, classes) may be estimates.
    """
    total = np.empty(counts.shape[:2], np.float32)
    number = totals_of(counts, total)
    pixels = np.zeros(total.shape, np.uint32)
    if number:
        least = SPARSE_ALPHA if number < SPARSE * total.size else MIN_ALPHA
        opacity = (least + (255 - least) * style.normalise(total[total > 0], how)).astype(np.uint8)
        mix_colours(counts, total, np.array([style.rgb(colour) for colour in colours], np.float32), opacity, pixels)
    return spread(pixels, number)


def shade_values(values: NDArray[Any], filled: NDArray[np.bool_], how: str, colours: list[str]) -> Shaded:
    """The colour of each value between the two ends of what a picture holds; `filled` tells where it holds any."""
    held = values[filled].astype(np.float64)
    if not held.size:
        return Shaded(np.zeros(values.shape, np.uint32))
    low, high = float(held.min()), float(held.max())
    if how == "linear":
        low, high = (float(n) for n in np.percentile(held, (0.5, 99.5)))
    if low == high:
        high = low + (abs(low) or 1.0) * 1e-6
    table = np.array([_bytes(style.rgb(colour)) | 0xFF << 24 for colour in colours], np.uint32)
    places = style.normalise(np.clip(held, low, high), how, low, high) * (len(table) - 1) + 0.5
    pixels = np.zeros(values.shape, np.uint32)
    pixels[filled] = table[places.astype(np.intp)]
    return Shaded(spread(pixels, held.size), low, high)


def _bytes(rgb: tuple[int, int, int]) -> int:
    red, green, blue = rgb
    return blue << 16 | green << 8 | red


def spread(pixels: NDArray[np.uint32], filled: int) -> NDArray[np.uint32]:
    """Where few pixels are filled, each grows into its empty neighbours, so that a single source can be seen."""
    if not 0 < filled < LONELY * pixels.size:
        return pixels
    height, width = pixels.shape
    framed = np.zeros((height + 2, width + 2), np.uint32)
    framed[1:-1, 1:-1] = grown = pixels.copy()
    for down, right in product((0, 1, 2), repeat=2):
        neighbour = framed[down : down + height, right : right + width]
        np.copyto(grown, neighbour, where=grown == 0)
    return grown
