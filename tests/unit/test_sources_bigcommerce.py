"""BigCommerce: signed webhooks that say where to look, and orders of its v2 API that add up to the cent."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
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
from connectors.sandbox.source_apis.bigcommerce import BigCommerce as Emulated
from connectors.sources.base import Look, MalformedBody, NotInvoiceable, SignatureError
from connectors.sources.bigcommerce import BigCommerce
from tests.contract.running import RunningSandbox
from tests.unit.bigcommerce_bodies import DOCUMENT, ORDER, SHIPMENTS, TAG

NOW = datetime.fromtimestamp(1795345198, UTC)
SECRET = "billhook-test-secret"
BODY = b'{"order":"SO-1001","status":"fulfilled"}'
VECTOR = {
    "webhook-id": "msg_2Zbillhook1001",
    "webhook-timestamp": "1795345198",
    "webhook-signature": "v1,Gn1Izd1YPe1GPEIsJGbZVEiGIseN5m6IAMu0EGO62yE=",
}
HOOK = {
    "scope": "store/order/statusUpdated",
    "store_id": "1025646",
    "producer": "stores/abc123",
    "hash": "5d2f0c",
    "created_at": 1795345198,
    "data": {"type": "order", "id": 1001, "status": {"previous_status_id": 11, "new_status_id": 2}},
}


class TestSignature:
    def test_the_published_vector_is_accepted(self):
        BigCommerce([SECRET]).verify(VECTOR, BODY, NOW)

    def test_old_and_new_secret_are_valid_at_once(self):
        for secrets in (["the-new-one", SECRET], [SECRET, "the-old-one"]):
            BigCommerce(secrets).verify(VECTOR, BODY, NOW)

    def test_the_key_is_the_secret_as_it_stands_even_where_it_looks_like_base64(self):
        secret = "YmlsbGhvb2stdGVzdC1zZWNyZXQtMzItYnl0ZXMtb2s="
        signed = f"{VECTOR['webhook-id']}.{VECTOR['webhook-timestamp']}.".encode() + BODY
        made = base64.b64encode(hmac.digest(secret.encode(), signed, hashlib.sha256)).decode()
        BigCommerce([secret]).verify(VECTOR | {"webhook-signature": f"v1,{made}"}, BODY, NOW)

    def test_one_of_several_signatures_is_enough(self):
        several = "v1,AAAA v2,BBBB " + VECTOR["webhook-signature"]
        BigCommerce([SECRET]).verify(VECTOR | {"webhook-signature": several}, BODY, NOW)

    @pytest.mark.parametrize("seconds", [-301, 301])
    def test_a_stale_or_early_timestamp_is_refused(self, seconds):
        with pytest.raises(SignatureError, match="5 minutes"):
            BigCommerce([SECRET]).verify(VECTOR, BODY, NOW + timedelta(seconds=seconds))

    @pytest.mark.parametrize("header", VECTOR)
    def test_a_missing_header_is_named(self, header):
        with pytest.raises(SignatureError, match=f"{header} is missing"):
            BigCommerce([SECRET]).verify({k: v for k, v in VECTOR.items() if k != header}, BODY, NOW)

    def test_a_tampered_body_id_or_time_is_refused(self):
        for headers, body in (
            (VECTOR, BODY + b" "),
            (VECTOR | {"webhook-id": "msg_other"}, BODY),
            (VECTOR | {"webhook-timestamp": "1795345199"}, BODY),
        ):
            with pytest.raises(SignatureError):
                BigCommerce([SECRET]).verify(headers, body, NOW)

    def test_the_wrong_secret_or_none_is_refused(self):
        for secrets in (["another"], []):
            with pytest.raises(SignatureError):
                BigCommerce(secrets).verify(VECTOR, BODY, NOW)

    def test_an_empty_secret_cannot_be_used(self):
        with pytest.raises(ValueError, match="secret"):
            BigCommerce([" "])


class TestReceiving:
    def test_a_retry_has_the_same_id_and_another_message_another(self):
        source, body = BigCommerce([SECRET]), orjson.dumps(HOOK)
        first = source.receive(VECTOR, body)
        assert first == source.receive(VECTOR | {"webhook-timestamp": "1795345258"}, body)
        assert first.id != source.receive(VECTOR | {"webhook-id": "msg_2"}, body).id
        assert (first.type, first.occurred_at, first.order_ref) == ("store/order/statusUpdated", NOW, "1001")

    def test_without_an_id_of_the_message_the_body_is_it(self):
        source = BigCommerce([SECRET])
        later = orjson.dumps(HOOK | {"created_at": 1795345199})
        assert source.receive({}, orjson.dumps(HOOK)).id != source.receive({}, later).id

    @pytest.mark.parametrize("document", [None, 1, "text", [], [1], {}, {"data": []}])
    def test_any_json_is_stored(self, document):
        source, body = BigCommerce([SECRET]), orjson.dumps(document)
        assert source.normalise(source.receive({}, body), body) is None

    def read(self, **changes: Any) -> Event | Look | None:
        source, body = BigCommerce([], {"store_hash": "abc123"}), orjson.dumps(HOOK | changes)
        return source.normalise(source.receive(VECTOR, body), body)

    @pytest.mark.parametrize(
        ("scope", "data"),
        [
            ("store/order/created", {"type": "order", "id": 250}),
            ("store/order/statusUpdated", HOOK["data"]),
            ("store/order/archived", {"type": "order", "id": 250}),
            ("store/order/refund/created", {"type": "order", "id": 250, "refund": {"refund_id": 3}}),
            ("store/shipment/created", {"type": "shipment", "id": 12, "orderId": 251}),
        ],
    )
    def test_what_happens_to_an_order_is_looked_up(self, scope, data):
        assert isinstance(self.read(scope=scope, data=data), Look)

    @pytest.mark.parametrize("scope", ["store/order/message/created", "store/cart/created", "", None, 5])
    def test_the_rest_is_kept_for_the_record(self, scope):
        assert self.read(scope=scope) is None

    @pytest.mark.parametrize("producer", ["stores/other", None, 5])
    def test_another_stores_webhook_is_told_since_one_secret_signs_for_all(self, producer):
        with pytest.raises(NotInvoiceable, match="not of stores/abc123"):
            self.read(producer=producer)

    @pytest.mark.parametrize("data", [None, {}, {"type": "order"}, {"type": "shipment", "id": 12}, 5])
    def test_a_webhook_that_names_no_order_is_told(self, data):
        with pytest.raises(NotInvoiceable, match="which order"):
            self.read(data=data)


@pytest.fixture(scope="module")
def sandbox():
    running = RunningSandbox([Emulated])
    yield running
    running.close()


@pytest.fixture
def emulated(sandbox) -> Emulated:
    emulator = sandbox.sandbox.hosted["bigcommerce"].emulator
    sandbox.run(emulator.setup)
    emulator.orders = {1001: ORDER}
    parts = {name: DOCUMENT[name] for name in ("products", "taxes", "shipping_addresses", "shipments")}
    emulator.parts = {(1001, name): rows for name, rows in parts.items()}
    return emulator


class TestAsking:
    @pytest.fixture
    def source(self, sandbox) -> BigCommerce:
        options = {"store_hash": "abc123", "access_token": "bc-token", "base_url": f"{sandbox.url}/bigcommerce"}
        return BigCommerce([SECRET], options)

    def fetched(self, source: BigCommerce, hook: Any = HOOK) -> Any:
        body = orjson.dumps(hook)
        found = source.fetch(source.api(Http(10)), source.receive(VECTOR, body), body)
        return found[0] if found else None

    def test_the_whole_order_is_read_and_adds_up(self, source, emulated):
        found = self.fetched(source)
        event = source.normalise(found.delivery, found.body)
        assert event.type is EventType.ORDER_FULFILLED
        assert event.order.total == Decimal("118.14")
        assert [each.tracking_number for each in event.order.shipments] == ["RM123456789GB"]
        assert found.delivery.order_ref == "1001"

    def test_a_shipments_webhook_leads_to_its_order(self, source, emulated):
        hook = HOOK | {"scope": "store/shipment/created", "data": {"type": "shipment", "id": 31, "orderId": 1001}}
        assert self.fetched(source, hook).delivery.order_ref == "1001"

    def test_an_order_of_more_lines_than_a_page_is_read_whole(self, source, emulated):
        emulated.parts[1001, "products"] = [TAG | {"id": number} for number in range(251)]
        assert len(orjson.loads(self.fetched(source).body)["products"]) == 251

    def test_lists_of_nothing_are_empty(self, source, emulated):
        emulated.parts = {}
        assert orjson.loads(self.fetched(source).body)["shipments"] == []

    def test_the_same_state_has_the_same_id_and_another_state_another(self, source, emulated):
        first, again = self.fetched(source), self.fetched(source)
        emulated.parts[1001, "shipments"] = [SHIPMENTS[0] | {"tracking_number": "RM2"}]
        another = self.fetched(source)
        assert first == again
        assert first.delivery.id != another.delivery.id

    def test_an_order_that_is_gone_is_nothing(self, source, emulated):
        emulated.orders = {}
        assert self.fetched(source) is None

    @pytest.mark.parametrize("number", ["../customers", "1001?x", "", "٣"])
    def test_an_id_that_is_none_is_not_asked_for(self, source, emulated, number):
        with pytest.raises(Rejected):
            self.fetched(source, HOOK | {"data": {"type": "order", "id": number}})
        assert emulated.asked == []

    def test_a_wrong_token_is_told(self, sandbox, emulated):
        options = {"store_hash": "abc123", "access_token": "wrong", "base_url": f"{sandbox.url}/bigcommerce"}
        with pytest.raises(Unauthorized, match="BigCommerce"):
            self.fetched(BigCommerce([SECRET], options))

    def test_too_many_calls_say_how_long_to_wait(self, source, emulated):
        emulated.limit = Rolling(2, 30)
        with pytest.raises(Throttled) as refused:
            self.fetched(source)
        assert 0 < refused.value.retry_after <= 30

    def test_without_a_token_there_is_nobody_to_ask(self):
        assert BigCommerce([SECRET], {"store_hash": "abc123"}).api(Http(10)) is None
        with pytest.raises(ValueError, match="needs store_hash"):
            BigCommerce([SECRET], {"access_token": "x"})

    def changed(self, number: int, second: int, **more: Any) -> dict[str, Any]:
        return ORDER | {"id": number, "date_modified": f"Sun, 22 Nov 2026 11:00:{second:02} +0000"} | more

    def test_changes_are_pulled_oldest_first_and_read_later(self, source, emulated):
        api = source.api(Http(10))
        begin = source.pull(api, None, datetime(2026, 11, 22, 11, 0, 0, 7, tzinfo=UTC))
        assert (begin.found, begin.cursor, begin.more) == ((), "2026-11-22T11:00:00+00:00|1", False)
        rows = [self.changed(number, 59 - number // 2) for number in range(70)]
        emulated.orders = {row["id"]: row for row in rows} | {1: self.changed(1, 30, status_id=0), 999: ORDER}
        first = source.pull(api, begin.cursor, NOW)
        assert first.more
        second = source.pull(api, first.cursor, NOW)
        assert not second.more
        found = [*first.found, *second.found]
        assert {each.delivery.order_ref for each in found} == {str(number) for number in range(70)} - {"1"}
        assert [each.delivery.occurred_at for each in first.found] == sorted(
            each.delivery.occurred_at for each in first.found
        )
        assert isinstance(source.normalise(found[0].delivery, found[0].body), Look)
        emulated.orders = {number: self.changed(number, 1) for number in range(70)}
        read = source.fetch(api, found[0].delivery, found[0].body)
        assert [each.delivery.order_ref for each in read] == [found[0].delivery.order_ref]

    def test_more_changes_in_one_second_than_a_page_holds_are_all_found(self, source, emulated):
        emulated.orders = {number: self.changed(number, 5) for number in range(1, 121)}
        api, cursor, more, seen = source.api(Http(10)), "2026-11-22T11:00:00+00:00|1", True, set()
        while more:
            page = source.pull(api, cursor, NOW)
            seen |= {each.delivery.order_ref for each in page.found}
            cursor, more = page.cursor, page.more
        assert len(seen) == 120
        assert cursor == "2026-11-22T11:00:05+00:00|1"

    def test_a_change_is_found_again_under_the_same_id(self, source, emulated):
        emulated.orders = {1001: self.changed(1001, 5)}
        api = source.api(Http(10))
        pages = [source.pull(api, "2026-11-22T11:00:00+00:00|1", NOW) for _ in range(2)]
        assert pages[0] == pages[1]
        emulated.orders = {1001: self.changed(1001, 6)}
        assert source.pull(api, pages[0].cursor, NOW).found[0].delivery.id != pages[0].found[0].delivery.id


HOSTILE: list[Any] = [
    None, True, 0, -1, 1.5, 1e300, 10**18, "", "x", "NaN", "1e5000", "-0", "9" * 24, "x" * 5000, "\x1b[2J", [], [[]],
    {}, {"a": [1]}, "0001-01-01", "Sun, 99 Nov 2026 10:59:50 +0000",
]  # fmt: skip


@given(st.sampled_from([*HOOK, "id"]), st.sampled_from(HOSTILE))
def test_no_webhook_makes_it_crash(field, value):
    hook = HOOK | ({"data": {"type": "order", "id": value}} if field == "id" else {field: value})
    source, body = BigCommerce([], {"store_hash": "abc123"}), orjson.dumps(hook)
    try:
        delivery = source.receive(VECTOR, body)
        assert len(delivery.id) <= 200
        source.normalise(delivery, body)
    except (NotInvoiceable, MalformedBody):
        pass
