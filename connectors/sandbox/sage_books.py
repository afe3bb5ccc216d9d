"""What Sage refuses of contacts and sales invoices, and the amounts it makes of them.

Fields and required fields as in the schemas made of Sage's v3.1 specification; amounts as the guide "invoicing" has
them: a line's net is quantity × price − discount to two decimals, its tax is the one that was sent, shipping is taxed
by its rate. Awkward where nothing is documented: a reference has 25 characters, a contact has one currency.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

from connectors.sandbox.base import Refusal, Response
from connectors.sandbox.shelf import Doc, Shelf
from connectors.sandbox.sums import exact, half_up, total

TAX_RATES = {"GB_STANDARD": "20.0", "GB_LOWER": "5.0", "GB_ZERO": "0.0", "GB_EXEMPT": "0.0", "GB_NO_TAX": "0.0"}
LEDGER_ACCOUNTS = {
    "b7a14000aa0011e8b5ea0ad3e5b4f4a1": "Sales - Products (4000)",
    "b7a14010aa0011e8b5ea0ad3e5b4f4a2": "Sales - Services (4010)",
}
CURRENCIES = {"GBP": "Pound Sterling (GBP)", "EUR": "Euro (EUR)", "USD": "US Dollar (USD)", "JPY": "Yen (JPY)"}
ADDRESS = {"address_line_1", "address_line_2", "city", "region", "postal_code", "country_id", "address_type_id", "name"}
PERSON = {"name", "job_title", "telephone", "mobile", "email", "contact_person_type_ids"}
CONTACT = {
    "name", "contact_type_ids", "reference", "tax_number", "notes", "credit_days", "currency_id", "main_address",
    "delivery_address", "main_contact_person", "idempotency_id",
}  # fmt: skip
INVOICE = {
    "contact_id", "date", "due_date", "reference", "notes", "terms_and_conditions", "currency_id", "exchange_rate",
    "status_id", "main_address", "delivery_address", "invoice_lines", "shipping_net_amount", "shipping_tax_rate_id",
    "shipping_tax_amount", "sent", "idempotency_id",
}  # fmt: skip
LINE = {
    "description", "ledger_account_id", "product_id", "service_id", "quantity", "unit_price", "discount_amount",
    "discount_percentage", "tax_rate_id", "tax_amount", "unit_price_includes_tax",
}  # fmt: skip
STATES = {"DRAFT": "Draft", "UNPAID": "Unpaid", "PART_PAID": "Part Paid", "PAID": "Paid", "VOID": "Void"}


class Refused(Refusal):
    def __init__(self, message: str, source: str = "", code: str = "RecordInvalid", status: int = 422) -> None:
        error = {"$severity": "error", "$dataCode": code, "$message": message, "$source": source}
        super().__init__(Response.json(status, [error]), message)


class Books:
    """Contacts and invoices; `clock` gives Unix seconds."""

    def __init__(self, shelf: Shelf, clock: Callable[[], float]) -> None:
        self.shelf, self.clock = shelf, clock

    def need(self, kind: str, ident: str) -> Doc:
        return self.shelf.need(kind, ident, Refused("Record not found", code="RecordNotFound", status=404))

    def add_contact(self, raw: Mapping[str, Any]) -> Doc:
        known(raw, CONTACT, "contact")
        if not str(raw.get("name") or "").strip() or raw.get("contact_type_ids") not in (["CUSTOMER"], ["VENDOR"]):
            raise Refused("can't be blank", "name" if raw.get("contact_type_ids") else "contact_type_ids")
        reference = str(raw.get("reference") or "")
        if len(reference) > 25:
            raise Refused("is too long (maximum is 25 characters)", "reference")
        if reference and self.shelf.all("contact", reference=reference):
            raise Refused("has already been taken", "reference")
        for name in ("main_address", "delivery_address"):
            known(raw.get(name, {}), ADDRESS, name)
        known(raw.get("main_contact_person", {}), PERSON, "main_contact_person")
        ident = uuid4().hex
        doc = {
            "id": ident, "displayed_as": raw["name"], "$path": f"/contacts/{ident}", "name": raw["name"],
            "contact_types": [{"id": kind} for kind in raw["contact_type_ids"]], "reference": reference or None,
            "notes": raw.get("notes"), "currency": _currency(raw), "main_address": raw.get("main_address"),
            "main_contact_person": raw.get("main_contact_person"), "deleted_at": None,
        }  # fmt: skip
        return self.shelf.put("contact", ident, doc)

    def add_invoice(self, raw: Mapping[str, Any]) -> Doc:
        known(raw, INVOICE, "sales_invoice")
        contact = self.shelf.get("contact", str(raw.get("contact_id")))
        if contact is None or contact["contact_types"] != [{"id": "CUSTOMER"}]:
            raise Refused("can't find customer", "contact_id")
        currency = _currency(raw)
        if currency != contact["currency"]:
            raise Refused("must be the currency of the contact", "currency_id")
        if len(str(raw.get("reference") or "")) > 25 or raw.get("status_id", "DRAFT") != "DRAFT":
            raise Refused("is invalid", "reference" if "status_id" not in raw else "status_id")
        lines = [_line(number, line) for number, line in enumerate(raw.get("invoice_lines") or ())]
        if not lines:
            raise Refused("can't be blank", "invoice_lines")
        ident = uuid4().hex
        doc = {
            "id": ident, "displayed_as": "SI-DRAFT", "$path": f"/sales_invoices/{ident}",
            "invoice_number_prefix": "SI-", "invoice_number": "DRAFT", "reference": raw.get("reference"),
            "notes": raw.get("notes"), "status": state("DRAFT"), "currency": currency, "sent": False,
            "contact": {name: contact[name] for name in ("id", "displayed_as", "$path")},
            "date": _day(raw, "date"), "due_date": _day(raw, "due_date"), "invoice_lines": lines, "total_paid": "0.0",
            "void_reason": None, **_totals(lines, raw),
        }  # fmt: skip
        made = self.shelf.put("sales_invoice", ident, doc)
        return made if raw.get("status_id") == "DRAFT" else self.release(ident)

    def release(self, ident: str) -> Doc:
        doc = self.need("sales_invoice", ident)
        if doc["status"]["id"] != "DRAFT":
            raise Refused("Only drafts can be released", "status_id")
        number = str((self.shelf.get("last", "number") or {"number": 103})["number"] + 1)
        self.shelf.put("last", "number", {"number": int(number)})
        doc |= {"invoice_number": number, "displayed_as": f"SI-{number}", "status": state("UNPAID")}
        return self.shelf.put("sales_invoice", ident, doc)

    def void(self, ident: str, reason: Any) -> None:
        doc = self.need("sales_invoice", ident)
        if doc["status"]["id"] == "DRAFT":
            return self.shelf.drop("sales_invoice", ident)
        if doc["status"]["id"] in {"PAID", "PART_PAID"}:
            raise Refused("Payments are allocated to this invoice")
        if not reason:
            raise Refused("can't be blank", "void_reason")
        self.shelf.put("sales_invoice", ident, {**doc, "status": state("VOID"), "void_reason": reason})
        return None


def known(raw: Any, fields: set[str], source: str) -> None:
    if not isinstance(raw, Mapping) or set(raw) - fields:
        unknown = sorted(set(raw) - fields) if isinstance(raw, Mapping) else raw
        raise Refused(f"unknown attribute: {unknown}", source, status=400)


def state(ident: str) -> dict[str, str]:
    return {"id": ident, "displayed_as": STATES[ident], "$path": f"/artefact_statuses/{ident}"}


def _currency(raw: Mapping[str, Any]) -> dict[str, str]:
    ident = raw.get("currency_id", "GBP")
    if ident not in CURRENCIES:
        raise Refused("is not a currency of this business", "currency_id")
    return {"id": ident, "displayed_as": CURRENCIES[ident]}


def _day(raw: Mapping[str, Any], name: str) -> str:
    try:
        return date.fromisoformat(str(raw[name])).isoformat()
    except (KeyError, ValueError):
        raise Refused("is not a date", name) from None


def _money(raw: Mapping[str, Any], name: str, source: str) -> Decimal:
    """An amount; two decimals only."""
    try:
        amount = exact(raw.get(name))
    except ArithmeticError:
        raise Refused("is not a number", f"{source}.{name}") from None
    if amount != half_up(amount):
        raise Refused("has more than two decimals", f"{source}.{name}")
    return amount


def _line(number: int, raw: Any) -> Doc:
    source = f"invoice_lines[{number}]"
    known(raw, LINE, source)
    for name in ("description", "ledger_account_id", "unit_price", "quantity", "tax_rate_id"):
        if raw.get(name) in (None, ""):
            raise Refused("can't be blank", f"{source}.{name}")
    if raw["ledger_account_id"] not in LEDGER_ACCOUNTS or raw["tax_rate_id"] not in TAX_RATES:
        raise Refused("ledger account or tax rate is invalid", source)
    quantity, price, off, tax = (
        _money(raw, name, source) for name in ("quantity", "unit_price", "discount_amount", "tax_amount")
    )
    taxed = bool(exact(TAX_RATES[raw["tax_rate_id"]]))
    if taxed == ("tax_amount" not in raw):
        raise Refused("is required for this tax rate, and only for such", f"{source}.tax_amount")
    net = half_up(quantity * price) - off
    if off < 0 or net < 0:
        raise Refused("discount is larger than the line", f"{source}.discount_amount")
    rate = {"id": raw["tax_rate_id"], "displayed_as": raw["tax_rate_id"]}
    shown = {"net_amount": net, "tax_amount": tax, "total_amount": net + tax}
    kept = {name: raw[name] for name in ("description", "quantity", "unit_price")}
    return {"id": uuid4().hex, **kept, "discount_amount": f"{off}", "tax_rate": rate, **_texts(shown)}


def _totals(lines: list[Doc], raw: Mapping[str, Any]) -> dict[str, str]:
    shipping = _money(raw, "shipping_net_amount", "sales_invoice")
    if shipping and raw.get("shipping_tax_rate_id") not in TAX_RATES:
        raise Refused("is invalid", "shipping_tax_rate_id")
    tax = half_up(shipping * exact(TAX_RATES.get(str(raw.get("shipping_tax_rate_id")), "0")) / 100)
    nets = shipping + total(exact(line["net_amount"]) for line in lines)
    taxes = tax + total(exact(line["tax_amount"]) for line in lines)
    sums = {
        "shipping_net_amount": shipping, "shipping_tax_amount": tax, "net_amount": nets, "tax_amount": taxes,
        "total_amount": nets + taxes, "outstanding_amount": nets + taxes,
    }  # fmt: skip
    return _texts(sums)


def _texts(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {name: f"{amount:.2f}" for name, amount in amounts.items()}
