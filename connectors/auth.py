"""How requests prove who they are. Where tokens are kept and who may refresh them is the caller's business."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol
from urllib.parse import urlencode

from pydantic import SecretStr

from connectors.errors import Throttled, Unauthorized, Unavailable, Uncertain
from connectors.http import Http


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
    """An OAuth 2 access token, with the refresh token that came with it (None for client credentials)."""

    access: str = field(repr=False)
    refresh: str | None = field(repr=False)
    expires_at: datetime

    def fresh(self, now: datetime, margin: timedelta = timedelta(seconds=60)) -> bool:
        return now < self.expires_at - margin


@dataclass(frozen=True)
class OAuth2:
    """A token endpoint. `rotates`: each refresh invalidates the refresh token it used.

    `grace`: how long a used refresh token still works (zero where the vendor documents none).
    """

    token_url: str
    rotates: bool
    grace: timedelta = timedelta(0)

    def refresh(self, http: Http, client_id: str, client_secret: SecretStr, refresh: str | None) -> Token:
        """A new token: by refresh token (RFC 6749 section 6), else by client credentials (section 4.4).

        Raises `Unauthorized` when the grant is refused for good, `Throttled` when there were too many calls,
        `Unavailable` when nothing was sent, and when the answer to a refresh is lost `Uncertain`: the refresh
        token may then be used up (client credentials are never used up: `Unavailable`).
        """
        http.hide(client_secret.get_secret_value())
        form = {"grant_type": "client_credentials"}
        if refresh is not None:
            form = {"grant_type": "refresh_token", "refresh_token": refresh}
            http.hide(refresh)
        basic = base64.b64encode(f"{client_id}:{client_secret.get_secret_value()}".encode()).decode()
        answer = http.send(
            "POST",
            self.token_url,
            headers={"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(form),
            unsafe=refresh is not None,
            capture=False,
        )
        if answer.status in {400, 401, 403}:
            raise Unauthorized(f"the token endpoint refuses the credentials (status {answer.status})")
        if answer.status == 429:
            raise Throttled("the token endpoint was called too often", status=429, retry_after=answer.retry_after)
        try:
            if answer.status != 200:
                raise ValueError
            body = answer.json()
            lifetime = timedelta(seconds=int(body["expires_in"]))
            token = Token(str(body["access_token"]), body.get("refresh_token") or refresh, datetime.now(UTC) + lifetime)
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
            lost = Uncertain if refresh is not None else Unavailable
            raise lost(f"the token endpoint gave no token (status {answer.status})") from None
        http.hide(token.access, token.refresh or "")
        return token
