from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import fetch as campaign
from galviz import fetch as package
from galviz import open_catalogue
from galviz.__main__ import main
from galviz.errors import Cancelled, CatalogueError, FetchError, GalvizError
from galviz.fetch import PUBLISHED, Download, download, downloads_of, fetch
from galviz.fetch.published import FileSet, Published
from galviz.fetch.web import Limits, Web
from galviz.ingest import account
from galviz.surveys import SURVEYS
from tests.archive import CHUNK, DOI, LIMITS, Answer, Archive, Watch, open_archive
from tests.foreign import sources

ROOT = Path(__file__).parents[1]
SIZE = 3500
CONTENT = random.Random(1).randbytes(SIZE)
OTHER = random.Random(2).randbytes(SIZE)
NAME = "rows.bin"


@pytest.fixture(scope="module")
def _archive() -> Iterator[Archive]:
    with open_archive() as archive:
        yield archive


@pytest.fixture
def archive(_archive: Archive, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """An archive that publishes "test", one file."""
    _archive.reset()
    _archive.files = {NAME: CONTENT}
    publish(monkeypatch, (NAME,))
    return _archive


@pytest.fixture
def watch() -> Watch:
    return Watch()


def publish(monkeypatch: pytest.MonkeyPatch, *files: tuple[str, ...], form: str = "csv") -> None:
    """Let these files be the published catalogue "test"."""
    chosen = FileSet("sdss-wise", files, form)
    monkeypatch.setitem(PUBLISHED, "test", Published("test", DOI, chosen))


def refused(web: Web, folder: Path, kind: type[GalvizError] = FetchError, **options: Any) -> str:
    """The sentence with which a download ends, after checking that no file took its final name."""
    with pytest.raises(kind) as caught:
        download("test", folder, web=web, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert not (folder / NAME).exists()
    return sentence


def left(folder: Path) -> dict[str, int]:
    """What lies in a folder of downloads: names and sizes."""
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.name != "lock"}


def ranges(archive: Archive) -> list[str]:
    return [headers["Range"] for path, headers in archive.asked if path.endswith("/content")]


def test_a_file_comes_in_chunks_and_lands_whole(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    made = download("test", tmp_path / "a" / "b", web=watch.web(archive))
    assert made == Download("10.5281/zenodo.102", (tmp_path / "a" / "b" / NAME,))
    assert made.paths[0].read_bytes() == CONTENT
    assert left(tmp_path / "a" / "b") == {NAME: SIZE}
    assert ranges(archive) == ["bytes=0-999", "bytes=1000-1999", "bytes=2000-2999", "bytes=3000-3499"]
    assert archive.bytes_served == SIZE
    assert watch.slept == []


def test_the_latest_version_is_found_from_the_doi(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    download("test", tmp_path, web=watch.web(archive))
    assert [path for path, _ in archive.asked[:4]] == [
        "/api/records/100",
        "/api/records/102",
        "/api/records/102/versions/latest",
        "/api/records/102",
    ]


def test_requests_say_who_asks_and_carry_no_secrets(
    archive: Archive, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    download("test", tmp_path / "out", web=watch.web(archive))
    for _, headers in archive.asked:
        assert headers["User-Agent"].startswith("galviz/")
        assert headers["Accept-Encoding"] == "identity"
        assert not {"Authorization", "Cookie", "Proxy-Authorization"} & set(headers)


def test_several_files_come_one_after_the_other(
    archive: Archive, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.files = {"b.bin": OTHER, "a.bin": CONTENT, "unasked.bin": b"x", "empty.bin": b""}
    publish(monkeypatch, ("a.bin",), ("no.bin", "b.bin"), ("empty.bin",))
    made = download("test", tmp_path, web=watch.web(archive))
    assert [path.name for path in made.paths] == ["a.bin", "b.bin", "empty.bin"]
    assert [path.read_bytes() for path in made.paths] == [CONTENT, OTHER, b""]
    assert left(tmp_path) == {"a.bin": SIZE, "b.bin": SIZE, "empty.bin": 0}
    assert download("test", tmp_path, files=["unasked.bin"], web=watch.web(archive)).paths == (
        tmp_path / "unasked.bin",
    )


def test_files_that_are_there_are_checked_and_not_fetched_again(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    download("test", tmp_path, web=watch.web(archive))
    served = archive.bytes_served
    assert download("test", tmp_path, web=watch.web(archive)).paths[0].read_bytes() == CONTENT
    assert archive.bytes_served == served
    for wrong in (OTHER, CONTENT[:-1]):
        (tmp_path / NAME).write_bytes(wrong)
        with pytest.raises(FetchError, match="is there and is not the published file; move it away"):
            download("test", tmp_path, web=watch.web(archive))
        assert (tmp_path / NAME).read_bytes() == wrong
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()
    with pytest.raises(FetchError, match="is there and is not the published file"):
        download("test", tmp_path, web=watch.web(archive))


def test_progress_tells_bytes_and_rate_and_ends_at_one(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    archive.answers = [Answer(status=503)]
    heard: list[tuple[float, str]] = []
    download("test", tmp_path, progress=lambda fraction, words: heard.append((fraction, words)), web=watch.web(archive))
    fractions = [fraction for fraction, _ in heard]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert heard[-1][1] == "rows.bin: 4 kB of 4 kB, 4 kB/s"


def test_after_a_resume_the_fraction_is_that_of_what_is_left(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    archive.answers = [Answer(), Answer(status=404)]
    refused(watch.web(archive), tmp_path)
    heard: list[tuple[float, str]] = []
    download("test", tmp_path, progress=lambda fraction, words: heard.append((fraction, words)), web=watch.web(archive))
    assert (0.0, "rows.bin: checked 1 kB that are there") in heard
    assert (1000 / 2500) in [fraction for fraction, _ in heard]
    assert heard[-1][0] == 1.0


# Interruptions: the right file, and at most one chunk asked for twice.


@pytest.mark.parametrize("stop", [-1, 0, 1, 99, 500, 999])
@pytest.mark.parametrize("chunk", [0, 1, 3])
def test_a_dropped_connection_is_taken_up_where_it_broke(
    archive: Archive, watch: Watch, tmp_path: Path, stop: int, chunk: int
) -> None:
    archive.answers = [Answer()] * chunk + [Answer(stop=min(stop, 499) if chunk == 3 else stop)]
    made = download("test", tmp_path, web=watch.web(archive))
    assert made.paths[0].read_bytes() == CONTENT
    assert archive.bytes_served == SIZE
    assert watch.slept == [1.0]


def test_a_connection_that_drops_again_and_again_is_given_up(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    archive.answers = [Answer(), *[Answer(stop=1)] * 20]
    sentence = refused(watch.web(archive), tmp_path)
    assert sentence.startswith("Fetching rows.bin failed 4 times in a row, now since the connection broke (Incomplete")
    assert "what has arrived is kept" in sentence
    assert sum(watch.slept) == 1 + 2 + 4
    assert left(tmp_path)["rows.bin.part"] == 1004
    archive.answers = []
    assert download("test", tmp_path, web=watch.web(archive)).paths[0].read_bytes() == CONTENT
    assert archive.bytes_served == SIZE


def test_drops_with_progress_between_them_are_no_reason_to_give_up(
    archive: Archive, watch: Watch, tmp_path: Path
) -> None:
    archive.answers = [Answer(stop=150)] * 30
    download("test", tmp_path, web=watch.web(archive))
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert archive.bytes_served == SIZE


def test_an_archive_that_is_not_there(tmp_path: Path, watch: Watch, archive: Archive) -> None:
    web = dataclasses.replace(watch.web(archive), root="http://127.0.0.1:9")
    sentence = refused(web, tmp_path)
    assert "127.0.0.1 does not answer" in sentence
    assert "Connection refused" in sentence


@pytest.mark.parametrize("kind", [Cancelled, KeyboardInterrupt])
def test_a_cancelled_download_repeats_nothing(
    archive: Archive, watch: Watch, tmp_path: Path, kind: type[BaseException]
) -> None:
    def stop(fraction: float, words: str) -> None:
        if fraction > 0.5:
            raise kind("The work was stopped.")

    with pytest.raises(kind):
        download("test", tmp_path, progress=stop, web=watch.web(archive))
    assert left(tmp_path)["rows.bin.part"] == 2000
    download("test", tmp_path, web=watch.web(archive))
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert archive.bytes_served == SIZE


def test_a_wait_can_be_cancelled(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    def stop(fraction: float, words: str) -> None:
        if "going on in 48 s" in words:
            raise Cancelled("The work was stopped.")

    archive.answers = [Answer(status=503, headers={"Retry-After": "50"})]
    refused(watch.web(archive), tmp_path, Cancelled, progress=stop)
    assert len(watch.slept) == 2
    assert left(tmp_path) == {}


KILLED = """
import sys
from galviz.fetch import PUBLISHED, download
from galviz.fetch.published import FileSet, Published
from galviz.fetch.web import Web
from tests.archive import DOI, LIMITS
PUBLISHED["test"] = Published("test", DOI, FileSet("sdss-wise", (("rows.bin",),), "csv"))
download("test", sys.argv[2], web=Web(sys.argv[1], LIMITS), progress=lambda fraction, words: print(words, flush=True))
"""


def test_a_killed_download_repeats_at_most_one_chunk(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    archive.answers = [Answer(), Answer(stop=700, stall=True)]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, archive.root, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    part = tmp_path / "rows.bin.part"
    deadline = time.monotonic() + 120
    while not (part.exists() and part.stat().st_size == 1700):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    download("test", tmp_path, web=watch.web(archive))
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert archive.bytes_served == SIZE + 700 <= SIZE + CHUNK
    assert left(tmp_path) == {NAME: SIZE}


def test_two_at_once_do_not_meet(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    def again(fraction: float, words: str) -> None:
        if fraction:
            assert f"Another galviz fetches files to {tmp_path}" in refused(watch.web(archive), tmp_path)
            heard.append(words)

    heard: list[str] = []
    download("test", tmp_path, progress=again, web=watch.web(archive, dataclasses.replace(LIMITS, chunk=SIZE)))
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert heard


@pytest.mark.parametrize(
    "damage",
    [
        lambda part, state: state.write_text("nonsense"),
        lambda part, state: state.write_text("[" * 100_000),
        lambda part, state: state.write_text("{}"),
        lambda part, state: state.write_text(state.read_text().replace('"arrived": 1000', '"arrived": 5000')),
        lambda part, state: state.write_text(state.read_text().replace('"arrived": 1000', '"arrived": -1')),
        lambda part, state: state.write_text(state.read_text().replace('"arrived": 1000', '"arrived": "1000"')),
        lambda part, state: state.write_text(state.read_text().replace('"size": 3500', '"size": 3501')),
        lambda part, state: state.unlink(),
        lambda part, state: part.unlink(),
        lambda part, state: part.write_bytes(b"short"),
    ],
)
def test_a_partial_file_that_cannot_be_trusted_is_begun_anew(
    archive: Archive, watch: Watch, tmp_path: Path, damage: Any
) -> None:
    archive.answers = [Answer(), Answer(status=404)]
    refused(watch.web(archive), tmp_path)
    damage(tmp_path / "rows.bin.part", tmp_path / "rows.bin.part.json")
    download("test", tmp_path, web=watch.web(archive))
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert ranges(archive)[2] == "bytes=0-999"


def test_a_partial_file_that_was_damaged_is_found_out_in_the_end(
    archive: Archive, watch: Watch, tmp_path: Path
) -> None:
    archive.answers = [Answer(), Answer(status=404)]
    refused(watch.web(archive), tmp_path)
    (tmp_path / "rows.bin.part").write_bytes(OTHER[:1000])
    assert "arrived with the MD5" in refused(watch.web(archive), tmp_path)
    assert left(tmp_path) == {}
    download("test", tmp_path, web=watch.web(archive))
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_what_follows_the_bytes_on_record_is_not_trusted(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    archive.answers = [Answer(), Answer(status=404)]
    refused(watch.web(archive), tmp_path)
    with (tmp_path / "rows.bin.part").open("ab") as part:
        part.write(b"\0" * 5000)
    download("test", tmp_path, web=watch.web(archive))
    assert (tmp_path / NAME).read_bytes() == CONTENT


# An archive that does not do what it is asked


def test_an_archive_that_ignores_ranges_gives_the_whole_file(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    archive.answers = [Answer(ranges=False)]
    download("test", tmp_path, web=watch.web(archive))
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert archive.bytes_served == SIZE


def test_a_whole_file_is_put_on_record_chunk_by_chunk(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    heard: list[int] = []

    def look(fraction: float, words: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            heard.append(json.loads((tmp_path / "rows.bin.part.json").read_text())["arrived"])

    archive.answers = [Answer(ranges=False, pause=0.0001)]
    download("test", tmp_path, web=watch.web(archive), progress=look)
    assert len(set(heard)) >= 3


def test_an_archive_that_ignores_ranges_and_drops_is_refused_once_and_begun_anew(
    archive: Archive, watch: Watch, tmp_path: Path
) -> None:
    archive.answers = [Answer(ranges=False, stop=1500), Answer(ranges=False)]
    sentence = refused(watch.web(archive), tmp_path)
    assert "sends rows.bin only as a whole, so the 2 kB from before an interruption were removed" in sentence
    assert left(tmp_path) == {}
    archive.answers = [Answer(ranges=False)]
    download("test", tmp_path, web=watch.web(archive))
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_file_that_changes_midway_is_refused_and_begun_anew(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    archive.answers = [Answer(), Answer(), Answer(change=OTHER)]
    assert "rows.bin changed at the archive while it was fetched" in refused(watch.web(archive), tmp_path)
    assert left(tmp_path) == {}
    download("test", tmp_path, web=watch.web(archive))
    assert (tmp_path / NAME).read_bytes() == OTHER


def test_a_change_is_noticed_though_the_archive_ignores_the_condition(
    archive: Archive, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("galviz.fetch.partial.Partial.validator", "")
    archive.answers = [Answer(), Answer(change=OTHER)]
    assert "changed at the archive" in refused(watch.web(archive), tmp_path)
    archive.reset()
    archive.files, archive.etags = {NAME: CONTENT}, False
    archive.answers = [Answer(), Answer(change=OTHER)]
    assert "changed at the archive" in refused(watch.web(archive), tmp_path)


def test_a_change_without_an_etag_is_found_by_the_checksum(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    archive.etags = archive.dates = False
    archive.answers = [Answer(), Answer(change=OTHER)]
    assert "arrived with the MD5" in refused(watch.web(archive), tmp_path)
    assert left(tmp_path) == {}


def test_the_condition_is_a_strong_name_of_the_version(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    def conditions() -> list[str | None]:
        return [headers.get("If-Range") for path, headers in archive.asked if path.endswith("/content")]

    download("test", tmp_path / "strong", web=watch.web(archive))
    assert conditions()[0] is None
    assert str(conditions()[1]).startswith('"md5:')
    archive.reset()
    archive.files, archive.etags = {NAME: CONTENT}, False
    archive.answers = [Answer(headers={"ETag": 'W/"weak"'})] * 4
    download("test", tmp_path / "weak", web=watch.web(archive))
    assert str(conditions()[1]).startswith("Sat, 01 Jan 2022")


def test_a_record_that_was_replaced_between_two_runs_begins_anew(
    archive: Archive, watch: Watch, tmp_path: Path
) -> None:
    archive.answers = [Answer(), Answer(status=404)]
    refused(watch.web(archive), tmp_path)
    archive.files = {NAME: OTHER[:2500]}
    download("test", tmp_path, web=watch.web(archive))
    assert (tmp_path / NAME).read_bytes() == OTHER[:2500]


@pytest.mark.parametrize("published", [CONTENT + b"more", CONTENT[:-1], b""])
@pytest.mark.parametrize("whole", [False, True])
def test_a_size_that_is_not_that_of_the_record_is_refused_at_once(
    archive: Archive, watch: Watch, tmp_path: Path, published: bytes, whole: bool
) -> None:
    archive.published = {NAME: published}
    archive.answers = [Answer(ranges=not whole)]
    if not published:
        assert download("test", tmp_path, web=watch.web(archive)).paths[0].read_bytes() == b""
        return
    sentence = refused(watch.web(archive), tmp_path)
    assert f"has 3,500 bytes of rows.bin where its record says {len(published):,}" in sentence
    assert left(tmp_path) == {}


def test_an_honest_size_with_a_lie_about_the_checksum(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    archive.published = {NAME: OTHER}
    assert "arrived with the MD5" in refused(watch.web(archive), tmp_path)
    assert left(tmp_path) == {}


def test_damage_on_the_way(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    archive.answers = [Answer(), Answer(flip=True)]
    assert "arrived with the MD5" in refused(watch.web(archive), tmp_path)
    assert left(tmp_path) == {}


@pytest.mark.parametrize("ranges", [False, True])
@pytest.mark.parametrize("length", ["", "10", "999999", "nonsense"])
def test_a_length_that_is_not_true(archive: Archive, watch: Watch, tmp_path: Path, length: str, ranges: bool) -> None:
    archive.answers = [Answer(length=length, ranges=ranges)]
    if not ranges and length.isdigit():
        assert "where its record says 3,500" in refused(watch.web(archive), tmp_path)
    else:
        download("test", tmp_path, web=watch.web(archive))
        assert (tmp_path / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("extent", "words"),
    [
        ("", "no such part"),
        ("bytes", "no such part"),
        ("bytes 0-999/99999999999999999999", "no such part"),
        ("bytes 5-999/3500", "another part"),
        ("bytes 0-999/10", "has 10 bytes"),
        ("bytes 1000-999/3500", "another part"),
    ],
)
def test_a_part_that_is_not_the_one_asked_for(
    archive: Archive, watch: Watch, tmp_path: Path, extent: str, words: str
) -> None:
    archive.answers = [Answer(extent=extent)]
    assert words in refused(watch.web(archive), tmp_path)


@pytest.mark.parametrize("extent", ["bytes 0-999/*", "bytes 0-99999/3500"])
def test_a_part_of_unknown_or_boastful_extent_will_do(
    archive: Archive, watch: Watch, tmp_path: Path, extent: str
) -> None:
    archive.answers = [Answer(extent=extent, length="")]
    download("test", tmp_path, web=watch.web(archive))
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_file_that_ends_before_the_part_asked_for(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    archive.etags = archive.dates = False
    archive.answers = [Answer(), Answer(change=CONTENT[:1000])]
    assert "no such part of rows.bin, of 3,500 bytes" in refused(watch.web(archive), tmp_path)


def test_a_coding_that_was_not_asked_for(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    archive.answers = [Answer(headers={"Content-Encoding": "gzip"})]
    assert "in another coding" in refused(watch.web(archive), tmp_path)


def test_an_archive_that_trickles_is_given_up(archive: Archive, tmp_path: Path) -> None:
    limits = Limits(chunk=CHUNK, least=500, patience=0.05, tries=2, connect=30.0, read=30.0)
    archive.answers = [Answer(), *[Answer(pause=0.01)] * 2]
    sentence = refused(Web(archive.root, limits, Watch(runs=True).clock), tmp_path)
    assert "Fetching rows.bin failed 2 times in a row, now since only " in sentence
    assert "what has arrived is kept" in sentence
    assert left(tmp_path)["rows.bin.part"] > 1000


def test_an_archive_that_falls_silent_is_given_up(archive: Archive, tmp_path: Path) -> None:
    limits = dataclasses.replace(LIMITS, read=0.7, tries=3)
    archive.answers = [Answer(stop=20, stall=True)] * 3
    sentence = refused(Web(archive.root, limits, Watch(runs=True).clock), tmp_path)
    assert "timed out" in sentence
    assert left(tmp_path)["rows.bin.part"] > 0


# What the archive wants us to wait


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:32 GMT"}, 12),
        ({"Retry-After": "Tue, 14 Nov 2000 22:13:32 GMT"}, 0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1700000009"}, 9),
        ({"X-RateLimit-Reset": "1700000009"}, 9),
        ({"Retry-After": "soon"}, 1),
        ({"Retry-After": "9" * 5000}, 1),
        ({}, 1),
    ],
)
def test_a_busy_archive_is_left_alone_as_long_as_it_wants(
    archive: Archive, watch: Watch, tmp_path: Path, status: int, headers: dict[str, str], seconds: float
) -> None:
    archive.answers = [Answer(), Answer(status=status, headers=headers)]
    download("test", tmp_path, web=watch.web(archive))
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert sum(watch.slept) == seconds
    assert archive.bytes_served == SIZE


def test_the_record_too_is_waited_for(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    archive.records = [Answer(status=429, headers={"Retry-After": "5"}), Answer(status=502)]
    download("test", tmp_path, web=watch.web(archive))
    assert sum(watch.slept) == 7


def test_a_wait_that_is_too_long_is_told(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    archive.answers = [Answer(), Answer(status=429, headers={"Retry-After": "3600"})]
    sentence = refused(watch.web(archive), tmp_path)
    assert sentence.startswith("127.0.0.1 is busy and asks to wait 3,600 s; what has arrived is kept")
    assert left(tmp_path)["rows.bin.part"] == 1000
    assert watch.slept == []


def test_an_archive_that_stays_busy_is_given_up(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    archive.answers = [Answer(status=503)] * 20
    assert "Fetching rows.bin failed 4 times in a row, now since 127.0.0.1 is busy" in refused(
        watch.web(archive), tmp_path
    )
    assert sum(watch.slept) == 7


def test_good_answers_are_heeded_when_no_request_is_left(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    usual = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "58", "Retry-After": "59"}
    archive.answers = [Answer(headers=usual), Answer(headers={**usual, "X-RateLimit-Remaining": "0"})]
    download("test", tmp_path, web=watch.web(archive))
    assert sum(watch.slept) == 59


def test_the_last_answer_that_is_allowed_is_taken_all_the_same(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    archive.answers = [Answer()] * 3 + [Answer(headers={"X-RateLimit-Remaining": "0", "Retry-After": "3600"})]
    download("test", tmp_path, web=watch.web(archive))
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert watch.slept == []


def test_a_wait_that_the_record_asks_for_holds_for_the_file(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    archive.limits = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1700000030"}
    download("test", tmp_path, web=watch.web(archive))
    assert sum(watch.slept) == 30


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "does not give rows.bin to everybody"),
        (403, "does not give rows.bin to everybody"),
        (404, "has no rows.bin"),
        (410, "has no rows.bin"),
        (418, "status 418"),
        (204, "status 204"),
    ],
)
def test_answers_that_say_no(archive: Archive, watch: Watch, tmp_path: Path, status: int, words: str) -> None:
    archive.answers = [Answer(status=status)]
    assert words in refused(watch.web(archive), tmp_path)
    assert watch.slept == []


# Elsewhere


@pytest.mark.parametrize(
    "location",
    [
        "https://example.org/file",
        "https://zenodo.org/file",
        "http://127.0.0.1:1/file",
        "http://user@127.0.0.1/file",
        "http://localhost/file",
        "//127.0.0.2/file",
        "file:///etc/passwd",
        "http://[::1/file",
    ],
)
def test_a_redirect_elsewhere_is_not_followed(archive: Archive, watch: Watch, tmp_path: Path, location: str) -> None:
    archive.answers = [Answer(), Answer(status=302, headers={"Location": location})]
    assert "address" in refused(watch.web(archive), tmp_path)
    assert watch.slept == []


def test_a_redirect_in_a_circle_ends(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    archive.answers = [Answer(status=301, headers={"Location": "/loop"})]
    assert "is redirected more than 5 times" in refused(watch.web(archive), tmp_path)
    archive.answers = [Answer(status=307)] * 10
    assert "is redirected more than 5 times" in refused(watch.web(archive), tmp_path)


def test_a_redirect_within_the_archive_is_followed_with_the_range(
    archive: Archive, watch: Watch, tmp_path: Path
) -> None:
    place = f"/api/records/102/files/{NAME}/content"
    archive.answers = [Answer(), Answer(status=302, headers={"Location": place})]
    download("test", tmp_path, web=watch.web(archive))
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_record_that_names_files_elsewhere_is_not_followed(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    for place in ("https://example.org/rows.bin", "http://127.0.0.1:9/rows.bin", "", "http://[", "rows.bin"):
        archive.record = lambda usual, place=place: changed(usual, links={"self": place})
        assert "address" in refused(watch.web(archive), tmp_path)


# Records


def changed(record: dict[str, Any], **fields: Any) -> dict[str, Any]:
    record["files"][0].update(fields)
    return record


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"[]", b"null", b"\xff\xfe", b"[" * 200_000, b'{"id": ' + b"9" * 5000 + b"}", b"{"]
)
def test_a_record_that_is_no_record(archive: Archive, watch: Watch, tmp_path: Path, content: bytes) -> None:
    archive.record = lambda usual: content
    assert "does not describe the record 10.5281/zenodo.100 as it should" in refused(watch.web(archive), tmp_path)


def test_a_record_without_end(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    archive.record = lambda usual: {**usual, "padding": "x" * (9 << 20)}
    assert "does not describe" in refused(watch.web(archive), tmp_path)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"files": None}, "lists no files"),
        ({"files": {}}, "lists no files"),
        ({"files": {"entries": []}}, "lists no files"),
        ({"parent": 3, "conceptrecid": None, "id": 1}, "another record in place of"),
        ({"files": [3]}, "lists no files"),
        ({"files": []}, "has no file rows.bin, its files are none; say which to take with --file"),
        ({"files": [{}]}, "a file without a name"),
        ({"files": [{"key": 3}]}, "a file without a name"),
        ({"files": [{"key": "rows.bin"}, {"key": "rows.bin"}]}, "two files 'rows.bin'"),
        ({"files": [{"key": "other\nname.bin"}]}, r"its files are 'other\nname.bin'"),
        ({"id": 5, "conceptrecid": "6"}, "another record in place of 10.5281/zenodo.100"),
        ({"id": None, "conceptrecid": None}, "another record in place of"),
    ],
)
def test_records_that_are_odd(
    archive: Archive, watch: Watch, tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    archive.record = lambda usual: {**usual, **fields}
    assert words in refused(watch.web(archive), tmp_path)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"size": None}, "no size"),
        ({"size": -1}, "no size"),
        ({"size": "3500"}, "no size"),
        ({"size": True}, "no size"),
        ({"size": 10**400}, "no size"),
        ({"checksum": None}, "no MD5"),
        ({"checksum": "sha256:" + "a" * 64}, "no MD5"),
        ({"checksum": "md5:short"}, "no MD5"),
        ({"links": None}, "no link"),
        ({"links": ["self"]}, "no link"),
        ({"links": {"self": 3}}, "no link"),
    ],
)
def test_files_that_are_described_oddly(
    archive: Archive, watch: Watch, tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    archive.record = lambda usual: changed(usual, **fields)
    assert f"gives rows.bin {words}" in refused(watch.web(archive), tmp_path)


def test_spellings_of_earlier_and_later_records_are_understood(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    def other(usual: dict[str, Any]) -> dict[str, Any]:
        [file] = usual["files"]
        address = file["links"]["self"]
        file.update(filename=file.pop("key"), checksum=file["checksum"][4:].upper())
        file["links"] = {"self": f"{archive.root}/described", "download": address}
        del usual["links"]["latest"]
        return usual

    archive.record = other
    assert download("test", tmp_path, web=watch.web(archive)).paths[0].read_bytes() == CONTENT


def test_records_of_inveniordm_are_understood(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    def other(usual: dict[str, Any]) -> dict[str, Any]:
        [file] = usual["files"]
        file["links"] = {"self": f"{archive.root}/described", "content": file["links"]["self"]}
        usual["files"] = {"enabled": True, "count": 1, "entries": {NAME: file}}
        usual["parent"] = {"id": usual.pop("conceptrecid")}
        return usual

    archive.record = other
    assert download("test", tmp_path, web=watch.web(archive)).paths[0].read_bytes() == CONTENT


def test_a_latest_version_of_something_else(archive: Archive, watch: Watch, tmp_path: Path) -> None:
    records = iter([{}, {"conceptrecid": "7", "id": 8}])
    archive.record = lambda usual: {**usual, **next(records)}
    assert "another record as the latest version" in refused(watch.web(archive), tmp_path)


@pytest.mark.parametrize(
    "name", ["../x.bin", "/x.bin", "..", ".hidden", "a\\b.bin", "a/b.bin", "C:x.bin", "x\n.bin", ""]
)
def test_a_name_is_never_a_path(
    archive: Archive, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    archive.files = {name: CONTENT}
    publish(monkeypatch, (name,))
    folder = tmp_path / "downloads"
    with pytest.raises(FetchError, match="is no plain name"):
        download("test", folder, web=watch.web(archive))
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("doi", ["10.5281/zenodo.x", "10.1051/0004-6361/201936770", "", "10.5281/zenodo.1/../2"])
def test_a_doi_that_is_not_of_zenodo(
    archive: Archive, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, doi: str
) -> None:
    monkeypatch.setitem(PUBLISHED, "test", dataclasses.replace(PUBLISHED["test"], doi=doi))
    assert "is not a DOI of Zenodo" in refused(watch.web(archive), tmp_path)
    assert archive.asked == []


# Room


def test_room_is_looked_for_before_anything_is_fetched(
    archive: Archive, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.answers = [Answer(), Answer(status=404)]
    refused(watch.web(archive), tmp_path)
    for module in ("galviz.fetch.transfer", "galviz.disk"):
        monkeypatch.setattr(f"{module}.free_at", lambda path: 2499)
    served = archive.bytes_served
    sentence = refused(watch.web(archive), tmp_path, GalvizError)
    assert sentence.startswith(
        f"The disk is full: {tmp_path} needs about 2 kB and 2 kB are free there; what has arrived"
    )
    assert archive.bytes_served == served
    monkeypatch.setattr("galviz.fetch.transfer.free_at", lambda path: 2500)
    download("test", tmp_path, web=watch.web(archive))
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_disk_that_gets_full_midway_keeps_what_is_on_it(
    archive: Archive, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    content = random.Random(3).randbytes(100_000)
    try:
        archive.files = {NAME: content}
        monkeypatch.setattr("galviz.fetch.transfer.free_at", lambda path: 1 << 40)
        web = watch.web(archive, dataclasses.replace(LIMITS, chunk=10_000))
        sentence = refused(web, disk, GalvizError)
        assert sentence.startswith(f"The disk is full: {disk} needs about 100 kB and ")
        assert "what has arrived is kept" in sentence
        subprocess.run(["mount", "-o", "remount,size=1M", str(disk)], check=True)
        download("test", disk, web=web)
        assert (disk / NAME).read_bytes() == content
        assert len(content) <= archive.bytes_served <= len(content) + 10_000
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_fails_is_told_and_gone_on_with(
    archive: Archive, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    usual, number = getattr(os, call), 0
    for wrong in range(1, 30):
        done = 0

        def fail(*arguments: Any, wrong: int = wrong) -> Any:
            nonlocal done
            done += 1
            if done == wrong:
                raise OSError(errno.EIO, "Input/output error", "disk")
            return usual(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            try:
                download("test", tmp_path / str(wrong), web=watch.web(archive))
            except (OSError, CatalogueError) as error:
                assert "Input/output error" in str(error)
                number += 1
            else:
                break
        download("test", tmp_path / str(wrong), web=watch.web(archive))
        assert (tmp_path / str(wrong) / NAME).read_bytes() == CONTENT
        assert left(tmp_path / str(wrong)) == {NAME: SIZE}
    assert number >= 5


# The law: whatever happens, the right bytes or a sentence

FAULTS = st.one_of(
    st.builds(Answer, stop=st.integers(-1, CHUNK)),
    st.builds(Answer, ranges=st.just(False), stop=st.none() | st.integers(0, SIZE)),
    st.builds(Answer, flip=st.just(True)),
    st.builds(Answer, change=st.sampled_from([CONTENT, OTHER, CONTENT[:2000], OTHER + CONTENT]), ranges=st.booleans()),
    st.builds(Answer, length=st.sampled_from(["", "0", "10", "5000"]), ranges=st.booleans()),
    st.builds(
        Answer, extent=st.sampled_from(["", "bytes 0-9/3500", "bytes 0-9/*", "bytes 0-999/10", "bytes 500-999/*"])
    ),
    st.builds(
        Answer,
        status=st.sampled_from([429, 503, 500, 404, 416, 204, 302]),
        headers=st.sampled_from([{}, {"Retry-After": "3"}, {"Retry-After": "x"}, {"Location": "https://example.org"}]),
    ),
    st.just(Answer()),
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    faults=st.lists(st.lists(FAULTS, max_size=4), min_size=1, max_size=3),
    etags=st.booleans(),
    dates=st.booleans(),
    lie=st.sampled_from([None, None, None, OTHER, CONTENT[:-1]]),
)
def test_any_faults_end_in_the_right_bytes_or_in_a_sentence(
    archive: Archive, tmp_path_factory: pytest.TempPathFactory, faults: Any, etags: bool, dates: bool, lie: bytes | None
) -> None:
    folder = tmp_path_factory.mktemp("law")
    archive.reset()
    archive.files, archive.etags, archive.dates = {NAME: CONTENT}, etags, dates
    for answers in [*faults, [], [], []]:
        archive.answers, archive.published = list(answers), None if lie is None else {NAME: lie}
        published = archive.files[NAME] if lie is None else lie
        try:
            download("test", folder, web=Watch().web(archive))
        except GalvizError as error:
            assert "\n" not in str(error)
            assert not (folder / NAME).exists()
        else:
            assert (folder / NAME).read_bytes() == published
            assert left(folder) == {NAME: len(published)}
            return
    assert lie is not None, "an honest archive that behaves was refused three times"


# From the archive to a catalogue


@pytest.fixture
def table(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Two CSV files of sources that "test" consists of; the content of both together, as rows."""
    first, second = sources(40, 1), sources(30, 2).assign(objid=np.arange(30))
    archive.files = {"a.csv": first.to_csv(index=False).encode(), "b.csv": second.to_csv(index=False).encode()}
    publish(monkeypatch, ("a.csv",), ("b.csv",))
    return b"".join(archive.files.values())


def test_a_published_catalogue_becomes_a_catalogue(
    archive: Archive, watch: Watch, tmp_path: Path, table: bytes
) -> None:
    made = fetch("test", tmp_path / "cat", web=watch.web(archive))
    assert made.rows == 70
    assert made.manifest.doi == "10.5281/zenodo.102"
    assert open_catalogue(tmp_path / "cat").digest == made.digest
    assert account(made.manifest.groups[0].provenance)[0] == "70 rows read"
    assert set(left(tmp_path / "cat.downloads")) == {"a.csv", "b.csv"}
    assert archive.bytes_served == len(table)


def test_an_interrupted_fetch_goes_on(archive: Archive, watch: Watch, tmp_path: Path, table: bytes) -> None:
    archive.answers = [Answer(), Answer(), Answer(status=404)]
    with pytest.raises(FetchError, match=r"has no a\.csv"):
        fetch("test", tmp_path / "cat", keep=tmp_path / "kept", web=watch.web(archive))
    assert not (tmp_path / "cat").exists()
    assert fetch("test", tmp_path / "cat", keep=tmp_path / "kept", web=watch.web(archive)).rows == 70
    assert archive.bytes_served == len(table)
    served = archive.bytes_served
    again = fetch("test", tmp_path / "cat", keep=tmp_path / "kept", overwrite=True, web=watch.web(archive))
    assert again.rows == 70
    assert archive.bytes_served == served


def test_the_stages_are_named_and_told_of(archive: Archive, watch: Watch, tmp_path: Path, table: bytes) -> None:
    heard: list[tuple[str, float, str]] = []

    @contextlib.contextmanager
    def stage(name: str) -> Iterator[Any]:
        yield lambda fraction, words: heard.append((name, fraction, words))

    fetch("test", tmp_path / "cat", stage=stage, web=watch.web(archive))
    assert [name for number, (name, _, _) in enumerate(heard) if number == 0 or heard[number - 1][0] != name] == [
        "fetch",
        "ingest",
    ]
    assert next(words for name, _, words in reversed(heard) if name == "fetch").startswith("b.csv (2 of 2): ")
    assert heard[-1] == ("ingest", 1.0, "70 rows read, 70 kept")


@pytest.mark.parametrize("labelled", [False, True])
def test_pickles_are_not_even_fetched_without_trust(
    archive: Archive, watch: Watch, tmp_path: Path, labelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PUBLISHED, "test", dataclasses.replace(PUBLISHED["sdss-ml"], doi=DOI))
    with pytest.raises(FetchError, match=r"pickles, which can run any code .*say --trust-pickle .*or --no-ingest"):
        fetch("test", tmp_path / "cat", labelled=labelled, web=watch.web(archive))
    assert archive.asked == []
    assert list(tmp_path.iterdir()) == []


def test_trust_is_passed_on_to_ingest(
    archive: Archive, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(package, "ingest", lambda *arguments, **options: heard.append((arguments, options)))
    publish(monkeypatch, (NAME,), form="pickle")
    fetch("test", tmp_path / "cat", trust_pickle=True, overwrite=True, web=watch.web(archive))
    publish(monkeypatch, (NAME,))
    fetch("test", tmp_path / "cat", trust_pickle=True, web=watch.web(archive))
    [(arguments, options), (_, plain)] = heard
    survey = dataclasses.replace(SURVEYS["sdss-wise"], doi="10.5281/zenodo.102")
    assert arguments == ((tmp_path / "cat.downloads" / NAME,), tmp_path / "cat", survey)
    assert (options["trust_pickle"], options["overwrite"]) == (True, True)
    assert "trust_pickle" not in plain


def test_what_cannot_end_well_is_refused_before_anything_is_asked_for(
    archive: Archive, watch: Watch, tmp_path: Path
) -> None:
    web = watch.web(archive)
    (tmp_path / "cat").mkdir()
    with pytest.raises(CatalogueError, match="exists already; choose another folder or say --overwrite"):
        fetch("test", tmp_path / "cat", web=web)
    for keep in ("new", "new/downloads"):
        with pytest.raises(FetchError, match="cannot hold its own downloads"):
            fetch("test", tmp_path / "new", keep=tmp_path / keep, web=web)
    with pytest.raises(FetchError, match="No published catalogue 'kids' is known; known are sdss-ml, test"):
        fetch("kids", tmp_path / "new", web=web)
    with pytest.raises(FetchError, match="published without a labelled table"):
        fetch("test", tmp_path / "new", labelled=True, web=web)
    assert archive.asked == []
    assert [path.name for path in tmp_path.iterdir()] == ["cat"]


def test_downloads_land_beside_the_catalogue() -> None:
    assert downloads_of("/data/sdss-ml") == Path("/data/sdss-ml.downloads")
    assert downloads_of("data") == Path.cwd() / "data.downloads"


# The command line


@pytest.fixture
def command(archive: Archive, watch: Watch, table: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """`galviz fetch sdss-ml` gets two CSV files from the archive of the test."""
    monkeypatch.setitem(PUBLISHED, "sdss-ml", PUBLISHED["test"])
    monkeypatch.setattr("galviz.__main__.fetch_catalogue", partial(fetch, web=watch.web(archive)))
    monkeypatch.setattr("galviz.__main__.download", partial(download, web=watch.web(archive)))
    monkeypatch.setattr("galviz.progress.BEAT", {True: 60.0, False: 60.0})  # a slow machine adds lines of progress


@pytest.mark.usefixtures("command")
def test_the_command_prints_what_ingest_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "sdss-ml", str(tmp_path / "cat")]) == 0
    fetched = capsys.readouterr()
    downloads = tmp_path / "cat.downloads"
    files = [str(downloads / "a.csv"), str(downloads / "b.csv")]
    assert main(["ingest", *files, str(tmp_path / "other"), "--survey", "sdss-wise"]) == 0
    lines = fetched.out.splitlines()
    assert lines[:-1] == capsys.readouterr().out.splitlines()
    assert lines[-1] == f"the downloaded files stay in {downloads}; remove it when you need them no more"
    # More lines of the same on a slow machine, which tells of the progress meanwhile.
    assert list(dict.fromkeys(line.partition(":")[0] for line in fetched.err.splitlines())) == ["fetch", "ingest"]


@pytest.mark.usefixtures("command")
def test_the_command_ends_with_a_sentence_and_goes_on(
    archive: Archive, tmp_path: Path, table: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.answers = [Answer(), Answer(status=404)]
    assert main(["fetch", "sdss-ml", str(tmp_path / "cat"), "--keep", str(tmp_path / "kept")]) == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "127.0.0.1 has no a.csv (status 404); look for it with a browser.\n")
    assert main(["fetch", "sdss-ml", str(tmp_path / "cat"), "--keep", str(tmp_path / "kept")]) == 0
    assert open_catalogue(tmp_path / "cat").rows == 70
    assert archive.bytes_served == len(table)
    assert main(["fetch", "sdss-ml", str(tmp_path / "cat")]) == 1
    assert "say --overwrite" in capsys.readouterr().err


@pytest.mark.usefixtures("command")
def test_the_command_can_only_download(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "sdss-ml", str(tmp_path / "cat"), "--no-ingest", "--file", "b.csv"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'cat.downloads' / 'b.csv'}\n"
    assert not (tmp_path / "cat").exists()


def test_the_command_asks_for_trust_before_it_asks_for_anything_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", "sdss-ml", str(tmp_path / "cat")]) == 1
    [sentence] = capsys.readouterr().err.splitlines()
    assert "--trust-pickle" in sentence
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("published", PUBLISHED.values(), ids=list(PUBLISHED))
def test_what_is_published_is_complete(published: Published) -> None:
    assert PUBLISHED[published.name] is published
    for chosen in filter(None, (published.unlabelled, published.labelled)):
        assert chosen.survey in SURVEYS
        assert chosen.files
        assert all(spellings for spellings in chosen.files)


def test_a_small_campaign_of_faults_finds_no_wrong_file(archive: Archive, tmp_path: Path) -> None:
    counts = sum((campaign.outcomes(archive, tmp_path / str(seed), seed) for seed in range(20)), Counter[str]())
    assert counts[campaign.WRONG] == 0
    assert counts[campaign.RIGHT] == 20
    assert counts[campaign.REFUSED] > 5
