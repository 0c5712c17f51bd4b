from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from galviz.catalogue import Catalogue
from galviz.errors import IngestError
from galviz.ingest import account, ingest
from galviz.ingest.cleaning import Ledger, clean
from galviz.ingest.matching import Plan, cleaned_name, find_survey, make_plan, plain_name
from galviz.ingest.readers import ColumnNote, ForeignTable, open_table
from galviz.manifest import NAME, Column
from galviz.surveys import GENERIC, SDSS_WISE, SURVEYS, Source, Survey
from tests.foreign import BANDS, sources, write

PREDICTED = ("class_pred", "class_prob_galaxy", "class_prob_quasar", "class_prob_star")


def unlabelled_query(rows: int = 6) -> pd.DataFrame:
    """The columns of the paper's query of sources without spectra, as its aliases name them."""
    frame = sources(rows)
    frame["type"], frame["match_dist"] = 6, 0.2
    frame["z"], frame["zerr"], frame["photoErrorClass"] = 0.4, 0.05, 1
    frame.loc[0, ["z", "zerr", "photoErrorClass"]] = -9999
    return frame


def labelled_query(rows: int = 6) -> pd.DataFrame:
    """The columns of the paper's query of sources with spectra that matter here."""
    frame = sources(rows, labelled=True)
    frame["specObjID"] = [str(2**63 + number) for number in range(rows)]
    frame["match_dist"], frame["plate"] = 0.1, 266
    for band in BANDS:
        frame[f"cmod_{band}"] = frame[f"psf_{band}"] - 0.5
        frame[f"cmoderr_{band}"], frame[f"psferr_{band}"], frame[f"ext_{band}"] = 0.02, 0.03, 0.1
    for number in range(1, 5):
        frame[f"w{number}err"] = 0.1
    return frame


def published(rows: int = 6) -> pd.DataFrame:
    """The 17 columns of the published catalogue."""
    frame = sources(rows).rename(columns={"cmod_r": "resolvedr"})
    return with_predictions(frame)


def with_predictions(frame: pd.DataFrame) -> pd.DataFrame:
    frame["class_pred"] = "STAR"
    for name, share in zip(PREDICTED[1:], (0.2, 0.1, 0.7), strict=True):
        frame[name] = share
    return frame


# The columns of df_spec_classprobs.pkl: query_spec.sql of the authors, whose two specObjID pandas tells apart, and what
# their SDSS_ML.py adds (github.com/informationcake/SDSS-ML).
LABELLED_FILE = (
    "bossprimary", "sdssprimary", "scienceprimary", "specObjID", "objid", "specObjID.1", "mjd", "plate", "fiberID",
    "run2d", "ra", "dec", "z", "class", "zwarning", "programname", "instrument", "survey", "boss_target1",
    "eboss_target1", "match_dist",
    *(f"{kind}_{band}" for kind in ("cmod", "cmoderr", "psf", "psferr", "ext") for band in BANDS),
    *(f"w{number}{kind}" for kind in ("", "err") for number in range(1, 5)),
    "resolvedr", "feature_1D", "class_pred", "prob_g", "prob_q", "prob_s", "prob_best",
)  # fmt: skip


