"""The inbox: what ingest accepted, byte for byte, until `handle_events` has taken it.

On SQLite it is a file of its own, so that the writers of the pipeline never make ingest wait. Ingest writes with
`synchronous=FULL`, for its 2xx is a promise. The worker marks rows as taken with `synchronous=NORMAL`: a mark lost
with the power only means that the row is copied once more, and copying twice does nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Dialect, Select, bindparam, select, text, update
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from worker.store.engine import Store
from worker.store.ids import new_id
from worker.store.rows import among, among_keys
from worker.store.schema import inbox

T = TypeVar("T")
Key = tuple[str, str, str]
"""Shop, source and event id."""
UNTAKEN = text("NOT taken")
"""As the index says it: SQLite would not recognise `taken = 0`, which is what SQLAlchemy writes."""
_ASKED_AT_ONCE = 200
"""Rows in one statement; longer ones take more time a row."""


class StoreUnavailable(Exception):
    """The inbox did not take the batch: locked, full, stopped or cut off. The same batch may be given again."""


@contextmanager
def asking() -> Iterator[None]:
    """Whatever the database raises inside leaves as `StoreUnavailable`."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreUnavailable(_cause(error)) from error


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
    def key(self) -> Key:
        return self.shop, self.source, self.event_id

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    def apart(self) -> Arrival:
        """The same under an id that its body is a part of: for a sender that says two things under one id."""
        both = hashlib.sha256(f"{self.event_id}:{self.digest}".encode())
        return replace(self, event_id=f"other:{both.hexdigest()}")


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
                firsts = _firsts(connection, [each for each in arrivals if each.id not in stored])
            return [_verdict(each, stored, firsts) for each in arrivals]
        except (DataError, IntegrityError, UnicodeError) as error:
            raise RowRefused(_cause(error)) from error
        except SQLAlchemyError as error:
            raise StoreUnavailable(_cause(error)) from error

    def keep(self, arrivals: Sequence[Arrival]) -> list[str]:
        """Commits what is worth keeping of these; another body under a known id is kept under an id of its own.

        Returns the ids of the rows that are new. Raises as `accept` does.
        """
        verdicts = self.accept(arrivals)
        new = [each.id for each, said in zip(arrivals, verdicts, strict=True) if said is Verdict.ACCEPTED]
        others = [each.apart() for each, said in zip(arrivals, verdicts, strict=True) if said is Verdict.CONFLICT]
        return new + (self.keep(others) if others else [])

    def probe(self) -> None:
        """Raises `StoreUnavailable` if the inbox could not be written now."""
        with asking(), self._store.write() as connection:
            connection.execute(select(inbox.c.id).limit(1)).first()
            if not self._store.sqlite and connection.scalar(text("SHOW transaction_read_only")) == "on":
                raise StoreUnavailable("the database only takes readers: it is a replica, or set to read-only")

    def untaken(self, limit: int, older_than: datetime) -> list[str]:
        """Ids of rows received before `older_than` that nobody has taken, oldest first. Where there are more, shops
        have equal parts, and what one does not need is the others'; of each shop the oldest."""
        with asking(), self._store.read() as connection:
            found = connection.execute(_FIRST_IDS, {"older_than": older_than, "most": limit}).all()
            if len(found) < limit:
                return [row.id for row in sorted(found)]
            return _shared_out(connection, limit, older_than)

    def waiting(self, limit: int, older_than: datetime) -> list[Held]:
        """The rows that `untaken` names, oldest first: where they are not too many, in one question."""
        with asking(), self._store.read() as connection:
            found = [Held(*row) for row in connection.execute(_FIRST, {"older_than": older_than, "most": limit})]
            if len(found) == limit:
                chosen = _shared_out(connection, limit, older_than)
                known = {row.id: row for row in found}
                found = [known[each] for each in chosen if each in known]
                found += _loaded(connection, [each for each in chosen if each not in known])
        return sorted(found, key=_age)

    def load(self, ids: Sequence[str]) -> list[Held]:
        """The rows with these ids, oldest first; ids that are not there are left out."""
        if not ids:
            return []
        with asking(), self._store.read() as connection:
            return sorted(_loaded(connection, ids), key=_age)

    def mark_taken(self, ids: Sequence[str]) -> None:
        """Takes the rows out of `untaken`; call it after what was made of them is committed."""
        if not ids:
            return
        with asking(), self._store.write() as connection:
            these = among(connection, inbox.c.id, ids)
            connection.execute(update(inbox).where(these, ~inbox.c.taken).values(taken=True))


_COLUMNS = tuple(inbox.c[name] for name in Held.__dataclass_fields__)


def _age(row: Held) -> tuple[datetime, str]:
    return row.received_at, row.id


def _loaded(connection: Connection, ids: Sequence[str]) -> list[Held]:
    if not ids:
        return []
    return [Held(*row) for row in connection.execute(select(*_COLUMNS).where(among(connection, inbox.c.id, ids)))]


