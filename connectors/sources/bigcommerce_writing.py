"""Noting at a BigCommerce order which invoice it has: a metafield in the namespace "billhook".

The v3 API has no call that creates or updates, so it is looked for first; where somebody else made it meanwhile the
creation is a 409, and it is looked for again. `permission_set` is "write": "read" would let only the API account that
made it change it, and accounts are replaced.

Facts: bigcommerce/docs, reference/orders.v3.yml (`/orders/{order_id}/metafields`: namespace and key at most 64
letters, unique per client, order, namespace and key, else 409; 250 per client and order), docs/integrations/webhooks
(`store/order/metafield/…`, which are only kept). Needs the scope *Orders: modify*. In doubt: whether the list of an
order that is gone is a 404 or empty (its creation is a 404 then).
"""

from __future__ import annotations

from typing import Any

import orjson

from connectors.errors import Rejected, Unavailable
from connectors.sources.asking import Api, Posted
from connectors.sources.noting import NAMESPACE, key, note, order_number

_NAME = "BigCommerce"


def write(api: Api, posted: Posted) -> None:
    """Creates the metafield of this account and part, or gives it its value. Raises the errors of a read."""
    where = f"{api.base_url.removesuffix('/v2')}/v3/orders/{order_number(_NAME, posted)}/metafields"
    for one in posted.all:
        _set(api, where, {"permission_set": "write", "namespace": NAMESPACE, "key": key(one), "value": note(one)})


def _set(api: Api, where: str, metafield: dict[str, str]) -> None:
    body = orjson.dumps(metafield).decode()
    there = _found(api, where, metafield["key"])
    if there is None:
        try:
            api.call("POST", where, body=body)
            return
        except Rejected as refused:
            if refused.status != 409:
                raise
        there = _found(api, where, metafield["key"])
    if there is None:
        raise Unavailable(f"{_NAME} says that the note is there already, but does not show it")
    if there.get("value") != metafield["value"]:
        api.call("PUT", f"{where}/{there['id']}", body=body)


def _found(api: Api, where: str, name: str) -> dict[str, Any] | None:
    listed = api.document(where, query={"namespace": NAMESPACE, "key": name})
    rows = listed.get("data") if isinstance(listed, dict) else None
    if not isinstance(rows, list):
        raise Unavailable(f"{_NAME} answered with something that is no list of metafields")
    ours = (each for each in rows if isinstance(each, dict) and isinstance(each.get("id"), int))
    return next((each for each in ours if (each.get("namespace"), each.get("key")) == (NAMESPACE, name)), None)
