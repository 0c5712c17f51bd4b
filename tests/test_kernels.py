"""The loops against plain NumPy and exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from galviz import kernels

WINDOW = np.array([0.0, 4.0, 0.0, 2.0])
ALL = np.ones(6, bool)


def counted(xs: list[float], ys: list[float], mask: np.ndarray | None = None) -> np.ndarray:
    out = np.zeros((2, 4), np.uint32)
    kernels.count_points(np.array(xs), np.array(ys), np.ones(len(xs), bool) if mask is None else mask, WINDOW, out)
    return out


def test_points_fall_on_their_pixels_and_the_upper_edges_on_the_last() -> None:
    out = counted([0.0, 0.99, 1.0, 4.0, 4.0, 3.5], [0.0, 0.5, 1.0, 2.0, 0.0, 1.99])
    assert out.tolist() == [[2, 0, 0, 1], [0, 1, 0, 2]]


def test_points_outside_missing_or_masked_are_not_drawn() -> None:
    nan, inf = float("nan"), float("inf")
    assert counted([-0.001, 4.001, nan, 1.0, inf, 1.0], [1.0, 1.0, 1.0, nan, 1.0, -inf]).sum() == 0
    assert counted([1.0, 2.0], [1.0, 1.0], np.array([False, True])).tolist() == [[0] * 4, [0, 0, 1, 0]]


def test_counts_by_class_add_up_and_leave_out_what_has_no_class() -> None:
    codes = np.array([0, 1, 1, -1, 2, 3], np.int8)
    out = np.zeros((2, 4, 3), np.uint32)
    kernels.count_points_by(np.full(6, 0.5), np.full(6, 0.5), codes, ALL, WINDOW, out)
    assert out[0, 0].tolist() == [1, 2, 1]
    assert out.sum() == 4


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60))
def test_moments_equal_numpy(values: list[float]) -> None:
    column = np.array([*values, np.nan], np.float32)
    counts, sums, squares = np.zeros((1, 1), np.uint32), np.zeros((1, 1)), np.zeros((1, 1))
    ones = np.ones(len(column))
    kernels.moments_of_points(ones, ones, column, ones.astype(bool), WINDOW, counts, sums, squares)
    known = column[:-1].astype(float)
    assert counts[0, 0] == len(values)
    np.testing.assert_allclose(sums[0, 0], known.sum(), atol=1e-6)
    np.testing.assert_allclose(squares[0, 0], known.var() * len(values), rtol=1e-6, atol=1e-2)


edge_lists = st.lists(st.integers(-20, 20), min_size=2, max_size=8, unique=True).map(sorted)


@given(st.lists(st.one_of(st.integers(-25, 25).map(float), st.just(float("nan"))), max_size=50), edge_lists)
def test_a_histogram_equals_numpy(values: list[float], edges: list[int]) -> None:
    column, bounds = np.array(values, np.float32), np.array(edges, float)
    codes = (np.arange(len(values)) % 3 - 1).astype(np.int8)
    out = np.zeros((len(edges) - 1, 2), np.int64)
    kernels.count_values_by(column, codes, np.ones(len(values), bool), bounds, out)
    for code in (0, 1):
        np.testing.assert_array_equal(out[:, code], np.histogram(column[codes == code], bounds)[0])


def test_codes_are_counted_under_the_mask() -> None:
    out = np.zeros(2, np.int64)
    mask = np.array([1, 1, 1, 1, 0, 1], bool)
    kernels.count_codes(np.array([0, 1, 1, -1, 0, 2], np.int8), mask, out)
    assert out.tolist() == [1, 2]


def inside(point: tuple[float, float], vertices: list[tuple[float, float]]) -> bool:
    px, py = np.array(vertices, float).T
    out = np.empty(1, bool)
    xs, ys = np.array([point[0]]), np.array([point[1]])
    kernels.inside_polygon(xs, ys, np.ascontiguousarray(px), np.ascontiguousarray(py), out)
    return bool(out[0])


def inside_exactly(point: tuple[float, float], vertices: list[tuple[float, float]]) -> bool:
    """The even-odd rule in fractions: count the edges that a ray to the right crosses."""
    x, y = map(Fraction, point)
    corners = [(Fraction(a), Fraction(b)) for a, b in vertices]
    crossings = 0
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        on_line = (x1 - x0) * (y - y0) == (y1 - y0) * (x - x0)
        if on_line and min(x0, x1) <= x <= max(x0, x1) and min(y0, y1) <= y <= max(y0, y1):
            return True
        if (y0 > y) != (y1 > y):
            crossings += x < x0 + (x1 - x0) * (y - y0) / (y1 - y0)
    return crossings % 2 == 1


coarse = st.integers(-4, 4).map(lambda n: n / 2)  # many points fall on edges and vertices
fine = st.floats(-1e3, 1e3).filter(lambda n: n == 0 or abs(n) > 1e-60)


@settings(max_examples=400)
@given(st.tuples(coarse, coarse), st.lists(st.tuples(coarse, coarse), min_size=3, max_size=9))
def test_a_polygon_equals_exact_arithmetic_on_edges_and_vertices(
    point: tuple[float, float], vertices: list[tuple[float, float]]
) -> None:
    assert inside(point, vertices) == inside_exactly(point, vertices)


@settings(max_examples=300)
@given(st.lists(st.tuples(fine, fine), min_size=3, max_size=7), st.floats(0, 1), st.integers(0, 6))
@example([(0.0, 0.0), (0.3, 0.1), (0.0, 1.0)], 1 / 3, 1)
def test_a_polygon_equals_exact_arithmetic_within_a_rounding_of_its_edges(
    vertices: list[tuple[float, float]], along: float, edge: int
) -> None:
    (x0, y0), (x1, y1) = vertices[edge % len(vertices) - 1], vertices[edge % len(vertices)]
    near = x0 + along * (x1 - x0), y0 + along * (y1 - y0)
    assert inside(near, vertices) == inside_exactly(near, vertices)


@pytest.mark.parametrize("vertex", [(0.0, 0.0), (2.0, 0.0), (1.0, 2.0)])
def test_corners_are_inside(vertex: tuple[float, float]) -> None:
    triangle = [(0.0, 0.0), (2.0, 0.0), (1.0, 2.0)]
    assert inside(vertex, triangle)
    assert not inside((vertex[0], vertex[1] - 1e-12), triangle) or vertex == (1.0, 2.0)
    assert not inside((float("nan"), 0.0), triangle)


@given(fine, fine)
def test_a_product_and_its_error_are_exact(a: float, b: float) -> None:
    high, low = kernels.exact_product(a, b)
    assert Fraction(high) + Fraction(low) == Fraction(a) * Fraction(b)
