"""Our drafts in BILL's words, as pure functions: settings, customers, invoices and their tax lines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from connectors.errors import Rejected
from connectors.http import Answer
from connectors.model import Address, Amount, Currency, InvoiceDraft, minor_units
from connectors.platforms import rows, texts
from connectors.platforms.base import PostedAtOnce
from connectors.platforms.currencies import in_decimals
from connectors.platforms.documents import CustomerDraft

TITLE = "BILL"
OURS = "bh:"
"""Begins the account number of customers that we made; merchants have account numbers of their own."""
LONGEST = 100
MEANT = {
    "BDC_1109": 401, "BDC_1101": 401, "BDC_1102": 401, "BDC_1144": 429, "BDC_1322": 429, "BDC_1001": 500,
    "BDC_1002": 500,
}  # fmt: skip
"""What an error's code means as a status (Common API error codes): session, login, developer key; too many calls in
the hour, or at once; system error, unknown error."""
ADDRESS = ("line1", "line2", "city", "stateOrProvince", "zipOrPostalCode", "country")
Raw = Mapping[str, Any]


class BillComSettings(PostedAtOnce):
    """One organisation."""

    organization: Annotated[
        str, Field(pattern="^008", description="organization ID, begins 008 (Settings > Sync & Integrations > API)")
    ]
    tax: Annotated[
        dict[Amount, Annotated[str, Field(min_length=1)]],
        Field(min_length=1, description='rate in percent to the text of its line on the invoice: {"20": "VAT 20 %"}'),
    ]
    currencies: Annotated[
        tuple[Currency, ...],
        Field(min_length=1, description="invoiced in; others than USD need BILL's international invoices"),
    ] = ("USD",)
    account: Annotated[
        str | None,
        Field(pattern="^0ca", description="id of the account that payments go to (payToChartOfAccountId), begins 0ca"),
    ] = None


def problem(answer: Answer) -> Raw:
    """The first error of an answer: an array of them (Common API error codes). Raises anything on other bodies."""
    found: Raw = answer.json()[0]
    return found


def meaning(answer: Answer) -> int:
    """The status that an answer means: its code says it; the status that comes with one is not documented."""
    if answer.status < 400:
        return answer.status
    try:
        first = problem(answer)
        failing = first.get("category") in {"SERVER", "DOWNSTREAM"}
        return MEANT.get(first["code"], 500 if failing else answer.status)
    except Exception:  # the body is not BILL's
        return answer.status


def account_number(draft: CustomerDraft) -> str:
    """What a customer of ours carries: at most 100 characters, printed on invoices."""
    return texts.short(OURS + draft.key, LONGEST)


def customer(draft: CustomerDraft) -> tuple[dict[str, Any], str]:
    """A customer for POST /customers, and a remark where an address stands elsewhere. Raises `Rejected` without an
    e-mail address, which BILL requires, and for a name longer than it takes."""
    party = draft.party
    if not party.email:
        raise Rejected(f"BILL requires an e-mail address of each customer, and {party.display_name} has none")
    first, last = texts.first_and_last(party)
    billing = draft.billing_address or draft.shipping_address
    places = {"billingAddress": billing, "shippingAddress": draft.shipping_address or billing}
    refused = {name: place for name, place in places.items() if place and not _complete(place)}
    notes = {f"Address: {line}" for place in refused.values() if (line := texts.on_one_line(place))}
    notes |= {f"Tax ID: {party.tax_id}"} if party.tax_id else set()
    fields = {
        "name": texts.fits("the customer's name", party.display_name.strip(), LONGEST, TITLE),
        "companyName": texts.fits("the company's name", party.company, 250, TITLE),
        "email": party.email,
        "phone": party.phone,
        "accountType": "BUSINESS" if party.company else "PERSON",
        "accountNumber": account_number(draft),
        "invoiceCurrency": draft.currency or "USD",
        "contact": texts.without_empty({"firstName": first, "lastName": last}),
        "description": texts.fits("the customer's address", "\n".join(sorted(notes)), 4000, TITLE),
        **{name: texts.placed(place, ADDRESS) for name, place in places.items() if place and name not in refused},
    }
    remark = "the address is not complete for BILL: it stands in the customer's description" if refused else ""
    return texts.without_empty(fields), remark


def _complete(place: Address) -> bool:
    """Whether BILL takes it: in the US it wants the state too."""
    needed = (place.line1, place.city, place.postcode, place.country)
    return all(needed) and bool(place.region or place.country != "US")


def invoice(draft: InvoiceDraft, customer_id: str, settings: BillComSettings) -> tuple[dict[str, Any], str]:
    """An invoice for POST /invoices, and what the trail should say of it. Raises `Rejected` for a currency or tax rate
    that is not configured. Its last line, of no amount, ends in our whole business key."""
    order = f"order {draft.order_ref}"
    if draft.currency not in settings.currencies:
        raise Rejected(
            f"{order}: its currency {draft.currency} is not among the account's currencies "
            f"({', '.join(settings.currencies)}); BILL would bill it as dollars"
        )
    in_decimals(2, draft.currency, order, TITLE)
    found = rows.spread(draft)
    fields = {
        "customer": {"id": customer_id},
        "invoiceNumber": texts.fits(f"{order}: its invoice number", draft.reference, LONGEST, TITLE),
        "invoiceDate": draft.issued_on.isoformat(),
        "dueDate": draft.due_on.isoformat(),
        "payToChartOfAccountId": settings.account,
        "invoiceLineItems": [
            *(_line(row, draft.currency) for row in found),
            *_tax_lines(found, draft, settings),
            {"quantity": 1, "description": texts.marked(draft, 4000, TITLE), "price": 0},
        ],
        "processingOptions": {"sendEmail": False},
    }
    said = ["tax stands in lines of its own, as the order has it"] if any(row.tax for row in found) else []
    said += ["the order discount was taken off the lines"] if draft.discount and draft.discount.amount else []
    return texts.without_empty(fields), "; ".join(said)


def _line(row: rows.Row, currency: str) -> dict[str, Any]:
    """At its net amount: whole pieces at a price of the currency's decimals, else one piece, and the text says how."""
    places = minor_units(currency)
    quantity, price, text = rows.told(row, row.net, currency, quantity_places=0, unit_places=places)
    return {"quantity": quantity, "description": text, "price": price}


