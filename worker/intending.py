"""From an order to the invoice that is due for it on an account, by what the configuration says today."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from connectors.model import Order
from worker import runtime
from worker.config_sections import AccountRef
from worker.store.intents import SHADOW, Intent
from worker.store.jobs import now


def intent_of(
    ref: AccountRef,
    source: str,
    order: Order,
    order_id: str,
    accepted_at: datetime,
    part: str = "order",
    number: int | None = None,
    revision: int = 0,
) -> Intent:
    """The intent for an order, or for the `part` of it that `order` is. It is dated today in the shop's time zone;
    `order_id` is ours, `accepted_at` the event's, in UTC. `revision`: how many invoices of it were given back."""
    shop = runtime.config().shop[ref.shop]
    today = now().astimezone(ZoneInfo(shop.timezone))
    return Intent(
        shop=ref.shop,
        source=source,
        account=ref.name,
        tenant=ref.tenant,
        order_id=order_id,
        order=order,
        prefix=shop.reference_prefix,
        longest=ref.facts.reference.max_length,
        one_currency=ref.facts.one_currency,
        customer_id=SHADOW if ref.account.mode == "shadow" else ref.account.customer,
        issued_on=today,
        due_on=today + timedelta(days=shop.payment_days),
        accepted_at=accepted_at,
        part=part,
        number=number,
        raised=revision,
        gather_until=now() + _gathering(ref.bulk),
    )


def _gathering(bulk: int) -> timedelta:
    """Rows of bulk platforms become due together, at the end of the current window of `linger` seconds."""
    linger = runtime.config().billhook.timing.linger
    if bulk <= 1 or linger <= 0:
        return timedelta(0)
    return timedelta(seconds=linger - time.time() % linger)
