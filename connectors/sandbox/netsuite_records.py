"""The records of an emulated NetSuite: customers, invoices and credit memos as the record service checks them; SuiteQL.

Field names from Oracle's REST API Browser 2026.1, messages as published in integrators' logs ("You have entered an
Invalid Field Value 53384 for the following field: customer."), lengths from the SuiteTalk schema browser. With
`taxDetailsOverride` tax is what the record states; else a tax engine, here: 20 % in Great Britain, half up a line.
A credit memo is applied to invoices by its sublist `apply`; what is due falls, and one of which nothing is left is of
the status B. The sign of its total in SuiteQL is not documented: here it is that of saved searches, negative.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from connectors.sandbox.base import Entry, Refusal, Response
from connectors.sandbox.shelf import Doc, Shelf
from connectors.sandbox.sums import exact, half_up, places, total

ADDRESS = {"addressee", "attention", "addr1", "addr2", "addr3", "addrPhone", "city", "state", "zip", "country"}
FIELDS: dict[str, set[str]] = {
    "customer": {
        "externalId", "companyName", "isPerson", "firstName", "lastName", "email", "phone", "subsidiary", "currency",
        "addressBook", "entityId", "terms", "comments",
    },
    "invoice": {
        "externalId", "entity", "subsidiary", "customForm", "currency", "tranDate", "dueDate", "terms", "otherRefNum",
        "memo", "email", "toBeEmailed", "billingAddress", "shippingAddress", "taxDetailsOverride", "item", "taxDetails",
        "location", "shipMethod", "shippingCost", "discountItem", "discountRate",
    },
    "creditMemo": {
        "externalId", "entity", "subsidiary", "customForm", "currency", "tranDate", "otherRefNum", "memo", "email",
        "toBeEmailed", "billingAddress", "shippingAddress", "taxDetailsOverride", "item", "taxDetails", "location",
        "autoApply", "apply", "createdFrom",
    },
    "apply": {"apply", "applyDate", "doc", "amount", "line"},
    "item": {"item", "description", "quantity", "rate", "amount", "location", "taxDetailsReference"},
    "taxDetails": {"taxDetailsReference", "taxType", "taxCode", "taxBasis", "taxRate", "taxAmount"},
}  # fmt: skip
LENGTHS = {"companyName": 83, "otherRefNum": 45, "memo": 999, "email": 254, "addressee": 83, "attention": 83}
REFS = {"entity": "customer", "subsidiary": "subsidiary", "currency": "currency", "terms": "term", "item": "item",
        "location": "location", "taxCode": "salesTaxItem"}  # fmt: skip
STANDING: dict[str, list[Doc]] = {
    "subsidiary": [{"id": "1", "name": "Engraver Holdings"}, {"id": "3", "name": "Engraver UK", "parent": "1"}],
    "currency": [
        {"id": "1", "name": "US Dollar", "symbol": "USD"},
        {"id": "2", "name": "British Pound", "symbol": "GBP"},
        {"id": "4", "name": "Euro", "symbol": "EUR"},
        {"id": "6", "name": "Yen", "symbol": "JPY"},
    ],
    "item": [{"id": "1501", "name": "PLQ-BR"}, {"id": "1502", "name": "TAG-ST"}, {"id": "1510", "name": "Web sale"},
             {"id": "1520", "name": "Shipping"}],
    "term": [{"id": "7", "name": "Net 14"}],
    "location": [{"id": "1", "name": "London"}],
    "taxType": [{"id": "13", "name": "UK VAT"}],
    "salesTaxItem": [
        {"id": "31", "name": "VAT:S-GB", "taxType": {"id": "13"}},
        {"id": "32", "name": "VAT:R-GB", "taxType": {"id": "13"}},
        {"id": "33", "name": "VAT:Z-GB", "taxType": {"id": "13"}},
    ],
}  # fmt: skip
STATUSES = {"A": "issued", "B": "paid", "D": "draft", "V": "void"}
COLUMNS = {
    "transaction": {
        "id": "id", "externalid": "externalId", "tranid": "tranId", "otherrefnum": "otherRefNum", "memo": "memo",
        "status": "status.id", "entity": "entity.id", "currency": "currency.id", "foreigntotal": "total",
        "foreignamountunpaid": "unpaid", "type": "type", "trandate": "tranDate",
    },
    "customer": {
        "id": "id", "externalid": "externalId", "companyname": "companyName", "email": "email",
        "currency": "currency.id", "isinactive": "isInactive",
    },
    "currency": {"id": "id", "name": "name", "symbol": "symbol", "isinactive": "isInactive"},
    "item": {"id": "id", "itemid": "name", "isinactive": "isInactive"},
    "subsidiary": {"id": "id", "name": "name", "parent": "parent"},
    "term": {"id": "id", "name": "name"},
    "location": {"id": "id", "name": "name"},
}  # fmt: skip
PLACES = {
    "isInactive": "coalesce(json_extract(doc, '$.isInactive'), 'F')",
    "total": "json_extract(doc, '$.total') * CASE kind WHEN 'creditMemo' THEN -1 ELSE 1 END",
    "unpaid": "CASE kind WHEN 'invoice' THEN json_extract(doc, '$.amountRemaining') END",
}
MADE = {"customer": 8420, "invoice": 90210, "creditMemo": 95500}
"""The first id of each kind of record that can be made."""


def problem(status: int, title: str, detail: str, code: str) -> Response:
    """The error object of REST web services."""
    kind = "https://www.w3.org/Protocols/rfc2616/rfc2616-sec10.html"
    body = {"type": kind, "title": title, "status": status, "o:errorDetails": [{"detail": detail, "o:errorCode": code}]}
    return Response.json(status, body)


class Refused(Refusal):
    """The record service says no: status, code and words."""

    def __init__(self, detail: str, code: str = "USER_ERROR", status: int = 400) -> None:
        super().__init__(problem(status, "Bad Request", detail, code), detail)
        self.detail, self.code, self.status = detail, code, status


def wrong(value: object, field: str) -> Refused:
    text = f"You have entered an Invalid Field Value {value} for the following field: {field.lower()}."
    return Refused(f"Error while accessing a resource. {text}")


class Records:
    """Customers, invoices, credit memos and the lists that they refer to. `clock` gives Unix seconds."""

    def __init__(self, db: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self.db, self.clock, self.shelf = db, clock, Shelf(db, "netsuite")
        db.create_function("TO_DATE", 2, _to_date, deterministic=True)
        for kind, docs in STANDING.items():
            for doc in docs:
                if self.shelf.get(kind, doc["id"]) is None:
                    self.shelf.put(kind, doc["id"], doc)
        for table, columns in COLUMNS.items():
            shown = (f"{PLACES.get(path, _at(path))} AS {name}" for name, path in columns.items())
            kinds = "'invoice', 'creditMemo'" if table == "transaction" else f"'{table}'"
            self.db.execute(
                f"CREATE VIEW IF NOT EXISTS netsuite_q_{table} AS SELECT {', '.join(shown)}"  # noqa: S608
                f" FROM netsuite_documents WHERE kind IN ({kinds})"
            )

    def by_external_id(self, kind: str, external_id: str) -> Doc | None:
        return next(iter(self.shelf.all(kind, externalId=external_id)), None)

    def create(self, kind: str, raw: Mapping[str, Any], strict: bool = True) -> str:
        """The new record's id. Raises `Refused`; without `strict` unknown fields are dropped, as NetSuite does."""
        doc = self._checked(kind, raw, strict)
        external_id = doc.get("externalId")
        if external_id and self.by_external_id(kind, external_id):
            raise Refused("Error while accessing a resource. This record already exists.")
        made = self._customer(doc) if kind == "customer" else self._transaction(kind, doc)
        ident = str(MADE[kind] + self.shelf.count(kind))
        self.shelf.put(kind, ident, {**made, "id": ident})
        return ident

    def _checked(self, kind: str, raw: Mapping[str, Any], strict: bool) -> Doc:
        """The fields that this kind of record has; what they refer to exists."""
        known = FIELDS.get(kind, ADDRESS)
        for name in raw:
            if name not in known and strict:
                raise Refused(f"Error while accessing a resource. Unknown property '{name}'.", "INVALID_CONTENT")
        doc = {name: value for name, value in raw.items() if name in known}
        for name, value in doc.items():
            if isinstance(value, str) and len(value) > LENGTHS.get(name, 4000):
                most = LENGTHS.get(name, 4000)
                raise Refused(f"The field {name.lower()} contained more than the maximum number ( {most} ) allowed.")
            if name in {"billingAddress", "shippingAddress"}:
                self._checked("address", value, strict)
            is_ref = isinstance(value, dict) and set(value) == {"id"}
            if is_ref and name in REFS and self.shelf.get(REFS[name], str(value["id"])) is None:
                raise wrong(value["id"], name)
        for name in ("item", "taxDetails", "apply"):
            if kind in {"invoice", "creditMemo"} and name in doc:
                doc[name] = {"items": [self._checked(name, line, strict) for line in doc[name]["items"]]}
        return doc

    def _customer(self, doc: Doc) -> Doc:
        if not (doc.get("companyName") or doc.get("lastName")):
            raise Refused("Error while accessing a resource. Please enter value(s) for: Company Name")
        if not doc.get("subsidiary"):
            raise Refused("Error while accessing a resource. Please enter value(s) for: Primary Subsidiary")
        return {"currency": {"id": "2"}, **doc, "entityId": doc.get("companyName")}

    def _transaction(self, kind: str, doc: Doc) -> Doc:
        """An invoice, or a credit memo that is applied at once."""
        today = datetime.fromtimestamp(self.clock(), UTC).date().isoformat()
        made = {"tranDate": today, **self._summed(doc)}
        if kind == "invoice":
            return {**made, "type": "CustInvc", "tranId": f"INV{3307 + self.shelf.count(kind)}"}
        applied = total(self._applied(made, line) for line in (doc.get("apply") or {"items": []})["items"])
        left = made["total"] - applied
        if left < 0:
            raise Refused(
                "Error while accessing a resource. You cannot apply more than your total payments and credits."
            )
        status = {"id": "A", "refName": "Open"} if left else {"id": "B", "refName": "Fully Applied"}
        state = {"status": status, "applied": applied, "amountRemaining": left}
        return {**made, **state, "type": "CustCred", "tranId": f"CM{120 + self.shelf.count(kind)}"}

    def _applied(self, memo: Doc, line: Doc) -> Decimal:
        """What a line of the sublist takes off an invoice. Raises `Refused`."""
        if not line.get("apply"):
            return Decimal(0)
        invoice = self.shelf.get("invoice", str((line.get("doc") or {}).get("id")))
        fits = invoice and all(invoice[name]["id"] == memo[name]["id"] for name in ("entity", "currency"))
        if not invoice or not fits or invoice["status"]["id"] != "A":
            raise wrong((line.get("doc") or {}).get("id"), "doc")
        due, amount = exact(invoice["amountRemaining"]), exact(line.get("amount"))
        if not 0 < amount <= due:
            raise wrong(amount, "amount")
        paid = {} if amount < due else {"status": {"id": "B", "refName": "Paid In Full"}}
        changed = {"amountRemaining": due - amount, "amountPaid": exact(invoice["amountPaid"]) + amount}
        self.shelf.put("invoice", invoice["id"], {**invoice, **changed, **paid})
        return amount

    def untied(self, kind: str, ident: str) -> None:
        """Raises `Refused` for an invoice to which a credit memo is applied: it cannot be deleted."""
        lines = (
            line for memo in self.shelf.all("creditMemo") for line in (memo.get("apply") or {"items": []})["items"]
        )
        if kind == "invoice" and any(line.get("apply") and line["doc"]["id"] == ident for line in lines):
            raise Refused("Error while accessing a resource. This record cannot be deleted: it has dependent records.")

    def _summed(self, doc: Doc) -> Doc:
        if not doc.get("entity"):
            raise Refused("Error while accessing a resource. Please enter value(s) for: Customer")
        customer = self.shelf.get("customer", str(doc["entity"]["id"])) or {}
        money = doc.get("currency") or customer["currency"]
        if money != customer["currency"]:
            raise wrong(money["id"], "currency")
        lines = (doc.get("item") or {}).get("items") or []
        if not lines:
            raise Refused("Error while accessing a resource. You must enter at least one line item.")
        symbol = str((self.shelf.get("currency", money["id"]) or {})["symbol"])
        for line in lines:
            if not line.get("item"):
                raise Refused("Error while accessing a resource. Please enter value(s) for: Item")
            given = line.get("amount")
            product = exact(line.get("quantity", 1)) * exact(line.get("rate"))
            line["amount"] = half_up(product if given is None else exact(given), places(symbol))
        return {**doc, "item": {"items": lines}, **self._sums(doc, lines, money, symbol, customer)}

    def _sums(self, doc: Doc, lines: list[Doc], money: Doc, symbol: str, customer: Doc) -> Doc:
        net = total(line["amount"] for line in lines)
        if doc.get("taxDetailsOverride"):
            tax = self._stated(doc, lines)
        else:
            rate = 20 if ((doc.get("billingAddress") or {}).get("country") or {}).get("id") == "GB" else 0
            tax = total(half_up(line["amount"] * rate / 100, places(symbol)) for line in lines)
        return {
            "currency": {**money, "refName": symbol}, "subtotal": net, "taxTotal": tax, "total": net + tax,
            "amountPaid": Decimal("0.0"), "amountRemaining": net + tax, "status": {"id": "A", "refName": "Open"},
            "entity": {**doc["entity"], "refName": customer.get("companyName")},
        }  # fmt: skip

    def _stated(self, doc: Doc, lines: list[Doc]) -> Decimal:
        """The sum of the tax details, which must speak of the lines: of each at least one."""
        details = (doc.get("taxDetails") or {}).get("items") or []
        marks = {line.get("taxDetailsReference") for line in lines}
        spoken = {str(detail["taxDetailsReference"]["id"]) for detail in details}
        if spoken - marks:
            raise wrong(min(spoken - marks), "taxdetailsreference")
        if marks - spoken:
            raise Refused("Error while accessing a resource. Please enter value(s) for: Tax Details")
        for detail in details:
            if self.shelf.get("taxType", str(detail.get("taxType"))) is None:
                raise wrong(detail.get("taxType"), "taxtype")
            if not detail.get("taxCode"):
                raise Refused("Error while accessing a resource. Please enter value(s) for: Tax Code")
        return total(exact(detail.get("taxAmount")) for detail in details)

    def query(self, statement: str, limit: int, offset: int) -> tuple[list[Doc], bool]:
        """Rows of a SELECT as SuiteQL shows them (every value a text, nothing for null), and whether there are more."""
        parts = statement.split("'")
        parts[::2] = [re.sub(r"(?i)\b(FROM|JOIN)\s+(\w+)", self._table, part) for part in parts[::2]]
        sql = "'".join(parts)
        if not sql.lstrip().upper().startswith("SELECT"):
            raise Refused("Invalid search query. Only SELECT statements are supported.")
        try:
            cursor = self.db.execute(f"SELECT * FROM ({sql}) LIMIT ? OFFSET ?", (limit + 1, offset))  # noqa: S608
        except sqlite3.Error as error:
            raise Refused(f"Invalid search query. Search error occurred: {error}.") from None
        names = [column[0].lower() for column in cursor.description]
        rows = [
            {name: _text(value) for name, value in zip(names, row, strict=True) if value is not None} for row in cursor
        ]
        return [{"links": [], **row} for row in rows[:limit]], len(rows) > limit

    @staticmethod
    def _table(found: re.Match[str]) -> str:
        table = found[2].lower()
        if table not in COLUMNS:
            raise Refused(f"Invalid search query. Search error occurred: Record '{table}' was not found.")
        return f"{found[1]} netsuite_q_{table}"

    def customers(self) -> list[tuple[str, str]]:
        living = [doc for doc in self.shelf.all("customer") if not doc.get("isInactive")]
        return [(doc.get("companyName") or doc["lastName"], doc.get("email", "")) for doc in living]

    def ledger(self, kind: str) -> list[Entry]:
        return [self._entry(doc) for doc in self.shelf.all(kind)]

    def _entry(self, doc: Doc) -> Entry:
        customer = self.shelf.get("customer", doc["entity"]["id"]) or {}
        lines = (
            f"{line.get('description')} × {line.get('quantity')} @ {line['rate']}" for line in doc["item"]["items"]
        )
        symbol = doc["currency"]["refName"]
        return Entry(
            id=doc["id"], reference=doc.get("otherRefNum", ""), key=doc.get("memo", ""),
            customer=customer.get("email") or customer.get("companyName", ""), lines=tuple(lines), currency=symbol,
            total=f"{doc['total']:.{places(symbol)}f}", status=STATUSES[doc["status"]["id"]],
        )  # fmt: skip


def _at(path: str) -> str:
    return f"json_extract(doc, '$.{path}')"


def _to_date(text: str, form: str) -> str:
    """Of SuiteQL's function the one form that is emulated."""
    if form != "YYYY-MM-DD":
        raise ValueError(form)
    return date.fromisoformat(text).isoformat()


def _text(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
