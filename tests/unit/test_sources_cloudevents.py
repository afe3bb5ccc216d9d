"""CloudEvents in their three modes, the envelope of Standard Webhooks, tokens, and signatures by a key pair."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from connectors.model import Event, EventType
from connectors.sources.base import MalformedBody, NotInvoiceable, SignatureError
from connectors.sources.standard import Standard
from tests.unit.test_sources_standard import EVENT, HEADERS, NOW, SECRET, STAMP

STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}
BATCHED = {"content-type": "application/cloudevents-batch+json"}
BINARY = {
    "content-type": "application/json",
    "ce-specversion": "1.0",
    "ce-id": "evt-000481",
    "ce-source": "/shops/shop%201",
    "ce-type": "com.example.order.fulfilled",
    "ce-subject": "SO-1001",
    "ce-time": "2026-11-22T10:59:58Z",
}
WITHIN = {"order": EVENT["order"]}
"""An event of ours without what an envelope can say."""
CLOUD_EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "evt-000481",
    "source": "/shops/shop1",
    "type": "com.example.order.fulfilled",
    "subject": "SO-1001",
    "time": "2026-11-22T10:59:58Z",
    "datacontenttype": "application/json",
    "data": WITHIN,
}
SIGNED, TOKEN = Standard([SECRET]), "a-token-of-the-bus"
BEARER = Standard(["the-new-one", TOKEN], {"bearer": True})


def cloud_event(**changes: Any) -> dict[str, Any]:
    return CLOUD_EVENT | changes


def told(document: Any, headers: dict[str, str] = STRUCTURED, source: Standard = SIGNED) -> Event:
    [(delivery, stored)] = source.deliveries(headers, orjson.dumps(document))
    return source.normalise(delivery, stored)


def test_a_structured_event_is_the_event_in_its_data_with_what_it_lacks_from_the_envelope() -> None:
    event = told(CLOUD_EVENT)
    assert (event.type, event.occurred_at) == (
        EventType.ORDER_FULFILLED,
        datetime(2026, 11, 22, 10, 59, 58, tzinfo=UTC),
    )
    assert event.order is not None
    assert event.order.ref == "SO-1001"
    assert event.id == "cloudevent:/shops/shop1 evt-000481"


def test_what_the_data_says_itself_goes_before_the_envelope() -> None:
    event = told(cloud_event(data=EVENT, type="order.cancelled"))
    assert (event.id, event.type, event.occurred_at.hour) == ("evt-1", EventType.ORDER_FULFILLED, 10)


def test_the_subject_names_the_order_where_nothing_else_does() -> None:
    parcel = {"ref": "SH-1", "tracking_number": "1Z"}
    assert told(cloud_event(data={}, type="shipment.shipped")).order_ref == "SO-1001"
    assert told(cloud_event(data={"order_id": "8a61f0"})).order_ref is None
    assert told(cloud_event(data={"shipment": parcel})).order_ref is None
    assert told(cloud_event(data={"shipment": {"ref": "SH-1"}})).order_ref == "SO-1001"


def test_data_in_base64_is_json_all_the_same() -> None:
    packed = base64.b64encode(orjson.dumps(WITHIN)).decode()
    plain = {name: value for name, value in CLOUD_EVENT.items() if name != "data"}
    assert told(plain | {"data_base64": packed}).order == told(CLOUD_EVENT).order
    for wrong in ("?", base64.b64encode(b"\xff").decode(), 5):
        with pytest.raises(NotInvoiceable, match="data must be a JSON object"):
            told(plain | {"data_base64": wrong})


def test_the_key_of_a_cloud_event_is_its_source_and_id_together() -> None:
    def key(**changes: Any) -> str:
        return SIGNED.receive(STRUCTURED | HEADERS, orjson.dumps(cloud_event(**changes))).id

    assert key() == key(time="2026-11-22T11:00:00Z")
    assert len({key(), key(source="/shops/shop2"), key(id="evt-000482")}) == 3
    assert key(id=5) == "message:msg_2Zbillhook1001"


def test_the_stored_delivery_says_what_the_reader_wants_to_know() -> None:
    delivery = SIGNED.receive(STRUCTURED, orjson.dumps(cloud_event(data={"order_ref": "SO-7"})))
    assert (delivery.type, delivery.order_ref) == ("order.fulfilled", "SO-7")


def test_a_batch_is_kept_event_by_event_and_may_be_empty() -> None:
    events = [CLOUD_EVENT, cloud_event(id="evt-2"), {"specversion": "1.0"}, 5]
    unpacked = SIGNED.deliveries(BATCHED | HEADERS, orjson.dumps(events))
    assert [orjson.loads(stored) for _, stored in unpacked] == events
    assert len({delivery.id for delivery, _ in unpacked}) == 4
    assert unpacked == SIGNED.deliveries(BATCHED | HEADERS, orjson.dumps(events))
    assert SIGNED.normalise(*unpacked[1]).id.endswith("evt-2")
    with pytest.raises(NotInvoiceable):
        SIGNED.normalise(*unpacked[3])
    assert SIGNED.deliveries(BATCHED, b"[]") == []


@pytest.mark.parametrize("body", [b"{}", b"nope", b"[" + b"1," * 1000 + b"1]", b"[" + b"[" * 500 + b"]" * 500 + b"]"])
def test_a_body_that_is_no_batch_is_malformed_as_a_whole(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        SIGNED.deliveries(BATCHED, body)


def test_an_array_without_the_type_of_a_batch_is_none() -> None:
    with pytest.raises(MalformedBody, match="POST /events"):
        SIGNED.deliveries({"content-type": "application/json"}, orjson.dumps([CLOUD_EVENT]))


def test_the_headers_of_binary_mode_count_where_a_token_proves_the_whole_request() -> None:
    event = told(WITHIN, BINARY, BEARER)
    assert (event.type, event.id) == (EventType.ORDER_FULFILLED, "cloudevent:/shops/shop 1 evt-000481")
    assert told({}, BINARY, BEARER).order_ref == "SO-1001"
    percent = BINARY | {"ce-subject": "Caf%C3%A9 %E2%82%AC1%25", "ce-type": "order.updated"}
    assert told({}, percent, BEARER).order_ref == "Café €1%"


def test_the_headers_of_binary_mode_count_for_nothing_where_only_the_body_is_signed() -> None:
    with pytest.raises(NotInvoiceable, match="type is missing"):
        told(WITHIN, BINARY)
    headers = BINARY | HEADERS
    changed = {**headers, "ce-id": "another", "ce-type": "order.cancelled", "ce-subject": "SO-9", "ce-time": "x"}
    body = orjson.dumps(EVENT)
    assert SIGNED.deliveries(headers, body) == SIGNED.deliveries(changed, body)
    assert told(EVENT, changed).type is EventType.ORDER_FULFILLED


@pytest.mark.parametrize(
    "value", ["%", "%zz", "%ff", "%00", "%0A%1b[2J", "", "x" * 5000], ids=lambda value: str(value)[:8]
)
def test_odd_headers_in_binary_mode_break_nothing(value: str) -> None:
    for name in BINARY:
        if name.startswith("ce-"):
            [(delivery, stored)] = BEARER.deliveries(BINARY | {name: value}, orjson.dumps(EVENT))
            assert delivery.id.isprintable()
            assert BEARER.normalise(delivery, stored).order is not None


def test_the_envelope_of_standard_webhooks_is_opened() -> None:
    envelope = {"type": "order.fulfilled", "timestamp": "2026-11-22T10:59:58Z", "data": WITHIN}
    event = told(envelope, HEADERS)
    assert (event.id, event.type) == ("message:msg_2Zbillhook1001", EventType.ORDER_FULFILLED)
    assert event.occurred_at == datetime(2026, 11, 22, 10, 59, 58, tzinfo=UTC)
    with pytest.raises(NotInvoiceable, match="occurred_at is not a time"):
        told(envelope | {"timestamp": "yesterday"}, HEADERS)


def test_the_form_of_another_sender_says_what_is_wrong_with_it() -> None:
    flat = {
        "type": "order.fulfilled",
        "timestamp": "2026-11-22T10:59:58Z",
        "data": {"order_id": "1", "total": "118.14"},
    }
    with pytest.raises(NotInvoiceable, match="total is not a field that Billhook knows") as refused:
        told(flat, HEADERS)
    assert (refused.value.type, refused.value.order_id) == (EventType.ORDER_FULFILLED, "1")


@pytest.mark.parametrize("field", sorted(CLOUD_EVENT))
@pytest.mark.parametrize("value", [None, True, -1, 1e300, "", "x" * 5000, "\x1b[2J", [], [None], {}, {"a": [1]}])
def test_a_wrong_value_in_an_envelope_is_refused_in_words_or_harmless(field: str, value: Any) -> None:
    for headers in (STRUCTURED, HEADERS):
        try:
            told(cloud_event(**{field: value}), headers)
        except NotInvoiceable as refused:
            sentence = refused.reason
        else:
            continue
        assert sentence.isprintable()


# -- who may send -----------------------------------------------------------------------------------------------------


def test_any_origin_may_send_for_each_delivery_proves_itself() -> None:
    asked = {"webhook-request-origin": "eventemitter.example.com", "webhook-request-rate": "120"}
    assert SIGNED.greeting(asked) == {
        "Allow": "POST",
        "WebHook-Allowed-Origin": "eventemitter.example.com",
        "WebHook-Allowed-Rate": "*",
    }
    for wrong in ({}, {"webhook-request-origin": "x" * 300}, {"webhook-request-origin": "a\x01b"}):
        assert SIGNED.greeting(wrong) is None


@pytest.mark.parametrize("token", [TOKEN, "the-new-one"])
def test_a_token_in_the_header_or_in_the_address_is_taken(token: str) -> None:
    BEARER.verify({"authorization": f"Bearer {token}"}, b"{}", NOW)
    BEARER.verify({":token": token}, b"{}", NOW)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer é"},
        {":token": ""},
        {":token": TOKEN + "x"},
        {"access_token": TOKEN},
    ],
)
def test_any_other_token_is_refused_and_not_repeated(headers: dict[str, str]) -> None:
    with pytest.raises(SignatureError) as refused:
        BEARER.verify(headers, b"{}", NOW)
    assert TOKEN not in str(refused.value)


def test_a_token_is_sent_once_and_without_a_secret_none_is_taken() -> None:
    with pytest.raises(SignatureError, match="not both"):
        BEARER.verify({"authorization": f"Bearer {TOKEN}", ":token": TOKEN}, b"{}", NOW)
    with pytest.raises(SignatureError, match="no secret"):
        Standard([], {"bearer": True}).verify({":token": TOKEN}, b"{}", NOW)


def test_token_and_signature_are_never_both_taken() -> None:
    with pytest.raises(SignatureError, match="token is missing"):
        Standard([SECRET], {"bearer": True}).verify(HEADERS, b'{"order":"SO-1001","status":"fulfilled"}', NOW)
    with pytest.raises(SignatureError, match="webhook-id is missing"):
        SIGNED.verify({"authorization": f"Bearer {SECRET}", ":token": SECRET}, b"{}", NOW)


class TestKeyPair:
    private = Ed25519PrivateKey.from_private_bytes(b"billhook-test-key-of-32-bytes-ok")
    public = "whpk_" + base64.b64encode(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()

    def headers(self, body: bytes, stamp: int = STAMP) -> dict[str, str]:
        signature = base64.b64encode(self.private.sign(f"msg_1.{stamp}.".encode() + body)).decode()
        return {"webhook-id": "msg_1", "webhook-timestamp": str(stamp), "webhook-signature": f"v1,AAAA v1a,{signature}"}

    def test_a_signature_by_the_private_key_is_taken_beside_a_shared_secret(self) -> None:
        for secrets in ([self.public], [SECRET, self.public]):
            Standard(secrets).verify(self.headers(b"{}"), b"{}", NOW)

    def test_another_body_time_version_or_key_is_refused(self) -> None:
        source, headers = Standard([self.public]), self.headers(b"{}")
        wrong = headers | {"webhook-signature": headers["webhook-signature"].replace("v1a,", "v1,")}
        bare = headers | {"webhook-signature": headers["webhook-signature"].replace("v1a,", "")}
        for given, body in (
            (headers, b"{} "),
            (wrong, b"{}"),
            (bare, b"{}"),
            (headers | {"webhook-id": "msg_2"}, b"{}"),
        ):
            with pytest.raises(SignatureError, match="not made with a secret"):
                source.verify(given, body, NOW)
        with pytest.raises(SignatureError, match="5 minutes"):
            source.verify(headers, b"{}", NOW + timedelta(seconds=301))
        with pytest.raises(SignatureError, match="not made with a secret"):
            Standard([SECRET]).verify(headers, b"{}", NOW)

    def test_a_private_key_or_half_a_key_is_refused_at_once(self) -> None:
        with pytest.raises(ValueError, match="private key"):
            Standard(["whsk_" + base64.b64encode(b"x" * 64).decode()])
        with pytest.raises(ValueError, match="followed by base64"):
            Standard([self.public[:20]])
