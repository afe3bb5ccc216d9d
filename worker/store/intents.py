"""Intents: the invoices that are due and the customers they need come to be, all of a batch in one transaction.

Everything here is idempotent: unique keys decide, not what was read before.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select

from connectors.model import InvoiceDraft, Order
from connectors.platforms.documents import CustomerDraft
from worker import testpoints
from worker.store.dismissing import needed_again
from worker.store.documents import Progress, store_issued, store_progress
from worker.store.ids import new_id
from worker.store.jobs import now
from worker.store.rows import among_keys, insert_new, insert_rows
from worker.store.schema import customers, documents, invoices, jobs
from worker.store.strangers import Stranger
from worker.store.trail import Entry, append

ACTOR = "handle_events"
SHADOW = "<customer>"
"""Stands for the customer's id where nothing is sent: an invoice for it is rendered and kept, never created."""


def short_hash(*parts: object) -> str:
    """26 characters of base32 that stand for the parts, for ever the same."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return base64.b32encode(digest[:20])[:26].decode().lower()  # five bytes are eight characters


@dataclass(frozen=True, slots=True)
class Intent:
    """An invoice that is due: one order on one account."""

    shop: str
    source: str
    account: str
    tenant: str
    order_id: str
    order: Order
    prefix: str
    """Put before the order's name in the reference."""
    longest: int
    """Characters that the platform's reference has room for."""
    issued_on: datetime
    due_on: datetime
    accepted_at: datetime
    gather_until: datetime
    """Not claimed before: rows gather for a bulk call."""
    one_currency: bool = False
    """On this platform a customer has one currency: who orders in two is two customers."""
    part: str = "order"
    """The whole order; or which part of it `order` is."""
    number: int | None = None
    """Of the part, in the order they were made; None where it is all there is."""
    customer_id: str | None = None
    """The id there of the one customer whom all orders are invoiced to; `SHADOW` where nothing is to be sent."""
    raised: int = 0
    """How many invoices of this are void or credited as a whole."""
    adopted: Stranger | None = None
    """The invoice that exists there already: it is this order's, and nothing is made."""
    adopted_by: str = ACTOR
    """Who says so, for the trail."""

    @property
    def revision(self) -> int:
        """0 until a void or a full credit is recorded."""
        return int(self.accepted_at.timestamp() * 1000) % 10**9 if testpoints.without("unique") else self.raised

    @property
    def business_key(self) -> tuple[str, str, str, str, str, int]:
        return self.shop, self.account, self.order_id, self.part, "invoice", self.revision

    @property
    def key(self) -> str:
        """The opaque business key, from the order's immutable identity: it would survive the loss of this store."""
        return "bh-" + short_hash(
            self.shop, self.account, self.source, self.order.id, self.part, "invoice", self.revision
        )

    @property
    def reference(self) -> str:
        """The order's name behind the shop's prefix, with the number of the part and, where an invoice of it was given
        back, of the revision. One that is too long is shortened, to the same text for ever."""
        number = str(self.number) if self.number is not None else ""
        mark = f"{number}R{self.raised}" if self.raised else number
        if mark:
            return self.marked(mark)
        whole = self.prefix + self.order.ref
        return whole if len(whole) <= self.longest else self.marked(short_hash(self.source, self.order.id)[:8])

    def marked(self, mark: str) -> str:
        """The order's name with a mark at its end, within the platform's length."""
        whole = self.prefix + self.order.ref
        return f"{whole[: self.longest - len(mark) - 1]}-{mark}"

    @property
    def customer_identity(self) -> str:
        """The shop's customer reference, else the normalised e-mail, else this order; with the currency, where a
        customer has one for ever; or the one customer of all orders."""
        if self.customer_id is not None:
            return f"house:{self.customer_id}"
        return f"{self._who}:{self.order.currency}" if self.one_currency else self._who

    @property
    def known_customer(self) -> str | None:
        """The customer's id there, where it is known beforehand."""
        return self.customer_id or (self.adopted.customer_id if self.adopted else None)

    def customer_draft(self) -> CustomerDraft:
        """The order's customer as a draft for the platform."""
        return CustomerDraft(
            key="bhc-" + short_hash(self.tenant, self.customer_identity),
            party=self.order.customer,
            billing_address=self.order.billing_address,
            shipping_address=self.order.shipping_address,
            currency=self.order.currency,
        )

    @property
    def _who(self) -> str:
        party = self.order.customer
        if testpoints.without("one_customer"):
            return f"order:{self.shop}:{self.source}:{self.order.id}"
        if party.ref:
            return f"ref:{self.shop}:{party.ref}"
        if party.email:
            return f"email:{party.email.strip().casefold()}"
        return f"order:{self.shop}:{self.source}:{self.order.id}"


