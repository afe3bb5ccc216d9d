"""Billhook's own event: signatures, single events and arrays, and the errors a developer reads."""

import copy
import timeit
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest
from standardwebhooks import Webhook

from connectors.model import EventType
from connectors.sources.base import MalformedBody, NotInvoiceable, SignatureError
from connectors.sources.standard import Standard, parse_events

SECRET = "whsec_YmlsbGhvb2stdGVzdC1zZWNyZXQtMzItYnl0ZXMtb2s="
OTHER = "whsec_YW5vdGhlci1zZWNyZXQtb2YtMzItYnl0ZXMtb2sh"
BODY = b'{"order":"SO-1001","status":"fulfilled"}'
SIGNATURE = "v1,M0RQ/xeZgSC3VagC2jVaSewOov85i14Cm1SBg4jQkAY="
STAMP = 1795345198
NOW = datetime.fromtimestamp(STAMP, UTC)
HEADERS = {
    "webhook-id": "msg_2Zbillhook1001",
    "webhook-timestamp": str(STAMP),
    "webhook-signature": SIGNATURE,
}
VAT = {"name": "VAT", "rate": "20"}
EVENT: dict[str, Any] = {
    "id": "evt-1",
    "type": "order.fulfilled",
    "occurred_at": "2026-11-22T10:00:00Z",
    "order": {
        "id": "8a61f0",
        "ref": "SO-1001",
        "currency": "GBP",
        "placed_at": "2026-11-20T09:00:00Z",
        "tax_included": False,
        "customer": {
            "ref": "C-9",
            "name": "Ada Lovelace",
            "company": "Analytical Engines Ltd",
            "email": "ada@example.com",
        },
        "billing_address": {"line1": "12 Engine Row", "city": "London", "postcode": "N1 7AA", "country": "GB"},
        "shipping_address": None,
        "lines": [
            {
                "ref": "1",
                "sku": "PLQ-BR",
                "description": "Brass plaque, engraved",
                "quantity": "2",
                "unit_price": "45.00",
                "discount": "0",
                "tax": VAT | {"amount": "18.00"},
                "attributes": {"engraving": "To Ada, 1843"},
            },
            {"ref": "2", "description": "Steel tag", "quantity": 1, "unit_price": 5.5, "tax": VAT | {"amount": 1.1}},
        ],
        "discount": {"amount": "5.00", "tax": VAT | {"amount": "1.00"}},
        "shipping": {"description": "Courier", "amount": "7.95", "tax": VAT | {"amount": "1.59"}},
        "total": "118.14",
    },
    "shipment": {"ref": "SH-1", "carrier": "ups", "tracking_number": "1Z", "lines": [{"ref": "1", "quantity": "2"}]},
}


