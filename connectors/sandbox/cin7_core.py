"""Cin7 Core, emulated: one company and one API application, 60 calls in any 60 seconds.

Paths as in production, below `/ExternalApi/v2/`. From the vendor's reference (dearinventory.docs.apiary.io) and users'
notes: wrong credentials are a 403 with a plain text, "too many" a 429 with a text and `Retry-After: 60 Seconds`; errors
come as a list, sometimes inside a 200; an invoice's answer has no totals.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from connectors.sandbox.base import Emulator, Entry, Request, Response, Rolling
from connectors.sandbox.cin7_core_books import (
    ACCOUNTS,
    BASE_CURRENCY,
    COMPANY,
    LOCATION,
    PRODUCTS,
    TAXES,
    TERM,
    TIER,
    Books,
    Refused,
)
from connectors.sandbox.pages import paged
from connectors.sandbox.shelf import Doc

ACCOUNT_ID = "704ef231-cd93-49c9-a201-26b4b5d0d35b"
APPLICATION_KEY = "sandbox-cin7-application-key"
API = "/ExternalApi/v2/"
UNREADABLE = partial(Refused, "The object passed to the API could not be parsed", 500)
RATES = {"EUR": "0.86", "USD": "0.78", "JPY": "0.005", "KWD": "2.55"}
STATIC: dict[str, tuple[str, list[Doc]]] = {
    "ref/location": ("LocationList", [{"Name": LOCATION}]),
    "ref/paymentterm": ("PaymentTermList", [{"Name": TERM, "Duration": 14, "IsActive": True}]),
    "ref/priceTier": ("PriceTiers", [{"Code": 1, "Name": TIER}]),
    "ref/tax": (
        "TaxRuleList",
        [{"Name": name, "TaxPercent": rate, "TaxInclusive": False, "IsActive": True} for name, rate in TAXES.items()],
    ),
    "ref/account": (
        "AccountsList",
        [{"Code": code, "Name": name, "Class": kind} for code, (name, kind) in ACCOUNTS.items()],
    ),
    "product": (
        "Products",
        [{"ID": ident, "SKU": sku, "Name": name, "Type": kind} for sku, (ident, name, kind) in PRODUCTS.items()],
    ),
}
SEARCHED = ("Status", "Customer", "CustomerReference")
SALE_LIST = {"Page", "Limit", "Search", "ExternalID"}
"""Of its parameters those that are served; none is the date of an invoice."""
PRODUCT_IDS = ", ".join(f'"{sku}" = "{ident}"' for sku, (ident, _, _) in PRODUCTS.items())


class Cin7Core(Emulator):
    """`minute` is its limit. `shows_tasks`: a sale shows invoices that are not begun, too (not documented)."""

    slug = "cin7_core"
    sample = f"""
