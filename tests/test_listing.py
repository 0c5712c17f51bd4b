from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import law
from galviz.catalogue import Catalogue, open_catalogue
from galviz.errors import SelectionError
from galviz.index import build_index
from galviz.listing import expected, page, sort_keys
from galviz.manifest import Column
from tests.samples import random_arrays, write_catalogue

ROWS = 700


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    arrays = random_arrays(ROWS)
    arrays["r"] = np.round(arrays["r"])  # many sources of equal magnitude
    made = write_catalogue(tmp_path_factory.mktemp("listing") / "sample", arrays)
    build_index(made)
    return made


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """The same sources without an index."""
    arrays = random_arrays(ROWS)
    arrays["r"] = np.round(arrays["r"])
    return write_catalogue(tmp_path_factory.mktemp("listing") / "bare", arrays)


def whole(catalogue: Catalogue, selection: str, sort: str | None, descending: bool) -> pd.DataFrame:
    """The law: a stable sort of everything in memory, missing values last."""
    frame = catalogue.frame().compute().reset_index(drop=True)
    frame = frame[catalogue_mask(catalogue, selection)]
    if sort is None:
        return frame
    keys = frame[sort].cat.codes.where(frame[sort].notna()) if sort == "class" else frame[sort]
    keys = -keys if descending and keys.dtype.kind == "f" else keys
    ascending = keys.dtype.kind == "f" or not descending
    return frame.loc[keys.sort_values(kind="stable", ascending=ascending, na_position="last").index]


def catalogue_mask(catalogue: Catalogue, selection: str) -> np.ndarray:
    frame = catalogue.frame().compute()
    return np.ones(len(frame), bool) if not selection else (frame["y"] > 0).to_numpy()


@given(
    selection=st.sampled_from(["", "y > 0"]),
    sort=st.sampled_from([None, "r", "objid", "class", "note", "r_w"]),
    descending=st.booleans(),
    limit=st.sampled_from([1, 25, 50, 333]),
    indexed=st.booleans(),
)
def test_pages_hold_every_source_once_in_the_order_of_a_stable_sort(
    catalogue: Catalogue, bare: Catalogue, selection: str, sort: str | None, descending: bool, limit: int, indexed: bool
) -> None:
    source = catalogue if indexed else bare
    want = whole(source, selection, sort, descending)
    offsets = range(0, len(want) + limit, limit) if limit > 1 else range(5)
    pages = [
        page(source, selection, columns=["objid", "note"], sort=sort, descending=descending, offset=o, limit=limit)
        for o in offsets
    ]
    got = pd.concat(pages)
    want = want if limit > 1 else want.iloc[:5]
    assert got.index.tolist() == want.index.tolist()
    assert got["objid"].tolist() == want["objid"].tolist()
    np.testing.assert_array_equal(got["note"], want["note"])


def test_object_ids_keep_every_digit_and_classes_are_names(catalogue: Catalogue) -> None:
    first = page(catalogue, columns=["objid", "class"], sort="objid", descending=True, limit=3)
    assert first["objid"].tolist() == [2**60 + ROWS - 1, 2**60 + ROWS - 2, 2**60 + ROWS - 3]
    assert list(first["class"].cat.categories) == ["GALAXY", "QSO", "STAR"]


def test_a_page_beyond_the_end_and_an_empty_selection_are_empty(catalogue: Catalogue) -> None:
    assert page(catalogue, columns=["objid"], sort="r", offset=ROWS).empty
    assert page(catalogue, "y > 0 and y < -1", columns=["objid"], sort="r").empty
    assert page(catalogue, "y > 0 and y < -1", columns=["objid"]).empty


def test_an_unknown_column_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises(SelectionError, match="no column 'nothing'"):
        page(catalogue, columns=["objid"], sort="nothing")
    with pytest.raises(SelectionError, match="no column 'nothing'"):
        page(catalogue, columns=["nothing"])


