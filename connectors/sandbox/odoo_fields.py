"""Models of an emulated Odoo: their fields in each version, the records every database has, and search domains in SQL.

Names and kinds of fields from odoo/odoo: addons/account/models (account_move.py 13 to 19, account_invoice.py 12),
odoo/addons/base/models (res_partner.py, res_currency.py, res_country.py), addons/mail/models.
"""

from __future__ import annotations

from itertools import product
from typing import Any

_SALE = {"type_tax_use": "sale", "amount_type": "percent"}
STATIC: dict[str, dict[int, dict[str, Any]]] = {
    "res.company": {1: {"name": "Demo Company", "currency_id": 144}},
    "res.users": {8: {"name": "Billhook", "login": "bot@demo.example"}},
    "res.currency": {
        144: {"name": "GBP", "active": True},
        125: {"name": "EUR", "active": True},
        1: {"name": "USD", "active": True},
        6: {"name": "CHF", "active": False},
    },
    "res.country": {
        231: {"name": "United Kingdom", "code": "GB"},
        75: {"name": "France", "code": "FR"},
        57: {"name": "Germany", "code": "DE"},
        101: {"name": "Ireland", "code": "IE"},
        165: {"name": "Netherlands", "code": "NL"},
        233: {"name": "United States", "code": "US"},
    },
    "account.journal": {1: {"name": "Customer Invoices", "type": "sale", "code": "INV"}},
    "account.account": {27: {"name": "Product Sales", "code": "400000"}},
    "account.tax": {
        5 + at: {"name": f"{rate}% S{words}", "amount": float(rate), **_SALE, "price_include": bool(words)}
        for at, (words, rate) in enumerate(product(("", " incl."), (20, 5, 0)))
    },
    "product.product": {1: {"name": "Brass plaque", "default_code": "PLQ-BR"}},
    "mail.template": {12: {"name": "Invoice: Send by email"}},
}
NAMES = {
    **{f"base.{doc['name']}": ("res.currency", ident) for ident, doc in STATIC["res.currency"].items()},
    **{
        f"base.{'uk' if doc['code'] == 'GB' else doc['code'].lower()}": ("res.country", ident)
        for ident, doc in STATIC["res.country"].items()
    },
    "account.email_template_edi_invoice": ("mail.template", 12),
}
"""External ids that every database has."""

_LINE = {
    "name": "text",
    "quantity": "float",
    "price_unit": "float",
    "discount": "float",
    "product_id": "many2one:product.product",
    "account_id": "many2one:account.account",
    "price_subtotal": "computed",
    "price_total": "computed",
}
_INVOICE = {
    "partner_id": "many2one:res.partner",
    "currency_id": "many2one:res.currency",
    "journal_id": "many2one:account.journal",
    "company_id": "many2one:res.company",
    "state": "computed",
    "amount_untaxed": "computed",
    "amount_tax": "computed",
    "amount_total": "computed",
    "write_date": "computed",
}
_SEND = {"template_id": "many2one:mail.template", "move_id": "many2one:account.move"}

_NOTIFICATION = (
    "notification_type", "notification_status", "failure_type", "mail_message_id.model", "mail_message_id.res_id",
)  # fmt: skip


def fields_of(version: int, model: str) -> dict[str, str] | None:
    """The fields of a model and their kinds; None where this version has no such model."""
    if model in STATIC:
        return {name: "char" for doc in STATIC[model].values() for name in doc}
    kinds = {
        "res.partner": _partner(version),
        "mail.notification": dict.fromkeys(_NOTIFICATION, "computed"),
        "ir.model.data": {"module": "char", "name": "char", "model": "char", "res_id": "integer"},
    }  # fmt: skip
    if version <= 12:
        kinds |= {"account.invoice": _old_invoice(), "account.invoice.line": _old_line()}
    else:
        kinds |= {"account.move": _move(version), "account.move.line": _move_line()}
    if version >= 18:
        kinds["account.move.send.wizard"] = {**_SEND, "sending_methods": "json"}
    elif version == 17:
        kinds["account.move.send"] = {"checkbox_send_mail": "boolean", "checkbox_download": "boolean", **_SEND}
    elif version >= 13:
        kinds["account.invoice.send"] = {"is_email": "boolean", "is_print": "boolean", **_SEND}
    return kinds.get(model)


def _partner(version: int) -> dict[str, str]:
    texts = ("name", "email", "street", "street2", "city", "zip", "ref", "phone", "vat", "type", "lang")
    flags = ("is_company", "active", *(("customer",) if version <= 12 else ()))
    return {
        **dict.fromkeys(texts, "char"),
        **dict.fromkeys(flags, "boolean"),
        "comment": "text",
        "country_id": "many2one:res.country",
        "parent_id": "many2one:res.partner",
        **({} if version <= 12 else {"customer_rank": "integer"}),
    }