def labelled_file(rows: int = 6) -> pd.DataFrame:
    """The labelled table as the authors write it; the first rows are of the half that the forest learnt from."""
    frame = with_predictions(labelled_query(rows))
    frame = frame.rename(columns=dict(zip(PREDICTED[1:], ("prob_g", "prob_q", "prob_s"), strict=True)))
    frame["prob_best"] = frame[["prob_g", "prob_q", "prob_s"]].max(axis=1)
    frame.loc[: rows // 2 - 1, ["class_pred", "prob_g", "prob_q", "prob_s", "prob_best"]] = np.nan
    frame["resolvedr"], frame["feature_1D"] = 0.5, -3.0
    frame["specObjID.1"] = frame["specObjID"]
    for name in ("run2d", "programname", "instrument", "survey"):
        frame[name] = "boss"
    return frame.reindex(columns=LABELLED_FILE, fill_value=1)


def first_version(rows: int = 6) -> pd.DataFrame:
    return published(rows).rename(columns={f"psf_{band}": f"psf_{band}_corr" for band in BANDS})


def sample(rows: int = 6) -> pd.DataFrame:
    frame = sources(rows, labelled=True).drop(columns=["objid", "cmod_r", "zwarning"])
    return frame.rename(columns={f"psf_{band}": f"mag_{band}" for band in BANDS})


LAYOUTS = {
    "sdss-wise-unlabelled": unlabelled_query,
    "sdss-wise-labelled": labelled_query,
    "sdss-ml": published,
    "sdss-ml-labelled": lambda: with_predictions(labelled_query()),
    "sdss-ml-first": first_version,
    "sdss-wise-sample": sample,
    "sdss-wise": lambda: sources(6),
}


def values(catalogue: Catalogue, name: str) -> np.ndarray:
    return catalogue.read_part(0, [name])[name]


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_survey_that_fits_best_is_found(tmp_path: Path, name: str) -> None:
    catalogue = ingest(write(LAYOUTS[name](), tmp_path / "rows.csv"), tmp_path / "out")
    assert catalogue.manifest.survey == name
    assert catalogue.rows == 6


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_broad_survey_still_reads_every_table_of_sdss_and_wise(tmp_path: Path, name: str) -> None:
    if name not in ("sdss-ml-first", "sdss-wise-sample"):
        assert ingest(write(LAYOUTS[name](), tmp_path / "rows.csv"), tmp_path / "out", "sdss-wise").rows == 6


def test_the_labelled_file_as_the_authors_write_it(tmp_path: Path) -> None:
    frame = labelled_file()
    frame.to_pickle(tmp_path / "df_spec_classprobs.pkl")
    catalogue = ingest(tmp_path / "df_spec_classprobs.pkl", tmp_path / "out", trust_pickle=True)
    assert (catalogue.manifest.survey, catalogue.rows) == ("sdss-ml-labelled", 6)
    made = catalogue.manifest.groups[0].provenance
    read_as = {entry["name"]: entry["read as"] for entry in made["columns"]}
    wanted = {"p_galaxy": "prob_g", "p_quasar": "prob_q", "p_star": "prob_s", "p_best": "prob_best",
              "resolved_r": "resolvedr", "redshift": "z", "class": "class", "class_pred": "class_pred"}  # fmt: skip
    assert {name: read_as[name] for name in wanted} == wanted
    assert values(catalogue, "class_pred").tolist().count(-1) == np.isnan(values(catalogue, "p_best")).sum() == 3
    assert made["ignored"]["specObjID.1"] == made["ignored"]["specObjID"]
    assert set(made["ignored"]) == {
        "bossprimary", "sdssprimary", "scienceprimary", "specObjID", "specObjID.1", "mjd", "plate", "fiberID", "run2d",
        "programname", "instrument", "survey", "boss_target1", "eboss_target1", "feature_1D",
    }  # fmt: skip


def test_the_first_version_says_that_its_magnitudes_are_corrected(tmp_path: Path) -> None:
    catalogue = ingest(write(first_version(), tmp_path / "rows.csv"), tmp_path / "out")
    assert {catalogue.manifest.columns[f"psf_{band}"].extinction for band in BANDS} == {"corrected"}
    assert catalogue.manifest.features == SURVEYS["sdss-ml"].features


def test_several_files_are_of_the_survey_that_fits_all(tmp_path: Path) -> None:
    paths = [write(published(), tmp_path / "a.csv"), write(published(), tmp_path / "b.csv")]
    tables = [open_table(path) for path in paths]
    assert find_survey(None, tables) is SURVEYS["sdss-ml"]
    tables.append(open_table(write(sources(6), tmp_path / "c.csv")))
    assert find_survey(None, tables) is SURVEYS["sdss-wise"]


def test_two_surveys_that_fit_equally_are_both_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = dataclasses.replace(SURVEYS["sdss-ml"], name="twin")
    monkeypatch.setitem(SURVEYS, "twin", twin)
    path = write(published(), tmp_path / "rows.csv")
    with pytest.raises(IngestError, match="fits the surveys sdss-ml and twin equally well; say which by --survey"):
        ingest(path, tmp_path / "out")


def test_a_header_that_fits_nothing_names_the_command_that_proposes_a_survey(tmp_path: Path) -> None:
    path = write(pd.DataFrame({"ra": [1.0], "dec": [2.0], "gmag": [17.0]}), tmp_path / "rows.csv")
    with pytest.raises(
        IngestError, match=r"fits none of .*`galviz survey .*rows.csv --out my.toml` proposes"
    ) as caught:
        ingest(path, tmp_path / "out")
    assert "generic" not in str(caught.value)
    assert "it lacks" not in str(caught.value)
    path = write(sources(3).drop(columns=["psf_g", "w3"]), tmp_path / "near.csv")
    with pytest.raises(IngestError, match=r"\(of sdss-wise it lacks psf_g and w3\); `galviz survey"):
        ingest(path, tmp_path / "out")


def test_z_is_a_photometric_redshift_beside_its_error_class_only(tmp_path: Path) -> None:
    frame = unlabelled_query()
    catalogue = ingest(write(frame, tmp_path / "a.csv"), tmp_path / "a", "sdss-wise-unlabelled")
    assert catalogue.manifest.columns["photoz"].ucd == "src.redshift.phot"
    np.testing.assert_array_equal(values(catalogue, "photoz"), np.array([np.nan, *[0.4] * 5], np.float32))
    assert values(catalogue, "photoz_class").tolist() == [-1, 1, 1, 1, 1, 1]
    assert "redshift" not in catalogue.manifest.columns
    plain = ingest(write(frame.drop(columns="photoErrorClass"), tmp_path / "b.csv"), tmp_path / "b",
                   "sdss-wise-unlabelled")  # fmt: skip
    assert "photoz" not in plain.manifest.columns
    assert plain.manifest.groups[0].provenance["ignored"]["z"] == (
        "a redshift of unknown kind, since the file has no photoErrorClass"
    )


def test_the_training_half_without_prediction_is_kept(tmp_path: Path) -> None:
    frame = with_predictions(labelled_query())
    frame.loc[[0, 2], list(PREDICTED)] = None
    catalogue = ingest(write(frame, tmp_path / "rows.csv"), tmp_path / "out")
    assert catalogue.manifest.survey == "sdss-ml-labelled"
    assert values(catalogue, "class_pred").tolist() == [-1, 2, -1, 2, 2, 2]
    assert np.isnan(values(catalogue, "p_star")).tolist() == [True, False, True, False, False, False]
    assert "specObjID" in catalogue.manifest.groups[0].provenance["ignored"]


def test_the_names_of_the_tables_are_read_as_their_aliases_are(tmp_path: Path) -> None:
    frame = labelled_query()
    frame = frame.rename(columns={
        **{f"psf_{band}": f"psfMag_{band}" for band in BANDS},
        **{f"cmod_{band}": f"cmodelMag_{band}" for band in BANDS},
        **{f"psferr_{band}": f"psfMagErr_{band}" for band in BANDS},
        **{f"cmoderr_{band}": f"cmodelMagErr_{band}" for band in BANDS},
        **{f"ext_{band}": f"extinction_{band}" for band in BANDS},
        **{f"w{n}": f"w{n}mpro" for n in range(1, 5)}, **{f"w{n}err": f"w{n}sigmpro" for n in range(1, 5)},
        "objid": "objID", "zwarning": "zWarning",
    })  # fmt: skip
    catalogue = ingest(write(frame, tmp_path / "rows.csv"), tmp_path / "out")
    assert catalogue.manifest.survey == "sdss-wise-labelled"
    assert set(catalogue.manifest.groups[0].provenance["ignored"]) == {"specObjID", "plate"}


@pytest.mark.parametrize("written", ["[{}]:bigint", "sa.{}", "#Table1\n{}"])
def test_headers_as_casjobs_and_skyserver_write_them(tmp_path: Path, written: str) -> None:
    first, _, pattern = written.rpartition("\n")
    lines = unlabelled_query().to_csv(index=False).splitlines()
    header = ",".join(pattern.format(name) for name in lines[0].split(","))
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([*filter(None, [first]), header, *lines[1:]]).replace(",-9999,", ",null,") + "\n")
    catalogue = ingest(path, tmp_path / "out")
    assert catalogue.manifest.survey == "sdss-wise-unlabelled"
    assert catalogue.rows == 6


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_column_that_is_not_read_may_be_there_twice_as_in_the_labelled_query(tmp_path: Path, suffix: str) -> None:
    frame = labelled_query()
    frame.insert(3, "specObjID2", frame["specObjID"])
    path = tmp_path / f"rows{suffix}"
    doubled = frame.rename(columns={"specObjID2": "specObjID"})
    if suffix == ".csv":
        doubled.to_csv(path, index=False)
    else:
        pq.write_table(pa.table(list(frame.to_dict("list").values()), names=list(doubled.columns)), path)
    catalogue = ingest(path, tmp_path / "out")
    assert (catalogue.manifest.survey, catalogue.rows) == ("sdss-wise-labelled", 6)
    assert np.sort(values(catalogue, "objid")).tolist() == frame["objid"].tolist()
    with pytest.raises(IngestError, match="names the column 'specObjID' 2 times"):
        ingest(path, tmp_path / "again", "sdss-wise", keep=["specObjID"])
    if suffix == ".parquet":
        with pytest.raises(IngestError, match="names the column 'specObjID' 2 times"):
            ingest(path, tmp_path / "again", survey_that_reads("specObjID"))


