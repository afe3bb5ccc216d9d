"""DHL Group: Unified Push tells what happens to parcels, and Shipment Tracking Unified is asked for the rest.

DHL signs nothing: it sends the header and token that the subscription named (`hook.authentication`). A subscription
begins with a handshake: the first push has `scope` "subscription.validate" and a `secret`, and nothing else comes until
the subscription is activated by POST /tracking/push/v1/subscription/{id} with that secret in the header
`DHL-API-Hook-Secret`; then comes "subscription.ready". The id is the end of the push's `self`.

`statusCode`: pre-transit, transit, delivered, failure, unknown. Times of some of DHL's companies name no zone; they
count as UTC. Asked without `service`, DHL may answer with another shipment of the same number, so ids are compared.

Doubtful: how often and how long DHL repeats a push that found nobody; what it answers to a second activation (a 409 is
taken for "it is active already"); where a parcel on its way back is marked, if at all (`returnFlag` is heeded).

Facts: developer.dhl.com, "Shipment Tracking - Unified - Push" 1.2.5 and its "Push API 101" (operations, scopes, ten
numbers a subscription), "Shipment Tracking - Unified" 1.5 (first level: 250 calls a day, one a second; one number a
call); the header of the activation as used by ecommerce-utilities' DHLPushSubscriptionService.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
from pydantic import Field, SecretStr

from connectors.errors import Rejected
from connectors.http import Http
from connectors.model import Event, EventType
from connectors.sources.asking import Api, Found, Parcel
from connectors.sources.base import Look, Source, digest, display, inbox_id, parse_json
from connectors.sources.delivery import Delivery
from connectors.sources.parcels import (
    InTurn,
    Scan,
    StatusOptions,
    a_dict,
    dicts,
    is_milestone,
    milestone_event,
    milestones,
    own_parcels,
    parcel_number,
    shipment_event,
    time_said,
    written,
)
from connectors.sources.tokens import IN_ADDRESS, check_token

HOST = "https://api-eu.dhl.com"
_STATUS = {"transit": EventType.SHIPMENT_SHIPPED, "delivered": EventType.SHIPMENT_DELIVERED}
_PUSH, _VALIDATE, _ACTIVATED = "subscription.push", "subscription.validate", "subscription.activated"
_LOOKS_OWN = r"JJ?D[0-9A-Z]+|00340\d{15}|\d{10}"


class DhlOptions(StatusOptions):
    header: str = Field(default="X-Billhook-Key", pattern="^[A-Za-z0-9-]{1,100}$")
    """Where DHL sends the token: `hook.authentication.header` of the subscription."""
    api_key: SecretStr | None = None
    service: str | None = None
    """DHL's company ("express", "parcel-de"), so that it need not guess whose number it is."""
    base_url: str | None = None


