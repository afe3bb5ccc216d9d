"""EasyPost's webhooks and trackers: the news of parcels of every carrier, in one set of statuses.

Traps: the signature covers the body only, so an event may be replayed for ever (its id is the inbox's key); a webhook
made without a secret sends no signature, and is refused; a tracker for a label that was made is `pre_transit`, not
shipped; returns have trackers, too. Events come late and out of order: the time is that of the carrier's scan.

Facts: docs.easypost.com, "Events", "Trackers", "Shipments" (`reference`), "Webhooks", "Rate Limiting";
EasyPost/easypost-python, easypost/util.py (header, prefix, NFKD), tests/cassettes/test_tracker_retrieve_batch.yaml
(`POST /v2/trackers/batch` only reads). Doubtful: how many codes a batch may name (50 here), and whether `is_return`
stands in its answers (not in the recorded one; we ask only about numbers that a shop told us of its outbound parcels).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Self

import orjson
from pydantic import Field, SecretStr, model_validator

from connectors.errors import Rejected
from connectors.http import Http
from connectors.model import Event, EventType, Shipment
from connectors.sources.asking import Api, Found, Parcel
from connectors.sources.base import (
    Look,
    NotInvoiceable,
    SignatureError,
    Source,
    digest,
    display,
    inbox_id,
    moment,
    parse_json,
)
from connectors.sources.delivery import Delivery
from connectors.sources.parcels import StatusOptions, a_dict, batches, dicts, order_name, written
from connectors.sources.reading import Body, Flag, Said, speaking_of
from connectors.sources.tracking_services import own_document

API = "https://api.easypost.com/v2"
SIGNATURE = "x-hmac-signature"
FOUND = "tracker"
"""The type of a tracker that was found by asking; its body is the tracker itself."""
OF_SENDING = {"status", "updated_at", "pending_urls", "completed_urls"}
"""What stands in an event beside what happened."""
AT_ONCE = 50
"""Tracking codes in one question; EasyPost names no bound."""

STATUSES = {
    "in_transit": EventType.SHIPMENT_SHIPPED,
    "out_for_delivery": EventType.SHIPMENT_SHIPPED,
    "available_for_pickup": EventType.SHIPMENT_SHIPPED,
    "delivered": EventType.SHIPMENT_DELIVERED,
}
"""All others (`pre_transit`, `return_to_sender`, `failure`, …) are kept and change nothing."""


class Tracker(Body):
    """The fields of EasyPost's tracker that say what happened to which parcel."""

    id: Said = None
    mode: Said = None
    status_detail: Said = None
    tracking_code: Annotated[str, Field(min_length=1, max_length=200)]
    carrier: Said = None
    is_return: Flag = False
    shipment_reference: Said = None
    """Put there by us: what its shipment is called."""
    updated_at: Any = None
    tracking_details: Any = None


class EasyPostOptions(StatusOptions):
    going_back = frozenset({"return_to_sender"})
    api_key: SecretStr | None = None
    """The production API key, to ask about parcels whose events did not come."""
    base_url: str | None = None
    """Another address of the API, such as a sandbox."""
    ask_label: bool = False
    """Ask for the shipment of a parcel: its reference is the order's name."""
    test_events: bool = False
    """Take the events of EasyPost's test mode, too."""

    @model_validator(mode="after")
    def _askable(self) -> Self:
        if self.ask_label and self.api_key is None:
            raise ValueError("ask_label needs api_key: without it no shipment can be asked for")
        return self


