"""Wave's words: what the merchant configures, the GraphQL documents, how customers and invoices are written and read.

Fields and arguments are those of documents that are validated against Wave's own schema (oliverames/wave-mcp-server)
and of developer.waveapps.com, "API Reference" and "Mutation: Create invoice". Decimals travel as text.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from connectors.model import Address, InvoiceDraft, RemoteInvoice, Status, rounded
from connectors.platforms.base import AppCredentials, PlatformSettings
from connectors.platforms.documents import CustomerDraft, RemoteCustomer
from connectors.platforms.rows import Row, coded_if_any, rounded_off, spread, told, without_tax
from connectors.platforms.texts import BEFORE_KEY, first_and_last, fits, key_in, marked, placed, without_empty

TITLE = "Wave"
NUMBER_LENGTH = 40
"""Of an invoice number. Wave names no limit; a longer reference is shortened, to be on the safe side."""
MEMO_LENGTH = 4000
PLACES = 8
"""Decimals of a quantity and of a price (API Reference)."""
STATUSES = {
    "DRAFT": Status.DRAFT,
    "PAID": Status.PAID,
    "OVERPAID": Status.PAID,
    **dict.fromkeys(("SAVED", "UNPAID", "SENT", "VIEWED", "PARTIAL", "OVERDUE"), Status.ISSUED),
}

_PAGES = "pageInfo { currentPage totalPages totalCount }"
_DONE = "didSucceed inputErrors { path code message }"
_CUSTOMER = "id name email internalNotes createdAt isArchived"
_INVOICE = (
    "id invoiceNumber status memo viewUrl pdfUrl customer { id email } taxTotal { value }"
    " total { value currency { code } } amountDue { value }"
)
CREATE_CUSTOMER = (
    "mutation CreateCustomer($input: CustomerCreateInput!)"
    f" {{ customerCreate(input: $input) {{ {_DONE} customer {{ {_CUSTOMER} }} }} }}"
)
CREATE_INVOICE = (
    "mutation CreateInvoice($input: InvoiceCreateInput!)"
    f" {{ invoiceCreate(input: $input) {{ {_DONE} invoice {{ {_INVOICE} }} }} }}"
)
APPROVE_INVOICE = (
    "mutation ApproveInvoice($input: InvoiceApproveInput!)"
    f" {{ invoiceApprove(input: $input) {{ {_DONE} invoice {{ {_INVOICE} }} }} }}"
)
SEND_INVOICE = (
    "mutation SendInvoice($input: InvoiceSendInput!)"
    f" {{ invoiceSend(input: $input) {{ {_DONE} invoice {{ id status lastSentAt }} }} }}"
)
FIND_CUSTOMERS = (
    "query Customers($b: ID!, $page: Int!, $email: String) { business(id: $b) { id"
    " customers(page: $page, pageSize: 100, sort: [CREATED_AT_ASC], email: $email)"
    f" {{ {_PAGES} edges {{ node {{ {_CUSTOMER} }} }} }} }} }}"
)
FIND_INVOICES = (
    "query FindInvoice($b: ID!, $page: Int!, $n: String) { business(id: $b) { id"
    " invoices(page: $page, pageSize: 100, sort: [CREATED_AT_DESC], invoiceNumber: $n)"
    f" {{ {_PAGES} edges {{ node {{ {_INVOICE} }} }} }} }} }}"
)
LIST_INVOICES = (
    "query ListInvoices($b: ID!, $page: Int!, $from: Date!) { business(id: $b) { id"
    " invoices(page: $page, pageSize: 100, sort: [CREATED_AT_ASC], invoiceDateStart: $from)"
    f" {{ {_PAGES} edges {{ node {{ {_INVOICE} }} }} }} }} }}"
)
GET_INVOICE = f"query GetInvoice($b: ID!, $id: ID!) {{ business(id: $b) {{ id invoice(id: $id) {{ {_INVOICE} }} }} }}"
GET_BUSINESS = "query Business($b: ID!) { business(id: $b) { id name isClassicInvoicing } }"
BUSINESSES = (
    "query Businesses($page: Int!) { businesses(page: $page, pageSize: 50)"
    f" {{ {_PAGES} edges {{ node {{ id name isClassicInvoicing }} }} }} }}"
)
PRODUCTS = (
    "query Products($b: ID!, $page: Int!) { business(id: $b) { id"
    " products(page: $page, pageSize: 100, sort: [NAME_ASC], isSold: true, isArchived: false)"
    f" {{ {_PAGES} edges {{ node {{ id name }} }} }} }} }}"
)
TAXES = (
    "query Taxes($b: ID!, $page: Int!) { business(id: $b) { id"
    " salesTaxes(page: $page, pageSize: 100, isArchived: false)"
    f" {{ {_PAGES} edges {{ node {{ id name rate }} }} }} }} }}"
)


ADDRESS = ("addressLine1", "addressLine2", "city", "", "postalCode", "countryCode")


class WaveSettings(PlatformSettings):
    business_id: Annotated[str, Field(min_length=1, description="the business, by its id on Wave")]
    product: Annotated[str, Field(min_length=1, description="the product that lines are booked under, by its id")]
    shipping_product: Annotated[str | None, Field(description="the product for shipping; else `product`")] = None
    tax: Annotated[
        dict[Decimal, str],
        Field(description='the id of the sales tax for each percentage; a line of 0 % may go without ("0")'),
    ]
    tax_rounding: Annotated[
        Literal["line", "rate", "total"],
        Field(description="where Wave rounds your tax; change it if drafts differ from orders by a cent"),
    ] = "line"


class WaveCredentials(AppCredentials):
    """An app of developer.waveapps.com, and a merchant's consent to it (needs a Wave Pro subscription)."""


