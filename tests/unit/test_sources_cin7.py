"""Cin7 Core: which webhooks are believed, what a sale means, and whose order it is."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import orjson
import pytest

from connectors.model import EventType, Shipment, ShipmentLine
from connectors.sandbox.source_apis.cin7 import Cin7Sales
from connectors.sources import cin7_asking
from connectors.sources.base import Look, MalformedBody, NotInvoiceable, SignatureError
from connectors.sources.cin7 import POINTING, Cin7
from connectors.sources.delivery import Delivery
from tests.unit.carrier_bodies import running, survives, survives_anything
from tests.unit.cin7_bodies import (
    NOTE,
    NOW,
    SALE,
    SALE_ID,
    SECRET,
    SHIPPED,
    TASK_ID,
    VAT,
    WEBHOOK,
    Company,
    basic,
    ordered,
    sale,
)
from tests.unit.test_sources_base import HOSTILE, paths, replaced


@pytest.fixture
def company() -> Iterator[Company]:
    with running(Cin7Sales) as (sandbox, emulator, url):
        yield Company(sandbox, emulator, url)


# -- who is calling ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {SECRET}"},
        {"authorization": basic("billhook", SECRET)},
        {"x-billhook-key": SECRET},
        {":token": SECRET},
    ],
)
def test_each_way_of_cin7_to_prove_itself_is_taken(headers: dict[str, str]) -> None:
    Cin7([SECRET]).verify(headers, b"{}", NOW)
    Cin7(["the-new-one", SECRET]).verify(headers, b"{}", NOW)
    Cin7([SECRET, "the-old-one"]).verify(headers, b"{}", NOW)
    with pytest.raises(SignatureError, match="is not a secret"):
        Cin7(["another-secret"]).verify(headers, b"{}", NOW)
    with pytest.raises(SignatureError, match="no secret"):
        Cin7([]).verify(headers, b"{}", NOW)


def test_the_header_may_have_a_name_of_the_merchant_s() -> None:
    made = Cin7([SECRET], {"header": "X-Our-Key"})
    made.verify({"x-our-key": SECRET}, b"{}", NOW)
    with pytest.raises(SignatureError, match="X-Our-Key"):
        made.verify({"x-billhook-key": SECRET}, b"{}", NOW)


@pytest.mark.parametrize(
    "given", [{}, {"authorization": ""}, {"authorization": "Basic é"}, {"authorization": basic(SECRET, "")}]
)
def test_a_missing_secret_is_refused_with_where_it_belongs(given: dict[str, str]) -> None:
    with pytest.raises(SignatureError, match="Authorization"):
        Cin7([SECRET]).verify(given, b"{}", NOW)


@pytest.mark.parametrize("proof", ["Bearer x", f"Bearer {SECRET}x", basic(SECRET, "x"), "Bearer \ud800"])
def test_another_secret_is_refused(proof: str) -> None:
    with pytest.raises(SignatureError):
        Cin7([SECRET]).verify({"authorization": proof}, b"{}", NOW)


# -- what is stored ----------------------------------------------------------------------------------------------------


def test_a_webhook_that_is_sent_again_is_the_same_and_another_is_another() -> None:
    made = Cin7([SECRET])
    first = made.receive({}, orjson.dumps(WEBHOOK))
    assert first == made.receive({}, orjson.dumps(WEBHOOK))
    assert (first.type, first.order_ref) == ("Sale/ShipmentAuthorised", "SO-00042")
    others = [WEBHOOK | {"EventType": "Sale/Voided"}, WEBHOOK | {"SaleID": TASK_ID}]
    assert len({first.id, *(made.receive({}, orjson.dumps(each)).id for each in others)}) == 3


def test_no_webhook_passes_for_a_sale_that_was_read() -> None:
    made = Cin7([SECRET])
    for said in ("read/sale", "read/parcel", "changed/sale"):
        body = orjson.dumps({"EventType": said, "sale": SALE, "SaleID": SALE_ID})
        assert made.normalise(made.receive({}, body), body) is None


@pytest.mark.parametrize(
    "type_", [*POINTING, "Sale/QuoteAuthorised", "Sale/PartialPaymentReceived", "Customer/Updated"]
)
def test_what_moves_a_sale_is_looked_at_and_all_else_is_kept(type_: str) -> None:
    made, body = Cin7([SECRET]), orjson.dumps(WEBHOOK | {"EventType": type_})
    assert isinstance(made.normalise(made.receive({}, body), body), Look) is (type_ in POINTING)


def test_a_webhook_that_names_no_sale_is_told_so() -> None:
    made, body = Cin7([SECRET]), orjson.dumps({"EventType": "Sale/Voided", "SaleID": "x"})
    with pytest.raises(NotInvoiceable, match="which sale"):
        made.normalise(made.receive({}, body), body)


# -- a sale that is an order of its own --------------------------------------------------------------------------------


def test_a_sale_that_was_shipped_is_a_fulfilled_order_to_the_cent(company: Company) -> None:
    order, parcel = company.told(SALE)
    told = order.order
    assert told is not None
    assert (order.type, told.id, told.ref, told.total) == (
        EventType.ORDER_FULFILLED, SALE_ID, "SO-00042", Decimal("118.13"),
    )  # fmt: skip
    assert [(each.ref, each.amount("GBP"), each.tax and each.tax.rate) for each in told.lines] == [
        ("PLQ-BR", Decimal("85.28"), 20),
        ("TAG-ST", Decimal("5.21"), 20),
        ("Shipping", Decimal("7.95"), 20),
    ]
    assert told.lines[0].unit_price == 45
    assert (told.customer.company, told.customer.name, told.customer.ref) == (
        "Analytical Engines Ltd", "Ada Lovelace", None,
    )  # fmt: skip
    assert told.billing_address is not None
    assert (told.billing_address.country, told.shipping_address, told.channel) == ("GB", None, "Shopify")
    held = (ShipmentLine(ref="PLQ-BR", quantity=Decimal(2)), ShipmentLine(ref="TAG-ST", quantity=Decimal(1)))
    shipment = Shipment(ref="line-1", carrier="RoyalMail", tracking_number="RM123456789GB", lines=held)
    assert (told.shipments, parcel.shipment) == ((shipment,), shipment)
    assert (parcel.type, parcel.order_id) == (EventType.SHIPMENT_SHIPPED, SALE_ID)


INVOICED = {"CombinedShippingStatus": "NOT SHIPPED", "FulFilmentStatus": "NOT FULFILLED", "Fulfilments": [],
            "Invoices": [{"Status": "AUTHORISED", "InvoiceDate": "2026-11-22T00:00:00Z"}]}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "options", "expected"),
    [
        ({}, {}, EventType.ORDER_FULFILLED),
        ({"CombinedShippingStatus": "PARTIALLY SHIPPED", "FulFilmentStatus": "PARTIALLY FULFILLED"}, {}, None),
        ({"CombinedShippingStatus": "NOT AVAILABLE", "FulFilmentStatus": "FULFILLED"}, {}, EventType.ORDER_FULFILLED),
        (INVOICED, {}, None),
        (INVOICED, {"when_invoiced": True}, EventType.ORDER_COMPLETED),
        (INVOICED | {"CombinedInvoiceStatus": "PARTIALLY INVOICED"}, {"when_invoiced": True}, None),
        (INVOICED | {"Invoices": [{"Status": "DRAFT"}]}, {"when_invoiced": True}, None),
        (INVOICED | {"Invoices": [{"Status": "VOIDED"}]}, {"when_invoiced": True}, None),
        (INVOICED | {"ServiceOnly": True}, {}, EventType.ORDER_COMPLETED),
        (INVOICED | {"Type": "Service Sale", "Invoices": [{"Status": "PAID"}]}, {}, EventType.ORDER_COMPLETED),
        ({"Status": "VOIDED"}, {}, EventType.ORDER_CANCELLED),
    ],
)
def test_each_state_of_a_sale(
    company: Company, changes: dict[str, Any], options: dict[str, Any], expected: EventType | None
) -> None:
    order = company.told(sale(**changes), **options)[0]
    assert order.order is not None
    assert order.type is (expected or EventType.ORDER_UPDATED)


@pytest.mark.parametrize("state", ["DRAFT", "NOT AVAILABLE", None])
def test_what_is_no_order_yet_changes_nothing(company: Company, state: str | None) -> None:
    document = ordered(Status=state) | {"Fulfilments": []}
    assert company.told(document) == []
    voided = document | {"Status": "VOIDED", "Order": {"Status": state, "Lines": []}}
    (gone,) = company.told(voided)
    assert (gone.type, gone.order_id) == (EventType.ORDER_CANCELLED, SALE_ID)


def test_prices_may_include_the_tax(company: Company) -> None:
    lines = [{"SKU": "A", "Name": "A", "Quantity": 3, "Price": 4, "Tax": 2, "TaxRule": VAT}]
    told = company.told(ordered(Lines=lines, AdditionalCharges=[], Tax=2, Total=12) | {"TaxCalculation": "Inclusive"})[
        0
    ].order
    assert told is not None
    assert (told.tax_included, told.lines[0].unit_price, told.total) == (True, 4, 12)


def test_prices_with_four_decimals_come_out_even(company: Company) -> None:
    lines = [{"SKU": sku, "Quantity": 1, "Price": 1.005, "Tax": 0.201, "TaxRule": VAT} for sku in ("A", "B", "A")]
    told = company.told(ordered(Lines=lines, AdditionalCharges=[], Tax=0.603, Total=3.618))[0].order
    assert told is not None
    assert [(each.ref, each.amount("GBP")) for each in told.lines] == [
        ("A", Decimal("1.01")), ("B", Decimal("1.00")), ("A#2", Decimal("1.01")),
    ]  # fmt: skip
    assert (told.total, told.tax_total()) == (Decimal("3.62"), Decimal("0.60"))


def test_a_negative_charge_is_the_order_s_discount_and_two_are_refused(company: Company) -> None:
    off = {"Description": "Voucher", "Quantity": 1, "Price": -10, "Tax": -2, "TaxRule": VAT}
    lines = [{"SKU": "A", "Quantity": 1, "Price": 50, "Tax": 10, "TaxRule": VAT}]
    document = ordered(Lines=lines, AdditionalCharges=[off], Tax=8, Total=48)
    told = company.told(document)[0].order
    assert told is not None
    assert told.discount is not None
    assert told.discount.tax is not None
    assert (told.discount.amount, told.discount.tax.amount, told.discount.description) == (10, 2, "Voucher")
    with pytest.raises(NotInvoiceable, match="2 negative lines"):
        company.told(ordered(Lines=lines, AdditionalCharges=[off, off], Tax=6, Total=36))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"Total": 118.14}, "differs from the sum"),
        ({"Tax": 20}, "the taxes of its lines"),
        ({"Lines": [{"SKU": "A", "Quantity": 1, "Price": 1, "Tax": 1, "TaxRule": "Moon tax"}]}, "Moon tax"),
        ({"Lines": [], "AdditionalCharges": [], "Tax": 0, "Total": 0}, "at least one line"),
    ],
)
def test_what_does_not_add_up_is_told_with_its_sale(company: Company, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(NotInvoiceable, match=f"Cin7 Core sale SO-00042: .*{sentence}") as refused:
        company.told(ordered(**changes))
    assert (refused.value.type, refused.value.order_id) == (EventType.ORDER_FULFILLED, SALE_ID)


def test_a_customer_without_an_address_for_mail_is_known_by_cin7_s_id(company: Company) -> None:
    told = company.told(sale(Email="", Contact=""))[0].order
    assert told is not None
    assert (told.customer.ref, told.customer.name, told.customer.company) == (
        SALE["CustomerID"], "Analytical Engines Ltd", None,
    )  # fmt: skip


def test_a_sale_that_billhook_made_itself_is_left_alone(company: Company) -> None:
    assert company.told(sale(ExternalID="bh-" + "a2" * 13)) == []


# -- parcels and credit notes ------------------------------------------------------------------------------------------


def parcels(*numbers: str, whole: bool) -> dict[str, Any]:
    lines = [SHIPPED["Ship"]["Lines"][0] | {"ID": number, "TrackingNumber": number} for number in numbers]  # type: ignore[index]
    status = "SHIPPED" if whole else "PARTIALLY SHIPPED"
    ship = SHIPPED | {"Ship": {"Status": "AUTHORISED", "Lines": lines}}
    return sale(Fulfilments=[ship], CombinedShippingStatus=status, FulFilmentStatus="PARTIALLY FULFILLED")


def test_a_parcel_of_a_sale_that_is_not_wholly_shipped_only_tells_its_number(company: Company) -> None:
    for whole, expected in ((False, EventType.ORDER_UPDATED), (True, EventType.SHIPMENT_SHIPPED)):
        _, *told = company.told(parcels("A1", "B2", whole=whole))
        assert [(each.type, each.shipment and each.shipment.tracking_number) for each in told] == [
            (expected, "A1"), (expected, "B2"),
        ]  # fmt: skip
        assert all(each.shipment and each.shipment.lines == () for each in told), "nobody says what is in which"


@pytest.mark.parametrize("changes", [{"IsShipped": False}, {"IsShipped": None}])
def test_a_parcel_that_has_not_left_is_not_told(company: Company, changes: dict[str, Any]) -> None:
    lines = [SHIPPED["Ship"]["Lines"][0] | changes]  # type: ignore[index]
    assert len(company.told(sale(Fulfilments=[SHIPPED | {"Ship": {"Status": "AUTHORISED", "Lines": lines}}]))) == 1
    assert len(company.told(sale(Fulfilments=[SHIPPED | {"Ship": {**SHIPPED["Ship"], "Status": "DRAFT"}}]))) == 1  # type: ignore[dict-item]


def test_a_credit_note_is_a_refund_by_its_lines(company: Company) -> None:
    order, refund = company.told(INVOICED | ordered() | INVOICED | {"CreditNotes": [NOTE, NOTE | {"Status": "DRAFT"}]})
    assert (order.type, order.order and order.order.hold) == (
        EventType.ORDER_UPDATED, "51.17 GBP of it were credited, so it is not owed in full",
    )  # fmt: skip
    assert (refund.type, refund.order_id) == (EventType.REFUND_CREATED, SALE_ID)
    assert refund.refund is not None
    assert (refund.refund.ref, refund.refund.total, refund.refund.reason) == (
        "CR-00007", Decimal("51.17"), "one had a scratch",
    )  # fmt: skip
    assert [(each.ref, each.quantity, each.amount, each.tax) for each in refund.refund.lines] == [
        ("PLQ-BR", 1, Decimal("42.64"), Decimal("8.53"))
    ]


def test_an_order_that_is_credited_before_it_is_invoiced_is_not_due(company: Company) -> None:
    with pytest.raises(NotInvoiceable, match="GBP of it were credited"):
        company.told(sale(CreditNotes=[NOTE]))


# -- a sale of an order that a shop tells ------------------------------------------------------------------------------


def test_a_sale_of_the_shop_s_order_is_no_second_order_but_news_of_its_parcels(company: Company) -> None:
    (parcel,) = company.told(sale(CreditNotes=[NOTE]), order_field="CustomerReference")
    assert (parcel.type, parcel.order, parcel.order_ref, parcel.order_id) == (
        EventType.SHIPMENT_SHIPPED, None, "#1001", None,
    )  # fmt: skip
    assert parcel.shipment == Shipment(ref="line-1", carrier="RoyalMail", tracking_number="RM123456789GB")
    (parcel,) = company.told(SALE, order_field="ExternalID")
    assert (parcel.order_id, parcel.order_ref) == ("5712", None)


@pytest.mark.parametrize(
    ("changes", "channels"),
    [({"CustomerReference": " "}, ()), ({"CustomerReference": "PO-9", "SourceChannel": None}, ("Shopify",))],
)
def test_a_sale_that_names_no_order_of_the_shop_is_one_of_its_own(
    company: Company, changes: dict[str, Any], channels: tuple[str, ...]
) -> None:
    told = company.told(sale(**changes), order_field="CustomerReference", channels=channels)
    assert told[0].order is not None
    assert told[1].order_id == SALE_ID


def test_any_body_is_stored_and_read_without_a_crash() -> None:
    made = Cin7([SECRET], {"when_invoiced": True})
    survives_anything(made, {}, WEBHOOK)
    document: Any
    for document in (None, 5, "x", [], [WEBHOOK], {}):
        survives(made, {}, document)
    with pytest.raises(MalformedBody):
        made.deliveries({}, b"{")


def test_any_sale_is_read_without_a_crash() -> None:
    made = Cin7([SECRET], {"when_invoiced": True})
    example = sale(CreditNotes=[NOTE], Invoices=[{"Status": "PAID", "InvoiceDate": "2026-11-22T00:00:00Z"}])
    told = 0
    for path in filter(None, paths(example)):
        for value in HOSTILE:
            document = orjson.loads(json.dumps(replaced(example, path, value)).replace("\\ud800", "?"))
            for one in cin7_asking._documents(document, {VAT: 20}, NOW):
                told += readable(made, one.delivery, one.body)
    assert told > 1000


def readable(made: Cin7, delivery: Delivery, body: bytes) -> bool:
    """Whether it tells an event; if not, it is refused in words, or kept."""
    reason = "."
    try:
        return made.normalise(delivery, body) is not None
    except (NotInvoiceable, MalformedBody) as refused:
        reason = str(refused)
    assert reason.isprintable()
    return False
