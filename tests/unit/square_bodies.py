"""Square's orders, customers, refunds and webhooks as its API writes them."""

from typing import Any

LOCATION = "LGB1"


def money(amount: int, currency: str = "GBP") -> dict[str, Any]:
    return {"amount": amount, "currency": currency}


def line(uid: str, name: str, quantity: str, price: int, gross: int, off: int, tax: int, **more: Any) -> dict[str, Any]:
    """A line with tax on top of it."""
    return {
        "uid": uid, "name": name, "quantity": quantity, "item_type": "ITEM", "base_price_money": money(price),
        "variation_total_price_money": money(gross), "gross_sales_money": money(gross),
        "applied_taxes": [{"uid": f"{uid}-t", "tax_uid": "vat", "applied_money": money(tax)}],
        "applied_discounts": [{"uid": f"{uid}-d", "discount_uid": "d1", "applied_money": money(off)}],
        "total_discount_money": money(off), "total_tax_money": money(tax), "total_money": money(gross - off + tax),
        "total_service_charge_money": money(0),
    } | more  # fmt: skip


VAT: dict[str, Any] = {"uid": "vat", "name": "VAT", "percentage": "20", "type": "ADDITIVE", "scope": "ORDER"}
PLAQUE = line("l1", "Brass plaque", "2", 4500, 9000, 471, 1706, variation_name="Engraved", note="To Ada, 1843")
TAG = line("l2", "Steel tag", "1", 550, 550, 29, 104)
COURIER: dict[str, Any] = {
    "uid": "sc1", "name": "Courier", "amount_money": money(795), "applied_money": money(795),
    "total_tax_money": money(159), "total_money": money(954), "calculation_phase": "SUBTOTAL_PHASE", "taxable": True,
    "treatment_type": "LINE_ITEM_TREATMENT",
    "applied_taxes": [{"uid": "sc1-t", "tax_uid": "vat", "applied_money": money(159)}],
}  # fmt: skip
PARCEL: dict[str, Any] = {
    "uid": "f1", "type": "SHIPMENT", "state": "COMPLETED", "line_item_application": "ALL",
    "shipment_details": {
        "carrier": "Royal Mail", "tracking_number": "RM123456789GB", "shipped_at": "2026-11-22T10:00:00.000Z",
        "recipient": {
            "display_name": "Ada Lovelace", "email_address": "ada@example.com",
            "address": {"address_line_1": "1 Mill Lane", "locality": "Bath", "postal_code": "BA1 1AA", "country": "GB"},
        },
    },
}  # fmt: skip
ORDER: dict[str, Any] = {
    "id": "OrdA1eA3vssLHKJrv9H0", "location_id": LOCATION, "state": "OPEN", "version": 4, "reference_id": "SO-1001",
    "customer_id": "CUSTADA", "source": {"name": "Square Online"},
    "created_at": "2020-11-21T09:00:00.000Z", "updated_at": "2020-11-22T10:59:50.123Z",
    "line_items": [PLAQUE, TAG], "taxes": [VAT], "service_charges": [COURIER], "fulfillments": [PARCEL],
    "discounts": [{"uid": "d1", "type": "FIXED_AMOUNT", "amount_money": money(500), "scope": "ORDER"}],
    "total_money": money(11814), "total_tax_money": money(1969), "total_discount_money": money(500),
    "total_tip_money": money(0), "total_service_charge_money": money(795), "net_amount_due_money": money(11814),
}  # fmt: skip
PAID: dict[str, Any] = {
    "state": "COMPLETED", "closed_at": "2020-11-22T10:59:50.123Z", "net_amount_due_money": money(0),
    "tenders": [{"id": "T1", "type": "CARD", "amount_money": money(11814)}],
}  # fmt: skip
CUSTOMER: dict[str, Any] = {
    "id": "CUSTADA", "given_name": "Ada", "family_name": "Lovelace", "company_name": "Analytical Engines Ltd",
    "email_address": "ada@example.com", "tax_ids": {"eu_vat": "GB123456789"},
    "address": {"address_line_1": "12 St James's Square", "locality": "London", "postal_code": "SW1Y 4JH",
                "country": "GB"},
}  # fmt: skip
HOOK: dict[str, Any] = {
    "merchant_id": "5S9MXCS9Y99KK", "type": "order.updated", "event_id": "4b8e5c91-9f17-4cf1-900a-4a0629f81add",
    "created_at": "2020-11-22T10:59:51.000Z",
    "data": {
        "type": "order_updated", "id": ORDER["id"],
        "object": {"order_updated": {
            "order_id": ORDER["id"], "location_id": LOCATION, "state": "OPEN", "version": 4,
            "created_at": ORDER["created_at"], "updated_at": ORDER["updated_at"],
        }},
    },
}  # fmt: skip
BACK: dict[str, Any] = {
    "id": "RetB2j7CWK5PozTAPsfm", "location_id": LOCATION, "state": "COMPLETED", "version": 1,
    "created_at": "2020-11-25T12:00:00.000Z", "updated_at": "2020-11-25T12:00:01.000Z",
    "closed_at": "2020-11-25T12:00:01.000Z", "total_money": money(0), "net_amount_due_money": money(0),
    "returns": [{
        "uid": "r1", "source_order_id": ORDER["id"],
        "return_line_items": [{
            "uid": "rl1", "source_line_item_uid": "l1", "quantity": "1", "item_type": "ITEM",
            "total_money": money(5118), "total_tax_money": money(853),
        }],
        "return_amounts": {"total_money": money(5118), "tax_money": money(853), "tip_money": money(0)},
    }],
    "refunds": [{"id": "R1", "status": "APPROVED", "reason": "one had a scratch", "amount_money": money(5118)}],
}  # fmt: skip
REFUNDED: dict[str, Any] = {
    "merchant_id": "5S9MXCS9Y99KK", "type": "refund.updated", "event_id": "bc316346-6691-4243-88ed-6d651a0d0c47",
    "created_at": "2020-11-25T12:00:02.000Z",
    "data": {"type": "refund", "id": "R1", "object": {"refund": {
        "id": "R1", "status": "COMPLETED", "location_id": LOCATION, "order_id": BACK["id"], "payment_id": "P1",
        "amount_money": money(5118), "created_at": "2020-11-25T12:00:00.000Z",
    }}},
}  # fmt: skip


def hooked(type: str = "order.updated", **changes: Any) -> dict[str, Any]:
    """The webhook of this type, with fields of its object replaced."""
    (told,) = HOOK["data"]["object"].values()
    return HOOK | {"type": type, "data": {"object": {type.replace(".", "_"): told | changes}}}
