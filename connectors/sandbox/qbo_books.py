"""The books of an emulated QuickBooks company: customers, vendors, items, tax codes, invoices and credit memos.

From the API reference (Invoice, Customer), "Manage sales tax for non-US locales" and "… for US locales", and Intuit's
blog on automated sales tax of 11 December 2017. Codes and messages as Intuit words them where they are published.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from connectors.sandbox import qbo_bodies as bodies
from connectors.sandbox import qbo_memos as credits
from connectors.sandbox.qbo_bodies import Invalid, check_address, check_length, missing
from connectors.sandbox.qbo_invoices import INVOICE_FIELDS, compose
from connectors.sandbox.qbo_query import parse
from connectors.sandbox.shelf import floats

CODES = {"6": ("20.0% S", "20", "11"), "5": ("5.0% R", "5", "13"), "3": ("0.0% Z", "0", "9"), "2": ("Exempt", "0", "7")}
"""Id to name, percent and id of the rate, as UK companies have them; ids differ in each."""
ITEMS = {"1": "Services", "21": "Brass plaque", "23": "Shipping", "24": "Discount"}
DEEPEST = 4
TABLES = """
CREATE TABLE IF NOT EXISTS {slug}_objects (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT, id TEXT, name TEXT,
    customer TEXT, day TEXT, active INTEGER, doc TEXT, UNIQUE (kind, id));
CREATE UNIQUE INDEX IF NOT EXISTS {slug}_names ON {slug}_objects (name)
    WHERE kind IN ('Customer', 'Vendor', 'Employee');