def event(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(EVENT) | changes


def order(**changes: Any) -> dict[str, Any]:
    return event(order=copy.deepcopy(EVENT["order"]) | changes)


def errors(document: Any) -> dict[str, str]:
    (only,) = parse_events(orjson.dumps(document)).elements
    assert only.event is None
    return {each.path: each.message for each in only.errors}


class TestSignature:
    def test_the_published_vector_is_accepted(self) -> None:
        Standard([SECRET]).verify(HEADERS, BODY, NOW)

    def test_what_the_reference_library_signs_is_accepted(self) -> None:
        body = "{“ü”}"
        headers = HEADERS | {"webhook-signature": Webhook(SECRET).sign("msg_2Zbillhook1001", NOW, body)}
        Standard([SECRET]).verify(headers, body.encode(), NOW)

    def test_svix_names_are_an_alias(self) -> None:
        Standard([SECRET]).verify(
            {name.replace("webhook", "svix"): value for name, value in HEADERS.items()}, BODY, NOW
        )

    def test_a_secret_without_prefix_or_padding_is_the_same_secret(self) -> None:
        Standard([SECRET.removeprefix("whsec_").rstrip("=")]).verify(HEADERS, BODY, NOW)

    def test_either_secret_is_accepted_while_it_is_being_replaced(self) -> None:
        Standard([OTHER, SECRET]).verify(HEADERS, BODY, NOW)
        several = f"v1a,AAAA v1,AAAA garbage v2,x {SIGNATURE}"
        Standard([SECRET]).verify(HEADERS | {"webhook-signature": several}, BODY, NOW)

    @pytest.mark.parametrize("seconds", [-300, 0, 300])
    def test_five_minutes_of_difference_are_accepted(self, seconds: int) -> None:
        Standard([SECRET]).verify(HEADERS, BODY, NOW + timedelta(seconds=seconds))

    @pytest.mark.parametrize("seconds", [-301, 301])
    def test_more_is_stale_and_the_clock_is_named(self, seconds: int) -> None:
        with pytest.raises(SignatureError, match=r"more than 5 minutes.*clock"):
            Standard([SECRET]).verify(HEADERS, BODY, NOW + timedelta(seconds=seconds))

    @pytest.mark.parametrize("name", sorted(HEADERS))
    def test_a_missing_header_is_named(self, name: str) -> None:
        with pytest.raises(SignatureError, match=f"{name} is missing"):
            Standard([SECRET]).verify({key: value for key, value in HEADERS.items() if key != name}, BODY, NOW)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("webhook-id", "msg_other"),
            ("webhook-id", "msg.2"),
            ("webhook-id", "x" * 257),
            ("webhook-id", "\ud800"),
            ("webhook-timestamp", str(STAMP + 1)),
            ("webhook-timestamp", "soon"),
            ("webhook-timestamp", "-1"),
            ("webhook-timestamp", "١٢"),
            ("webhook-timestamp", "9" * 400),
            ("webhook-timestamp", f"{STAMP}.0"),
            ("webhook-signature", SIGNATURE.removeprefix("v1,")),
            ("webhook-signature", SIGNATURE.replace("v1,", "v2,")),
            ("webhook-signature", "v1,"),
            ("webhook-signature", "v1,é"),
        ],
    )
    def test_a_changed_header_is_refused(self, name: str, value: str) -> None:
        with pytest.raises(SignatureError):
            Standard([SECRET]).verify(HEADERS | {name: value}, BODY, NOW)

    @pytest.mark.parametrize("message_id", ["msg.2", "x" * 257])
    def test_an_id_that_makes_the_signed_text_ambiguous_is_refused_although_signed(self, message_id: str) -> None:
        headers = HEADERS | {"webhook-id": message_id, "webhook-signature": Webhook(SECRET).sign(message_id, NOW, "{}")}
        with pytest.raises(SignatureError, match="no full stop"):
            Standard([SECRET]).verify(headers, b"{}", NOW)

    def test_a_changed_body_or_another_secret_is_refused(self) -> None:
        with pytest.raises(SignatureError):
            Standard([SECRET]).verify(HEADERS, BODY + b" ", NOW)
        with pytest.raises(SignatureError):
            Standard([OTHER]).verify(HEADERS, BODY, NOW)
        with pytest.raises(SignatureError, match="no secret"):
            Standard([]).verify(HEADERS, BODY, NOW)

    @pytest.mark.parametrize("secret", ["", "whsec_", "whsec_not base64!", "whsec_é"])
    def test_a_secret_that_cannot_be_one_is_refused_at_once(self, secret: str) -> None:
        with pytest.raises(ValueError, match="followed by base64") as refused:
            Standard([secret])
        assert secret.removeprefix("whsec_") == "" or secret not in str(refused.value)


def test_the_example_event_is_read_to_the_cent() -> None:
    batch = parse_events(orjson.dumps(EVENT))
    (only,) = batch.elements
    assert not batch.many
    assert only.event is not None
    assert (only.event.id, only.event.type, only.event.order.total) == (
        "evt-1",
        EventType.ORDER_FULFILLED,
        Decimal("118.14"),
    )
    assert only.event.order.lines[1].unit_price == Decimal("5.5")


def test_the_same_content_has_the_same_bytes_alone_or_in_an_array() -> None:
    shuffled = dict(reversed(EVENT.items()))
    alone = parse_events(orjson.dumps(EVENT, option=orjson.OPT_INDENT_2)).elements[0]
    among = parse_events(orjson.dumps([event(id="evt-0"), shuffled])).elements
    assert alone.raw == among[1].raw != among[0].raw


