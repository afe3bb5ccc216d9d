"""NetSuite in its own words: settings, customers and invoices as REST records, records as our documents.

Field names are those of Oracle's REST API Browser 2026.1 (records `customer`, `invoice` and `creditMemo`). With
SuiteTax amounts are net, and the tax of a line comes from a tax engine unless the record states it
(`taxDetailsOverride`, a `taxDetailsReference` a line, `taxDetails`); here it is stated, so no rounding can differ. The
columns of SuiteQL are those of the Records Catalog in lower case; it answers every value as a text.

The schema browser gives no lengths. 45 for otherRefNum and 999 for memo are not verified; what we make stays within
them. What a shop wrote is sent as it is, and NetSuite says no to what is too long (companyName and addressee hold 83,
as templates for imports have it).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from connectors.model import Address, InvoiceDraft, Party, RemoteInvoice, Status
from connectors.platforms.base import PostedAtOnce
from connectors.platforms.crediting import invoice_of, set_off
from connectors.platforms.currencies import configured, in_decimals
from connectors.platforms.documents import CustomerDraft, PlannedInvoice, RemoteCustomer
from connectors.platforms.rows import Row, coded, spread, told
from connectors.platforms.texts import distinct_name, fits, key_in, marked, placed, without_empty

TITLE = "NetSuite"
REFERENCE, MEMO = 45, 999
AT_ONCE = 3
"""Of the five that the standard service tier gives an account for all its integrations (concurrency governance)."""
ADDRESS = ("addr1", "addr2", "city", "state", "zip", "country")
OURS = "billhook-"
STATUSES = {
    "A": Status.ISSUED,
    "B": Status.PAID,
    "D": Status.DRAFT,
    "E": Status.VOID,
    "V": Status.VOID,
}
"""Open, Paid In Full (of a credit memo: Fully Applied), Pending Approval, Rejected by an approver, Voided."""
DOCUMENTS = (
    "SELECT t.id, t.externalid, t.tranid, t.otherrefnum, t.memo, t.status, t.entity, t.foreigntotal,"
    " t.foreignamountunpaid, c.symbol FROM transaction t JOIN currency c ON c.id = t.currency WHERE t.type = "
)
CUSTOMERS = "SELECT id, externalid, companyname, email, currency FROM customer WHERE isinactive = 'F'"


class NetSuiteSettings(PostedAtOnce):
    """Ids are NetSuite's internal ids, as `billhook account options` lists them."""

    account: Annotated[str, Field(description="the account's id, such as 1234567 or 1234567_SB1", min_length=1)]
    currencies: Annotated[dict[str, str], Field(description="for each currency (GBP) its internal id", min_length=1)]
    item: Annotated[str, Field(description="internal id of the item that lines are sold as, where `items` has none")]
    items: Annotated[dict[str, str], Field(description="for a SKU the internal id of its item", default_factory=dict)]
    shipping_item: Annotated[str | None, Field(description="internal id of the item for shipping; else `item`")] = None
    tax: Annotated[dict[Decimal, str], Field(description="for each tax rate in percent the id of its tax code")]
    tax_type: Annotated[str, Field(description="internal id of the tax type that the tax codes belong to")]
    subsidiary: Annotated[str | None, Field(description="internal id of the subsidiary (OneWorld accounts)")] = None
    location: Annotated[str | None, Field(description="internal id of the location that sells")] = None
    terms: Annotated[str | None, Field(description="internal id of the payment terms")] = None
    custom_form: Annotated[str | None, Field(description="internal id of the invoice form, where not the usual")] = None
    concurrency: Annotated[
        int, Field(description="calls that we make at once: our share of the account's integration concurrency", ge=1)
    ] = AT_ONCE


def external_id(kind: str, key: str) -> str:
    """Our key as an external id: of letters, digits and hyphens, 53 characters at most, the same for ever."""
    return f"{OURS}{kind}-{hashlib.sha256(key.encode()).hexdigest()[:40]}"


def one_of(values: list[str]) -> str:
    """The values as a list of SQL."""
    quoted = (value.replace("'", "''") for value in values)
    return "(" + ", ".join(f"'{value}'" for value in quoted) + ")"


def currency(code: str, settings: NetSuiteSettings, what: str) -> str:
    """The currency's internal id. Raises `Rejected` naming the setting that lacks it."""
    in_decimals(2, code, what, TITLE)
    return configured(settings.currencies, code, what, TITLE)


def customer(draft: CustomerDraft, settings: NetSuiteSettings) -> dict[str, Any]:
    """A customer record, of the kind of a company: names are unique among companies, so a person's tells more."""
    return without_empty(
        {
            "externalId": external_id("cust", draft.key),
            "companyName": distinct_name(draft),
            "email": draft.party.email,
            "phone": draft.party.phone,
            "subsidiary": _ref(settings.subsidiary),
            "currency": _ref(currency(draft.currency, settings, draft.party.display_name)) if draft.currency else None,
            "addressBook": _book(draft.billing_address, draft.party),
        }
    )


def _book(address: Address | None, party: Party) -> dict[str, Any] | None:
    return {"items": [{"addressBookAddress": _address(address, party)}]} if address else None


def _address(address: Address, party: Party) -> dict[str, Any]:
    return without_empty(
        {
            "addressee": party.display_name,
            "attention": party.name if party.company else None,
            **placed(address, ADDRESS, country=_ref),
        }
    )


