"""Shippo's webhooks and tracks: the news of parcels of every carrier, in one set of statuses.

An account's webhooks carry no signature unless Shippo switches it on; else a token in the address is all that protects
them, and addresses leak. So what such a delivery says is a hint: where the API's token is configured, the track is
fetched and only that counts. A secret that is a token could sign, too; so a signature alone makes no hint a fact: the
merchant says with `signed` that Shippo signs.

Traps: no event has an id; a label that was made is `PRE_TRANSIT`, not shipped; out for delivery is `TRANSIT` with a
substatus; a test webhook says so beside the data, and a track does not, but Shippo's test parcels have the carrier
"shippo". Nothing in a track tells a return label.

Facts: docs.goshippo.com, "Webhook security" (header, `t`, `v1`, token), "Webhooks", "Webhook metadata", "Tracking",
"Transactions" (`metadata`), "Orders" (`order_number`), "Get a tracking status", "Rate limits" (500 tracks a minute, 50
in test mode). Doubtful: whether `object_id` of a status is the same in a delivery that is sent again (if not, it enters
twice, and the second changes nothing); what an unknown number is answered with (400, 404 and a track without status are
taken for it); that a transaction has `order`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Self
from urllib.parse import quote

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
from connectors.sources.parcels import InTurn, StatusOptions, a_dict, order_name
from connectors.sources.reading import Body, Said, speaking_of
from connectors.sources.tokens import IN_ADDRESS, check_token

API = "https://api.goshippo.com"
SIGNATURE = "shippo-auth-signature"
TOLERANCE = 300
"""Seconds between the signature's time and ours; Shippo names none."""
UPDATE = "track_updated"
UNKNOWN = (400, 404)
HINT = "hint/"
"""Before the type of a delivery that only a token in the address protects."""
FOUND = "track"
"""The type of a track that was found by asking; its body is the track itself."""

STATUSES = {"TRANSIT": EventType.SHIPMENT_SHIPPED, "DELIVERED": EventType.SHIPMENT_DELIVERED}
"""All others (`PRE_TRANSIT`, `RETURNED`, `FAILURE`, `UNKNOWN`) are kept and change nothing."""


class TrackingStatus(Body):
    status_date: Any = None
    object_created: Any = None


class Track(Body):
    """The fields of Shippo's track that say what happened to which parcel of which order."""

    carrier: Said = None
    tracking_number: Annotated[str, Field(min_length=1, max_length=200)]
    metadata: Said = None
    label_order: Said = None
    """Put there by us: the order's name as its label says it."""
    tracking_status: TrackingStatus


class ShippoOptions(StatusOptions):
    going_back = frozenset({"returned"})
    signed: bool = False
    """Shippo signs your webhooks: the secret is the one of the signature, and no token counts."""
    api_token: SecretStr | None = None
    """The live token: to confirm what unsigned webhooks say, and to ask about parcels whose events did not come."""
    base_url: str | None = None
    """Another address of the API, such as a sandbox."""
    order_in_metadata: bool = True
    """The metadata of a label or track is the order's name."""
    ask_label: bool = False
    """Ask for the label of a parcel whose metadata names no order: its own may, or the order in Shippo."""
    test_events: bool = False
    """Take the events of test mode, too."""

    @model_validator(mode="after")
    def _askable(self) -> Self:
        if self.ask_label and self.api_token is None:
            raise ValueError("ask_label needs api_token: without it no label can be asked for")
        return self


