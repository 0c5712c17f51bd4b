"""Exact pictures from the sorted planes of an index.

The work is cut into pieces of consecutive strips that any thread or worker can do; what they return adds up to the
same, bit for bit, in any order.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from cachetools import LRUCache, cached
from cachetools.keys import hashkey
from numpy.typing import NDArray

from galviz import spare
from galviz.catalogue import Catalogue, open_catalogue
from galviz.errors import StaleIndexError
from galviz.index import Index, Plane, open_index
from galviz.index.layout import WORD
from galviz.kernels import runs
from galviz.kernels.lanes import REST_BITS
from galviz.kernels.points import pixel
from galviz.kernels.sums import LANE_BITS, LEAST, MOST, SQUARES, SUMS, Amounts, means_of, summarise_places
from galviz.marks import Marks, chunks, combined, groups_on, is_at_hand, prepare, word_range
from galviz.requests import Request, Viewport
from galviz.values import SMALLEST, Values, values_of
from galviz.work import THREADS, Stop, at_once, finished, handed_out, never

RUN_BYTES = 384 << 20
QUICK_ROWS = 1 << 24
LARGE = 1 << 24  # rows from which it pays to have memory at hand
LEAST_PIECE, MOST_PIECE = 1 << 17, 1 << 23  # rows that one thread draws at a time
FEW = 2 / 3  # the share of the words of some strips up to which no others are filled in
FAN_IN = 8  # pieces that one worker adds up
MODES = {"mean": SUMS, "std": SQUARES, "min": LEAST, "max": MOST}


@dataclass
class Piece:
    """The rows of pixels of a picture, from `top` on, that some strips add to: numbers, sums and extremes."""

    top: int
    counts: NDArray[np.uint32]
    sums: NDArray[np.int64]
    extremes: NDArray[np.float64]
    mode: int

    def add(self, other: Piece) -> None:
        """Add a piece whose rows are among those of this one."""
        rows = slice(other.top - self.top, other.top - self.top + len(other.counts))
        self.counts[rows] += other.counts
        self.sums[rows] += other.sums
        if self.mode in (LEAST, MOST):
            better = np.fmin if self.mode == LEAST else np.fmax
            better(self.extremes[rows], other.extremes, out=self.extremes[rows])


def blank(top: int, height: int, width: int, depth: int, mode: int, halves: int = 2) -> Piece:
    """A piece of `height` rows of pixels that nothing has been added to; its sums have one half or two."""
    sums, extremes = mode in (SUMS, SQUARES), mode in (LEAST, MOST)
    return Piece(
        top,
        spare.full((height, width, depth), 0, np.uint32),
        spare.full((height, width if sums else 0, halves), 0, np.int64),
        spare.full((height, width if extremes else 0), np.nan, np.float64),
        mode,
    )


def merge(pieces: Sequence[Piece]) -> Piece:
    """The sum of several pieces of one picture."""
    top = min(piece.top for piece in pieces)
    bottom = max(piece.top + len(piece.counts) for piece in pieces)
    _, width, depth = pieces[0].counts.shape
    total = blank(top, bottom - top, width, depth, pieces[0].mode, pieces[0].sums.shape[2])
    for piece in pieces:
        total.add(piece)
    return total


def plane_of(catalogue: Catalogue, index: Index, request: Request, stop: Stop) -> Plane | None:
    """The plane that can draw a request; None where the rows have to be scanned."""
    for plane in index.planes:
        if (plane.layout.x, plane.layout.y) != (request.view.x, request.view.y):
            continue
        if request.statistic == "by":
            return plane if request.by == index.layout.by else None
        if request.column is None:
            return plane
        values = values_of(catalogue, index, plane, request.column, stop)
        return plane if values is not None and values.can_be_summed else None
    return None


def shown_strips(plane: Plane, view: Viewport) -> tuple[int, int]:
    """The strips [first, last) that a viewport shows."""
    low, high = view.y_range
    with np.errstate(invalid="ignore"):
        shown = np.flatnonzero((plane.spans[:, 0] <= high) & (plane.spans[:, 1] >= low))
    return (int(shown[0]), int(shown[-1]) + 1) if shown.size else (0, 0)


def is_quick(catalogue: Catalogue, index: Index, request: Request) -> bool:
    """Whether the exact picture is drawn about as quickly as an estimate: few rows lie in the strips that it shows."""
    for plane in index.planes:
        if (plane.layout.x, plane.layout.y) == (request.view.x, request.view.y):
            first, last = shown_strips(plane, request.view)
            few = first == last or plane.bounds[last - 1, -1] - plane.bounds[first, 0] <= QUICK_ROWS
            if not few or request.column not in (None, index.layout.by, *plane.columns):
                return False
            _, others = groups_on(plane, [clause for _, clause in request.selection], catalogue, index.layout.by)
            return all(is_at_hand(catalogue, index, plane, clause) for clause in others)
    return False


def draw(
    catalogue: Catalogue, index: Index, requests: Sequence[Request], stop: Stop, client: Any = None
) -> list[NDArray[Any]]:
    """The pictures of requests that `plane_of` has a plane for, as arrays (height, width) or (height, width, classes).

    `client` is a `distributed.Client` whose workers see the same files. Raises Cancelled when `stop` says so.
    """
    if client is None and index.rows >= LARGE:
        _have_memory_at_hand()
    jobs = [Job(catalogue, index, request, stop, here=client is None) for request in requests]
    while open_jobs := [job for job in jobs if not job.is_done]:
        if client is None:
            # Many strips have many runs and take longest: were they last, the other threads would wait for them.
            pieces = [(job, *strips) for job in open_jobs for strips in job.pieces()]
            pieces.sort(key=lambda piece: piece[1] - piece[2])
            at_once([partial(job.work, *strips) for job, *strips in pieces], stop)
        else:
            _work_on_cluster(catalogue, open_jobs, stop, client)
        for job in open_jobs:
            job.next_pass()
    if all(job.mode < 0 for job in jobs):
        return [job.result() for job in jobs]  # at hand
    return at_once([job.result for job in jobs], stop)


@cache
def _have_memory_at_hand() -> None:
    """Take memory for masks and pictures from the system, while the first picture is drawn."""
    threading.Thread(target=spare.reserve, name="memory", daemon=True).start()


def _work_on_cluster(catalogue: Catalogue, jobs: list[Job], stop: Stop, client: Any) -> None:
    """Let the workers draw the pieces and add them up, a few at a time, until one is left of each picture."""
    waiting = {}
    for job in jobs:
        mean = None if job.mean is None else handed_out(client, job.mean)
        items = [(str(catalogue.path), catalogue.digest, job.request, *strips, mean) for strips in job.pieces()]
        parts = [client.submit(_remote_piece, *item, pure=False) for item in items]
        while len(parts) > 1:
            parts = [client.submit(merge, parts[k : k + FAN_IN], pure=False) for k in range(0, len(parts), FAN_IN)]
        waiting.update(dict.fromkeys(parts, job))
    for future, piece in finished(client, list(waiting), stop):
        waiting[future].add(piece)


def _remote_piece(
    path: str, digest: str, request: Request, first: int, last: int, mean: NDArray[np.float64] | None
) -> Piece:
    catalogue = _opened(path, digest)
    job = Job(catalogue, open_index(catalogue), request, never, here=True)
    job.begin(mean)
    return job.piece(first, last)


@cached(LRUCache(8), lock=threading.Lock())
def _opened(path: str, digest: str) -> Catalogue:
    catalogue = open_catalogue(path)
    if catalogue.digest != digest:
        raise StaleIndexError(f"The catalogue {path} has changed meanwhile; open it again.")
    return catalogue


class Job:
    """One picture under way: what has to be added up, and what there is so far."""

    def __init__(self, catalogue: Catalogue, index: Index, request: Request, stop: Stop, *, here: bool) -> None:
        plane = plane_of(catalogue, index, request, stop)
        assert plane is not None
        self.index, self.plane, self.request, self.window = index, plane, request, request.view.window
        clauses = [clause for _, clause in request.selection]
        on, others = groups_on(plane, clauses, catalogue, index.layout.by)
        self.marks: list[Marks] = prepare(catalogue, index, plane, others, stop) if here else []
        self.category = np.where(on, 0, -1)
        depth = 1
        if request.statistic == "by":
            depth = on.size - 1
            self.category = np.where(on, np.arange(on.size), -1)
            self.category[-1] = -1  # of unknown class
        self.mode = MODES.get(request.statistic, -1)
        self.depth, self.is_done = depth, False
        self._total: Piece | None = None
        self._added: deque[Piece] = deque()
        self._lock = threading.Lock()
        # Asked here, where all processors are free to answer.
        self._values = values_of(catalogue, index, plane, str(request.column), stop) if self.mode >= 0 else None
        self._here = here
        self.begin(None)

    def begin(self, mean: NDArray[np.float64] | None) -> None:
        """Begin a pass, with the means of the pixels where deviations from them are added up."""
        # Whoever asks does not run as one of several jobs yet: all processors are free to answer.
        self.mean = mean
        self._how = self._terms() if self.mode >= 0 and self._here else None

    @property
    def values(self) -> Values:
        """The values of the column that the picture is a statistic of."""
        assert self._values is not None
        return self._values

    def strips(self) -> tuple[int, int]:
        """The strips that the viewport shows."""
        return shown_strips(self.plane, self.request.view)

    def pieces(self) -> list[tuple[int, int]]:
        """What there is to do, as ranges of strips, in any order and thread."""
        first, last = self.strips()
        rows = int(self.plane.bounds[last - 1, -1] - self.plane.bounds[first, 0]) if first < last else 0
        # Of strips that stick out of the window, only what it shows is looked at.
        low, high = self.plane.layout.x_low, self.plane.layout.x_high
        share = min(1.0, (self.window[1] - self.window[0]) / (high - low)) if high > low else 1.0
        least = int(LEAST_PIECE / max(share, LEAST_PIECE / MOST_PIECE))
        return chunks(self.plane, first, last, min(max(rows // (2 * THREADS), least), MOST_PIECE))

    def work(self, first: int, last: int) -> None:
        """Do a piece and add it to the whole."""
        self.add(self.piece(first, last))

    def piece(self, first: int, last: int) -> Piece:
        """What the strips [first, last) add to the picture."""
        plane, view = self.plane, self.request.view
        top, bottom = self._rows(first, last)
        # The second half of a sum counts fractions of a unit.
        halves = 1 if self._how is not None and self._how.exactly else 2
        made = blank(top, bottom - top + 1, view.width, self.depth, self.mode, halves)
        found = _runs(self.index, plane, view, first, last)
        words = combined(plane, self.marks, first, last, found.parts)
        xs, ys = plane.columns[plane.layout.x], plane.columns[plane.layout.y]
        strips = runs.Strips(
            plane.bounds, plane.spans, self.window, self.category, first, last, *found[:-1], top, view.height
        )
        if self.mode < 0:
            runs.count_places(xs, ys, words, strips, made.counts)
        else:
            amounts = self._amounts(*word_range(plane, first, last), top, bottom)
            summarise_places(xs, ys, words, strips, amounts, made.counts[:, :, 0], made.sums, made.extremes)
        return made

    def _terms(self) -> Amounts:
        """How the values are added in this pass, without the values."""
        known, scale, mode = self.values, self._scale(), self._pass()
        exactly = mode == SUMS and known.whole(scale)
        units = np.nan_to_num(known.table * scale).astype(np.int64) if exactly else _NO_UNITS
        step, base, slope, rests = straightened(units[: units.size - known.gaps])
        narrow, spare_bits = self._narrowed() if mode == SUMS and known.in_single_precision else (0.0, 0)
        singly = narrow > 0 and known.whole(narrow)
        return Amounts(
            *known.part(0, 0),
            known.table,
            units,
            int(scale / narrow) if singly else step,
            base,
            slope,
            rests,
            known.gaps,
            exactly,
            np.float32(narrow),
            spare_bits,
            singly,
            _NO_MEAN,
            scale,
            mode,
        )

    def _amounts(self, start: int, stop: int, top: int, bottom: int) -> Amounts:
        """The values of the words [start, stop), which the rows of pixels from `top` to `bottom` show."""
        assert self._how is not None
        values, codes = self.values.part(WORD * start, WORD * stop)
        centres = _NO_MEAN if self.mean is None else np.ascontiguousarray(self.mean[top : bottom + 1])
        return self._how._replace(values=values, codes=codes, centres=centres)

    def _narrowed(self) -> tuple[float, int]:
        """The scale at which 64 values can be added at once, 0 if at none, and how many bits of the rests are less than
        a unit."""
        narrow = 2.0 ** (LANE_BITS - np.ceil(np.log2(self._most())))
        spare_bits = REST_BITS - int(np.log2(self._scale() / narrow))
        can = 0 <= spare_bits <= REST_BITS and narrow <= np.finfo(np.float32).max
        return (float(narrow), spare_bits) if can else (0.0, 0)

    def _rows(self, first: int, last: int) -> tuple[int, int]:
        """The first and the last row of pixels that strips within `strips()` touch."""
        spans, height = self.plane.spans[first:last], self.request.view.height
        low = max(float(np.fmin.reduce(spans[:, 0])), self.window[2])
        high = min(float(np.fmax.reduce(spans[:, 1])), self.window[3])
        edges = self.window[2], self.window[3], height
        return pixel(low, *edges), pixel(max(low, high), *edges)

    def _pass(self) -> int:
        return SUMS if self.mode == SQUARES and self.mean is None else self.mode

    def _scale(self) -> float:
        """The power of two that sums of whole numbers are made in, so that no sum can overflow."""
        left = 62 - int(np.ceil(np.log2(self.index.rows + 1)))
        if self._pass() == SQUARES:
            left //= 2
        return float(2.0 ** (left - 1 - np.ceil(np.log2(self._most()))))

    def _most(self) -> float:
        low, high = self.values.low, self.values.high
        return max(abs(low), abs(high), high - low, SMALLEST)

    def add(self, piece: Piece) -> None:
        """Add a piece to the whole; thread-safe. The piece is not the caller's any more."""
        self._added.append(piece)
        # Where another thread is at it, that one finds this piece too, or whoever asks for the total.
        if self._lock.acquire(blocking=False):
            try:
                self._add_up()
            finally:
                self._lock.release()

    def _add_up(self) -> None:
        while self._added:
            piece = self._added.popleft()
            if self._total is not None:
                self._total.add(piece)
            elif self._here and len(piece.counts) == self.request.view.height:
                self._total = piece
            else:  # made by whoever adds the first piece, since it takes a while
                self._total = self._blank_total(piece.sums.shape[2])
                self._total.add(piece)

    @property
    def total(self) -> Piece:
        """What there is so far; asked when no thread adds any more."""
        self._add_up()
        if self._total is None:
            self._total = self._blank_total(2)
        return self._total

    def _blank_total(self, halves: int) -> Piece:
        return blank(0, *self.request.view.shape, self.depth, self.mode, halves)

    def next_pass(self) -> None:
        """All pieces are in: deviations need a second pass, since they are taken from the mean of the pixel."""
        self.is_done = self.mode != SQUARES or self.mean is not None
        if not self.is_done:
            self.begin(self._means())
            self._total = None

    def _means(self) -> NDArray[np.float64]:
        """What the sums of the pass come to for each value of a pixel, NaN where there is none."""
        counts, scale = self.total.counts[:, :, 0], self._scale() ** (2 if self._pass() == SQUARES else 1)
        out = spare.full(counts.shape, np.nan, np.float64)
        means_of(counts, self.total.sums, scale, out)
        return out

    def result(self) -> NDArray[Any]:
        """The finished picture."""
        counts = self.total.counts
        if self.request.statistic == "by":
            return counts
        if self.mode < 0:
            return counts[:, :, 0]
        if self.mode in (LEAST, MOST):
            return self.total.extremes
        return np.sqrt(self._means()) if self.mode == SQUARES else self._means()


