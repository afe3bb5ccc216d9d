"""One basket in the words of three shops, with the totals that each of them would compute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from connectors.sandbox.baskets import Basket, Item, cents

_OPENED = datetime(2026, 11, 20, 9, tzinfo=UTC)


def placed(number: int) -> datetime:
    """When the order of this number was placed; the samples know no other clock."""
    return _OPENED + timedelta(minutes=7 * number)


def _stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _taxed(made: Basket) -> bool:
    return made.buyer.country != "US"


def shopify_order(made: Basket, updated_at: datetime, *, taxes_included: bool, fulfilled: bool) -> dict[str, Any]:
    """A Shopify order as its webhooks carry it: discounts spread over the lines, tax rounded line by line."""
    lines = [_shopify_line(made, index, item, taxes_included) for index, item in enumerate(made.items)]
    shipping = _shopify_shipping(made, taxes_included)
    taxes = sum((Decimal(tax["price"]) for part in (*lines, shipping) for tax in part["tax_lines"]), Decimal(0))
    subtotal = sum((item.net for item in made.items), Decimal(0))
    total = subtotal + made.shipping + (0 if taxes_included else taxes)
    person = {"email": made.buyer.email, "first_name": made.buyer.first_name, "last_name": made.buyer.last_name}
    return {
        "id": 5123456780000 + made.number,
        "name": f"#{1001 + made.number}",
        "email": made.buyer.email,
        "currency": made.currency,
        "presentment_currency": made.currency,
        "taxes_included": taxes_included,
        "test": False,
        "cancelled_at": None,
        "financial_status": "paid",
        "fulfillment_status": "fulfilled" if fulfilled else None,
        "created_at": _stamp(placed(made.number)),
        "updated_at": _stamp(updated_at),
        "subtotal_price": str(subtotal),
        "total_discounts": str(made.discount),
        "total_tax": str(taxes),
        "total_price": str(total),
        "current_total_price": str(total),
        "line_items": lines,
        "shipping_lines": [shipping],
        "customer": {"id": made.buyer.number, **person},
        "billing_address": _shopify_address(made),
        "shipping_address": _shopify_address(made),
        "refunds": [],
    }


def _shopify_taxes(made: Basket, net: Decimal, rate: Decimal, included: bool) -> list[dict[str, Any]]:
    if not _taxed(made):
        return []
    tax = net - net / (1 + rate / 100) if included else net * rate / 100
    return [{"title": "VAT", "rate": float(rate / 100), "price": str(cents(tax))}]


def _shopify_shipping(made: Basket, included: bool) -> dict[str, Any]:
    return {
        "id": 88000 + made.number,
        "title": made.carrier,
        "price": str(made.shipping),
        "discounted_price": str(made.shipping),
        "discount_allocations": [],
        "tax_lines": _shopify_taxes(made, made.shipping, made.shipping_rate, included),
    }


def _shopify_address(made: Basket) -> dict[str, Any]:
    buyer = made.buyer
    return {
        "first_name": buyer.first_name,
        "last_name": buyer.last_name,
        "company": buyer.company,
        "address1": buyer.street,
        "address2": None,
        "city": buyer.city,
        "province": None,
        "zip": buyer.postcode,
        "country_code": buyer.country,
        "phone": None,
    }


def _shopify_line(made: Basket, index: int, item: Item, included: bool) -> dict[str, Any]:
    return {
        "id": 900000 + made.number * 10 + index,
        "sku": item.product.sku,
        "title": item.title,
        "name": item.title,
        "quantity": item.quantity,
        "price": str(item.product.price),
        "total_discount": "0.00",
        "discount_allocations": [{"amount": str(item.discount)}] if item.discount else [],
        "taxable": _taxed(made),
        "tax_lines": _shopify_taxes(made, item.net, item.rate, included),
        "properties": [{"name": "Engraving", "value": item.engraving}],
    }


def woocommerce_order(made: Basket, modified_at: datetime, *, status: str, guest: bool) -> dict[str, Any]:
    """A WooCommerce order as its webhooks carry it: every total without tax, coupons taken off the lines."""
    rates = sorted({item.rate for item in made.items} | {made.shipping_rate}) if _taxed(made) else []
    lines = [_woocommerce_line(made, n, item) for n, item in enumerate(made.items)]
    shipping_tax = cents(made.shipping * made.shipping_rate / 100)
    taxes = sum((Decimal(line["total_tax"]) for line in lines), shipping_tax)
    total = sum((item.net for item in made.items), made.shipping) + taxes
    shipping_line = {
        "id": 61000 + made.number,
        "method_title": made.carrier,
        "method_id": "flat_rate",
        "total": str(made.shipping),
        "total_tax": str(shipping_tax),
        "taxes": _woocommerce_taxes(made, made.shipping_rate, shipping_tax),
    }
    return {
        "id": 20001 + made.number,
        "number": str(20001 + made.number),
        "order_key": f"wc_order_{made.number:06x}",
        "status": status,
        "currency": made.currency,
        "prices_include_tax": False,
        "date_created_gmt": _stamp(placed(made.number)).removesuffix("Z"),
        "date_modified_gmt": _stamp(modified_at).removesuffix("Z"),
        "discount_total": str(made.discount),
        "shipping_total": str(made.shipping),
        "shipping_tax": str(shipping_tax),
        "total_tax": str(taxes),
        "total": str(total),
        "customer_id": 0 if guest else made.buyer.number,
        "billing": _woocommerce_address(made) | {"email": made.buyer.email, "phone": ""},
        "shipping": _woocommerce_address(made),
        "line_items": lines,
        "shipping_lines": [shipping_line],
        "fee_lines": [],
        "coupon_lines": [{"id": 1, "code": "thanks", "discount": str(made.discount)}] if made.discount else [],
        "tax_lines": [{"rate_id": 40 + int(rate), "label": "VAT", "rate_percent": float(rate)} for rate in rates],
        "refunds": [],
    }


def _woocommerce_line(made: Basket, index: int, item: Item) -> dict[str, Any]:
    tax = cents(item.net * item.rate / 100)
    return {
        "id": 500000 + made.number * 10 + index,
        "name": item.title,
        "product_id": 55,
        "sku": item.product.sku,
        "quantity": item.quantity,
        "subtotal": str(item.gross),
        "total": str(item.net),
        "total_tax": str(tax),
        "taxes": _woocommerce_taxes(made, item.rate, tax),
        "price": float(item.net / item.quantity),
        "meta_data": [{"id": 1, "key": "Engraving", "value": item.engraving}, {"id": 2, "key": "_stock", "value": "1"}],
    }


def _woocommerce_taxes(made: Basket, rate: Decimal, tax: Decimal) -> list[dict[str, Any]]:
    return [{"id": 40 + int(rate), "total": str(tax), "subtotal": str(tax)}] if _taxed(made) else []


def _woocommerce_address(made: Basket) -> dict[str, str]:
    buyer = made.buyer
    return {
        "first_name": buyer.first_name,
        "last_name": buyer.last_name,
        "company": buyer.company or "",
        "address_1": buyer.street,
        "address_2": "",
        "city": buyer.city,
        "state": "",
        "postcode": buyer.postcode,
        "country": buyer.country,
    }


def standard_event(made: Basket, occurred_at: datetime, *, ref: str, type: str) -> dict[str, Any]:
    """Billhook's own event. Where all lines have one rate, the discount is the order's; else it is the lines'."""
    rates = {item.rate for item in made.items}
    whole = made.discount > 0 and len(rates) == 1
    lines = [_standard_line(made, n, item, Decimal(0) if whole else item.discount) for n, item in enumerate(made.items)]
    nets = [item.gross if whole else item.net for item in made.items]
    shipping = {"description": made.carrier, "amount": str(made.shipping)} | _standard_tax(
        made, made.shipping, made.shipping_rate
    )
    discount = {"amount": str(made.discount)} | _standard_tax(made, made.discount, rates.pop()) if whole else None
    taxes = [Decimal(part["tax"]["amount"]) for part in (*lines, shipping) if "tax" in part]
    off = made.discount + Decimal(discount.get("tax", {}).get("amount", 0)) if discount else Decimal(0)
    buyer = made.buyer
    order = {
        "id": f"{0x8A0000 + made.number:x}",
        "ref": ref,
        "currency": made.currency,
        "placed_at": _stamp(placed(made.number)),
        "tax_included": False,
        "customer": {"ref": f"C-{buyer.number}", "name": buyer.name, "company": buyer.company, "email": buyer.email},
        "billing_address": {
            "line1": buyer.street,
            "city": buyer.city,
            "postcode": buyer.postcode,
            "country": buyer.country,
        },
        "lines": lines,
        "discount": discount,
        "shipping": shipping if made.shipping else None,
        "total": str(sum(nets, made.shipping) + sum(taxes, Decimal(0)) - off),
    }
    event_id = f"evt-{made.number}-{type.replace('.', '-')}"
    return {"id": event_id, "type": type, "occurred_at": _stamp(occurred_at), "order": order}


def _standard_line(made: Basket, index: int, item: Item, discount: Decimal) -> dict[str, Any]:
    return {
        "ref": str(index + 1),
        "sku": item.product.sku,
        "description": item.title,
        "quantity": str(item.quantity),
        "unit_price": str(item.product.price),
        "discount": str(discount),
        "attributes": {"engraving": item.engraving},
    } | _standard_tax(made, item.gross - discount, item.rate)


def _standard_tax(made: Basket, net: Decimal, rate: Decimal) -> dict[str, Any]:
    if not _taxed(made):
        return {}
    return {"tax": {"name": "VAT", "rate": str(rate), "amount": str(cents(net * rate / 100))}}