def test_the_expected_number_is_the_sum_of_probabilities(tmp_path: Path) -> None:
    arrays = random_arrays(400)
    arrays["note"] = np.random.default_rng(1).random(400).astype(np.float32)
    arrays["note"][:7] = np.nan
    made = write_catalogue(tmp_path / "sample", arrays)
    chosen = arrays["y"] > 0
    p = np.nan_to_num(arrays["note"][chosen].astype(float))
    result = expected(open_catalogue(made.path), "y > 0", "note")
    assert result.rows == chosen.sum()
    assert result.number == pytest.approx(p.sum())
    assert result.deviation == pytest.approx(np.sqrt((p * (1 - p)).sum()))


TEXTS = (
    "", "r > 17 and p_best >= 0.5", "class_pred == 'STAR' and i > 15", "class_pred == 'NOVA'", "note > 0",
    "polygon(u, v, -4, -3, 4, 2, -4, 2, 4, -3, 0, 4)", "box(ra, dec, 50, 200, -30, 30)",
)  # fmt: skip


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalogue, Catalogue]:
    """The same sources: sorted planes without a column in row order, and no index."""
    arrays = law.survey(2500, 41)
    arrays["r"] = np.round(arrays["r"])
    folder = tmp_path_factory.mktemp("planes")
    several = [law.write(folder / name, arrays) for name in ("planes", "bare")]
    with law.cut_small(2500, loose=False):
        assert not build_index(several[0]).columns
    return several[0], several[1]


@pytest.mark.parametrize("sort", [None, "r", "p_best", "p_star", "odd", "class_pred", "u", "size", "class", "i", "g_r"])
@pytest.mark.parametrize("text", TEXTS)
def test_pages_from_sorted_planes_equal_those_in_row_order(
    planes: tuple[Catalogue, Catalogue], text: str, sort: str | None
) -> None:
    own, other = planes
    columns = ["r", "p_best", "class_pred", "note", "odd", "ra"]
    for descending in (False, True):
        for offset, limit in ((0, 25), (700, 3), (0, 5000), (10**6, 10), (-5, 4)):
            pages = [
                page(made, text, columns=columns, sort=sort, descending=descending, offset=offset, limit=limit)
                for made in (own, other)
            ]
            pd.testing.assert_frame_equal(*pages)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("column", ["p_best", "p_star"])
def test_expected_numbers_from_sorted_planes_equal_those_in_row_order(
    planes: tuple[Catalogue, Catalogue], text: str, column: str
) -> None:
    own, other = (expected(made, text, column) for made in planes)
    assert own.rows == other.rows
    assert own.number == pytest.approx(other.number, rel=1e-12)
    assert own.deviation == pytest.approx(other.deviation, rel=1e-9)


def test_whole_numbers_and_flags_sort_as_they_are() -> None:
    kinds = {
        "uint8": [0, 255, 3], "int8": [-128, 127, 0], "uint64": [2**64 - 1, 0, 2**63], "int64": [-(2**63), 2**63 - 1],
        "bool": [True, False, True], "float32": [1.5, -np.inf, np.nan], "float64": [np.inf, -2.0, np.nan],
    }  # fmt: skip
    for dtype, numbers in kinds.items():
        values = np.array(numbers, dtype)
        for descending in (False, True):
            order = np.argsort(sort_keys(values, Column("a", dtype), descending), kind="stable")
            known = [k for k in order.tolist() if values[k] == values[k]]
            wanted = sorted(known, key=lambda k: values[k].item(), reverse=descending)
            assert [values[k] for k in known] == [values[k] for k in wanted]
            assert all(np.isnan(values[k]) for k in order[len(known) :])


def test_missing_and_infinite_values_end_a_page(tmp_path: Path) -> None:
    arrays = random_arrays(40)
    arrays["w"] = np.where(np.arange(40) % 4 == 0, np.nan, np.where(np.arange(40) % 4 == 1, np.inf, np.arange(40.0)))
    made = write_catalogue(tmp_path / "sample", arrays)
    for descending in (False, True):
        values = page(made, columns=["w"], sort="w", descending=descending)["w"].to_numpy()
        assert np.isnan(values[30:]).all()
        assert np.isinf(values[:10] if descending else values[20:30]).all()