CREATE INDEX IF NOT EXISTS {slug}_named ON {slug}_objects (kind, name);
CREATE INDEX IF NOT EXISTS {slug}_of ON {slug}_objects (kind, customer, day);
"""
NAME_FIELDS = {
    "DisplayName": 500, "GivenName": 100, "MiddleName": 100, "FamilyName": 100, "CompanyName": 100, "Title": 16,
    "Suffix": 16, "PrintOnCheckName": 110, "PrimaryTaxIdentifier": 20, "Notes": 2000,
}  # fmt: skip
CUSTOMER_FIELDS = {
    *NAME_FIELDS, "PrimaryEmailAddr", "PrimaryPhone", "Mobile", "Fax", "WebAddr", "BillAddr", "ShipAddr", "CurrencyRef",
    "Active", "Job", "ParentRef", "BillWithParent", "Taxable", "PreferredDeliveryMethod", "SalesTermRef",
    "PaymentMethodRef", "Balance", "BalanceWithJobs", "FullyQualifiedName", "IsProject", "Level", "OpenBalanceDate",
    "ResaleNum",
}  # fmt: skip
FIELDS = {
    "Customer": CUSTOMER_FIELDS, "Vendor": CUSTOMER_FIELDS, "Invoice": INVOICE_FIELDS,
    "CreditMemo": credits.MEMO_FIELDS, "Payment": credits.PAYMENT_FIELDS,
}  # fmt: skip
"""Of what can be saved."""
COMMON = {"Id", "SyncToken", "sparse", "domain", "MetaData"}


class Books:
    """One company's objects, as JSON documents in `database`. `clock` gives Unix seconds.

    What the merchant has switched on: `custom_numbers`, `warns_of_duplicates` (of invoice numbers), `multicurrency`,
    `country` ("GB", or "US" with automated sales tax), `online_payments`, `applies_credits` (by itself, as they come).
    """

    def __init__(self, database: sqlite3.Connection, slug: str, clock: Callable[[], float]) -> None:
        self.db, self.objects, self.clock = database, f"{slug}_objects", clock
        self.custom_numbers = self.warns_of_duplicates = self.multicurrency = self.online_payments = True
        self.country, self.home = "GB", "GBP"
        self.applies_credits = False
        database.executescript(TABLES.format(slug=slug))
        for ident, name in ITEMS.items():
            self._standing("Item", ident, {"Name": name, "Type": "Service", "Taxable": True})
        for ident, (name, percent, rate) in CODES.items():
            listed = {"TaxRateDetail": [{"TaxRateRef": {"value": rate, "name": name}, "TaxOrder": 0}]}
            self._standing("TaxCode", ident, {"Name": name, "Taxable": True, "SalesTaxRateList": listed})
            self._standing("TaxRate", rate, {"Name": name, "RateValue": float(percent)})

    def _standing(self, kind: str, ident: str, doc: dict[str, Any]) -> None:
        whole = {"Id": ident, "SyncToken": "0", "Active": True, **doc}
        self.db.execute(
            f"INSERT OR IGNORE INTO {self.objects} (kind, id, name, active, doc) VALUES (?,?,?,1,?)",  # noqa: S608
            (kind, ident, doc["Name"].casefold(), json.dumps(whole)),
        )

    def get(self, kind: str, ident: str) -> dict[str, Any] | None:
        row = self.db.execute(
            f"SELECT doc FROM {self.objects} WHERE kind = ? AND id = ?",  # noqa: S608
            (kind, str(ident)),
        ).fetchone()
        return json.loads(row[0]) if row else None

    def need(self, kind: str, ident: str) -> dict[str, Any]:
        found = self.get(kind, ident)
        if found is None:
            detail = "Object Not Found : Something you're trying to use has been made inactive."
            raise Invalid("610", "Object Not Found", f"{detail} Check the fields with accounts, customers, items, …")
        return found

    def query(self, statement: str) -> dict[str, Any]:
        """The QueryResponse of a statement. Raises `Invalid`."""
        query = parse(statement)
        source = f"FROM {self.objects} WHERE {query.condition}"
        if query.counts:
            return {"totalCount": self.db.execute(f"SELECT count(*) {source}", query.values).fetchone()[0]}
        rows = self.db.execute(
            f"SELECT doc {source} ORDER BY {query.order} LIMIT ? OFFSET ?",
            [*query.values, query.most, query.start - 1],
        ).fetchall()
        if not rows:
            return {}
        return {
            query.entity: [json.loads(doc) for (doc,) in rows],
            "startPosition": query.start,
            "maxResults": len(rows),
        }

    # -- changes ---------------------------------------------------------------------------------------------------

    def save(self, kind: str, raw: Mapping[str, Any], *, allow_duplicates: bool = False) -> dict[str, Any]:
        """Creates an object, or changes the one of that Id under its current SyncToken. Raises `Invalid`."""
        if kind not in FIELDS:
            raise Invalid("500", "Unsupported Operation", f"Operation {kind} is not supported.")
        unknown = sorted(set(raw) - COMMON - FIELDS[kind])
        if unknown:
            text = "Request has invalid or unsupported property"
            raise Invalid("2010", text, f"Property Name:{unknown[0]} specified is unsupported or invalid")
        old = self._current(kind, raw) if raw.get("Id") else None
        given = {**(old or {}), **raw} if old and raw.get("sparse") else dict(raw)
        if kind in {"Invoice", "CreditMemo"}:
            self._number(kind, given, old, allow_duplicates)
        if kind == "Invoice":
            return self.store(kind, compose(self, given, old), old)
        if kind == "CreditMemo":
            return credits.memo(self, given, old)
        if kind == "Payment":
            return credits.payment(self, given, old)
        return self.store(kind, self._named(kind, given, old), old)

    def _current(self, kind: str, raw: Mapping[str, Any]) -> dict[str, Any]:
        old = self.need(kind, raw["Id"])
        if raw.get("SyncToken") is None:
            raise missing("SyncToken")
        if str(raw["SyncToken"]) != old["SyncToken"]:
            detail = "Stale Object Error : You and root were working on this at the same time. root finished before you"
            raise Invalid("5010", "Stale Object Error", f"{detail} did, so your work was not saved.")
        return old

    def void(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """All amounts and quantities become 0, and "Voided" is put before the note."""
        doc = old = self._current("Invoice", raw)
        credits.check_unlinked(old)
        note = "Voided" + (f" - {old['PrivateNote']}" if old.get("PrivateNote") else "")
        lines = []
        for line in old["Line"]:
            detail = line.get("SalesItemLineDetail")
            kept = {name: value for name, value in (detail or {}).items() if name != "UnitPrice"}
            lines.append({**line, "Amount": 0, **({"SalesItemLineDetail": {**kept, "Qty": 0}} if detail else {})})
        doc = {**old, "TotalAmt": 0, "Balance": 0, "Line": lines, "TxnTaxDetail": {"TotalTax": 0}, "PrivateNote": note}
        return self.store("Invoice", doc, old)

    def delete(self, kind: str, raw: Mapping[str, Any]) -> dict[str, Any]:
        old = self._current(kind, raw)
        credits.check_unlinked(old)
        self.db.execute(f"DELETE FROM {self.objects} WHERE kind = ? AND id = ?", (kind, old["Id"]))  # noqa: S608
        return {"domain": "QBO", "status": "Deleted", "Id": old["Id"]}

    def sent(self, ident: str, address: str | None) -> dict[str, Any]:
        """The invoice after it was mailed."""
        old = self.need("Invoice", ident)
        to = address or (old.get("BillEmail") or {}).get("Address")
        if not to:
            raise missing("BillEmail")
        delivery = {"DeliveryType": "Email", "DeliveryTime": bodies.moment(self.clock())}
        doc = {**old, "BillEmail": {"Address": to}, "EmailStatus": "EmailSent", "DeliveryInfo": delivery}
        return self.store("Invoice", doc, old)

    def store(self, kind: str, doc: dict[str, Any], old: Mapping[str, Any] | None) -> dict[str, Any]:
        """Keeps the object, as a new one or in place of `old`. Raises `Invalid` for a name that is taken."""
        now = bodies.moment(self.clock())
        made = (old or {}).get("MetaData", {}).get("CreateTime", now)
        ident = old["Id"] if old else str(self._next(kind))
        token = str(int(old["SyncToken"]) + 1) if old else "0"
        doc = floats(
            {**doc, "Id": ident, "SyncToken": token, "domain": "QBO", "sparse": False,
             "MetaData": {"CreateTime": made, "LastUpdatedTime": now}}
        )  # fmt: skip
        row = (
            doc.get("DisplayName") or doc.get("DocNumber") or "",
            doc.get("CustomerRef", {}).get("value"), doc.get("TxnDate"), int(doc.get("Active", True)),
        )  # fmt: skip
        values = (row[0].casefold(), *row[1:], json.dumps(doc), kind, ident)
        columns = "(name, customer, day, active, doc, kind, id)"
        insert = f"INSERT INTO {self.objects} {columns} VALUES (?,?,?,?,?,?,?)"  # noqa: S608
        update = f"UPDATE {self.objects} SET name=?, customer=?, day=?, active=?, doc=? WHERE kind=? AND id=?"  # noqa: S608
        try:
            self.db.execute(update if old else insert, values)
        except sqlite3.IntegrityError:
            detail = (
                "The name supplied already exists. : Another customer, vendor or employee is already using this name."
            )
            raise Invalid("6240", "Duplicate Name Exists Error", f"{detail} Please use a different name.") from None
        return doc

    def _next(self, kind: str) -> int:
        found = self.db.execute(
            f"SELECT max(CAST(id AS INTEGER)) FROM {self.objects} WHERE kind = ?",  # noqa: S608
            (kind,),
        ).fetchone()
        return max(57, found[0] or 0) + 1

    # -- rules -----------------------------------------------------------------------------------------------------

    def _named(self, kind: str, given: dict[str, Any], old: Mapping[str, Any] | None) -> dict[str, Any]:
        """A customer or vendor."""
        parts = [given.get(name) for name in ("Title", "GivenName", "MiddleName", "FamilyName", "Suffix")]
        name = given.get("DisplayName") or " ".join(part for part in parts if part)
        if not name.strip():
            raise missing("DisplayName")
        for field, most in NAME_FIELDS.items():
            check_length(field, given.get(field), most)
            if field.endswith("Name") and re.search(r"[:\t\n]", given.get(field) or ""):
                detail = f"Property Name:{field} cannot contain colon, tab or newline"
                raise Invalid("2040", "Request has invalid characters", detail)
        email = (given.get("PrimaryEmailAddr") or {}).get("Address")
        if email is not None:
            check_length("PrimaryEmailAddr.Address", email, 100)
            if not re.fullmatch(r"[^@\s]+@[^@\s]*\.[^@\s]*", email):
                raise Invalid("2210", "Invalid Email Address format", "Invalid Email Address format : email address")
        for field in ("BillAddr", "ShipAddr"):
            check_address(field, given.get(field))
        doc = {"Active": True, **given, "DisplayName": name, "FullyQualifiedName": name}
        if kind == "Customer":
            self._currency_of_customer(doc, old)
            doc |= {"Balance": 0, "BalanceWithJobs": 0, "Job": bool(given.get("Job")), **self._place(doc)}
        if doc["Active"] is False and not name.endswith("(deleted)"):
            doc["DisplayName"] = f"{name} (deleted)"
        return doc

    def _place(self, doc: Mapping[str, Any]) -> dict[str, Any]:
        """Where a customer stands: a job is below another customer, in its currency, at most four levels below it."""
        above = (doc.get("ParentRef") or {}).get("value")
        if not above:
            if doc.get("Job"):
                raise missing("ParentRef")
            return {}
        parent = self.get("Customer", above)
        if parent is None:
            raise bodies.bad_reference("Customer", above)
        if parent.get("CurrencyRef") != doc.get("CurrencyRef"):
            raise bodies.broken_rule("The currency of a job must be the currency of its parent")
        level = parent.get("Level", 0) + 1
        if level > DEEPEST:
            raise bodies.broken_rule("Too many levels of sub-customers")
        name = f"{parent['FullyQualifiedName']}:{doc['DisplayName']}"
        return {"Level": level, "FullyQualifiedName": name, "IsProject": False}

    def _currency_of_customer(self, doc: dict[str, Any], old: Mapping[str, Any] | None) -> None:
        wanted = (doc.get("CurrencyRef") or {}).get("value", self.home)
        if old and wanted != (old.get("CurrencyRef") or {}).get("value", self.home):
            raise bodies.broken_rule("The currency of a customer cannot be changed")
        if not self.multicurrency and wanted != self.home:
            raise bodies.broken_rule("Multicurrency is not enabled for this company")
        if self.multicurrency:
            doc["CurrencyRef"] = {"value": wanted}

    def _number(self, kind: str, given: dict[str, Any], old: Mapping[str, Any] | None, allow_duplicates: bool) -> None:
        """Without custom numbers the company counts by itself, whatever is sent."""
        if not self.custom_numbers and old is None:
            given["DocNumber"] = str(self._next(kind) + 979)
        number = given.get("DocNumber")
        check_length("DocNumber", number, 21)
        if number and self.warns_of_duplicates and not allow_duplicates:
            others = self.db.execute(
                f"SELECT doc FROM {self.objects} WHERE kind = ? AND name = ?",  # noqa: S608
                (kind, number.casefold()),
            )
            docs = [json.loads(doc) for (doc,) in others]
            if any(doc["DocNumber"] == number and doc["Id"] != (old or {}).get("Id") for doc in docs):
                detail = f"Duplicate Document Number Error : You must specify a different number. This number: {number}"
                raise Invalid("6140", "Duplicate Document Number Error", f"{detail} has already been used.")
