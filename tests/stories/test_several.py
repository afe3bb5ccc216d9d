"""Several orders in one request, several books, several shops: what each of them gets, and no other."""

from typing import Any

import pytest

from tests.kit.scene import order_event
from tests.stories.conftest import MakeTale
from tests.stories.senders import cloud_events, configured, shopify, woocommerce
from tests.stories.test_shops import BLOG, FIRST, WEB, WHOLE, created, fulfilled
from tests.unit.test_sources_shopify import order as shopify_order
from tests.unit.test_sources_woocommerce import order as woo_order


class TestCloudEvents:
    @staticmethod
    def event(number: int, ident: str) -> dict[str, Any]:
        about = {"type": "com.example.order.fulfilled", "time": "2026-11-22T10:59:58Z", "id": ident}
        return {"specversion": "1.0", "source": "/erp", **about, "data": {"order": order_event(number)["order"]}}

    def test_a_batch_is_an_invoice_for_each_of_its_orders(self, tell: MakeTale) -> None:
        tale = tell(sources=configured("erp", "standard"))
        batch = [self.event(1, "a"), self.event(2, "b"), self.event(1, "c")]
        tale.gets("erp", cloud_events(batch), cloud_events(batch, "msg-2"))
        assert tale.books == {"SO-1": "111.54", "SO-2": "111.54"}
        assert tale.states_of_events == ["done"] * 3


class TestSeveral:
    TRADE = """[[shop.engraver.route]]
to = ["xero", "stripe"]
when = { tag = "trade" }

[[shop.engraver.route]]
to = ["stripe"]
when = { channel = ["pos", "draft"] }

[[shop.engraver.route]]
to = ["xero"]
"""

    @pytest.mark.parametrize(
        ("changes", "on_xero", "on_stripe"),
        [
            ({"tags": "vip, trade"}, WHOLE, WHOLE),
            ({"tags": "vip", "source_name": "pos"}, {}, WHOLE),
            ({"tags": "", "source_name": "web"}, WHOLE, {}),
        ],
    )
    def test_tag_and_channel_of_the_order_say_on_which_books_it_is(
        self, tell: MakeTale, changes: dict[str, Any], on_xero: dict[str, str], on_stripe: dict[str, str]
    ) -> None:
        tale = tell(sources=WEB, routes=self.TRADE, platforms=("xero", "stripe"))
        tale.gets("web", created(**changes), fulfilled(**changes), shopify("orders/updated", shopify_order(**changes)))
        assert tale.books == on_xero
        assert tale.books_on("stripe") == on_stripe

    def test_a_tag_that_is_taken_away_later_moves_nothing(self, tell: MakeTale) -> None:
        tale = tell(sources=WEB, routes=self.TRADE, platforms=("xero", "stripe"))
        tale.gets("web", fulfilled(tags="trade"))
        tale.gets("web", fulfilled(tags="", updated_at="2026-11-24T09:00:00Z"))
        assert (tale.books, tale.books_on("stripe")) == (WHOLE, WHOLE)

    def test_an_event_of_one_shop_never_touches_the_other(self, tell: MakeTale) -> None:
        """Both have an order of this id and name."""
        tale = tell(sources=WEB + configured("web", "shopify", shop="other"), shops=("engraver", "other"))
        tale.gets("web", created(), shop="other")
        tale.gets("web", created(), fulfilled(FIRST))
        assert tale.books == WHOLE
        tale.gets("web", fulfilled(), shop="other")
        assert tale.books == WHOLE | {"other-#1001": "118.14"}

    def test_one_number_in_two_shops_of_a_merchant_is_two_orders(self, tell: MakeTale) -> None:
        tale = tell(sources=WEB + BLOG)
        tale.gets("web", fulfilled())
        tale.gets("blog", woocommerce(woo_order(number="1001")))
        assert tale.books == {"#1001": "118.14", "1001": "118.14"}
