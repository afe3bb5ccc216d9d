"""What shops send and answer, in their own bodies, and which documents are on the books in the end."""

import copy
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from connectors.sources.base import SignatureError
from tests.stories.conftest import MakeTale, Outside
from tests.stories.senders import bigcommerce, configured, credentials, shopify, woocommerce
from tests.stories.tale import Tale
from tests.unit.bigcommerce_bodies import DOCUMENT, ORDER
from tests.unit.test_sources_bigcommerce import HOOK
from tests.unit.test_sources_shopify import order as shopify_order
from tests.unit.test_sources_shopify_asking import PARCEL
from tests.unit.test_sources_woocommerce import order as woo_order

WEB = configured("web", "shopify")
BLOG = configured("blog", "woocommerce")
SHIPPED = 'trigger = ["shipment.shipped"]'
PER_SHIPMENT = 'invoice_per = "shipment"\ntrigger = ["shipment.shipped", "order.fulfilled"]'
LATER = timedelta(minutes=10)
WHOLE = {"#1001": "118.14"}
IN_PARTS = {"#1001-1": "55.68", "#1001-2": "62.46"}


def created(**changes: Any) -> Any:
    told: dict[str, Any] = {"fulfillment_status": None, "fulfillments": [], "updated_at": "2026-11-20T09:00:01Z"}
    return shopify("orders/create", shopify_order(**told | changes))


def fulfilled(*parcels: dict[str, Any], **changes: Any) -> Any:
    return shopify("orders/fulfilled", shopify_order(fulfillments=list(parcels), **changes))


def fulfillment(number: int, *items: tuple[int, int], **changes: Any) -> dict[str, Any]:
    """A parcel with (line, quantity)."""
    tracked = {"id": number, "tracking_number": f"RM{number}", "tracking_numbers": [f"RM{number}"]}
    lines = [{"id": line, "quantity": quantity} for line, quantity in items]
    return copy.deepcopy(PARCEL) | tracked | {"line_items": lines} | changes


FIRST, SECOND = fulfillment(31, (11, 1)), fulfillment(32, (11, 1), (12, 1))


def soon(minutes: float = 1) -> datetime:
    """After the first question, before the second, which is asked `LATER`."""
    return (datetime.now(UTC) + timedelta(minutes=minutes)).replace(microsecond=0)


