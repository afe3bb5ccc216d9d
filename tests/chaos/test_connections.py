"""S9: workers that come and go leave no connection behind, neither at Redis nor in the database."""

from collections.abc import Callable

import pytest

from tests.kit.history import check
from tests.kit.redis_server import RedisServer
from tests.kit.scene import order_event
from tests.kit.world import World

RESTARTS = 100
AT_ONCE = 4
POOLS = 30
"""What two processes may open in the course of their work: far less than one connection a restart."""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_a_hundred_restarts_leave_no_connection_behind(
    make_world: Callable[..., World], private_redis: RedisServer
) -> None:
    world = make_world(platforms=("xero",), redis_url=private_redis.url).start()
    world.push(order_event(0))
    world.until_settled()

    def clients() -> int:
        with private_redis.client() as client:
            return int(client.info("clients")["connected_clients"])

    def sessions() -> int:
        [[count]] = world.rows("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(count)

    before = clients(), sessions()
    for number in range(1, RESTARTS // AT_ONCE + 1):
        started = [world.start_worker(wait=False) for _ in range(AT_ONCE)]
        for worker in started:
            worker.until_prints(" ready.")
        world.push(order_event(number))
        world.until_settled()
        for worker in started[::2]:
            worker.kill()
        for worker in started[1::2]:
            worker.terminate()
        for worker in started:
            worker.wait(20)
    # the worker and the recurring tasks that stayed have filled their pools meanwhile; a leak would be hundreds
    world.until(lambda: clients() <= before[0] + POOLS, 30, f"clients of Redis are not far above {before[0]}")
    world.until(lambda: sessions() <= before[1] + POOLS, 30, f"sessions of the database are not far above {before[1]}")
    check(world)
