from __future__ import annotations

import gzip
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from galviz import open_catalogue
from galviz.catalogue import Catalogue
from galviz.errors import CatalogueError, GalvizError, IngestError
from galviz.healpix import healpix
from galviz.ingest import account, cleaning, ingest
from galviz.ingest.cleaning import Ledger, applicable, clean
from galviz.ingest.readers import open_table
from galviz.surveys import SDSS_WISE, Source
from tests.foreign import sources, write


def column(catalogue: Catalogue, name: str) -> np.ndarray:
    return np.concatenate([catalogue.read_part(part, [name])[name] for part in range(catalogue.parts)])


def made(catalogue: Catalogue) -> dict[str, Any]:
    return dict(catalogue.manifest.groups[0].provenance)


def read_as(catalogue: Catalogue) -> dict[str, str]:
    return {entry["name"]: entry["read as"] for entry in made(catalogue)["columns"]}


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv", ".ssv", ".fits", ".parquet"])
@pytest.mark.parametrize("labelled", [False, True])
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str, labelled: bool) -> None:
    frame = sources(300, labelled=labelled)
    catalogue = ingest(write(frame, tmp_path / f"rows{suffix}"), tmp_path / "out", "sdss-wise")
    assert catalogue.rows == 300
    np.testing.assert_array_equal(column(catalogue, "objid"), frame["objid"])
    np.testing.assert_array_equal(column(catalogue, "ra"), frame["ra"])
    np.testing.assert_array_equal(column(catalogue, "psf_u"), frame["psf_u"])
    np.testing.assert_allclose(column(catalogue, "resolved_r"), abs(frame["psf_r"] - frame["cmod_r"]), atol=1e-5)
    if labelled:
        np.testing.assert_array_equal(catalogue.read_frame(0, ["class"])["class"], frame["class"])
        np.testing.assert_array_equal(column(catalogue, "redshift"), frame["z"])


def test_identifiers_above_2_53_keep_every_digit(tmp_path: Path) -> None:
    frame = sources(3)
    frame["objid"] = [2**53 + 1, 2**62 + 3, 1237648720693755919]
    for suffix in (".csv", ".fits", ".parquet"):
        catalogue = ingest(write(frame, tmp_path / f"ids{suffix}"), tmp_path / suffix[1:], "sdss-wise")
        assert column(catalogue, "objid").tolist() == [2**53 + 1, 2**62 + 3, 1237648720693755919]


def test_identifiers_as_text_keep_every_digit(tmp_path: Path) -> None:
    frame = sources(2)
    frame["objid"] = ["1237648720693755919", "9007199254740993"]
    catalogue = ingest(write(frame, tmp_path / "ids.parquet"), tmp_path / "out", "sdss-wise")
    assert column(catalogue, "objid").tolist() == [1237648720693755919, 9007199254740993]


def test_the_published_layout_is_read_under_its_names(tmp_path: Path) -> None:
    frame = sources(4).rename(columns={"cmod_r": "resolvedr"})
    frame["class_pred"] = ["GALAXY", "QSO", "STAR", "GALAXY"]
    for name, values in (
        ("galaxy", [0.7, 0.1, 0.0, 0.5]),
        ("quasar", [0.2, 0.9, 0.0, 0.3]),
        ("star", [0.1, 0, 1, 0.2]),
    ):
        frame[f"class_prob_{name}"] = values
    catalogue = ingest(write(frame, tmp_path / "published.csv"), tmp_path / "out", "sdss-wise")
    np.testing.assert_allclose(column(catalogue, "p_quasar"), [0.2, 0.9, 0.0, 0.3], rtol=1e-6)
    np.testing.assert_allclose(column(catalogue, "p_best"), [0.7, 0.9, 1.0, 0.5], rtol=1e-6)
    assert column(catalogue, "class_pred").tolist() == [0, 1, 2, 0]
    assert read_as(catalogue)["resolved_r"] == "resolvedr"
    assert catalogue.manifest.columns["p_quasar"].of_class == "QSO"
    assert catalogue.manifest.class_column == catalogue.manifest.columns["class_pred"]


