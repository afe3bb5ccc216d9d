"""Our drafts in Odoo's words, as pure functions: what the merchant configures, partners, invoices, and what is read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from connectors.errors import Rejected
from connectors.model import Amount, InvoiceDraft, RemoteInvoice, Status, rounded
from connectors.platforms import rows as order_rows
from connectors.platforms.base import Choice, PlatformSettings
from connectors.platforms.documents import CustomerDraft, PlannedInvoice, RemoteCustomer
from connectors.platforms.odoo_protocols import Protocol
from connectors.platforms.texts import BEFORE_KEY, key_in

LONGEST = 255
"""Characters of our reference. Odoo's own text fields have no limit; this is ours."""
CENT = Decimal("0.01")
PAYMENT = {"paid": Status.PAID, "in_payment": Status.PAID, "reversed": Status.PAID}
"""Of an invoice that is reversed credit notes have taken off all that was due: it stands, and is settled."""
STATES = {
    "draft": Status.DRAFT,
    "posted": Status.ISSUED,
    "open": Status.ISSUED,
    "in_payment": Status.PAID,
    "paid": Status.PAID,
    "cancel": Status.VOID,
}


class OdooSettings(PlatformSettings):
    """What the merchant configures. Ids belong to one database: those of a copy are other ones."""

    url: Annotated[
        str,
        Field(
            pattern=r"^https://[^/]",
            description="where Odoo is reached: `https://acme.odoo.com`; an account's `base_url` wins over it",
        ),
    ]
    database: Annotated[str, Field(min_length=1, description="its name")]
    version: Annotated[
        int,
        Field(
            ge=11,
            description="the first number of `server_version` in `GET /web/version`",
        ),
    ]
    protocol: Annotated[
        Protocol | None,
        Field(description="`json-2` (19 on), `json-rpc` or `xml-rpc`; left out, the first from 19 on, else the second"),
    ] = None
    login: Annotated[str | None, Field(description="the user's login; JSON-2 needs none, the others do")] = None
    tax: Annotated[
        dict[Amount, int],
        Field(
            min_length=1,
            description='rate in percent to the id of a sales tax that prices do not include: `{ "20" = 5 }`',
        ),
    ]
    inclusive_tax: Annotated[
        dict[Amount, int], Field(description="the same for taxes that prices include; for shops whose prices do")
    ] = Field(default_factory=dict)
    journal: Annotated[int | None, Field(description="id of the sales journal; Odoo's own choice where left out")] = (
        None
    )
    income_account: Annotated[int | None, Field(description="id of the income account; needed up to Odoo 12")] = None
    company: Annotated[int | None, Field(description="id of the company, in a database with several")] = None
    mail_template: Annotated[
        int | None, Field(description="id of the mail template of invoices; to mail from Odoo up to 16")
    ] = None

    @model_validator(mode="after")
    def _what_the_version_needs(self) -> Self:
        if self.version < 19 and self.protocol == "json-2":
            raise PydanticCustomError("no_json_2", "protocol json-2 exists from Odoo 19 on: leave it out")
        if self.spoken != "json-2" and not self.login:
            raise PydanticCustomError("no_login", "login is needed: the protocol {it} asks for it", {"it": self.spoken})
        if self.version <= 12 and self.income_account is None:
            raise PydanticCustomError("no_account", "income_account is needed up to Odoo 12")
        return self

    @property
    def spoken(self) -> Protocol:
        """The protocol to speak."""
        return self.protocol or ("json-2" if self.version >= 19 else "json-rpc")

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


