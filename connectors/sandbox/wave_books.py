"""What the emulated Wave knows: its schema as far as invoices need it, its inputs, and an invoice's sums."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from connectors.sandbox.graphql import Schema
from connectors.sandbox.shelf import Doc
from connectors.sandbox.sums import exact, half_up, places, total

SCHEMA = Schema("""
Query: user:User business(id):Business businesses(page pageSize):BusinessConnection
User: id defaultEmail
BusinessConnection: pageInfo:OffsetPageInfo edges:BusinessEdge
BusinessEdge: node:Business
OffsetPageInfo: currentPage totalPages totalCount
Business: id name isClassicInvoicing emailSendEnabled currency:Currency customer(id):Customer invoice(id):Invoice
Business: customers(page pageSize sort email modifiedAtAfter modifiedAtBefore):CustomerConnection
Business: invoices(page pageSize sort invoiceNumber customerId status invoiceDateStart invoiceDateEnd):InvoiceConnection
Business: products(page pageSize sort isSold isArchived):ProductConnection
Business: salesTaxes(page pageSize isArchived):SalesTaxConnection
CustomerConnection: pageInfo:OffsetPageInfo edges:CustomerEdge
CustomerEdge: node:Customer
InvoiceConnection: pageInfo:OffsetPageInfo edges:InvoiceEdge
InvoiceEdge: node:Invoice
ProductConnection: pageInfo:OffsetPageInfo edges:ProductEdge
ProductEdge: node:Product
SalesTaxConnection: pageInfo:OffsetPageInfo edges:SalesTaxEdge
SalesTaxEdge: node:SalesTax
Currency: code symbol
Customer: id name firstName lastName displayId email mobile phone internalNotes isArchived createdAt modifiedAt
Customer: currency:Currency address:Address
Address: addressLine1 addressLine2 city postalCode
Product: id name description unitPrice isSold isArchived
SalesTax: id name abbreviation rate isCompound isArchived
Money: value minorUnitValue raw currency:Currency
Invoice: id status title subhead invoiceNumber poNumber invoiceDate dueDate memo footer pdfUrl viewUrl lastSentAt
Invoice: lastSentVia createdAt modifiedAt currency:Currency customer:Customer subtotal:Money taxTotal:Money
Invoice: discountTotal:Money total:Money amountDue:Money amountPaid:Money items:InvoiceItem
InvoiceItem: id description quantity price unitPrice product:Product subtotal:Money total:Money
Mutation: customerCreate(input):CustomerOutput invoiceCreate(input):InvoiceOutput invoiceApprove(input):InvoiceOutput
Mutation: invoiceSend(input):InvoiceOutput invoiceMarkSent(input):InvoiceOutput invoiceDelete(input):DeleteOutput
CustomerOutput: didSucceed inputErrors:InputError customer:Customer
InvoiceOutput: didSucceed inputErrors:InputError invoice:Invoice
DeleteOutput: didSucceed inputErrors:InputError
InputError: path code message
""")
ADDRESS = "addressLine1 addressLine2 city postalCode provinceCode countryCode"
INPUTS = {
    "CustomerCreateInput": "businessId! name! firstName lastName address displayId email mobile phone fax tollFree"
    " website internalNotes currency shippingDetails",
    "address": ADDRESS,
    "shippingDetails": "name phone instructions address",
    "InvoiceCreateInput": "businessId! customerId! status currency title subhead invoiceNumber poNumber invoiceDate"
    " exchangeRate dueDate items discounts memo footer disableCreditCardPayments disableBankPayments"
    " disableAmexPayments requireTermsOfServiceAgreement itemTitle unitTitle priceTitle amountTitle hideName"
    " hideDescription hideUnit hidePrice hideAmount",
    "items": "productId! description quantity unitPrice taxes",
    "taxes": "salesTaxId! amount",
    "discounts": "discountType! name amount percentage",
    "InvoiceApproveInput": "invoiceId!",
    "InvoiceSendInput": "invoiceId! to! attachPDF! subject message ccMyself fromAddress",
    "InvoiceMarkSentInput": "invoiceId! sendMethod! sentAt",
    "InvoiceDeleteInput": "invoiceId!",
}
"""Fields of each input, and of the objects inside by the name of their field; `!` marks those that must be there."""
CHOICES = {
    "status": re.compile("DRAFT|SAVED"),
    "currency": re.compile("[A-Z]{3}"),
    "countryCode": re.compile("[A-Z]{2}"),
    "provinceCode": re.compile("[A-Z]{2}-[A-Z0-9]{1,3}"),
    "discountType": re.compile("FIXED|PERCENTAGE"),
    "invoiceDate": re.compile(r"\d{4}-\d\d-\d\d"),
    "dueDate": re.compile(r"\d{4}-\d\d-\d\d"),
    "quantity": re.compile(r"-?\d{1,18}(\.\d{1,8})?"),
    "unitPrice": re.compile(r"-?\d{1,18}(\.\d{1,8})?"),
}


class BadInput(Exception):
    """A variable is not of its type (`BAD_USER_INPUT`)."""


class Refused(Exception):
    """The mutation did not succeed: one of its `inputErrors`."""

    def __init__(self, path: str, message: str, code: str = "INVALID") -> None:
        super().__init__(message)
        self.error = {"path": ["input", *path.split(".")], "code": code, "message": message}


def checked(kind: str, given: Any) -> Doc:
    """The input, whose fields are known, there and of their form, inner objects too. Raises `BadInput`."""
    if not isinstance(given, dict):
        raise BadInput(f'Expected type "{kind}" to be an object.')
    fields = INPUTS[kind].split()
    for name in fields:
        if name.endswith("!") and given.get(name[:-1]) is None:
            raise BadInput(f'Field "{name[:-1]}" of required type was not provided.')
    for name, value in given.items():
        if name not in fields and name + "!" not in fields:
            raise BadInput(f'Field "{name}" is not defined by type "{kind}".')
        if value is None:
            raise BadInput(f'Field "{name}" must be left out, not null.')
        if name in CHOICES and not CHOICES[name].fullmatch(str(value)):
            raise BadInput(f'Value "{value}" is not of the type of "{name}".')
        if name in INPUTS:
            for one in value if isinstance(value, list) else [value]:
                checked(name, one)
    return given


def dated(value: Any) -> None:
    """A variable of the type `Date`. Raises `BadInput` for what is none."""
    if value is not None and not CHOICES["invoiceDate"].fullmatch(str(value)):
        raise BadInput(f'Value "{value}" is not of the type "Date".')


def money(amount: Decimal, currency: str) -> Doc:
    """As Wave shows it: `value` is written for people."""
    digits = places(currency)
    units = int(amount.scaleb(digits))
    code = {"code": currency, "symbol": ""}
    return {"value": f"{amount:,.{digits}f}", "minorUnitValue": units, "raw": units, "currency": code}


def sums(given: Doc, taxes: dict[str, Doc]) -> Doc:
    """The items with their amounts, and the invoice's: rounded half away from zero, tax on each item."""
    currency = given["currency"]
    items, net, tax = [], Decimal(0), Decimal(0)
    for number, item in enumerate(given.get("items") or ()):
        price = exact(item.get("unitPrice", "0"))
        amount = half_up(exact(item.get("quantity", "1")) * price, places(currency))
        for path in item.get("taxes") or ():
            if path["salesTaxId"] not in taxes:
                raise Refused(f"items.{number}.taxes", f"Sales tax '{path['salesTaxId']}' not found.", "NOT_FOUND")
            tax += half_up(amount * exact(taxes[path["salesTaxId"]]["rate"]), places(currency))
        net += amount
        items.append({**item, "price": f"{price:f}", "subtotal": money(amount, currency)})
    off = total(_discount(one, net, currency) for one in given.get("discounts") or ())
    whole = money(net - off + tax, currency)
    return {
        "items": items, "subtotal": money(net, currency), "discountTotal": money(off, currency),
        "taxTotal": money(tax, currency), "total": whole, "amountDue": whole,
        "amountPaid": money(Decimal(0), currency),
    }  # fmt: skip


def _discount(given: Doc, net: Decimal, currency: str) -> Decimal:
    """Taken off the total, not off what is taxed: which of both Wave does is not documented."""
    if given["discountType"] == "FIXED":
        return exact(given.get("amount"))
    return half_up(net * exact(given.get("percentage")) / 100, places(currency))
