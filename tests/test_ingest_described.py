"""What the metadata of Parquet files say of their columns: VOParquet, astropy's YAML, fields of Arrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, QTable, Table
from hats.io.parquet_metadata import write_voparquet_in_common_metadata

import galviz as gv
from galviz.errors import IngestError
from galviz.export.votable import CONTENT
from galviz.ingest import ingest
from galviz.ingest.proposals import propose
from galviz.ingest.readers import ColumnNote, described, open_table
from galviz.simulate.catalogue import simulate
from tests.foreign import sources, write

FIELDS = (
    '<FIELD name="alpha" datatype="double" unit="rad" ucd="pos.eq.ra;meta.main">'
    "<DESCRIPTION>where\n it is</DESCRIPTION></FIELD>"
    '<FIELD name="delta" datatype="double" unit="rad" ucd="pos.eq.dec;meta.main"/>'
    '<FIELD name="bright" datatype="short" unit="mmag" ucd="phot.mag"><VALUES null="-99"/></FIELD>'
    '<FIELD name="name" datatype="char" arraysize="*"><VALUES null="none"/></FIELD>'
)


def votable(fields: str = FIELDS, before: str = "") -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        f'<RESOURCE>{before}<TABLE>{fields}</TABLE><TABLE><FIELD name="alpha" datatype="int" unit="mag"/></TABLE>'
        "</RESOURCE></VOTABLE>"
    )


def voparquet(path: Path, content: str | bytes, **columns: Any) -> Path:
    """A Parquet file with a VOTable in its metadata."""
    arrays = {"alpha": [1.0, 2.0, 3.0], "delta": [0.1, 0.2, 0.3], "bright": [17000, -99, 18000]}
    table = pa.table({**arrays, "name": ["x", "none", None], **columns})
    pq.write_table(table.replace_schema_metadata({CONTENT: content}), path, row_group_size=2)
    return path


def test_the_header_of_voparquet_is_heeded(tmp_path: Path) -> None:
    opened = open_table(voparquet(tmp_path / "rows.parquet", votable()))
    assert opened.columns["alpha"] == ColumnNote("rad", "pos.eq.ra;meta.main", "where it is")
    assert opened.columns["bright"] == ColumnNote("mmag", "phot.mag", "", "-99")
    assert opened.stretch is not None
    for chunks in (opened.chunks, lambda kinds: opened.stretch(kinds, 0)):  # type: ignore[misc]
        read = [chunk for chunk, _ in chunks({"bright": "number", "name": "text"})]
        np.testing.assert_array_equal(np.concatenate([chunk["bright"] for chunk in read]), [17000, np.nan, 18000])
        assert [text for chunk in read for text in chunk["name"].to_pylist()] == ["x", None, None]


def test_units_of_voparquet_reach_the_catalogue(tmp_path: Path) -> None:
    path = voparquet(tmp_path / "rows.parquet", votable())
    roles = {source.names[0]: source.column.role for source in propose(open_table(path)).survey.sources}
    assert roles == {"alpha": "position", "delta": "position", "bright": "magnitude"}
    catalogue = ingest(path, tmp_path / "out", propose(open_table(path)).survey)
    columns = catalogue.read_part(0)
    np.testing.assert_allclose(np.sort(columns["ra"]), np.degrees([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(np.sort(columns["bright"]), [17.0, 18.0, np.nan])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (votable()[:-20], "is no XML"),
        (votable().encode() + b"\xff", "is no XML"),
        (votable().replace("<VOTABLE", '<!DOCTYPE x [<!ENTITY a "aaaa">]><VOTABLE'), "declares a document type"),
        ("<a>" + " " * described._MOST_XML, "longer than 16 MB"),
    ],
    ids=["cut off", "not UTF-8", "entities", "long"],
)
def test_a_damaged_header_of_voparquet(content: str | bytes, words: str, tmp_path: Path) -> None:
    path = voparquet(tmp_path / "rows.parquet", content)
    with pytest.raises(IngestError, match=words) as caught:
        open_table(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [votable(""), "<VOTABLE/>", votable('<FIELD datatype="int" unit="mag"/>')])
def test_a_header_that_says_nothing_does_no_harm(content: str, tmp_path: Path) -> None:
    assert open_table(voparquet(tmp_path / "rows.parquet", content)).columns == {}


def test_a_null_value_that_is_none_does_no_harm(tmp_path: Path) -> None:
    fields = (
        '<FIELD name="bright" datatype="short"><VALUES null="x"/></FIELD><FIELD name="alpha"><VALUES null="1"/></FIELD>'
    )
    opened = open_table(voparquet(tmp_path / "rows.parquet", votable(fields)))
    read = [chunk for chunk, _ in opened.chunks({"bright": "number", "alpha": "number"})]
    assert np.concatenate([chunk["bright"] for chunk in read]).tolist() == [17000, -99, 18000]
    assert np.concatenate([chunk["alpha"] for chunk in read]).tolist() == [1.0, 2.0, 3.0]


def test_what_astropy_writes_as_voparquet(tmp_path: Path) -> None:
    rows = Table({"ra": [1.0, 2.0], "mag": np.array([17.0, 18.0], np.float32)})
    words = {"ra": {"unit": "deg", "ucd": "pos.eq.ra", "description": "Right ascension"},
             "mag": {"unit": "mag", "ucd": "phot.mag", "description": "Magnitude"}}  # fmt: skip
    rows.write(tmp_path / "rows.parquet", format="parquet.votable", metadata=words)
    columns = open_table(tmp_path / "rows.parquet").columns
    assert columns == {name: ColumnNote(**note) for name, note in words.items()}


@pytest.mark.filterwarnings("ignore:No table..len..class found")  # astropy would like the longest text there
def test_what_galviz_writes_is_voparquet_to_astropy(tmp_path: Path) -> None:
    catalogue = simulate(tmp_path / "sky", 50, labelled=True)
    gv.export(catalogue, None, tmp_path / "rows.parquet")
    found = Table.read(tmp_path / "rows.parquet", format="parquet.votable")
    assert len(found) == 50
    for column in catalogue.manifest.groups[0].columns:
        assert (found[column.name].unit or units.dimensionless_unscaled) == units.Unit(column.unit)
        assert found[column.name].description == column.description
        assert found[column.name].meta["ucd"] == column.ucd


# The YAML of astropy


def test_masked_values_of_astropy_are_missing(tmp_path: Path) -> None:
    rows = Table({
        "ra": [1.0, 2.0, 3.0], "mag": MaskedColumn([17.0, 18.0, 19.0], mask=[False, True, False], unit="mag"),
        "id": MaskedColumn([1, 2, 3], mask=[False, False, True]),
    }, meta={"simulated": "yes"})  # fmt: skip
    rows["ra"].info.description, rows["ra"].info.meta = "where", {"ucd": "pos.eq.ra"}
    rows.write(tmp_path / "rows.parquet")
    opened = open_table(tmp_path / "rows.parquet")
    assert opened.names == ("ra", "mag", "id")
    assert opened.simulated
    assert opened.columns == {"ra": ColumnNote("", "pos.eq.ra", "where"), "mag": ColumnNote("mag")}
    (chunk, _) = next(opened.chunks({"id": "number", "mag": "number"}))
    np.testing.assert_array_equal(chunk["mag"], [17.0, np.nan, 19.0])
    np.testing.assert_array_equal(chunk["id"], [1, 2, np.nan])
    with pytest.raises(IngestError, match=r"id of .* is empty in 1 rows"):
        next(opened.chunks({"id": "integer"}))


def test_a_mask_that_is_lost_is_missed(tmp_path: Path) -> None:
    Table({"mag": MaskedColumn([17.0, 18.0], mask=[False, True]), "id": [1, 2]}).write(tmp_path / "rows.parquet")
    whole = pq.read_table(tmp_path / "rows.parquet")
    pq.write_table(whole.drop_columns(["mag.mask"]), tmp_path / "rows.parquet")
    with pytest.raises(IngestError, match=r"lacks the column mag.mask, which says where mag has none"):
        open_table(tmp_path / "rows.parquet")
    pq.write_table(whole.drop_columns(["mag", "mag.mask"]), tmp_path / "rows.parquet")
    assert open_table(tmp_path / "rows.parquet").names == ("id",)


def test_quantities_and_coordinates_of_astropy(tmp_path: Path) -> None:
    places = SkyCoord([10.0, 20.0], [-1.0, 2.0], unit="deg")
    QTable({"place": places, "flux": [1.0, 2.0] * units.mJy}).write(tmp_path / "rows.parquet")
    opened = open_table(tmp_path / "rows.parquet")
    assert {name: note.unit for name, note in opened.columns.items()} == {
        "place.ra": "deg", "place.dec": "deg", "flux": "mJy"
    }  # fmt: skip
    survey = propose(opened).survey
    assert [source.column.name for source in survey.sources] == ["ra", "dec", "flux"]
    assert ingest(tmp_path / "rows.parquet", tmp_path / "out", survey).rows == 2


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        (b"datatype: [", "Cannot read the header of"),
        (b"- a", "Cannot read the header of|is not that of"),
        (b"x: !!python/object/apply:os.system ['true']", "Cannot read the header of"),
        (b"nothing: here", "describes no columns"),
        (b" " * (described._MOST_YAML + 1), "longer than 1 MB"),
    ],
)
def test_damaged_yaml(yaml: bytes, words: str, tmp_path: Path) -> None:
    table = pa.table({"a": [1]}).replace_schema_metadata({b"table_meta_yaml": yaml})
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(IngestError, match=words):
        open_table(tmp_path / "rows.parquet")


def test_fields_count_before_the_votable(tmp_path: Path) -> None:
    schema = pa.schema(
        [pa.field("a", pa.float64(), metadata={"unit": "deg"})],
        metadata={CONTENT: votable('<FIELD name="a" unit="rad" ucd="pos.eq.ra"/>')},
    )
    pq.write_table(pa.table({"a": [1.0]}, schema), tmp_path / "rows.parquet")
    assert open_table(tmp_path / "rows.parquet").columns == {"a": ColumnNote("deg", "pos.eq.ra")}


# HATS


def test_hats_describes_its_columns_in_one_place(tmp_path: Path) -> None:
    folder = tmp_path / "cat"
    leaf = folder / "dataset" / "Norder=0" / "Dir=0" / "Npix=0.parquet"
    leaf.parent.mkdir(parents=True)
    write(sources(20), leaf)
    (folder / "hats.properties").write_text("hats_nrows=20\n")
    pq.write_metadata(pq.read_schema(leaf), folder / "dataset" / "_common_metadata")
    assert "psf_r" not in open_table(folder).columns
    write_voparquet_in_common_metadata(
        folder, field_units={"psf_r": "mag"}, field_ucds={"ra": "pos.eq.ra"}, field_descriptions={"psf_r": "how bright"}
    )
    opened = open_table(folder)
    assert opened.columns["psf_r"] == ColumnNote("mag", "", "how bright")
    assert opened.columns["ra"].ucd == "pos.eq.ra"
    assert opened.names == tuple(sources(1).columns)


def test_a_leaf_without_the_mask_of_another_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "cat" / "dataset" / "Norder=0" / "Dir=0"
    folder.mkdir(parents=True)
    (tmp_path / "cat" / "hats.properties").write_text("hats_nrows=4\n")
    rows = Table({"ra": [1.0, 2.0], "mag": MaskedColumn([17.0, 18.0], mask=[False, True])})
    rows.write(folder / "Npix=0.parquet")
    rows.filled(0.0).write(folder / "Npix=1.parquet")
    opened = open_table(tmp_path / "cat")
    assert opened.names == ("ra", "mag")
    with pytest.raises(IngestError, match=r"Npix=1.parquet lacks the column mag.mask of the first file"):
        list(opened.chunks({"mag": "number"}))
