"""Our drafts in QuickBooks' words, as pure functions: customers, invoices, and the tax QuickBooks will compute on them.

Lengths and formats from developer.intuit.com, API reference, Customer and Invoice.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationInfo, field_validator

from connectors.countries import alpha_3
from connectors.errors import Rejected
from connectors.http import Answer
from connectors.model import Address, Amount, Currency, InvoiceDraft, Party, rounded
from connectors.platforms.base import Choice, PostedAtOnce, choices
from connectors.platforms.currencies import in_decimals
from connectors.platforms.documents import CustomerDraft
from connectors.platforms.rows import Row, coded, percent, priced, rows
from connectors.platforms.texts import BEFORE_KEY, fits, marked, placed, without_empty

T = TypeVar("T")
Raw = Mapping[str, Any]
TITLE = "QuickBooks"
FAULTS = {"authentication": 401, "authorization": 403, "throttl": 429, "system": 500}
"""What types of Fault stand for where the HTTP status does not say it; others are refusals."""
MOST_LINES = 750
ADDRESS, LONGEST = ("", "", "City", "CountrySubDivisionCode", "PostalCode", "Country"), (0, 0, 255, 255, 30)
NONE, ONE = Decimal(0), Decimal(1)


class QuickBooksSettings(PostedAtOnce):
    """What the merchant configures; ids come from queries in QuickBooks, named in the field's description."""

    realm_id: Annotated[
        str, Field(pattern=r"^\d{1,25}$", description="the company, as `realmId` in the redirect after consent")
    ]
    home_currency: Annotated[Currency, Field(description="the company's currency")]
    multicurrency: Annotated[
        bool,
        Field(description="as in `GET /preferences`; without it other currencies are held"),
    ] = False
    item: Annotated[
        str,
        Field(
            min_length=1,
            description="id of the item for everything without one of its own",
        ),
    ]
    items: Annotated[dict[str, str], Field(description="SKU to item id")] = Field({})
    shipping_item: Annotated[str | None, Field(description="id; `item` where left out")] = None
    discount_item: Annotated[str | None, Field(description="id, for a negative line; `item` where left out")] = None
    automated_sales_tax: Annotated[
        bool,
        Field(description="true for a company in the US: the order's tax is stated"),
    ] = False
    tax: Annotated[
        dict[Amount, str],
        Field(
            validate_default=True,
            description="outside the US required: rate in percent to the id of the tax code",
        ),
    ] = Field({})
    tax_rates: Annotated[
        dict[Amount, str],
        Field(
            description="rate in percent to the id of the tax *rate*: lets tax be stated where the shop rounds per line"
        ),
    ] = Field({})

    @field_validator("tax")
    @classmethod
    def _tax_codes(cls, codes: dict[Amount, str], given: ValidationInfo) -> dict[Amount, str]:
        if not codes and not given.data.get("automated_sales_tax"):
            raise ValueError('set the tax codes: { "20" = "<Id of select * from TaxCode>" }')
        return codes


def offered(Item: Sequence[Raw], TaxCode: Sequence[Raw], TaxRate: Sequence[Raw]) -> list[Choice]:  # noqa: N803
    """What the merchant can choose, from the rows of these entities."""
    names = ("item", "shipping_item", "discount_item")
    found = [Choice(setting=name, value=raw["Id"], title=raw["Name"]) for raw in Item for name in names]
    percents = {str(raw["Id"]): percent(raw["RateValue"]) for raw in TaxRate}
    for raw in TaxCode:
        details = (raw.get("SalesTaxRateList") or {}).get("TaxRateDetail") or []
        rate = percents.get(str(details[0]["TaxRateRef"]["value"])) if len(details) == 1 else None
        found.append(Choice(setting="tax", key=rate, value=raw["Id"], title=raw["Name"]))
    return found + choices("tax_rates", TaxRate, "Id", "Name", lambda raw: percents[raw["Id"]])


# -- answers -----------------------------------------------------------------------------------------------------------


def parsed(body: str) -> dict[str, Any]:
    """The fields of a rendered entity."""
    fields: dict[str, Any] = json.loads(body, parse_float=Decimal)
    return fields


