"""ShipStation's webhooks: of V1, which only say where to look, and of V2 (once ShipEngine), which are signed.

Both name an order by its number; the prices there are not the shop's, so nothing is ever invoiced from them. The
token in the address is required of both: V1 signs nothing, and V2 signs for all its customers with the same keys.

Trap: a parcel of an order that is not wholly shipped must not ask for the invoice. So a parcel counts as shipped
where its order has the status `shipped`; before that it only tells its tracking number.

Facts: docs.shipstation.com, V1 "Webhooks", "List Shipments", "List Fulfillments" and "List Orders"; V2 "Webhooks
Overview" and "Webhook Payload Schemas". In doubt: that V1's times are Pacific time (they name no zone), the header
`X-Rate-Limit-Reset`, the form of V2's timestamp (a time or Unix seconds: both are read), and how V2 says that a parcel
goes back (a `status_detail_code` that speaks of a return is heeded). Not read: V2's `FULFILLMENT_SHIPPED_V2`, which
points to an API of its own; it is kept for the record.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256
from pydantic import SecretStr, model_validator

from connectors.errors import Rejected, Unavailable
from connectors.http import Answer, Http
from connectors.model import Event, EventType, Shipment
from connectors.sources.asking import Api, Found, Page
from connectors.sources.base import (
    KeyUnknown,
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
from connectors.sources.parcels import StatusOptions, code
from connectors.sources.tokens import IN_ADDRESS, check_token

NAME = "ShipStation"
TOLERANCE = 300
"""Seconds a signed timestamp may lie in the past or the future."""
_API = "https://ssapi.shipstation.com"
_KEYS = "https://api.shipengine.com/jwks"
_SIGNATURE, _KEY_ID, _TIMESTAMP = (
    f"x-shipengine-{name}" for name in ("rsa-sha256-signature", "rsa-sha256-key-id", "timestamp")
)
_SIGNED = "v2/"
"""Before the type of what was signed: no unsigned body may pass for one."""
_PARCEL = "shipment"
"""The type of a parcel that was found by asking."""
_POINTING = ("SHIP_NOTIFY", "ITEM_SHIP_NOTIFY", "FULFILLMENT_SHIPPED")
_TRACKING = (f"{_SIGNED}API_TRACK", f"{_SIGNED}TRACK_EVENT_V2")
_MOVES = {
    "AC": EventType.SHIPMENT_SHIPPED,
    "IT": EventType.SHIPMENT_SHIPPED,
    "DE": EventType.SHIPMENT_DELIVERED,
}
"""V2's `status_code`s that say more than that a label was made or something went wrong."""
_LISTS = {"/shipments": "shipments", "/fulfillments": "fulfillments"}
"""What may be asked for at an address that came in a webhook."""
_PACIFIC = ZoneInfo("America/Los_Angeles")
_TIME = "%Y-%m-%d %H:%M:%S"
_SLACK = timedelta(minutes=10)


class ShipStationOptions(StatusOptions):
    """API key and secret of V1; without them V1's webhooks cannot be followed."""

    api_key: str | None = None
    api_secret: SecretStr | None = None
    store_id: int | None = None
    """Only this store's parcels: numbers of orders are unique only inside one store."""
    base_url: str | None = None
    """V1's API."""
    keys_url: str | None = None
    """V2's public keys."""

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.api_key is None) != (self.api_secret is None):
            raise ValueError("api_key and api_secret belong together: give both, or none")
        return self


class ShipStationApi(Api):
    """V1: 40 calls a minute; how long to wait stands in a header of its own."""

    def wait(self, answer: Answer) -> float | None:
        reset = answer.headers.get("X-Rate-Limit-Reset", "")
        return float(reset) if reset.isascii() and reset.isdigit() and len(reset) < 6 else answer.retry_after


