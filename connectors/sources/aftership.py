"""AfterShip's webhooks and trackings (the product "Tracking"): parcels of every courier, often with the shop's order.

Traps: the names of fields differ by the version that was chosen for the webhook, so they are read with fall-backs; only
the body is signed, and is sent again for three days, so there is no tolerance of time; an event comes for every scan,
not only for a new status; the time of a checkpoint has no zone where the courier gives none, and is then not used.
Trackings of returns, and of parcels on their way back, change nothing.

Facts: aftership.com/docs/tracking, "Webhook Overview", "Webhook Specifications", "Webhook Signature", "Delivery
Statuses", "Delivery Sub-statuses" (no `Delivered_…` means a return), "Get trackings" (50 numbers, 200 a page), "Rate
limit"; aftership-tracking-sdk 10.0.1 (`as-api-key`, version 2026-07, `pagination`, `shipment_direction`).
Doubtful: whether `order_id` is the shop's own id in every integration (where no order has it, `order_number` and the
tracking number are tried); the names of fields in versions before 2023-10.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from pydantic import Field, SecretStr

from connectors.http import Answer, Http
from connectors.model import Event, EventType, Shipment
from connectors.sources.asking import Api, Found, Parcel
from connectors.sources.base import (
    BodySigned,
    NotInvoiceable,
    digest,
    display,
    inbox_id,
    moment,
    parse_json,
)
from connectors.sources.delivery import Delivery
from connectors.sources.parcels import StatusOptions, a_dict, batches, dicts
from connectors.sources.reading import Body, Flag, Said, speaking_of
from connectors.sources.tracking_services import own_document

API = "https://api.aftership.com/tracking/2026-07"
UPDATE = "tracking_update"
FOUND = "tracking"
"""The type of a tracking that was found by asking; its body is the tracking itself."""
AT_ONCE = 50
"""Tracking numbers in one question."""

TAGS = {
    "InTransit": EventType.SHIPMENT_SHIPPED,
    "OutForDelivery": EventType.SHIPMENT_SHIPPED,
    "AvailableForPickup": EventType.SHIPMENT_SHIPPED,
    "AttemptFail": EventType.SHIPMENT_SHIPPED,
    "Delivered": EventType.SHIPMENT_DELIVERED,
}
"""All others (`Pending`, `InfoReceived`, `Exception`, `Expired`) are kept and change nothing."""

GOING_BACK = ("Exception_010", "Exception_011")
"""Subtags of what goes back to the sender, or is there; versions without `return_to_sender` have no more."""


class Tracking(Body):
    """The fields of AfterShip's tracking that say what happened to which parcel of which order."""

    id: Said = None
    tracking_number: Annotated[str, Field(min_length=1, max_length=200)]
    slug: Said = None
    subtag: Any = None
    order_id: Said = None
    order_number: Said = None
    return_to_sender: Flag = False
    shipment_direction: Said = None
    custom_fields: Any = None


class AfterShipOptions(StatusOptions):
    api_key: SecretStr | None = None
    """To ask about parcels whose events did not come."""
    base_url: str | None = None
    """Another address of the API: another version of it, or a sandbox."""
    order_field: str | None = None
    """The custom field of a tracking in which you write the order's name."""


class AfterShipApi(Api):
    def wait(self, answer: Answer) -> float | None:
        """Its windows last a second, and it says no more than when the present one ends."""
        return answer.retry_after or 1.0


