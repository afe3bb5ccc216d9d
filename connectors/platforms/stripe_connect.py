"""Stripe Connect: a merchant agrees that a platform, whose key this is, acts for the merchant's own account.

Sources: docs.stripe.com/connect/oauth-reference (the two addresses, their parameters and answers; `client_secret` is
the platform's key), /connect/authentication (the header `Stripe-Account` beside the platform's key, recommended over
the access token), /connect/oauth-changes-for-standard-platforms (an account controlled by another platform cannot
be connected with `read_write`), `_oauth_service.py` of stripe-python.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.auth import NEVER, OAuth2, Token
from connectors.errors import Rejected, Unauthorized
from connectors.http import Http


@dataclass(frozen=True)
class Connect(OAuth2):
    """What a consent gives is the account's id, for which the platform's key then acts until it is taken back. The
    access and refresh token that come with it are not kept."""

    account: str | None = None
    """The account that the settings name; a consent to another one is refused."""

    def obtain(self, http: Http, credentials: Any, refresh: str | None) -> Token:
        """Raises `Unauthorized`: only the merchant can give one."""
        raise Unauthorized(
            "no merchant has consented yet, or Stripe takes api_key no more: set the key that is good, then run "
            "`billhook connect` for the account"
        )

    def proof(self, credentials: Any) -> tuple[dict[str, str], dict[str, str]]:
        return {}, {"client_secret": credentials.api_key.get_secret_value()}

    def ask(self, http: Http, credentials: Any, form: Mapping[str, str]) -> Token:
        """Stripe's token endpoint knows no `redirect_uri`."""
        known = {name: value for name, value in form.items() if name != "redirect_uri"}
        return super().ask(http, credentials, known)

    def told(self, body: Any, form: Mapping[str, str]) -> Token:
        found = str(body["stripe_user_id"])
        if found != self.account:
            raise Rejected(
                f"who agreed is {found}, the account's settings name {self.account or 'no account'}: set "
                f'account = "{found}" and connect again, or have the right one agree'
            )
        return Token(found, None, NEVER)
