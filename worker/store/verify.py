"""Verifying the audit trail: everything is computed again, and compared with the state it tells of.

What it cannot see as long as roots are not kept elsewhere: the owner of the database rewriting an entry, its hash
and every seal after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Connection, FromClause, Row, Select, Text, cast, func, literal, or_, select, union_all
from sqlalchemy.exc import DBAPIError

from worker.store.engine import Store
from worker.store.merkle import EMPTY, append_leaves, edge_text
from worker.store.schema import audit, audit_bodies, audit_leaves, jobs, seals, unsealed
from worker.store.trail import canonical, commitment, leaf_hash

PAGE = 1_000
JOB_KINDS = ("event", "customer", "invoice", "notice")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found. `sealed` and `unsealed` add up to `entries` when all is well; `erased`: entries whose
    personal data was erased, as it may be. `first_problem`: one sentence that names what differs."""

    ok: bool
    entries: int
    sealed: int
    unsealed: int
    seals: int
    erased: int
    first_problem: str | None


class _Differs(Exception):
    """The sentence for the verdict."""


@dataclass(slots=True)
class _Walk:
    """One verification: a snapshot of the store and what was counted on the way."""

    connection: Connection
    erased: int = 0


def verify(store: Store) -> Verdict:
    """Recomputes every leaf and root, looks for what was removed or slipped in, and replays the trail against jobs.

    Reads one snapshot in bounded memory and changes nothing; writers go on meanwhile.
    """
    with _snapshot(store) as connection:
        walk = _Walk(connection)
        entries, sealed, waiting, roots = (_count(connection, table) for table in (audit, audit_leaves, unsealed, seals))
        problem = None
        try:
            for check in _CHECKS:
                check(walk)
        except _Differs as found:
            problem = str(found)
    return Verdict(problem is None, entries, sealed, waiting, roots, walk.erased, problem)


@contextmanager
def _snapshot(store: Store) -> Iterator[Connection]:
    if store.sqlite:
        with store.read() as connection:
            yield connection
        return
    with store.engine.connect().execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    ) as connection:
        # Keyset pages want index look-ups; a table without statistics yet would be hashed whole for each page.
        connection.exec_driver_sql("SET LOCAL enable_hashjoin = off")
        connection.exec_driver_sql("SET LOCAL enable_mergejoin = off")
        yield connection


def _count(connection: Connection, table: FromClause) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _sealed(walk: _Walk) -> None:
    """Entries in the order of the tree, and every seal where the tree has its size."""
    edge: list[bytes] = []
    size, root, previous = 0, EMPTY, EMPTY
    roots = _seals(walk.connection)
    seal = next(roots, None)
    for row in _places(walk.connection):
        if row.leaf_index != size:
            raise _Differs(_lost_place(walk.connection, size))
        edge, root = _grown(edge, size, _leaf(walk, row, f"at position {size} of the tree"))
        size += 1
        if seal is not None and seal.size == size:
            _check_seal(seal, edge, root, previous)
            previous, last, seal = root, size, next(roots, None)
    if seal is not None:
        raise _Differs(f"The seal of {seal.size} entries has only {size}: the positions from {size} on were removed.")
    if previous != (root if size else EMPTY):
        raise _Differs(f"The last of {size} sealed entries have no seal: the seal of {size} entries was removed.")
"""placeholder"""
