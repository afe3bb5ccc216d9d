"""The books of an emulated PayPal merchant: what an invoice may hold, and how it is added up.

Fields and lengths from `openapi/invoicing_v2.json` 2.3; the number's 25 characters as the error text has them. How
PayPal rounds tax is not documented: here half up, item by item.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from connectors.sandbox.base import Refusal, Response
from connectors.sandbox.shapes import flaw
from connectors.sandbox.shelf import Doc
from connectors.sandbox.sums import half_up, total

WHOLE = {"HUF", "JPY", "TWD"}
CURRENCIES = WHOLE | {
    "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "ILS", "MXN", "MYR", "NOK", "NZD", "PHP",
    "PLN", "SEK", "SGD", "THB", "USD",
}  # fmt: skip
MONEY = {"currency_code": 3, "value": 32}
TAX = {"name": 100, "percent": 10}
DISCOUNT = {"amount": MONEY, "percent": 10}
ADDRESS = {
    **dict.fromkeys(("address_line_1", "address_line_2", "admin_area_1"), 300),
    **{"admin_area_2": 120, "postal_code": 60, "country_code": 2},
}
CONTACT = {"business_name": 300, "name": {"given_name": 140, "surname": 140}, "address": ADDRESS}
ITEM = {
    **{"name": 200, "description": 1000, "quantity": 14, "unit_amount": MONEY, "tax": TAX, "discount": DISCOUNT},
    **{"unit_of_measure": 10, "item_date": 10},
}
INVOICE = {
    "detail": {
        **{"invoice_number": 25, "reference": 120, "invoice_date": 10, "currency_code": 3, "note": 4000, "memo": 500},
        **{"terms_and_conditions": 4000, "payment_term": {"term_type": 30, "due_date": 10}},
    },
    "invoicer": {**CONTACT, "email_address": 254, "tax_id": 100, "website": 2048, "additional_notes": 400},
    "primary_recipients": [
        {"billing_info": {**CONTACT, "email_address": 254, "additional_info": 40}, "shipping_info": CONTACT}
    ],
    "items": [ITEM],
    "configuration": {
        **{"tax_calculated_after_discount": bool, "tax_inclusive": bool, "allow_tip": bool, "template_id": 30},
        "partial_payment": {"allow_partial_payment": bool, "minimum_amount_due": MONEY},
    },
    "amount": {
        "breakdown": {
            **{"shipping": {"amount": MONEY, "tax": TAX}, "discount": {"invoice_discount": DISCOUNT}},
            "custom": {"label": 50, "amount": MONEY},
        }
    },
}
NAMES = {
    400: ("INVALID_REQUEST", "Request is not well-formed, syntactically incorrect, or violates schema."),
    401: ("AUTHENTICATION_FAILURE", "Authentication failed due to invalid authentication credentials."),
    403: ("NOT_AUTHORIZED", "Authorization failed due to insufficient permissions."),
    404: ("RESOURCE_NOT_FOUND", "The specified resource does not exist."),
    422: ("UNPROCESSABLE_ENTITY", "The requested action could not be performed."),
    429: ("RATE_LIMIT_REACHED", "Too many requests."),
}


class Refused(Refusal):
    """An answer that says no."""

    def __init__(self, status: int, issue: str = "", description: str = "", field: str = "") -> None:
        name, message = NAMES.get(status, ("INTERNAL_SERVER_ERROR", "An internal server error has occurred."))
        detail = {"issue": issue, "description": description, **({"field": field, "location": "body"} if field else {})}
        body = {"name": name, "message": message, "debug_id": "b1d1f06c7246c"}
        super().__init__(Response.json(status, {**body, **({"details": [detail]} if issue else {})}), issue)


def checked(value: Any, shape: Any = INVOICE) -> Doc:
    """The value, if it has that shape."""
    wrong = flaw(value, shape)
    if wrong is None:
        return dict(value)
    field = "/" + "/".join(map(str, wrong.path))
    if wrong.kind == "long":
        raise Refused(400, "INVALID_STRING_MAX_LENGTH", "The value of a field is too long.", field)
    raise Refused(400, "INVALID_PARAMETER_SYNTAX", "The value of a field does not conform to the format.", field)


def required(given: Mapping[str, Any], path: str, *names: str) -> None:
    for name in names:
        if given.get(name) in (None, "", [], {}):
            raise Refused(400, "MISSING_REQUIRED_PARAMETER", "A required field is missing.", f"{path}/{name}")


def dated(given: Mapping[str, str], path: str, *names: str) -> None:
    """Each of the names is there, and a date."""
    required(given, path, *names)
    for name in names:
        if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", given[name]):
            raise Refused(400, "INVALID_PARAMETER_SYNTAX", "The value of a field is no date.", f"{path}/{name}")


class Sums:
    """Adds one invoice up."""

    def __init__(self, invoice: Doc) -> None:
        self.invoice = invoice
        self.currency = invoice["detail"]["currency_code"]
        self.places = 0 if self.currency in WHOLE else 2
        settings = invoice.get("configuration", {})
        self.included = settings.get("tax_inclusive", False)
        self.after = settings.get("tax_calculated_after_discount", True)

    def money(self, amount: Decimal) -> dict[str, str]:
        return {"currency_code": self.currency, "value": f"{amount:.{self.places}f}"}

    def exact(self, given: Mapping[str, Any], path: str) -> Decimal:
        """An amount of the invoice's currency, with no more decimals than PayPal takes."""
        if given.get("currency_code") != self.currency or not re.fullmatch(
            r"-?\d+(\.\d{1,2})?", given.get("value", "")
        ):
            raise Refused(422, "INVALID_CURRENCY", "All amounts are in the invoice's currency.", path)
        amount = Decimal(given["value"])
        if amount != round(amount, self.places) or abs(amount) > 1_000_000:
            raise Refused(422, "DECIMALS_NOT_SUPPORTED", "Currency does not support decimals.", path)
        return amount

    def tax(self, base: Decimal, tax: Mapping[str, str] | None) -> Decimal:
        if not tax:
            return Decimal(0)
        rate = Decimal(tax["percent"])
        return half_up(base * rate / (100 + rate if self.included else 100), self.places)

    def done(self) -> Doc:
        """The invoice with what PayPal computes; on discounts of the whole invoice each item bears its part."""
        given = self.invoice.get("amount", {}).get("breakdown", {})
        items = [self._item(item, at) for at, item in enumerate(self.invoice["items"])]
        gross, item_off = total(one[0] for one in items), total(one[1] for one in items)
        whole = given.get("discount", {}).get("invoice_discount", {}).get("amount")
        off = self.exact(whole, "/amount/breakdown/discount") if whole else Decimal(0)
        share = off / (gross - item_off) if gross - item_off else Decimal(0)
        taxes = [self.tax((sum_ - less) * (1 - share if self.after else 1), tax) for sum_, less, tax in items]
        shipping = given.get("shipping", {})
        sent = self.exact(shipping["amount"], "/amount/breakdown/shipping") if shipping else Decimal(0)
        taxes.append(self.tax(sent, shipping.get("tax")))
        amount = gross - item_off - off + sent + (0 if self.included else total(taxes))
        if amount < 0:
            raise Refused(422, "INVALID_TOTAL", "The total amount for the invoice cannot be negative.", "/amount")
        discount = {"invoice_discount": {"amount": self.money(-off)}, "item_discount": self.money(-item_off)}
        breakdown = {"item_total": self.money(gross), "discount": discount, "tax_total": self.money(total(taxes))}
        if shipping:
            breakdown["shipping"] = shipping
        sums = {**self.money(amount), "breakdown": breakdown}
        return {**self.invoice, "amount": sums, "due_amount": self.money(amount)}

    def _item(self, item: Doc, at: int) -> tuple[Decimal, Decimal, Any]:
        path = f"/items/{at}"
        required(item, path, "name", "quantity", "unit_amount")
        if not re.fullmatch(r"-?\d+(\.\d{1,5})?", item["quantity"]):
            raise Refused(400, "INVALID_PARAMETER_SYNTAX", "Up to five decimal places.", f"{path}/quantity")
        if item.get("tax"):
            required(item["tax"], f"{path}/tax", "name", "percent")
        price = self.exact(item["unit_amount"], f"{path}/unit_amount")
        off = item.get("discount", {}).get("amount")
        less = self.exact(off, f"{path}/discount") if off else Decimal(0)
        return half_up(price * Decimal(item["quantity"]), self.places), less, item.get("tax")


