"""Asking WooCommerce for the orders that changed: it never repeats a failed webhook.

Orders are read from the oldest change on, a hundred at a time, and each question begins at the second of the last
change that was seen: pages by number would shift, and lose an order, when one of an earlier page changes meanwhile.
Of that second the orders that were seen are left out by their ids. Nothing of the last two minutes is read, so that
no change of a second that is done with is still being written. In doubt: a server may refuse an address of 8,000
characters, which about 900 orders changed within one second would make; and statuses of plugins leave no
`date_completed_gmt`, so that an order that had one before the first question asks for its invoice when it is edited.

Facts: WooCommerce REST API v3, "Authentication over HTTPS" (HTTP Basic), "List all orders" (`modified_after` and
`modified_before`, both exclusive, `dates_are_gmt`, `exclude`, `orderby`, `per_page` at most 100; `status` is "any" by
default, which leaves out the trash). WooCommerce before 5.8 knows no `modified_after` and ignores it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from pydantic import BaseModel

from connectors.errors import Unavailable
from connectors.http import Http
from connectors.sources import woocommerce_refunds
from connectors.sources.asking import Api, Found, Page
from connectors.sources.base import digest, display, inbox_id, moment
from connectors.sources.delivery import Delivery

SETTLED = timedelta(minutes=2)
BEFORE = "pulled/done-before"
"""The type of an order that was completed before anybody asked: it is told, and asks for no invoice."""
_SIZE = 100


class Cursor(BaseModel):
    """How far the orders were read."""

    began: datetime
    """When somebody asked first."""
    since: datetime
    """The second of the last change that was seen."""
    seen: tuple[str, ...] = ()
    """The orders of that second that were told."""


def api_at(options: Any, http: Http) -> Api | None:
    """The shop's API by the options' credentials; None where there are none."""
    if options.consumer_key is None or options.consumer_secret is None or options.base_url is None:
        return None
    secret = options.consumer_secret.get_secret_value()
    basic = base64.b64encode(f"{options.consumer_key}:{secret}".encode()).decode()
    http.hide(secret, basic)
    return Api("WooCommerce", options.base_url, {"Authorization": f"Basic {basic}"}, http)


def pull(api: Api, cursor: str | None, now: datetime) -> Page:
    """A page of the orders that changed, oldest change first. Raises the errors of a read."""
    now = now.replace(microsecond=0)
    at = Cursor(began=now, since=now) if cursor is None else Cursor.model_validate_json(cursor)
    until = now - SETTLED
    if until < at.since:
        return Page((), at.model_dump_json(), more=False)
    listed = _asked(api, at, until)
    orders = [each for each in listed if (changed_at(each) or at.since) >= at.since]  # old versions list them all
    found = tuple(one for each in orders for one in _found(each, at.began))
    last = max((changed for each in orders if (changed := changed_at(each)) is not None), default=at.since)
    told = {identity for each in orders if changed_at(each) == last and (identity := display(each.get("id")))}
    seen = {*told, *at.seen} if last == at.since else told
    following = at.model_copy(update={"since": last, "seen": tuple(sorted(seen))})
    progress = following != at
    return Page(found, following.model_dump_json(), more=len(listed) == _SIZE and progress)


def _asked(api: Api, at: Cursor, until: datetime) -> list[dict[str, Any]]:
    second = timedelta(seconds=1)
    query = {
        "modified_after": _text(at.since - second),
        "modified_before": _text(until + second),
        "dates_are_gmt": "true",
        "orderby": "modified",
        "order": "asc",
        "per_page": str(_SIZE),
    }
    if at.seen:
        query["exclude"] = ",".join(at.seen)
    answer = api.get("/wp-json/wc/v3/orders", query)
    try:
        listed = orjson.loads(answer.body)
    except ValueError:
        listed = None
    if not isinstance(listed, list):
        said = "WooCommerce answered with something that is no list of orders"
        raise Unavailable(said, sample=answer.sample)
    return [each for each in listed if isinstance(each, dict)]


def changed_at(order: dict[str, Any]) -> datetime | None:
    """When the order was changed last."""
    return _gmt(order.get("date_modified_gmt"))


def _gmt(text: Any) -> datetime | None:
    return moment(text) or moment(f"{text}+00:00")


def _text(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _found(order: dict[str, Any], began: datetime) -> Iterator[Found]:
    """The order, and each refund that it lists."""
    body = orjson.dumps(order, option=orjson.OPT_SORT_KEYS)
    parts = [display(order.get(field)) or "" for field in ("id", "status", "date_modified_gmt")]
    completed = _gmt(order.get("date_completed_gmt"))
    kind = BEFORE if completed is not None and completed < began else "order.updated"
    name = display(order.get("number")) or display(order.get("id"))
    yield Found(Delivery(inbox_id("pulled", *parts, digest(body)), kind, changed_at(order), name), body)
    yield from (Found(*refund) for refund in woocommerce_refunds.listed(order, name))
