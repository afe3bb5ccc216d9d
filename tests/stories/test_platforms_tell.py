"""Square and HubSpot tell what was sold there; each sale has one invoice, whoever told of it and however often."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.sources.base import SignatureError
from tests.stories.conftest import MakeTale, Outside
from tests.stories.senders import Sent, configured, credentials, hubspot, square
from tests.stories.tale import Tale
from tests.unit.hubspot_bodies import DEAL, EVENT, STAGES, fill
from tests.unit.square_bodies import BACK, CUSTOMER, HOOK, ORDER, PAID, PARCEL, REFUNDED, hooked

LATER = timedelta(minutes=10)


def soon() -> str:
    """After the first question, before the second, which is asked `LATER`."""
    return (datetime.now(UTC) + timedelta(minutes=1)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TestSquare:
    def tale(self, tell: MakeTale, outside: Outside, order: Any = ORDER, shop: str = "", **changes: Any) -> Tale:
        outside["square"].orders = {order["id"]: order}
        outside["square"].customers_by_id = {"CUSTADA": CUSTOMER}
        options = credentials("square", outside.url) | changes
        tale: Tale = tell(shop=shop, sources=configured("till", "square", **options))
        return tale

    @staticmethod
    def hears(tale: Tale, *sent: Sent) -> None:
        """The webhooks come in, and what they name is fetched."""
        tale.gets("till", *sent, settle=False)
        tale.asks("till")

    def test_an_order_is_pushed_fetched_and_invoiced_once(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside)
        self.hears(tale, square(HOOK))
        assert tale.books == {"SO-1001": "118.14"}
        assert set(tale.states_of_events) == {"done"}

    def test_pushed_twice_and_told_by_other_webhooks_too_it_is_one_invoice(
        self, tell: MakeTale, outside: Outside
    ) -> None:
        tale = self.tale(tell, outside)
        self.hears(tale, square(HOOK), square(HOOK))
        self.hears(tale, square(hooked("order.fulfillment.updated") | {"event_id": "evt-2"}))
        later = ORDER | {"version": 5, "state": "COMPLETED", "updated_at": "2020-11-22T11:30:00.000Z"}
        outside["square"].orders = {ORDER["id"]: later}
        self.hears(tale, square(HOOK | {"event_id": "evt-3"}))
        assert tale.books == {"SO-1001": "118.14"}
        assert set(tale.states_of_events) == {"done"}

    def test_what_no_webhook_told_is_found_by_asking_once(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside)
        tale.asks("till")
        assert tale.books == {}
        at = soon()
        parcel = PARCEL | {"shipment_details": PARCEL["shipment_details"] | {"shipped_at": at}}
        outside["square"].orders = {ORDER["id"]: ORDER | {"updated_at": at, "fulfillments": [parcel]}}
        for again in (1, 2):
            tale.asks("till", later=again * LATER)
        assert tale.books == {"SO-1001": "118.14"}
        assert set(tale.states_of_events) == {"done"}

    def test_what_was_missed_and_told_late_by_its_webhook_is_one_invoice(
        self, tell: MakeTale, outside: Outside
    ) -> None:
        tale = self.tale(tell, outside)
        tale.asks("till")
        at = soon()
        outside["square"].orders = {ORDER["id"]: ORDER | {"state": "COMPLETED", "closed_at": at, "updated_at": at}}
        tale.asks("till", later=LATER)
        self.hears(tale, square(HOOK))
        assert tale.books == {"SO-1001": "118.14"}

    def test_a_sale_that_is_paid_at_the_till_is_not_to_be_paid_again(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside, ORDER | PAID)
        self.hears(tale, square(hooked(state="COMPLETED")))
        assert tale.books == {}
        assert set(tale.states_of_events) == {"done"}

    def test_a_document_for_what_is_paid_is_an_option(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside, ORDER | PAID, paid="invoice")
        self.hears(tale, square(hooked(state="COMPLETED")))
        assert tale.books == {"SO-1001": "118.14"}

    def test_one_that_is_paid_in_part_is_for_a_person(self, tell: MakeTale, outside: Outside) -> None:
        paid = ORDER | {"net_amount_due_money": {"amount": 9814, "currency": "GBP"}}
        tale = self.tale(tell, outside, paid)
        self.hears(tale, square(HOOK))
        assert tale.books == {}
        held = [reason for state, _, reason in tale.events if state == "held"]
        assert len(held) == 1
        assert "20.00 GBP of its 118.14 GBP are paid at Square already" in (held[0] or "")

    def test_paid_later_it_stays_one_invoice(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside)
        self.hears(tale, square(HOOK))
        outside["square"].orders = {ORDER["id"]: ORDER | PAID | {"updated_at": "2020-11-23T09:00:00.000Z"}}
        self.hears(tale, square(HOOK | {"event_id": "evt-2"}))
        assert tale.books == {"SO-1001": "118.14"}
        assert set(tale.states_of_events) == {"done"}

    def test_a_parcel_asks_for_it_where_the_shop_wants_that(self, tell: MakeTale, outside: Outside) -> None:
        order = ORDER | {"fulfillments": [PARCEL, {"uid": "f2", "type": "PICKUP", "state": "PREPARED"}]}
        tale = self.tale(tell, outside, order, shop='trigger = ["shipment.shipped"]')
        self.hears(tale, square(hooked("order.fulfillment.updated")))
        assert tale.books == {"SO-1001": "118.14"}

    def test_what_came_back_is_one_credit_note(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside)
        self.hears(tale, square(HOOK))
        outside["square"].orders = {ORDER["id"]: ORDER, BACK["id"]: BACK}
        told = [REFUNDED | {"type": "refund.created", "event_id": "evt-2"}, REFUNDED, REFUNDED]
        self.hears(tale, *map(square, told))
        assert [(each.reference, str(each.total)) for each in tale.sandbox.credits("xero")] == [("SO-1001-C1", "51.18")]
        (note,) = tale.sandbox.credits("xero")
        assert re.split(r" \(|\n| × ", note.lines[0])[0] == "Brass plaque, Engraved"

    def test_money_that_is_on_its_way_is_credited_when_it_has_arrived(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside)
        self.hears(tale, square(HOOK))
        pending = BACK | {"refunds": [BACK["refunds"][0] | {"status": "PENDING"}]}
        outside["square"].orders = {ORDER["id"]: ORDER, BACK["id"]: pending}
        self.hears(tale, square(REFUNDED | {"type": "refund.created", "event_id": "evt-2"}))
        assert tale.sandbox.credits("xero") == []
        outside["square"].orders = {ORDER["id"]: ORDER, BACK["id"]: BACK}
        self.hears(tale, square(REFUNDED))
        assert [str(each.total) for each in tale.sandbox.credits("xero")] == ["51.18"]

    def test_an_invoice_s_own_order_at_square_asks_for_no_other(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside, ORDER | {"metadata": {"billhook_order": "SO-1001"}})
        self.hears(tale, square(HOOK))
        assert tale.books == {}

    def test_a_forged_webhook_is_not_kept(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside)
        sent = square(HOOK)
        with pytest.raises(SignatureError):
            tale.gets("till", Sent(sent.headers, sent.body + b" "))
        assert tale.events == []


class TestHubSpot:
    def tale(self, tell: MakeTale, outside: Outside, **changes: Any) -> Tale:
        fill(outside["hubspot"])
        options = credentials("hubspot", outside.url) | {"name_property": "order_number"} | changes
        tale: Tale = tell(sources=configured("deals", "hubspot", **options))
        return tale

    @staticmethod
    def hears(tale: Tale, *sent: Sent) -> None:
        tale.gets("deals", *sent, settle=False)
        tale.asks("deals")

    @staticmethod
    def becomes(outside: Outside, stage: str, at: str) -> None:
        """The deal goes to another stage."""
        theirs = DEAL["properties"] | {"dealstage": stage, "hs_lastmodifieddate": at}
        outside["hubspot"].deals = {"5001": DEAL | {"updatedAt": at, "properties": theirs}}
        outside["hubspot"].stages = {"5001": [{"value": stage, "timestamp": at}, *STAGES]}

    def test_a_won_deal_is_pushed_fetched_and_invoiced_once(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside)
        self.hears(tale, hubspot(EVENT))
        assert tale.books == {"SO-1001": "118.14"}
        assert tale.states_of_events == ["done", "done"]

    def test_pushed_twice_it_is_one_invoice(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside)
        again = EVENT | {"attemptNumber": 1}
        self.hears(tale, hubspot(EVENT, EVENT), hubspot(again, EVENT | {"eventId": 9, "propertyName": "amount"}))
        self.hears(tale, hubspot(again | {"eventId": 10}))
        assert tale.books == {"SO-1001": "118.14"}
        assert set(tale.states_of_events) == {"done"}

    def test_what_no_webhook_told_is_found_by_asking_once(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside)
        tale.asks("deals")
        assert tale.books == {}
        outside["hubspot"].stages = {"5001": []}
        at = soon()
        self.becomes(outside, "closedwon", at)
        outside["hubspot"].stages = {"5001": [{"value": "closedwon", "timestamp": at}, STAGES[1]]}
        for again in (1, 2):
            tale.asks("deals", later=again * LATER)
        assert tale.books == {"SO-1001": "118.14"}
        assert set(tale.states_of_events) == {"done"}

    def test_a_deal_that_was_won_long_ago_and_is_only_edited_asks_for_none(
        self, tell: MakeTale, outside: Outside
    ) -> None:
        tale = self.tale(tell, outside)
        tale.asks("deals")
        at = soon()
        edited = DEAL["properties"] | {"hs_lastmodifieddate": at}
        outside["hubspot"].deals = {"5001": DEAL | {"updatedAt": at, "properties": edited}}
        tale.asks("deals", later=LATER)
        assert tale.books == {}
        assert tale.states_of_events == ["done", "done"]

    def test_a_deal_that_is_lost_again_leaves_its_invoice(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside)
        self.hears(tale, hubspot(EVENT))
        self.becomes(outside, "closedlost", "2020-11-23T09:00:00.000Z")
        self.hears(tale, hubspot(EVENT | {"propertyValue": "closedlost", "occurredAt": 1606122000000}))
        assert tale.books == {"SO-1001": "118.14"}
        assert tale.states_of_events == ["done"] * 3

    def test_where_the_shop_says_so_its_invoice_is_given_back(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside, cancel_when_lost=True)
        self.hears(tale, hubspot(EVENT))
        self.becomes(outside, "closedlost", "2020-11-23T09:00:00.000Z")
        self.hears(tale, hubspot(EVENT | {"propertyValue": "closedlost", "occurredAt": 1606122000000}))
        assert [str(each.total) for each in tale.sandbox.credits("xero")] == ["118.14"]

    def test_a_deal_without_line_items_is_for_a_person_and_says_why(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside)
        outside["hubspot"].linked["5001", "line_items"] = []
        self.hears(tale, hubspot(EVENT))
        assert tale.books == {}
        assert "it has no line items in HubSpot" in (tale.events[-1][2] or "")
        fill(outside["hubspot"])
        self.hears(tale, hubspot(EVENT | {"eventId": 11}))
        assert tale.books == {"SO-1001": "118.14"}

    def test_without_a_token_the_webhook_is_held_and_says_what_to_do(self, tell: MakeTale, outside: Outside) -> None:
        address = credentials("hubspot", outside.url)["webhook_url"]
        tale = tell(sources=configured("deals", "hubspot", webhook_url=address))
        tale.gets("deals", hubspot(EVENT))
        assert tale.states_of_events == ["held"]
        assert "give source deals credentials of its API" in (tale.events[0][2] or "")
