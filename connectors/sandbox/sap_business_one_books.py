"""The books of an emulated SAP Business One company: business partners, invoices, credit notes, keys; lists.

Property names from the live metadata of `/b1s/v2` (gregorwolf/sap-business-one-odata-cap). The company's own currency
is GBP; totals of a foreign one stand in the `…Fc` fields and need a rate. Tax: by a line's group, half up, on each line
or (`rounding`) once a group.
Texts of refusals as published by integrators, as far as they are ("This entry already exists in the following tables").
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from connectors.sandbox.base import Entry
from connectors.sandbox.odata import matching
from connectors.sandbox.sap_business_one_matching import Refused, reconcile
from connectors.sandbox.shelf import Doc, Shelf
from connectors.sandbox.sums import exact, half_up, total

LOCAL = "£"
RATES = {"£": Decimal(1), "EUR": Decimal("0.85"), "$": Decimal("0.8")}
GROUPS = {"O1": 20, "O2": 5, "O0": 0}
FREIGHT = {1: "Shipping", 2: "Packaging"}
PLACE = ("Street", "Block", "City", "ZipCode", "County", "State", "Country")
FIELDS: dict[str, set[str]] = {
    "BusinessPartners": {"CardCode", "CardName", "CardType", "EmailAddress", "Currency", "Phone1", "FederalTaxID",
                         "BPAddresses", "GroupCode", "Notes"},
    "Invoices": {"CardCode", "DocDate", "TaxDate", "DocDueDate", "DocCurrency", "NumAtCard", "U_BillhookRef",
                 "Comments", "DiscountPercent", "PaymentGroupCode", "Series", "AddressExtension", "DocumentLines",
                 "DocumentAdditionalExpenses"},
    "U_BILLHOOK_KEY": {"Code", "Name"},
    "InternalReconciliations": {"ReconDate", "CardOrAccount", "InternalReconciliationOpenTransRows"},
    "InternalReconciliationOpenTransRows": {"Selected", "ShortName", "TransId", "TransRowId", "SrcObjTyp", "SrcObjAbs",
                                            "CreditOrDebit", "ReconcileAmount", "CashDiscount"},
    "DocumentReferences": {"RefDocEntr", "RefObjType", "Remark"},
    "DocumentLines": {"ItemCode", "ItemDescription", "ItemDetails", "FreeText", "Quantity", "UnitPrice", "VatGroup",
                      "WarehouseCode"},
    "DocumentAdditionalExpenses": {"ExpenseCode", "LineTotal", "VatGroup", "Remarks"},
    "BPAddresses": {"AddressName", "AddressType", *PLACE},
    "AddressExtension": {prefix + name for prefix in ("BillTo", "ShipTo") for name in PLACE},
}  # fmt: skip
FIELDS["CreditNotes"] = {*FIELDS["Invoices"], "DocumentReferences"}
FIRST = {"Invoices": 4711, "CreditNotes": 880}
"""The first DocEntry of each kind of document."""
LENGTHS = {"CardCode": 15, "CardName": 100, "EmailAddress": 100, "NumAtCard": 100, "U_BillhookRef": 254, "Code": 50,
           "ItemDescription": 100, "Comments": 254, "Remarks": 100}  # fmt: skip
STANDING: dict[str, list[Doc]] = {
    "Currencies": [
        {"Code": "£", "Name": "Pound Sterling", "DocumentsCode": "GBP"},
        {"Code": "EUR", "Name": "Euro", "DocumentsCode": "EUR"},
        {"Code": "$", "Name": "US Dollar", "DocumentsCode": "USD"},
    ],
    "VatGroups": [
        {"Code": code, "Name": f"Output {rate} %", "Category": "bovcOutputTax", "Inactive": "tNO",
         "VatGroups_Lines": [{"Effectivefrom": "2011-01-04", "Rate": rate}]}
        for code, rate in GROUPS.items()
    ],
    "AdditionalExpenses": [{"ExpensCode": code, "Name": name} for code, name in FREIGHT.items()],
    "PaymentTermsTypes": [{"GroupNumber": 1, "PaymentTermsGroupName": "14 days"}],
    "Items": [
        {"ItemCode": code, "ItemName": name, "InventoryItem": "tNO", "SalesItem": "tYES"}
        for code, name in (("WEB", "Web sale"), ("PLQ-BR", "Brass plaque"), ("TAG-ST", "Steel tag"))
    ],
}  # fmt: skip
KEYS = {"Invoices": "DocEntry", "CreditNotes": "DocEntry", "BusinessPartners": "CardCode", "U_BILLHOOK_KEY": "Code",
        "InternalReconciliations": "ReconNum"}  # fmt: skip


class Books:
    """One company database. `clock` gives Unix seconds."""

    def __init__(self, db: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self.clock, self.shelf = clock, Shelf(db, "sap_business_one")
        self.rounding = "line"

    def one(self, collection: str, ident: str) -> Doc:
        return self.shelf.need(collection, ident, Refused(404, -2028, "No matching records found (ODBC -2028)"))

    def create(self, collection: str, raw: Any) -> Doc:
        """The new entity. Raises `Refused`."""
        _checked(collection, raw)
        if collection == "Invoices":
            return self._invoice(raw)
        if collection == "CreditNotes":
            return self._document("CreditNotes", raw)
        if collection == "InternalReconciliations":
            return reconcile(self.shelf, raw)
        ident = raw.get(KEYS[collection])
        if not ident:
            raise Refused(400, -5002, f"{KEYS[collection]} is missing")
        if self.shelf.get(collection, ident):
            table = "OCRD" if collection == "BusinessPartners" else "@BILLHOOK_KEY"
            text = f"This entry already exists in the following tables: '{table}' ({ident}) (ODBC -2035)"
            raise Refused(400, -2035, text)
        return self.shelf.put(collection, ident, {"Currency": LOCAL, **raw})

    def _invoice(self, raw: Doc) -> Doc:
        return self._document("Invoices", raw)

    def _document(self, collection: str, raw: Doc) -> Doc:
        for other in raw.get("DocumentReferences", []):
            if other.get("RefObjType") != "rot_SalesInvoice" or not self.shelf.get(
                "Invoices", str(other["RefDocEntr"])
            ):
                raise Refused(400, -5002, "Referenced document does not exist  [RIN21.RefDocEntr]")
        partner = self.shelf.get("BusinessPartners", str(raw.get("CardCode")))
        if partner is None or partner["CardType"] != "cCustomer":
            raise Refused(400, -5002, f"Invalid BP code '{raw.get('CardCode')}'  [OINV.CardCode]")
        code = raw.get("DocCurrency", LOCAL)
        if code not in RATES or partner["Currency"] not in {"##", code}:
            raise Refused(400, -5002, f"Update the exchange rate , '{code}'  [OINV.DocCur]")
        if not raw.get("DocumentLines"):
            raise Refused(400, -5002, "Document must contain at least one line  [OINV]")
        lines = [self._line(at, line) for at, line in enumerate(raw["DocumentLines"])]
        extras = [_expense(extra) for extra in raw.get("DocumentAdditionalExpenses", [])]
        tax = self._tax([*lines, *extras])
        amount = total(part["LineTotal"] for part in [*lines, *extras]) + tax
        entry = FIRST[collection] + self.shelf.count(collection)
        standing = {
            "DocDate": datetime.fromtimestamp(self.clock(), UTC).date().isoformat(),
            "TransNum": 20_000 + sum(map(self.shelf.count, FIRST)),
        }
        sums = {"DocTotal": half_up(amount * RATES[code]), "VatSum": half_up(tax * RATES[code]), "PaidToDate": 0}
        foreign = {"DocTotalFc": amount, "VatSumFc": tax} if code != LOCAL else {"DocTotalFc": 0, "VatSumFc": 0}
        doc = {
            **standing, **raw, "DocEntry": entry, "DocNum": entry + 95_527, "DocCurrency": code, "DocumentLines": lines,
            "DocumentAdditionalExpenses": extras, **sums, **foreign, "PaidToDateFC": 0, "DocumentStatus": "bost_Open",
            "CancelStatus": "csNo",
        }  # fmt: skip
        return self.shelf.put(collection, str(entry), doc)

    def _tax(self, parts: list[Doc]) -> Decimal:
        """Of each part, or of all parts of a tax group together."""
        exactly = [(part["VatGroup"], part["LineTotal"] * GROUPS[part["VatGroup"]] / 100) for part in parts]
        if self.rounding == "line":
            return total(half_up(tax) for _, tax in exactly)
        return total(half_up(total(tax for code, tax in exactly if code == group)) for group in GROUPS)

    def _line(self, at: int, line: Doc) -> Doc:
        if not any(item["ItemCode"] == line.get("ItemCode") for item in STANDING["Items"]):
            raise Refused(400, -5002, f"Item number is missing  [INV1.ItemCode][line: {at + 1}]")
        if line.get("VatGroup") not in GROUPS:
            raise Refused(400, -5002, f"Invalid tax group '{line.get('VatGroup')}'  [INV1.VatGroup][line: {at + 1}]")
        amount = half_up(exact(line.get("Quantity", 1)) * exact(line.get("UnitPrice")))
        return {"LineNum": at, **line, "LineTotal": amount}

    def cancel(self, ident: str) -> None:
        """Marks the invoice as cancelled and writes the document that cancels it."""
        doc = self.one("Invoices", ident)
        if doc["CancelStatus"] != "csNo" or doc["DocumentStatus"] != "bost_Open" or doc["PaidToDate"]:
            raise Refused(400, -5006, "The requested action is not supported for this object.")
        self.shelf.put("Invoices", ident, {**doc, "CancelStatus": "csYes", "DocumentStatus": "bost_Close"})
        entry = 4711 + self.shelf.count("Invoices")
        other = {**doc, "DocEntry": entry, "DocNum": entry + 95_527, "CancelStatus": "csCancellation"}
        self.shelf.put("Invoices", str(entry), {**other, "DocumentStatus": "bost_Close"})

    def listed(self, collection: str, condition: str, fold: bool = False) -> list[Doc]:
        docs = STANDING[collection] if collection in STANDING else self.shelf.all(collection)

        def same(name: str, held: Any, wanted: str) -> bool:
            held = "" if held is None else str(held)
            return bool(held.lower() == wanted.lower() if fold else held == wanted)

        def wrong(said: str) -> Refused:
            return Refused(400, -1, f"Query string error: {condition}")

        meets = matching(condition, same, wrong, operators={"eq", "ne", "ge"})
        return [doc for doc in docs if meets(doc)]

    def ledger(self, collection: str) -> list[Entry]:
        """Invoices or credit notes; not the documents that cancel others."""
        docs = [doc for doc in self.shelf.all(collection) if doc["CancelStatus"] != "csCancellation"]
        return [self._entry(doc) for doc in docs]

    def _entry(self, doc: Doc) -> Entry:
        partner = self.shelf.get("BusinessPartners", doc["CardCode"]) or {}
        lines = (
            f"{line.get('ItemDetails') or line.get('ItemDescription')} × {line.get('Quantity')} @ {line['UnitPrice']}"
            for line in doc["DocumentLines"]
        )
        state = {"bost_Open": "issued", "bost_Close": "paid"}[doc["DocumentStatus"]]
        codes = {currency["Code"]: currency["DocumentsCode"] for currency in STANDING["Currencies"]}
        return Entry(
            id=str(doc["DocEntry"]), reference=doc.get("NumAtCard", ""), key=doc.get("U_BillhookRef", ""),
            customer=partner.get("EmailAddress") or partner.get("CardName", ""), lines=tuple(lines),
            currency=codes[doc["DocCurrency"]], total=f"{Decimal(str(doc['DocTotalFc'] or doc['DocTotal'])):.2f}",
            status=state if doc["CancelStatus"] == "csNo" else "void",
        )  # fmt: skip


def _expense(extra: Doc) -> Doc:
    if extra.get("ExpenseCode") not in FREIGHT or extra.get("VatGroup") not in GROUPS:
        raise Refused(400, -5002, f"Invalid freight or tax group '{extra.get('VatGroup')}'  [INV3]")
    return {**extra, "LineTotal": half_up(exact(extra.get("LineTotal")))}


def _checked(kind: str, raw: Any) -> None:
    """Every property is known and fits, in what it holds too."""
    if not isinstance(raw, dict):
        raise Refused(400, -1, "Invalid JSON")
    for name, value in raw.items():
        if name not in FIELDS[kind]:
            raise Refused(400, -1000, f"Property '{name}' of '{kind}' is invalid")
        if isinstance(value, str) and len(value) > LENGTHS.get(name, 10**6):
            raise Refused(400, -1004, f"Value too long in property '{name}' of '{kind}'")
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                _checked(name, inner)
