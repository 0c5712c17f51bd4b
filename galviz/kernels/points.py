"""Points of one block of rows, in any order, onto pixels and into bins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.kernels.loops import Floats, loop


@loop
def count_points(
    xs: Floats, ys: Floats, mask: NDArray[np.bool_], window: NDArray[np.float64], out: NDArray[np.uint32]
) -> None:
    """Add the points of one block to `out` (height, width); `window` is (xmin, xmax, ymin, ymax)."""
    height, width = out.shape
    xmin, xmax, ymin, ymax = window
    sx = width / (xmax - xmin)
    sy = height / (ymax - ymin)
    tx = -xmin * sx
    ty = -ymin * sy
    for i in range(xs.shape[0]):
        x = xs[i]
        y = ys[i]
        if mask[i] and (xmin <= x <= xmax) and (ymin <= y <= ymax):
            column = int(x * sx + tx)
            row = int(y * sy + ty)
            out[min(row, height - 1), min(column, width - 1)] += 1


@loop
def count_points_by(
    xs: Floats,
    ys: Floats,
    codes: NDArray[np.integer[Any]],
    mask: NDArray[np.bool_],
    window: NDArray[np.float64],
    out: NDArray[np.uint32],
) -> None:
    """Like `count_points` with `out` (height, width, categories); a negative code is no category."""
    height, width, categories = out.shape
    xmin, xmax, ymin, ymax = window
    sx = width / (xmax - xmin)
    sy = height / (ymax - ymin)
    tx = -xmin * sx
    ty = -ymin * sy
    for i in range(xs.shape[0]):
        x = xs[i]
        y = ys[i]
        code = codes[i]
        if mask[i] and 0 <= code < categories and (xmin <= x <= xmax) and (ymin <= y <= ymax):
            column = int(x * sx + tx)
            row = int(y * sy + ty)
            out[min(row, height - 1), min(column, width - 1), code] += 1


@loop
def moments_of_points(
    xs: Floats,
    ys: Floats,
    values: NDArray[Any],
    mask: NDArray[np.bool_],
    window: NDArray[np.float64],
    counts: NDArray[np.uint32],
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> None:
    """Add one block to the number, the sum and the sum of squared deviations (Welford) of each pixel."""
    height, width = counts.shape
    xmin, xmax, ymin, ymax = window
    sx = width / (xmax - xmin)
    sy = height / (ymax - ymin)
    tx = -xmin * sx
    ty = -ymin * sy
    for i in range(xs.shape[0]):
        x = xs[i]
        y = ys[i]
        value = np.float64(values[i])
        if mask[i] and value == value and (xmin <= x <= xmax) and (ymin <= y <= ymax):
            column = min(int(x * sx + tx), width - 1)
            row = min(int(y * sy + ty), height - 1)
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
    window: NDArray[np.float64],
    most: bool,
    out: NDArray[np.float64],
) -> None:
    """Take one block into the largest, else the smallest, value a pixel; `out` (height, width) is NaN at first."""
    height, width = out.shape
    xmin, xmax, ymin, ymax = window
    sx = width / (xmax - xmin)
    sy = height / (ymax - ymin)
    tx = -xmin * sx
    ty = -ymin * sy
    for i in range(xs.shape[0]):
        x = xs[i]
        y = ys[i]
        value = np.float64(values[i])
        if mask[i] and value == value and (xmin <= x <= xmax) and (ymin <= y <= ymax):
            column = min(int(x * sx + tx), width - 1)
            row = min(int(y * sy + ty), height - 1)
            before = out[row, column]
            if before != before or (value > before if most else value < before):
                out[row, column] = value