def _ref(ident: str | None) -> dict[str, str] | None:
    return {"id": ident} if ident else None


def invoice(planned: PlannedInvoice, settings: NetSuiteSettings) -> dict[str, Any]:
    """An invoice record whose tax is stated line by line. Raises `Rejected` for what NetSuite cannot do."""
    more = {
        "customForm": _ref(settings.custom_form),
        "dueDate": planned.draft.due_on.isoformat(),
        "terms": _ref(settings.terms),
    }
    return without_empty({**_document("inv", planned, settings), **more})


def credit_note(planned: PlannedInvoice, settings: NetSuiteSettings) -> dict[str, Any]:
    """A credit memo record, as `invoice`, that is applied to what is still due of its invoice, and to nothing else."""
    amount = set_off(planned)
    applied = {"apply": True, "doc": _ref(invoice_of(planned).id), "amount": amount}
    return without_empty(
        {
            **_document("note", planned, settings),
            "autoApply": False,
            "apply": {"items": [applied]} if amount else None,
        }
    )


def _document(kind: str, planned: PlannedInvoice, settings: NetSuiteSettings) -> dict[str, Any]:
    """What invoices and credit memos share."""
    draft = planned.draft
    found = spread(draft)
    ship_to = draft.shipping_address or draft.billing_address
    return without_empty(
        {
            "externalId": external_id(kind, draft.key),
            "entity": _ref(planned.customer_id),
            "subsidiary": _ref(settings.subsidiary),
            "currency": _ref(currency(draft.currency, settings, f"order {draft.order_ref}")),
            "tranDate": draft.issued_on.isoformat(),
            "otherRefNum": fits("the reference", draft.reference, REFERENCE, TITLE),
            "memo": marked(draft, MEMO, TITLE),
            "email": draft.customer.email,
            "toBeEmailed": False,
            "billingAddress": _address(draft.billing_address, draft.customer) if draft.billing_address else None,
            "shippingAddress": _address(ship_to, draft.customer) if ship_to else None,
            "taxDetailsOverride": True,
            "item": {"items": [_line(row, str(at), draft, settings) for at, row in enumerate(found, 1)]},
            "taxDetails": {"items": [_tax(row, str(at), draft, settings) for at, row in enumerate(found, 1)]},
        }
    )


def _line(row: Row, mark: str, draft: InvoiceDraft, settings: NetSuiteSettings) -> dict[str, Any]:
    quantity, unit, text = told(row, row.net, draft.currency, quantity_places=5, unit_places=2)
    item = settings.items.get(row.sku or "", settings.item)
    if row.kind == "shipping":
        item = settings.shipping_item or settings.item
    return without_empty(
        {
            "item": _ref(item),
            "description": text,
            "quantity": quantity,
            "rate": unit,
            "amount": row.net,
            "location": _ref(settings.location),
            "taxDetailsReference": mark,
        }
    )


def _tax(row: Row, mark: str, draft: InvoiceDraft, settings: NetSuiteSettings) -> dict[str, Any]:
    return {
        "taxDetailsReference": {"id": mark},
        "taxType": settings.tax_type,
        "taxCode": {"id": coded(settings.tax, row.rate, draft, TITLE)},
        "taxBasis": row.net,
        "taxRate": row.rate,
        "taxAmount": row.tax,
    }


def read_invoice(raw: Mapping[str, Any], settings: NetSuiteSettings) -> RemoteInvoice:
    """An invoice or credit memo record of the record service, which names its currency by id; a label is only that."""
    codes = {ident: code for code, ident in settings.currencies.items()}
    money = raw["currency"]
    return RemoteInvoice(
        id=str(raw["id"]),
        number=raw.get("tranId"),
        reference=raw.get("otherRefNum"),
        key=key_in(raw.get("memo")),
        status=STATUSES[raw["status"]["id"]],
        currency=codes.get(money["id"]) or money["refName"],
        total=raw["total"],
        tax=raw.get("taxTotal"),
        due=raw.get("amountRemaining"),
        customer_id=raw["entity"]["id"],
        url=raw.get("paymentlink") or None,
    )


def found_invoice(row: Mapping[str, Any]) -> RemoteInvoice:
    """An invoice or credit memo as a row of `DOCUMENTS`, which leaves out what is empty. The sign of a credit memo's
    total there is not documented: here it is positive."""
    unpaid = row.get("foreignamountunpaid")
    return RemoteInvoice(
        id=str(row["id"]),
        number=row.get("tranid"),
        reference=row.get("otherrefnum"),
        key=key_in(row.get("memo")),
        status=STATUSES[row["status"]],
        currency=row["symbol"],
        total=abs(Decimal(str(row["foreigntotal"]))),
        due=None if unpaid is None else Decimal(str(unpaid)),
        customer_id=str(row["entity"]),
    )


def found_customer(row: Mapping[str, Any], draft: CustomerDraft) -> RemoteCustomer:
    """A customer as a row of `CUSTOMERS` or a record. External ids of others are not ours: they may be adopted."""
    ident = row.get("externalid") or row.get("externalId")
    key = draft.key if ident == external_id("cust", draft.key) else ident
    return RemoteCustomer(
        id=str(row["id"]),
        key=key if (ident or "").startswith(OURS) else None,
        name=row.get("companyname") or row.get("companyName"),
        email=row.get("email"),
    )
