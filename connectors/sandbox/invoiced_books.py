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
CHANGE = (INVOICE - {"customer"}) | {"sent"}
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
        customer = self.shelf.get("customers", str(given.get("customer", "")))
        if customer is None:
            raise Refused("Customer is missing or does not exist", "customer")
        if customer["credit_hold"]:
            raise Refused(
                "New invoices cannot be created for this account because it has a credit hold.", "credit_hold"
            )
        ident = self._next("invoices", 902_311)
        empty = dict.fromkeys(INVOICE - {"calculate_taxes"})
        made: Doc = {
            **empty,
            "id": ident,
            "object": "invoice",
            "number": f"INV-{ident - 902_310:04}",
            "currency": "gbp",
        }
        made |= {"closed": False, "paid": False, "sent": False, "draft": False, "autopay": customer["autopay"]}
        made |= {"date": int(self.clock()), "created_at": int(self.clock()), "metadata": {}, "name": "Invoice"}
        page = f"{self.portal}/invoices/{ident:x}"
        made |= {"url": page, "payment_url": f"{page}/payment", "pdf_url": f"{page}/pdf", "voided": False}
        made |= {name: value for name, value in _marked(given).items() if name != "calculate_taxes"}
        _only(made["ship_to"] or {}, SHIP_TO)
        self._sum(made)
        if given.get("calculate_taxes", True) and customer["taxable"] and customer["country"] == RULE[0]:
            amount = half_up(exact(made["subtotal"]) * RULE[1], places(made["currency"]))
            made["taxes"] = [*made["taxes"], {"id": 1, "object": "tax", "amount": amount, "tax_rate": {"id": "rule"}}]
            self._sum(made)
        return self._kept(made)

    def change(self, ident: str, given: Mapping[str, Any]) -> Doc:
        _only(given, CHANGE)
        invoice = self.get("invoices", ident)
        if invoice["voided"]:
            raise Refused("This document has been voided and can no longer be modified.")
        if given.get("draft") and not invoice["draft"]:
            raise Refused("An outstanding invoice cannot become a draft again.", "draft")
        changed = {**invoice, **_marked(given)}
        self._sum(changed)
        return self._kept(changed)

    def void(self, ident: str) -> Doc:
        invoice = self.get("invoices", ident)
        if invoice["voided"] or invoice["draft"] or invoice["paid"]:
            raise Refused("This document cannot be voided.")
        return self._kept({**invoice, "voided": True})

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

    def _sum(self, invoice: Doc) -> None:
        digits = places(invoice["currency"])
        items = [_item(item, number, digits) for number, item in enumerate(invoice["items"] or [], 1)]
        parts = {name: _amounts(invoice[name], name[:-1], digits) for name in ("discounts", "taxes")}
        subtotal = total(item["amount"] for item in items)
        off = total(one["amount"] for part in (parts, *items) for one in part["discounts"])
        taxes = total(one["amount"] for part in (parts, *items) for one in part["taxes"])
        whole = subtotal - off + taxes
        if whole < 0:
            raise Refused("Total cannot be negative", "total")
        invoice |= {"items": items, **parts, "subtotal": subtotal, "total": whole, "balance": whole}

    def _kept(self, invoice: Doc) -> Doc:
        status = "sent" if invoice["sent"] else "not_sent"
        status = "voided" if invoice["voided"] else "draft" if invoice["draft"] else status
        balance = 0 if invoice["voided"] else invoice["total"]
        return self.shelf.put("invoices", str(invoice["id"]), {**invoice, "status": status, "balance": balance})


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
