"""Questions that the command line and the HTTP API ask of the store. They only read.

All answers are plain dicts and lists that JSON can carry: times are ISO 8601 in UTC ("…Z"), amounts are strings in
the currency that stands beside them. Each question takes a fixed number of queries, however long the answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import Column, ColumnElement, Connection, Row, and_, func, or_, select

from worker.store import quantities
from worker.store.engine import Store
from worker.store.schema import (
    audit,
    audit_bodies,
    customers,
    documents,
    holds,
    inbox,
    invoices,
    jobs,
    notices,
    orders,
    strangers,
    unsealed,
)

Answer = dict[str, Any]

NEEDS_A_PERSON = ("held", "mismatch", "doubled")
"""States that nothing leaves by itself."""
UNMATCHED_AFTER = timedelta(days=1)
"""An event whose order was not told for so long is shown among what a person must look at."""
TOP_REASONS = 20

_ORDER = ("id", "shop", "source", "source_id", "ref", "as_of", "created_at")
_JOB = (
    jobs.c.id, jobs.c.order_id, jobs.c.shop, jobs.c.account, jobs.c.label, jobs.c.state, jobs.c.reason, jobs.c.attempts,
    jobs.c.due_at, jobs.c.created_at, jobs.c.changed_at,
)  # fmt: skip
_INVOICE = (
    invoices.c.part, invoices.c.kind, invoices.c.revision, invoices.c.tenant, invoices.c.reference,
    invoices.c.customer_id, invoices.c.currency, invoices.c.total, invoices.c.remote_total, invoices.c.issued_at,
)  # fmt: skip
_REMOTE = (documents.c.remote_id, documents.c.remote_number, documents.c.remote_url)
_NOTICE = (notices.c.invoice_id, notices.c.channel, notices.c.purpose, notices.c.message_id)
_ENTRY = (
    audit.c.id, audit.c.at, audit.c.order_id, audit.c.subject, audit.c.seq, audit.c.action, audit.c.actor,
    audit.c.outcome, audit.c.duration_us, audit.c.detail,
)  # fmt: skip

_HOLDS = (
    select(holds.c.tenant, holds.c.reason, holds.c.since, func.count(jobs.c.id).label("waiting"))
    .outerjoin(jobs, and_(jobs.c.tenant == holds.c.tenant, or_(jobs.c.due_at.is_not(None), jobs.c.waits_for != "")))
    .group_by(holds.c.tenant, holds.c.reason, holds.c.since)
    .order_by(holds.c.since)
)


def order_view(store: Store, shop: str | None, ref_or_id: str) -> list[Answer]:
    """Orders with this ref, source's id or id of ours; of one shop, or of all with None. Empty if there is none.

    Each carries its `document` (as last told), `accounts` (None before the first intent), `lines` (see `quantities`),
    `events`, `customers`, `invoices` and `notices` with their states and reasons, and its `timeline`, oldest first.
    A customer that several orders share brings what happened to it, but only what this shop may see.
    """
    named = or_(orders.c.ref == ref_or_id, orders.c.source_id == ref_or_id, orders.c.id == ref_or_id)
    with store.read() as connection:
        query = select(orders).where(named, *_of_shop(orders.c.shop, shop)).order_by(orders.c.created_at, orders.c.id)
        found = connection.execute(query).all()
        return _orders(connection, found) if found else []


def _orders(connection: Connection, found: Sequence[Row[Any]]) -> list[Answer]:
    ids = [row.id for row in found]
    parts = {
        "events": _by_order(connection, select(*_JOB).where(jobs.c.kind == "event", jobs.c.order_id.in_(ids))),
        "invoices": _by_order(
            connection,
            select(*_JOB, *_INVOICE, *_REMOTE)
            .join(invoices, invoices.c.id == jobs.c.id)
            .join(documents, documents.c.id == jobs.c.id)
            .where(invoices.c.order_id.in_(ids)),
        ),
        "notices": _by_order(
            connection,
            select(*_JOB, *_NOTICE)
            .join(notices, notices.c.id == jobs.c.id)
            .join(invoices, invoices.c.id == notices.c.invoice_id)
            .where(invoices.c.order_id.in_(ids)),
        ),
    }
    wanted = {invoice["customer_id"] for of_order in parts["invoices"].values() for invoice in of_order}
    known = _customers(connection, wanted)
    lines = quantities.of_lines(connection, {row.id: orjson.loads(row.document) for row in found})
    answers = []
    for row in found:
        mine = {name: by_order[row.id] for name, by_order in parts.items()}
        bought = list(dict.fromkeys(invoice["customer_id"] for invoice in mine["invoices"]))
        answers.append(
            _order(row)
            | {"lines": lines[row.id]}
            | mine
            | {"customers": [known[one] for one in bought if one in known]}
        )
    _add_timelines(connection, answers)
    return answers


def _order(row: Row[Any]) -> Answer:
    return {name: _plain(getattr(row, name)) for name in _ORDER} | {
        "accounts": None if row.accounts is None else orjson.loads(row.accounts),
        "document": orjson.loads(row.document),
    }


def _by_order(connection: Connection, query: Any) -> dict[str, list[Answer]]:
    grouped: dict[str, list[Answer]] = defaultdict(list)
    for row in connection.execute(query.order_by(jobs.c.created_at, jobs.c.id)):
        grouped[row.order_id].append(_dict(row))
    return grouped


def _customers(connection: Connection, ids: Iterable[str]) -> dict[str, Answer]:
    query = (
        select(*_JOB, customers.c.tenant, *_REMOTE)
        .join(customers, customers.c.id == jobs.c.id)
        .join(documents, documents.c.id == jobs.c.id)
        .where(jobs.c.id.in_(list(ids)))
    )
    return {row.id: _dict(row) for row in connection.execute(query)}


def _add_timelines(connection: Connection, answers: list[Answer]) -> None:
    """Entries that name the order, and those of its jobs: an event's first entries were written before its order
    was known."""
    subjects: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        for kind in ("event", "invoice", "notice", "customer"):
            for job in answer[f"{kind}s"]:
                subjects[f"{job.get('kind', kind)}:{job['id']}"].append(answer)
    by_id = {answer["id"]: answer for answer in answers}
    told = _entries(connection, or_(audit.c.order_id.in_(list(by_id)), audit.c.subject.in_(list(subjects))))
    for answer in answers:
        answer["timeline"] = []
    for shop, entry in told:
        named = [by_id[entry["order_id"]]] if entry["order_id"] in by_id else []
        for answer in {one["id"]: one for one in (*named, *subjects.get(entry["subject"], ()))}.values():
            if answer["shop"] == shop:
                answer["timeline"].append(entry)


def _entries(connection: Connection, which: ColumnElement[bool]) -> list[tuple[str, Answer]]:
    """(shop, entry), oldest first."""
    query = select(audit.c.shop, *_ENTRY).where(which).order_by(audit.c.at, audit.c.id)
    return [
        (row.shop, {column.name: _plain(getattr(row, column.name)) for column in _ENTRY}
        | {"detail": orjson.loads(row.detail)})
        for row in connection.execute(query)
    ]  # fmt: skip


def add_bodies(store: Store, answers: Sequence[Answer]) -> None:
    """Puts what was sent and answered into each entry of the timelines (`exchange`), where it is kept."""
    entries = {entry["id"]: entry for answer in answers for entry in answer["timeline"]}
    kept = select(audit_bodies.c.entry_id, audit_bodies.c.body).where(audit_bodies.c.entry_id.in_(list(entries)))
    with store.read() as connection:
        for row in connection.execute(kept):
            entries[row.entry_id]["exchange"] = orjson.loads(row.body)


def event_view(store: Store, inbox_store: Store | None, shop: str, event_id: str) -> list[Answer]:
    """The shop's deliveries with this id, its own or ours: two sources may use the same id. Empty if there is none.

    `state` is "accepted" as long as only the inbox knows of it. `inbox_store`: where the inbox is; None: in `store`.
    """
    columns = ("id", "shop", "source", "event_id", "kind", "topic", "label", "received_at", "taken")
    which = and_(inbox.c.shop == shop, or_(inbox.c.event_id == event_id, inbox.c.id == event_id))
    with (inbox_store or store).read() as connection:
        query = select(*(inbox.c[name] for name in columns)).where(which).order_by(inbox.c.received_at, inbox.c.id)
        found = [_dict(row) for row in connection.execute(query)]
    if not found:
        return []
    ids = [event["id"] for event in found]
    with store.read() as connection:
        query = select(*_JOB, orders.c.ref).outerjoin(orders, orders.c.id == jobs.c.order_id)
        at_work = {row.id: row for row in connection.execute(query.where(jobs.c.id.in_(ids), jobs.c.kind == "event"))}
        told = _entries(connection, audit.c.subject.in_([f"event:{one}" for one in ids]))
    for event in found:
        job = at_work.get(event["id"])
        event["state"] = job.state if job else "accepted"
        event["reason"] = job.reason if job else None
        event["attempts"] = job.attempts if job else 0
        event["order"] = {"id": job.order_id, "ref": job.ref} if job and job.order_id else None
        event["timeline"] = [entry for _, entry in told if entry["subject"] == f"event:{event['id']}"]
    return found


def status(store: Store) -> Answer:
    """How things stand: `jobs` (numbers by kind and state), `oldest_due_seconds` (how long the oldest row that is
    due has waited; None: nothing is due), `held` (the commonest reasons for which a person must act), `doubled`,
    `holds` (tenants whose credentials are refused: why, since when, how many rows wait), `unmatched` (events that wait
    for an order nobody has told: how many, the age of the oldest, a few of the names), `to_review` (by "shop/account",
    invoices that others made there and of which it is uncertain whose they are), `unsealed` (entries, and the age in
    seconds of the oldest)."""
    now = datetime.now(UTC)
    count = func.count().label("count")
    with store.read() as connection:
        by_kind: dict[str, dict[str, int]] = defaultdict(dict)
        states = select(jobs.c.kind, jobs.c.state, count).group_by(jobs.c.kind, jobs.c.state)
        for kind, state, number in connection.execute(states.order_by(jobs.c.kind, jobs.c.state)):
            by_kind[kind][state] = number
        due = connection.execute(select(func.min(jobs.c.due_at)).where(jobs.c.due_at <= now)).scalar()
        reasons = (
            select(jobs.c.kind, jobs.c.state, jobs.c.reason, count, func.min(jobs.c.changed_at).label("since"))
            .where(jobs.c.state.in_(NEEDS_A_PERSON))
            .group_by(jobs.c.kind, jobs.c.state, jobs.c.reason)
            .order_by(count.desc(), jobs.c.kind, jobs.c.reason)
            .limit(TOP_REASONS)
        )
        held_for = [_dict(row) for row in connection.execute(reasons)]
        refused = [_dict(row) for row in connection.execute(_HOLDS)]
        waiting = select(func.count(), func.min(audit.c.at)).join_from(
            unsealed, audit, audit.c.id == unsealed.c.entry_id
        )
        entries, oldest = connection.execute(waiting).one()
        unmatched = _unmatched(connection, now)
        to_review = _to_review(connection)
    return {
        "jobs": dict(by_kind),
        "oldest_due_seconds": _age(due, now),
        "held": held_for,
        "doubled": sum(numbers.get("doubled", 0) for numbers in by_kind.values()),
        "holds": refused,
        "unmatched": unmatched,
        "to_review": to_review,
        "unsealed": {"entries": entries, "oldest_seconds": _age(oldest, now)},
    }


def _unmatched(connection: Connection, now: datetime) -> Answer:
    parked = jobs.c.state == "waiting"
    count, oldest = connection.execute(select(func.count(), func.min(jobs.c.changed_at)).where(parked)).one()
    labels = select(jobs.c.label).where(parked).order_by(jobs.c.changed_at).limit(TOP_REASONS)
    names = list(connection.execute(labels).scalars()) if count else []
    return {"events": count, "oldest_seconds": _age(oldest, now), "names": names}


def _to_review(connection: Connection) -> dict[str, int]:
    undecided = (strangers.c.why.is_not(None), strangers.c.decided_at.is_(None))
    count = select(strangers.c.shop, strangers.c.account, func.count()).where(*undecided)
    grouped = count.group_by(strangers.c.shop, strangers.c.account).order_by(strangers.c.shop, strangers.c.account)
    return {f"{shop}/{account}": number for shop, account, number in connection.execute(grouped)}


def held(
    store: Store,
    *,
    shop: str | None = None,
    account: str | None = None,
    kind: str | None = None,
    order: str | None = None,
    reason_contains: str | None = None,
    limit: int = 100,
) -> list[Answer]:
    """Rows that a person must look at, those that match everything given, longest waiting first; among them events
    that have waited for their order longer than `UNMATCHED_AFTER`.

    `order`: its ref, its source's id or ours. `reason_contains`: part of the reason, in any case.
    """
    late = and_(jobs.c.state == "waiting", jobs.c.changed_at < datetime.now(UTC) - UNMATCHED_AFTER)
    where = [or_(jobs.c.state.in_(NEEDS_A_PERSON), late), *_of_shop(jobs.c.shop, shop)]
    if account is not None:
        where.append(jobs.c.account == account)
    if kind is not None:
        where.append(jobs.c.kind == kind)
    if order is not None:
        where.append(or_(orders.c.ref == order, orders.c.source_id == order, orders.c.id == order))
    if reason_contains is not None:
        where.append(jobs.c.reason.icontains(reason_contains, autoescape=True))
    query = (
        select(jobs.c.kind, *_JOB, orders.c.ref.label("order_ref"), *_REMOTE)
        .outerjoin(orders, orders.c.id == jobs.c.order_id)
        .outerjoin(documents, documents.c.id == jobs.c.id)
        .where(*where)
        .order_by(jobs.c.changed_at, jobs.c.id)
        .limit(limit)
    )
    with store.read() as connection:
        return [_dict(row) for row in connection.execute(query)]


def _of_shop(column: Column[Any], shop: str | None) -> list[ColumnElement[bool]]:
    return [] if shop is None else [column == shop]


def _age(since: datetime | None, now: datetime) -> float | None:
    return None if since is None else max(0.0, round((now - since).total_seconds(), 3))


def _dict(row: Row[*tuple[Any, ...]]) -> Answer:
    return {name: _plain(value) for name, value in row._mapping.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return f"{value:f}" if isinstance(value, Decimal) else value
