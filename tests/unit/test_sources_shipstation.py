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

from connectors.errors import Rejected, Unavailable
from connectors.http import Http
from connectors.model import Event, EventType
from connectors.sandbox.source_apis.shipstation import ShipStation as Emulated
from connectors.sources.base import KeyUnknown, Look, MalformedBody, NotInvoiceable, SignatureError
from connectors.sources.delivery import Delivery
from connectors.sources.shipstation import ShipStation
from tests.contract.running import RunningSandbox
from tests.unit.shipstation_bodies import BATCH, NOTIFY, ORDER, SHIPMENT, TOKEN, TRACK, configured, jwk

NOW = datetime(2026, 11, 22, 11, tzinfo=UTC)


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
    def event(self, statuses: Any = None, **data: Any) -> Event | Look | None:
        """`statuses`: what the merchant says that they count as."""
        source = ShipStation([], {"statuses": statuses or {}})
        body = orjson.dumps(TRACK | {"data": TRACK["data"] | data})
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

    @pytest.mark.parametrize("code", ["AC", "IT"])
    def test_what_the_carrier_has_is_shipped_whenever_it_says_so(self, code):
        event = self.event(status_code=code, actual_delivery_date=None)
        assert isinstance(event, Event)
        assert (event.type, event.occurred_at) == (
            EventType.SHIPMENT_SHIPPED,
            datetime(2026, 11, 22, 10, 59, 58, tzinfo=UTC),
        )

    @pytest.mark.parametrize("code", ["UN", "AT", "EX", "NY", "SP", None, 5, [], {}])
    def test_every_other_state_is_kept_for_the_record(self, code):
        assert self.event(status_code=code) is None

    def test_the_merchant_says_which_codes_count(self):
        failed = self.event({"at": "delivered"}, status_code="AT", actual_delivery_date=None)
        assert isinstance(failed, Event)
        assert (failed.type, failed.occurred_at) == (
            EventType.SHIPMENT_DELIVERED,
            datetime(2026, 11, 22, 10, 59, 58, tzinfo=UTC),
        )
        assert self.event({"AC": "ignored"}, status_code="AC") is None
        moving = self.event({"AC": "ignored"}, status_code="IT")
        assert isinstance(moving, Event)
        assert moving.type is EventType.SHIPMENT_SHIPPED

    @pytest.mark.parametrize("detail", ["RETURN", "return_to_sender"])
    def test_what_goes_back_counts_for_nothing_whatever_is_said(self, detail):
        assert self.event({"EX": "delivered"}, status_code="EX") is not None
        assert self.event({"EX": "delivered"}, status_code="EX", status_detail_code=detail) is None

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
