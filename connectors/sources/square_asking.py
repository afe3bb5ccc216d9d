"""What is asked of Square for what no webhook told: the orders of the locations that changed, oldest change first.

A search may be a little behind: nothing younger than two minutes is asked for. An order that was finished before
anybody asked is told as such, so that it asks for no invoice.

Facts: square/connect-api-specification, api.json of 2025-08-20 (`SearchOrdersRequest`: a range of `updated_at` wants
the sort `UPDATED_AT`; at most 1,000 orders a page; a page's cursor wants the same query again).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
from pydantic import BaseModel

from connectors.errors import Unavailable
from connectors.sources.asking import Api, Found, Page
from connectors.sources.base import digest, display, inbox_id, moment
from connectors.sources.delivery import Delivery
from connectors.sources.square_words import dicts

CHANGED = "changed/order"
"""The type of an order that a search names."""
SETTLED = timedelta(minutes=2)
"""So old is what every search surely finds."""
_SIZE = 200
_STATES = ("OPEN", "COMPLETED", "CANCELED")


class Cursor(BaseModel):
    """How far the orders were read."""

    began: datetime
    """When somebody asked first."""
    since: datetime
    """The last change that was seen."""


def pull(api: Api, cursor: str | None, now: datetime, locations: Sequence[str]) -> Page:
    """A page of the orders that changed; each is read later. Raises the errors of a read."""
    at = Cursor(began=now, since=now) if cursor is None else Cursor.model_validate_json(cursor)
    until = now - SETTLED
    if until < at.since:
        return Page((), at.model_dump_json(), more=False)
    orders: list[dict[str, Any]] = []
    following: str | None = ""
    last = at.since
    while following is not None and last <= at.since:  # further, where a page is full of one moment
        listed, following = _asked(api, at.since, until, locations, following)
        orders += listed
        last = max((changed for each in listed if (changed := moment(each.get("updated_at")))), default=last)
    found = tuple(one for each in orders for one in _found(each, at.began))
    done = at.model_copy(update={"since": max(last, at.since)})
    # From the last change again, not from the next page: its word does not live long.
    return Page(found, done.model_dump_json(), more=following is not None)


def _asked(
    api: Api, since: datetime, until: datetime, locations: Sequence[str], page: str
) -> tuple[list[dict[str, Any]], str | None]:
    """The orders of a page, and the word for the next one; None where there is none."""
    window = {"start_at": _text(since - timedelta(milliseconds=1)), "end_at": _text(until)}
    body: dict[str, Any] = {
        "location_ids": list(locations),
        "limit": _SIZE,
        "return_entries": False,
        "query": {
            "filter": {"date_time_filter": {"updated_at": window}, "state_filter": {"states": list(_STATES)}},
            "sort": {"sort_field": "UPDATED_AT", "sort_order": "ASC"},
        },
    }
    if page:
        body["cursor"] = page
    answer = api.document("/v2/orders/search", method="POST", body=body)
    if not isinstance(answer, dict) or not isinstance(answer.get("orders") or [], list):
        raise Unavailable(f"{api.name} answered with something that is no list of orders")
    following = answer.get("cursor")
    return dicts(answer.get("orders")), following if isinstance(following, str) and following else None


def _text(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _found(order: Mapping[str, Any], began: datetime) -> Iterator[Found]:
    """What a search says of an order, in the form of a webhook: where to look. Refunds from before are left out."""
    number, state, at = (display(order.get(name)) or "" for name in ("id", "state", "updated_at"))
    before = _finished(order, began)
    if not number or (before and order.get("returns")):
        return
    told = {"order_id": number, "location_id": order.get("location_id"), "state": state, "updated_at": at}
    body = orjson.dumps(
        {"type": "order.updated", "data": {"object": {"order_updated": told}}, "before": before},
        option=orjson.OPT_SORT_KEYS,
    )
    key = inbox_id(CHANGED, number, state, at, digest(body)[:16])
    yield Found(Delivery(key, CHANGED, moment(order.get("updated_at")), number), body)


def _finished(order: Mapping[str, Any], began: datetime) -> bool:
    """Whether it was finished before `began`: closed, or else all of it handed over."""
    closed = moment(order.get("closed_at"))
    if closed is not None:
        return closed < began
    times = [_handed_over(each) for each in dicts(order.get("fulfillments")) if each.get("state") == "COMPLETED"]
    known = [each for each in times if each is not None]
    return bool(known) and len(known) == len(times) and max(known) < began


def _handed_over(fulfillment: Mapping[str, Any]) -> datetime | None:
    names = {"shipment_details": "shipped_at", "pickup_details": "picked_up_at", "delivery_details": "delivered_at"}
    for part, name in names.items():
        details = fulfillment.get(part)
        if isinstance(details, dict) and (at := moment(details.get(name))) is not None:
            return at
    return None