class Shippo(Source):
    """The secret is the random token in the webhook's address or, where Shippo signs, the shared secret."""

    kind = "shippo"
    options_model = ShippoOptions
    options: ShippoOptions

    def __init__(self, secrets: Sequence[str], options: Mapping[str, Any] | None = None) -> None:
        super().__init__(secrets, options)
        self._in_turn = InTurn()

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """A signature that is there must be right; only where there is none (and none is agreed) the token counts."""
        given = headers.get(SIGNATURE, "").strip()
        if given:
            self._check_signature(given, body, now)
        elif self.options.signed:
            raise SignatureError("the header Shippo-Auth-Signature is missing, and this source says that Shippo signs")
        else:
            check_token(self.secrets, [headers.get(IN_ADDRESS)], "the webhook's address, as ?token=…")

    def _check_signature(self, given: str, body: bytes, now: datetime) -> None:
        if not self.secrets:
            raise SignatureError("this source has no secret configured, so no signature can be checked")
        parts = dict(part.strip().partition("=")[::2] for part in given.split(","))
        time, theirs = parts.get("t", ""), parts.get("v1", "")
        if not re.fullmatch("[0-9]{1,12}", time):
            raise SignatureError("Shippo-Auth-Signature has no time: t=<seconds> is missing")
        if not any(_same(signature(secret, time, body), theirs) for secret in self.secrets):
            raise SignatureError("Shippo-Auth-Signature was not made with a secret configured for this source")
        if abs(now.timestamp() - int(time)) > TOLERANCE:
            raise SignatureError("Shippo-Auth-Signature is more than 5 minutes away from this machine's clock")

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """The key is the status' own id, for there is none of the event."""
        event = a_dict(parse_json(body))
        track = a_dict(event.get("data"))
        type_ = (display(event.get("event")) or "")[:90]
        trusted = self.options.signed and bool(headers.get(SIGNATURE))
        return _delivery(type_ if trusted else HINT + type_, track, _state(track) or digest(body))

    def normalise(self, delivery: Delivery, body: bytes) -> Event | Look | None:
        value = parse_json(body)
        if not isinstance(value, dict):
            raise NotInvoiceable("the body of the Shippo event must be a JSON object")
        happened = delivery.type.removeprefix(HINT)
        if not happened:
            raise NotInvoiceable("Shippo did not say what happened: event is missing")
        if happened != UPDATE and delivery.type != FOUND:
            return None
        track = value if delivery.type == FOUND else value.get("data")
        if not isinstance(track, dict):
            raise NotInvoiceable("the Shippo event has no track: data must be a JSON object")
        type_ = self._type(track)
        if type_ is None or (self._is_test(value, track) and not self.options.test_events):
            return None
        with speaking_of(f"Shippo parcel {display(track.get('tracking_number')) or 'without number'}", type_, None):
            event = self._event(delivery, type_, track)
        hint = delivery.type.startswith(HINT) and self.options.api_token
        return Look() if hint or (delivery.type != FOUND and self._unnamed(track)) else event

    def _type(self, track: Mapping[str, Any]) -> EventType | None:
        status = _status(track).get("status")
        return self.options.meaning(status, STATUSES.get(status)) if isinstance(status, str) else None

    def _unnamed(self, track: Mapping[str, Any]) -> bool:
        """Whether its label is worth a question."""
        named = self.options.order_in_metadata and order_name(track.get("metadata"))
        return self.options.ask_label and not named and _ident(track.get("transaction")) is not None

    def _is_test(self, event: Mapping[str, Any], track: Mapping[str, Any]) -> bool:
        return bool(event.get("test")) or track.get("carrier") == "shippo"

    def _event(self, delivery: Delivery, type_: EventType, said: Any) -> Event:
        track = Track.model_validate(said)
        status = track.tracking_status
        occurred_at = moment(status.status_date) or moment(status.object_created)
        if occurred_at is None:
            raise NotInvoiceable("it does not say when this was: tracking_status.status_date is missing")
        return Event(
            id=delivery.id,
            type=type_,
            occurred_at=occurred_at,
            order_ref=track.label_order or (order_name(track.metadata) if self.options.order_in_metadata else None),
            shipment=Shipment(ref=track.tracking_number, carrier=track.carrier, tracking_number=track.tracking_number),
        )

    # -- asking ----------------------------------------------------------------------------------------------------

    def api(self, http: Http) -> Api | None:
        if self.options.api_token is None:
            return None
        token = self.options.api_token.get_secret_value()
        http.hide(token)
        return Api("Shippo", self.options.base_url or API, {"Authorization": f"ShippoToken {token}"}, http)

    def fetch(self, api: Api, delivery: Delivery, body: bytes) -> Sequence[Found]:
        """The track that a hint speaks of, as Shippo has it, with the order that its label names."""
        track = a_dict(a_dict(parse_json(body)).get("data"))
        carrier, number = (display(track.get(name)) or "" for name in ("carrier", "tracking_number"))
        try:
            return [self._named(api, one) for one in _asked(api, carrier, number)]
        except Rejected as refused:
            if refused.status in UNKNOWN:
                return []
            raise

    def _named(self, api: Api, found: Found) -> Found:
        track = a_dict(parse_json(found.body))
        ident = _ident(track.get("transaction"))
        if ident is None or not self._unnamed(track):
            return found
        label = _known(api, f"/transactions/{ident}")
        name = order_name(label.get("metadata")) if self.options.order_in_metadata else None
        if name is None and (order := _ident(label.get("order"))):
            name = order_name(_known(api, f"/orders/{order}").get("order_number"))
        if name is None:
            return found
        state = f"{_state(track) or track.get('tracking_number')}:{name}"
        return Found(_delivery(FOUND, track, state), orjson.dumps({**track, "label_order": name}))

    def track(self, api: Api, parcels: Sequence[Parcel]) -> Sequence[Found]:
        """The tracks of these parcels; one without a carrier cannot be asked for. When Shippo wants no more questions,
        the rest is asked another time."""
        carriers = {parcel.tracking_number: parcel.carrier for parcel in parcels}
        return self._in_turn.ask(list(carriers), lambda number: _asked(api, carriers[number], number))


