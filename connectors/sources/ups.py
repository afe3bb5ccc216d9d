"""UPS: Track Alert pushes what happens to parcels (v1 and v2), and the Track API is asked for the rest.

UPS signs nothing. It shows the token that was given to it: v2 as a bearer token from its portal's "Manage Webhook
Credentials", v1 in the header `credential`, as the subscription named it. UPS could also get a token from a token
endpoint of ours; we have none, so choose the bearer token. An event that finds nobody is lost: it is not sent again.

Status types: I on the way, D delivery (also "on the van", so delivered only with `actualDeliveryDate`), M label made,
MV label voided, U new delivery date, X exception; in the Track API also RS, back at the shipper. Example texts say
that times may lack a leading zero, and be written with colons.

What the merchant says in `statuses` of a type holds for pushes and the history alike; of D it holds with and without
a delivery date; RS counts for nothing, whatever is said of it.

Doubtful: whether a parcel that goes back ends with RS alone, or with another D (one after RS counts for nothing here);
return labels look like any other, so they count if somebody stored their number with an order. The numbers by which
UPS lets one try it out (1ZCIETST…) count for nothing.

Facts: UPS-API/api-documentation, UPSTrackAlert.yaml, UPSTrackAlertEnhanced.yaml, Tracking.yaml and
OAuthClientCredentials.yaml (hosts, paths, headers, payloads, "data is rolled off after 120 days").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from connectors.auth import OAuth2
from connectors.http import Http
from connectors.model import Event, EventType
from connectors.sources.asking import Api, Found, Parcel
from connectors.sources.base import Source, digest, display, inbox_id, moment, parse_json
from connectors.sources.delivery import Delivery
from connectors.sources.parcels import (
    CarrierToken,
    ClientOptions,
    InTurn,
    Scan,
    a_dict,
    call_id,
    code,
    dicts,
    is_milestone,
    milestone_event,
    milestones,
    own_parcels,
    parcel_number,
    shipment_event,
    written,
)
from connectors.sources.tokens import IN_ADDRESS, check_token

HOST = "https://onlinetools.ups.com"
TOKEN = OAuth2(f"{HOST}/security/v1/oauth/token")
_PHOTO, _TEST = "deliveryPhoto", "1ZCIETST"


class Ups(Source):
    """The secret is the token that UPS was given."""

    kind = "ups"
    options_model = ClientOptions
    options: ClientOptions

    def __init__(self, secrets: Sequence[str], options: Mapping[str, Any] | None = None) -> None:
        super().__init__(secrets, options)
        self.turns = InTurn()

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        presented = (headers.get("authorization"), headers.get("credential"), headers.get(IN_ADDRESS))
        check_token(self.secrets, presented, "the header Authorization (v1: credential)")

    def deliveries(self, headers: Mapping[str, str], body: bytes) -> Sequence[tuple[Delivery, bytes]]:
        """The one event, without the photo of the front door: it is large, personal and of no use here."""
        said = parse_json(body)
        kept = body
        if isinstance(said, dict) and _PHOTO in said:
            kept = written({name: value for name, value in said.items() if name != _PHOTO}, body)
        return [(self.receive(headers, body), kept)]

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """The key is parcel, status and time, for an event has no id."""
        said = a_dict(parse_json(body))
        status = a_dict(said.get("activityStatus"))
        number = parcel_number(said.get("trackingNumber"))
        type_, reason = code(status.get("type")), code(status.get("code"))
        when = [display(said.get(name)) or "" for name in ("gmtActivityDate", "gmtActivityTime")]
        known = number and type_ and all(when)
        return Delivery(
            id=inbox_id(number or "", type_, reason, *when) if known else inbox_id("event", digest(body)),
            type=f"activity/{type_}/{reason}"[:100],
            occurred_at=_happened(said, "gmtActivity", "localActivity"),
            order_ref=number,
        )

    def normalise(self, delivery: Delivery, body: bytes) -> Event | None:
        if is_milestone(delivery):
            return milestone_event(delivery, self.kind, body)
        said = a_dict(parse_json(body))
        type_ = code(a_dict(said.get("activityStatus")).get("type"))
        usual = {"I": EventType.SHIPMENT_SHIPPED}.get(type_)
        if type_ == "D" and code(said.get("actualDeliveryDate")):
            usual = EventType.SHIPMENT_DELIVERED
        meant = self.options.meaning(type_, usual)
        number = parcel_number(said.get("trackingNumber"))
        if meant is None or (number or "").startswith(_TEST):
            return None
        return shipment_event(delivery, self.kind, number, meant, _happened(said, "gmtActivity", "localActivity"))

    # -- asking ----------------------------------------------------------------------------------------------------

    def api(self, http: Http) -> Api | None:
        if self.options.client_id is None:
            return None
        host = (self.options.base_url or HOST).rstrip("/")
        token = CarrierToken(
            TOKEN.at(host), self.options, http, lambda: {"transId": call_id(), "transactionSrc": "billhook"}
        )
        return Api("UPS", host, token, http)

    def track(self, api: Api, parcels: Sequence[Parcel]) -> Sequence[Found]:
        """One question a parcel: the Track API takes one number at a time."""

        def ask(number: str) -> list[Found]:
            answer = a_dict(api.document(f"/api/track/v1/details/{quote(number, safe='')}"))
            found = []
            for shipment in dicts(a_dict(answer.get("trackResponse")).get("shipment")):
                for package in dicts(shipment.get("package")):
                    if parcel_number(package.get("trackingNumber")) == number:
                        found += milestones(number, _scans(package, self.options))
            return found

        own = own_parcels(parcels, self.kind, "1[ZR][0-9A-Z]+")
        return self.turns.ask([number for number in own if not number.startswith(_TEST)], ask)


def _scans(package: Mapping[str, Any], options: ClientOptions) -> Iterator[Scan]:
    """What the history of a package says: being loaded for delivery says that it is on its way, too, unless the
    merchant says what D counts as. What came back was not delivered."""
    delivered = any(code(day.get("type")) == "DEL" for day in dicts(package.get("deliveryDate")))
    history = [(code(a_dict(each.get("status")).get("type")), each) for each in dicts(package.get("activity"))]
    back = any(type_ == "RS" for type_, _ in history)
    newest = next((each for type_, each in history if type_ == "D"), None)
    for type_, each in history:
        at = _happened(each, "gmt", "")
        usual = [EventType.SHIPMENT_SHIPPED if type_ in {"I", "D"} else None]
        if each is newest and delivered:
            usual.append(EventType.SHIPMENT_DELIVERED)
        for meant in dict.fromkeys(options.meaning(type_, one) for one in usual):
            if at is not None and meant is not None and not (back and meant is EventType.SHIPMENT_DELIVERED):
                yield Scan(meant, at, each)


def _happened(said: Mapping[str, Any], gmt: str, local: str) -> datetime | None:
    """The time in GMT where it is given; else the local one, which counts as GMT if nobody says where it is."""
    if at := _time(said, gmt, "+00:00"):
        return at
    offset = re.fullmatch(r"([+-]\d\d)[:.]?(\d\d)", display(said.get("gmtOffset")) or "")
    return _time(said, local, f"{offset[1]}:{offset[2]}" if offset else "+00:00")


def _time(said: Mapping[str, Any], prefix: str, zone: str) -> datetime | None:
    names = (f"{prefix}Date", f"{prefix}Time") if prefix else ("date", "time")
    day, time = ((display(said.get(name)) or "").replace(":", "").strip() for name in names)
    if not re.fullmatch("[0-9]{8}", day) or not re.fullmatch("[0-9]{1,6}", time):
        return None
    hour = time.zfill(6)
    return moment(f"{day[:4]}-{day[4:6]}-{day[6:]}T{hour[:2]}:{hour[2:4]}:{hour[4:]}{zone}")