def record_intents(connection: Connection, intents: Sequence[Intent]) -> list[str]:
    """Creates the invoices that do not exist yet, and the customers they need; those that are adopted are issued.
    Returns the new invoices' ids.

    Raises `IntegrityError` when another transaction took a reference at the same moment; repeat the batch.
    """
    fresh = _with_their_customers(connection, _unknown(connection, intents))
    if not fresh:
        return []
    needed = _customers(connection, fresh)
    references = _references(connection, fresh)
    rows = [
        {
            "id": new_id(),
            **dict(zip(("shop", "account", "order_id", "part", "kind", "revision"), intent.business_key, strict=True)),
            "tenant": intent.tenant,
            "reference": references[intent.business_key],
            "customer_id": needed[intent.tenant, intent.customer_identity][0],
            "currency": intent.order.currency,
            "total": intent.order.total,
            "event_at": intent.accepted_at,
        }
        for intent in fresh
    ]
    created = insert_new(connection, invoices, rows, ("shop", "account", "order_id", "part", "kind", "revision"))
    pairs = [(row, intent) for row, intent in zip(rows, fresh, strict=True) if row["id"] in created]
    _insert_invoice_jobs(connection, pairs, needed)
    _record_adopted(connection, [(str(row["id"]), intent.adopted) for row, intent in pairs if intent.adopted])
    return [str(row["id"]) for row, _ in pairs]


def _unknown(connection: Connection, intents: Sequence[Intent]) -> list[Intent]:
    """Those whose business key is not in the store, each once, in a fixed order (two batches lock alike)."""
    by_key = {intent.business_key: intent for intent in intents}
    columns = (
        invoices.c.shop, invoices.c.account, invoices.c.order_id, invoices.c.part, invoices.c.kind, invoices.c.revision
    )  # fmt: skip
    known = connection.execute(select(*columns).where(among_keys(connection, columns, by_key))) if by_key else ()
    for row in known:
        by_key.pop(tuple(row), None)
    return [intent for _, intent in sorted(by_key.items())]


def _with_their_customers(connection: Connection, intents: Sequence[Intent]) -> list[Intent]:
    """An invoice that is adopted stays with the customer it was made for, where the order's is another one there."""
    keys = {(one.tenant, one.customer_identity) for one in intents if one.adopted}
    if not keys:
        return list(intents)
    query = (
        select(customers.c.tenant, customers.c.identity, documents.c.remote_id)
        .join(documents, documents.c.id == customers.c.id)
        .where(among_keys(connection, (customers.c.tenant, customers.c.identity), keys))
    )
    known: dict[tuple[str, str], str | None] = {(row[0], row[1]): row[2] for row in connection.execute(query)}
    placed = []
    for one in intents:
        theirs = one.adopted.customer_id if one.adopted else None
        another = theirs and known.setdefault((one.tenant, one.customer_identity), theirs) != theirs
        placed.append(replace(one, customer_id=theirs) if another else one)
    return placed


def _customers(connection: Connection, intents: Sequence[Intent]) -> dict[tuple[str, str], tuple[str, bool]]:
    """For each (tenant, identity): the customer's job id and whether it is done. New ones become jobs.

    Locks the rows, so that a customer that is being done right now either sees our invoices waiting or is seen done.
    """
    known_last = sorted(intents, key=lambda intent: intent.known_customer is not None)
    by_identity = {(intent.tenant, intent.customer_identity): intent for intent in known_last}
    rows = [{"id": new_id(), "tenant": t, "identity": i} for t, i in sorted(by_identity)]
    created = insert_new(connection, customers, rows, ("tenant", "identity"))
    new = [row for row in rows if row["id"] in created]
    if new:
        _insert_customer_jobs(connection, [(row["id"], by_identity[row["tenant"], row["identity"]]) for row in new])
    query = (
        select(customers.c.id, customers.c.tenant, customers.c.identity, documents.c.remote_id)
        .join(documents, documents.c.id == customers.c.id)
        .where(among_keys(connection, (customers.c.tenant, customers.c.identity), by_identity))
        .order_by(customers.c.id)
        .with_for_update(of=documents)
    )
    rows_found = connection.execute(query).all()
    needed_again(connection, [row.id for row in rows_found if row.remote_id is None and row.id not in created], ACTOR)
    return {(row.tenant, row.identity): (row.id, row.remote_id is not None) for row in rows_found}


def _insert_customer_jobs(connection: Connection, new: Sequence[tuple[str, Intent]]) -> None:
    """Customers to be found or made; one whose id is known beforehand is done already."""
    at = now()
    drafts = {job_id: intent.customer_draft() for job_id, intent in new}
    rows = [
        {
            "id": job_id,
            "key": drafts[job_id].key,
            "draft": drafts[job_id].model_dump_json(),
            "remote_id": intent.known_customer,
        }
        for job_id, intent in new
    ]
    insert_rows(connection, documents, rows)
    job_rows = [_job_row(job_id, "customer", intent, at) | _customer_row(intent, at) for job_id, intent in new]
    insert_rows(connection, jobs, job_rows)
    append(connection, (_intended("customer", job_id, intent, {"key": drafts[job_id].key}) for job_id, intent in new))


