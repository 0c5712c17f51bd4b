from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits, votable
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

import galviz as gv
from galviz.catalogue import Catalogue
from galviz.errors import Cancelled, GalvizError, SelectionError
from galviz.export import EXPORTERS, FOLDERS
from galviz.ingest import ingest
from galviz.manifest import Column, SourceClass
from galviz.simulate.catalogue import simulate
from tests.samples import CLASSES, random_arrays, write_catalogue

SUFFIXES = tuple(EXPORTERS)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """A thousand rows in three parts, with predictions of a model and a flag."""
    made = write_catalogue(tmp_path_factory.mktemp("export") / "cat", random_arrays(1000), doi="10.5072/example")
    rng = np.random.default_rng(1)
    parts = [
        {"p_best": rng.random(part.rows).astype(np.float32), "limit": rng.random(part.rows) > 0.5}
        for part in made.manifest.groups[0].parts
    ]
    columns = (Column("p_best", "float32", "best_probability"), Column("limit", "bool", "flag", kind="flag"))
    return made.add_columns("classify", columns, parts, {"model": {"id": "0123456789ab"}})


def read_back(path: Path) -> pd.DataFrame:
    """An exported file as a frame, by a reader that is not ours; missing classes as empty text."""
    if path.suffix == ".csv":
        return pd.read_csv(path, comment="#", keep_default_na=True).fillna({"class": ""})
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pandas().fillna({"class": ""})
    if path.suffix == ".fits":
        with fits.open(path, memmap=False) as file:
            data = file[1].data
            columns = {n: np.asarray(data.field(n)) for n in data.names}
            return pd.DataFrame({n: v.astype(v.dtype.newbyteorder("=")) for n, v in columns.items()})
    if path.suffix == ".ecsv":
        table = Table.read(path)
        return pd.DataFrame({n: filled(table[n]) for n in table.colnames})
    array = votable.parse(path, verify="exception").get_first_table().array
    return pd.DataFrame({n: filled(array[n]) for n in array.dtype.names})


def filled(values: Any) -> Any:
    """Missing numbers as NaN, missing text as empty."""
    if values.dtype.kind == "f":
        return np.ma.filled(values, np.nan)
    return np.ma.filled(values, "") if values.dtype.kind == "U" else values


def expected(catalogue: Catalogue, where: str) -> pd.DataFrame:
    frame = catalogue.frame(selection=where).compute().reset_index(drop=True)
    frame["class"] = frame["class"].astype(object).where(frame["class"].notna(), "")
    return frame


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("where", ["", "class == 'QSO' and r < 20", "r < 0"])
def test_every_format_holds_exactly_the_selected_rows(
    catalogue: Catalogue, tmp_path: Path, suffix: str, where: str
) -> None:
    path = tmp_path / f"rows{suffix}"
    number = gv.export(catalogue, where, path)
    back, frame = read_back(path), expected(catalogue, where)
    assert number == len(back) == len(frame) == catalogue.count(where)
    assert list(back.columns) == ["objid", "x", "y", "r", "w", "note", "class", "p_best", "limit"]
    for name in ("objid", "class", "limit"):
        assert back[name].tolist() == frame[name].tolist()
    for name in ("x", "y", "r", "w", "p_best"):
        np.testing.assert_array_equal(back[name].astype(frame[name].dtype), frame[name])
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@given(low=st.floats(10, 25), high=st.floats(10, 25), names=st.sets(st.sampled_from(["GALAXY", "QSO", "STAR"])))
def test_the_number_of_rows_is_the_count(
    catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory, low: float, high: float, names: set[str]
) -> None:
    where = f"{low} <= r < {high} and class in {sorted(names)}" if low < high else f"r > {low}"
    path = tmp_path_factory.mktemp("law") / "rows.csv"
    number = gv.export(catalogue, where, path)
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert number == len(lines) - 1 == catalogue.count(where)


