"""Customers, invoices and credit notes on their way to a platform: what was sent, under which key, what came of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

import orjson
from pydantic import TypeAdapter
from sqlalchemy import Connection, Update, case, func, literal, select, update

from connectors.model import InvoiceDraft
from connectors.platforms.documents import CustomerDraft, Plan, PlannedInvoice, Request
from worker.store.ids import new_id
from worker.store.jobs import Job, now
from worker.store.rows import among, given_for, packed, update_rows, upsert
from worker.store.schema import bulks, documents, invoices, jobs, sightings
from worker.store.trail import Entry, append

log = logging.getLogger(__name__)

_PLAN: TypeAdapter[Plan] = TypeAdapter(Plan)
DOUBTS = 2
"""After so many doubts about one generation a call is no longer repeated under its key, but looked up."""


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed customer, invoice or credit note with everything its next call needs."""

    job: Job
    draft: CustomerDraft | PlannedInvoice
    plan: Plan | None
    generation: int
    made: dict[str, str]
    replays: int
    first_sent_at: datetime | None
    last_possible_send: datetime | None
    bulk_id: str | None
    bulk_limit: int | None
    document: Any = None
    """What a look-up of this turn found of it."""
    found: str | None = None
    """What the look-up of this turn said, for the trail."""
    credited_id: str | None = None
    """Of a credit note: the remote id of its invoice."""

    @property
    def id(self) -> str:
        return self.job.id

    @property
    def invoice(self) -> InvoiceDraft | None:
        return self.draft.draft if isinstance(self.draft, PlannedInvoice) else None

    def step_key(self, step: str) -> str:
        """The idempotency key of a step in this generation."""
        return f"{self.draft.key}-{step}-{self.generation}"


def load_work(connection: Connection, claimed: Sequence[Job]) -> list[Work]:
    """The claimed rows with their drafts, in the same order, in one query."""
    if not claimed:
        return []
    customer, credited = documents.alias("customer"), documents.alias("credited")
    query = (
        select(
            documents,
            customer.c.remote_id.label("customer_remote_id"),
            credited.c.remote_id.label("credited_remote_id"),
        )
        .select_from(
            documents.outerjoin(invoices, invoices.c.id == documents.c.id)
            .outerjoin(customer, customer.c.id == invoices.c.customer_id)
            .outerjoin(credited, credited.c.id == invoices.c.credits)
        )
        .where(among(connection, documents.c.id, [job.id for job in claimed]))
    )
    rows = {row.id: row for row in connection.execute(query)}
    return [_work(job, rows[job.id]) for job in claimed]


def _work(job: Job, row: Any) -> Work:
    draft: CustomerDraft | PlannedInvoice
    if job.kind in ("invoice", "credit"):
        invoice = InvoiceDraft.model_validate_json(row.draft)
        draft = PlannedInvoice(draft=invoice, customer_id=row.customer_remote_id)
    else:
        draft = CustomerDraft.model_validate_json(row.draft)
    return Work(
        job=job,
        draft=draft,
        plan=_PLAN.validate_json(row.plan) if row.plan is not None else None,
        generation=row.generation,
        made=orjson.loads(row.made),
        replays=row.replays,
        first_sent_at=row.first_sent_at,
        last_possible_send=row.last_possible_send,
        bulk_id=row.bulk_id,
        bulk_limit=row.bulk_limit,
        credited_id=row.credited_remote_id,
    )


@dataclass(frozen=True, slots=True)
class Bulk:
    """A packed call: its key, its members in order, its bytes."""

    id: str
    members: tuple[str, ...]
    request: Request


def load_bulks(connection: Connection, ids: Iterable[str]) -> dict[str, Bulk]:
    """The bulks of these ids."""
    wanted = list(ids)
    found = connection.execute(select(bulks).where(bulks.c.id.in_(wanted))) if wanted else ()
    return {
        row.id: Bulk(row.id, tuple(orjson.loads(row.members)), Request.model_validate_json(row.request))
        for row in found
    }


def store_bulk(connection: Connection, tenant: str, bulk: Bulk) -> None:
    """Stores a bulk with its members' "sending"; one that is there already stays."""
    row = {
        "id": bulk.id,
        "tenant": tenant,
        "members": orjson.dumps(list(bulk.members)).decode(),
        "request": bulk.request.model_dump_json(),
        "first_sent_at": now(),
    }
    connection.execute(upsert(connection, bulks).on_conflict_do_nothing(index_elements=["id"]), [row])


def dump_plan(plan: Plan) -> str:
    """A plan as stored text."""
    return _PLAN.dump_json(plan).decode()


def store_sent(connection: Connection, sent: Sequence[Work], last_possible_send: datetime) -> None:
    """Key and body are older than the call: generation, bytes and progress, committed with "sending"."""
    rows = [
        {
            "id": work.id,
            "plan": dump_plan(work.plan or ()),
            "generation": work.generation,
            "made": orjson.dumps(work.made).decode(),
            "replays": work.replays,
            "first_sent_at": work.first_sent_at,
            "last_possible_send": last_possible_send,
            "bulk_id": work.bulk_id,
        }
        for work in sent
    ]
    update_rows(connection, documents, rows)


@dataclass(frozen=True, slots=True)
class Progress:
    """What a call changed about a document. `last_possible_send` None leaves it as it is."""

    id: str
    made: Mapping[str, str]
    replays: int
    last_possible_send: datetime | None = None
    bulk_id: str | None = None
    bulk_limit: int | None = None
    remote_id: str | None = None
    number: str | None = None
    url: str | None = None
    total: Decimal | None = None


