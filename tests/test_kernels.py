"""The loops against plain NumPy and exact arithmetic."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from galviz import kernels
from galviz.kernels import bits, colours, lanes, loop, runs, sums

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
    inside = some_bits(seed, share)
    start, stop = span
    words = words_of(inside)
    assert bits.count_between(words, start, stop) == inside[start:stop].sum()
    bits.fill_between(words, start, stop)
    inside[start:stop] = True
    np.testing.assert_array_equal(bits_of(words), inside)


BLOCK = 4  # words of a zone


def some_parts(rng: np.random.Generator, origin: int) -> np.ndarray:
    """Some of the words from `origin` on, as ascending parts [first, last), one of them empty now and then."""
    edges = np.sort(rng.integers(origin, SIZE // 64 + 1, 2 * rng.integers(1, 4)))
    return np.reshape(edges, (-1, 2))


def within(parts: np.ndarray, places: int) -> np.ndarray:
    inside = np.zeros(places, bool)
    for first, last in parts:
        inside[64 * first : 64 * last] = True
    return inside


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int32])
@pytest.mark.parametrize("seed", range(6))
def test_a_set_is_narrowed_to_values_between_limits_whatever_the_zones_spare(dtype: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.sort(rng.integers(0, 200, SIZE)).astype(dtype)  # zones that lie wholly inside, outside and across
    if np.dtype(dtype).kind == "f":
        values[rng.random(SIZE) < 0.002] = np.nan
        values[rng.random(SIZE) < 0.002] = np.inf
        values[rng.random(SIZE) < 0.002] = -np.inf
    blocks = values.astype(float).reshape(-1, BLOCK * 64)
    zones = np.stack([blocks.min(axis=1), blocks.max(axis=1)], axis=1)  # NaN where a value is
    for low, high in ((50, 150), (0, 0), (17, 17), (150, 50), (201, 250), (0, 255)):
        kind, origin = np.dtype(dtype).type, int(rng.integers(0, 9))
        before, parts = some_bits(seed, rng.choice([0.01, 0.6, 1.0])), some_parts(rng, origin)
        words = words_of(before)[origin:].copy()
        bits.narrow_between(values, kind(low), kind(high), zones, BLOCK, parts, origin, words)
        wanted = before & ((values >= low) & (values <= high) | ~within(parts, SIZE))
        np.testing.assert_array_equal(bits_of(words), wanted[64 * origin :])


def test_infinite_limits_leave_out_missing_values_only() -> None:
    values = np.tile(np.array([np.nan, -np.inf, -1e38, 0, 1e-45, np.inf, 3, 4], np.float32), 64)
    zones, everything = np.full((2, 2), np.nan), np.array([[0, 8]])
    for low, high in ((-np.inf, np.inf), (-np.inf, 0), (np.nextafter(np.float32(0), np.float32(1)), np.inf)):
        words = words_of(np.ones(512, bool))
        bits.narrow_between(values, np.float32(low), np.float32(high), zones, BLOCK, everything, 0, words)
        np.testing.assert_array_equal(bits_of(words), (values >= low) & (values <= high))


@pytest.mark.parametrize("seed", range(6))
def test_only_places_that_bytes_leave_open_are_looked_at(seed: int) -> None:
    """Values that do not agree with their bytes show which of the two was asked."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 200, SIZE).astype(np.uint8)
    values = rng.integers(0, 200, SIZE).astype(np.float32)
    zones = np.full((SIZE // 64 // BLOCK, 2), np.nan)
    zones[3], zones[5] = (60, 70), (300, 400)  # all of it, none of it
    limits = np.float32(50), np.float32(150)
    before, origin = some_bits(seed, 0.5), int(rng.integers(0, 9))
    parts = some_parts(rng, origin)
    words, unsure = words_of(before)[origin:].copy(), words_of(some_bits(99))[origin:].copy()
    bits.narrow_coarsely(codes, np.uint8(40), np.uint8(160), *limits, zones, BLOCK, parts, origin, words, unsure)
    asked = within(parts, SIZE)
    told = np.repeat(np.arange(SIZE // 64 // BLOCK), 64 * BLOCK)
    coarse_ones = np.where(told == 3, True, np.where(told == 5, False, (codes >= 40) & (codes <= 160)))
    narrowed = before & (coarse_ones | ~asked)
    np.testing.assert_array_equal(bits_of(words), narrowed[64 * origin :])
    bits.settle(values, *limits, parts, origin, words, unsure)
    open_ones = np.isin(codes, (40, 160)) & (told != 3)
    right = (values >= 50) & (values <= 150)
    np.testing.assert_array_equal(bits_of(words), (narrowed & (right | ~open_ones | ~asked))[64 * origin :])


def test_known_values_are_told_from_missing_ones() -> None:
    values = np.where(some_bits(1), np.float32(np.nan), np.float32(np.inf))
    found = np.array([known_of(values, 64 * w) for w in range(SIZE // 64)], np.uint64)
    np.testing.assert_array_equal(bits_of(found), ~np.isnan(values))
    assert known_of(np.zeros(128, np.int32), 64) == bits.ALL


@loop
def known_of(values: np.ndarray, place: int) -> int:
    return bits.known(values, place)


@loop
def coarse(values: np.ndarray, place: int, word: int, narrow: float) -> int:
    return lanes.coarse_sum(values, place, word, narrow)


@loop
def split_sum(values: np.ndarray, place: int, word: int, narrow: float) -> tuple[int, int, int]:
    return lanes.split_sum(values, place, word, narrow)


@given(st.integers(0, 2**32 - 1), st.integers(-30, 30))
def test_the_values_that_a_word_chooses_add_up_exactly(seed: int, power: int) -> None:
    rng = np.random.default_rng(seed)
    values = (rng.uniform(-1, 1, 192) * 2.0**power * rng.choice([1, 1e-3], 192)).astype(np.float32)
    values[rng.random(192) < 0.05] = np.nan
    narrow, finest = np.float32(2.0 ** (26 - power)), 2**lanes.REST_BITS
    words = words_of((rng.random(192) < rng.choice([0.0, 0.1, 0.9, 1.0])) & ~np.isnan(values))
    a = int(rng.integers(0, 3))
    inside, place = bits_of(words)[64 * a : 64 * a + 64], (64 * a, words[a])
    chosen = values[64 * a : 64 * a + 64][inside].astype(float)
    assert coarse(values, *place, narrow) == int(np.trunc(chosen * float(narrow)).sum())
    whole, rest, lost = split_sum(values, *place, narrow)
    of_them = np.where(inside, values[64 * a : 64 * a + 64], 0).tolist()
    parts = [Fraction(value) * Fraction(float(narrow)) * finest for value in of_them]
    assert bits_of(np.array([lost], np.uint64)).tolist() == [part.denominator > 1 for part in parts]
    assert whole == sum(int(part / finest) for part in parts)
    assert whole * finest + rest == sum(map(int, parts))


@loop
def long_sum(values: np.ndarray, place: int, word: int, scale: float) -> tuple[int, int]:
    return lanes.long_sum(values, place, word, scale)


@given(
    st.integers(0, 2**32 - 1), st.sampled_from([np.float64, np.float32, np.int32, np.uint8, np.int8]),
    st.sampled_from([0.0, 0.01, 0.1, 0.9, 1.0]),
)  # fmt: skip
def test_values_of_any_type_add_up_in_two_halves(seed: int, dtype: type, share: float) -> None:
    rng = np.random.default_rng(seed)
    values = (rng.normal(0, 40, 128) * 10.0 ** rng.integers(-12, 1, 128)).clip(-100, 100)
    values = values.astype(dtype) if np.dtype(dtype).kind != "u" else abs(values).astype(dtype)
    if np.dtype(dtype).kind == "f":
        values[rng.random(128) < 0.1] = np.nan
    words = words_of((rng.random(128) < share) & (values == values))
    scale = 2.0 ** int(rng.integers(-3, 30))
    for place in (0, 1):
        inside = bits_of(words)[64 * place : 64 * place + 64]
        chosen = [float(value) * scale for value in values[64 * place : 64 * place + 64][inside]]
        wholes = [int(amount) for amount in chosen]
        rests = [int((amount - whole) * lanes.FINE) for amount, whole in zip(chosen, wholes, strict=True)]
        assert long_sum(values, 64 * place, words[place], scale) == (sum(wholes), sum(rests))


@loop
def nearest(whole: int, rest: int) -> float:
    return sums.nearest(whole, rest)


@given(st.integers(-(2**62), 2**62), st.integers(-(2**61), 2**61), st.integers(0, 62))
def test_two_halves_are_rounded_once(whole: int, rest: int, less: int) -> None:
    whole >>= less
    assert nearest(whole, rest) == float(whole + Fraction(rest, int(lanes.FINE)))


@loop
def of_codes(codes: np.ndarray, place: int, word: int, slope: int, rests: np.ndarray) -> int:
    return lanes.sum_of_codes(codes, place, word, slope, rests)


def check_sums_of_codes(seed: int, slope: int) -> None:
    rng = np.random.default_rng(seed)
    codes, rests = rng.integers(0, 256, 128).astype(np.uint8), rng.integers(0, 256, 256).astype(np.uint8)
    if seed % 2:
        codes[:], rests[:] = 255, 255  # the most that there can be
    words = words_of(rng.random(128) < rng.choice([0.0, 0.1, 0.9, 1.0]))
    units = slope * codes.astype(np.int64) + rests[codes]
    for place in (0, 1):
        chosen = (units * bits_of(words))[64 * place : 64 * place + 64]
        assert of_codes(codes, 64 * place, words[place], slope, rests) == chosen.sum()


@given(st.integers(0, 2**32 - 1), st.integers(-(2**40), 2**40))
def test_what_codes_stand_for_adds_up(seed: int, slope: int) -> None:
    check_sums_of_codes(seed, slope)


def test_codes_add_up_on_any_processor() -> None:
    """The plainest one of its kind, which has no instructions to look bytes up in registers."""
    code = "from tests.test_kernels import check_sums_of_codes as check; [check(s, 12345 * s) for s in range(40)]"
    plain = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | plain, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_runs_count_what_single_places_do(seed: int) -> None:
    """Runs of any length over sets of any density, in one row of pixels or in several."""
    rng = np.random.default_rng(seed)
    inside, above = some_bits(seed, rng.choice([0.0, 0.05, 0.9, 1.0])), some_bits(seed + 1)
    every = rng.random() < 0.2
    edges = np.unique(rng.integers(0, SIZE, rng.integers(2, 400)))
    place, ends = int(edges[0]), edges[1:].astype(np.uint32) + np.uint32(7)  # from origin 7 on
    columns = rng.integers(0, 30, ends.size).astype(np.uint16)
    column = np.repeat(columns, np.diff(edges))
    words, there = words_of(np.zeros(0, bool)) if every else words_of(inside), slice(place, int(edges[-1]))
    chosen = np.ones(column.size, bool) if every else inside[there]
    rows = np.full((2, 30), 5, np.uint32)
    if every:
        runs.count_every_run(place, ends, 7, columns, rows[0])
    else:
        ranks = np.empty(words.size, np.uint32)
        runs.rank_words(words, place >> 6, words.size, ranks)
        runs.count_runs(words, ranks, place, ends, 7, columns, rows[0])
    np.testing.assert_array_equal(rows[0] - 5, np.bincount(column[chosen], minlength=30))
    runs.count_next_row(words, words_of(above), place, ends, 7, columns, rows[1], rows[0])
    higher = np.bincount(column[chosen & above[there]], minlength=30)
    np.testing.assert_array_equal(rows[1] - 5, higher)
    np.testing.assert_array_equal(rows[0] - 5, np.bincount(column[chosen & ~above[there]], minlength=30))
    two = np.zeros((2, 30), np.uint32)
    runs.count_two_rows(words, words_of(above), place, ends, 7, columns, *two)
    np.testing.assert_array_equal(two + 5, rows)


def test_the_words_of_places_are_parts_that_do_not_touch() -> None:
    reach = np.array([[5, 5], [70, 80], [100, 130], [131, 131], [192, 200], [320, 321], [383, 385]])
    parts = np.empty_like(reach)
    number = runs.words_within(reach, parts)
    assert parts[:number].tolist() == [[1, 4], [5, 7]]


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(values=st.lists(st.floats(0, 4, width=32), min_size=1, max_size=200).map(sorted), width=st.integers(1, 9))
def test_runs_of_places_end_where_the_pixel_changes(dtype: type, values: list[float], width: int) -> None:
    column = np.array(values, dtype)
    words = [runs.ends_of_pixels(column, w, width / 4.0, 0.0) for w in range(-(-column.size // 64))]
    found = np.flatnonzero(bits_of(np.array(words, np.uint64))[: column.size - 1])
    pixels = [int(x * (width / 4.0)) for x in column.astype(float)]
    assert found.tolist() == [k for k in range(column.size - 1) if pixels[k] != pixels[k + 1]]


@given(st.integers(0, 2**32 - 1), st.floats(-3, 3), st.floats(-3, 3))
def test_places_in_further_rows_are_told_by_the_same_arithmetic(seed: int, shift: float, limit: float) -> None:
    values = np.random.default_rng(seed).normal(size=128).astype(np.float32)
    values[seed % 128] = np.nan
    found = np.array([not_below_of(values, 64 * w, 1.7, shift, limit) for w in range(2)], np.uint64)
    np.testing.assert_array_equal(bits_of(found), values.astype(float) * 1.7 + shift >= limit)


@loop
def not_below_of(values: np.ndarray, place: int, scale: float, shift: float, limit: float) -> int:
    return bits.not_below(values, place, scale, shift, limit)


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


@given(st.integers(0, 2**32 - 1), st.sampled_from([np.uint32, np.float32]))
def test_colours_are_the_mean_of_the_sources_of_a_pixel(seed: int, dtype: type) -> None:
    rng = np.random.default_rng(seed)
    counts = (rng.poisson(0.5, (7, 9, 3)) * rng.choice([1, 1, 30], (7, 9, 3))).astype(dtype)
    tones, total = rng.integers(0, 256, (3, 3)).astype(np.float32), np.empty((7, 9), np.float32)
    number = colours.totals_of(counts, total)
    np.testing.assert_array_equal(total, counts.sum(axis=2))
    filled = total > 0
    assert number == filled.sum()
    opacity, out = rng.integers(0, 256, number).astype(np.uint8), np.zeros((7, 9), np.uint32)
    colours.mix_colours(counts, total, tones, opacity, out)
    shown = out.view(np.uint8).reshape(7, 9, 4)
    assert not shown[~filled].any()
    np.testing.assert_array_equal(shown[filled][:, 3], opacity)
    exact = counts[filled].astype(float) @ tones.astype(float) / total[filled][:, None]
    np.testing.assert_allclose(shown[filled][:, :3] + 0.5, exact, atol=0.5 + 1e-4)  # the rest is cut off
