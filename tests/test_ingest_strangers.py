"""The wrong things that are given to ingest: each is read right, or refused in one sentence that says what it is."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from galviz.errors import IngestError
from galviz.ingest import account, ingest
from galviz.ingest.readers import ColumnNote, delimited, open_table
from galviz.ingest.readers.strangers import refuse_stranger
from tests.foreign import sources, write

FRAME = sources(30)
CSV = FRAME.to_csv(index=False)
HEADER, ROWS = CSV.split("\n", 1)


def text(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(path: Path | list[Path], tmp_path: Path) -> str:
    """The sentence with which an ingest is refused, after checking that nothing was written."""
    with pytest.raises(IngestError) as caught:
        ingest(path, tmp_path / "made" / "out", "sdss-wise")
    assert not list((tmp_path / "made").glob("*"))
    sentence = str(caught.value)
    assert sentence.isprintable()
    assert sentence.endswith(".")
    assert str(tmp_path) in sentence
    return sentence


def zipped(**files: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def tarred() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("rows.csv"), io.BytesIO(b""))
    return packed.getvalue()


HTML = (
    "<!DOCTYPE html>\n<html><head><title>SkyServer</title><style>h1 {color: red}</style></head>"
    "<body><h1>Error</h1><p>Your query timed out &amp; was stopped.</p></body></html>"
)
STRANGERS: dict[str, tuple[str | bytes, str]] = {
    "sheet.xlsx": (zipped(**{"[Content_Types].xml": "<x/>"}), "is a ZIP archive, or a spreadsheet; unpack it, or save"),
    "rows.zip": (zipped(**{"rows.csv": CSV}), "is a ZIP archive, or a spreadsheet; unpack it, or save"),
    "sheet.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "is a spreadsheet of Excel; save the sheet as CSV"),
    "rows.h5": (b"\x89HDF\r\n\x1a\n" + bytes(500), "is HDF5; convert its table to Parquet or FITS"),
    "rows.csv.bz2": (bz2.compress(CSV.encode()), "is packed by bzip2; unpack it"),
    "rows.csv.xz": (lzma.compress(CSV.encode()), "is packed by xz; unpack it"),
    "rows.tar": (tarred(), "is an archive of several files"),
    "rows.tar.gz": (gzip.compress(tarred()), "is an archive of several files"),
    "paper.pdf": (b"%PDF-1.5\n%\xe2\xe3\n1 0 obj", "is a PDF"),
    "rows.json": (json.dumps([{"objid": 1, "ra": 2.0}]), "is JSON, not a table"),
    "error.json": ('{"Error Message":"Invalid object name"}', 'it says \'{"Error Message":"Invalid object name"}\''),
    "page.csv": (HTML, "is a web page, not a table: it says 'SkyServer Error Your query timed out & was stopped'"),
    "page.html": ("\n  " + HTML.replace("<!DOCTYPE html>\n", ""), "is a web page, not a table"),
    "xhtml.csv": ('<?xml version="1.0"?>\n' + HTML, "is a web page, not a table"),
    "utf16.csv": (CSV.encode("utf-16"), "is text in UTF-16; save it as CSV in UTF-8"),
    "utf16be.csv": (CSV.encode("utf-16-be"), "is text in UTF-16; save it as CSV in UTF-8"),
    "utf16le.csv": (CSV.encode("utf-16-le"), "is text in UTF-16; save it as CSV in UTF-8"),
    "rows.tbl": ("\\fixlen = T\n| objid | ra |\n| long | double |\n 1 2.0\n", "is a table of IPAC"),
    "error.csv": ("ERROR: Maximum number of rows, 500000, exceeded\n" + CSV, "it says 'ERROR: Maximum number of rows"),
    "error2.csv": ("Error Message:\nIncorrect syntax near 'FROM'.\n", "'Error Message: Incorrect syntax near 'FROM'"),
    "none.csv": ("#Table1\nNo objects have been found\n", "No objects have been found"),
    "words.dat": (FRAME.to_csv(index=False, sep=" "), "separate them, and the values, by commas, semicolons or tabs"),
    "headless.csv": (ROWS, "holds no column names, but values; put a line of names before it"),
    "nothing.bin": (bytes(100), "is neither CSV, ECSV, FITS"),
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGERS)
def test_what_is_no_table_is_told_by_what_it_is(name: str, tmp_path: Path) -> None:
    content, words = STRANGERS[name]
    sentence = refused(text(tmp_path / name, content), tmp_path)
    assert words.replace("'", '"') in sentence.replace("'", '"')


@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_refused_in_a_sentence_or_passed_on(head: bytes) -> None:
    try:
        refuse_stranger(Path("rows"), head)
    except IngestError as error:
        assert str(error).isprintable()


@pytest.mark.parametrize("content", [CSV, "error_ra,ra\n1,2\n", "jsonid;ra\n1;2\n", "htmlid\tra\n1\t2\n", "class\n1\n",
                                     "ra,dec,3500,3600,3700,3800\n1,2,3,4,5,6\n"])  # fmt: skip
def test_a_table_is_no_stranger(content: str, tmp_path: Path) -> None:
    assert open_table(text(tmp_path / "rows.csv", content)).names


def test_a_folder_of_files_of_several_kinds(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    write(FRAME, folder / "a.csv")
    write(FRAME, folder / "b.fits")
    text(folder / "notes.txt", "hello")
    assert "is a folder and no HATS catalogue; name the files in it" in refused(folder, tmp_path)


def test_an_image_of_fits(tmp_path: Path) -> None:
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(tmp_path / "image.fits")
    assert "has no table; name a FITS file with a table extension" in refused(tmp_path / "image.fits", tmp_path)


@pytest.mark.parametrize("after", [False, True])
def test_what_a_server_says_of_a_query_that_failed(tmp_path: Path, after: bool) -> None:
    fields = "".join(f'<FIELD name="{name}" datatype="double"/>' for name in FRAME.columns)
    cells = "<TR>" + "<TD>1</TD>" * len(FRAME.columns) + "</TR>"
    table = f"<TABLE>{fields}<DATA><TABLEDATA>{cells}</TABLEDATA></DATA></TABLE>"
    info = '<INFO name="QUERY_STATUS" value="ERROR">No column\n "psf_q" &amp; no more.</INFO>'
    body = table + info if after else info
    path = text(tmp_path / "a.vot", f'<?xml version="1.0"?><VOTABLE><RESOURCE>{body}</RESOURCE></VOTABLE>')
    with pytest.raises(IngestError, match=r"says that the query failed \('No column \"psf_q\" & no more'\); ask for"):
        list(open_table(path).chunks({"ra": "number"}))


@pytest.mark.parametrize("where", ["before", "behind", "nowhere"])
def test_a_query_that_was_cut_off_is_told(tmp_path: Path, where: str) -> None:
    write(FRAME, tmp_path / "rows.fits")
    Table.read(tmp_path / "rows.fits").write(tmp_path / "rows.vot", format="votable")
    info, words = "<INFO name='QUERY_STATUS' value='OVERFLOW'/>", (tmp_path / "rows.vot").read_text()
    if where == "before":
        words = words.replace("<TABLE", f"{info}<TABLE", 1)
    elif where == "behind":
        words = words.replace("</TABLE>", f"</TABLE>{info}")
    made = ingest(text(tmp_path / "rows.vot", words), tmp_path / "out", "sdss-wise").manifest.groups[0].provenance
    told = account(made)[0] == "rows.vot says that the query found more rows than it sent (OVERFLOW)"
    assert told is ("warning" in made["files"][0]) is (where != "nowhere")


# Text as others write it

SPELLED: dict[str, str] = {
    "crlf": CSV.replace("\n", "\r\n"),
    "byte order mark": "\ufeff" + CSV,
    "empty lines at the end": CSV + "\n\n   \n \r\n\n",
    "for excel": "sep=;\n" + FRAME.to_csv(index=False, sep=";"),
    "bars": FRAME.to_csv(index=False, sep="|"),
    "delimiter at the end": CSV.replace("\n", ",\n"),
    "quoted": FRAME.to_csv(index=False, quoting=1),
    "latin-1 in a column that is not read": HEADER + ",note\n" + ROWS.replace("\n", ",\u00e9\n"),
    "with an index": FRAME.to_csv(),
}


@pytest.mark.parametrize("name", SPELLED)
def test_text_as_others_write_it_is_read_right(name: str, tmp_path: Path) -> None:
    encoded = SPELLED[name].encode("latin-1" if name.startswith("latin") else "utf-8")
    for path, data in ((tmp_path / "rows.csv", encoded), (tmp_path / "rows.csv.gz", gzip.compress(encoded))):
        columns = ingest(text(path, data), tmp_path / f"of{path.suffix}", "sdss-wise").read_part(0)
        np.testing.assert_array_equal(np.sort(columns["objid"]), FRAME["objid"])
        np.testing.assert_array_equal(columns["ra"], FRAME["ra"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (FRAME.to_csv(index=False, sep=";", decimal=","), "Line 2 of .* in the column ra, .*; write decimal points"),
        (CSV + "ERROR: query exceeded the memory limit\n", r"Line 32 of .* has 1 values \('ERROR: query exceeded"),
        (CSV + "#comment\n", r"Line 32 of .* has 1 values \('#comment'\)"),
        (CSV + "   \n\n" + ROWS, "Line 32 of .* has no values, and others follow"),
        (CSV + "," * 13 + "\n", "Line 32 of .* has 14 values"),
        (CSV + CSV, "Line 32 of .* has 'objid' in the column objid"),
        (HEADER + ",note\n" + ROWS.replace("\n", ',"two\nlines"\n'), "Line 2 of .* ends 1 lines later; .* line breaks"),
    ],
)
def test_text_that_cannot_be_right(content: str, words: str, tmp_path: Path) -> None:
    assert re.search(words, refused(text(tmp_path / "rows.csv", content), tmp_path))


@pytest.mark.parametrize("size", [1, 5, 100, 4096, 1 << 20])
@given(
    rows=st.integers(0, 300),
    end=st.sampled_from(["", "\n", "\n\n  \n", "\r\n   ", "\n#END# x", "\n\n#INFO\ta\n#END#\n"]),
)
def test_the_end_of_a_stream_is_cut_off_once(size: int, rows: int, end: str) -> None:
    lines = [f"{number},{'x' * (number % 50)}" for number in range(rows)]
    stream = delimited._Counted(io.BytesIO(("head\n" + "\n".join(lines) + end).encode()), 5)
    blocks = list(iter(lambda: stream.read(size), b""))
    found = b"".join(blocks).decode()
    assert found.rstrip("\r\n") == "\n".join(lines) or not lines
    assert stream.lines == len(found.splitlines())


def test_commas_between_thousands(tmp_path: Path) -> None:
    frame = FRAME.assign(objid=[f"{number:,}" for number in FRAME["objid"]])
    words = "in the column objid, which needs a whole number below 2^63; write decimal points, and nothing between"
    assert f"{words} thousands" in refused(write(frame, tmp_path / "rows.csv"), tmp_path)


def test_a_header_in_one_of_several_files(tmp_path: Path) -> None:
    paths = [text(tmp_path / "a.csv", CSV), text(tmp_path / "b.csv", ROWS)]
    assert f"The first line of {paths[1]} holds no column names" in refused(paths, tmp_path)


# VizieR

VIZIER = (
    "#\n#   VizieR Astronomical Server vizier.cds.unistra.fr\n#Table\tII_1:\n"
    "#Column\tRAJ2000\t(F10.6)\tRight ascension (J2000)\t[ucd=pos.eq.ra;meta.main]\n"
    "#Column\tgmag\t(F6.3)\t? Magnitude\t[ucd=phot.mag;em.opt.B]\n"
    "RAJ2000\tDEJ2000\tgmag\tn\ndeg\tdeg\tmag\t\n----------\t----------\t------\t-\n"
    "010.684708\t+41.268750\t17.125\t1\n011.000000\t-00.500000\t      \t2\n\n#INFO\trows=2\n#END# -ref=VIZ\n"
)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_text_as_vizier_writes_it(tmp_path: Path, ends: str) -> None:
    opened = open_table(text(tmp_path / "asu.tsv", VIZIER.replace("\n", ends)))
    assert opened.columns == {
        "RAJ2000": ColumnNote("deg", "pos.eq.ra;meta.main", "Right ascension (J2000)"),
        "DEJ2000": ColumnNote("deg"),
        "gmag": ColumnNote("mag", "phot.mag;em.opt.B", "? Magnitude"),
    }
    columns = ingest(tmp_path / "asu.tsv", tmp_path / "out", "generic").read_part(0)
    assert columns["ra"].tolist() == [10.684708, 11.0]
    assert columns["dec"].tolist() == [41.26875, -0.5]
    np.testing.assert_array_equal(columns["gmag"], [17.125, np.nan])


def test_a_row_of_dashes_is_no_rule_where_numbers_stand_above(tmp_path: Path) -> None:
    path = text(tmp_path / "rows.tsv", "ra\tdec\tgmag\n1\t2\t3\n---\t---\t---\n4\t5\t6\n")
    opened = open_table(path)
    with pytest.raises(IngestError, match=r"Line 3 of .* has '---' in the column ra"):
        list(opened.chunks({"ra": "number"}))


def test_a_long_rule_is_looked_at_once(tmp_path: Path) -> None:
    path = text(tmp_path / "rows.tsv", "ra\tdec\nx\ty\n" + "-" * 60_000 + "x\n1\t2\n")
    assert open_table(path).names == ("ra", "dec")