def _address(given: Address | None) -> dict[str, Any]:
    """A region stands in the second line: Wave's own field wants the code of ISO 3166-2."""
    if given is None:
        return {}
    where = ", ".join(filter(None, (given.line2, given.region)))
    return placed(given.model_copy(update={"line2": where, "region": None}), ADDRESS)


def customer_input(draft: CustomerDraft, business: str) -> dict[str, Any]:
    """`internalNotes`, which only the merchant sees, end in our key."""
    party = draft.party
    first, last = first_and_last(party)
    about = f"{party.display_name}, tax ID {party.tax_id}" if party.tax_id else party.display_name
    where = _address(draft.shipping_address)
    return without_empty(
        {
            "businessId": business,
            "name": party.display_name,
            "firstName": first,
            "lastName": last,
            "email": party.email,
            "phone": party.phone,
            "currency": draft.currency,
            "address": _address(draft.billing_address),
            "shippingDetails": {"name": party.name or party.display_name, "address": where} if where else None,
            "internalNotes": f"{about}{BEFORE_KEY}{draft.key}",
        }
    )


def customer(raw: Any) -> RemoteCustomer:
    return RemoteCustomer(
        id=raw["id"], key=key_in(raw.get("internalNotes")), name=raw.get("name"), email=raw.get("email") or None
    )


def invoice_input(order: InvoiceDraft, customer_id: str, settings: WaveSettings) -> tuple[dict[str, Any], str]:
    """The draft's input, and what the trail should say of it. Raises `Rejected` for what Wave cannot hold."""
    fits(f"order {order.order_ref}: the reference", order.reference, NUMBER_LENGTH, TITLE)
    found = spread(order)
    items = [_item(row, order, settings) for row in found]
    off = rounded_off(order, without_tax(found), settings.tax_rounding, TITLE)
    if off:
        items.append(_priced(settings.product, "Rounding", Decimal(1), off, []))
    tax_id = f"Tax ID: {order.customer.tax_id}\n" if order.customer.tax_id else ""
    body = {
        "businessId": settings.business_id,
        "customerId": customer_id,
        "status": "DRAFT",
        "currency": order.currency,
        "invoiceNumber": order.reference,
        "invoiceDate": order.issued_on.isoformat(),
        "dueDate": max(order.issued_on, order.due_on).isoformat(),
        "items": items,
        "memo": tax_id + marked(order, MEMO_LENGTH - len(tax_id), TITLE),
    }
    said = ["the order's discount is taken off its lines"] if order.discount and order.discount.amount else []
    said += [f"a line of {off} makes up for how {TITLE} rounds tax"] if off else []
    return body, "; ".join(said)


def _item(row: Row, order: InvoiceDraft, settings: WaveSettings) -> dict[str, Any]:
    """Prices without tax; where the price per piece is not the order's, the text says how it came about."""
    quantity, unit, text = told(row, row.net, order.currency, quantity_places=PLACES, unit_places=PLACES)
    tax = coded_if_any(settings.tax, row.rate, order, TITLE)
    taxes = [{"salesTaxId": tax}] if tax else []
    shipping = settings.shipping_product if row.kind == "shipping" else None
    return _priced(shipping or settings.product, text, quantity, unit, taxes)


def _priced(product: str, text: str, quantity: Decimal, unit: Decimal, taxes: list[Any]) -> dict[str, Any]:
    """`taxes` is never left out: else Wave takes the product's own."""
    return {
        "productId": product,
        "description": text,
        "quantity": f"{quantity:f}",
        "unitPrice": f"{unit:f}",
        "taxes": taxes,
    }


def amount(money: Any) -> Decimal:
    """Of `Money.value`, which is written for people: 1,234.50."""
    return Decimal(money["value"].replace(",", ""))


def document(raw: Any) -> RemoteInvoice:
    currency = raw["total"]["currency"]["code"]
    return RemoteInvoice(
        id=raw["id"],
        number=raw["invoiceNumber"],
        reference=raw["invoiceNumber"],
        key=key_in(raw.get("memo")),
        status=STATUSES[raw["status"]],
        currency=currency,
        total=amount(raw["total"]),
        tax=rounded(amount(raw["taxTotal"]), currency) if raw.get("taxTotal") else None,
        due=amount(raw["amountDue"]),
        customer_id=(raw.get("customer") or {}).get("id"),
        url=raw.get("viewUrl"),
    )