class Dhl(Source):
    """The secret is the token that the subscription named."""

    kind = "dhl"
    options_model = DhlOptions
    options: DhlOptions

    def __init__(self, secrets: Sequence[str], options: Mapping[str, Any] | None = None) -> None:
        super().__init__(secrets, options)
        self.turns = InTurn(pause=1.0)

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        name = self.options.header
        check_token(self.secrets, (headers.get(name.lower()), headers.get(IN_ADDRESS)), f"the header {name}")

    def deliveries(self, headers: Mapping[str, str], body: bytes) -> Sequence[tuple[Delivery, bytes]]:
        """One a shipment, each in the form of a push of its own."""
        said = a_dict(parse_json(body))
        shipments = dicts(said.get("shipments"))
        if len(shipments) < 2:
            return [(self.receive(headers, body), body)]
        alone = [written({**said, "shipments": [shipment]}, body) for shipment in shipments]
        return [(self.receive(headers, each), each) for each in alone]

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """The key is shipment, status and time, for a push has no id; of the handshake it is the whole body."""
        said = a_dict(parse_json(body))
        scope = display(said.get("scope")) or ""
        shipment = next(iter(dicts(said.get("shipments"))), {})
        number, status = parcel_number(shipment.get("id")), a_dict(shipment.get("status"))
        name, when = _code(status), display(status.get("timestamp"))
        known = scope == _PUSH and number and name and when
        return Delivery(
            id=inbox_id(number or "", name, when or "") if known else inbox_id("push", digest(body)),
            type=(f"{scope}/{name}" if scope == _PUSH else scope)[:100],
            occurred_at=time_said(when),
            order_ref=number,
        )

    def normalise(self, delivery: Delivery, body: bytes) -> Event | Look | None:
        if is_milestone(delivery):
            return milestone_event(delivery, self.kind, body)
        if delivery.type == _VALIDATE:
            return Look()
        shipment = next(iter(dicts(a_dict(parse_json(body)).get("shipments"))), {})
        status = a_dict(shipment.get("status"))
        name = _code(status)
        type_ = self.options.meaning(name, _STATUS.get(name))
        if type_ is None or _goes_back(shipment) or not delivery.type.startswith(_PUSH):
            return None
        number = parcel_number(shipment.get("id"))
        return shipment_event(delivery, self.kind, number, type_, time_said(status.get("timestamp")))

    # -- asking ----------------------------------------------------------------------------------------------------

    def api(self, http: Http) -> Api | None:
        if self.options.api_key is None:
            return None
        key = self.options.api_key.get_secret_value()
        http.hide(key)
        return Api("DHL", self.options.base_url or HOST, {"DHL-API-Key": key}, http)

    def fetch(self, api: Api, delivery: Delivery, body: bytes) -> Sequence[Found]:
        """Activates the subscription that a handshake speaks of; what is found is that this was done."""
        said = a_dict(parse_json(body))
        ident, secret = _last_part(said.get("self")), said.get("secret")
        if not ident or not isinstance(secret, str) or not re.fullmatch(r"[\x21-\x7e]+", secret):
            raise Rejected(
                "DHL's handshake lacks the subscription's address or its secret; create the subscription anew"
            )
        api.http.hide(secret)
        with_secret = Api(api.name, api.base_url, {**api.auth.headers(), "DHL-API-Hook-Secret": secret}, api.http)
        try:
            with_secret.call("POST", f"/tracking/push/v1/subscription/{ident}")
        except Rejected as error:
            if error.status != 409:
                raise
        done = Delivery(inbox_id(_ACTIVATED, delivery.id), _ACTIVATED)
        return [Found(done, orjson.dumps({"scope": _ACTIVATED, "subscription": ident}))]

    def track(self, api: Api, parcels: Sequence[Parcel]) -> Sequence[Found]:
        """One question a parcel: the API takes one number at a time."""
        service = {"service": self.options.service} if self.options.service else {}

        def ask(number: str) -> list[Found]:
            answer = a_dict(api.document("/track/shipments", query={"trackingNumber": number, **service}))
            meant = (shipment for shipment in dicts(answer.get("shipments")) if _is_of(shipment, number))
            return [found for shipment in meant for found in milestones(number, _scans(shipment, self.options))]

        return self.turns.ask(own_parcels(parcels, self.kind, _LOOKS_OWN), ask)


def _code(status: Mapping[str, Any]) -> str:
    return (display(status.get("statusCode")) or "").strip().lower()


def _last_part(address: Any) -> str | None:
    """The id at the end of a subscription's address."""
    try:
        ident = urlsplit(address).path.rpartition("/")[2] if isinstance(address, str) else ""
    except ValueError:
        return None
    return ident if re.fullmatch("[A-Za-z0-9_-]{1,200}", ident) else None


def _goes_back(shipment: Mapping[str, Any]) -> bool:
    return bool(shipment.get("returnFlag") or a_dict(shipment.get("details")).get("returnFlag"))


def _is_of(shipment: Mapping[str, Any], number: str) -> bool:
    """Whether the shipment, or one of its pieces, has this number."""
    pieces = a_dict(shipment.get("details")).get("pieceIds")
    ids = [shipment.get("id"), *(pieces if isinstance(pieces, list) else [])]
    return number in {parcel_number(each) for each in ids}


def _scans(shipment: Mapping[str, Any], options: StatusOptions) -> Iterator[Scan]:
    """The history and, since an answer may come without one, the present status."""
    if _goes_back(shipment):
        return
    for said in (*dicts(shipment.get("events")), a_dict(shipment.get("status"))):
        name, at = _code(said), time_said(said.get("timestamp"))
        type_ = options.meaning(name, _STATUS.get(name))
        if type_ is not None and at is not None:
            yield Scan(type_, at, said)
