"""Billhook's own JSON event, signed the way of Standard Webhooks 1.0 (or sent with a token, or the shop's API key).

For shops, ERPs and tools without a source of their own; CloudEvents and the envelope of Standard Webhooks may be
around it (`cloudevents.py`). Trap: the signed text is id.timestamp.body,
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
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from connectors.model import Event, EventType
from connectors.sources import cloudevents
from connectors.sources.base import (
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
from connectors.sources.tokens import IN_ADDRESS, check_token
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


class StandardOptions(Options):
    bearer: bool = False
    """The secrets are tokens, sent as `Authorization: Bearer` or as `?access_token=`; nothing is signed then."""


class Standard(Source):
    """Headers `webhook-id`, `webhook-timestamp`, `webhook-signature` (or `svix-…`); secrets are `whsec_` + base64, or
    `whpk_` + base64 for the public key of a sender that signs with ed25519."""

    kind = "standard"
    options_model = StandardOptions
    options: StandardOptions

    def __init__(self, secrets: Sequence[str], options: Mapping[str, Any] | None = None) -> None:
        super().__init__(secrets, options)
        keys = [] if self.options.bearer else [_key(secret) for secret in self.secrets]
        self._keys = [key for key in keys if isinstance(key, bytes)]
        self._public = [key for key in keys if isinstance(key, Ed25519PublicKey)]

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        if self.options.bearer:
            return self._verify_token(headers)
        message_id, timestamp, signatures = (_header(headers, name) for name in ("id", "timestamp", "signature"))
        if "." in message_id or len(message_id) > 256:
            raise SignatureError("webhook-id must have at most 256 characters and no full stop")
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 15):
            raise SignatureError("webhook-timestamp must be a number of seconds since 1970")
        if abs(now.timestamp() - int(timestamp)) > TOLERANCE:
            raise SignatureError(
                "webhook-timestamp is more than 5 minutes from the time here; check the sender's clock"
            )
        if not self.secrets:
            raise SignatureError("this source has no secret configured, so no signature can be checked")
        signed = f"{message_id}.{timestamp}.".encode("utf-8", "replace") + body
        expected = [b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in self._keys]
        given = [each.encode("utf-8", "replace") for each in signatures.split(" ")[:20]]
        if any(hmac.compare_digest(ours, theirs) for ours in expected for theirs in given):
            return None
        if not any(_signed_by(key, theirs, signed) for key in self._public for theirs in given):
            raise SignatureError("webhook-signature was not made with a secret configured for this source")

    def _verify_token(self, headers: Mapping[str, str]) -> None:
        """One of the two ways of CloudEvents' http-webhook.md, 3; never both (RFC 6750, section 2)."""
        given = [headers[name] for name in ("authorization", IN_ADDRESS) if headers.get(name)]
        if len(given) > 1:
            raise SignatureError("the token came twice: send it as a header or in the address, not both")
        check_token(self.secrets, given, "the header Authorization (“Bearer …”) or ?access_token=")

    def greeting(self, headers: Mapping[str, str]) -> Mapping[str, str] | None:
        return cloudevents.allowed(headers)

    def deliveries(self, headers: Mapping[str, str], body: bytes) -> Sequence[tuple[Delivery, bytes]]:
        """As any source, and each CloudEvent of a batch (which may be empty), up to 1,000."""
        mode = cloudevents.mode(headers)
        if mode == "binary" and self.options.bearer:
            value = cloudevents.from_headers(headers, parse_json(body))
            return [(self._delivery(headers, value, body), _dumped(value))]
        if mode != "batched":
            return [(self.receive(headers, body), body)]
        listed = parse_json(body)
        if not isinstance(listed, list) or len(listed) > MOST:
            raise MalformedBody(f"the body of a batch must be an array of at most {MOST} events")
        packed = [(each, _dumped(each)) for each in listed]
        return [(self._delivery(headers, each, raw, among=True), raw) for each, raw in packed]

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """One event, in an envelope or not. Arrays go to `parse_events`."""
        value = parse_json(body)
        if isinstance(value, list):
            raise MalformedBody("this address takes one event at a time; an array of events goes to POST /events")
        return self._delivery(headers, value, body)

    def _delivery(self, headers: Mapping[str, str], value: Any, body: bytes, among: bool = False) -> Delivery:
        """The key is source and id of a CloudEvent or the event's own id, then the sender's `webhook-id`, which the
        events of a batch share (`among`)."""
        around = value if isinstance(value, dict) else {}
        sent = headers.get("webhook-id") or headers.get("svix-id") or ""
        parts = [sent, digest(body)] if among and sent else [sent or digest(body)]
        identity = cloudevents.identity(around) if "specversion" in around else None
        own = None if "specversion" in around else around.get("id")
        if identity is not None:
            key = inbox_id("cloudevent", identity)
        elif isinstance(own, str) and 0 < len(own) <= 200:
            key = own
        else:
            key = inbox_id("message", *parts)
        opened = cloudevents.opened(around, key) if cloudevents.is_envelope(around) else around
        event = opened if isinstance(opened, dict) else {}
        order = event.get("order")
        order = order if isinstance(order, dict) else {}
        return Delivery(
            id=key,
            type=(display(event.get("type")) or "")[:100],
            occurred_at=moment(event.get("occurred_at")),
            order_ref=next(filter(None, map(display, _names(event, order))), None),
        )

    def normalise(self, delivery: Delivery, body: bytes) -> Event:
        value = parse_json(body)
        if cloudevents.is_envelope(value):
            value = cloudevents.opened(value, delivery.id)
            if not isinstance(value, dict):
                raise NotInvoiceable(
                    "The event cannot be used: data must be a JSON object, an event as of POST /events"
                )
        try:
            return Event.model_validate(value)
        except ValidationError as error:
            known = EventType(delivery.type) if delivery.type in cloudevents.TYPES else None
            reason = f"The event cannot be used: {sentences(error)}"
            if known is EventType.REFUND_CREATED:  # held, though no invoice is due on it
                raise NotInvoiceable(reason) from None
            raise NotInvoiceable(reason, type=known, order_id=_order_id(value)) from None


