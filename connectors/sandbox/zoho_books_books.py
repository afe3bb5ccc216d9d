"""The books of an emulated Zoho Books organisation: contacts and invoices with the rules Zoho keeps.

Fields and lengths from Zoho's OpenAPI documents `invoices.yml` and `contacts.yml` (Books v3). Codes: 1002 and 1000 as
documented, 2 for a bad value, 3062 for a contact's name that is taken (published answers); the code for an invoice
number that is taken is not documented, and is ours. Refusing fields nobody knows, and all other wordings, are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import uuid4

from connectors.sandbox.base import Entry, Refusal, Response
from connectors.sandbox.shelf import Doc, Shelf
from connectors.sandbox.sums import exact, half_up, places, total

ORGANIZATION = "927270289"
NAME = "Demo Engraving Ltd"
BASE_CURRENCY = "GBP"
TAXES = {"460000000026001": 20, "460000000026003": 5, "460000000026005": 0}
CURRENCIES = {code: f"4600000000000{97 + 2 * n:03}" for n, code in enumerate(("GBP", "EUR", "USD", "JPY", "KWD"))}
ITEMS = {"460000000100002": ("Sales", ""), "460000000100004": ("Brass plaque", "PLQ-BR")}
TEMPLATE = "460000000017001"
ADDRESS = {"attention": 100, "address": 500, "street2": 255, "city": 100, "state": 100, "zip": 50, "country": 100}
PERSON = {"first_name": 100, "last_name": 100, "email": 100, "phone": 50, "is_primary_contact": 5}
CONTACT = {
    "contact_name": 200, "company_name": 200, "contact_type": 20, "customer_sub_type": 20, "currency_id": 30,
    "billing_address": 0, "shipping_address": 0, "contact_persons": 0, "notes": 50_000, "payment_terms": 0,
}  # fmt: skip
LINE = {"item_id": 30, "name": 100, "description": 2000, "rate": 0, "quantity": 0, "tax_id": 30, "unit": 100}
INVOICE = {
    "customer_id": 30, "currency_id": 30, "contact_persons": 0, "invoice_number": 100, "reference_number": 100,
    "template_id": 30, "date": 10, "payment_terms": 0, "payment_terms_label": 100, "due_date": 10,
    "is_inclusive_tax": 0, "exchange_rate": 0, "line_items": 0, "notes": 50_000, "terms": 50_000, "adjustment": 0,
    "adjustment_description": 500,
}  # fmt: skip
NUMBER_TAKEN = 1001
SEEN_AS = {**dict.fromkeys(("sent", "partially_paid", "open"), "issued"), "closed": "paid"}


class Refused(Refusal):
    """Zoho's answer to a call that it does not carry out."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(Response.json(status, {"code": code, "message": message}), message)


def bad(field: str) -> Refused:
    return Refused(400, 2, f"Invalid value passed for {field}")


def checked(raw: Mapping[str, Any], fields: Mapping[str, int]) -> None:
    """Only these fields; texts at most so long."""
    for name, value in raw.items():
        if name not in fields:
            raise bad(name)
        if isinstance(value, str) and fields[name] and len(value) > fields[name]:
            raise Refused(400, 15, f"Please ensure that the {name} has less than {fields[name]} characters.")


def number(raw: Mapping[str, Any], field: str) -> Decimal:
    try:
        return exact(raw.get(field))
    except InvalidOperation:
        raise bad(field) from None


def fresh() -> str:
    return f"46{uuid4().int % 10**16:016}"


