"""Many units of the same work get done, in threads or on a cluster, or end in one sentence."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster

from galviz import work
from galviz.errors import Cancelled, CatalogueError, GalvizError
from galviz.work import at_once, connected, finished, handed_out, mapped, never
from tests.cluster import cluster


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with cluster() as made:
        yield made


@pytest.fixture(params=["threads", "cluster"])
def where(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue("client") if request.param == "cluster" else None


def square(number: int) -> int:
    return number * number


def fail_at_three(number: int) -> int:
    if number == 3:
        raise CatalogueError("Three is damaged.")
    return number


def slow(number: int) -> int:
    time.sleep(0.05)
    return number


def die(number: int) -> None:
    os._exit(1)


def test_every_item_comes_with_its_result(where: Any) -> None:
    assert dict(mapped(square, range(20), where)) == {number: number * number for number in range(20)}
    assert list(mapped(square, [], where)) == []


def test_what_a_call_raises_comes_through(where: Any) -> None:
    with pytest.raises(CatalogueError, match=r"^Three is damaged\.$"):
        list(mapped(fail_at_three, range(200), where))


def test_work_can_be_stopped(where: Any) -> None:
    seen: list[int] = []
    with pytest.raises(Cancelled):
        for item, _ in mapped(slow, range(500), where, stop=lambda: len(seen) > 2):
            seen.append(item)
    assert len(seen) < 100


def test_nothing_runs_on_after_whoever_iterates_has_left() -> None:
    started: list[int] = []

    def unit(number: int) -> int:
        started.append(number)
        time.sleep(0.02)
        return number

    with pytest.raises(KeyboardInterrupt):
        for _ in mapped(unit, range(100)):
            raise KeyboardInterrupt
    count = len(started)
    assert count <= 2 * (os.cpu_count() or 1) + 1
    time.sleep(0.1)
    assert len(started) == count
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("unit")]


def test_futures_come_as_they_get_done(client: Any) -> None:
    futures = [client.submit(square, number, pure=False) for number in range(5)]
    assert sorted(result for _, result in finished(client, futures)) == [0, 1, 4, 9, 16]


def test_a_task_that_kills_its_workers_is_a_sentence() -> None:
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        cluster(1) as own,
        pytest.raises(GalvizError, match=r"Workers of the cluster died .* run the command again"),
    ):
        list(mapped(die, [1], own))


def test_a_cluster_without_workers_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "_PATIENCE", 0.5)
    monkeypatch.setattr(work, "_CONNECT", 0.5)
    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as empty,
        Client(empty, set_as_default=False) as own,
    ):
        with pytest.raises(GalvizError, match="The cluster has no worker any more"):
            list(mapped(square, [1], own))
        with (
            pytest.raises(GalvizError, match=r"The scheduler at .* has no workers"),
            connected(empty.scheduler_address),
        ):
            pass


def test_a_connection_that_is_lost_is_a_sentence() -> None:
    with (
        cluster(1) as own,
        pytest.raises(GalvizError, match="The connection to the cluster was lost"),
    ):
        for _ in mapped(slow, range(100), own):
            own.close()


def test_no_address_means_this_machine() -> None:
    with connected(None) as none:
        assert none is None


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nonsense", "tcp://127.0.0.1:x", "http://127.0.0.1:9", ""])
def test_an_address_that_does_not_answer_is_a_sentence(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "_CONNECT", 0.3)
    with pytest.raises(GalvizError, match=r"No scheduler answers at .*; check the address"), connected(address):
        pass
    assert all(left.status == "running" for left in Client._instances), "what is left closes itself at a bad time"


def test_a_scheduler_is_found_by_its_address(client: Any) -> None:
    with connected(client.scheduler.address) as other:
        assert dict(mapped(square, [3], other)) == {3: 9}


def test_a_value_is_handed_to_a_worker_that_lives(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, tries = client.scatter, []

    def scatter(value: Any, **options: Any) -> Any:
        tries.append(value)
        if len(tries) < 3:
            raise OSError("Timed out trying to connect to a worker")
        return whole(value, **options)

    monkeypatch.setattr(work, "_BEAT", 0.01)
    monkeypatch.setattr(client, "scatter", scatter)
    assert handed_out(client, 7).result() == 7
    monkeypatch.setattr(work, "_TRIES", 2)
    tries.clear()
    with pytest.raises(GalvizError, match="connection to the cluster was lost"):
        handed_out(client, 7)


def test_jobs_run_on_all_threads_and_answer_in_order() -> None:
    names: set[str] = set()

    def job(number: int) -> int:
        names.add(threading.current_thread().name)
        time.sleep(0.005)
        return number * number

    assert at_once([lambda k=k: job(k) for k in range(30)], never) == [k * k for k in range(30)]
    assert len(names) == work.THREADS
    assert at_once([], never) == []


def test_an_error_ends_the_work_and_is_raised_rather_than_a_stop() -> None:
    begun: list[int] = []

    def job(number: int) -> None:
        begun.append(number)
        if number == 2:
            raise ValueError("two")
        time.sleep(0.002)

    with pytest.raises(ValueError, match="two"):
        at_once([lambda k=k: job(k) for k in range(500)], never)
    assert len(begun) < 100


def test_stopped_jobs_never_begin() -> None:
    begun: list[int] = []
    with pytest.raises(Cancelled):
        at_once([lambda k=k: begun.append(k) for k in range(50)], lambda: len(begun) >= 5)
    assert 5 <= len(begun) < 5 + work.THREADS + 1
    time.sleep(0.01)
    assert at_once([lambda: 1], never) == [1]


def test_work_of_several_callers_at_once_does_not_mix() -> None:
    def caller(number: int, out: dict[int, list[int]]) -> None:
        out[number] = at_once([lambda k=k: number * 1000 + k for k in range(50)], never)

    found: dict[int, list[int]] = {}
    threads = [threading.Thread(target=caller, args=(number, found)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [number * 1000 + k for k in range(50)] for number in range(12)}


def test_a_single_job_runs_in_the_thread_that_asks_unless_it_is_stopped() -> None:
    assert at_once([threading.current_thread], never) == [threading.current_thread()]
    begun: list[int] = []
    with pytest.raises(Cancelled):
        at_once([lambda: begun.append(1)], lambda: True)
    assert begun == []
    with pytest.raises(ZeroDivisionError):
        at_once([lambda: 1 // 0], never)
