"""Square: webhooks that are signed with their address and say where to look, and what is asked of its API."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import Rejected, Throttled, Unauthorized
from connectors.http import Http
from connectors.model import Event, EventType
from connectors.sandbox.base import Rolling
from connectors.sandbox.source_apis.square import TOKEN, SquareOrders
from connectors.sources.base import Look, MalformedBody, NotInvoiceable, SignatureError
from connectors.sources.square import Square
from tests.contract.running import RunningSandbox
from tests.unit.square_bodies import BACK, CUSTOMER, HOOK, LOCATION, ORDER, PAID, PARCEL, REFUNDED, hooked

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HEADER = "x-square-hmacsha256-signature"
URL = "https://webhook.site/679a4f3a-dcfa-49ee-bac5-9d0edad886b9"
KEY = "Ibxx_5AKakO-3qeNVR61Dw"
BODY = (
    b'{"merchant_id":"MLEFBHHSJGVHD","type":"webhooks.test_notification",'
    b'"event_id":"ac3ac95b-f97d-458c-a6e6-18981597e05f","created_at":"2022-07-13T20:30:59.037339943Z",'
    b'"data":{"type":"webhooks","id":"bc368e64-01aa-407e-b46e-3231809b1129"}}'
)
VECTOR = {HEADER: "GF4YkrJgGBDZ9NIYbNXBnMzqb2HoL4RW/S6vkZ9/2N4="}
"""With address, key and body those of the tests of Square's own SDKs (webhooks_helper)."""


class TestSignature:
    def source(self, *secrets: str, url: str | None = URL) -> Square:
        return Square(secrets, {"webhook_url": url})

    def test_square_s_own_vector_is_valid(self):
        self.source(KEY).verify(VECTOR, BODY, NOW)

    def test_old_and_new_secret_are_valid_at_once(self):
        for secrets in (("the-new-one", KEY), (KEY, "the-old-one")):
            self.source(*secrets).verify(VECTOR, BODY, NOW)

    def test_a_tampered_body_is_refused(self):
        with pytest.raises(SignatureError, match="not made with"):
            self.source(KEY).verify(VECTOR, BODY + b" ", NOW)

    @pytest.mark.parametrize("url", [URL + "/", URL.replace("https", "http"), URL.upper()])
    def test_the_address_is_signed_too(self, url):
        with pytest.raises(SignatureError, match="the address"):
            self.source(KEY, url=url).verify(VECTOR, BODY, NOW)

    def test_without_the_address_nothing_can_be_checked(self):
        with pytest.raises(SignatureError, match="webhook_url"):
            self.source(KEY, url=None).verify(VECTOR, BODY, NOW)

    def test_a_token_in_the_address_is_not_told_to_who_cannot_sign(self):
        with pytest.raises(SignatureError) as refused:
            self.source(KEY, url=f"{URL}?token=hush").verify(VECTOR, BODY, NOW)
        assert "hush" not in str(refused.value)

    @pytest.mark.parametrize("secrets", [("another",), ()])
    def test_the_wrong_secret_or_none_is_refused(self, secrets):
        with pytest.raises(SignatureError):
            self.source(*secrets).verify(VECTOR, BODY, NOW)

    @pytest.mark.parametrize("headers", [{}, {HEADER: ""}, {HEADER: " "}])
    def test_a_missing_signature_is_named(self, headers):
        with pytest.raises(SignatureError, match=f"{HEADER} is missing"):
            self.source(KEY).verify(headers, BODY, NOW)

    @pytest.mark.parametrize("signature", ["x", "é", VECTOR[HEADER][:-1], base64.b64encode(b"").decode()])
    def test_anything_else_is_no_signature(self, signature):
        with pytest.raises(SignatureError):
            self.source(KEY).verify({HEADER: signature}, BODY, NOW)

    def test_the_sum_of_body_alone_is_no_signature(self):
        alone = base64.b64encode(hmac.digest(KEY.encode(), BODY, hashlib.sha256)).decode()
        with pytest.raises(SignatureError):
            self.source(KEY).verify({HEADER: alone}, BODY, NOW)


