"""Square's words: what the merchant configures, how an order and its invoice are written, how answers are read."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, model_validator

from connectors.errors import Rejected
from connectors.http import dump_json
from connectors.model import (
    Currency,
    InvoiceDraft,
    Model,
    RemoteInvoice,
    Status,
    from_minor,
    minor_units,
    to_minor,
)
from connectors.platforms import rows
from connectors.platforms.base import PlatformSettings
from connectors.platforms.documents import CustomerDraft, PlannedInvoice, RemoteCustomer, later
from connectors.platforms.rows import percent
from connectors.platforms.texts import (
    first_and_last,
    fits,
    key_in,
    marked,
    noted,
    on_one_line,
    placed,
    short,
    sized,
    without_empty,
)

TITLE = "Square"
OURS = "billhook:"
"""Before our key in a customer's `reference_id`: the field may hold the merchant's own ids too."""
NUMBER = 191
CUSTOMER = {"given_name": 300, "family_name": 300, "company_name": 500, "email_address": 254}
STATUSES = {
    "DRAFT": Status.DRAFT,
    **dict.fromkeys(("UNPAID", "SCHEDULED", "PARTIALLY_PAID", "PAYMENT_PENDING", "FAILED"), Status.ISSUED),
    **dict.fromkeys(("PAID", "PARTIALLY_REFUNDED", "REFUNDED"), Status.PAID),
    "CANCELED": Status.VOID,
}
ADDRESS = ("address_line_1", "address_line_2", "locality", "administrative_district_level_1", "postal_code", "country")
Method = Literal["card", "square_gift_card", "bank_account", "buy_now_pay_later", "cash_app_pay"]
METHODS: tuple[Method, ...] = ("card", "square_gift_card", "bank_account", "buy_now_pay_later", "cash_app_pay")


class SquareSettings(PlatformSettings):
    """Where it is sold, and how it is paid. Taxes are the order's own: Square needs no tax codes."""

    locations: Annotated[
        dict[Currency, str],
        Field(min_length=1, description='per currency the location that bills in it: `{ GBP = "LGB1" }`'),
    ]
    delivery: Annotated[
        Literal["SHARE_MANUALLY", "EMAIL"],
        Field(description="`EMAIL`: Square mails the invoice when it is issued, and reminders; else we send the link"),
    ] = "SHARE_MANUALLY"
    payment_methods: Annotated[
        tuple[Method, ...], Field(min_length=1, description="how the customer can pay on Square's page")
    ] = ("card",)


class SquareCredentials(Model):
    """An app's OAuth, or a personal access token."""

    access_token: Annotated[
        SecretStr | None, Field(description="a personal access token of your own app; then nothing else is needed")
    ] = None
    client_id: Annotated[str, Field(description="the application id at developer.squareup.com")] = ""
    client_secret: Annotated[SecretStr, Field(description="the application's secret")] = SecretStr("")
    refresh_token: Annotated[
        SecretStr | None, Field(description="from a consent made elsewhere; else run `billhook connect`")
    ] = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if not self.access_token and not (self.client_id and self.client_secret.get_secret_value()):
            raise ValueError("give an access_token, or client_id and client_secret")
        return self


# -- requests ---------------------------------------------------------------------------------------------------------


def customer_body(draft: CustomerDraft) -> dict[str, Any]:
    """What Square has no valid field for, a phone number it would refuse or a tax id, stands in the note."""
    party = draft.party
    given, family = first_and_last(party)
    if not (given or family or party.company or party.email):
        given = party.display_name
    digits = (party.phone or "").removeprefix("+").replace(" ", "").replace("-", "")
    phone = party.phone if digits.isdecimal() and 9 <= len(digits) <= 16 else None
    text = {"given_name": given, "family_name": family, "company_name": party.company, "email_address": party.email}
    more = {
        "phone_number": phone,
        "reference_id": mark(draft),
        "note": noted({"Phone": None if phone else party.phone, "Tax ID": party.tax_id}),
        "address": placed(draft.billing_address, ADDRESS),
    }
    return {**sized(text, CUSTOMER, "the customer's", TITLE), **without_empty(more)}


def mark(draft: CustomerDraft) -> str:
    """Our key as it stands in `reference_id`, which takes 100 characters."""
    return short(OURS + draft.key, 100)


