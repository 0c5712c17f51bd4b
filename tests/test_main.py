from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import galviz as gv
from galviz import work
from galviz.__main__ import cli, in_words, listening_address, main
from galviz.errors import GalvizError
from galviz.index import has_index
from galviz.simulate.catalogue import simulate
from galviz.surveys import SURVEYS
from galviz.surveys.toml import parse_survey
from tests.foreign import sources, write
from tests.samples import write_catalogue

ROOT = Path(__file__).parents[1]
COMMANDS = (
    "classify",
    "demo",
    "embed",
    "evaluate",
    "export",
    "fetch",
    "index",
    "info",
    "ingest",
    "serve",
    "simulate",
    "survey",
    "train",
    "verify",
)


def run(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of `galviz` in a process of its own."""
    command = [sys.executable, "-m", "galviz", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one line on standard error with which a command ends, after checking the exit status."""
    assert main([str(argument) for argument in arguments]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    # A slow machine tells of the progress meanwhile.
    lines = [line for line in printed.err.splitlines() if not re.match(r"\w+: \d+ %, ", line)]
    assert len(lines) == 1, printed.err
    return lines[0]


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small labelled catalogue without predictions or an index."""
    return simulate(tmp_path_factory.mktemp("main") / "sky", 4000, 3, labelled=True).path


@pytest.fixture(scope="module")
def model(sky: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small forest, trained by the command line."""
    path = tmp_path_factory.mktemp("model") / "forest"
    assert main(["train", str(sky), "--model", str(path), "--size", "10"]) == 0
    return path


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    assert all(f"\n  {name} " in result.output for name in COMMANDS)
    assert sorted(cli.commands) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = CliRunner().invoke(cli, [command, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 4


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["simulate"], ["simulate", "out", "--rows", "few"], ["info", "--x"]]
)
def test_misuse_is_exit_status_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(arguments) == 2
    assert "Error: " in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"galviz, version {gv.__version__}\n"


# The road, end to end


def test_simulate_is_seeded_and_says_that_it_is_simulated(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert main(["simulate", str(tmp_path / name), "--rows", "500", "--seed", str(seed)]) == 0
    a, b, c = (gv.open_catalogue(tmp_path / name) for name in "abc")
    assert [part.sha256 for part in a.manifest.groups[0].parts] == [part.sha256 for part in b.manifest.groups[0].parts]
    assert [part.sha256 for part in a.manifest.groups[0].parts] != [part.sha256 for part in c.manifest.groups[0].parts]
    assert a.manifest.simulated
    assert "simulated" in a.manifest.title


def test_ingest_prints_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = sources(20, labelled=True)
    frame.loc[2, "w2"] = 9999.0
    path = write(frame, tmp_path / "rows.csv")
    assert main(["ingest", str(path), str(tmp_path / "out"), "--survey", "sdss-wise"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "20 rows read"
    assert "1 dropped, kept where w1..w4 < 50: no WISE magnitude" in lines
    assert "psf_u: from psf_u, mag" in lines


def test_survey_proposes_what_ingest_then_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new.csv"
    path.write_text("source_id,RAJ2000,DEJ2000,gmag,rmag\n1,10,20,17,16\n2,11,21,18,99\n")
    assert f"`galviz survey {path} --out my.toml`" in refused(capsys, "ingest", path, tmp_path / "out")
    assert main(["survey", str(path)]) == 0
    shown = capsys.readouterr().out
    description = tmp_path / "my.toml"
    assert main(["survey", str(path), "--out", str(description)]) == 0
    assert f"say --survey {description}" in capsys.readouterr().out
    assert description.read_text() == shown
    assert "exists already" in refused(capsys, "survey", path, "--out", description)
    assert main(["ingest", str(path), str(tmp_path / "out"), "--survey", str(description)]) == 0
    catalogue = gv.open_catalogue(tmp_path / "out")
    assert (catalogue.rows, catalogue.manifest.features) == (2, ("gmag", "rmag"))


def test_survey_prints_one_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["survey", "sdss-ml"]) == 0
    assert parse_survey(capsys.readouterr().out) == SURVEYS["sdss-ml"]
    assert "There is no file sdss-mlx" in refused(capsys, "survey", "sdss-mlx")


def test_survey_gives_back_what_a_catalogue_was_ingested_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, description, again = tmp_path / "new.csv", tmp_path / "my.toml", tmp_path / "again.toml"
    path.write_text("source_id,RAJ2000,DEJ2000,gmag,rmag,depth\n1,10,20,17,16,3\n2,11,21,18,99,4\n")
    assert main(["survey", str(path), "--out", str(description)]) == 0
    for out, survey in ((tmp_path / "a", description), (tmp_path / "b", again)):
        assert main(["ingest", str(path), str(out), "--survey", str(survey)]) == 0
        assert main(["survey", str(out), "--out", str(again), "--overwrite"]) == 0
        assert parse_survey(again.read_text()) == parse_survey(description.read_text())
    made = [gv.open_catalogue(tmp_path / name).manifest.groups[0] for name in "ab"]
    assert made[0].columns == made[1].columns
    assert made[0].parts == made[1].parts
    capsys.readouterr()
    assert main(["info", str(tmp_path / "b"), "--json"]) == 0
    base = json.loads(capsys.readouterr().out)["groups"]["base"]
    assert (base["survey text"], base["keep"]) == (again.read_text(), [])


def test_survey_of_what_was_not_ingested(sky: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"The catalogue {sky} keeps no description of a survey" in refused(capsys, "survey", sky)
    gv.export(gv.open_catalogue(sky), "psf_r < 17", tmp_path / "bright.hats")
    assert main(["survey", str(tmp_path / "bright.hats")]) == 0
    proposed = parse_survey(capsys.readouterr().out)
    assert {"objid", "ra", "dec", "psf_r"} <= {column.name for column in proposed.columns}


def test_survey_reads_a_pickle_only_when_trusted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources(5).to_pickle(tmp_path / "rows.pkl")
    assert "say --trust-pickle if you trust its maker" in refused(capsys, "survey", tmp_path / "rows.pkl")
    assert main(["survey", str(tmp_path / "rows.pkl"), "--trust-pickle"]) == 0
    assert "psf_u" in {column.name for column in parse_survey(capsys.readouterr().out).columns}


def test_ingest_refuses_a_survey_that_it_does_not_know(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(sources(2), tmp_path / "rows.csv")
    sentence = refused(capsys, "ingest", path, tmp_path / "out", "--survey", "kids")
    assert "no survey 'kids'" in sentence
    (tmp_path / "my.toml").write_text("name = 3")
    sentence = refused(capsys, "ingest", path, tmp_path / "out", "--survey", tmp_path / "my.toml")
    assert sentence == f"{tmp_path / 'my.toml'}: name is '3', which must be a text."


def test_verify_says_whether_a_catalogue_is_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = simulate(tmp_path / "out", 300, 1).path
    assert main(["verify", str(out)]) == 0
    assert capsys.readouterr().out == f"300 sources in 1 parts at {out} are whole.\n"
    (out / "parts" / "part-00000.parquet").write_bytes(b"PAR1")
    assert "part-00000.parquet is not what was written: its SHA-256 is another" in refused(capsys, "verify", out)


def test_a_pickle_is_read_only_when_trusted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources(5).to_pickle(tmp_path / "rows.pkl")
    command = ["ingest", tmp_path / "rows.pkl", tmp_path / "out", "--survey", "sdss-wise"]
    assert "say --trust-pickle if you trust its maker" in refused(capsys, *command)
    assert not (tmp_path / "out").exists()
    assert main([*map(str, command), "--trust-pickle"]) == 0
    assert gv.open_catalogue(tmp_path / "out").rows == 5
    assert "A pickle runs code" in CliRunner().invoke(cli, ["ingest", "--help"]).output


def test_info_counts_missing_values_ranges_and_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = {
        "objid": 2**60 + np.arange(6),
        "r": np.array([17, 18, np.nan, 16, 20, np.nan], np.float32),
        "class": np.array([0, 1, 1, 2, -1, 0], np.int8),
    }
    write_catalogue(tmp_path / "cat", arrays)
    assert main(["info", str(tmp_path / "cat"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    columns = {column["name"]: column for column in facts["columns"]}
    assert facts["rows"] == 6
    assert facts["index"] == "missing"
    assert (columns["r"]["min"], columns["r"]["max"], columns["r"]["missing"]) == (16.0, 20.0, 2)
    assert columns["class"]["counts"] == {"GALAXY": 2, "QSO": 2, "STAR": 1}
    assert columns["class"]["missing"] == 1
    assert columns["objid"]["max"] == 2**60 + 5
    assert main(["info", str(tmp_path / "cat")]) == 0
    text = capsys.readouterr().out
    assert "Sample (simulated)" in text
    assert f"{2**60} to {2**60 + 5}" in text
    assert "GALAXY 2, QSO 2, STAR 1" in text


def test_train_classify_index_and_evaluate(
    sky: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = simulate(tmp_path / "other", 1500, 9).path
    assert main(["classify", str(other), "--model", str(model)]) == 0
    assert main(["index", str(other)]) == 0
    catalogue = gv.open_catalogue(other)
    assert has_index(catalogue)
    assert catalogue.manifest.class_column == catalogue.manifest.columns["class_pred"]
    capsys.readouterr()
    assert main(["evaluate", str(sky), "--model", str(model), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["held_out"] is True
    assert min(result["scores"]["f1"]["value"]) > 0.5
    assert main(["evaluate", str(sky), "--model", str(model)]) == 0
    assert "macro F1" in capsys.readouterr().out


def test_train_takes_features_and_refuses_to_replace(
    sky: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "train",
        str(sky),
        "--model",
        str(tmp_path / "m"),
        "--size",
        "3",
        "--features",
        "w1, w2",
        "--seed",
        "4",
    ]
    assert main(arguments) == 0
    capsys.readouterr()
    assert "say --overwrite" in refused(capsys, *arguments)
    assert main([*arguments, "--overwrite"]) == 0


def test_embed_passes_its_options_on(sky: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: dict[str, Any] = {}
    monkeypatch.setattr("galviz.__main__.embed_catalogue", lambda catalogue, **options: heard.update(options))
    assert main(["embed", str(sky), "--sample", "700", "--seed", "8"]) == 0
    assert (heard["sample"], heard["seed"]) == (700, 8)


def test_hats_is_a_folder_that_is_replaced_only_when_asked(
    sky: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", sky, tmp_path / "sky.hats", "--where", "psf_r < 18"]
    assert main([str(word) for word in command]) == 0
    rows = gv.open_catalogue(tmp_path / "sky.hats").rows
    assert capsys.readouterr().out == f"{rows:,} sources at {tmp_path / 'sky.hats'}\n"
    assert "exists already" in refused(capsys, *command)
    assert main([*(str(word) for word in command[:3]), "--overwrite"]) == 0
    assert gv.open_catalogue(tmp_path / "sky.hats").rows == gv.open_catalogue(sky).rows


def test_export_writes_the_selection(sky: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = "class == 'QSO' and 17 <= psf_r < 21"
    out = tmp_path / "candidates.csv"
    arguments = ["export", str(sky), str(out), "--where", where, "--columns", "objid, g_r"]
    assert main(arguments) == 0
    number = gv.open_catalogue(sky).count(where)
    assert f"{number:,} sources at {out}" in capsys.readouterr().out
    frame = pd.read_csv(out, comment="#")
    assert list(frame.columns) == ["objid", "g_r"]
    assert len(frame) == number > 0
    assert "say --overwrite" in refused(capsys, *arguments)


# serve


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the application was asked to serve; it is not started."""
    calls: list[Any] = []

    class Server:
        @staticmethod
        def serve(*arguments: Any, **options: Any) -> None:
            calls.append((arguments, options))

    monkeypatch.setattr("galviz.__main__.importlib", importlib)
    monkeypatch.setattr(importlib, "import_module", lambda name: Server if name == "dashboard.server" else None)
    return calls


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_serve_hands_over_to_the_application(sky: Path, served: list[Any]) -> None:
    port = free_port()
    assert main(["index", str(sky)]) == 0
    assert main(["serve", str(sky), "--labelled", str(sky), "--port", str(port)]) == 0
    assert served == [((sky, sky), {"port": port, "address": "127.0.0.1", "client": None})]


@pytest.mark.parametrize("command", ["index", "serve"])
def test_a_scheduler_that_does_not_answer_is_named(
    command: str, sky: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "_CONNECT", 0.5)
    if command == "serve":
        assert main(["index", str(sky)]) == 0
    else:
        shutil.rmtree(sky / "index", ignore_errors=True)
    capsys.readouterr()
    port = free_port()
    options = ["--port", str(free_port())] if command == "serve" else []
    said = refused(capsys, command, sky, "--scheduler", f"127.0.0.1:{port}", *options)
    assert f"No scheduler answers at 127.0.0.1:{port}" in said


def test_serve_wants_an_index(tmp_path: Path, served: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    path = write_catalogue(tmp_path / "cat").path
    assert f"`galviz index {path}`" in refused(capsys, "serve", path)
    assert served == []


def test_a_port_in_use(sky: Path, served: list[Any], taken: int, capsys: pytest.CaptureFixture[str]) -> None:
    main(["index", str(sky)])
    capsys.readouterr()
    assert f"Port {taken} of 127.0.0.1 is in use" in refused(capsys, "serve", sky, "--port", str(taken))
    assert served == []


def test_the_demo_looks_at_the_port_before_it_makes_anything(
    tmp_path: Path, taken: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "is in use" in refused(capsys, "demo", "--data", tmp_path / "data", "--port", str(taken))
    assert not (tmp_path / "data").exists()


def test_others_are_let_in_only_when_asked_and_with_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOKEH_SECRET_KEY", raising=False)
    monkeypatch.setenv("BOKEH_SIGN_SESSIONS", "no")
    assert listening_address("127.0.0.1", public=False) == "127.0.0.1"
    assert listening_address("localhost", public=False) == "localhost"
    for address in ("0.0.0.0", "192.0.2.7", "example.org"):
        with pytest.raises(GalvizError, match="say --public"):
            listening_address(address, public=False)
    with pytest.raises(GalvizError, match="BOKEH_SECRET_KEY"):
        listening_address("0.0.0.0", public=True)
    monkeypatch.setenv("BOKEH_SECRET_KEY", "s" * 32)
    assert listening_address("127.0.0.1", public=True) == "0.0.0.0"
    assert listening_address("192.0.2.7", public=True) == "192.0.2.7"
    assert os.environ["BOKEH_SIGN_SESSIONS"] == "yes"


# Bad input


@pytest.mark.parametrize("command", ["info", "index", "embed", "serve"])
def test_a_catalogue_that_is_none(tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such folder" in refused(capsys, command, tmp_path / "none")
    (tmp_path / "folder").mkdir()
    assert "has no manifest.json" in refused(capsys, command, tmp_path / "folder")


def test_a_place_that_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(tmp_path / "a"), "--rows", "10"]) == 0
    capsys.readouterr()
    assert "exists already" in refused(capsys, "simulate", tmp_path / "a", "--rows", "10")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    assert "is not a catalogue" in refused(capsys, "simulate", tmp_path / "mine", "--rows", "10", "--overwrite")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "There is no file"),
        ("", "is empty"),
        ("ra,dec\n", "lacks"),
        ("ra,ra\n1,2\n", "lacks"),
    ],
)
def test_a_bad_file_is_one_sentence(
    tmp_path: Path, content: str | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "rows.csv").write_text(content)
    assert words in refused(capsys, "ingest", tmp_path / "rows.csv", tmp_path / "out", "--survey", "sdss-wise")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("where", ["colour <", "nothing < 3", "__import__('os')"])
def test_a_bad_selection(sky: Path, tmp_path: Path, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, "export", sky, tmp_path / "rows.csv", "--where", where)
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_none(sky: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "There is no model" in refused(capsys, "classify", sky, "--model", tmp_path / "none")
    assert "There is no model" in refused(capsys, "evaluate", sky, "--model", tmp_path / "none")


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, whom no permission stops."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_permission_denied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with as_nobody():
        assert "Permission denied" in refused(capsys, "simulate", locked / "out", "--rows", "10")
        assert "Permission denied" in refused(capsys, "simulate", locked / "deeper" / "out", "--rows", "10")
    assert not list(locked.iterdir())


def test_the_system_speaks_in_sentences() -> None:
    assert in_words(PermissionError(13, "Permission denied", "/x")) == (
        "Permission denied: /x; choose a place that you may read and write."
    )
    assert in_words(OSError("odd\nthing.")) == "odd thing; mend it and run the command again."


# In a process of its own


def test_a_process_ends_with_status_1_and_one_line(tmp_path: Path) -> None:
    status, out, err = run("info", tmp_path)
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        f"{tmp_path} is not a catalogue: it has no manifest.json; make one with `galviz ingest` or `galviz simulate`."
    ]


def heed_interrupts() -> None:
    """What a shell runs in the background is born deaf to Ctrl-C, and so are these tests then."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("sent", "overwrite", "status", "word"),
    [(signal.SIGINT, True, 130, "Interrupted"), (signal.SIGTERM, False, 143, "Ended")],
)
def test_a_signal_leaves_nothing_half_written(
    tmp_path: Path, sent: signal.Signals, overwrite: bool, status: int, word: str
) -> None:
    out = tmp_path / "out"
    if overwrite:
        simulate(out, 100, 1)
    command = [sys.executable, "-m", "galviz", "simulate", str(out), "--rows", "80000000", *["--overwrite"] * overwrite]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts)
    partial = tmp_path / ".out.partial" / "parts"
    deadline = time.monotonic() + 60
    while not (partial.is_dir() and any(partial.iterdir())):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in err
    assert err.splitlines()[-1] == f"{word}; nothing is half-written, run the command again to go on."
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"] * overwrite
    if overwrite:
        assert gv.open_catalogue(out).rows == 100


def test_a_server_that_is_busy_ends_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal arrives while a callback of the event loop runs, not while the loop waits."""
    ended = []

    def busy(*_: Any, **__: Any) -> None:
        def work() -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)

        loop = asyncio.new_event_loop()
        loop.call_soon(work)
        loop.call_later(5, loop.stop)
        try:
            loop.run_forever()
        finally:
            ended.append(True)
            loop.close()

    monkeypatch.setattr("galviz.__main__.serve_page", busy)
    assert main(["serve", str(tmp_path)]) == 143
    assert ended


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(
    small_disk: Path, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("galviz.progress.BEAT", {True: 60.0, False: 60.0})  # a slow machine adds lines of progress
    old = simulate(small_disk / "old", 3000, 1, labelled=True)
    rows = gv.export(simulate(tmp_path / "big", 60_000, 2), None, tmp_path / "big.parquet")
    capsys.readouterr()
    before = sorted(small_disk.rglob("*"))
    commands: list[list[str | Path]] = [
        ["simulate", small_disk / "new", "--rows", "60000"],
        ["simulate", small_disk / "old", "--rows", "60000", "--overwrite"],
        ["ingest", tmp_path / "big.parquet", small_disk / "new", "--survey", "sdss-wise"],
        *(
            ["export", tmp_path / "big", small_disk / f"rows{suffix}"]
            for suffix in (".csv", ".parquet", ".fits", ".vot")
        ),
    ]
    for command in commands:
        sentence = refused(capsys, *command)
        assert sentence.startswith("The disk is full: ")
        assert "needs about" in sentence
        assert "are free there" in sentence
        assert sorted(small_disk.rglob("*")) == before
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    for command in (["index", old.path], ["classify", old.path, "--model", model]):
        assert refused(capsys, *command).startswith("The disk is full: ")
    filler.unlink()
    assert gv.open_catalogue(old.path).digest == old.digest
    assert rows == 60_000