def test_names_are_found_without_regard_to_case(tmp_path: Path) -> None:
    frame = sources(5).rename(columns=str.upper)
    assert ingest(write(frame, tmp_path / "rows.csv"), tmp_path / "out", "sdss-wise").rows == 5


def test_z_is_a_redshift_only_beside_a_true_class(tmp_path: Path) -> None:
    frame = sources(5, labelled=True)
    labelled = ingest(write(frame, tmp_path / "labelled.csv"), tmp_path / "a", "sdss-wise")
    unlabelled = ingest(write(frame.drop(columns="class"), tmp_path / "unlabelled.csv"), tmp_path / "b", "sdss-wise")
    assert read_as(labelled)["redshift"] == "z"
    assert "redshift" not in unlabelled.manifest.columns
    assert "photometric" in made(unlabelled)["ignored"]["z"]


@pytest.mark.parametrize("suffix", [".csv", ".fits", ".parquet"])
@pytest.mark.parametrize("sentinel", [-9999.0, 9999.0, np.inf, -np.inf, -9999.2])
def test_sentinels_become_null_and_are_counted(tmp_path: Path, suffix: str, sentinel: float) -> None:
    frame = sources(50, labelled=True)
    frame.loc[[3, 7], "psf_u"] = sentinel
    catalogue = ingest(write(frame, tmp_path / f"rows{suffix}"), tmp_path / "out", "sdss-wise")
    assert catalogue.rows == 50
    assert np.flatnonzero(np.isnan(column(catalogue, "psf_u"))).tolist() == [3, 7]
    entry = next(entry for entry in made(catalogue)["columns"] if entry["name"] == "psf_u")
    assert (entry["sentinels to null"], entry["missing"]) == (2, 2)


def test_missing_values_are_told_from_sentinels(tmp_path: Path) -> None:
    frame = sources(20, labelled=True)
    frame.loc[4, "psf_g"] = np.nan
    catalogue = ingest(write(frame, tmp_path / "rows.csv"), tmp_path / "out", "sdss-wise")
    entry = next(entry for entry in made(catalogue)["columns"] if entry["name"] == "psf_g")
    assert (entry["sentinels to null"], entry["missing"]) == (0, 1)


def test_each_cleaning_step_counts_what_falls_at_it(tmp_path: Path) -> None:
    frame = sources(100, labelled=True)
    frame.loc[[0, 1], "cmod_r"] = -9999.0
    frame.loc[[1, 2, 3], "zwarning"] = 4
    frame.loc[[3, 4], "w3"] = 9999.0
    frame.loc[5, "w1"] = 50.0
    frame.loc[6, "dec"] = np.nan
    catalogue = ingest(write(frame, tmp_path / "rows.csv"), tmp_path / "out", "sdss-wise")
    steps = {step["kept where"]: step["dropped"] for step in made(catalogue)["steps"]}
    first = {"first row of each objid": 0}
    assert steps == {**first, "ra..dec known": 1, "0 < cmod_r": 2, "zwarning in {0, 16}": 2, "w1..w4 < 50": 2}
    assert column(catalogue, "objid").tolist() == frame["objid"].drop(range(7)).tolist()
    assert (made(catalogue)["rows_read"], made(catalogue)["rows_kept"]) == (100, 93)


@given(
    values=st.lists(
        st.sampled_from([-9999.0, 9999.0, np.nan, np.inf, -5.0, 0.0, 12.0, 29.0, 30.0, 49.0, 50.0]), min_size=1
    ),
    labelled=st.booleans(),
)
def test_the_ledger_adds_up(values: list[float], labelled: bool) -> None:
    rows = len(values)
    names = ["ra", "dec", "cmod_r", "w1"] + (["class"] if labelled else [])
    chosen = [source for source in SDSS_WISE.sources if source.column.name in names]
    arrays: dict[str, Any] = {"ra": np.full(rows, 10.0), "dec": np.zeros(rows), "cmod_r": np.full(rows, 20.0)}
    arrays |= {"w1": np.array(values), "class": np.full(rows, "STAR", dtype=object)}
    ledger = Ledger(applicable(SDSS_WISE.steps, set(names)))
    kept = clean({name: arrays[name] for name in names}, chosen, SDSS_WISE, ledger)
    account_of = ledger.entries()
    assert account_of["rows_read"] == rows
    assert account_of["rows_read"] - sum(step["dropped"] for step in account_of["steps"]) == account_of["rows_kept"]
    assert len(kept["w1"]) == account_of["rows_kept"]
    assert account_of["steps"][-1]["left"] == account_of["rows_kept"]
    high = 50 if labelled else 30
    expected = [value for value in values if np.isfinite(value) and abs(value) < 9999 and value < high]
    expected = expected if labelled else [value for value in expected if value > 0]
    assert kept["w1"].tolist() == expected


