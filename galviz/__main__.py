"""The command line."""

from __future__ import annotations

import errno
import importlib
import ipaddress
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import click

import galviz
from galviz import classify as classifier
from galviz.catalogue import MANIFEST, Catalogue, write_text
from galviz.classify import CLASSIFIERS
from galviz.demo import make_demo
from galviz.disk import room
from galviz.embed import embed as embed_catalogue
from galviz.errors import CatalogueError, GalvizError
from galviz.evaluate import evaluate as evaluate_model
from galviz.evaluate import table
from galviz.export import FOLDERS
from galviz.fetch import PUBLISHED, download, downloads_of
from galviz.fetch import fetch as fetch_catalogue
from galviz.index import build_index, bytes_needed, has_index, is_whole
from galviz.info import describe, lines
from galviz.ingest import SURVEY_TEXT, account
from galviz.ingest import ingest as ingest_files
from galviz.ingest.inplace import open_catalogue
from galviz.ingest.proposals import propose
from galviz.ingest.readers import open_table
from galviz.progress import Report, rows_of
from galviz.simulate.catalogue import simulate as simulate_catalogue
from galviz.surveys import SURVEYS
from galviz.surveys.toml import survey_text
from galviz.verify import verify as verify_catalogue
from galviz.work import connected

_MODEL_BYTES = 100_000_000  # a forest of 200 trees on some ten thousand sources, roughly

