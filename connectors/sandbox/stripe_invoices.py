"""Emulated Stripe invoices: what a draft takes, how it is added up, which state follows which.

Documents keep what Stripe does not show under names that begin with "_"; `shown` leaves them out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from connectors.sandbox.stripe_books import Books, Document
from connectors.sandbox.stripe_forms import Refused, invalid
from connectors.sandbox.sums import half_up, total

MOST_ITEMS = 250
MOST_TAX_AMOUNTS = 20
MOST_TAX_RATES = 5
EMBEDDED = 10
"""Lines shown inside an invoice; the rest is on its own list."""


def created(books: Books, given: Mapping[str, Any]) -> Document:
    """A new draft (docs.stripe.com/api/invoices/create)."""
    customer = books.get("customer", given["customer"], "customer")
    _billing(given, customer)
    currency = (given.get("currency") or customer["currency"] or "gbp").lower()
    coupons = [_coupon(books, entry, currency) for entry in given.get("discounts") or []]
    rates = [active_rate(books, rate, "default_tax_rates") for rate in given.get("default_tax_rates") or []]
    now, days = int(books.now), given.get("days_until_due")
    fields = {name: given.get(name) for name in ("description", "footer", "number", "shipping_details")}
    invoice = {
        **{"id": books.new_id("invoice"), "object": "invoice", "livemode": books.livemode, "created": now},
        **{"customer": customer["id"], "currency": currency, "status": "draft", "billing_reason": "manual"},
        **{"customer_name": customer["name"], "customer_email": customer["email"]},
        "customer_address": customer["address"],
        "collection_method": given.get("collection_method") or "charge_automatically",
        "auto_advance": bool(given.get("auto_advance")),
        "due_date": given.get("due_date") if days is None else now + days * 86400,
        **fields,
        "custom_fields": _custom_fields(given.get("custom_fields")),
        "metadata": given.get("metadata") or {},
        "default_tax_rates": [rate["id"] for rate in rates],
        "discounts": [coupon["discount"] for coupon in coupons],
        **{"hosted_invoice_url": None, "invoice_pdf": None, "effective_at": None, "amount_paid": 0},
        **{"pre_payment_credit_notes_amount": 0, "post_payment_credit_notes_amount": 0},
        "status_transitions": dict.fromkeys(("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")),
        **{"_lines": [], "_coupons": coupons, "_rates": [kept(rate) for rate in rates]},
    }
    return books.add("invoice", _added_up(invoice), owner=customer["id"])


def _billing(given: Mapping[str, Any], customer: Document) -> None:
    sent = given.get("collection_method") == "send_invoice"
    if given.get("collection_method") not in {None, "send_invoice", "charge_automatically"}:
        raise invalid("Invalid collection_method", "parameter_invalid", "collection_method")
    if given.get("pending_invoice_items_behavior") not in {None, "exclude", "include"}:
        raise invalid("Invalid pending_invoice_items_behavior", "parameter_invalid", "pending_invoice_items_behavior")
    due = [name for name in ("days_until_due", "due_date") if given.get(name) is not None]
    if sent != (len(due) == 1):
        message = "Specify one of days_until_due and due_date for collection_method=send_invoice, and only for it."
        raise invalid(message, "parameter_invalid", "days_until_due")
    if sent and not customer["email"]:
        raise Refused(
            "Missing email. In order to create invoices that are sent to the customer, the customer must have a valid "
            "email."
        )


def _custom_fields(given: Sequence[Mapping[str, str]] | None) -> list[Mapping[str, str]] | None:
    for field in given or []:
        if len(field.get("name") or "") > 40 or len(field.get("value") or "") > 140:
            raise invalid("A custom field's name has at most 40, its value 140 characters", None, "custom_fields")
    if len(given or []) > 4:
        raise invalid("At most 4 custom fields", None, "custom_fields")
    return list(given) if given else None


def _coupon(books: Books, entry: Mapping[str, str], currency: str) -> Document:
    coupon = books.get("coupon", entry["coupon"], "discounts[0][coupon]")
    if coupon["amount_off"] is not None and coupon["currency"] != currency:
        raise Refused(
            f"The coupon {coupon['id']} is in {coupon['currency']}, the invoice in {currency}.", param="discounts"
        )
    percent = coupon["percent_off"]
    discount = "di_" + hashlib.sha256(f"{coupon['id']} {books.now}".encode()).hexdigest()[:20]
    return {"discount": discount, "amount_off": coupon["amount_off"], "percent_off": percent}


def active_rate(books: Books, identifier: str, param: str) -> Document:
    """A tax rate that may be put on a line."""
    rate = books.get("tax_rate", identifier, param)
    if not rate["active"]:
        raise Refused(f"The tax rate {identifier} is archived.", param=param)
    return rate


def kept(rate: Document) -> list[Any]:
    """What `computed` needs of a tax rate."""
    return [rate["id"], str(rate["percentage"]), rate["inclusive"]]


def lines_added(books: Books, invoice: Document, lines: Sequence[Mapping[str, Any]]) -> Document:
    """All of them or none (docs.stripe.com/api/invoices/add_lines)."""
    only(invoice, {"draft"}, "invoice_not_editable", "This invoice is no longer editable.")
    if len(invoice["_lines"]) + len(lines) > MOST_ITEMS:
        raise Refused(f"An invoice has at most {MOST_ITEMS} items.", param="lines")
    added = [_line(books, invoice, line, f"lines[{at}]") for at, line in enumerate(lines)]
    every = invoice["_lines"] + added
    if any(line["_given"] for line in every) and (invoice["_rates"] or any(line["_rates"] for line in every)):
        raise Refused("You cannot set tax amounts if any line item or the invoice has tax rates.", param="lines")
    invoice["_lines"] = every
    return books.save("invoice", _added_up(invoice))


def _line(books: Books, invoice: Document, line: Mapping[str, Any], path: str) -> Document:
    price = line.get("price_data")
    if (price is None) == (line.get("amount") is None):
        raise invalid(f"Specify one of {path}[amount] and {path}[price_data].", "parameter_missing", f"{path}[amount]")
    if price is None and line.get("quantity") is not None:
        raise invalid(f"{path}[quantity] goes with a price, not with an amount.", None, f"{path}[quantity]")
    quantity = 1 if line.get("quantity") is None else line["quantity"]
    unit = _unit_amount(books, invoice, price, path) if price else Decimal(line["amount"])
    amount = int(half_up(unit * quantity, 0))
    rates = [active_rate(books, rate, f"{path}[tax_rates]") for rate in line.get("tax_rates") or []]
    given = [
        _given_tax(books, tax, f"{path}[tax_amounts][{at}]") for at, tax in enumerate(line.get("tax_amounts") or [])
    ]
    if quantity < 0 or len(rates) > MOST_TAX_RATES or len(given) > MOST_TAX_AMOUNTS:
        raise invalid(f"Invalid {path}", "parameter_invalid", path)
    discountable = line.get("discountable")
    return {
        "id": f"il_{invoice['id'][3:]}{len(invoice['_lines'])}{path[6:-1]}",
        **{"object": "line_item", "invoice": invoice["id"], "livemode": books.livemode},
        **{"amount": amount, "subtotal": amount, "currency": invoice["currency"], "quantity": quantity},
        "description": line.get("description") or (price or {}).get("product_data", {}).get("name"),
        "discountable": amount >= 0 if discountable is None else discountable,
        "metadata": line.get("metadata") or {},
        "pricing": {"type": "price_details", "unit_amount_decimal": f"{unit:f}"},
        **{"discounts": [], "_rates": [kept(rate) for rate in rates], "_given": given},
    }


def _unit_amount(books: Books, invoice: Document, price: Mapping[str, Any], path: str) -> Decimal:
    path = f"{path}[price_data]"
    if price.get("currency") is None:
        raise invalid(f"Missing required param: {path}[currency].", "parameter_missing", f"{path}[currency]")
    if price["currency"].lower() != invoice["currency"]:
        raise Refused(f"The price is in {price['currency']}, the invoice in {invoice['currency']}.", param=path)
    if price.get("product") or not (price.get("product_data") or {}).get("name"):
        raise invalid(
            f"Missing required param: {path}[product_data][name].", "parameter_missing", f"{path}[product_data]"
        )
    amounts = [price[name] for name in ("unit_amount", "unit_amount_decimal") if price.get(name) is not None]
    if len(amounts) != 1 or amounts[0] < 0:
        raise invalid(f"Specify one of unit_amount and unit_amount_decimal in {path}.", "parameter_missing", path)
    return Decimal(amounts[0])


def _given_tax(books: Books, tax: Mapping[str, Any], path: str) -> Document:
    """Stripe finds or makes an archived tax rate from `tax_rate_data`."""
    data = tax.get("tax_rate_data") or {}
    for name in ("amount", "taxable_amount"):
        if tax.get(name) is None:
            raise invalid(f"Missing required param: {path}[{name}].", "parameter_missing", f"{path}[{name}]")
    for name in ("display_name", "inclusive", "percentage"):
        if data.get(name) is None:
            param = f"{path}[tax_rate_data][{name}]"
            raise invalid(f"Missing required param: {param}.", "parameter_missing", param)
    percentage = data["percentage"]
    if not 0 <= percentage <= 100 or percentage != round(percentage, 4):
        raise invalid("Invalid percentage", "parameter_invalid", f"{path}[tax_rate_data][percentage]")
    shape = {**data, "percentage": float(percentage)}
    identifier = "txr_" + hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()[:24]
    if books.find("tax_rate", identifier) is None:
        books.add("tax_rate", {"id": identifier, "object": "tax_rate", "active": False, "metadata": {}, **shape})
    return tax_of(identifier, tax["amount"], tax["taxable_amount"], data["inclusive"])


def tax_of(rate: str, amount: int, taxable: int, inclusive: bool) -> Document:
    """A tax as invoices, credit notes and their lines show it."""
    return {
        "amount": amount,
        "taxable_amount": taxable,
        "tax_behavior": "inclusive" if inclusive else "exclusive",
        "tax_rate_details": {"tax_rate": rate},
        "type": "tax_rate_details",
    }


def _added_up(invoice: Document) -> Document:
    """Totals: invoice discounts over the discountable lines, then tax by line and rate, each rounded half up."""
    lines = invoice["_lines"]
    base = sum(line["amount"] for line in lines if line["discountable"])
    discounts: list[Document] = []
    for line in lines:
        line["discount_amounts"] = []
    for coupon in invoice["_coupons"]:
        left = base - sum(entry["amount"] for entry in discounts)
        off = _half_up(Decimal(coupon["percent_off"] or 0) * left / 100)
        off = max(0, min(left, off if coupon["amount_off"] is None else coupon["amount_off"]))
        discounts.append({"amount": off, "discount": coupon["discount"]})
        _share(off, coupon["discount"], [line for line in lines if line["discountable"]], base)
    for line in lines:
        line["taxes"] = line["_given"] or computed(line, line["_rates"] or invoice["_rates"])
    taxes = by_rate([tax for line in lines for tax in line["taxes"]])
    subtotal, off = sum(line["amount"] for line in lines), sum(entry["amount"] for entry in discounts)
    exclusive = sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "exclusive")
    inclusive = sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "inclusive")
    total = subtotal - off + exclusive
    paid = invoice["amount_paid"]
    invoice |= {"subtotal": subtotal, "total": total, "total_excluding_tax": total - exclusive - inclusive}
    invoice |= {"total_discount_amounts": discounts, "total_taxes": taxes, "amount_shipping": 0}
    invoice |= {"amount_due": max(0, total), "amount_remaining": max(0, total - paid)}
    return invoice


def _share(off: int, discount: str, lines: list[Document], base: int) -> None:
    """By line amount, rounded down; what is left over goes to the last line."""
    shares = [off * line["amount"] // base if base else 0 for line in lines]
    if lines:
        shares[-1] += off - sum(shares)
    for line, share in zip(lines, shares, strict=True):
        line["discount_amounts"].append({"amount": share, "discount": discount})


def computed(line: Document, rates: Sequence[Sequence[Any]]) -> list[Document]:
    """The taxes of a line at these rates, as `kept`."""
    taxable = line["amount"] - sum(entry["amount"] for entry in line["discount_amounts"])
    within = total(Decimal(percentage) for _, percentage, inclusive in rates if inclusive)
    taxes = []
    for identifier, percentage, inclusive in rates:
        amount = _half_up(taxable * Decimal(percentage) / (100 + within))
        taxes.append(tax_of(identifier, amount, taxable - amount if inclusive else taxable, inclusive))
    return taxes


def by_rate(taxes: Sequence[Document]) -> list[Document]:
    """Taxes of lines, summed."""
    found: dict[tuple[str, str], Document] = {}
    for tax in taxes:
        known = found.setdefault(
            (tax["tax_rate_details"]["tax_rate"], tax["tax_behavior"]), {**tax, "amount": 0, "taxable_amount": 0}
        )
        known["amount"] += tax["amount"]
        known["taxable_amount"] += tax["taxable_amount"]
    return list(found.values())


def _half_up(amount: Decimal) -> int:
    return int(half_up(amount, 0))


def finalized(books: Books, invoice: Document, address: str) -> Document:
    """From draft to open; a total of nothing is paid at once. `address` is where the sandbox shows invoices."""
    only(
        invoice,
        {"draft"},
        "invoice_not_editable",
        "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
    )
    if not invoice["_lines"]:
        raise Refused("This invoice has no line items.", "invoice_no_customer_line_items")
    if invoice["total"] < 0:
        raise Refused("The total of an invoice can't be negative.", "amount_too_small")
    customer = books.get("customer", invoice["customer"], "customer")
    page = f"{address}/i/{invoice['id']}"
    invoice["number"] = invoice["number"] or f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
    invoice |= {"status": "open", "hosted_invoice_url": page, "invoice_pdf": f"{page}/pdf"}
    invoice["effective_at"] = invoice["status_transitions"]["finalized_at"] = int(books.now)
    customer["next_invoice_sequence"] += 1
    books.save("customer", customer)
    return paid(books, invoice) if not invoice["total"] else books.save("invoice", invoice)


def paid(books: Books, invoice: Document) -> Document:
    only(invoice, {"open", "uncollectible"}, "status_transition_invalid", "Only an open invoice can be paid.")
    invoice |= {"status": "paid", "amount_paid": invoice["amount_due"], "amount_remaining": 0}
    invoice["status_transitions"]["paid_at"] = int(books.now)
    return books.save("invoice", invoice)


def voided(books: Books, invoice: Document) -> Document:
    message = "You can only pass in open or uncollectible invoices. This invoice is {status}."
    only(invoice, {"open", "uncollectible"}, "status_transition_invalid", message)
    if invoice["pre_payment_credit_notes_amount"]:
        raise Refused("This invoice has a credit note; this sandbox does not void it.", "status_transition_invalid")
    invoice |= {"status": "void", "amount_remaining": 0}
    invoice["status_transitions"]["voided_at"] = int(books.now)
    return books.save("invoice", invoice)


def written_off(books: Books, invoice: Document) -> Document:
    only(invoice, {"open"}, "status_transition_invalid", "Only an open invoice can be marked uncollectible.")
    invoice["status"] = "uncollectible"
    invoice["status_transitions"]["marked_uncollectible_at"] = int(books.now)
    return books.save("invoice", invoice)


def sent(books: Books, invoice: Document, address: str) -> Document:
    """A draft is finalised first."""
    if invoice["collection_method"] != "send_invoice":
        raise Refused("You can only manually send an invoice if its collection method is 'send_invoice'.")
    if invoice["status"] == "draft":
        invoice = finalized(books, invoice, address)
    only(invoice, {"open", "paid", "uncollectible"}, "status_transition_invalid", "A {status} invoice can't be sent.")
    return invoice


def deleted(books: Books, invoice: Document) -> Document:
    message = "You can only delete draft invoices. This invoice is {status}; void it instead."
    only(invoice, {"draft"}, "invoice_not_editable", message)
    books.delete("invoice", invoice["id"])
    return {"id": invoice["id"], "object": "invoice", "deleted": True}


def only(invoice: Document, states: set[str], code: str, message: str) -> None:
    """Refuses what is in none of these states."""
    if invoice["status"] not in states:
        raise Refused(message.format(status=invoice["status"]), code)


def shown(document: Document) -> Document:
    """The document as Stripe shows it; an invoice with the first page of its lines."""
    if document.get("object") != "invoice" or "_lines" not in document:
        return document
    return {**_public(document), "lines": lines_page(document, {})}


def lines_page(invoice: Document, query: Mapping[str, Any]) -> Document:
    """The invoice's lines as a list, in the order in which they were added."""
    lines, limit = invoice["_lines"], query.get("limit") or EMBEDDED
    ids = [line["id"] for line in lines]
    start = ids.index(query["starting_after"]) + 1 if query.get("starting_after") in ids else 0
    page = [_public(line) for line in lines[start : start + limit]]
    more = start + limit < len(lines)
    return {"object": "list", "url": f"/v1/invoices/{invoice['id']}/lines", "has_more": more, "data": page}


def _public(document: Document) -> Document:
    return {name: value for name, value in document.items() if not name.startswith("_")}
