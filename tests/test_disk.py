from __future__ import annotations

import errno
from pathlib import Path

import pytest

from galviz.disk import free_at, room, size_in_words
from galviz.errors import CatalogueError, GalvizError


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
