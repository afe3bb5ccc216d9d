"""Fixtures of the chaos tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compose.fleet import Fleet
from tests.kit.processes import Processes
from tests.kit.redis_server import RedisServer
from tests.kit.world import World


@pytest.fixture
def make_world(
    tmp_path: Path, processes: Processes, store_url: str, redis_server: RedisServer
) -> Iterator[Callable[..., World]]:
    """`make_world(**options)`: a world on the test's store and an empty Redis; nothing runs in it yet.

    `store_url=` and `redis_url=` put it on others, which the test may stop.
    """
    made: list[World] = []

    def make(**options: Any) -> World:
        here = options.pop("store_url", store_url), options.pop("redis_url", redis_server.url)
        made.append(World(tmp_path, processes, *here, **options))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def make_fleet(tmp_path: Path, processes: Processes, postgres_url: str) -> Iterator[Callable[..., Fleet]]:
    """`make_fleet(**options)`: machines for services of compose.yaml, on a Redis and a database of the test's own."""
    made: list[Fleet] = []

    def make(**options: Any) -> Fleet:
        made.append(Fleet(tmp_path, processes, postgres_url, **options))
        return made[-1]

    yield make
    for fleet in made:
        fleet.close()
