"""Points of one block of rows, in any order, onto pixels and into bins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.kernels.loops import Floats, loop

Window = NDArray[np.float64]


@loop
def pixel(value: Any, low: float, high: float, pixels: int) -> int:
    """The pixel of a coordinate within [low, high], as Datashader finds it."""
    scale = pixels / (high - low)
    return min(int(value * scale + -low * scale), pixels - 1)


@loop
def is_shown(x: Any, y: Any, window: Window) -> bool:
    """Whether a point lies within `window`, (xmin, xmax, ymin, ymax), edges included; one without a place does not."""
    return bool((window[0] <= x <= window[1]) & (window[2] <= y <= window[3]))


@loop
def count_points(xs: Floats, ys: Floats, mask: NDArray[np.bool_], window: Window, out: NDArray[np.uint32]) -> None:
    """Add the points of one block to `out` (height, width); `window` is (xmin, xmax, ymin, ymax)."""
    height, width = out.shape
    for i in range(xs.shape[0]):
        if mask[i] and is_shown(xs[i], ys[i], window):
            row, column = pixel(ys[i], window[2], window[3], height), pixel(xs[i], window[0], window[1], width)
            out[row, column] += 1


@loop
def count_points_by(
    xs: Floats,
    ys: Floats,
    codes: NDArray[np.integer[Any]],
    mask: NDArray[np.bool_],
    window: Window,
    out: NDArray[np.uint32],
) -> None:
    """Like `count_points` with `out` (height, width, categories); a negative code is no category."""
    height, width, categories = out.shape
    for i in range(xs.shape[0]):
        code = codes[i]
        if mask[i] and 0 <= code < categories and is_shown(xs[i], ys[i], window):
            row, column = pixel(ys[i], window[2], window[3], height), pixel(xs[i], window[0], window[1], width)
            out[row, column, code] += 1


@loop
def moments_of_points(
    xs: Floats,
    ys: Floats,
    values: NDArray[Any],
    mask: NDArray[np.bool_],
    window: Window,
    counts: NDArray[np.uint32],
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> None:
    """Add one block to the number, the sum and the sum of squared deviations (Welford) of each pixel."""
    height, width = counts.shape
    for i in range(xs.shape[0]):
        value = np.float64(values[i])
        if mask[i] and value == value and is_shown(xs[i], ys[i], window):
            row, column = pixel(ys[i], window[2], window[3], height), pixel(xs[i], window[0], window[1], width)
            number = counts[row, column]
            total = sums[row, column]
            if number > 0:
                before = total / number
                after = (total + value) / (number + 1)
                squares[row, column] += (value - before) * (value - after)
            counts[row, column] = number + 1
            sums[row, column] = total + value


@loop
def count_values_by(
    values: NDArray[Any],
    codes: NDArray[np.integer[Any]],
    mask: NDArray[np.bool_],
    edges: NDArray[np.float64],
    out: NDArray[np.int64],
) -> None:
    """Add one block to a histogram `out` (bins, categories); bins are [low, high), the last [low, high]."""
    bins, categories = out.shape
    for i in range(values.shape[0]):
        value = values[i]
        code = codes[i]
        if mask[i] and 0 <= code < categories and edges[0] <= value <= edges[bins]:
            place = np.searchsorted(edges, value, side="right") - 1
            out[min(place, bins - 1), code] += 1


@loop
def count_codes(codes: NDArray[np.integer[Any]], mask: NDArray[np.bool_], out: NDArray[np.int64]) -> None:
    """Add the number of rows of each category of one block to `out` (categories,)."""
    for i in range(codes.shape[0]):
        if mask[i] and 0 <= codes[i] < out.shape[0]:
            out[codes[i]] += 1


@loop
def extremes_of_points(
    xs: Floats,
    ys: Floats,
    values: NDArray[Any],
    mask: NDArray[np.bool_],
    window: Window,
    most: bool,
    out: NDArray[np.float64],
) -> None:
    """Take one block into the largest, else the smallest, value a pixel; `out` (height, width) is NaN at first."""
    height, width = out.shape
    for i in range(xs.shape[0]):
        value = np.float64(values[i])
        if mask[i] and value == value and is_shown(xs[i], ys[i], window):
            row, column = pixel(ys[i], window[2], window[3], height), pixel(xs[i], window[0], window[1], width)
            before = out[row, column]
            if before != before or (value > before if most else value < before):
                out[row, column] = value
