"""What goes out through an exporter comes in again through ingest as it was: values, units, identifiers, classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import galviz as gv
from galviz.catalogue import Catalogue, CatalogueWriter, open_catalogue
from galviz.export import EXPORTERS, FOLDERS
from galviz.ingest import ingest
from galviz.ingest.readers import open_table
from galviz.manifest import Column, new_manifest
from galviz.surveys import Source, Survey
from tests.samples import CLASSES

SUFFIXES = (*EXPORTERS, *FOLDERS)
FIELDS = (
    Column("objid", "int64", "id", "", "meta.id;meta.main", "Identifier"),
    Column("ra", "float64", "position", "deg", "pos.eq.ra", "Right ascension"),
    Column("dec", "float64", "position", "deg", "pos.eq.dec", 'Declination, "so called", <north> up: yes # really'),
    Column("single", "float32", "magnitude", "mag", "phot.mag", "Single precision"),
    Column("double", "float64", "other", "erg / s", "phys.luminosity", "Double precision"),
    Column("class", "int8", "truth", "", "src.class", "Class", kind="class"),
)
SURVEY = Survey(
    name="round", title="Round trip", sources=tuple(Source(column, (column.name,)) for column in FIELDS),
    classes=CLASSES, features=(),
)  # fmt: skip


def floats(width: int) -> st.SearchStrategy[float]:
    """All numbers but infinities, which no catalogue holds: NaN, -0.0, the smallest and the largest among them."""
    return st.floats(allow_nan=True, allow_infinity=False, width=width)


ROW = st.tuples(
    st.floats(0, 360, exclude_max=True),
    st.floats(-90, 90),
    floats(32),
    floats(64),
    st.integers(-1, len(CLASSES) - 1),
)
IDENTIFIERS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(2**53, 2**53 + 99))


def arrays(rows: dict[int, tuple[Any, ...]]) -> dict[str, np.ndarray]:
    columns = [list(rows), *zip(*rows.values(), strict=True)]
    return {entry.name: np.array(values, entry.dtype) for entry, values in zip(FIELDS, columns, strict=True)}


def write(path: Path, columns: dict[str, np.ndarray]) -> Catalogue:
    fields = {"title": "Round trip", "simulated": False, "classes": CLASSES, "features": (), "derived": ()}
    with CatalogueWriter(path, FIELDS, new_manifest("round", "round", {}, defaults={}, **fields)) as writer:
        writer.write(0, columns)
    return open_catalogue(path)


def bits(values: np.ndarray) -> np.ndarray:
    """Values so that -0.0 and 0.0 differ, and all NaN are one."""
    if values.dtype.kind != "f":
        return values
    return np.where(np.isnan(values), np.nan, values).astype(values.dtype).view(f"i{values.dtype.itemsize}")


def sorted_columns(catalogue: Catalogue) -> dict[str, np.ndarray]:
    parts = [catalogue.read_part(part) for part in range(catalogue.parts)]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(columns["objid"])
    return {name: values[order] for name, values in columns.items()}


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(rows=st.dictionaries(IDENTIFIERS, ROW, min_size=1, max_size=30))
def test_every_bit_comes_back(
    suffix: str, rows: dict[int, tuple[Any, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("round")
    before = write(folder / "before", arrays(rows))
    gv.export(before, None, folder / f"rows{suffix}")
    table = open_table(folder / f"rows{suffix}")
    for column in FIELDS:
        note = table.columns.get(column.name)
        assert (note.unit if note else "") == column.unit
        if suffix != ".csv":
            assert note is not None
            assert (note.ucd, note.description) == (column.ucd, column.description)
    assert not table.simulated
    after = [ingest(folder / f"rows{suffix}", folder / "after", SURVEY)]
    if suffix in FOLDERS:
        after.append(open_catalogue(folder / f"rows{suffix}"))
    there = sorted_columns(before)
    for catalogue in after:
        back = sorted_columns(catalogue)
        for name, values in there.items():
            assert back[name].dtype == values.dtype
            np.testing.assert_array_equal(bits(back[name]), bits(values), err_msg=name)
        assert [catalogue.manifest.columns[column.name].unit for column in FIELDS] == [c.unit for c in FIELDS]
