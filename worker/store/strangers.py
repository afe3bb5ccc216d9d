"""Invoices on a platform that we did not make: which are kept in mind, and what was decided about each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, Select, func, or_, select, text
from sqlalchemy.dialects import postgresql, sqlite

from connectors.model import RemoteInvoice, rounded
from worker.store.ids import new_id
from worker.store.jobs import now
from worker.store.rows import among, among_keys, given_for, packed, update_rows
from worker.store.schema import documents, invoices, jobs, strangers
from worker.store.trail import Entry, append

CLAIMED, NOBODY, OURS, VOID = "claimed", "nobody", "ours", "void"
"""What a stranger is decided as: some order's; no order's, as a person says; ours after all; void by now."""


def bare(name: str | None) -> str:
    """A name in the form that is compared: "#SO-1" and "so-1" are one. Empty where there is none."""
    return (name or "").strip().removeprefix("#").casefold()


@dataclass(frozen=True, slots=True)
class Stranger:
    """An invoice as the platform lists it, without a key of ours."""

    remote_id: str
    number: str | None
    reference: str | None
    url: str | None
    customer_id: str | None
    total: Decimal
    currency: str
    status: str

    @classmethod
    def of(cls, listed: RemoteInvoice) -> Stranger:
        return cls(
            listed.id, listed.number, listed.reference, listed.url, listed.customer_id, listed.total, listed.currency,
            listed.status.value,
        )  # fmt: skip

    @property
    def names(self) -> frozenset[str]:
        """What it is called, in the form that is compared."""
        return frozenset({bare(self.number), bare(self.reference)} - {""})

    @property
    def title(self) -> str:
        """What a person knows it by."""
        return self.number or self.reference or self.remote_id

    @property
    def money(self) -> str:
        """Total and currency, with the currency's decimals where the platform leaves them out."""
        with suppress(ValueError, ArithmeticError):  # a currency or an amount that only the platform knows
            if (exact := rounded(self.total, self.currency)) == self.total:
                return f"{exact} {self.currency}"
        return f"{self.total} {self.currency}"


