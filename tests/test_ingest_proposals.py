from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from galviz.errors import IngestError
from galviz.ingest import ingest
from galviz.ingest.looks import SENTINELS
from galviz.ingest.matching import make_plan, plain_name
from galviz.ingest.proposals import propose
from galviz.ingest.readers import ColumnNote, open_table
from galviz.manifest import Column
from galviz.surveys import Source, Survey
from galviz.surveys.checks import faults
from galviz.surveys.generic import PLACES
from galviz.surveys.toml import parse_survey
from tests.foreign import write

ROWS = 60
RNG = np.random.default_rng(1)


def uniform(low: float, high: float) -> np.ndarray:
    return RNG.uniform(low, high, ROWS)


def desi() -> pd.DataFrame:
    return pd.DataFrame({
        "TARGETID": 39627000000000000 + np.arange(ROWS), "TARGET_RA": uniform(0, 360), "TARGET_DEC": uniform(-20, 80),
        "Z": uniform(0, 3), "ZERR": uniform(0, 1e-3), "ZWARN": RNG.choice([0, 4], ROWS),
        "SPECTYPE": RNG.choice(["GALAXY", "QSO", "STAR"], ROWS), "SUBCLASS": RNG.choice(["", "M", "K"], ROWS),
        "MORPHTYPE": RNG.choice(["PSF", "REX"], ROWS), "FLUX_G": uniform(-1, 50), "FLUX_R": uniform(-1, 90),
        "EBV": uniform(0, 0.2), "MASKBITS": RNG.integers(0, 2**40, ROWS),
    })  # fmt: skip


def two_mass() -> pd.DataFrame:
    frame = pd.DataFrame({
        "designation": [f"00{number:06d}+0000000" for number in range(ROWS)], "ra": uniform(0, 360),
        "decl": uniform(-90, 90), "j_m": uniform(8, 16), "j_cmsig": uniform(0, 0.2), "h_m": uniform(8, 16),
        "k_m": uniform(8, 15), "ph_qual": RNG.choice(["AAA", "AAB"], ROWS), "cntr": np.arange(ROWS),
        "err_maj": uniform(0, 0.3),
    })  # fmt: skip
    frame.loc[3, "k_m"] = 99.99
    return frame


def gaia() -> pd.DataFrame:
    frame = pd.DataFrame({
        "solution_id": 1636148068921376768, "source_id": 2**62 + np.arange(ROWS), "ra": uniform(0, 360),
        "ra_error": uniform(0, 1), "dec": uniform(-90, 90), "parallax": uniform(-3, 9), "pmra": uniform(-200, 200),
        "phot_g_mean_mag": uniform(8, 21), "phot_bp_mean_mag": uniform(8, 21), "phot_rp_mean_mag": uniform(8, 21),
        "bp_rp": uniform(-0.5, 4), "ruwe": uniform(0.9, 2), "phot_variable_flag": "NOT_AVAILABLE",
        "classprob_dsc_combmod_star": uniform(0, 1),
    })  # fmt: skip
    frame.loc[5, ["phot_bp_mean_mag", "parallax"]] = np.nan
    return frame


def described(tmp_path: Path, frame: pd.DataFrame, name: str = "rows.csv") -> dict[str, Source]:
    """What was proposed for each column, by the name in the file, after an ingest of the file with it."""
    path = write(frame, tmp_path / name)
    proposal = propose(open_table(path))
    survey = parse_survey(proposal.text)
    assert survey == proposal.survey
    catalogue = ingest(path, tmp_path / "out", survey)
    assert catalogue.rows == len(frame)
    assert set(proposal.remarks) == {column.name for column in survey.columns}
    return {source.names[0]: source for source in survey.sources}


def roles(sources: dict[str, Source]) -> dict[str, str]:
    return {name: source.column.role for name, source in sources.items()}