def survey_that_reads(name: str) -> Survey:
    more = Source(Column("another", "int64"), (name,))
    return dataclasses.replace(SDSS_WISE, sources=(*SDSS_WISE.sources, more))


def test_plain_names() -> None:
    names = ["[objID]:bigint", "[Img]:byte[]", "sa.RA", "w1.5", "psf_u", "[odd name]:real"]
    assert [plain_name(name) for name in names] == ["objid", "img", "ra", "w1.5", "psf_u", "odd name"]


@pytest.mark.parametrize("name", ["a b!", "2mass", "in", "", "é" * 80, "ok"])
def test_cleaned_names_can_name_a_column(name: str) -> None:
    assert NAME.fullmatch(cleaned_name(name))
    Column(cleaned_name(name), "float32")


# Any file with positions


def test_the_generic_survey_takes_any_magnitudes(tmp_path: Path) -> None:
    frame = pd.DataFrame({
        "SourceID": np.arange(4) + 2**60, "RAJ2000": [1.0, 2.0, 3.0, np.nan], "DEJ2000": [-1.0, 0.0, 1.0, 2.0],
        "u": 18.0, "g": 17.0, "r": [16.0, -9999, 99, 16], "i": 15.0, "z": 14.0, "psfMag_y": 13.0, "e_gmag": 0.1,
        "Jmag": 12.0, "gmagErr": 0.2, "image": 1.0, "note": "text",
    })  # fmt: skip
    catalogue = ingest(write(frame, tmp_path / "rows.csv"), tmp_path / "out", "generic")
    assert catalogue.manifest.features == ("u", "g", "r", "i", "psfmag_y", "jmag", "z")
    assert catalogue.rows == 3
    assert values(catalogue, "objid").tolist() == (np.arange(3) + 2**60).tolist()
    np.testing.assert_array_equal(values(catalogue, "r"), np.array([16, np.nan, np.nan], np.float32))
    assert set(catalogue.manifest.groups[0].provenance["ignored"]) == {"e_gmag", "gmagErr", "image", "note"}
    assert catalogue.manifest.defaults["colour_magnitude"] == ["u__g", "g"]
    assert catalogue.manifest.class_column is None