def draft(given: Doc, emails: list[str]) -> Doc:
    """A new invoice as it is kept. Refused where PayPal refuses it."""
    detail = given.get("detail", {})
    required(given, "", "detail", "items")
    required(detail, "/detail", "currency_code")
    if detail["currency_code"] not in CURRENCIES:
        raise Refused(422, "CURRENCY_NOT_SUPPORTED", "Currency code is not supported.", "/detail/currency_code")
    if len(given["items"]) > 100:
        raise Refused(400, "INVALID_ARRAY_MAX_ITEMS", "At most 100 items.", "/items")
    if given.get("invoicer", {}).get("email_address", emails[0]) not in emails:
        raise Refused(422, "USER_NOT_FOUND", "User is not found.", "/invoicer/email_address")
    names: dict[str, str] = {}
    for tax in filter(None, (item.get("tax") for item in given["items"])):
        if names.setdefault(tax.get("name", ""), tax.get("percent", "")) != tax.get("percent"):
            raise Refused(422, "TAX_NAME_NOT_UNIQUE", "A tax name has one rate on an invoice.", "/items")
    if len(names) > 10:
        raise Refused(422, "TOO_MANY_TAXES", "At most 10 different taxes.", "/items")
    for recipient in given.get("primary_recipients", []):
        for part, contact in recipient.items():
            if contact.get("address"):
                required(contact["address"], f"/primary_recipients/0/{part}/address", "country_code")
    return Sums(given).done()
