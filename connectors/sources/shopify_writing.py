"""Noting at a Shopify order which invoice it has: a metafield of type `json` in the namespace "billhook".

By `metafieldsSet` of the GraphQL Admin API: it sets a metafield "regardless if they were previously created or not",
by owner, namespace and key, and touches nothing else of the order. REST has no such call: its POST is documented to
create only.

GraphQL answers 200 whatever happened: too many calls and missing scopes stand in `errors`, refusals of the input in
`userErrors`.

Facts: shopify.dev, GraphQL Admin API: "metafieldsSet" (25 at a time, all or none; the same access as to write the
owner, here `write_orders`), "MetafieldsSetInput" (key 2 to 64, namespace 3 to 255 letters), enum
"MetafieldsSetUserErrorCode", "Status and error codes" (THROTTLED, ACCESS_DENIED, INTERNAL_SERVER_ERROR), "API limits"
(`throttleStatus`). In doubt: in which words it says that an order is gone (any refusal is `Rejected` here), whether
an app without `read_all_orders` may write to orders older than 60 days, and whether Shopify tells of the note by
`orders/updated` (it is the same order then, so nothing follows).
"""

from __future__ import annotations

from typing import Any

import orjson

from connectors.errors import ConnectorError, Rejected, Throttled, Unauthorized, Unavailable
from connectors.http import Answer
from connectors.sources.asking import Api, Posted
from connectors.sources.noting import NAMESPACE, key, note, order_number
from connectors.sources.shopify_asking import VERSION

_MUTATION = """mutation noteInvoice($metafields: [MetafieldsSetInput!]!) {
  metafieldsSet(metafields: $metafields) { metafields { id } userErrors { field message code } }
}"""
_SCOPE = "Shopify does not let Billhook write to orders: give its app the scope write_orders and install it again"
_DENIED = {"ACCESS_DENIED", "APP_NOT_AUTHORIZED"}
_PASSING = {"INTERNAL_SERVER_ERROR", "INTERNAL_ERROR", "STALE_OBJECT", "TIMEOUT"}


def write(api: Api, posted: Posted) -> None:
    """Sets the metafield of this account and part. Raises the errors of a read."""
    owner = {"ownerId": f"gid://shopify/Order/{order_number('Shopify', posted)}", "namespace": NAMESPACE}
    metafields = [{**owner, "key": key(one), "type": "json", "value": note(one)} for one in posted.all]
    asked = orjson.dumps({"query": _MUTATION, "variables": {"metafields": metafields}}).decode()
    answer = api.call("POST", f"/admin/api/{VERSION}/graphql.json", body=asked)
    told = _object(_json(answer))
    if errors := told.get("errors"):
        raise _refusal(errors, told, answer)
    done = _object(_object(told.get("data")).get("metafieldsSet"))
    if refused := done.get("userErrors"):
        raise _refusal(refused, told, answer)
    if not done.get("metafields"):
        raise Unavailable("Shopify did not say whether it noted the invoice", sample=answer.sample)


def _json(answer: Answer) -> Any:
    try:
        return orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        raise Unavailable("Shopify answered with something that is not JSON", sample=answer.sample) from None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _refusal(errors: Any, told: dict[str, Any], answer: Answer) -> ConnectorError:
    """The first of the errors, in our words; `code` stands in the error or in its `extensions`."""
    first = errors[0] if isinstance(errors, list) else errors
    error = _object(first)
    code = error.get("code") or _object(error.get("extensions")).get("code")
    said = f"Shopify answered: {error.get('message') or first}"[:500]
    if code == "THROTTLED":
        return Throttled(said, retry_after=_wait(told), sample=answer.sample)
    if code in _DENIED:
        return Unauthorized(f"{_SCOPE}. {said}", code=code, sample=answer.sample)
    if code in _PASSING:
        return Unavailable(said, code=code, sample=answer.sample)
    return Rejected(said, code=code if isinstance(code, str) else None, sample=answer.sample)


def _wait(told: dict[str, Any]) -> float | None:
    """Seconds until the bucket has refilled as far as the call needs."""
    try:
        cost = told["extensions"]["cost"]
        bucket = cost["throttleStatus"]
        lacking = float(cost["requestedQueryCost"]) - float(bucket["currentlyAvailable"])
        return max(1.0, lacking / float(bucket["restoreRate"]))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
