"""Foreign files as streams: every format, what it says of its columns, and the sentences where it is damaged."""

from __future__ import annotations

import gzip
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.io import fits
from astropy.table import MaskedColumn, Table

import galviz as gv
from galviz.errors import IngestError
from galviz.ingest.readers import ColumnNote, ForeignTable, delimited, open_table, streams, table, votable, votablerows
from galviz.simulate.catalogue import simulate
from tests.foreign import sources, write

KINDS = {"integer": np.int64, "number": np.float64, "text": object}
WRITERS: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    "rows.csv": write,
    "rows.csv.gz": write,
    "rows.tsv": write,
    "rows.ssv": write,
    "rows.fits": write,
    "rows.parquet": write,
    "rows.ecsv": lambda frame, path: Table.from_pandas(frame).write(path),
    "commas.ecsv": lambda frame, path: Table.from_pandas(frame).write(path, format="ascii.ecsv", delimiter=","),
    "ascii.fits": lambda frame, path: ascii_fits(frame, path),
    "tabledata.vot": lambda frame, path: write_votable(frame, path),
    "binary.vot": lambda frame, path: write_votable(frame, path),
    "binary2.vot": lambda frame, path: write_votable(frame, path),
    "rows.fits.gz": lambda frame, path: packed(frame, path),
    "rows.ecsv.gz": lambda frame, path: packed(frame, path),
    "binary2.vot.gz": lambda frame, path: packed(frame, path),
    "rows.pkl": lambda frame, path: frame.to_pickle(path),
    "rows.pkl.gz": lambda frame, path: frame.to_pickle(path),
    "rows.hats": lambda frame, path: write_hats(frame, path),
}


TEXT = ("rows.ecsv", "commas.ecsv", "ascii.fits")


def write_votable(frame: pd.DataFrame, path: Path, kind: str = "") -> None:
    Table.from_pandas(frame).write(path, format="votable", tabledata_format=kind or path.name.split(".")[0])


def packed(frame: pd.DataFrame, path: Path) -> None:
    WRITERS[path.name.removesuffix(".gz")](frame, path.with_suffix(""))
    path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))


def ascii_fits(frame: pd.DataFrame, path: Path) -> None:
    """A FITS file with an ASCII table; identifiers need 20 letters and the others 25."""
    forms = {"i": "I20", "f": "E25.17", "O": "A10"}
    columns = [
        fits.Column(name=name, format=forms[frame[name].dtype.kind], array=np.array(frame[name].tolist()), ascii=True)
        for name in frame.columns
    ]
    fits.TableHDU.from_columns(columns).writeto(path)


def write_hats(frame: pd.DataFrame, path: Path, *, parts: int = 2) -> None:
    """A HATS folder whose rows lie in the pixels 0, 1, 2 ... of order 1."""
    for number, rows in enumerate(np.array_split(np.arange(len(frame)), parts)):
        leaf = path / "dataset" / "Norder=1" / "Dir=0" / f"Npix={number}.parquet"
        leaf.parent.mkdir(parents=True, exist_ok=True)
        part = frame.iloc[rows].assign(_healpix_29=number)
        pq.write_table(pa.Table.from_pandas(part, preserve_index=False), leaf)
    (path / "hats.properties").write_text(f"#HATS catalog\nobs_collection=rows\nhats_nrows={len(frame)}\n")
    lines = ["Norder,Npix", *(f"1,{number}" for number in range(parts))]
    (path / "partition_info.csv").write_text("\n".join(lines) + "\n")


def kinds_of(frame: pd.DataFrame) -> dict[str, str]:
    kinds = {"i": "integer", "f": "number", "O": "text"}
    return {name: "number" if name == "zwarning" else kinds[frame[name].dtype.kind] for name in frame.columns}


def read(opened: ForeignTable, kinds: dict[str, str]) -> dict[str, np.ndarray]:
    return joined([chunk for chunk, _ in opened.chunks(kinds)])


