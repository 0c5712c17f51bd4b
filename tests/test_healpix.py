from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galviz.healpix import NOWHERE, ORDER, healpix


def test_known_pixels() -> None:
    """The twelve base cells (Gorski et al. 2005, figure 3)."""
    assert (healpix([0.0, 90.0, 180.0, 270.0], [0.0] * 4) >> 2 * ORDER).tolist() == [4, 5, 6, 7]
    assert (healpix([45.0, 135.0, 225.0, 315.0], [60.0] * 4) >> 2 * ORDER).tolist() == [0, 1, 2, 3]
    assert (healpix([45.0, 135.0, 225.0, 315.0], [-60.0] * 4) >> 2 * ORDER).tolist() == [8, 9, 10, 11]


def test_no_position_is_behind_all_others() -> None:
    found = healpix([np.nan, 1.0, np.inf, 359.0], [0.0, np.nan, 0.0, -90.0])
    assert found.tolist()[:3] == [NOWHERE] * 3
    assert 0 <= found[3] < NOWHERE
    assert healpix([np.nan], [1.0]).tolist() == [NOWHERE]
    assert healpix([], []).shape == (0,)


def test_what_lies_a_little_beyond_the_pole_is_the_pole() -> None:
    np.testing.assert_array_equal(healpix([10.0, 10.0], [90.0005, -90.0005]), healpix([10.0, 10.0], [90.0, -90.0]))


@given(eighths=st.integers(0, 2879), dec=st.floats(-90, 90), turns=st.integers(-2, 2))
def test_right_ascension_wraps_around(eighths: int, dec: float, turns: int) -> None:
    ra = eighths / 8  # and whole turns more are exact numbers
    assert healpix([ra + 360 * turns], [dec]) == healpix([ra], [dec])


def test_neighbours_share_the_leading_bits() -> None:
    pixels = healpix([120.0, 120.0 + 1e-6], [30.0, 30.0]) >> 2 * 15
    assert pixels[0] == pytest.approx(pixels[1], abs=1)


def test_hats_has_the_same_pixels() -> None:
    spatial = pytest.importorskip("hats.pixel_math.spatial_index")
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 360, 1000), rng.uniform(-90, 90, 1000)
    np.testing.assert_array_equal(healpix(ra, dec), spatial.compute_spatial_index(ra, dec))
