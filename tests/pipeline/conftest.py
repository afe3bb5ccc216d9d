"""Fixtures of the pipeline tests: the world of real processes is the chaos tests' own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.conftest import make_world  # noqa: F401
from tests.kit.redis_server import RedisServer
from tests.pipeline.importing import Desk, a_desk


@pytest.fixture
def desk(tmp_path: Path, store_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    yield from a_desk(tmp_path, store_url, redis_server.url, monkeypatch)


@pytest.fixture
def sqlite_desk(tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """For what has nothing to do with the store."""
    yield from a_desk(tmp_path, f"sqlite:///{tmp_path / 'billhook.db'}", redis_server.url, monkeypatch)