def top_fault(answer: Answer) -> Mapping[str, Any] | None:
    """The Fault of a whole answer; some layers write it `fault`, and null where there is none."""
    body = answer.json()
    found = (body.get("Fault") or body.get("fault")) if isinstance(body, dict) else None
    return found if isinstance(found, dict) else None


def xml_fault(body: bytes) -> Mapping[str, Any]:
    """The Fault of an answer that came as XML although JSON was asked for: as throttling and some 401 do."""
    text = body.decode("utf-8", "replace")

    def of(pattern: str) -> str | None:
        found = re.search(pattern, text, re.DOTALL)
        return found[1].strip() if found else None

    error = {"code": of(r'<Error[^>]*\bcode="([^"]*)"'), "Message": of(r"<Message>(.*?)</Message>")}
    if not any(error.values()):
        raise ValueError("no Fault")
    return {"type": of(r'<Fault[^>]*\btype="([^"]*)"'), "Error": [{**error, "Detail": of(r"<Detail>(.*?)</Detail>")}]}


def fault(found: Mapping[str, Any]) -> tuple[str, str | None]:
    """A Fault's words and its first code: the message, and the detail where it says more."""
    errors = [{name.lower(): value for name, value in error.items()} for error in found.get("Error") or found["error"]]
    said = []
    for error in errors:
        message, detail = str(error.get("message") or ""), str(error.get("detail") or "")
        said.append(detail if detail.startswith(message) and detail else ": ".join(filter(None, (message, detail))))
    return "; ".join(said), str(errors[0]["code"]) if errors[0].get("code") else None


def batch_id(key: str) -> str:
    """The `bId` of a document in a batch: at most 10 characters, the same for ever, never a position."""
    return hashlib.sha256(key.encode()).hexdigest()[:10]


def literal(text: str) -> str:
    """The text in a query; a quote is escaped by a backslash (Query operations and syntax)."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


# -- customers ---------------------------------------------------------------------------------------------------------


def plain_name(party: Party) -> str:
    """The name without what makes it unique, as a merchant would have typed it; colon, tab and newline are not allowed,
    and how a backslash is looked for is not documented."""
    return " ".join(party.display_name.replace(":", "-").replace("\\", "/").split())


def display_name(draft: CustomerDraft, settings: QuickBooksSettings) -> str:
    """DisplayName, unique among customers, vendors and employees: the name and what tells two of one name apart, and a
    currency other than the company's own, for a customer has one.

    The name on the invoice is another one (BillAddr), so that nobody but the merchant sees this.
    """
    party, plain = draft.party, plain_name(draft.party)
    distinct = party.email or party.ref or hashlib.sha256(draft.key.encode()).hexdigest()[:8]
    distinct = " ".join(distinct.replace(":", "-").replace("\\", "/").split())
    foreign = draft.currency if settings.multicurrency and draft.currency != settings.home_currency else None
    marks = ", ".join(mark for mark in (distinct if plain != distinct else None, foreign) if mark)
    return f"{plain} ({marks})" if marks else plain


def customer(draft: CustomerDraft, settings: QuickBooksSettings) -> dict[str, Any]:
    """A customer for POST /customer. Raises `Rejected` naming what is longer than QuickBooks takes; nothing is cut.

    Of a name whose parts are too long for their fields only DisplayName carries it, whole.
    """
    party = draft.party
    first, _, last = (party.name or "").strip().rpartition(" ")
    names = {"GivenName": first or last, "FamilyName": last if first else "", "CompanyName": party.company or ""}
    billing = draft.billing_address or draft.shipping_address
    email = fits("the customer's e-mail address", party.email, 100, TITLE)
    return without_empty(
        {
            "DisplayName": fits("the customer's name", display_name(draft, settings), 500, TITLE),
            **{field: plain_text(name) for field, name in names.items() if len(name) <= 100},
            "PrimaryEmailAddr": {"Address": email} if email else None,
            "PrimaryPhone": {"FreeFormNumber": fits("the customer's telephone", party.phone, 30, TITLE)}
            if party.phone
            else None,
            "PrimaryTaxIdentifier": fits("the customer's tax number", party.tax_id, 20, TITLE),
            "BillAddr": address(None, billing),
            "ShipAddr": address(None, draft.shipping_address or billing),
            "CurrencyRef": {"value": draft.currency} if settings.multicurrency and draft.currency else None,
            "Notes": fits("the customer's key", f"Billhook{BEFORE_KEY}{draft.key}", 2000, TITLE),
        }
    )


def plain_text(name: str) -> str:
    """Names hold no colon, tab or newline (API reference, Customer)."""
    return " ".join(name.replace(":", "-").split())


def address(name: str | None, place: Address | None) -> dict[str, Any] | None:
    """A PhysicalAddress: the addressee on its first line; the country in three letters. None without a place."""
    if place is None:
        return {"Line1": fits("the name", name, 500, TITLE)} if name else None
    lines = [text for text in (name, place.line1, place.line2) if text]
    return {
        **{f"Line{at}": fits("a line of the address", text, 500, TITLE) for at, text in enumerate(lines, 1)},
        **placed(place, ADDRESS, LONGEST, TITLE, alpha_3),
    }


# -- invoices ----------------------------------------------------------------------------------------------------------


def invoice(draft: InvoiceDraft, customer_id: str, settings: QuickBooksSettings) -> dict[str, Any]:
    """An invoice for POST /invoice. Raises `Rejected` where QuickBooks could not give the order's total."""
    return _sale({"DueDate": draft.due_on.isoformat()}, draft, customer_id, settings)


