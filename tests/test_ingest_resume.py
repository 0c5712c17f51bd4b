"""Whatever stops an ingest: nothing half-made, and the same command goes on to the same bytes."""

from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.interrupt import campaign
from galviz import open_catalogue
from galviz.disk import held
from galviz.errors import CatalogueError, GalvizError, IngestError
from galviz.ingest import ingest
from galviz.ingest.job import Job, bytes_at_least, bytes_needed
from galviz.ingest.journal import Journal
from galviz.surveys import SDSS_WISE
from galviz.verify import verify
from tests.faults import Disk, contents, failing
from tests.foreign import sources, write

ROWS = 240
FORMATS = (".csv", ".csv.gz", ".fits", ".parquet")


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several stretches, runs and parts of few rows, and a date that stands still."""
    monkeypatch.setattr("galviz.ingest.job.PART_ROWS", 100)
    monkeypatch.setattr("galviz.ingest.job.RUN_BYTES", 8 * 14 * 60)
    monkeypatch.setattr("galviz.ingest.readers.delimited._STRETCH", 20_000)
    monkeypatch.setattr("galviz.ingest.readers.delimited._BLOCK", 4_000)
    monkeypatch.setattr("galviz.ingest.readers.table.ROWS", 60)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


def shuffled(seed: int = 0) -> Any:
    """Rows in no order, every seventh shown again with a match that is nearer or not."""
    rng = np.random.default_rng(seed)
    frame = sources(ROWS, seed).assign(match_dist=rng.uniform(0, 3, ROWS))
    frame.loc[::7, "objid"] = frame["objid"].shift(-3)[::7].fillna(0).astype(np.int64)
    return frame.sample(frac=1, random_state=seed)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(shuffled(), tmp_path / "rows.csv")


def provenance(files: dict[str, bytes]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(files["manifest.json"])["groups"][0]["provenance"]
    return made


def stop_at(number: int) -> Any:
    """Progress during whose call of that number the user presses Ctrl-C."""
    calls = count(1)

    def progress(fraction: float, words: str) -> None:
        if next(calls) == number:
            raise KeyboardInterrupt

    return progress


def check_sentence(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text
    assert text.endswith(".")
    return text


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_interrupted_ingest_goes_on_to_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    source = write(shuffled(), tmp_path / f"rows{suffix}")
    ingest(source, tmp_path / "whole" / "out", "sdss-wise")
    whole = contents(tmp_path / "whole" / "out")
    assert len(whole) == 4
    assert provenance(whole)["duplicates"]["dropped"] > 20
    verify(open_catalogue(tmp_path / "whole" / "out"))
    for number in count(1):
        out = tmp_path / str(number) / "out"
        try:
            ingest(source, out, "sdss-wise", progress=stop_at(number))
            break
        except KeyboardInterrupt:
            done = contents(tmp_path / str(number) / ".out.ingest")
            assert not out.exists() or contents(out) == whole
        ingest(source, out, "sdss-wise")
        assert contents(out) == whole
        assert [entry.name for entry in out.parent.iterdir()] == ["out"]
        assert done
    assert number > 6


def test_what_is_whole_is_not_done_again(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        ingest(source, tmp_path / "out", "sdss-wise", progress=stop_at(5))
    staging = tmp_path / ".out.ingest"
    times = {path: path.stat().st_mtime_ns for path in staging.rglob("*.run")}
    assert len(times) >= 4
    with pytest.raises(KeyboardInterrupt):
        ingest(source, tmp_path / "out", "sdss-wise", progress=stop_at(len(times) + 9))
    assert all(path.stat().st_mtime_ns == before for path, before in times.items())
    assert list(staging.rglob("*.parquet"))


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
@pytest.mark.parametrize("which", ["*.run", "losers", "*.parquet"])
def test_a_file_that_was_damaged_meanwhile_is_made_again(tmp_path: Path, source: Path, which: str, damage: str) -> None:
    ingest(source, tmp_path / "whole" / "out", "sdss-wise")
    heard: list[tuple[float, str]] = []
    ingest(source, tmp_path / "x" / "out", "sdss-wise", progress=lambda *words: heard.append(words))
    with pytest.raises(KeyboardInterrupt):
        ingest(source, tmp_path / "out", "sdss-wise", progress=stop_at(len(heard) - 1))
    for path in (tmp_path / ".out.ingest").rglob(which):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data if damage == "flip" else data[:-1])
        if damage == "remove":
            path.unlink()
    ingest(source, tmp_path / "out", "sdss-wise")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole" / "out")


def test_what_a_kill_left_half_written_does_not_get_into_the_catalogue(tmp_path: Path, source: Path) -> None:
    ingest(source, tmp_path / "whole" / "out", "sdss-wise")
    with pytest.raises(KeyboardInterrupt):
        ingest(source, tmp_path / "out", "sdss-wise", progress=stop_at(6))
    staging = tmp_path / ".out.ingest"
    for name in (
        "runs/.x.run.12",
        "catalogue/.manifest.json.12",
        "catalogue/parts/.part-00000.parquet.12",
        ".losers.12",
    ):
        (staging / name).write_bytes(b"half")
    (staging / "catalogue" / "manifest.json").write_text("old")
    ingest(source, tmp_path / "out", "sdss-wise")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole" / "out")


@pytest.mark.parametrize("tail", [b"", b'{"name": "part-0', b"\0" * 40, b'{"other": 1}\n{"name": "begun"}\n'])
def test_a_journal_that_was_cut_off_counts_up_to_there(tmp_path: Path, source: Path, tail: bytes) -> None:
    ingest(source, tmp_path / "whole" / "out", "sdss-wise")
    with pytest.raises(KeyboardInterrupt):
        ingest(source, tmp_path / "out", "sdss-wise", progress=stop_at(6))
    journal = tmp_path / ".out.ingest" / "journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:3]) + tail)
    assert next(iter(Journal(journal).entries)) == "begun"
    assert journal.read_bytes() == b"".join(lines[:3])
    ingest(source, tmp_path / "out", "sdss-wise")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole" / "out")


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_of_the_journal_costs_what_follows_it(begun_once: Any, place: float, bit: int) -> None:
    source, out, whole = begun_once
    staging = out.with_name(".out.ingest")
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(out.with_name("begun"), staging, dirs_exist_ok=True)
    data = bytearray((staging / "journal").read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    (staging / "journal").write_bytes(data)
    ingest(source, out, "sdss-wise")
    assert contents(out) == whole


@pytest.fixture
def begun_once(tmp_path: Path, source: Path) -> tuple[Path, Path, dict[str, bytes]]:
    """An input, a place for a catalogue with what is left of an ingest beside it, called "begun", and its files."""
    whole = contents(ingest(source, tmp_path / "whole" / "out", "sdss-wise").path)
    heard: list[tuple[float, str]] = []
    ingest(source, tmp_path / "x" / "out", "sdss-wise", progress=lambda *words: heard.append(words))
    with pytest.raises(KeyboardInterrupt):
        ingest(source, tmp_path / "out", "sdss-wise", progress=stop_at(len(heard) - 1))
    (tmp_path / ".out.ingest").rename(tmp_path / "begun")
    return source, tmp_path / "out", whole


def test_the_top_of_the_tree_is_no_place(source: Path) -> None:
    with pytest.raises(CatalogueError, match=r"^/ cannot become a catalogue; name a folder in it\.$"):
        ingest(source, "/", "sdss-wise")


def test_the_date_is_that_of_the_beginning(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    with pytest.raises(KeyboardInterrupt):
        ingest(source, tmp_path / "out", "sdss-wise", progress=stop_at(4))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    made = ingest(source, tmp_path / "out", "sdss-wise").manifest
    assert made.created == made.groups[0].provenance["date"] == "2020-09-13T12:26:40+00:00"


# What may not be gone on with


def begun(tmp_path: Path, source: Path) -> Path:
    with pytest.raises(KeyboardInterrupt):
        ingest(source, tmp_path / "out", "sdss-wise", progress=stop_at(4))
    return tmp_path / ".out.ingest"


def check_refused(tmp_path: Path, words: str, *arguments: Any, **options: Any) -> None:
    before = contents(tmp_path / ".out.ingest")
    with pytest.raises(IngestError) as caught:
        ingest(*arguments, **options)
    assert words in check_sentence(caught.value)
    assert "remove the folder to start over" in str(caught.value)
    assert contents(tmp_path / ".out.ingest") == before


def test_an_input_that_has_changed_is_not_gone_on_with(tmp_path: Path, source: Path) -> None:
    begun(tmp_path, source)
    data, state = source.read_bytes(), source.stat()
    for words, change in (
        ("its size was another", data + b"\n"),
        ("its content was another", data[:-9] + data[-9:][::-1]),
    ):
        source.write_bytes(change)
        os.utime(source, ns=(state.st_atime_ns, state.st_mtime_ns))
        check_refused(tmp_path, words, source, tmp_path / "out", "sdss-wise")
    source.write_bytes(data)
    os.utime(source, ns=(0, 0))
    check_refused(tmp_path, "its time of change was another", source, tmp_path / "out", "sdss-wise")
    os.utime(source, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert ingest(source, tmp_path / "out", "sdss-wise").rows


def test_an_input_that_may_have_changed_in_its_middle_is_read_again(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size, its time of change and its ends are the old ones."""
    monkeypatch.setattr("galviz.ingest.journal._ENDS", 1_000)
    begun(tmp_path, source)
    state, lines = source.stat(), source.read_bytes().splitlines(keepends=True)
    lines[30] = b"2" + lines[30][1:]
    source.write_bytes(b"".join(lines))
    os.utime(source, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(KeyboardInterrupt):
        ingest(source, tmp_path / "out", "sdss-wise", progress=stop_at(3))
    ingest(source, tmp_path / "out", "sdss-wise")
    assert contents(tmp_path / "out") == contents(ingest(source, tmp_path / "whole" / "out", "sdss-wise").path)


def test_a_catalogue_behind_a_link_is_made_where_the_link_leads(tmp_path: Path, source: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "out").symlink_to("far/sky")
    with pytest.raises(KeyboardInterrupt):
        ingest(source, tmp_path / "out", "sdss-wise", progress=stop_at(4))
    assert (tmp_path / "far" / ".sky.ingest").is_dir()
    first = ingest(source, tmp_path / "out", "sdss-wise")
    assert first.path == tmp_path / "far" / "sky"
    assert ingest(write(sources(9, 4), tmp_path / "b.csv"), tmp_path / "out", "sdss-wise", overwrite=True).rows == 9
    assert (tmp_path / "out").is_symlink()
    assert [entry.name for entry in (tmp_path / "far").iterdir()] == ["sky"]


def test_a_folder_whose_removal_was_interrupted_is_removed(tmp_path: Path, source: Path) -> None:
    for name in (f".out.ingest.{'0a' * 16}", ".out.ingest.notes", f".out2.ingest.{'0a' * 16}"):
        (tmp_path / name).mkdir()
    ingest(source, tmp_path / "out", "sdss-wise")
    left = sorted(entry.name for entry in tmp_path.iterdir() if entry.name.startswith("."))
    assert left == [".out.ingest.notes", f".out2.ingest.{'0a' * 16}"]


def test_other_files_surveys_and_settings_are_not_gone_on_with(tmp_path: Path, source: Path) -> None:
    begun(tmp_path, source)
    out, other = tmp_path / "out", write(shuffled(3), tmp_path / "other.csv")
    check_refused(tmp_path, f"reads {source}, not {other}", other, out, "sdss-wise")
    check_refused(tmp_path, f"reads {source}, not {source}, {other}", [source, other], out, "sdss-wise")
    check_refused(tmp_path, "is of the survey sdss-wise, not mine", source, out, replace(SDSS_WISE, name="mine"))
    check_refused(tmp_path, "described otherwise", source, out, replace(SDSS_WISE, steps=SDSS_WISE.steps[1:]))


def test_another_setting_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(shuffled().assign(seeing=1.0), tmp_path / "rows.csv")
    begun(tmp_path, source)
    check_refused(tmp_path, "keeps no further column", source, tmp_path / "out", "sdss-wise", keep=["seeing"])
    monkeypatch.setattr("galviz.ingest.job.PART_ROWS", 50)
    check_refused(tmp_path, "with other settings", source, tmp_path / "out", "sdss-wise")


def test_an_input_that_changes_while_it_is_read_is_refused(tmp_path: Path, source: Path) -> None:
    def touch(fraction: float, words: str) -> None:
        os.utime(source, ns=(0, 0))

    with pytest.raises(IngestError, match="was changed while it was read"):
        ingest(source, tmp_path / "out", "sdss-wise", progress=touch)
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize(("suffix", "step"), [(".csv", "delimited._batches"), (".fits", "fitstable._column")])
def test_an_input_on_a_disk_that_fails_is_named_and_gone_on_with(
    tmp_path: Path, suffix: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(shuffled(), tmp_path / f"rows{suffix}")
    module, _, name = step.partition(".")
    read, calls = getattr(import_module(f"galviz.ingest.readers.{module}"), name), count(1)

    def fail_late(*arguments: Any, **options: Any) -> Any:
        if next(calls) > 2:
            raise Disk().failure()
        return read(*arguments, **options)

    words = f"^Cannot read {source}: Input/output error; what is done is kept"
    with monkeypatch.context() as patch, pytest.raises(GalvizError, match=words) as caught:
        patch.setattr(f"galviz.ingest.readers.{step}", fail_late)
        ingest(source, tmp_path / "out", "sdss-wise")
    check_sentence(caught.value)
    assert (tmp_path / ".out.ingest" / "journal").is_file()
    assert ingest(source, tmp_path / "out", "sdss-wise").rows


def test_two_ingests_into_one_place_keep_apart(tmp_path: Path, source: Path) -> None:
    staging = begun(tmp_path, source)
    with held(staging) as alone:
        assert alone
        with pytest.raises(CatalogueError, match=r"Another ingest into .*out is running; wait until it is done"):
            ingest(source, tmp_path / "out", "sdss-wise")
    assert ingest(source, tmp_path / "out", "sdss-wise").rows


def test_an_old_catalogue_stays_until_the_new_one_is_there(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "out"
    old = ingest(write(sources(9, 4), tmp_path / "other.csv"), out, "sdss-wise")
    before = contents(out)
    with pytest.raises(KeyboardInterrupt):
        ingest(source, out, "sdss-wise", overwrite=True, progress=stop_at(7))
    assert contents(out) == before
    with pytest.raises(CatalogueError, match="exists already"):
        ingest(source, out, "sdss-wise")
    (out / "sidecars").mkdir()
    (out / "notes.txt").write_text("mine")
    new = ingest(source, out, "sdss-wise", overwrite=True)
    assert new.rows > old.rows
    assert sorted(entry.name for entry in out.iterdir()) == ["manifest.json", "notes.txt", "parts-2"]
    verify(new)


@pytest.mark.parametrize("after", [False, True])
def test_a_stop_between_the_last_renames_is_mended(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """When the parts are there already and the new manifest is not yet, or when only the old parts are left."""
    out, rename = tmp_path / "out", os.replace
    old = ingest(write(sources(9, 4), tmp_path / "other.csv"), out, "sdss-wise")

    def stop(before: Any, now: Any) -> None:
        if Path(now) == out / "manifest.json":
            if after:
                rename(before, now)
            raise KeyboardInterrupt
        rename(before, now)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("os.replace", stop)
        ingest(source, out, "sdss-wise", overwrite=True)
    assert (out / "parts-2").is_dir()
    assert open_catalogue(out).digest == old.digest or after
    verify(open_catalogue(out))
    assert ingest(source, out, "sdss-wise", overwrite=not after).rows == open_catalogue(out).rows != old.rows
    assert sorted(entry.name for entry in out.iterdir()) == ["manifest.json", "parts-2"]
    assert not (tmp_path / ".out.ingest").exists()


# Disks that fail


@pytest.mark.parametrize(
    ("error", "replaces", "every"),
    [(errno.EIO, False, 1), (errno.EIO, True, 3), (errno.ENOSPC, False, 3), (errno.ENOSPC, True, 4)],
)
def test_the_nth_write_sync_or_rename_fails(
    tmp_path: Path, source: Path, error: int, replaces: bool, every: int
) -> None:
    other, whole = write(sources(9, 4), tmp_path / "other.csv"), tmp_path / "whole" / "out"
    for file in [other] * replaces + [source]:
        ingest(file, whole, "sdss-wise", overwrite=True)
    failures = 0
    for number in count(1, every):
        out = tmp_path / str(number) / "out"
        if replaces:
            ingest(other, out, "sdss-wise")
        old = contents(out)
        with failing(Disk(number, error)) as disk:
            try:
                ingest(source, out, "sdss-wise", overwrite=replaces)
            except GalvizError as caught:
                failures += 1
                check_sentence(caught)
        if disk.done < number:
            break
        now = contents(out)
        if not now or provenance(now)["rows_read"] != ROWS:
            assert now == old
        ingest(source, out, "sdss-wise", overwrite=replaces)
        assert contents(out) == contents(whole)
        assert [entry.name for entry in out.parent.iterdir()] == ["out"]
    assert failures == (number - 1) / every > 15


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Any]:
    """Mounts a file system of a number of bytes at a place."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(size: int) -> Path:
        subprocess.run(["umount", str(place)], capture_output=True, check=False)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("only root can mount a small disk")
        return place

    yield mount
    subprocess.run(["umount", str(place)], capture_output=True, check=False)


@pytest.mark.parametrize("suffix", [".csv", ".fits"])
def test_a_disk_that_is_too_small(tmp_path: Path, disk: Any, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    source = write(sources(4_000), tmp_path / f"rows{suffix}")
    other = write(sources(9, 4), tmp_path / "other.csv")
    for size in range(60 << 10, 480 << 10, 42 << 10):
        place = disk(size)
        old = ingest(other, place / "out", "sdss-wise")
        for target in ("out", "new"):
            before = sorted(place.rglob("*"))
            with pytest.raises(GalvizError) as caught:
                ingest(source, place / target, "sdss-wise", overwrite=True)
            text = check_sentence(caught.value)
            assert text.startswith("The disk is full: ")
            assert "needs about" in text
            assert "are free there" in text
            assert sorted(place.rglob("*")) == before
        verify(open_catalogue(place / "out"))
        assert open_catalogue(place / "out").digest == old.digest
    assert ingest(source, disk(8 << 20) / "out", "sdss-wise").rows == 4_000


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".fits", ".parquet"])
def test_a_disk_that_is_plainly_too_small_is_told_before_anything_is_read(
    tmp_path: Path, disk: Any, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("galviz.ingest.work.write_runs", None)
    source = write(pd.concat([sources(4_000)] * 9), tmp_path / f"rows{suffix}")
    place = disk(100 << 10)
    with pytest.raises(
        GalvizError, match=r"The disk is full: .* needs about [0-9]+ MB and .* kB are free there"
    ) as caught:
        ingest(source, place / "out", "sdss-wise")
    check_sentence(caught.value)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_plainly_too_small_is_less_than_what_is_used(tmp_path: Path, suffix: str) -> None:
    source = write(shuffled(), tmp_path / f"rows{suffix}")
    used: list[int] = []

    def look(fraction: float, words: str) -> None:
        used.append(sum(len(content) for content in contents(tmp_path / ".out.ingest").values()))

    ingest(source, tmp_path / "out", "sdss-wise", progress=look)
    job = Job((str(source),), SDSS_WISE, (), str(tmp_path), f"size of {source}")
    assert 0.01 * max(used) < bytes_at_least(job) < max(used) < 3 * bytes_needed(job)


def test_what_is_done_counts_as_room(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staging = begun(tmp_path, source)
    there = sum(file.stat().st_size for file in staging.rglob("*") if file.is_file())
    monkeypatch.setattr("galviz.disk.free_at", lambda folder: 0)
    monkeypatch.setattr("galviz.ingest.bytes_at_least", lambda job: there)
    assert ingest(source, tmp_path / "out", "sdss-wise").rows


def test_a_file_that_claims_more_rows_than_it_has_is_named(tmp_path: Path) -> None:
    """The claim is not taken for a disk that is too small."""
    write(sources(20), tmp_path / "rows.fits")
    data = (tmp_path / "rows.fits").read_bytes()
    place = data.rindex(b"NAXIS2  =") + 10
    data = data[:place] + b"%20d" % 10**16 + data[place + 20 :]
    (tmp_path / "rows.fits.gz").write_bytes(gzip.compress(data))
    with pytest.raises(IngestError, match=r"rows.fits.gz is shorter than its header says"):
        ingest(tmp_path / "rows.fits.gz", tmp_path / "out", "sdss-wise")


def test_a_killed_ingest_goes_on(tmp_path: Path) -> None:
    """A small version of `python -m benchmarks.interrupt`."""
    assert campaign(tmp_path, rows=5_000, points=2, suffixes=(".csv",)) == {".csv": 2}
