"""A small simulated catalogue, classified, embedded and indexed by cheap stand-ins, for tests of the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import panel as pn
import pytest

from dashboard.state import Session
from dashboard.views import default_planes
from galviz.catalogue import Catalogue
from galviz.embed import COLUMNS as EMBEDDING
from galviz.index import build_index
from galviz.simulate.catalogue import simulate
from galviz.surveys import BEST, PREDICTION, PROBABILITIES

ROWS = 6_000


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """Simulated sources with probabilities that follow the true class most of the time."""
    made = simulate(tmp_path_factory.mktemp("page") / "small", ROWS, 3)
    rng = np.random.default_rng(0)
    truth = made.read_part(0, ["sim_class"])["sim_class"]
    votes = rng.dirichlet((0.6, 0.6, 0.6), ROWS) + 1.5 * np.eye(3)[truth]
    shares = (votes / votes.sum(axis=1, keepdims=True)).astype(np.float32)
    columns = {
        PREDICTION.name: shares.argmax(axis=1).astype(np.int8),
        BEST.name: shares.max(axis=1),
        **{column.name: shares[:, place] for place, column in enumerate(PROBABILITIES)},
    }
    made = made.add_columns("classify", (PREDICTION, *PROBABILITIES, BEST), [columns])
    places = rng.normal(0, 1, (2, ROWS)) + 6 * np.array([np.cos(truth * 2.0), np.sin(truth * 2.0)])
    made = made.add_columns(
        "embed", EMBEDDING, [{c.name: p.astype(np.float32) for c, p in zip(EMBEDDING, places, strict=True)}]
    )
    build_index(made)
    return made


@pytest.fixture
def session(catalogue: Catalogue) -> Session:
    """A session without a server."""
    assert pn.state.curdoc is None
    return Session(catalogue=catalogue, planes=default_planes(catalogue.manifest))


@pytest.fixture
def no_index(tmp_path: Path) -> Catalogue:
    """A catalogue that was never indexed."""
    return simulate(tmp_path / "bare", 500, 1)
