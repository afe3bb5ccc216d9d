"""Workers say every few seconds, in Redis, that they live; the metrics show since when each has been silent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import redis

from worker import runtime

KEY = "billhook:workers"
"""A sorted set: each worker's name with the time, by the clock of Redis, at which it last said so."""
EVERY = 5.0
FORGOTTEN_AFTER = 3600.0
"""Seconds of silence after which a worker is no longer shown: containers have a new name each time."""


def ages() -> dict[str, float]:
    """By name of a worker the seconds since it was last heard of. Raises `redis.RedisError`."""
    client = runtime.redis_client()
    now = _time(client)
    said: list[tuple[bytes, float]] = client.zrangebyscore(KEY, now - FORGOTTEN_AFTER, "+inf", withscores=True)  # type: ignore[assignment]
    return {name.decode(): max(0.0, now - at) for name, at in said}


class Pulse:
    """The thread of this worker that says so, under `name`, until `stop`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._over = threading.Event()
        threading.Thread(target=self._run, name="pulse", daemon=True).start()

    def stop(self) -> None:
        """A worker that was asked to end is not missed."""
        self._over.set()
        self._tell(lambda client: client.zrem(KEY, self._name))

    def _run(self) -> None:
        self._tell(self._beat)
        while not self._over.wait(EVERY):
            self._tell(self._beat)

    def _beat(self, client: redis.Redis) -> None:
        now = _time(client)
        client.zadd(KEY, {self._name: now})
        client.zremrangebyscore(KEY, "-inf", now - FORGOTTEN_AFTER)

    @staticmethod
    def _tell(what: Callable[[redis.Redis], object]) -> None:
        with suppress(redis.RedisError):  # Redis is away: then this worker is shown as silent, which it is
            what(runtime.redis_client())


def _time(client: redis.Redis) -> float:
    seconds, micros = client.time()  # type: ignore[misc]
    return float(seconds) + float(micros) / 1_000_000
