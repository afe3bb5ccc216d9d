"""What Business Central and Finance & Operations share: settings, an order's rows as lines, texts of OData.

Code fields of Business Central are stored in capitals; a quote in a literal of OData is doubled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, ValidationInfo, field_validator

from connectors.errors import Rejected
from connectors.model import Amount, InvoiceDraft, RemoteInvoice, rounded
from connectors.platforms.base import PlatformSettings
from connectors.platforms.documents import CustomerDraft, RemoteCustomer
from connectors.platforms.rows import Rounding, Row, coded, rounded_off, spread, told, without_tax
from connectors.platforms.texts import short

TITLE = "Dynamics 365"
KEY = 60
"""Characters of our key that are kept on an invoice; a longer key is shortened."""
ROUNDING = "Rounding"
NEEDS = {
    "business_central": {"company_id"},
    "finops": {"environment_url", "data_area_id", "customer_group", "sales_tax_group", "post_service"},
}


def rows_of(body: Any) -> list[Any]:
    """The rows of a list. Raises `ValueError` for a page that is not the last."""
    if "@odata.nextLink" in body:
        raise ValueError("there is more")
    return list(body["value"])


def following(body: Any) -> dict[str, str] | None:
    """What the next page is asked by, where there is one: the question of the link that an answer ends with."""
    link = body.get("@odata.nextLink")
    return dict(parse_qsl(urlsplit(link).query)) if link else None


class DynamicsSettings(PlatformSettings):
    """Which of the two it is, where, and what the lines are booked to."""

    variant: Annotated[
        Literal["business_central", "finops"], Field(description="Business Central, or Finance & Operations")
    ] = "business_central"
    tenant_id: Annotated[str, Field(min_length=1, description="the Entra tenant: its id or a domain of it")]
    environment: Annotated[str, Field(description="Business Central: name of the environment")] = "production"
    company_id: Annotated[
        str, Field(validate_default=True, description="Business Central: the company's id, a GUID; GET /companies")
    ] = ""
    environment_url: Annotated[
        str, Field(validate_default=True, description="F&O: https://<environment>.operations.dynamics.com")
    ] = ""
    data_area_id: Annotated[str, Field(validate_default=True, description="F&O: the legal entity, such as gbsi")] = ""
    customer_group: Annotated[str, Field(validate_default=True, description="F&O: group of new customers")] = ""
    sales_tax_group: Annotated[str, Field(validate_default=True, description="F&O: sales tax group of invoices")] = ""
    payment_terms: Annotated[str, Field(description="F&O: terms of payment of invoices; else the customer's")] = ""
    post_service: Annotated[
        str,
        Field(
            validate_default=True,
            description="F&O: your service that posts a free text invoice, as group/service/operation; not needed "
            "with issue = false",
        ),
    ] = ""
    sales_account: Annotated[str, Field(min_length=1, description="G/L account, in F&O main account, of lines")]
    shipping_account: Annotated[str | None, Field(description="the same for shipping; `sales_account` if left out")] = (
        None
    )
    rounding_account: Annotated[
        str | None, Field(description="the same for a line that evens out rounding; without it such orders are held")
    ] = None
    items: Annotated[
        dict[str, str], Field(description="Business Central: SKU to item number, where there is an item for it")
    ] = Field({})
    tax: Annotated[
        dict[Amount, str],
        Field(description='rate to tax group (a VAT product posting group), in F&O item sales tax group: {"20" = "…"}'),
    ]

    @field_validator(*NEEDS["business_central"], *NEEDS["finops"])
    @classmethod
    def _needed(cls, value: str, given: ValidationInfo) -> str:
        asked = given.field_name in NEEDS.get(given.data.get("variant", ""), set())
        if asked and not value and (given.field_name != "post_service" or given.data.get("issue")):
            raise ValueError(f"{given.data['variant']} needs it")
        return value


def mark(key: str) -> str:
    """What names a document in a batch: a number, the same for ever, never a position."""
    return str(int(hashlib.sha256(key.encode()).hexdigest()[:12], 16))


@dataclass(frozen=True)
class Item:
    """A line of the invoice without tax: quantity × unit − discount is the amount."""

    text: str
    quantity: Decimal
    unit: Decimal
    discount: Decimal
    amount: Decimal
    account: str
    sku: str | None
    code: str


def items(draft: InvoiceDraft, settings: DynamicsSettings, rounding: Rounding, *, off: bool) -> tuple[list[Item], str]:
    """The draft's lines, an order discount taken off them, and what the trail should say of them. `off`: whether a
    line can state a discount. Raises `Rejected` for a rate without a code, and where rounding cannot be evened out."""
    before = spread(draft)
    found = without_tax(before)
    difference = rounded_off(draft, found, rounding, TITLE)
    lines = [_item(row, was, draft, settings, off=off) for row, was in zip(found, before, strict=True)]
    if not difference:
        return lines, ""
    if settings.rounding_account is None:
        raise Rejected(
            f"order {draft.order_ref}: {TITLE} rounds tax so that its total would be {draft.total - difference} "
            f"{draft.currency}, the order's is {draft.total}: set rounding_account in the account's settings"
        )
    code = coded(settings.tax, Decimal(0), draft, TITLE)
    sign = Decimal(1) if difference > 0 else Decimal(-1)
    account = settings.rounding_account
    lines.append(Item(ROUNDING, sign, abs(difference), Decimal(0), difference, account, None, code))
    said = f"{TITLE} rounds tax otherwise than the order: a line of {difference} {draft.currency} evens it out"
    return lines, said


def _item(row: Row, was: Row, draft: InvoiceDraft, settings: DynamicsSettings, *, off: bool) -> Item:
    code = coded(settings.tax, row.rate, draft, TITLE)
    account = (settings.shipping_account if row.kind == "shipping" else None) or settings.sales_account
    fits = all(number == round(number, 5) for number in (row.quantity, was.unit))
    if off and fits and rounded(row.quantity * was.unit, draft.currency) - row.discount == row.amount:
        return Item(row.description, row.quantity, was.unit, row.discount, row.amount, account, row.sku, code)
    quantity, unit, text = told(was, row.amount, draft.currency, quantity_places=5, unit_places=5)
    return Item(text, quantity, unit, Decimal(0), row.amount, account, row.sku, code)


def known(draft: InvoiceDraft, found: Sequence[RemoteInvoice]) -> list[RemoteInvoice]:
    """What was found, our key written out where the platform keeps it shortened."""
    return [one.model_copy(update={"key": draft.key}) if one.key == short(draft.key, KEY) else one for one in found]


def chosen(draft: CustomerDraft, found: Sequence[RemoteCustomer], name: str | None) -> RemoteCustomer | None:
    """The customer of the same e-mail address (of several the one of the same name), else the one of this name, unless
    it has another e-mail address: there is no field for our key."""
    email, own = (draft.party.email or "").casefold(), (name or draft.party.display_name).casefold()
    ranked = []
    for one in found:
        has, named = (one.email or "").strip().casefold(), (one.name or "").strip().casefold() == own
        if (email and has == email) or (name and named and not (has and email)):
            ranked.append((has != email, not named, one.id, one))
    return min(ranked)[3] if ranked else None
