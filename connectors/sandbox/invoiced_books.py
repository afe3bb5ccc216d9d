"""The books of an emulated Invoiced business: fields as the vendor's reference has them, sums as its objects show.

Amounts are decimal numbers in major units. Subtotal is the sum of quantity × unit cost; discounts and taxes, of lines
and of the whole invoice, are the amounts given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from connectors.sandbox.base import Refusal, Response
from connectors.sandbox.shelf import Doc, Shelf
from connectors.sandbox.sums import exact, half_up, places, total

CUSTOMER = {
    *("name", "number", "email", "type", "attention_to", "address1", "address2", "city", "state", "postal_code"),
    *("country", "phone", "tax_id", "currency", "payment_terms", "taxable", "autopay", "credit_hold", "notes"),
    "metadata",
}
INVOICE = {
    *("customer", "name", "number", "currency", "autopay", "payment_terms", "purchase_order", "date", "due_date"),
    *("draft", "closed", "items", "notes", "discounts", "taxes", "ship_to", "metadata", "calculate_taxes"),
}
CREDIT_NOTE = INVOICE - {"autopay", "payment_terms", "due_date", "ship_to"}
PAYMENT = {
    *("customer", "date", "method", "currency", "amount", "reference", "ach_sender_id", "source", "notes"),
    "applied_to",
}
APPLICATION = {"amount", "type", "invoice", "credit_note", "document_type"}
"""Of an invoice, or of a credit note to an invoice; estimates and credit balances are nobody's concern here."""
ITEM = {
    *("type", "name", "description", "quantity", "unit_cost", "discountable", "discounts", "taxable", "taxes"),
    "metadata",
}
SHIP_TO = {"name", "attention_to", "address1", "address2", "city", "state", "postal_code", "country"}
RULE = ("GB", Decimal("0.20"))
"""The business's own tax rule: country and rate."""


class Refused(Refusal):
    """Invoiced refuses a call: message, and the field at fault."""

    def __init__(self, message: str, param: str = "", *, status: int = 400, kind: str = "invalid_request") -> None:
        body = {"type": kind, "message": message, **({"param": param} if param else {})}
        super().__init__(Response.json(status, body), message)


