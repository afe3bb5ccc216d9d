"""The inbox: what ingest accepted, byte for byte, until `handle_events` has taken it.

On SQLite it is a file of its own, so that the writers of the pipeline never make ingest wait. Ingest writes with
`synchronous=FULL`, for its 2xx is a promise. The worker marks rows as taken with `synchronous=NORMAL`: a mark lost
with the power only means that the row is copied once more, and copying twice does nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Dialect, Row, and_, insert, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from worker.store.engine import Store
from worker.store.ids import new_id
from worker.store.schema import inbox

_ASKED_AT_ONCE = 500
"""Ids in one statement; SQLite takes 32,766 parameters, an event asked for by its key needs three."""


class StoreUnavailable(Exception):
    """The inbox did not take the batch: locked, full, stopped or cut off. The same batch may be given again."""


class RowRefused(Exception):
    """The database holds no such row: not the database is at fault, but something in this batch."""


class Verdict(StrEnum):
    ACCEPTED = "accepted"
    """Committed now."""
    DUPLICATE = "duplicate"
    """Was committed before, with the same body."""
    CONFLICT = "conflict"
    """Another body was committed under this id before; this one was not stored."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A delivery on its way into the inbox. `event_id` is unique for ever within shop and source."""

    shop: str
    source: str
    event_id: str
    kind: str
    """The kind of source that can read the body."""
    topic: str
    label: str
    """The order it is about, for the reader; "" if it does not say."""
    body: bytes
    id: str = field(default_factory=new_id)
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def key(self) -> tuple[str, str, str]:
        return self.shop, self.source, self.event_id

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True, slots=True)
class Held:
    """A row of the inbox as it stands there; `received_at` is UTC."""

    id: str
    shop: str
    source: str
    event_id: str
    kind: str
    topic: str
    label: str
    body: bytes
    received_at: datetime
    taken: bool


class Inbox:
    """The inbox in the store that holds it (`Config.inbox_url`). Every method may raise `StoreUnavailable`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def accept(self, arrivals: Sequence[Arrival]) -> list[Verdict]:
        """Commits a batch as a whole and says what became of each, in its order.

        Of several with one key the first is accepted. Given again after a `StoreUnavailable` (the commit may have
        happened), the same arrivals are accepted again, not duplicates of themselves.

        Raises:
            StoreUnavailable: nothing is known to be stored.
            RowRefused: nothing was stored, because of one of the rows; give them one by one to find it.
        """
        if not arrivals:
            return []
        try:
            with self._store.write() as connection:
                stored = _insert(connection, arrivals)
                if len(stored) == len(arrivals):
                    return [Verdict.ACCEPTED] * len(arrivals)
                first = _firsts(connection, [each for each in arrivals if each.id not in stored])
            return [_verdict(each, stored, first) for each in arrivals]
        except (DataError, IntegrityError, UnicodeError) as error:
            raise RowRefused(_cause(error)) from error
        except SQLAlchemyError as error:
            raise StoreUnavailable(_cause(error)) from error

    def probe(self) -> None:
        """Raises `StoreUnavailable` if the inbox could not be written now."""
        try:
            with self._store.write() as connection:
                connection.execute(select(inbox.c.id).limit(1)).first()
                if not self._store.sqlite and connection.scalar(text("SHOW transaction_read_only")) == "on":
                    raise StoreUnavailable("the database only takes readers: it is a replica, or set to read-only")
        except SQLAlchemyError as error:
            raise StoreUnavailable(_cause(error)) from error

    def untaken(self, limit: int, older_than: datetime) -> list[str]:
        """Ids of rows received before `older_than` that nobody has taken, oldest first: what a lost ring left behind."""
        query = select(inbox.c.id).where(~inbox.c.taken, inbox.c.received_at < older_than)
        try:
            with self._store.read() as connection:
                return list(connection.scalars(query.order_by(inbox.c.received_at).limit(limit)))
        except SQLAlchemyError as error:
            raise StoreUnavailable(_cause(error)) from error

    def load(self, ids: Sequence[str]) -> list[Held]:
        """The rows with these ids, oldest first; ids that are not there are left out."""
        columns = [inbox.c[name] for name in Held.__dataclass_fields__]
        found: list[Held] = []
        try:
            with self._store.read() as connection:
                for some in _portions(ids):
                    found += [Held(*row) for row in connection.execute(select(*columns).where(inbox.c.id.in_(some)))]
        except SQLAlchemyError as error:
            raise StoreUnavailable(_cause(error)) from error
        return sorted(found, key=lambda row: (row.received_at, row.id))

    def mark_taken(self, ids: Sequence[str]) -> None:
        """Takes the rows out of `untaken`; call it after what was made of them is committed."""
        try:
            with self._store.write() as connection:
                for some in _portions(ids):
                    marks = update(inbox).where(inbox.c.id.in_(some), ~inbox.c.taken).values(taken=True)
                    connection.execute(marks)
        except SQLAlchemyError as error:
            raise StoreUnavailable(_cause(error)) from error


def _insert(connection: Connection, arrivals: Sequence[Arrival]) -> set[str]:
    """Inserts those whose key is new and returns their ids."""
    # Two ingest processes that insert the same keys in different orders would deadlock on PostgreSQL; the sort is
    # stable, so that the first of one key stays the first.
    ordered = sorted(arrivals, key=lambda each: each.key)
    rows = [
        {
            "id": each.id,
            "shop": each.shop,
            "source": each.source,
            "event_id": each.event_id,
            "kind": each.kind,
            "topic": each.topic,
            "label": each.label,
            "body": each.body,
            "digest": each.digest,
            "received_at": each.received_at,
        }
        for each in ordered
    ]
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(inbox).on_conflict_do_nothing(index_elements=["shop", "source", "event_id"])
    return set(connection.scalars(statement.returning(inbox.c.id), rows))
