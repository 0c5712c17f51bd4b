"""Bytes in place of values leave no row out and let none in that the values would not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from galviz import coarse
from galviz.index.layout import BLOCK, WORD
from galviz.kernels import bits

FLOATS = st.floats(width=32, allow_nan=False)


def plane(values: np.ndarray) -> Any:
    """As much of a plane of one strip as a mask of its column `v` needs."""
    padded = np.zeros(-(-values.size // BLOCK) * BLOCK, np.float32)
    padded[: values.size] = values
    zones = np.full((padded.size // BLOCK, 2), np.nan)
    layout = SimpleNamespace(x="x", y="y")

    class Plane:
        strips = 1
        size = padded.size

    made: Any = Plane()
    made.bounds = np.array([[0, padded.size]])
    made.columns, made.zones, made.layout = {"v": padded, "x": padded}, {"v": zones}, layout
    return made


def marked(made: coarse.Coarse, low: float, high: float) -> np.ndarray:
    """The places of a range, as conditions find them."""
    limits, everything = (np.float32(low), np.float32(high)), np.array([[0, made.plane.size // WORD]])
    words = np.full(made.plane.size // WORD, bits.ALL)
    unsure, ends = words.copy(), [made.code(limit) for limit in limits]
    zones = made.plane.zones["v"]
    bits.narrow_coarsely(made.codes(0, 1), *ends, *limits, zones, BLOCK // WORD, everything, 0, words, unsure)
    bits.settle(made.plane.columns["v"], *limits, everything, 0, words, unsure)
    return np.unpackbits(words.view(np.uint8), bitorder="little").astype(bool)


@settings(deadline=None)
@example([0.0, -0.0], 0.0, -0.0)
@example([0.0, -0.0], -0.0, 0.0)
@given(st.lists(FLOATS | st.just(float("nan")), min_size=1, max_size=300), FLOATS, FLOATS)
def test_a_range_of_bytes_is_a_range_of_values(numbers: list[float], low: float, high: float) -> None:
    made = coarse.Coarse(plane(np.array(numbers, np.float32)), "v")
    values = made.plane.columns["v"]
    for limits in ((low, high), (-np.inf, high), (low, np.inf), (-np.inf, np.inf), (values[0], values[0])):
        expected = (values >= np.float32(limits[0])) & (values <= np.float32(limits[1]))
        np.testing.assert_array_equal(marked(made, *limits), expected)


def test_more_rows_at_the_limits_than_are_looked_at_in_one_go() -> None:
    values = np.repeat(np.float32([1, 2]), 20_000)
    made = coarse.Coarse(plane(values), "v")
    assert marked(made, 2, 2).sum() == 20_000
    assert marked(made, 1.5, 3).sum() == 20_000


def test_bytes_ascend_and_are_shared_evenly() -> None:
    values = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    made = coarse.Coarse(plane(values), "v")
    marked(made, 0, 1)
    chosen = made._bytes[np.argsort(made.plane.columns["v"], kind="stable")]
    assert (np.diff(chosen.astype(int)) >= 0).all()
    assert np.bincount(made._bytes).max() < 0.03 * made.plane.size


def test_zones_spare_the_reading() -> None:
    made = coarse.Coarse(plane(np.full(2 * BLOCK, 5, np.float32)), "v")
    made.plane.zones["v"][:] = [(0, 1), (7, 8)]  # not true, which shows that they are believed
    assert marked(made, 0, 2).tolist() == [True] * BLOCK + [False] * BLOCK


def test_only_large_columns_of_single_precision_have_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    small = plane(np.zeros(10, np.float32))
    assert coarse.coarse_of(small, "v") is None
    monkeypatch.setattr(coarse, "LEAST_ROWS", 1)
    assert coarse.coarse_of(small, "x") is None
    first = coarse.coarse_of(small, "v")
    assert first is not None
    assert coarse.coarse_of(small, "v") is first
    small.columns["d"] = np.zeros(small.size)
    assert coarse.coarse_of(small, "d") is None
    monkeypatch.setattr(coarse, "MOST_BYTES", 0)
    assert coarse.coarse_of(plane(np.zeros(10, np.float32)), "v") is None


def test_what_was_undecided_is_added_to_what_is_there() -> None:
    words = np.zeros(2, np.uint64)
    bits.fill_between(words, 70, 72)
    values = np.arange(128, dtype=np.float32)
    places = np.array([71, 100, 127])
    bits.add_between(values, np.float32(4), np.float32(100), places, 0, words)
    bits.add_between(values, np.float32(4), np.float32(100), places[:1], 1, words[1:])
    assert np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")).tolist() == [70, 71, 100]