class ShipStation(Source):
    """The secret is the token at the end of the address, `?token=…`."""

    kind = "shipstation"
    options_model = ShipStationOptions
    options: ShipStationOptions

    def __init__(self, secrets: Sequence[str], options: Mapping[str, Any] | None = None) -> None:
        super().__init__(secrets, options)
        self._keys: Mapping[str, RSAPublicKey] = {}

    # -- receiving -------------------------------------------------------------------------------------------------

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Both need the token; what has one of the signature's headers must be signed, too."""
        check_token(self.secrets, [headers.get(IN_ADDRESS)], "the address, as ?token=…")
        if _is_signed(headers):
            self._check_signature(headers, body, now)

    def _check_signature(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """RSA (PKCS #1 v1.5, SHA-256) over timestamp, full stop and body."""
        signature, key_id, timestamp = (_header(headers, name) for name in (_SIGNATURE, _KEY_ID, _TIMESTAMP))
        at = _signed_at(timestamp)
        if at is None:
            raise SignatureError(f"{_TIMESTAMP} is not a time")
        if abs((now - at).total_seconds()) > TOLERANCE:
            raise SignatureError(f"{_TIMESTAMP} is more than 5 minutes from the time here")
        key = self._keys.get(key_id)
        if key is None:
            raise KeyUnknown(f"{_KEY_ID} names a key that ShipStation does not publish")
        try:
            made = base64.b64decode(signature, validate=True)
            key.verify(made, f"{timestamp}.".encode("utf-8", "replace") + body, PKCS1v15(), SHA256())
        except (binascii.Error, ValueError, InvalidSignature):
            raise SignatureError(f"{_SIGNATURE} was not made with the key that it names") from None

    def learn_keys(self, http: Http) -> None:
        """ShipStation's list of keys (a JWKS); those that are not RSA or cannot be read are left out."""
        listed = Api(f"{NAME}'s list of keys", self.options.keys_url or _KEYS, {}, http).json("")
        keys = listed.get("keys") if isinstance(listed, dict) else None
        if not isinstance(keys, list):
            raise Unavailable(f"{NAME}'s list of keys has no keys")
        self._keys = dict(_public_keys(keys))

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """V1 has no id of an event: what it points to is one. V2 has none either: the body is."""
        value = _object(parse_json(body))
        type_ = (display(value.get("resource_type")) or "")[:100]
        if not _is_signed(headers):
            return Delivery(inbox_id(type_, display(value.get("resource_url")) or digest(body)), type_)
        number = display(_object(value.get("data")).get("tracking_number"))
        return Delivery(
            inbox_id(_SIGNED + type_, digest(body)), _SIGNED + type_, _signed_at(headers.get(_TIMESTAMP, "")), number
        )

    # -- reading ---------------------------------------------------------------------------------------------------

    def normalise(self, delivery: Delivery, body: bytes) -> Event | Look | None:
        value = _object(parse_json(body))
        if delivery.type in _POINTING:
            if self._where(value) is None:
                raise NotInvoiceable("ShipStation's webhook points to an address that is not ShipStation's")
            return Look()
        if delivery.type == _PARCEL:
            return _shipped(delivery, _object(value.get("shipment")), value.get("order"))
        return _moved(delivery, _object(value.get("data")), self.options) if delivery.type in _TRACKING else None

    # -- asking ----------------------------------------------------------------------------------------------------

    def api(self, http: Http) -> Api | None:
        if self.options.api_key is None or self.options.api_secret is None:
            return None
        proof = f"{self.options.api_key}:{self.options.api_secret.get_secret_value()}"
        basic = base64.b64encode(proof.encode()).decode()
        http.hide(self.options.api_secret.get_secret_value(), basic)
        return ShipStationApi(NAME, self.options.base_url or _API, {"Authorization": f"Basic {basic}"}, http)

    def fetch(self, api: Api, delivery: Delivery, body: bytes) -> Sequence[Found]:
        """Each parcel of what the webhook points to. The key goes to ShipStation's own hosts only."""
        where = self._where(_object(parse_json(body)))
        if where is None:
            raise Rejected(f"{NAME} pointed to another host; it was not asked")
        host, path, query = where
        there = ShipStationApi(NAME, host, api.auth, api.http) if host else api
        parcels: list[dict[str, Any]] = []
        page = pages = 1
        while page <= pages:
            listed, pages = _listed(there, path, _LISTS[path], {**query, **self._store(query), **_sheet(page, 500)})
            parcels += listed
            page += 1
        return self._found(api, parcels)

    def pull(self, api: Api, cursor: str | None, now: datetime) -> Page | None:
        """Parcels made since the cursor: a time as V1 writes it and a page, "2026-11-22 02:59:58|1"."""
        if cursor is None:
            return Page((), f"{now.astimezone(_PACIFIC).strftime(_TIME)}|1", more=False)
        since, _, number = cursor.partition("|")
        page = int(number) if number.isdigit() else 1
        query = {"createDateStart": since, "sortBy": "CreateDate", "sortDir": "ASC", **self._store({})}
        parcels, pages = _listed(api, "/shipments", "shipments", {**query, **_sheet(page, 100)})
        found = tuple(self._found(api, parcels))
        if page < pages:
            return Page(found, f"{since}|{page + 1}", more=True)
        last = max((at for each in parcels if (at := _pacific(each.get("createDate")))), default=None)
        return Page(found, f"{last.astimezone(_PACIFIC).strftime(_TIME) if last else since}|1", more=False)

    def _found(self, api: Api, parcels: Sequence[dict[str, Any]]) -> list[Found]:
        """Each parcel with its order where that is wholly shipped; only such orders are listed."""
        made = [at for each in parcels if (at := _pacific(each.get("createDate")))]
        since = (min(made) - _SLACK).astimezone(_PACIFIC).strftime(_TIME) if made else ""
        shipped: dict[str, dict[str, Any]] = {}
        page, pages = 1, 1 if made else 0
        while page <= pages:
            query = {"orderStatus": "shipped", "modifyDateStart": since, **self._store({}), **_sheet(page, 500)}
            listed, pages = _listed(api, "/orders", "orders", query)
            shipped |= {str(each.get("orderId")): each for each in listed}
            page += 1
        return [_parcel(each, shipped.get(str(each.get("orderId")))) for each in parcels]

    def _store(self, query: Mapping[str, str]) -> dict[str, str]:
        """Which store's parcels are asked for, however the webhook's own address writes it."""
        said = next((name for name in query if name.casefold() == "storeid"), "storeId")
        return {} if self.options.store_id is None else {said: str(self.options.store_id)}

    def _where(self, value: Mapping[str, Any]) -> tuple[str | None, str, dict[str, str]] | None:
        """Host (None: that of the API), path and query of `resource_url`; None where it is not ShipStation's.

        Where `base_url` is set, everything is asked there.
        """
        url, base = value.get("resource_url"), self.options.base_url
        if not isinstance(url, str) or not url.isascii() or not url.isprintable() or "\\" in url:
            return None
        try:
            parts = urlsplit(url)
            own = parts.scheme == "https" and (parts.hostname or "").endswith(".shipstation.com")
            own = own and parts.netloc.lower() == parts.hostname
        except ValueError:
            return None
        if base and url.startswith(base.rstrip("/") + "/"):
            path = parts.path.removeprefix(urlsplit(base).path.rstrip("/"))
        elif own:
            path = parts.path
        else:
            return None
        host = None if base or parts.netloc.lower() == urlsplit(_API).netloc else f"https://{parts.hostname}"
        return (host, path, dict(parse_qsl(parts.query))) if path in _LISTS else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


# -- signatures --------------------------------------------------------------------------------------------------------


def _is_signed(headers: Mapping[str, str]) -> bool:
    """Whether it claims to be; receiving and verifying must agree on that."""
    return any(name in headers for name in (_SIGNATURE, _KEY_ID, _TIMESTAMP))


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "").strip()
    if not value:
        raise SignatureError(f"the header {name} is missing")
    return value


