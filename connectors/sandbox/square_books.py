"""The books of an emulated Square seller: what a body may hold, how an order is added up, when an invoice is refused.

Lengths and fields from Square's API description (`api.json`); halves are rounded to even (developer.squareup.com,
"Order Price Adjustments"). Amounts are whole minor units.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from connectors.sandbox.base import Refusal, Response
from connectors.sandbox.shapes import flaw
from connectors.sandbox.shelf import Doc

MONEY = {"amount": int, "currency": 3}
APPLIED = {"uid": 60, "tax_uid": 60, "discount_uid": 60}
ADJUSTMENT = {
    **{"uid": 60, "name": 255, "percentage": 10, "type": 40, "scope": 20, "metadata": dict},
    "amount_money": MONEY,
}
LINE = {
    **{"uid": 60, "name": 512, "quantity": 12, "note": 2000, "base_price_money": MONEY, "metadata": dict},
    **{"applied_taxes": [APPLIED], "applied_discounts": [APPLIED], "item_type": 40},
}
ORDER = {
    **{"location_id": 255, "reference_id": 40, "customer_id": 191, "source": {"name": 255}, "metadata": dict},
    **{"line_items": [LINE], "taxes": [ADJUSTMENT], "discounts": [ADJUSTMENT], "state": 20},
}
ASKED = {
    **{"request_type": 20, "due_date": 10, "automatic_payment_source": 20, "tipping_enabled": bool},
    **{"fixed_amount_requested_money": MONEY, "percentage_requested": 10},
}
METHODS = dict.fromkeys(("card", "square_gift_card", "bank_account", "buy_now_pay_later", "cash_app_pay"), bool)
INVOICE = {
    **{"location_id": 255, "order_id": 255, "primary_recipient": {"customer_id": 255}, "payment_requests": [ASKED]},
    **{"delivery_method": 20, "invoice_number": 191, "title": 255, "description": 65536, "scheduled_at": 40},
    **{"accepted_payment_methods": METHODS, "sale_or_service_date": 10, "store_payment_method_enabled": bool},
}
INVOICE_SEARCH = {
    "query": {"filter": {"location_ids": [255], "customer_ids": [255]}, "sort": {"field": 40, "order": 4}},
    **{"limit": int, "cursor": 255},
}
ADDRESS = dict.fromkeys(("address_line_1", "address_line_2", "locality", "administrative_district_level_1"), 500)
CUSTOMER = {
    **{"given_name": 300, "family_name": 300, "company_name": 500, "nickname": 100, "email_address": 254},
    **{"phone_number": 17, "reference_id": 100, "note": 65536},
    "address": {**ADDRESS, "postal_code": 12, "country": 2},
}
PUBLIC = ("given_name", "family_name", "company_name", "email_address", "phone_number")
BAD = "INVALID_REQUEST_ERROR"


class Refused(Refusal):
    """An answer that says no."""

    def __init__(self, code: str, detail: str, field: str = "", status: int = 400, category: str = BAD) -> None:
        error = {"category": category, "code": code, "detail": detail, **({"field": field} if field else {})}
        super().__init__(Response.json(status, {"errors": [error]}), detail)


def checked(value: Any, shape: Any) -> Any:
    """The value, if it has that shape."""
    wrong = flaw(value, shape)
    if wrong is None:
        return value
    path = ".".join(map(str, wrong.path))
    if wrong.kind == "unknown":
        raise Refused("BAD_REQUEST", f"Invalid field: {wrong.path[-1]}", path)
    if wrong.kind == "long":
        raise Refused("VALUE_TOO_LONG", f"Field must not be greater than {wrong.wanted} in length", path)
    raise Refused(f"EXPECTED_{wrong.wanted.upper()}", f"Expected {wrong.wanted}.", path)


def metadata(given: Mapping[str, Any]) -> None:
    if len(given) > 10:
        raise Refused("TOO_MANY_MAP_ENTRIES", "At most 10 entries.", "order.metadata")
    for key, value in given.items():
        if not re.fullmatch("[a-zA-Z0-9_-]{1,60}", key) or not isinstance(value, str) or len(value) > 255:
            raise Refused("INVALID_VALUE", "Metadata keys have 60, values 255 characters.", f"order.metadata.{key}")


def even(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), ROUND_HALF_EVEN))


def spread(amount: int, weights: Sequence[int]) -> list[int]:
    """By weight, in whole units, what is left to the largest fractions."""
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    parts = [amount * weight // whole for weight in weights]
    by_rest = sorted(range(len(parts)), key=lambda at: -(amount * weights[at] % whole))
    for at in by_rest[: amount - sum(parts)]:
        parts[at] += 1
    return parts


def added_up(order: Doc, currency: str) -> Doc:
    """The order with what Square computes: lines, discounts, then taxes."""
    metadata(order.get("metadata", {}))
    lines = order.get("line_items", [])
    if not lines:
        raise Refused("MISSING_REQUIRED_PARAMETER", "An order must have line items.", "order.line_items")
    for at, line in enumerate(lines):
        line.setdefault("uid", f"line{at}")
        line["_gross"] = line["_left"] = _gross(line, at, currency)
        line["_tax"] = 0
    off = sum(_taken_off(discount, lines, currency) for discount in order.get("discounts", []))
    for line in lines:
        line["_net"] = line["_left"]
    taxes = sum(_taxed(tax, lines) for tax in order.get("taxes", []))
    money = {"total_money": sum(line["_left"] for line in lines), "total_tax_money": taxes, "total_discount_money": off}
    for line in lines:
        line["total_money"] = {"amount": line["_left"], "currency": currency}
        line["total_tax_money"] = {"amount": line["_tax"], "currency": currency}
    kept = [{name: value for name, value in line.items() if not name.startswith("_")} for line in lines]
    sums = {name: {"amount": amount, "currency": currency} for name, amount in money.items()}
    return {**order, "line_items": kept, **sums, "net_amount_due_money": sums["total_money"]}


def _gross(line: Doc, at: int, currency: str) -> int:
    price, quantity = line.get("base_price_money"), line.get("quantity", "")
    path = f"order.line_items[{at}]"
    if not line.get("name") or price is None:
        raise Refused("MISSING_REQUIRED_PARAMETER", "An ad hoc line has a name and a price.", path)
    if not re.fullmatch(r"\d+", quantity):
        raise Refused("INVALID_VALUE", "A quantity without a unit is a whole number.", f"{path}.quantity")
    if price["currency"] != currency:
        raise Refused("BAD_REQUEST", f"The location's currency is {currency}.", f"{path}.base_price_money.currency")
    if price["amount"] < 0:
        raise Refused("VALUE_TOO_LOW", "A price must not be negative.", f"{path}.base_price_money.amount")
    return int(price["amount"]) * int(quantity)


def _touched(part: Doc, lines: Sequence[Doc], applied: str, reference: str) -> list[Doc]:
    if part.get("scope") == "ORDER":
        return list(lines)
    if part.get("scope") != "LINE_ITEM":
        raise Refused("INVALID_ENUM_VALUE", "scope is ORDER or LINE_ITEM.", "order")
    return [line for line in lines if any(one.get(reference) == part.get("uid") for one in line.get(applied, []))]


def _taken_off(discount: Doc, lines: Sequence[Doc], currency: str) -> int:
    touched = _touched(discount, lines, "applied_discounts", "discount_uid")
    if discount.get("type") != "FIXED_AMOUNT" or not discount.get("name"):
        raise Refused("INVALID_VALUE", "Discounts here are FIXED_AMOUNT, and have a name.", "order.discounts")
    if discount["amount_money"]["currency"] != currency:
        raise Refused("BAD_REQUEST", f"The location's currency is {currency}.", "order.discounts")
    amount = min(discount["amount_money"]["amount"], sum(line["_left"] for line in touched))
    for line, part in zip(touched, spread(amount, [line["_left"] for line in touched]), strict=True):
        line["_left"] -= part
    return int(amount)


def _taxed(tax: Doc, lines: Sequence[Doc]) -> int:
    touched = _touched(tax, lines, "applied_taxes", "tax_uid")
    if tax.get("type") not in {"ADDITIVE", "INCLUSIVE"} or not tax.get("name"):
        raise Refused("INVALID_ENUM_VALUE", "A tax is ADDITIVE or INCLUSIVE, and has a name.", "order.taxes")
    added, rate = tax["type"] == "ADDITIVE", Decimal(tax["percentage"])
    divisor = Decimal(100) if added else 100 + rate
    nets = [line["_net"] for line in touched]
    if tax["scope"] == "ORDER":
        parts = spread(even(sum(nets) * rate / divisor), nets)
    else:
        parts = [even(net * rate / divisor) for net in nets]
    for line, part in zip(touched, parts, strict=True):
        line["_tax"] += part
        line["_left"] += part if added else 0
    return sum(parts)


def invoiceable(invoice: Doc, order: Doc | None, billed: bool, taken: bool) -> None:
    """What CreateInvoice refuses."""
    needed = ("location_id", "order_id", "payment_requests", "accepted_payment_methods", "delivery_method")
    for name in needed:
        if not invoice.get(name):
            raise Refused("MISSING_REQUIRED_PARAMETER", f"Missing required parameter {name}.", f"invoice.{name}")
    if order is None or order["location_id"] != invoice["location_id"]:
        raise Refused("NOT_FOUND", "Order not found at this location.", "invoice.order_id", 404)
    if order["state"] != "OPEN" or billed:
        raise Refused("BAD_REQUEST", "The order must be OPEN and have no invoice yet.", "invoice.order_id")
    if not any(invoice["accepted_payment_methods"].values()):
        raise Refused("BAD_REQUEST", "At least one payment method must be true.", "invoice.accepted_payment_methods")
    if invoice["delivery_method"] not in {"EMAIL", "SHARE_MANUALLY"}:
        raise Refused("INVALID_ENUM_VALUE", "EMAIL or SHARE_MANUALLY.", "invoice.delivery_method")
    (asked, *more) = invoice["payment_requests"]
    if (
        more
        or asked.get("request_type") != "BALANCE"
        or not re.fullmatch(r"\d{4}-\d\d-\d\d", asked.get("due_date", ""))
    ):
        raise Refused("BAD_REQUEST", "One BALANCE with a due date is expected here.", "invoice.payment_requests")
    if {"fixed_amount_requested_money", "percentage_requested"} & set(asked):
        raise Refused("CONFLICTING_PARAMETERS", "A BALANCE has no amount of its own.", "invoice.payment_requests")
    if taken:
        raise Refused("BAD_REQUEST", "An invoice with this invoice_number exists already.", "invoice.invoice_number")
