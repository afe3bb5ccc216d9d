"""Orders that changed after they were invoiced: once their invoice is given back they are invoiced as they are now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.refunding import CHANGED
from worker.accounts import accounts
from worker.intending import intent_of
from worker.store.credits import replaced
from worker.store.intents import record_intents
from worker.store.jobs import now
from worker.store.orders import fingerprint, invoiced_as, load_orders


def reinvoice(connection: Any, ended: Sequence[str]) -> int:
    """In the commit that ends these invoices (by id) their revision rises: of those that were given back because their
    order had changed the next one becomes due, unless the order was cancelled meanwhile. Returns how many."""
    gone = replaced(connection, ended, CHANGED)
    if not gone:
        return 0
    orders = load_orders(connection, {one.order_id for one in gone})
    intents = [
        intent_of(
            accounts()[one.shop, one.account], orders[one.order_id].source, orders[one.order_id].order, one.order_id,
            now(), one.part, revision=one.revision + 1,
        )
        for one in gone
        if (one.shop, one.account) in accounts() and orders[one.order_id].cancelled_at is None
    ]  # fmt: skip
    invoiced_as(connection, {one.order_id: fingerprint(orders[one.order_id].order) for one in intents})
    return len(record_intents(connection, intents))