class Books:
    def __init__(self, shelf: Shelf, clock: Callable[[], float], portal: str) -> None:
        self.shelf, self.clock, self.portal = shelf, clock, portal

    def get(self, what: str, ident: str) -> Doc:
        return self.shelf.need(what, ident, Refused(f"No such {what[:-1]}: {ident}", status=404))

    def add_customer(self, given: Mapping[str, Any]) -> Doc:
        _only(given, CUSTOMER)
        if not given.get("name"):
            raise Refused("Name cannot be blank", "name")
        if given.get("type", "company") not in {"company", "person"}:
            raise Refused("Type is invalid", "type")
        if len(given.get("country") or "GB") != 2:
            raise Refused("Country is invalid", "country")
        ident = self._next("customers", 415_020)
        empty = dict.fromkeys(CUSTOMER)
        made: Doc = {
            **empty,
            "id": ident,
            "object": "customer",
            "type": "company",
            "taxable": True,
            "credit_hold": False,
        }
        made |= {"number": f"CUST-{ident}", "autopay": False, "metadata": {}, "created_at": int(self.clock())}
        made |= {"statement_pdf_url": f"{self.portal}/statements/{ident}/pdf"}
        return self.shelf.put("customers", str(ident), {**made, **_marked(given)})

    def add_invoice(self, given: Mapping[str, Any]) -> Doc:
        _only(given, INVOICE)
        customer = self._customer(given)
        if customer["credit_hold"]:
            raise Refused(
                "New invoices cannot be created for this account because it has a credit hold.", "credit_hold"
            )
        ident = self._next("invoices", 902_311)
        made = self._begun(INVOICE, ident, "invoice") | {"number": f"INV-{ident - 902_310:04}", "name": "Invoice"}
        page = f"{self.portal}/invoices/{ident:x}"
        made |= {
            "autopay": customer["autopay"],
            "payment_url": f"{page}/payment",
            "url": page,
            "pdf_url": f"{page}/pdf",
        }
        _only(given.get("ship_to") or {}, SHIP_TO)
        return self._composed(made, given, customer)

    def add_credit_note(self, given: Mapping[str, Any]) -> Doc:
        _only(given, CREDIT_NOTE)
        customer = self._customer(given)
        ident = self._next("credit_notes", 2048)
        made = self._begun(CREDIT_NOTE, ident, "credit_note")
        page = f"{self.portal}/credit_notes/{ident:x}"
        made |= {"number": f"CN-{ident - 2047:04}", "name": "Credit Note", "url": page, "pdf_url": f"{page}/pdf"}
        return self._composed(made, given, customer)

    def _customer(self, given: Mapping[str, Any]) -> Doc:
        customer = self.shelf.get("customers", str(given.get("customer", "")))
        if customer is None:
            raise Refused("Customer is missing or does not exist", "customer")
        return customer

    def _begun(self, fields: Iterable[str], ident: int, kind: str) -> Doc:
        made: Doc = {**dict.fromkeys(fields), "id": ident, "object": kind, "currency": "gbp", "metadata": {}}
        made |= dict.fromkeys(("closed", "paid", "sent", "draft", "voided"), False)
        made.pop("calculate_taxes")
        return made | {"date": int(self.clock()), "created_at": int(self.clock())}

    def _composed(self, made: Doc, given: Mapping[str, Any], customer: Mapping[str, Any]) -> Doc:
        made |= {name: value for name, value in _marked(given).items() if name != "calculate_taxes"}
        self._sum(made)
        if given.get("calculate_taxes", True) and customer["taxable"] and customer["country"] == RULE[0]:
            amount = half_up(exact(made["subtotal"]) * RULE[1], places(made["currency"]))
            made["taxes"] = [*made["taxes"], {"id": 1, "object": "tax", "amount": amount, "tax_rate": {"id": "rule"}}]
            self._sum(made)
        return self._kept(made)

    def change(self, what: str, ident: str, given: Mapping[str, Any]) -> Doc:
        _only(given, ((INVOICE if what == "invoices" else CREDIT_NOTE) - {"customer"}) | {"sent"})
        found = self.get(what, ident)
        if found["voided"]:
            raise Refused("This document has been voided and can no longer be modified.")
        if given.get("draft") and not found["draft"]:
            raise Refused("An outstanding document cannot become a draft again.", "draft")
        changed = {**found, **_marked(given)}
        self._sum(changed)
        return self._kept(changed)

    def void(self, what: str, ident: str) -> Doc:
        """Not once anything was paid, or a credit note applied."""
        found = self.get(what, ident)
        if found["voided"] or found["draft"] or found["paid"] or self._applied(found):
            raise Refused("This document cannot be voided.")
        return self._kept({**found, "voided": True})

    def add_payment(self, given: Mapping[str, Any]) -> Doc:
        """Money, and what it and credit notes are applied to. Of money no more is applied than there is."""
        _only(given, PAYMENT)
        customer = self._customer(given) if given.get("customer") else None
        ident = self._next("payments", 61)
        made: Doc = {**dict.fromkeys(PAYMENT), "id": ident, "object": "payment", "currency": "gbp", "voided": False}
        made |= {
            "amount": Decimal(0),
            "method": "other",
            "source": "keyed",
            "applied_to": [],
            "date": int(self.clock()),
        }
        made |= {**_marked(given), "created_at": int(self.clock())}
        used = [one for one in made["applied_to"] if one.get("type") == "invoice"]
        made["balance"] = exact(made["amount"]) - total(exact(one.get("amount")) for one in used)
        if exact(made["amount"]) < 0 or made["balance"] < 0:
            raise Refused("Total amount applied cannot exceed the payment amount", "amount")
        targets = [target for one in made["applied_to"] for target in self._targets(one, made, customer)]
        self.shelf.put("payments", str(ident), made)
        for target in targets:
            self._kept(target)
        return made

    def _targets(self, one: Doc, payment: Doc, customer: Doc | None) -> list[Doc]:
        """The documents that an application concerns. Raises for what it cannot be applied to."""
        _only(one, APPLICATION)
        wanted = {"invoice": {"invoice"}, "credit_note": {"credit_note", "invoice"}}.get(str(one.get("type")))
        if wanted is None or (one["type"] == "credit_note" and one.get("document_type") != "invoice"):
            raise Refused("Invalid payment application type", "applied_to")
        found = [self.get(f"{kind}s", str(one.get(kind, ""))) for kind in sorted(wanted)]
        for each in found:
            if each["draft"] or each["voided"] or each["currency"] != payment["currency"]:
                raise Refused("Payments cannot be applied to this document.", "applied_to")
            if customer and each["customer"] != customer["id"]:
                raise Refused("The document belongs to another customer.", "applied_to")
            if not 0 < exact(one.get("amount")) <= exact(each["balance"]):
                raise Refused("The amount is more than the balance of the document.", "applied_to")
        return found

    def _applied(self, doc: Doc) -> Decimal:
        """How much of its balance payments and credit notes have taken."""
        parts = [one for payment in self.shelf.all("payments") for one in payment["applied_to"]]
        return total(exact(one["amount"]) for one in parts if str(one.get(doc["object"])) == str(doc["id"]))

    def mail(self, ident: str, given: Mapping[str, Any]) -> list[Doc]:
        _only(given, {"to", "bcc", "template", "subject", "message"})
        invoice = self.get("invoices", ident)
        customer = self.get("customers", str(invoice["customer"]))
        to = [one["email"] for one in given.get("to") or [] if one.get("email")] or [customer["email"]]
        if not all(to):
            raise Refused("No recipients were given.", "to")
        number = self.shelf.count("emails")
        sent = []
        for count, email in enumerate(to):
            mail = {"id": f"{number + count:032x}", "object": "email", "state": "queued", "email": email, "opens": 0}
            sent.append(self.shelf.put("emails", mail["id"], {**mail, "invoice": invoice["number"]}))
        self._kept({**invoice, "sent": True})
        return sent

    def _next(self, what: str, first: int) -> int:
        """Ids rise; that of a deleted draft does not come back."""
        last = self.shelf.get("ids", what) or {"last": first - 1}
        return int(self.shelf.put("ids", what, {"last": last["last"] + 1})["last"])

    def _sum(self, doc: Doc) -> None:
        digits = places(doc["currency"])
        items = [_item(item, number, digits) for number, item in enumerate(doc["items"] or [], 1)]
        parts = {name: _amounts(doc[name], name[:-1], digits) for name in ("discounts", "taxes")}
        subtotal = total(item["amount"] for item in items)
        off = total(one["amount"] for part in (parts, *items) for one in part["discounts"])
        taxes = total(one["amount"] for part in (parts, *items) for one in part["taxes"])
        whole = subtotal - off + taxes
        if whole < 0:
            raise Refused("Total cannot be negative", "total")
        doc |= {"items": items, **parts, "subtotal": subtotal, "total": whole, "balance": whole}

    def _kept(self, doc: Doc) -> Doc:
        open_, paid = (
            ("sent" if doc["sent"] else "not_sent", doc["paid"]) if doc["object"] == "invoice" else ("open", False)
        )
        taken = self._applied(doc)
        balance = Decimal(0) if doc["voided"] else exact(doc["total"]) - taken
        paid = paid or bool(taken and not balance)
        status = "voided" if doc["voided"] else "draft" if doc["draft"] else "paid" if paid else open_
        kept = {**doc, "status": status, "balance": balance, "paid": paid}
        return self.shelf.put(f"{doc['object']}s", str(doc["id"]), kept)


