"""Features to two coordinates: UMAP fitted on a sample, every row placed among it.

The sample is stratified by class and seeded. A row that was not fitted is rebuilt from its nearest fitted
neighbours in feature space, found exactly by a k-d tree.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from tqdm import tqdm

from galviz.catalogue import Catalogue
from galviz.errors import ModelError
from galviz.features import Codes, Matrix, feature_names, features, stratified
from galviz.manifest import Column
from galviz.progress import Progress, silent

NEIGHBOURS = 15
STIFFNESS = 0.1  # how little a place may lean on single neighbours; 0.01 and 0.001 scatter outliers
EPOCHS = 200  # what UMAP takes for large sets; 500 kept neighbourhoods hardly better (0.987 against 0.986)
RARE_SHARE = 0.05  # the least share of the sample that a class gets, as long as it has so many rows
CHUNK = 50_000  # rows placed between two reports of progress
SIDECAR = "embed"
FITTED = 0.5  # the fraction of the progress that the fit takes

COLUMNS = tuple(
    Column(f"umap_{axis}", "float32", "embedding", "", "stat.value", f"UMAP of the features, coordinate {axis}",
           label=f"UMAP {axis}")
    for axis in "xy"
)  # fmt: skip


class Reducer(Protocol):
    """What turns a feature matrix (rows, features) into coordinates (rows, 2)."""

    def fit_transform(self, matrix: Matrix) -> NDArray[np.floating[Any]]: ...


Placement = Callable[[Matrix], NDArray[np.floating[Any]]]


def embed(
    catalogue: Catalogue,
    *,
    reducer: Reducer | None = None,
    sample: int = 10_000,
    seed: int = 42,
    method: str = "neighbours",
    progress: Progress = silent,
) -> Catalogue:
    """Fit UMAP on a stratified sample of `sample` rows, place all rows, and return the next version.

    The features of the manifest go in as they are, without scaling (Clarke et al. 2020, section 6). Rows with
    a feature that is not finite get NaN. `method` is one of METHODS; `reducer` replaces UMAP. Raises ModelError
    for an unknown method or fewer than 16 usable rows; nothing has changed then, nor when `progress` raises.
    """
    if method not in METHODS:
        raise ModelError(f"There is no way of placing called {method!r}; choose one of {', '.join(METHODS)}.")
    names = feature_names(catalogue)
    progress(0.0, "choosing the sample")
    matrix = sample_matrix(catalogue, sample, seed)
    if len(matrix) <= NEIGHBOURS:
        raise ModelError(
            f"An embedding needs more than {NEIGHBOURS} sources with all features, "
            f"{catalogue.manifest.name} offers {len(matrix)} to fit on."
        )
    place = METHODS[method](matrix, reducer, seed, progress)
    provenance = {"method": method, "features": list(names), "sample": len(matrix), "seed": seed,
                  "neighbours": NEIGHBOURS, "epochs": EPOCHS}  # fmt: skip
    return catalogue.add_columns(SIDECAR, COLUMNS, _placed_parts(catalogue, names, place, progress), provenance)


def sample_matrix(catalogue: Catalogue, size: int, seed: int) -> Matrix:
    """The features of a seeded sample of about `size` rows, shape (sample, features), in row order.

    Stratified by the class of the manifest (predicted, else true) where it has one; rows with a feature that
    is not finite are left out.
    """
    names = feature_names(catalogue)
    strata = np.concatenate([_strata(catalogue, part) for part in range(catalogue.parts)])
    usable: NDArray[np.int64] = np.flatnonzero(strata >= 0)
    rows = usable[stratified(strata[usable], size, seed=seed, share=RARE_SHARE)]
    found, start = [], 0
    for part, rows_here in enumerate(entry.rows for entry in catalogue.manifest.groups[0].parts):
        here = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + rows_here)] - start
        found.append(features(catalogue.read_part(part, names), names)[here])
        start += rows_here
    return np.concatenate(found)


def _strata(catalogue: Catalogue, part: int) -> Codes:
    """The stratum of each row of a part: 0 for no class, class + 1, or -1 where a feature is not finite."""
    names = feature_names(catalogue)
    column = catalogue.manifest.class_column
    arrays = catalogue.read_part(part, [*names, column.name] if column else names)
    usable: NDArray[np.bool_] = np.asarray(np.isfinite(features(arrays, names)).all(axis=1))
    codes = arrays[column.name].astype(np.int8) + 1 if column else np.zeros(len(usable), np.int8)
    return np.where(usable, codes, -1).astype(np.int8)


class _EpochBar:
    """A file for the progress bar of UMAP, which writes the number of epochs done."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def write(self, text: str) -> None:
        if (done := text.strip()).isdigit():
            self._progress(0.1 + (FITTED - 0.1) * int(done) / EPOCHS, f"{done} of {EPOCHS} epochs of the embedding")

    def flush(self) -> None:
        """Nothing is kept back."""