def _tax_lines(found: list[rows.Row], draft: InvoiceDraft, settings: BillComSettings) -> list[dict[str, Any]]:
    """One line a rate, with the sum of the order's own taxes: nothing is computed, so nothing is rounded."""
    taxes: dict[Decimal, Decimal] = {}
    for row in found:
        if row.rate or row.tax:
            taxes[row.rate] = taxes.get(row.rate, rows.NONE) + row.tax
    lines = {rows.coded(settings.tax, rate, draft, TITLE): tax for rate, tax in taxes.items()}
    if sum(lines.values(), rows.NONE) != draft.tax_total:
        raise Rejected(f"order {draft.order_ref}: two tax rates have the same text in the account's settings")
    return [{"quantity": 1, "description": text, "price": tax} for text, tax in lines.items()]


def key_in(raw: Raw) -> str | None:
    """The business key in the lines of an answer's invoice, None where there is none of ours."""
    said = (str(line.get("description") or "") for line in reversed(raw.get("invoiceLineItems") or ()))
    return next((key for text in said if text.startswith("Order ") and (key := texts.key_in(text))), None)


def named(name: str) -> str:
    """The filter for customers of a name. How a quote inside a quoted value is written is not documented: then what
    stands before it must do, and the names are compared afterwards."""
    begins = re.split(r'["\\]', name, maxsplit=1)[0]
    if begins == name:
        return f',name:eq:"{name}"'
    return f',name:sw:"{begins}"' if begins.strip() else ""