def location(draft: InvoiceDraft, settings: SquareSettings) -> str:
    if draft.currency not in settings.locations:
        raise Rejected(
            f"order {draft.order_ref} is in {draft.currency}: a Square location bills in its own currency only, and "
            f"none is configured for it: set locations.{draft.currency} (`billhook account options` lists them)"
        )
    return settings.locations[draft.currency]


def order_body(planned: PlannedInvoice, settings: SquareSettings) -> tuple[dict[str, Any], str]:
    """The order that the invoice is made of, and what the trail should say of it.

    Taxes are added by Square only where every way of rounding gives the order's tax; else the lines are sent with
    their tax included, which leaves no cent of the total to Square's rounding.
    """
    draft = planned.draft
    found = rows.spread(draft)
    if any(row.amount < 0 for row in found):
        raise Rejected(f"order {draft.order_ref}: a line's discount is larger than the line, which Square cannot bill")
    rows.rounded_off(draft, found, "line", TITLE)
    sure = rows.agrees_anyhow(draft, found)
    included = draft.tax_included or not sure
    names = {row.rate: row.tax_name for row in reversed(found) if row.rate}
    rates = sorted(names)
    taxes = [
        {
            "uid": f"t{at}",
            "name": fits(f"order {draft.order_ref}: the name of a tax", names[rate], 255, TITLE),
            "percentage": f"{percent(rate)}",
            "type": "INCLUSIVE" if included else "ADDITIVE",
            "scope": "LINE_ITEM",
        }
        for at, rate in enumerate(rates)
    ]
    lines = [_line(at, row, draft, included) for at, row in enumerate(found)]
    for line, row in zip(lines, found, strict=True):
        if row.rate:
            line["applied_taxes"] = [{"tax_uid": f"t{rates.index(row.rate)}"}]
    body = {
        "location_id": location(draft, settings),
        "reference_id": short(draft.reference, 40),
        "customer_id": planned.customer_id,
        "source": {"name": "Billhook"},
        "line_items": lines,
        "discounts": [_discount(at, row, draft) for at, row in enumerate(found) if _shown_off(row, included)],
        "taxes": taxes,
        "metadata": {"billhook_order": short(draft.reference, 255), "billhook_key": short(draft.key, 255)},
    }
    return {"order": without_empty(body)}, _remark(draft, sure)


def _shown_off(row: rows.Row, included: bool) -> bool:
    """Where the tax had to be put into the price, the discount is in it already."""
    return bool(row.discount) and row.included == included


def _line(at: int, row: rows.Row, draft: InvoiceDraft, included: bool) -> dict[str, Any]:
    """Quantity × unit price where both fit Square's whole numbers, else once the amount, and how it came about."""
    off = row.discount if _shown_off(row, included) else Decimal(0)
    amount = (row.gross if included else row.amount) + off
    shown = rows.priced(row, amount, draft.currency, quantity_places=0, unit_places=minor_units(draft.currency))
    quantity, unit = shown or (Decimal(1), amount)
    name, _, more = row.description.strip().partition("\n")
    said = shown is not None and bool(off) == bool(row.discount)
    note = "\n".join(filter(None, (more, "" if said else row.calculation())))
    return without_empty(
        {
            "uid": f"l{at}",
            "name": fits(f"order {draft.order_ref}: the text of a line", name, 512, TITLE),
            "note": fits(f"order {draft.order_ref}: the text of a line", note, 2000, TITLE),
            "quantity": f"{quantity.normalize():f}",
            "base_price_money": _money(unit, draft.currency),
            "applied_discounts": [{"discount_uid": f"d{at}"}] if off else [],
        }
    )


def _discount(at: int, row: rows.Row, draft: InvoiceDraft) -> dict[str, Any]:
    money = _money(row.discount, draft.currency)
    return {"uid": f"d{at}", "name": "Discount", "type": "FIXED_AMOUNT", "amount_money": money, "scope": "LINE_ITEM"}


def _money(amount: Decimal, currency: str) -> dict[str, Any]:
    return {"amount": to_minor(amount, currency), "currency": currency}


