"""Appending to the audit trail, inside the transaction that changes the state."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson
from sqlalchemy import Connection, Insert, select

from worker.store.ids import new_id
from worker.store.rows import given_for, insert_rows, packed
from worker.store.schema import audit, audit_bodies, unsealed


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened. `subject` is what it happened to ("invoice:<id>"), `seq` its running number there.

    `detail` is plain JSON without personal data; `body` (requests, responses, addresses) goes to the erasable table
    and is only committed to.
    """

    shop: str
    order_id: str | None
    subject: str
    seq: int
    action: str
    outcome: str
    actor: str
    detail: dict[str, Any] = field(default_factory=dict)
    duration_us: int | None = None
    body: dict[str, Any] | None = None


def canonical(row: dict[str, Any]) -> bytes:
    """The entry's canonical bytes, from its columns (`at` aware UTC, `detail` the stored text): sorted JSON."""
    return orjson.dumps(
        {
            "id": row["id"],
            "at": row["at"].astimezone(UTC).isoformat(timespec="microseconds"),
            "shop": row["shop"],
            "order": row["order_id"],
            "subject": row["subject"],
            "seq": row["seq"],
            "action": row["action"],
            "actor": row["actor"],
            "outcome": row["outcome"],
            "duration_us": row["duration_us"],
            "detail": row["detail"],
        },
        option=orjson.OPT_SORT_KEYS,
    )


def leaf_hash(data: bytes) -> bytes:
    """RFC 6962 section 2.1: the hash of a leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def commitment(salt: bytes, body: str) -> str:
    """What an entry says of its erasable body: hex SHA-256(salt ‖ body)."""
    return hashlib.sha256(salt + body.encode()).hexdigest()


def append(connection: Connection, entries: Iterable[Entry]) -> None:
    """Adds entries to the trail, in one statement a table."""
    rows: list[dict[str, Any]] = []
    bodies: list[dict[str, Any]] = []
    now = datetime.now(UTC)
    for entry in entries:
        detail = dict(entry.detail)
        entry_id = new_id()
        if entry.body is not None:
            salt, body = os.urandom(16), orjson.dumps(entry.body, option=orjson.OPT_SORT_KEYS).decode()
            detail["body"] = commitment(salt, body)
            bodies.append({"entry_id": entry_id, "salt": salt, "body": body})
        row = {
            "id": entry_id,
            "at": now,
            "shop": entry.shop,
            "order_id": entry.order_id,
            "subject": entry.subject,
            "seq": entry.seq,
            "action": entry.action,
            "actor": entry.actor,
            "outcome": entry.outcome,
            "duration_us": entry.duration_us,
            "detail": orjson.dumps(detail, option=orjson.OPT_SORT_KEYS).decode(),
        }
        rows.append({**row, "leaf": leaf_hash(canonical(row))})
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        insert_rows(connection, audit, rows)
        insert_rows(connection, unsealed, [{"entry_id": row["id"]} for row in rows])
    else:
        connection.execute(_both(tuple(rows[0])), packed(connection, rows))
    insert_rows(connection, audit_bodies, bodies)


@cache
def _both(names: tuple[str, ...]) -> Insert:
    """Entries and what is to be sealed, in one statement of PostgreSQL."""
    rows = given_for(audit, names, "postgresql")
    entries = audit.insert().from_select(list(names), select(*(rows.c[name] for name in names)))
    written = entries.returning(audit.c.id).cte("written")
    return unsealed.insert().from_select(["entry_id"], select(written.c.id))