class TestReceiving:
    def test_a_replay_has_the_same_id_and_another_event_another(self):
        source = Square([KEY])
        first = source.receive({}, orjson.dumps(HOOK))
        assert first == source.receive({"square-retry-number": "2"}, orjson.dumps(HOOK))
        assert first.id != source.receive({}, orjson.dumps(HOOK | {"event_id": "other"})).id
        at = datetime(2020, 11, 22, 10, 59, 51, tzinfo=UTC)
        assert (first.type, first.occurred_at, first.order_ref) == ("order.updated", at, ORDER["id"])

    @pytest.mark.parametrize("document", [None, 1, "text", [], [1], {}, {"data": []}, {"type": ["order.updated"]}])
    def test_any_json_is_stored(self, document):
        source, body = Square([KEY]), orjson.dumps(document)
        assert source.normalise(source.receive({}, body), body) is None

    def read(self, hook: Any, **options: Any) -> Event | Look | None:
        source, body = Square([], options), orjson.dumps(hook)
        return source.normalise(source.receive({}, body), body)

    @pytest.mark.parametrize("type", ["order.created", "order.updated", "order.fulfillment.updated"])
    def test_what_happens_to_an_order_is_looked_up(self, type):
        assert isinstance(self.read(hooked(type), location_ids=[LOCATION]), Look)

    @pytest.mark.parametrize("type", ["refund.created", "refund.updated"])
    def test_a_refund_is_looked_up(self, type):
        assert isinstance(self.read(REFUNDED | {"type": type}), Look)

    def test_a_refund_of_no_sale_is_kept_for_the_record(self):
        refund = {"id": "R9", "unlinked": True, "amount_money": {"amount": 5}}
        assert self.read(REFUNDED | {"data": {"object": {"refund": refund}}}) is None

    @pytest.mark.parametrize("type", ["payment.created", "invoice.paid", "", None, 5])
    def test_the_rest_is_kept_for_the_record(self, type):
        assert self.read(HOOK | {"type": type}) is None

    def test_another_location_s_order_is_kept_for_the_record(self):
        assert self.read(HOOK, location_ids=["LUS9"]) is None

    @pytest.mark.parametrize("order_id", [None, "", 5.5, []])
    def test_a_webhook_that_names_no_order_is_told(self, order_id):
        with pytest.raises(NotInvoiceable, match="which order"):
            self.read(hooked(order_id=order_id))


@pytest.fixture(scope="module")
def sandbox():
    running = RunningSandbox([SquareOrders])
    yield running
    running.close()


@pytest.fixture
def emulated(sandbox) -> SquareOrders:
    emulator = sandbox.sandbox.hosted["square"].emulator
    sandbox.run(emulator.setup)
    emulator.orders = {ORDER["id"]: ORDER, BACK["id"]: BACK}
    emulator.customers_by_id = {"CUSTADA": CUSTOMER}
    return emulator


def options(sandbox, **changes: Any) -> dict[str, Any]:
    known = {"access_token": TOKEN, "location_ids": [LOCATION], "base_url": f"{sandbox.url}/square"}
    return known | changes


