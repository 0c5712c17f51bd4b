"""Many units of work: on the threads of this machine, or on a cluster."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from galviz.errors import Cancelled, GalvizError

Item = TypeVar("Item")
Result = TypeVar("Result")
Stop = Callable[[], bool]

THREADS = max(1, min(os.cpu_count() or 1, 16))
_BEAT = 0.2  # seconds between two questions whether to stop
_CONNECT = 5.0  # seconds within which a scheduler answers
_TRIES = 5  # to reach a worker
_PATIENCE = 30.0  # seconds that a cluster may be without a single worker


def never() -> bool:
    """The work goes on."""
    return False


def ask(stop: Stop) -> None:
    """Raise Cancelled when `stop` says so."""
    if stop():
        raise Cancelled("The work was stopped.")


_pool = ThreadPoolExecutor(THREADS, thread_name_prefix="job")


def at_once(jobs: Iterable[Callable[[], Result]], stop: Stop) -> list[Result]:
    """The results of all jobs, run on every processor; raises Cancelled as soon as `stop` says so.

    Jobs that have not begun when one fails, or when the work is stopped, never begin. A job must not call this. A
    single one runs in the calling thread.
    """
    jobs = list(jobs)
    if len(jobs) == 1:
        ask(stop)
        return [jobs[0]()]
    over = threading.Event()

    def run(job: Callable[[], Result]) -> Result:
        try:
            ask(lambda: over.is_set() or stop())
            return job()
        except BaseException:
            over.set()
            raise

    futures: list[Future[Result]] = [_pool.submit(run, job) for job in jobs]
    errors = [error for future in futures if (error := future.exception()) is not None]
    if errors:
        raise next((error for error in errors if not isinstance(error, Cancelled)), errors[0])
    return [future.result() for future in futures]


def mapped(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    client: Any = None,
    stop: Stop = never,
    most: int | None = None,
) -> Generator[tuple[Item, Result]]:
    """Each item with the result of `function`, in the order in which they get done.

    With a `distributed.Client` the calls run on its workers, so `function` and items must be picklable, and files
    lie where all workers see them; else they run on one thread a core, `most` of them at once. When a call raises, or
    whoever iterates does, no further call is started and those that run are waited for. Raises Cancelled as soon as
    `stop` says so, and GalvizError when the cluster is lost.
    """
    todo = list(items)
    if not todo:
        return
    if client is None:
        yield from _on_threads(function, todo, stop, min(most or len(todo), len(todo)))
    else:
        yield from _on_cluster(function, todo, client, stop)


def _on_threads(
    function: Callable[[Item], Result], items: list[Item], stop: Stop, most: int
) -> Iterator[tuple[Item, Result]]:
    threads = min(THREADS, most)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="unit")
    try:
        pending = {pool.submit(function, item): item for item in items}
        while pending:
            ask(stop)
            for future in wait(pending, _BEAT, FIRST_COMPLETED).done:
                yield pending.pop(future), future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _on_cluster(
    function: Callable[[Item], Result], items: list[Item], client: Any, stop: Stop
) -> Iterator[tuple[Item, Result]]:
    futures = client.map(function, items, pure=False)
    known = dict(zip(futures, items, strict=True))
    for future, result in finished(client, futures, stop):
        yield known[future], result


def finished(client: Any, futures: Iterable[Any], stop: Stop = never) -> Iterator[tuple[Any, Any]]:
    """Each future of a cluster with its result, in the order in which they get done; all are cancelled at the end.

    Raises what the call raised, Cancelled as soon as `stop` says so, and GalvizError when the cluster is lost.
    """
    from distributed import CancelledError, KilledWorker
    from distributed import wait as wait_for
    from distributed.comm.core import CommClosedError

    pending = set(futures)
    try:
        alive = time.monotonic()
        while pending:
            ask(stop)
            alive = _check_alive(client, alive)
            try:
                with client.as_current():
                    done = wait_for(list(pending), timeout=_BEAT, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                continue
            for future in done:
                pending.remove(future)
                yield future, future.result()
    except KilledWorker as error:
        raise GalvizError(
            "Workers of the cluster died several times at the same step; look at their logs and their memory, and run "
            "the command again to go on."
        ) from error
    except (CancelledError, CommClosedError) as error:
        raise _lost() from error
    except ImportError as error:
        raise GalvizError(
            f"A worker of the cluster cannot run galviz ({error}); install the same version there."
        ) from error
    finally:
        if pending and client.status == "running":
            client.cancel(list(pending))


def handed_out(client: Any, value: Any) -> Any:
    """A future of `value`, which lies with a worker of the cluster; a worker that dies just now is passed over.

    Raises GalvizError when the cluster is lost.
    """
    from distributed.comm.core import CommClosedError

    for _ in range(_TRIES):
        try:
            return client.scatter(value, hash=False)
        except (CommClosedError, OSError):
            time.sleep(_BEAT)
    raise _lost()


def _lost() -> GalvizError:
    return GalvizError("The connection to the cluster was lost; start it anew and run the command again to go on.")


def _check_alive(client: Any, seen: float) -> float:
    """When the cluster was last seen with a worker; raises GalvizError when that is too long ago."""
    now = time.monotonic()
    if client.status != "running":
        raise _lost()
    if client.scheduler_info(n_workers=-1)["workers"]:
        return now
    if now - seen > _PATIENCE:
        raise GalvizError("The cluster has no worker any more; start some and run the command again to go on.")
    return seen


def _client(scheduler: str) -> Any:
    from distributed import Client

    try:
        return Client(scheduler, timeout=_CONNECT, set_as_default=False)
    except (OSError, ValueError, TimeoutError):
        return None


@contextmanager
def connected(scheduler: str | None) -> Iterator[Any]:
    """A client of the scheduler at an address such as 127.0.0.1:8786, or None without an address.

    Raises GalvizError when nothing answers there, or has no worker.
    """
    if scheduler is None:
        yield None
        return
    client = _client(scheduler)
    if client is None:
        # A client that did not start closes itself when it is collected: not in the middle of another one's start,
        # which would wait for itself.
        gc.collect()
        raise GalvizError(f"No scheduler answers at {scheduler}; check the address, or leave out --scheduler.")
    try:
        try:
            client.wait_for_workers(1, timeout=_CONNECT)
        except TimeoutError as error:
            raise GalvizError(
                f"The scheduler at {scheduler} has no workers; start some, or leave out --scheduler."
            ) from error
        yield client
    finally:
        client.close()