def _move(version: int) -> dict[str, str]:
    kind, payment = ("type", "invoice_payment_state") if version == 13 else ("move_type", "payment_state")
    return {
        **_INVOICE,
        kind: "selection",
        "name": "computed",
        "ref": "char",
        "invoice_origin": "char",
        "invoice_date": "date",
        "invoice_date_due": "date",
        "narration": "text",
        "payment_reference": "char",
        "partner_shipping_id": "many2one:res.partner",
        "reversed_entry_id": "many2one:account.move",
        "invoice_line_ids": "one2many:account.move.line",
        payment: "computed",
        "amount_residual": "computed",
        "is_move_sent": "computed",
        "access_url": "computed",
        "access_token": "computed",
    }


def _move_line() -> dict[str, str]:
    return {**_LINE, "tax_ids": "many2many:account.tax", "move_id": "many2one:account.move"}


def _old_invoice() -> dict[str, str]:
    return {
        **_INVOICE,
        "type": "selection",
        "name": "char",
        "origin": "char",
        "comment": "text",
        "date_invoice": "date",
        "date_due": "date",
        "account_id": "many2one:account.account",
        "invoice_line_ids": "one2many:account.invoice.line",
        "number": "computed",
        "residual": "computed",
        "sent": "boolean",
    }


def _old_line() -> dict[str, str]:
    taxes = {"invoice_line_tax_ids": "many2many:account.tax"}
    return {**_LINE, **taxes, "invoice_id": "many2one:account.invoice"}


LABELS = {
    "tax_ids": "Taxes",
    "invoice_line_tax_ids": "Taxes",
    "partner_id": "Partner",
    "currency_id": "Currency",
    "country_id": "Country",
    "journal_id": "Journal",
    "invoice_line_ids": "Invoice lines",
    "invoice_date": "Invoice/Bill Date",
    "invoice_date_due": "Due Date",
    "quantity": "Quantity",
    "price_unit": "Unit Price",
}
"""What people read in messages; other fields go by their names."""

_COMPARED = {"=": "IS", "!=": "IS NOT", "<": "<", ">": ">", "<=": "<=", ">=": ">="}


class BadDomain(Exception):
    """The domain names a field or an operator that does not exist."""


def where(domain: list[Any], model: str, fields: dict[str, str]) -> tuple[str, list[Any]]:
    """A search domain (prefix notation, terms without an operator before them are joined by "&") as SQL on records."""
    stack: list[tuple[str, list[Any]]] = []
    for term in reversed(domain):
        if term in ("&", "|"):
            (left, some), (right, more) = stack.pop(), stack.pop()
            stack.append((f"({left} {'AND' if term == '&' else 'OR'} {right})", some + more))
        elif term == "!":
            inner, values = stack.pop()
            stack.append((f"NOT coalesce({inner}, 0)", values))
        else:
            stack.append(_term(*term, model=model, fields=fields))
    stack.reverse()
    return " AND ".join(sql for sql, _ in stack) or "1", [value for _, values in stack for value in values]


def _term(name: str, operator: str, value: Any, *, model: str, fields: dict[str, str]) -> tuple[str, list[Any]]:
    if name != "id" and name not in fields and not (model == "res.partner" and name == "active"):
        raise BadDomain(f"Invalid field {model}.{name} in leaf {(name, operator, value)!r}")
    column = _column(model, name)
    if operator in ("in", "not in"):
        found = f"{column} IN ({','.join('?' * len(value))})"
        return (found if operator == "in" else f"coalesce(NOT {found}, 1)"), list(value)
    if operator in ("=ilike", "=like", "ilike", "like"):
        if operator == "=ilike" and not set(value) & {"_", "%", "\\"}:
            return f"{column} = ? COLLATE NOCASE", [value]
        return f"{column} LIKE ? ESCAPE '\\'", [value if operator.startswith("=") else f"%{value}%"]
    if operator not in _COMPARED:
        raise BadDomain(f"Invalid operator {operator!r} in domain term {(name, operator, value)!r}")
    return f"{column} {_COMPARED[operator]} ?", [None if value is False else value]


def _column(model: str, name: str) -> str:
    reference = "name" if model == "account.invoice" else "ref"
    if name in ("id", "email"):
        return name
    if name in ("origin", "invoice_origin"):
        return "origin"
    return "ref" if name == reference else f"json_extract(doc, '$.\"{name}\"')"
