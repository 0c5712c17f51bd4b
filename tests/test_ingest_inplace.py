"""A HATS catalogue of others opened in place is what an ingest of it would have made, but for the rows that fall."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import galviz as gv
from dashboard.funnel import funnel_html
from galviz.__main__ import main
from galviz.catalogue import MANIFEST, Catalogue
from galviz.errors import CatalogueError, GalvizError, IngestError
from galviz.index import build_index, has_index
from galviz.info import describe, lines
from galviz.ingest import ingest
from galviz.ingest.inplace import footer_digest
from galviz.ingest.proposals import propose
from galviz.ingest.readers import open_table
from galviz.manifest import Column, Manifest
from galviz.verify import verify
from tests.foreign import sources, write_hats

OWN = ("objid", "ra", "dec")


def labelled(rows: int = 300) -> pd.DataFrame:
    """Sources with every way of SDSS and WISE to say that there is nothing, some of them to be dropped."""
    frame = sources(rows, 3, labelled=True)
    rng = np.random.default_rng(4)
    for name, value in (("psf_u", -9999), ("psf_g", -9999.2), ("w3", 9999), ("w4", np.nan), ("cmod_r", np.inf)):
        frame.loc[rng.random(rows) < 0.1, name] = value
    frame.loc[rng.random(rows) < 0.1, "zwarning"] = 4
    frame.loc[rng.random(rows) < 0.1, "class"] = None
    frame.loc[rng.random(rows) < 0.1, "class"] = "Quasar "
    frame["p_galaxy"], frame["p_quasar"] = rng.dirichlet((1, 1, 1), rows).T[:2].astype(np.float32)
    frame["p_star"], frame["p_best"] = 1 - frame["p_galaxy"] - frame["p_quasar"], np.float32(0.25)
    return frame


def unknown(rows: int = 300) -> pa.Table:
    """A survey that nobody described: types of Arrow that a catalogue does not have, units, sentinels, names."""
    rng = np.random.default_rng(5)
    missing = rng.random(rows) < 0.1
    kinds = rng.choice(["Galaxy", "QUASAR", "star", "blend"], rows)
    fields = {
        "source_id": pa.array(2**60 + np.arange(rows)),
        "ra": pa.array(rng.uniform(0, 360, rows)),
        "dec": pa.array(rng.uniform(-80, 80, rows)),
        "phot_g_mean_mag": pa.array(np.where(missing, -999.0, rng.uniform(14, 21, rows)).astype(np.float32)),
        "rmag": pa.array(rng.uniform(14000, 21000, rows), mask=missing),
        "n_obs": pa.array(rng.integers(0, 40, rows).astype(np.int16), mask=missing),
        "quality_flag": pa.array(rng.integers(0, 9, rows).astype(np.int32), mask=missing),
        "variable": pa.array(rng.random(rows) < 0.5, mask=missing),
        "parallax": pa.array([None] * 7 + [0.5] * (rows - 7), pa.float64()),
        "spectype": pa.array(kinds, pa.large_string(), mask=missing).dictionary_encode(),
        "name": pa.array([f"s{number}" for number in range(rows)]),
        "lightcurve": pa.array([[1.0, 2.0]] * rows),
    }
    notes = {"ra": "deg", "rmag": "mmag", "parallax": "mas"}
    schema = pa.schema(
        [pa.field(name, values.type, metadata={"unit": notes.get(name, "")}) for name, values in fields.items()]
    )
    return pa.table(list(fields.values()), schema=schema)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A catalogue of SDSS x WISE of which nothing falls, in several files."""
    return write_hats(sources(400), tmp_path / "plain")


def files(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def first_leaf(folder: Path) -> Path:
    return next(iter(sorted(folder.rglob("Npix=*.parquet"))))


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path, partitioning=None)), path)


def rows_by_id(catalogue: Catalogue) -> pd.DataFrame:
    names = [column.name for column in catalogue.manifest.columns.values()]
    return catalogue.frame(names).compute().set_index("objid").sort_index()


