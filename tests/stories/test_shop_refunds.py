"""What shops say they gave back, in their own bodies, and which credit notes are on the books in the end."""

from __future__ import annotations

import copy
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from tests.stories.conftest import MakeTale, Outside
from tests.stories.senders import Sent, bigcommerce, configured, credentials, shopify, woocommerce
from tests.stories.tale import Tale
from tests.unit.bigcommerce_bodies import DOCUMENT, ORDER
from tests.unit.test_sources_bigcommerce import HOOK
from tests.unit.test_sources_bigcommerce_refunds import REFUND as BIG_REFUND
from tests.unit.test_sources_bigcommerce_refunds import REFUNDED
from tests.unit.test_sources_shopify import order as shopify_order
from tests.unit.test_sources_shopify_refunds import paid
from tests.unit.test_sources_shopify_refunds import refund as shopify_refund
from tests.unit.test_sources_woocommerce import order as woo_order
from tests.unit.test_sources_woocommerce_refunds import LISTED
from tests.unit.test_sources_woocommerce_refunds import REFUND as WOO_REFUND

LATER = timedelta(minutes=10)
BACK = "60.72"
"""A plaque of two, and the shipping, with their tax."""


def soon(minutes: float = 1) -> datetime:
    """After the first question, before the second, which is asked `LATER`."""
    return (datetime.now(UTC) + timedelta(minutes=minutes)).replace(microsecond=0)


def credited(tale: Tale) -> dict[str, str]:
    """Reference and total of every credit note."""
    entries = tale.sandbox.credits("xero")
    assert len({entry.reference for entry in entries}) == len(entries)
    return {entry.reference: str(entry.total) for entry in entries}


def lines(tale: Tale) -> list[str]:
    """What the only credit note gives back: the names of its lines."""
    (entry,) = tale.sandbox.credits("xero")
    return [re.split(r" \(|\n| × ", line)[0] for line in entry.lines]


