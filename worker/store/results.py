"""What the trail says of one task, and where rows stand: the questions behind `AsyncResult`. They only read.

A claim's entry names the task in its actor (`<process>/<task id>`). Task ids are UUIDv7, as are the entries' own, so
the claims of a task are looked for from its birth onwards, along the primary key: the trail needs no further index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, Connection, or_, select

from worker.store.engine import Store
from worker.store.schema import audit, jobs

UNDER_WAY = ("claimed", "sending")
SKEW = timedelta(minutes=1)
"""How far the clocks of the machine that rings and of the one that claims may differ."""
WAITS = timedelta(hours=1)
"""How long after its ring a task may begin; later claims are not found. Bounds what one question reads."""
LASTS = timedelta(minutes=5)
"""For how long after its first claim a task may make others."""
_AT_ONCE = 500
_ENTRY = (
    audit.c.subject, audit.c.seq, audit.c.action, audit.c.outcome, audit.c.at, audit.c.actor, audit.c.detail,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """A row and how it stands, or how a task left it. `subject` is "invoice:<id>", `order` what people call it.

    `at`: UTC, since when. `by`: the process that claimed it; "" where the row itself was asked.
    """

    subject: str
    order: str
    state: str
    reason: str | None
    at: datetime
    by: str = ""


def of_task(store: Store, task_id: str) -> list[Standing]:
    """The rows that this task claimed, in the order of their first claim, each as the end of the claim left it.

    "claimed" and "sending": that claim has not ended; "lost": its lease ran out, the worker died or was stopped.
    Empty when the trail knows nothing: the task has not begun, found nothing to do, or began more than `WAITS` after
    it was rung. Raises `StoreError`.
    """
    born = _born(task_id)
    if born is None:
        return []
    with store.read() as connection:
        claims = _claims(connection, task_id, born)
        ends = _ends(connection, claims)
        labels = _labels(connection, [subject.partition(":")[2] for subject in claims])
    found = []
    for subject, claim in claims.items():
        entry = ends.get(subject, claim)
        reason = orjson.loads(entry.detail).get("reason")
        label = labels.get(subject.partition(":")[2], "")
        state = "lost" if entry.action == "lease_lost" else entry.outcome
        found.append(Standing(subject, label, state, reason, entry.at, claim.actor.partition("/")[0]))
    return found


def of_rows(store: Store, name: str) -> list[Standing]:
    """The event, customer, invoice or notice with this id (or "invoice:<id>"), or everything that hangs on the order
    with this id of ours; oldest first. Empty when there is none. Raises `StoreError`."""
    kind, _, bare = name.rpartition(":")
    which: ColumnElement[bool] = jobs.c.id == bare
    which = which & (jobs.c.kind == kind) if kind else or_(which, jobs.c.order_id == bare)
    columns = (jobs.c.kind, jobs.c.id, jobs.c.label, jobs.c.state, jobs.c.reason, jobs.c.changed_at)
    with store.read() as connection:
        rows = connection.execute(select(*columns).where(which).order_by(jobs.c.created_at, jobs.c.id)).all()
    return [Standing(f"{row.kind}:{row.id}", row.label, row.state, row.reason, row.changed_at) for row in rows]


def _born(task_id: str) -> datetime | None:
    """When a UUIDv7 was made (RFC 9562 section 5.7: milliseconds since 1970 in its first 48 bits)."""
    try:
        parsed = UUID(task_id)
    except ValueError:
        return None
    return datetime.fromtimestamp((parsed.int >> 80) / 1000, UTC) if parsed.version == 7 else None


def _first_id(moment: datetime) -> str:
    """No id made at this moment or later sorts before this one."""
    return str(UUID(int=int(moment.timestamp() * 1000) << 80))


def _claims(connection: Connection, task_id: str, born: datetime) -> dict[str, Any]:
    """The task's claims by subject; of several, where the first stood, the last."""
    mine = audit.c.action.in_(("claim", "receive")) & audit.c.actor.endswith(f"/{task_id}", autoescape=True)
    first = (
        select(audit.c.id, audit.c.at)
        .where(mine, audit.c.id >= _first_id(born - SKEW), audit.c.id < _first_id(born + WAITS))
        .order_by(audit.c.id)
        .limit(1)
    )
    found = connection.execute(first).first()
    if found is None:
        return {}
    all_of_them = (
        select(*_ENTRY)
        .where(mine, audit.c.id >= found.id, audit.c.id < _first_id(found.at + LASTS))
        .order_by(audit.c.id)
    )
    return {row.subject: row for row in connection.execute(all_of_them)}


def _ends(connection: Connection, claims: dict[str, Any]) -> dict[str, Any]:
    """By subject, the entry that ended the claim."""
    ends: dict[str, Any] = {}
    for some in _portions(list(claims)):
        query = (
            select(*_ENTRY)
            .where(audit.c.subject.in_(some), audit.c.outcome.not_in(UNDER_WAY))
            .order_by(audit.c.subject, audit.c.seq)
        )
        for row in connection.execute(query):
            if row.seq > claims[row.subject].seq:
                ends.setdefault(row.subject, row)
    return ends


def _labels(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    return {
        row.id: row.label
        for some in _portions(ids)
        for row in connection.execute(select(jobs.c.id, jobs.c.label).where(jobs.c.id.in_(some)))
    }


def _portions(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
