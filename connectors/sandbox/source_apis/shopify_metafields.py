"""Shopify's GraphQL Admin API as far as `metafieldsSet` goes, strictly: one mutation, documented fields, no other.

From shopify.dev, GraphQL Admin API: "metafieldsSet", "MetafieldsSetInput", "MetafieldsSetUserErrorCode", "Status and
error codes". In which words it says that an owner is gone is a guess.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from connectors.sandbox import graphql
from connectors.sandbox.base import Request, Response

_SCHEMA = graphql.Schema("""
Query: shop:Shop
Shop: id
Mutation: metafieldsSet(metafields):MetafieldsSetPayload
MetafieldsSetPayload: metafields:Metafield userErrors:MetafieldsSetUserError
Metafield: id namespace key type value compareDigest createdAt updatedAt
MetafieldsSetUserError: code elementIndex field message
""")
_REQUIRED = {"ownerId", "key", "value"}
_KNOWN = {*_REQUIRED, "namespace", "type", "compareDigest"}
_OWNER = re.compile(r"gid://shopify/Order/(\d+)")
_NAMED = {"namespace": re.compile(r"[A-Za-z0-9_-]{3,255}"), "key": re.compile(r"[A-Za-z0-9_-]{2,64}")}


class Metafields:
    """Those of orders. `kept`: by order, namespace and key."""

    def __init__(self, orders: dict[int, dict[str, Any]], clock: Callable[[], float]) -> None:
        self.orders, self.clock = orders, clock
        self.kept: dict[tuple[int, str, str], dict[str, Any]] = {}
        self.written = 0
        """How often one was made or changed."""

    def answer(self, request: Request, *, may_write: bool) -> Response:
        try:
            body = request.json()
            operation = graphql.parsed(str(body["query"]))
            _SCHEMA.check(operation)
            graphql.filled(operation, body.get("variables") or {})
        except graphql.Invalid as error:
            return errors(str(error), "undefinedField")
        except (ValueError, KeyError, TypeError) as error:
            return errors(f"Variable {error} was provided invalid value", "INVALID_VARIABLE")
        [mutation] = operation.selection
        if not may_write:
            said = "Access denied for metafieldsSet field. Required access: `write_orders` access scope."
            return errors(said, "ACCESS_DENIED")
        given = mutation.arguments["metafields"]
        if not all(_is_input(each) for each in given):
            said = "Variable $metafields of type [MetafieldsSetInput!]! was provided invalid value"
            return errors(said, "INVALID_VARIABLE")
        refused = self._refused(given)
        payload = {"metafields": None if refused else [self._set(each) for each in given], "userErrors": refused}
        chosen = _SCHEMA.chosen("MetafieldsSetPayload", payload, mutation.inner, lambda _, value, name, __: value[name])
        return Response.json(200, {"data": {mutation.alias: chosen}})

    def _refused(self, given: list[dict[str, str]]) -> list[dict[str, Any]]:
        if len(given) > 25:
            said = "Exceeded the maximum metafields input limit of 25."
            return [{"field": ["metafields"], "message": said, "code": "LESS_THAN_OR_EQUAL_TO", "elementIndex": None}]
        return [
            {"field": ["metafields", str(at), field], "message": message, "code": code, "elementIndex": at}
            for at, each in enumerate(given)
            for field, message, code in self._problems(each)
        ]

    def _problems(self, each: dict[str, str]) -> list[tuple[str, str, str | None]]:
        owner = _OWNER.fullmatch(each["ownerId"])
        found: list[tuple[str, str, str | None]] = []
        if owner is None or int(owner[1]) not in self.orders:
            found.append(("ownerId", "Owner does not exist.", None))
        for name, fitting in _NAMED.items():
            if not fitting.fullmatch(each.get(name, "app--1")):
                found.append((name, f"{name.capitalize()} has characters or a length that are not allowed.", "INVALID"))
        if each.get("type") != "json":
            found.append(("type", "Type can't be blank.", "BLANK"))
        elif not _is_json(each["value"]):
            found.append(("value", "Value is invalid JSON.", "INVALID_VALUE"))
        return found

    def _set(self, each: dict[str, str]) -> dict[str, Any]:
        number = int(each["ownerId"].rpartition("/")[2])
        place = (number, each.get("namespace", "app--1"), each["key"])
        before = self.kept.get(place)
        if before is not None and before["value"] == each["value"]:
            return before
        now = datetime.fromtimestamp(self.clock(), UTC).isoformat()
        ident = before["id"] if before else f"gid://shopify/Metafield/{len(self.kept) + 1}"
        said = {"id": ident, "namespace": place[1], "key": place[2], "type": each["type"], "value": each["value"]}
        self.kept[place] = {"createdAt": now, **(before or {}), **said, "updatedAt": now, "compareDigest": ""}
        self.written += 1
        self.orders[number]["updated_at"] = now
        return self.kept[place]


def errors(message: str, code: str, cost: dict[str, Any] | None = None) -> Response:
    """An answer without data; 200, as GraphQL's are."""
    said: dict[str, Any] = {"errors": [{"message": message, "extensions": {"code": code}}], "data": None}
    return Response.json(200, {**said, "extensions": {"cost": cost}} if cost else said)


def _is_input(each: Any) -> bool:
    texts = isinstance(each, dict) and all(isinstance(value, str) for value in each.values())
    return texts and _REQUIRED <= set(each) <= _KNOWN


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