_INVOICE = tuple(Stranger.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Kept:
    """A stranger with what is known of it. `why`: it is uncertain; None: no order of its name was known."""

    id: str
    shop: str
    account: str
    invoice: Stranger
    order_id: str | None
    why: str | None
    decided_as: str | None


def _kept(row: Row[Any]) -> Kept:
    invoice = Stranger(*(getattr(row, name) for name in _INVOICE))
    return Kept(row.id, row.shop, row.account, invoice, row.order_id, row.why, row.decided_as)


def of_account(connection: Connection, shop: str, account: str) -> list[Kept]:
    """All of an account, decided or not, in the order they were seen first."""
    here = (strangers.c.shop == shop) & (strangers.c.account == account)
    return [_kept(row) for row in connection.execute(select(strangers).where(here).order_by(strangers.c.id))]


def called(connection: Connection, shop: str, account: str, name: str) -> list[Kept]:
    """Those that `name` (number, reference, the platform's id) means and a person may still decide on; locked."""
    here = (strangers.c.shop == shop) & (strangers.c.account == account)
    means = or_(strangers.c.name == bare(name), strangers.c.also == bare(name), strangers.c.remote_id == name)
    open_yet = or_(strangers.c.decided_as.is_(None), strangers.c.decided_as == NOBODY)
    query = select(strangers).where(here, means, open_yet).order_by(strangers.c.id).with_for_update()
    found = [_kept(row) for row in connection.execute(query)]
    return [each for each in found if each.invoice.remote_id == name] or found


def shops_with_any(connection: Connection, shops: Iterable[str]) -> set[str]:
    """Those of the shops that have strangers nobody has decided on."""
    query = _concerned(connection.dialect.name)
    return set(connection.execute(query, packed(connection, [{"shop": shop} for shop in shops])).scalars())


@cache
def _concerned(dialect: str) -> Select[Any]:
    rows = given_for(strangers, ("shop",), dialect)
    theirs = select(strangers.c.id).where(strangers.c.shop == rows.c.shop, strangers.c.decided_at.is_(None))
    return select(rows.c.shop).where(theirs.limit(1).scalar_subquery().is_not(None))  # one look into an index a shop


def undecided(connection: Connection, names: Iterable[tuple[str, str]]) -> list[Kept]:
    """Those of these (shop, name in the form that is compared) nobody has decided on; locked, in a fixed order."""
    wanted = list(names)
    ids: set[str] = set()
    for column in (strangers.c.name, strangers.c.also):  # each has its index
        these = among_keys(connection, (strangers.c.shop, column), wanted)
        ids.update(connection.execute(select(strangers.c.id).where(strangers.c.decided_at.is_(None), these)).scalars())
    if not ids:
        return []
    query = select(strangers).where(among(connection, strangers.c.id, sorted(ids)), strangers.c.decided_at.is_(None))
    return [_kept(row) for row in connection.execute(query.order_by(strangers.c.id).with_for_update())]


def keep(
    connection: Connection, shop: str, account: str, seen: Sequence[tuple[Stranger, str | None, str | None]]
) -> None:
    """Keeps (invoice, order id, why it is uncertain), each as it is now; what was decided by a person stays."""
    rows = [
        {
            **{name: getattr(invoice, name) for name in _INVOICE},
            "id": new_id(),
            "shop": shop,
            "account": account,
            "name": bare(invoice.number),
            "also": bare(invoice.reference),
            "since": now(),
            "order_id": order_id,
            "why": why,
        }
        for invoice, order_id, why in seen
    ]
    if rows:
        connection.execute(_keeping(tuple(rows[0]), connection.dialect.name), packed(connection, rows))


@cache
def _keeping(names: tuple[str, ...], dialect: str) -> Any:
    rows = given_for(strangers, names, dialect)
    insert = sqlite.insert(strangers) if dialect == "sqlite" else postgresql.insert(strangers)
    told = select(*(rows.c[name] for name in names)).where(text("true"))
    newer = insert.excluded
    again = {name: newer[name] for name in names if name not in ("id", "shop", "account", "remote_id", "since")}
    by_hand = func.coalesce(strangers.c.decided_as, "").in_((CLAIMED, NOBODY))
    return insert.from_select(list(names), told).on_conflict_do_update(
        index_elements=["shop", "account", "remote_id"],
        set_={**again, "decided_at": None, "decided_as": None},
        where=~by_hand,
    )


def decide(connection: Connection, shop: str, account: str, decided: Mapping[str, str | None], decided_as: str) -> None:
    """These (remote id, and the order whose it is) are no strangers any more; those that never were are let be."""
    if not decided:
        return
    here = (strangers.c.shop == shop) & (strangers.c.account == account)
    query = select(strangers.c.id, strangers.c.remote_id, strangers.c.order_id)
    known = connection.execute(query.where(here, among(connection, strangers.c.remote_id, list(decided)))).all()
    at = now()
    rows = [
        {
            "id": row.id,
            "decided_at": at,
            "decided_as": decided_as,
            "order_id": decided[row.remote_id] or row.order_id,
        }
        for row in known
    ]
    update_rows(connection, strangers, rows)


def dismiss(connection: Connection, kept: Kept, actor: str) -> None:
    """A person says that it is no order's."""
    decide(connection, kept.shop, kept.account, {kept.invoice.remote_id: None}, NOBODY)
    told = {"account": kept.account, "number": kept.invoice.title, "total": kept.invoice.money}
    entry = Entry(kept.shop, kept.order_id, f"stranger:{kept.id}", 0, "dismiss", NOBODY, actor, told)
    append(connection, [entry])


def ours(connection: Connection, tenant: str, listed: Sequence[RemoteInvoice]) -> set[str]:
    """The remote ids of those that belong to an invoice row of ours, by its key or because we have its id."""
    by_key = {one.key: one.id for one in listed if one.key}
    of_tenant = select(documents.c.remote_id, documents.c.key).join(invoices, invoices.c.id == documents.c.id)
    of_tenant = of_tenant.where(invoices.c.tenant == tenant, invoices.c.kind == "invoice")
    carried = connection.execute(of_tenant.where(among(connection, documents.c.key, list(by_key))))
    found = {by_key[row.key] for row in carried}
    known = connection.execute(of_tenant.where(among(connection, documents.c.remote_id, [one.id for one in listed])))
    return found | {row.remote_id for row in known}


def invoiced_already(connection: Connection, order_ids: Iterable[str]) -> dict[tuple[str, str], str]:
    """For each (order id, account) that has an invoice row of ours, what that is: "INV-7, issued"."""
    of_order = (
        select(invoices.c.order_id, invoices.c.account, invoices.c.reference, documents.c.remote_number, jobs.c.state)
        .join(documents, documents.c.id == invoices.c.id)
        .join(jobs, jobs.c.id == invoices.c.id)
        .where(among(connection, invoices.c.order_id, sorted(set(order_ids))), invoices.c.kind == "invoice")
    )
    return {
        (row.order_id, row.account): f"{row.remote_number or row.reference}, {row.state}"
        for row in connection.execute(of_order)
    }