def _remark(draft: InvoiceDraft, sure: bool) -> str:
    said = []
    if draft.discount and draft.discount.amount:
        said.append(f"the order discount of {draft.discount.amount} {draft.currency} is taken off the lines")
    if not sure and draft.tax_included:
        said.append("the tax that Square states may differ from the order's by its rounding; the total does not")
    elif not sure:
        said.append(
            "the lines are sent with their tax included, because Square's rounding could make another total; the tax "
            "that Square states may differ from the order's by its rounding"
        )
    return "; ".join(said)


def invoice_body(planned: PlannedInvoice, settings: SquareSettings) -> str:
    """The draft of the order that the step before makes, as JSON."""
    draft = planned.draft
    if settings.delivery == "EMAIL" and not draft.customer.email:
        raise Rejected(
            f"order {draft.order_ref}: the customer has no e-mail address, and Square is to mail the invoice"
        )
    invoice = {
        "order_id": later("order"),
        "location_id": location(draft, settings),
        "primary_recipient": {"customer_id": planned.customer_id},
        "payment_requests": [
            {"request_type": "BALANCE", "due_date": draft.due_on.isoformat(), "automatic_payment_source": "NONE"}
        ],
        "delivery_method": settings.delivery,
        "invoice_number": fits(f"order {draft.order_ref}: the reference", draft.reference, NUMBER, TITLE),
        "title": f"Order {draft.order_ref}",
        "description": _description(draft),
        "accepted_payment_methods": {name: name in settings.payment_methods for name in METHODS},
        "sale_or_service_date": draft.issued_on.isoformat(),
        "store_payment_method_enabled": False,
    }
    return dump_json({"invoice": invoice})


def _description(draft: InvoiceDraft) -> str:
    """What an invoice has no field for, then the order and our key."""
    said = noted({"Tax ID": draft.customer.tax_id, "Shipped to": on_one_line(draft.shipping_address)})
    return "\n".join(filter(None, (said, marked(draft, 4000, TITLE))))


# -- answers ----------------------------------------------------------------------------------------------------------


def invoice(raw: Any) -> RemoteInvoice:
    """From an Invoice, which has no total of its own: it is the sum of its payment requests."""
    asked = raw["payment_requests"]
    currency = asked[0]["computed_amount_money"]["currency"]
    total = sum(one["computed_amount_money"]["amount"] for one in asked)
    paid = sum((one.get("total_completed_amount_money") or {}).get("amount") or 0 for one in asked)
    return RemoteInvoice(
        id=raw["id"], number=raw.get("invoice_number"), reference=raw.get("invoice_number"),
        key=key_in(raw.get("description")), status=STATUSES[raw["status"]], currency=currency,
        total=from_minor(total, currency), due=from_minor(total - paid, currency),
        customer_id=(raw.get("primary_recipient") or {}).get("customer_id"), url=raw.get("public_url"),
    )  # fmt: skip


def dated_since(raw: Any, day: date) -> RemoteInvoice | None:
    """From an Invoice, if it is dated that day or later: by the day of the sale, which it may lack, or by the moment at
    which it was made. That is in UTC, and a day of the location's may have begun on the day before."""
    sold, made = raw.get("sale_or_service_date") or "", raw["created_at"]
    wanted = sold >= day.isoformat() or made >= (day - timedelta(days=1)).isoformat()
    return invoice(raw) if wanted else None


def unbilled(raw: Any, planned: PlannedInvoice) -> RemoteInvoice:
    """An order of ours that has no invoice yet, as the beginning of one."""
    total = raw["total_money"]
    return RemoteInvoice(
        id=raw["id"], reference=planned.draft.reference, key=planned.key, status=Status.DRAFT,
        currency=total["currency"], total=from_minor(total["amount"], total["currency"]),
        customer_id=planned.customer_id,
    )  # fmt: skip


def customer(raw: Any, draft: CustomerDraft | None = None) -> RemoteCustomer:
    """`draft`: whose key a shortened one is."""
    reference = raw.get("reference_id") or ""
    key = reference if reference.startswith(OURS) else None
    if draft is not None and reference == mark(draft):
        key = draft.key
    name = raw.get("company_name") or " ".join(filter(None, (raw.get("given_name"), raw.get("family_name"))))
    return RemoteCustomer(id=raw["id"], key=key, name=name or None, email=raw.get("email_address"))
