"""The invoicing API of an emulated org with Revenue Cloud Billing: ingestion and void.

From the Revenue Management guide's graph input for ingestion: compulsory fields, a tax record for each taxable line of
a posted invoice, at most 500 records. What the guide leaves open (the code of an accepted call, the text of a second
identifier) is assumed: 201 and DUPLICATE_VALUE.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import uuid4

from connectors.sandbox.salesforce_books import CURRENCIES, Books, Refused
from connectors.sandbox.sums import exact, half_up, places, total

NEEDED = {
    "Invoice": ("invoiceDate", "billingAccountId", "billToContactId"),
    "InvoiceAddressGroup": ("invoiceId", "street", "city", "postalCode", "state", "country"),
    "InvoiceLine": (
        "invoiceId", "billingAddressId", "shippingAddressId", "name", "invoiceLineStartDate", "invoiceLineEndDate",
        "quantity", "unitPrice", "chargeAmount",
    ),
    "InvoiceLineTax": (
        "invoiceLineId", "taxAmount", "taxRate", "taxName", "taxCode", "taxExemptAmount", "taxEffectiveDate",
        "taxTransactionNumber", "taxDocumentNumber",
    ),
}  # fmt: skip
OPTIONAL = {
    "Invoice": (
        "postedDate", "dueDate", "status", "currencyIsoCode", "invoiceNumber", "uniqueIdentifier", "description",
        "paymentTermId", "referenceEntityId",
    ),
    "InvoiceAddressGroup": (),
    "InvoiceLine": ("description", "taxTreatmentId", "product2Id", "legalEntityId", "referenceEntityItemId"),
    "InvoiceLineTax": ("description",),
}  # fmt: skip
TAX_CODES = ("GB-VAT-20", "GB-VAT-5", "GB-VAT-0")


def ingest(books: Books, body: Mapping[str, Any]) -> dict[str, Any]:
    """What the resource answers. A refusal of the graph comes inside: nothing of it is kept."""
    (given,) = body["invoices"]
    answer = {"requestIdentifier": str(uuid4()), "statusURL": None}
    try:
        ident = _made(books, given)
    except Refused as refused:
        errors = [{"errorCode": refused.error["errorCode"], "message": refused.error["message"]}]
        return {"invoices": [{**answer, "invoiceId": None, "success": False, "errors": errors}]}
    answer["statusURL"] = f"/services/data/v67.0/sobjects/AsyncOperationTracker/{uuid4().hex[:15]}"
    return {"invoices": [{**answer, "invoiceId": ident, "success": True, "errors": []}]}


def _invalid(message: str) -> Refused:
    return Refused("INVALID_API_INPUT", message)


def _made(books: Books, given: Mapping[str, Any]) -> str:
    records = given["graph"]["records"]
    if len(records) > 500:
        raise _invalid("The graph exceeds the maximum of 500 records")
    kinds: dict[str, list[dict[str, Any]]] = {kind: [] for kind in NEEDED}
    known: set[str] = set()
    for one in records:
        fields = dict(one["record"])
        kind = fields.pop("attributes")["type"]
        _complete(kind, fields, known)
        kinds[kind].append({"ref": one["referenceId"], **fields})
        known.add(one["referenceId"])
    (invoice,) = kinds["Invoice"]
    posted = invoice.get("status") == "Posted"
    if posted and not (invoice.get("postedDate") and invoice.get("invoiceNumber")):
        raise _invalid("postedDate and invoiceNumber are required for a posted invoice")
    if (given["taxCalculationStatus"] == "Posted") != posted or given["shouldCalculateTax"] is not False:
        raise _invalid("taxCalculationStatus does not go with the status of the invoice")
    _taxed(books, kinds)
    return _kept(books, invoice, kinds)


def _complete(kind: str, fields: Mapping[str, Any], known: set[str]) -> None:
    if kind not in NEEDED:
        raise _invalid(f"unknown type {kind}")
    for name, value in fields.items():
        if name not in NEEDED[kind] and name not in OPTIONAL[kind]:
            raise _invalid(f"{name} is not a field of {kind}")
        found = re.fullmatch(r"@\{(\w+)\.id\}", value) if isinstance(value, str) else None
        if found and found[1] not in known:
            raise _invalid(f"{value} refers to no record before it")
    for name in NEEDED[kind]:
        if fields.get(name) in (None, ""):
            raise Refused("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{name}] of {kind}")


def _taxed(books: Books, kinds: Mapping[str, list[dict[str, Any]]]) -> None:
    """Every line has a tax record of its own, for the org's standard treatment is a taxable one."""
    parents = [tax["invoiceLineId"] for tax in kinds["InvoiceLineTax"]]
    for line in kinds["InvoiceLine"]:
        treatment = line.get("taxTreatmentId")
        if treatment and books.shelf.get("TaxTreatment", treatment) is None:
            raise _invalid(f"the tax treatment {treatment} does not exist")
        if parents.count(f"@{{{line['ref']}.id}}") != 1:
            raise _invalid("A posted invoice needs a tax record for each taxable line")
        if line["chargeAmount"] < 0:
            raise _invalid("negative lines are turned into credits")
    for tax in kinds["InvoiceLineTax"]:
        if tax["taxCode"] not in TAX_CODES:
            raise _invalid(f"the tax code {tax['taxCode']} does not exist")


