"""Which rows a person means, when they decide about work that is held: by order, account, kind, reason."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from worker.store.schema import invoices, jobs, orders

HELD = ("held",)
NAMED = ("held", "mismatch", "doubled")
"""States that are decided about where an order or an account is named: what exists on a platform and is not as it
should be must not be swept along by a wide choice."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Everything that is given must match; None matches all.

    `order`: as people call it, the source's id of it, or ours; with everything that hangs on it. `events`: our ids of
    events, in place of the order or beside it. `account`: `shop/name`, or the name alone. `reason_contains`: a part of
    the reason for which the rows stand, in any case.
    """

    shop: str | None = None
    order: str | None = None
    account: str | None = None
    kind: str | None = None
    reason_contains: str | None = None
    events: tuple[str, ...] = ()

    @property
    def states(self) -> tuple[str, ...]:
        """Those that the choice is about."""
        return NAMED if self.named else HELD

    @property
    def named(self) -> bool:
        return self.order is not None or self.account is not None


def matching(connection: Connection, choice: Choice) -> list[ColumnElement[bool]]:
    """The choice as conditions on `jobs`, whatever their states are."""
    conditions: list[ColumnElement[bool]] = []
    if choice.shop is not None:
        conditions.append(jobs.c.shop == choice.shop)
    if choice.order is not None:
        conditions.append(or_(_of_order(connection, choice.order), jobs.c.id.in_(choice.events)))
    if choice.account is not None:
        of_shop, _, name = choice.account.rpartition("/")
        conditions.append(jobs.c.account == name)
        if of_shop:
            conditions.append(jobs.c.shop == of_shop)
    if choice.kind is not None:
        conditions.append(jobs.c.kind == choice.kind)
    if choice.reason_contains is not None:
        conditions.append(jobs.c.reason.icontains(choice.reason_contains, autoescape=True))
    return conditions


def _of_order(connection: Connection, order: str) -> ColumnElement[bool]:
    """What hangs on the order: its own rows, the customers of its invoices, and events that never got to it."""
    named = or_(orders.c.ref == order, orders.c.source_id == order, orders.c.id == order)
    found = connection.execute(select(orders.c.id, orders.c.shop, orders.c.ref).where(named)).all()
    ids = [row.id for row in found]
    awaited = select(jobs.c.waits_for).where(jobs.c.order_id.in_(ids), jobs.c.waits_for.is_not(None))
    customers = select(invoices.c.customer_id).where(invoices.c.order_id.in_(ids))
    called = or_(jobs.c.label == order, *(and_(jobs.c.shop == row.shop, jobs.c.label == row.ref) for row in found))
    unplaced = and_(jobs.c.kind == "event", jobs.c.order_id.is_(None), called)
    return or_(jobs.c.order_id.in_(ids), jobs.c.id.in_(awaited), jobs.c.id.in_(customers), unplaced)