def joined(chunks: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def refused(path: Path, kinds: dict[str, str] | None = None, **options: Any) -> str:
    """The sentence with which a file is refused, when it is opened or when it is read."""
    with pytest.raises(IngestError) as caught:
        opened = open_table(path, **options)
        list(opened.chunks(kinds or dict.fromkeys(opened.names, "number")))
    sentence = str(caught.value)
    assert sentence.isprintable()
    assert sentence.endswith(".")
    assert str(path) in sentence
    return sentence


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_columns(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "ROWS", 70)
    monkeypatch.setattr(delimited, "_STRETCH", 5000)
    monkeypatch.setattr(votable, "_BLOCK", 3000)
    frame = sources(301, labelled=True).astype({"class": object})
    frame.loc[5, "psf_g"] = np.nan
    WRITERS[name](frame, tmp_path / name)
    opened = open_table(tmp_path / name, trust_pickle=True)
    assert opened.names == tuple(frame.columns)
    assert opened.rows in (None, 301)
    kinds = kinds_of(frame)
    chunks = list(opened.chunks(kinds))
    fractions = [fraction for _, fraction in chunks]
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] <= fractions[-1] <= 1
    assert max(len(chunk["ra"]) for chunk, _ in chunks) <= (301 if "sv" in name else 150)
    whole = joined([chunk for chunk, _ in chunks])
    for column, kind in kinds.items():
        assert whole[column].dtype == KINDS[kind]
        wanted = frame[column].to_numpy(dtype=object if kind == "text" else None)
        np.testing.assert_array_equal(whole[column].astype(wanted.dtype), wanted, err_msg=column)
    assert (opened.stretches > 1) is (name in ("rows.csv", "rows.tsv", "rows.ssv", "rows.fits", "rows.hats", *TEXT))
    if opened.stretch is not None:
        parts = [joined([c for c, _ in opened.stretch(kinds, number)]) for number in reversed(range(opened.stretches))]
        for column, values in joined(parts[::-1]).items():
            np.testing.assert_array_equal(values, whole[column], err_msg=column)


@pytest.mark.parametrize("name", ["rows.ecsv", "rows.fits", "tabledata.vot", "binary2.vot"])
def test_what_a_file_says_of_its_columns(name: str, tmp_path: Path) -> None:
    rows = Table({"psf_r": [17.0, 18.0], "w1": [1.0, 2.0]})
    rows["psf_r"].unit, rows["psf_r"].description = units.mag, "how bright it is"
    if name.endswith(".vot"):
        rows["psf_r"].meta["ucd"] = "phot.mag"
        rows.write(tmp_path / name, format="votable", tabledata_format=name.split(".")[0])
    else:
        rows.write(tmp_path / name)
    opened = open_table(tmp_path / name)
    assert opened.columns["psf_r"].unit == "mag"
    assert opened.columns["psf_r"].description == ("" if name == "rows.fits" else "how bright it is")
    assert opened.columns["psf_r"].ucd == ("phot.mag" if name.endswith(".vot") else "")
    assert opened.columns.get("w1", ColumnNote()) == ColumnNote()


# Text


def text(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        "#Table1\nobjid,ra\n1,2.5\n3,4.5\n",
        "objid, ra\r\n1, 2.5\r\n3, 4.5\r\n",
        '"objid","ra"\n"1","2.5"\n"3","4.5"',
        "objid\tra\r1\t2.5\r3\t4.5\r",
        "objid,ra\r1,2.5\n3,4.5\r\n",
        "\ufeffobjid;ra\n\n1;2.5\n\n\n3;4.5\n\n",
    ],
    ids=["skyserver", "casjobs", "quoted", "old mac", "mixed", "blank lines"],
)
def test_headers_and_ends_of_lines(content: str, tmp_path: Path) -> None:
    opened = open_table(text(tmp_path / "rows.csv", content))
    kinds = {"ra": "number", "objid": "integer"}
    ways = [read(opened, kinds)]
    if opened.stretch is not None:
        ways.append(joined([c for k in range(opened.stretches) for c, _ in opened.stretch(kinds, k)]))
    for found in ways:
        assert found["objid"].tolist() == [1, 3]
        assert found["ra"].tolist() == [2.5, 4.5]