def test_a_lone_z_is_left_out_by_the_generic_survey(tmp_path: Path) -> None:
    frame = pd.DataFrame({"ra": [1.0], "dec": [2.0], "z": [0.3], "psf_z": [17.0]})
    catalogue = ingest(write(frame, tmp_path / "rows.csv"), tmp_path / "out", "generic")
    assert catalogue.manifest.features == ("psf_z",)
    assert catalogue.manifest.groups[0].provenance["ignored"] == {
        "z": "a magnitude or a redshift: the file does not say which"
    }


# Units


def table(**notes: ColumnNote) -> ForeignTable:
    names = ("ra", "dec", "gmag", "flux")
    return ForeignTable(Path("rows.fits"), names, lambda kinds: iter(()), 1, columns=notes)


def plan(*more: Source, **notes: ColumnNote) -> Plan:
    return make_plan(table(**notes), dataclasses.replace(GENERIC, sources=(*GENERIC.sources, *more)))


def cleaned(planned: Plan, **arrays: list[float]) -> dict[str, np.ndarray]:
    chosen = [source for source in planned.sources if source.column.name in arrays]
    return clean({name: np.array(entry) for name, entry in arrays.items()}, chosen, GENERIC, Ledger(()))


def test_a_file_in_other_units_is_converted_and_that_is_noted() -> None:
    planned = plan(ra=ColumnNote("rad"), gmag=ColumnNote("mmag"))
    arrays = cleaned(planned, ra=[np.pi, -9999.0], dec=[5.0, 6.0], gmag=[17500.0, -99990.0])
    np.testing.assert_allclose(arrays["ra"], [180.0, np.nan])
    np.testing.assert_allclose(arrays["gmag"], [17.5, np.nan])
    assert planned.notes == {"ra": "rad converted to deg", "gmag": "mmag converted to mag"}


