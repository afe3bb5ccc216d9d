"""The desk of an emulated platform that gives tokens: consent, codes, refresh tokens that rotate or stay, expiry.

OAuth 2 as RFC 6749 and RFC 7636 have it; what a vendor does otherwise (lives, rotation, grace, where the client's
secret goes) is said when the desk is made, from the vendor's documentation.
"""

from __future__ import annotations

import base64
import hashlib
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode
from uuid import uuid4

import jwt

from connectors.sandbox.base import Request, Response

CODE_LIVES = 300.0
State = Literal["good", "unknown", "expired"]
"""Of an access token."""


@dataclass(frozen=True)
class App:
    """The one app that a fresh emulator knows, and what a merchant's consent to it gave; times in seconds."""

    client_id: str
    client_secret: str
    access_token: str
    refresh_token: str = ""
    access_lives: float = 3600
    refresh_lives: float = 365 * 86_400
    rotates: bool = False
    """Each refresh gives another refresh token; the used one works for `grace` more seconds, then never again."""
    grace: float = 0
    changes_after: float = 0
    """A refresh token younger than that stays the same at a refresh (with `rotates`)."""
    client: Literal["basic", "body", "either"] = "basic"
    grants: tuple[str, ...] = ("authorization_code", "refresh_token")
    pkce: bool = False


class Desk:
    """Tokens of one emulator, in a table of its own."""

    def __init__(self, db: sqlite3.Connection, slug: str, clock: Callable[[], float], app: App) -> None:
        self.db, self.table, self.clock, self.app = db, f"{slug}_tokens", clock, app
        self.asked: list[str] = []
        """What tokens were asked for by, for those who watch."""
        db.execute(
            f"CREATE TABLE IF NOT EXISTS {self.table}"
            " (token TEXT PRIMARY KEY, kind TEXT, made REAL, expires REAL, used REAL, about TEXT)"
        )
        self.grant(app.access_token, "access", app.access_lives)
        if app.refresh_token:
            self.grant(app.refresh_token, "refresh", app.refresh_lives)

    def grant(self, token: str, kind: str, lives: float, about: str = "") -> str:
        now = self.clock()
        row = (token, kind, now, now + lives, about)
        self.db.execute(f"INSERT OR IGNORE INTO {self.table} VALUES (?,?,?,?,NULL,?)", row)  # noqa: S608
        return token

    def state(self, token: str) -> State:
        """Of an access token."""
        row = self._row(token, "access")
        if row is None:
            return "unknown"
        return "expired" if self.clock() >= row["expires"] else "good"

    def expire(self) -> None:
        """Every access token ends now."""
        self.db.execute(f"UPDATE {self.table} SET expires = ? WHERE kind = 'access'", (self.clock(),))  # noqa: S608

    def revoke(self) -> None:
        """The merchant takes the consent back: nothing works any more until there is a new one."""
        self.db.execute(f"DELETE FROM {self.table}")  # noqa: S608

    def consent(self, request: Request) -> Response:
        """The consent page, where everybody agrees at once: back to the redirect address with a code."""
        asked = request.query
        wrong = asked.get("client_id") != self.app.client_id or asked.get("response_type") != "code"
        if wrong or not asked.get("redirect_uri") or (self.app.pkce and asked.get("code_challenge_method") != "S256"):
            return Response.json(400, {"error": "invalid_request"})
        about = asked["redirect_uri"] + "\n" + asked.get("code_challenge", "")
        given = {"code": self.grant(uuid4().hex, "code", CODE_LIVES, about), "state": asked.get("state", "")}
        mark = "&" if "?" in asked["redirect_uri"] else "?"
        return Response(302, b"", {"Location": f"{asked['redirect_uri']}{mark}{urlencode(given)}"})

    def token(self, request: Request, **more: Any) -> Response:
        """The token endpoint; `more` goes into every good answer."""
        form = dict(request.form())
        if not self._known(request, form):
            return Response.json(401, {"error": "invalid_client"})
        kind = form.get("grant_type", "")
        self.asked.append(kind)
        if kind not in self.app.grants:
            return Response.json(400, {"error": "unsupported_grant_type"})
        if kind == "client_credentials":
            return self.given(None, more)
        if kind == "authorization_code":
            return self._by_code(form, more)
        if kind == "refresh_token":
            return self._by_refresh(form.get("refresh_token", ""), more)
        return self.given(None, more)

    def claims(self, assertion: str, key: str, audience: str, key_id: str | None = None) -> dict[str, Any] | None:
        """What an assertion of the app claims (RFC 7523); None where it is over, not for us, or not signed by `key`."""
        needed: Any = {"require": ["iss", "sub", "aud", "exp"], "verify_exp": False}
        try:
            issuer = self.app.client_id
            found = jwt.decode_complete(assertion, key, ["RS256"], needed, audience=audience, issuer=issuer)
        except (jwt.PyJWTError, ValueError):
            return None
        claims: dict[str, Any] = found["payload"]
        known = found["header"].get("kid") == key_id and self.clock() < float(claims["exp"])
        return claims if known else None

    def given(self, refresh: str | None, more: Mapping[str, Any]) -> Response:
        """A new access token, and this refresh token."""
        access = self.grant(uuid4().hex, "access", self.app.access_lives)
        answer = {"access_token": access, "expires_in": int(self.app.access_lives), "token_type": "Bearer", **more}
        return Response.json(200, {**answer, "refresh_token": refresh} if refresh else answer)

    def _known(self, request: Request, form: Mapping[str, str]) -> bool:
        by_header = request.basic == f"{self.app.client_id}:{self.app.client_secret}"
        by_body = (form.get("client_id"), form.get("client_secret")) == (self.app.client_id, self.app.client_secret)
        return {"basic": by_header, "body": by_body, "either": by_header or by_body}[self.app.client]

    def _row(self, token: str, kind: str) -> dict[str, Any] | None:
        found = self.db.execute(
            f"SELECT made, expires, used, about FROM {self.table} WHERE token = ? AND kind = ?",  # noqa: S608
            (token, kind),
        ).fetchone()
        return dict(zip(("made", "expires", "used", "about"), found, strict=True)) if found else None

    def _by_code(self, form: Mapping[str, str], more: Mapping[str, Any]) -> Response:
        row = self._row(form.get("code", ""), "code")
        if row is None or row["used"] is not None or self.clock() >= row["expires"]:
            return Response.json(400, {"error": "invalid_grant"})
        redirect, challenge = row["about"].split("\n")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proved = base64.urlsafe_b64encode(digest).decode().rstrip("=") == challenge
        if form.get("redirect_uri") != redirect or (challenge and not proved):
            return Response.json(400, {"error": "invalid_grant"})
        self._use(form["code"])
        return self.given(self.grant(uuid4().hex, "refresh", self.app.refresh_lives), more)

    def _by_refresh(self, token: str, more: Mapping[str, Any]) -> Response:
        row, now = self._row(token, "refresh"), self.clock()
        if row is None or now >= row["expires"] or (row["used"] is not None and now >= row["used"] + self.app.grace):
            return Response.json(400, {"error": "invalid_grant"})
        if self.app.rotates and now >= row["made"] + self.app.changes_after:
            self._use(token)
            token = self.grant(uuid4().hex, "refresh", self.app.refresh_lives)
        return self.given(token, more)

    def _use(self, token: str) -> None:
        self.db.execute(
            f"UPDATE {self.table} SET used = coalesce(used, ?) WHERE token = ?",  # noqa: S608
            (self.clock(), token),
        )
