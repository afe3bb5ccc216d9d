"""What Sage refuses of contacts, sales invoices, credit notes and allocations, and the amounts it makes of them.

Fields and required fields as in the schemas made of Sage's v3.1 specification; amounts, statuses and allocations as the
guide "invoicing" has them: a line's net is quantity × price − discount to two decimals, its tax is the one that was
sent, shipping is taxed by its rate; of a draft nothing is outstanding; the amounts of an allocation sum to zero.
Awkward where nothing is documented: a reference has 25 characters, a contact has one currency.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple
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
NOTE = {
    "contact_id", "date", "original_invoice_date", "reference", "notes", "terms_and_conditions", "currency_id",
    "exchange_rate", "status_id", "main_address", "delivery_address", "credit_note_lines", "shipping_net_amount",
    "shipping_tax_rate_id", "shipping_tax_amount", "sent", "idempotency_id",
}  # fmt: skip
ALLOCATION = {"transaction_type_id", "contact_id", "date", "allocated_artefacts", "idempotency_id"}
LINE = {
    "description", "ledger_account_id", "product_id", "service_id", "quantity", "unit_price", "discount_amount",
    "discount_percentage", "tax_rate_id", "tax_amount", "unit_price_includes_tax",
}  # fmt: skip


class Kind(NamedTuple):
    """What differs between invoices and credit notes."""

    fields: set[str]
    lines: str
    number: str
    prefix: str


KINDS = {
    "sales_invoice": Kind(INVOICE, "invoice_lines", "invoice_number", "SI-"),
    "sales_credit_note": Kind(NOTE, "credit_note_lines", "credit_note_number", "SCN-"),
}
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
        return self.add("sales_invoice", {**raw, "due_date": _day(raw, "due_date")})

    def add(self, name: str, raw: Mapping[str, Any]) -> Doc:
        """An invoice or a credit note: released at once, unless it is to be a draft."""
        kind = KINDS[name]
        known(raw, kind.fields, name)
        contact = self.shelf.get("contact", str(raw.get("contact_id")))
        if contact is None or contact["contact_types"] != [{"id": "CUSTOMER"}]:
            raise Refused("can't find customer", "contact_id")
        currency = _currency(raw)
        if currency != contact["currency"]:
            raise Refused("must be the currency of the contact", "currency_id")
        if len(str(raw.get("reference") or "")) > 25 or raw.get("status_id", "DRAFT") != "DRAFT":
            raise Refused("is invalid", "reference" if "status_id" not in raw else "status_id")
        lines = [_line(f"{kind.lines}[{number}]", line) for number, line in enumerate(raw.get(kind.lines) or ())]
        if not lines:
            raise Refused("can't be blank", kind.lines)
        ident = uuid4().hex
        doc = {
            "id": ident, "displayed_as": f"{kind.prefix}DRAFT", "$path": f"/{name}s/{ident}",
            f"{kind.number}_prefix": kind.prefix, kind.number: "DRAFT", "reference": raw.get("reference"),
            "notes": raw.get("notes"), "terms_and_conditions": raw.get("terms_and_conditions"), "currency": currency,
            "status": state("DRAFT"), "sent": False, "date": _day(raw, "date"), "due_date": raw.get("due_date"),
            "contact": {field: contact[field] for field in ("id", "displayed_as", "$path")}, kind.lines: lines,
            "total_paid": "0.0", "void_reason": None, **_totals(lines, raw, name),
        }  # fmt: skip
        made = self.shelf.put(name, ident, doc)
        return made if raw.get("status_id") == "DRAFT" else self.release(ident, name)

    def release(self, ident: str, name: str = "sales_invoice") -> Doc:
        doc, kind = self.need(name, ident), KINDS[name]
        if doc["status"]["id"] != "DRAFT":
            raise Refused("Only drafts can be released", "status_id")
        number = str((self.shelf.get("last", kind.number) or {"number": 103})["number"] + 1)
        self.shelf.put("last", kind.number, {"number": int(number)})
        doc |= {kind.number: number, "displayed_as": f"{kind.prefix}{number}", "status": state("UNPAID")}
        return self.shelf.put(name, ident, doc | {"outstanding_amount": doc["total_amount"]})

    def void(self, ident: str, reason: Any, name: str = "sales_invoice") -> None:
        doc = self.need(name, ident)
        if doc["status"]["id"] == "DRAFT":
            return self.shelf.drop(name, ident)
        if doc["status"]["id"] in {"PAID", "PART_PAID"}:
            raise Refused("There are payments or allocations")
        if not reason:
            raise Refused("can't be blank", "void_reason")
        self.shelf.put(name, ident, {**doc, "status": state("VOID"), "void_reason": reason})
        return None

    def allocate(self, raw: Mapping[str, Any]) -> Doc:
        """Sets credit notes (negative) off against invoices (positive) of one customer, none for more than it has."""
        known(raw, ALLOCATION, "contact_allocation")
        if raw.get("transaction_type_id") != "CUSTOMER_ALLOCATION":
            raise Refused("is invalid", "transaction_type_id")
        contact = self.shelf.need("contact", str(raw.get("contact_id")), Refused("can't find contact", "contact_id"))
        parts = raw.get("allocated_artefacts") or []
        if len(parts) < 2 or total(_money(part, "amount", "allocated_artefacts") for part in parts):
            raise Refused("The amounts must sum to zero", "allocated_artefacts")
        for part in parts:
            self._take(str(part.get("artefact_id")), _money(part, "amount", "allocated_artefacts"), contact["id"])
        ident = uuid4().hex
        doc = {"id": ident, "displayed_as": "Allocation", "$path": f"/contact_allocations/{ident}", **raw}
        return self.shelf.put("contact_allocation", ident, doc)

    def _take(self, ident: str, amount: Decimal, contact: str) -> None:
        name = "sales_invoice" if amount > 0 else "sales_credit_note"
        doc = self.shelf.need(name, ident, Refused("can't find artefact", "allocated_artefacts"))
        if doc["contact"]["id"] != contact or doc["status"]["id"] not in {"UNPAID", "PART_PAID"}:
            raise Refused("The artefact cannot be allocated", "allocated_artefacts")
        left = exact(doc["outstanding_amount"]) - abs(amount)
        if left < 0 or not amount:
            raise Refused("is more than what is outstanding", "allocated_artefacts")
        paid = {"outstanding_amount": left, "total_paid": exact(doc["total_paid"]) + abs(amount)}
        self.shelf.put(name, ident, {**doc, **_texts(paid), "status": state("PART_PAID" if left else "PAID")})


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


def _line(source: str, raw: Any) -> Doc:
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


def _totals(lines: list[Doc], raw: Mapping[str, Any], name: str) -> dict[str, str]:
    shipping = _money(raw, "shipping_net_amount", name)
    if shipping and raw.get("shipping_tax_rate_id") not in TAX_RATES:
        raise Refused("is invalid", "shipping_tax_rate_id")
    tax = half_up(shipping * exact(TAX_RATES.get(str(raw.get("shipping_tax_rate_id")), "0")) / 100)
    nets = shipping + total(exact(line["net_amount"]) for line in lines)
    taxes = tax + total(exact(line["tax_amount"]) for line in lines)
    sums = {
        "shipping_net_amount": shipping, "shipping_tax_amount": tax, "net_amount": nets, "tax_amount": taxes,
        "total_amount": nets + taxes, "outstanding_amount": Decimal(0),
    }  # fmt: skip
    return _texts(sums)


def _texts(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {name: f"{amount:.2f}" for name, amount in amounts.items()}