class OdooCredentials(BaseModel):
    """An API key of the user (Odoo 14 on), or the user's password."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_key: Annotated[SecretStr, Field(description="an API key of the user (from Odoo 14 on), or its password")]


@dataclass(frozen=True)
class Model:
    """What an invoice and its fields are called in one version of Odoo."""

    name: str
    type: str
    reference: str
    origin: str
    day: str
    due: str
    number: str
    residual: str
    payment: str | None
    line_taxes: str

    @property
    def fields(self) -> list[str]:
        """What is read of an invoice."""
        more = (self.payment,) if self.payment else ()
        same = ("id", "state", "currency_id", "amount_total", "amount_tax", "partner_id", "invoice_line_ids")
        return [*same, self.reference, self.origin, self.number, self.residual, *more]


_MOVE = Model(
    "account.move", "move_type", "ref", "invoice_origin", "invoice_date", "invoice_date_due", "name",
    "amount_residual", "payment_state", "tax_ids",
)  # fmt: skip
_MOVE_13 = Model(
    "account.move", "type", "ref", "invoice_origin", "invoice_date", "invoice_date_due", "name",
    "amount_residual", "invoice_payment_state", "tax_ids",
)  # fmt: skip
_INVOICE = Model(
    "account.invoice", "type", "name", "origin", "date_invoice", "date_due", "number", "residual", None,
    "invoice_line_tax_ids",
)  # fmt: skip


def model_of(version: int) -> Model:
    """`account.invoice` up to Odoo 12, then `account.move`, whose type field got its name in 14."""
    return _INVOICE if version <= 12 else _MOVE_13 if version == 13 else _MOVE


def external_id(kind: str, key: str) -> str:
    """Our name for a record, `billhook.<kind>_<key>`: the same for ever, and no two keys have one.

    Only letters, digits and `_`; one dot, after the module. A long key is cut and closed with its digest.
    """
    safe = "".join(c if c.isascii() and c.isalnum() else "".join(f"_{b:02x}" for b in c.encode()) for c in key)
    if len(safe) > 150:
        safe = f"{safe[:100]}_{hashlib.sha256(key.encode()).hexdigest()[:40]}"
    return f"billhook.{kind}_{safe}"


def tax_choice(raw: Mapping[str, Any]) -> Choice:
    """A sales tax in percent as something to choose."""
    name = "inclusive_tax" if raw["price_include"] else "tax"
    return Choice(setting=name, key=order_rows.percent(raw["amount"]), value=str(raw["id"]), title=raw["name"])


def journal_choice(raw: Mapping[str, Any]) -> Choice:
    return Choice(setting="journal", value=str(raw["id"]), title=raw["name"])


# -- customers -------------------------------------------------------------------------------------------------------


def partner(draft: CustomerDraft) -> tuple[list[str], list[str]]:
    """A customer for `res.partner.load`: the columns and their cells. Nothing is left out.

    Countries are named by Odoo's own external ids, which are the ISO codes, but `base.uk`.
    """
    party = draft.party
    place = draft.billing_address or draft.shipping_address
    country = (place.country or "").lower() if place else ""
    cells = {
        "id": external_id("cust", draft.key),
        "name": party.display_name.strip() or "Customer",
        "ref": draft.key,
        "email": party.email,
        "phone": party.phone,
        "vat": party.tax_id,
        "is_company": "1" if party.company else "",
        "comment": f"Ordered by {party.name}" if party.company and party.name else "",
        "street": place.line1 if place else "",
        "street2": place.line2 if place else "",
        "city": ", ".join(filter(None, (place.city, place.region))) if place else "",
        "zip": place.postcode if place else "",
        "country_id/id": f"base.{'uk' if country == 'gb' else country}" if country else "",
    }
    return list(cells), [cell or "" for cell in cells.values()]


def customer(raw: Mapping[str, Any]) -> RemoteCustomer:
    return RemoteCustomer(
        id=str(raw["id"]), key=raw.get("ref") or None, name=raw.get("name") or None, email=raw.get("email") or None
    )


# -- invoices --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A line as Odoo will compute it. `discount` is in percent."""

    name: str
    quantity: Decimal
    price: Decimal
    tax: int | None
    discount: Decimal = Decimal(0)


def own_id(planned: PlannedInvoice) -> str:
    """Our name for an invoice, or for a credit note."""
    return external_id("inv" if planned.credited is None else "note", planned.key)


def head(planned: PlannedInvoice, settings: OdooSettings) -> tuple[list[str], list[str]]:
    """The invoice without its lines, or the credit note, which names its invoice; for `load`. Raises `Rejected` where
    our reference does not fit.

    Currencies are named by Odoo's own external ids (`base.GBP`).
    """
    draft, credited = planned.draft, planned.credited
    if len(draft.reference) > LONGEST:
        raise Rejected(f"order {draft.order_ref}: its reference is longer than {LONGEST} characters")
    model = model_of(settings.version)
    cells = {
        "id": own_id(planned),
        model.type: "out_invoice" if credited is None else "out_refund",
        "partner_id/.id": planned.customer_id,
        "currency_id/id": f"base.{draft.currency}",
        model.reference: draft.reference,
        model.origin: origin(draft),
        model.day: draft.issued_on.isoformat(),
        model.due: draft.due_on.isoformat(),
    }
    if credited is not None:
        cells["reversed_entry_id/.id"] = credited.id
    if settings.journal is not None:
        cells["journal_id/.id"] = str(settings.journal)
    return list(cells), list(cells.values())


