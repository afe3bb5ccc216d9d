"""Orders as their sources tell of them: the newest telling counts, and accounts are decided once.

Everything here is idempotent: unique keys decide, not what was read before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import orjson
from sqlalchemy import Connection, Row, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from connectors.model import Order
from worker import testpoints
from worker.store.ids import new_id
from worker.store.jobs import now
from worker.store.rows import among, among_keys, given_for, packed, update_rows
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
class Decision:
    """What was decided about an order with its first intent, for good."""

    accounts: tuple[str, ...]
    per: str
    """One invoice per "order", or per "shipment"."""
    invoiced_as: str
    """The fingerprint of the order as it was then; of an invoice that was adopted nobody knows more than the total."""

    def is_of(self, now: str) -> bool:
        """Whether an order with this fingerprint is as it was invoiced."""
        return self.invoiced_as in (now, now.rpartition(" ")[0])


def total_only(order: Order) -> str:
    """What is known of an invoice that somebody else made of the order, in the place of its fingerprint."""
    return f"{order.total} {order.currency}"


def fingerprint(order: Order) -> str:
    """Total, currency and a digest of whatever an invoice says of amounts: equal for orders that are invoiced alike."""
    said = order.model_dump_json(include={"tax_included": True, "lines": True, "discount": True, "shipping": True})
    return f"{order.total} {order.currency} {hashlib.sha256(said.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Known:
    """An order as the store has it after this batch's events. `source`: the one that tells of it."""

    id: str
    source: str
    order: Order
    decision: Decision | None
    """Made with the first intent; None before."""
    noticed_as: str | None
    """The fingerprint of the last change that a person was told of."""
    cancelled_at: datetime | None


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
    written = connection.execute(_newest(connection.dialect.name, testpoints.without("newest")), rows)
    known = {key: _known(row, newest[key].order) for row in written for key in [_identity(row)]}
    older = sorted(newest.keys() - known.keys())
    if older:
        query = select(orders).where(among_keys(connection, [orders.c[name] for name in _IDENTITY], older))
        found = connection.execute(query)
        known |= {_identity(row): _known(row, Order.model_validate_json(row.document)) for row in found}
    return known


def load_orders(connection: Connection, ids: Iterable[str]) -> dict[str, Known]:
    """The orders with these ids of ours, as the store has them; locked, in a fixed order."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    query = select(orders).where(among(connection, orders.c.id, wanted)).order_by(orders.c.id).with_for_update()
    return {row.id: _known(row, Order.model_validate_json(row.document)) for row in connection.execute(query)}


def _known(row: Row[Any], order: Order) -> Known:
    decision = None
    if row.accounts is not None:
        decision = Decision(tuple(orjson.loads(row.accounts)), row.invoice_per or "order", row.invoiced_as or "")
    return Known(row.id, row.source, order, decision, row.noticed_as, row.cancelled_at)


_IDENTITY = ("shop", "source", "source_id")
_KNOWN = ("id", *_IDENTITY, "accounts", "invoice_per", "invoiced_as", "noticed_as", "cancelled_at")


def _identity(row: Row[Any]) -> tuple[str, str, str]:
    return row.shop, row.source, row.source_id


@cache
def _newest(dialect: str, any_age: bool) -> Any:
    names = ("id", *_IDENTITY, "ref", "document", "as_of", "created_at")
    rows = given_for(orders, names, dialect)
    insert = sqlite.insert(orders) if dialect == "sqlite" else postgresql.insert(orders)
    newer = insert.excluded
    told = select(*(rows.c[name] for name in names)).where(text("true"))
    upsert = insert.from_select(list(names), told).on_conflict_do_update(
        index_elements=list(_IDENTITY),
        set_={"document": newer.document, "ref": newer.ref, "as_of": newer.as_of},
        where=None if any_age else newer.as_of >= orders.c.as_of,
    )
    return upsert.returning(*(orders.c[name] for name in _KNOWN))  # not those that are newer in the store


def record_decisions(connection: Connection, decided: Mapping[str, Decision]) -> None:
    """Stores, per order id, what was decided; where something is decided already it stays as it is."""
    rows = [
        {
            "id": order_id,
            "accounts": orjson.dumps(list(decision.accounts)).decode(),
            "invoice_per": decision.per,
            "invoiced_as": decision.invoiced_as,
        }
        for order_id, decision in sorted(decided.items())
    ]
    if rows:
        connection.execute(_deciding(connection.dialect.name), packed(connection, rows))


@cache
def _deciding(dialect: str) -> Any:
    names = ("accounts", "invoice_per", "invoiced_as")
    rows = given_for(orders, ("id", *names), dialect)
    undecided = orders.c.accounts.is_(None)
    return update(orders).where(orders.c.id == rows.c.id, undecided).values({name: rows.c[name] for name in names})


def notice(connection: Connection, changed: Mapping[str, str]) -> None:
    """A person is told that these orders (by id) are now like these fingerprints."""
    update_rows(connection, orders, [{"id": key, "noticed_as": value} for key, value in sorted(changed.items())])


def cancel(connection: Connection, cancelled: Mapping[str, datetime]) -> None:
    """These orders (by id) were cancelled in their shop, then."""
    update_rows(connection, orders, [{"id": key, "cancelled_at": at} for key, at in sorted(cancelled.items())])


def invoiced_as(connection: Connection, fingerprints: Mapping[str, str]) -> None:
    """These orders (by id) are invoiced anew, as they are now."""
    update_rows(connection, orders, [{"id": key, "invoiced_as": value} for key, value in sorted(fingerprints.items())])