def _first(*columns: ColumnElement[Any]) -> Select[Any]:
    waiting = select(*columns).where(UNTAKEN, inbox.c.received_at < bindparam("older_than"))
    return waiting.order_by(inbox.c.shop, inbox.c.received_at).limit(bindparam("most"))  # as the index has them


_FIRST, _FIRST_IDS = _first(*_COLUMNS), _first(inbox.c.received_at, inbox.c.id)


def _shared_out(connection: Connection, limit: int, older_than: datetime) -> list[str]:
    """Ids in equal parts for the shops that have some."""
    shops = list(connection.execute(_SHOPS, {"older_than": older_than, "most": limit}).scalars())
    ids: list[str] = []
    for place, shop in enumerate(shops):
        part = -(-(limit - len(ids)) // (len(shops) - place))
        ids += _oldest(connection, shop, older_than, part)
    if len(ids) < limit and len(shops) > 1:
        more = [row for shop in shops for row in _oldest(connection, shop, older_than, limit)]
        ids = list(dict.fromkeys(ids + more))[:limit]
    return ids


_SHOPS = text(
    """
    WITH RECURSIVE waiting(shop) AS (
        SELECT (SELECT shop FROM inbox WHERE NOT taken AND received_at < :older_than ORDER BY shop LIMIT 1)
        UNION ALL
        SELECT (SELECT shop FROM inbox WHERE NOT taken AND shop > waiting.shop AND received_at < :older_than
                ORDER BY shop LIMIT 1)
        FROM waiting WHERE waiting.shop IS NOT NULL)
    SELECT shop FROM waiting WHERE shop IS NOT NULL LIMIT :most
    """
).bindparams(bindparam("older_than", type_=inbox.c.received_at.type))
"""Found by skipping through the index: the cost does not grow with what waits."""


def _oldest(connection: Connection, shop: str, older_than: datetime, limit: int) -> list[str]:
    query = select(inbox.c.id).where(UNTAKEN, inbox.c.shop == shop, inbox.c.received_at < older_than)
    return list(connection.scalars(query.order_by(inbox.c.received_at).limit(limit)))


def _insert(connection: Connection, arrivals: Sequence[Arrival]) -> set[str]:
    """Inserts those whose key is new and returns their ids."""
    # Two ingest processes that insert the same keys in different orders would deadlock on PostgreSQL; the sort is
    # stable, so that the first of one key stays the first.
    ordered = sorted(arrivals, key=lambda each: each.key)
    moment = _moment_for(connection.dialect)
    stored: set[str] = set()
    for some in _portions(ordered):
        values: list[Any] = []
        for each in some:
            values += (each.id, *each.key, each.kind, each.topic, each.label, each.body, each.digest)
            values.append(moment(each.received_at))
        statement = _statement(len(some), "?" if connection.dialect.name == "sqlite" else "%s")
        stored.update(row[0] for row in connection.exec_driver_sql(statement, tuple(values)))
    return stored


@cache
def _statement(rows: int, placeholder: str) -> str:
    # Written by hand: compiled anew for each number of rows, SQLAlchemy's costs more than the insert itself.
    columns = ("id", "shop", "source", "event_id", "kind", "topic", "label", "body", "digest", "received_at")
    row = f"({', '.join([placeholder] * len(columns))})"
    return (  # names and placeholders of our own, no data
        f"INSERT INTO {inbox.name} ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"  # noqa: S608
        " ON CONFLICT (shop, source, event_id) DO NOTHING RETURNING id"
    )


@cache
def _moment_for(dialect: Dialect) -> Callable[[datetime], Any]:
    """How the driver wants a time, as the table's own type says."""
    return inbox.c.received_at.type.dialect_impl(dialect).bind_processor(dialect) or (lambda moment: moment)


def _firsts(connection: Connection, arrivals: Sequence[Arrival]) -> dict[Key, tuple[str, str]]:
    """By key, id and digest of the rows that were there before."""
    found: dict[Key, tuple[str, str]] = {}
    columns = select(inbox.c.id, inbox.c.digest, inbox.c.shop, inbox.c.source, inbox.c.event_id)
    key = (inbox.c.shop, inbox.c.source, inbox.c.event_id)
    for some in _portions(sorted({each.key for each in arrivals})):
        keys = among_keys(connection, key, some)  # listed one by one, SQLite would read the whole table
        found |= {(row[2], row[3], row[4]): (row[0], row[1]) for row in connection.execute(columns.where(keys))}
    return found


def _verdict(arrival: Arrival, stored: set[str], firsts: dict[Key, tuple[str, str]]) -> Verdict:
    if arrival.id in stored:
        return Verdict.ACCEPTED
    first, digest = firsts[arrival.key]
    if first == arrival.id:
        return Verdict.ACCEPTED
    return Verdict.DUPLICATE if digest == arrival.digest else Verdict.CONFLICT


def _portions(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _ASKED_AT_ONCE):
        yield items[start : start + _ASKED_AT_ONCE]


def _cause(error: Exception) -> str:
    """What the driver said, without the statement and its parameters: those are customers' data."""
    return str(error.orig if isinstance(error, DBAPIError) else error).strip() or type(error).__name__
