"""Shops and carriers as a merchant configures them, and their requests: signed, or with their token, as they send."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from connectors.sandbox.source_apis import aftership as aftership_api
from connectors.sandbox.source_apis import dhl as dhl_api
from connectors.sandbox.source_apis import easypost as easypost_api
from connectors.sandbox.source_apis import fedex as fedex_api
from connectors.sandbox.source_apis import hubspot as hubspot_api
from connectors.sandbox.source_apis import shippo as shippo_api
from connectors.sandbox.source_apis import shopify as shopify_api
from connectors.sandbox.source_apis import square as square_api
from connectors.sandbox.source_apis import ups as ups_api
from connectors.sandbox.source_apis import woocommerce as woocommerce_api
from connectors.sources.easypost import signature as easypost_signature

SHOP = "engraver"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""Of every source, unless told otherwise."""
ADDRESS = "https://your.host/in/engraver/told"
"""Of a webhook whose sender signs that, too."""


@dataclass(frozen=True)
class Sent:
    """A request at a source's address; header names are lower-case."""

    headers: Mapping[str, str]
    body: bytes


# -- as configured -----------------------------------------------------------------------------------------------------


def configured(name: str, kind: str, *, shop: str = SHOP, orders: str = "", **options: Any) -> str:
    """The sections of a source; `orders`: the source whose orders it speaks of."""
    head = f'[shop.{shop}.source.{name}]\nkind = "{kind}"\nsecret = "{SECRET}"\n'
    whose = f'orders = "{orders}"\n' if orders else ""
    lines = "".join(f"{option} = {json.dumps(value)}\n" for option, value in options.items())
    return f"{head}{whose}[shop.{shop}.source.{name}.options]\n{lines}\n"


def credentials(kind: str, url: str) -> dict[str, Any]:
    """Options with which the emulator of this kind, below `url`, can be asked."""
    own: dict[str, dict[str, Any]] = {
        "aftership": {"api_key": aftership_api.API_KEY, "base_url": f"{url}/aftership/tracking/2026-07"},
        "bigcommerce": {"store_hash": "abc123", "access_token": "bc-token"},
        "dhl": {"api_key": dhl_api.API_KEY},
        "easypost": {"api_key": easypost_api.API_KEY, "base_url": f"{url}/easypost/v2"},
        "fedex": {"client_id": fedex_api.APP.client_id, "client_secret": fedex_api.APP.client_secret},
        "hubspot": {"access_token": hubspot_api.TOKEN, "webhook_url": ADDRESS},
        "shippo": {"api_token": shippo_api.API_KEY},
        "shipstation": {"api_key": "ss-key", "api_secret": "ss-secret"},
        "shopify": {"access_token": shopify_api.TOKEN},
        "square": {
            "access_token": square_api.TOKEN,
            "location_ids": [square_api.LOCATION],
            "webhook_url": ADDRESS,
        },
        "ups": {"client_id": ups_api.APP.client_id, "client_secret": ups_api.APP.client_secret},
        "woocommerce": {"consumer_key": woocommerce_api.KEY, "consumer_secret": woocommerce_api.SECRET},
    }
    return {"base_url": f"{url}/{kind}"} | own[kind]


# -- as sent -----------------------------------------------------------------------------------------------------------


def shopify(topic: str, document: Any, *, ident: str = "", secret: str = SECRET) -> Sent:
    """`ident`: of the delivery, the same in its retries; without it, each body has its own."""
    body = orjson.dumps(document)
    own = {"x-shopify-topic": topic, "x-shopify-webhook-id": ident or hashlib.sha256(body).hexdigest()}
    return Sent({**own, "x-shopify-hmac-sha256": _base64(secret.encode(), body)}, body)


def woocommerce(document: Any, topic: str = "order.updated") -> Sent:
    body = orjson.dumps(document)
    return Sent({"x-wc-webhook-topic": topic, "x-wc-webhook-signature": _base64(SECRET.encode(), body)}, body)


def bigcommerce(hook: Any, ident: str) -> Sent:
    return _standard(hook, ident, SECRET.encode())


def square(hook: Any) -> Sent:
    body = orjson.dumps(hook)
    return Sent({"x-square-hmacsha256-signature": _base64(SECRET.encode(), ADDRESS.encode() + body)}, body)


def hubspot(*events: Any) -> Sent:
    body, at = orjson.dumps(events), str(int(time.time() * 1000))
    signed = _base64(SECRET.encode(), f"POST{ADDRESS}".encode() + body + at.encode())
    return Sent({"x-hubspot-signature-v3": signed, "x-hubspot-request-timestamp": at}, body)


def cloud_events(events: Any, ident: str = "msg-1") -> Sent:
    """A batch in one request."""
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    return _standard(events, ident, key, {"content-type": "application/cloudevents-batch+json"})


def easypost(event: Any) -> Sent:
    body = orjson.dumps(event)
    return Sent({"x-hmac-signature": easypost_signature(SECRET, body)}, body)


def aftership(event: Any) -> Sent:
    body = orjson.dumps(event)
    return Sent({"aftership-hmac-sha256": _base64(SECRET.encode(), body)}, body)


def fedex(push: Any) -> Sent:
    body = orjson.dumps(push)
    return Sent({"fdx-signature": _base64(SECRET.encode(), body)}, body)


def ups(push: Any) -> Sent:
    return Sent({"authorization": f"Bearer {SECRET}"}, orjson.dumps(push))


def dhl(push: Any) -> Sent:
    return Sent({"x-billhook-key": SECRET}, orjson.dumps(push))


def by_address(event: Any) -> Sent:
    """Of those who are known by the token in the address: Shippo, ShipStation."""
    return Sent({":token": SECRET}, orjson.dumps(event))


def _standard(document: Any, ident: str, key: bytes, more: Mapping[str, str] | None = None) -> Sent:
    body, at = orjson.dumps(document), str(int(time.time()))
    signed = "v1," + _base64(key, f"{ident}.{at}.".encode() + body)
    return Sent({"webhook-id": ident, "webhook-timestamp": at, "webhook-signature": signed, **(more or {})}, body)


def _base64(key: bytes, body: bytes) -> str:
    return base64.b64encode(hmac.digest(key, body, hashlib.sha256)).decode()
