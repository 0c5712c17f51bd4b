"""Workers of a cluster draw the very arrays that one process draws, or the reason why not is said."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from distributed import Client

from benchmarks import law
from galviz import exact
from galviz.catalogue import Catalogue, open_catalogue
from galviz.draw import Request, Viewport, draw_many
from galviz.errors import Cancelled, GalvizError
from galviz.index import build_index, open_index
from galviz.selection import Selection
from tests.cluster import cluster
from tests.fresh import forget_pictures

ROWS = 5000
VIEWS = (Viewport("u", "v", (-6, 6), (-4, 4), 7, 5), Viewport("ra", "dec", (0, 360), (-90, 90), 90, 60))
TEXTS = ("", "r > 17", "polygon(u, v, -4, -3, 4, 2, -4, 2, 4, -3, 0, 4)", "i > 15 and cone(ra, dec, 180, 0, 80)")
COLUMNS = {"count": None, "by": "class_pred", "mean": "p_star", "std": "r", "min": "size", "max": "size"}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with cluster() as made:
        yield made


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    with law.cut_small(ROWS):
        made = law.write(tmp_path_factory.mktemp("cluster") / "cat", law.survey(ROWS, 21))
        build_index(made)
        yield made


@pytest.fixture(autouse=True)
def fresh() -> None:
    forget_pictures()


def requests() -> list[Request]:
    several = []
    for number, (statistic, column) in enumerate(COLUMNS.items()):
        options = {} if column is None else {statistic: column}
        for text in (TEXTS[number % len(TEXTS)], TEXTS[-1 - number % len(TEXTS)]):
            several.append(Request(VIEWS[number % 2], Selection.parse(text), **options))
    return several


def slow(_: int) -> None:
    time.sleep(4)


def test_a_cluster_draws_the_identical_arrays(catalogue: Catalogue, client: Client) -> None:
    index = open_index(catalogue)
    assert all(exact.plane_of(catalogue, index, request, lambda: False) for request in requests())
    assert len(exact.Job(catalogue, index, requests()[0], lambda: False, here=True).pieces()) > 1
    here = draw_many(catalogue, requests())
    forget_pictures()
    there = draw_many(catalogue, requests(), client=client)
    for own, other in zip(here, there, strict=True):
        assert own.dtype == other.dtype
        assert own.dims == other.dims
        np.testing.assert_array_equal(own, other)


def test_a_cluster_may_be_asked_for_what_is_not_in_a_plane(catalogue: Catalogue, client: Client) -> None:
    request = Request(VIEWS[0], Selection.parse("note > 0"), mean="i")
    (there,) = draw_many(catalogue, [request], client=client)
    forget_pictures()
    np.testing.assert_array_equal(there, draw_many(catalogue, [request])[0])


def test_a_view_beside_everything_is_empty(catalogue: Catalogue, client: Client) -> None:
    away = Viewport("u", "v", (900, 901), (900, 901), 4, 3)
    assert int(draw_many(catalogue, [Request(away)], client=client)[0].sum()) == 0
    assert np.isnan(draw_many(catalogue, [Request(away, std="r")], client=client)[0]).all()


def test_a_stopped_picture_ends_at_once(catalogue: Catalogue, client: Client) -> None:
    busy = client.map(slow, range(2), pure=False)  # nothing else gets its turn
    asked: list[float] = []

    def stop() -> bool:
        asked.append(time.monotonic())
        return len(asked) > 5

    start = time.monotonic()
    with pytest.raises(Cancelled):
        draw_many(catalogue, requests()[:3], client=client, stop=stop)
    assert time.monotonic() - start < 3
    client.cancel(busy)


def test_a_catalogue_that_has_changed_meanwhile_is_refused(
    catalogue: Catalogue, client: Client, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("changed") / "cat"
    shutil.copytree(catalogue.path, folder)
    old = open_catalogue(folder)
    open_index(old)
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")
    with pytest.raises(GalvizError, match="has changed meanwhile"):
        draw_many(old, requests()[:1], client=client)


def test_a_worker_that_dies_is_survived_or_said(catalogue: Catalogue, client: Client) -> None:
    """Last in this file: the cluster starts another one instead."""
    here = draw_many(catalogue, requests())
    forget_pictures()
    victim = next(iter(client.run(os.getpid).values()))
    timer = threading.Timer(0.15, os.kill, (victim, signal.SIGKILL))
    timer.start()
    start = time.monotonic()
    try:
        there = draw_many(catalogue, requests(), client=client)
    except GalvizError:
        there = here
    timer.join()
    assert time.monotonic() - start < 60
    for own, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(own, other)
