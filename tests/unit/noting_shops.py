"""Shops of each kind that take notes of invoices, emulated over HTTP, with one order each."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import orjson

from connectors.http import Http
from connectors.sandbox.source_apis import bigcommerce as bc_api
from connectors.sandbox.source_apis import shopify as shopify_api
from connectors.sandbox.source_apis import woocommerce as woo_api
from connectors.sources.asking import Api, Posted
from connectors.sources.base import source
from tests.contract.running import RunningSandbox
from tests.unit import bigcommerce_bodies, test_sources_shopify, test_sources_woocommerce

KINDS = ["shopify", "woocommerce", "bigcommerce"]
EMULATORS: list[Any] = [shopify_api.ShopifyApi, woo_api.WooApi, bc_api.BigCommerce]
ORDERS = {
    "shopify": test_sources_shopify.ORDER,
    "woocommerce": test_sources_woocommerce.ORDER,
    "bigcommerce": bigcommerce_bodies.ORDER,
}
SAID = {
    "number": "INV-0042",
    "url": "https://books.example/i/42",
    "total": "118.14",
    "currency": "GBP",
    "account": "books",
    "part": "order",
    "state": "issued",
}


class Shop:
    """A shop of some kind, which has one order."""

    def __init__(self, kind: str, sandbox: RunningSandbox) -> None:
        self.kind, self.sandbox = kind, sandbox
        self.emulator: Any = sandbox.sandbox.hosted[kind].emulator
        order = copy.deepcopy(ORDERS[kind])
        self.number: int = order["id"]
        self.emulator.orders[self.number] = order
        self.source = source(kind)(["s"], {**self.credentials(), "write_back": True})

    def credentials(self, *, may_write: bool = True) -> dict[str, Any]:
        base = {"base_url": f"{self.sandbox.url}/{self.kind}"}
        match self.kind:
            case "shopify":
                return {**base, "access_token": shopify_api.TOKEN if may_write else shopify_api.READER}
            case "woocommerce":
                consumer = woo_api.KEY if may_write else woo_api.READER
                return {**base, "consumer_key": consumer, "consumer_secret": woo_api.SECRET}
        token = bc_api.TOKEN if may_write else bc_api.READER
        return {**base, "store_hash": bc_api.STORE, "access_token": token}

    @property
    def order(self) -> dict[str, Any]:
        found: dict[str, Any] = self.emulator.orders[self.number]
        return found

    @property
    def api(self) -> Api:
        api = self.source.api(Http(10))
        assert api is not None
        return api

    @property
    def quota(self) -> Any:
        return {"shopify": "points", "woocommerce": "host", "bigcommerce": "limit"}[self.kind]

    @property
    def written(self) -> int:
        """How often something was changed."""
        kept = self.emulator.metafields if self.kind == "shopify" else self.emulator
        written: int = kept.written
        return written

    def posted(self, **changes: Any) -> Posted:
        said: dict[str, Any] = {**SAID, "total": Decimal(SAID["total"])}
        return Posted(order_id=str(self.number), **said | changes)

    def write(self, **changes: Any) -> bool:
        return self.source.write_back(self.api, self.posted(**changes))

    def notes(self) -> dict[str, Any]:
        """What stands at the order, by key."""
        match self.kind:
            case "shopify":
                kept = self.emulator.metafields.kept.items()
                texts = {name: doc["value"] for (_, space, name), doc in kept if space == "billhook"}
            case "woocommerce":
                entries = [each for each in self.order.get("meta_data", []) if each["key"].startswith("billhook_")]
                texts = {each["key"].removeprefix("billhook_"): each["value"] for each in entries}
            case _:
                texts = {each["key"]: each["value"] for each in self.emulator.metafields.values()}
        return {name: orjson.loads(text) for name, text in texts.items()}