def origin(draft: InvoiceDraft) -> str:
    """For people the order, then our whole key, which `key_in` reads back."""
    return f"Order {draft.order_ref}{BEFORE_KEY}{draft.key}"


def loaded_lines(own: str, rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """The lines of the document of our name `own` as further columns of `load`, each with an external id too: else a
    replay doubles them."""
    columns = ["id", "name", "quantity", "price_unit", "discount", "tax_ids/.id"]
    cells = [
        [f"{own}_l{n}", row.name, f"{row.quantity:f}", f"{row.price:f}", f"{row.discount:f}", str(row.tax or "")]
        for n, row in enumerate(rows)
    ]
    return [f"invoice_line_ids/{column}" for column in columns], cells


def written_lines(rows: Sequence[Row], settings: OdooSettings) -> list[list[Any]]:
    """The lines as commands: all others out, these in; the same however often it is said."""
    taxes = model_of(settings.version).line_taxes
    account = {"account_id": settings.income_account} if settings.income_account else {}
    lines = [
        {
            "name": row.name, "quantity": row.quantity, "price_unit": row.price, "discount": row.discount,
            taxes: [[6, 0, [row.tax] if row.tax else []]], **account,
        }
        for row in rows
    ]  # fmt: skip
    return [[5, 0, 0], *([0, 0, line] for line in lines)]


def rows_of(draft: InvoiceDraft, settings: OdooSettings) -> list[Row]:
    """Lines, shipping, and the order's discount as a negative line (Odoo's discount of a line is a percentage)."""
    return [_row(row, draft, settings) for row in order_rows.rows(draft)]


def _row(row: order_rows.Row, draft: InvoiceDraft, settings: OdooSettings) -> Row:
    """The row as it is where Odoo can hold it; else one of its amount, which says how that came about.

    Odoo keeps two decimals of prices, quantities and percentages, unless the merchant has set more.
    """
    name, known = ("inclusive_tax", settings.inclusive_tax) if draft.tax_included else ("tax", settings.tax)
    tax = order_rows.coded_if_any(known, row.rate, draft, "Odoo", name)
    gross = row.quantity * row.unit
    off = row.discount * 100 / gross if gross else Decimal(0)
    if all(value == round(value, 2) for value in (row.quantity, row.unit, off)):
        return Row(row.description, row.quantity, row.unit, tax, off.quantize(CENT) if off else Decimal(0))
    return Row(f"{row.description}\n{row.calculation()}", Decimal(1), row.amount, tax)


def invoice(raw: Mapping[str, Any], version: int) -> RemoteInvoice:
    """An invoice as it was read. An empty value is `false` in Odoo, and another record comes as `[id, name]`."""
    model = model_of(version)
    currency = raw["currency_id"][1]
    status = STATES[raw["state"]]
    if status is Status.ISSUED and model.payment:
        status = PAYMENT.get(raw[model.payment], status)
    number = raw[model.number]
    return RemoteInvoice(
        id=str(raw["id"]),
        number=number if number and number != "/" else None,
        reference=raw[model.reference] or None,
        key=key_in(raw[model.origin]),
        status=status,
        currency=currency,
        total=amount(raw["amount_total"], currency),
        tax=amount(raw["amount_tax"], currency),
        due=amount(raw[model.residual], currency),
        customer_id=str(raw["partner_id"][0]) if raw["partner_id"] else None,
    )


def amount(value: Any, currency: str) -> Decimal:
    """An amount of Odoo's, which computes in binary floating point: what is off by less than a thousandth of a cent
    is the amount meant; anything else is kept as it is."""
    exact = Decimal(str(value))
    meant = rounded(exact, currency)
    return meant if abs(meant - exact) < Decimal("0.00001") else exact
