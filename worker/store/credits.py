"""Credit notes on their way: which invoices there are to be credited, what is due, and what becomes of the invoice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, literal, select, update

from connectors.model import InvoiceDraft
from worker.store.ids import new_id
from worker.store.intents import short_hash
from worker.store.jobs import now
from worker.store.rows import among, among_keys, insert_new, insert_rows
from worker.store.schema import documents, invoices, jobs
from worker.store.trail import Entry, append

ACTOR = "handle_events"
GONE = frozenset(("void", "credited"))
"""States of an invoice of which nothing is left to be given back."""


@dataclass(slots=True)
class Invoiced:
    """An invoice of an order, with what was given back of it so far."""

    id: str
    shop: str
    account: str
    tenant: str
    queue: str
    order_id: str
    label: str
    part: str
    revision: int
    reference: str
    customer_id: str
    state: str
    draft: InvoiceDraft
    notes: dict[str, InvoiceDraft] = field(default_factory=dict)
    """Its credit notes by what they are for (their part), whatever became of them."""

    @property
    def left(self) -> Decimal:
        """Of its total, in its currency."""
        if self.state in GONE:
            return Decimal(0)
        return self.draft.total - sum((note.total for note in self.notes.values()), Decimal(0))


_COLUMNS = (
    *(jobs.c[name] for name in ("id", "shop", "account", "tenant", "queue", "order_id", "label", "state")),
    *(invoices.c[name] for name in ("part", "revision", "reference", "customer_id", "kind", "credits")),
    documents.c.draft,
)


def load_invoiced(connection: Connection, order_ids: Iterable[str]) -> dict[str, list[Invoiced]]:
    """By order id, its invoices in the order they were made. The orders must be locked."""
    wanted = sorted(set(order_ids))
    found: dict[str, list[Invoiced]] = defaultdict(list)
    if not wanted:
        return found
    query = (
        select(*_COLUMNS)
        .join(jobs, jobs.c.id == invoices.c.id)
        .join(documents, documents.c.id == invoices.c.id)
        .where(among(connection, invoices.c.order_id, wanted))
        .order_by(invoices.c.id)
    )
    rows = connection.execute(query).all()
    by_id = {row.id: _invoiced(row) for row in rows if row.kind == "invoice"}
    for row in rows:
        if row.kind == "credit":
            by_id[row.credits].notes[row.part] = InvoiceDraft.model_validate_json(row.draft)
    for each in by_id.values():
        found[each.order_id].append(each)
    return found


def _invoiced(row: Row[Any]) -> Invoiced:
    same = {name: getattr(row, name) for name in Invoiced.__slots__ if name not in ("draft", "notes")}
    return Invoiced(**same, draft=InvoiceDraft.model_validate_json(row.draft))


@dataclass(frozen=True, slots=True)
class Note:
    """A credit note that is due. `part`: what it is for, the same for ever; `draft`: without key and reference."""

    invoice: Invoiced
    part: str
    draft: InvoiceDraft
    identity: tuple[str, str]
    """Of the order: source and the source's id of it."""
    number: int
    """Of the note among those of its invoice, from 1 on."""
    longest: int
    """Characters that the platform's reference has room for."""
    accepted_at: datetime

    @property
    def business_key(self) -> tuple[str, str, str, str, str, int]:
        one = self.invoice
        return one.shop, one.account, one.order_id, self.part, "credit", one.revision

    @property
    def key(self) -> str:
        """As an invoice's: from the order's immutable identity."""
        one = self.invoice
        return "bh-" + short_hash(one.shop, one.account, *self.identity, self.part, "credit", one.revision)

    def reference(self, *, plain: bool) -> str:
        """The invoice's with the number of the note; not `plain`: and a mark of its own, where another has that."""
        mark = f"C{self.number}" if plain else f"C{self.number}-{short_hash(self.key)[:5]}"
        return f"{self.invoice.reference[: self.longest - len(mark) - 1]}-{mark}"


def record_notes(connection: Connection, notes: Sequence[Note]) -> list[str]:
    """Creates the credit notes that do not exist yet, due as soon as their invoice is issued. Returns their ids."""
    if not notes:
        return []
    named = _named(connection, notes)
    rows = [_invoice_row(note, named[note.business_key]) for note in notes]
    created = insert_new(connection, invoices, rows, ("shop", "account", "order_id", "part", "kind", "revision"))
    pairs = [(str(row["id"]), note) for row, note in zip(rows, notes, strict=True) if row["id"] in created]
    if not pairs:
        return []
    at = now()
    drafts = {
        job_id: note.draft.model_copy(update={"key": note.key, "reference": named[note.business_key]})
        for job_id, note in pairs
    }
    insert_rows(
        connection,
        documents,
        [{"id": job_id, "key": draft.key, "draft": draft.model_dump_json()} for job_id, draft in drafts.items()],
    )
    insert_rows(connection, jobs, [_job_row(job_id, note, at) for job_id, note in pairs])
    append(connection, [_intended(job_id, note, drafts[job_id]) for job_id, note in pairs])
    return [job_id for job_id, _ in pairs]


