"""Asking Shopify for the orders that changed: what its webhooks lost.

REST, not GraphQL: an order has the very form of a webhook's body there, so both are read in one way. REST is "legacy"
since October 2024, but served in every version up to 2026-10, and closed to new *public* apps only; a merchant's own
app may use it. In doubt: for how long yet.

One question covers a window of `updated_at`. Its pages are followed by the `Link` header (other parameters must not
be repeated then); an order that changes meanwhile leaves the window and comes in the next one. A window ends two
minutes ago, so that no change of its seconds is still being written, and the next one begins at the newest
`updated_at` that was *seen*: the clock here decides nothing about what is skipped.

Facts: shopify.dev, REST "Order" resource (`updated_at_min` and `_max`, at or after and at or before; `status=any`;
250 at most; 60 days back without the scope `read_all_orders`), "Make paginated requests to the REST Admin API",
"Get API access tokens for Dev Dashboard apps" (client credentials, 24 hours), "REST Admin API rate limits".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
from pydantic import BaseModel

from connectors.auth import OAuth2
from connectors.errors import Rejected, Unavailable
from connectors.http import Http
from connectors.sources.asking import Api, ClientToken, Found, Page
from connectors.sources.base import digest, display, inbox_id, moment
from connectors.sources.delivery import Delivery
from connectors.sources.shopify_refunds import kept

VERSION = "2026-10"
SETTLED = timedelta(minutes=2)
_SIZE = "250"
_LINK = re.compile(r'<([^<>]+)>;\s*rel="?\{?next\}?"?')


class AppToken:
    """The day-long token of an app of the Dev Dashboard, in Shopify's own header."""

    def __init__(self, base_url: str, credentials: Any, http: Http) -> None:
        """`credentials` have `client_id` and `client_secret`."""
        oauth = OAuth2(f"{base_url}/admin/oauth/access_token", client="body", lifetime=timedelta(hours=24))
        self._token = ClientToken(oauth, credentials, http)

    def headers(self) -> Mapping[str, str]:
        return _header(self._token.headers()["Authorization"].removeprefix("Bearer "))

    def renew(self, refused: Mapping[str, str]) -> bool:
        return self._token.renew({"Authorization": f"Bearer {refused.get('X-Shopify-Access-Token')}"})


def _header(token: str) -> dict[str, str]:
    return {"X-Shopify-Access-Token": token}


def api_at(base_url: str, options: Any, http: Http) -> Api | None:
    """The Admin API by the options' credentials; None where there are none."""
    if options.access_token is not None:
        token = options.access_token.get_secret_value()
        http.hide(token)
        return Api("Shopify", base_url, _header(token), http)
    if options.client_id is None or options.client_secret is None:
        return None
    return Api("Shopify", base_url, AppToken(base_url.rstrip("/"), options, http), http)


class Cursor(BaseModel):
    """How far the orders were read."""

    began: datetime
    """When somebody asked first: what was fulfilled before asks for no invoice."""
    since: datetime
    """Where the window begins."""
    newest: datetime
    """The newest change seen in the window."""
    page: str = ""
    """Shopify's word for the next page of the window; "" at its beginning."""


def pull(api: Api, cursor: str | None, now: datetime, *, tests: bool) -> Page:
    """A page of the orders that changed, each with its fulfillments. `tests`: those of test orders, too.

    Raises the errors of a read.
    """
    at = Cursor(began=now, since=now, newest=now) if cursor is None else Cursor.model_validate_json(cursor)
    until = now - SETTLED
    if not at.page and until < at.since:
        return Page((), at.model_dump_json(), more=False)
    orders, following = _asked(api, at, until)
    moments = [changed for each in orders if (changed := moment(each.get("updated_at")))]
    newest = max([at.newest, *moments])
    orders.sort(key=lambda each: moment(each.get("updated_at")) or at.newest)
    found = tuple(one for each in orders for one in _found(each, at.began, tests))
    changes = {"page": following, "newest": newest} if following else {"page": "", "newest": newest, "since": newest}
    return Page(found, at.model_copy(update=changes).model_dump_json(), more=bool(following))


def _asked(api: Api, at: Cursor, until: datetime) -> tuple[list[dict[str, Any]], str]:
    """The orders of a page, and the word for the next one."""
    where = f"/admin/api/{VERSION}/orders.json"
    window = {"status": "any", "limit": _SIZE, "updated_at_min": _text(at.since), "updated_at_max": _text(until)}
    try:
        answer = api.get(where, {"limit": _SIZE, "page_info": at.page} if at.page else window)
    except Rejected as refused:
        if not at.page or refused.status != 400:
            raise
        answer = api.get(where, window)  # Shopify has forgotten the page: the window begins anew
    try:
        listed = orjson.loads(answer.body)["orders"]
        orders = [each for each in listed if isinstance(each, dict)]
    except (ValueError, KeyError, TypeError):
        raise Unavailable("Shopify answered with something that is no list of orders", sample=answer.sample) from None
    return orders, _following(answer.headers.get("Link", ""))


def _following(link: str) -> str:
    named = _LINK.search(link)
    return parse_qs(urlsplit(named[1]).query).get("page_info", [""])[0] if named else ""


def _text(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _found(order: dict[str, Any], began: datetime, tests: bool) -> Iterator[Found]:
    """The order, and each of its fulfillments and refunds since the beginning, under the topics of their webhooks."""
    listed = order.get("fulfillments")
    parcels = [each for each in (listed if isinstance(listed, list) else ()) if isinstance(each, dict)]
    name = display(order.get("name")) or display(order.get("id"))
    yield _kept("order", order, _topic(order, parcels, began), name)
    if order.get("test") and not tests:
        return
    for each in parcels:
        if _since(each, began):
            yield _kept("fulfillment", {"order_id": order.get("id"), **each}, "fulfillments/update", name)
    refunds = order.get("refunds")
    for each in refunds if isinstance(refunds, list) else ():
        refund = kept(each, name, order.get("id"))
        if refund and _since(each, began):
            yield Found(*refund)


def _since(part: dict[str, Any], began: datetime) -> bool:
    told = moment(part.get("updated_at")) or moment(part.get("created_at"))
    return told is not None and told >= began


def _topic(order: dict[str, Any], parcels: list[dict[str, Any]], began: datetime) -> str:
    """An order that was fulfilled before anybody asked may be years old, and only somebody has edited its note."""
    if order.get("cancelled_at"):
        return "orders/cancelled"
    made = [when for each in parcels if each.get("status") == "success" and (when := moment(each.get("created_at")))]
    fresh = bool(made) and max(made) >= began
    return "orders/fulfilled" if fresh and order.get("fulfillment_status") == "fulfilled" else "orders/updated"


def _kept(what: str, document: dict[str, Any], topic: str, name: str | None) -> Found:
    body = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    parts = [display(document.get(field)) or "" for field in ("id", "updated_at")]
    changed = moment(document.get("updated_at"))
    return Found(Delivery(inbox_id("pulled", what, *parts, digest(body)), topic, changed, name), body)
