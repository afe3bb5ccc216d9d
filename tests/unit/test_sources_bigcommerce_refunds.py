"""BigCommerce's refunds: read with their order, one document each, told by what came back and what was paid."""

from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest

from connectors.errors import Rejected, Unavailable
from connectors.http import Http
from connectors.model import Event, EventType
from connectors.sandbox.base import Response
from connectors.sandbox.source_apis.bigcommerce import BigCommerce as Emulated
from connectors.sources.base import NotInvoiceable
from connectors.sources.bigcommerce import BigCommerce
from connectors.sources.delivery import Delivery
from tests.contract.running import RunningSandbox
from tests.unit.bigcommerce_bodies import DOCUMENT, ORDER, told
from tests.unit.test_sources_base import HOSTILE, paths, replaced
from tests.unit.test_sources_bigcommerce import HOOK, SECRET, VECTOR

REFUNDED = HOOK | {
    "scope": "store/order/refund/created",
    "data": {"type": "order", "id": 1001, "refund": {"refund_id": 12}},
}
REFUND: dict[str, Any] = {
    "id": 12,
    "order_id": 1001,
    "user_id": 0,
    "created": "2026-11-22T12:00:00+00:00",
    "reason": "one had a scratch",
    "total_amount": 60.72,
    "total_tax": 10.12,
    "uses_merchant_override_values": False,
    "items": [
        {"item_type": "PRODUCT", "item_id": 65, "reason": "", "quantity": 1, "requested_amount": None},
        {"item_type": "SHIPPING", "item_id": 9, "reason": "", "requested_amount": 7.95},
    ],
    "payments": [{"id": 1, "provider_id": "braintree", "amount": 60.72, "offline": False, "is_declined": False}],
}


def event(document: Any, handling: bool = False) -> Event | None:
    body = orjson.dumps({"order_id": "1001", "handling_is_a_line": handling, "refund": document})
    said = BigCommerce([]).normalise(Delivery("1", "refund"), body)
    assert said is None or isinstance(said, Event)
    return said


def given(document: Any, handling: bool = False) -> Any:
    said = event(document, handling)
    assert said is not None
    return said.refund


class TestTheRefund:
    def test_what_came_back_and_what_was_paid(self):
        said = event(REFUND)
        assert (said.type, said.order_id, said.order) == (EventType.REFUND_CREATED, "1001", None)
        assert said.occurred_at == datetime(2026, 11, 22, 12, tzinfo=UTC)
        ours = said.refund
        assert (ours.ref, ours.total, ours.reason) == ("12", Decimal("60.72"), "one had a scratch")
        assert [(line.ref, line.quantity, line.amount) for line in ours.lines] == [("65", 1, None)]
        assert (ours.shipping.amount, ours.shipping.tax) == (Decimal("7.95"), None)

    def test_what_belongs_to_no_line_stays_in_the_total(self):
        kinds = ("ORDER", "GIFT_WRAPPING", "FEE", "TAX", "HANDLING")
        items = [{"item_type": kind, "item_id": 1, "quantity": 1, "requested_amount": 1.5} for kind in kinds]
        ours = given(REFUND | {"items": items})
        assert (ours.lines, ours.shipping, ours.total) == ((), None, Decimal("60.72"))

    def test_handling_is_the_order_s_line_of_it(self):
        items = [{"item_type": "HANDLING", "item_id": 9, "requested_amount": 2}]
        assert [(line.ref, line.quantity, line.amount) for line in given(REFUND | {"items": items}, True).lines] == [
            ("handling", 0, Decimal(2))
        ]

    def test_a_payment_that_was_declined_gave_nothing_back(self):
        declined = {"amount": 40, "is_declined": True, "declined_message": "no"}
        assert given(REFUND | {"payments": [{"amount": 20.72}, declined]}).total == Decimal("20.72")
        assert event(REFUND | {"payments": [declined]}) is None

    def test_without_payments_the_total_counts_and_nothing_is_kept_for_the_record(self):
        assert given(REFUND | {"payments": []}).total == Decimal("60.72")
        assert event(REFUND | {"payments": [], "total_amount": 0}) is None

    def test_what_cannot_be_read_is_held_though_its_order_is_invoiced(self):
        with pytest.raises(NotInvoiceable, match="BigCommerce refund of order 1001: created is missing") as refused:
            event({name: value for name, value in REFUND.items() if name != "created"})
        assert (refused.value.type, refused.value.order_id) == (None, None)

    def test_a_wrong_value_anywhere_is_refused_in_words_or_harmless(self):
        for path in paths(REFUND):
            for value in HOSTILE:
                with suppress(NotInvoiceable):
                    event(replaced(REFUND, path, value))

    def test_an_order_stays_as_it_was_placed_when_a_part_of_it_is_refunded(self):
        source = BigCommerce([])
        before, after = (
            source.normalise(Delivery("1", "order"), orjson.dumps(document)).order
            for document in (told(status_id=11), told(status_id=14, refunded_amount="60.7200"))
        )
        assert after.hold is not None
        assert after.model_copy(update={"hold": None}) == before