class TestShopify:
    FULFILLED = shopify("orders/fulfilled", shopify_order())

    @staticmethod
    def after(*refunds: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """The order as Shopify shows it once something was given back."""
        now = {"financial_status": "partially_refunded", "current_total_price": "57.42"}
        return shopify_order(**now, refunds=list(refunds), **changes)

    def tale(self, tell: MakeTale, outside: Outside) -> Tale:
        """A shop that was asked once, and has one invoice."""
        tale: Tale = tell(sources=configured("web", "shopify", **credentials("shopify", outside.url)))
        tale.asks("web")
        tale.gets("web", self.FULFILLED)
        return tale

    def test_what_was_given_back_is_one_credit_note_and_the_order_is_not_said_to_have_changed(
        self, tell: MakeTale
    ) -> None:
        tale = tell(sources=configured("web", "shopify"))
        told = [shopify("refunds/create", shopify_refund(), ident=ident) for ident in ("first", "first", "second")]
        saved = shopify("orders/updated", self.after(shopify_refund(), updated_at="2026-11-22T12:00:00Z"))
        tale.gets("web", self.FULFILLED, *told, saved)
        assert tale.books == {"#1001": "118.14"}
        assert credited(tale) == {"#1001-C1": BACK}
        assert lines(tale) == ["Brass plaque, engraved", "Royal Mail 48"]
        assert set(tale.states_of_events) == {"done"}

    def test_all_of_it_given_back_in_two_refunds_leaves_nothing(self, tell: MakeTale) -> None:
        tale = tell(sources=configured("web", "shopify"))
        rest = shopify_refund(id=2, order_adjustments=[], refund_shipping_lines=[], transactions=[paid("57.42")])
        rest["refund_line_items"] = [
            {"line_item_id": 11, "quantity": 1, "subtotal": 42.64, "total_tax": 8.53},
            {"line_item_id": 12, "quantity": 1, "subtotal": 5.21, "total_tax": 1.04},
        ]
        tale.gets("web", self.FULFILLED, shopify("refunds/create", shopify_refund()), shopify("refunds/create", rest))
        assert credited(tale) == {"#1001-C1": BACK, "#1001-C2": "57.42"}
        assert tale.states("invoice") == {"credited": 1}

    def test_prices_with_tax_are_given_back_with_it(self, tell: MakeTale) -> None:
        vat = [{"title": "VAT", "rate": 0.2, "price": "2.00"}]
        shipped = {"title": "Royal Mail 48", "price": "9.54", "tax_lines": [vat[0] | {"price": "1.59"}]}
        sign = {"id": 11, "title": "Sign", "quantity": 2, "price": "6.00", "tax_lines": vat}
        order = shopify_order(
            taxes_included=True, line_items=[sign], shipping_lines=[shipped], total_tax="3.59", total_price="21.54"
        )
        back = shopify_refund(transactions=[paid("15.54")])
        back["refund_line_items"][0] |= {"subtotal": 6.0, "total_tax": 1.0}
        back["refund_shipping_lines"][0]["shipping_line"] = shipped
        tale = tell(sources=configured("web", "shopify"))
        tale.gets("web", shopify("orders/fulfilled", order), shopify("refunds/create", back))
        assert credited(tale) == {"#1001-C1": "15.54"}
        assert lines(tale) == ["Sign", "Royal Mail 48"]

    def test_a_refund_before_the_order_is_fulfilled_waits_for_its_invoice(self, tell: MakeTale) -> None:
        tale = tell(sources=configured("web", "shopify"))
        tale.gets("web", shopify("refunds/create", shopify_refund()))
        assert tale.states_of_events == ["waiting"]
        tale.gets("web", self.FULFILLED)
        assert credited(tale) == {"#1001-C1": BACK}

    def test_a_webhook_that_was_lost_is_made_good_by_asking_and_one_that_came_is_not_told_again(
        self, tell: MakeTale, outside: Outside
    ) -> None:
        tale = self.tale(tell, outside)
        made = {"created_at": soon().isoformat()}
        came, lost = shopify_refund(**made), shopify_refund(id=2, transactions=[paid("10.00")], **made)
        lost |= {"refund_line_items": [], "order_adjustments": [], "refund_shipping_lines": []}
        tale.gets("web", shopify("refunds/create", came))
        order = self.after(came, lost, updated_at=soon().isoformat())
        outside["shopify"].orders = {order["id"]: order}
        for again in (1, 2):
            tale.asks("web", later=again * LATER)
        assert credited(tale) == {"#1001-C1": BACK, "#1001-C2": "10.00"}
        assert tale.states_of_events == ["done"] * 4

    def test_money_that_is_on_its_way_is_credited_when_it_has_arrived(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside)
        made = {"created_at": soon().isoformat()}
        tale.gets("web", shopify("refunds/create", shopify_refund(transactions=[paid(BACK, "pending")], **made)))
        assert (credited(tale), tale.states_of_events) == ({}, ["done", "done"])
        order = self.after(shopify_refund(**made), updated_at=soon().isoformat())
        outside["shopify"].orders = {order["id"]: order}
        tale.asks("web", later=LATER)
        assert credited(tale) == {"#1001-C1": BACK}

    def test_money_of_which_nobody_tells_when_it_arrives_is_for_a_person(self, tell: MakeTale) -> None:
        tale = tell(sources=configured("web", "shopify"))
        on_its_way = shopify_refund(transactions=[paid(BACK, "pending")])
        tale.gets("web", self.FULFILLED, shopify("refunds/create", on_its_way))
        assert tale.states_of_events == ["done", "held"]
        assert "still on the way back" in (tale.events[-1][2] or "")


class TestWooCommerce:
    @staticmethod
    def saved(note: str, *refunds: dict[str, Any], **changes: Any) -> Sent:
        return woocommerce(woo_order(refunds=list(refunds), customer_note=note, **changes))

    def test_what_every_save_lists_is_credited_once(self, tell: MakeTale) -> None:
        tale = tell(sources=configured("blog", "woocommerce"))
        tale.gets(
            "blog", self.saved("done"), self.saved("refunded", LISTED), self.saved("called", LISTED),
            self.saved("all of it", LISTED, {"id": 727, "reason": "", "total": "-57.42"}, status="refunded"),
        )  # fmt: skip
        assert tale.books == {"W-1001": "118.14"}
        assert credited(tale) == {"W-1001-C1": BACK, "W-1001-C2": "57.42"}
        assert set(tale.states_of_events) == {"done"}

    def asked(self, tell: MakeTale, outside: Outside) -> Tale:
        tale: Tale = tell(sources=configured("blog", "woocommerce", **credentials("woocommerce", outside.url)))
        tale.asks("blog")
        outside["woocommerce"].orders = {1001: woo_order()}
        outside["woocommerce"].refunds = {1001: [WOO_REFUND]}
        return tale

    def test_a_shop_that_can_be_asked_says_which_lines_came_back(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.asked(tell, outside)
        tale.gets("blog", self.saved("done"), self.saved("refunded", LISTED), settle=False)
        tale.asks("blog")
        tale.gets("blog", self.saved("called", LISTED), settle=False)
        tale.asks("blog")
        assert credited(tale) == {"W-1001-C1": BACK}
        assert lines(tale) == ["Brass plaque, engraved", "Royal Mail 48"]
        assert set(tale.states_of_events) == {"done"}

    def test_a_webhook_that_was_lost_is_made_good_by_asking(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.asked(tell, outside)
        tale.gets("blog", self.saved("done"))
        at = f"{soon():%Y-%m-%dT%H:%M:%S}"
        outside["woocommerce"].orders = {1001: woo_order(date_modified_gmt=at, status="refunded")}
        for again in (1, 2):
            tale.asks("blog", later=again * LATER)
        assert credited(tale) == {"W-1001-C1": BACK}
        assert set(tale.states_of_events) == {"done"}


class TestBigCommerce:
    PLACED = ORDER | {"date_modified": "Sun, 22 Nov 2020 10:59:50 +0000"}
    """Changed before anybody asks what has changed."""
    BACK = "60.71"
    """Its half of the plaque's share of the order's discount is rounded otherwise."""

    def tale(self, tell: MakeTale, outside: Outside) -> Tale:
        """A shop with one invoice, of which something is given back then."""
        outside["bigcommerce"].orders = {1001: self.PLACED}
        parts = ("products", "taxes", "shipping_addresses", "shipments")
        outside["bigcommerce"].parts = {(1001, name): copy.deepcopy(DOCUMENT[name]) for name in parts}
        tale: Tale = tell(sources=configured("big", "bigcommerce", **credentials("bigcommerce", outside.url)))
        self.hears(tale, HOOK, "msg-1")
        outside["bigcommerce"].orders = {1001: self.PLACED | {"refunded_amount": "60.7100", "status_id": 14}}
        outside["bigcommerce"].refunds = {1001: [BIG_REFUND | {"total_amount": 60.71, "payments": [{"amount": 60.71}]}]}
        return tale

    @staticmethod
    def hears(tale: Tale, hook: Any, ident: str) -> None:
        """The webhook comes in, and what it names is fetched."""
        tale.gets("big", bigcommerce(hook, ident), settle=False)
        tale.asks("big")

    def test_whatever_leads_to_a_refund_it_is_credited_once(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside)
        self.hears(tale, REFUNDED, "msg-2")
        self.hears(tale, HOOK | {"hash": "7a1"}, "msg-3")
        assert tale.books == {"1001": "118.14"}
        assert credited(tale) == {"1001-C1": self.BACK}
        assert lines(tale)[:2] == ["Brass plaque, engraved", "Shipping"]
        assert "Refund" not in lines(tale), "lines and shipping explain all of it"
        assert set(tale.states_of_events) == {"done"}

    def test_a_webhook_that_was_lost_is_made_good_by_asking(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside)
        assert credited(tale) == {}
        changed = outside["bigcommerce"].orders[1001] | {"date_modified": format_datetime(soon())}
        outside["bigcommerce"].orders = {1001: changed}
        for again in (1, 2):
            tale.asks("big", later=again * LATER)
        assert credited(tale) == {"1001-C1": self.BACK}