def test_identifiers_keep_every_digit_in_text(catalogue: Catalogue, tmp_path: Path) -> None:
    gv.export(catalogue, None, tmp_path / "rows.csv", ["objid"])
    lines = [line for line in (tmp_path / "rows.csv").read_text().splitlines() if not line.startswith("#")]
    assert lines[:3] == ["objid", str(2**60), str(2**60 + 1)]


def provenance_of(path: Path) -> dict[str, str]:
    if path.suffix == ".csv":
        notes = [line[2:] for line in path.read_text().splitlines() if line.startswith("# ")]
    elif path.suffix == ".parquet":
        return {k.decode(): v.decode() for k, v in pq.read_schema(path).metadata.items() if not k.startswith(b"ARROW")}
    elif path.suffix == ".fits":
        header = fits.getheader(path, 1)
        assert fits.getheader(path)["SIMULATD"] is True
        notes = re.split(r"\n(?=\w+: )", re.sub(r"\n(?!\w+: )", "", str(header["HISTORY"])))
    elif path.suffix == ".ecsv":
        return dict(Table.read(path).meta)
    else:
        return {info.name: info.value for info in votable.parse(path).resources[0].infos}
    return dict(note.split(": ", 1) for note in notes)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_file_tells_where_it_comes_from(catalogue: Catalogue, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    rows = gv.export(catalogue, "class == 'STAR' and 15 <= r < 21", path)
    notes = provenance_of(path)
    assert notes["selection"] == "class == 'STAR' and 15 <= r < 21"
    assert notes["catalogue"] == "sample"
    assert notes["version"] == "2"
    assert notes["simulated"] == "yes"
    assert notes["doi"] == "10.5072/example"
    assert notes["model"] == "0123456789ab"
    assert notes["software"] == f"galviz {gv.__version__}"
    assert notes["rows"] == str(rows)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", notes["date"])


def test_units_and_ucds_travel_along(tmp_path: Path) -> None:
    column = Column("ra", "float64", "position", "deg", "pos.eq.ra", 'Right <ascension> & "more"')
    made = write_catalogue(tmp_path / "cat", {"r": np.arange(6, dtype=np.float32)}, parts=2)
    made = made.add_columns("place", (column,), [{"ra": np.arange(3.0)}, {"ra": np.arange(3.0)}])
    gv.export(made, None, tmp_path / "rows.fits", ["ra"])
    header = fits.getheader(tmp_path / "rows.fits", 1)
    assert (header["TUNIT1"], header["TUCD1"]) == ("deg", "pos.eq.ra")
    assert header["TCOMM1"] == column.description
    gv.export(made, None, tmp_path / "rows.vot", ["ra"])
    field = votable.parse(tmp_path / "rows.vot").get_first_table().fields[0]
    assert (str(field.unit), field.ucd, field.description) == ("deg", "pos.eq.ra", column.description)
    gv.export(made, None, tmp_path / "rows.parquet", ["ra"])
    metadata = pq.read_schema(tmp_path / "rows.parquet").field("ra").metadata
    assert (metadata[b"unit"], metadata[b"ucd"]) == (b"deg", b"pos.eq.ra")


@pytest.mark.parametrize("suffix", [".fits", ".vot"])
def test_the_standards_find_no_fault(catalogue: Catalogue, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    gv.export(catalogue, "r < 18", path)
    if suffix == ".fits":
        assert path.stat().st_size % 2880 == 0
        with fits.open(path) as file:
            file.verify("exception")
            assert file[1].verify_datasum() == 1
    else:
        assert "found no violations" in votable.validate(path, output=None)


def test_a_derived_column_is_written_when_named(catalogue: Catalogue, tmp_path: Path) -> None:
    gv.export(catalogue, "r < 18", tmp_path / "rows.parquet", ["r_w", "class"])
    back = pd.read_parquet(tmp_path / "rows.parquet")
    assert list(back.columns) == ["r_w", "class"]
    np.testing.assert_array_equal(back["r_w"], catalogue.frame(["r_w"], "r < 18").compute()["r_w"])


def test_pages_of_parquet_carry_checksums(catalogue: Catalogue, tmp_path: Path) -> None:
    gv.export(catalogue, None, tmp_path / "rows.parquet")
    assert pq.read_table(tmp_path / "rows.parquet", page_checksum_verification=True).num_rows == 1000
    data = bytearray((tmp_path / "rows.parquet").read_bytes())
    data[len(data) // 3] ^= 0xFF
    (tmp_path / "rows.parquet").write_bytes(data)
    with pytest.raises((OSError, pa.ArrowException)):
        pq.read_table(tmp_path / "rows.parquet", page_checksum_verification=True)


@pytest.mark.parametrize("name", ["rows.txt", "rows", "rows.csv.gz"])
def test_an_unknown_suffix(catalogue: Catalogue, tmp_path: Path, name: str) -> None:
    with pytest.raises(GalvizError, match=r"must be one of \.csv, \.ecsv, \.parquet, \.fits, \.vot, \.xml, \.hats"):
        gv.export(catalogue, None, tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("where", "columns"), [("colour < 3", None), ("", ["colour"])])
def test_an_unknown_column(catalogue: Catalogue, tmp_path: Path, where: str, columns: Any) -> None:
    with pytest.raises(SelectionError, match="colour"):
        gv.export(catalogue, where, tmp_path / "rows.csv", columns)
    assert not list(tmp_path.iterdir())


def test_no_column(catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(GalvizError, match="at least one column"):
        gv.export(catalogue, None, tmp_path / "rows.csv", [])


def test_a_class_that_fits_cannot_spell(tmp_path: Path) -> None:
    star = SourceClass("ÉTOILE", "étoile", "étoiles", "#65ec65")
    made = write_catalogue(tmp_path / "cat", classes=(star, *CLASSES[:2]))
    with pytest.raises(GalvizError, match=r"FITS holds ASCII text only, and a class is called ÉTOILE; export to "):
        gv.export(made, None, tmp_path / "rows.fits")
    assert [path.name for path in tmp_path.iterdir()] == ["cat"]
    assert gv.export(made, None, tmp_path / "rows.fits", ["x"]) == made.rows
    assert gv.export(made, None, tmp_path / "rows.vot") == made.rows


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_stop_leaves_the_old_file(catalogue: Catalogue, tmp_path: Path, suffix: str) -> None:
    def stop(fraction: float, words: str) -> None:
        raise Cancelled("The export was stopped.")

    path = tmp_path / f"rows{suffix}"
    path.write_text("old")
    with pytest.raises(Cancelled):
        gv.export(catalogue, None, path, progress=stop)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_progress_counts_up_to_all_rows(catalogue: Catalogue, tmp_path: Path) -> None:
    heard: list[tuple[float, str]] = []
    gv.export(catalogue, None, tmp_path / "rows.csv", progress=lambda fraction, words: heard.append((fraction, words)))
    fractions = [fraction for fraction, _ in heard]
    assert fractions == sorted(fractions)
    assert len(set(fractions)) >= 3
    assert heard[-1] == (1.0, "1,000 of 1,000 sources written")


def test_an_exported_catalogue_can_be_read_again(tmp_path: Path) -> None:
    """What galviz writes, galviz reads, and it stays simulated."""
    sky = simulate(tmp_path / "sky", 3000, 5, labelled=True)
    for suffix in (*EXPORTERS, *FOLDERS):
        rows = gv.export(sky, "psf_r < 19", tmp_path / f"rows{suffix}")
        again = ingest(tmp_path / f"rows{suffix}", tmp_path / suffix[1:], "sdss-wise")
        assert again.rows == rows
        assert again.manifest.simulated
        names = ["objid", "psf_u", "resolved_r", "class"]
        before, after = (
            frame.compute().sort_values("objid").reset_index(drop=True)
            for frame in (sky.frame(names, "psf_r < 19"), again.frame(names))
        )
        pd.testing.assert_frame_equal(before, after)