class TestFetching:
    @pytest.fixture
    def source(self, sandbox) -> Square:
        return Square([KEY], options(sandbox))

    def fetched(self, source: Square, hook: Any = HOOK) -> list[Any]:
        body = orjson.dumps(hook)
        return list(source.fetch(source.api(Http(10)), source.receive({}, body), body))

    def test_the_whole_order_is_read_and_adds_up(self, source, emulated):
        found, parcel = self.fetched(source)
        event = source.normalise(found.delivery, found.body)
        assert event.type is EventType.ORDER_FULFILLED
        assert event.order.total == Decimal("118.14")
        assert event.order.customer.company == "Analytical Engines Ltd"
        assert found.delivery.order_ref == ORDER["id"]
        shipped = source.normalise(parcel.delivery, parcel.body)
        assert (shipped.type, shipped.order_id) == (EventType.SHIPMENT_SHIPPED, ORDER["id"])
        assert (shipped.shipment.carrier, shipped.shipment.tracking_number) == ("Royal Mail", "RM123456789GB")
        assert shipped.occurred_at == datetime(2026, 11, 22, 10, tzinfo=UTC)

    def test_the_same_state_has_the_same_id_and_another_state_another(self, source, emulated):
        first, again = self.fetched(source), self.fetched(source)
        emulated.orders = {ORDER["id"]: ORDER | {"version": 5, "updated_at": "2020-11-22T11:00:00.000Z"}}
        another = self.fetched(source)
        assert first == again
        assert first[0].delivery.id != another[0].delivery.id
        assert first[1].delivery.id == another[1].delivery.id, "the parcel has not changed"

    @pytest.mark.parametrize("state", ["PROPOSED", "RESERVED", "PREPARED", "CANCELED", "FAILED"])
    def test_a_parcel_that_is_not_on_its_way_is_no_event(self, source, emulated, state):
        emulated.orders = {ORDER["id"]: ORDER | {"fulfillments": [PARCEL | {"state": state}]}}
        assert len(self.fetched(source)) == 1

    def test_an_order_without_a_customer_or_with_one_that_is_gone_is_read(self, source, emulated):
        emulated.customers_by_id = {}
        assert orjson.loads(self.fetched(source)[0].body)["customer"] is None
        emulated.orders = {ORDER["id"]: {name: each for name, each in ORDER.items() if name != "customer_id"}}
        assert orjson.loads(self.fetched(source)[0].body)["customer"] is None

    @pytest.mark.parametrize("orders", [{}, {ORDER["id"]: ORDER | {"location_id": "LUS9"}}])
    def test_an_order_that_is_gone_or_not_ours_is_nothing(self, source, emulated, orders):
        emulated.orders = orders
        assert self.fetched(source) == []

    def test_an_order_that_billhook_made_for_its_invoice_asks_for_no_other(self, source, emulated):
        emulated.orders = {ORDER["id"]: ORDER | {"metadata": {"billhook_order": "SO-1001"}}}
        assert self.fetched(source) == []

    def test_a_refund_leads_to_what_came_back_of_which_order(self, source, emulated):
        (found,) = self.fetched(source, REFUNDED)
        event = source.normalise(found.delivery, found.body)
        assert (event.type, event.order_id) == (EventType.REFUND_CREATED, ORDER["id"])
        assert (event.refund.ref, event.refund.total) == (BACK["id"], Decimal("51.18"))

    @pytest.mark.parametrize("number", ["../customers", "a?x", "a/b", "é"])
    def test_an_id_that_is_none_is_not_asked_for(self, source, emulated, number):
        with pytest.raises(Rejected):
            self.fetched(source, hooked(order_id=number))
        assert emulated.asked == []

    def test_a_wrong_token_is_told(self, sandbox, emulated):
        with pytest.raises(Unauthorized, match="Square"):
            self.fetched(Square([KEY], options(sandbox, access_token="wrong")))

    def test_too_many_calls_say_how_long_to_wait(self, source, emulated):
        emulated.limit = Rolling(1, 10)
        with pytest.raises(Throttled) as refused:
            self.fetched(source)
        assert 0 < refused.value.retry_after <= 10

    def test_without_a_token_there_is_nobody_to_ask(self):
        assert Square([KEY]).api(Http(10)) is None
        with pytest.raises(ValueError, match="needs location_ids"):
            Square([KEY], {"access_token": "x"})


def changed(number: int, second: int, **more: Any) -> dict[str, Any]:
    at = f"2026-11-22T11:00:{second:02}.250Z"
    return ORDER | PAID | {"id": f"ord-{number}", "updated_at": at, "closed_at": at} | more


