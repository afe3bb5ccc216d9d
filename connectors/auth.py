"""How requests prove who they are. Where tokens are kept and who may refresh them is the caller's business.

A session is a token too: it is got by a login, kept, shared by all workers and got anew when it has ended.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol, Self
from urllib.parse import urlencode, urlsplit

from pydantic import SecretStr

from connectors.errors import Throttled, Unauthorized, Unavailable, Uncertain
from connectors.http import Answer, Http, dump_json

NEVER = datetime(9999, 1, 1, tzinfo=UTC)
"""When what does not end by itself ends."""


class Auth(Protocol):
    """Gives the headers of each request; `renew` is called once after a 401 and says whether to try again."""

    def headers(self) -> Mapping[str, str]:
        """Headers that authenticate a request. Raises `Unauthorized` when there is nothing valid to send."""

    def renew(self, refused: Mapping[str, str]) -> bool:
        """After a 401 answer to `refused` headers: True when other credentials are there now."""


@dataclass(frozen=True)
class StaticHeaders:
    """An API key or the like, the same for every request."""

    values: Mapping[str, str] = field(repr=False)

    def headers(self) -> Mapping[str, str]:
        return self.values

    def renew(self, refused: Mapping[str, str]) -> bool:
        return False


@dataclass(frozen=True)
class Token:
    """An access token, with the refresh token that came with it (None for client credentials); or a session's id."""

    access: str = field(repr=False)
    refresh: str | None = field(repr=False)
    expires_at: datetime

    def fresh(self, now: datetime, margin: timedelta = timedelta(seconds=60)) -> bool:
        return now < self.expires_at - margin


class Grant(Protocol):
    """How a platform gives tokens, or sessions. The caller sees to it that one worker at a time asks."""

    @property
    def rotates(self) -> bool:
        """Whether a refresh token is used up by its use."""

    @property
    def grace(self) -> timedelta:
        """How long a used refresh token still works (zero where the vendor documents none)."""

    def at(self, base_url: str) -> Self:
        """The same of an account pointed elsewhere: the same path there."""

    def obtain(self, http: Http, credentials: Any, refresh: str | None) -> Token:
        """A new token, by the refresh token if there is one. Raises `Unauthorized` when it is refused for good,
        `Throttled` when there were too many calls, `Unavailable` when nothing was sent or nothing can have been used
        up, and when the answer to a refresh is lost `Uncertain`: the refresh token may then be used up."""


@dataclass(frozen=True)
class OAuth2:
    """A token endpoint (RFC 6749), and where a merchant consents. Credentials have `client_id` and `client_secret`."""

    token_url: str
    rotates: bool = False
    """Each refresh invalidates the refresh token it used."""
    grace: timedelta = timedelta(0)
    client: Literal["basic", "body"] = "basic"
    """Where id and secret of the client are sent: as HTTP Basic, or in the form."""
    alone: bool = True
    """Without a refresh token the client may ask for a token of its own (client credentials, section 4.4)."""
    authorize_url: str = ""
    """Where the merchant consents (authorization code, section 4.1); empty where there is no such flow."""
    scopes: tuple[str, ...] = ()
    pkce: bool = False
    """RFC 7636, S256."""
    consent: tuple[tuple[str, str], ...] = ()
    """Further parameters of the consent page: (("access_type", "offline"),)."""
    lifetime: timedelta = timedelta(hours=1)
    """Of tokens whose answer does not say."""
    throttled: str = ""
    """What an error says that only means "too often", where that is no 429."""
    json: bool = False
    """The token endpoint takes its fields as JSON, not as a form."""

    def at(self, base_url: str) -> Self:
        here = base_url.rstrip("/")
        consent = here + urlsplit(self.authorize_url).path if self.authorize_url else ""
        return dataclasses.replace(self, token_url=here + urlsplit(self.token_url).path, authorize_url=consent)

    def obtain(self, http: Http, credentials: Any, refresh: str | None) -> Token:
        if refresh is not None:
            http.hide(refresh)
            return self.ask(http, credentials, {"grant_type": "refresh_token", "refresh_token": refresh})
        if not self.alone:
            raise Unauthorized("no merchant has consented yet: run `billhook connect` for the account")
        return self.ask(http, credentials, self.own())

    def own(self) -> dict[str, str]:
        """The form of client credentials."""
        scope = {"scope": " ".join(self.scopes)} if self.scopes and not self.authorize_url else {}
        return {"grant_type": "client_credentials", **scope}

    def proof(self, credentials: Any) -> tuple[dict[str, str], dict[str, str]]:
        """What proves the client: headers and fields of the form."""
        secret = credentials.client_secret.get_secret_value()
        if self.client == "body":
            return {}, {"client_id": credentials.client_id, "client_secret": secret}
        basic = base64.b64encode(f"{credentials.client_id}:{secret}".encode()).decode()
        return {"Authorization": f"Basic {basic}"}, {}

    def ask(self, http: Http, credentials: Any, form: Mapping[str, str]) -> Token:
        """The token for this grant. Raises as `obtain`; a `refresh_token` or `code` in the form can be used up."""
        spends = form.get("refresh_token") or form.get("code")
        headers, fields = self.proof(credentials)
        http.hide(*_secrets(credentials))
        http.hide(*headers.values(), *(value.split()[-1] for value in headers.values()))
        kind = "json" if self.json else "x-www-form-urlencoded"
        answer = http.send(
            "POST",
            self.token_url,
            headers={"Accept": "application/json", "Content-Type": f"application/{kind}", **headers},
            body=dump_json({**form, **fields}) if self.json else urlencode({**form, **fields}),
            unsafe=spends is not None,
            capture=False,
        )
        if answer.status == 429 or (self.throttled and self.throttled.encode() in answer.body):
            raise Throttled("the token endpoint was called too often", status=429, retry_after=answer.retry_after)
        if answer.status in {400, 401, 403} or (answer.status == 200 and _named(answer)):  # some refuse with a 200
            raise Unauthorized(f"the token endpoint refuses the credentials (status {answer.status}{_named(answer)})")
        try:
            if answer.status != 200:
                raise ValueError
            token = self.told(answer.json(), form)
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
            lost = Unavailable if spends is None else Uncertain
            raise lost(f"the token endpoint gave no token (status {answer.status})") from None
        http.hide(token.access, token.refresh or "")
        return token

    def told(self, body: Any, form: Mapping[str, str]) -> Token:
        """What a good answer to this form gives. May raise anything on an unexpected body."""
        lifetime = timedelta(seconds=int(body.get("expires_in") or self.lifetime.total_seconds()))
        refresh = body.get("refresh_token") or form.get("refresh_token")
        return Token(str(body["access_token"]), refresh, datetime.now(UTC) + lifetime)


