"""Asking a shop or a carrier: what a delivery only points to, and what was missed while nobody listened.

It only reads, but for the note of an invoice at its order (`Source.write_back`). What comes back has the form of a
delivery: it is stored like one, and `normalise` reads it later. So a source is told the same by a webhook and by a
question, and nothing is lost between asking and handling.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import orjson

from connectors.auth import Auth, OAuth2, StaticHeaders, Token
from connectors.errors import Rejected, Throttled, Unauthorized, Unavailable
from connectors.http import Answer, Http
from connectors.sources.delivery import Delivery


@dataclass(frozen=True, slots=True)
class Found:
    """A document of a source's API, in the form of a delivery: kept under `delivery.id` once, however often found."""

    delivery: Delivery
    body: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """A part of what changed since a cursor."""

    found: tuple[Found, ...]
    cursor: str
    """Where the next page begins, or the next question once there is no more; stored only after `found` is."""
    more: bool


@dataclass(frozen=True, slots=True)
class Parcel:
    """A parcel on its way, to be asked about. `carrier` as whoever told of it writes it; "" where nobody said."""

    tracking_number: str
    carrier: str


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of an order, for its shop to know."""

    order_id: str
    """The shop's immutable id of it."""
    account: str
    """What the merchant calls the books that the invoice is in."""
    part: str
    """"order", or which part of it was invoiced; of what was given back the refund."""
    number: str | None
    url: str | None
    total: Decimal
    currency: str
    kind: str = "invoice"
    """invoice, credit (a credit note), void (the invoice of that number was voided)."""
    state: str = "issued"
    """How it stands: issued, void, credited (all of it was given back)."""
    of: Posted | None = None
    """Of what was given back: the invoice as it stands now."""

    @property
    def all(self) -> tuple[Posted, ...]:
        """What is noted, each under a key of its own."""
        return (self,) if self.of is None else (self, self.of)


class Api:
    """Calls of one source's API, authenticated: reads, and writes that may be repeated. Every method raises the errors
    of a read, in the merchant's words."""

    def __init__(self, name: str, base_url: str, auth: Auth | Mapping[str, str], http: Http) -> None:
        """`name`: what the merchant calls the other side. `auth`: headers, or who gives them."""
        self.name = name
        self.base_url = base_url.rstrip("/")
        self.auth: Auth = StaticHeaders(auth) if isinstance(auth, Mapping) else auth
        self.http = http

    def get(self, where: str, query: Mapping[str, str] | None = None) -> Answer:
        """The answer (2xx) of a GET: `where` is a path, or an address below `base_url`.

        Raises `Unauthorized`, `Throttled` (with `retry_after`), `Rejected` (4xx, with `status`: a 404 is one), else
        `Unavailable`; and `Rejected` for an address on another host, where our credentials must not go.
        """
        return self.call("GET", where, query=query)

    def call(
        self, method: str, where: str, *, query: Mapping[str, str] | None = None, body: str | None = None
    ) -> Answer:
        """As `get`, for the APIs whose questions are POSTs, and for writes that may be repeated; `body` is JSON."""
        url = self._address(where)
        sent = self.auth.headers()
        answer = self._send(method, url, sent, query, body)
        if answer.status == 401 and self.auth.renew(sent):
            answer = self._send(method, url, self.auth.headers(), query, body)
        if 200 <= answer.status < 300:
            return answer
        raise self._refusal(answer)

    def json(self, where: str, query: Mapping[str, str] | None = None) -> Any:
        """The JSON of a GET, numbers exact; raises `Unavailable` too where it is none."""
        answer = self.get(where, query)
        try:
            return answer.json()
        except ValueError:
            raise Unavailable(f"{self.name} answered with something that is not JSON", sample=answer.sample) from None

    def document(
        self, where: str, *, method: str = "GET", query: Mapping[str, str] | None = None, body: Any = None
    ) -> Any:
        """The JSON of an answer as bodies are read (fractions are floats), so that parts of it can be stored.

        `body` is sent as JSON. Raises as `json` does.
        """
        answer = self.call(method, where, query=query, body=None if body is None else orjson.dumps(body).decode())
        try:
            return orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            raise Unavailable(f"{self.name} answered with something that is not JSON", sample=answer.sample) from None

    def wait(self, answer: Answer) -> float | None:
        """Seconds after which the other side wants to be asked again; for a subclass where it says that elsewhere."""
        return answer.retry_after

    def _address(self, where: str) -> str:
        if not where.startswith(("http://", "https://")):
            return self.base_url + where
        ours, theirs = urlsplit(self.base_url), urlsplit(where)
        if (theirs.scheme, theirs.netloc) != (ours.scheme, ours.netloc):
            raise Rejected(f"{self.name} pointed to another host, {theirs.hostname}; it was not asked")
        return where

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], query: Mapping[str, str] | None, body: str | None
    ) -> Answer:
        kind = {"Content-Type": "application/json"} if body is not None else {}
        accept = {"Accept": "application/json"}
        return self.http.send(method, url, headers={**accept, **kind, **headers}, query=query, body=body, unsafe=False)

    def _refusal(self, answer: Answer) -> Exception:
        said = self.http.redact(answer.body[:300].decode("utf-8", "replace"))
        text = f"{self.name} answered {answer.status}: {said}"
        if answer.status in (401, 403):
            return Unauthorized(text, status=answer.status, sample=answer.sample)
        if answer.status == 429:
            return Throttled(text, status=429, retry_after=self.wait(answer), sample=answer.sample)
        if 400 <= answer.status < 500:
            return Rejected(text, status=answer.status, sample=answer.sample)
        return Unavailable(text, status=answer.status, retry_after=answer.retry_after, sample=answer.sample)


class ClientToken:
    """A token by client credentials (RFC 6749, section 4.4), kept in this process and got anew before it ends.

    For carriers whose tokens cost nothing and end nothing: any number may be valid at once.
    """

    def __init__(self, oauth: OAuth2, credentials: Any, http: Http) -> None:
        """`credentials` have `client_id` and `client_secret`."""
        self._oauth, self._credentials, self._http = oauth, credentials, http
        self._token: Token | None = None
        self._lock = threading.Lock()

    def headers(self) -> Mapping[str, str]:
        with self._lock:
            if self._token is None or not self._token.fresh(datetime.now(UTC)):
                self._token = self._oauth.obtain(self._http, self._credentials, None)
                self._http.hide(self._token.access)
            return {"Authorization": f"Bearer {self._token.access}"}

    def renew(self, refused: Mapping[str, str]) -> bool:
        with self._lock:
            if self._token is not None and f"Bearer {self._token.access}" == refused.get("Authorization"):
                self._token = None
        return True