def test_the_ledger_adds_up_over_parts_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("galviz.ingest.job.PART_ROWS", 64)
    monkeypatch.setattr("galviz.ingest.readers.table.ROWS", 50)
    frames = [sources(130, seed, labelled=True).assign(objid=np.arange(130) + 1000 * seed) for seed in range(3)]
    frames[1].loc[::7, "zwarning"] = 1
    paths = [write(frame, tmp_path / f"{number}.parquet") for number, frame in enumerate(frames)]
    catalogue = ingest(paths, tmp_path / "out", "sdss-wise")
    dropped = sum(step["dropped"] for step in made(catalogue)["steps"])
    assert dropped == 19
    assert made(catalogue)["rows_read"] == 390 == dropped + catalogue.rows
    assert [part.rows for part in catalogue.manifest.groups[0].parts] == [64] * 5 + [51]
    together = pd.concat(frames).query("zwarning != 1")
    order = np.argsort(healpix(together["ra"], together["dec"]), kind="stable")
    np.testing.assert_array_equal(column(catalogue, "ra"), together["ra"].to_numpy()[order])


def test_an_unknown_class_is_minus_one_and_counted(tmp_path: Path) -> None:
    frame = sources(6, labelled=True)
    frame["class"] = ["GALAXY", " star ", "quasar", "NEBULA", None, "QSO"]
    catalogue = ingest(write(frame, tmp_path / "rows.csv"), tmp_path / "out", "sdss-wise")
    assert column(catalogue, "class").tolist() == [0, 2, 1, -1, -1, 1]
    assert made(catalogue)["unknown_classes"] == {"NEBULA": 1, "": 1}


def test_other_columns_are_named_as_ignored_or_kept_when_asked(tmp_path: Path) -> None:
    frame = sources(5)
    frame["petro rad!"] = [1.5, -np.inf, np.inf, np.nan, 3.5]
    frame["note"] = "text"
    path = write(frame, tmp_path / "rows.csv")
    plain = ingest(path, tmp_path / "plain", "sdss-wise")
    assert set(made(plain)["ignored"]) == {"petro rad!", "note"}
    kept = ingest(path, tmp_path / "kept", "sdss-wise", keep=["petro rad!"])
    assert set(made(kept)["ignored"]) == {"note"}
    assert kept.manifest.columns["petro_rad_"].role == "other"
    np.testing.assert_array_equal(column(kept, "petro_rad_"), [1.5, np.nan, np.nan, np.nan, 3.5])
    with pytest.raises(IngestError, match=r"Line 2 .*'text' in the column note"):
        ingest(path, tmp_path / "text", "sdss-wise", keep=["note"])
    with pytest.raises(IngestError, match="no column 'seeing' to keep"):
        ingest(path, tmp_path / "none", "sdss-wise", keep=["seeing"])
    with pytest.raises(IngestError, match="read already, as ra"):
        ingest(path, tmp_path / "twice", "sdss-wise", keep=["ra"])


def test_a_comment_before_the_header_a_bom_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    text = sources(4).to_csv(index=False).replace("\n", "\n\n")
    path = tmp_path / "rows.csv"
    path.write_text("\ufeff#Table1\n\n" + text, encoding="utf-8")
    assert ingest(path, tmp_path / "out", "sdss-wise").rows == 4


def test_what_says_that_it_is_simulated_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("# simulated: yes\n" + sources(4).to_csv(index=False))
    catalogue = ingest(path, tmp_path / "out", "sdss-wise")
    assert catalogue.manifest.simulated
    assert "simulated" in catalogue.manifest.title


