"""What a customer is told of an invoice: who is to be told, with what, and under which message id.

A notice is one row of the job machinery; its id is the job's id, unique for ever per invoice, channel and purpose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
from sqlalchemy import Connection, select

from connectors.model import InvoiceDraft
from worker.store.documents import store_sighting
from worker.store.ids import new_id
from worker.store.jobs import Change, Job, now, sending, settle
from worker.store.rows import among, insert_new, insert_rows, update_rows
from worker.store.schema import documents, invoices, jobs, notices, orders
from worker.store.trail import Entry, append

ACTOR = "create_invoices"
QUEUE = "notify"


@dataclass(frozen=True)
class Wanted:
    """A customer is to be told of an invoice, or the shop that the order comes from; `label` is what people call the
    order. `tenant`: whose turn it is within the queue, where that is not the channel's."""

    invoice_id: str
    shop: str
    account: str
    order_id: str
    label: str
    channel: str = "email"
    purpose: str = "invoice"
    queue: str = QUEUE
    tenant: str = ""

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.invoice_id, self.channel, self.purpose


def intend(connection: Connection, wanted: Sequence[Wanted]) -> list[str]:
    """Creates the notices that do not exist yet, due at once. Returns the new ones' ids."""
    by_identity = {one.identity: one for one in wanted}
    rows = [
        {"id": new_id(), **dict(zip(("invoice_id", "channel", "purpose"), identity, strict=True))}
        for identity in sorted(by_identity)
    ]
    if not rows:
        return []
    created = insert_new(connection, notices, rows, ("invoice_id", "channel", "purpose"))
    new = [
        (row["id"], by_identity[row["invoice_id"], row["channel"], row["purpose"]])
        for row in rows
        if row["id"] in created
    ]
    if not new:
        return []
    at = now()
    insert_rows(connection, jobs, [_job_row(notice_id, one, at) for notice_id, one in new])
    append(connection, (_intended(notice_id, one) for notice_id, one in new))
    return [notice_id for notice_id, _ in new]


def _job_row(notice_id: str, wanted: Wanted, at: datetime) -> dict[str, object]:
    return {
        "id": notice_id,
        "kind": "notice",
        "queue": wanted.queue,
        "tenant": wanted.tenant or wanted.channel,
        "shop": wanted.shop,
        "account": wanted.account,
        "order_id": wanted.order_id,
        "label": wanted.label,
        "state": "pending",
        "due_at": at,
        "created_at": at,
        "changed_at": at,
    }


def _intended(notice_id: str, wanted: Wanted) -> Entry:
    detail = {"invoice": wanted.invoice_id, "channel": wanted.channel, "purpose": wanted.purpose}
    return Entry(wanted.shop, wanted.order_id, f"notice:{notice_id}", 0, "intend", "pending", ACTOR, detail)


@dataclass(frozen=True, slots=True)
class NoticeWork:
    """A claimed notice with everything its message needs."""

    job: Job
    purpose: str
    draft: InvoiceDraft
    number: str
    """The invoice's number on the platform; our reference where the platform gave it none."""
    url: str | None
    """Where the customer can see and pay it."""
    invoice_state: str
    email: str | None
    """The customer's address as the shop tells it now: one that was corrected since counts."""

    @property
    def id(self) -> str:
        return self.job.id


def load(connection: Connection, claimed: Sequence[Job]) -> list[NoticeWork]:
    """The claimed notices with what they tell of, in the same order, in one query."""
    if not claimed:
        return []
    invoice_job = jobs.alias("invoice_job")
    query = (
        select(
            notices.c.id, notices.c.purpose, documents.c.draft, documents.c.remote_number, documents.c.remote_url,
            invoice_job.c.state, orders.c.document,
        )
        .join(documents, documents.c.id == notices.c.invoice_id)
        .join(invoices, invoices.c.id == notices.c.invoice_id)
        .join(invoice_job, invoice_job.c.id == notices.c.invoice_id)
        .outerjoin(orders, orders.c.id == invoices.c.order_id)
        .where(among(connection, notices.c.id, [job.id for job in claimed]))
    )  # fmt: skip
    rows = {row.id: row for row in connection.execute(query)}
    found = []
    for job in claimed:
        row = rows[job.id]
        draft = InvoiceDraft.model_validate_json(row.draft)
        told = (orjson.loads(row.document).get("customer") or {}) if row.document is not None else {}
        found.append(
            NoticeWork(
                job=job,
                purpose=row.purpose,
                draft=draft,
                number=row.remote_number or draft.reference,
                url=row.remote_url,
                invoice_state=row.state,
                email=told.get("email") or draft.customer.email,
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Told:
    """How a notice ended. `message_id`: what the channel knows the message by; only where it was sent."""

    change: Change
    message_id: str | None = None


def record(
    connection: Connection, held: Mapping[str, Job], told: Sequence[Told], *, owner: str, actor: str
) -> set[str]:
    """Records how notices under this owner's lease ended; returns the ids for which it was recorded.

    A message that was sent for a row which is no longer the owner's leaves a sighting, so that the person who decides
    about the held row sees that it did go out.
    """
    mine = settle(connection, dict(held), [one.change for one in told], owner=owner, actor=actor)
    strays = {one.change.id: one.message_id for one in told if one.message_id and one.change.id not in mine}
    if not strays:
        return mine
    done = select(jobs.c.id).where(jobs.c.id.in_(list(strays)), jobs.c.state == "done")
    ours = set(connection.execute(done).scalars())  # our own outcome; only the answer to its COMMIT was lost
    for job_id, message_id in strays.items():
        if job_id not in ours:
            store_sighting(connection, held[job_id], message_id, actor)
    return mine | ours


def about_to_send(
    connection: Connection, works: Sequence[NoticeWork], message_ids: Mapping[str, str], *, owner: str, actor: str,
    lease: timedelta,
) -> set[str]:  # fmt: skip
    """Commits that these messages are about to leave, with their message ids, under a fresh lease.

    Returns the ids that are still the owner's; the others must not be sent.
    """
    if not works:
        return set()
    details = {work.id: {"message_id": message_ids[work.id], "attempt": work.job.attempts} for work in works}
    mine = sending(connection, [work.job for work in works], owner=owner, lease=lease, actor=actor, details=details)
    update_rows(connection, notices, [{"id": job_id, "message_id": message_ids[job_id]} for job_id in mine])
    return set(mine)