@pytest.mark.parametrize("suffix", [".csv", ".fits", ".parquet"])
def test_a_header_like_that_of_desi(tmp_path: Path, suffix: str) -> None:
    sources = described(tmp_path, desi(), f"rows{suffix}")
    assert roles(sources) == {
        "TARGETID": "id", "TARGET_RA": "position", "TARGET_DEC": "position", "SPECTYPE": "truth", "Z": "redshift",
        "ZERR": "uncertainty", "ZWARN": "flag", "FLUX_G": "other", "FLUX_R": "other", "EBV": "extinction",
        "MASKBITS": "flag",
    }  # fmt: skip
    catalogue = ingest(tmp_path / f"rows{suffix}", tmp_path / "again", propose_for(tmp_path / f"rows{suffix}"))
    assert catalogue.manifest.features == ("flux_g", "flux_r")
    assert catalogue.manifest.class_names == ("GALAXY", "QSO", "STAR")
    assert set(catalogue.manifest.groups[0].provenance["ignored"]) == {"SUBCLASS", "MORPHTYPE"}


def propose_for(path: Path) -> Survey:
    return propose(open_table(path)).survey


def test_a_header_like_that_of_2mass(tmp_path: Path) -> None:
    sources = described(tmp_path, two_mass())
    assert roles(sources) == {
        "ra": "position", "decl": "position", "j_m": "magnitude", "j_cmsig": "uncertainty", "h_m": "magnitude",
        "k_m": "magnitude", "cntr": "id", "err_maj": "uncertainty",
    }  # fmt: skip
    assert sources["k_m"].sentinels == (99.99,)
    assert {sources[name].column.system for name in ("j_m", "h_m", "k_m")} == {"Vega"}


def test_a_header_like_that_of_gaia(tmp_path: Path) -> None:
    sources = described(tmp_path, gaia())
    assert roles(sources) == {
        "source_id": "id", "ra": "position", "ra_error": "uncertainty", "dec": "position", "parallax": "other",
        "pmra": "other", "phot_g_mean_mag": "magnitude", "phot_bp_mean_mag": "magnitude",
        "phot_rp_mean_mag": "magnitude", "bp_rp": "colour", "ruwe": "other", "classprob_dsc_combmod_star": "other",
    }  # fmt: skip


def test_predictions_and_probabilities(tmp_path: Path) -> None:
    frame = pd.DataFrame({
        "ID": np.arange(ROWS), "RAJ2000": uniform(0, 360), "DEJ2000": uniform(-90, 90),
        "class_pred": RNG.choice(["quasar", "star", "blazar"], ROWS), "prob_quasar": uniform(0, 1),
        "PSTAR": uniform(0, 1), "p_star": uniform(0, 1), "p_value": uniform(0, 1),
    })  # fmt: skip
    sources = described(tmp_path, frame)
    assert sources["class_pred"].column.role == "prediction"
    of_class = {name: (source.column.role, source.column.of_class) for name, source in sources.items()}
    assert of_class["prob_quasar"] == ("probability", "QSO")
    assert of_class["p_star"] == ("probability", "STAR")
    assert of_class["p_value"] == ("other", "")
    survey = propose_for(tmp_path / "rows.csv")
    assert [entry.name for entry in survey.classes] == ["QSO", "STAR", "BLAZAR"]
    assert survey.class_names == {"QUASAR": "QSO"}


@pytest.mark.parametrize(("low", "high", "role"), [(0.0, 5.0, "redshift"), (15.0, 22.0, "magnitude")])
def test_z_is_what_its_values_say(tmp_path: Path, low: float, high: float, role: str) -> None:
    frame = pd.DataFrame({"ra": uniform(0, 360), "dec": uniform(-90, 90), "r": 17.0, "z": uniform(low, high)})
    assert described(tmp_path, frame)["z"].column.role == role


@pytest.mark.parametrize("sentinel", SENTINELS)
def test_a_sentinel_far_from_the_rest_is_one(tmp_path: Path, sentinel: float) -> None:
    frame = pd.DataFrame({"ra": uniform(0, 360), "dec": uniform(-80, 90), "seeing": uniform(0.5, 2)})
    frame.loc[7, "seeing"] = sentinel
    assert described(tmp_path, frame)["seeing"].sentinels == (sentinel,)