class EasyPost(Source):
    """The secret is the `webhook_secret` with which the webhook was made."""

    kind = "easypost"
    options_model = EasyPostOptions
    options: EasyPostOptions

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        given = headers.get(SIGNATURE, "").strip().encode("utf-8", "replace")
        if not given:
            raise SignatureError("the header X-Hmac-Signature is missing: was the webhook made with a webhook_secret?")
        if not self.secrets:
            raise SignatureError("this source has no secret configured, so no signature can be checked")
        if not any(hmac.compare_digest(signature(secret, body).encode(), given) for secret in self.secrets):
            raise SignatureError("X-Hmac-Signature was not made with a secret configured for this source")

    def deliveries(self, headers: Mapping[str, str], body: bytes) -> Sequence[tuple[Delivery, bytes]]:
        """One, without what EasyPost notes of its own sending: so an event that is sent again is the same body."""
        value = parse_json(body)
        kept = (
            {name: said for name, said in value.items() if name not in OF_SENDING} if isinstance(value, dict) else value
        )
        return [(self.receive(headers, body), written(kept, body))]

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """The key is the event's id, which stays the same over the retries of an event."""
        event = a_dict(parse_json(body))
        tracker = a_dict(event.get("result"))
        return Delivery(
            id=inbox_id(display(event.get("id")) or digest(body)),
            type=(display(event.get("description")) or "")[:100],
            occurred_at=_scanned(tracker) or moment(event.get("created_at")),
            order_ref=display(tracker.get("tracking_code")),
        )

    def normalise(self, delivery: Delivery, body: bytes) -> Event | Look | None:
        value = parse_json(body)
        if not isinstance(value, dict):
            raise NotInvoiceable("the body of the EasyPost event must be a JSON object")
        if not delivery.type:
            raise NotInvoiceable("EasyPost did not say what happened: description is missing")
        if delivery.type not in (FOUND, "tracker.created", "tracker.updated"):
            return None
        tracker = value if delivery.type == FOUND else value.get("result")
        if not isinstance(tracker, dict):
            raise NotInvoiceable("the EasyPost event has no tracker: result must be a JSON object")
        status = tracker.get("status")
        type_ = self.options.meaning(status, STATUSES.get(status)) if isinstance(status, str) else None
        said = None if type_ is None else self._event(delivery, type_, tracker, value)
        asks = self.options.ask_label and delivery.type != FOUND and _shipment(tracker) is not None
        return Look() if said is not None and asks else said

    def _event(self, delivery: Delivery, type_: EventType, said: Any, event: Any) -> Event | None:
        with speaking_of(f"EasyPost parcel {delivery.order_ref or 'without number'}", type_, None):
            tracker = Tracker.model_validate(said)
            mode = tracker.mode or display(event.get("mode"))
            if mode == "test" and not self.options.test_events:
                return None
            if tracker.is_return or tracker.status_detail == "return":
                return None
            occurred_at = _scanned(said) or moment(event.get("created_at")) or delivery.occurred_at
            if occurred_at is None:
                raise NotInvoiceable("it does not say when this was: tracking_details has no time")
            parcel = Shipment(
                ref=tracker.id or tracker.tracking_code,
                carrier=tracker.carrier,
                tracking_number=tracker.tracking_code,
            )
            named = order_name(tracker.shipment_reference)
            return Event(id=delivery.id, type=type_, occurred_at=occurred_at, order_ref=named, shipment=parcel)

    # -- asking ----------------------------------------------------------------------------------------------------

    def api(self, http: Http) -> Api | None:
        if self.options.api_key is None:
            return None
        key = self.options.api_key.get_secret_value()
        proof = base64.b64encode(f"{key}:".encode()).decode()
        http.hide(key, proof)
        return Api("EasyPost", self.options.base_url or API, {"Authorization": f"Basic {proof}"}, http)

    def fetch(self, api: Api, delivery: Delivery, body: bytes) -> Sequence[Found]:
        """The event's own tracker, with what its shipment is called; EasyPost signed it."""
        event = a_dict(parse_json(body))
        told = a_dict(event.get("result"))
        tracker = {"mode": event.get("mode"), "created_at": event.get("created_at"), **told}
        ident = _shipment(tracker)
        name = order_name(_reference(api, ident)) if ident else None
        if name is None:
            return [_found(tracker)]
        return [_found({**tracker, "shipment_reference": name}, name)]

    def track(self, api: Api, parcels: Sequence[Parcel]) -> Sequence[Found]:
        """The trackers that exist of these numbers; none is made, for that costs. Of several, the newest counts: a
        carrier gives a number again after months."""
        numbers = list({parcel.tracking_number: None for parcel in parcels})
        trackers = [tracker for batch in batches(numbers, AT_ONCE) for tracker in _asked(api, batch)]
        own = {parcel: own_document(parcel, trackers, "tracking_code", "carrier") for parcel in parcels}
        return [_found(tracker) for tracker in own.values() if tracker is not None]


def signature(secret: str, body: bytes) -> str:
    """What stands in `X-Hmac-Signature` of an event that was signed with this secret."""
    key = unicodedata.normalize("NFKD", secret).encode()
    return "hmac-sha256-hex=" + hmac.new(key, body, hashlib.sha256).hexdigest()


def _scanned(tracker: Mapping[str, Any]) -> datetime | None:
    """When the carrier first saw the parcel in its present status; else when EasyPost last changed the tracker."""
    scans = [
        time
        for detail in dicts(tracker.get("tracking_details"))
        if detail.get("status") == tracker.get("status") and (time := moment(detail.get("datetime")))
    ]
    return min(scans, default=None) or moment(tracker.get("updated_at"))


def _asked(api: Api, numbers: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The trackers of these numbers; a list that was cut short is asked for in halves."""
    answer = a_dict(api.document("/trackers/batch", method="POST", body={"tracking_codes": list(numbers)}))
    if answer.get("has_more") is True and len(numbers) > 1:
        half = len(numbers) // 2
        yield from _asked(api, numbers[:half])
        yield from _asked(api, numbers[half:])
    else:
        yield from dicts(answer.get("trackers"))


def _shipment(tracker: Mapping[str, Any]) -> str | None:
    """The id of its shipment, where it has one that may become part of an address."""
    ident = display(tracker.get("shipment_id")) or ""
    return ident if re.fullmatch("shp_[0-9A-Za-z_]+", ident) else None


def _reference(api: Api, ident: str) -> Any:
    """What the merchant called the shipment; None where it has no name, or is not there."""
    try:
        return a_dict(api.document(f"/shipments/{ident}")).get("reference")
    except Rejected as refused:
        if refused.status == 404:
            return None
        raise


def _found(tracker: dict[str, Any], *named: str) -> Found:
    number = display(tracker.get("tracking_code"))
    state = [display(tracker.get(name)) or "" for name in ("id", "tracking_code", "status")] + [*named]
    delivery = Delivery(id=inbox_id(FOUND, *state), type=FOUND, occurred_at=_scanned(tracker), order_ref=number)
    return Found(delivery, orjson.dumps(tracker))
