"""A catalogue on disk is whole or it is not there, and it says so in a sentence."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galviz.catalogue import Catalogue, CatalogueWriter, blocks, open_catalogue
from galviz.errors import CatalogueError, SelectionError
from galviz.manifest import Column, Manifest, new_manifest
from galviz.selection import Selection
from galviz.verify import verify
from tests.faults import Disk, failing
from tests.samples import CLASSES, COLUMNS, random_arrays, small_disk, write_catalogue

ARRAYS = random_arrays(1000)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return write_catalogue(tmp_path / "cat", ARRAYS)


def refuses(work: Callable[[], Any], words: str) -> None:
    with pytest.raises(CatalogueError, match=words) as caught:
        work()
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def table() -> pd.DataFrame:
    """The rows as pandas holds them."""
    whole = pd.DataFrame(ARRAYS)
    names = pd.Index([entry.name for entry in CLASSES], dtype=object)
    whole["class"] = pd.Categorical.from_codes(ARRAYS["class"], categories=names)
    return whole


def test_the_manifest_reads_back_as_it_was_written(catalogue: Catalogue) -> None:
    again = Manifest.from_json(catalogue.manifest.to_json())
    assert again == catalogue.manifest
    assert again.columns["r_w"].formula == ("difference", "r", "w")
    assert again.groups[0].provenance["made"] == "by a test"
    assert open_catalogue(catalogue.path) == catalogue
    assert hash(open_catalogue(catalogue.path)) == hash(catalogue)


def test_the_manifest_knows_rows_and_the_digest_of_every_part(catalogue: Catalogue) -> None:
    parts = catalogue.manifest.groups[0].parts
    assert [part.rows for part in parts] == [334, 333, 333]
    assert catalogue.rows == 1000
    for part in parts:
        assert hashlib.sha256((catalogue.path / part.path).read_bytes()).hexdigest() == part.sha256
    assert catalogue.digest == hashlib.sha256((catalogue.path / "manifest.json").read_bytes()).hexdigest()


def test_rows_come_back_as_they_were_written(catalogue: Catalogue) -> None:
    stored = list(ARRAYS)
    pd.testing.assert_frame_equal(catalogue.frame(stored).compute().reset_index(drop=True), table())
    for name, values in catalogue.read_part(1, stored).items():
        assert values.dtype == COLUMNS[name].dtype
        np.testing.assert_array_equal(values, ARRAYS[name][334:667])


def test_derived_columns_are_computed_and_wait_for_what_they_are_made_from(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    made = catalogue.frame(["r_w"]).compute()["r_w"]
    np.testing.assert_array_equal(made, (ARRAYS["r"] - ARRAYS["w"]).astype(np.float32))
    without = write_catalogue(tmp_path / "nine", {name: ARRAYS[name] for name in ("x", "r")})
    assert "r_w" not in without.manifest.columns


@pytest.mark.parametrize("text", ["", "r < 20", "class == 'QSO' and x > 0", "r_w > 3", "r > 99", "class in []"])
def test_frame_and_count_equal_pandas(catalogue: Catalogue, text: str) -> None:
    whole = table().assign(r_w=lambda t: (t["r"] - t["w"]).astype(np.float32))
    expected = whole[Selection.parse(text).mask(whole)]
    got = catalogue.frame(["objid", "class"], text).compute()
    pd.testing.assert_frame_equal(got.reset_index(drop=True), expected[["objid", "class"]].reset_index(drop=True))
    assert catalogue.count(text) == catalogue.count(Selection.parse(text)) == len(expected)


def test_a_frame_knows_its_columns_before_it_is_computed(catalogue: Catalogue) -> None:
    lazy = catalogue.frame(["class", "r_w", "objid"])
    assert lazy.npartitions == 3
    pd.testing.assert_series_equal(lazy.dtypes, lazy.compute().dtypes)


def test_class_means_the_prediction_where_there_is_no_truth(tmp_path: Path, catalogue: Catalogue) -> None:
    arrays = dict(ARRAYS)
    arrays["class_pred"] = arrays.pop("class")
    unlabelled = write_catalogue(tmp_path / "unlabelled", arrays)
    assert unlabelled.count("class == 'QSO'") == catalogue.count("class == 'QSO'")
    assert list(unlabelled.frame(["class", "x"]).columns) == ["class", "x"]
    assert unlabelled.manifest.class_column == COLUMNS["class_pred"]
    assert catalogue.manifest.class_column == COLUMNS["class"]
    nothing = write_catalogue(tmp_path / "none", {"x": ARRAYS["x"]})
    with pytest.raises(SelectionError, match="no column 'class'"):
        nothing.count("class == 'QSO'")


def test_unknown_columns_are_refused_before_anything_is_read(catalogue: Catalogue) -> None:
    for work in (lambda: catalogue.frame(["absent"]), lambda: catalogue.frame(None, "absent > 1")):
        with pytest.raises(SelectionError, match="has no column 'absent'"):
            work()


def sidecar(catalogue: Catalogue, factor: float = 1.0, name: str = "u") -> Catalogue:
    parts = ({name: catalogue.read_part(part, ["r"])["r"] * factor} for part in range(catalogue.parts))
    return catalogue.add_columns("side", [Column(name, "float32", "embedding")], parts, {"factor": factor})


def test_a_sidecar_makes_the_next_version_and_leaves_the_old_value_alone(catalogue: Catalogue) -> None:
    second = sidecar(catalogue)
    assert (catalogue.manifest.version, second.manifest.version) == (1, 2)
    assert second != catalogue
    assert "u" not in catalogue.manifest.columns
    np.testing.assert_array_equal(second.frame(["u"]).compute()["u"], ARRAYS["r"])
    third = sidecar(second, 2.0)
    np.testing.assert_array_equal(third.frame(["u"]).compute()["u"], ARRAYS["r"] * 2)
    assert third.manifest.groups[1].provenance["factor"] == 2.0
    assert [folder.name for folder in (catalogue.path / "sidecars").iterdir()] == ["side-3"]
    assert open_catalogue(catalogue.path) == third


def test_a_sidecar_that_fails_changes_nothing(catalogue: Catalogue) -> None:
    before = (catalogue.path / "manifest.json").read_bytes()
    column = [Column("u", "float32")]

    def interrupted() -> Iterator[dict[str, np.ndarray]]:
        yield {"u": np.zeros(334, np.float32)}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        catalogue.add_columns("side", column, interrupted())
    refuses(lambda: catalogue.add_columns("side", column, ({"u": np.zeros(5)} for _ in range(3))), "has 5 rows")
    refuses(lambda: catalogue.add_columns("side", column, [{"u": np.zeros(334)}]), "1 of 3 parts")
    refuses(lambda: catalogue.add_columns("side", column, ({"v": np.zeros(5)} for _ in range(3))), "do not agree")
    refuses(lambda: catalogue.add_columns("side", [COLUMNS["r"]], []), "already has a column 'r'")
    assert (catalogue.path / "manifest.json").read_bytes() == before
    assert list((catalogue.path / "sidecars").iterdir()) == []


def test_a_sidecar_on_a_disk_that_fails_is_there_or_is_not(tmp_path: Path) -> None:
    for number in count(1):
        catalogue = write_catalogue(tmp_path / str(number), ARRAYS, parts=1)
        with failing(Disk(number)) as disk:
            try:
                sidecar(catalogue)
            except (CatalogueError, OSError):
                pass
            else:
                break
        verify(open_catalogue(catalogue.path))
        verify(sidecar(open_catalogue(catalogue.path)))
    assert disk.done == number - 1 > 6


def write(path: Path, number: int = 0, overwrite: bool = False) -> CatalogueWriter:
    manifest = new_manifest(
        "sample", "none", {}, title="", simulated=True, classes=CLASSES, features=(), derived=(), defaults={}
    )
    return CatalogueWriter(path, (COLUMNS["x"],), manifest, overwrite)


def test_a_writer_leaves_nothing_behind_when_the_block_raises(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), write(tmp_path / "cat") as writer:
        writer.write(0, {"x": np.zeros(10)})
        assert not (tmp_path / "cat").exists()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_catalogue_without_rows_is_not_written(tmp_path: Path) -> None:
    def nothing() -> None:
        with write(tmp_path / "cat"):
            pass

    refuses(nothing, "No row is left")
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_was_left_out_is_refused(tmp_path: Path) -> None:
    def gap() -> None:
        with write(tmp_path / "cat") as writer:
            writer.write(1, {"x": np.zeros(10)})

    refuses(gap, "part 0")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_unless_asked_and_only_by_a_whole_catalogue(tmp_path: Path) -> None:
    old = write_catalogue(tmp_path / "cat", ARRAYS)
    refuses(lambda: write(old.path), "exists already")
    with pytest.raises(KeyboardInterrupt), write(old.path, overwrite=True) as writer:
        writer.write(0, {"x": np.zeros(10)})
        raise KeyboardInterrupt
    assert open_catalogue(old.path) == old
    with write(old.path, overwrite=True) as writer:
        writer.write(1, {"x": np.ones(2)})
        writer.write(0, {"x": np.zeros(3)})
    assert open_catalogue(old.path).frame().compute()["x"].tolist() == [0, 0, 0, 1, 1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["cat"]


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_catalogue_that_cannot_be_replaced_stays(
    tmp_path: Path, exchanges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchanges:
        monkeypatch.setattr("galviz.disk._exchanged", lambda one, other: False)
    old = write_catalogue(tmp_path / "cat", ARRAYS)
    (tmp_path / "link").symlink_to("cat")
    for number in count(1):
        with (
            failing(Disk(number)) as disk,
            suppress(CatalogueError),
            write(tmp_path / "link", overwrite=True) as writer,
        ):
            writer.write(0, {"x": np.zeros(3)})
        if disk.done < number:
            break
        assert open_catalogue(old.path).rows in (old.rows, 3)
        assert sorted(entry.name for entry in tmp_path.iterdir()) == ["cat", "link"]
    assert open_catalogue(tmp_path / "link").rows == open_catalogue(tmp_path / "cat").rows == 3


def test_what_is_not_a_catalogue_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").touch()
    (tmp_path / "letter.txt").touch()
    refuses(lambda: write(tmp_path / "thesis", overwrite=True), "is not a catalogue and is not overwritten")
    refuses(lambda: write(tmp_path / "letter.txt", overwrite=True), "is a file")
    refuses(lambda: write(tmp_path / "letter.txt" / "cat").__enter__(), "Cannot write")


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    def fill() -> None:
        with write(tmp_path / "cat") as writer:
            writer.write(0, {"x": np.random.default_rng(0).normal(size=100_000)})

    with small_disk(8192):
        refuses(fill, "Cannot write .*; make room")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_catalogue_is_a_sentence(tmp_path: Path) -> None:
    refuses(lambda: open_catalogue(tmp_path / "nowhere"), "no such folder; make one with `galviz demo`")
    refuses(lambda: open_catalogue(tmp_path), "is not a catalogue: it has no manifest.json")
    (tmp_path / "manifest.json").mkdir()
    refuses(lambda: open_catalogue(tmp_path), "Cannot read")


def manifest_without(catalogue: Catalogue, **changes: Any) -> str:
    return json.dumps(json.loads(catalogue.manifest.to_json()) | changes)


DAMAGE: dict[str, Callable[[Catalogue], str | bytes]] = {
    "empty": lambda cat: "",
    "cut": lambda cat: cat.manifest.to_json()[:-200],
    "binary": lambda cat: b"\xff\xfe\x00",
    "a list": lambda cat: "[]",
    "a number": lambda cat: "3",
    "deep": lambda cat: "[" * 100_000,
    "another format": lambda cat: manifest_without(cat, format=99),
    "an unknown field": lambda cat: manifest_without(cat, colour="red"),
    "no groups": lambda cat: manifest_without(cat, groups=[]),
    "groups of another kind": lambda cat: manifest_without(cat, groups=[3]),
    "classes of another kind": lambda cat: manifest_without(cat, classes={"A": 1}),
    "an unknown type": lambda cat: cat.manifest.to_json().replace('"float32"', '"float33"'),
    "an unknown formula": lambda cat: cat.manifest.to_json().replace('"difference"', '"__import__"'),
    "a column that is no name": lambda cat: cat.manifest.to_json().replace('"objid"', '"<script>"'),
    "a part outside": lambda cat: cat.manifest.to_json().replace("parts/part-00001", "../other/part-00001"),
    "an absolute part": lambda cat: cat.manifest.to_json().replace("parts/part-00001", "/etc/part-00001"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_manifest_is_a_sentence(catalogue: Catalogue, damage: str) -> None:
    text = DAMAGE[damage](catalogue)
    (catalogue.path / "manifest.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    refuses(lambda: open_catalogue(catalogue.path), r"manifest\.json .*make the catalogue again")


def test_parts_of_different_lengths_are_refused(catalogue: Catalogue) -> None:
    second = sidecar(catalogue)
    base, side = second.manifest.groups
    short = dataclasses.replace(side, parts=side.parts[:2])
    text = dataclasses.replace(second.manifest, groups=(base, short)).to_json()
    (catalogue.path / "manifest.json").write_text(text)
    refuses(lambda: open_catalogue(catalogue.path), "different lengths")


def test_a_missing_part_is_a_sentence(catalogue: Catalogue) -> None:
    (catalogue.path / "parts" / "part-00001.parquet").unlink()
    refuses(lambda: open_catalogue(catalogue.path), "lacks parts/part-00001.parquet; make the catalogue again")
    refuses(lambda: catalogue.count("r < 20"), "Cannot read .*make the catalogue again")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_damaged_byte_is_noticed_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, place: float, flip: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged"
    catalogue = open_catalogue(path) if path.exists() else write_catalogue(path, ARRAYS, parts=1)
    part = path / catalogue.manifest.groups[0].parts[0].path
    whole = part.read_bytes()
    at = int(place * len(whole))
    try:
        part.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
        arrays = catalogue.read_part(0, list(ARRAYS))
    except CatalogueError as error:
        assert str(error).endswith("make the catalogue again.")
        assert "\n" not in str(error)
    else:
        for name, values in arrays.items():
            np.testing.assert_array_equal(values, ARRAYS[name])
    finally:
        part.write_bytes(whole)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"x": np.zeros(10)}, "10 rows, not 334"),
        ({"z": np.zeros(334)}, "Cannot read"),
        ({"x": np.array(["a"] * 334)}, "not float64"),
        ({"x": np.zeros(334, np.int32)}, "not float64"),
    ],
)
def test_a_part_that_is_not_the_one_in_the_manifest_is_refused(
    catalogue: Catalogue, columns: dict[str, Any], words: str
) -> None:
    pq.write_table(pa.table(columns), catalogue.path / "parts" / "part-00000.parquet")
    refuses(lambda: catalogue.read_part(0, ["x"]), words)


def test_a_manifest_that_cannot_be_replaced_keeps_the_old_one(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "replace", full)
    refuses(lambda: sidecar(catalogue), "No space left on device; make room")
    monkeypatch.undo()
    assert open_catalogue(catalogue.path) == catalogue
    assert sorted(entry.name for entry in catalogue.path.iterdir()) == ["manifest.json", "parts", "sidecars"]


@pytest.mark.parametrize("name", ["", "1st", "a b", "<b>", "naïve", "x" * 65, "in", "None", "x\n"])
def test_a_column_bears_a_name_that_a_selection_can_spell(name: str) -> None:
    refuses(lambda: Column(name, "float32"), "cannot name a column")


def test_a_title_says_unit_and_system() -> None:
    assert COLUMNS["r"].title == "r PSF [mag AB]"
    assert COLUMNS["x"].title == "x"


@given(st.integers(0, 1000), st.integers(1, 300))
def test_blocks_cover_all_rows_once(rows: int, size: int) -> None:
    pieces = [list(range(rows)[piece]) for piece in blocks(rows, size)]
    assert [row for piece in pieces for row in piece] == list(range(rows))
    assert all(0 < len(piece) <= size for piece in pieces)
