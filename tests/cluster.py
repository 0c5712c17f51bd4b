"""A small cluster of worker processes on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from distributed import Client, LocalCluster


@contextmanager
def cluster(workers: int = 2) -> Iterator[Client]:
    """A client of a scheduler with `workers` processes that nobody outside this machine can reach."""
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address=None,
        ) as made,
        Client(made, set_as_default=False) as client,
    ):
        yield client
