"""The contract of an event source: a shop, an ERP, a carrier that tells us what happened to an order.

A source is one file in this package with one subclass of `Source`; it is registered by existing.
The endpoint that receives calls `handshake`, `verify` and `receive`, in this order, and stores the
body; a worker calls `normalise` later with what was stored. Nothing here does I/O or reads a clock.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar

import orjson
from pydantic import BaseModel, ConfigDict

from connectors.model import Event, EventType
from connectors.registry import choose, plug_ins


class SignatureError(Exception):
    """The delivery cannot be shown to come from the shop. Answer 401 and store nothing."""


class MalformedBody(Exception):
    """The body is not JSON, or JSON that no database could hold. Answer 400 and store nothing."""


class NotInvoiceable(Exception):
    """Signed, valid JSON that does not make an `Event`; `reason` is the sentence the merchant reads.

    `type` is what the event would have been and `order_id` the order it speaks of, where known: the
    caller holds it if an invoice would be due on that type and the order has none yet.
    """

    def __init__(self, reason: str, *, type: EventType | None = None, order_id: str | None = None) -> None:
        self.reason = one_line(reason)
        super().__init__(self.reason)
        self.type = type
        self.order_id = order_id


def one_line(text: str) -> str:
    """At most 1,000 characters, none of which moves a terminal's cursor: reasons quote what strangers wrote."""
    return "".join(each if each.isprintable() else " " for each in text[:1000])


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is stored beside the body of a delivery; all that `normalise` gets to know."""

    id: str
    """Unique for ever within shop and source; a second delivery with it is a duplicate. At most 200 characters."""
    type: str
    """The source's own topic ("orders/fulfilled") or, from our own senders, the `EventType`; "" if it did not say."""
    occurred_at: datetime | None = None
    """When the order got the state that the body shows, with time zone; None if the body does not say."""
    order_ref: str | None = None
    """The order it is about, as the reader knows it; for display only."""


class Options(BaseModel):
    """What a merchant may configure for a source beside its secrets; unknown names are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source:
    """One configured source of one shop. A subclass that sets `kind` is registered by existing."""

    kind: ClassVar[str]
    options_model: ClassVar[type[Options]] = Options
    options: Options

    def __init__(self, secrets: Sequence[str], options: Mapping[str, Any] | None = None) -> None:
        """Several secrets are valid at once, so that one can be replaced without losing deliveries.

        Raises `ValueError` (pydantic's `ValidationError` included) for a secret or option that cannot be used.
        """
        self.secrets = tuple(secrets)
        self.options = self.options_model.model_validate(dict(options or {}))

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Return if one of the secrets signed `body`; else raise `SignatureError`.

        Called on the bytes as they came, before anything parses them; header names are lower-case.
        """
        raise NotImplementedError

    def handshake(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether the shop only asks if somebody is there: answer 200 and do nothing else. Called before `verify`."""
        return False

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """What to store with a verified body. Cheap; raises only `MalformedBody`."""
        raise NotImplementedError

    def normalise(self, delivery: Delivery, body: bytes) -> Event | None:
        """The stored delivery as an event; None if it is worth keeping but says nothing that changes an order.

        Raises `NotInvoiceable` with the reason in plain words, `MalformedBody` as `receive` does, and nothing else.
        """
        raise NotImplementedError


class BodySigned(Source):
    """A source whose header `signature_header` is base64(HMAC-SHA256(secret, raw body)).

    Only the body is signed: no time, no other header. So a delivery may be replayed for ever, and
    whatever decides about money must be read from the body.
    """

    signature_header: ClassVar[str]

    def keys(self) -> Iterator[bytes]:
        for secret in self.secrets:
            yield secret.encode()

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        given = headers.get(self.signature_header.lower(), "").strip().encode("utf-8", "replace")
        if not given:
            raise SignatureError(f"the header {self.signature_header} is missing")
        if not self.secrets:
            raise SignatureError("this source has no secret configured, so no signature can be checked")
        expected = [base64.b64encode(hmac.digest(key, body, hashlib.sha256)) for key in self.keys()]
        if not any(hmac.compare_digest(each, given) for each in expected):
            raise SignatureError(f"{self.signature_header} was not made with a secret configured for this source")


def parse_json(body: bytes) -> Any:
    """The JSON value of `body`; fractions become `float`, whose `repr` is the number as written.

    Raises `MalformedBody` for what is not JSON (nesting over 1,024 levels and lone surrogates
    included) and for a NUL character in any text, which PostgreSQL cannot store.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"the body is not valid JSON: {error}") from None
    if b"\\u0000" in body and _holds_nul(value):
        raise MalformedBody("the body has a NUL character (\\u0000) in a text")
    return value


def _holds_nul(value: Any) -> bool:
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text if "\x00" in text:
                return True
            case dict() as members:
                waiting += [*members.keys(), *members.values()]
            case list() as elements:
                waiting += elements
    return False


def inbox_id(*parts: str) -> str:
    """An id for `Delivery.id` from its parts; the hash of them where they are too long or not plain text."""
    joined = ":".join(parts)
    if len(joined) <= 200 and joined.isascii() and joined.isprintable():
        return joined
    return "sha256:" + digest(joined.encode("utf-8", "replace"))


def digest(body: bytes) -> str:
    """SHA-256 of the body, in hex."""
    return hashlib.sha256(body).hexdigest()


def moment(text: Any) -> datetime | None:
    """An RFC 3339 time in UTC; None for anything else."""
    try:
        parsed = datetime.fromisoformat(text)
        return parsed.astimezone(UTC) if parsed.tzinfo else None
    except (TypeError, ValueError, OverflowError):
        return None


def display(value: Any) -> str | None:
    """A number or short text of a body as text for `Delivery.order_ref`; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return one_line(str(value))[:200] or None


@cache
def kinds() -> dict[str, type[Source]]:
    """Every source by its kind; a file in this package is one."""
    return plug_ins("connectors.sources", Source, "kind", lambda found: found.kind)


def source(kind: str) -> type[Source]:
    """The source of this kind. Raises `LookupError` with what was probably meant and what there is."""
    return choose(kinds(), kind, "source of kind")
