from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import numpy as np
import pytest

from galviz.disk import (
    discard,
    free_at,
    held,
    is_full,
    put,
    replacing,
    room,
    sha256_of,
    size_in_words,
    take_room,
    whole,
)
from galviz.errors import CatalogueError, GalvizError
from tests.faults import Disk, failing


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (13_400_000, "13 MB"), (2.5e9, "2.5 GB")]
)
def test_sizes(size: float, words: str) -> None:
    assert size_in_words(size) == words


def test_a_full_disk_is_told_with_what_is_needed_and_free(tmp_path: Path) -> None:
    with pytest.raises(GalvizError) as caught, room(tmp_path / "a" / "b", 5_000_000):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert f"{tmp_path / 'a' / 'b'} needs about 5 MB" in str(caught.value)


def test_a_full_disk_behind_an_error_of_ours_is_found(tmp_path: Path) -> None:
    with pytest.raises(GalvizError, match="The disk is full"), room(tmp_path, 1):
        raise CatalogueError("Cannot write.") from OSError(errno.EDQUOT, "Disk quota exceeded")


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), CatalogueError("damaged")])
def test_other_errors_pass(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, room(tmp_path, 1):
        raise error
    assert caught.value is error


def test_what_is_free(tmp_path: Path) -> None:
    assert free_at(tmp_path) > 0


def test_room_is_what_is_free_and_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("galviz.disk.free_at", lambda folder: 100)
    (tmp_path / "file").write_bytes(b"x" * 50)
    take_room(tmp_path, 150)
    with pytest.raises(OSError, match="No space left") as caught:
        take_room(tmp_path, 151)
    assert is_full(caught.value)


def test_a_file_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replacing(path) as file:
        assert file.write(b"abc") == 3
        assert file.write(memoryview(np.arange(3))) == 24
        assert not path.exists()
    assert path.read_bytes() == b"abc" + np.arange(3).tobytes()
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() == sha256_of(path)
    assert file.tell() == 27


def test_a_file_that_is_not_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="stop"), replacing(path) as file:
        file.write(b"new")
        raise ValueError("stop")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("there", [False, True])
def test_a_file_that_fails_is_the_old_one_or_the_new_one(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "file"
    for number in range(1, 9):
        path.unlink(missing_ok=True)
        if there:
            path.write_bytes(b"old")
        with failing(Disk(number)) as disk:
            try:
                with whole(path) as file:
                    file.write(b"new")
            except OSError:
                assert path.read_bytes() in (b"old", b"new") if there else not path.exists()
                assert list(tmp_path.iterdir()) == [path] * there
            else:
                break
    assert disk.done == number - 1 == 4  # write, sync, rename, sync of the folder
    assert path.read_bytes() == b"new"


def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("new", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    return tmp_path / "new", tmp_path / "target"


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_takes_the_place_of_another_one(
    tmp_path: Path, exchanges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchanges:
        monkeypatch.setattr("galviz.disk._exchanged", lambda one, other: False)
    new, target = folders(tmp_path)
    put(new, target)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["target", "target/new"]
    put(target, tmp_path / "free")
    assert [path.name for path in tmp_path.iterdir()] == ["free"]


@pytest.mark.parametrize("fails", [1, 2])
def test_a_folder_that_cannot_be_put_leaves_the_old_one(
    tmp_path: Path, fails: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("galviz.disk._exchanged", lambda one, other: False)
    new, target = folders(tmp_path)
    with pytest.raises(OSError, match="Input/output error"), failing(Disk(fails)):
        put(new, target)
    assert (target / "target").exists()
    assert (new / "new").exists()


def test_a_folder_is_held_by_one(tmp_path: Path) -> None:
    with held(tmp_path / "folder") as first, held(tmp_path / "folder") as second:
        assert (first, second) == (True, False)
    with held(tmp_path / "folder") as third:
        assert third


def test_the_sha_256_of_a_large_file(tmp_path: Path) -> None:
    data = np.random.default_rng(0).bytes(3_000_001)
    (tmp_path / "file").write_bytes(data)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(data).hexdigest()


def test_a_folder_is_discarded_with_all_that_it_holds(tmp_path: Path) -> None:
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "deep" / "file").write_text("x")
    discard(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        discard(tmp_path / "folder")