PathLike = click.Path(path_type=Path)
_IN_PLACE = click.option(
    "--survey",
    metavar="NAME|FILE.toml",
    help="Of a HATS catalogue opened in place: whose columns these are. [default: the survey that fits, or a proposal]",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(galviz.__version__, prog_name="galviz")
def cli() -> None:
    """Explore how millions of survey sources were classified."""


@cli.command()
@click.argument("out", type=PathLike)
@click.option("--rows", type=click.IntRange(min=1), default=520_000, help="How many sources.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="The same seed gives the same sky.")
@click.option("--labelled", is_flag=True, help="A spectroscopic selection with true classes and redshifts.")
@click.option("--overwrite", is_flag=True, help="Replace the catalogue at OUT.")
def simulate(out: Path, rows: int, seed: int, labelled: bool, overwrite: bool) -> None:
    """Make a simulated catalogue at OUT."""
    with Report("simulate") as report:
        simulate_catalogue(out, rows, seed, labelled=labelled, overwrite=overwrite, progress=report)


@cli.command()
@click.argument("sources", type=PathLike, nargs=-1, required=True, metavar="SOURCE...")
@click.argument("out", type=PathLike)
@click.option(
    "--survey",
    metavar="NAME|FILE.toml",
    help=f"Whose columns these are: {', '.join(SURVEYS)}, or a file that describes them. [default: the one that fits]",
)
@click.option("--keep", multiple=True, metavar="COLUMN", help="A further column of numbers to take along; repeatable.")
@click.option("--overwrite", is_flag=True, help="Replace the catalogue at OUT.")
@click.option("--trust-pickle", is_flag=True, help="Read pickles too. A pickle runs code: only of those you trust.")
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="A Dask scheduler, such as tcp://host:8786, whose workers do the work; they must see the same files.",
)
def ingest(
    sources: tuple[Path, ...],
    out: Path,
    survey: str | None,
    keep: tuple[str, ...],
    overwrite: bool,
    trust_pickle: bool,
    scheduler: str | None,
) -> None:
    """Read CSV, ECSV, FITS, VOTable, Parquet files or HATS folders into a catalogue at OUT; say what was done."""
    with connected(scheduler) as client, Report("ingest") as report:
        made = ingest_files(
            sources,
            out,
            survey,
            keep=keep,
            overwrite=overwrite,
            trust_pickle=trust_pickle,
            progress=report,
            client=client,
        )
    _tell_account(made)


def _tell_account(made: Catalogue) -> None:
    for line in account(made.manifest.groups[0].provenance):
        click.echo(line)


@cli.command(epilog="Example: galviz fetch sdss-ml data/sdss-ml --trust-pickle")
@click.argument("name", type=click.Choice(list(PUBLISHED)))
@click.argument("out", type=PathLike)
@click.option("--labelled", is_flag=True, help="The sources with a spectroscopic class.")
@click.option("--trust-pickle", is_flag=True, help="Read files that are Python pickles; reading one can run any code.")
@click.option("--no-ingest", is_flag=True, help="Only download the files.")
@click.option("--keep", type=PathLike, metavar="DIR", help="Where the files land and stay.  [default: OUT.downloads]")
@click.option("--file", "files", multiple=True, help="A file of the record to take in place of the usual; repeatable.")
@click.option("--overwrite", is_flag=True, help="Replace the catalogue at OUT.")
def fetch(
    name: str,
    out: Path,
    labelled: bool,
    trust_pickle: bool,
    no_ingest: bool,
    keep: Path | None,
    files: tuple[str, ...],
    overwrite: bool,
) -> None:
    """Download the files of a published catalogue and ingest them into a catalogue at OUT.

    Run it again after an interruption: it goes on where it stopped. Files that are there already, downloaded by
    whatever means, are checked and not fetched again.
    """
    folder = downloads_of(out) if keep is None else keep
    if no_ingest:
        with Report("fetch") as report:
            there = download(name, folder, labelled=labelled, files=files, progress=report)
        for path in there.paths:
            click.echo(path)
        return
    made = fetch_catalogue(
        name,
        out,
        labelled=labelled,
        files=files,
        keep=folder,
        trust_pickle=trust_pickle,
        overwrite=overwrite,
        stage=Report,
    )
    _tell_account(made)
    click.echo(f"the downloaded files stay in {folder}; remove it when you need them no more")


@cli.command()
@click.argument("source", metavar="SOURCE")
@click.option("--out", type=PathLike, help="The file to write to, such as my.toml. [default: the terminal]")
@click.option("--overwrite", is_flag=True, help="Replace the file at --out.")
@click.option("--trust-pickle", is_flag=True, help="Read pickles too. A pickle runs code: only of those you trust.")
def survey(source: str, out: Path | None, overwrite: bool, trust_pickle: bool) -> None:
    """Propose a description of SOURCE, a file of an unknown survey, for `galviz ingest --survey`.

    A catalogue, instead of a file, gives the description that it was ingested with, and the name of a survey that is
    known gives that of this one.
    """
    text = describe_source(source, trust_pickle)
    if out is None:
        click.echo(text, nl=False)
        return
    refuse_existing(out, overwrite)
    write_text(out, text)
    click.echo(f"a description of {source} at {out}; read it, mend it and say --survey {out}")


def describe_source(source: str, trust_pickle: bool) -> str:
    """The TOML of a known survey, of a catalogue that was ingested, or the one proposed for a file."""
    path = Path(source)
    if source in SURVEYS and not path.exists():
        return survey_text(SURVEYS[source])
    if (path / MANIFEST).is_file():
        manifest = open_catalogue(path).manifest
        if text := manifest.groups[0].provenance.get(SURVEY_TEXT):
            return str(text)
        if path.suffix.lower() not in FOLDERS:
            raise CatalogueError(f"The catalogue {path} keeps no description of a survey; name the file that it is of.")
    return propose(open_table(path, trust_pickle=trust_pickle)).text


@cli.command()
@click.argument("catalogue", type=PathLike)
def verify(catalogue: Path) -> None:
    """Read all of a catalogue again and say whether it is what was written."""
    opened = open_catalogue(catalogue)
    with Report("verify") as report:
        verify_catalogue(opened, report)
    if opened.is_in_place:
        click.echo(
            f"{opened.rows:,} sources in {opened.parts} files at {catalogue} can be read and are where they belong; "
            "galviz did not write them and has no checksums to compare them with."
        )
    else:
        click.echo(f"{opened.rows:,} sources in {opened.parts} parts at {catalogue} are whole.")


@cli.command()
@click.argument("catalogue", type=PathLike)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@_IN_PLACE
def info(catalogue: Path, as_json: bool, survey: str | None) -> None:
    """Say what a catalogue holds and how it was made."""
    opened = open_catalogue(catalogue, survey)
    with Report("info") as report:
        facts = describe(opened, report)
    click.echo(json.dumps(facts, indent=1, default=list) if as_json else "\n".join(lines(facts)))


@cli.command()
@click.argument("catalogue", type=PathLike)
@click.option("--model", "out", type=PathLike, required=True, help="The file to write the model to.")
@click.option("--algorithm", type=click.Choice(list(CLASSIFIERS)), default="random-forest")
@click.option("--features", metavar="A,B,...", help="Columns to learn from; by default the features of the catalogue.")
@click.option("--size", type=click.IntRange(min=1), default=200, help="Trees, or rounds of boosting.")
@click.option("--balanced/--unbalanced", default=True, help="Whether every class weighs the same.")
@click.option("--seed", type=click.IntRange(min=0), default=0)
@click.option("--train-fraction", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.5)
@click.option("--overwrite", is_flag=True, help="Replace the model at --model.")
@_IN_PLACE
def train(
    catalogue: Path,
    out: Path,
    algorithm: str,
    features: str | None,
    size: int,
    balanced: bool,
    seed: int,
    train_fraction: float,
    overwrite: bool,
    survey: str | None,
) -> None:
    """Train a classifier on the labelled sources of a catalogue; half of them stay for `evaluate`."""
    opened = open_catalogue(catalogue, survey)
    refuse_existing(out, overwrite)
    names = [name.strip() for name in features.split(",")] if features else None
    with Report("train") as report, room(out, _MODEL_BYTES):
        model = classifier.train(
            opened,
            algorithm=algorithm,
            features=names,
            size=size,
            balanced=balanced,
            seed=seed,
            train_fraction=train_fraction,
            progress=report,
        )
        classifier.save(model, out)
    click.echo(f"model {model.id} at {out}")


@cli.command()
@click.argument("catalogue", type=PathLike)
@click.option("--model", "path", type=PathLike, required=True, help="A model that `galviz train` made.")
@_IN_PLACE
def classify(catalogue: Path, path: Path, survey: str | None) -> None:
    """Give every source of a catalogue its class and probabilities."""
    opened, model = open_catalogue(catalogue, survey), classifier.load(path)
    with Report("classify") as report, room(catalogue, opened.rows * 4 * (len(model.classes) + 1)):
        classifier.classify(opened, model, progress=report)


@cli.command()
@click.argument("catalogue", type=PathLike)
@click.option("--sample", type=click.IntRange(min=1), default=10_000, help="How many sources UMAP is fitted on.")
@click.option("--seed", type=click.IntRange(min=0), default=42)
@_IN_PLACE
def embed(catalogue: Path, sample: int, seed: int, survey: str | None) -> None:
    """Give every source of a catalogue its place on the UMAP."""
    opened = open_catalogue(catalogue, survey)
    with Report("embed") as report, room(catalogue, opened.rows * 8):
        embed_catalogue(opened, sample=sample, seed=seed, progress=report)


@cli.command()
@click.argument("catalogue", type=PathLike)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="A Dask scheduler, such as tcp://host:8786, whose workers do the work; they must see the same files.",
)
@_IN_PLACE
def index(catalogue: Path, scheduler: str | None, survey: str | None) -> None:
    """Write the index that the views of the page read, unless it is up to date and whole."""
    opened = open_catalogue(catalogue, survey)
    with Report("index") as report:
        if is_whole(opened, rows_of(opened.rows, report, "checked")):
            click.echo(f"The index of {catalogue} is up to date.")
            return
        with connected(scheduler) as client, room(catalogue, bytes_needed(opened)):
            build_index(opened, rows_of(opened.rows, report, "indexed"), client=client)