@pytest.fixture(scope="module")
def sandbox():
    running = RunningSandbox([Emulated])
    yield running
    running.close()


@pytest.fixture
def emulated(sandbox) -> Emulated:
    emulator = sandbox.sandbox.hosted["bigcommerce"].emulator
    sandbox.run(emulator.setup)
    emulator.orders = {1001: ORDER | {"refunded_amount": "60.7200"}}
    parts = {name: DOCUMENT[name] for name in ("products", "taxes", "shipping_addresses", "shipments")}
    emulator.parts = {(1001, name): rows for name, rows in parts.items()}
    emulator.refunds = {1001: [REFUND]}
    return emulator


class TestAsking:
    @pytest.fixture
    def source(self, sandbox) -> BigCommerce:
        options = {"store_hash": "abc123", "access_token": "bc-token", "base_url": f"{sandbox.url}/bigcommerce"}
        return BigCommerce([SECRET], options)

    def fetched(self, source: BigCommerce, hook: Any) -> Any:
        body = orjson.dumps(hook)
        return source.fetch(source.api(Http(10)), source.receive(VECTOR, body), body)

    def test_the_webhook_of_a_refund_leads_to_its_order_and_to_each_refund(self, source, emulated):
        emulated.refunds = {1001: [REFUND, REFUND | {"id": 13}]}
        order, *refunds = self.fetched(source, REFUNDED)
        assert order.delivery.type == "order"
        assert [source.normalise(each.delivery, each.body).refund.ref for each in refunds] == ["12", "13"]
        assert {each.delivery.order_ref for each in refunds} == {"1001"}

    def test_a_refund_is_found_before_its_order_shows_it(self, source, emulated):
        emulated.orders = {1001: ORDER}
        assert [each.delivery.type for each in self.fetched(source, REFUNDED)] == ["order", "refund"]

    def test_any_telling_of_a_refunded_order_leads_to_the_same_refund(self, source, emulated):
        first, again = self.fetched(source, REFUNDED), self.fetched(source, HOOK)
        (changed,) = source.pull(source.api(Http(10)), "2026-11-22T10:00:00+00:00|1", datetime.now(UTC)).found
        pulled = source.fetch(source.api(Http(10)), changed.delivery, changed.body)
        assert first[1] == again[1] == pulled[1]

    def test_an_order_without_refunds_is_not_asked_for_any(self, source, emulated):
        emulated.orders = {1001: ORDER}
        assert [each.delivery.type for each in self.fetched(source, HOOK)] == ["order"]
        assert not [target for target in emulated.asked if "payment_actions" in target]

    def test_handling_is_known_to_be_a_line_by_the_order(self, source, emulated):
        emulated.orders[1001] = emulated.orders[1001] | {"handling_cost_ex_tax": "2.0000"}
        assert orjson.loads(self.fetched(source, HOOK)[1].body)["handling_is_a_line"] is True
        emulated.orders[1001] = emulated.orders[1001] | {"handling_cost_ex_tax": "0.0000"}
        assert orjson.loads(self.fetched(source, HOOK)[1].body)["handling_is_a_line"] is False

    def test_an_answer_that_is_no_list_is_asked_for_again(self, source, emulated, monkeypatch):
        monkeypatch.setattr(emulated, "_refunds", lambda number, query: Response.json(200, []))
        with pytest.raises(Unavailable, match="no list of refunds"):
            self.fetched(source, REFUNDED)

    def test_an_id_that_is_none_is_not_asked_for(self, source, emulated):
        with pytest.raises(Rejected):
            self.fetched(source, REFUNDED | {"data": {"type": "order", "id": "1/../2"}})
