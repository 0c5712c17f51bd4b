"""Each row and value of a raw file ends in the right line of the ledger, and duplicates are resolved as they should."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galviz.catalogue import Catalogue
from galviz.errors import IngestError
from galviz.healpix import healpix
from galviz.ingest import account, ingest
from galviz.ingest.cleaning import KEPT, Ledger, applicable, judged
from galviz.manifest import Column
from galviz.surveys import SDSS_WISE, Source
from galviz.verify import verify
from tests.foreign import sources, write

SENTINELS = (-9999.0, -9999.2, 9999.0, np.nan, np.inf, -np.inf)
STEPS = ("smallest match_dist of each objid", "ra..dec known", "0 < cmod_r", "zwarning in {0, 16}", "w1..w4 < 50")


def made(catalogue: Catalogue) -> dict[str, Any]:
    return dict(catalogue.manifest.groups[0].provenance)


def dropped(catalogue: Catalogue) -> dict[str, int]:
    return {step["kept where"]: step["dropped"] for step in made(catalogue)["steps"]}


def ids(catalogue: Catalogue) -> list[int]:
    return sorted(x for part in range(catalogue.parts) for x in catalogue.read_part(part, ["objid"])["objid"].tolist())


def check_sum(catalogue: Catalogue) -> None:
    ledger = made(catalogue)
    left = ledger["rows_read"]
    for step in ledger["steps"]:
        left -= step["dropped"]
        assert step["left"] == left >= 0
    assert left == ledger["rows_kept"] == catalogue.rows


def labelled(rows: int, seed: int = 0) -> pd.DataFrame:
    return sources(rows, seed, labelled=True).assign(match_dist=np.random.default_rng(seed).uniform(0.1, 3, rows))


@pytest.mark.parametrize("suffix", [".csv", ".fits", ".parquet"])
def test_every_planted_defect_ends_in_the_right_line(tmp_path: Path, suffix: str) -> None:
    frame = labelled(200)
    base = frame["objid"].to_numpy().copy()
    frame.loc[[1, 2], "objid"] = base[0]  # a triplicate, the nearest of which is the last
    frame.loc[[0, 1, 2], "match_dist"] = [0.3, 0.2, 0.1]
    frame.loc[[4, 5, 6], "objid"] = base[3]  # four rows, the nearest of which has a bad redshift: none is left
    frame.loc[[3, 4, 5, 6], "match_dist"] = [0.1, 0.2, -9999.0, np.nan]
    frame.loc[3, "zwarning"] = 4
    frame.loc[8, "objid"] = base[7]  # nobody knows how near: the first row
    frame.loc[[7, 8], "match_dist"] = np.nan
    frame.loc[10, "objid"] = base[9]  # a known separation beats a missing one
    frame.loc[9, "match_dist"] = -9999.0
    frame.loc[[20, 21, 22], "zwarning"] = [1, 4, 16]
    frame.loc[[30, 31], "cmod_r"] = [-9999.0, -9999.2]
    frame.loc[[40, 41, 42], "w3"] = [9999.0, np.nan, np.inf]
    frame.loc[[50, 51, 52, 53], "psf_u"] = [-9999.0, -9999.2, np.nan, -np.inf]
    frame.loc[60, "dec"] = np.nan
    frame.loc[70, "objid"] = 2**62 + 3
    frame = frame[[*reversed(frame.columns)]]
    catalogue = ingest(write(frame, tmp_path / f"rows{suffix}"), tmp_path / "out", "sdss-wise")
    check_sum(catalogue)
    assert tuple(dropped(catalogue)) == STEPS
    assert list(dropped(catalogue).values()) == [2 + 3 + 1 + 1, 1, 2, 1 + 2, 3]
    gone = {base[1], base[2], *base[3:7], base[8], base[10], *base[[20, 21, 30, 31, 40, 41, 42, 60, 70]]}
    assert ids(catalogue) == sorted({*base.tolist(), 2**62 + 3} - gone)
    columns = {entry["name"]: entry for entry in made(catalogue)["columns"]}
    assert (columns["psf_u"]["sentinels to null"], columns["psf_u"]["missing"]) == (3, 4)
    assert columns["psf_u"]["nulled"] == {"below -100": 2, "infinite": 1}
    assert columns["w3"]["nulled"] == {"at least 9999": 1, "infinite": 1}
    assert made(catalogue)["duplicates"] == {
        "column": "objid", "nearest by": "match_dist", "shared": 4, "most rows": 4, "dropped": 7,
    }  # fmt: skip
    winner = catalogue.frame(["objid", "match_dist"]).compute().set_index("objid")["match_dist"]
    assert winner[base[0]] == np.float32(0.1)
    assert winner[base[9]] == np.float32(frame["match_dist"][10])
    lines = account(made(catalogue))
    assert lines[:3] == [
        "200 rows read",
        "7 dropped, kept where smallest match_dist of each objid: several rows share one objid",
        "1 dropped, kept where ra..dec known: a source needs a position",
    ]
    assert "4 objid stood in several rows, at most 4" in lines
    verify(catalogue)


def test_of_unlabelled_rows_duplicates_are_found_after_the_cuts(tmp_path: Path) -> None:
    frame = sources(10).assign(match_dist=1.0)
    frame.loc[1, "objid"] = frame["objid"][0]
    frame.loc[0, ["match_dist", "w1"]] = [0.5, 9999.0]
    catalogue = ingest(write(frame, tmp_path / "rows.csv"), tmp_path / "out", "sdss-wise")
    assert [*dropped(catalogue)][-1] == "smallest match_dist of each objid"
    assert dropped(catalogue)["0 < w1..w4 < 30"] == 1
    assert dropped(catalogue)["smallest match_dist of each objid"] == 0
    assert ids(catalogue) == sorted(frame["objid"][1:])


def test_a_file_that_is_given_twice_is_kept_once(tmp_path: Path) -> None:
    first = write(labelled(50), tmp_path / "a.csv")
    second = write(labelled(50).assign(ra=lambda f: f["ra"][::-1].to_numpy()), tmp_path / "b.parquet")
    catalogue = ingest([first, second, first], tmp_path / "out", "sdss-wise")
    assert dropped(catalogue)["smallest match_dist of each objid"] == 100
    assert sorted(np.concatenate([catalogue.read_part(0, ["ra"])["ra"]])) == sorted(labelled(50)["ra"])
    check_sum(catalogue)


def test_a_survey_without_identifiers_has_no_duplicates(tmp_path: Path) -> None:
    frame = sources(6, labelled=True).drop(columns=["objid", "cmod_r"])
    frame = frame.rename(columns={f"psf_{band}": f"mag_{band}" for band in "ugriz"})
    twice = write(pd.concat([frame, frame]), tmp_path / "sample.csv")
    catalogue = ingest(twice, tmp_path / "out", "sdss-wise-sample")
    assert catalogue.rows == 12
    assert "duplicates" not in made(catalogue)
    assert list(dropped(catalogue)) == ["ra..dec known"]


ROWS_OF_ONE_SOURCE = st.lists(
    st.tuples(
        st.integers(0, 6),  # which source
        st.sampled_from([0.5, 1.0, 1.5, -9999.0, 9999.0, float("nan")]),  # how near
        st.sampled_from([0, 0, 16, 4]),  # how its redshift is
        st.sampled_from([(10.0, 5.0), (10.0, 5.0), (200.0, -8.0), (10.0, float("nan"))]),
    ),
    min_size=1,
    max_size=40,
)


@given(rows=ROWS_OF_ONE_SOURCE, first=st.booleans(), data=st.data())
@settings(max_examples=25)
def test_the_nearest_row_wins_whatever_the_multiplicity(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], first: bool, data: st.DataObject
) -> None:
    """Against the rule said in pandas, with runs of few rows and identifiers in several buckets."""
    identity, near, zwarning, place = zip(*rows, strict=True)
    frame = sources(len(rows) + 1, labelled=first)
    frame["objid"] = [2**60 + 7 * value for value in identity] + [5]
    frame["match_dist"] = [*near, 1.0]
    frame["psf_u"] = np.arange(len(frame), dtype=np.float32) / 8 + 14
    frame[["ra", "dec"]] = np.array([*place, (1.0, 1.0)])
    if first:
        frame["zwarning"] = [*zwarning, 0]
    folder = tmp_path_factory.mktemp("rows")
    cut = data.draw(st.integers(0, len(frame) - 1))
    files = [
        write(part, folder / f"{name}.parquet") for name, part in (("a", frame[:cut]), ("b", frame[cut:])) if len(part)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("galviz.ingest.job.RUN_BYTES", 8 * 16 * data.draw(st.integers(1, 20)))
        patch.setattr("galviz.ingest.job.PART_ROWS", data.draw(st.integers(1, 20)))
        patch.setattr("galviz.ingest.readers.table.ROWS", data.draw(st.integers(1, 7)))
        patch.setattr("galviz.ingest.duplicates.BUCKET", data.draw(st.sampled_from([3, 10, 1000])))
        catalogue = ingest(files, folder / "out", "sdss-wise")
    known = frame.assign(near=frame["match_dist"].where(frame["match_dist"].between(0, 9998)))
    clean = frame["dec"].notna() & (frame["zwarning"].isin([0, 16]) if first else True)
    rivals = known if first else known[clean]
    winners = rivals.sort_values("near", kind="stable", na_position="last").drop_duplicates("objid")
    expected = winners[clean[winners.index]].sort_index()
    order = np.argsort(healpix(expected["ra"], expected["dec"]), kind="stable")
    found = np.concatenate([catalogue.read_part(part, ["psf_u"])["psf_u"] for part in range(catalogue.parts)])
    assert found.tolist() == expected["psf_u"].to_numpy()[order].tolist()
    assert dropped(catalogue)["smallest match_dist of each objid"] == len(rivals) - len(winners)
    counts = rivals["objid"].value_counts()
    shared = made(catalogue)["duplicates"]
    assert (shared["shared"], shared["most rows"]) == ((counts > 1).sum(), counts.max() if counts.max() > 1 else 0)
    check_sum(catalogue)
    verify(catalogue)


@given(
    values=st.lists(st.sampled_from([*SENTINELS, -5.0, 0.0, 12.0, 29.0, 30.0, 49.0, 50.0]), max_size=30),
    split=st.integers(0, 30),
)
def test_ledgers_of_stretches_add_up_to_that_of_the_whole(values: list[float], split: int) -> None:
    chosen = [source for source in SDSS_WISE.sources if source.column.name in ("ra", "dec", "w1")]
    steps = applicable(SDSS_WISE.steps, {"ra", "dec", "w1"})

    def ledger_of(part: list[float]) -> Ledger:
        ledger = Ledger(steps)
        arrays = {"ra": np.full(len(part), 1.0), "dec": np.zeros(len(part)), "w1": np.array(part, float)}
        fell = judged(arrays, chosen, SDSS_WISE, ledger)[1]
        assert ledger.kept == (fell == KEPT).sum()
        return ledger

    total = Ledger(steps)
    for part in (values[:split], values[split:]):
        total.add(json.loads(json.dumps(ledger_of(part).to_json())))
    assert total.entries() == ledger_of(values).entries()
    assert (total.sentinels, total.missing) == (ledger_of(values).sentinels, ledger_of(values).missing)
    assert sum(total.reasons.values()) == sum(np.isinf(v) or abs(v) >= 9999 for v in values)


WHOLE = replace(
    SDSS_WISE,
    sources=(
        *SDSS_WISE.sources,
        *(Source(Column(kind, kind, "flag"), (kind,)) for kind in ("int8", "int32", "int64")),
        Source(Column("narrow", "float32"), ("narrow",)),
    ),
)


@pytest.mark.parametrize("suffix", [".csv", ".fits", ".parquet"])
def test_numbers_at_the_ends_of_their_types_are_kept(tmp_path: Path, suffix: str) -> None:
    ends = {kind: [np.iinfo(kind).min, np.iinfo(kind).max, -1] for kind in ("int8", "int32")}
    most = np.finfo(np.float32).max
    frame = sources(3).assign(**ends, int64=[1 - 2**53, 2**53 - 1, 0], narrow=[most, -most, 0.0])
    made = ingest(write(frame, tmp_path / f"rows{suffix}"), tmp_path / "out", WHOLE).read_part(0)
    for name in (*ends, "int64", "narrow"):
        assert made[name].tolist() == frame[name].tolist()


@pytest.mark.parametrize("suffix", [".csv", ".fits"])
@pytest.mark.parametrize(
    ("column", "value"),
    [("int8", 128), ("int8", -129), ("int32", 2**31), ("int32", 0.5), ("int64", 2**53 + 1), ("int64", -(2**63))],
)
def test_a_number_that_its_column_cannot_hold_is_refused(
    tmp_path: Path, column: str, value: float, suffix: str
) -> None:
    frame = sources(3).assign(int8=0, int32=0, int64=0, narrow=0.0)
    frame[column] = [value, *frame[column][1:]]
    path = write(frame, tmp_path / f"rows{suffix}")
    with pytest.raises(IngestError, match=f"{path} has .* in the column {column}, which is {column} and holds whole"):
        ingest(path, tmp_path / "out", WHOLE)
    fallen = write(frame.assign(dec=[np.nan, *frame["dec"][1:]]), tmp_path / f"fallen{suffix}")
    assert ingest(fallen, tmp_path / "out", WHOLE).rows == 2


def test_a_number_beyond_single_precision_is_null(tmp_path: Path) -> None:
    frame = sources(4).assign(int8=0, int32=0, int64=0, narrow=[3.4028236e38, -1e300, np.inf, 3.4028235e38])
    catalogue = ingest(write(frame, tmp_path / "rows.csv"), tmp_path / "out", WHOLE)
    assert np.isnan(catalogue.read_part(0)["narrow"]).sum() == 3
    nulled = {entry["name"]: entry.get("nulled") for entry in made(catalogue)["columns"]}
    assert nulled["narrow"] == {"beyond float32": 2, "infinite": 1}


def test_very_many_unknown_classes_are_counted_together() -> None:
    ledger = Ledger(())
    ledger.unknown.update({f"x{number:04d}": 2 if number > 1990 else 1 for number in range(2000)})
    counts = ledger.to_json()["unknown"]
    assert len(counts) == 1001
    assert counts["(others)"] == 1000
    assert sum(counts.values()) == sum(ledger.unknown.values())


# Column, value, and the line in which a row with it ends; None where only the value is nulled, or nothing happens.
DEFECTS = (
    ("dec", np.nan, "ra..dec known"),
    ("ra", -9999.0, "ra..dec known"),
    ("cmod_r", -9999.0, "0 < cmod_r"),
    ("cmod_r", -9999.2, "0 < cmod_r"),
    ("zwarning", 1, "zwarning in {0, 16}"),
    ("zwarning", 4, "zwarning in {0, 16}"),
    ("zwarning", 16, None),
    ("w2", 9999.0, "w1..w4 < 50"),
    ("w3", np.inf, "w1..w4 < 50"),
    ("w4", np.nan, "w1..w4 < 50"),
    ("psf_g", -9999.2, None),
    ("psf_i", -np.inf, None),
    ("match_dist", -9999.0, None),
)


@given(
    planted=st.lists(st.lists(st.sampled_from(DEFECTS), max_size=3), min_size=1, max_size=30),
    names=st.permutations(sorted(labelled(1).columns)),
    suffix=st.sampled_from([".csv", ".parquet"]),
)
@settings(max_examples=25)
def test_rows_with_any_defects_end_at_the_first_step_that_they_fail(
    tmp_path_factory: pytest.TempPathFactory, planted: list[list[tuple[str, Any, Any]]], names: list[str], suffix: str
) -> None:
    frame = labelled(len(planted) + 1)
    frame["zwarning"] = 0
    frame["objid"] = 2**53 + 1 + 2 * np.arange(len(frame))
    nulled = dict.fromkeys(frame.columns, 0)
    lines: list[str | None] = []
    for row, defects in enumerate(planted):
        values = {column: value for column, value, _ in defects}
        ends = {line for column, value, line in defects if value is values[column]}
        for column, value in values.items():
            frame.loc[row, column] = value
            nulled[column] += column != "zwarning" and not np.isnan(value)
        lines.append(next((step for step in STEPS if step in ends), None))
    folder = tmp_path_factory.mktemp("planted")
    catalogue = ingest(write(frame[names], folder / f"rows{suffix}"), folder / "out", "sdss-wise")
    check_sum(catalogue)
    assert dropped(catalogue) == {step: lines.count(step) for step in STEPS}
    kept = [number for number, line in zip(frame["objid"], [*lines, None], strict=True) if line is None]
    assert ids(catalogue) == kept
    found = {entry["name"]: entry["sentinels to null"] for entry in made(catalogue)["columns"]}
    assert all(found[name] == nulled[name] for name in found if name in nulled)
