"""Shops and carriers are asked: what an event only points to, what was missed, how parcels fare; and shops are told
which invoices their orders have.

claim → ask → what was found into the inbox → cursor and outcome in one commit. Killed anywhere, the same is asked
again, and what was found before is a duplicate in the inbox. What is written to a shop may be written again.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from connectors.errors import ConnectorError, Rejected, Throttled, Unauthorized, Unavailable
from connectors.sources.asking import Api, Found, Parcel, Posted
from connectors.sources.base import Source
from connectors.sources.delivery import Delivery
from tasks.backoff import delay
from worker import bells, runtime, testpoints
from worker.app import ASK_SOURCES, actor, celery
from worker.gate import Gate
from worker.leases import lease
from worker.shutdown import stopping
from worker.sources import api_of, source_of
from worker.store import jobs, questions
from worker.store.engine import StoreError
from worker.store.inbox import Arrival, Inbox, StoreUnavailable
from worker.store.jobs import Change, Job
from worker.store.written_back import posted

log = logging.getLogger(__name__)
AT_ONCE = 10
"""Most rows of one claim."""
PARCELS = 100
"""Most parcels asked about in one question."""
TURN_SECONDS = 20.0

_gate = Gate(each=1, together=4)


@celery.task(name=ASK_SOURCES)
def ask_sources(source: str) -> dict[str, int]:
    """Asks a source (`shop/source`) what is due to be asked. Returns counts, for Flower."""
    counts: Counter[str] = Counter()
    until = time.monotonic() + TURN_SECONDS
    with _gate.enter(source) as stay:
        while stay is not None and not stopping():
            if time.monotonic() > until:
                bells.ring_sources(source)
                break
            did = _turn(source)
            if did is None and not stay():
                break
            counts += did or Counter()
    return dict(counts)


@runtime.turn()
def _turn(tenant: str) -> Counter[str] | None:
    """One claim; each row is settled as soon as it is answered. None when nothing was due."""
    owner = jobs.new_owner(runtime.process_name())
    ends = time.monotonic() + lease().total_seconds() / 2
    with runtime.store().write() as connection:
        held = jobs.claim(
            connection, queue=questions.QUEUE, kinds=("event", "question", "notice"), tenant=tenant, limit=AT_ONCE,
            owner=owner, lease=lease(), actor=actor(), turn=time.monotonic_ns() // 1000,
        )  # fmt: skip
    if not held:
        return None
    testpoints.point("questions_claimed")
    counts: Counter[str] = Counter()
    for job in held:
        change = _asked(job, ends) if time.monotonic() < ends else _not_now(job)
        with runtime.store().write() as connection:
            jobs.settle(connection, {job.id: job}, [change], owner=owner, actor=runtime.process_name())
        counts[change.state] += 1
        counts["found"] += change.detail.get("found", 0)
    return counts


def _not_now(job: Job) -> Change:
    """The claim is half over: another one takes it."""
    return Change(job.id, "pending", "put_back", due_at=jobs.now(), tried=False)


def _asked(job: Job, ends: float) -> Change:
    """What becomes of a row: what its source says by `ends` (of the monotonic clock), or why it says nothing."""
    name = job.tenant.partition("/")[2]
    try:
        asks, api = source_of(job.shop, name), api_of(job.shop, name)
    except LookupError as error:
        return Change(job.id, "held", "ask", reason=str(error))
    try:
        if api is None:
            raise Rejected(f"source {job.tenant} has no credentials of its API in its options")
        if job.kind == "notice":
            return _write_back(job, asks, api)
        return _question(job, asks, api, ends) if job.kind == "question" else _event(job, asks, api)
    except ConnectorError as error:
        return _failed(job, error)
    except (StoreError, StoreUnavailable) as error:
        return _failed(job, Unavailable(f"the store did not answer ({type(error).__name__}); it is asked again"))
    except Exception as error:  # a defect in a source must not stop the others
        log.exception("a source cannot be asked", extra={"shop": job.shop, "source": job.account})
        return Change(job.id, "held", "ask", reason=f"it cannot be asked ({type(error).__name__}: {error})")


def _failed(job: Job, error: ConnectorError) -> Change:
    """Nothing was changed by asking, so it is asked again; what a person must put right is held."""
    detail: dict[str, Any] = {"error": type(error).__name__, "status": error.status}
    spent = job.attempts >= runtime.config().billhook.timing.attempts and job.kind != "question"
    if isinstance(error, Rejected | Unauthorized) or spent:
        return Change(job.id, "held", "ask", reason=error.message, detail=detail)
    wait = timedelta(seconds=error.retry_after) if error.retry_after else delay(job.attempts)
    return Change(
        job.id, "retry", "ask", due_at=jobs.now() + wait, reason=error.message, detail=detail,
        tried=not isinstance(error, Throttled),
    )  # fmt: skip


def _event(job: Job, asks: Source, api: Api) -> Change:
    """What the event points to enters as events of its own."""
    row = next(iter(Inbox(runtime.inbox()).load([job.id])), None)
    if row is None:
        return Change(job.id, "held", "ask", reason="its body is no longer in the inbox")
    delivery = Delivery(row.event_id, row.topic, row.received_at, row.label or None)
    found = asks.fetch(api, delivery, row.body)
    new = _keep(job, asks, found)
    return Change(job.id, "done", "ask", detail={"found": len(found), "new": new})


def _write_back(job: Job, asks: Source, api: Api) -> Change:
    """The shop's order shows its invoice. Doing it again changes nothing, so nothing is committed before; what has
    changed while it was written is written, too."""
    written, told = None, _told(job)
    while told != written:
        testpoints.point("before_write_back")
        noted = asks.write_back(api, told)
        testpoints.point("after_write_back")
        written, told = told, _told(job)
    detail = {
        "invoice": told.number,
        "effect": "written to the shop's order" if noted else "the shop has no place for it",
    }
    return Change(job.id, "done", "write_back", detail=detail)


def _told(job: Job) -> Posted:
    with runtime.store().read() as connection:
        fields = posted(connection, job.id)
    of = fields.pop("of", None)
    return Posted(**fields, of=Posted(**of) if of else None)


def _question(job: Job, asks: Source, api: Api, ends: float) -> Change:
    """What was missed, page by page, and news of parcels; then it waits for its next time."""
    found = new = 0
    more = True
    while more and time.monotonic() < ends:
        with runtime.store().read() as connection:
            where = questions.cursor(connection, job.shop, job.account)
        page = asks.pull(api, where, jobs.now())
        if page is None:
            more = False
            break
        new += _keep(job, asks, page.found)
        found += len(page.found)
        testpoints.point("page_kept")
        if page.cursor != where:
            with runtime.store().write() as connection:
                questions.move_on(connection, job.shop, job.account, page.cursor)
        more = page.more
    tracked, fresh = _tracked(job, asks, api)
    every = timedelta(seconds=runtime.config().shop[job.shop].source[job.account].ask_every)
    due = jobs.now() + (timedelta(0) if more else every)
    detail: dict[str, Any] = {"found": found + tracked, "new": new + fresh}
    if woken := _woken(job, asks, api):
        detail["webhooks"] = woken
    return Change(job.id, "pending", "ask", due_at=due, detail=detail, anew=True)


def _woken(job: Job, asks: Source, api: Api) -> list[str]:
    """What the trail says of webhooks that were switched off. That nobody may look must not stop the questions."""
    try:
        return list(asks.wake(api))
    except ConnectorError as error:
        log.warning("its webhooks cannot be looked at", extra={"shop": job.shop, "source": job.account})
        return [f"whether its webhooks were switched off is not known: {error.message}"]


def _tracked(job: Job, asks: Source, api: Api) -> tuple[int, int]:
    """News of parcels whose orders have no invoice yet: how many, and how many of them are new."""
    with runtime.store().read() as connection:
        parcels = questions.open_parcels(connection, job.shop, job.account, PARCELS)
    if not parcels:
        return 0, 0
    found = asks.track(api, [Parcel(number, carrier) for _, number, carrier in parcels])
    if found is None:
        return 0, 0
    new = _keep(job, asks, found)
    with runtime.store().write() as connection:
        questions.asked(connection, job.account, [row_id for row_id, _, _ in parcels])
    return len(found), new


def _keep(job: Job, asks: Source, found: Sequence[Found]) -> int:
    """Puts what was found into the inbox, as if it had been sent; returns how much of it is new there."""
    if not found:
        return 0
    arrivals = [
        Arrival(job.shop, job.account, one.delivery.id, asks.kind, one.delivery.type, one.delivery.order_ref or "",
                one.body)
        for one in found
    ]  # fmt: skip
    new = Inbox(runtime.inbox()).keep(arrivals)
    if new:
        bells.ring_events(new)
    return len(new)