@pytest.mark.parametrize("packed", [False, True])
def test_a_quotation_that_swallows_rows_is_named(packed: bool, tmp_path: Path) -> None:
    lines = ["objid,note,ra", *(f"{number},x,1.5" for number in range(20))]
    lines[5], lines[9] = '4,"x,1.5', '8,x",1.5'
    content = "\n".join(lines).encode()
    path = text(tmp_path / "rows.csv", gzip.compress(content) if packed else content)
    opened = open_table(path)
    sentence = refused(path, {"objid": "integer", "ra": "number"})
    assert "Line 6 of" in sentence
    assert "opens a quotation that ends 4 lines later" in sentence
    if not packed:
        assert opened.stretch is not None
        with pytest.raises(IngestError, match="opens a quotation"):
            list(opened.stretch({"objid": "integer", "ra": "number"}, 0))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"ra,class\n1,STAR\n2,ST\xffAR\n", "Line 3 of"),
        (b"ra,class\n1,STAR\n2,STAR,\n", "has 3 values"),
        (b"ra,class\n1,STAR\n0x,STAR\n", "'0x' in the column ra"),
        (b"ra,class\n1,STAR\n1_0,STAR\n", "'1_0' in the column ra"),
        (b"#" * streams.HEAD + b"\nra,class\n", "no line with column names in its first 64 kB"),
        (b"ra," + b"c" * 200_000 + b"\n", "no line with column names in its first 64 kB"),
        (b"ra,cl\x07ass\n1,STAR\n", "which cannot be printed"),
        (b"ra,class\n1,\0STAR\n", "is neither CSV"),
    ],
)
def test_damaged_text(content: bytes, words: str, tmp_path: Path) -> None:
    assert words in refused(text(tmp_path / "rows.csv", content), {"ra": "number", "class": "text"})


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("line", [b"\0" * 300, b"1," * 150])
def test_a_line_without_end_is_not_kept_in_memory(
    line: bytes, packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a file has that was being written when the machine stopped."""
    monkeypatch.setattr("galviz.ingest.readers.delimited._LONGEST", 200)
    monkeypatch.setattr("galviz.ingest.readers.delimited._STRETCH", 1000)
    text = b"a,b,c\n" + b"1,2,3\n" * 12_000 + line
    path = tmp_path / "rows.csv"
    path.write_bytes(gzip.compress(text) if packed else text)
    with pytest.raises(IngestError, match=r"rows.csv has a line of more than 0 MB (at byte|12,001 lines after)"):
        list(open_table(path).chunks({"a": "number"}))
    if not packed:
        table = open_table(path)
        assert table.stretch is not None
        with pytest.raises(IngestError, match="has a line of more than 0 MB"):
            for number in range(table.stretches):
                list(table.stretch({"a": "number"}, number))


def test_every_column_has_a_name_of_its_own() -> None:
    names = table.distinct(["a", "b", "a", "a#2", "a", ""])
    assert list(names.items()) == [("a", "a"), ("b", "b"), ("a#3", "a"), ("a#2", "a#2"), ("a#4", "a"), ("", "")]
    assert len(table.distinct(["x"] * 10_000)) == 10_000


def test_a_pipe_is_refused_before_anything_is_taken_from_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(IngestError, match=r"pipe is a pipe or a device, which can be read but once; save it as a file"):
        open_table(tmp_path / "pipe")


def test_units_of_an_exported_csv(tmp_path: Path) -> None:
    path = text(tmp_path / "rows.csv", "# simulated: yes\n# units: ra [deg], psf_r [mag]\nra,psf_r\n1,2\n")
    opened = open_table(path)
    assert opened.simulated
    assert opened.columns == {"ra": ColumnNote("deg"), "psf_r": ColumnNote("mag")}


# ECSV


def ecsv(path: Path, *header: str, rows: str = "a b\n1 2\n") -> Path:
    return text(path, "".join(f"# {line}\n" for line in ("%ECSV 1.0", "---", *header)) + rows)


COLUMNS = ("datatype:", "- {name: a, datatype: int64}", "- {name: b, unit: mag, datatype: float32}")


def test_flags_and_empty_cells_of_ecsv(tmp_path: Path) -> None:
    rows = Table({"flag": [True, False, True], "x": MaskedColumn([1.0, 2.0, 3.0], mask=[False, True, False])})
    rows.write(tmp_path / "rows.ecsv")
    found = read(open_table(tmp_path / "rows.ecsv"), {"flag": "number", "x": "number"})
    assert found["flag"].tolist() == [1.0, 0.0, 1.0]
    np.testing.assert_array_equal(found["x"], [1.0, np.nan, 3.0])


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (("datatype: [",), "Cannot read the header of"),
        (("nothing: here",), "describes no columns"),
        (("- a", "- b"), "is not that of ECSV"),
        (("delimiter: '|'", *COLUMNS), "asks for the delimiter '|'"),
        ((*COLUMNS, "- {name: c, datatype: int64}"), "describes other columns"),
        (("x: !!python/object/apply:os.system ['true']", *COLUMNS), "Cannot read the header of"),
    ],
)
def test_damaged_ecsv(header: tuple[str, ...], words: str, tmp_path: Path) -> None:
    assert words in refused(ecsv(tmp_path / "rows.ecsv", *header))


# FITS


def fits_columns(path: Path, *columns: fits.Column, **cards: float) -> Path:
    """A FITS table with further cards, of which astropy makes nothing when it writes."""
    table_hdu = fits.BinTableHDU.from_columns(list(columns))
    for key, value in cards.items():
        table_hdu.header[f"X{key[1:]}"] = value
    table_hdu.writeto(path)
    data = path.read_bytes()
    for key in cards:
        data = data.replace(f"X{key[1:]:7s}=".encode(), f"{key:8s}=".encode())
    return text(path, data)


def test_scaled_unsigned_logical_and_missing_numbers_of_fits(tmp_path: Path) -> None:
    identifiers = np.array([2**53 + 1, 2**62 + 3, 0], np.uint64)
    path = fits_columns(
        tmp_path / "rows.fits",
        fits.Column("id", "K", bzero=2**63, array=identifiers),
        fits.Column("small", "I", null=-99, array=np.array([1, -99, 3], np.int16)),
        fits.Column("scaled", "I", array=np.array([1, 2, 4], np.int16)),
        fits.Column("flag", "L", array=np.array([True, False, True])),
        fits.Column("text", "20A", array=np.array(["9007199254740993", "1", " 2"])),
        fits.Column("pair", "2E", array=np.zeros((3, 2))),
        fits.Column("list", "PE()", array=np.array([[1.0], [2.0, 3.0], []], dtype=object)),
        fits.Column("name", "A", array=np.array(["G", "", "Q"])),
        TSCAL3=0.5,
        TZERO3=10.0,
    )
    kinds = {"id": "integer", "small": "number", "scaled": "number", "flag": "number", "text": "integer"}
    found = read(open_table(path), {**kinds, "name": "text"})
    assert found["id"].tolist() == identifiers.tolist()
    np.testing.assert_array_equal(found["small"], [1, np.nan, 3])
    assert found["scaled"].tolist() == [10.5, 11.0, 12.0]
    assert found["flag"].tolist() == [1.0, 0.0, 1.0]
    assert found["text"].tolist() == [9007199254740993, 1, 2]
    assert found["name"].tolist() == ["G", "", "Q"]
    assert open_table(path).columns["small"].null == "-99"
    assert "is empty in 1 rows" in refused(path, {"small": "integer"})
    assert "lose digits" in refused(path, {"scaled": "integer"})
    for name in ("pair", "list"):
        assert "several values a row" in refused(path, {name: "number"})


def test_an_unsigned_number_too_large(tmp_path: Path) -> None:
    path = fits_columns(tmp_path / "rows.fits", fits.Column("id", "K", bzero=2**63, array=np.array([2**63], np.uint64)))
    assert "above 2^63" in refused(path, {"id": "integer"})


def test_a_logical_that_is_unknown_is_missing(tmp_path: Path) -> None:
    path = fits_columns(tmp_path / "rows.fits", fits.Column("flag", "L", array=np.array([True, True])))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"TT\0", b"T\0\0"))
    np.testing.assert_array_equal(read(open_table(path), {"flag": "number"})["flag"], [1.0, np.nan])


def test_the_first_table_behind_an_image(tmp_path: Path) -> None:
    rows = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=np.arange(3))])
    other = fits.BinTableHDU.from_columns([fits.Column("b", "J", array=np.arange(5))])
    files = fits.HDUList([fits.PrimaryHDU(np.zeros((40, 50))), fits.ImageHDU(np.zeros(7)), rows, other])
    files.writeto(tmp_path / "rows.fits")
    opened = open_table(tmp_path / "rows.fits")
    assert (opened.names, opened.rows) == (("a",), 3)
    assert read(opened, {"a": "number"})["a"].tolist() == [0, 1, 2]


def card(data: bytes, key: str, value: str) -> bytes:
    """FITS with the value of a card replaced, in the last header that has it."""
    place = data.rindex(f"{key:8s}= ".encode())
    return data[: place + 10] + f"{value:>20s}".encode() + data[place + 30 :]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("NAXIS2", "39", "does not end where its header says"),
        ("NAXIS2", "400", "is shorter than its header says"),
        ("NAXIS2", "4000000000", "is shorter than its header says"),
        ("NAXIS2", "-1", "says NAXIS2 = -1, which cannot be"),
        ("NAXIS2", "'many'", "lacks a proper NAXIS2"),
        ("NAXIS1", "5900000000", "says NAXIS1 = 5900000000, which cannot be"),
        ("NAXIS1", "17", "take 16 bytes a row and its header says 17"),
        ("TFIELDS", "1", "take 8 bytes a row"),
        ("TFIELDS", "3", "lacks a proper TFORM3"),
        ("TFORM1", "'Z'", "lacks a proper TFORM1"),
        ("PCOUNT", "99999", "is shorter than its header says"),
        ("BITPIX", "T", ""),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_header_of_fits_that_does_not_fit(key: str, value: str, words: str, packed: bool, tmp_path: Path) -> None:
    columns = [fits.Column("a", "K", array=np.arange(1, 41)), fits.Column("b", "D", array=np.arange(1.0, 41.0))]
    data = card(fits_columns(tmp_path / "good.fits", *columns).read_bytes(), key, value)
    path = text(tmp_path / "rows.fits", gzip.compress(data) if packed else data)
    if key == "BITPIX":  # of the table, where it says nothing
        assert read(open_table(path), {"a": "number"})["a"].tolist() == list(range(1, 41))
    else:
        assert (words if not (packed and "shorter" in words) else "fetch it again") in refused(path)


def test_a_header_of_fits_without_end_and_what_is_no_header(tmp_path: Path) -> None:
    data = fits_columns(tmp_path / "good.fits", fits.Column("a", "K", array=np.arange(40))).read_bytes()
    assert "a header without an end" in refused(text(tmp_path / "a.fits", data.replace(b"END     ", b"AND     ")))
    assert "something else than FITS" in refused(text(tmp_path / "b.fits", data[:2880] + b"?" * 2880))
    assert "has no table" in refused(text(tmp_path / "c.fits", data[:2880]))
    assert "bytes that are no text" in refused(text(tmp_path / "d.fits", data.replace(b"TTYPE1", b"TTYPE\xff")))


def test_the_checksum_of_fits(tmp_path: Path) -> None:
    sky = simulate(tmp_path / "sky", 500, 5)
    gv.export(sky, None, tmp_path / "rows.fits", ["objid", "ra", "dec"])
    data = bytearray((tmp_path / "rows.fits").read_bytes())
    assert len(read(open_table(tmp_path / "rows.fits"), {"ra": "number"})["ra"]) == 500
    data[-3000] ^= 1
    path = text(tmp_path / "flipped.fits", bytes(data))
    assert "do not agree with its checksum (DATASUM)" in refused(path, {"ra": "number"})


# VOTable


def vot(path: Path, body: str, fields: str = '<FIELD name="a" datatype="int"/>', table_words: str = "") -> Path:
    return text(
        path,
        f'<?xml version="1.0"?>\n<VOTABLE version="1.4"><RESOURCE><TABLE {table_words}>{fields}<DATA>{body}</DATA>'
        "</TABLE></RESOURCE></VOTABLE>",
    )


def test_cells_of_tabledata(tmp_path: Path) -> None:
    fields = (
        '<FIELD name="i" datatype="long"><VALUES null="-9"/></FIELD><FIELD name="x" datatype="double"/>'
        '<FIELD name="f" datatype="boolean"/><FIELD name="t" datatype="unicodeChar" arraysize="*"/>'
    )
    rows = (
        "<TR><TD>9007199254740993</TD><TD> +1.5 </TD><TD>T</TD><TD>&lt;QSO&gt; &amp;c.</TD></TR>"
        "<TR><TD>-9</TD><TD>NaN</TD><TD>false</TD><TD/></TR><!-- <TR> --><TR><TD>1</TD><TD/><TD>?</TD><TD>é</TD></TR>"
    )
    path = vot(tmp_path / "rows.vot", f"<TABLEDATA>{rows}</TABLEDATA>", fields)
    found = read(open_table(path), {"i": "number", "x": "number", "f": "number", "t": "text"})
    np.testing.assert_array_equal(found["i"], [9007199254740993, np.nan, 1])
    np.testing.assert_array_equal(found["x"], [1.5, np.nan, np.nan])
    np.testing.assert_array_equal(found["f"], [1, 0, np.nan])
    assert found["t"].tolist() == ["<QSO> &c.", "", "é"]
    assert "is empty in 1 rows" in refused(path, {"i": "integer"})


@pytest.mark.parametrize("kind", ["tabledata", "binary", "binary2"])
def test_masked_flags_and_text_that_varies(kind: str, tmp_path: Path) -> None:
    rows = Table(
        {
            "i": MaskedColumn([2**53 + 1, 2, 3], mask=[False, kind != "binary", False]),  # which cannot say so
            "x": MaskedColumn([1.5, 2.5, 3.5], mask=[False, False, True]),
            "flag": [True, False, True],
            "class": np.array(["GALAXY", "", "é"], dtype=object),
            "fixed": ["STAR", "QSO", "x"],
        }
    )
    rows.write(tmp_path / "rows.vot", format="votable", tabledata_format=kind)
    names = {"i": "number", "x": "number", "flag": "number", "class": "text", "fixed": "text"}
    found = read(open_table(tmp_path / "rows.vot"), names)
    np.testing.assert_array_equal(found["i"], [2**53 + 1, 2 if kind == "binary" else np.nan, 3])
    np.testing.assert_array_equal(found["x"], [1.5, 2.5, np.nan])
    assert found["flag"].tolist() == [1, 0, 1]
    assert found["class"].tolist() == ["GALAXY", "", "é"]
    assert found["fixed"].tolist() == ["STAR", "QSO", "x"]


def test_the_first_table_that_has_rows(tmp_path: Path) -> None:
    path = text(
        tmp_path / "rows.vot",
        '<VOTABLE><RESOURCE><INFO name="simulated" value="yes"/><TABLE><FIELD name="x" datatype="int"/></TABLE>'
        + '<TABLE nrows="1"><FIELD name="a" datatype="int"/><DATA><TABLEDATA><TR><TD>7</TD></TR></TABLEDATA></DATA>'
        + '</TABLE><TABLE><FIELD name="b" datatype="int"/><DATA><TABLEDATA><TR><TD>8</TD></TR></TABLEDATA></DATA>'
        + "</TABLE></RESOURCE></VOTABLE>",
    )
    opened = open_table(path)
    assert (opened.names, opened.rows, opened.simulated) == (("a",), 1, True)
    assert read(opened, {"a": "number"})["a"].tolist() == [7]


def test_what_is_said_of_a_parameter_is_not_said_of_a_column(tmp_path: Path) -> None:
    fields = (
        "<DESCRIPTION>the table</DESCRIPTION>"
        '<FIELD name="a" datatype="int"><DESCRIPTION>the\ncolumn</DESCRIPTION></FIELD>'
        '<PARAM name="p" datatype="int" value="1"><VALUES null="7"/><DESCRIPTION>the parameter</DESCRIPTION></PARAM>'
    )
    opened = open_table(vot(tmp_path / "rows.vot", "<TABLEDATA><TR><TD>7</TD></TR></TABLEDATA>", fields))
    assert opened.columns == {"a": ColumnNote(description="the column")}
    assert read(opened, {"a": "number"})["a"].tolist() == [7]


def test_a_votable_in_utf_16(tmp_path: Path) -> None:
    words = vot(tmp_path / "a.vot", "<TABLEDATA><TR><TD>7</TD></TR></TABLEDATA>").read_text()
    path = text(tmp_path / "b.vot", words.replace("?>", ' encoding="utf-16"?>', 1).encode("utf-16"))
    assert read(open_table(path), {"a": "number"})["a"].tolist() == [7]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<TABLEDATA><TR><TD>1</TD><TD>2</TD></TR></TABLEDATA>", "ends a row that has not 1 values"),
        ("<TABLEDATA><TR><TD>one</TD></TR></TABLEDATA>", "Row 1 of"),
        ("<TABLEDATA><TQ><TD>1</TD></TQ></TABLEDATA>", "an element 'TQ' among the rows"),
        ("<TABLEDATA><TR><TD>1</TD></TABLEDATA>", "is no XML (mismatched tag)"),
        ("<TABLEDATA><TR><TD>1", "is no XML"),
        ('<FITS><STREAM href="http://example.org/"/></FITS>', "keeps its rows as FITS"),
        ('<BINARY><STREAM href="file:///etc/passwd" encoding="base64"/></BINARY>', "in another file"),
        ('<BINARY><STREAM encoding="gzip">AAAA</STREAM></BINARY>', "in another way than base64"),
        ('<BINARY><STREAM encoding="base64">AAAB</STREAM></BINARY>', "ends its rows within one"),
        ('<BINARY><STREAM encoding="base64">AAAAB</STREAM></BINARY>', "ends its rows within one"),
        ('<BINARY><STREAM encoding="base64">A?AA</STREAM></BINARY>', "are not base64"),
    ],
)
def test_damaged_rows_of_a_votable(body: str, words: str, tmp_path: Path) -> None:
    assert words in refused(vot(tmp_path / "rows.vot", body))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("", "without columns"),
        ('<FIELD name="a" datatype="complex"/>', "a FIELD of the type 'complex'"),
        ('<FIELD name="a" datatype="int" arraysize="x"/>', "a FIELD of the type 'int' [x]"),
        ('<FIELD name="a" datatype="char" arraysize="999999999"/>', "a FIELD of 999999999 values a row"),
        ('<FIELD name="a" datatype="int" arraysize="2"/>', "several values a row"),
    ],
)
def test_damaged_fields_of_a_votable(fields: str, words: str, tmp_path: Path) -> None:
    cells = "<TD>1</TD>" * fields.count("FIELD ")
    assert words in refused(vot(tmp_path / "rows.vot", f"<TABLEDATA><TR>{cells}</TR></TABLEDATA>", fields))


def test_votables_that_are_none_or_of_no_use(tmp_path: Path) -> None:
    row = "<TABLEDATA><TR><TD>1</TD></TR></TABLEDATA>"
    assert "has 1 rows and says 2" in refused(vot(tmp_path / "a.vot", row, table_words='nrows="2"'))
    assert "says nrows='many'" in refused(vot(tmp_path / "b.vot", row, table_words='nrows="many"'))
    whole = vot(tmp_path / "c.vot", row).read_text()
    bomb = whole.replace("<VOTABLE", '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><VOTABLE')
    assert "declares an entity 'a'" in refused(text(tmp_path / "d.vot", bomb))
    failed = whole.replace("<TABLE ", '<INFO name="QUERY_STATUS" value="ERROR">no</INFO><TABLE ')
    assert "says that the query failed" in refused(text(tmp_path / "e.vot", failed))
    assert "has no table with rows" in refused(text(tmp_path / "f.vot", "<VOTABLE/>"))
    assert "is no XML" in refused(text(tmp_path / "g.vot", "<?xml version='1.0' encoding='klingon'?><VOTABLE/>"))


def test_an_array_that_claims_gigabytes(tmp_path: Path) -> None:
    claim = "AAAAAf////9B"  # one row of int and char[4294967295]
    fields = '<FIELD name="a" datatype="int"/><FIELD name="b" datatype="char" arraysize="*"/>'
    path = vot(tmp_path / "rows.vot", f'<BINARY><STREAM encoding="base64">{claim}</STREAM></BINARY>', fields)
    assert "longer than their columns" in refused(path, {"a": "number"})


@pytest.mark.parametrize("where", ["attribute", "cell", "description", "row"])
def test_a_votable_bomb_is_not_kept_in_memory(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((votable, "_HEADER"), (votable, "PIECE"), (votablerows, "PIECE"), (votable, "_BLOCK")):
        monkeypatch.setattr(module, name, 1 << 16 if name != "_BLOCK" else 1 << 12)
    row = "<TABLEDATA><TR><TD>1</TD></TR></TABLEDATA>"
    whole = vot(tmp_path / "good.vot", row).read_text()
    long = "a" * 5_000_000
    bombs = {
        "attribute": whole.replace("<TABLE ", f'<TABLE name="{long}" '),
        "cell": whole.replace("<TD>1", f"<TD>{long}"),
        "description": whole.replace("<TABLE ", f"<DESCRIPTION>{long}</DESCRIPTION><TABLE "),
        "row": whole.replace("<TD>1</TD>", "<TD>1</TD>" * 500_000),
    }
    path = text(tmp_path / "rows.vot.gz", gzip.compress(bombs[where].encode()))
    assert "MB in one piece" in refused(path)
    if where in ("attribute", "description"):
        with pytest.raises(IngestError, match="MB in one piece"):
            open_table(path)


# Parquet


def test_a_flipped_bit_in_a_page_with_a_checksum(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": np.arange(1000)}), path, write_page_checksum=True, compression="none")
    data = bytearray(path.read_bytes())
    data[2000] ^= 1
    assert "Cannot read" in refused(text(path, bytes(data)), {"a": "number"})


def test_a_row_group_as_large_as_the_file_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "ROWS", 20_000)
    values = np.random.default_rng(0).random(2_000_000)
    pq.write_table(pa.table({"a": values}), tmp_path / "rows.parquet", row_group_size=len(values))
    opened, before, rows = open_table(tmp_path / "rows.parquet"), pa.total_allocated_bytes(), 0
    for chunk, _ in opened.chunks({"a": "number"}):
        rows += len(chunk["a"])
        assert pa.total_allocated_bytes() - before < 4 << 20
    assert rows == len(values)


def test_a_footer_that_counts_other_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": np.arange(1000)}), path, row_group_size=400)
    found = 0
    for place in range(path.stat().st_size - 800, path.stat().st_size):
        data = bytearray(path.read_bytes())
        data[place] = (data[place] - 2) % 256  # whole numbers of Thrift: one less
        damaged = text(tmp_path / "damaged.parquet", bytes(data))
        try:
            opened = open_table(damaged)
            assert len(read(opened, dict.fromkeys(opened.names, "number"))[opened.names[0]]) == 1000
        except IngestError:
            found += 1
    assert found > 100


# Pickles


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("sprung",)


def test_a_pickle_runs_nothing_unless_it_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in (("a.pkl", pickle.dumps(Trap())), ("b.pkl", gzip.compress(pickle.dumps(Trap())))):
        assert "a pickle runs code of whoever made it" in refused(text(tmp_path / name, content))
        assert not (tmp_path / "sprung").exists()
    assert "holds no pandas DataFrame" in refused(tmp_path / "a.pkl", trust_pickle=True)
    assert (tmp_path / "sprung").exists()


def test_damaged_and_huge_pickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pickle.dumps(sources(50))
    for size in range(2, len(whole), 97):
        assert "Cannot read the pickle" in refused(text(tmp_path / "rows.pkl", whole[:size]), trust_pickle=True)
    monkeypatch.setattr(os, "sysconf", lambda name: 32)
    text(tmp_path / "rows.pkl", whole)
    assert "this machine has 1 kB of memory" in refused(tmp_path / "rows.pkl", trust_pickle=True)


def test_a_named_index_of_a_pickle_is_a_column(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": [3.5, 4.5]}, index=pd.Index([2**60 + 1, 7], name="objid"))
    for indexed in (frame, frame.reset_index().set_index("a", drop=False)):
        indexed.to_pickle(tmp_path / "rows.pkl")
        opened = open_table(tmp_path / "rows.pkl", trust_pickle=True)
        assert opened.names == ("objid", "a", "b")
        [(chunk, _)] = opened.chunks({"objid": "integer"})
        assert chunk["objid"].tolist() == [2**60 + 1, 7]


def test_a_pickle_of_several_kinds_in_a_column(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1, "x", None]}).to_pickle(tmp_path / "rows.pkl")
    assert "is not of one kind" in refused(tmp_path / "rows.pkl", {"a": "number"}, trust_pickle=True)


# HATS


def test_hats_comes_in_nested_order_without_its_own_columns(tmp_path: Path) -> None:
    frame = sources(90)
    write_hats(frame, tmp_path / "cat", parts=3)
    folder = tmp_path / "cat" / "dataset"
    moved = folder / "Norder=2" / "Dir=0" / "Npix=6.parquet"  # in the pixel 1 of order 1
    moved.parent.mkdir(parents=True)
    (folder / "Norder=1" / "Dir=0" / "Npix=1.parquet").rename(moved)
    (tmp_path / "cat" / "partition_info.csv").unlink()
    pq.write_metadata(pq.read_schema(moved), folder / "_common_metadata")
    opened = open_table(tmp_path / "cat")
    assert opened.names == tuple(frame.columns)
    assert [path.name for path in opened.files] == ["Npix=0.parquet", "Npix=6.parquet", "Npix=2.parquet"]
    found = read(opened, {"objid": "integer"})["objid"]
    assert found.tolist() == frame["objid"].tolist()


def test_several_files_a_pixel_and_a_collection(tmp_path: Path) -> None:
    frame = sources(40)
    write_hats(frame, tmp_path / "all" / "main", parts=1)
    leaf = tmp_path / "all" / "main" / "dataset" / "Norder=1" / "Dir=0" / "Npix=0.parquet"
    rows = pq.read_table(leaf, partitioning=None)
    leaf.unlink()
    leaf.with_suffix("").mkdir()
    for number in range(2):
        pq.write_table(rows.slice(20 * number, 20), leaf.with_suffix("") / f"part{number}.parquet")
    (tmp_path / "all" / "collection.properties").write_text("obs_collection=all\nhats_primary_table_url=main\n")
    assert read(open_table(tmp_path / "all"), {"objid": "integer"})["objid"].tolist() == frame["objid"].tolist()
    (tmp_path / "all" / "collection.properties").write_text("hats_primary_table_url=../elsewhere\n")
    assert "has no main catalogue" in refused(tmp_path / "all")


def test_damaged_hats(tmp_path: Path) -> None:
    write_hats(sources(40), tmp_path / "cat")
    leaf = tmp_path / "cat" / "dataset" / "Norder=1" / "Dir=0" / "Npix=1.parquet"
    whole = leaf.read_bytes()
    leaf.unlink()
    assert "has 20 rows and says 40" in refused(tmp_path / "cat")
    properties = tmp_path / "cat" / "hats.properties"
    properties.write_text("obs_collection=rows\n")
    assert "lacks the file of Norder=1, Npix=1" in refused(tmp_path / "cat")
    leaf.write_bytes(whole[:-20])
    with pytest.raises(IngestError, match=r"Npix=1.parquet as Parquet"):
        open_table(tmp_path / "cat")
    pq.write_table(pa.table({"other": [1]}), leaf)
    with pytest.raises(IngestError, match="lacks the column objid of the first file"):
        read(open_table(tmp_path / "cat"), {"objid": "integer"})
    properties.write_text("dataproduct_type=margin\n")
    assert "of the type 'margin'" in refused(tmp_path / "cat")
    (tmp_path / "cat" / "dataset" / "Norder=1").rename(tmp_path / "gone")
    properties.write_text("")
    assert "has no file dataset/Norder" in refused(tmp_path / "cat")
    (tmp_path / "plain").mkdir()
    assert "is a folder and no HATS catalogue" in refused(tmp_path / "plain")
