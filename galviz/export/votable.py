"""VOTable, and the VOTable without rows that tells in the metadata of a Parquet file what its columns are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from galviz.export.sheet import Sheet
from galviz.manifest import Column

VERSION, CONTENT = b"IVOA.VOTable-Parquet.version", b"IVOA.VOTable-Parquet.content"
_END = "</TABLE>\n</RESOURCE>\n</VOTABLE>\n"
_VOTABLE_TYPES = {
    "b1": "boolean",
    "i1": "short",
    "i2": "short",
    "i4": "int",
    "i8": "long",
    "f4": "float",
    "f8": "double",
}


def write_votable(sheet: Sheet, file: BinaryIO) -> None:
    """VOTable 1.4 with TABLEDATA; the provenance stands in INFO elements."""
    file.write(_header(sheet, sheet.columns, f' nrows="{sheet.rows}"').encode())
    file.write(b"<DATA><TABLEDATA>\n")
    for chunk in sheet.chunks:
        cells = [_cells(chunk[column.name]) for column in sheet.columns]
        rows = ("</TD><TD>".join(row) for row in zip(*cells, strict=True))
        file.write("".join(f"<TR><TD>{row}</TD></TR>\n" for row in rows).encode())
    file.write(b"</TABLEDATA></DATA>\n")
    file.write(_END.encode())


def described(schema: Any, sheet: Sheet, first: tuple[Column, ...] = ()) -> Any:
    """An Arrow schema of the columns `first` and those of a sheet, with a VOTable of them in its metadata.

    So says the note VOParquet 1.0 of the IVOA, and so TOPCAT, astropy and hats read it.
    """
    votable = _header(sheet, (*first, *sheet.columns)) + _END
    return schema.with_metadata({**schema.metadata, VERSION: b"1.0", CONTENT: votable.encode()})


def _header(sheet: Sheet, columns: Sequence[Column], more: str = "") -> str:
    """A document up to its rows."""
    return "".join(
        (
            '<?xml version="1.0" encoding="UTF-8"?>\n',
            '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n<RESOURCE type="results">\n',
            *(f"<INFO name={quoteattr(key)} value={quoteattr(value)}/>\n" for key, value in sheet.provenance.items()),
            f'<TABLE name="sources"{more}>\n',
            *(_field(column, sheet.width) for column in columns),
        )
    )


def _field(column: Column, width: int) -> str:
    """A FIELD; names of classes take `width` letters, since astropy reads no text of any length from Parquet."""
    kind = f'datatype="char" arraysize="{width}"'
    if column.kind != "class":
        kind = f'datatype="{_VOTABLE_TYPES[np.dtype(column.dtype).str[1:]]}"'
    unit = f" unit={quoteattr(column.unit)}" if column.unit else ""
    ucd = f" ucd={quoteattr(column.ucd)}" if column.ucd else ""
    words = f"<DESCRIPTION>{escape(column.description)}</DESCRIPTION>" if column.description else ""
    return f"<FIELD name={quoteattr(column.name)} {kind}{unit}{ucd}>{words}</FIELD>\n"


def _cells(values: NDArray[Any]) -> list[str]:
    """Values as text of the shortest form that reads back equal; a missing number is empty."""
    if values.dtype.kind == "f":
        return ["" if value != value else str(value) for value in values]
    if values.dtype.kind == "b":
        return ["T" if value else "F" for value in values]
    return [escape(str(value)) for value in values.tolist()]