def _named(connection: Connection, notes: Sequence[Note]) -> dict[tuple[str, str, str, str, str, int], str]:
    wanted = {(note.invoice.tenant, note.reference(plain=True)) for note in notes}
    columns = (invoices.c.tenant, invoices.c.reference)
    query = select(*columns).where(among_keys(connection, columns, wanted), invoices.c.kind == "invoice")
    taken = {(row.tenant, row.reference) for row in connection.execute(query)}
    return {
        note.business_key: note.reference(plain=(note.invoice.tenant, note.reference(plain=True)) not in taken)
        for note in notes
    }


def _invoice_row(note: Note, reference: str) -> dict[str, object]:
    return {
        "id": new_id(),
        **dict(zip(("shop", "account", "order_id", "part", "kind", "revision"), note.business_key, strict=True)),
        "tenant": note.invoice.tenant,
        "reference": reference,
        "customer_id": note.invoice.customer_id,
        "currency": note.draft.currency,
        "total": note.draft.total,
        "event_at": note.accepted_at,
        "credits": note.invoice.id,
    }


def _job_row(job_id: str, note: Note, at: datetime) -> dict[str, object]:
    issued = note.invoice.state == "issued"
    return {
        "id": job_id,
        "kind": "credit",
        **{name: getattr(note.invoice, name) for name in ("queue", "tenant", "shop", "account", "order_id", "label")},
        "state": "pending",
        "due_at": at if issued else None,
        "waits_for": None if issued else note.invoice.id,
        "created_at": at,
        "changed_at": at,
    }


def _intended(job_id: str, note: Note, draft: InvoiceDraft) -> Entry:
    one = note.invoice
    detail = {
        "key": draft.key,
        "reference": draft.reference,
        "account": one.account,
        "total": f"{draft.total} {draft.currency}",
        "credits": one.reference,
        "for": note.part,
    }
    return Entry(one.shop, one.order_id, f"credit:{job_id}", 0, "intend", "pending", ACTOR, detail)


def release(connection: Connection) -> int:
    """Credit notes whose invoice has been issued meanwhile become due; returns how many."""
    issued = select(jobs.c.id).where(jobs.c.state == "issued", jobs.c.kind == "invoice").correlate(None)
    waiting = (jobs.c.kind == "credit") & jobs.c.waits_for.is_not(None)
    due = (jobs.c.state == "pending") & jobs.c.waits_for.in_(issued)
    query = update(jobs).where(waiting, due).values(waits_for=None, due_at=literal(now(), jobs.c.due_at.type))
    return connection.execute(query).rowcount


def waiting(connection: Connection) -> bool:
    """Whether any credit note waits for its invoice."""
    query = select(jobs.c.id).where(jobs.c.kind == "credit", jobs.c.waits_for.is_not(None)).limit(1)
    return connection.execute(query).first() is not None


def close(connection: Connection, settled: Mapping[str, str], actor: str) -> list[str]:
    """What becomes of the invoices of these credit notes (by id, with the state each has now: issued, or done where the
    invoice was voided instead): void, or credited once all of it is given back. Returns the invoices' ids."""
    if not settled:
        return []
    mine = select(invoices.c.credits).where(among(connection, invoices.c.id, list(settled)))
    note, note_job = invoices.alias("note"), jobs.alias("note_job")
    query = (
        select(invoices.c.id, invoices.c.total, note.c.id.label("note_id"), note.c.total.label("given_back"))
        .join(note, note.c.credits == invoices.c.id)
        .join(note_job, note_job.c.id == note.c.id)
        .where(invoices.c.id.in_(mine), note_job.c.state.in_(("issued", "done")))
    )
    left: dict[str, Decimal] = {}
    voided: set[str] = set()
    for row in connection.execute(query):
        left[row.id] = left.get(row.id, row.total) - row.given_back
        voided |= {row.id} if settled.get(row.note_id) == "done" else set()
    ended = {ident: "void" if ident in voided else "credited" for ident, rest in left.items() if rest <= 0}
    for state in ("void", "credited"):
        _end(connection, [ident for ident, end in ended.items() if end == state], state, actor)
    return list(ended)


def _end(connection: Connection, ids: Sequence[str], state: str, actor: str) -> None:
    if not ids:
        return
    query = (
        update(jobs)
        .where(among(connection, jobs.c.id, ids), jobs.c.state == "issued", jobs.c.lease_owner.is_(None))
        .values(state=state, seq=jobs.c.seq + 1, changed_at=now())
        .returning(jobs.c.id, jobs.c.shop, jobs.c.order_id, jobs.c.seq)
    )
    changed = connection.execute(query).all()
    append(connection, (Entry(r.shop, r.order_id, f"invoice:{r.id}", r.seq, state, state, actor, {}) for r in changed))


@dataclass(frozen=True, slots=True)
class Replaced:
    """An invoice that was given back to be made anew."""

    order_id: str
    shop: str
    account: str
    part: str
    revision: int


def replaced(connection: Connection, ended: Sequence[str], part: str) -> list[Replaced]:
    """Of the invoices that have ended (by id) those of which a credit note's part begins with `part`."""
    if not ended:
        return []
    note = invoices.alias("note")
    columns = [invoices.c[name] for name in Replaced.__slots__]
    query = (
        select(*columns)
        .join(note, note.c.credits == invoices.c.id)
        .where(among(connection, invoices.c.id, ended), note.c.part.startswith(part, autoescape=True))
        .order_by(invoices.c.id)
    )
    return [Replaced(*row) for row in connection.execute(query)]
