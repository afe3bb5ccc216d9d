"""Tokens: what a token endpoint's answer means for the refresh token, and that nothing of it is ever shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from connectors.auth import OAuth2, StaticHeaders, Token
from connectors.errors import ConnectorError, Throttled, Unauthorized, Unavailable, Uncertain
from connectors.http import Http
from tests.kit import dripping
from tests.kit.dripping import Behaviour, HostileServer, response

SECRET = SecretStr("client-secret-77")


class Client(BaseModel):
    client_id: str = "client"
    client_secret: SecretStr = SECRET


Ask = Callable[..., Token]


@pytest.fixture
def ask() -> Iterator[Ask]:
    servers: list[HostileServer] = []

    def refresh(behaviour: Behaviour, old: str | None = "old-refresh-1", http: Http | None = None) -> Token:
        servers.append(HostileServer(behaviour))
        return OAuth2(servers[-1].url, rotates=True).obtain(http or Http(0.4), Client(), old)

    refresh.servers = servers  # type: ignore[attr-defined]
    yield refresh
    for server in servers:
        server.close()


def says(body: Any, status: str = "200 OK", extra: str = "") -> Behaviour:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda exchange: exchange.send(response(text, status, extra="Connection: close\r\n" + extra))


GOOD = {"access_token": "new-access-1", "refresh_token": "new-refresh-1", "expires_in": 1800, "token_type": "Bearer"}


def test_a_refresh_gives_a_token_and_sends_the_grant(ask: Any) -> None:
    token = ask(says(GOOD))
    assert (token.access, token.refresh) == ("new-access-1", "new-refresh-1")
    assert 1790 < (token.expires_at - datetime.now(UTC)).total_seconds() <= 1800
    (request,) = ask.servers[0].requests
    assert b"grant_type=refresh_token&refresh_token=old-refresh-1" in request
    assert b"Authorization: Basic Y2xpZW50OmNsaWVudC1zZWNyZXQtNzc=" in request


def test_client_credentials_need_no_refresh_token(ask: Any) -> None:
    token = ask(says({"access_token": "a", "expires_in": "60"}), None)
    assert (token.access, token.refresh) == ("a", None)
    assert b"grant_type=client_credentials" in ask.servers[0].requests[0]


@pytest.mark.parametrize("given", [{}, {"refresh_token": None}, {"refresh_token": ""}])
def test_an_answer_without_a_refresh_token_keeps_the_old_one(ask: Ask, given: dict[str, Any]) -> None:
    assert ask(says({"access_token": "a", "expires_in": 60, **given})).refresh == "old-refresh-1"


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (says({"error": "invalid_grant"}, "400 Bad Request"), Unauthorized),
        (says({"error": "invalid_client"}, "401 Unauthorized"), Unauthorized),
        (says(b"", "403 Forbidden"), Unauthorized),
        (says(b"", "429 Slow down", "Retry-After: 9\r\n"), Throttled),
        (says(b"", "500 Oops"), Uncertain),
        (says(b"", "302 Found"), Uncertain),
        (says(b"<html>"), Uncertain),
        (says({}), Uncertain),
        (says([]), Uncertain),
        (says({**GOOD, "expires_in": "soon"}), Uncertain),
        (says({**GOOD, "expires_in": 10**30}), Uncertain),
        (dripping.cuts_in_headers(), Uncertain),
        (dripping.never_answers(), Uncertain),
    ],
)
def test_what_an_answer_means_for_the_refresh_token(
    ask: Ask, behaviour: Behaviour, expected: type[ConnectorError]
) -> None:
    with pytest.raises(ConnectorError) as caught:
        ask(behaviour)
    assert type(caught.value) is expected
    assert caught.value.retry_after == (9 if expected is Throttled else None)
    with pytest.raises(ConnectorError) as caught:
        ask(behaviour, None)
    assert type(caught.value) is (Unavailable if expected is Uncertain else expected), "nothing can be used up"


def test_tokens_and_secrets_are_shown_nowhere(ask: Ask) -> None:
    http = Http(5)
    token = ask(says(GOOD), http=http)
    shown = repr(token) + repr(StaticHeaders({"Authorization": "Bearer new-access-1"})) + str(token)
    shown += http.redact("new-access-1 new-refresh-1 old-refresh-1 client-secret-77")
    with pytest.raises(Uncertain) as caught:
        ask(says(b"old-refresh-1 client-secret-77", "500 Oops"), http=http)
    shown += repr(vars(caught.value))
    for secret in ("new-access-1", "new-refresh-1", "old-refresh-1", "client-secret-77"):
        assert secret not in shown


def test_a_token_is_stale_a_minute_before_it_expires() -> None:
    now = datetime.now(UTC)
    token = Token("a", None, now + timedelta(seconds=90))
    assert token.fresh(now)
    assert not token.fresh(now + timedelta(seconds=31))


def test_a_key_cannot_be_renewed() -> None:
    assert not StaticHeaders({"X-Key": "k"}).renew({"X-Key": "k"})