def signature(secret: str, time: str, body: bytes) -> str:
    """`v1` of the header of a delivery that was signed with this secret at this time (Unix seconds)."""
    return hmac.new(secret.encode(), time.encode() + b"." + body, hashlib.sha256).hexdigest()


def _same(ours: str, theirs: str) -> bool:
    return hmac.compare_digest(ours.encode(), theirs.encode("utf-8", "replace"))


def _status(track: Mapping[str, Any]) -> dict[str, Any]:
    return a_dict(track.get("tracking_status"))


def _state(track: Mapping[str, Any]) -> str | None:
    """What tells a state of a parcel from its others; None where the track does not say."""
    status = _status(track)
    if own := display(status.get("object_id")):
        return own
    named = [display(track.get(name)) for name in ("carrier", "tracking_number")]
    named += [display(status.get(name)) for name in ("status", "status_date")]
    return None if None in named else ":".join(each or "" for each in named)


def _delivery(type_: str, track: Mapping[str, Any], state: str) -> Delivery:
    status = _status(track)
    return Delivery(
        id=inbox_id(type_, state, display(status.get("status")) or ""),
        type=type_,
        occurred_at=moment(status.get("status_date")) or moment(status.get("object_created")),
        order_ref=display(track.get("metadata")) or display(track.get("tracking_number")),
    )


def _ident(value: Any) -> str | None:
    """An id of Shippo's that may become part of an address."""
    text = display(value) or ""
    return text if re.fullmatch(r"[0-9A-Za-z_-]+", text) else None


def _known(api: Api, where: str) -> dict[str, Any]:
    """What Shippo has there; nothing where it knows none of that id."""
    try:
        return a_dict(api.document(where))
    except Rejected as refused:
        if refused.status in UNKNOWN:
            return {}
        raise


def _asked(api: Api, carrier: str, number: str) -> list[Found]:
    """The track as Shippo has it; nothing where it has no news of it. Raises `Rejected` for a parcel it cannot know."""
    token = re.sub(r"[\W_]+", "_", carrier.strip()).strip("_").lower()
    number = re.sub(r"\s", "", number)
    if not token or not re.fullmatch(r"[\w-]+", number):
        return []
    track = a_dict(api.document(f"/tracks/{quote(token, safe='')}/{quote(number, safe='')}"))
    return [Found(_delivery(FOUND, track, _state(track) or number), orjson.dumps(track))] if _status(track) else []
