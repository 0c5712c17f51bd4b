"""Which points lie inside a polygon, exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from galviz.kernels.loops import Floats, loop


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