class AfterShip(BodySigned):
    """The secret is the webhook secret shown in AfterShip's admin."""

    kind = "aftership"
    signature_header = "aftership-hmac-sha256"
    options_model = AfterShipOptions
    options: AfterShipOptions

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """The key is `event_id`, which stays the same over the retries of an event."""
        event = a_dict(parse_json(body))
        tracking = a_dict(event.get("msg"))
        state = [display(tracking.get(name)) or "" for name in ("id", "tag", "subtag")]
        return Delivery(
            id=inbox_id(display(event.get("event_id")) or ":".join((*state, digest(body)))),
            type=(display(event.get("event")) or "")[:100],
            occurred_at=_happened(tracking) or _unix(event.get("ts")),
            order_ref=self._label(tracking),
        )

    def normalise(self, delivery: Delivery, body: bytes) -> Event | None:
        value = parse_json(body)
        if not isinstance(value, dict):
            raise NotInvoiceable("the body of the AfterShip event must be a JSON object")
        if not delivery.type:
            raise NotInvoiceable("AfterShip did not say what happened: event is missing")
        if delivery.type not in (FOUND, UPDATE):
            return None
        said = value if delivery.type == FOUND else value.get("msg")
        if not isinstance(said, dict):
            raise NotInvoiceable("the AfterShip event has no tracking: msg must be a JSON object")
        tag = said.get("tag")
        type_ = self.options.meaning(tag, TAGS.get(tag)) if isinstance(tag, str) else None
        return None if type_ is None else self._event(delivery, type_, said, value)

    def _event(self, delivery: Delivery, type_: EventType, said: Any, event: Any) -> Event | None:
        with speaking_of(f"AfterShip parcel {delivery.order_ref or 'without number'}", type_, None):
            tracking = Tracking.model_validate(said)
            if tracking.return_to_sender or tracking.shipment_direction == "return" or tracking.subtag in GOING_BACK:
                return None
            occurred_at = _happened(said) or _unix(event.get("ts")) or delivery.occurred_at
            if occurred_at is None:
                raise NotInvoiceable("it does not say when this was: updated_at and ts are missing")
            return Event(
                id=delivery.id,
                type=type_,
                occurred_at=occurred_at,
                order_id=tracking.order_id,
                order_ref=tracking.order_number or self._own_field(said) or tracking.order_id,
                shipment=Shipment(
                    ref=tracking.id or tracking.tracking_number,
                    carrier=tracking.slug,
                    tracking_number=tracking.tracking_number,
                ),
            )

    def _own_field(self, tracking: Mapping[str, Any]) -> str | None:
        """The order's name from the custom field that the merchant named."""
        return display(a_dict(tracking.get("custom_fields")).get(self.options.order_field or ""))

    def _label(self, tracking: Mapping[str, Any]) -> str | None:
        number = display(tracking.get("order_number")) or self._own_field(tracking)
        return number or display(tracking.get("tracking_number"))

    # -- asking ----------------------------------------------------------------------------------------------------

    def api(self, http: Http) -> Api | None:
        if self.options.api_key is None:
            return None
        key = self.options.api_key.get_secret_value()
        http.hide(key)
        return AfterShipApi("AfterShip", self.options.base_url or API, {"as-api-key": key}, http)

    def track(self, api: Api, parcels: Sequence[Parcel]) -> Sequence[Found]:
        """The trackings that exist of these numbers; of several, that of the parcel's courier, and the newest."""
        asked = [parcel for parcel in parcels if "," not in parcel.tracking_number]
        numbers = list({parcel.tracking_number: None for parcel in asked})
        trackings = [tracking for batch in batches(numbers, AT_ONCE) for tracking in _asked(api, batch)]
        own = {parcel: own_document(parcel, trackings, "tracking_number", "slug") for parcel in asked}
        return [self._found(tracking) for tracking in own.values() if tracking is not None]

    def _found(self, tracking: Mapping[str, Any]) -> Found:
        state = [display(tracking.get(name)) or "" for name in ("id", "tracking_number", "tag", "subtag")]
        delivery = Delivery(
            id=inbox_id(FOUND, *state), type=FOUND, occurred_at=_happened(tracking), order_ref=self._label(tracking)
        )
        return Found(delivery, orjson.dumps(tracking))


def _happened(tracking: Mapping[str, Any]) -> datetime | None:
    """When the courier saw it last; else when AfterShip changed the tracking."""
    own = [each for each in dicts(tracking.get("checkpoints")) if each.get("tag") == tracking.get("tag")]
    times = [time for each in own if (time := moment(each.get("checkpoint_time")))]
    named = ("shipment_delivery_date",) if tracking.get("tag") == "Delivered" else ()
    others = (moment(tracking.get(name)) for name in (*named, "updated_at", "last_updated_at"))
    return min(times, default=None) or next(filter(None, others), None)


def _unix(seconds: Any) -> datetime | None:
    try:
        return None if isinstance(seconds, bool) else datetime.fromtimestamp(seconds, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _asked(api: Api, numbers: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The trackings of these numbers, all pages."""
    query = {"tracking_numbers": ",".join(numbers), "limit": "200"}
    while True:
        data = a_dict(a_dict(api.document("/trackings", query=query)).get("data"))
        yield from dicts(data.get("trackings"))
        pages = a_dict(data.get("pagination"))
        cursor = pages.get("next_cursor") if pages.get("has_next_page") is True else None
        if not isinstance(cursor, str) or cursor == query.get("cursor"):
            return
        query["cursor"] = cursor
