"""Stripe's form encoding, read as strictly as Stripe reads it: nested brackets, known parameters, typed values.

Error codes and wording follow docs.stripe.com/error-codes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from connectors.sandbox.base import Refusal, Response

TEXT, INT, BOOL, DECIMAL, METADATA = "text", "integer", "boolean", "decimal", "metadata"
Spec = Any
"""A type's name, a mapping of parameter names to specs, or a list of one spec."""


class Refused(Refusal):
    """An error answer. `began`: the call had begun to execute, so that its key keeps the answer."""

    def __init__(
        self,
        message: str,
        code: str | None = None,
        param: str | None = None,
        status: int = 400,
        began: bool = True,
        kind: str = "invalid_request_error",
    ) -> None:
        self.began = began
        named = {"code": code, "param": param}
        error = {"type": kind, "message": message, **{k: v for k, v in named.items() if v}}
        super().__init__(Response.json(status, {"error": error}), message)


def invalid(message: str, code: str | None, param: str) -> Refused:
    """A refusal of the parameters themselves: nothing was executed."""
    return Refused(message, code, param, began=False)


def nested(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """`a[0][b]=c` as {"a": {"0": {"b": "c"}}}; `a[]=c` counts by itself."""
    tree: dict[str, Any] = {}
    for name, value in pairs:
        head, *parts = re.split(r"\[|\]\[", name.removesuffix("]"))
        here, key = tree, head
        for part in parts:
            here = here.setdefault(key, {})
            if not isinstance(here, dict):
                raise invalid(f"Invalid hash: {name}", "parameter_invalid", name)
            key = part or str(len(here))
        here[key] = value
    return tree


def checked(given: Mapping[str, Any], spec: Mapping[str, Spec], required: Iterable[str] = ()) -> dict[str, Any]:
    """The parameters as typed values; an empty value (which unsets) becomes None. Raises `Refused`."""
    values = _hash(given, spec, "")
    for name in required:
        if values.get(name) is None:
            raise invalid(f"Missing required param: {name}.", "parameter_missing", name)
    return values


def _hash(given: Any, spec: Mapping[str, Spec], path: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise invalid(f"Invalid hash for {path}", "parameter_invalid", path)
    found = {}
    for name, value in given.items():
        full = f"{path}[{name}]" if path else name
        if name not in spec:
            raise invalid(f"Received unknown parameter: {full}", "parameter_unknown", full)
        found[name] = _value(value, spec[name], full)
    return found


def _value(value: Any, spec: Spec, path: str) -> Any:
    if value == "":
        return None
    if isinstance(spec, Mapping):
        return _hash(value, spec, path)
    if isinstance(spec, list):
        return _list(value, spec[0], path)
    if spec == METADATA:
        return _metadata(value, path)
    if not isinstance(value, str):
        raise invalid(f"Invalid {spec}: {path}", "parameter_invalid", path)
    return value if spec == TEXT else _scalar(value, spec, path)


def _list(value: Any, spec: Spec, path: str) -> list[Any]:
    if not isinstance(value, Mapping) or not all(key.isdigit() for key in value):
        raise invalid("Invalid array", "parameter_invalid", path)
    return [_value(value[key], spec, f"{path}[{key}]") for key in sorted(value, key=int)]


def _scalar(value: str, spec: str, path: str) -> Any:
    if spec == BOOL and value in {"true", "false"}:
        return value == "true"
    if spec == INT and re.fullmatch(r"-?\d+", value):
        return int(value)
    if spec == DECIMAL:
        try:
            return Decimal(value)
        except InvalidOperation:
            pass
    raise invalid(f"Invalid {spec}: {value}", f"parameter_invalid_{spec}", path)


def _metadata(value: Any, path: str) -> dict[str, str]:
    """At most 50 keys of 40 characters with values of 500 (docs.stripe.com/api/metadata)."""
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
        raise invalid("Metadata must be a flat hash of strings", "parameter_invalid", path)
    if len(value) > 50:
        raise invalid("Metadata has more than 50 keys", "parameter_invalid", path)
    for key, text in value.items():
        if len(key) > 40:
            raise invalid("Metadata keys can't be longer than 40 characters", "parameter_invalid", f"{path}[{key}]")
        if len(text) > 500:
            raise invalid("Metadata values can't be longer than 500 characters", "parameter_invalid", f"{path}[{key}]")
    return {key: text for key, text in value.items() if text}


_ADDRESS = dict.fromkeys(("line1", "line2", "city", "state", "postal_code", "country"), TEXT)
_SHIPPING = {"name": TEXT, "phone": TEXT, "address": _ADDRESS}
PAGE: dict[str, Spec] = {"limit": INT, "starting_after": TEXT, "expand": [TEXT]}
CREATED: dict[str, Spec] = dict.fromkeys(("gt", "gte", "lt", "lte"), INT)
SEARCH: dict[str, Spec] = {"query": TEXT, "limit": INT, "page": TEXT}
CUSTOMER: dict[str, Spec] = {
    "name": TEXT,
    "email": TEXT,
    "business_name": TEXT,
    "individual_name": TEXT,
    "description": TEXT,
    "phone": TEXT,
    "address": _ADDRESS,
    "shipping": _SHIPPING,
    "tax_exempt": TEXT,
    "metadata": METADATA,
}
TAX_RATE: dict[str, Spec] = {
    "display_name": TEXT,
    "inclusive": BOOL,
    "percentage": DECIMAL,
    "active": BOOL,
    "country": TEXT,
    "state": TEXT,
    "description": TEXT,
    "jurisdiction": TEXT,
    "tax_type": TEXT,
    "metadata": METADATA,
}
COUPON: dict[str, Spec] = {
    "id": TEXT,
    "amount_off": INT,
    "percent_off": DECIMAL,
    "currency": TEXT,
    "duration": TEXT,
    "name": TEXT,
    "metadata": METADATA,
}
INVOICE: dict[str, Spec] = {
    "customer": TEXT,
    "currency": TEXT,
    "collection_method": TEXT,
    "days_until_due": INT,
    "due_date": INT,
    "auto_advance": BOOL,
    "pending_invoice_items_behavior": TEXT,
    "default_tax_rates": [TEXT],
    "discounts": [{"coupon": TEXT}],
    "description": TEXT,
    "footer": TEXT,
    "number": TEXT,
    "custom_fields": [{"name": TEXT, "value": TEXT}],
    "metadata": METADATA,
    "shipping_details": _SHIPPING,
}
LINES: dict[str, Spec] = {
    "lines": [
        {
            "description": TEXT,
            "amount": INT,
            "quantity": INT,
            "discountable": BOOL,
            "metadata": METADATA,
            "price_data": {
                "currency": TEXT,
                "product": TEXT,
                "product_data": {"name": TEXT, "description": TEXT, "metadata": METADATA},
                "unit_amount": INT,
                "unit_amount_decimal": DECIMAL,
                "tax_behavior": TEXT,
            },
            "tax_rates": [TEXT],
            "tax_amounts": [
                {
                    "amount": INT,
                    "taxable_amount": INT,
                    "taxability_reason": TEXT,
                    "tax_rate_data": {
                        "display_name": TEXT,
                        "percentage": DECIMAL,
                        "inclusive": BOOL,
                        "country": TEXT,
                        "state": TEXT,
                        "description": TEXT,
                        "jurisdiction": TEXT,
                        "tax_type": TEXT,
                    },
                }
            ],
        }
    ]
}
