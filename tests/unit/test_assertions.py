"""Signed assertions and logins: what is sent, and what a key or an answer that is no good means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import BaseModel, SecretStr

from connectors.assertions import Asserted, AssertedClient
from connectors.auth import Login
from connectors.errors import ConnectorError, Throttled, Unauthorized, Unavailable
from connectors.http import Answer, Http
from tests.kit.dripping import Behaviour, HostileServer, response

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
GOOD = {"access_token": "new-access-1", "expires_in": 600}


def pem(key: Any) -> str:
    kind, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    text: bytes = key.private_bytes(serialization.Encoding.PEM, kind, plain)
    return text.decode()


class Signer(BaseModel):
    client_id: str = "client"
    client_secret: SecretStr = SecretStr("client-secret-77")
    username: str = "integration@engraver.example"
    private_key: SecretStr | None = SecretStr(pem(RSA))
    key_id: str = "our-key"
    password: SecretStr = SecretStr("pass-word-77")


def says(body: Any, status: str = "200 OK", extra: str = "") -> Behaviour:
    return lambda exchange: exchange.send(
        response(json.dumps(body).encode(), status, extra=f"Connection: close\r\n{extra}")
    )


def asked(request: bytes) -> tuple[bytes, dict[str, str]]:
    head, _, body = request.partition(b"\r\n\r\n")
    return head, dict(parse_qsl(body.decode()))


def test_a_user_is_spoken_for_by_an_assertion_beside_the_apps_secret() -> None:
    server = HostileServer(says(GOOD))
    grant = Asserted(server.url, scopes=("read",), audience=("https://id.example/",), key_name="key_id")
    assert grant.obtain(Http(5), Signer(), None).access == "new-access-1"
    head, form = asked(server.requests[0])
    server.close()
    assert b"Authorization: Basic " in head
    assert (form["grant_type"].rpartition(":")[2], form["scope"]) == ("jwt-bearer", "read")
    assert jwt.get_unverified_header(form["assertion"])["kid"] == "our-key"
    claims = jwt.decode(form["assertion"], RSA.public_key(), algorithms=["RS256"], audience="https://id.example/")
    assert (claims["iss"], claims["sub"]) == ("client", Signer().username)
    assert claims["exp"] - claims["iat"] == 300


def test_an_assertion_that_is_sufficient_goes_without_the_apps_secret() -> None:
    server = HostileServer(says(GOOD))
    Asserted(server.url, audience="https://login.example", sufficient=True).obtain(Http(5), Signer(), None)
    head, form = asked(server.requests[0])
    server.close()
    assert b"Authorization" not in head
    assert set(form) == {"grant_type", "assertion"}
    assert Asserted("u", sufficient=True).proof(Signer(private_key=None))[0], "without a key the secret is needed"


@pytest.mark.parametrize("algorithm", ["PS256", *CURVES])
def test_an_app_proves_itself_by_an_assertion_for_the_token_endpoint(algorithm: str) -> None:
    key = ec.generate_private_key(CURVES[algorithm]) if algorithm in CURVES else RSA
    server = HostileServer(says(GOOD))
    grant = AssertedClient(server.url, scopes=("rest",), key_name="key_id", rsa="PS256", curves=True)
    grant.obtain(Http(5), Signer(private_key=SecretStr(pem(key))), None)
    _, form = asked(server.requests[0])
    server.close()
    public: Any = key.public_key()
    claims = jwt.decode(form["client_assertion"], public, algorithms=[algorithm], audience=server.url)
    assert (form["grant_type"], claims["scope"]) == ("client_credentials", "rest")
    assert "scope" not in form


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("no PEM at all", "no unencrypted private key in PEM"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "private_key must be RSA"),
    ],
)
def test_a_key_that_cannot_sign_is_said_and_nothing_is_sent(key: str, told: str) -> None:
    with pytest.raises(Unauthorized, match=told) as caught:
        Asserted("http://127.0.0.1:1").obtain(Http(5), Signer(private_key=SecretStr(key)), None)
    assert key not in caught.value.message


@dataclass(frozen=True)
class Sessions(Login):
    def body(self, credentials: Signer) -> Mapping[str, str]:
        return {"user": credentials.username, "password": credentials.password.get_secret_value()}

    def session(self, answer: Answer) -> tuple[str, timedelta]:
        return str(answer.json()["session"]), timedelta(minutes=30)


def test_a_login_gives_a_session_wherever_the_account_is_pointed() -> None:
    server, http = HostileServer(says({"session": "session-77"})), Http(5)
    token = (
        Sessions("https://books.example", "/login", "Books", "acme").at(f"{server.url}/").obtain(http, Signer(), None)
    )
    sent = server.requests[0]
    server.close()
    assert sent.startswith(b"POST /login ")
    assert (token.access, token.refresh) == ("session-77", None)
    assert "77" not in http.redact("session-77 pass-word-77")


@pytest.mark.parametrize(
    ("status", "body", "kind", "told"),
    [
        ("401 No", {}, Unauthorized, "refuses the login of integration@engraver.example to acme"),
        ("404 Not there", {}, Unavailable, "gave no session"),
        ("429 Slow down", {}, Throttled, "too many logins"),
        ("500 Oops", {}, Unavailable, "gave no session"),
        ("200 OK", {"unexpected": 1}, Unavailable, "gave no session"),
    ],
)
def test_what_an_answer_to_a_login_means(status: str, body: Any, kind: type[ConnectorError], told: str) -> None:
    server = HostileServer(says(body, status, "Retry-After: 7\r\n"))
    with pytest.raises(kind, match=told) as caught:
        Sessions(server.url, "/login", "Books", "acme").obtain(Http(5), Signer(), None)
    server.close()
    assert type(caught.value) is kind
    assert caught.value.retry_after == (7 if kind is Throttled else None)