_NO_UNITS = np.zeros(0, np.int64)
_NO_RESTS = np.zeros(0, np.uint8)
_NO_MEAN = np.zeros((0, 0))


class Runs(NamedTuple):
    """The runs of a viewport in some strips, see `kernels.runs.find_runs`, and the words in which places are that it
    shows, as parts: the first word of each and the one after its last; None where these are most of all words."""

    reach: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.uint32]
    columns: NDArray[np.uint16]
    above: NDArray[np.uint64]
    begins: NDArray[np.int64]
    parts: NDArray[np.int64] | None


_known_runs: LRUCache[Any, Runs] = LRUCache(
    RUN_BYTES, getsizeof=lambda found: sum(array.nbytes for array in found if array is not None)
)


@cached(
    _known_runs,
    key=lambda index, plane, view, first, last: hashkey(index.identity, plane.number, view, first, last),
    lock=threading.Lock(),
)
def _runs(index: Index, plane: Plane, view: Viewport, first: int, last: int) -> Runs:
    """The runs of a viewport in some strips: they do not depend on the selection."""
    groups = plane.bounds.shape[1] - 1
    starts = np.zeros((last - first) * groups + 1, np.int64)
    reach = np.zeros((starts.size - 1, 2), np.int64)
    places = int(plane.bounds[last - 1, -1] - plane.bounds[first, 0])
    # One more for what lies on the right edge, and one where rounding takes the left one for another pixel.
    most = min(places, (last - first) * groups * (view.width + 2))
    ends, columns = np.empty(most, np.uint32), np.empty(most, np.uint16)
    begins = np.empty(last - first + 1, np.int64)
    runs.sizes_above(plane.bounds, plane.spans, view.window, view.height, first, last, begins)
    above = np.empty(begins[-1], np.uint64)
    number = runs.find_runs(
        plane.columns[plane.layout.x], plane.columns[plane.layout.y], plane.bounds, plane.spans, view.window,
        view.width, view.height, first, last, begins, reach, starts, ends, columns, above,
    )  # fmt: skip
    parts = np.empty_like(reach)
    parts = parts[: runs.words_within(reach, parts)].copy()
    start, stop = word_range(plane, first, last)
    few = (parts[:, 1] - parts[:, 0]).sum() <= FEW * (stop - start)
    return Runs(reach, starts, ends[:number].copy(), columns[:number].copy(), above, begins, parts if few else None)


def straightened(units: NDArray[np.int64]) -> tuple[int, int, int, NDArray[np.uint8]]:
    """(step, base, slope, rests) so that step * (base + slope * k + rests[k]) is units[k]; no rests where there are
    none of a byte.

    So it is for the vote shares of a forest of up to 254 trees, evenly spaced but for their rounding.
    """
    if not units.size:
        return 1, 0, 0, _NO_RESTS
    step = int(np.gcd.reduce(units)) or 1
    steps = units // step
    slope = round(int(steps[-1] - steps[0]) / max(1, steps.size - 1))
    rests = steps - slope * np.arange(steps.size)
    base = int(rests.min())
    if (rests - base).max() > 255:
        return 1, 0, 0, _NO_RESTS
    out = np.zeros(256, np.uint8)
    out[: rests.size] = rests - base
    return step, base, slope, out
