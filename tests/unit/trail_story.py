"""Stories for the tests of the trail: jobs that go through their states, and hands that reach behind the guards."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert, text, update

from worker.store.engine import Store
from worker.store.ids import new_id
from worker.store.migrate import prepare
from worker.store.schema import jobs
from worker.store.trail import Entry, append

STATES = ("pending", "claimed", "sending", "issued")
BODY = {"request": {"name": "Ada Lovelace"}, "response": {"status": 200}}


def open_store(url: str) -> Store:
    """A store with its tables, as quick as a test wants it."""
    store = Store(url, synchronous="OFF")
    prepare(store)
    return store


def add_job(connection: Connection, kind: str = "invoice", order_id: str | None = "order-1", **columns: Any) -> str:
    """A job in state pending, with its first entry; returns its id."""
    now = datetime.now(UTC)
    row = {"id": new_id(), "kind": kind, "queue": "q", "shop": "shop", "order_id": order_id, "state": "pending"}
    row |= {"created_at": now, "changed_at": now, **columns}
    connection.execute(insert(jobs).values(row))
    append(connection, [entry(kind, row["id"], 0, row["state"], order_id, shop=row["shop"])])
    return str(row["id"])


def move(
    connection: Connection, kind: str, job_id: str, seq: int, state: str, order_id: str | None = "order-1"
) -> None:
    """One change of a job's state with its entry."""
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(state=state, seq=seq))
    append(connection, [entry(kind, job_id, seq, state, order_id)])


def entry(kind: str, job_id: str, seq: int, state: str, order_id: str | None, shop: str = "shop") -> Entry:
    detail = {"attempt": seq}
    return Entry(shop, order_id, f"{kind}:{job_id}", seq, "step", state, "worker-1", detail, 1200 + seq, BODY)


def tell(store: Store, count: int = 3, states: Sequence[str] = STATES, kind: str = "invoice") -> list[str]:
    """Jobs that go through these states; returns their ids."""
    with store.write() as connection:
        ids = [add_job(connection, kind) for _ in range(count)]
        for seq, state in enumerate(states[1:], 1):
            for job_id in ids:
                move(connection, kind, job_id, seq, state)
    return ids


@contextmanager
def behind_the_guards(store: Store) -> Iterator[Connection]:
    """A transaction with the triggers off, as the database's owner could switch them off."""
    with store.write() as connection:
        if not store.sqlite:
            tables = ("audit", "audit_leaves", "seals", "unsealed", "audit_bodies")
            for table in tables:
                connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
            yield connection
            for table in tables:
                connection.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))
            return
        triggers = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
        for name, _ in triggers:
            connection.execute(text(f"DROP TRIGGER {name}"))
        yield connection
        for _, statement in triggers:
            connection.exec_driver_sql(statement)
