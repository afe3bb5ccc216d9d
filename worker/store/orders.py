"""Orders as their sources tell of them: the newest telling counts, and accounts are decided once.

Everything here is idempotent: unique keys decide, not what was read before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import orjson
from sqlalchemy import Connection, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from connectors.model import Order
from worker import testpoints
from worker.store.ids import new_id
from worker.store.jobs import now
from worker.store.rows import among, among_keys, given_for, packed
from worker.store.schema import orders


@dataclass(frozen=True, slots=True)
class Told:
    """What one event tells of the order that it carries."""

    shop: str
    source: str
    order: Order
    occurred_at: datetime

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.shop, self.source, self.order.id


@dataclass(frozen=True, slots=True)
class Known:
    """An order as the store has it after this batch's events. `source`: the one that tells of it."""

    id: str
    source: str
    order: Order
    accounts: tuple[str, ...] | None
    """Decided with the first intent; None before."""


def record_orders(connection: Connection, told: Iterable[Told]) -> dict[tuple[str, str, str], Known]:
    """Stores each order as its newest event tells it; an older event never overwrites a newer one."""
    newest: dict[tuple[str, str, str], Told] = {}
    for item in sorted(told, key=lambda item: item.occurred_at):
        newest[item.identity] = item
    by_identity = {
        identity: {
            "id": new_id(),
            "shop": item.shop,
            "source": item.source,
            "source_id": item.order.id,
            "ref": item.order.ref,
            "document": item.order.model_dump_json(),
            "as_of": item.occurred_at,
            "created_at": now(),
        }
        for identity, item in sorted(newest.items())
    }
    if not by_identity:
        return {}
    rows = packed(connection, list(by_identity.values()))
    connection.execute(_newest(connection.dialect.name, testpoints.without("newest")), rows)
    told_as = {identity: (str(row["document"]), newest[identity].order) for identity, row in by_identity.items()}
    identity = [orders.c[name] for name in _IDENTITY]
    found = connection.execute(select(orders).where(among_keys(connection, identity, newest)))
    return {
        (row.shop, row.source, row.source_id): Known(
            row.id,
            row.source,
            _order(row.document, told_as[row.shop, row.source, row.source_id]),
            _accounts(row.accounts),
        )
        for row in found
    }


def load_orders(connection: Connection, ids: Iterable[str]) -> dict[str, Known]:
    """The orders with these ids of ours, as the store has them."""
    query = select(orders).where(among(connection, orders.c.id, list(ids)))
    return {
        row.id: Known(row.id, row.source, Order.model_validate_json(row.document), _accounts(row.accounts))
        for row in connection.execute(query)
    }


def _accounts(stored: str | None) -> tuple[str, ...] | None:
    return None if stored is None else tuple(orjson.loads(stored))


_IDENTITY = ("shop", "source", "source_id")


@cache
def _newest(dialect: str, any_age: bool) -> Any:
    names = ("id", *_IDENTITY, "ref", "document", "as_of", "created_at")
    rows = given_for(orders, names, dialect)
    insert = sqlite.insert(orders) if dialect == "sqlite" else postgresql.insert(orders)
    newer = insert.excluded
    told = select(*(rows.c[name] for name in names)).where(text("true"))
    return insert.from_select(list(names), told).on_conflict_do_update(
        index_elements=list(_IDENTITY),
        set_={"document": newer.document, "ref": newer.ref, "as_of": newer.as_of},
        where=None if any_age else newer.as_of >= orders.c.as_of,
    )


def _order(document: str, told: tuple[str, Order]) -> Order:
    """The stored order; the one that was just told where the store holds exactly that."""
    return told[1] if document == told[0] else Order.model_validate_json(document)


def decide_accounts(connection: Connection, decided: dict[str, Sequence[str]]) -> None:
    """Stores, per order id, the accounts it goes to; where that is decided already it stays as it is."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for order_id, accounts in decided.items():
        alike.setdefault(tuple(accounts), []).append(order_id)
    for names, order_ids in alike.items():
        connection.execute(
            update(orders)
            .where(among(connection, orders.c.id, order_ids), orders.c.accounts.is_(None))
            .values(accounts=orjson.dumps(list(names)).decode())
        )
