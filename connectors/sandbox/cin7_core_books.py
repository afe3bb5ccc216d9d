"""The books of an emulated Cin7 Core company: customers and sales, with the states that each step needs.

From the vendor's reference (dearinventory.docs.apiary.io): fields and lengths, which state a POST to an order or an
invoice needs, that it overwrites, that an empty TaskID opens another invoice, the least quantity 1, four decimals,
totals "for validation" (checked here without tax, exactly). Refusing unknown fields and all wordings are ours.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import uuid4

from connectors.sandbox.base import Entry, Refusal, Response
from connectors.sandbox.shelf import Doc, Shelf
from connectors.sandbox.sums import exact, half_up, places, total

COMPANY, BASE_CURRENCY = "Demo Engraving Ltd", "GBP"
NOBODY = "00000000-0000-0000-0000-000000000000"
LOCATION, TERM, TIER = "Main Warehouse", "14 days", "Tier 1"
TAXES = {"20% (VAT on Income)": 20, "5% (VAT on Income)": 5, "Zero Rated Income": 0}
ACCOUNTS = {"200": ("Sales", "REVENUE"), "610": ("Accounts Receivable", "ASSET")}
PRODUCTS = {
    "PLQ-BR": ("6e1c8a50-0000-4000-8000-000000000001", "Brass plaque, engraved", "Stock"),
    "SALES": ("6e1c8a50-0000-4000-8000-000000000002", "Sales", "Service"),
    "SHIP": ("6e1c8a50-0000-4000-8000-000000000003", "Shipping", "Service"),
}
SERVICES = {name for _, name, kind in PRODUCTS.values() if kind == "Service"}
OPEN = {"DRAFT", "NOT AVAILABLE"}
ADDRESS = {"Line1": 256, "Line2": 256, "City": 256, "State": 256, "Postcode": 256, "Country": 256}
CUSTOMER = {
    "Name": 256, "Status": 20, "Currency": 3, "PaymentTerm": 256, "AccountReceivable": 50, "RevenueAccount": 50,
    "TaxRule": 50, "TaxNumber": 256, "Comments": 256, "Contacts": 0, "Addresses": 0,
}  # fmt: skip
REQUIRED = {"Name", "Status", "Currency", "PaymentTerm", "AccountReceivable", "RevenueAccount", "TaxRule"}
SALE = {
    "CustomerID": 36, "Customer": 256, "Contact": 256, "Phone": 50, "Email": 256, "DefaultAccount": 50, "SkipQuote": 0,
    "BillingAddress": 0, "ShippingAddress": 0, "TaxRule": 50, "TaxInclusive": 0, "Terms": 256, "PriceTier": 50,
    "Location": 256, "SaleOrderDate": 30, "Note": 1024, "CustomerReference": 256, "CurrencyRate": 0, "ExternalID": 256,
    "SaleType": 50,
}  # fmt: skip
ORDER = {"SaleID": 36, "Memo": 1024, "Status": 20, "AutoPickPackShipMode": 20, "Lines": 0, "AdditionalCharges": 0}
INVOICE = {
    "SaleID": 36, "TaskID": 36, "CombineAdditionalCharges": 0, "Memo": 1024, "Status": 20, "InvoiceDate": 30,
    "InvoiceDueDate": 30, "CurrencyConversionRate": 0, "Lines": 0, "AdditionalCharges": 0,
}  # fmt: skip
AMOUNTS = {"Quantity": 0, "Price": 0, "Discount": 0, "Tax": 0, "TaxRule": 50, "Total": 0, "Comment": 256}
LINE = {"ProductID": 36, "SKU": 50, "Name": 256, **AMOUNTS}
CHARGE = {"Description": 256, **AMOUNTS}
STATUS = {"AUTHORISED": "issued", "PAID": "paid"}


class Refused(Refusal):
    """What Cin7 Core says instead of doing it; `inside` a 200 where it says so there."""

    def __init__(self, text: str, status: int = 400, inside: bool = False) -> None:
        body = [{"ErrorCode": status, "Exception": text}]
        super().__init__(Response.json(200 if inside else status, body), text)


def checked(raw: Mapping[str, Any], fields: Mapping[str, int], *required: str) -> None:
    """Only these fields; texts at most so long; these are there."""
    for name, value in raw.items():
        if name not in fields:
            raise Refused(f"Unknown field {name}")
        if isinstance(value, str) and fields[name] and len(value) > fields[name]:
            raise Refused(f"The length of {name} must not be more than {fields[name]} characters")
    for name in required:
        if raw.get(name) in (None, ""):
            raise Refused(f"Required field {name} is missing")


def chosen(raw: Mapping[str, Any], field: str, known: Any) -> None:
    if field in raw and raw[field] not in known:
        raise Refused(f"{field} '{raw[field]}' was not found")


def number(raw: Mapping[str, Any], field: str) -> Decimal:
    try:
        found = exact(raw.get(field))
    except InvalidOperation:
        raise Refused(f"{field} is not a number") from None
    if found != round(found, 4):
        raise Refused(f"{field} has more than 4 decimal places")
    return found


class Books:
    """One company."""

    def __init__(self, db: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self.shelf, self.clock = Shelf(db, "cin7_core"), clock

    def add_customer(self, raw: Mapping[str, Any]) -> Doc:
        checked(raw, CUSTOMER, *REQUIRED)
        chosen(raw, "TaxRule", TAXES)
        chosen(raw, "PaymentTerm", {TERM})
        for field in ("AccountReceivable", "RevenueAccount"):
            chosen(raw, field, ACCOUNTS)
        for place in raw.get("Addresses", []):
            checked(place, {**ADDRESS, "Type": 20, "DefaultForType": 0}, "Country", "Type")
        if any(one["Name"].casefold() == raw["Name"].casefold() for one in self.shelf.all("customer")):
            raise Refused(f"Customer with name '{raw['Name']}' already exists")
        doc = {"Comments": "", "Contacts": [], "Addresses": [], **raw, "ID": str(uuid4())}
        return self.shelf.put("customer", doc["ID"], doc)

    def sale(self, ident: str) -> Doc:
        return self.shelf.need("sale", ident, Refused(f"Sale with ID {ident} was not found"))

    def add_sale(self, raw: Mapping[str, Any]) -> Doc:
        checked(raw, SALE, "Location", "CurrencyRate")
        chosen(raw, "Location", {LOCATION})
        chosen(raw, "Terms", {TERM})
        chosen(raw, "PriceTier", {TIER})
        chosen(raw, "SaleType", {"Simple", "Advanced"})
        for field, more in (("BillingAddress", {}), ("ShippingAddress", {"Company": 256, "Contact": 256})):
            if raw.get(field):
                checked(raw[field], {**ADDRESS, **more, "ShipToOther": 0}, "Line1", "Country")
        customer = self.shelf.get("customer", str(raw.get("CustomerID")))
        if customer is None:
            raise Refused("Customer was not found")
        ident = str(uuid4())
        task = {"TaskID": str(uuid4()), "Status": "NOT AVAILABLE", "Lines": [], "AdditionalCharges": []}
        today = f"{datetime.fromtimestamp(self.clock(), UTC):%Y-%m-%d}T00:00:00"
        doc = {"CustomerReference": "", "ExternalID": None, "SaleOrderDate": today, **raw, "ID": ident}
        doc["Customer"] = customer["Name"]
        doc |= {"BaseCurrency": BASE_CURRENCY, "CustomerCurrency": customer["Currency"], "Type": "Simple Sale"}
        quote = "AUTHORISED" if raw.get("SkipQuote") is True else "NOT AVAILABLE"
        doc |= {"Status": "ESTIMATED", "Quote": {"Status": quote}, "Invoices": [task]}
        doc["Order"] = {"Status": "NOT AVAILABLE", "Lines": [], "AdditionalCharges": []}
        return self.shelf.put("sale", ident, doc)

    def add_order(self, raw: Mapping[str, Any]) -> Doc:
        checked(raw, ORDER, "SaleID", "Status")
        if "Memo" not in raw:
            raise Refused("Required field Memo is missing")
        doc = self.sale(raw["SaleID"])
        if doc["Quote"]["Status"] != "AUTHORISED" or doc["Status"] == "VOIDED":
            raise Refused("Quote status is not AUTHORISED")
        if doc["Order"]["Status"] not in OPEN:
            raise Refused("Order status is not DRAFT or NOT AVAILABLE")
        chosen(raw, "Status", {"DRAFT", "AUTHORISED"})
        number_ = f"SO-{self.shelf.count('sale'):05}"
        doc["Order"] = {"SaleOrderNumber": number_, "Status": raw["Status"], "Memo": raw["Memo"], **summed(raw, False)}
        doc["Status"] = "ORDERED" if raw["Status"] == "AUTHORISED" else "ORDERING"
        return self.shelf.put("sale", doc["ID"], doc)

    def add_invoice(self, raw: Mapping[str, Any]) -> Doc:
        """The refusal of a task that is no draft any more comes inside a 200."""
        checked(raw, INVOICE, "SaleID", "TaskID", "CombineAdditionalCharges", "Status", "InvoiceDate", "InvoiceDueDate")
        doc = self.sale(raw["SaleID"])
        if doc["Order"]["Status"] != "AUTHORISED":
            raise Refused("Order status is not AUTHORISED")
        chosen(raw, "Status", {"DRAFT", "AUTHORISED"})
        if raw["TaskID"] == NOBODY:
            doc["Invoices"].append({"TaskID": str(uuid4()), "Status": "NOT AVAILABLE"})
            raw = {**raw, "TaskID": doc["Invoices"][-1]["TaskID"]}
        task = next((one for one in doc["Invoices"] if one["TaskID"] == raw["TaskID"]), None)
        if task is None:
            raise Refused("Invoice task was not found")
        if task["Status"] not in OPEN:
            raise Refused("Invoice status is not DRAFT or NOT AVAILABLE", inside=True)
        task.update({name: value for name, value in raw.items() if name != "SaleID"}, Paid=0, **summed(raw, True))
        if raw["Status"] == "AUTHORISED":
            task["InvoiceNumber"] = f"INV-{self.shelf.count('sale'):05}"
            doc["Status"] = "INVOICED"
        return self.shelf.put("sale", doc["ID"], doc)

    def void(self, ident: str) -> Doc:
        doc = self.sale(ident)
        if any(one["Status"] == "PAID" for one in doc["Invoices"]):
            raise Refused("A paid sale cannot be voided")
        for part in (doc["Order"], *doc["Invoices"]):
            part["Status"] = "VOIDED"
        return self.shelf.put("sale", ident, {**doc, "Status": "VOIDED"})

    def entry(self, doc: Mapping[str, Any]) -> Entry:
        final = next((one for one in doc["Invoices"] if one["Status"] in STATUS), None)
        part = final or doc["Order"]
        lines = [*part.get("Lines", []), *part.get("AdditionalCharges", [])]
        shown = (
            f"{one.get('Name', '')} {one.get('Comment', '')} × {one['Quantity']} @ {one['Price']}" for one in lines
        )
        return Entry(
            id=doc["ID"],
            reference=doc["CustomerReference"],
            key=doc["ExternalID"] or "",
            customer=doc["Customer"],
            lines=tuple(shown),
            currency=doc["CustomerCurrency"],
            total=str(half_up(Decimal(part.get("Total", 0)), places(doc["CustomerCurrency"]))),
            status="void" if doc["Status"] == "VOIDED" else STATUS[final["Status"]] if final else "draft",
        )


def summed(raw: Mapping[str, Any], accounts: bool) -> Doc:
    """Lines and charges as they are, with the sums of their totals and of the taxes that they state."""
    lines, charges = raw.get("Lines") or [], raw.get("AdditionalCharges") or []
    more = {"Account": 50} if accounts else {}
    for one in lines:
        checked(one, {**LINE, **more}, "ProductID", "SKU", "Name", "Quantity", *more)
        if PRODUCTS.get(one["SKU"], ("",))[0] != one["ProductID"]:
            raise Refused(f"Product '{one['SKU']}' was not found")
    for one in charges:
        checked(one, {**CHARGE, **more}, "Description", "Quantity", *more)
        chosen(one, "Description", SERVICES)
    for one in (*lines, *charges):
        chosen(one, "TaxRule", TAXES)
        chosen(one, "Account", ACCOUNTS)
        quantity, off = number(one, "Quantity"), number(one, "Discount")
        if quantity < 1 or not 0 <= off <= 100:
            raise Refused("Quantity must not be less than 1" if quantity < 1 else "Discount must be from 0 to 100")
        if "Total" in one and number(one, "Total") != quantity * number(one, "Price") * (100 - off) / 100:
            raise Refused("Total of the line is not valid")
    net = total(number(one, "Quantity") * number(one, "Price") * (100 - number(one, "Discount")) / 100
                for one in (*lines, *charges))  # fmt: skip
    tax = total(number(one, "Tax") for one in (*lines, *charges))
    return {"Lines": lines, "AdditionalCharges": charges, "TotalBeforeTax": net, "Tax": tax, "Total": net + tax}