# The law


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("rows", [labelled, unknown])
def test_every_column_is_that_of_an_ingest(
    rows: Callable[[], pd.DataFrame | pa.Table], order: int, tmp_path: Path
) -> None:
    folder = write_hats(rows(), tmp_path / "cat", order=order)
    opened = gv.open_catalogue(folder)
    survey = None
    if rows is unknown:
        survey = tmp_path / "my.toml"
        survey.write_text(propose(open_table(folder)).text)
    made = ingest(folder, tmp_path / "out", survey)
    ours, theirs = rows_by_id(opened), rows_by_id(made)
    assert opened.manifest.survey == made.manifest.survey
    assert opened.manifest.columns == made.manifest.columns
    for name in ("classes", "features", "derived", "defaults", "title", "doi", "simulated"):
        assert getattr(opened.manifest, name) == getattr(made.manifest, name)
    assert len(ours) == 300 > len(theirs) or rows is unknown
    pd.testing.assert_frame_equal(ours.loc[theirs.index], theirs)


def test_values_are_those_of_the_catalogue(tmp_path: Path) -> None:
    opened = gv.open_catalogue(write_hats(unknown(), tmp_path / "cat"))
    table = unknown().to_pandas().set_index("source_id")
    found = rows_by_id(opened)
    np.testing.assert_array_equal(found["ra"], table["ra"])
    np.testing.assert_array_equal(found["rmag"], (table["rmag"] * 1e-3).astype(np.float32))
    gone = table["phot_g_mean_mag"] == -999
    assert gone.sum() > 10
    assert found["phot_g_mean_mag"].isna().tolist() == gone.tolist()
    np.testing.assert_array_equal(found["quality_flag"], table["quality_flag"])
    assert opened.manifest.columns["parallax"].unit == "mas"
    names = found["class"].astype(object)
    spelled = table["spectype"].astype(object).str.upper().replace({"QUASAR": "QSO"})
    pd.testing.assert_series_equal(names, spelled.where(table["spectype"].notna()), check_names=False)
    assert not {"name", "lightcurve", "_healpix_29", "Norder", "Dir", "Npix"} & set(opened.manifest.columns)


def test_limits_hold_and_a_column_is_made_of_those_that_nobody_asked_for(tmp_path: Path) -> None:
    opened = gv.open_catalogue(write_hats(labelled(), tmp_path / "cat"))
    frame = labelled().set_index("objid")
    found = opened.frame(["objid", "psf_u", "resolved_r", "p_best"]).compute().set_index("objid").loc[frame.index]
    assert found["psf_u"].isna().tolist() == (frame["psf_u"] < 0).tolist()
    made = (frame["psf_r"] - frame["cmod_r"].replace(np.inf, np.nan)).abs()
    np.testing.assert_allclose(found["resolved_r"], made, rtol=1e-5, atol=1e-5)
    assert set(found["p_best"]) == {0.25}, "it is in the files"


def test_the_value_that_a_header_calls_missing_is_missing(tmp_path: Path) -> None:
    """hats keeps the header of VOParquet in the schema of all files."""
    folder = write_hats(sources(60).assign(quality=np.arange(60) % 3), tmp_path / "cat")
    header = """<VOTABLE><RESOURCE><TABLE>
    <FIELD name="quality" datatype="long"><VALUES null="2"/></FIELD></TABLE></RESOURCE></VOTABLE>"""
    schema = pq.read_schema(first_leaf(folder))
    notes = {"IVOA.VOTable-Parquet.version": "1.0", "IVOA.VOTable-Parquet.content": header}
    pq.write_metadata(schema.with_metadata(notes), folder / "dataset" / "_common_metadata")
    survey = tmp_path / "my.toml"
    survey.write_text(propose(open_table(folder)).text)
    made = ingest(folder, tmp_path / "out", survey)
    opened = gv.open_catalogue(folder, survey)
    found = rows_by_id(opened)["quality"]
    pd.testing.assert_series_equal(found, rows_by_id(made)["quality"])
    assert found.value_counts(dropna=False).tolist() == [20, 20, 20]
    assert set(found.dropna()) == {0, 1}


def test_the_position_is_that_which_sorts_the_rows(tmp_path: Path) -> None:
    folder = write_hats(unknown(), tmp_path / "cat")
    for leaf in folder.rglob("*.parquet"):
        rewrite(leaf, lambda t: t.rename_columns({"ra": "east", "dec": "north"}).append_column("ra", t["parallax"]))
    for name in ("hats.properties", "properties"):
        text = (folder / name).read_text()
        (folder / name).write_text(text.replace("ra=ra", "ra=east").replace("dec=dec", "dec=north"))
    read = {
        told["name"]: told["read as"] for told in gv.open_catalogue(folder).manifest.groups[0].provenance["columns"]
    }
    assert (read["ra"], read["dec"]) == ("east", "north")