def _kept(books: Books, invoice: Mapping[str, Any], kinds: Mapping[str, list[dict[str, Any]]]) -> str:
    for kind, field in (("Account", "billingAccountId"), ("Contact", "billToContactId")):
        if books.shelf.get(kind, invoice[field]) is None:
            raise Refused("INVALID_CROSS_REFERENCE_KEY", f"invalid cross reference id: {invoice[field]}")
    if invoice.get("currencyIsoCode") not in CURRENCIES:
        raise _invalid("currencyIsoCode is required in an org with several currencies")
    key = invoice.get("uniqueIdentifier")
    if key and (others := books.shelf.all("Invoice", UniqueIdentifier=key)):
        said = f"duplicate value found: UniqueIdentifier duplicates value on record with id: {others[0]['Id']}"
        raise Refused("DUPLICATE_VALUE", said)
    digits = places(invoice["currencyIsoCode"])
    net = total(half_up(exact(line["chargeAmount"]), digits) for line in kinds["InvoiceLine"])
    tax = total(half_up(exact(one["taxAmount"]), digits) for one in kinds["InvoiceLineTax"])
    ident = f"3ttQy{books.shelf.count('Invoice') + 1:010}"
    lines = [f"{line['name']} {line.get('description', '')} × {line['quantity']} @ {line['unitPrice']}"
             for line in kinds["InvoiceLine"]]  # fmt: skip
    doc = {
        "Id": ident, "InvoiceNumber": invoice.get("invoiceNumber"), "UniqueIdentifier": key, "lines": lines,
        "InvoiceDate": invoice["invoiceDate"],
        "Status": invoice.get("status", "Draft"), "CurrencyIsoCode": invoice["currencyIsoCode"], "TotalAmount": net,
        "TotalTaxAmount": tax, "TotalAmountWithTax": net + tax, "Balance": net + tax,
        "BillingAccountId": invoice["billingAccountId"], "BillToContactId": invoice["billToContactId"],
    }  # fmt: skip
    books.shelf.put("Invoice", ident, doc)
    return ident


def void(books: Books, ident: str) -> dict[str, Any]:
    """A posted invoice is void; a draft is not voided but deleted by hand."""
    doc = books.get("Invoice", ident)
    if doc["Status"] != "Posted":
        raise _invalid(f"Only posted invoices can be voided; this one is {doc['Status']}")
    books.shelf.put("Invoice", ident, doc | {"Status": "Voided", "Balance": Decimal(0)})
    return {"requestIdentifier": str(uuid4()), "success": True, "errors": []}
