"""HubSpot's webhooks: a deal's stage has changed, so each says where to look; the deal is read from the CRM API with
its line items, contact and company.

A deal in one of the won stages is order.completed, whenever it is read there. One that has left them is
order.cancelled only with `cancel_when_lost`, and only if it was in one before; all else is kept for the record. HubSpot
packs up to a hundred events into one request: each is stored by itself. Events have no unique id (`eventId` may come
twice), so one is what it says, but for the number of the attempt.

Facts: developers.hubspot.com, webhooks guide (body, 5 s to answer, ten repetitions over 24 hours) and request
validation (v3: HMAC-SHA256 over method, address, body and timestamp; at most 5 minutes old), as `Signature` of its
hubspot-api-client 12 has it; HubSpot's public API specs, CRM/Deals, Line Items, Contacts, Companies and Associations
2026-03, Settings/Tax Rates 2026-03; usage guidelines (`policyName` of a 429). In doubt: whether a webhook can come
before the API shows what it speaks of (the search then finds it), and how an address with characters that are written
as `%…` is signed (use a plain one).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import orjson
from pydantic import Field, SecretStr, model_validator

from connectors.errors import Rejected
from connectors.http import Answer, Http
from connectors.model import Event, EventType
from connectors.sources import hubspot_asking as asking
from connectors.sources.asking import Api, Found, Page
from connectors.sources.base import (
    Look,
    MalformedBody,
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
from connectors.sources.hubspot_deal import Told, order_of
from connectors.sources.reading import speaking_of

NAME = "HubSpot"
_API = "https://api.hubapi.com"
_SIGNATURE, _TIMESTAMP = "x-hubspot-signature-v3", "x-hubspot-request-timestamp"
_TOLERANCE = timedelta(minutes=5)
_PAUSES = {"SECONDLY": 1.0, "TEN_SECONDLY_ROLLING": 10.0}
"""How long a used-up quota lasts; HubSpot names no time."""


class HubSpotOptions(Options):
    """The address that HubSpot signs, and a token of its API; without the token deals cannot be read."""

    webhook_url: str | None = None
    """The app's target URL, to the letter as it stands there: it is part of what is signed."""
    access_token: SecretStr | None = None
    portal_id: int | None = None
    """The account whose deals are read, where the app is installed in several."""
    won_stages: tuple[str, ...] = Field(default=("closedwon",), min_length=1)
    """Ids of the stages that ask for the invoice; each pipeline has its own."""
    cancel_when_lost: bool = False
    """A deal that leaves the won stages was cancelled."""
    currency: str | None = None
    """Of deals that name none."""
    name_property: str | None = Field(default=None, pattern="^[a-z][a-z0-9_]*$")
    """The property of a deal that holds what people call the order."""
    base_url: str | None = None

    @model_validator(mode="after")
    def _portal(self) -> Self:
        if self.portal_id is not None and self.portal_id <= 0:
            raise ValueError("portal_id is the number of a HubSpot account (its Hub ID)")
        return self


class HubSpotApi(Api):
    """A 429 says which quota is used up, not for how long."""

    def wait(self, answer: Answer) -> float | None:
        try:
            policy = orjson.loads(answer.body).get("policyName")
        except (orjson.JSONDecodeError, AttributeError):
            policy = None
        return answer.retry_after or _PAUSES.get(policy if isinstance(policy, str) else "")


