"""Our drafts in Cin7 Core's words, as pure functions: customers, sales, the lines of orders and invoices.

Fields, lengths and required fields from the vendor's reference (dearinventory.docs.apiary.io). Prices are always
without tax and every tax is stated as an amount of ours, so nothing is left for Cin7 Core to round; line totals are
checked there, so quantity × price must give them exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from connectors.countries import english
from connectors.errors import Rejected
from connectors.model import Address, Amount, Currency, InvoiceDraft, RemoteInvoice, Status, rounded
from connectors.platforms.base import PlatformSettings
from connectors.platforms.currencies import configured
from connectors.platforms.documents import CustomerDraft, PlannedInvoice, RemoteCustomer, later
from connectors.platforms.rows import Row, coded, spread, without_tax
from connectors.platforms.texts import BEFORE_KEY, distinct_name, fits, key_in, placed, short, sized, without_empty

TITLE = "Cin7 Core"
Raw = Mapping[str, Any]
LONGEST = {
    **dict.fromkeys(("Name", "Contact", "Company", "Email", "CustomerReference", "ExternalID"), 256),
    **{"Phone": 50, "Note": 1024},
}
"""Characters that fields hold; the parts of an address 256 each, as the display lines."""
ADDRESS = ("Line1", "Line2", "City", "State", "Postcode", "Country")
Code = Annotated[str, Field(min_length=1)]
FINAL = {"AUTHORISED": Status.ISSUED, "PAID": Status.PAID}
OPEN = ("DRAFT", "NOT AVAILABLE")
"""States in which an order or an invoice may still be posted."""


class Cin7CoreSettings(PlatformSettings):
    """What the merchant configures, by the names that Cin7 Core has for it; `billhook account options` lists them."""

    base_currency: Annotated[Currency, Field(description="the company's own currency")]
    currency_rates: Annotated[
        dict[Currency, Amount],
        Field(
            default_factory=dict, description='base currency for one unit of each other you sell in: {"EUR": "0.86"}'
        ),
    ]
    location: Annotated[Code, Field(description="where stock is picked from (Settings > Reference books > Locations)")]
    tax: Annotated[
        dict[Amount, Code], Field(min_length=1, description="rate in percent to the name of a tax rule for sales")
    ]
    revenue_account: Annotated[Code, Field(description="code of the account for sales")]
    receivable_account: Annotated[Code, Field(description="code of the account for what customers owe")]
    payment_term: Annotated[Code, Field(description="name of the payment term of new customers and of sales")]
    products: Annotated[dict[str, Code], Field(min_length=1, description="SKU to the product's id (ProductID)")]
    product: Annotated[Code, Field(description="SKU, one of `products`, for whatever is not in it: a service product")]
    shipping: Annotated[Code, Field(description="name of the service product for shipping")]
    price_tier: Annotated[str | None, Field(description="name of the price tier; else the customer's")] = None
    ship: Annotated[
        Literal["NOPICK", "AUTOPICK", "AUTOPICKPACK", "AUTOPICKPACKSHIP"],
        Field(description="AUTOPICKPACKSHIP takes the goods out of stock at once; NOPICK leaves that to you"),
    ] = "NOPICK"


# -- answers -----------------------------------------------------------------------------------------------------------


def document(raw: Raw) -> RemoteInvoice:
    """A sale as an invoice: its invoice where it has one, else its order. A draft until the invoice is authorised."""
    invoices = raw.get("Invoices") or []
    living = [one for one in invoices if one["Status"] != "VOIDED"]
    final = next((one for one in living if one["Status"] in FINAL), None)
    started = next((one for one in living if one["Status"] == "DRAFT"), None)
    status = FINAL[final["Status"]] if final else Status.DRAFT
    if raw["Status"] == "VOIDED" or (invoices and not living):
        status = Status.VOID
    sums: Raw = final or started or raw.get("Order") or {}
    return RemoteInvoice(
        id=raw["ID"],
        number=final and final.get("InvoiceNumber"),
        reference=raw.get("CustomerReference"),
        key=raw.get("ExternalID") or None,
        status=status,
        currency=raw["CustomerCurrency"],
        total=sums.get("Total") or 0,
        tax=final and final["Tax"],
        due=final and final["Total"] - (final.get("Paid") or 0),
        customer_id=raw.get("CustomerID"),
    )


def is_sale(row: Raw) -> bool:
    """Whether a row of the list of sales is one; credit notes without a sale are among them."""
    return "Credit Note" not in (row.get("Type") or "")


def dated(row: Raw) -> str:
    """The day of a row of the list of sales, as YYYY-MM-DD: its invoice's, else its order's."""
    return str(row.get("InvoiceDate") or row["OrderDate"])[:10]


def customer(raw: Raw, draft: CustomerDraft) -> RemoteCustomer:
    """As it is; with the draft's whole key where its comments end in that key or its short form."""
    emails = [person.get("Email") for person in raw.get("Contacts") or []]
    wanted = (draft.party.email or "").casefold()
    email = next((one for one in emails if one and one.casefold() == wanted), next(filter(None, emails), None))
    key = key_in(raw.get("Comments"))
    return RemoteCustomer(id=raw["ID"], key=draft.key if key == mark(draft) else key, name=raw["Name"], email=email)


