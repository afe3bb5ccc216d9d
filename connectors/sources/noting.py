"""What is noted at a shop's order of an invoice: the same words for every shop, each invoice under a key of its own.

A key is of letters, digits, "_" and "-", at most 64 long: what Shopify ("MetafieldsSetInput") and BigCommerce
(orders.v3.yml) take; WooCommerce takes any.
"""

from __future__ import annotations

import re

import orjson

from connectors.errors import Rejected
from connectors.sources.asking import Posted
from connectors.sources.base import digest

NAMESPACE = "billhook"
_WHOLE = "order"
_UNTOLD = re.compile(r"[^A-Za-z0-9_-]")


def key(posted: Posted) -> str:
    """`invoice_<account>`; for a part of an order `part_<account>_<digest of the part's name>`, for what was given back
    `back_…` likewise.

    Two accounts or parts never share one: the digest has a fixed length, and a part's name may be anything.
    """
    account = posted.account
    if len(account) > 40 or _UNTOLD.search(account):
        account = digest(account.encode())[:40]
    if posted.kind != "invoice":
        return f"back_{account}_{digest(posted.part.encode())[:12]}"
    if posted.part == _WHOLE:
        return f"invoice_{account}"
    return f"part_{account}_{digest(posted.part.encode())[:12]}"


def note(posted: Posted) -> str:
    """The invoice as JSON, always in the same order, so that the same invoice is the same text; what is not known is
    left out."""
    said = {
        "number": posted.number,
        "url": posted.url,
        "total": f"{posted.total:f}",
        "currency": posted.currency,
        "account": posted.account,
        "part": posted.part,
        "kind": None if posted.kind == "invoice" else posted.kind,
        "state": posted.state,
    }
    return orjson.dumps({name: value for name, value in said.items() if value is not None}).decode()


def order_number(shop: str, posted: Posted) -> str:
    """The order's id where it is a number, as all of these shops' are: it becomes part of an address.

    Raises `Rejected`.
    """
    number = posted.order_id
    if not (number.isascii() and number.isdigit()):
        raise Rejected(f"{number!r} is no id of a {shop} order, so its invoice cannot be noted there")
    return number