def _only(given: Mapping[str, Any], known: Iterable[str]) -> None:
    for name in given:
        if name not in known:
            raise Refused(f"Unknown parameter: {name}", name)


def _marked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields; an empty text is nothing. Metadata has at most ten keys of 40 and values of 255 characters."""
    marks = given.get("metadata") or {}
    if len(marks) > 10 or any(len(key) > 40 or len(str(value)) > 255 for key, value in marks.items()):
        raise Refused("Metadata can have at most 10 keys of 40 characters, with values of 255", "metadata")
    return {name: None if value == "" else value for name, value in given.items()}


def _item(given: Mapping[str, Any], number: int, digits: int) -> Doc:
    _only(given, ITEM | {"id", "object", "catalog_item", "amount"})
    if not given.get("name"):
        raise Refused("Line item name cannot be blank", "items")
    try:
        quantity, cost = exact(given.get("quantity", 1)), exact(given.get("unit_cost"))
    except ArithmeticError:
        raise Refused("Line item quantity and unit cost must be numbers", "items") from None
    item: Doc = {"id": number, "object": "line_item", "catalog_item": None, "type": None, "description": None}
    item |= {"discountable": True, "taxable": True, "metadata": {}, **_marked(given)}
    item |= {"quantity": quantity, "unit_cost": cost, "amount": half_up(quantity * cost, digits)}
    return item | {name: _amounts(given.get(name), name[:-1], digits) for name in ("discounts", "taxes")}


def _amounts(given: Any, kind: str, digits: int) -> list[Doc]:
    """Discounts or taxes as amounts."""
    found = []
    for number, one in enumerate(given or [], 1):
        _only(one, {"amount", "id", "object", "tax_rate", "coupon", "expires"})
        amount = exact(one.get("amount"))
        if amount < 0:
            raise Refused(f"{kind.capitalize()} amount cannot be negative", f"{kind}s")
        rest = {"tax_rate": one.get("tax_rate")} if kind == "tax" else {"coupon": None, "expires": None}
        found.append({"id": number, "object": kind, "amount": half_up(amount, digits), **rest})
    return found