def test_a_value_among_others_is_no_sentinel(tmp_path: Path) -> None:
    frame = pd.DataFrame({"ra": uniform(90, 120), "dec": uniform(-90, 90), "width": uniform(50, 150)})
    frame.loc[7, ["ra", "width"]] = 99.0
    sources = described(tmp_path, frame)
    assert sources["ra"].sentinels == sources["width"].sentinels == ()


def test_ucds_and_units_come_before_names(tmp_path: Path) -> None:
    frame = pd.DataFrame({
        "alpha": uniform(0, 6.2), "delta": uniform(-1.5, 1.5), "brightness": uniform(15000, 22000),
        "mag": uniform(0, 1), "lum": uniform(40, 45), "name": np.arange(ROWS),
    })  # fmt: skip
    notes = {
        "alpha": ColumnNote("rad", "pos.eq.ra;meta.main"), "delta": ColumnNote("rad", "pos.eq.dec;meta.main"),
        "brightness": ColumnNote("mmag", "", "Brightness"), "mag": ColumnNote("mag", "stat.error;phot.mag"),
        "lum": ColumnNote("dex"), "name": ColumnNote("", "meta.id;meta.main"),
    }  # fmt: skip
    table = dataclasses.replace(open_table(write(frame, tmp_path / "rows.csv")), columns=notes)
    columns = {source.names[0]: source.column for source in propose(table).survey.sources}
    found = {name: column.role for name, column in columns.items()}
    assert found == {"alpha": "position", "delta": "position", "brightness": "magnitude", "mag": "uncertainty",
                     "lum": "other", "name": "id"}  # fmt: skip
    assert (columns["brightness"].unit, columns["brightness"].description) == ("mag", "Brightness")
    assert columns["alpha"].unit == "deg"


def test_positions_that_could_be_radians_are_remarked_on(tmp_path: Path) -> None:
    frame = pd.DataFrame({"ra": uniform(0, 6.2), "dec": uniform(-1.5, 1.5)})
    assert 'file_unit = "rad"' in propose(open_table(write(frame, tmp_path / "rows.csv"))).remarks["ra"]


@pytest.mark.parametrize(
    "names", [*PLACES, ("alpha", "delta"), ("ALPHA_J2000", "DELTA_J2000"), ("_RA.icrs", "_DE.icrs")]
)
def test_a_position_is_found_by_its_name(tmp_path: Path, names: tuple[str, str]) -> None:
    frame = pd.DataFrame({"row": 1.5, names[1]: uniform(-90, 90), names[0]: uniform(0, 360)})
    sources = propose_for(write(frame, tmp_path / "rows.csv")).sources
    assert [source.column.name for source in sources] == ["ra", "dec", "row"]
    assert [source.names[0].lower() for source in sources[:2]] == [name.lower() for name in names]


def test_a_position_is_a_pair(tmp_path: Path) -> None:
    frame = pd.DataFrame({
        "alpha": uniform(0, 2), "dec_corr": uniform(-90, 90), "ra_corr": uniform(0, 360), "s_ra": uniform(0, 360),
        "s_dec": uniform(-90, 90), "delta": uniform(0, 1),
    })  # fmt: skip
    assert [source.names[0] for source in propose_for(write(frame, tmp_path / "rows.csv")).sources[:2]] == [
        "s_ra", "s_dec"
    ]  # fmt: skip
    with pytest.raises(IngestError, match="looks like a right ascension"):
        propose_for(write(frame[["alpha", "dec_corr"]], tmp_path / "spectral_index.csv"))


