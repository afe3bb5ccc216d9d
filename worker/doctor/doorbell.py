"""Redis: does it answer, may it lose messages, who can reach it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import redis

from worker.doctor.findings import Finding, bad, first_line, ok, warning

NAME = "Redis"
OLDEST = (6, 2)
"""Celery's own minimum."""
FULL = 0.7
ACL = "user billhook on >PASSWORD resetchannels &* ~billhook:* +@all -@dangerous -@admin +info"


def connect(url: str) -> redis.Redis:
    """A client that waits 2 s for an answer and does not ask again: a Redis that hangs is found out quickly."""
    return redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2, retry=None)


def reached(client: redis.Redis) -> Finding | None:
    """Why Redis cannot be used; None if it answers."""
    try:
        client.ping()
    except redis.AuthenticationError:
        return bad(NAME, "refuses the login", "put the right user and password into redis_url")
    except (redis.RedisError, OSError) as error:
        do = "start it, or correct redis_url; no event is lost meanwhile, but none is worked on"
        return bad(NAME, f"does not answer: {first_line(error)}", do)
    return None


def examine(client: redis.Redis, url: str, *, private: bool) -> Iterator[Finding]:
    """Version, memory, persistence, access. `private`: the one of `billhook up`, which nobody else configures."""
    info = _info(client)
    if info is None:
        do = f"let the user ask INFO; an ACL that works: {ACL}"
        yield warning(NAME, "answers, but tells nothing of itself: INFO is refused", do)
    else:
        yield _version(info)
        yield _policy(info)
        yield _memory(info)
        if not private:
            yield _persistence(info)
    yield _access(client, url)


def clock(client: redis.Redis) -> tuple[datetime, float]:
    """The server's time (UTC) and half of how long the question took (s)."""
    began = time.monotonic()
    seconds, micros = client.time()  # type: ignore[misc]
    return datetime.fromtimestamp(int(seconds) + int(micros) / 1e6, UTC), (time.monotonic() - began) / 2


def _info(client: redis.Redis) -> Mapping[str, Any] | None:
    try:
        return {str(name): value for name, value in client.info().items()}  # type: ignore[union-attr]
    except redis.ResponseError:  # NOPERM
        return None


def _version(info: Mapping[str, Any]) -> Finding:
    said = str(info.get("redis_version", "0"))
    title = f"{info['server_name']} {info['valkey_version']}" if "valkey_version" in info else f"Redis {said}"
    found = tuple(int(part) for part in said.split(".")[:2] if part.isdigit())
    if found < OLDEST:
        return bad("Redis version", f"{title} is older than 6.2, which Celery needs", "upgrade Redis (or use Valkey)")
    return ok("Redis version", f"{title} answers")


def _policy(info: Mapping[str, Any]) -> Finding:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        says = f"maxmemory-policy is {policy}: when memory is short, whole queues may be thrown away"
        return bad("Redis eviction", says, "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf")
    return ok("Redis eviction", "nothing is evicted (noeviction)")


def _memory(info: Mapping[str, Any]) -> Finding:
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    name = "Redis memory"
    if not most:
        machine = int(info.get("total_system_memory", 0))
        if machine and used > FULL * machine:
            return bad(name, f"uses {_mib(used)} of the machine's {_mib(machine)}", "find out who else fills it")
        return ok(name, f"{_mib(used)} used; no maxmemory is set")
    if used > FULL * most:
        says = f"{_mib(used)} of {_mib(most)} used ({used / most:.0%}): when it is full, no message is taken"
        do = "raise maxmemory, or find out who else uses this Redis; Billhook's own messages carry only ids"
        return bad(name, says, do)
    return ok(name, f"{_mib(used)} of {_mib(most)} used")


def _persistence(info: Mapping[str, Any]) -> Finding:
    name = "Redis on disk"
    for flag, what in (("aof_last_write_status", "append-only file"), ("rdb_last_bgsave_status", "snapshot")):
        if info.get(flag, "ok") != "ok":
            return bad(name, f"the last {what} could not be written", "look at Redis' log and at its disk")
    if not int(info.get("aof_enabled", 0)):
        says = "the append-only file is off: a restart forgets quotas in use, which may earn a 429"
        return warning(name, says, "set appendonly yes and appendfsync everysec (no invoice depends on it)")
    return ok(name, "the append-only file is on")


def _access(client: redis.Redis, url: str) -> Finding:
    name = "Redis access"
    parts = urlsplit(url)
    if parts.scheme == "unix" or _loopback(parts.hostname or "localhost"):
        return ok(name, "on this machine")
    where = f"{parts.hostname} is another machine"
    if not parts.password:
        says = f"{where}, and no password is used: whoever reaches it can read and change every queue"
        return bad(name, says, "set a password (requirepass, or an ACL user) and put it into redis_url")
    if parts.scheme != "rediss":
        do = "use TLS (rediss://…), unless the network between is private to Billhook"
        return warning(name, f"{where}, and the connection is not encrypted", do)
    if _user(client) == "default":
        do = f"give Billhook a user that cannot FLUSHALL or CONFIG: {ACL}"
        return warning(name, f"{where}, and Billhook logs in as the user who may do everything", do)
    return ok(name, "with password and TLS")


def _user(client: redis.Redis) -> str:
    try:
        said = client.acl_whoami()
    except redis.ResponseError:
        return "limited"
    return said.decode() if isinstance(said, bytes) else str(said)


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
