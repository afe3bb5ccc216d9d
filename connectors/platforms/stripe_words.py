"""Stripe's words: what the merchant configures, how requests are written, how answers are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from pydantic import BaseModel, Field, SecretStr

from connectors.errors import Rejected
from connectors.model import Address, InvoiceDraft, Model, RemoteInvoice, Status
from connectors.platforms.base import Choice, PlatformSettings
from connectors.platforms.documents import LATER, RemoteCustomer, Request
from connectors.platforms.stripe_lines import Row, digits
from connectors.platforms.texts import fits, parts

Pairs = list[tuple[str, str]]

METADATA_LIMIT = 500
"""Characters of a metadata value (docs.stripe.com/api/metadata)."""
STATUSES = {
    "draft": Status.DRAFT,
    "open": Status.ISSUED,
    "uncollectible": Status.ISSUED,
    "paid": Status.PAID,
    "void": Status.VOID,
}
NOTE_STATUSES = {"issued": Status.ISSUED, "void": Status.VOID}
"""Of credit notes, of which there are no drafts (docs.stripe.com/api/credit_notes/object)."""
PERCENT_LATER = quote(LATER, errors="surrogatepass")
TaxRateId = Annotated[str, Field(pattern="^txr_")]


class StripeSettings(PlatformSettings):
    """What the merchant configures: each tax percentage and the id of that tax rate on Stripe."""

    tax_rates: Annotated[
        dict[Decimal, TaxRateId], Field(description='rate in percent to the id of that tax rate: `{ "20" = "txr_…" }`')
    ]
    inclusive_tax_rates: Annotated[
        dict[Decimal, TaxRateId],
        Field(
            default_factory=dict, description="the same for prices that include tax: tax rates of their own on Stripe"
        ),
    ]
    days_until_due: Annotated[int, Field(ge=0, description="where the shop's `payment_days` is 0")] = 14
    account: Annotated[
        str | None,
        Field(pattern="^acct_", description="the connected account to act for (`acct_…`), by Stripe Connect"),
    ] = None


class StripeCredentials(Model):
    """A secret key (`sk_live_…`, `sk_test_…`) or a restricted one (`rk_…`): the account's own, or a platform's."""

    api_key: Annotated[SecretStr, Field(description="a secret key (`sk_…`) or a restricted one (`rk_…`)")]
    client_id: Annotated[
        str | None,
        Field(
            pattern="^ca_",
            description="of your Connect platform (`ca_…`), for a merchant's consent; needs `account`",
        ),
    ] = None


class TaxRate(BaseModel):
    """A tax rate as the merchant has it on Stripe: what `Settings.tax_rates` may name."""

    id: str
    display_name: str
    percentage: Decimal
    inclusive: bool
    active: bool = True
    country: str | None = None


def choice(rate: TaxRate) -> Choice:
    """A tax rate on Stripe as something to choose."""
    name = "inclusive_tax_rates" if rate.inclusive else "tax_rates"
    title = f"{rate.display_name} {rate.country or ''}".strip()
    return Choice(setting=name, key=f"{rate.percentage.normalize():f}", value=rate.id, title=title)


def account_name(raw: Any) -> str | None:
    found = ((raw.get("settings") or {}).get("dashboard") or {}).get("display_name")
    return found or (raw.get("business_profile") or {}).get("name")


def form(step: str, path: str, pairs: Iterable[tuple[str, str]], *, issues: bool = False) -> Request:
    """A POST with these parameters; nested ones are written `a[0][b]` (docs.stripe.com/api, stripe/_encode.py). A value
    may be `later` of a name that is encoded as it stands."""
    body = urlencode(list(pairs), errors="surrogatepass").replace(PERCENT_LATER, LATER)
    return Request(
        step=step,
        path=path,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body=body,
        issues=issues,
    )


def address(prefix: str, given: Address | None) -> Pairs:
    """The parts of an address that are there, in Stripe's names."""
    if given is None:
        return []
    names = ("line1", "line2", "city", "state", "postal_code", "country")
    return [(f"{prefix}[{name}]", value) for name, value in zip(names, parts(given), strict=True) if value]


def invoice(raw: Any) -> RemoteInvoice:
    """An invoice from Stripe's JSON; amounts come in the currency's minor units as Stripe counts them."""
    return _document(raw, STATUSES, raw.get("amount_remaining"), raw.get("hosted_invoice_url"))


def credit_note(raw: Any) -> RemoteInvoice:
    """A credit note from Stripe's JSON. Nothing of it ever remains to be used."""
    return _document(raw, NOTE_STATUSES)


def _document(
    raw: Any, statuses: Mapping[str, Status], due: int | None = None, url: str | None = None
) -> RemoteInvoice:
    currency = raw["currency"].upper()

    def major(units: int) -> Decimal:
        return Decimal(units).scaleb(-digits(currency))

    taxes = raw.get("total_taxes")
    return RemoteInvoice(
        id=raw["id"],
        number=raw.get("number"),
        reference=mark(raw, "billhook_order"),
        key=mark(raw, "billhook_key"),
        status=statuses[raw["status"]],
        currency=currency,
        total=major(raw["total"]),
        tax=None if taxes is None else major(sum(tax["amount"] for tax in taxes)),
        due=None if due is None else major(due),
        customer_id=raw.get("customer"),
        url=url,
    )


def marks(draft: InvoiceDraft) -> Pairs:
    """The metadata by which a document is found again. Raises `Rejected` for what is longer than Stripe takes."""
    fits(f"order {draft.order_ref}: the reference", draft.reference, METADATA_LIMIT, "Stripe's metadata")
    fits(f"order {draft.order_ref}: the business key", draft.key, METADATA_LIMIT, "Stripe's metadata")
    return [("metadata[billhook_order]", draft.reference), ("metadata[billhook_key]", draft.key)]


def customer(raw: Any) -> RemoteCustomer:
    return RemoteCustomer(
        id=raw["id"], key=mark(raw, "billhook_customer"), name=raw.get("name"), email=raw.get("email")
    )


def mark(raw: Any, name: str) -> str | None:
    value = (raw.get("metadata") or {}).get(name)
    return None if value is None else str(value)


def rates_of(found: Sequence[Row], settings: StripeSettings, inclusive: bool) -> dict[Decimal, str]:
    """The tax rate ids of the order's percentages; a zero percentage may go without one."""
    name, known = (
        ("inclusive_tax_rates", settings.inclusive_tax_rates) if inclusive else ("tax_rates", settings.tax_rates)
    )
    for tax in (row.tax for row in found):
        if tax is not None and tax.rate and tax.rate not in known:
            raise Rejected(
                f'the order has {tax.name} at {tax.rate.normalize():f} %: add it to the Stripe setting "{name}"'
            )
    return known