def _customer_row(intent: Intent, at: datetime) -> dict[str, object]:
    label = f"customer {intent.customer_id}" if intent.customer_id else intent.order.customer.display_name[:80]
    if intent.known_customer is not None:
        return {"label": label, "state": "done", "due_at": None}
    return {"label": label, "due_at": at}


def _insert_invoice_jobs(
    connection: Connection,
    pairs: Sequence[tuple[dict[str, object], Intent]],
    needed: dict[tuple[str, str], tuple[str, bool]],
) -> None:
    if not pairs:
        return
    at = now()
    job_rows, document_rows, entries = [], [], []
    for row, intent in pairs:
        job_id, reference = str(row["id"]), str(row["reference"])
        customer, done = needed[intent.tenant, intent.customer_identity]
        waiting = {"waits_for": None if done else customer, "due_at": intent.gather_until if done else None}
        if intent.adopted:
            waiting = {"waits_for": None, "due_at": None, "state": "issued"}
        job_rows.append(_job_row(job_id, "invoice", intent, at) | {"order_id": intent.order_id} | waiting)
        draft = draft_of(intent, reference)
        document_rows.append({"id": job_id, "key": draft.key, "draft": draft.model_dump_json()})
        detail = {
            "key": draft.key,
            "reference": reference,
            "account": intent.account,
            "total": f"{intent.order.total} {intent.order.currency}",
        }
        entries.append(_intended("invoice", job_id, intent, detail | _there(intent.adopted)))
    insert_rows(connection, documents, document_rows)
    insert_rows(connection, jobs, job_rows)
    append(connection, entries)


def _job_row(job_id: str, kind: str, intent: Intent, at: datetime) -> dict[str, object]:
    return {
        "id": job_id,
        "kind": kind,
        "queue": "invoices." + intent.tenant.partition(":")[0],
        "tenant": intent.tenant,
        "shop": intent.shop,
        "account": intent.account,
        "order_id": None,
        "label": intent.order.ref,
        "state": "pending",
        "created_at": at,
        "changed_at": at,
    }


def _intended(kind: str, job_id: str, intent: Intent, detail: dict[str, Any]) -> Entry:
    order_id = intent.order_id if kind == "invoice" else None
    actor = intent.adopted_by if intent.adopted else ACTOR
    if kind == "invoice" and intent.adopted:
        return Entry(intent.shop, order_id, f"{kind}:{job_id}", 0, "adopt", "issued", actor, detail)
    state = "done" if kind == "customer" and intent.known_customer is not None else "pending"
    return Entry(intent.shop, order_id, f"{kind}:{job_id}", 0, "intend", state, actor, detail)


def _there(adopted: Stranger | None) -> dict[str, Any]:
    """What the trail says of an invoice that exists already."""
    if adopted is None:
        return {}
    said = {"remote_id": adopted.remote_id, "number": adopted.number, "document": adopted.status}
    return said | {"total_there": adopted.money}


def _record_adopted(connection: Connection, adopted: Sequence[tuple[str, Stranger]]) -> None:
    found = [
        Progress(job_id, {}, 0, remote_id=one.remote_id, number=one.number, url=one.url, total=one.total)
        for job_id, one in adopted
    ]
    store_progress(connection, found)
    store_issued(connection, found)


def draft_of(intent: Intent, reference: str) -> InvoiceDraft:
    """The order as an invoice draft."""
    order = intent.order
    return InvoiceDraft(
        key=intent.key,
        reference=reference,
        order_ref=order.ref,
        currency=order.currency,
        issued_on=intent.issued_on.date(),
        due_on=intent.due_on.date(),
        customer=order.customer,
        billing_address=order.billing_address,
        shipping_address=order.shipping_address,
        tax_included=order.tax_included,
        lines=order.lines,
        discount=order.discount,
        shipping=order.shipping,
        tax_total=Decimal(order.tax_total()),
        total=order.total,
    )


def _references(connection: Connection, intents: Sequence[Intent]) -> dict[tuple[str, str, str, str, str, int], str]:
    """A reference for each: the order's name, unless another order of the tenant has it; then with a stable suffix."""
    wanted = {intent.business_key: (intent.tenant, intent.reference) for intent in intents}
    columns = (invoices.c.tenant, invoices.c.reference)
    taken = {
        (row.tenant, row.reference)
        for row in connection.execute(select(*columns).where(among_keys(connection, columns, set(wanted.values()))))
    }
    chosen: dict[tuple[str, str, str, str, str, int], str] = {}
    for intent in intents:
        tenant, reference = wanted[intent.business_key]
        if (tenant, reference) in taken:
            part = () if intent.part == "order" else (intent.part,)
            reference = intent.marked(short_hash(intent.order_id, *part)[:5])
        taken.add((tenant, reference))
        chosen[intent.business_key] = reference
    return chosen