def test_an_array_is_judged_element_by_element() -> None:
    batch = parse_events(orjson.dumps([EVENT, {"id": "x"}, 5, order(total="1.00")]))
    assert batch.many
    assert [each.event is not None for each in batch.elements] == [True, False, False, False]
    assert batch.elements[2].errors[0].sentence.strip() == "must be a JSON object"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"nope", "not valid JSON"),
        (b"[]", "1 to 1000 events; this one holds 0"),
        (b"[" + b"1," * 1000 + b"1]", "this one holds 1001"),
        (b'{"id": "\\ud800"}', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
def test_a_body_that_is_no_list_of_events_is_malformed(body: bytes, sentence: str) -> None:
    with pytest.raises(MalformedBody, match=sentence):
        parse_events(body)


def test_deep_nesting_is_an_error_of_its_element_only() -> None:
    batch = parse_events(b"[" + orjson.dumps(EVENT) + b"," + b'{"a":' * 1000 + b"1" + b"}" * 1000 + b"]")
    assert [each.event is not None for each in batch.elements] == [True, False]


def test_a_nul_is_refused_wherever_it_stands() -> None:
    nul = "a\x00b"
    for document in (
        event(id=nul), event(type=nul), event(occurred_at=nul), event(shipment={"ref": nul}), order(id=nul),
        order(ref=nul), order(currency="G\x00P"), order(customer={"name": nul}), order(customer={"email": nul}),
        order(billing_address={"country": "\x00\x00"}), order(shipping={"amount": "0", "description": nul}),
        order(lines=[EVENT["order"]["lines"][0] | {"attributes": {nul: "x"}}]), order(**{nul: 1}),
    ):  # fmt: skip
        assert errors(document)


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        ({}, "type", "is missing"),
        ({name: EVENT[name] for name in ("id", "type", "occurred_at")}, "order", "is missing; or name the order by"),
        (event(order_ref="SO-1"), "order", "is given; order_id and order_ref are for events without it"),
        (event(type="order.fullfilled"), "type", "must be one of 'order.fulfilled'"),
        (event(occurred_at="2026-11-22T10:00:00"), "occurred_at", "is not a time with a time zone"),
        (event(occurred_at="0001-01-01T00:00:00+14:00"), "occurred_at", "between the years 1 and 9999"),
        (event(id=""), "id", "must not be empty"),
        (event(id=5), "id", "must be text"),
        (event(colour="red"), "colour", "is not a field that Billhook knows"),
        (order(total="111.55"), "order.total", "differs from the sum of lines, discount, shipping and tax by -6.59"),
        (order(total="118.145"), "order.total", "118.145 has more decimals than GBP"),
        (order(total="lots"), "order.total", "is not an amount"),
        (order(total=True), "order.total", "is not an amount"),
        (order(total="NaN"), "order.total", "is not an amount"),
        (order(total="9" * 24), "order.total", "is too large"),
        (order(lines=[]), "order.lines", "at least one line"),
        (order(lines={}), "order.lines", "must be a list"),
        (
            order(lines=[EVENT["order"]["lines"][0] | {"quantity": "0"}]),
            "order.lines.0.quantity",
            "must be greater than 0",
        ),
        (
            order(lines=[EVENT["order"]["lines"][0] | {"quantity": -2}]),
            "order.lines.0.quantity",
            "must be greater than 0",
        ),
        (
            order(lines=[EVENT["order"]["lines"][0] | {"quantity": "9" * 14, "unit_price": "9" * 14}]),
            "order.lines",
            "product is too large",
        ),
        (order(billing_address={"country": "gb"}), "order.billing_address.country", "should match"),
        (order(currency="ZZZ"), "order.currency", "is not an ISO 4217 currency code"),
        (order(customer=None), "order.customer", "must be a JSON object"),
    ],
)
def test_each_wrong_field_is_named_with_what_is_wrong(document: Any, path: str, message: str) -> None:
    assert message in errors(document)[path]


def test_all_wrong_fields_are_told_at_once_and_an_id_only_once() -> None:
    told = errors({"id": "x", "type": "order.updated", "order": {"currency": "GBP", "lines": [{}]}})
    assert {"occurred_at", "order.id", "order.total", "order.lines.0.ref", "order.lines.0.quantity"} <= set(told)
    assert "order.ref" not in told


def test_errors_repeat_no_values() -> None:
    told = errors(order(customer={"email": 5, "name": ["Ada Lovelace"]}))
    assert "Lovelace" not in str(told)


