"""Verifying the audit trail: everything is computed again, and compared with the state it tells of.

What it cannot see as long as roots are not kept elsewhere: the owner of the database rewriting an entry, its hash
and every seal from there on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, FromClause, LargeBinary, Row, Select, Text, cast, func, select, type_coerce
from sqlalchemy.exc import DBAPIError

from worker.store.engine import Store
from worker.store.merkle import EMPTY, edge_text, grow, root_of
from worker.store.replay import Differs, check_numbers, check_state
from worker.store.schema import audit, audit_bodies, audit_leaves, seals, unsealed
from worker.store.seal import ONLY_LOOKUPS
from worker.store.trail import canonical, commitment, leaf_hash

PAGE = 1_000
_PLACE = audit_leaves.c.leaf_index
_BODY_OF = audit_bodies.c.entry_id


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found. `sealed` and `unsealed` add up to `entries` when all is well.

    `erased`: entries whose personal data was erased, as it may be; counted up to the first problem.
    `first_problem`: one sentence that names the entry or the subject and what differs.
    """

    ok: bool
    entries: int
    sealed: int
    unsealed: int
    seals: int
    erased: int
    first_problem: str | None


@dataclass(slots=True)
class _Bodies:
    seen: int = 0
    erased: int = 0


def verify(store: Store) -> Verdict:
    """Recomputes every leaf and root, looks for what was removed or slipped in, and replays the trail against jobs.

    Reads one snapshot in bounded memory and changes nothing; writers go on meanwhile.
    """
    bodies = _Bodies()
    problem = None
    with _snapshot(store) as connection:
        entries, sealed, waiting, roots = (_count(connection, t) for t in (audit, audit_leaves, unsealed, seals))
        try:
            _check_tree(connection, bodies)
            _check_tail(connection, bodies)
            if entries != sealed + waiting:
                raise Differs(f"{_stray(connection)} has no place in the trail: it was slipped in.")
            _check_no_stray_body(connection, bodies)
            check_numbers(connection)
            check_state(connection)
        except Differs as found:
            problem = str(found)
        except DBAPIError as error:
            if not _unreadable(error):
                raise
            problem = f"A row of the trail was changed and cannot be read any more: {error.orig}."
    return Verdict(problem is None, entries, sealed, waiting, roots, bodies.erased, problem)


@contextmanager
def _snapshot(store: Store) -> Iterator[Connection]:
    if store.sqlite:
        with store.read() as connection:
            yield connection
        return
    options: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with store.engine.connect().execution_options(**options) as connection:
        connection.exec_driver_sql(ONLY_LOOKUPS)
        yield connection


def _count(connection: Connection, table: FromClause) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _unreadable(error: DBAPIError) -> bool:
    """SQLite hands out a text column with a flipped byte as an error of decoding."""
    return "UTF-8" in str(error.orig)


def _check_tree(connection: Connection, bodies: _Bodies) -> None:
    """Entries in the order of the tree, and every seal where the tree has its size."""
    edge: list[bytes] = []
    size, sealed, previous = 0, 0, EMPTY
    roots = _rows(connection, select(seals.c.size, seals.c.root, seals.c.previous, seals.c.edge), seals.c.size)
    seal = next(roots, None)
    for row in _rows(connection, _entries(connection, audit_leaves, _PLACE), _PLACE):
        if row.place != size:
            raise Differs(f"Position {size} of the tree is empty: {_displaced(connection)}.")
        grow(edge, size, _check_entry(row, bodies))
        size += 1
        if seal is not None and seal.size == size:
            _check_seal(seal, edge, sealed, previous)
            sealed, previous, seal = size, seal.root, next(roots, None)
    if seal is not None:
        raise Differs(f"The seal of {seal.size} entries has only {size}: the positions from {size} on were removed.")
    if sealed != size:
        raise Differs(f"The positions {sealed} to {size - 1} of the tree have no seal: the newest seal was removed.")


def _check_seal(seal: Row[Any], edge: list[bytes], sealed: int, previous: bytes) -> None:
    name = f"The seal of {seal.size} entries"
    if seal.previous != previous:
        raise Differs(f"{name} does not follow the seal of {sealed}: one of them was changed, or one between removed.")
    if seal.root != root_of(edge):
        raise Differs(
            f"{name} has another root than its entries give: the seal was changed, or an entry at one of the "
            f"positions {sealed} to {seal.size - 1} was moved, or exchanged together with its hash."
        )
    if seal.edge != edge_text(edge):
        raise Differs(f"{name} has another edge than its entries give: the seal was changed.")


def _check_tail(connection: Connection, bodies: _Bodies) -> None:
    """Entries that wait to be sealed."""
    query = _entries(connection, unsealed, unsealed.c.entry_id).add_columns(audit_leaves.c.leaf_index)
    query = query.outerjoin(audit_leaves, audit_leaves.c.entry_id == unsealed.c.entry_id)
    for row in _rows(connection, query, unsealed.c.entry_id):
        if row.leaf_index is not None:
            raise Differs(f"Entry {row.entry_id} waits to be sealed, but is sealed at position {row.leaf_index}.")
        _check_entry(row, bodies)


