"""`verify` finds every kind of damage, and says where in one sentence."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galviz import open_catalogue
from galviz.catalogue import MANIFEST, Catalogue
from galviz.errors import CatalogueError, GalvizError, StaleIndexError
from galviz.index import build_index
from galviz.info import describe, lines
from galviz.ingest import ingest
from galviz.manifest import Column
from galviz.verify import verify
from tests.foreign import sources, write
from tests.samples import write_catalogue

FIRST = "parts/part-00000.parquet"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """An ingested catalogue of three parts with a sidecar."""
    folder = tmp_path_factory.mktemp("verify")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("galviz.ingest.job.PART_ROWS", 100)
        made = ingest(write(sources(300, labelled=True), folder / "rows.csv"), folder / "out", "sdss-wise")
    values = [{"x": np.arange(part.rows, dtype=np.float32)} for part in made.manifest.groups[0].parts]
    return made.add_columns("side", [Column("x", "float32")], values)


@pytest.fixture
def catalogue(whole: Catalogue, tmp_path: Path) -> Catalogue:
    """A copy that may be damaged."""
    shutil.copytree(whole.path, tmp_path / "copy")
    return open_catalogue(tmp_path / "copy")


def rewrite(catalogue: Catalogue, change: Callable[[Any], Any], part: int = 0) -> None:
    """Write a part anew, with a checksum that agrees."""
    path = catalogue.path / catalogue.manifest.groups[0].parts[part].path
    pq.write_table(change(pq.read_table(path)), path, write_page_checksum=True)
    edit(
        catalogue,
        lambda raw: raw["groups"][0]["parts"][part].update(sha256=hashlib.sha256(path.read_bytes()).hexdigest()),
    )


def edit(catalogue: Catalogue, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest, as of a version that gave it no checksum."""
    raw = json.loads((catalogue.path / MANIFEST).read_text())
    del raw["sha256"]
    change(raw)
    (catalogue.path / MANIFEST).write_text(json.dumps(raw))


def flip(catalogue: Catalogue, name: str) -> None:
    path = catalogue.path / name
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)


def swap(catalogue: Catalogue) -> None:
    """Exchange two parts, with the manifest agreeing to it."""
    edit(catalogue, lambda raw: raw["groups"][0]["parts"].insert(0, raw["groups"][0]["parts"].pop()))


DAMAGES: dict[str, tuple[Callable[[Catalogue], object], str]] = {
    "a flipped bit": (lambda cat: flip(cat, FIRST), "00.parquet is not what was written: its SHA-256 is another"),
    "a flipped bit in a sidecar": (lambda cat: flip(cat, "sidecars/side-2/part-00002.parquet"), "side-2/part-00002"),
    "other columns": (lambda cat: rewrite(cat, lambda t: t.drop_columns(["w1"])), "its columns are objid, ra"),
    "other types": (
        lambda cat: rewrite(cat, lambda t: t.set_column(1, "ra", t["ra"].cast(pa.float32()))), "or of other types",
    ),
    "fewer rows": (lambda cat: rewrite(cat, lambda t: t.slice(1)), "it has 99 rows, not 100"),
    "another order": (lambda cat: rewrite(cat, lambda t: t.take(np.arange(100)[::-1])), "not in the order of HEALPix"),
    "other parts first": (swap, "part-00000.parquet is not what was written: it is not in the order of HEALPix"),
    "a step that drops more": (
        lambda cat: edit(cat, lambda raw: raw["groups"][0]["provenance"]["steps"][2].update(dropped=5)),
        "its ledger does not add up at '0 < cmod_r'",
    ),
    "rows that nobody kept": (
        lambda cat: edit(cat, lambda raw: raw["groups"][0]["provenance"].update(rows_kept=299)),
        "its ledger keeps 299 rows, and 300 are in its parts",
    ),
}  # fmt: skip


def test_a_whole_catalogue_is_whole(whole: Catalogue) -> None:
    heard: list[tuple[float, str]] = []
    verify(whole, lambda *words: heard.append(words))
    assert [words for _, words in heard] == [f"{rows} of 600 sources read" for rows in range(100, 700, 100)]
    assert heard[-1][0] == 1.0


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_in_one_sentence(catalogue: Catalogue, damage: str) -> None:
    harm, words = DAMAGES[damage]
    harm(catalogue)
    with pytest.raises(CatalogueError) as caught:
        verify(open_catalogue(catalogue.path))
    assert words in str(caught.value)
    assert str(caught.value).endswith("make the catalogue again.")
    assert "\n" not in str(caught.value)


def test_a_page_that_does_not_have_its_checksum(catalogue: Catalogue) -> None:
    """The checksum of the file agrees, as after a fault in memory."""
    flip(catalogue, FIRST)
    digest = hashlib.sha256((catalogue.path / FIRST).read_bytes()).hexdigest()
    edit(catalogue, lambda raw: raw["groups"][0]["parts"][0].update(sha256=digest))
    with pytest.raises(CatalogueError, match=r"part-00000.parquet is not what was written"):
        verify(open_catalogue(catalogue.path))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 6))
def test_a_flipped_bit_of_the_manifest_is_found(whole: Catalogue, place: float, bit: int) -> None:
    path, data = whole.path / MANIFEST, (whole.path / MANIFEST).read_bytes()
    at = int(place * len(data))
    try:
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
        with pytest.raises(GalvizError, match=r"make the catalogue again\.$"):
            verify(open_catalogue(whole.path))
        with suppress(GalvizError):
            lines(describe(open_catalogue(whole.path)))
    finally:
        path.write_bytes(data)


@pytest.mark.parametrize("key", ["steps", "rows_kept", "columns", "ignored", "unknown_classes"])
def test_a_ledger_that_is_damaged_is_a_sentence(catalogue: Catalogue, key: str) -> None:
    edit(catalogue, lambda raw: raw["groups"][0]["provenance"].pop(key))
    for look in (verify, lambda cat: lines(describe(cat))):
        with pytest.raises(CatalogueError, match=f"The ledger .* is damaged .*{key}.*; make the catalogue again"):
            look(open_catalogue(catalogue.path))


def test_the_index_is_verified_too(tmp_path: Path) -> None:
    catalogue = write_catalogue(tmp_path / "sample")
    build_index(catalogue)
    verify(catalogue)
    large = max((catalogue.path / "index").rglob("*.npy"), key=lambda path: path.stat().st_size)
    flip(catalogue, str(large.relative_to(catalogue.path)))
    with pytest.raises(StaleIndexError):
        verify(catalogue)


def test_an_old_catalogue_without_order_or_ledger_is_verified(tmp_path: Path) -> None:
    catalogue = write_catalogue(tmp_path / "sample")
    verify(catalogue)
    gone = dataclasses.replace(catalogue.manifest.groups[0].parts[0], path="parts/none.parquet")
    group = dataclasses.replace(catalogue.manifest.groups[0], parts=(gone, *catalogue.manifest.groups[0].parts[1:]))
    with pytest.raises(GalvizError, match=r"none.parquet is not what was written: .*No such file"):
        verify(dataclasses.replace(catalogue, manifest=dataclasses.replace(catalogue.manifest, groups=(group,))))