class TestPulling:
    BEGIN = datetime(2026, 11, 22, 11, tzinfo=UTC)

    @pytest.fixture
    def source(self, sandbox) -> Square:
        return Square([KEY], options(sandbox))

    def pulled(self, source: Square, cursor: str | None, now: datetime = NOW) -> tuple[list[Any], str]:
        """All pages, and the cursor of the last."""
        api, found, more = source.api(Http(10)), [], True
        while more:
            page = source.pull(api, cursor, now)
            found, cursor, more = [*found, *page.found], page.cursor, page.more
        return found, cursor

    def test_changes_are_pulled_oldest_first_and_read_later(self, source, emulated):
        found, cursor = self.pulled(source, None, self.BEGIN)
        assert found == []
        assert emulated.asked == []
        emulated.page = 7
        rows = [changed(number, 59 - number // 2) for number in range(30)]
        emulated.orders = {row["id"]: row for row in rows} | {"old": ORDER}
        found, _ = self.pulled(source, cursor)
        told = list(dict.fromkeys(each.delivery.order_ref for each in found))
        assert set(told) == {f"ord-{number}" for number in range(30)}
        times = [each.delivery.occurred_at for each in found]
        assert times == sorted(times)
        assert isinstance(source.normalise(found[0].delivery, found[0].body), Look)
        read = source.fetch(source.api(Http(10)), found[0].delivery, found[0].body)
        assert read[0].delivery.order_ref == found[0].delivery.order_ref

    def test_more_changes_in_one_moment_than_a_page_holds_are_all_found(self, source, emulated):
        _, cursor = self.pulled(source, None, self.BEGIN)
        emulated.page = 5
        emulated.orders = {f"ord-{number}": changed(number, 5) for number in range(23)}
        found, cursor = self.pulled(source, cursor)
        assert {each.delivery.order_ref for each in found} == {f"ord-{number}" for number in range(23)}
        again, _ = self.pulled(source, cursor)
        assert {each.delivery.id for each in again} <= {each.delivery.id for each in found}

    def test_what_the_search_may_not_show_yet_is_left_for_the_next_question(self, source, emulated):
        _, cursor = self.pulled(source, None, self.BEGIN)
        emulated.orders = {"ord-1": changed(1, 30)}
        found, cursor = self.pulled(source, cursor, datetime(2026, 11, 22, 11, 2, tzinfo=UTC))
        assert found == []
        found, _ = self.pulled(source, cursor)
        assert [each.delivery.order_ref for each in found] == ["ord-1"]

    def test_what_was_finished_before_anybody_asked_is_told_but_asks_for_no_invoice(self, sandbox, emulated):
        source = Square([KEY], options(sandbox, paid="invoice"))
        _, cursor = self.pulled(source, None, self.BEGIN)
        shipped = ORDER | {"id": "ord-2", "updated_at": "2026-11-22T11:00:31Z"}
        shipped["fulfillments"] = [PARCEL | {"shipment_details": {"shipped_at": "2020-11-22T10:00:00Z"}}]
        for order in (changed(1, 30, closed_at="2020-01-01T00:00:00Z"), shipped):
            emulated.orders = {order["id"]: order}
            (found,) = self.pulled(source, cursor)[0]
            (read,) = source.fetch(source.api(Http(10)), found.delivery, found.body)
            assert source.normalise(read.delivery, read.body).type is EventType.ORDER_UPDATED

    def test_refunds_are_pulled_but_not_those_from_before(self, source, emulated):
        _, cursor = self.pulled(source, None, self.BEGIN)
        at = "2026-11-22T11:00:30.000Z"
        emulated.orders = {"new": BACK | {"id": "new", "updated_at": at, "closed_at": at, "created_at": at}}
        emulated.orders["old"] = BACK | {"id": "old", "updated_at": at}
        found, _ = self.pulled(source, cursor)
        assert [each.delivery.order_ref for each in found] == ["new"]
        (read,) = source.fetch(source.api(Http(10)), found[0].delivery, found[0].body)
        assert source.normalise(read.delivery, read.body).refund.total == Decimal("51.18")


HOSTILE: list[Any] = [
    None, True, 0, -1, 1.5, 1e300, 10**18, "", "x", "NaN", "1e5000", "9" * 24, "x" * 5000, "\x1b[2J", [], [[]],
    {}, {"a": [1]}, {"amount": "x"}, {"object": {"order_updated": 5}}, "0001-01-01", "2026-13-01T00:00:00Z",
]  # fmt: skip


@given(st.sampled_from(sorted(HOOK)), st.sampled_from(HOSTILE))
def test_no_webhook_makes_it_crash(field, value):
    source, body = Square([]), orjson.dumps(HOOK | {field: value})
    try:
        delivery = source.receive({}, body)
        assert len(delivery.id) <= 200
        source.normalise(delivery, body)
    except (NotInvoiceable, MalformedBody):
        pass