def test_the_account_says_what_was_done(tmp_path: Path) -> None:
    frame = sources(10, labelled=True)
    frame.loc[0, "w1"] = 9999.0
    frame["extra"] = 1
    lines = account(made(ingest(write(frame, tmp_path / "rows.csv"), tmp_path / "out", "sdss-wise")))
    assert lines[0] == "10 rows read"
    assert "1 dropped, kept where w1..w4 < 50: no WISE magnitude" in lines
    assert "9 rows kept" in lines
    assert "redshift: from z" in lines
    assert "w1: from w1, mag, 1 sentinels to null (1 at least 9999), missing in 1 rows read" in lines
    assert "resolved_r: from made: absolute_difference psf_r cmod_r, mag" in lines
    assert "extra: ignored (not a column of the survey)" in lines


def test_progress_ends_at_one_with_rows(tmp_path: Path) -> None:
    heard: list[tuple[float, str]] = []
    path = write(sources(30), tmp_path / "rows.csv")
    ingest(path, tmp_path / "out", "sdss-wise", progress=lambda fraction, words: heard.append((fraction, words)))
    assert heard[-1] == (1.0, "30 rows read, 30 kept")


# Bad input: one sentence, and nothing is left behind.


def refused(tmp_path: Path, source: Path, survey: str = "sdss-wise", kind: type[GalvizError] = IngestError) -> str:
    """The sentence with which a file is refused, after checking that nothing was written."""
    with pytest.raises(kind) as caught:
        ingest(source, tmp_path / "made" / "out", survey)
    if (tmp_path / "made").exists():
        assert not list((tmp_path / "made").iterdir())
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def test_a_missing_file(tmp_path: Path) -> None:
    assert "There is no file" in refused(tmp_path, tmp_path / "none.csv")


def test_a_folder(tmp_path: Path) -> None:
    assert "is a folder" in refused(tmp_path, tmp_path)


@pytest.mark.parametrize("content", [b"", gzip.compress(b"", mtime=0), b"\n\n", b"# only a comment\n"])
def test_an_empty_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "empty.csv").write_bytes(content)
    assert "nothing to ingest" in refused(tmp_path, tmp_path / "empty.csv")


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".fits", ".parquet"])
def test_a_header_without_rows(tmp_path: Path, suffix: str) -> None:
    frame = sources(1).iloc[:0]
    path = tmp_path / f"rows{suffix}"
    if suffix == ".fits":
        kinds = np.dtype([(name, kind.str) for name, kind in frame.dtypes.items()])
        fits.BinTableHDU(np.zeros(0, kinds)).writeto(path)
    else:
        write(frame, path)
    assert "no row" in refused(tmp_path, path)


def test_the_wrong_survey_names_the_one_that_fits(tmp_path: Path) -> None:
    frame = sources(5, labelled=True).drop(columns=["objid", "cmod_r"])
    frame = frame.rename(columns={f"psf_{band}": f"mag_{band}" for band in "ugriz"})
    path = write(frame, tmp_path / "sample.csv")
    assert "say --survey sdss-wise-sample" in refused(tmp_path, path)
    assert ingest(path, tmp_path / "out", "sdss-wise-sample").rows == 5


def test_a_file_of_no_survey(tmp_path: Path) -> None:
    path = write(pd.DataFrame({"a": [1], "b": [2]}), tmp_path / "other.csv")
    sentence = refused(tmp_path, path)
    assert "none of the surveys sdss-wise, " in sentence
    assert f"`galviz survey {path} --out my.toml`" in sentence


def test_an_unknown_survey(tmp_path: Path) -> None:
    assert "no survey 'kids'" in refused(tmp_path, write(sources(2), tmp_path / "rows.csv"), "kids")


@pytest.mark.parametrize("suffix", [".csv", ".fits", ".parquet"])
def test_a_missing_column(tmp_path: Path, suffix: str) -> None:
    path = write(sources(5).drop(columns="psf_g"), tmp_path / f"rows{suffix}")
    assert f"{path} lacks the column psf_g of the survey sdss-wise" in refused(tmp_path, path)