def _entries(connection: Connection, listed: Any, key: Any) -> Select[Any]:
    """Rows of a table that lists entries, with the entry and its body where they exist."""
    # As SQLite has it: more than one text can be read as the same moment.
    at = type_coerce(audit.c.at, Text).label("at") if connection.dialect.name == "sqlite" else audit.c.at
    columns = [column for column in audit.c if column.name != "at"]
    return (
        select(key.label("place"), listed.c.entry_id.label("entry_id"), at, *columns)
        .add_columns(audit_bodies.c.entry_id.label("body_of"), audit_bodies.c.salt, audit_bodies.c.body)
        .select_from(listed)
        .outerjoin(audit, audit.c.id == listed.c.entry_id)
        .outerjoin(audit_bodies, audit_bodies.c.entry_id == listed.c.entry_id)
    )


def _rows(connection: Connection, query: Select[Any], key: Any) -> Iterator[Row[Any]]:
    """All rows by their key (the first column), a page at a time."""
    page = query.order_by(key).limit(PAGE)
    while True:
        try:
            rows = connection.execute(page).all()
        except DBAPIError as error:
            if not _unreadable(error):
                raise
            raise Differs(_which_is_unreadable(connection, page, key)) from None
        yield from rows
        if len(rows) < PAGE:
            return
        page = query.where(key > rows[-1][0]).order_by(key).limit(PAGE)


def _which_is_unreadable(connection: Connection, page: Select[Any], key: Any) -> str:
    """Reads a page that failed again, row by row."""
    name = cast(key.table.c.entry_id, LargeBinary) if "entry_id" in key.table.c else key
    for found in connection.execute(page.with_only_columns(key, name.label("name"))).all():
        try:
            connection.execute(page.where(key == found[0])).all()
        except DBAPIError:
            which = found.name.decode(errors="replace") if isinstance(found.name, bytes) else f"seal {found.name}"
            return f"Entry {which} was changed: a column is not text in UTF-8 any more."
    return f"A row of {key.table.name} was changed and cannot be read any more."


def _check_entry(row: Row[Any], bodies: _Bodies) -> bytes:
    """Returns the leaf computed from the entry's columns."""
    if row.id is None:
        raise Differs(f"Entry {row.entry_id} is missing: it was deleted, or its id changed.")
    name = f"Entry {row.id} ({row.subject}, number {row.seq})"
    try:
        leaf = leaf_hash(canonical({**row._mapping, "at": _moment(row.at)}))
    except (TypeError, ValueError) as error:
        raise Differs(f"{name} was changed: {error}.") from None
    if leaf != row.leaf:
        raise Differs(f"{name} was changed: its columns do not give the hash that is stored with it.")
    _check_body(row, name, bodies)
    return leaf


def _moment(stored: Any) -> datetime:
    if isinstance(stored, datetime):
        return stored
    moment = datetime.fromisoformat(stored)
    if moment.isoformat() != stored or moment.utcoffset() != timedelta(0):
        raise ValueError(f"its time is written {stored!r}")
    return moment


def _check_body(row: Row[Any], name: str, bodies: _Bodies) -> None:
    promised = _promised(row, name)
    if row.body_of is None:
        bodies.erased += promised is not None
        return
    bodies.seen += 1
    if not isinstance(row.salt, bytes) or not isinstance(row.body, str) or commitment(row.salt, row.body) != promised:
        raise Differs(f"The request and response kept with {name[0].lower()}{name[1:]} are not those it speaks of.")


def _promised(row: Row[Any], name: str) -> Any:
    try:
        return orjson.loads(row.detail).get("body")
    except (ValueError, AttributeError):
        raise Differs(f"{name} was not written by Billhook: its detail is not a JSON object.") from None


def _check_no_stray_body(connection: Connection, bodies: _Bodies) -> None:
    if _count(connection, audit_bodies) != bodies.seen:
        query = select(audit_bodies.c.entry_id).where(~select(audit).where(audit.c.id == _BODY_OF).exists())
        stray = connection.execute(query.limit(1)).scalar()
        raise Differs(f"A request and response are kept for entry {stray}, which does not exist.")


def _stray(connection: Connection) -> str:
    """An entry that is neither sealed nor waits to be."""
    query = (
        select(audit.c.id, audit.c.subject, audit.c.seq)
        .where(~select(audit_leaves).where(audit_leaves.c.entry_id == audit.c.id).exists())
        .where(~select(unsealed).where(unsealed.c.entry_id == audit.c.id).exists())
    )
    row = connection.execute(query.limit(1)).first()
    return "An entry" if row is None else f"Entry {row.id} ({row.subject}, number {row.seq})"


def _displaced(connection: Connection) -> str:
    stray = _stray(connection)
    return "its row was removed" if stray == "An entry" else f"{stray[0].lower()}{stray[1:]} lost its place"