def test_a_signed_delivery_is_stored_under_the_events_own_id() -> None:
    delivery = Standard([SECRET]).receive(HEADERS, orjson.dumps(EVENT))
    assert (delivery.id, delivery.type, delivery.order_ref) == ("evt-1", "order.fulfilled", "SO-1001")
    assert delivery.occurred_at == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert Standard([SECRET]).receive(HEADERS, b"{}").id == "message:msg_2Zbillhook1001"


def test_a_stored_delivery_that_is_no_event_says_why() -> None:
    standard, body = Standard([SECRET]), orjson.dumps(order(total="118.15"))
    with pytest.raises(NotInvoiceable) as refused:
        standard.normalise(standard.receive(HEADERS, body), body)
    assert refused.value.reason == (
        "The event cannot be used: total 118.15 differs from the sum of lines, discount, shipping and tax by 0.01"
    )
    assert (refused.value.type, refused.value.order_id) == (EventType.ORDER_FULFILLED, "8a61f0")


REFUND: dict[str, Any] = {
    "id": "evt-3",
    "type": "refund.created",
    "occurred_at": "2026-11-25T12:00:00Z",
    "order_id": "8a61f0",
    "refund": {
        "ref": "R-1",
        "lines": [{"ref": "1", "quantity": "1", "amount": "45.00", "tax": "9.00"}, {"ref": "2", "quantity": 1}],
        "shipping": {"amount": "7.95", "tax": VAT | {"amount": "1.59"}},
        "total": "70.14",
        "reason": "one had a scratch",
    },
}


def test_a_refund_is_told_with_its_order_or_by_its_name() -> None:
    standard = Standard([SECRET])
    named = orjson.dumps(REFUND)
    carried = orjson.dumps(REFUND | {"order_id": None, "order": EVENT["order"]})
    for body in (named, carried):
        told = standard.normalise(standard.receive(HEADERS, body), body)
        assert told.type is EventType.REFUND_CREATED
        assert told.refund is not None
        assert (told.refund.ref, told.refund.total) == ("R-1", Decimal("70.14"))
        assert [(line.ref, line.amount, line.tax) for line in told.refund.lines] == [
            ("1", Decimal("45.00"), Decimal("9.00")),
            ("2", None, None),
        ]
    assert standard.receive(HEADERS, named).order_ref == "8a61f0"


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        ({name: value for name, value in REFUND.items() if name != "refund"}, "refund", "is for events of type"),
        (REFUND | {"type": "order.updated"}, "refund", "is for events of type refund.created, which must have one"),
        (REFUND | {"refund": {"ref": "R-1"}}, "refund.total", "is missing"),
        (REFUND | {"refund": {"total": "1.00"}}, "refund.ref", "is missing"),
        (REFUND | {"refund": {"ref": "R-1", "total": "0"}}, "refund.total", "must be greater than 0"),
        (REFUND | {"refund": REFUND["refund"] | {"lines": [{"ref": "1", "quantity": -1}]}},
         "refund.lines.0.quantity", "must be at least 0"),
        ({name: value for name, value in REFUND.items() if name != "order_id"}, "order", "is missing"),
    ],
)  # fmt: skip
def test_a_refund_that_is_wrong_is_told_by_its_field(document: Any, path: str, message: str) -> None:
    assert message in errors(document)[path]


def test_a_stored_refund_that_cannot_be_read_is_held_though_its_order_is_invoiced() -> None:
    standard, body = Standard([SECRET]), orjson.dumps(REFUND | {"refund": None})
    with pytest.raises(NotInvoiceable, match="refund is for events of type") as refused:
        standard.normalise(standard.receive(HEADERS, body), body)
    assert (refused.value.type, refused.value.order_id) == (None, None)


def test_an_array_is_told_where_it_belongs() -> None:
    with pytest.raises(MalformedBody, match="POST /events"):
        Standard([SECRET]).receive(HEADERS, orjson.dumps([EVENT]))


def test_reading_an_event_is_cheap() -> None:
    """100 µs on an idle machine; ten times that would be a mistake on any."""
    body = orjson.dumps(EVENT)
    assert min(timeit.repeat(lambda: parse_events(body), number=50, repeat=5)) / 50 < 0.001
