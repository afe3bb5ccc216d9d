"""Customers are told of their invoices.

claim → commit "sending" → send → outcome and trail. A mail cannot be looked up: killed after "sending" it is held,
never sent again by itself; so is one whose last answer was lost.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from tasks.mailing import Clock, Mailing
from worker import bells, runtime
from worker.app import NOTIFY_CUSTOMERS, actor, celery
from worker.shutdown import stopping
from worker.store import jobs, notices
from worker.store.due import peek

CHANNEL = "email"
BATCH = 50
DEADLINE = 30.0
"""Seconds for one mail, where the configuration names none."""
SHOPS_AT_ONCE = 8
TURN_SECONDS = 20.0


class NothingSent(Exception):
    """Not one mail of a batch went out; what became of each is recorded. Makes the task red in Flower."""


@celery.task(name=NOTIFY_CUSTOMERS)
def notify_customers(shops: Sequence[str] = (), orders: Sequence[str] = ()) -> dict[str, int]:
    """Sends what is due, of all shops; `shops` and `orders` are for the reader in Flower.

    Returns how many mails were sent, held for a person, put off (retry), and put back for lack of time. Raises
    `NothingSent` when a whole batch failed.
    """
    counts: Counter[str] = Counter()
    until = time.monotonic() + TURN_SECONDS
    while not stopping():
        mailings = _batch(until)
        if not mailings:
            break
        did: Counter[str] = sum((mailing.counts for mailing in mailings), Counter())
        counts += did
        if not did["done"] and (reasons := [reason for mailing in mailings for reason in mailing.reasons]):
            raise NothingSent(f"none of {len(reasons)} mails went out; the first: {reasons[0]}")
        if time.monotonic() > until:
            _ring_for_the_rest()
            break
    return {
        "sent": counts["done"], "held": counts["held"], "retry": counts["retry"], "put_back": counts["pending"]
    }  # fmt: skip


@runtime.turn()
def _batch(until: float) -> list[Mailing]:
    """Claims a batch, shops in turn, and sends it, shops side by side; empty when nothing was due."""
    deadline = runtime.config().billhook.timing.deadline or DEADLINE
    lease = timedelta(seconds=deadline + runtime.config().billhook.timing.lease_margin)
    owner = jobs.new_owner(runtime.process_name())
    clock = Clock(deadline, lease, until, time.monotonic())
    with runtime.store().write() as connection:
        held = jobs.claim(
            connection, queue=notices.QUEUE, kinds=("notice",), tenant=CHANNEL, limit=BATCH, owner=owner, lease=lease,
            actor=actor(), turn=time.monotonic_ns(),
        )  # fmt: skip
    if not held:
        return []
    with runtime.store().read() as connection:
        works = notices.load(connection, held)
    by_shop: dict[str, list[notices.NoticeWork]] = defaultdict(list)
    for work in works:
        by_shop[work.job.shop].append(work)
    mailings = [Mailing(shop, theirs, owner, clock) for shop, theirs in by_shop.items()]
    with ThreadPoolExecutor(min(len(mailings), SHOPS_AT_ONCE), "mailing") as pool:
        list(pool.map(Mailing.run, mailings))
    return mailings


def _ring_for_the_rest() -> None:
    with runtime.store().read() as connection:
        due = peek(connection, notices.QUEUE, CHANNEL, bells.SHOWN, jobs.now())
    if due:
        bells.ring_notify([shop for shop, _, _ in due], [label for _, _, label in due])