def test_neither_resolved_r_nor_what_it_is_made_of(tmp_path: Path) -> None:
    path = write(sources(5).drop(columns="cmod_r"), tmp_path / "rows.csv")
    assert "resolved_r (or resolvedr, psf_r and cmod_r)" in refused(tmp_path, path)


def test_text_among_the_magnitudes_is_named_by_column_and_line(tmp_path: Path) -> None:
    lines = sources(40).to_csv(index=False).splitlines()
    values = lines[30].split(",")
    values[5] = "bright"
    lines[30] = ",".join(values)
    for name, content in (("a.csv", "\n".join(lines).encode()), ("b.csv.gz", gzip.compress("\n".join(lines).encode()))):
        (tmp_path / name).write_bytes(content)
        sentence = refused(tmp_path, tmp_path / name)
        assert "Line 31 of" in sentence
        assert "'bright' in the column psf_r" in sentence


@pytest.mark.parametrize("suffix", [".fits", ".parquet"])
def test_text_as_magnitudes(tmp_path: Path, suffix: str) -> None:
    frame = sources(5)
    frame["psf_r"] = ["17.5", "bright", "18", "19", "20"]
    assert "psf_r" in refused(tmp_path, write(frame, tmp_path / f"rows{suffix}"))


@pytest.mark.parametrize("suffix", [".csv", ".fits", ".parquet"])
def test_numbers_as_classes(tmp_path: Path, suffix: str) -> None:
    frame = sources(5, labelled=True)
    frame["class"] = [1, 2, 3, 1, 2]
    path = write(frame, tmp_path / f"rows{suffix}")
    if suffix == ".csv":  # text anyway: every one is unknown
        assert made(ingest(path, tmp_path / "out", "sdss-wise"))["unknown_classes"] == {"1": 2, "2": 2, "3": 1}
    else:
        assert "not the names of classes" in refused(tmp_path, path)


def with_twins(frame: pd.DataFrame, path: Path, twins: dict[str, Any]) -> Path:
    """A file in which some columns stand again, at its end, with these values."""
    names, columns = [*frame.columns, *twins], [*frame.to_dict("list").values(), *map(list, twins.values())]
    twice = pd.concat([frame, pd.DataFrame(twins, index=frame.index)], axis=1)
    if path.suffix == ".csv":
        twice.to_csv(path, index=False)
    elif path.suffix == ".pkl":
        twice.to_pickle(path)
    elif path.suffix == ".parquet":
        pq.write_table(pa.table(columns, names=names), path)
    else:
        apart = Table(columns, names=[f"c{number:02d}" for number in range(len(names))])
        apart.write(path, **({"format": "votable"} if path.suffix == ".vot" else {}))
        data = path.read_bytes()
        for number, name in enumerate(names):
            for old, new in ((f"'c{number:02d}     '", f"'{name:<8}'"), (f'"c{number:02d}"', f'"{name}"')):
                data = data.replace(old.encode(), new.encode())
        path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".fits", ".vot", ".pkl"])
def test_columns_of_the_same_name_and_values_are_one(tmp_path: Path, suffix: str) -> None:
    frame = sources(30, labelled=True)
    frame.loc[3, "psf_r"] = np.nan
    twins = {"psf_r": frame["psf_r"], "objid": frame["objid"], "class": frame["class"]}
    path = with_twins(frame, tmp_path / f"rows{suffix}", twins)
    catalogue = ingest(path, tmp_path / "out", "sdss-wise", trust_pickle=True)
    alone = ingest(write(frame, tmp_path / "alone.csv"), tmp_path / "alone", "sdss-wise")
    for name in twins:
        np.testing.assert_array_equal(catalogue.read_part(0)[name], alone.read_part(0)[name])
    assert made(catalogue)["ignored"] == {f"{name}#2": f"the same as {name}, in every row" for name in twins}


