"""An order as BigCommerce's v2 API answers it, and what belongs to it."""

from typing import Any

ORDER: dict[str, Any] = {
    "id": 1001, "status_id": 2, "status": "Shipped", "customer_id": 77,
    "date_created": "Sat, 21 Nov 2026 09:00:00 +0000", "date_modified": "Sun, 22 Nov 2026 10:59:50 +0000",
    "currency_code": "USD", "default_currency_code": "GBP", "is_tax_inclusive_pricing": False,
    "subtotal_ex_tax": "95.5000", "subtotal_inc_tax": "114.6000",
    "shipping_cost_ex_tax": "7.9500", "shipping_cost_inc_tax": "9.5400", "shipping_cost_tax": "1.5900",
    "handling_cost_ex_tax": "0.0000", "handling_cost_inc_tax": "0.0000", "handling_cost_tax": "0.0000",
    "wrapping_cost_ex_tax": "0.0000", "wrapping_cost_inc_tax": "0.0000", "wrapping_cost_tax": "0.0000",
    "discount_amount": "5.0000", "coupon_discount": "0.0000", "refunded_amount": "0.0000",
    "total_ex_tax": "98.4500", "total_tax": "19.6900", "total_inc_tax": "118.1400",
    "is_deleted": False, "order_source": "www", "fees": [],
    "billing_address": {
        "first_name": "Ada", "last_name": "Lovelace", "company": "Analytical Engines Ltd",
        "street_1": "12 St James's Square", "street_2": "", "city": "London", "state": "", "zip": "SW1Y 4JH",
        "country_iso2": "GB", "email": "ada@example.com", "phone": "",
    },
}  # fmt: skip
PLAQUE: dict[str, Any] = {
    "id": 65, "name": "Brass plaque, engraved", "sku": "PLQ-BR", "quantity": 2,
    "price_ex_tax": "45.0000", "price_inc_tax": "54.0000",
    "total_ex_tax": "90.0000", "total_inc_tax": "108.0000", "total_tax": "18.0000",
    "applied_discounts": [{"id": "coupon", "amount": "5.0000", "target": "order"}],
    "product_options": [{"display_name": "Engraving", "display_value": "To Ada", "value": "9"}],
    "configurable_fields": [],
}  # fmt: skip
TAG: dict[str, Any] = {
    "id": 66, "name": "Steel tag", "sku": "TAG-ST", "quantity": 1, "price_ex_tax": "5.5000", "price_inc_tax": "6.6000",
    "total_ex_tax": "5.5000", "total_inc_tax": "6.6000", "total_tax": "1.1000", "applied_discounts": [],
}  # fmt: skip
TAXES: list[dict[str, Any]] = [
    {"id": 1, "name": "VAT", "rate": "20.0000", "priority": 0, "order_product_id": "65", "line_item_type": "item"},
    {"id": 2, "name": "VAT", "rate": "20.0000", "priority": 0, "order_product_id": "66", "line_item_type": "item"},
    {"id": 3, "name": "VAT", "rate": "20.0000", "priority": 0, "order_product_id": None, "line_item_type": "shipping"},
]
SHIPMENTS: list[dict[str, Any]] = [
    {
        "id": 31, "order_id": 1001, "tracking_number": "RM123456789GB", "tracking_carrier": "royal-mail",
        "shipping_provider": "", "items": [{"order_product_id": 65, "product_id": 0, "quantity": 2}],
    }
]  # fmt: skip
ADDRESSES: list[dict[str, Any]] = [ORDER["billing_address"] | {"shipping_method": "Courier", "city": "Bath"}]
DOCUMENT: dict[str, Any] = {
    "order": ORDER,
    "products": [PLAQUE, TAG],
    "taxes": TAXES,
    "shipping_addresses": ADDRESSES,
    "shipments": SHIPMENTS,
}
"""Of which the taxes are before the discount."""


def told(**changes: Any) -> dict[str, Any]:
    """The document with fields of its order replaced."""
    return DOCUMENT | {"order": ORDER | changes}
