"""Stories: given these deliveries in this order, exactly these documents are on the platform."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.redis_server import RedisServer
from tests.stories.tale import Tale

MakeTale = Callable[..., Tale]


@pytest.fixture
def tell(
    tmp_path: Path, store_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeTale]:
    """Begins a tale; its keywords are `Tale`'s."""
    begun: list[Tale] = []

    def begin(**options: str) -> Tale:
        begun.append(Tale(tmp_path, store_url, redis_server.url, monkeypatch, **options))
        return begun[-1]

    yield begin
    for tale in begun:
        tale.close()
