"""An index is whole and of this very version, or it is refused with the command that makes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from galviz.catalogue import Catalogue, open_catalogue
from galviz.errors import CatalogueError, StaleIndexError
from galviz.index import Index, build_index, has_index, indexed_columns, open_index
from galviz.manifest import Column
from tests.samples import random_arrays, small_disk, write_catalogue

ARRAYS = random_arrays(1000)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return write_catalogue(tmp_path / "cat", ARRAYS)


def next_version(catalogue: Catalogue) -> Catalogue:
    parts = ({"u": catalogue.read_part(part, ["r"])["r"]} for part in range(catalogue.parts))
    return catalogue.add_columns("side", [Column("u", "float32", "embedding")], parts)


def refuses(catalogue: Catalogue, words: str) -> None:
    with pytest.raises(StaleIndexError, match=words) as caught:
        open_index(catalogue)
    assert str(caught.value).endswith(f"run `galviz index {catalogue.path}`.")
    assert "\n" not in str(caught.value)


def test_an_index_holds_the_columns_of_views_and_filters_in_row_order(catalogue: Catalogue) -> None:
    done: list[int] = []
    index = build_index(catalogue, done.append)
    assert done == [334, 333, 333]
    assert set(index.columns) == {"x", "y", "r", "w", "class", "r_w"}
    for name, values in index.columns.items():
        np.testing.assert_array_equal(values, catalogue.frame([name]).compute()[name].pipe(codes))
        assert values.dtype == catalogue.manifest.columns[name].dtype
        assert not values.flags.writeable
    assert has_index(catalogue)
    assert open_index(catalogue) is index


def codes(column: object) -> np.ndarray:
    return np.asarray(getattr(column, "cat", column).codes if hasattr(column, "cat") else column)


def test_a_missing_index_is_refused(catalogue: Catalogue) -> None:
    assert not has_index(catalogue)
    refuses(catalogue, "is missing")


def test_a_stale_index_is_refused_and_rebuilt(catalogue: Catalogue) -> None:
    build_index(catalogue)
    second = next_version(catalogue)
    assert not has_index(second)
    refuses(second, "is stale")
    assert "u" in build_index(second).columns
    assert [folder.name for folder in (second.path / "index").iterdir()] == [second.digest[:16]]


def test_an_old_index_stays_readable_while_it_is_mapped(catalogue: Catalogue) -> None:
    old = build_index(catalogue)
    build_index(next_version(catalogue))
    assert not old.path.exists()
    np.testing.assert_array_equal(old.columns["x"], ARRAYS["x"])


def test_a_half_built_index_is_refused(catalogue: Catalogue) -> None:
    index = build_index(catalogue)
    (index.path / "index.json").unlink()
    forget()
    refuses(catalogue, "unfinished")


def test_an_index_that_was_interrupted_leaves_the_old_one(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_index(catalogue)

    def interrupt(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(catalogue, interrupt)
    assert [folder.name for folder in (catalogue.path / "index").iterdir()] == [catalogue.digest[:16]]
    forget()
    np.testing.assert_array_equal(open_index(catalogue).columns["x"], ARRAYS["x"])


def forget() -> None:
    """Open indexes from disk again, as another process would."""
    open_index.cache.clear()  # type: ignore[attr-defined]


def cut(index: Index) -> None:
    file = index.path / "r.npy"
    file.write_bytes(file.read_bytes()[:-100])


def rewrite_facts(**changes: object) -> Callable[[Index], None]:
    def rewrite(index: Index) -> None:
        file = index.path / "index.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return rewrite


def replace(name: str, content: bytes) -> Callable[[Index], None]:
    return lambda index: (index.path / name).write_bytes(content) and None


DAMAGE: dict[str, Callable[[Index], None]] = {
    "a truncated column": cut,
    "a column of another shape": lambda index: np.save(index.path / "r.npy", np.zeros(3, np.float32)),
    "a column of another type": lambda index: np.save(index.path / "r.npy", np.zeros(1000)),
    "a missing column": lambda index: (index.path / "r.npy").unlink(),
    "an empty column": replace("r.npy", b""),
    "a column that is a pickle": replace("r.npy", b"cos\nsystem\n(S'touch pwned'\ntR."),
    "facts that are no JSON": replace("index.json", b"{"),
    "facts that are a list": replace("index.json", b"[]"),
    "facts without a manifest": replace("index.json", b'{"format": 1}'),
    "another format": rewrite_facts(format=99),
    "another manifest": rewrite_facts(manifest="0" * 64),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_index_is_refused_and_can_be_built_again(catalogue: Catalogue, damage: str) -> None:
    index = build_index(catalogue)
    forget()
    DAMAGE[damage](index)
    refuses(catalogue, "is damaged")
    np.testing.assert_array_equal(build_index(catalogue).columns["r"], ARRAYS["r"])


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
