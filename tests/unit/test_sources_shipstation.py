"""ShipStation's webhooks: V1 says where to look, V2 is signed with keys that are learned; parcels find their orders."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import Rejected, Throttled, Unauthorized, Unavailable
from connectors.http import Http
from connectors.model import Event, EventType
from connectors.sandbox.base import Rolling
from connectors.sandbox.source_apis.shipstation import ShipStation as Emulated
from connectors.sources.base import KeyUnknown, Look, MalformedBody, NotInvoiceable, SignatureError
from connectors.sources.delivery import Delivery
from connectors.sources.shipstation import ShipStation
from tests.contract.running import RunningSandbox

NOW = datetime(2026, 11, 22, 11, tzinfo=UTC)
TOKEN = "token-in-the-address"
BATCH = "https://ssapi.shipstation.com/shipments?batchId=4d1f0b7e&includeShipmentItems=False"
NOTIFY = {"resource_url": BATCH, "resource_type": "SHIP_NOTIFY"}
TRACK = {
    "resource_url": "https://api.shipengine.com/v1/tracking?carrier_code=ups&tracking_number=1Z999AA10123456784",
    "resource_type": "API_TRACK",
    "data": {
        "tracking_number": "1Z999AA10123456784",
        "status_code": "DE",
        "status_description": "Delivered",
        "carrier_code": "ups",
        "actual_delivery_date": "2026-11-22T10:31:00Z",
        "events": [],
    },
}
SHIPMENT = {
    "shipmentId": 33974374,
    "orderId": 43945660,
    "orderKey": "8061c220",
    "orderNumber": "SO-1001",
    "createDate": "2026-11-22T02:59:58.0000000",
    "shipDate": "2026-11-22",
    "trackingNumber": "RM123456789GB",
    "carrierCode": "royal_mail",
    "serviceCode": "rm_tracked_48",
    "voided": False,
    "batchId": "4d1f0b7e",
    "shipTo": {"name": "Ada Lovelace", "postalCode": "SW1Y 4JH", "country": "GB"},
    "advancedOptions": {"storeId": 7},
}
ORDER = {
    "orderId": 43945660,
    "orderKey": "8061c220",
    "orderNumber": "SO-1001",
    "orderStatus": "shipped",
    "modifyDate": "2026-11-22T02:59:59.0000000",
    "orderTotal": 999.0,
    "advancedOptions": {"storeId": 7},
}


@pytest.fixture(scope="module")
def keys() -> dict[str, RSAPrivateKey]:
    return {name: generate_private_key(65537, 2048) for name in ("k1", "k2")}


@pytest.fixture(scope="module")
def sandbox():
    running = RunningSandbox([Emulated])
    yield running
    running.close()


@pytest.fixture
def emulated(sandbox) -> Emulated:
    sandbox.pass_time(61)
    emulator = sandbox.sandbox.hosted["shipstation"].emulator
    sandbox.run(emulator.setup)
    return emulator


@pytest.fixture
def base(sandbox) -> str:
    return f"{sandbox.url}/shipstation"


def configured(base: str, **options: Any) -> ShipStation:
    own = {"api_key": "ss-key", "api_secret": "ss-secret", "base_url": base, "keys_url": f"{base}/jwks"}
    return ShipStation([TOKEN], {**own, **options})


def jwk(name: str, key: RSAPrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    written = {
        field: base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8)).rstrip(b"=").decode()
        for field, number in (("n", numbers.n), ("e", numbers.e))
    }
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": name, **written}


def signed(key: RSAPrivateKey, body: bytes, name: str = "k1", at: str = "2026-11-22T10:59:58.000Z") -> dict[str, str]:
    made = key.sign(f"{at}.".encode() + body, PKCS1v15(), SHA256())
    return {
        ":token": TOKEN,
        "x-shipengine-rsa-sha256-signature": base64.b64encode(made).decode(),
        "x-shipengine-rsa-sha256-key-id": name,
        "x-shipengine-timestamp": at,
    }


class TestV1IsProtectedByTheTokenOfItsAddress:
    body = orjson.dumps(NOTIFY)

    def test_the_token_admits(self):
        ShipStation([TOKEN]).verify({":token": TOKEN}, self.body, NOW)

    def test_old_and_new_token_are_valid_at_once(self):
        for secrets in (["new", TOKEN], [TOKEN, "old"]):
            ShipStation(secrets).verify({":token": TOKEN}, self.body, NOW)

    @pytest.mark.parametrize("headers", [{}, {":token": ""}, {":token": "wrong"}, {"token": TOKEN}, {":token": "\xe9"}])
    def test_without_it_nothing_is_accepted(self, headers):
        with pytest.raises(SignatureError):
            ShipStation([TOKEN]).verify(headers, self.body, NOW)

    def test_without_a_secret_nothing_is_accepted(self):
        with pytest.raises(SignatureError, match="no secret"):
            ShipStation([]).verify({":token": ""}, self.body, NOW)


class TestV2IsSignedToo:
    body = orjson.dumps(TRACK)

    @pytest.fixture
    def source(self, base, emulated, keys) -> ShipStation:
        emulated.keys = [{"kid": "broken"}, {"kty": "EC", "kid": "ec", "x": "AA"}, 7, jwk("k1", keys["k1"])]
        source = configured(base)
        source.learn_keys(Http(10))
        return source

    def test_a_valid_signature_is_accepted(self, source, keys):
        source.verify(signed(keys["k1"], self.body), self.body, NOW)
        source.verify(signed(keys["k1"], self.body, at=str(int(NOW.timestamp()))), self.body, NOW)

    def test_the_token_is_needed_beside_it_since_the_keys_are_those_of_all_customers(self, source, keys):
        headers = signed(keys["k1"], self.body) | {":token": "wrong"}
        with pytest.raises(SignatureError, match="token"):
            source.verify(headers, self.body, NOW)

    def test_a_tampered_body_is_refused(self, source, keys):
        with pytest.raises(SignatureError, match="not made with the key"):
            source.verify(signed(keys["k1"], self.body), self.body + b" ", NOW)

    def test_another_key_under_that_name_is_refused(self, source, keys):
        with pytest.raises(SignatureError, match="not made with the key") as refused:
            source.verify(signed(keys["k2"], self.body), self.body, NOW)
        assert not isinstance(refused.value, KeyUnknown)

    @pytest.mark.parametrize("seconds", [-301, 301])
    def test_a_stale_or_early_timestamp_is_refused(self, source, keys, seconds):
        headers = signed(keys["k1"], self.body, at=NOW.isoformat())
        with pytest.raises(SignatureError, match="5 minutes"):
            source.verify(headers, self.body, NOW + timedelta(seconds=seconds))

    def test_another_timestamp_than_the_signed_one_is_refused(self, source, keys):
        headers = signed(keys["k1"], self.body) | {"x-shipengine-timestamp": "2026-11-22T10:59:59.000Z"}
        with pytest.raises(SignatureError, match="not made with the key"):
            source.verify(headers, self.body, NOW)

    @pytest.mark.parametrize("name", ["rsa-sha256-signature", "rsa-sha256-key-id", "timestamp"])
    def test_with_one_of_the_headers_all_are_needed(self, source, keys, name):
        headers = signed(keys["k1"], self.body)
        del headers[f"x-shipengine-{name}"]
        with pytest.raises(SignatureError, match=f"{name} is missing"):
            source.verify(headers, self.body, NOW)

    @pytest.mark.parametrize("at", ["yesterday", "2026-11-22T10:59:58", "99999999999", "٣"])
    def test_a_timestamp_that_is_none_is_refused(self, source, keys, at):
        with pytest.raises(SignatureError, match="not a time"):
            source.verify(signed(keys["k1"], self.body, at=at), self.body, NOW)

    def test_a_signature_that_is_no_base64_is_refused(self, source, keys):
        headers = signed(keys["k1"], self.body) | {"x-shipengine-rsa-sha256-signature": "%"}
        with pytest.raises(SignatureError, match="not made with the key"):
            source.verify(headers, self.body, NOW)

    def test_a_new_key_is_unknown_until_it_is_learned(self, source, keys, emulated):
        headers = signed(keys["k2"], self.body, "k2")
        with pytest.raises(KeyUnknown):
            source.verify(headers, self.body, NOW)
        emulated.keys.append(jwk("k2", keys["k2"]))
        source.learn_keys(Http(10))
        source.verify(headers, self.body, NOW)
        source.verify(signed(keys["k1"], self.body), self.body, NOW)

    def test_a_list_of_keys_that_is_none_keeps_those_that_are_known(self, source, keys, emulated):
        emulated.keys = None
        with pytest.raises(Unavailable):
            source.learn_keys(Http(10))
        source.verify(signed(keys["k1"], self.body), self.body, NOW)

    def test_an_unsigned_body_never_passes_for_a_signed_one(self, source):
        delivery = source.receive({":token": TOKEN}, self.body)
        assert source.normalise(delivery, self.body) is None

    def test_a_replay_has_the_same_id(self, source, keys):
        first = source.receive(signed(keys["k1"], self.body), self.body)
        again = source.receive(signed(keys["k1"], self.body, at="2026-11-22T11:00:01.000Z"), self.body)
        assert first.id == again.id
        other = self.body.replace(b'"DE"', b'"IT"')
        assert source.receive(signed(keys["k1"], other), other).id != first.id


class TestTracking:
    def event(self, **data: Any) -> Event | Look | None:
        source, body = ShipStation([]), orjson.dumps(TRACK | {"data": TRACK["data"] | data})
        delivery = source.receive({"x-shipengine-timestamp": "2026-11-22T10:59:58Z"}, body)
        return source.normalise(delivery, body)

    def test_delivered_is_the_carriers_word(self):
        event = self.event()
        assert isinstance(event, Event)
        assert (event.type, event.occurred_at) == (
            EventType.SHIPMENT_DELIVERED,
            datetime(2026, 11, 22, 10, 31, tzinfo=UTC),
        )
        assert (event.shipment.tracking_number, event.shipment.carrier) == ("1Z999AA10123456784", "ups")

    @pytest.mark.parametrize("code", ["UN", "AC", "IT", "AT", "EX", "NY", "SP", None, 5])
    def test_every_other_state_is_kept_for_the_record(self, code):
        assert self.event(status_code=code) is None

    def test_a_date_without_a_zone_gives_way_to_the_time_of_the_webhook(self):
        event = self.event(actual_delivery_date="2026-11-22T00:00:00")
        assert isinstance(event, Event)
        assert event.occurred_at == datetime(2026, 11, 22, 10, 59, 58, tzinfo=UTC)

    def test_a_parcel_without_its_number_is_no_parcel(self):
        with pytest.raises(NotInvoiceable, match="which parcel"):
            self.event(tracking_number=None)


class TestV1SaysWhereToLook:
    def read(self, value: Any, **options: Any) -> Event | Look | None:
        source, body = ShipStation([], options), orjson.dumps(value)
        return source.normalise(source.receive({}, body), body)

    @pytest.mark.parametrize("type_", ["SHIP_NOTIFY", "ITEM_SHIP_NOTIFY", "FULFILLMENT_SHIPPED"])
    def test_what_was_shipped_is_looked_up(self, type_):
        assert isinstance(self.read(NOTIFY | {"resource_type": type_}), Look)

    @pytest.mark.parametrize("type_", ["ORDER_NOTIFY", "ITEM_ORDER_NOTIFY", "FULFILLMENT_REJECTED", "", None, 5])
    def test_the_rest_is_kept_for_the_record(self, type_):
        assert self.read(NOTIFY | {"resource_type": type_}) is None

    def test_the_numbered_hosts_are_shipstations_too(self):
        assert isinstance(self.read(NOTIFY | {"resource_url": BATCH.replace("ssapi", "ssapi6")}), Look)

    @pytest.mark.parametrize(
        "url",
        [
            "http://ssapi.shipstation.com/shipments",
            "https://evil.example/shipments",
            "https://ssapi.shipstation.com.evil.example/shipments",
            "https://evilshipstation.com/shipments",
            "https://ssapi.shipstation.com@evil.example/shipments",
            "https://user:pass@ssapi.shipstation.com/shipments",
            "https://ssapi.shipstation.com:8443/shipments",
            "https://evil.example\\.shipstation.com/shipments",
            "https://ssapi.shipstation.com/../shipments",
            "https://ssapi.shipstation.com/accounts",
            "https://[::1/shipments",
            "//ssapi.shipstation.com/shipments",
            "https://ssapi.shipstation.com/ship\tments",
            "", None, 5, [], {},
        ],
    )  # fmt: skip
    def test_no_other_address_is_asked(self, url, base):
        with pytest.raises(NotInvoiceable, match="not ShipStation's"):
            self.read(NOTIFY | {"resource_url": url})
        source = configured(base)
        with pytest.raises(Rejected):
            source.fetch(source.api(Http(10)), Delivery("1", "SHIP_NOTIFY"), orjson.dumps({"resource_url": url}))

    def test_a_replay_has_the_same_id_and_another_batch_another(self):
        source = ShipStation([])
        one = source.receive({}, orjson.dumps(NOTIFY))
        assert one.id == source.receive({}, json.dumps(NOTIFY, indent=1).encode()).id
        assert one.id != source.receive({}, orjson.dumps(NOTIFY | {"resource_url": BATCH + "1"})).id
        assert one.id != source.receive({}, orjson.dumps(NOTIFY | {"resource_type": "ITEM_SHIP_NOTIFY"})).id


class TestAsking:
    def fetched(self, base: str, url: str = BATCH, **options: Any) -> list[Any]:
        source = configured(base, **options)
        body = orjson.dumps(NOTIFY | {"resource_url": url})
        delivery = source.receive({}, body)
        found = source.fetch(source.api(Http(10)), delivery, body)
        return [source.normalise(each.delivery, each.body) for each in found]

    def test_a_parcel_of_a_shipped_order_counts_as_shipped(self, base, emulated):
        emulated.shipments, emulated.orders = [SHIPMENT], [ORDER]
        [event] = self.fetched(base)
        assert event.type is EventType.SHIPMENT_SHIPPED
        assert (event.order, event.order_ref, event.order_id) == (None, "SO-1001", "8061c220")
        assert event.occurred_at == datetime(2026, 11, 22, 10, 59, 58, tzinfo=UTC)
        parcel = event.shipment
        assert (parcel.ref, parcel.carrier, parcel.tracking_number) == ("33974374", "royal_mail", "RM123456789GB")

    @pytest.mark.parametrize("status", ["awaiting_shipment", "on_hold", "cancelled"])
    def test_a_parcel_of_an_order_not_wholly_shipped_only_tells_its_number(self, base, emulated, status):
        emulated.shipments, emulated.orders = [SHIPMENT], [ORDER | {"orderStatus": status}]
        [event] = self.fetched(base)
        assert event.type is EventType.ORDER_UPDATED
        assert event.shipment.tracking_number == "RM123456789GB"

    @pytest.mark.parametrize("change", [{"voided": True}, {"isReturnLabel": True}, {"voidDate": "2026-11-22"}])
    def test_voided_labels_and_returns_are_no_parcels(self, base, emulated, change):
        emulated.shipments, emulated.orders = [SHIPMENT | change], [ORDER]
        assert self.fetched(base) == [None]

    def test_all_pages_of_a_batch_are_read(self, base, emulated):
        emulated.shipments = [
            SHIPMENT | {"shipmentId": number, "orderId": number, "orderNumber": f"SO-{number}"}
            for number in range(1201)
        ]
        emulated.orders = [ORDER | {"orderId": number} for number in range(1201)]
        events = self.fetched(base)
        assert {event.order_ref for event in events} == {f"SO-{number}" for number in range(1201)}
        assert {event.type for event in events} == {EventType.SHIPMENT_SHIPPED}
        assert len(emulated.asked) == 6

    def test_only_the_configured_store_counts(self, base, emulated):
        other = SHIPMENT | {"shipmentId": 2, "advancedOptions": {"storeId": 8}}
        emulated.shipments, emulated.orders = [SHIPMENT, other], [ORDER]
        for url in (BATCH, BATCH + "&storeID=8"):
            assert [event.shipment.ref for event in self.fetched(base, url, store_id=7)] == ["33974374"]

    def test_what_was_shipped_elsewhere_is_a_fulfillment(self, base, emulated):
        made = {"fulfillmentId": 5, "orderId": 43945660, "orderNumber": "SO-1001", "trackingNumber": "X1",
                "createDate": "2026-11-22T02:59:58.0000000", "carrierCode": "other", "voided": False}  # fmt: skip
        emulated.fulfillments, emulated.orders = [made], [ORDER]
        [event] = self.fetched(base, "https://ssapi.shipstation.com/fulfillments")
        assert (event.type, event.shipment.ref, event.order_id) == (EventType.SHIPMENT_SHIPPED, "5", "8061c220")

    def test_the_same_state_has_the_same_id_and_another_state_another(self, base, emulated):
        emulated.shipments, emulated.orders = [SHIPMENT], [ORDER]
        [first], [again] = self.fetched(base), self.fetched(base)
        emulated.orders = []
        [before] = self.fetched(base)
        emulated.shipments = [SHIPMENT | {"trackingNumber": "RM2"}]
        [corrected] = self.fetched(base)
        assert first.id == again.id
        assert len({first.id, before.id, corrected.id}) == 3

    def test_prices_and_addresses_are_not_kept(self, base, emulated):
        emulated.shipments, emulated.orders = [SHIPMENT], [ORDER]
        source = configured(base)
        [found] = source.fetch(source.api(Http(10)), Delivery("1", "SHIP_NOTIFY"), orjson.dumps(NOTIFY))
        assert b"Lovelace" not in found.body
        assert b"999" not in found.body

    def test_a_batch_that_is_gone_is_nothing(self, base, emulated):
        assert self.fetched(base) == []

    def test_a_wrong_key_is_told(self, base, emulated):
        with pytest.raises(Unauthorized, match="ShipStation"):
            self.fetched(base, api_secret="wrong")

    def test_too_many_calls_say_how_long_to_wait(self, base, emulated):
        emulated.shipments, emulated.limit = [SHIPMENT], Rolling(1, 60)
        with pytest.raises(Throttled) as refused:
            self.fetched(base)
        assert 0 < refused.value.retry_after <= 60

    def test_without_credentials_there_is_nobody_to_ask(self):
        assert ShipStation([TOKEN]).api(Http(10)) is None
        with pytest.raises(ValueError, match="belong together"):
            ShipStation([TOKEN], {"api_key": "x"})

    def test_the_key_goes_to_no_other_host_than_the_configured_one(self, base, emulated):
        emulated.shipments, emulated.orders = [SHIPMENT], [ORDER]
        assert len(self.fetched(base, BATCH.replace("ssapi", "ssapi6"))) == 1
        assert len(self.fetched(base, f"{base}/shipments?batchId=4d1f0b7e")) == 1

    @pytest.mark.parametrize("host", ["ssapi", "ssapi6"])
    def test_without_another_base_url_the_host_that_was_named_is_asked_in_https(self, host):
        asked = []

        class Unplugged(Http):
            def send(self, method, url, **options):
                asked.append(url)
                raise Unavailable("not plugged in")

        source = ShipStation([], {"api_key": "ss-key", "api_secret": "ss-secret"})
        body = orjson.dumps(NOTIFY | {"resource_url": BATCH.replace("ssapi", host)})
        with pytest.raises(Unavailable):
            source.fetch(source.api(Unplugged()), Delivery("1", "SHIP_NOTIFY"), body)
        assert asked == [f"https://{host}.shipstation.com/shipments"]

    def test_what_was_missed_is_pulled_page_by_page(self, base, emulated):
        source = configured(base)
        api = source.api(Http(10))
        begin = source.pull(api, None, NOW)
        assert (begin.found, begin.cursor, begin.more) == ((), "2026-11-22 03:00:00|1", False)
        emulated.shipments = [
            SHIPMENT | {"shipmentId": number, "createDate": f"2026-11-22T03:{number // 60:02}:{number % 60:02}.1000000"}
            for number in reversed(range(150))
        ]
        emulated.orders = [ORDER]
        first = source.pull(api, begin.cursor, NOW)
        assert (len(first.found), first.more, first.cursor) == (100, True, "2026-11-22 03:00:00|2")
        second = source.pull(api, first.cursor, NOW)
        assert (len(second.found), second.more, second.cursor) == (50, False, "2026-11-22 03:02:29|1")
        refs = [source.normalise(each.delivery, each.body).shipment.ref for each in (*first.found, *second.found)]
        assert refs == [str(number) for number in range(150)]
        third = source.pull(api, second.cursor, NOW)
        assert {each.delivery.id for each in third.found} == {second.found[-1].delivery.id}

    def test_with_nothing_new_the_cursor_stays(self, base, emulated):
        source = configured(base)
        assert source.pull(source.api(Http(10)), "2026-11-22 03:00:00|1", NOW).cursor == "2026-11-22 03:00:00|1"


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["SHIP_NOTIFY", "shipment", "v2/API_TRACK", ""]),
    st.sampled_from([*NOTIFY, "data", "shipment", "order"]),
    st.sampled_from(["", *TRACK["data"], *SHIPMENT]),
    anything,
)
def test_no_body_makes_it_crash(type_, field, inner, value):
    example: dict[str, Any] = {**NOTIFY, "data": TRACK["data"], "shipment": SHIPMENT, "order": ORDER}
    example[field] = {**example[field], inner: value} if inner and isinstance(example[field], dict) else value
    source = ShipStation([])
    try:
        body = orjson.dumps(example)
        delivery = source.receive({}, body)
        assert len(delivery.id) <= 200
        source.normalise(Delivery(delivery.id, type_, NOW), body)
    except (MalformedBody, NotInvoiceable, orjson.JSONEncodeError):
        pass


@pytest.mark.parametrize("document", [None, 1, "text", [], [1], {}])
def test_any_json_is_stored(document):
    source, body = ShipStation([]), orjson.dumps(document)
    assert source.normalise(source.receive({}, body), body) is None