def fit_umap(matrix: Matrix, seed: int, progress: Progress = silent) -> NDArray[np.float32]:
    """UMAP coordinates, shape (rows, 2); `n_neighbors` 15 and a seed as Clarke et al. 2020, section 6.

    The neighbours are found exactly beforehand, which is faster for so few rows than the approximate index
    that UMAP would compile and build.
    """
    progress(0.02, "loading UMAP, which compiles itself the first time")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)  # the parametric UMAP is not used
        import umap  # takes seconds

    progress(0.1, f"fitting the embedding on {len(matrix):,} sources")
    distances, places = cKDTree(matrix).query(matrix, NEIGHBOURS, workers=-1)
    known = (places.astype(np.int32), distances.astype(np.float32), None)
    bar = {"disable": False, "file": _EpochBar(progress), "bar_format": "{n}", "mininterval": 0.2}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "precomputed_knn", UserWarning)  # `transform` is not used
        reducer = umap.UMAP(
            n_neighbors=NEIGHBOURS,
            n_epochs=EPOCHS,
            random_state=seed,
            n_jobs=1,
            precomputed_knn=known,
            tqdm_kwds=bar,
        )
        try:
            coordinates: NDArray[np.float32] = reducer.fit_transform(matrix)
        except BaseException:
            # tqdm keeps its lock when writing raises, and every later bar of another thread would wait for it.
            with suppress(RuntimeError):
                tqdm.get_lock().release()  # type: ignore[no-untyped-call]
            raise
    return coordinates


def _by_neighbours(matrix: Matrix, reducer: Reducer | None, seed: int, progress: Progress) -> Placement:
    fitted = fit_umap(matrix, seed, progress) if reducer is None else np.asarray(reducer.fit_transform(matrix))
    tree = cKDTree(matrix)
    return lambda rows: place_among(tree, fitted, rows)


def place_among(tree: cKDTree, fitted: NDArray[np.floating[Any]], rows: Matrix) -> NDArray[np.float32]:
    """Where rows lie among their 15 nearest fitted neighbours, shape (rows, 2); uses all cores.

    The weights are those of locally linear embedding (Saul & Roweis 2003, J. Mach. Learn. Res. 4, 119, eq. 2):
    they sum to one and rebuild the row from its neighbours with the least squared error plus STIFFNESS times the
    sum of squared weights, in units of the squared distances. A plain inverse-distance mean draws rows towards
    the fitted ones, which tears holes into the picture. A row that equals a fitted one lies exactly there, or in
    the middle of several such.
    """
    distances, places = tree.query(rows, NEIGHBOURS, workers=-1)
    edges = (tree.data[places] - rows[:, None, :]).astype(np.float32)
    gram = np.einsum("nif,njf->nij", edges, edges)
    size = np.einsum("nii->n", gram)
    gram[:, range(NEIGHBOURS), range(NEIGHBOURS)] += np.where(size > 0, STIFFNESS * size, 1)[:, None]
    weights = np.linalg.solve(gram, np.ones((len(rows), NEIGHBOURS, 1), np.float32))[..., 0]
    equal = distances == 0
    weights = np.where(equal.any(axis=1, keepdims=True), equal, weights)
    weights /= weights.sum(axis=1, keepdims=True)
    coordinates: NDArray[np.float32] = np.einsum("ij,ijk->ik", weights, fitted[places]).astype(np.float32)
    return coordinates


# How rows that were not fitted find their place; each takes the sample, a reducer or None, the seed, progress.
METHODS: dict[str, Callable[[Matrix, Reducer | None, int, Progress], Placement]] = {"neighbours": _by_neighbours}


def _placed_parts(
    catalogue: Catalogue, names: tuple[str, ...], place: Placement, progress: Progress
) -> Iterator[dict[str, NDArray[np.float32]]]:
    done = 0
    for part in range(catalogue.parts):
        matrix = features(catalogue.read_part(part, names), names)
        usable = np.flatnonzero(np.isfinite(matrix).all(axis=1))
        coordinates = np.full((len(matrix), 2), np.nan, np.float32)
        for start in range(0, len(usable), CHUNK):
            rows = usable[start : start + CHUNK]
            coordinates[rows] = place(matrix[rows])
            reached = done + int(rows[-1]) + 1
            progress(
                FITTED + (1 - FITTED) * reached / catalogue.rows, f"{reached:,} of {catalogue.rows:,} sources placed"
            )
        done += len(matrix)
        yield {column.name: coordinates[:, axis] for axis, column in enumerate(COLUMNS)}