def test_a_survey_can_say_what_the_unit_of_a_silent_file_is() -> None:
    ra = dataclasses.replace(GENERIC.sources[1], unit="rad")
    survey = dataclasses.replace(GENERIC, sources=(ra, *GENERIC.sources[2:]))
    assert cleaned(make_plan(table(), survey), ra=[np.pi])["ra"] == pytest.approx(180.0)
    assert cleaned(make_plan(table(ra=ColumnNote("deg")), survey), ra=[3.0])["ra"] == pytest.approx(3.0)


@pytest.mark.parametrize("unit", ["km", "h", "mag"])
def test_a_unit_of_another_kind_is_refused(unit: str) -> None:
    with pytest.raises(IngestError, match=f"The column ra of rows.fits is in {unit}, which cannot be converted to deg"):
        plan(ra=ColumnNote(unit))


def test_a_magnitude_of_another_system_is_refused() -> None:
    vega = Source(Column("gmag", "float32", "magnitude", "mag", system="Vega"), ("gmag",))
    assert plan(vega, gmag=ColumnNote("mag")).notes == {}
    with pytest.raises(IngestError, match=r"gmag of rows.fits is in mag\(AB\), but gmag is in the Vega system"):
        plan(vega, gmag=ColumnNote("mag(AB)"))


def test_a_redshift_as_a_velocity_is_refused() -> None:
    redshift = Source(Column("redshift", "float32", "redshift"), ("flux",))
    with pytest.raises(IngestError, match="in km/s, which cannot be converted to a number without unit"):
        plan(redshift, flux=ColumnNote("km/s"))


def test_an_unknown_unit_is_noted() -> None:
    planned = plan(ra=ColumnNote("degs of arc"), gmag=ColumnNote("---"))
    assert planned.notes["ra"] == "the unit 'degs of arc' of the file is not known and was taken for deg"
    assert cleaned(planned, ra=[3.0])["ra"] == pytest.approx(3.0)


def test_a_column_of_no_unit_takes_that_of_the_file() -> None:
    flux = Source(Column("flux", "float32"), ("flux",))
    assert plan(flux, flux=ColumnNote("mJy")).sources[-1].column.unit == "mJy"
    kept = make_plan(table(flux=ColumnNote("mJy", "phot.flux", "Flux")), GENERIC, ["flux"]).sources[-1].column
    assert (kept.unit, kept.ucd, kept.description) == ("mJy", "phot.flux", "Flux")
    one, two = plan(flux, flux=ColumnNote("mJy")), plan(flux, flux=ColumnNote("Jy"))
    with pytest.raises(IngestError, match=r"flux is in Jy in rows.fits and in mJy in rows.fits; ingest them apart"):
        two.check_against(one)


def test_a_position_is_found_by_its_ucd_where_its_name_is_not_known() -> None:
    names = ("alpha", "delta", "gmag")
    notes = {"alpha": ColumnNote("rad", "POS.EQ.RA;meta.main"), "delta": ColumnNote("", "pos.eq.dec;meta.main")}
    planned = make_plan(ForeignTable(Path("a"), names, lambda kinds: iter(()), 1, columns=notes), GENERIC)
    assert planned.spellings == {"ra": "alpha", "dec": "delta", "gmag": "gmag"}
    notes["gmag"] = notes["alpha"]
    with pytest.raises(IngestError, match="lacks the column ra"):
        make_plan(ForeignTable(Path("a"), names, lambda kinds: iter(()), 1, columns=notes), GENERIC)


def test_sentinels_are_compared_as_the_file_writes_them() -> None:
    source = Source(Column("a", "float32", unit="mag"), ("flux",), sentinels=(-99.9, 1e20), unit="mmag")
    arrays = cleaned(plan(source), a=[float(np.float32(-99.9)), -99.8, 1e20, 5000.0])
    np.testing.assert_allclose(arrays["a"], [np.nan, -0.0998, np.nan, 5.0], rtol=1e-6)


def test_the_account_says_which_unit_was_converted(tmp_path: Path) -> None:
    frame = sources(3)
    frame["ra"] = np.radians(frame["ra"])
    in_radians = tuple(
        dataclasses.replace(source, unit="rad") if source.column.name == "ra" else source
        for source in SDSS_WISE.sources
    )
    survey = dataclasses.replace(SDSS_WISE, sources=in_radians)
    made = ingest(write(frame, tmp_path / "rows.csv"), tmp_path / "out", survey)
    np.testing.assert_allclose(np.sort(values(made, "ra")), np.sort(sources(3)["ra"]))
    assert "ra: from ra, deg, rad converted to deg" in account(made.manifest.groups[0].provenance)
