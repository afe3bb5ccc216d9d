"""Billhook's own JSON event, signed the way of Standard Webhooks 1.0 (or sent with the shop's API key).

For shops, ERPs and tools without a source of their own. Trap: the signed text is id.timestamp.body,
so an id with a full stop could be read in two ways and is refused. Not done by the package
`standardwebhooks`, which reads the clock itself, knows no `svix-` names and signs a timestamp it has reformatted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from pydantic import ValidationError

from connectors.model import Event, EventType
from connectors.sources.base import (
    MalformedBody,
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
from connectors.sources.wording import FieldError, field_errors, sentences

TOLERANCE = 300
"""Seconds a timestamp may lie in the past or the future: the value of the reference libraries."""
MOST = 1000
"""Events in one array."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """One event of a body: either `event`, or the `errors` that prevent it."""

    event: Event | None
    errors: tuple[FieldError, ...]
    raw: bytes
    """Its JSON with sorted keys and without white space: the same content has the same bytes."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The events of one body, in its order; `many` if the body was an array."""

    elements: tuple[Parsed, ...]
    many: bool


def parse_events(body: bytes) -> Batch:
    """One event or an array of up to 1,000, each judged for itself.

    Raises `MalformedBody` if the body is not JSON, or an array that is empty or too long.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"the body is not valid JSON: {error}") from None
    if not isinstance(value, list):
        return Batch((_parse(value),), many=False)
    if not 0 < len(value) <= MOST:
        raise MalformedBody(f"an array must hold 1 to {MOST} events; this one holds {len(value)}")
    return Batch(tuple(_parse(each) for each in value), many=True)


def _parse(value: Any) -> Parsed:
    raw = _canonical(value)
    try:
        return Parsed(Event.model_validate(value), (), raw)
    except ValidationError as error:
        return Parsed(None, field_errors(error), raw)


def _canonical(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # it writes fewer levels than it reads; nothing so deep is an event
        return b""


class Standard(Source):
    """Headers `webhook-id`, `webhook-timestamp`, `webhook-signature` (or `svix-…`); secrets are `whsec_` + base64."""

    kind = "standard"

    def __init__(self, secrets: Sequence[str], options: Mapping[str, Any] | None = None) -> None:
        super().__init__(secrets, options)
        self._keys = [_key(secret) for secret in self.secrets]

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        message_id, timestamp, signatures = (_header(headers, name) for name in ("id", "timestamp", "signature"))
        if "." in message_id or len(message_id) > 256:
            raise SignatureError("webhook-id must have at most 256 characters and no full stop")
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 15):
            raise SignatureError("webhook-timestamp must be a number of seconds since 1970")
        if abs(now.timestamp() - int(timestamp)) > TOLERANCE:
            raise SignatureError(
                "webhook-timestamp is more than 5 minutes from the time here; check the sender's clock"
            )
        if not self._keys:
            raise SignatureError("this source has no secret configured, so no signature can be checked")
        signed = f"{message_id}.{timestamp}.".encode("utf-8", "replace") + body
        expected = [b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in self._keys]
        given = [each.encode("utf-8", "replace") for each in signatures.split(" ")[:20]]
        if not any(hmac.compare_digest(ours, theirs) for ours in expected for theirs in given):
            raise SignatureError("webhook-signature was not made with a secret configured for this source")

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """One event; its own id is the key, then the sender's `webhook-id`. Arrays go to `parse_events`."""
        value = parse_json(body)
        if isinstance(value, list):
            raise MalformedBody("this address takes one event at a time; an array of events goes to POST /events")
        event = value if isinstance(value, dict) else {}
        order = event.get("order")
        order = order if isinstance(order, dict) else {}
        own = event.get("id")
        sent = headers.get("webhook-id") or headers.get("svix-id")
        return Delivery(
            id=own if isinstance(own, str) and 0 < len(own) <= 200 else inbox_id("message", sent or digest(body)),
            type=(display(event.get("type")) or "")[:100],
            occurred_at=moment(event.get("occurred_at")),
            order_ref=display(order.get("ref")) or display(order.get("id")),
        )

    def normalise(self, delivery: Delivery, body: bytes) -> Event:
        try:
            return Event.model_validate(parse_json(body))
        except ValidationError as error:
            known = EventType(delivery.type) if delivery.type in set(EventType) else None
            reason = f"The event cannot be used: {sentences(error)}"
            raise NotInvoiceable(reason, type=known, order_id=_order_id(body)) from None


def _order_id(body: bytes) -> str | None:
    match orjson.loads(body):
        case {"order": {"id": str() as order_id}}:
            return order_id
    return None


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(f"webhook-{name}") or headers.get(f"svix-{name}")
    if not value:
        raise SignatureError(f"the header webhook-{name} is missing")
    return value


def _key(secret: str) -> bytes:
    """The bytes of a secret: base64, padding optional. Raises `ValueError`, which does not repeat the secret."""
    text = secret.strip().removeprefix("whsec_")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ValueError("a Standard Webhooks secret is “whsec_” followed by base64, as the sender shows it")
    return key
