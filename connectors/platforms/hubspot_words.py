"""HubSpot's words: settings, how an order is written as properties, and how its answers are read.

All values of properties are texts. Association types: invoice to contact 177, line item to invoice 410 (associations
guide on developers.hubspot.com).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, model_validator

from connectors.errors import Rejected
from connectors.model import InvoiceDraft, Model, RemoteInvoice, Status, minor_units
from connectors.platforms import texts
from connectors.platforms.base import PlatformSettings
from connectors.platforms.documents import CustomerDraft, RemoteCustomer, Request, later, posted
from connectors.platforms.rows import (
    Row,
    charged,
    coded_if_any,
    computed_tax,
    percent,
    spread,
    told,
    without_tax,
)

VERSION = "2026-03"
"""Of the API; each is supported for 18 months."""
REFERENCE, KEY, LINE, CUSTOMER = "billhook_order_ref", "billhook_key", "billhook_line_ref", "billhook_customer"
REFERENCE_LIMIT = 100
"""Characters; what a text property takes at most is not documented for unique ones."""
MOST_INPUTS = 100
"""Elements in one batch call, as clients report."""
PROPERTIES = {
    "invoices": (
        *(REFERENCE, KEY, "hs_number", "hs_invoice_status", "hs_currency", "hs_amount_billed", "hs_balance_due"),
        *("hs_invoice_link", "hs_pdf_download_link"),
    ),
    "contacts": (CUSTOMER, "email", "firstname", "lastname"),
    "line_items": (LINE,),
}
LISTED = (*PROPERTIES["invoices"], "hs_invoice_date", "hs_purchase_order_number")
"""Of an invoice in a list: when it is dated, and which order it may be of where it is not ours."""
ADDRESS = ("", "", "city", "state", "zip", "country")
STATUSES = {"draft": Status.DRAFT, "open": Status.ISSUED, "paid": Status.PAID, "voided": Status.VOID}
INVOICE_TO_CONTACT, LINE_TO_INVOICE = 177, 410


class HubSpotSettings(PlatformSettings):
    """One HubSpot account."""

    account: Annotated[str, Field(min_length=1, description="the account's number (Hub ID)")]
    tax: Annotated[
        dict[Decimal, str],
        Field(description="each tax percentage you charge, and the id of that tax rate on HubSpot"),
    ]


class HubSpotCredentials(Model):
    """A service key (or the token of a private app); or an app's id and secret, for `billhook connect`."""

    service_key: Annotated[
        SecretStr | None, Field(description="service key (Development → Keys → Service keys), or a private app's token")
    ] = None
    client_id: Annotated[str, Field(description="of your OAuth app, where there is no service key")] = ""
    client_secret: Annotated[SecretStr, Field(description="of your OAuth app")] = SecretStr("")
    refresh_token: Annotated[SecretStr | None, Field(description="filled in by `billhook connect`")] = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.service_key is None and not (self.client_id and self.client_secret.get_secret_value()):
            raise ValueError("give a service_key, or client_id and client_secret of an OAuth app")
        return self


def path(kind: str, *more: str) -> str:
    return "/".join([f"/crm/objects/{VERSION}/{kind}", *more])


def batch(step: str, kind: str, action: str, inputs: Sequence[Mapping[str, Any]], **more: Any) -> Request:
    """A batch call; each input names itself by its `objectWriteTraceId`."""
    return posted(step, path(kind, "batch", action), {"inputs": inputs}, **more)


def trace(key: str) -> str:
    """A text for our key that may stand in an address: it has no slashes."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def contact(draft: CustomerDraft) -> dict[str, Any]:
    """A contact as an input of a batch."""
    party, place = draft.party, draft.billing_address
    first, last = texts.first_and_last(party)
    fields = {
        CUSTOMER: trace(draft.key),
        "email": party.email,
        "firstname": first,
        "lastname": last,
        "company": party.company,
        "phone": party.phone,
    }
    fields |= {"address": texts.street(place), **texts.placed(place, ADDRESS)}
    return {"objectWriteTraceId": trace(draft.key), "properties": texts.without_empty(fields), "associations": []}


def invoice_input(draft: InvoiceDraft, contact_id: str) -> dict[str, Any]:
    """The draft as an input of a batch."""
    said = texts.noted({"Tax ID": draft.customer.tax_id, "Ship to": texts.on_one_line(draft.shipping_address)})
    fields = {
        REFERENCE: texts.fits("the reference", draft.reference, REFERENCE_LIMIT, "HubSpot"),
        KEY: draft.key,
        "hs_currency": draft.currency,
        "hs_invoice_date": f"{draft.issued_on}T00:00:00Z",
        "hs_due_date": f"{draft.due_on}T00:00:00Z",
        "hs_purchase_order_number": draft.order_ref,
        "hs_comments": "\n".join(filter(None, [f"Order {draft.order_ref}", said])),
        "hs_invoice_payment_collection_method": "manual",
    }
    return {
        "objectWriteTraceId": trace(draft.key),
        "properties": fields,
        "associations": [_to(contact_id, INVOICE_TO_CONTACT)],
    }


def _to(ident: str, kind: int) -> dict[str, Any]:
    return {"to": {"id": ident}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": kind}]}


def lines(draft: InvoiceDraft, tax: Mapping[Decimal, str]) -> tuple[list[dict[str, Any]], str]:
    """The line items as inputs of a batch, and what is to be said of them. Each has a reference that is unique because
    it is made of the draft's own id. Raises `Rejected` for a tax that is not configured, and for a negative line."""
    found = without_tax(spread(draft))
    ids = {row.rate: coded_if_any(tax, row.rate, draft, "HubSpot") for row in found}
    certain = {computed_tax(found, draft.currency, rounding) for rounding in ("line", "rate", "total")}
    items = [_item(row, draft.currency) for row in found]
    if stated := certain != {draft.tax_total}:
        items += _tax_lines(found)
    else:
        rates = [texts.without_empty({"hs_tax_rate_group_id": ids[row.rate]}) for row in found]
        items = [item | rate for item, rate in zip(items, rates, strict=True)]
    if any(Decimal(item["price"]) < 0 for item in items):
        raise Rejected(f"order {draft.order_ref}: HubSpot takes no negative lines, and its discounts leave one")
    return [_line_input(number, item, draft) for number, item in enumerate(items, 1)], (
        "the tax is stated as a line, for HubSpot might round it otherwise" if stated else ""
    )