@pytest.mark.parametrize("names", [("GLON", "GLAT"), ("l", "b"), ("Gal_Lon", "Gal_Lat"), ("x", "y")])
def test_galactic_coordinates_are_converted(tmp_path: Path, names: tuple[str, str]) -> None:
    lon, lat = uniform(0, 360), uniform(-90, 90)
    lat[3] = -999.0
    path = write(pd.DataFrame({names[0]: lon, names[1]: lat, "Vmag": uniform(9, 15)}), tmp_path / "rows.csv")
    notes = {"x": ColumnNote("", "pos.galactic.lon"), "y": ColumnNote("", "pos.galactic.lat")}
    proposal = propose(dataclasses.replace(open_table(path), columns=notes if names[0] == "x" else {}))
    survey = parse_survey(proposal.text)
    assert survey == proposal.survey
    catalogue = ingest(path, tmp_path / "out", survey)
    columns = catalogue.read_part(0)
    known = lat != -999.0
    sky = SkyCoord(lon[known], lat[known], unit="deg", frame="galactic").icrs
    order = np.argsort(sky.ra.deg)
    for name, wanted in (("ra", sky.ra.deg), ("dec", sky.dec.deg), ("glon", lon[known]), ("glat", lat[known])):
        np.testing.assert_allclose(columns[name][np.argsort(columns["ra"])], wanted[order], rtol=1e-12)
    assert catalogue.manifest.of_role("position")[0].name == "ra"


def test_equatorial_coordinates_come_before_galactic_ones(tmp_path: Path) -> None:
    frame = pd.DataFrame({"GLON": uniform(0, 360), "GLAT": uniform(-90, 90), "s_ra": 1.0, "s_dec": 2.0})
    assert roles(described(tmp_path, frame))["GLON"] == "other"


def test_ucds_of_before_2005(tmp_path: Path) -> None:
    frame = pd.DataFrame({
        "a": np.arange(ROWS), "b": uniform(0, 360), "c": uniform(-90, 90), "d": uniform(15, 22), "e": uniform(0, 1),
        "f": uniform(0, 3), "g": RNG.choice(["M", "K"], ROWS),
    })  # fmt: skip
    words = ("ID_MAIN", "POS_EQ_RA_MAIN", "POS_EQ_DEC_MAIN", "PHOT_SDSS_R", "ERROR", "REDSHIFT_HC", "CLASS_OBJECT")
    notes = {name: ColumnNote("", ucd) for name, ucd in zip(frame, words, strict=True)}
    table = dataclasses.replace(open_table(write(frame, tmp_path / "rows.csv")), columns=notes)
    found = {source.names[0]: source.column for source in propose(table).survey.sources}
    assert {name: column.role for name, column in found.items()} == {
        "a": "id", "b": "position", "c": "position", "d": "magnitude", "e": "uncertainty", "f": "redshift", "g": "truth"
    }  # fmt: skip
    assert found["b"].ucd == "pos.eq.ra;meta.main"


