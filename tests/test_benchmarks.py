"""The benchmarks draw what galviz draws, and their catalogue is what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from benchmarks import accuracy, report
from benchmarks.peers import PEERS, Contestant, Galviz, Memory, peer_table
from benchmarks.scenarios import CLASS, PLANES, Scenario, brush, scenarios
from benchmarks.tiling import LEFT_OUT, Base, tiled
from galviz.catalogue import Catalogue, CatalogueWriter, open_catalogue
from galviz.embed import COLUMNS as EMBEDDING
from galviz.index import build_index
from galviz.manifest import new_manifest
from galviz.simulate import batch, schema
from galviz.surveys import BEST, PREDICTION, PROBABILITIES, SDSS_WISE

ROWS = 6_000


@pytest.fixture(scope="module")
def base() -> Base:
    """A simulated base with made-up probabilities and embedding."""
    rng = np.random.default_rng(1)
    values = {**batch(ROWS // 2, 0, 0)}
    votes = rng.multinomial(200, (0.3, 0.1, 0.6), ROWS // 2).astype(np.float32) / np.float32(200)
    values |= dict(zip((column.name for column in PROBABILITIES), votes.T, strict=True))
    values |= {BEST.name: votes.max(axis=1), CLASS: votes.argmax(axis=1).astype(np.int8)}
    values |= {column.name: rng.normal(size=ROWS // 2).astype(np.float32) for column in EMBEDDING}
    columns = (*schema(False), PREDICTION, *PROBABILITIES, BEST, *EMBEDDING)
    kept = tuple(column for column in columns if column.role not in LEFT_OUT)
    return Base(ROWS // 2, kept, {column.name: values[column.name] for column in kept})


@pytest.fixture(scope="module")
def catalogue(base: Base, tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    path = tmp_path_factory.mktemp("bench") / "tiled"
    fields = SDSS_WISE.manifest_fields(base.columns)
    manifest = new_manifest("tiled", "sdss-wise", {}, title="Tiled", simulated=True, **fields)
    with CatalogueWriter(path, base.columns, manifest) as writer:
        for part in range(3):
            writer.write(part, tiled(base, slice(part * ROWS // 3, (part + 1) * ROWS // 3)))
    build_index(open_catalogue(path))
    return open_catalogue(path)


def test_tiles_move_each_source_a_little_and_keep_what_columns_say_of_each_other(base: Base) -> None:
    tiles = tiled(base, slice(0, 2 * base.rows))
    assert len(np.unique(tiles["objid"])) == 2 * base.rows
    assert len(np.unique(tiles["psf_r"])) > 1.9 * base.rows
    assert np.all((tiles["ra"] >= 0) & (tiles["ra"] < 360) & (np.abs(tiles["dec"]) <= 90))
    np.testing.assert_array_equal(np.sort(tiles["p_best"]), np.sort(np.tile(base.values["p_best"], 2)))
    np.testing.assert_allclose(np.abs(tiles["psf_r"] - tiles["cmod_r"]), tiles["resolved_r"], atol=1e-5)
    for a, b in (("psf_g", "psf_r"), ("w1", "w2"), ("psf_r", "resolved_r")):
        before, after = (np.corrcoef(values[a], values[b])[0, 1] for values in (base.values, tiles))
        assert after == pytest.approx(before, abs=0.01)


def test_tiles_follow_from_the_seed(base: Base) -> None:
    one, again, other = (tiled(base, slice(0, 100), seed) for seed in (1, 1, 2))
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert not np.array_equal(one["psf_r"], other["psf_r"])


def test_a_brush_holds_a_tenth_of_the_sources(catalogue: Catalogue) -> None:
    shape = brush(catalogue)
    for selection in (shape.boxed(0), shape.lassoed(0)):
        assert catalogue.count(selection) / catalogue.rows == pytest.approx(0.1, abs=0.03)


def test_repeats_differ(catalogue: Catalogue) -> None:
    for scenario in scenarios(catalogue):
        drawn = [request for repeat in range(3) for requests in scenario.steps(repeat) for request in requests]
        assert len(set(drawn)) == len(drawn), scenario.name


def drawn(contestant: Contestant, scenario: Scenario) -> list[np.ndarray]:
    return [np.asarray(array) for array in contestant.draw(scenario.steps(0)[0])]


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # Datashader over Dask says it to pandas
@pytest.mark.parametrize("name", ["memory", "dask", "fused", "duckdb"])
def test_contestants_draw_the_same(catalogue: Catalogue, name: str) -> None:
    if name == "duckdb":
        pytest.importorskip("duckdb")
    table, names = peer_table(catalogue), catalogue.manifest.class_names
    other = Memory(table, names) if name == "memory" else PEERS[name](table, names)
    left_out = (*report.TITLES[1:], *report.MEANS[1:])  # Datashader compiles for each column anew
    every_kind = [entry for entry in scenarios(catalogue) if not entry.name.startswith(left_out)]
    for scenario in every_kind:
        for own, theirs in zip(drawn(Galviz(catalogue, exact=True), scenario), drawn(other, scenario), strict=True):
            if own.dtype.kind == "f":
                np.testing.assert_allclose(theirs, own, rtol=1e-6, atol=1e-6, err_msg=scenario.name)
            else:
                np.testing.assert_array_equal(theirs, own, err_msg=scenario.name)


def estimate(counts: np.ndarray, error: float) -> xr.DataArray:
    attrs = {"exact": False, "standard_error": np.full(counts.shape, error)}
    return xr.DataArray(counts, dims=("y", "x", CLASS), coords={CLASS: ["A", "B"]}, attrs=attrs)


def test_blocks_are_judged_by_errors_in_quadrature() -> None:
    exact = estimate(np.ones((40, 32, 2)), 0.0)
    guess = np.ones((40, 32, 2))
    guess[:16, :16, 0] += 0.5  # 128 too many in a block of 512 counts
    within = accuracy.agreement(estimate(guess, 128 / 3.01 / np.sqrt(512)), exact)
    assert (within.blocks, within.within) == (6, 5)
    assert accuracy.agreement(estimate(guess, 128 / 2.99 / np.sqrt(512)), exact).within == 6
    guess[..., 1] = 0
    assert accuracy.agreement(estimate(guess, 1.0), exact).hidden == ("B",)


def test_goals_are_judged_from_the_seconds_of_one_run() -> None:
    seconds = {report.EXACT: [0.2, 0.1, 0.3], report.MEMORY: [2.0], report.DASK: [7.0], report.FIRST: [0.05]}
    results = {"scenarios": dict.fromkeys(report.FILTERS, seconds), "undo": 0.004}
    met = {verdict.goal: verdict.met for verdict in report.verdicts(results)}
    assert met["probability: galviz exact at least 8x faster than datashader memory"] is True
    assert met["probability: galviz exact at least 40x faster than datashader dask"] is False
    assert met["undo: at most 5 ms"] is True
    assert met["open: at most 2 s"] is None


def test_every_plane_is_a_usual_one(catalogue: Catalogue) -> None:
    assert {name for plane in PLANES for name in plane} <= set(catalogue.manifest.columns)


def test_a_peer_table_is_made_once(catalogue: Catalogue) -> None:
    first = {path: path.stat().st_mtime_ns for path in peer_table(catalogue).iterdir()}
    assert {path: path.stat().st_mtime_ns for path in peer_table(catalogue).iterdir()} == first
    assert Path(peer_table(catalogue)).name == "tiled.peers"
