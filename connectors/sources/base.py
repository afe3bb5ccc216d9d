"""The contract of an event source: a shop, an ERP, a carrier that tells us what happened to an order.

A source is one file in this package with one subclass of `Source`; it is registered by existing.
The endpoint that receives calls `handshake`, `verify` and `deliveries`, in this order, and stores the
bodies; a worker calls `normalise` later with what was stored. None of these does I/O or reads a clock.

A source that can be asked has an `api`, too: workers call `fetch` where a delivery only points to what happened, `pull`
for what was missed, and `track` for parcels on their way. What these find is stored like a delivery.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
from pydantic import BaseModel, ConfigDict

from connectors.model import Event, EventType
from connectors.registry import choose, plug_ins
from connectors.sources.delivery import Delivery

if TYPE_CHECKING:
    from connectors.http import Http
    from connectors.sources.asking import Api, Found, Page, Parcel, Posted


class SignatureError(Exception):
    """The delivery cannot be shown to come from the shop. Answer 401 and store nothing."""


class KeyUnknown(SignatureError):
    """It is signed with a key that is not here (yet): `learn_keys` may find it, then verify again."""


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


class Look:
    """What `normalise` says of a delivery that does not tell what happened, but where to look: `fetch` does that."""


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

        Called on the bytes as they came, before anything parses them; header names are lower-case. The address's
        `?token=…` stands there as the header ":token", which no sender can send.
        """
        raise NotImplementedError

    def learn_keys(self, http: Http) -> None:
        """Gets the sender's public keys, for those whose signatures need them. Called in a thread after `KeyUnknown`,
        at most once a minute. Raises the errors of a read."""

    def greeting(self, headers: Mapping[str, str]) -> Mapping[str, str] | None:
        """The headers of the answer to an OPTIONS request by which a sender asks whether it may send; None: it may
        not ask so."""
        return None

    def handshake(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether the shop only asks if somebody is there: answer 200 and do nothing else. Called before `verify`."""
        return False

    def deliveries(self, headers: Mapping[str, str], body: bytes) -> Sequence[tuple[Delivery, bytes]]:
        """Each delivery in a verified body, with what is stored of it: one, unless the sender packs several.

        Raises only `MalformedBody`, then nothing of it is stored.
        """
        return [(self.receive(headers, body), body)]

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """What to store with a verified body. Cheap; raises only `MalformedBody`."""
        raise NotImplementedError

    def normalise(self, delivery: Delivery, body: bytes) -> Event | Look | None:
        """The stored delivery as an event; None if it is worth keeping but says nothing that changes an order.

        Raises `NotInvoiceable` with the reason in plain words, `MalformedBody` as `receive` does, and nothing else.
        """
        raise NotImplementedError

    # -- asking ----------------------------------------------------------------------------------------------------

    def api(self, http: Http) -> Api | None:
        """Its API as the options say; None where they name no credentials, or there is none."""
        return None

    def fetch(self, api: Api, delivery: Delivery, body: bytes) -> Sequence[Found]:
        """What a delivery points to (`Look`); empty where it is gone. Raises the errors of a read."""
        raise NotImplementedError

    def pull(self, api: Api, cursor: str | None, now: datetime) -> Page | None:
        """The oldest of what changed since `cursor` (None: nobody has asked yet, begin at `now`), oldest first.

        None where the source has no such list. Raises the errors of a read.
        """
        return None

    def write_back(self, api: Api, posted: Posted) -> bool:
        """Notes at the shop's order which invoice it has; False where the source has no such place.

        Doing it again changes nothing: it may be repeated after any failure. Raises the errors of a read.
        """
        return False

    def wake(self, api: Api) -> Sequence[str]:
        """Switches on again those of our webhooks that the sender has switched off after failures; a sentence for each.

        Doing it again changes nothing. Raises the errors of a read.
        """
        return ()

    def track(self, api: Api, parcels: Sequence[Parcel]) -> Sequence[Found] | None:
        """What the carrier says of parcels on their way; unknown ones are left out.

        None where the source cannot be asked so. Raises the errors of a read.
        """
        return None


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
