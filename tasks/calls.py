"""The calls of one claimed batch: packed where the platform can, side by side, each with its outcome."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from typing import Any

from connectors.errors import ConnectorError, Uncertain
from connectors.platforms.documents import LOOKED_FOR, Documents, Outcome
from tasks.attempt import Try
from tasks.voiding import voided
from worker import limits, runtime
from worker.limits import Permits
from worker.store.documents import Bulk, Work

GATHER = 0.02
"""Seconds in which further outcomes join a commit."""

Done = list[tuple[Try, Outcome[Any]]]


@dataclass(frozen=True, slots=True)
class Send:
    """What leaves as one unit: one document's plan, or a bulk."""

    works: tuple[Work, ...]
    bulk: Bulk | None = None


@cache
def pool() -> ThreadPoolExecutor:
    """Threads for calls that wait on a platform; one pool a process."""
    return ThreadPoolExecutor(max_workers=max(256, runtime.config().billhook.threads * 4), thread_name_prefix="call")


def bulk_key(works: Sequence[Work]) -> str:
    """The key of a packed call: the same members in the same generation give the same key."""
    members = "|".join(f"{work.draft.key}-{work.generation}" for work in works)
    return "bhb-" + hashlib.sha256(members.encode()).hexdigest()[:40]


def packed(documents: Documents[Any, Any], works: Sequence[Work]) -> list[Send]:
    """The works in units: bulks of at most the platform's size (or what a refused bulk was halved to).

    A bulk begins with the first step of each plan: what is half-built already is continued alone.
    """
    if documents.bulk <= 1:
        return [Send((work,)) for work in works]
    units = [Send((work,)) for work in works if work.made]
    works = [work for work in works if not work.made]
    for limit in sorted({work.bulk_limit or documents.bulk for work in works}, reverse=True):
        alike = [work for work in works if (work.bulk_limit or documents.bulk) == limit]
        for start in range(0, len(alike), limit):
            members = tuple(alike[start : start + limit])
            request = documents.pack([work.plan or () for work in members])
            units.append(Send(members, Bulk(bulk_key(members), tuple(work.id for work in members), request)))
    return units


def carry_out(
    documents: Documents[Any, Any], units: Sequence[tuple[Send, Sequence[Try]]], permits: Permits, void: bool
) -> Iterator[Done]:
    """Runs the units side by side; yields outcomes in small groups, as they come, for one commit each. `void`: an
    invoice that does not agree with its order is voided."""
    running: set[Future[Done]] = {
        pool().submit(_with_permits, permits, _one_unit(documents, send, tries, void)) for send, tries in units
    }
    while running:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        if running:
            more, running = wait(running, timeout=GATHER)
            done |= more
        yield [pair for future in done for pair in future.result()]


def _with_permits(permits: Permits, call: Callable[[], Done]) -> Done:
    with limits.using(permits):
        return call()


def _one_unit(documents: Documents[Any, Any], send: Send, tries: Sequence[Try], void: bool) -> Callable[[], Done]:
    def run() -> Done:
        try:
            if send.bulk is None:
                outcomes = [documents.create(tries[0])]
            else:
                outcomes = documents.create_packed(send.bulk.request, tries, send.bulk.id)
        except Exception as error:  # a defect in a connector: nothing is known, so it is looked up
            broken = Uncertain(f"the connector failed ({type(error).__name__}: {error})")
            return [(each, Outcome(error=broken)) for each in tries]
        if void:
            outcomes = [voided(documents, each.work, one) for each, one in zip(tries, outcomes, strict=True)]
        return list(zip(tries, outcomes, strict=True))

    return run


def look_up(documents: Documents[Any, Any], works: Sequence[Work], permits: Permits) -> list[tuple[Work, Any]]:
    """For each work what `find` says of it: a hit, None, or the error for which it is not known."""

    def looked(some: Sequence[Work]) -> list[Any]:
        with limits.using(permits):
            try:
                return documents.find([work.draft for work in some])
            except ConnectorError as error:
                return [error] * len(some)

    # a platform that creates one by one is asked one by one: side by side, its latency is waited for once
    size = LOOKED_FOR if type(documents).bulk > 1 else 1
    parts = [works[start : start + size] for start in range(0, len(works), size)]
    answers = [pool().submit(looked, part) for part in parts]
    return [
        pair for part, answer in zip(parts, answers, strict=True) for pair in zip(part, answer.result(), strict=True)
    ]