account_id = "{ACCOUNT_ID}"
application_key = "{APPLICATION_KEY}"
[shop.myshop.account.cin7_core.settings]
base_currency = "{BASE_CURRENCY}"
currency_rates = {{ {", ".join(f'"{code}" = "{rate}"' for code, rate in RATES.items())} }}
location = "{LOCATION}"
tax = {{ {", ".join(f'"{rate}" = "{name}"' for name, rate in TAXES.items())} }}
revenue_account = "200"
receivable_account = "610"
payment_term = "{TERM}"
products = {{ {PRODUCT_IDS} }}
product = "SALES"
shipping = "Shipping"
"""

    def __init__(self, database: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self.minute, self.shows_tasks = Rolling(60, 60), True
        super().__init__(database, clock)

    def setup(self) -> None:
        self.books = Books(self.db, self.clock)

    def creates(self, request: Request) -> bool:
        return request.method in {"POST", "DELETE"}

    def tenant(self, request: Request) -> str:
        return request.headers.get("api-auth-applicationkey", "")

    def too_many(self, retry_after: float) -> Response:
        headers = {"Retry-After": "60 Seconds", "x-ratelimit-limit": "60", "x-ratelimit-reset": "60"}
        return Response(429, b"You have reached 60 calls per 60 seconds API limit.", headers)

    def failure(self, status: int) -> Response:
        return Response.json(status, [{"ErrorCode": status, "Exception": "An unexpected error has occurred"}])

    def customers(self) -> list[tuple[str, str]]:
        known = self.books.shelf.all("customer")
        mails = [next((one.get("Email", "") for one in doc["Contacts"]), "") for doc in known]
        return [(doc["Name"], mail) for doc, mail in zip(known, mails, strict=True)]

    def ledger(self) -> list[Entry]:
        return [self.books.entry(doc) for doc in self.books.shelf.all("sale")]

    def answer(self, request: Request) -> Response:
        ours = {"api-auth-accountid": ACCOUNT_ID, "api-auth-applicationkey": APPLICATION_KEY}
        if any(request.headers.get(name) != value for name, value in ours.items()):
            return Response(403, b"Incorrect credentials!", {"Content-Type": "text/plain"})
        if wait := self.counted(self.minute):
            return self.too_many(wait)
        return Response.json(200, self._route(request))

    def _route(self, request: Request) -> Any:
        path, query = request.path.removeprefix(API).strip("/"), request.query
        if request.method == "GET" and path in STATIC:
            return self._page(*STATIC[path], query)
        match request.method, path:
            case "GET", "me":
                return {"Company": COMPANY, "Currency": BASE_CURRENCY, "TimeZone": "Etc/GMT"}
            case "GET", "customer":
                return self._page("CustomerList", self._customers(query), query)
            case "POST", "customer":
                return {"Total": 1, "Page": 1, "CustomerList": [self.books.add_customer(request.object(UNREADABLE))]}
            case "GET", "saleList":
                return self._page("SaleList", self._sales(query), query)
            case "GET", "sale":
                return self._sale(self.books.sale(query.get("ID", "")))
            case "POST", "sale":
                return self.books.add_sale(request.object(UNREADABLE))
            case "DELETE", "sale" if query.get("Void") == "true":
                return self.books.void(query.get("ID", ""))
            case "POST", "sale/order":
                made = self.books.add_order(request.object(UNREADABLE))
                return {"SaleID": made["ID"], **made["Order"]}
            case "GET", "sale/invoice":
                return self._invoices(self.books.sale(query.get("SaleID", "")))
            case "POST", "sale/invoice":
                return self._invoices(self.books.add_invoice(request.object(UNREADABLE)))
        raise Refused("Endpoint does not exist", 404)

    def _sale(self, sale: Doc) -> Doc:
        invoices = [one for one in sale["Invoices"] if self.shows_tasks or one["Status"] != "NOT AVAILABLE"]
        return {**sale, "Invoices": invoices}

    def _invoices(self, sale: Doc) -> Doc:
        hidden = {"Total", "Tax", "TotalBeforeTax", "Paid"}
        tasks = [{name: value for name, value in one.items() if name not in hidden} for one in sale["Invoices"]]
        return {"SaleID": sale["ID"], "Invoices": tasks}

    def _customers(self, query: Mapping[str, str]) -> Iterable[Doc]:
        """By the beginning of the name; by a part of what a contact has. Case does not count."""
        name, person = query.get("Name", "").casefold(), query.get("ContactFilter", "").casefold()
        for doc in self.books.shelf.all("customer"):
            people = " ".join(str(value) for one in doc["Contacts"] for value in one.values()).casefold()
            if doc["Name"].casefold().startswith(name) and person in people:
                yield doc

    def _sales(self, query: Mapping[str, str]) -> Iterable[Doc]:
        """By `ExternalID` exactly; by a part of some fields."""
        if unknown := set(query) - SALE_LIST:
            raise Refused(f"Unknown parameter {sorted(unknown)}")
        part = query.get("Search", "").casefold()
        for doc in self.books.shelf.all("sale"):
            texts = [str(doc.get(name) or "") for name in SEARCHED]
            if query.get("ExternalID", doc["ExternalID"]) == doc["ExternalID"] and part in "\n".join(texts).casefold():
                shown = ("Status", "Customer", "CustomerID", "CustomerReference", "ExternalID", "Type")
                dates = [one["InvoiceDate"] for one in doc["Invoices"] if one.get("InvoiceDate")]
                found = {"InvoiceDate": dates[0] if dates else None, "OrderDate": doc["SaleOrderDate"]}
                yield {"SaleID": doc["ID"], **found, **{name: doc[name] for name in shown}}

    def _page(self, name: str, rows: Iterable[Doc], query: Mapping[str, str]) -> Doc:
        page = paged(rows, query, ("Page", "Limit"), 100, 1000, Refused("Limit must be from 1 to 1000"))
        return {"Total": page.total, "Page": page.number, name: page.rows}
