"""The shops' side of the sandbox: sample orders and the deliveries that real shops would send for them.

Nothing here is taken from `connectors.sources`: the bodies and signatures are made from the shops'
own documentation, so that a mistake there does not hide here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from standardwebhooks import Webhook

from connectors.sandbox.baskets import Basket, basket
from connectors.sandbox.bodies import placed, shopify_order, standard_event, woocommerce_order


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP POST, ready to be sent."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class ShopDelivery:
    """One thing that a shop says; sent twice, it is a duplicate."""

    source: str
    """The name under which the source is configured: "web", "shop" or "erp"."""
    kind: str
    """"shopify", "woocommerce" or "standard"."""
    id: str
    """The shop's id of the delivery, the same over retries."""
    topic: str
    body: bytes

    def request(self, shop: str, secret: str, now: datetime) -> Request:
        """The delivery as the shop `shop` would post it at `now`, signed with `secret`.

        For "standard", a secret that is not `whsec_…` is the shop's API key.
        """
        headers = {"Content-Type": "application/json"}
        if self.kind == "standard":
            signed = secret.startswith("whsec_")  # a signature does not say whose it is
            path = f"/events?shop={shop}" if signed else "/events"
            return Request(path, headers | self._standard(secret, now), self.body)
        signature = base64.b64encode(hmac.new(secret.encode(), self.body, hashlib.sha256).digest()).decode()
        own = self._shopify(signature) if self.kind == "shopify" else self._woocommerce(signature)
        return Request(f"/in/{shop}/{self.source}", headers | own, self.body)

    def _shopify(self, signature: str) -> dict[str, str]:
        return {
            "X-Shopify-Topic": self.topic,
            "X-Shopify-Shop-Domain": "engraver.myshopify.com",
            "X-Shopify-API-Version": "2026-10",
            "X-Shopify-Webhook-Id": self.id,
            "X-Shopify-Hmac-Sha256": signature,
        }

    def _woocommerce(self, signature: str) -> dict[str, str]:
        resource, _, event = self.topic.partition(".")
        return {
            "X-WC-Webhook-Source": "https://engraver.example/",
            "X-WC-Webhook-Topic": self.topic,
            "X-WC-Webhook-Resource": resource,
            "X-WC-Webhook-Event": event,
            "X-WC-Webhook-ID": "3",
            "X-WC-Webhook-Delivery-ID": self.id,
            "X-WC-Webhook-Signature": signature,
        }

    def _standard(self, secret: str, now: datetime) -> dict[str, str]:
        if not secret.startswith("whsec_"):
            return {"Authorization": f"Bearer {secret}"}
        signature = Webhook(secret).sign(self.id, now.astimezone(UTC), self.body.decode())
        return {"webhook-id": self.id, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}


@dataclass(frozen=True, slots=True)
class ShopOrder:
    """One order that must end as one invoice, and what the shop sends about it, in the order of arrival."""

    source: str
    order_id: str
    ref: str
    customer: str
    email: str
    lines: tuple[str, ...]
    """The descriptions of the products; each holds `ref`, so they are found on no other order."""
    currency: str
    total: Decimal
    deliveries: tuple[ShopDelivery, ...]


def sample_orders(count: int, seed: int) -> list[ShopOrder]:
    """Orders of three shops, the same for the same seed. Among their deliveries are repeated ones,
    older states that come late, and second events for an order that is invoiced already.
    """
    dice = random.Random(seed)
    makers = (_web, _web, _shop, _shop, _erp)
    return [makers[number % len(makers)](number, dice) for number in range(count)]


def arrivals(orders: list[ShopOrder], seed: int) -> list[ShopDelivery]:
    """All deliveries mixed as they would come in; those of one order keep their order."""
    turns = [index for index, order in enumerate(orders) for _ in order.deliveries]
    random.Random(seed).shuffle(turns)
    waiting = [iter(order.deliveries) for order in orders]
    return [next(waiting[index]) for index in turns]


def _mixed(
    dice: random.Random, due: ShopDelivery, older: ShopDelivery, again: ShopDelivery
) -> tuple[ShopDelivery, ...]:
    """`due` asks for the invoice; `older` is an earlier state of the order, `again` a later one that asks as well."""
    return dice.choice(
        (
            (due,),
            (older, due),
            (older, due),
            (due, older),
            (due, due),
            (due, again),
            (older, due, due, again, older),
        )
    )


def _finish(
    made: Basket, source: str, order_id: str, ref: str, total: Decimal, sent: tuple[ShopDelivery, ...]
) -> ShopOrder:
    buyer = made.buyer
    lines = tuple(item.title for item in made.items)
    return ShopOrder(source, order_id, ref, buyer.company or buyer.name, buyer.email, lines, made.currency, total, sent)


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _unsent(made: Basket) -> Basket:
    """The basket as it was before shipping was chosen: another total, which no invoice may have."""
    return replace(made, shipping=Decimal(0), carrier="Collection in person")


def _web(number: int, dice: random.Random) -> ShopOrder:
    ref = f"#{1001 + number}"
    made = basket(number, ref, dice)
    included = dice.random() < 0.3

    def sent(what: str, topic: str, minutes: int, form: Basket, fulfilled: bool) -> ShopDelivery:
        order = shopify_order(
            form, placed(number) + timedelta(minutes=minutes), taxes_included=included, fulfilled=fulfilled
        )
        return ShopDelivery("web", "shopify", f"b54557e4-{number:08d}-{what}", topic, _json(order))

    due = sent("fulfilled", "orders/fulfilled", 60, made, True)
    older = sent("updated", "orders/updated", 5, _unsent(made), False)
    again = sent("again", "orders/fulfilled", 90, made, True)
    total = Decimal(json.loads(due.body)["total_price"])
    return _finish(made, "web", str(5123456780000 + number), ref, total, _mixed(dice, due, older, again))


def _shop(number: int, dice: random.Random) -> ShopOrder:
    ref = str(20001 + number)
    made = basket(number, ref, dice)
    guest = dice.random() < 0.3

    def sent(what: str, minutes: int, form: Basket, status: str) -> ShopDelivery:
        order = woocommerce_order(form, placed(number) + timedelta(minutes=minutes), status=status, guest=guest)
        delivery_id = hashlib.md5(f"3{number}{what}".encode(), usedforsecurity=False).hexdigest()
        return ShopDelivery("shop", "woocommerce", delivery_id, "order.updated", _json(order))

    due = sent("completed", 60, made, "completed")
    older = sent("processing", 5, _unsent(made), "processing")
    again = sent("note", 90, made, "completed")
    total = Decimal(json.loads(due.body)["total"])
    return _finish(made, "shop", ref, ref, total, _mixed(dice, due, older, again))


def _erp(number: int, dice: random.Random) -> ShopOrder:
    ref = f"SO-{3001 + number}"
    made = basket(number, ref, dice)

    def sent(what: str, minutes: int, form: Basket) -> ShopDelivery:
        event = standard_event(form, placed(number) + timedelta(minutes=minutes), ref=ref, type=what)
        return ShopDelivery("erp", "standard", event["id"], what, _json(event))

    due = sent("order.fulfilled", 60, made)
    older = sent("order.updated", 5, _unsent(made))
    again = sent("order.completed", 90, made)
    order = json.loads(due.body)["order"]
    return _finish(made, "erp", order["id"], ref, Decimal(order["total"]), _mixed(dice, due, older, again))