@pytest.mark.parametrize("suffix", [".csv", ".fits", ".vot", ".pkl"])
@pytest.mark.parametrize("name", ["psf_r", "objid", "class"])
def test_columns_of_the_same_name_and_other_values_are_refused(tmp_path: Path, name: str, suffix: str) -> None:
    frame = sources(30, labelled=True)
    other = frame[name].to_list()
    other[7] = {"psf_r": np.nan, "objid": 7, "class": "?"}[name]
    path = with_twins(frame, tmp_path / f"rows{suffix}", {name: other})
    with pytest.raises(IngestError, match=f"{path} has several columns {name}, which differ: in one row they say "):
        ingest(path, tmp_path / "out", "sdss-wise", trust_pickle=True)


def test_columns_of_the_same_name_in_parquet(tmp_path: Path) -> None:
    frame = sources(3)
    path = with_twins(frame, tmp_path / "rows.parquet", {"psf_u": frame["psf_u"]})
    assert "names the column 'psf_u' 2 times" in refused(tmp_path, path)


def test_columns_that_differ_in_case_only(tmp_path: Path) -> None:
    frame = sources(3)
    frame["PSF_U"] = frame["psf_u"]
    assert ingest(write(frame, tmp_path / "rows.csv"), tmp_path / "same", "sdss-wise").rows == 3
    frame["PSF_U"] = frame["psf_g"]
    assert "several columns psf_u, which differ" in refused(tmp_path, write(frame, tmp_path / "rows.csv"))


@pytest.mark.parametrize(("change", "count"), [(",7", 14), (None, 12)])
def test_a_ragged_line_is_named(tmp_path: Path, change: str | None, count: int) -> None:
    lines = sources(9).to_csv(index=False).splitlines()
    lines[6] = lines[6] + change if change else lines[6].rpartition(",")[0]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    assert f"Line 7 of {tmp_path / 'rows.csv'} has {count} values, but there are 13" in refused(
        tmp_path, tmp_path / "rows.csv"
    )


@pytest.mark.parametrize("suffix", [".fits", ".parquet"])
def test_identifiers_that_were_floating_point(tmp_path: Path, suffix: str) -> None:
    frame = sources(3)
    frame["objid"] = frame["objid"].astype(float)
    assert "lose digits of identifiers above 2^53" in refused(tmp_path, write(frame, tmp_path / f"rows{suffix}"))


def test_an_identifier_in_scientific_notation(tmp_path: Path) -> None:
    frame = sources(3)
    frame["objid"] = frame["objid"].astype(float)
    assert "which needs a whole number" in refused(tmp_path, write(frame, tmp_path / "rows.csv"))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_missing_identifier(tmp_path: Path, suffix: str) -> None:
    frame = sources(3).astype({"objid": "Int64"})
    frame.loc[1, "objid"] = pd.NA
    assert "objid" in refused(tmp_path, write(frame, tmp_path / f"rows{suffix}"))


def test_a_pickle_is_opened_only_when_trusted(tmp_path: Path) -> None:
    (tmp_path / "rows.pkl").write_bytes(pickle.dumps(sources(3)))
    assert "say --trust-pickle" in refused(tmp_path, tmp_path / "rows.pkl")
    assert ingest(tmp_path / "rows.pkl", tmp_path / "out", "sdss-wise", trust_pickle=True).rows == 3


@pytest.mark.parametrize("suffix", [".csv.gz", ".fits", ".parquet"])
def test_a_file_that_was_cut_off(tmp_path: Path, suffix: str) -> None:
    path = write(sources(2000), tmp_path / f"rows{suffix}")
    path.write_bytes(path.read_bytes()[:-5000])
    assert str(path) in refused(tmp_path, path)


def test_a_fits_file_without_a_table(tmp_path: Path) -> None:
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(tmp_path / "image.fits")
    assert "has no table" in refused(tmp_path, tmp_path / "image.fits")


def test_rows_that_all_fall(tmp_path: Path) -> None:
    frame = sources(5, labelled=True)
    frame["zwarning"] = 4
    assert "None of the 5 rows" in refused(tmp_path, write(frame, tmp_path / "rows.csv"))


def test_files_that_do_not_agree(tmp_path: Path) -> None:
    paths = [write(sources(3, labelled=flag), tmp_path / f"{flag}.csv") for flag in (True, False)]
    with pytest.raises(IngestError, match="has the column class and"):
        ingest(paths, tmp_path / "out", "sdss-wise")


