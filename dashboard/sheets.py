"""A page of the table of candidates: which columns, which rows, and all of it as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from galviz.catalogue import Catalogue
from galviz.draw import count
from galviz.listing import Expectation, expected, page
from galviz.manifest import Column, Manifest
from galviz.naming import iau_name
from galviz.selection import Selection

NAME = "iau_name"
DECIMALS = {"position": 5, "probability": 3, "best_probability": 3, "magnitude": 2, "redshift": 4, "morphology": 4}


def table_columns(manifest: Manifest) -> list[Column]:
    """What the table shows of a catalogue, by role: identifier, position, class, probabilities, filters, redshift."""
    wanted = [*manifest.of_role("id")[:1], *manifest.of_role("position")[:2]]
    if manifest.class_column:
        wanted.append(manifest.class_column)
    wanted += [*manifest.of_role("truth"), *manifest.of_role("probability")]
    wanted += [manifest.columns[name] for name in manifest.defaults.get("filters", ()) if name in manifest.columns]
    wanted += manifest.of_role("redshift")[:1]
    return list({column.name: column for column in wanted}.values())


def text_frame(frame: pd.DataFrame, columns: list[Column], prefix: str) -> pd.DataFrame:
    """A page as text, missing values empty; with the IAU name after the identifier where there is a position."""
    text = {column.name: _text(frame[column.name], column) for column in columns}
    places = [column.name for column in columns if column.role == "position"]
    if len(places) == 2:
        names = iau_name(frame[places[0]], frame[places[1]], prefix)
        before = {column.name: text.pop(column.name) for column in columns if column.role == "id"}
        text = {**before, NAME: names.tolist(), **text}
    return pd.DataFrame(text, dtype=object)


def _text(values: pd.Series[Any], column: Column) -> list[str]:
    if column.kind == "class":
        return values.astype(object).where(values.notna(), "").astype(str).tolist()
    if values.dtype.kind != "f":
        return [str(value) for value in values.tolist()]
    digits = DECIMALS.get(column.role, 3)
    sign = "+" if "pos.eq.dec" in column.ucd else ""
    return [f"{value:{sign}.{digits}f}" if np.isfinite(value) else "" for value in values.tolist()]


def name_prefix(manifest: Manifest) -> str:
    """The acronym before the position in the name of a source: that of the survey."""
    return manifest.survey.split("-")[0].upper()


@dataclass(frozen=True)
class Sheet:
    """One page to fetch: what is selected, by which column it is sorted, which page of how many rows."""

    catalogue: Catalogue
    selection: Selection
    probability: str
    sort: str
    descending: bool
    page: int
    size: int


@dataclass(frozen=True, eq=False)
class Fetched:
    """The rows of a sheet as text, the page they really are (counted from 1), and the sums over all pages."""

    frame: pd.DataFrame
    page: int
    expectation: Expectation

    def pages(self, size: int) -> int:
        return max(1, -(-self.expectation.rows // size))


def fetch(sheet: Sheet) -> Fetched:
    """Count the selected sources and read one page of them; a page beyond the last is the last."""
    if sheet.probability:
        sums = expected(sheet.catalogue, sheet.selection, sheet.probability)
    else:
        sums = Expectation(count(sheet.catalogue, sheet.selection), 0.0, 0.0)
    columns = table_columns(sheet.catalogue.manifest)
    number = min(max(sheet.page, 1), max(1, -(-sums.rows // sheet.size)))
    frame = page(
        sheet.catalogue, sheet.selection, columns=[column.name for column in columns], sort=sheet.sort,
        descending=sheet.descending, offset=(number - 1) * sheet.size, limit=sheet.size,
    )  # fmt: skip
    return Fetched(text_frame(frame, columns, name_prefix(sheet.catalogue.manifest)), number, sums)
