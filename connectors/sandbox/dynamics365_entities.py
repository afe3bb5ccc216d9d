"""A legal entity of an emulated Finance & Operations: customers and free text invoices as data entities over OData.

Fields from recorded answers (CustomersV3, FreeTextInvoiceHeaders, FreeTextInvoiceLines); tax is rounded on each line.
Posting is a custom service of the merchant's: this entity has one, `Billhook/Invoices/post`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from connectors.sandbox.base import Entry
from connectors.sandbox.dynamics365_answers import Invalid, unfiltered
from connectors.sandbox.odata import matching
from connectors.sandbox.shelf import Shelf
from connectors.sandbox.sums import exact, half_up, places, total

AREA = "gbsi"
GROUPS, TAX_GROUPS = {"RETAIL"}, {"UK-DOM": "UK domestic"}
RATES = {"FULL": Decimal(20), "RED": Decimal(5), "ZERO": Decimal(0)}
ACCOUNTS = {"401100": "Sales", "401200": "Freight", "618900": "Rounding"}
CURRENCIES = {"GBP", "EUR", "USD", "JPY", "KWD"}
SERVICE = "/api/services/Billhook/Invoices/post"
FIRST = 5637145331
CUSTOMER = {
    "dataAreaId", "CustomerAccount", "OrganizationName", "PartyType", "CustomerGroupId", "SalesCurrencyCode",
    "SalesTaxGroup", "PaymentTerms", "PrimaryContactEmail", "PrimaryContactPhone", "TaxExemptNumber", "AddressStreet",
    "AddressCity", "AddressState", "AddressZipCode", "AddressCountryRegionId",
}  # fmt: skip
HEADER = {
    "dataAreaId", "CustomerAccount", "InvoiceAccount", "InvoiceDate", "DueDate", "CurrencyCode", "TermsOfPayment",
    "CustomerReference", "CustomerRequisition", "ExternalInvoiceId", "InclTax", "SalesTaxGroupId",
}  # fmt: skip
LINE = {
    "dataAreaId", "ParentRecId", "LineNumber", "Description", "InvoiceText", "Quantity", "UnitPrice",
    "TransactionCurrencyAmount", "MainAccountDisplayValue", "SalesTaxGroupId", "SalesTaxItemGroupId",
}  # fmt: skip
LENGTHS = {"CustomerReference": 60, "ExternalInvoiceId": 60, "Description": 60, "OrganizationName": 100}
KINDS = {"CustomersV3": "account", "FreeTextInvoiceHeaders": "header", "FreeTextInvoiceLines": "line"}


def refused(message: str) -> Invalid:
    """As a failed write is told."""
    return Invalid(400, "", f"Write failed for table row. Infolog: Error: {message}")


def _check(given: Mapping[str, Any], known: set[str], what: str) -> None:
    for name, value in given.items():
        if name not in known:
            said = f"The property '{name}' does not exist on type 'Microsoft.Dynamics.DataEntities.{what}'."
            raise Invalid(400, "", f"{said} Make sure to only use property names that are defined by the type.")
        if name in LENGTHS and len(value) > LENGTHS[name]:
            raise refused(f"{name} has more than {LENGTHS[name]} characters")
    if given.get("dataAreaId") != AREA:
        raise refused(f"Company {given.get('dataAreaId')} does not exist")


def _related(value: object, table: object, what: str) -> None:
    if value not in table:  # type: ignore[operator]
        raise refused(f"The value '{value}' in field '{what}' is not found in the related table '{what}'")


class Entity:
    """One legal entity's rows on a shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def rows(self, name: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Only with cross-company=true: our user's default company is another one."""
        standing = {
            "MainAccounts": [{"MainAccountId": each, "Name": said} for each, said in ACCOUNTS.items()],
            "TaxGroups": [{"dataAreaId": AREA, "TaxGroupCode": c, "Description": d} for c, d in TAX_GROUPS.items()],
            "TaxItemGroups": [
                {"dataAreaId": AREA, "TaxItemGroupCode": code, "Description": f"{rate} %"}
                for code, rate in RATES.items()
            ],
            "LegalEntities": [{"LegalEntityId": AREA, "Name": "Contoso UK Ltd"}],
        }
        if name not in KINDS and name not in standing:
            raise Invalid(404, "", f"No HTTP resource was found that matches '{name}'.")
        found = standing[name] if name in standing else self.shelf.all(KINDS[name])
        if query.get("cross-company") != "true":
            found = [row for row in found if "dataAreaId" not in row]
        inside = matching(query.get("$filter"), _same, unfiltered, operators={"eq", "ge"})
        return [row for row in found if inside(row)]

    def need(self, ident: str) -> dict[str, Any]:
        return self.shelf.need("header", ident, Invalid(404, "", f"The free text invoice {ident} does not exist"))

    def create(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Raises `Invalid`."""
        if name not in KINDS:
            raise Invalid(404, "", f"No HTTP resource was found that matches '{name}'.")
        return {"account": self._customer, "header": self._header, "line": self._line}[KINDS[name]](given)

    def _customer(self, given: Mapping[str, Any]) -> dict[str, Any]:
        _check(given, CUSTOMER, "CustomerV3")
        _related(given.get("CustomerGroupId"), GROUPS, "Customer group")
        _related(given.get("SalesCurrencyCode"), CURRENCIES, "Currency")
        if not given.get("OrganizationName"):
            raise refused("Field 'Name' must be filled in.")
        account = f"GBSI-{self.shelf.count('account') + 120:06}"
        blank = dict.fromkeys(CUSTOMER, "")
        return self.shelf.put("account", account, {**blank, **given, "CustomerAccount": account})

    def _header(self, given: Mapping[str, Any]) -> dict[str, Any]:
        _check(given, HEADER, "FreeTextInvoiceHeader")
        if self.shelf.get("account", str(given.get("CustomerAccount"))) is None:
            raise refused(f"Customer account {given.get('CustomerAccount')} does not exist")
        _related(given.get("CurrencyCode"), CURRENCIES, "Currency")
        _related(given.get("SalesTaxGroupId"), TAX_GROUPS, "Sales tax group")
        if not re.fullmatch(r"\d{4}-\d\d-\d\d(T12:00:00Z)?", str(given.get("InvoiceDate"))):
            raise refused("Cannot convert the literal to the expected type 'Edm.DateTimeOffset'.")
        ident = FIRST + self.shelf.count("header")
        blank = dict.fromkeys(HEADER, "") | {"IsCorrection": "No", "CorrectedInvoiceId": ""}
        noon = f"{given['InvoiceDate'][:10]}T12:00:00Z"  # as dates come back
        state = {"InvoiceIdentifier": ident, "FreeTextNumber": "Not posted", "IsPosted": "No", "InvoiceDate": noon}
        return self.shelf.put("header", str(ident), {**blank, **given, **state})

    def _line(self, given: Mapping[str, Any]) -> dict[str, Any]:
        _check(given, LINE, "FreeTextInvoiceLine")
        head = self.need(str(given.get("ParentRecId")))
        if head["IsPosted"] == "Yes":
            raise refused("The invoice is posted and cannot be changed")
        _related(given.get("MainAccountDisplayValue"), ACCOUNTS, "Main account")
        _related(given.get("SalesTaxItemGroupId"), RATES, "Item sales tax group")
        decimals = places(head["CurrencyCode"])
        amount = exact(given.get("TransactionCurrencyAmount"))
        if half_up(exact(given.get("Quantity")) * exact(given.get("UnitPrice")), decimals) != amount:
            raise refused("The amount is not quantity times unit price")
        name = f"{given['ParentRecId']}/{given['LineNumber']}"
        if self.shelf.get("line", name) is not None:
            raise refused("The record already exists.")
        tax = half_up(amount * RATES[given["SalesTaxItemGroupId"]] / 100, decimals)
        return self.shelf.put("line", name, {**given, "SalesTaxAmount": tax})

    def lines(self, ident: int) -> list[dict[str, Any]]:
        return self.shelf.all("line", ParentRecId=ident)

    def post(self, given: Mapping[str, Any]) -> str:
        """The merchant's service: gives the number."""
        head = self.need(str(given.get("invoiceIdentifier")))
        if head["IsPosted"] == "Yes" or not self.lines(head["InvoiceIdentifier"]):
            raise Invalid(500, "", "An exception occured when invoking the operation - post: nothing to post")
        number = f"FTI-{head['InvoiceIdentifier'] - FIRST + 1:08}"
        changed = {**head, "IsPosted": "Yes", "FreeTextNumber": number}
        self.shelf.put("header", str(head["InvoiceIdentifier"]), changed)
        return number

    def correct(self, ident: str) -> None:
        """A person cancels a posted invoice in the client."""
        head = self.need(ident)
        number = str(FIRST + self.shelf.count("header"))
        about = {"IsCorrection": "Yes", "CorrectedInvoiceId": head["FreeTextNumber"], "FreeTextNumber": f"C-{number}"}
        self.shelf.put("header", number, {**head, **about, "InvoiceIdentifier": int(number)})

    def customers(self) -> list[tuple[str, str]]:
        return [(doc["OrganizationName"], doc["PrimaryContactEmail"]) for doc in self.shelf.all("account")]

    def ledger(self) -> list[Entry]:
        heads = self.shelf.all("header")
        corrected = {head["CorrectedInvoiceId"] for head in heads} - {""}
        entries = []
        for head in (head for head in heads if not head["CorrectedInvoiceId"]):
            rows, decimals = self.lines(head["InvoiceIdentifier"]), places(head["CurrencyCode"])
            customer = self.shelf.get("account", head["CustomerAccount"]) or {}
            amount = total(exact(row["TransactionCurrencyAmount"]) + exact(row["SalesTaxAmount"]) for row in rows)
            posted = "issued" if head["IsPosted"] == "Yes" else "draft"
            entries.append(
                Entry(
                    id=str(head["InvoiceIdentifier"]), reference=head["CustomerReference"],
                    key=head["ExternalInvoiceId"],
                    customer=customer["PrimaryContactEmail"] or customer["OrganizationName"],
                    lines=tuple(f"{x['InvoiceText']} × {exact(x['Quantity']):f} @ {x['UnitPrice']}" for x in rows),
                    currency=head["CurrencyCode"], total=f"{amount:.{decimals}f}",
                    status="void" if head["FreeTextNumber"] in corrected else posted,
                )
            )  # fmt: skip
        return entries


def _same(field: str, held: Any, wanted: str) -> bool:
    """Regardless of case; * stands for anything."""
    pattern = ".*".join(re.escape(part) for part in wanted.split("*"))
    return re.fullmatch(pattern, str(held), re.IGNORECASE | re.DOTALL) is not None
