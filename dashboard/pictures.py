"""What a view asks to be drawn: pictures, histograms and counts, as frozen requests with a `compute` method.

Requests are values, so a view whose request has not changed is not drawn again. `compute` runs in a thread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import datashader.transfer_functions as tf
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dashboard import style
from dashboard.state import Look
from galviz.catalogue import Catalogue
from galviz.draw import Viewport, class_counts, count, draw, histogram
from galviz.selection import Selection

MIN_ALPHA = 70
SPARSE_ALPHA = 150
# Below these shares of filled pixels, a pixel is more opaque, and grows.
SPARSE, LONELY = 0.1, 0.03


@dataclass(frozen=True)
class Picture:
    """A plane of the selected sources, coloured."""

    catalogue: Catalogue
    selection: Selection
    view: Viewport
    look: Look
    theme: str

    def compute(self) -> Shaded:
        by = self.catalogue.manifest.class_column
        theme = style.THEMES[self.theme]
        if self.look.by == "class" and by is not None:
            counts = draw(self.catalogue, self.view, self.selection, by=by.name)
            colours = style.class_colours(self.catalogue.manifest.classes, self.look.safe)
            return Shaded(_shade_classes(counts, self.look.scale, colours))
        if self.look.by in ("mean", "spread"):
            which = {"mean" if self.look.by == "mean" else "std": self.look.column}
            values = draw(self.catalogue, self.view, self.selection, **which)
            return _shade_values(values, "linear", theme)
        counts = draw(self.catalogue, self.view, self.selection)
        return _shade_values(counts.where(counts > 0).astype(float), self.look.scale, theme)


@dataclass(frozen=True)
class Backdrop:
    """Every source of a plane in grey, to lie under a selection."""

    catalogue: Catalogue
    view: Viewport
    theme: str

    def compute(self) -> Shaded:
        counts = draw(self.catalogue, self.view)
        image = tf.shade(counts, cmap=[style.THEMES[self.theme].faint], how="log", min_alpha=28, alpha=150)
        return Shaded(_pixels(image))


@dataclass(frozen=True)
class Bars:
    """A histogram of one column, per class."""

    catalogue: Catalogue
    selection: Selection
    column: str
    edges: tuple[float, ...]

    def compute(self) -> NDArray[np.int64]:
        by = self.catalogue.manifest.class_column
        return histogram(self.catalogue, self.column, np.array(self.edges), self.selection, by=by.name if by else None)


@dataclass(frozen=True)
class Counts:
    """How many sources are selected, and how many of each class when all classes are on."""

    catalogue: Catalogue
    selection: Selection

    def compute(self) -> tuple[int, dict[str, int]]:
        by = self.catalogue.manifest.class_column
        total = count(self.catalogue, self.selection)
        if by is None:
            return total, {}
        return total, class_counts(self.catalogue, self.selection.without("class"), by=by.name)


@dataclass(frozen=True)
class Shaded:
    """RGBA pixels (height, width) as uint32, and the values at the ends of the colour map."""

    pixels: NDArray[np.uint32]
    low: float = math.nan
    high: float = math.nan


def _shade_classes(counts: xr.DataArray, how: str, colours: dict[str, str]) -> NDArray[np.uint32]:
    """The mean colour of the classes in a pixel, as opaque as the pixel is full, as `datashader.tf.shade` does.

    Only pixels that hold something are touched, which takes a tenth of the time.
    """
    height, width, classes = counts.shape
    flat = counts.values.reshape(-1, classes)
    total = sum(flat[:, place] for place in range(classes))
    filled = np.flatnonzero(total)
    pixels = np.zeros(height * width, np.uint32)
    if filled.size:
        share = flat[filled] / total[filled, None]
        red, green, blue = (share @ np.array([style.rgb(colour) for colour in colours.values()])).astype(np.uint32).T
        least = SPARSE_ALPHA if filled.size < SPARSE * total.size else MIN_ALPHA
        alpha = (least + (255 - least) * style.normalise(total[filled], how)).astype(np.uint32)
        pixels[filled] = alpha << 24 | blue << 16 | green << 8 | red
    image = pixels.reshape(height, width)
    return spread(image, filled.size)


def _shade_values(values: xr.DataArray, how: str, theme: style.Theme) -> Shaded:
    finite = values.values[np.isfinite(values.values)]
    if not finite.size:
        return Shaded(np.zeros(values.shape, np.uint32))
    low, high = (float(n) for n in (finite.min(), finite.max()))
    if how == "linear":
        low, high = (float(n) for n in np.percentile(finite, (0.5, 99.5)))
    if low == high:
        high = low + (abs(low) or 1.0) * 1e-6
    span = None if how == "eq_hist" else (low, high)
    image = tf.shade(values, cmap=style.colour_map(theme), how=how, span=span)
    return Shaded(spread(_pixels(image), finite.size), low, high)


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


def _pixels(image: tf.Image) -> NDArray[np.uint32]:
    return np.ascontiguousarray(image.values, dtype=np.uint32)
