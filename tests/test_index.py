"""An index is whole and of this very version, or it is refused with the command that makes it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from galviz.__main__ import main
from galviz.catalogue import Catalogue, open_catalogue
from galviz.errors import CatalogueError, StaleIndexError
from galviz.index import (
    Index,
    build_index,
    check_index,
    has_index,
    indexed_columns,
    is_whole,
    layout,
    open_index,
    store,
)
from galviz.manifest import Column
from tests.samples import random_arrays, small_disk, write_catalogue

ARRAYS = random_arrays(1000)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return write_catalogue(tmp_path / "cat", ARRAYS)


@pytest.fixture
def sampled(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> Index:
    """An index with every kind of file that there is, on which arrays are verified when they are first used."""
    monkeypatch.setattr(layout, "EXACT_ROWS", 100)
    monkeypatch.setattr(store, "SMALL", 0)
    return build_index(catalogue)


def next_version(catalogue: Catalogue) -> Catalogue:
    parts = ({"u": catalogue.read_part(part, ["r"])["r"]} for part in range(catalogue.parts))
    return catalogue.add_columns("side", [Column("u", "float32", "embedding")], parts)


def refuses(catalogue: Catalogue, words: str) -> None:
    with pytest.raises(StaleIndexError, match=words) as caught:
        open_index(catalogue)
    assert str(caught.value).endswith(f"run `galviz index {catalogue.path}`.")
    assert "\n" not in str(caught.value)


def forget() -> None:
    """Open indexes from disk again, as another process would."""
    open_index.cache.clear()  # type: ignore[attr-defined]


def test_an_index_holds_the_columns_of_views_and_filters_in_row_order(catalogue: Catalogue) -> None:
    done: list[int] = []
    index = build_index(catalogue, done.append)
    assert sum(done) == 1000
    assert set(index.columns) == {"x", "y", "r", "w", "class", "r_w"}
    for name, values in index.columns.items():
        np.testing.assert_array_equal(values, catalogue.frame([name]).compute()[name].pipe(codes))
        assert values.dtype == catalogue.manifest.columns[name].dtype
        assert type(values) is np.ndarray
        assert not values.flags.writeable
    assert has_index(catalogue)
    assert open_index(catalogue) is index


def codes(column: object) -> np.ndarray:
    return np.asarray(getattr(column, "cat", column).codes if hasattr(column, "cat") else column)


def test_a_missing_index_is_refused(catalogue: Catalogue) -> None:
    assert not has_index(catalogue)
    assert not is_whole(catalogue)
    refuses(catalogue, "is missing")


def test_a_stale_index_is_refused_and_rebuilt(catalogue: Catalogue) -> None:
    build_index(catalogue)
    second = next_version(catalogue)
    assert not has_index(second)
    refuses(second, "is stale")
    assert "u" in build_index(second).columns
    assert [folder.name for folder in (second.path / "index").iterdir()] == [second.digest[:16]]


@pytest.mark.usefixtures("sampled")
def test_an_old_index_stays_readable_while_it_is_open(catalogue: Catalogue) -> None:
    old = open_index(catalogue)
    build_index(next_version(catalogue))
    assert not old.path.exists()
    np.testing.assert_array_equal(old.columns["x"], ARRAYS["x"])
    np.testing.assert_array_equal(np.sort(old.row[old.row < 1000]), np.arange(1000))


def test_a_half_built_index_is_refused(catalogue: Catalogue) -> None:
    index = build_index(catalogue)
    (index.path / "index.json").unlink()
    forget()
    refuses(catalogue, "unfinished")


def test_an_index_that_was_interrupted_leaves_the_old_one(catalogue: Catalogue) -> None:
    build_index(catalogue)

    def interrupt(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(catalogue, interrupt)
    forget()
    np.testing.assert_array_equal(open_index(catalogue).columns["x"], ARRAYS["x"])


def cut(index: Index) -> None:
    file = index.path / "columns" / "r.npy"
    file.write_bytes(file.read_bytes()[:-100])


def rewrite_facts(**changes: object) -> Callable[[Index], None]:
    def rewrite(index: Index) -> None:
        file = index.path / "index.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return rewrite


def replace(name: str, content: bytes) -> Callable[[Index], None]:
    return lambda index: (index.path / name).write_bytes(content) and None


OLD = b'{"format": 1, "manifest": "0", "rows": 1000, "columns": ["x"]}'
DAMAGE: dict[str, Callable[[Index], None]] = {
    "a truncated column": cut,
    "a column of another shape": lambda index: np.save(index.path / "columns/r.npy", np.zeros(3, np.float32)),
    "a column of another type": lambda index: np.save(index.path / "columns/r.npy", np.zeros(1000)),
    "a type of the same size": lambda index: np.save(index.path / "columns/r.npy", np.zeros(1000, np.int32)),
    "a column of other values": lambda index: np.save(index.path / "columns/r.npy", np.zeros(1000, np.float32)),
    "a missing column": lambda index: (index.path / "columns/r.npy").unlink(),
    "an empty column": replace("columns/r.npy", b""),
    "a column that is a pickle": replace("columns/r.npy", b"cos\nsystem\n(S'touch pwned'\ntR."),
    "facts that are no JSON": replace("index.json", b"{"),
    "facts that are a list": replace("index.json", b"[]"),
    "facts that are no text": replace("index.json", b"\xff\xfe"),
    "facts without a manifest": replace("index.json", b'{"format": 2}'),
    "facts of the first format": replace("index.json", OLD),
    "another format": rewrite_facts(format=99),
    "another manifest": rewrite_facts(manifest="0" * 64),
    "a layout that was changed": rewrite_facts(layout={}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_index_is_refused_and_can_be_built_again(catalogue: Catalogue, damage: str) -> None:
    index = build_index(catalogue)
    forget()
    DAMAGE[damage](index)
    refuses(catalogue, "is damaged")
    assert not is_whole(catalogue)
    np.testing.assert_array_equal(build_index(catalogue).columns["r"], ARRAYS["r"])
    assert is_whole(catalogue)


def test_an_index_of_the_first_format_says_so(catalogue: Catalogue) -> None:
    replace("index.json", OLD)(build_index(catalogue))
    forget()
    refuses(catalogue, r"is damaged \(it is of format 1, this galviz reads format 2\)")


def every_file(index: Index) -> list[Path]:
    return sorted(path for path in index.path.rglob("*") if path.is_file())


def test_a_flipped_bit_anywhere_is_refused(
    sampled: Index, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    monkeypatch.setattr(store, "SMALL", 1 << 30)
    files = every_file(sampled)
    assert {file.name for file in files} >= {"index.json", "home.npy", "to-1.npy", "rows.npy", "floor.npy", "spans.npy"}
    for file in files:
        content = file.read_bytes()
        for place in {0, 20, 70, len(content) - 1, *rng.integers(0, len(content), 4)}:
            flipped = bytearray(content)
            flipped[place] ^= 1 << rng.integers(8)
            file.write_bytes(flipped)
            forget()
            refuses(catalogue, "is damaged")
        file.write_bytes(content)
    forget()
    open_index(catalogue)


def test_a_truncated_or_longer_file_is_refused_however_large_the_index(sampled: Index, catalogue: Catalogue) -> None:
    for file in every_file(sampled):
        content = file.read_bytes()
        for wrong in (b"", content[:50], content[:-1], content[: len(content) // 2], content + b"\0"):
            file.write_bytes(wrong)
            forget()
            refuses(catalogue, "is damaged")
        file.write_bytes(content)


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 4
    file.write_bytes(content)


LAZY: dict[str, Callable[[Index], object]] = {
    "columns/r.npy": lambda index: index.columns["r"],
    "plane-0/columns/x.npy": lambda index: index.planes[0].columns["x"],
    "plane-1/columns/r.npy": lambda index: index.planes[1].columns["r"],
    "plane-1/home.npy": lambda index: index.planes[1].home,
    "plane-0/rows.npy": lambda index: index.row,
    "plane-0/to-1.npy": lambda index: index.to[1],
    "plane-0/sample/x.npy": lambda index: getattr(index.planes[0].sample, "columns")["x"],  # noqa: B009
    "plane-0/weight.npy": lambda index: getattr(index.planes[0].sample, "weight"),  # noqa: B009
}


@pytest.mark.parametrize("name", LAZY)
def test_a_large_array_is_verified_at_its_first_use(sampled: Index, catalogue: Catalogue, name: str) -> None:
    flip(sampled.path / name)
    forget()
    opened = open_index(catalogue)
    for other, use in LAZY.items():
        if other != name:
            use(opened)
    for _ in range(2):
        with pytest.raises(StaleIndexError, match=rf"is damaged \({name} is not what was written\); run `galviz index"):
            LAZY[name](opened)
    assert not is_whole(catalogue)
    build_index(catalogue)
    LAZY[name](open_index(catalogue))  # no program has to start anew


@pytest.mark.parametrize("name", ["bounds.npy", "spans.npy", "zones/x.npy", "floor.npy"])
@pytest.mark.usefixtures("sampled")
def test_a_small_array_is_verified_at_once(catalogue: Catalogue, name: str) -> None:
    flip(open_index(catalogue).path / "plane-0" / name)
    forget()
    refuses(catalogue, "is damaged")


def test_an_array_is_verified_once_however_many_ask(
    sampled: Index, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, real = [], store.checksum

    def slow(raw: np.ndarray) -> str:
        calls.append(threading.get_ident())
        time.sleep(0.05)
        return real(raw)

    forget()
    opened = open_index(catalogue)
    monkeypatch.setattr(store, "checksum", slow)
    with ThreadPoolExecutor(4) as pool:
        arrays = list(pool.map(lambda _: opened.planes[0].columns["x"], range(8)))
    assert len(calls) == 1
    assert all(array is arrays[0] for array in arrays)


def test_names_can_be_asked_for_without_a_look_at_the_files(sampled: Index, catalogue: Catalogue) -> None:
    flip(sampled.path / "columns" / "r.npy")
    forget()
    columns = open_index(catalogue).columns
    assert "r" in columns
    assert "u" not in columns
    assert len(columns) == len(set(columns)) == 6


def test_an_index_built_again_replaces_the_one_in_memory(catalogue: Catalogue) -> None:
    first = build_index(catalogue)
    assert build_index(catalogue) is not first


def test_a_full_disk_is_a_sentence_and_leaves_no_index(catalogue: Catalogue) -> None:
    with small_disk(6000), pytest.raises(CatalogueError, match=r"Cannot write .*; make room"):
        build_index(catalogue)
    assert list((catalogue.path / "index").iterdir()) == []
    refuses(catalogue, "is stale or unfinished")


def test_a_damaged_part_does_not_become_an_index(catalogue: Catalogue) -> None:
    (catalogue.path / "parts" / "part-00002.parquet").write_bytes(b"PAR1")
    with pytest.raises(CatalogueError, match="Cannot read"):
        build_index(catalogue)
    assert not has_index(open_catalogue(catalogue.path))


def test_what_is_indexed_follows_from_the_roles(catalogue: Catalogue) -> None:
    assert {column.name for column in indexed_columns(catalogue)} == {"x", "y", "r", "w", "class", "r_w"}


# The command


def test_checking_tells_its_progress(sampled: Index, catalogue: Catalogue) -> None:
    done: list[int] = []
    check_index(catalogue, done.append)
    assert sum(done) == sampled.rows
    assert len(done) == len(sampled.files)


def test_the_command_builds_what_is_missing_keeps_what_is_whole_and_mends_what_is_not(
    catalogue: Catalogue, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["index", str(catalogue.path)]) == 0
    assert capsys.readouterr().out == ""
    file = open_index(catalogue).path / "columns" / "r.npy"
    made = file.stat().st_ino
    assert main(["index", str(catalogue.path)]) == 0
    assert capsys.readouterr().out == f"The index of {catalogue.path} is up to date.\n"
    assert file.stat().st_ino == made
    flip(file)
    assert main(["index", str(catalogue.path)]) == 0
    assert capsys.readouterr().out == ""
    forget()
    np.testing.assert_array_equal(open_index(catalogue).columns["r"], ARRAYS["r"])


def test_a_scheduler_that_is_not_there_is_a_sentence(
    catalogue: Catalogue, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("galviz.work._CONNECT", 0.3)
    assert main(["index", str(catalogue.path), "--scheduler", "127.0.0.1:9"]) == 1
    error = capsys.readouterr().err.splitlines()
    assert error[-1] == "No scheduler answers at 127.0.0.1:9; check the address, or leave out --scheduler."
    assert not has_index(catalogue)
