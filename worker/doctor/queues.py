"""Queues and workers: who takes from which queue, in which version, and whether dispatch ticks."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from worker.app import DISPATCH, celery
from worker.config import Config
from worker.doctor.findings import Finding, bad, lasting, ok, warning
from worker.pulse import SILENT
from worker.queues import RECURRING, queue_names

ANSWERS_WITHIN = 2.0
"""Seconds in which workers answer a broadcast; one that is stopped or cut off does not."""
LONGEST_LOOK = 8.0
"""Seconds after which no tick is waited for any more."""


@dataclass(frozen=True, slots=True)
class Workers:
    """Those that answered: queue → their names, and name → Billhook's version there."""

    of_queue: Mapping[str, Sequence[str]]
    versions: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        return sorted(self.versions)


def workers() -> Workers:
    """Asks all workers. Raises what the broker's driver raises."""
    found: dict[str, list[dict[str, Any]]] = celery.control.inspect(timeout=ANSWERS_WITHIN).active_queues() or {}
    of_queue: dict[str, list[str]] = defaultdict(list)
    for name, queues in sorted(found.items()):
        for queue in queues:
            of_queue[queue["name"]].append(name)
    said: dict[str, dict[str, Any]] = {}
    if found:
        said = _asking(list(found)).conf() or {}
    return Workers(of_queue, {name: str(said.get(name, {}).get("billhook_version", "unknown")) for name in found})


def _asking(names: list[str]) -> Any:
    """Of workers known by name the answers are counted: the last one ends the wait."""
    return celery.control.inspect(destination=names, timeout=ANSWERS_WITHIN, limit=len(names))


def lengths(client: redis.Redis) -> dict[str, int]:
    """How many messages wait in each queue."""
    pipe = client.pipeline(transaction=False)
    names = [*queue_names(), RECURRING]
    for name in names:
        pipe.llen(f"billhook:{name}")
    return dict(zip(names, map(int, pipe.execute()), strict=True))


def needed(config: Config) -> list[str]:
    """The queues without which this configuration does not work."""
    platforms = {f"invoices.{ref.account.platform}" for ref in config.accounts()}
    mailed = any(shop.notify.email for shop in config.shop.values())
    return ["events", *sorted(platforms), *(["notify"] if mailed else []), RECURRING]


def taken(
    found: Workers, messages: Mapping[str, int], due: Mapping[str, int], wanted: Sequence[str]
) -> Iterator[Finding]:
    """Queues without a worker. `messages` and `due`: by queue, what waits in Redis and in the store."""
    if not found.names:
        waiting = sum(due.values())
        says = "no worker answers" + (f", and {waiting} row(s) are due" if waiting else "")
        yield bad("workers", says, "start them: `billhook up`, or the worker service; if they run, restart them")
        return
    alone = [queue for queue in messages if not found.of_queue.get(queue)]
    for queue in alone:
        waits = " and ".join(
            f"{count} {what}" for count, what in ((messages[queue], "message(s)"), (due.get(queue, 0), "due row(s)"))
            if count
        )  # fmt: skip
        do = f"start a worker that takes {queue}"
        if waits:
            yield bad("queues", f"no worker takes {queue}; {waits} wait there", do)
        elif queue in wanted:
            yield warning("queues", f"no worker takes {queue}; nothing waits there yet", do)
    if not any(queue in wanted or messages[queue] or due.get(queue) for queue in alone):
        yield ok("queues", f"each of the {len(wanted)} queues that are needed has a worker")
    yield _versions(found)


def silent(found: Workers, ages: Mapping[str, float]) -> Iterator[Finding]:
    """Workers that did not say goodbye; `ages`: seconds by name since each was last heard of (`worker.pulse`)."""
    for name, age in sorted(ages.items()):
        if age > SILENT and name not in found.versions:
            says = f"{name} was last heard of {lasting(age)} ago and does not answer: it died, hangs or is cut off"
            yield warning("workers", says, "restart it; if it is gone for good, this line ends within the hour")


def _versions(found: Workers) -> Finding:
    by_version: dict[str, list[str]] = defaultdict(list)
    for name, version in found.versions.items():
        by_version[version].append(name)
    if len(by_version) > 1:
        who = "; ".join(f"{version}: {', '.join(names)}" for version, names in sorted(by_version.items()))
        do = "finish the upgrade: restart the older ones (a short mixture during a rolling restart does no harm)"
        return warning("workers", f"workers of different versions of Billhook run: {who}", do)
    return ok("workers", f"{len(found.names)} answer: {', '.join(found.names)} (Billhook {next(iter(by_version))})")


def ticking(found: Workers, every: float) -> Iterator[Finding]:
    """Whether dispatch runs; waits up to two periods (`every`, seconds) and a little for the next time."""
    names = list(found.of_queue.get(RECURRING, ()))
    if not names:
        return  # said already
    first = _ticks(names)
    until = time.monotonic() + min(LONGEST_LOOK, 2 * every + 2)
    while time.monotonic() < until:
        time.sleep(min(0.5, every))
        if _ticks(names) > first:
            yield ok("dispatch", f"ticks every {every:g} s")
            return
    if 2 * every > LONGEST_LOOK and first:
        yield ok("dispatch", f"has ticked; every {every:g} s it does")
        return
    do = "see whether beat runs (`recurring` of `billhook up` has it inside)"
    yield bad("dispatch", "does not tick: what is due again, or whose ring was lost, is not found", do)


def _ticks(names: list[str]) -> int:
    said = _asking(names).stats() or {}
    return sum(int(one.get("total", {}).get(DISPATCH, 0)) for one in said.values())
