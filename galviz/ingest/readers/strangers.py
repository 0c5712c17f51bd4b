"""What is given for a table and is none, told by its first bytes, and what to do with it."""

from __future__ import annotations

import html
import re
from pathlib import Path

from galviz.errors import IngestError

# How files of other formats begin, what they are, and what to do.
_BEGINNINGS = (
    (b"PK\x03\x04", "is a ZIP archive, or a spreadsheet", "unpack it, or save the sheet as CSV in UTF-8"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is a spreadsheet of Excel", "save the sheet as CSV in UTF-8"),
    (b"\x89HDF\r\n\x1a\n", "is HDF5", "convert its table to Parquet or FITS"),
    (b"BZh", "is packed by bzip2", "unpack it"),
    (b"\xfd7zXZ\0", "is packed by xz", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "is packed by Zstandard", "unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "is packed by 7-Zip", "unpack it"),
    (b"ARROW1\0\0", "is an Arrow file", "convert it to Parquet"),
    (b"SQLite format 3\0", "is a database of SQLite", "export its table as CSV"),
    (b"\x93NUMPY", "is an array of NumPy", "convert it to Parquet, with names of columns"),
    (b"%PDF-", "is a PDF", "look for the table in another format"),
    (b"\x89PNG", "is a picture", "name a table"),
)
_TAR = slice(257, 262)  # where an archive of tar says so
WIDE = (b"\xfe\xff", b"\xff\xfe")  # how text of two bytes a letter begins
_WORDS = 160  # letters of what a page says that are told
_COMPLAINT = re.compile(
    r"\W*(error\b[^,;\t]*:|exception\b|no (objects|rows|records) (have|were|found)|incorrect syntax|your (sql|query) )",
    re.IGNORECASE,
)


def refuse_stranger(path: Path, head: bytes) -> None:
    """Raise IngestError where the first bytes of a file, unpacked, are those of something else than a table."""
    if found := next((entry for entry in _BEGINNINGS if head.startswith(entry[0])), None):
        raise IngestError(f"{path} {found[1]}; {found[2]}.")
    if head[_TAR] == b"ustar":
        raise IngestError(f"{path} is an archive of several files (tar); unpack it.")
    if head.startswith(WIDE) or _is_wide(head):
        raise IngestError(f"{path} is text in UTF-16; save it as CSV in UTF-8.")
    start = head[:2000].decode("utf-8-sig", "replace").lstrip()
    if re.match(r"(<\?xml[^<]*)?<(!doctype\s+)?html\b", start, re.IGNORECASE):
        raise IngestError(f"{path} is a web page, not a table{_said(start)}; ask for the table again.")
    if re.match(r"[\[{]\s*([\[{\"]|$)", start):
        raise IngestError(f"{path} is JSON, not a table{_said(start)}; ask for CSV, FITS, VOTable or Parquet.")
    if re.match(r"\\[\w ]+=|\|", start):
        raise IngestError(f"{path} is a table of IPAC; ask for CSV, FITS or VOTable.")


def refuse_complaint(path: Path, header: str, head: bytes) -> None:
    """Raise IngestError where the line of column names is the error message of a server, as the first bytes tell it."""
    if _COMPLAINT.match(header):
        raise IngestError(f"{path} is no table{_said(head[:2000].decode('utf-8-sig', 'replace'))}; ask for it again.")


def _is_wide(head: bytes) -> bool:
    """Whether it is letters of ASCII with a null byte beside each."""
    pairs = head[:200]
    return len(pairs) > 20 and any(
        not any(pairs[side::2]) and all(0 < byte < 128 for byte in pairs[1 - side :: 2]) for side in (0, 1)
    )


def _said(text: str) -> str:
    """The first words of a page or a message, in quotation marks."""
    body = re.sub(r"<(style|script)\b.*?(</\1>|$)|<[^>]*>", " ", text, flags=re.IGNORECASE | re.DOTALL)
    words = " ".join(html.unescape(body).split())
    printable = "".join(letter if letter.isprintable() else "?" for letter in words[:_WORDS]).rstrip(". ")
    return f": it says {printable!r}" if printable else ""
