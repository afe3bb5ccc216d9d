"""Square's webhooks: they name an order and its state, so each says where to look; the order is read from the API.

The order's own state decides, whatever the webhook said: `COMPLETED` is order.completed; `OPEN` with every fulfilment
completed is order.fulfilled; `CANCELED` is order.cancelled. An order of the point of sale is paid when it is
finished, and an invoice would demand the money again: it is told (order.updated) with the reason, and a person can
`billhook complete` it; `paid = "invoice"` wants a document for each. One that is paid in part is held. A refund makes
an order of its own, which says what of which order came back. Orders that Billhook itself made for its invoices at
Square are not read.

Facts: square/connect-api-specification, api.json of 2025-08-20; square/square-python-sdk, utils/webhooks_helper.py (the
signature is over the subscription's URL and the body); developer.squareup.com, webhooks/step4manage (`event_id` is the
same in every repetition), refunds-api/retrieve-refunds (`order_id` of a refund is the order made for it), orders-api/
order-returns-exchanges. In doubt: that the point of sale sends webhooks for all of its orders (its staff once said that
it does not, forum t/4287: the search finds those), whether a time range holds its own start (a millisecond before it is
asked for), and whether rejected refunds are in `return_amounts` (such an order is held).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Self

import orjson
from pydantic import Field, SecretStr, model_validator

from connectors.errors import Rejected, Unavailable
from connectors.http import Http
from connectors.model import Event, EventType
from connectors.sources import square_asking, square_refunds
from connectors.sources import square_words as words
from connectors.sources.asking import Api, Found, Page
from connectors.sources.base import (
    Look,
    NotInvoiceable,
    Options,
    SignatureError,
    Source,
    digest,
    display,
    inbox_id,
    moment,
    parse_json,
)
from connectors.sources.delivery import Delivery
from connectors.sources.reading import speaking_of
from connectors.sources.square_order import Reader, shipment

NAME = "Square"
_API = "https://connect.squareup.com"
_VERSION = "2026-08-19"
"""Of the official Python SDK 45.1.0."""
_SIGNATURE = "x-square-hmacsha256-signature"
_ORDER = "read/order"
_PARCEL = "read/parcel"
_OBJECTS = {
    "order.created": "order_created",
    "order.updated": "order_updated",
    "order.fulfillment.updated": "order_fulfillment_updated",
    "refund.created": "refund",
    "refund.updated": "refund",
}
"""The events that are read, and what their object is called."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,192}")
_DUE = (EventType.ORDER_FULFILLED, EventType.ORDER_COMPLETED)


class SquareOptions(Options):
    """The address that Square signs, and a token of its API; without the token orders cannot be read."""

    webhook_url: str | None = None
    """The address of the webhook subscription, to the letter as it stands there: it is part of what is signed."""
    access_token: SecretStr | None = None
    location_ids: tuple[str, ...] = Field(default=(), max_length=10)
    """Whose orders are read."""
    paid: Literal["hold", "invoice"] = "hold"
    """What becomes of an order that is paid already."""
    base_url: str | None = None

    @model_validator(mode="after")
    def _locations(self) -> Self:
        if self.access_token is not None and not self.location_ids:
            raise ValueError("access_token needs location_ids: the locations whose orders are read, at most ten")
        return self


