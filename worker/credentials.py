"""Tokens of a tenant: encrypted at rest, refreshed by exactly one worker at a time across all machines.

A refresh token that rotates is lost if two use it, or if the answer is lost. So: `refreshes(version)` is
committed before the token endpoint is called, and nobody else refreshes that version before its deadline is
over; the answer is stored even by a worker whose time ran out (append-only, the newest version wins). After a
crash in between the old token is tried once more, where the vendor documents a grace; else the tenant is held.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from connectors.auth import Grant, Token
from connectors.errors import ConnectorError, Throttled, Unauthorized, Unavailable, Uncertain
from connectors.http import Http
from connectors.platforms.base import Platform
from worker import runtime, testpoints
from worker.store import tokens
from worker.store.jobs import now

log = logging.getLogger(__name__)
WAIT = 10.0
"""Seconds a call waits for another worker's refresh before it gives up as surely not sent."""


def cipher() -> MultiFernet:
    """From BILLHOOK_KEY (several, comma-separated: the first encrypts), else the key file, made at first need."""
    keys = os.environ.get("BILLHOOK_KEY", "")
    if not keys:
        runtime_config = runtime.config().billhook
        keys = _key_file(runtime_config.key_file or runtime_config.data_dir / "billhook.key")
    return MultiFernet([Fernet(key.strip()) for key in keys.split(",")])