class HubSpot(Source):
    """The secret is the client secret of the app."""

    kind = "hubspot"
    options_model = HubSpotOptions
    options: HubSpotOptions

    # -- receiving -------------------------------------------------------------------------------------------------

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        given, timestamp = (headers.get(name, "").strip() for name in (_SIGNATURE, _TIMESTAMP))
        for name, value in ((_SIGNATURE, given), (_TIMESTAMP, timestamp)):
            if not value:
                raise SignatureError(f"the header {name} is missing")
        if not self.secrets:
            raise SignatureError("this source has no secret configured, so no signature can be checked")
        if not self.options.webhook_url:
            raise SignatureError("the option webhook_url is missing: HubSpot signs the address, too")
        at = _unix(int(timestamp)) if timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16 else None
        if at is None:
            raise SignatureError(f"{_TIMESTAMP} is not a time in milliseconds")
        if abs(now - at) > _TOLERANCE:
            raise SignatureError(f"{_TIMESTAMP} is more than 5 minutes from now: an old request, or a wrong clock")
        signed = b"POST" + self.options.webhook_url.encode() + body + timestamp.encode()
        expected = [base64.b64encode(hmac.digest(key.encode(), signed, hashlib.sha256)) for key in self.secrets]
        theirs = given.encode("utf-8", "replace")
        if not any(hmac.compare_digest(each, theirs) for each in expected):
            address = self.options.webhook_url.partition("?")[0]
            raise SignatureError(
                f"{_SIGNATURE} was not made with a secret configured for this source and the address {address}"
            )

    def deliveries(self, headers: Mapping[str, str], body: bytes) -> Sequence[tuple[Delivery, bytes]]:
        """Each event of the request; what is no array of them is kept as it is."""
        value = parse_json(body)
        if not isinstance(value, list) or not value:
            return [(_delivery(value), body)]
        return [(_delivery(each), _written(each)) for each in value]

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """Of one event's body, as `deliveries` tells it."""
        return _delivery(parse_json(body))

    # -- reading ---------------------------------------------------------------------------------------------------

    def normalise(self, delivery: Delivery, body: bytes) -> Event | Look | None:
        value = parse_json(body)
        told = value if isinstance(value, dict) else {}
        if delivery.type == asking.READ:
            return self._event(delivery, told)
        if delivery.type == asking.CHANGED:
            return Look()
        if not _of_a_deals_stage(told) or self._of_another(told):
            return None
        if not self._won(told.get("propertyValue")) and not self.options.cancel_when_lost:
            return None
        if display(told.get("objectId")) is None:
            raise NotInvoiceable("HubSpot's webhook does not say which deal it is about")
        return Look()

    def _won(self, stage: Any) -> bool:
        return isinstance(stage, str) and stage in self.options.won_stages

    def _of_another(self, told: Mapping[str, Any]) -> bool:
        return self.options.portal_id is not None and told.get("portalId") != self.options.portal_id

    def _event(self, delivery: Delivery, value: Mapping[str, Any]) -> Event | None:
        deal = value.get("deal")
        raw = deal if isinstance(deal, dict) else {}
        theirs = raw.get("properties")
        named = theirs if isinstance(theirs, dict) else {}
        type_, deal_id = self._type(named.get("dealstage"), value), display(raw.get("id"))
        if type_ is None:
            return None
        name = display(named.get(self.options.name_property)) if self.options.name_property else None
        with speaking_of(f"HubSpot deal {deal_id or 'without id'}", type_, deal_id):
            told = Told.model_validate(value)
            event = {"id": delivery.id, "type": type_, "occurred_at": told.deal.updatedAt}
            try:
                return Event(**event, order=order_of(told, name, self.options.currency))
            except (ValueError, NotInvoiceable):
                if type_ is not EventType.ORDER_CANCELLED:
                    raise
                return Event(**event, order_id=told.deal.id)  # whatever it was: it is no more

    def _type(self, stage: Any, value: Mapping[str, Any]) -> EventType | None:
        if self._won(stage):
            return EventType.ORDER_UPDATED if value.get("before") is True else EventType.ORDER_COMPLETED
        history = value.get("stages")
        been = any(self._won(each) for each in history) if isinstance(history, list) else False
        return EventType.ORDER_CANCELLED if been and self.options.cancel_when_lost else None

    # -- asking ----------------------------------------------------------------------------------------------------

    def api(self, http: Http) -> Api | None:
        if self.options.access_token is None:
            return None
        token = self.options.access_token.get_secret_value()
        http.hide(token)
        return HubSpotApi(NAME, (self.options.base_url or _API).rstrip("/"), {"Authorization": f"Bearer {token}"}, http)

    def fetch(self, api: Api, delivery: Delivery, body: bytes) -> Sequence[Found]:
        """The deal with what belongs to it, as one document."""
        value = parse_json(body)
        told = value if isinstance(value, dict) else {}
        deal_id = display(told.get("objectId")) or ""
        if not (deal_id.isascii() and deal_id.isdigit()):
            raise Rejected(f"{NAME} named no deal that could be asked for")
        own = (self.options.name_property,) if self.options.name_property else ()
        return asking.read(api, deal_id, moment(told.get("began")), self.options.won_stages, own)

    def pull(self, api: Api, cursor: str | None, now: datetime) -> Page | None:
        return asking.pull(api, cursor, now, None if self.options.cancel_when_lost else self.options.won_stages)


def _of_a_deals_stage(told: Mapping[str, Any]) -> bool:
    kind = told.get("subscriptionType")
    deals = kind == "deal.propertyChange" or (kind == "object.propertyChange" and told.get("objectTypeId") == "0-3")
    return deals and told.get("propertyName") == "dealstage"


def _delivery(value: Any) -> Delivery:
    told = value if isinstance(value, dict) else {}
    said = {name: each for name, each in told.items() if name != "attemptNumber"} if told else value
    at = told.get("occurredAt")
    return Delivery(
        id=inbox_id("event", digest(_written(said))),
        type=(display(told.get("subscriptionType")) or "")[:100],
        occurred_at=_unix(at) if isinstance(at, int) and not isinstance(at, bool) else None,
        order_ref=display(told.get("objectId")),
    )


def _written(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        raise MalformedBody("the body is nested more deeply than it could be written again") from None


def _unix(milliseconds: int) -> datetime | None:
    if not 0 <= milliseconds < 10**14:
        return None
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)
