"""What one process holds: its connections, opened when first asked for, and the configuration that is in force."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial, wraps
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import ParamSpec, TypeVar

import redis
from pydantic import SecretStr
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.config import Config, ConfigError, config_path
from worker.reloading import InForce, Keeper
from worker.store.engine import Store
from worker.store.ids import new_id

P = ParamSpec("P")
T = TypeVar("T")
_turn: ContextVar[InForce | None] = ContextVar("turn", default=None)


def collect_seldom() -> None:
    """For a process that has started: its objects stay for good, and its work leaves few cycles behind.

    Looking for cycles as often as Python does it by itself took half the time of reading an event.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


@cache
def keeper() -> Keeper:
    """Who notices that the file has changed, where somebody has it look. Raises `ConfigError`."""
    return Keeper(config_path())


def in_force() -> InForce:
    """The version of the configuration under which this turn began; outside a turn the newest. Raises `ConfigError`."""
    return _turn.get() or keeper().in_force()


def config() -> Config:
    """As `in_force`. Raises `ConfigError`."""
    return in_force().config


@contextmanager
def turn() -> Iterator[None]:
    """What begins inside (or in the function that this decorates) ends under the configuration with which it began.

    It holds for this thread; other threads that work for the turn are given what they need.
    """
    if _turn.get() is not None:
        yield
        return
    token = _turn.set(keeper().in_force())
    try:
        yield
    finally:
        _turn.reset(token)


def with_config(make: Callable[P, T]) -> Callable[P, T]:
    """`functools.cache` for what is made from the configuration: a new one begins anew."""

    @wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> T:
        version = in_force()
        if make not in version.made:
            version.made[make] = cache(partial(_under, version, make))
        found: T = version.made[make](*args, **kwargs)
        return found

    return made


def _under(version: InForce, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    token = _turn.set(version)
    try:
        return make(*args, **kwargs)
    finally:
        _turn.reset(token)


@cache
def store() -> Store:
    return Store(config().store_url)


@cache
def inbox() -> Store:
    """The store that holds the inbox: the same one on PostgreSQL, a file of its own on SQLite."""
    if not store().sqlite:
        return store()
    return Store(config().inbox_url, busy_seconds=5.0, synchronous="NORMAL")


@cache
def redis_url() -> str:
    """As configured, else that of the `billhook up` that owns the data directory, or did. Raises `ConfigError`."""
    url: SecretStr | None = config().billhook.redis_url
    address = url.get_secret_value() if url else private_redis(config().billhook.data_dir)
    if address is None:
        what = "is missing: this process was not started by `billhook up`, and none has run in the data directory"
        raise ConfigError([("billhook.redis_url", what)])
    return address


def private_redis(data_dir: Path) -> str | None:
    """The address of the Redis that `billhook up` started last in this data directory, from its configuration; None:
    it never did. Whether that one still runs shows when it is asked."""
    files = sorted(data_dir.glob("redis-*/redis.conf"), key=lambda file: file.stat().st_mtime)
    if not files:
        return None
    lines = files[-1].read_text(encoding="utf-8").splitlines()
    said = dict(line.split(" ", 1) for line in lines if " " in line)
    return f"redis://:{said['requirepass']}@{said['bind']}:{said['port']}/0"


@cache
def redis_client() -> redis.Redis:
    """For permits and rings; every call may fail, and nobody depends on it."""
    return redis.Redis.from_url(
        redis_url(),
        socket_timeout=2,
        socket_connect_timeout=1,
        health_check_interval=25,
        max_connections=200,
        retry=Retry(NoBackoff(), 1),  # the driver's own ten retries would hold a worker up for seconds a question
    )


@cache
def process_name() -> str:
    """This process in leases and in the trail: host, pid and a part that no other process ever has."""
    return f"{socket.gethostname()}-{os.getpid()}-{new_id()[-6:]}"


@cache
def version() -> str:
    """Billhook's, as it is installed; "from a checkout" where it is not."""
    try:
        return installed("billhook")
    except PackageNotFoundError:
        return "from a checkout"


def forget() -> None:
    """After a fork: the child opens its own."""
    for held in (store, inbox, redis_client, process_name):
        held.cache_clear()
