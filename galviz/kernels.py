"""The numba loops, and nothing else.

All of them run without the global interpreter lock, on one thread, and are compiled once and kept on
disk. The mapping of a point onto a pixel repeats the arithmetic of `datashader.Canvas.points`, so that
the arrays are equal to Datashader's, edge cases included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
Floats = NDArray[np.floating[Any]]


def loop(function: F) -> F:
    """Compile `function` without the interpreter lock and keep the machine code on disk."""
    return cast(F, numba.njit(nogil=True, cache=True)(function))


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
def exact_product(a: float, b: float) -> tuple[float, float]:
    """The product as the rounded value and its rounding error (Dekker 1971)."""
    product = a * b
    big = 134217729.0 * a
    a_high = big - (big - a)
    a_low = a - a_high
    big = 134217729.0 * b
    b_high = big - (big - b)
    b_low = b - b_high
    return product, a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)


# Rounding bound of the determinant below, (3 + 16 eps) eps with eps = 2^-53 (Shewchuk 1997, section 4.3).
_TURN_BOUND = 3.3306690738754716e-16


@loop
def turning(x0: float, y0: float, x1: float, y1: float, x: float, y: float) -> float:
    """Positive where (x, y) lies to the left of the line from point 0 to point 1, zero on it; the sign is exact."""
    left = (x1 - x0) * (y - y0)
    right = (y1 - y0) * (x - x0)
    if abs(left - right) > _TURN_BOUND * (abs(left) + abs(right)):
        return left - right
    total = np.zeros(13)  # a sum of non-overlapping parts, the smallest first
    length = 0
    for a, b in ((x0, y1), (-x1, y0), (x1, y), (-x, y1), (x, y0), (-x0, y)):
        high, low = exact_product(a, b)
        for term in (low, high):
            for k in range(length):
                both = term + total[k]
                virtual = both - term
                total[k] = (term - (both - virtual)) + (total[k] - virtual)
                term = both
            total[length] = term
            length += 1
    for k in range(length - 1, -1, -1):
        if total[k] != 0.0:
            return float(total[k])
    return 0.0


@loop
def inside_polygon(
    xs: Floats, ys: Floats, px: NDArray[np.float64], py: NDArray[np.float64], out: NDArray[np.bool_]
) -> None:
    """Even-odd rule; a point on an edge or a vertex is inside. `px`, `py` are the vertices, not closed."""
    n = px.shape[0]
    left, right, low, high = px.min(), px.max(), py.min(), py.max()
    for i in range(xs.shape[0]):
        x = np.float64(xs[i])
        y = np.float64(ys[i])
        out[i] = False
        if not (left <= x <= right and low <= y <= high):
            continue
        inside = False
        j = n - 1
        for k in range(n):
            x0, y0, x1, y1 = px[j], py[j], px[k], py[k]
            j = k
            turn = turning(x0, y0, x1, y1, x, y)
            if turn == 0.0 and min(x0, x1) <= x <= max(x0, x1) and min(y0, y1) <= y <= max(y0, y1):
                inside = True
                break
            if (y0 > y) != (y1 > y) and ((turn > 0.0) == (y1 > y0)):
                inside = not inside
        out[i] = inside