def test_ucds_are_compared_without_case_and_kept_with_it(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": uniform(0, 360), "y": uniform(-90, 90), "w": uniform(9, 15)})
    words = ("POS.EQ.RA; Meta.Main", "pos.eq.dec;meta.main", "phot.mag;em.IR.3-4um")
    notes = {name: ColumnNote("", ucd) for name, ucd in zip(frame, words, strict=True)}
    table = dataclasses.replace(open_table(write(frame, tmp_path / "rows.csv")), columns=notes)
    found = {source.names[0]: source.column for source in propose(table).survey.sources}
    assert [column.name for column in found.values()] == ["ra", "dec", "w"]
    assert [column.ucd for column in found.values()] == list(words)


# Names of columns in tables of SDSS, AllWISE, SkyMapper, HSC, KiDS, UKIDSS, DES, VizieR and SIMBAD.
USUAL = {
    "magnitude": ("psfMag_u", "modelMag_r", "dered_r", "j_m_2mass", "u_psf", "g_petro", "MAG_AUTO_G", "yAperMag3",
                  "gMeanKronMag", "g_cmodel_mag", "MAG_GAAP_u"),
    "uncertainty": ("psfMagErr_u", "sigra", "e_gmag", "gMeanPSFMagStd", "w1sigmpro", "g_cmodel_magsigma", "e_u_psf",
                    "MAGERR_AUTO_G", "j_msig_2mass", "photoz_err68_min"),
    "redshift": ("zsp", "zph", "z_spec", "photoz_best", "Z_B", "phz_median", "Z_VALUE", "rvz_redshift", "lp_zBEST"),
    "extinction": ("ext_r", "extinction_r", "EBV_SFD98", "ebmv_sfd", "a_g", "gal_ebv"),
    "flag": ("ext_flg", "FLAGS_G", "zWarning", "EXTENDED_CLASS_COADD", "mergedClass"),
    "id": ("cntr", "oid", "COADD_OBJECT_ID", "sourceID"),
    "other": ("rv_galah", "zone", "zband_exposures", "nobs", "petroRad_r", "b_rad"),
}  # fmt: skip


def values_of(role: str) -> np.ndarray:
    if role in ("flag", "id"):
        return np.arange(ROWS)
    return uniform(14, 22) if role == "magnitude" else uniform(0.01, 0.9)


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, names in USUAL.items() for name in names])
def test_usual_names(tmp_path: Path, role: str, name: str) -> None:
    frame = pd.DataFrame({"ra": uniform(0, 360), "dec": uniform(-90, 90), name: values_of(role)})
    column = {source.names[0]: source.column for source in propose_for(write(frame, tmp_path / "r.csv")).sources}[name]
    assert column.role == role
    assert column.extinction == ("corrected" if name == "dered_r" else "")


def test_a_photometric_redshift_keeps_its_name(tmp_path: Path) -> None:
    names = {"zph": "zph", "Z_B": "z_b", "lp_zPDF": "lp_zpdf", "zsp": "redshift", "z_spec": "z_spec"}
    frame = pd.DataFrame({"ra": 1.0, "dec": 2.0, **{name: uniform(0, 3) for name in names}})
    sources = described(tmp_path, frame)
    assert {name: sources[name].column.name for name in names} == names
    assert {sources[name].column.role for name in names} == {"redshift"}


def test_a_system_is_named_only_where_the_name_tells(tmp_path: Path) -> None:
    names = {"gmag": "", "w1mpro": "Vega", "psf_g": "AB", "BPmag": "Vega", "mag_z": ""}
    frame = pd.DataFrame({"ra": uniform(0, 360), "dec": uniform(-90, 90), **dict.fromkeys(names, 17.0)})
    sources = described(tmp_path, frame)
    assert {name: sources[name].column.system for name in names} == names


def test_an_identifier_is_not_repeated(tmp_path: Path) -> None:
    frame = pd.DataFrame({"field_id": 7, "star_id": np.arange(ROWS), "ra": uniform(0, 360), "dec": uniform(-90, 90)})
    sources = described(tmp_path, frame)
    assert (sources["field_id"].column.role, sources["star_id"].column.role) == ("other", "id")
    assert sources["star_id"].column.name == "objid"


def test_a_second_identifier_beyond_2_53_is_not_read(tmp_path: Path) -> None:
    survey = propose_for(write(gaia(), tmp_path / "rows.csv"))
    assert survey.dropped["solution_id"] == "whole numbers beyond 2^53, and not the identifier of the source"


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ({"a": [1.0], "b": [2.0]}, "looks like a right ascension .* its columns are a, b; rename"),
        ({"ra": [1.0], "b": [2.0]}, "looks like a declination"),
        ({"": [1.0], "dec": [2.0]}, "looks like a right ascension"),
        (
            {"RAJ2000": ["12:34:56"], "dec": ["+01:02:03"]},
            "The column RAJ2000 of .* holds text such as '12:34:56'; write",
        ),
        ({"ra": [1e4], "dec": [1.0]}, "looks like a right ascension"),
        ({"ra": [1.0], "dec": [1.0], "Z": [1.0], "z": [17.0]}, "has the columns Z and z; rename or remove"),
    ],
)
def test_a_file_that_cannot_be_described(tmp_path: Path, frame: dict[str, Any], words: str) -> None:
    path = write(pd.DataFrame(frame), tmp_path / "rows.csv")
    with pytest.raises(IngestError, match=words):
        propose(open_table(path))


