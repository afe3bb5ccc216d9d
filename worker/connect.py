"""Connecting an account: a merchant's consent becomes a stored token, and what waited for it goes on."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import urlsplit

from connectors.auth import OAuth2, Token
from connectors.consent import Consent
from connectors.http import Http
from worker import credentials
from worker.accounts import grant_of, platform_of
from worker.config_sections import AccountRef

PAGE = b"<!doctype html><title>Billhook</title><p>Thank you. You can close this page and go back to the terminal.</p>"


def consents(ref: AccountRef) -> OAuth2 | None:
    """Where the account's merchant consents; None where nobody needs to: keys, sessions, client credentials."""
    if ref.platform.static_headers(ref.credentials) is not None:
        return None
    grant = grant_of(ref)
    return grant if isinstance(grant, OAuth2) and grant.authorize_url else None


def finish(ref: AccountRef, consent: Consent, came_back: str) -> Token:
    """Stores the token for the address that the browser came back to, and releases the account. Raises as
    `Consent.token`: then nothing has changed. Returns the token."""
    token = consent.token(Http(ref.facts.deadline, ca_file=ref.account.ca_file), came_back)
    credentials.consented(ref.tenant, token, ref.credentials)
    return token


def confirm(ref: AccountRef) -> str:
    """Whose books the account reaches now; releases it if it was on hold. Raises the errors of a read."""
    name = platform_of(ref.shop, ref.name).whoami()
    credentials.reconnect(ref.tenant, ref.credentials)
    return name


class Callback:
    """Listens on this machine for the browser that comes back."""

    def __init__(self, redirect_uri: str) -> None:
        """Raises `OSError` when the port is taken."""
        self._path = urlsplit(redirect_uri).path
        self._arrived = threading.Event()
        self.address = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mine = urlsplit(self.path).path == outer._path and not outer._arrived.is_set()
                self.send_response(200 if mine else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(PAGE if mine else b"")
                if mine:
                    outer.address = f"{redirect_uri}?{urlsplit(self.path).query}"
                    outer._arrived.set()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: the address holds the code."""

        there = urlsplit(redirect_uri)
        self._server = HTTPServer((there.hostname or "127.0.0.1", there.port or 80), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def wait(self, seconds: float) -> str | None:
        """The address that came back, None when the time is over."""
        self._arrived.wait(seconds)
        self._server.shutdown()
        self._server.server_close()
        return self.address or None
