"""Switching on again the webhooks that a shop switched off, because nobody was there for a while.

Only those that deliver to our own address, and never one that a person has paused. It says what it sees at the moment
and sets one field to what it should be, so doing it again changes nothing.

Facts: WooCommerce REST API v3, "Webhooks" (`status`: active, paused by a person, disabled by failures; filter
`status`); bigcommerce/docs, reference/webhooks.v3.yml (`is_active`, filters `is_active` and `destination`; switched off
after 48 hours of failures or 90 days without an event). In doubt: whether WooCommerce counts the failures from the
beginning then; if not, one more failure switches it off again, and the next question on.
"""

from __future__ import annotations

from typing import Any

import orjson

from connectors.errors import Unavailable
from connectors.sources.asking import Api
from connectors.sources.base import display
from connectors.sources.parcels import dicts


def wake_woocommerce(api: Api, address: str) -> list[str]:
    """A sentence for each webhook that is active again; the key must be allowed to write. Raises a read's errors."""
    where = "/wp-json/wc/v3/webhooks"
    listed = api.document(where, query={"status": "disabled", "per_page": "100"})
    if not isinstance(listed, list):
        raise Unavailable("WooCommerce answered with something that is no list of webhooks")
    woken = []
    for ident, row in _ours(listed, "delivery_url", address):
        if row.get("status") == "disabled":
            api.call("PUT", f"{where}/{ident}", query={"_fields": "id"}, body='{"status":"active"}')
            woken.append(_said("WooCommerce", ident, row.get("topic")))
    return woken


def wake_bigcommerce(api: Api, address: str) -> list[str]:
    """A sentence for each webhook that is active again. Raises the errors of a read."""
    where = f"{api.base_url.removesuffix('/v2')}/v3/hooks"
    answer = api.document(where, query={"is_active": "false", "destination": address, "limit": "250"})
    listed = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(listed, list):
        raise Unavailable("BigCommerce answered with something that is no list of webhooks")
    woken = []
    for ident, row in _ours(listed, "destination", address):
        if row.get("is_active") is False:
            api.call("PUT", f"{where}/{ident}", body=orjson.dumps({"is_active": True}).decode())
            woken.append(_said("BigCommerce", ident, row.get("scope")))
    return woken


def _ours(listed: list[Any], field: str, address: str) -> list[tuple[int, dict[str, Any]]]:
    """Id and row of those that deliver to this address."""
    found = [each for each in dicts(listed) if isinstance(each.get("id"), int) and isinstance(each.get(field), str)]
    return [(each["id"], each) for each in found if each[field].rstrip("/") == address.rstrip("/")]


def _said(shop: str, ident: int, what: Any) -> str:
    return f"{shop} had switched off webhook {ident} ({display(what) or 'of unknown events'}): it is active again"
