"""A company of an emulated Business Central: customers and sales invoices with their lines, as API v2.0 shows them.

An invoice of which a part is applied cannot be cancelled ("Correct Posted Sales Invoice", microsoft/BCApps).

Properties and read-only ones from the pages of salesInvoice, salesInvoiceLine and customer; messages from the
error codes of its web services; lengths of texts from the tables of the base application. VAT is rounded once for each
tax group.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from uuid import uuid4

from connectors.sandbox.base import Entry
from connectors.sandbox.dynamics365_answers import Invalid, unfiltered
from connectors.sandbox.odata import matching
from connectors.sandbox.shelf import Shelf
from connectors.sandbox.sums import exact, half_up, places, total

RATES = {"VAT20": Decimal(20), "VAT5": Decimal(5), "VAT0": Decimal(0)}
ACCOUNTS = {"40400": "Sales, goods", "40410": "Shipping income", "80990": "Rounding"}
ITEMS = {"1928-S": "Brass plaque"}
CURRENCIES = {"GBP", "EUR", "USD", "JPY", "KWD"}
LENGTHS = {
    "displayName": 100, "addressLine1": 100, "addressLine2": 50, "city": 30, "state": 30, "postalCode": 20,
    "postCode": 20, "country": 10, "phoneNumber": 30, "email": 80, "taxRegistrationNumber": 20,
    "externalDocumentNumber": 35, "customerPurchaseOrderReference": 35, "description": 100, "taxCode": 20,
}  # fmt: skip
PLACE = ("AddressLine1", "AddressLine2", "City", "State", "PostCode", "Country")
CUSTOMER = {
    "number", "displayName", "type", "addressLine1", "addressLine2", "city", "state", "country", "postalCode",
    "phoneNumber", "email", "website", "taxLiable", "taxRegistrationNumber", "currencyCode", "blocked",
}  # fmt: skip
INVOICE = {
    "number", "externalDocumentNumber", "invoiceDate", "postingDate", "dueDate", "customerPurchaseOrderReference",
    "customerId", "customerNumber", "shipToName", "shipToContact", "currencyCode", "discountAmount", "phoneNumber",
    "email", "salesInvoiceLines", *(side + part for side in ("sellTo", "shipTo", "billTo") for part in PLACE),
}  # fmt: skip
LINE = {
    "lineType", "lineObjectNumber", "description", "description2", "quantity", "unitPrice", "discountAmount",
    "discountPercent", "taxCode", "itemId", "accountId",
}  # fmt: skip
READ_ONLY = {"pricesIncludeTax", "totalTaxAmount", "totalAmountIncludingTax", "totalAmountExcludingTax", "taxPercent"}


def check(given: Mapping[str, Any], known: set[str], what: str) -> None:
    """Raises `Invalid` for a property that is unknown or read-only, and for a text that is too long."""
    for name, value in given.items():
        if name in READ_ONLY:
            raise Invalid(400, "BadRequest_InvalidOperation", f"Control '{name}' is read-only")
        if name not in known:
            said = f"The property '{name}' does not exist on type 'Microsoft.NAV.{what}'."
            raise Invalid(
                400, "BadRequest", f"{said} Make sure to only use property names that are defined by the type."
            )
        part = re.sub(r"^(sellTo|shipTo|billTo)", "", name)
        most = LENGTHS.get(part[0].lower() + part[1:])
        if most and isinstance(value, str) and len(value) > most:
            said = f"The length of the string is {len(value)}, but it must be less than or equal to {most} characters."
            raise Invalid(400, "Application_StringExceededLength", f"{said} Value: {value}")


def not_related(field: str, table: str, value: object, related: str) -> Invalid:
    said = f"The field {field} of table {table} contains a value ({value}) that cannot be found in the related table"
    return Invalid(400, "Internal_InvalidTableRelation", f"{said} ({related}).")


class Company:
    """One company's books on a shelf."""

    def __init__(self, shelf: Shelf, mail: Callable[[str, str], None], today: Callable[[], str]) -> None:
        self.shelf, self.mail, self.today = shelf, mail, today

    # -- reading ---------------------------------------------------------------------------------------------------

    def rows(self, name: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        kinds = {"customers": "customer", "salesInvoices": "invoice", "salesCreditMemos": "memo"}
        if name in kinds:
            found = self.shelf.all(kinds[name])
        elif name == "accounts":
            found = [
                {"number": number, "displayName": said, "accountType": "Posting", "directPosting": True}
                for number, said in ACCOUNTS.items()
            ]
        elif name == "taxGroups":
            found = [{"code": code, "displayName": f"{rate} %", "taxType": "VAT"} for code, rate in RATES.items()]
        else:
            raise Invalid(404, "BadRequest_ResourceNotFound", f"Resource not found for the segment '{name}'.")
        inside = matching(query.get("$filter"), _same, unfiltered, operators={"eq", "ge"}, one_field=True)
        return [self.shown(row, query) for row in found if inside(row)]

    def need(self, ident: str) -> dict[str, Any]:
        said = f"The Sales Invoice Entity Aggregate does not exist. Identification fields and values: Id='{ident}'"
        return self.shelf.need("invoice", ident, Invalid(404, "Internal_RecordNotFound", said))

    @staticmethod
    def shown(doc: Mapping[str, Any], query: Mapping[str, str]) -> dict[str, Any]:
        """Lines only where they are asked for."""
        hidden = {"salesInvoiceLines", "salesCreditMemoLines"} - {query.get("$expand")}
        return {name: value for name, value in doc.items() if name not in hidden}

    # -- changes ---------------------------------------------------------------------------------------------------

    def create_customer(self, given: Mapping[str, Any]) -> dict[str, Any]:
        check(given, CUSTOMER, "customer")
        if not given.get("displayName"):
            raise Invalid(400, "BadRequest_RequiredParamNotProvided", "Field 'displayName' must not be blank or empty.")
        number = f"C{self.shelf.count('customer') + 120:05}"
        blank = dict.fromkeys(CUSTOMER - {"taxLiable"}, "")
        return self.shelf.put("customer", number, {**blank, **given, "id": str(uuid4()), "number": number})

    def create_invoice(self, given: Mapping[str, Any]) -> dict[str, Any]:
        doc = self.composed(given, INVOICE, "salesInvoice", "salesInvoiceLines")
        doc |= {
            "number": f"S-INV{self.shelf.count('invoice') + 102001}", "remainingAmount": doc["totalAmountIncludingTax"],
            "invoiceDate": given.get("invoiceDate") or self.today(),
        }  # fmt: skip
        return self.shelf.put("invoice", doc["id"], doc)

    def composed(self, given: Mapping[str, Any], known: set[str], what: str, lines: str) -> dict[str, Any]:
        """A draft with its lines and sums, without number and date: what invoices and credit memos share. Raises
        `Invalid`."""
        check(given, known, what)
        number = given.get("customerNumber")
        if not number:
            raise Invalid(400, "Application_DialogException", "A customerNumber or a customerID must be provided.")
        customer = self.shelf.get("customer", str(number))
        if customer is None:
            raise not_related("Sell-to Customer No.", "Sales Header", number, "Customer")
        if (currency := given.get("currencyCode") or "GBP") not in CURRENCIES:
            raise not_related("Currency Code", "Sales Header", currency, "Currency")
        made = [_line(raw, places(currency)) for raw in given.get(lines) or ()]
        blank = {name: "" for name in known if name != "discountAmount"}
        sums = _sums(made, places(currency))
        return {
            **blank, **given, "id": str(uuid4()),
            "externalDocumentNumber": str(given.get("externalDocumentNumber", "")).strip().upper(),
            "customerId": customer["id"], "customerName": customer["displayName"], "currencyCode": currency,
            "discountAmount": 0, "pricesIncludeTax": False, "status": "Draft",
            "email": given.get("email") or customer["email"], **sums,
            lines: [{**line, "sequence": 10000 * n} for n, line in enumerate(made, 1)],
        }  # fmt: skip

    def act(self, ident: str, action: str) -> None:
        """A bound action. Raises `Invalid` where the status does not allow it."""
        doc = self.need(ident)
        allowed = {"post": "Draft", "send": "Open", "cancel": "Open"}
        if action not in allowed:
            raise Invalid(404, "BadRequest_NotFound", f"No action {action}")
        if doc["status"] != allowed[action]:
            raise Invalid(
                400, "Application_DialogException", f"The invoice is {doc['status']}: {action} is not possible."
            )
        if action == "post":
            if not any(line["quantity"] for line in doc["salesInvoiceLines"]):
                raise Invalid(400, "Application_DialogException", "There is nothing to post.")
            if exact(doc["totalAmountIncludingTax"]) < 0:
                raise Invalid(400, "Application_FieldValidationException", "Amount must be positive in Sales Header")
            self._change(doc, status="Open", number=f"PS-INV{doc['number'][5:]}")
        elif action == "cancel" and doc["remainingAmount"] != doc["totalAmountIncludingTax"]:
            said = "You cannot cancel this posted sales invoice because it is fully or partially paid."
            raise Invalid(400, "Application_DialogException", said)
        elif action == "cancel":
            self._change(doc, status="Canceled", remainingAmount=0)
        elif not doc["email"]:
            raise Invalid(400, "Application_DialogException", "The customer has no e-mail address.")
        else:
            self.mail(ident, doc["email"])

    def _change(self, doc: Mapping[str, Any], **fields: Any) -> None:
        self.shelf.put("invoice", str(doc["id"]), {**doc, **fields})

    def delete(self, ident: str, match: str | None) -> None:
        if match is None:
            raise Invalid(400, "BadRequest_InvalidToken", "Could not validate the client concurrency token required.")
        if self.need(ident)["status"] != "Draft":
            raise Invalid(400, "Application_DialogException", "A posted invoice cannot be deleted.")
        self.shelf.drop("invoice", ident)

    def customers(self) -> list[tuple[str, str]]:
        return [(doc["displayName"], doc["email"]) for doc in self.shelf.all("customer")]

    def ledger(self) -> list[Entry]:
        return self.entries("invoice", "salesInvoiceLines")

    def entries(self, kind: str, rows: str) -> list[Entry]:
        """The documents of a kind, as a stranger sees them."""
        states = {"Draft": "draft", "Open": "issued", "Paid": "paid", "Canceled": "void"}
        entries = []
        for doc in self.shelf.all(kind):
            lines = [line for line in doc[rows] if line["lineType"] != "Comment"]
            comments = " ".join(line["description"] for line in doc[rows] if line not in lines)
            customer = self.shelf.get("customer", doc["customerNumber"]) or {}
            entries.append(
                Entry(
                    id=doc["id"], reference=doc["externalDocumentNumber"], key=comments,
                    customer=customer["email"] or customer["displayName"],
                    lines=tuple(f"{x['description']} × {exact(x['quantity']):f} @ {x['unitPrice']}" for x in lines),
                    currency=doc["currencyCode"],
                    total=f"{exact(doc['totalAmountIncludingTax']):.{places(doc['currencyCode'])}f}",
                    status=states[doc["status"]],
                )
            )  # fmt: skip
        return entries


def _same(field: str, held: Any, wanted: str) -> bool:
    """Code fields regardless of case, others exactly."""
    if field == "externalDocumentNumber":
        return str(held) == wanted.strip().upper()
    return str(held) == wanted


def _line(raw: Mapping[str, Any], decimals: int) -> dict[str, Any]:
    check(raw, LINE, "salesInvoiceLine")
    kind, number = raw.get("lineType"), raw.get("lineObjectNumber")
    if kind == "Comment":
        return {"lineType": kind, "description": raw.get("description", ""), "quantity": 0, "unitPrice": 0, "net": 0}
    tables = {"Account": ("G/L Account", ACCOUNTS), "Item": ("Item", ITEMS)}
    if kind not in tables:
        raise Invalid(400, "Application_EvaluateException", f'"{kind}" cannot be evaluated into type Option.')
    if number not in tables[kind][1]:
        raise not_related("No.", "Sales Line", number, tables[kind][0])
    if (code := raw.get("taxCode")) not in RATES:
        raise not_related("Tax Code", "Sales Line", code, "Tax Group Buffer")
    quantity, unit, off = (exact(raw.get(name)) for name in ("quantity", "unitPrice", "discountAmount"))
    if unit < 0:
        raise Invalid(400, "Application_FieldValidationException", "Unit Price must not be negative in Sales Line")
    net = half_up(half_up(quantity, 5) * half_up(unit, 5), decimals) - off
    return {"discountAmount": 0, **raw, "id": str(uuid4()), "taxPercent": RATES[code], "net": net}


def _sums(lines: list[dict[str, Any]], decimals: int) -> dict[str, Decimal]:
    """Totals; the lines' `net` becomes the amount that is shown."""
    by_code: dict[str, Decimal] = {}
    for line in lines:
        net = exact(line.pop("net"))
        line["amountExcludingTax"] = net
        if "taxCode" in line:
            by_code[line["taxCode"]] = by_code.get(line["taxCode"], Decimal(0)) + net
    tax = total(half_up(net * RATES[code] / 100, decimals) for code, net in by_code.items())
    net = total(by_code.values())
    return {"totalAmountExcludingTax": net, "totalTaxAmount": tax, "totalAmountIncludingTax": net + tax}
