"""Signed assertions (RFC 7523): a short-lived JSON web token, signed with a private key of ours, in place of a secret.

It stands for a user's consent (section 2.1, `Asserted`) or proves the app itself (section 2.2, `AssertedClient`). A
platform names the audience, what its keys may sign with, and how it knows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from connectors.auth import OAuth2, Token
from connectors.errors import Unauthorized
from connectors.http import Http

BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
"""Algorithms by curve (RFC 7518 section 3.4)."""


@dataclass(frozen=True)
class Signed(OAuth2):
    """A token endpoint that takes assertions. Credentials have `client_id`, the issuer, and `private_key`, a PEM."""

    audience: str | tuple[str, ...] = ""
    """Whom the assertion is meant for; empty: the token endpoint."""
    key_name: str = ""
    """The field of the credentials that says how the platform knows the key (`kid` in the header)."""
    rsa: str = "RS256"
    """What an RSA key signs with."""
    curves: bool = False
    """Keys on elliptic curves are taken too."""
    valid: timedelta = timedelta(minutes=5)

    def assertion(self, credentials: Any, **claims: str) -> str:
        """Signed now. Raises `Unauthorized` for a key that cannot be read, or of a kind that the platform refuses."""
        pem = credentials.private_key.get_secret_value()
        now = datetime.now(UTC)
        audience = self.audience or self.token_url
        whole = {"iss": credentials.client_id, "aud": audience, "iat": now, "exp": now + self.valid, **claims}
        head = {"kid": getattr(credentials, self.key_name)} if self.key_name else None
        return jwt.encode(whole, pem, algorithm=self._algorithm(pem), headers=head)

    def _algorithm(self, pem: str) -> str:
        try:
            key = load_pem_private_key(pem.encode(), None)
        except (ValueError, TypeError):
            raise Unauthorized(
                "private_key is no unencrypted private key in PEM: copy it anew, with its lines"
            ) from None
        if isinstance(key, RSAPrivateKey):
            return self.rsa
        if self.curves and isinstance(key, EllipticCurvePrivateKey) and key.curve.name in CURVES:
            return CURVES[key.curve.name]
        raise Unauthorized(f"private_key must be RSA{' or EC (P-256, P-384 or P-521)' if self.curves else ''}")


@dataclass(frozen=True)
class Asserted(Signed):
    """Tokens for the user that the credentials' `username` names; a new one each time, no refresh token. Credentials
    without a private key get theirs as those of any app do."""

    sufficient: bool = False
    """The assertion proves the app too: no secret goes with it."""

    def obtain(self, http: Http, credentials: Any, refresh: str | None) -> Token:
        if refresh is not None or credentials.private_key is None:
            return super().obtain(http, credentials, refresh)
        assertion = self.assertion(credentials, sub=credentials.username)
        http.hide(assertion)
        return self.ask(http, credentials, {**self.own(), "grant_type": BEARER, "assertion": assertion})

    def proof(self, credentials: Any) -> tuple[dict[str, str], dict[str, str]]:
        alone = self.sufficient and credentials.private_key is not None
        return ({}, {}) if alone else super().proof(credentials)


@dataclass(frozen=True)
class AssertedClient(Signed):
    """Client credentials, proved by an assertion in which the scopes stand."""

    def own(self) -> dict[str, str]:
        return {"grant_type": "client_credentials", "client_assertion_type": CLIENT}

    def proof(self, credentials: Any) -> tuple[dict[str, str], dict[str, str]]:
        return {}, {"client_assertion": self.assertion(credentials, scope=" ".join(self.scopes))}