SKY = [sources(150, 7), sources(90, 8)]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    number=st.sampled_from([0, 1]),
    plane=st.sampled_from([("ra", "dec"), ("psf_r", "w1"), ("g_r", "resolved_r"), ("sky_x", "sky_y")]),
    limit=st.floats(15, 22),
    size=st.integers(1, 40),
)
def test_pictures_are_those_of_an_ingest(
    number: int, plane: tuple[str, str], limit: float, size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"in-place-sky-{number}"
    if not folder.exists():
        write_hats(SKY[number], folder / "cat")
        ingest(folder / "cat", folder / "out")
    pair = [gv.open_catalogue(folder / name) for name in ("cat", "out")]
    ends = [(float(np.nanmin(v)), float(np.nanmax(v)) + 1) for v in pair[0].frame(list(plane)).compute().to_numpy().T]
    view = gv.Viewport(*plane, x_range=ends[0], y_range=ends[1], width=size, height=size)
    where = f"psf_r < {limit!r}"
    for options in ({}, {"mean": "w2"}):
        drawn = [gv.draw(catalogue, view, where, **options) for catalogue in pair]
        assert drawn[0].equals(drawn[1])
    assert pair[0].count(where) == pair[1].count(where) == (SKY[number]["psf_r"] < np.float32(limit)).sum()


def test_an_index_is_that_of_an_ingest(plain: Path, tmp_path: Path) -> None:
    made = ingest(plain, tmp_path / "out")
    opened = gv.open_catalogue(plain)
    indices = [build_index(catalogue) for catalogue in (opened, made)]
    assert set(indices[0].files) == set(indices[1].files)
    for name in indices[0].files:
        np.testing.assert_array_equal(indices[0].files[name].get(), indices[1].files[name].get(), err_msg=name)
    again = gv.open_catalogue(plain)
    assert (again, again.digest, has_index(again)) == (opened, opened.digest, True)
    view = gv.Viewport("ra", "dec", x_range=(0, 360), y_range=(-90, 90), width=30, height=20)
    assert gv.draw(again, view, "w1 < 12").equals(gv.draw(made, view, "w1 < 12"))


def test_duplicates_and_rows_that_would_fall_stay(tmp_path: Path) -> None:
    frame = labelled()
    twice = pd.concat([frame, frame.iloc[:9]])
    opened = gv.open_catalogue(write_hats(twice, tmp_path / "cat"))
    made = ingest(tmp_path / "cat", tmp_path / "out")
    assert opened.rows == 309 > 290 > made.rows
    told = opened.manifest.groups[0].provenance
    assert "rows_read" not in told
    assert funnel_html(told) == ""
    steps = made.manifest.groups[0].provenance["steps"]
    assert told["not applied"] == [{key: step[key] for key in ("kept where", "reason")} for step in steps]
    text = "\n".join(lines(describe(opened)))
    assert "none was dropped; `galviz ingest` makes a catalogue of those to keep" in text
    assert "not applied: kept where zwarning in {0, 16} (the redshift is not to be trusted)" in text
    assert "not applied: kept where first row of each objid (several rows share one objid)" in text
    assert "made 2026-11-21T12:00UTC by a test" in text


# The folder


def test_opening_writes_nothing(plain: Path) -> None:
    before = files(plain)
    opened = gv.open_catalogue(plain)
    describe(opened)
    opened.count("psf_r < 18")
    verify(opened)
    assert files(plain) == before


def test_what_is_kept_lies_beside_the_files(plain: Path) -> None:
    opened = gv.open_catalogue(plain)
    before = files(plain / "dataset")
    values = [{"x": np.arange(part.rows)} for part in opened.manifest.groups[0].parts]
    added = opened.add_columns("side", [Column("x", "float32")], values)
    build_index(added)
    again = gv.open_catalogue(plain)
    assert (again, again.digest) == (added, added.digest)
    assert has_index(again)
    assert not has_index(opened)
    assert again.count("x < 1 and psf_r < 30") == opened.parts
    assert files(plain / "dataset") == before
    assert {path.name for path in plain.iterdir()} >= {MANIFEST, "sidecars", "index"}
    verify(again)
    shutil.copytree(plain, plain.with_name("copy"))
    assert has_index(gv.open_catalogue(plain.with_name("copy")))


def test_a_folder_that_cannot_be_written_to(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(plain)
    monkeypatch.setattr("galviz.catalogue.os.access", lambda path, mode: False)
    opened = gv.open_catalogue(plain)
    for work in (build_index, lambda cat: cat.add_columns("side", [Column("x", "float32")], [])):
        with pytest.raises(
            CatalogueError, match=r"^Nothing can be written into .*plain; make a copy .*galviz ingest .* OUT`\.$"
        ):
            work(opened)
    assert files(plain) == before


def test_a_folder_that_is_called_index_is_kept(plain: Path) -> None:
    (plain / "index" / "mine").mkdir(parents=True)
    with pytest.raises(CatalogueError, match="index holds what galviz did not write; move it elsewhere"):
        build_index(gv.open_catalogue(plain))
    (plain / "index" / "mine").rename(plain / "index" / ".partial")  # what an interrupted build leaves
    build_index(gv.open_catalogue(plain))


def test_it_is_never_overwritten(plain: Path, tmp_path: Path) -> None:
    build_index(gv.open_catalogue(plain))
    write_hats(sources(5), tmp_path / "other")
    for damage in (None, "{", "[]"):
        if damage:
            (plain / MANIFEST).write_text(damage)
        with pytest.raises(CatalogueError, match="files that galviz did not write and is not overwritten"):
            ingest(tmp_path / "other", plain, overwrite=True)
    assert len(list((plain / "dataset").rglob("*.parquet"))) > 1


def test_several_files_a_pixel_empty_ones_and_a_collection(tmp_path: Path) -> None:
    write_hats(sources(200), tmp_path / "all" / "main")
    (tmp_path / "all" / "collection.properties").write_text("obs_collection=all\nhats_primary_table_url=main\n")
    whole = gv.open_catalogue(tmp_path / "all" / "main").frame().compute()
    leaf = first_leaf(tmp_path / "all")
    table = pq.read_table(leaf, partitioning=None)
    leaf.unlink()
    leaf.with_suffix("").mkdir()
    for number, rows in enumerate((table.slice(0, 3), table.slice(0, 0), table.slice(3))):
        pq.write_table(rows, leaf.with_suffix("") / f"part{number}.parquet")
    opened = gv.open_catalogue(tmp_path / "all")
    assert (opened.path, opened.manifest.name) == ((tmp_path / "all" / "main").resolve(), "main")
    assert [part.rows for part in opened.manifest.groups[0].parts][:2] == [3, len(table) - 3]
    pd.testing.assert_frame_equal(opened.frame().compute().reset_index(drop=True), whole.reset_index(drop=True))
    build_index(opened)
    assert has_index(gv.open_catalogue(tmp_path / "all"))
    verify(gv.open_catalogue(tmp_path / "all"))


# What has changed, and what is damaged


def test_a_file_that_has_changed_is_another_catalogue(plain: Path) -> None:
    opened = gv.open_catalogue(plain)
    rewrite(first_leaf(plain), lambda table: table.set_column(4, "psf_u", pa.array(np.full(len(table), 17.0))))
    changed = gv.open_catalogue(plain)
    assert changed.rows == opened.rows
    assert changed.digest != opened.digest
    with pytest.raises(CatalogueError, match=r"is not the file that was opened: its footer is another"):
        verify(opened)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "other values": (
        lambda leaf: rewrite(leaf, lambda table: table.take(np.arange(len(table))[::-1])), "made of another dataset/",
    ),
    "a file more": (lambda leaf: shutil.copy(leaf, leaf.with_name("Npix=99.parquet")), "made of files without dataset"),
    "a file less": (lambda leaf: leaf.unlink(), r"lacks dataset/.*parquet; fetch the catalogue again"),
    "an empty file": (lambda leaf: leaf.write_bytes(b""), r"Cannot read .*Npix=\d+.parquet"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_an_index_of_other_files_is_refused(change: str, plain: Path) -> None:
    build_index(gv.open_catalogue(plain))
    gv.open_catalogue(plain)
    harm, words = CHANGES[change]
    harm(first_leaf(plain))
    with pytest.raises(GalvizError, match=words) as caught:
        gv.open_catalogue(plain)
    assert "\n" not in str(caught.value)


def other_type(table: pa.Table) -> pa.Table:
    return table.set_column(4, "psf_u", pa.array(["bright"] * len(table)))


def flip(leaf: Path) -> None:
    data = bytearray(leaf.read_bytes())
    data[len(data) // 3] ^= 4
    leaf.write_bytes(data)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a column less": (lambda leaf: rewrite(leaf, lambda t: t.drop_columns("w1")), "do not both have the column w1"),
    "a column more": (
        lambda leaf: rewrite(leaf, lambda t: t.append_column("w5", t["w4"])), "do not both have the column w5",
    ),
    "another type": (lambda leaf: rewrite(leaf, other_type), r"The column psf_u of .*parquet does not hold numbers"),
    "a row less": (lambda leaf: rewrite(leaf, lambda table: table.slice(1)), "has 399 rows and says 400"),
    "a file less": (lambda leaf: leaf.unlink(), "rows and says 400"),
    "no footer": (lambda leaf: leaf.write_bytes(leaf.read_bytes()[:-30]), r"Cannot read .*Npix=\d+.parquet as Parquet"),
    "a flipped bit": (flip, r"Cannot read .*Npix=\d+.parquet"),
    "no identifier": (
        lambda leaf: rewrite(leaf, lambda t: t.set_column(1, "objid", pa.array([None] * len(t), pa.int64()))),
        "The column objid of .* is empty in",
    ),
    "another pixel": (lambda leaf: leaf.rename(leaf.with_name("Npix=99.parquet")), "lacks the file of Norder=1"),
    "margin": (lambda leaf: margin(leaf.parents[3]), "of the type 'margin'"),
}  # fmt: skip


def margin(folder: Path) -> None:
    (folder / "hats.properties").write_text("dataproduct_type=margin\n")


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_in_one_sentence(damage: str, plain: Path) -> None:
    harm, words = DAMAGES[damage]
    harm(first_leaf(plain))
    with pytest.raises(GalvizError, match=words) as caught:
        verify(gv.open_catalogue(plain))
    assert re.fullmatch(r"[^\n]+\.", str(caught.value))


def test_rows_of_another_pixel_are_found(plain: Path) -> None:
    leaf = first_leaf(plain)
    (plain / "partition_info.csv").unlink()
    leaf.rename(leaf.with_name("Npix=99.parquet"))
    with pytest.raises(CatalogueError, match=r"Npix=99.parquet holds \d+ rows that lie outside of its HEALPix pixel"):
        verify(gv.open_catalogue(plain))


def test_a_catalogue_without_rows(tmp_path: Path) -> None:
    write_hats(sources(20), tmp_path / "cat", order=0)
    for leaf in (tmp_path / "cat").rglob("*.parquet"):
        rewrite(leaf, lambda table: table.slice(0, 0))
    (tmp_path / "cat" / "hats.properties").write_text("obs_collection=cat\n")
    with pytest.raises(IngestError, match="has column names but no row; there is nothing to open"):
        gv.open_catalogue(tmp_path / "cat")


# The survey


def test_the_survey_can_be_said(plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gv.open_catalogue(plain).manifest.survey == "sdss-wise"
    opened = gv.open_catalogue(plain, "generic")
    assert opened.manifest.survey == "generic"
    assert "magnitudes" not in opened.manifest.columns
    description = tmp_path / "my.toml"
    description.write_text(propose(open_table(plain)).text.replace('name = "plain"', 'name = "mine"'))
    assert main(["index", str(plain), "--survey", str(description)]) == 0
    assert main(["info", str(plain), "--survey", str(description)]) == 0
    assert "survey mine, version 1" in capsys.readouterr().out
    assert gv.open_catalogue(plain).manifest.survey == "mine"
    description.write_text(description.read_text().replace('title = "', 'title = "My '))
    assert main(["info", str(plain), "--survey", str(description)]) == 1
    assert "another description of the survey, than now; remove manifest.json, sidecars" in capsys.readouterr().err
    assert main(["info", str(plain), "--survey", "sdss-wise"]) == 1


def test_a_survey_that_a_catalogue_is_not_of(plain: Path, tmp_path: Path) -> None:
    ingest(plain, tmp_path / "out")
    assert gv.open_catalogue(tmp_path / "out", "sdss-wise").rows == 400
    with pytest.raises(CatalogueError, match="is a catalogue of the survey sdss-wise already; leave --survey out"):
        gv.open_catalogue(tmp_path / "out", "generic")
    with pytest.raises(IngestError, match="is not a file of the survey sdss-ml"):
        gv.open_catalogue(plain, "sdss-ml")


def test_no_catalogue_at_all(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, words in (("empty", "it has no manifest.json"), ("none", "no such folder")):
        with pytest.raises(CatalogueError, match=words):
            gv.open_catalogue(tmp_path / name)


# The command line, the manifest, LSDB


def test_the_command_line(plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.csv"
    assert main(["export", str(plain), str(out), "--where", "psf_r < 18", "--columns", "objid,g_r"]) == 0
    frame = pd.read_csv(out, comment="#")
    assert sorted(frame["objid"]) == sorted(sources(400).query("psf_r < 18")["objid"])
    assert main(["verify", str(plain)]) == 0
    assert "400 sources in" in (said := capsys.readouterr().out)
    assert "can be read and are where they belong; galviz did not write them and has no checksums" in said
    assert main(["info", str(plain), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["rows"], facts["ledger"], facts["index"]) == (400, {}, "missing")
    assert main(["serve", str(plain)]) == 1
    assert f"run `galviz index {plain}`" in capsys.readouterr().err
    assert not (plain / MANIFEST).exists()


def strict(name: str) -> float:
    raise AssertionError(f"{name} is no number of JSON")


def test_the_manifest_reads_back(tmp_path: Path) -> None:
    opened = gv.open_catalogue(write_hats(labelled(), tmp_path / "cat"))
    text = opened.manifest.to_json()
    json.loads(text, parse_constant=strict)
    assert Manifest.from_json(text).groups[0].readings == opened.manifest.groups[0].readings
    assert Manifest.from_json(text).to_json() == text
    made = {
        c.name: r for c, r in zip(opened.manifest.groups[0].columns, opened.manifest.groups[0].readings, strict=True)
    }
    assert made["resolved_r"].made == ("absolute_difference", "psf_r", "cmod_r")
    for harm, words in (
        (lambda readings: readings.pop(), "reads 20 columns, not 21"),
        (lambda readings: readings[4].update(spelling=""), "does not say what psf_g is read from"),
        (lambda readings: readings[12].update(made=["eval", "psf_r"]), "makes .* by 'eval'"),
    ):
        raw = json.loads(text)
        harm(raw["groups"][0]["readings"])
        with pytest.raises(CatalogueError, match=words):
            Manifest.from_json(json.dumps(raw))


def test_a_part_that_galviz_wrote_once_is_not_believed(plain: Path) -> None:
    """The notes of a part survive in what others make of it."""
    truth = gv.open_catalogue(plain).tallies(0)
    lie = {"galviz.tallies": json.dumps({"w1": {"missing": 7, "min": 0, "max": 1}})}
    for leaf in plain.rglob("*.parquet"):
        rewrite(leaf, lambda table: table.replace_schema_metadata(lie))
    assert gv.open_catalogue(plain).tallies(0) == truth


def test_the_digest_of_a_footer_is_read_once(plain: Path, tmp_path: Path) -> None:
    leaf = first_leaf(plain)
    copy = tmp_path / "copy.parquet"
    shutil.copy(leaf, copy)
    assert footer_digest(copy) == footer_digest(leaf)
    rewrite(copy, lambda table: table.slice(1))
    assert footer_digest(copy) != footer_digest(leaf)


# LSDB speaks to pandas in ways that pandas warns of, so it has a process of its own.
LSDB = """
import sys, warnings
warnings.simplefilter("ignore")
import lsdb, pandas as pd
frame = pd.read_parquet(sys.argv[1]).astype({"zwarning": "Int16"})
made = lsdb.from_dataframe(frame, ra_column="ra", dec_column="dec", catalog_name="sky", partition_rows=60)
made.write_catalog(sys.argv[2], as_collection=True)
print("written", flush=True)
sys.stdin.readline()
print(len(lsdb.open_catalog(sys.argv[2]).compute()))
"""


@pytest.mark.skipif(find_spec("lsdb") is None, reason="lsdb is not installed")
def test_what_lsdb_writes_is_opened_in_place(tmp_path: Path) -> None:
    labelled().to_parquet(tmp_path / "rows.parquet")
    made = ingest(tmp_path / "rows.parquet", tmp_path / "out")
    command = [sys.executable, "-c", LSDB, str(tmp_path / "rows.parquet"), str(tmp_path / "sky")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as lsdb:
        while lsdb.stdout.readline().strip() != "written":
            assert lsdb.poll() is None
        opened = gv.open_catalogue(tmp_path / "sky")
        ours, theirs = rows_by_id(opened), rows_by_id(made)
        assert opened.parts > 3
        assert opened.rows == 300 > made.rows > 100
        pd.testing.assert_frame_equal(ours.loc[theirs.index], theirs)
        verify(opened)
        build_index(opened)
        assert lsdb.communicate("\n", timeout=120)[0].split()[-1] == "300", "LSDB still reads it"
