from __future__ import annotations

import math
from fractions import Fraction

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from hypothesis import example, given
from hypothesis import strategies as st

from galviz.naming import iau_name

RA = st.floats(0, 360, exclude_max=True)
DEC = st.floats(-90, 90)


def by_fractions(ra: float, dec: float) -> str:
    h = math.floor(Fraction(ra) * 24_000) % 8_640_000
    d = math.floor(abs(Fraction(dec)) * 36_000)
    sign = "-" if dec < 0 else "+"
    return (
        f"SDSS J{h // 360_000:02d}{h // 6_000 % 60:02d}{h % 6_000 // 100:02d}.{h % 100:02d}"
        f"{sign}{d // 36_000:02d}{d // 600 % 60:02d}{d % 600 // 10:02d}.{d % 10}"
    )


@given(RA, DEC)
@example(0.29, -0.0029)
@example(359.9999999999999, 89.99999999999999)
@example(0.0, -5e-324)
def test_a_name_is_the_exact_position_cut_off(ra: float, dec: float) -> None:
    assert iau_name(ra, dec).item() == by_fractions(ra, dec)


def test_products_that_round_up_to_an_integer_are_cut_off_all_the_same() -> None:
    grid = np.arange(0, 8_640_000, 997) / 24_000
    below = np.nextafter(grid[1:], 0)
    above = np.nextafter(grid[1:], 400)
    assert [iau_name(ra, 1.0).item() for ra in below] == [by_fractions(ra, 1.0) for ra in below]
    assert iau_name(above, np.ones(above.size)).tolist() == [by_fractions(ra, 1.0) for ra in above]
    rounded_up = np.floor(below * 24_000) != [math.floor(Fraction(ra) * 24_000) for ra in below]
    assert rounded_up.any()  # else this test would not see a name that rounds


@given(RA, DEC)
def test_astropy_reads_back_a_position_less_than_one_last_digit_away(ra: float, dec: float) -> None:
    name = iau_name(ra, dec).item().removeprefix("SDSS J")
    text = f"{name[:2]}:{name[2:4]}:{name[4:9]} {name[9:12]}:{name[12:14]}:{name[14:]}"
    read = SkyCoord(text, unit=(u.hourangle, u.deg))
    assert -1e-9 <= ra - read.ra.deg <= 1 / 24_000 + 1e-9
    assert -1e-9 <= abs(dec) - abs(read.dec.deg) <= 1 / 36_000 + 1e-9


def test_positions_that_are_none_have_no_name() -> None:
    assert iau_name([math.nan, 10, 10], [0, math.inf, 90.1]).tolist() == ["", "", ""]


def test_right_ascension_wraps_and_a_declination_just_south_of_the_equator_keeps_its_sign() -> None:
    assert iau_name([360.0, -1e-20], [-1e-9, 0.0]).tolist() == ["SDSS J000000.00-000000.0", "SDSS J235959.99+000000.0"]