class Square(Source):
    """The secret is the signature key of the webhook subscription."""

    kind = "square"
    options_model = SquareOptions
    options: SquareOptions

    # -- receiving -------------------------------------------------------------------------------------------------

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """No time is signed: a delivery may be replayed for ever, and is the same one by its `event_id`."""
        given = headers.get(_SIGNATURE, "").strip().encode("utf-8", "replace")
        if not given:
            raise SignatureError(f"the header {_SIGNATURE} is missing")
        if not self.secrets:
            raise SignatureError("this source has no secret configured, so no signature can be checked")
        if not self.options.webhook_url:
            raise SignatureError("the option webhook_url is missing: Square signs the address, too")
        signed = self.options.webhook_url.encode() + body
        expected = [base64.b64encode(hmac.digest(key.encode(), signed, hashlib.sha256)) for key in self.secrets]
        if not any(hmac.compare_digest(each, given) for each in expected):
            raise SignatureError(
                f"{_SIGNATURE} was not made with a secret configured for this source and the address {self._address}"
            )

    @property
    def _address(self) -> str:
        return (self.options.webhook_url or "").partition("?")[0]

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        value = _object(parse_json(body))
        event = display(value.get("event_id"))
        return Delivery(
            id=inbox_id("event", event) if event else inbox_id("body", digest(body)),
            type=(display(value.get("type")) or "")[:100],
            occurred_at=moment(value.get("created_at")),
            order_ref=display(_told(value).get("order_id")),
        )

    # -- reading ---------------------------------------------------------------------------------------------------

    def normalise(self, delivery: Delivery, body: bytes) -> Event | Look | None:
        value = parse_json(body)
        if delivery.type == _ORDER:
            return self._event(delivery, _object(value))
        if delivery.type == _PARCEL:
            return _parcel(delivery, _object(value))
        if delivery.type == square_refunds.READ:
            return square_refunds.refund_event(delivery, _object(value))
        if delivery.type == square_asking.CHANGED:
            return Look()
        if delivery.type not in _OBJECTS:
            return None
        told = _told(_object(value))
        if not self._ours(told) or told.get("unlinked") is True:
            return None
        if display(told.get("order_id")) is None:
            raise NotInvoiceable("Square's webhook does not say which order it is about")
        return Look()

    def _ours(self, told: Mapping[str, Any]) -> bool:
        """Whether it is of a location whose orders are read."""
        return not self.options.location_ids or told.get("location_id") in (None, *self.options.location_ids)

    def _event(self, delivery: Delivery, value: Mapping[str, Any]) -> Event | None:
        raw = _object(value.get("order"))
        order_id, type_ = display(raw.get("id")), _type(raw)
        if type_ is None:
            return None
        if value.get("before") is True and type_ in _DUE:
            type_ = EventType.ORDER_UPDATED  # it was finished before anybody asked
        with speaking_of(f"Square order {order_id or 'without id'}", type_, order_id):
            told = words.Told.model_validate(value)
            if raw.get("returns"):
                raise NotInvoiceable("it is an exchange, of which something came back and something else was sold")
            reader = Reader(told)
            hold, wanted = self._hold(told.order, reader)
            at = told.order.updated_at or delivery.occurred_at
            if at is None:
                raise NotInvoiceable("Square does not say when it was changed")
            if not wanted and type_ in _DUE:
                type_ = EventType.ORDER_UPDATED
            event = {"id": delivery.id, "type": type_, "occurred_at": at}
            try:
                return Event(**event, order=reader.order(hold))
            except (ValueError, NotInvoiceable):
                if type_ is not EventType.ORDER_CANCELLED:
                    raise
                return Event(**event, order_id=told.order.id)  # whatever it was: it is no more

    def _hold(self, order: words.SquareOrder, reader: Reader) -> tuple[str | None, bool]:
        """Why a person must look at it first, and whether anybody expects an invoice of it at all."""
        total, due = order.total_money.amount, order.due
        if due <= 0 and self.options.paid == "hold":
            return f"all of its {reader.said(total)} is paid at Square already, so nothing is owed", False
        if any(not each.failed for each in order.refunds):
            return "something of it was refunded, so it is not owed in full", True
        if 0 < due < total:
            return f"{reader.said(total - due)} of its {reader.said(total)} are paid at Square already", True
        return None, True

    # -- asking ----------------------------------------------------------------------------------------------------

    def api(self, http: Http) -> Api | None:
        if self.options.access_token is None:
            return None
        token = self.options.access_token.get_secret_value()
        http.hide(token)
        headers = {"Authorization": f"Bearer {token}", "Square-Version": _VERSION}
        return Api(NAME, (self.options.base_url or _API).rstrip("/"), headers, http)

    def fetch(self, api: Api, delivery: Delivery, body: bytes) -> Sequence[Found]:
        """The order with its customer, and each parcel that is on its way; of a refund's order, what came back."""
        value = _object(parse_json(body))
        order_id = display(_told(value).get("order_id")) or ""
        if not _ID.fullmatch(order_id):
            raise Rejected(f"{NAME} named no order that could be asked for")
        order = _read(api, f"/v2/orders/{order_id}", "order")
        if order is None or not self._ours(order) or _of_billhook(order):
            return []
        if order.get("returns") and not order.get("line_items"):
            return square_refunds.found(order)
        customer_id = display(order.get("customer_id")) or ""
        customer = _read(api, f"/v2/customers/{customer_id}", "customer") if _ID.fullmatch(customer_id) else None
        document: dict[str, Any] = {"order": order, "customer": customer}
        if value.get("before") is True:
            document["before"] = True
        content = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
        state, at = display(order.get("state")) or "", moment(order.get("updated_at"))
        told = Found(Delivery(inbox_id(_ORDER, order_id, state, digest(content)), _ORDER, at, order_id), content)
        return [told, *(() if document.get("before") else _parcels(order, order_id, at))]

    def pull(self, api: Api, cursor: str | None, now: datetime) -> Page | None:
        return square_asking.pull(api, cursor, now, self.options.location_ids)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _told(value: Mapping[str, Any]) -> dict[str, Any]:
    """What a webhook says of its order or refund; of what a search named, likewise."""
    data = _object(_object(value.get("data")).get("object"))
    return _object(data.get(_OBJECTS.get(display(value.get("type")) or "", "")))