class Books:
    """One organisation. `tax_rounding` is its preference: "item_level" or "entity_level"."""

    def __init__(self, shelf: Shelf, mail: Callable[[str, str], None]) -> None:
        self.shelf, self.mailed = shelf, mail
        self.tax_rounding = "item_level"

    def one(self, kind: str, ident: str) -> Doc:
        return self.shelf.need(kind, ident, Refused(404, 1002, f"{kind.capitalize()} does not exist."))

    # -- contacts --------------------------------------------------------------------------------------------------

    def add_contact(self, raw: Mapping[str, Any]) -> Doc:
        checked(raw, CONTACT)
        for part, fields in (("billing_address", ADDRESS), ("shipping_address", ADDRESS)):
            checked(raw.get(part, {}), fields)
        people = raw.get("contact_persons", [])
        for person in people:
            checked(person, PERSON)
        name = str(raw.get("contact_name") or "")
        if not name.strip():
            raise bad("contact_name")
        if any(other["contact_name"].casefold() == name.casefold() for other in self.shelf.all("contact")):
            raise Refused(400, 3062, f'The customer "{name}" already exists. Please specify a different name.')
        currency = raw.get("currency_id", CURRENCIES[BASE_CURRENCY])
        if currency not in CURRENCIES.values():
            raise bad("currency_id")
        people = [{"contact_person_id": fresh(), **person} for person in people]
        main: Doc = next((one for one in people if one.get("is_primary_contact")), {})
        code = next(code for code, ident in CURRENCIES.items() if ident == currency)
        facts = {"contact_type": "customer", "notes": "", "company_name": "", **raw}
        doc = {**facts, "contact_id": fresh(), "status": "active", "currency_id": currency, "currency_code": code}
        doc |= {"contact_persons": people, "email": main.get("email", ""), "phone": main.get("phone", "")}
        return self.shelf.put("contact", doc["contact_id"], doc)

    # -- invoices --------------------------------------------------------------------------------------------------

    def add_invoice(self, raw: Mapping[str, Any], own_number: bool) -> Doc:
        checked(raw, INVOICE)
        ident = raw.get("invoice_number") if own_number else f"INV-{self.shelf.count('invoice') + 1:06}"
        if not ident:
            raise bad("invoice_number")
        if self.shelf.all("invoice", invoice_number=ident):
            raise Refused(400, NUMBER_TAKEN, f'Invoice number "{ident}" already exists.')
        if raw.get("template_id", TEMPLATE) != TEMPLATE:
            raise bad("template_id")
        doc = self.composed({"reference_number": "", **raw, "invoice_number": ident}, LINE)
        doc |= {"invoice_id": fresh(), "status": "draft", "is_emailed": False, "credits_applied": 0}
        doc["invoice_url"] = f"https://zohosecurepay.example/books/secure?CInvoiceID=2-{doc['invoice_id']} "
        return self.shelf.put("invoice", doc["invoice_id"], doc)

    def composed(self, raw: Mapping[str, Any], line_fields: Mapping[str, int]) -> Doc:
        """What invoices and credit notes share: a customer, its currency, lines and their sums."""
        contact = self.one("contact", str(raw.get("customer_id")))
        if raw.get("currency_id", contact["currency_id"]) != contact["currency_id"]:
            raise bad("currency_id")
        if "currency_id" not in raw and contact["currency_code"] != BASE_CURRENCY:
            raise bad("currency_id")
        lines = raw.get("line_items") or []
        if not lines:
            raise bad("line_items")
        doc: Doc = {"notes": "", "is_inclusive_tax": False, **raw, "customer_name": contact["contact_name"]}
        doc |= {"currency_code": contact["currency_code"], "currency_id": contact["currency_id"]}
        return doc | self.summed(doc, [self.line(one, contact["currency_code"], line_fields) for one in lines])

    def line(self, raw: Mapping[str, Any], currency: str, fields: Mapping[str, int]) -> Doc:
        checked(raw, fields)
        if raw.get("item_id") not in ITEMS:
            raise bad("item_id")
        if raw.get("tax_id") and raw["tax_id"] not in TAXES:
            raise bad("tax_id")
        quantity, rate = number(raw, "quantity"), number(raw, "rate")
        if quantity <= 0 or rate < 0 or quantity != round(quantity, 2) or rate != round(rate, places(currency)):
            raise bad("quantity" if quantity <= 0 or quantity != round(quantity, 2) else "rate")
        share = TAXES.get(raw.get("tax_id", ""), 0)
        name = raw.get("name") or ITEMS[raw["item_id"]][0]
        amount = half_up(quantity * rate, places(currency))
        return {"description": "", **raw, "name": name, "tax_percentage": share, "item_total": amount}

    def summed(self, doc: Mapping[str, Any], lines: list[Doc]) -> Doc:
        """Item level rounds the tax of each line, entity level that of each rate (`tax_rounding` in Zoho's answers)."""
        digits, included = places(doc["currency_code"]), doc["is_inclusive_tax"]
        groups: dict[int, list[Decimal]] = {}
        for n, line in enumerate(lines):
            share = Decimal(line["tax_percentage"])
            group = n if self.tax_rounding == "item_level" else line["tax_percentage"]
            groups.setdefault(group, []).append(line["item_total"] * share / (100 + share if included else 100))
        tax = total(half_up(total(parts), digits) for parts in groups.values())
        amount, adjustment = total(line["item_total"] for line in lines), number(doc, "adjustment")
        due = amount + (0 if included else tax) + adjustment
        sums: Doc = {"sub_total": amount - tax if included else amount, "tax_total": tax, "adjustment": adjustment}
        return sums | {"total": due, "balance": due, "line_items": lines, "tax_rounding": self.tax_rounding}

    def turn(self, invoice: Doc, status: str) -> str:
        """Into "sent" or "void", with what Zoho then says. Whether an invoice with credits is voided is not documented:
        it is not."""
        credited = status == "void" and invoice["credits_applied"]
        if invoice["status"] == "void" or (status == "void" and invoice["status"] == "draft") or credited:
            raise Refused(400, 2, f"The status {invoice['status']} of the invoice cannot be changed to {status}")
        if status == "void" or invoice["status"] == "draft":
            self.shelf.put("invoice", invoice["invoice_id"], {**invoice, "status": status})
        return f"Invoice status has been changed to {status.capitalize()}."

    def mail(self, invoice: Doc) -> str:
        to = self.one("contact", invoice["customer_id"])["email"]
        if not to or invoice["status"] == "void":
            raise Refused(400, 2, "The invoice has no contact person with an email address")
        self.mailed(invoice["invoice_id"], to)
        status = "sent" if invoice["status"] == "draft" else invoice["status"]
        self.shelf.put("invoice", invoice["invoice_id"], {**invoice, "is_emailed": True, "status": status})
        return "Your invoice has been sent."

    def entry(self, doc: Mapping[str, Any], kind: str = "invoice") -> Entry:
        lines = (
            f"{line['name']} {line['description']} × {line['quantity']} @ {line['rate']}" for line in doc["line_items"]
        )
        return Entry(
            id=doc[f"{kind}_id"],
            reference=doc[f"{kind}_number"],
            key=doc["notes"],
            customer=doc["customer_name"],
            lines=tuple(lines),
            currency=doc["currency_code"],
            total=str(half_up(Decimal(doc["total"]), places(doc["currency_code"]))),
            status=SEEN_AS.get(doc["status"], doc["status"]),
        )