def _signed_at(timestamp: str) -> datetime | None:
    if timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 10:
        return datetime.fromtimestamp(int(timestamp), UTC)
    return moment(timestamp)


def _public_keys(listed: Sequence[Any]) -> Iterator[tuple[str, RSAPublicKey]]:
    for each in listed:
        try:
            numbers = RSAPublicNumbers(e=_number(each["e"]), n=_number(each["n"]))
            yield str(each["kid"]), numbers.public_key()
        except (KeyError, TypeError, ValueError):
            continue


def _number(text: str) -> int:
    """A number of a JWK: base64url without padding (RFC 7518, section 6.3.1)."""
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


# -- parcels -----------------------------------------------------------------------------------------------------------


def _pacific(text: Any) -> datetime | None:
    """A time of V1, which writes Pacific time with seven decimals and no zone."""
    try:
        return datetime.fromisoformat(text[:19]).replace(tzinfo=_PACIFIC).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _sheet(page: int, size: int) -> dict[str, str]:
    return {"page": str(page), "pageSize": str(size)}


def _listed(api: Api, path: str, name: str, query: Mapping[str, str]) -> tuple[list[dict[str, Any]], int]:
    """One page of a list, and how many there are."""
    answer = _object(api.json(path, query))
    listed, pages = answer.get(name), answer.get("pages")
    if not isinstance(listed, list):
        raise Unavailable(f"{NAME} answered without {name}")
    return [each for each in listed if isinstance(each, dict)], pages if isinstance(pages, int) else 1