def _type(order: Mapping[str, Any]) -> EventType | None:
    """What the order's state means; None for a draft, and for what is no state."""
    handed = [
        each for each in words.dicts(order.get("fulfillments")) if each.get("state") not in ("CANCELED", "FAILED")
    ]
    match order.get("state"):
        case "COMPLETED":
            return EventType.ORDER_COMPLETED
        case "CANCELED":
            return EventType.ORDER_CANCELLED
        case "OPEN":
            done = bool(handed) and all(each.get("state") == "COMPLETED" for each in handed)
            return EventType.ORDER_FULFILLED if done else EventType.ORDER_UPDATED
    return None


def _of_billhook(order: Mapping[str, Any]) -> bool:
    """Whether it was made for an invoice at Square: its own finish must not ask for another."""
    return "billhook_order" in _object(order.get("metadata"))


def _parcels(order: Mapping[str, Any], order_id: str, at: datetime | None) -> Sequence[Found]:
    """Each shipment that was handed to its carrier, as a document of its own."""
    found = []
    for each in words.dicts(order.get("fulfillments")):
        if each.get("type") == "SHIPMENT" and each.get("state") == "COMPLETED":
            details = _object(each.get("shipment_details"))
            kept = {name: details.get(name) for name in ("carrier", "tracking_number", "shipped_at")}
            parcel = {name: each.get(name) for name in ("uid", "type", "state", "entries")}
            document = {"order_id": order_id, "fulfillment": {**parcel, "shipment_details": kept}}
            content = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
            when = moment(details.get("shipped_at")) or at
            found.append(
                Found(Delivery(inbox_id(_PARCEL, order_id, digest(content)), _PARCEL, when, order_id), content)
            )
    return found


def _parcel(delivery: Delivery, value: Mapping[str, Any]) -> Event:
    order_id = display(value.get("order_id"))
    with speaking_of(f"a parcel of Square order {order_id}", EventType.SHIPMENT_SHIPPED, order_id):
        theirs = words.Fulfillment.model_validate(value.get("fulfillment"))
        if delivery.occurred_at is None:
            raise NotInvoiceable("Square does not say when it was shipped")
        return Event(
            id=delivery.id,
            type=EventType.SHIPMENT_SHIPPED,
            occurred_at=delivery.occurred_at,
            order_id=order_id,
            shipment=shipment(theirs, theirs.uid or "shipment-1"),
        )


def _read(api: Api, where: str, name: str) -> dict[str, Any] | None:
    """The object of this name; None where it is gone. Raises the errors of a read."""
    try:
        document = api.document(where)
    except Rejected as error:
        if error.status == 404:
            return None
        raise
    found = document.get(name) if isinstance(document, dict) else None
    if not isinstance(found, dict):
        raise Unavailable(f"{NAME} answered {where.rsplit('/', 1)[0]} without the {name}")
    return found