def errors(body: Any) -> list[tuple[str, str]]:
    """Code and text of each error in a body: a list of them, one alone, or an `Errors` array; also inside a 200."""
    found = body if isinstance(body, list) else [body]
    if isinstance(body, Mapping) and body.get("Errors"):
        found = [one if isinstance(one, Mapping) else {"Exception": str(one)} for one in body["Errors"]]
    return [(str(one.get("ErrorCode", "")), str(one["Exception"])) for one in found if _is_error(one)]


def _is_error(one: Any) -> bool:
    return isinstance(one, Mapping) and bool(one.get("Exception"))


# -- customers ---------------------------------------------------------------------------------------------------------


def mark(draft: CustomerDraft) -> str:
    """The customer's key as the comments hold it."""
    return short(draft.key, 240)


def new_customer(draft: CustomerDraft, settings: Cin7CoreSettings) -> dict[str, Any]:
    """For POST /customer. Raises `Rejected` naming what is longer than Cin7 Core takes; nothing is cut."""
    party = draft.party
    names = {"Name": party.name or party.display_name, "Phone": party.phone, "Email": party.email}
    person = sized(names, LONGEST, "the customer's", TITLE)
    places = (("Billing", draft.billing_address), ("Shipping", draft.shipping_address or draft.billing_address))
    return without_empty(
        {
            "Name": fits("the customer's name", distinct_name(draft, settings.base_currency), 256, TITLE),
            "Status": "Active",
            "Currency": draft.currency or settings.base_currency,
            "PaymentTerm": settings.payment_term,
            "AccountReceivable": settings.receivable_account,
            "RevenueAccount": settings.revenue_account,
            "TaxRule": settings.tax[max(settings.tax)],
            "TaxNumber": party.tax_id,
            "Comments": f"Billhook{BEFORE_KEY}{mark(draft)}",
            "Contacts": [{**person, "Default": True, "IncludeInEmail": bool(party.email)}],
            "Addresses": [
                {**address(place), "Type": kind, "DefaultForType": True} for kind, place in places if complete(place)
            ],
        }
    )


def complete(place: Address | None) -> bool:
    """An address needs a first line and a country there; another one is told in the sale's note."""
    return bool(place and place.line1 and place.country)


def address(place: Address | None) -> dict[str, Any]:
    return placed(place, ADDRESS, [256] * 5, TITLE, english) if complete(place) else {}


# -- the steps of a sale -----------------------------------------------------------------------------------------------


def sale(planned: PlannedInvoice, settings: Cin7CoreSettings) -> dict[str, Any]:
    """The body of POST /sale: the header, which carries our reference and our key."""
    draft, party = planned.draft, planned.draft.customer
    billing = draft.billing_address or draft.shipping_address
    to = address(draft.shipping_address or billing)
    loose = [str(part) for part in vars(billing).values() if part] if billing and not complete(billing) else []
    who = {"Contact": party.name, "Company": party.company}
    texts = {"Contact": party.name, "Phone": party.phone, "Email": party.email, "Note": ", ".join(loose)}
    texts |= {"CustomerReference": draft.reference, "ExternalID": draft.key}
    head = {
        "CustomerID": planned.customer_id,
        "DefaultAccount": settings.revenue_account,
        "Location": settings.location,
        "CurrencyRate": currency_rate(draft, settings),
        "SkipQuote": True,
        "SaleType": "Simple",
        "TaxInclusive": False,
        "Terms": settings.payment_term,
        "PriceTier": settings.price_tier,
        "SaleOrderDate": f"{draft.issued_on}T00:00:00",
        **sized(texts, LONGEST, f"order {draft.order_ref}: the", TITLE),
        "BillingAddress": address(billing),
        "ShippingAddress": to and {**to, **sized(who, LONGEST, "the customer's", TITLE), "ShipToOther": True},
    }
    return without_empty(head)


