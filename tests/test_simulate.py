"""The simulated sky: reproducible, shaped like SDSS and WISE, and like the real sources where they are at hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import realism
from galviz.simulate import MAX_PARTS, MAX_ROWS, batch, schema
from galviz.simulate.census import census
from galviz.simulate.kernels import asinh_magnitude, draw_cells
from galviz.simulate.sky import galactic, in_footprint
from galviz.simulate.survey import CLASSES, MISTAKES
from tests.conftest import REAL_SAMPLE

Columns = dict[str, np.ndarray[Any, Any]]
ROWS = 40_000
BANDS = ("u", "g", "r", "i", "z")
WISE = ("w1", "w2", "w3", "w4")


@pytest.fixture(scope="module")
def sky() -> Columns:
    return batch(ROWS, 0, 0)


@pytest.fixture(scope="module")
def labelled() -> Columns:
    return batch(ROWS, 0, 0, labelled=True)


def same(a: Columns, b: Columns) -> bool:
    return all(a[name].tobytes() == b[name].tobytes() for name in a)


@given(st.integers(0, 2**63), st.integers(0, MAX_PARTS - 1), st.integers(0, 300), st.booleans())
@settings(max_examples=15)
def test_arguments_determine_every_byte(seed: int, part: int, rows: int, spectra: bool) -> None:
    assert same(batch(rows, seed, part, labelled=spectra), batch(rows, seed, part, labelled=spectra))


def test_parts_seeds_and_skies_differ() -> None:
    streams = [batch(200, 0, 0), batch(200, 0, 1), batch(200, 1, 0), batch(200, 0, 0, labelled=True)]
    assert len({part["psf_r"].tobytes() for part in streams}) == 4
    for first, second in pairwise(streams):
        assert not np.intersect1d(first["psf_r"], second["psf_r"]).size > 5


def test_identifiers_are_unique_and_need_all_their_digits() -> None:
    parts = [batch(500, seed, part, labelled=spectra) for seed, part, spectra in [(0, 0, False), (0, 1, False)]]
    parts.append(batch(500, 0, 0, labelled=True))
    every = np.concatenate([part["objid"] for part in parts])
    assert len(np.unique(every)) == len(every)
    assert every.min() > 2**53
    last = batch(1, 0, MAX_PARTS - 1)["objid"][0]
    assert str(last).startswith("1237")


@pytest.mark.parametrize("spectra", [False, True])
def test_columns_are_those_of_the_schema(spectra: bool) -> None:
    part = batch(2000, 1, 2, labelled=spectra)
    assert [column.name for column in schema(spectra)] == list(part)
    for column in schema(spectra):
        values = part[column.name]
        assert values.dtype == column.dtype
        assert values.shape == (2000,)
        assert np.isfinite(values).all()


def test_units_and_words_of_the_schema_are_known() -> None:
    from astropy.io.votable.ucd import check_ucd

    for column in dict.fromkeys((*schema(False), *schema(True))):
        assert check_ucd(column.ucd, check_controlled_vocabulary=True), column.ucd
        assert not column.unit or units.Unit(column.unit)
        assert column.description


@pytest.mark.parametrize("arguments", [(-1, 0, 0), (MAX_ROWS + 1, 0, 0), (10, -1, 0), (10, 0, -1), (10, 0, MAX_PARTS)])
def test_impossible_arguments_are_refused(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="cannot simulate"):
        batch(*arguments)


def test_classes_have_the_published_mix(sky: Columns, labelled: Columns) -> None:
    assert np.bincount(sky["sim_class"]) / ROWS == pytest.approx((0.45, 0.02, 0.53), abs=0.01)
    expected = np.array([0.71, 0.125, 0.165]) @ MISTAKES
    assert np.bincount(labelled["class"]) / ROWS == pytest.approx(expected, abs=0.01)


def test_redshifts(sky: Columns, labelled: Columns) -> None:
    galaxy, quasar, star = (sky["sim_redshift"][sky["sim_class"] == code] for code in range(3))
    assert (star == 0).all()
    assert galaxy.min() > 0
    assert galaxy.max() < 1.6
    assert quasar.min() > 0.04
    assert 3 < quasar.max() < 6.3
    assert 0.05 < np.median(labelled["redshift"][labelled["class"] == 0]) < 0.2


def test_stars_crowd_towards_the_plane_and_galaxies_do_not(sky: Columns) -> None:
    _, b = galactic(sky["ra"], sky["dec"])
    low, high = np.abs(b) < 35, np.abs(b) > 60
    area = [np.count_nonzero((sky["sim_class"] == 0) & part) for part in (low, high)]
    stars = [np.count_nonzero((sky["sim_class"] == 2) & part) for part in (low, high)]
    assert stars[0] / area[0] > 1.7 * stars[1] / area[1]


def test_every_source_lies_in_the_footprint_of_two_caps(sky: Columns) -> None:
    step = 0.5  # a source may lie half a cell beyond the outline
    near = np.zeros(ROWS, bool)
    for dra in (-step, 0, step):
        for ddec in (-step, 0, step):
            near |= in_footprint((sky["ra"] + dra / np.cos(np.radians(sky["dec"]))) % 360, sky["dec"] + ddec)
    assert near.mean() > 0.999
    _, b = galactic(sky["ra"], sky["dec"])
    assert 0.55 < (b > 0).mean() < 0.9
    assert np.abs(b).min() > 10


@given(st.floats(0, 359.9), st.floats(-89, 89))
def test_galactic_coordinates_are_those_of_astropy(ra: float, dec: float) -> None:
    longitude, latitude = galactic(np.array([ra]), np.array([dec]))
    separation = SkyCoord(longitude, latitude, unit="deg", frame="galactic").separation(
        SkyCoord(ra, dec, unit="deg").galactic
    )
    assert separation.arcsec[0] < 2


def test_errors_grow_with_magnitude(sky: Columns) -> None:
    for name in (*(f"psf_{band}" for band in BANDS), "w1", "w2"):
        error = sky[name.replace("psf", "psferr") if "psf" in name else f"{name}err"]
        edges = np.percentile(sky[name], [0, 20, 40, 60, 80])
        medians = [np.median(error[(sky[name] >= a) & (sky[name] < a + 1)]) for a in edges]
        assert (np.diff(medians) > 0).all(), name


def test_limits_are_flagged_and_carry_the_error_of_the_threshold(sky: Columns) -> None:
    for band in ("w3", "w4"):
        limit, error = sky[f"{band}_limit"], sky[f"{band}err"]
        assert 0.3 < limit.mean() < 0.99
        assert (error[limit] == np.float32(0.543)).all()
        assert (error[~limit] <= 0.5435).all()
        assert np.median(sky[band][limit]) > np.median(sky[band][~limit])


def test_wise_magnitudes_come_in_thousandths(sky: Columns) -> None:
    for band in WISE:
        assert np.abs(sky[band].astype(float) * 1000 - np.round(sky[band].astype(float) * 1000)).max() < 0.002


def test_resolved_r_is_the_difference_of_its_magnitudes(sky: Columns) -> None:
    assert (sky["resolved_r"] == np.abs(sky["psf_r"] - sky["cmod_r"])).all()
    galaxy, _, star = (np.median(sky["resolved_r"][sky["sim_class"] == code]) for code in range(3))
    assert star < 0.05 < 0.2 < galaxy


def test_extinction_falls_from_u_to_z_and_rises_towards_the_plane(sky: Columns) -> None:
    extinction = np.stack([sky[f"ext_{band}"] for band in BANDS])
    assert (np.diff(extinction, axis=0) < 0).all()
    assert (extinction > 0).all()
    _, b = galactic(sky["ra"], sky["dec"])
    assert extinction[2, np.abs(b) < 30].mean() > 1.5 * extinction[2, np.abs(b) > 60].mean()


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40).filter(lambda weights: sum(weights) > 1e-3))
@settings(max_examples=50)
def test_cells_are_drawn_in_proportion_to_their_weight(weights: list[float]) -> None:
    table = census(np.array([weights]))
    uniform = (np.arange(20_000) + 0.5) / 20_000
    cells = draw_cells(table.keep, table.other, np.zeros(len(uniform), np.int32), uniform)
    shares = np.bincount(cells, minlength=len(weights)) / len(cells)
    assert shares == pytest.approx(np.array(weights) / sum(weights), abs=len(weights) * 2e-4)


@given(st.floats(10, 20))
def test_asinh_magnitude_is_the_usual_one_for_bright_sources(magnitude: float) -> None:
    assert asinh_magnitude(10 ** (-0.4 * magnitude), 1.2e-10) == pytest.approx(magnitude, abs=1e-3)


def test_asinh_magnitude_takes_a_flux_below_zero() -> None:
    zero = asinh_magnitude(0.0, 1.2e-10)
    assert zero == pytest.approx(-2.5 * np.log10(1.2e-10))
    assert asinh_magnitude(-1e-10, 1.2e-10) > zero


@pytest.mark.realdata
def test_colours_meet_those_of_real_sources() -> None:
    real, simulation = realism.real_sample(str(REAL_SAMPLE)), realism.dereddened(realism.simulated(ROWS))
    assert realism.compare_colours(real, simulation) <= realism.GOAL_COLOUR
    macro, scores = realism.transfer(real, simulation.iloc[:12_000])
    assert macro >= realism.GOAL_F1, dict(zip(CLASSES, scores, strict=True))
