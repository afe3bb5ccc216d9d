"""Redis and the database go away in the middle of work: nothing is lost, nothing doubled, nothing needs a hand."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError

from connectors.sandbox.faults import Faults
from tests.kit.history import check
from tests.kit.postgres import PrivatePostgres
from tests.kit.processes import eventually
from tests.kit.redis_server import RedisServer
from tests.kit.scene import Clocks, order_event
from tests.kit.stores import in_both
from tests.kit.world import World

MakeWorld = Callable[..., World]
on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


def orders(numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Of twenty customers."""
    return [order_event(number, customer=number % 20) for number in numbers]


class Shop:
    """Pushes batches of orders over HTTP while a fault lasts, and again what was not accepted."""

    def __init__(self, world: World, orders_each: int) -> None:
        self.world, self.each = world, orders_each
        self.number = 0
        self.refused: list[list[dict[str, Any]]] = []
        self.statuses: list[int] = []

    def push(self, *, again: bool = False) -> int:
        """One batch; returns the status."""
        if again and self.refused:
            batch = self.refused.pop(0)
        else:
            batch = orders(range(self.number, self.number + self.each))
            self.number += self.each
        status = self.world.post(*batch).status_code
        self.statuses.append(status)
        if status != 202:
            self.refused.append(batch)
        return status

    def push_for(self, seconds: float, every: float = 1.0) -> set[int]:
        """Pushes on, a batch now and then; returns the statuses seen."""
        began, seen = perf_counter(), set()
        while perf_counter() - began < seconds:
            until = perf_counter() + every
            seen.add(self.push())
            eventually(partial(self._is_past, until), every + 1)
        return seen

    @staticmethod
    def _is_past(moment: float) -> bool:
        return perf_counter() > moment

    def until_accepted(self, within: float = 20.0) -> None:
        """Sends again what was refused, until ingest has taken all of it."""
        self.world.until(lambda: self.push(again=True) == 202 and not self.refused, within, "ingest takes events again")


@in_both
def test_redis_loses_everything_with_a_thousand_events_in_flight(
    make_world: MakeWorld, private_redis: RedisServer
) -> None:
    """Flushed, then killed and started again with an empty disk; events come in over HTTP meanwhile."""
    clocks = Clocks(linger=0.5)
    world = make_world(platforms=("xero",), redis_url=private_redis.url, clocks=clocks).start(workers=2, ingest=True)
    world.sandbox.faults("xero", Faults(latency=0.2))
    batches = [orders(range(start, start + 50)) for start in range(0, 1000, 50)]
    with ThreadPoolExecutor(4) as threads:
        posting = [threads.submit(world.post, *batch) for batch in batches]
        world.until(lambda: world.states()["issued"], 30)
        private_redis.flushall()
        statuses = {one.result().status_code for one in posting}
    assert sum(world.states().values()) - world.states()["issued"] > 0, "all was over before Redis was lost"
    private_redis.restart_empty()
    private_redis.flushall()
    assert statuses == {202}
    # Celery's transport may find its connection gone in the middle of a question, and give up: then it is started again
    world.until(lambda: world.keep_up() or world.settled(), 120, "everything is settled")
    check(world)


@pytest.mark.slow
@in_both
def test_redis_does_not_answer_for_ten_seconds(make_world: MakeWorld, private_redis: RedisServer) -> None:
    world = make_world(redis_url=private_redis.url).start(ingest=True)
    shop = Shop(world, 3)
    shop.push()
    private_redis.freeze()
    seen = shop.push_for(10)
    private_redis.thaw()
    assert seen == {202}
    world.until_settled()
    check(world)


@on_sqlite
def test_redis_has_no_memory_left(make_world: MakeWorld, private_redis: RedisServer) -> None:
    """It refuses every message; ingest answers all the same, and the work is done when there is room again.

    Celery takes a refusal in the middle of a receive for unrecoverable and may end a worker, beat's too: whoever
    supervises them (here the test) starts them again.
    """
    world = make_world(redis_url=private_redis.url).start(ingest=True)
    private_redis.config_set("maxmemory", "2mb")
    with private_redis.client() as client:
        filled = fill(client)
        before = refusals(client)
    shop = Shop(world, 3)
    assert shop.push_for(4) == {202}
    with private_redis.client() as client:
        assert refusals(client) > before + 3
        client.delete(*filled)
    private_redis.config_set("maxmemory", "0")

    world.until(lambda: world.keep_up() or world.settled(), 60, "everything is settled")
    check(world)


def refusals(client: Any) -> int:
    """How often it had no room."""
    return int(client.info("errorstats")["errorstat_OOM"]["count"])


def fill(client: Any) -> list[str]:
    names: list[str] = []
    for size in (100_000, 1_000, 10):
        try:
            while True:
                names.append(f"ballast:{len(names)}")
                client.set(names[-1], "x" * size)
        except OutOfMemoryError:
            continue  # smaller ones may still fit
    return names


@pytest.mark.slow
@on_sqlite  # so that the shared server need not start
def test_postgres_is_stopped_for_ten_seconds(make_world: MakeWorld, private_postgres: PrivatePostgres) -> None:
    world = make_world(store_url=private_postgres.url).start(workers=2, ingest=True)
    shop = Shop(world, 3)
    shop.push()
    world.until(lambda: world.states()["issued"], 20)
    shop.push()
    private_postgres.stop()
    seen = shop.push_for(10)
    private_postgres.start()
    assert seen == {503}
    shop.until_accepted()
    world.until_settled()
    check(world)


@pytest.fixture
def lock() -> Iterator[Callable[[World], Callable[[], None]]]:
    """`release = lock(world)`: another process than theirs holds EXCLUSIVE locks on both files."""
    held: list[sqlite3.Connection] = []

    def take(world: World) -> Callable[[], None]:
        for store in (world.store, world.inbox_store):
            connection = sqlite3.connect(store.url.removeprefix("sqlite:///"), isolation_level=None, timeout=10)
            connection.execute("BEGIN EXCLUSIVE")
            held.append(connection)
        return release

    def release() -> None:
        while held:
            held.pop().close()

    yield take
    release()


@pytest.mark.slow
@on_sqlite
def test_sqlite_is_locked_for_fifteen_seconds(make_world: MakeWorld, lock: Any) -> None:
    world = make_world().start(workers=2, ingest=True)
    shop = Shop(world, 3)
    shop.push()
    world.until(lambda: world.states()["issued"], 20)
    shop.push()
    release = lock(world)
    seen = shop.push_for(15)
    release()
    assert seen == {503}
    shop.until_accepted()
    world.until_settled()
    check(world)
