"""Events become orders and intents.

inbox → job rows (claimed at once) → normalise by source → orders, intents, trail and "event done" in one commit.
Killed anywhere, nothing is lost: until the last commit the lease runs out and the event is handled again, and
what it creates is created once by its keys.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from connectors.sources.base import Look, MalformedBody, NotInvoiceable
from connectors.sources.delivery import Delivery
from tasks.deciding import Deciding, rings
from tasks.placing import Handled, placed
from worker import bells, logs, metrics, runtime, testpoints
from worker.app import HANDLE_EVENTS, actor, celery
from worker.gate import Gate
from worker.leases import lease
from worker.routing import asks
from worker.shutdown import stopping
from worker.sources import api_of, source_of
from worker.store import jobs, questions
from worker.store.engine import KeyTaken, StoreError
from worker.store.events import no_invoice_yet, take_in
from worker.store.inbox import Held, Inbox
from worker.store.jobs import Change, Job
from worker.store.matching import wake

log = logging.getLogger(__name__)
BATCH = 500
"""Most events of one turn that are new."""
AGAIN = 100
"""Most events of one turn that were handled before, and are due again."""
TURN_SECONDS = 20.0
POINT = "point"
"""What the trail says of an event that only says where to look: its source is asked."""


_gate = Gate(each=1, together=1)
"""One task of a process takes whatever is in the inbox, so that batches form by themselves."""


@celery.task(name=HANDLE_EVENTS)
def handle_events(ids: Sequence[str] = ()) -> dict[str, int]:
    """Handles what is in the inbox and what is due. `ids` are for the reader. Returns counts, for Flower."""
    counts: Counter[str] = Counter()
    until = time.monotonic() + TURN_SECONDS
    with _gate.enter("events") as stay:
        while stay is not None and not stopping():
            if time.monotonic() > until:
                bells.ring_events(ids)
                break
            did = _turn()
            if did is None and not stay():
                break
            counts += did or Counter()
    return dict(counts)


@runtime.turn()
def _turn() -> Counter[str] | None:
    """One batch: what is new in the inbox, else what is due again. None when there is neither."""
    inbox = Inbox(runtime.inbox())
    owner = jobs.new_owner(runtime.process_name())
    rows = inbox.waiting(BATCH, jobs.now())
    with runtime.store().write() as connection:
        held = take_in(connection, rows, owner=owner, lease=lease(), actor=actor())
        held += jobs.claim(
            connection, queue="events", kinds=("event",), tenant="", limit=AGAIN, owner=owner, lease=lease(),
            actor=actor(), turn=time.monotonic_ns() // 1000,
        )  # fmt: skip
    inbox.mark_taken([row.id for row in rows])
    testpoints.point("events_claimed")
    if not held:
        return Counter() if rows else None
    known = {row.id: row for row in rows}
    missing = [job.id for job in held if job.id not in known]
    known |= {row.id: row for row in inbox.load(missing)}
    batch = [_read(job, known.get(job.id)) for job in held]
    counts, rung = _commit(batch, owner)
    for tenant, (names, labels) in rung.items():
        bells.ring_invoices(tenant, names, labels)
    return counts


def _read(job: Job, row: Held | None) -> Handled:
    if row is None:
        return Handled(job, None, problem="its body is no longer in the inbox")
    if row.shop not in runtime.config().shop:
        return Handled(job, row, problem=f"the configuration has no shop {row.shop!r} any more")
    delivery = Delivery(row.event_id, row.topic, row.received_at, row.label or None)
    try:
        said = source_of(row.shop, row.source, row.kind).normalise(delivery, row.body)
        return Handled(job, row, look=True) if isinstance(said, Look) else Handled(job, row, event=said)
    except NotInvoiceable as error:
        if error.type is not None and not asks(error.type, runtime.config().shop[row.shop].triggers):
            return Handled(job, row)
        identity = (row.shop, row.source, error.order_id) if error.order_id else None
        return Handled(job, row, problem=error.reason, hold_unless_invoiced=identity)
    except (MalformedBody, LookupError) as error:
        return Handled(job, row, problem=f"{error}")


Rings = dict[str, tuple[list[str], list[str]]]


def _commit(batch: Sequence[Handled], owner: str) -> tuple[Counter[str], Rings]:
    """Commits a batch; one that fails is repeated one by one, so that one bad event spoils only itself."""
    for again in (True, False):
        try:
            return _record(batch, owner)
        except KeyTaken:
            if again:
                continue  # another batch took a reference meanwhile: now it is seen
        except StoreError as error:
            if len(batch) == 1:
                raise
            log.warning("a batch of %d events failed (%s), now one by one", len(batch), type(error).__name__)
        except Exception as error:  # a defect that one event brings out must not stop the others
            if len(batch) == 1:
                log.exception("an event cannot be handled", extra=logs.row(batch[0].job))
                problem = f"it cannot be handled ({type(error).__name__}: {error})"
                return _record([replace(batch[0], event=None, problem=problem)], owner)
            log.warning("a batch of %d events failed (%s), now one by one", len(batch), type(error).__name__)
        break
    counts: Counter[str] = Counter()
    rung: Rings = {}
    for each in batch:
        did, theirs = _commit([each], owner)
        counts += did
        rung |= theirs
    return counts, rung


def _record(batch: Sequence[Handled], owner: str) -> tuple[Counter[str], Rings]:
    held = {each.job.id: each.job for each in batch}
    with runtime.store().write() as connection:
        found = placed(connection, batch)
        deciding = Deciding(connection, found, batch)
        changes = [deciding.decide(each) for each in batch if each.job.id in found.orders]
        changes += [*found.unplaced, *_untold(connection, batch)]
        deciding.record()
        pointing = {c.id: f"{held[c.id].shop}/{held[c.id].account}" for c in changes if c.action == POINT}
        questions.point(connection, pointing)
        testpoints.point("events_before_commit")
        mine = jobs.settle(connection, held, changes, owner=owner, actor=runtime.process_name())
        woken = wake(connection, [*found.names, *deciding.names])
    testpoints.point("events_after_commit")
    for tenant in sorted(set(pointing.values())):
        bells.ring_sources(tenant)
    recorded = [change for change in changes if change.id in mine]
    metrics.settled(held, recorded)
    logs.outcomes(log, held, recorded)
    counts = Counter(change.state for change in changes)
    counts["invoices_due"] = len(deciding.created)
    counts["woken"] = woken
    return counts, rings(deciding.due)


def _untold(connection: Any, batch: Sequence[Handled]) -> list[Change]:
    """Events that tell nothing: stored and shown, or held with the reason."""
    untold = [each for each in batch if each.event is None]
    waiting = no_invoice_yet(connection, [e.hold_unless_invoiced for e in untold if e.hold_unless_invoiced])
    return [_told_nothing(each, waiting) for each in untold]


def _told_nothing(each: Handled, waiting: set[tuple[str, str, str]]) -> Change:
    if each.look and api_of(each.job.shop, each.job.account) is None:
        reason = (
            f"it only says where to look: give source {each.job.account} credentials of its API, then `billhook retry`"
        )
        return Change(each.job.id, "held", "handle", reason=reason)
    if each.look:
        return Change(each.job.id, "pending", POINT, due_at=jobs.now(), tried=False)
    if each.problem is None:
        return Change(each.job.id, "done", "handle", detail={"effect": "kept for the record"})
    if each.hold_unless_invoiced is not None and each.hold_unless_invoiced not in waiting:
        return Change(each.job.id, "done", "handle", detail={"effect": "its order is invoiced", "said": each.problem})
    return Change(each.job.id, "held", "handle", reason=each.problem)