def test_a_file_without_rows_or_with_a_broken_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("ra,dec\n")
    with pytest.raises(IngestError, match="no row"):
        propose(open_table(path))
    path.write_text("ra,dec\n1,2\n1\n")
    with pytest.raises(IngestError, match=r"Line 3 of .* has 1 values"):
        propose(open_table(path))


NAMES = st.text("abcdefghijklmnopqrstuvwxyz_0123456789.- ", min_size=1, max_size=10).filter(lambda text: text.strip())
VALUES = st.floats(-1e4, 1e4) | st.integers(-(2**62), 2**62) | st.sampled_from([None, -9999.0, 99.0, "GALAXY", "M"])

NOTES = st.builds(
    ColumnNote,
    st.sampled_from(["", "mag", "mag(AB)", "mmag", "mag/arcsec2", "dex", "deg", "km/s", "%", "mJy", "furlongs"]),
    st.sampled_from(["", "phot.mag", "stat.error", "src.redshift", "meta.id;meta.main", "src.class", "meta.code",
                     "stat.probability", "phys.absorption", "phot.color", "pos.eq.ra"]),
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_what_is_proposed_for_any_columns_reads_the_file(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    names = data.draw(st.lists(NAMES.map(str.strip), max_size=6, unique=True))
    rows = data.draw(st.integers(1, 5))
    frame = {"ra": [10.0] * rows, "dec": [-10.0] * rows}
    for name in names:
        kind = data.draw(st.sampled_from([st.floats(-1e4, 1e4), st.integers(-(2**62), 2**62), VALUES]))
        frame.setdefault(name, data.draw(st.lists(kind, min_size=rows, max_size=rows)))
    folder = tmp_path_factory.mktemp("any")
    path = write(pd.DataFrame(frame, dtype=object), folder / "rows.csv")
    notes = data.draw(st.fixed_dictionaries({name: NOTES for name in frame if name not in ("ra", "dec")}))
    table = dataclasses.replace(open_table(path), columns=notes)
    try:
        proposal = propose(table)
    except IngestError as error:
        assert "rename or remove all but one of them" in str(error)
        return
    assert list(faults(proposal.survey)) == []
    survey = parse_survey(proposal.text)
    assert set(make_plan(table, survey).ignored) == {name for name in frame if plain_name(name) in survey.dropped}
    try:
        provenance = ingest(path, folder / "out", survey).manifest.groups[0].provenance
    except IngestError as error:
        assert "is left after cleaning" in str(error), "a column that its UCD makes a position may hold sentinels only"
        return
    assert provenance["rows_read"] == rows


@pytest.mark.realdata
def test_the_real_sample_without_its_name(tmp_path: Path, real_sample: Path) -> None:
    path = tmp_path / "unknown.csv"
    path.write_bytes(real_sample.read_bytes())
    survey = parse_survey(propose(open_table(path)).text)
    assert survey.features == ("mag_u", "mag_g", "mag_r", "mag_i", "mag_z", "w1", "w2", "w3", "w4")
    assert {source.names[0]: source.column.role for source in survey.sources if source.column.role != "magnitude"} == {
        "ra": "position", "dec": "position", "class": "truth", "z": "redshift", "resolved_proxy": "other",
    }  # fmt: skip
    catalogue = ingest(path, tmp_path / "out", survey)
    assert catalogue.rows == 8180
    counts = catalogue.read_frame(0, ["class"])["class"].value_counts()
    assert counts.to_dict() == {"GALAXY": 6369, "QSO": 1081, "STAR": 730}
    assert isinstance(catalogue.manifest.columns["mag_u"], Column)
