"""What a platform declares about itself: facts as data, in the order of the vendor's documentation."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Literal
from uuid import NAMESPACE_OID, uuid5

from connectors.auth import OAuth2
from connectors.errors import ConnectorError
from connectors.model import InvoiceDraft


@dataclass(frozen=True)
class Key:
    """The platform's own idempotency key: the field it travels in, its maximum length and how long it lives."""

    field: str
    max_length: int
    lives: timedelta
    place: Literal["header", "query", "body", "inner"] = "header"
    """In a body it is a field of the JSON object, which must not be empty; "inner": of the object in that object
    (`{"invoice":{…}}`). A call without a body then carries none."""

    uuid: bool = False
    """It must be a UUID (RFC 4122): ours is made into one, the same for ever; without hyphens where 32 are the most."""
    packed: bool = False
    """Only a packed call carries it; the call of one document has none."""

    def fitting(self, key: str) -> str:
        """The key as it is sent: a longer one is shortened, to the same text for ever."""
        if self.uuid:
            made = uuid5(NAMESPACE_OID, key)
            return made.hex if self.max_length < 36 else str(made)
        if len(key) <= self.max_length:
            return key
        return hashlib.sha256(key.encode()).hexdigest()[: min(32, self.max_length)]


@dataclass(frozen=True)
class Reference:
    """The field that carries our reference; `unique` where the platform refuses a second document with it."""

    field: str
    max_length: int
    unique: bool


@dataclass(frozen=True)
class Quota:
    """At most `calls` in any window of length `per`: of all calls, or only of those of one kind (`Request.quota`)."""

    calls: int
    per: timedelta
    of: str = ""


@dataclass(frozen=True)
class Refusal:
    """A row of the platform's table of refusals: which answers mean which error. None matches everything."""

    error: type[ConnectorError]
    status: int | None = None
    contains: str | None = None


@dataclass(frozen=True)
class Facts:
    """Everything generic code must know of a platform; shown by `billhook platforms`."""

    slug: str
    title: str
    docs: str
    base_url: str
    auth: str
    """How it authenticates, for people: "OAuth 2, rotating refresh tokens", "secret key"."""
    reference: Reference
    key_field: str
    """The second field, which carries our full business key."""
    oauth: OAuth2 | None = None
    key: Key | None = None
    once: bool = False
    """Our business key is the document's own id there, for ever: made again, it is the same one or a `Duplicate`."""
    quotas: tuple[Quota, ...] = ()
    quotas_of: str = ""
    """Slug of the platform with whose accounts these are shared, where both speak to one organisation; else its own."""
    concurrent: int = 10
    """Calls in flight at once, per tenant."""
    bulk: int = 1
    """Documents in one create call."""
    one_currency: bool = False
    """A customer there has one currency for ever: who orders in two is two customers."""
    quiet: timedelta = timedelta(minutes=15)
    """After the last possible send, how long until "not found" can be believed."""
    pause: timedelta | None = None
    """How long to stay away after "too many" where the platform's answer does not say."""
    deadline: float = 30.0
    """Seconds of wall clock for one call."""
    can: frozenset[str] = field(default_factory=frozenset)
    """Of: draft, issue, mail, pdf, link, void, credit, list (invoices by date), payments, webhooks."""


def difference(draft: InvoiceDraft, currency: str, total: Decimal) -> str | None:
    """What the platform's document says otherwise than our draft, in words; None when they agree to the cent."""
    if currency.upper() != draft.currency:
        return f"the platform has {currency.upper()}, the order {draft.currency}"
    if total != draft.total:
        return f"the platform's total is {total}, the order's {draft.total}: {total - draft.total:+} {draft.currency}"
    return None
