"""A merchant's consent: the authorization-code flow of OAuth 2 (RFC 6749 section 4.1), with PKCE where it is offered.

The addresses and forms are made by oauthlib; sending and the meaning of failures are ours.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from oauthlib.oauth2 import WebApplicationClient
from oauthlib.oauth2.rfc6749.errors import OAuth2Error

from connectors.auth import OAuth2, Token
from connectors.errors import Rejected
from connectors.http import Http


class Consent:
    """One attempt to get a merchant's consent; good for one code. `redirect_uri` is registered with the vendor."""

    def __init__(self, grant: OAuth2, credentials: Any, redirect_uri: str) -> None:
        self.grant, self.credentials, self.redirect_uri = grant, credentials, redirect_uri
        self._client = WebApplicationClient(credentials.client_id)
        self._state = secrets.token_urlsafe(24)
        self._verifier = self._client.create_code_verifier(64) if grant.pkce else None

    @property
    def url(self) -> str:
        """The page on which the merchant consents."""
        more: dict[str, str] = dict(self.grant.consent)
        if self._verifier:
            challenge = self._client.create_code_challenge(self._verifier, "S256")
            more |= {"code_challenge": challenge, "code_challenge_method": "S256"}
        page = urlsplit(self.grant.authorize_url)
        address: str = self._client.prepare_request_uri(
            _https(page.geturl()), self.redirect_uri, list(self.grant.scopes) or None, self._state, **more
        )
        return urlsplit(address)._replace(scheme=page.scheme).geturl()

    def token(self, http: Http, came_back: str) -> Token:
        """The token for the address to which the merchant's browser came back. Raises `Rejected` where it holds no
        code of this consent, and what `OAuth2.obtain` raises."""
        code = self._code(came_back)
        http.hide(code)
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect_uri}
        if self._verifier:
            form["code_verifier"] = self._verifier
        return self.grant.ask(http, self.credentials, form)

    def _code(self, came_back: str) -> str:
        address = _https(came_back.strip())
        try:
            found: Mapping[str, str] = self._client.parse_request_uri_response(address, state=self._state)
        except OAuth2Error as error:
            why = error.description or error.error or "it holds no code"
            raise Rejected(f"the address does not belong to this consent ({why}); open the link again") from None
        return found["code"]


def _https(address: str) -> str:
    """As oauthlib wants every address; a callback on this machine, and the sandbox, have no TLS."""
    return urlsplit(address)._replace(scheme="https").geturl()


def told(came_back: str) -> dict[str, str]:
    """What the vendor told beside the code: {"realmId": "…"}."""
    pairs = dict(parse_qsl(urlsplit(came_back.strip()).query))
    return {name: value for name, value in pairs.items() if name not in {"code", "state", "scope", "session_state"}}
