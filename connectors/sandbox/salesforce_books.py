"""The records of an emulated Salesforce org: which fields an object has, what is refused, what is summed up.

Lengths and names of standard fields from the Object Reference, of the package's from published type files; error codes
from the REST guide ("Status Codes and Error Responses") and the SOAP guide's list of StatusCode.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from connectors.sandbox.base import Refusal, Response
from connectors.sandbox.shelf import Doc, Shelf
from connectors.sandbox.sums import exact, half_up, total


@dataclass(frozen=True)
class Field:
    """A field. `sums`: (line object, its fields) which the org adds up itself; then nobody may write it."""

    type: str = "string"
    length: int = 255
    scale: int = 2
    required: bool = False
    unique: bool = False
    to: str = ""
    values: tuple[str, ...] = ()
    label: str = ""
    sums: tuple[str, str, tuple[str, ...]] | None = None


def named(text: str) -> Field:
    return Field(length=255, required=True, label=text)


KEY = Field(unique=True)
DATE, MONEY, NUMBER = Field("date"), Field("currency"), Field("double", scale=4)
TAX_CODES = ("GB-VAT-20", "GB-VAT-5", "GB-VAT-0")
ADDRESS = {
    f"{kind}{part}": Field("textarea" if part == "Street" else "string", length)
    for kind in ("Billing", "Shipping")
    for part, length in (("Street", 255), ("City", 40), ("State", 80), ("PostalCode", 20), ("Country", 80))
}
AMOUNTS = {
    "Description__c": Field("textarea", 32_768),
    "Quantity__c": NUMBER,
    "Unit_Price__c": NUMBER,
    "Amount__c": MONEY,
    "Tax__c": MONEY,
    "Tax_Rate__c": NUMBER,
    "Tax_Code__c": Field("picklist", values=TAX_CODES, label="Tax Code"),
}
"""Of a line of an invoice or credit note."""
LINES = ("blng__InvoiceLine__c", "blng__Invoice__c")
SCHEMA: dict[str, dict[str, Field]] = {
    "Organization": {"Name": Field()},
    "TaxTreatment": {"Name": Field(), "IsTaxable": Field("boolean"), "Status": Field()},
    "Account": {"Name": named("Account Name"), **ADDRESS},
    "Contact": {
        "LastName": Field(length=80, required=True),
        "FirstName": Field(length=40),
        "Email": Field("email", 80),
        "Phone": Field("phone", 40),
        "AccountId": Field("reference", to="Account"),
        "Billhook_Key__c": KEY,
    },
    "Billhook_Invoice__c": {
        "Billhook_Key__c": KEY,
        "Order_Reference__c": KEY,
        "Account__c": Field("reference", to="Account", required=True),
        "Invoice_Date__c": DATE,
        "Due_Date__c": DATE,
        "Status__c": Field("picklist", values=("Draft", "Issued", "Paid", "Void"), required=True, label="Status"),
        "Net__c": MONEY,
        "Tax__c": MONEY,
        "Total__c": MONEY,
    },
    "Billhook_Invoice_Line__c": {
        "Invoice__c": Field("reference", to="Billhook_Invoice__c", required=True),
        **AMOUNTS,
    },
    "Billhook_Credit_Note__c": {
        "Billhook_Key__c": KEY,
        "Order_Reference__c": KEY,
        "Account__c": Field("reference", to="Account", required=True),
        "Invoice__c": Field("reference", to="Billhook_Invoice__c", required=True),
        "Invoice_Date__c": DATE,
        "Status__c": Field("picklist", values=("Draft", "Issued", "Paid", "Void"), required=True, label="Status"),
        "Net__c": MONEY,
        "Tax__c": MONEY,
        "Total__c": MONEY,
    },
    "Billhook_Credit_Note_Line__c": {
        "Credit_Note__c": Field("reference", to="Billhook_Credit_Note__c", required=True),
        **AMOUNTS,
    },
    "blng__Invoice__c": {
        "Billhook_Key__c": KEY,
        "Billhook_Reference__c": KEY,
        "blng__Account__c": Field("reference", to="Account", required=True),
        "blng__InvoiceDate__c": DATE,
        "blng__DueDate__c": DATE,
        "blng__InvoiceStatus__c": Field("picklist", values=("Draft", "Posted", "Rebilled"), label="Invoice Status"),
        "blng__Subtotal__c": Field("currency", sums=(*LINES, ("blng__Subtotal__c",))),
        "blng__TaxAmount__c": Field("currency", sums=(*LINES, ("blng__TaxAmount__c",))),
        "blng__TotalAmount__c": Field("currency", sums=(*LINES, ("blng__Subtotal__c", "blng__TaxAmount__c"))),
        "blng__Balance__c": Field("currency", sums=(*LINES, ("blng__Subtotal__c", "blng__TaxAmount__c"))),
    },
    "blng__InvoiceLine__c": {
        "blng__Invoice__c": Field("reference", to="blng__Invoice__c", required=True),
        "blng__Notes__c": Field("textarea", 32_768),
        "blng__Quantity__c": NUMBER,
        "blng__Subtotal__c": MONEY,
        "blng__TaxAmount__c": MONEY,
        "blng__TaxPercentageApplied__c": NUMBER,
    },
    "Invoice": {
        "InvoiceNumber": Field(),
        "InvoiceDate": DATE,
        "UniqueIdentifier": KEY,
        "Status": Field(),
        "BillingAccountId": Field("reference", to="Account"),
        "BillToContactId": Field("reference", to="Contact"),
        "TotalAmount": MONEY,
        "TotalTaxAmount": MONEY,
        "TotalAmountWithTax": MONEY,
        "Balance": MONEY,
    },
}
PREFIXES = {
    "Account": "001", "Contact": "003", "Invoice": "3tt", "Billhook_Invoice__c": "a0X", "Billhook_Invoice_Line__c":
    "a0Y", "Billhook_Credit_Note__c": "a0Z", "Billhook_Credit_Note_Line__c": "a0W",
    "blng__Invoice__c": "a1X", "blng__InvoiceLine__c": "a1Y",
}  # fmt: skip
READ_ONLY = ("Organization", "TaxTreatment", "Invoice")
CURRENCIES = ("GBP", "EUR", "USD", "JPY", "KWD")


class Refused(Refusal):
    """What the org says no to."""

    def __init__(self, code: str, message: str, *fields: str, status: int = 400) -> None:
        self.status, self.error = status, {"message": message, "errorCode": code, "fields": list(fields)}
        super().__init__(Response.json(status, [self.error]), message)


class Books:
    """All records. Corporate currency GBP, several currencies switched on."""

    def __init__(self, db: sqlite3.Connection, slug: str) -> None:
        self.shelf = Shelf(db, slug)
        self.shelf.put("Organization", "00D000000000001", {"Id": "00D000000000001", "Name": "Analytical Engines Org"})
        for number, name in ((1, "Standard VAT"), (2, "Reduced VAT")):
            ident = f"1tt00000000000{number}"
            doc = {"Id": ident, "Name": name, "IsTaxable": True, "Status": "Active"}
            self.shelf.put("TaxTreatment", ident, doc)

    def fields(self, kind: str) -> dict[str, Field]:
        if kind not in SCHEMA:
            raise Refused("NOT_FOUND", "The requested resource does not exist", status=404)
        return SCHEMA[kind]

    def get(self, kind: str, ident: str) -> Doc:
        found = self.shelf.get(kind, ident)
        if found is None:
            said = "Provided external ID field does not exist or is not accessible: " + ident
            raise Refused("NOT_FOUND", said, status=404)
        return self.summed(kind, found)

    def summed(self, kind: str, doc: Doc) -> Doc:
        """The record with what the org adds up."""
        for name, field in SCHEMA[kind].items():
            if field.sums:
                lines, parent, parts = field.sums
                below = self.shelf.all(lines, **{parent: doc["Id"]})
                doc[name] = total(exact(line.get(part)) for line in below for part in parts)
        return doc

    def all(self, kind: str) -> list[Doc]:
        return [self.summed(kind, doc) for doc in self.shelf.all(kind)]

    def insert(self, kind: str, given: Mapping[str, Any]) -> str:
        """A new record's id. Raises `Refused`."""
        fields = self.fields(kind)
        if kind in READ_ONLY:
            raise Refused("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type cannot be inserted: {kind}")
        missing = [name for name, field in fields.items() if field.required and given.get(name) in (None, "")]
        if missing:
            raise Refused("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", *missing)
        number = self.shelf.count(kind) + 1
        ident = f"{PREFIXES[kind]}Qy{number:010}AA"[:15]
        doc = {"Id": ident, "CurrencyIsoCode": "GBP"}
        doc |= {} if "Name" in fields else {"Name": f"INV-{number:05}"}
        self.shelf.put(kind, ident, doc | self._checked(kind, given, ident))
        return ident

    def update(self, kind: str, ident: str, given: Mapping[str, Any]) -> None:
        doc = self.shelf.get(kind, ident)
        if doc is None:
            raise Refused("NOT_FOUND", "The requested resource does not exist", status=404)
        self.shelf.put(kind, ident, doc | self._checked(kind, given, ident))

    def _checked(self, kind: str, given: Mapping[str, Any], ident: str) -> dict[str, Any]:
        fields, kept = SCHEMA[kind], {}
        for name, value in given.items():
            if name == "CurrencyIsoCode":
                if value not in CURRENCIES:
                    raise Refused("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", f"bad currency: {value}", name)
                kept[name] = value
                continue
            if name not in fields:
                raise Refused("INVALID_FIELD", f"No such column '{name}' on sobject of type {kind}")
            if fields[name].sums:
                said = f"Unable to create/update fields: {name}. Please check the security settings of this field"
                raise Refused("INVALID_FIELD_FOR_INSERT_UPDATE", said, name)
            kept[name] = self._value(name, fields[name], value)
            if fields[name].unique and value is not None:
                self._alone(kind, name, value, ident)
        return kept

    def _value(self, name: str, field: Field, value: Any) -> Any:
        if value is None:
            return None
        if field.type in {"currency", "double"}:
            try:
                return half_up(Decimal(value), field.scale)
            except (InvalidOperation, TypeError):
                raise Refused("JSON_PARSER_ERROR", f"Cannot deserialize {name} from {value!r}") from None
        if not isinstance(value, str):
            raise Refused("JSON_PARSER_ERROR", f"Cannot deserialize instance of {field.type} from {value!r}")
        if len(value) > field.length:
            said = f"{field.label or name}: data value too large: {value} (max length={field.length})"
            raise Refused("STRING_TOO_LONG", said, name)
        if field.values and value not in field.values:
            said = f"{field.label}: bad value for restricted picklist field: {value}"
            raise Refused("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", said, name)
        if field.to and self.shelf.get(field.to, value) is None:
            raise Refused("INVALID_CROSS_REFERENCE_KEY", f"invalid cross reference id: {value}", name)
        if field.type == "date" and date.fromisoformat(value).isoformat() != value:
            raise Refused("JSON_PARSER_ERROR", f"{value} is not a date")
        if field.type == "email" and "@" not in value:
            raise Refused("INVALID_EMAIL_ADDRESS", f"Email: invalid email address: {value}", name)
        return value

    def _alone(self, kind: str, name: str, value: str, ident: str) -> None:
        for other in self.shelf.all(kind, **{name: value}):
            if other["Id"] != ident:
                said = f"duplicate value found: {name} duplicates value on record with id: {other['Id']}"
                raise Refused("DUPLICATE_VALUE", said)

    def describe(self, kind: str) -> dict[str, Any]:
        """What is known of an object's fields."""
        shown = [
            {
                "name": name,
                "label": field.label or name,
                "type": field.type,
                "length": field.length,
                "scale": field.scale,
                "unique": field.unique,
                "externalId": field.unique,
                "nillable": not field.required,
                "createable": kind not in READ_ONLY and field.sums is None,
                "picklistValues": [{"value": one, "label": one, "active": True} for one in field.values],
            }
            for name, field in self.fields(kind).items()
        ]
        return {"name": kind, "createable": kind not in READ_ONLY, "fields": shown}