@dataclass(frozen=True)
class Login:
    """Sessions of one organisation, each got by logging in with the credentials' `username`; nothing is used up by it.
    A platform says what it is sent (`body`) and what comes back (`session`)."""

    base: str
    path: str
    title: str
    """The platform's name, for people."""
    company: str
    """The organisation there."""
    rotates: bool = False
    grace: timedelta = timedelta(0)
    elsewhere: frozenset[int] = frozenset({404, 408})
    """Of the 4xx those that say nothing of the login: nobody answered who could know."""

    def at(self, base_url: str) -> Self:
        return dataclasses.replace(self, base=base_url.rstrip("/"))

    def obtain(self, http: Http, credentials: Any, refresh: str | None) -> Token:
        """A new session. A login that is refused is `Unauthorized` at once: trying again may lock the user."""
        http.hide(*_secrets(credentials))
        kind, body = {"Content-Type": "application/json"}, dump_json(self.body(credentials))
        answer = http.send("POST", self.base + self.path, headers=kind, body=body, unsafe=False, capture=False)
        status = self.status(answer)
        if status == 429:
            raise Throttled(f"{self.title}: too many logins", status=429, retry_after=answer.retry_after)
        if 400 <= status < 500 and status not in self.elsewhere:
            who = f"{credentials.username} to {self.company}"
            raise Unauthorized(f"{self.title} refuses the login of {who} (status {answer.status})")
        try:
            session, lives = self.session(answer)
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
            raise Unavailable(f"{self.title}'s login gave no session (status {answer.status})") from None
        http.hide(session)
        return Token(session, None, datetime.now(UTC) + lives)

    def body(self, credentials: Any) -> Mapping[str, Any]:
        """What is sent, as JSON."""
        raise NotImplementedError

    def session(self, answer: Answer) -> tuple[str, timedelta]:
        """What proves calls (`Platform.proof`), and how long. May raise anything on an unexpected body."""
        raise NotImplementedError

    def status(self, answer: Answer) -> int:
        """The HTTP status that the answer means."""
        return answer.status


def _secrets(credentials: Any) -> list[str]:
    return [value.get_secret_value() for value in vars(credentials).values() if isinstance(value, SecretStr)]


def _named(answer: Answer) -> str:
    """The error's code in a token endpoint's answer (RFC 6749 section 5.2), which holds nothing secret."""
    try:
        code = str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return ""
    return f", {code}" if code.isascii() and code.replace("_", "").isalnum() else ""