def _key_file(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return _written(path)
    with os.fdopen(descriptor, "w") as file:
        file.write(Fernet.generate_key().decode())
    return path.read_text()


def _written(path: Path) -> str:
    deadline = time.monotonic() + 2
    while not (text := path.read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)  # another process has just created it and is writing
    return text


class TenantTokens:
    """An `Auth` over the store: `headers()` prove by a token or session that is fresh, got anew if need be."""

    def __init__(self, tenant: str, platform: type[Platform], grant: Grant, credentials: Any, http: Http) -> None:
        self.tenant = tenant
        self.platform = platform
        self.grant = grant
        self.credentials = credentials
        self.http = http
        self._held: tuple[int, Token] | None = None

    def headers(self) -> Mapping[str, str]:
        held = self._held
        if held is None or not held[1].fresh(now()):
            held = self._held = self._current(stale_version=None)
        return self._proof(held[1])

    def renew(self, refused: Mapping[str, str]) -> bool:
        """After a 401. If another worker has stored a newer token by now, that one is used."""
        held = self._held
        if held is not None and self._proof(held[1]) != refused:
            return True
        self._held = self._current(stale_version=held[0] if held else 0)
        return True

    def _current(self, stale_version: int | None) -> tuple[int, Token]:
        """The newest token that is fresh and newer than `stale_version`; refreshes it as the only one, or waits."""
        until = time.monotonic() + WAIT
        while time.monotonic() < until:
            version, token = self._newest()
            if token is not None and token.fresh(now()) and (stale_version is None or version > stale_version):
                self.http.hide(token.access, token.refresh or "")
                return version, token
            if self._mine(version):
                return self._refresh(version, token)
            if reason := tokens.held(runtime.store()).get(self.tenant):
                raise _unusable(self.tenant, reason)  # whoever was at it was refused: nobody asks again for a while
            time.sleep(0.05)
        raise Unavailable(f"another worker is refreshing the credentials of {self.tenant}; nothing was sent")

    def _proof(self, token: Token) -> Mapping[str, str]:
        return self.platform.proof(token.access, self.credentials)

    def _newest(self) -> tuple[int, Token | None]:
        stored = tokens.newest(runtime.store(), self.tenant)
        if stored is None:
            return 0, None
        opened = _opened(stored)
        return stored.version, Token(opened["access"], opened["refresh"], stored.expires_at)

    def _mine(self, version: int) -> bool:
        """Commits that this worker refreshes `version`; False when another one is at it. Raises when it is lost."""
        if testpoints.without("single_flight"):
            return True
        deadline = now() + timedelta(seconds=self.http.deadline + 5)
        tries = tokens.begin_refresh(runtime.store(), self.tenant, version, runtime.process_name(), deadline)
        if tries is None:
            return False
        if self.grant.rotates and (tries > 2 or (tries == 2 and not self.grant.grace)):
            raise self._hold("its refresh token was used, but the answer was lost")
        return True

    def _refresh(self, version: int, token: Token | None) -> tuple[int, Token]:
        refresh = token.refresh if token else _first(self.credentials)
        testpoints.point("before_refresh")
        try:
            fresh = self.grant.obtain(self.http, self.credentials, refresh)
        except Unauthorized as error:
            held = self._hold(error.message)
            tokens.refuse_refresh(runtime.store(), self.tenant, version)
            raise held from None
        except ConnectorError as error:
            self._let_go(version, sent=isinstance(error, Uncertain))
            message = f"the token of {self.tenant} could not be refreshed: {error.message}"
            if isinstance(error, Throttled):  # the account stays away as after any call too many
                raise Throttled(message, status=429, retry_after=self._wait(error)) from None
            raise Unavailable(message) from None
        testpoints.point("after_refresh")
        stored = self._store(version + 1, fresh)
        log.info("refreshed the token of %s (version %d)", self.tenant, stored, extra={"tenant": self.tenant})
        return stored, fresh

    def _wait(self, error: Throttled) -> float | None:
        """Seconds that the vendor asks for, else those of the platform's facts."""
        pause = self.platform.facts.pause
        return pause.total_seconds() if error.retry_after is None and pause else error.retry_after

    def _store(self, version: int, token: Token) -> int:
        sealed = _sealed(token.access, token.refresh, self.credentials)
        for later in range(100):  # an answer that came late is stored behind what came meanwhile
            if tokens.add(runtime.store(), self.tenant, version + later, sealed, token.expires_at):
                return version + later
        raise Unavailable(f"the token of {self.tenant} could not be stored")

    def _let_go(self, version: int, *, sent: bool) -> None:
        """The call failed while we live: another may follow at once; if this one was sent, it is the second try."""
        if sent:
            tokens.end_refresh(runtime.store(), self.tenant, version)
        else:
            tokens.forget_refresh(runtime.store(), self.tenant, version)

    def _hold(self, reason: str) -> Unauthorized:
        return hold(self.tenant, reason)


def hold(tenant: str, reason: str) -> Unauthorized:
    """Puts the account on hold, with an alert the first time; the error to end the call with."""
    if tokens.hold(runtime.store(), tenant, reason):
        log.error("%s is on hold: %s", tenant, reason, extra={"tenant": tenant})
    return _unusable(tenant, reason)


def _unusable(tenant: str, reason: str) -> Unauthorized:
    return Unauthorized(f"the credentials of {tenant} are refused ({reason}); `billhook connect` it again")


def refused(tenant: str, platform: Platform) -> None:
    """After a call that was refused for its credentials: the account is held if a harmless read is refused too."""
    try:
        platform.whoami()
    except Unauthorized as error:
        hold(tenant, error.message)
    except ConnectorError:
        pass  # it is not known, and the call is tried again anyway


def consented(tenant: str, token: Token, credentials: Any) -> None:
    """Stores the token of a merchant's new consent as the newest, and ends a hold."""
    store = runtime.store()
    sealed = _sealed(token.access, token.refresh, credentials)
    for _ in range(100):  # a refresh under way may store its own in between
        newest = tokens.newest(store, tenant)
        if tokens.add(store, tenant, newest.version + 1 if newest else 1, sealed, token.expires_at):
            tokens.release(store, tenant)
            return
    raise Unavailable(f"the token of {tenant} could not be stored; connect it again")


def reconnect(tenant: str, credentials: Any) -> bool:
    """By a person's word the account may be used again; True if it was on hold.

    A refresh token that is new in the configuration takes the place of the stored one, which is used up. If it is the
    one that was there from the start, what is stored is tried again: then something else was corrected.
    """
    store, first = runtime.store(), _first(credentials)
    stored = tokens.newest(store, tenant)
    if first and stored is not None and _opened(stored)["first"] != _mark(first):
        sealed = _sealed("", first, credentials)
        tokens.add(store, tenant, stored.version + 1, sealed, now())
    return tokens.release(store, tenant)


def reseal(tenant: str) -> bool:
    """Encrypts the newest token anew, under the first key; False where none is stored. Raises `Unauthorized` where no
    key of today opens it."""
    stored = tokens.newest(runtime.store(), tenant)
    if stored is None:
        return False
    sealed = cipher().encrypt(orjson.dumps(_opened(stored)))
    return tokens.add(runtime.store(), tenant, stored.version + 1, sealed, stored.expires_at)


def _sealed(access: str, refresh: str | None, credentials: Any) -> bytes:
    """What is stored: the token, and which configured refresh token it goes back to."""
    first = _first(credentials)
    token = {"access": access, "refresh": refresh, "first": _mark(first) if first else None}
    return cipher().encrypt(orjson.dumps(token))


def _first(credentials: Any) -> str | None:
    """The configured refresh token, which is used up by the first refresh."""
    secret: SecretStr | None = getattr(credentials, "refresh_token", None)
    return secret.get_secret_value() if secret else None


def _opened(stored: tokens.StoredToken) -> dict[str, Any]:
    try:
        opened: dict[str, Any] = orjson.loads(cipher().decrypt(stored.sealed))
    except InvalidToken:
        raise Unauthorized(
            "its stored token was encrypted under another key: give that one too (BILLHOOK_KEY, or the key file), or "
            "`billhook connect` it again"
        ) from None
    return opened


def _mark(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