def _line_input(number: int, item: Mapping[str, str], draft: InvoiceDraft) -> dict[str, Any]:
    mark = {LINE: f"{later('draft')}-{number}", "hs_line_item_currency_code": draft.currency}
    return {
        "objectWriteTraceId": f"{trace(draft.key)}-{number}",
        "properties": {**mark, **item},
        "associations": [_to(later("draft"), LINE_TO_INVOICE)],
    }


def _item(row: Row, currency: str) -> dict[str, str]:
    """Quantity × price without tax that gives the row's amount; where there is none, the calculation in words."""
    quantity, unit, text = told(row, row.amount, currency, quantity_places=2, unit_places=minor_units(currency))
    name, _, more = text.partition("\n")
    fields = {"name": name, "description": more, "hs_sku": row.sku, "quantity": f"{quantity:f}", "price": f"{unit:f}"}
    return texts.without_empty(fields)


def _tax_lines(found: Sequence[Row]) -> list[dict[str, str]]:
    named = {f"{name} {percent(rate)} %": amount for (name, rate), amount in charged(found).items()}
    return [{"name": name, "quantity": "1", "price": f"{amount:f}"} for name, amount in named.items()]


def complaint(body: Mapping[str, Any]) -> str:
    """What an error says, with the codes of its parts."""
    parts = [part for part in body.get("errors") or () if isinstance(part, Mapping)]
    codes = sorted({str(part["code"]) for part in parts if part.get("code")})
    return f"{body['message']}{f' ({chr(44).join(codes)})' if codes else ''}"


def rate(raw: Mapping[str, Any]) -> str:
    return percent(raw["percentageRate"])


def invoice(raw: Mapping[str, Any]) -> RemoteInvoice:
    """An invoice that was read with `PROPERTIES` or `LISTED`; a draft without lines has no amounts yet."""
    fields = raw["properties"]
    contacts = ((raw.get("associations") or {}).get("contacts") or {}).get("results") or [{}]
    return RemoteInvoice(
        id=raw["id"],
        number=fields.get("hs_number"),
        reference=fields.get(REFERENCE) or fields.get("hs_purchase_order_number"),
        key=fields.get(KEY),
        status=STATUSES[fields["hs_invoice_status"]],
        currency=fields["hs_currency"],
        total=Decimal(fields.get("hs_amount_billed") or 0),
        due=Decimal(fields["hs_balance_due"]) if fields.get("hs_balance_due") else None,
        customer_id=contacts[0].get("id"),
        url=fields.get("hs_invoice_link"),
    )


def dated_since(raw: Mapping[str, Any], day: date) -> RemoteInvoice | None:
    """An invoice that was read with `LISTED`, if it is dated that day or later.

    Dates are moments in UTC, and a merchant's day may have begun on the day before: that one counts too. A record
    without a status only mirrors another program's invoice, and is none.
    """
    fields = raw["properties"]
    dated = fields.get("hs_invoice_date") or raw["createdAt"]
    wanted = fields.get("hs_invoice_status") and dated >= (day - timedelta(days=1)).isoformat()
    return invoice(raw) if wanted else None


def pdf_link(raw: Mapping[str, Any]) -> str | None:
    return raw["properties"].get("hs_pdf_download_link") or None


def customer(raw: Mapping[str, Any]) -> RemoteCustomer:
    fields = raw["properties"]
    name = " ".join(filter(None, [fields.get("firstname"), fields.get("lastname")]))
    return RemoteCustomer(id=raw["id"], key=fields.get(CUSTOMER), name=name or None, email=fields.get("email"))
