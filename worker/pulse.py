"""Workers say every few seconds, in Redis, that they live, and under which configuration they work.

The same thread looks whether the configuration has changed: it runs whether there is work or not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import orjson
import redis

from worker import runtime
from worker.config import ConfigError

KEY = "billhook:workers"
"""A sorted set: each worker's name with the time, by the clock of Redis, at which it last said so."""
CONFIGURATIONS = "billhook:configurations"
"""A hash: each worker's name with what `Keeper.standing` says there, as JSON."""
EVERY = 2.0
SILENT = 30.0
"""Seconds: workers that live are heard of more often."""
FORGOTTEN_AFTER = 3600.0
"""Seconds of silence after which a worker is no longer shown: containers have a new name each time."""


def ages() -> dict[str, float]:
    """By name of a worker the seconds since it was last heard of. Raises `redis.RedisError`."""
    client = runtime.redis_client()
    now = _time(client)
    said: list[tuple[bytes, float]] = client.zrangebyscore(KEY, now - FORGOTTEN_AFTER, "+inf", withscores=True)  # type: ignore[assignment]
    return {name.decode(): max(0.0, now - at) for name, at in said}


def configurations() -> dict[str, dict[str, Any]]:
    """By name of a worker what it last said of its configuration. Raises `redis.RedisError`."""
    said: dict[bytes, bytes] = runtime.redis_client().hgetall(CONFIGURATIONS)  # type: ignore[assignment]
    return {name.decode(): orjson.loads(standing) for name, standing in said.items()}


def refusals() -> dict[str, str]:
    """By name of a worker that lives why it does not use the configuration file as it is now; empty also where Redis is
    not to be had: then nobody can say."""
    try:
        living = {name for name, age in ages().items() if age < SILENT}
        said = configurations()
    except (redis.RedisError, ConfigError):
        return {}
    return {
        name: "; ".join(f"{place}: {what}" for place, what in one["refused"])
        for name, one in sorted(said.items())
        if one["refused"] and name in living
    }


class Pulse:
    """The thread of this worker that says so, under `name`, until `stop`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._over = threading.Event()
        threading.Thread(target=self._run, name="pulse", daemon=True).start()

    def stop(self) -> None:
        """A worker that was asked to end is not missed."""
        self._over.set()
        self._tell(lambda client: _forget(client, [self._name]))

    def _run(self) -> None:
        self._tell(self._beat)
        while not self._over.wait(EVERY):
            runtime.keeper().look()
            self._tell(self._beat)

    def _beat(self, client: redis.Redis) -> None:
        now = _time(client)
        client.zadd(KEY, {self._name: now})
        client.hset(CONFIGURATIONS, self._name, orjson.dumps(runtime.keeper().standing()))
        gone: list[bytes] = client.zrangebyscore(KEY, "-inf", now - FORGOTTEN_AFTER)  # type: ignore[assignment]
        if gone:
            _forget(client, gone)

    @staticmethod
    def _tell(what: Callable[[redis.Redis], object]) -> None:
        with suppress(redis.RedisError):  # Redis is away: then this worker is shown as silent, which it is
            what(runtime.redis_client())


def _forget(client: redis.Redis, names: Sequence[bytes | str]) -> None:
    client.zrem(KEY, *names)
    client.hdel(CONFIGURATIONS, *names)  # type: ignore[arg-type]


def _time(client: redis.Redis) -> float:
    seconds, micros = client.time()  # type: ignore[misc]
    return float(seconds) + float(micros) / 1_000_000