@cli.command()
@click.argument("catalogue", type=PathLike)
@click.option("--model", "path", type=PathLike, required=True, help="A model that `galviz train` made.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def evaluate(catalogue: Path, path: Path, as_json: bool) -> None:
    """Test a model on labelled sources that it did not learn from."""
    opened, model = open_catalogue(catalogue), classifier.load(path)
    with Report("evaluate") as report:
        result = evaluate_model(opened, model, progress=report)
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=1))
    else:
        click.echo("\n".join(table(result.scores, title=f"model {model.id} on {opened.manifest.title}")))


@cli.command()
@click.argument("catalogue", type=PathLike)
@click.argument("out", type=PathLike)
@click.option("--where", metavar="EXPR", default="", help="Which sources, such as \"class == 'QSO' and p_best > 0.9\".")
@click.option("--columns", metavar="A,B,...", help="Which columns; by default all that are stored.")
@click.option("--overwrite", is_flag=True, help="Replace the file, or the HATS catalogue, at OUT.")
@_IN_PLACE
def export(catalogue: Path, out: Path, where: str, columns: str | None, overwrite: bool, survey: str | None) -> None:
    """Write the selected sources to OUT: .csv, .ecsv, .parquet, .fits, .vot, .xml, or a folder .hats."""
    opened = open_catalogue(catalogue, survey)
    refuse_existing(out, overwrite)
    names = [name.strip() for name in columns.split(",")] if columns else None
    with Report("export") as report:
        rows = galviz.export(opened, where, out, names, report)
    click.echo(f"{rows:,} sources at {out}")


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise GalvizError where `path` is taken and may not be replaced."""
    if path.is_dir() and path.suffix.lower() not in FOLDERS:
        raise GalvizError(f"{path} is a folder; name a file.")
    if path.exists() and not overwrite:
        raise GalvizError(f"{path} exists already; choose another name or say --overwrite.")


@cli.command()
@click.option("--data", type=PathLike, default=Path("data"), help="The folder that the demo lies in.")
@click.option("--rows", type=click.IntRange(min=1), default=520_000, help="Sources without a label.")
@click.option("--labelled-rows", type=click.IntRange(min=1), default=60_000, help="Sources with a label.")
@click.option("--port", type=click.IntRange(1, 65535), default=5006)
@click.option("--address", default="127.0.0.1", help="The address to listen on.")
@click.option("--no-serve", is_flag=True, help="Make the catalogues and stop.")
def demo(data: Path, rows: int, labelled_rows: int, port: int, address: str, no_serve: bool) -> None:
    """Make the demo catalogues if they are missing, then serve them."""
    where = listening_address(address, public=False)
    if not no_serve:
        check_port(where, port)
    unlabelled, labelled = make_demo(data, rows, labelled_rows)
    if not no_serve:
        serve_page(unlabelled, labelled, port, where)


@cli.command()
@click.argument("catalogue", type=PathLike)
@click.option(
    "--labelled",
    type=PathLike,
    help="A catalogue with true classes, to train on and to evaluate with. "
    "[default: CATALOGUE-labelled beside it, else CATALOGUE itself where it has true classes]",
)
@click.option("--port", type=click.IntRange(1, 65535), default=5006)
@click.option("--address", default="127.0.0.1", help="The address to listen on.")
@click.option("--public", is_flag=True, help="Listen on all interfaces; needs BOKEH_SECRET_KEY.")
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="A Dask scheduler, such as tcp://host:8786, whose workers draw exact pictures; they must see the same files.",
)
def serve(catalogue: Path, labelled: Path | None, port: int, address: str, public: bool, scheduler: str | None) -> None:
    """Serve the dashboard of a catalogue."""
    serve_page(catalogue, labelled, port, listening_address(address, public), scheduler)


def serve_page(catalogue: Path, labelled: Path | None, port: int, address: str, scheduler: str | None = None) -> None:
    """Check everything that can be checked fast, then hand over to the application."""
    opened = open_catalogue(catalogue)
    if not has_index(opened):
        raise CatalogueError(
            f"The catalogue {catalogue} has no index of its present version; run `galviz index {catalogue}`."
        )
    if labelled is not None:
        open_catalogue(labelled)
    check_port(address, port)
    with connected(scheduler) as client:
        page = importlib.import_module("dashboard.server")
        page.serve(catalogue, labelled, port=port, address=address, client=client)


def listening_address(address: str, public: bool) -> str:
    """The address to listen on; one that others can reach needs --public, signed sessions and a secret."""
    local = address == "localhost" or (_is_ip(address) and ipaddress.ip_address(address).is_loopback)
    if local and not public:
        return address
    if not public:
        raise GalvizError(f"Others can reach {address}; say --public to serve there.")
    if len(os.environ.get("BOKEH_SECRET_KEY", "")) < 32:
        raise GalvizError(
            "A public page signs its sessions: set BOKEH_SECRET_KEY to a secret of at least 32 characters "
            "(`bokeh secret` prints one)."
        )
    os.environ["BOKEH_SIGN_SESSIONS"] = "yes"
    return "0.0.0.0" if local else address


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def check_port(address: str, port: int) -> None:
    """Raise GalvizError unless `port` of `address` is free."""
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(found[0], found[1]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[4])
    except socket.gaierror:
        raise GalvizError(f"There is no address {address} on this machine; use --address 127.0.0.1.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise GalvizError(f"Port {port} of {address} is in use; stop what uses it or say --port.") from None
        raise GalvizError(f"Cannot listen on port {port} of {address}: {error.strerror}; choose another.") from None


class _Ended(SystemExit):
    """Somebody asked this process to end; an event loop that is busy lets no other kind of exception through."""


def _end(*_: object) -> NoReturn:
    raise _Ended


@contextmanager
def _ended_cleanly() -> Iterator[None]:
    """Let SIGTERM raise _Ended in the block, so that what is half-written is cleaned up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: 0 for success, 1 with one line on standard error, 2 for misuse, 130 when interrupted by
    Ctrl-C and 143 when ended by SIGTERM."""
    try:
        with _ended_cleanly():
            result = cli.main(
                args=None if arguments is None else list(arguments), prog_name="galviz", standalone_mode=False
            )
    except _Ended:
        click.echo("Ended; nothing is half-written, run the command again to go on.", err=True)
        return 128 + signal.SIGTERM
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted; nothing is half-written, run the command again to go on.", err=True)
        return 130
    except GalvizError as error:
        click.echo(str(error), err=True)
        return 1
    except OSError as error:
        click.echo(in_words(error), err=True)
        return 1
    return result if isinstance(result, int) else 0


_ADVICE = {
    errno.ENOSPC: "make room or choose another place",
    errno.EDQUOT: "make room or choose another place",
    errno.EACCES: "choose a place that you may read and write",
    errno.EPERM: "choose a place that you may read and write",
    errno.EROFS: "choose a place that you may read and write",
    errno.ENOENT: "check the name",
    errno.ENOTDIR: "check the name",
    errno.EISDIR: "name a file",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
}


def in_words(error: OSError) -> str:
    """What the operating system refused, as one sentence."""
    what = " ".join((error.strerror or str(error)).split()).rstrip(".")
    place = f": {error.filename}" if error.filename else ""
    return f"{what}{place}; {_ADVICE.get(error.errno or 0, 'mend it and run the command again')}."


if __name__ == "__main__":
    sys.exit(main())