def _parcel(shipment: Mapping[str, Any], order: Mapping[str, Any] | None) -> Found:
    """Only what is read later: the answer has addresses and amounts, too."""
    names = ("shipmentId", "fulfillmentId", "orderId", "orderKey", "orderNumber", "createDate", "trackingNumber",
             "carrierCode", "voided", "isReturnLabel", "voidDate")  # fmt: skip
    kept = {name: shipment[name] for name in names if shipment.get(name) is not None}
    whole = (
        {name: order[name] for name in ("orderKey", "orderNumber", "orderStatus") if name in order} if order else None
    )
    body = json.dumps({"shipment": kept, "order": whole}, sort_keys=True, default=str).encode()
    ref = display(shipment.get("shipmentId")) or display(shipment.get("fulfillmentId")) or ""
    at = _pacific(shipment.get("createDate"))
    number = display(shipment.get("orderNumber"))
    return Found(Delivery(inbox_id(_PARCEL, ref, digest(body)[:16]), _PARCEL, at, number), body)


def _shipped(delivery: Delivery, shipment: Mapping[str, Any], order: Any) -> Event | None:
    """A parcel of an order that is not wholly shipped yet only tells its tracking number."""
    if shipment.get("voided") or shipment.get("voidDate") or shipment.get("isReturnLabel"):
        return None
    whole = _object(order).get("orderStatus") == "shipped"
    type_ = EventType.SHIPMENT_SHIPPED if whole else EventType.ORDER_UPDATED
    ref = display(shipment.get("shipmentId")) or display(shipment.get("fulfillmentId"))
    number, key = display(shipment.get("orderNumber")), display(shipment.get("orderKey"))
    key = key or display(_object(order).get("orderKey"))
    at = _pacific(shipment.get("createDate"))
    if not ref or not at or not (number or key):
        raise NotInvoiceable("ShipStation tells of a parcel without its id, order number or time", type=type_)
    parcel = Shipment(
        ref=ref,
        carrier=display(shipment.get("carrierCode")),
        tracking_number=display(shipment.get("trackingNumber")),
    )
    return Event(id=delivery.id, type=type_, occurred_at=at, order_id=key, order_ref=number, shipment=parcel)


def _moved(delivery: Delivery, data: Mapping[str, Any], options: StatusOptions) -> Event | None:
    """What V2's carrier says of a parcel; labels, attempts and exceptions are neither shipped nor delivered, unless the
    merchant says so."""
    status = display(data.get("status_code")) or ""
    type_ = options.meaning(status, _MOVES.get(status))
    if type_ is None or "RETURN" in code(data.get("status_detail_code")):
        return None
    arrived = moment(data.get("actual_delivery_date")) if type_ is EventType.SHIPMENT_DELIVERED else None
    number, at = display(data.get("tracking_number")), arrived or delivery.occurred_at
    if not number or not at:
        raise NotInvoiceable("ShipStation does not say which parcel it speaks of, or when", type=type_)
    parcel = Shipment(ref=number, carrier=display(data.get("carrier_code")), tracking_number=number)
    return Event(id=delivery.id, type=type_, occurred_at=at, shipment=parcel)
