"""Sealing: committed entries get their positions in the one Merkle tree, and its root is stored.

What is to be sealed is what stands in `unsealed`, never "ids above the last one": an entry with a lower id may be
committed later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Text, cast, delete, func, insert, select
from sqlalchemy.dialects.postgresql import ARRAY

from worker.store.engine import Store
from worker.store.merkle import EMPTY, append_leaves, edge_from, edge_text
from worker.store.schema import audit, audit_leaves, seals, unsealed

SQLITE_BATCH = 1_000
"""Entries a transaction on SQLite, where writers wait for it."""
POSTGRES_BATCH = 5_000
_POSTGRES_LOCK = 0x62696C_02
ONLY_LOOKUPS = "SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)"
"""For this transaction: a batch is looked up by index. With old statistics PostgreSQL might read the whole trail."""


@dataclass(frozen=True, slots=True)
class _Batch:
    first: int
    previous: bytes
    edge: list[bytes]
    root: bytes
    ids: list[str]


def seal(store: Store) -> int:
    """Seals all entries committed so far and returns how many; 0 while another process is sealing.

    Safe to be killed and to be run by several processes. Writers never wait for it on PostgreSQL, and on SQLite
    for no longer than one short transaction.
    """
    batch = SQLITE_BATCH if store.sqlite else POSTGRES_BATCH
    total = 0
    while True:
        sealed = _seal_sqlite(store, batch) if store.sqlite else _seal_postgres(store, batch)
        total += sealed
        if sealed < batch:
            return total


def _seal_sqlite(store: Store, limit: int) -> int:
    """Hashes before the write lock is taken. No other sealer came between if the newest seal is still the same."""
    with store.read() as connection:
        batch = _next(connection, limit)
    if batch is None:
        return 0
    with store.write() as connection:
        newest = _newest(connection)
        if (newest.size if newest else 0) != batch.first:
            return 0
        connection.execute(insert(audit_leaves), _places(batch))
        _store(connection, batch)
    return len(batch.ids)


def _seal_postgres(store: Store, limit: int) -> int:
    """The lock ends with the transaction, after its commit can be seen: the next sealer starts from there."""
    with store.write() as connection:
        if not connection.execute(select(func.pg_try_advisory_xact_lock(_POSTGRES_LOCK))).scalar():
            return 0
        connection.exec_driver_sql(ONLY_LOOKUPS)
        batch = _next(connection, limit)
        if batch is None:
            return 0
        ids = func.unnest(cast(batch.ids, ARRAY(Text))).table_valued("entry_id", with_ordinality="place")
        ids = ids.render_derived()
        placed = select(ids.c.place - 1 + batch.first, ids.c.entry_id)
        connection.execute(insert(audit_leaves).from_select(["leaf_index", "entry_id"], placed))
        _store(connection, batch)
    return len(batch.ids)


def _newest(connection: Connection) -> Row[Any] | None:
    return connection.execute(select(seals).order_by(seals.c.size.desc()).limit(1)).first()


def _next(connection: Connection, limit: int) -> _Batch | None:
    waiting = (
        select(audit.c.id, audit.c.leaf)
        .join(unsealed, unsealed.c.entry_id == audit.c.id)
        .order_by(unsealed.c.entry_id)
        .limit(limit)
    )
    newest = _newest(connection)
    rows = connection.execute(waiting).all()
    if not rows:
        return None
    first = newest.size if newest else 0
    edge, root = append_leaves(edge_from(newest.edge) if newest else [], first, (row.leaf for row in rows))
    return _Batch(first, newest.root if newest else EMPTY, edge, root, [row.id for row in rows])


def _places(batch: _Batch) -> list[dict[str, Any]]:
    return [{"leaf_index": place, "entry_id": entry_id} for place, entry_id in enumerate(batch.ids, batch.first)]


def _store(connection: Connection, batch: _Batch) -> None:
    placed = select(audit_leaves.c.entry_id).where(audit_leaves.c.leaf_index >= batch.first)
    connection.execute(delete(unsealed).where(unsealed.c.entry_id.in_(placed)))
    connection.execute(
        insert(seals).values(
            size=batch.first + len(batch.ids),
            root=batch.root,
            previous=batch.previous,
            edge=edge_text(batch.edge),
            at=datetime.now(UTC),
        )
    )