def credit_memo(draft: InvoiceDraft, customer_id: str, invoice_id: str, settings: QuickBooksSettings) -> dict[str, Any]:
    """A credit memo for POST /creditmemo, in positive amounts. Raises `Rejected` as an invoice does.

    `InvoiceRef` names the invoice (minor version 37); companies that do not keep it leave it out of their answer
    (github.com/intuit/QuickBooks-V3-PHP-SDK issue 242).
    """
    return _sale({"InvoiceRef": {"value": invoice_id}}, draft, customer_id, settings)


def application(
    draft: InvoiceDraft, customer_id: str, amount: Decimal, settings: QuickBooksSettings, **linked: str
) -> dict[str, Any]:
    """A payment of nothing for POST /payment, by which `amount` of one document is set off against another: `linked`
    are their ids by type (API reference, Payment; docs.breadwinner.com, "Applying Credit to an Invoice")."""
    lines = [{"Amount": amount, "LinkedTxn": [{"TxnId": ident, "TxnType": kind}]} for kind, ident in linked.items()]
    return without_empty(
        {
            "TxnDate": draft.issued_on.isoformat(),
            "CustomerRef": {"value": customer_id},
            "CurrencyRef": {"value": draft.currency} if settings.multicurrency else None,
            "TotalAmt": NONE,
            "PrivateNote": private_note(draft),
            "Line": lines,
        }
    )


def _sale(
    head: Mapping[str, Any], draft: InvoiceDraft, customer_id: str, settings: QuickBooksSettings
) -> dict[str, Any]:
    """What invoices and credit memos share.

    Amounts are always sent without tax (TaxExcluded), from what the order says of each line, so that net, tax and total
    are the order's whether its prices include tax or not.
    """
    if len(draft.reference) > 21:
        raise Rejected(f"order {draft.order_ref}: QuickBooks takes numbers of up to 21 characters")
    if not settings.multicurrency and draft.currency != settings.home_currency:
        raise Rejected(
            f"order {draft.order_ref} is in {draft.currency}, the company has {settings.home_currency} only: "
            "turn on multicurrency there and set multicurrency = true"
        )
    in_decimals(2, draft.currency, f"order {draft.order_ref}", TITLE)
    found = rows(draft)
    if len(found) > MOST_LINES:
        raise Rejected(f"order {draft.order_ref} has {len(found)} lines; QuickBooks takes {MOST_LINES}")
    name = draft.customer.display_name
    email = fits(f"order {draft.order_ref}: the e-mail address", draft.customer.email, 100, TITLE)
    return without_empty(
        {
            "DocNumber": draft.reference,
            "TxnDate": draft.issued_on.isoformat(),
            **head,
            "CustomerRef": {"value": customer_id},
            "CurrencyRef": {"value": draft.currency} if settings.multicurrency else None,
            "GlobalTaxCalculation": None if settings.automated_sales_tax else "TaxExcluded",
            "BillEmail": {"Address": email} if email else None,
            "BillAddr": address(name, draft.billing_address),
            "ShipAddr": address(name, draft.shipping_address) if draft.shipping_address else None,
            "PrivateNote": private_note(draft),
            "Line": [_line(row, draft, settings) for row in found],
            "TxnTaxDetail": _tax_detail(found, draft, settings),
        }
    )


