"""The loops against plain NumPy and exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from galviz import kernels
from galviz.kernels import bits, runs

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


SIZE = 64 * 40
spans = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE))


def bits_of(words: np.ndarray) -> np.ndarray:
    return np.unpackbits(words.view(np.uint8), bitorder="little").astype(bool)


def words_of(inside: np.ndarray) -> np.ndarray:
    return np.packbits(inside, bitorder="little").view(np.uint64)


def some_bits(seed: int, share: float = 0.5) -> np.ndarray:
    return np.random.default_rng(seed).random(SIZE) < share


@given(spans, st.integers(0, 99), st.sampled_from([0.0, 0.02, 0.5, 1.0]))
@example((0, 64), 1, 1.0)
@example((64, 128), 1, 1.0)
@example((63, 65), 1, 1.0)
@example((7, 7), 1, 1.0)
@example((9, 3), 1, 1.0)
def test_places_between_two_are_counted_and_filled_in(span: tuple[int, int], seed: int, share: float) -> None:
    inside, other = some_bits(seed, share), some_bits(seed + 1)
    start, stop = span
    words = words_of(inside)
    assert bits.count_between(words, start, stop) == inside[start:stop].sum()
    assert bits.count_shared(words, words_of(other), start, stop) == (inside & other)[start:stop].sum()
    bits.fill_between(words, start, stop)
    inside[start:stop] = True
    np.testing.assert_array_equal(bits_of(words), inside)


BLOCK = 4  # words of a zone


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int32])
@pytest.mark.parametrize("seed", range(6))
def test_values_between_limits_are_marked_whatever_the_zones_spare(dtype: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.sort(rng.integers(0, 200, SIZE)).astype(dtype)  # zones that lie wholly inside, outside and across
    if np.dtype(dtype).kind == "f":
        values[rng.random(SIZE) < 0.002] = np.nan
        values[rng.random(SIZE) < 0.002] = np.inf
        values[rng.random(SIZE) < 0.002] = -np.inf
    blocks = values.astype(float).reshape(-1, BLOCK * 64)
    zones = np.stack([blocks.min(axis=1), blocks.max(axis=1)], axis=1)  # NaN where a value is
    for low, high in ((50, 150), (0, 0), (17, 17), (150, 50), (201, 250), (0, 255)):
        kind = np.dtype(dtype).type
        words = words_of(some_bits(seed))
        first, last = sorted(rng.integers(0, SIZE // 64 + 1, 2).tolist())
        before = bits_of(words)
        bits.mark_between(values, kind(low), kind(high), zones, BLOCK, first, last, words)
        wanted = (values >= low) & (values <= high)
        got = bits_of(words)
        np.testing.assert_array_equal(got[first * 64 : last * 64], wanted[first * 64 : last * 64])
        np.testing.assert_array_equal(got[: first * 64], before[: first * 64])
        np.testing.assert_array_equal(got[last * 64 :], before[last * 64 :])


def test_infinite_limits_leave_out_missing_values_only() -> None:
    values = np.tile(np.array([np.nan, -np.inf, -1e38, 0, 1e-45, np.inf, 3, 4], np.float32), 64)
    zones = np.full((2, 2), np.nan)
    for low, high in ((-np.inf, np.inf), (-np.inf, 0), (np.nextafter(np.float32(0), np.float32(1)), np.inf)):
        words = np.zeros(8, np.uint64)
        bits.mark_between(values, np.float32(low), np.float32(high), zones, BLOCK, 0, 8, words)
        np.testing.assert_array_equal(bits_of(words), (values >= low) & (values <= high))


@pytest.mark.parametrize("number", [0, 1, 63, 64, 65, SIZE - 1, SIZE])
def test_a_mask_becomes_words_and_ends_with_it(number: int) -> None:
    inside = some_bits(3)
    words = words_of(some_bits(4))
    bits.mark_mask(inside[:number], words)
    np.testing.assert_array_equal(bits_of(words)[:number], inside[:number])
    assert not bits_of(words)[number:].any()


@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 1.0])
def test_sets_are_carried_from_places_to_places(share: float) -> None:
    """There by scattering, back by gathering; padding leads nowhere."""
    rng = np.random.default_rng(8)
    places = rng.permutation(2 * SIZE)[:SIZE].astype(np.uint32)
    padding = rng.random(SIZE) < 0.1
    places[padding] = 0xFFFFFFFF
    inside = some_bits(5, share)
    there = np.zeros(2 * SIZE // 64, np.uint64)
    bits.scatter(words_of(inside), places, there)
    wanted = np.zeros(2 * SIZE, bool)
    wanted[places[inside & ~padding]] = True
    np.testing.assert_array_equal(bits_of(there), wanted)
    back = words_of(some_bits(6))
    before = bits_of(back)
    bits.gather(there, places, 3, 30, back)
    got = bits_of(back)
    np.testing.assert_array_equal(got[3 * 64 : 30 * 64], (inside & ~padding)[3 * 64 : 30 * 64])
    np.testing.assert_array_equal(got[: 3 * 64], before[: 3 * 64])
    np.testing.assert_array_equal(got[30 * 64 :], before[30 * 64 :])


@given(st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=40).map(sorted), st.floats(-5, 5))
def test_limits_are_found_among_ascending_values(values: list[float], limit: float) -> None:
    column = np.array(values, np.float32)
    assert bits.first_not_below(column, 0, column.size, limit) == np.searchsorted(column.astype(float), limit, "left")
    assert bits.first_above(column, 0, column.size, limit) == np.searchsorted(column.astype(float), limit, "right")


@given(st.lists(st.floats(0, 4, width=32), min_size=1, max_size=200).map(sorted), st.integers(1, 9))
def test_the_next_column_begins_where_the_pixel_changes(values: list[float], width: int) -> None:
    column = np.array(values, np.float32)
    pixels = [runs.pixel(float(x), 0.0, 4.0, width) for x in column]
    assert pixels == sorted(pixels)
    place, found = 0, []
    while place < column.size:
        place = runs.next_column(column, place, column.size, WINDOW, width, pixels[place])
        found.append(place)
    assert found == [k for k in range(1, column.size) if pixels[k] != pixels[k - 1]] + [column.size]


@settings(max_examples=150)
@given(st.integers(0, 2**32 - 1))
def test_a_polygon_marks_a_strip_as_it_does_single_points(seed: int) -> None:
    """Strips of any thickness, with infinite ends, and edges upright, level, steep and double."""
    rng = np.random.default_rng(seed)
    grid = rng.choice([0.25, 2.0**-20])
    strips, groups, rows = 4, 2, 40
    bounds = np.zeros((strips, groups + 1), np.int64)
    xs, ys = np.full((2, strips * 64), np.nan)
    spans = np.full((strips, 2), np.nan)
    for s in range(strips):
        bounds[s] = 64 * s + np.array([0, rng.integers(0, rows + 1), rows])
        y = np.round(rng.uniform(s - 2, s - 1, rows) / grid) * grid
        if s == strips - 1 and seed % 3 == 0:
            y[:2] = np.inf
        if s == 0 and seed % 3 == 1:
            y[:2] = -np.inf
        ys[64 * s : 64 * s + rows] = y
        spans[s] = y.min(), y.max()
        for g in range(groups):
            here = slice(*bounds[s, g : g + 2])
            xs[here] = np.sort(np.round(rng.normal(0, 1.5, bounds[s, g + 1] - bounds[s, g]) / grid) * grid)
    real = ~np.isnan(xs)
    finite = np.flatnonzero(real & np.isfinite(ys))
    corners = np.round(rng.normal(0, 2, (rng.integers(3, 10), 2)) / grid) * grid
    some = rng.random(len(corners)) < 0.5
    corners[some] = np.stack([xs, ys], axis=1)[rng.choice(finite, some.sum())]
    corners[1, rng.integers(2)] = corners[0, rng.integers(2)]
    if seed % 5 == 0:
        corners *= rng.choice([1.0, 1e6, 1e150])
    px, py = np.ascontiguousarray(corners.T)
    words = words_of(rng.random(strips * 64) < 0.5)
    bits.mark_polygon(xs, ys, bounds, spans, px, py, 0, strips, words)
    wanted = np.empty(xs.size, bool)
    kernels.inside_polygon(xs, ys, px, py, wanted)
    np.testing.assert_array_equal(bits_of(words)[real], wanted[real])