def test_very_many_columns_come_in_small_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a chunk nor a part is larger because a row is wide."""
    monkeypatch.setattr("galviz.ingest.readers.table._VALUES", 3_000)
    monkeypatch.setattr("galviz.ingest.job._PART_BYTES", 125_000)
    frame = sources(400)[["objid", "ra", "dec"]]
    wide = pd.DataFrame({f"mag{number}": np.float32(number % 20) for number in range(300)}, index=frame.index)
    path = write(pd.concat([frame, wide], axis=1), tmp_path / "rows.parquet")
    sizes = [len(chunk["ra"]) for chunk, _ in open_table(path).chunks(dict.fromkeys(["ra", *wide], "number"))]
    assert set(sizes[:-1]) == {9}
    catalogue = ingest(path, tmp_path / "out", "generic")
    assert catalogue.rows == 400
    assert max(part.rows for part in catalogue.manifest.groups[0].parts) < 110


def test_a_place_that_is_taken_stays_as_it_was(tmp_path: Path) -> None:
    path = write(sources(5), tmp_path / "rows.csv")
    before = ingest(path, tmp_path / "out", "sdss-wise")
    with pytest.raises(CatalogueError, match="exists already"):
        ingest(path, tmp_path / "out", "sdss-wise")
    broken = tmp_path / "broken.csv"
    broken.write_text(path.read_text() + "1,2,3\n")
    with pytest.raises(IngestError, match="has 3 values"):
        ingest(broken, tmp_path / "out", "sdss-wise", overwrite=True)
    assert open_catalogue(tmp_path / "out").digest == before.digest
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["broken.csv", "out", "rows.csv"]


def test_overwriting_replaces_the_catalogue(tmp_path: Path) -> None:
    ingest(write(sources(5), tmp_path / "a.csv"), tmp_path / "out", "sdss-wise")
    ingest(write(sources(8), tmp_path / "b.csv"), tmp_path / "out", "sdss-wise", overwrite=True)
    assert open_catalogue(tmp_path / "out").rows == 8


def test_an_interruption_leaves_nothing_at_the_place_of_the_catalogue(tmp_path: Path) -> None:
    def interrupt(fraction: float, words: str) -> None:
        raise KeyboardInterrupt

    path = write(sources(5), tmp_path / "rows.csv")
    with pytest.raises(KeyboardInterrupt):
        ingest(path, tmp_path / "out", "sdss-wise", progress=interrupt)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".out.ingest", "rows.csv"]
    assert ingest(path, tmp_path / "out", "sdss-wise").rows == 5
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "rows.csv"]


def test_a_missing_value_of_a_whole_number_is_minus_one() -> None:
    zwarning = next(source for source in SDSS_WISE.sources if source.column.name == "zwarning")
    values = cleaning.clean({"zwarning": np.array([0.0, np.nan])}, [zwarning], SDSS_WISE, Ledger(()))["zwarning"]
    assert values.dtype == np.int32
    assert values.tolist() == [0, -1]
    assert isinstance(zwarning, Source)


@pytest.mark.realdata
def test_the_real_sample_keeps_every_row(tmp_path: Path, real_sample: Path) -> None:
    catalogue = ingest(real_sample, tmp_path / "out", "sdss-wise-sample")
    assert catalogue.rows == 8180
    assert not catalogue.manifest.simulated
    counts = catalogue.read_frame(0, ["class"])["class"].value_counts()
    assert counts.to_dict() == {"GALAXY": 6369, "QSO": 1081, "STAR": 730}
    assert read_as(catalogue)["psf_u"] == "mag_u"
    assert read_as(catalogue)["redshift"] == "z"
    assert int(np.isfinite(column(catalogue, "resolved_proxy")).sum()) == 1026
    assert set(made(catalogue)["ignored"]) == {"proxy_src"}
    assert catalogue.manifest.features == ("psf_u", "psf_g", "psf_r", "psf_i", "psf_z", "w1", "w2", "w3", "w4")
    assert catalogue.manifest.defaults["filters"] == ["psf_r"]
