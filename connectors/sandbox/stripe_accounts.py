"""Stripe Connect, emulated: the page where a merchant agrees, the code, and which platform may act for which account.

Written from docs.stripe.com/connect/oauth-reference and /connect/authentication. Platform and client id are for test
mode. A fresh emulator has one connected account, whose owner is also who opens the page; `merchant` changes that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import ClassVar
from urllib.parse import urlencode
from uuid import uuid4

from connectors.sandbox.base import Request, Response
from connectors.sandbox.stripe_forms import Refused

CLIENT_ID, PLATFORM, CONNECTED = "ca_sandbox", "acct_sandbox/test", "acct_connected"
CODE_LIVES = 300.0
SCOPES = {"read_only", "read_write"}
TABLES = """
CREATE TABLE IF NOT EXISTS stripe_connections (platform TEXT, account TEXT, scope TEXT, UNIQUE (platform, account));
CREATE TABLE IF NOT EXISTS stripe_codes (code TEXT PRIMARY KEY, account TEXT, scope TEXT, made REAL, used INTEGER);
"""


class Connections:
    """Who has agreed to what. `keys`: the book (account/mode) that a secret key opens."""

    pages: ClassVar[Mapping[str, str]] = {"/oauth/authorize": "GET", "/oauth/token": "POST"}

    def __init__(self, db: sqlite3.Connection, clock: Callable[[], float], keys: Mapping[str, str]) -> None:
        self.db, self.clock, self.keys = db, clock, keys
        self.merchant = CONNECTED
        """Who is signed in at the page."""
        self.agrees = True
        db.executescript(TABLES)
        self._connect(CONNECTED, "read_write")

    def _connect(self, account: str, scope: str) -> None:
        row = (PLATFORM, account, scope)
        self.db.execute("INSERT OR REPLACE INTO stripe_connections VALUES (?, ?, ?)", row)

    def revoke(self) -> None:
        """Every merchant disconnects the platform."""
        self.db.execute("DELETE FROM stripe_connections")

    def book(self, own: str, account: str, *, writes: bool) -> str:
        """The book that a key of `own` opens for that account; refused where its owner has not agreed."""
        holder, _, mode = own.partition("/")
        if account == holder:
            return own
        query = "SELECT scope FROM stripe_connections WHERE platform = ? AND account = ?"
        row = self.db.execute(query, (own, account)).fetchone()
        if row is None:
            told = (
                f"The provided key does not have access to account '{account}' (or that account does not exist). "
                "Application access may have been revoked."
            )
            raise Refused(told, "account_invalid", status=403)
        if writes and row[0] != "read_write":
            told = f"The provided key does not have the required permissions for this endpoint on account '{account}'."
            raise Refused(told, "more_permissions_required", status=403)
        return f"{account}/{mode}"

    def answer(self, request: Request) -> Response:
        if request.method != self.pages[request.path]:
            return _no("invalid_request", f"{request.method} is not for {request.path}")
        return self._page(request.query) if request.path == "/oauth/authorize" else self._token(request)

    def _page(self, asked: Mapping[str, str]) -> Response:
        if asked.get("client_id") != CLIENT_ID:
            return _no("invalid_request", "No application matches the supplied client identifier")
        scope, back = asked.get("scope", "read_only"), asked.get("redirect_uri", "")
        if asked.get("response_type") != "code" or scope not in SCOPES or not back:
            return _no("invalid_request", "response_type, scope or redirect_uri is not valid")
        if self.agrees:
            row = (code := f"ac_{uuid4().hex}", self.merchant, scope, self.clock())
            self.db.execute("INSERT INTO stripe_codes VALUES (?, ?, ?, ?, 0)", row)
            told = {"scope": scope, "code": code}
        else:
            told = {"error": "access_denied", "error_description": "The user denied your request"}
        state = {"state": asked["state"]} if "state" in asked else {}
        return Response(302, b"", {"Location": f"{back}{'&' if '?' in back else '?'}{urlencode({**told, **state})}"})

    def _token(self, request: Request) -> Response:
        form = dict(request.form())
        secret = form.get("client_secret") or request.bearer
        if (own := self.keys.get(secret)) is None:
            return _no("invalid_client", "No such API key", 401)
        if unknown := set(form) - {"client_secret", "grant_type", "code", "scope", "client_id"}:
            return _no("invalid_request", f"Received unknown parameter: {sorted(unknown)[0]}")
        if form.get("grant_type") != "authorization_code":
            return _no("unsupported_grant_type", "Only authorization_code is emulated")
        query = "SELECT account, scope, made, used FROM stripe_codes WHERE code = ?"
        row = self.db.execute(query, (form.get("code", ""),)).fetchone()
        if row is None:
            return _no("invalid_grant", "Authorization code does not exist")
        if own != PLATFORM:
            return _no("invalid_grant", "Authorization code provided does not belong to you")
        account, scope, made, used = row
        if used or self.clock() >= made + CODE_LIVES:
            return _no("invalid_grant", f"Authorization code {'already used' if used else 'expired'}: {form['code']}")
        self.db.execute("UPDATE stripe_codes SET used = 1 WHERE code = ?", (form["code"],))
        self._connect(account, scope)
        given = {"access_token": f"sk_acct_{uuid4().hex}", "refresh_token": f"rt_{uuid4().hex}", "scope": scope}
        named = {"stripe_user_id": account, "stripe_publishable_key": f"pk_acct_{uuid4().hex}", "livemode": False}
        return Response.json(200, {**given, **named, "token_type": "bearer"})


def _no(error: str, description: str, status: int = 400) -> Response:
    return Response.json(status, {"error": error, "error_description": description})