def store_progress(connection: Connection, progress: Sequence[Progress]) -> None:
    """Records what calls changed, set-based."""
    if not progress:
        return
    rows = [
        {
            "id": p.id,
            "made": orjson.dumps(dict(p.made)).decode(),
            "replays": p.replays,
            "last_possible_send": p.last_possible_send,
            "bulk_id": p.bulk_id,
            "bulk_limit": p.bulk_limit,
            "remote_id": p.remote_id,
            "remote_number": p.number,
            "remote_url": p.url,
        }
        for p in progress
    ]
    connection.execute(_progress(tuple(rows[0]), connection.dialect.name), packed(connection, rows))


def lock_customers(connection: Connection, ids: Sequence[str]) -> None:
    """Locks customers' documents in the order in which new invoices lock them, so that neither waits for the other."""
    if ids and connection.dialect.name != "sqlite":
        here = among(connection, documents.c.id, ids)
        connection.execute(select(documents.c.id).where(here).order_by(documents.c.id).with_for_update())


@cache
def _progress(names: tuple[str, ...], dialect: str) -> Update:
    told = given_for(documents, names, dialect)
    values: dict[str, Any] = {name: told.c[name] for name in names if name != "id"}
    values["last_possible_send"] = func.coalesce(told.c.last_possible_send, documents.c.last_possible_send)
    return update(documents).where(documents.c.id == told.c.id).values(values)


def store_issued(connection: Connection, issued: Sequence[Progress]) -> None:
    """The invoices' own record of having been issued."""
    at = now()
    update_rows(connection, invoices, [{"id": p.id, "remote_total": p.total, "issued_at": at} for p in issued])


def release_waiting(connection: Connection, done: Sequence[str]) -> int:
    """Invoices that waited for these customers are due now; those that are held wait for nothing else any more.

    Returns how many.
    """
    if not done:
        return 0
    query = (
        update(jobs)
        .where(among(connection, jobs.c.waits_for, done))
        .values(
            waits_for=None, due_at=case((jobs.c.state == "pending", literal(now(), jobs.c.due_at.type)), else_=None)
        )
        .execution_options(synchronize_session=False)
    )
    return connection.execute(query).rowcount


def store_sighting(connection: Connection, job: Job, remote_id: str, actor: str) -> None:
    """A remote id for a row that is no longer the caller's: appended; two ids for one key make it `doubled`.

    If the row's own outcome already holds this id (the answer to a COMMIT was lost), there is nothing to say.
    """
    known = connection.execute(select(documents.c.remote_id).where(documents.c.id == job.id)).scalar()
    if known == remote_id:
        return
    connection.execute(sightings.insert().values(id=new_id(), job_id=job.id, remote_id=remote_id, seen_at=now()))
    bump = update(jobs).where(jobs.c.id == job.id).values(seq=jobs.c.seq + 1).returning(jobs.c.seq, jobs.c.state)
    row = connection.execute(bump).one()
    detail = {"remote_id": remote_id}
    append(connection, [Entry(job.shop, job.order_id, job.subject, row.seq, "sighting", row.state, actor, detail)])
    mark_doubled(connection, [job], actor)


def mark_doubled(connection: Connection, settled: Sequence[Job], actor: str) -> None:
    """Rows for which two different remote ids are known become `doubled`: a person must void one of the two."""
    if not settled:
        return
    seen = (
        select(sightings.c.job_id, sightings.c.remote_id, documents.c.remote_id.label("own"))
        .join(documents, documents.c.id == sightings.c.job_id)
        .where(among(connection, sightings.c.job_id, [job.id for job in settled]))
    )
    ids: dict[str, set[str]] = {}
    for row in connection.execute(seen):
        ids.setdefault(row.job_id, set()).update(filter(None, (row.remote_id, row.own)))
    for job in settled:
        if len(known := sorted(ids.get(job.id, ()))) > 1:
            reason = f"two documents exist for one key: {', '.join(known)}; void one of them on the platform"
            doubled = {"state": "doubled", "due_at": None, "lease_owner": None, "lease_until": None, "reason": reason}
            bump = update(jobs).where(jobs.c.id == job.id).values(seq=jobs.c.seq + 1, changed_at=now(), **doubled)
            seq = connection.execute(bump.returning(jobs.c.seq)).scalar_one()
            entry = Entry(job.shop, job.order_id, job.subject, seq, "doubled", "doubled", actor, {"reason": reason})
            append(connection, [entry])
            told = {"shop": job.shop, "order": job.label, "account": f"{job.shop}/{job.account}", "tenant": job.tenant}
            log.error("invoice doubled", extra=told | {"subject": job.subject, "state": "doubled", "reason": reason})


@dataclass(frozen=True, slots=True)
class StepDone:
    """A step of a plan is done and the next one is about to leave."""

    job: Job
    owner: str
    made: Mapping[str, str]
    step: str
    key: str


def store_steps(connection: Connection, steps: Sequence[StepDone], seqs: Mapping[str, int], actor: str) -> None:
    """Progress within a plan, for the rows that are still their workers' own (`seqs`: their new running numbers)."""
    kept = [step for step in steps if step.job.id in seqs]
    if not kept:
        return
    rows = [{"id": step.job.id, "made": orjson.dumps(dict(step.made)).decode()} for step in kept]
    update_rows(connection, documents, rows)
    append(
        connection,
        (
            Entry(
                s.job.shop, s.job.order_id, s.job.subject, seqs[s.job.id], "step", "sending", actor,
                {"step": s.step, "key": s.key, "made": dict(s.made)},
            )
            for s in kept
        ),
    )  # fmt: skip