def currency_rate(draft: InvoiceDraft, settings: Cin7CoreSettings) -> Decimal:
    if draft.currency == settings.base_currency:
        return Decimal(1)
    what = f"order {draft.order_ref}"
    return configured(settings.currency_rates, draft.currency, what, TITLE, "currency_rates")


def order(draft: InvoiceDraft, settings: Cin7CoreSettings) -> dict[str, Any]:
    """The body of POST /sale/order."""
    lines, charges = contents(draft, settings)
    head = {
        "SaleID": later("sale"),
        "Memo": f"Order {draft.order_ref}",
        "Status": "AUTHORISED",
        "AutoPickPackShipMode": settings.ship,
    }
    return {**head, "Lines": lines, "AdditionalCharges": charges}


def invoice(draft: InvoiceDraft, settings: Cin7CoreSettings) -> dict[str, Any]:
    """The body of POST /sale/invoice: the same lines, each on the revenue account."""
    lines, charges = contents(draft, settings)
    for one in (*lines, *charges):
        one["Account"] = settings.revenue_account
    return {
        "SaleID": later("sale"),
        "TaskID": later("task"),
        "CombineAdditionalCharges": False,
        "Memo": f"Order {draft.order_ref}",
        "Status": "AUTHORISED" if settings.issue else "DRAFT",
        "InvoiceDate": f"{draft.issued_on}T00:00:00",
        "InvoiceDueDate": f"{draft.due_on}T00:00:00",
        "CurrencyConversionRate": currency_rate(draft, settings),
        "Lines": lines,
        "AdditionalCharges": charges,
    }


def contents(draft: InvoiceDraft, settings: Cin7CoreSettings) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Lines and additional charges: products, and shipping, whose description is a service product's name."""
    if settings.product not in settings.products:
        raise Rejected(
            f"order {draft.order_ref}: the product {settings.product!r} has no id: set products.{settings.product} in "
            "the account's settings (`billhook account options` lists the products)"
        )
    lines: list[dict[str, Any]] = []
    charges: list[dict[str, Any]] = []
    whole = spread(draft)
    for charged, row in zip(whole, without_tax(whole), strict=True):
        name, _, text = row.description.partition("\n")
        sku = row.sku if row.sku in settings.products else settings.product
        rule = coded(settings.tax, row.rate, draft, TITLE)
        for quantity, price, tax in pieces(row, draft.currency):
            plain = (quantity, price) == (row.quantity, row.unit)
            shown = text if plain else f"{text}\n{charged.calculation()}".strip()
            if row.kind == "shipping":
                shown = row.description if row.description != settings.shipping else ""
            amounts = {
                "Quantity": quantity,
                "Price": price,
                "Discount": 0 if price else 100,  # "For free items discount is 100"
                "Tax": tax,
                "TaxRule": rule,
                "Total": quantity * price,
                "Comment": fits(f"order {draft.order_ref}: what is said of a line", shown, 256, TITLE),
            }
            if row.kind == "shipping":
                charges.append({"Description": settings.shipping, **amounts})
                continue
            name = fits(f"order {draft.order_ref}: the name of a line", name, 256, TITLE) or ""
            lines.append({"ProductID": settings.products[sku or ""], "SKU": sku, "Name": name, **amounts})
    return lines, charges


def pieces(row: Row, currency: str) -> Iterator[tuple[Decimal, Decimal, Decimal]]:
    """Quantity, price and tax, once or twice: where no price of four decimals gives the amount, the last one of the
    things has a price of its own, so that stock stays right. Fewer than one and parts of one that do not divide become
    1 × the amount."""
    one, price = Decimal(1), round(row.amount / row.quantity, 4)
    if row.quantity >= 1 and row.quantity == round(row.quantity, 4) and row.quantity * price == row.amount:
        yield row.quantity, price, row.tax
    elif row.quantity > 1 and row.quantity == int(row.quantity):
        many = row.quantity - 1
        share = rounded(row.tax * many / row.quantity, currency)
        yield many, price, share
        yield one, row.amount - many * price, row.tax - share
    else:
        yield one, row.amount, row.tax