def _names(event: Mapping[str, Any], order: Mapping[str, Any]) -> tuple[Any, ...]:
    return order.get("ref"), order.get("id"), event.get("order_ref"), event.get("order_id")


def _dumped(value: Any) -> bytes:
    """Raises `MalformedBody` for what is nested deeper than orjson writes; nothing so deep is an event."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        raise MalformedBody("the body is nested too deeply") from None


def _order_id(value: Any) -> str | None:
    match value:
        case {"order": {"id": str() as order_id}} | {"order_id": str() as order_id}:
            return order_id
    return None


def _signed_by(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    """Whether `v1a,<base64>` is the signature of this key."""
    try:
        key.verify(base64.b64decode(signature.removeprefix(b"v1a,"), validate=True), signed)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return signature.startswith(b"v1a,")


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(f"webhook-{name}") or headers.get(f"svix-{name}")
    if not value:
        raise SignatureError(f"the header webhook-{name} is missing")
    return value


def _key(secret: str) -> bytes | Ed25519PublicKey:
    """The key of a secret: base64, padding optional. Raises `ValueError`, which does not repeat the secret."""
    text = secret.strip()
    if text.startswith("whsk_"):
        raise ValueError("that is the sender's private key (“whsk_”); here belongs its public one, “whpk_”")
    public = text.startswith("whpk_")
    bare = text.removeprefix("whsec_").removeprefix("whpk_")
    try:
        key = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
        if public:
            return Ed25519PublicKey.from_public_bytes(key)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ValueError(
            "a Standard Webhooks secret is “whsec_” (or, for a public key, “whpk_”) followed by base64, as the sender"
            " shows it"
        )
    return key