class TestShopify:
    def test_created_then_fulfilled_is_one_invoice(self, tell: MakeTale) -> None:
        tale = tell(sources=WEB)
        tale.gets("web", created())
        assert tale.books == {}
        tale.gets("web", fulfilled())
        assert tale.books == WHOLE
        assert tale.states_of_events == ["done", "done"]

    def test_a_delivery_that_is_repeated_is_one_event(self, tell: MakeTale) -> None:
        tale = tell(sources=WEB)
        again = shopify("orders/fulfilled", shopify_order(), ident="b54557e4")
        tale.gets("web", again, again, again)
        assert tale.books == WHOLE
        assert tale.states_of_events == ["done"]

    def test_what_is_signed_with_another_secret_is_not_kept(self, tell: MakeTale) -> None:
        tale = tell(sources=WEB)
        with pytest.raises(SignatureError):
            tale.gets("web", shopify("orders/fulfilled", shopify_order(), secret="guessed"))
        assert tale.events == []
        assert tale.books == {}

    def test_a_fulfillment_before_its_order_is_told_waits_for_it(self, tell: MakeTale) -> None:
        tale = tell(shop=SHIPPED, sources=WEB)
        tale.gets("web", shopify("fulfillments/create", FIRST))
        assert tale.states_of_events == ["waiting"]
        assert "nobody has told an order 5123456789012 yet" in (tale.events[0][2] or "")
        tale.gets("web", created())
        assert tale.books == WHOLE
        assert tale.states_of_events == ["done", "done"]

    def test_each_fulfillment_is_a_part_and_fulfilled_adds_nothing(self, tell: MakeTale) -> None:
        tale = tell(shop=PER_SHIPMENT, sources=WEB)
        tale.gets("web", created(), *(shopify("fulfillments/create", each) for each in (FIRST, SECOND)))
        assert tale.books == IN_PARTS
        tale.gets("web", fulfilled(FIRST, SECOND))
        assert tale.books == IN_PARTS
        assert tale.states_of_events == ["done"] * 4

    def test_fulfilled_takes_what_no_fulfillment_held(self, tell: MakeTale) -> None:
        tale = tell(shop=PER_SHIPMENT, sources=WEB)
        tale.gets("web", created(), shopify("fulfillments/create", FIRST), fulfilled(FIRST, SECOND))
        assert tale.books == IN_PARTS
        tale.gets("web", shopify("fulfillments/create", SECOND))
        assert tale.books == IN_PARTS

    def test_a_fulfillment_that_is_updated_is_the_same_part(self, tell: MakeTale) -> None:
        tale = tell(shop=PER_SHIPMENT, sources=WEB)
        moved = FIRST | {"shipment_status": "in_transit", "updated_at": "2026-11-22T12:00:00Z"}
        there = moved | {"shipment_status": "delivered", "updated_at": "2026-11-23T12:00:00Z"}
        tale.gets("web", created(), shopify("fulfillments/create", FIRST))
        tale.gets("web", *(shopify("fulfillments/update", each) for each in (moved, there)))
        assert tale.books == {"#1001-1": "55.68"}

    @pytest.mark.parametrize(("before", "after"), [(None, "RM31"), ("RM31", "RM99")])
    def test_a_fulfillment_whose_number_comes_later_or_changes_is_the_same_part(
        self, tell: MakeTale, before: str | None, after: str
    ) -> None:
        tale = tell(shop=PER_SHIPMENT, sources=WEB)
        first = FIRST | {"tracking_number": before, "tracking_numbers": [before] if before else []}
        changed = {"tracking_number": after, "tracking_numbers": [after], "updated_at": "2026-11-22T12:00:00Z"}
        tale.gets("web", created(), shopify("fulfillments/create", first))
        tale.gets("web", shopify("fulfillments/update", first | changed))
        assert tale.books == {"#1001-1": "55.68"}
        tale.gets("web", shopify("fulfillments/create", SECOND))
        assert tale.books == IN_PARTS

    def test_a_fulfillment_that_is_undone_and_made_anew_never_bills_more_than_the_order(self, tell: MakeTale) -> None:
        tale = tell(shop=PER_SHIPMENT, sources=WEB)
        undone = FIRST | {"status": "cancelled", "updated_at": "2026-11-22T12:00:00Z"}
        tale.gets("web", created(), shopify("fulfillments/create", FIRST), shopify("fulfillments/update", undone))
        anew = fulfillment(33, (11, 1))
        tale.gets("web", shopify("fulfillments/create", anew), shopify("fulfillments/create", SECOND))
        assert tale.books == {"#1001-1": "55.68", "#1001-2": "55.66"}
        assert "2 were ordered, 2 are invoiced already, and 1 more are to be" in (tale.events[-1][2] or "")
        tale.gets("web", fulfilled())
        assert tale.books == {"#1001-1": "55.68", "#1001-2": "55.66", "#1001-3": "6.80"}

    def test_cancelled_before_it_was_fulfilled_is_never_invoiced(self, tell: MakeTale) -> None:
        tale = tell(sources=WEB)
        gone = {"cancelled_at": "2026-11-21T09:00:00Z", "updated_at": "2026-11-21T09:00:00Z"}
        tale.gets("web", created(), shopify("orders/cancelled", shopify_order(**gone)), fulfilled())
        assert tale.books == {}
        assert tale.states_of_events == ["done", "done", "held"]

    def test_a_cancellation_told_in_passing_is_one_and_told_once(self, tell: MakeTale) -> None:
        """Nobody has subscribed to `orders/cancelled`."""
        tale = tell(shop=SHIPPED, sources=WEB)
        gone = {"cancelled_at": "2026-11-21T09:00:00Z", "updated_at": "2026-11-21T09:00:00Z"}
        edited = gone | {"updated_at": "2026-11-21T10:00:00Z", "note": "sorry"}
        tale.gets("web", created(), *(shopify("orders/updated", shopify_order(**each)) for each in (gone, edited)))
        tale.gets("web", shopify("fulfillments/create", FIRST))
        assert tale.books == {}
        assert tale.states_of_events == ["done", "done", "done", "held"]

    def test_saves_of_an_order_that_was_cancelled_after_its_invoice_are_held_once(self, tell: MakeTale) -> None:
        tale = tell(sources=WEB, account='refund = "hold"')
        gone = {"cancelled_at": "2026-11-23T09:00:00Z", "updated_at": "2026-11-23T09:00:00Z"}
        edited = gone | {"updated_at": "2026-11-23T10:00:00Z", "note": "sorry"}
        tale.gets("web", fulfilled(), *(shopify("orders/cancelled", shopify_order(**each)) for each in (gone, edited)))
        assert tale.books == WHOLE
        assert tale.states_of_events == ["done", "held", "done"]

    @pytest.mark.parametrize("due", ["fulfillments/create", "orders/fulfilled"])
    def test_a_test_order_is_never_invoiced(self, tell: MakeTale, due: str) -> None:
        tale = tell(shop='trigger = ["shipment.shipped", "order.fulfilled"]', sources=WEB)
        body = FIRST if due == "fulfillments/create" else shopify_order(test=True)
        tale.gets("web", created(test=True), shopify(due, body))
        assert tale.books == {}
        assert tale.states_of_events[0] == "done"

    def test_a_topic_that_is_not_signed_makes_no_invoice_of_an_order_that_is_open(self, tell: MakeTale) -> None:
        tale = tell(sources=WEB)
        open_order = shopify_order(fulfillment_status=None)
        tale.gets("web", shopify("orders/fulfilled", open_order))
        assert tale.books == {}
        assert "its fulfillment_status is “unfulfilled”" in (tale.events[0][2] or "")

    def test_two_bodies_under_one_delivery_s_id_are_both_heard(self, tell: MakeTale) -> None:
        tale = tell(sources=WEB)
        other = shopify_order(id=7, name="#1007")
        tale.gets("web", *(shopify("orders/fulfilled", each, ident="one") for each in (shopify_order(), other)))
        assert tale.books == WHOLE | {"#1007": "118.14"}

    def test_refunded_before_it_was_fulfilled_is_for_a_person(self, tell: MakeTale) -> None:
        tale = tell(sources=WEB)
        tale.gets("web", created(), fulfilled(current_total_price="105.54"))
        assert tale.books == {}
        assert "its total was 118.14 GBP and is now 105.54" in (tale.events[-1][2] or "")

    def test_refunded_before_it_was_shipped_is_for_a_person(self, tell: MakeTale) -> None:
        tale = tell(shop=SHIPPED, sources=WEB)
        refunded = shopify_order(
            fulfillment_status=None, current_total_price="105.54", financial_status="partially_refunded"
        )
        tale.gets("web", created(), shopify("orders/updated", refunded), shopify("fulfillments/create", FIRST))
        assert tale.books == {}
        assert tale.states_of_events == ["done", "done", "held"]
        assert "its financial_status is “partially_refunded”" in (tale.events[-1][2] or "")

    def test_an_edit_of_its_note_after_the_invoice_changes_nothing(self, tell: MakeTale) -> None:
        tale = tell(sources=WEB)
        edited = shopify_order(note="gift", updated_at="2026-11-24T09:00:00Z")
        tale.gets("web", fulfilled(), shopify("orders/updated", edited), shopify("orders/fulfilled", edited))
        assert tale.books == WHOLE
        assert tale.states_of_events == ["done"] * 3

    def test_told_by_webhook_and_by_asking_is_one_invoice(self, tell: MakeTale, outside: Outside) -> None:
        tale = tell(sources=configured("web", "shopify", **credentials("shopify", outside.url)))
        tale.asks("web")
        changed = soon().isoformat()
        parcel = FIRST | {"created_at": changed, "updated_at": changed}
        order = shopify_order(updated_at=changed, fulfillments=[parcel])
        outside["shopify"].orders = {order["id"]: order}
        tale.gets("web", shopify("orders/fulfilled", order))
        tale.asks("web", later=LATER)
        assert tale.books == WHOLE
        assert tale.states_of_events == ["done"] * 3  # the webhook, the order, its parcel

    def test_what_no_webhook_told_is_found_by_asking_once(self, tell: MakeTale, outside: Outside) -> None:
        tale = tell(sources=configured("web", "shopify", **credentials("shopify", outside.url)))
        tale.asks("web")
        changed = soon().isoformat()
        order = shopify_order(updated_at=changed, fulfillments=[FIRST | {"created_at": changed}])
        outside["shopify"].orders = {order["id"]: order}
        tale.asks("web", later=LATER)
        tale.asks("web", later=2 * LATER)
        assert tale.books == WHOLE