def private_note(draft: InvoiceDraft) -> str:
    """`PrivateNote`, which the customer does not see: the order for people, then our whole key. At most 4,000."""
    return marked(draft, 4000, TITLE)


def _line(row: Row, draft: InvoiceDraft, settings: QuickBooksSettings) -> dict[str, Any]:
    """Quantity × unit price must be the amount ("Amount is not equal to UnitPrice * Qty" is a refusal); both have at
    most five decimals. Where the columns do not show how the amount came about, the description does."""
    quantity, unit = priced(row, row.net, draft.currency, quantity_places=5, unit_places=5) or (ONE, row.net)
    if unit != row.unit and quantity * unit != row.net:
        quantity, unit = ONE, row.net  # the product must not need rounding
    text = row.description if row.kind != "line" or unit == row.unit else f"{row.description}\n{row.calculation()}"
    item = {"shipping": settings.shipping_item, "discount": settings.discount_item}.get(row.kind)
    detail = {
        "ItemRef": {"value": item or settings.items.get(row.sku or "", settings.item)},
        "Qty": quantity,
        "UnitPrice": unit,
        "TaxCodeRef": {"value": _tax_code(row, draft, settings)},
    }
    return {
        "DetailType": "SalesItemLineDetail",
        "Amount": row.net,
        "Description": fits(f"order {draft.order_ref}: a line's description", text, 4000, TITLE),
        "SalesItemLineDetail": detail,
    }


def _tax_code(row: Row, draft: InvoiceDraft, settings: QuickBooksSettings) -> str:
    """In the US a line is TAX or NON; elsewhere it names the company's tax code."""
    if settings.automated_sales_tax:
        return "TAX" if row.rate or row.tax else "NON"
    return coded(settings.tax, row.rate, draft, TITLE)


def _tax_detail(found: Sequence[Row], draft: InvoiceDraft, settings: QuickBooksSettings) -> dict[str, Any] | None:
    """The tax, stated only where it must be.

    In the US always: the engine "honors the amount" (Intuit's developer blog, 11 December 2017; minor version 70).
    Elsewhere QuickBooks sums the lines of a rate and rounds once; where the order rounded otherwise, each rate's tax is
    stated as a TaxLine, for which the rate's id must be known.
    """
    if settings.automated_sales_tax:
        return {"TotalTax": draft.tax_total}
    net = {row.rate: NONE for row in found}
    charged = dict(net)
    for row in found:
        net[row.rate] += row.net
        charged[row.rate] += row.tax
    if all(_to_cents(net[rate] * rate / 100) == tax for rate, tax in charged.items()):
        return None
    lines = []
    for rate, tax in charged.items():
        if not rate and not tax:
            continue
        if rate not in settings.tax_rates:
            shown = percent(rate)
            by_them = _to_cents(net[rate] * rate / 100)
            raise Rejected(
                f"order {draft.order_ref}: QuickBooks would make the {shown} % tax {by_them}, the order charges {tax} "
                f'{draft.currency}, for it rounds once per rate: set tax_rates."{shown}" in the account\'s settings '
                "(a query of TaxRate lists them), so that the order's tax can be stated"
            )
        detail = {
            "TaxRateRef": {"value": settings.tax_rates[rate]},
            "PercentBased": True,
            "TaxPercent": rate,
            "NetAmountTaxable": net[rate],
        }
        lines.append({"DetailType": "TaxLineDetail", "Amount": tax, "TaxLineDetail": detail})
    return {"TotalTax": draft.tax_total, "TaxLine": lines}


def _to_cents(amount: Decimal) -> Decimal:
    """Two decimals, taken for every currency: nothing says that QuickBooks rounds yen otherwise."""
    return rounded(amount, "USD")