class TestWooCommerce:
    @staticmethod
    def saved(status: str, minute: int) -> Any:
        at = f"2026-11-22T10:{minute:02}:00"
        done = {"date_completed_gmt": at if status == "completed" else None}
        return woocommerce(woo_order(status=status, date_modified_gmt=at, **done))

    def test_every_save_until_and_after_it_is_completed_is_one_invoice(self, tell: MakeTale) -> None:
        tale = tell(sources=BLOG)
        tale.gets("blog", self.saved("pending", 1), self.saved("processing", 2))
        assert tale.books == {}
        tale.gets("blog", self.saved("completed", 3), self.saved("completed", 4), self.saved("completed", 4))
        assert tale.books == {"W-1001": "118.14"}
        assert tale.states_of_events == ["done"] * 4

    def test_a_webhook_that_comes_late_does_not_take_the_order_back(self, tell: MakeTale) -> None:
        tale = tell(sources=BLOG)
        tale.gets("blog", self.saved("completed", 3), self.saved("processing", 2))
        assert tale.books == {"W-1001": "118.14"}
        assert tale.states_of_events == ["done", "done"]

    def test_refunded_before_it_was_completed_is_for_a_person(self, tell: MakeTale) -> None:
        tale = tell(sources=BLOG)
        tale.gets("blog", woocommerce(woo_order(refunds=[{"id": 9, "total": "-12.60"}])))
        assert tale.books == {}
        assert "12.60 GBP of it were refunded" in (tale.events[0][2] or "")

    def asked(self, tell: MakeTale, outside: Outside) -> Tale:
        """A shop that was asked once, and whose webhook WooCommerce has switched off."""
        tale: Tale = tell(sources=configured("blog", "woocommerce", **credentials("woocommerce", outside.url)))
        tale.asks("blog")
        return tale

    def test_its_webhook_was_switched_off_and_the_order_is_found_by_asking(
        self, tell: MakeTale, outside: Outside
    ) -> None:
        tale = self.asked(tell, outside)
        at = f"{soon():%Y-%m-%dT%H:%M:%S}"
        outside["woocommerce"].orders = {1001: woo_order(date_modified_gmt=at, date_completed_gmt=at)}
        tale.asks("blog", later=LATER)
        assert tale.books == {"W-1001": "118.14"}
        tale.asks("blog", later=2 * LATER)
        assert tale.books == {"W-1001": "118.14"}
        assert tale.states_of_events == ["done"]

    def test_told_by_webhook_and_by_asking_is_one_invoice(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.asked(tell, outside)
        at = f"{soon():%Y-%m-%dT%H:%M:%S}"
        order = woo_order(date_modified_gmt=at, date_completed_gmt=at)
        outside["woocommerce"].orders = {1001: order}
        tale.gets("blog", woocommerce(order))
        tale.asks("blog", later=LATER)
        assert tale.books == {"W-1001": "118.14"}
        assert tale.states_of_events == ["done", "done"]

    def test_what_was_completed_before_anybody_asked_is_not_invoiced(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.asked(tell, outside)
        edited = {"date_modified_gmt": f"{soon():%Y-%m-%dT%H:%M:%S}", "date_completed_gmt": "2020-02-02T02:02:02"}
        outside["woocommerce"].orders = {1001: woo_order(**edited)}
        tale.asks("blog", later=LATER)
        assert tale.books == {}
        assert tale.states_of_events == ["done"]


class TestBigCommerce:
    ORDER = ORDER | {"date_modified": "Sun, 22 Nov 2020 10:59:50 +0000"}
    """Changed before anybody asks what has changed."""

    def tale(self, tell: MakeTale, outside: Outside, **changes: Any) -> Tale:
        outside["bigcommerce"].orders = {1001: self.ORDER}
        parts = ("products", "taxes", "shipping_addresses", "shipments")
        outside["bigcommerce"].parts = {(1001, name): DOCUMENT[name] for name in parts}
        options = credentials("bigcommerce", outside.url) | changes
        tale: Tale = tell(sources=configured("big", "bigcommerce", **options))
        return tale

    @staticmethod
    def hears(tale: Tale, hook: Any, ident: str) -> None:
        """The webhook comes in, and the order that it names is fetched."""
        tale.gets("big", bigcommerce(hook, ident), settle=False)
        tale.asks("big")

    def test_shipped_then_completed_are_two_webhooks_and_one_invoice(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside)
        self.hears(tale, HOOK, "msg-1")
        assert tale.books == {"1001": "118.14"}
        completed = {"status_id": 10, "status": "Completed", "date_modified": "Mon, 23 Nov 2020 09:00:00 +0000"}
        outside["bigcommerce"].orders = {1001: self.ORDER | completed}
        self.hears(tale, HOOK | {"created_at": 1795345999, "hash": "6e3"}, "msg-2")
        assert tale.books == {"1001": "118.14"}
        assert tale.states_of_events == ["done"] * 4

    def test_two_webhooks_of_one_change_fetch_one_document(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside)
        tale.gets("big", bigcommerce(HOOK, "msg-1"), settle=False)
        self.hears(tale, HOOK | {"scope": "store/order/updated"}, "msg-2")
        assert tale.books == {"1001": "118.14"}
        assert tale.states_of_events == ["done"] * 3

    def test_what_no_webhook_told_is_found_by_asking_once(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside)
        tale.asks("big")
        assert tale.books == {}
        outside["bigcommerce"].orders = {1001: self.ORDER | {"date_modified": format_datetime(soon())}}
        tale.asks("big", later=LATER)
        tale.asks("big", later=2 * LATER)
        assert tale.books == {"1001": "118.14"}
        assert tale.states_of_events == ["done", "done"]

    def test_the_webhook_of_an_order_that_is_gone_is_no_invoice(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside)
        outside["bigcommerce"].orders = {}
        self.hears(tale, HOOK, "msg-1")
        assert tale.books == {}
        assert tale.states_of_events == ["done"]

    def test_the_order_counts_and_not_what_the_webhook_said_of_it(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside)
        outside["bigcommerce"].orders = {1001: self.ORDER | {"status_id": 11, "status": "Awaiting Fulfillment"}}
        self.hears(tale, HOOK, "msg-1")
        assert tale.books == {}
        assert tale.states_of_events == ["done", "done"]

    def test_another_store_s_webhook_is_held_and_nobody_is_asked(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside)
        tale.gets("big", bigcommerce(HOOK | {"producer": "stores/zzz"}, "msg-1"))
        assert "the webhook is of stores/zzz, not of stores/abc123" in (tale.events[0][2] or "")
        assert outside["bigcommerce"].asked == []

    def test_without_a_token_the_webhook_is_held_and_says_what_to_do(self, tell: MakeTale) -> None:
        tale = tell(sources=configured("big", "bigcommerce"))
        tale.gets("big", bigcommerce(HOOK, "msg-1"))
        assert tale.states_of_events == ["held"]
        assert "give source big credentials of its API" in (tale.events[0][2] or "")
