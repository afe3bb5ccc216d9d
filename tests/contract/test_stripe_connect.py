"""Stripe Connect: a merchant consents to a platform, whose key then acts for that account and for no other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.auth import NEVER, Token
from connectors.consent import Consent
from connectors.errors import Rejected, Unauthorized
from connectors.http import Http
from connectors.platforms.stripe import Stripe
from connectors.sandbox import stripe as sandbox
from connectors.sandbox.stripe_accounts import CLIENT_ID, CODE_LIVES, CONNECTED
from tests.contract import orders
from tests.contract.running import Books, RunningSandbox, subjects
from tests.contract.samples.stripe import KEY, OWN_KEY, call
from tests.contract.walking import issued

HERE = "http://localhost:8765/callback"


@pytest.fixture
def books() -> Iterator[Books]:
    running = RunningSandbox([sandbox.Stripe])
    yield Books(subjects()["stripe_connect"], running)
    running.close()


def credentials(key: str = KEY) -> Any:
    return Stripe.Credentials.model_validate({"api_key": key, "client_id": CLIENT_ID})


def consent(books: Books, key: str = KEY, **changed: Any) -> Consent:
    grant = Stripe.grant(books.subject.settings(**changed), credentials(key))
    return Consent(grant.at(books.url), credentials(key), HERE)  # type: ignore[union-attr, arg-type]


def agreed(attempt: Consent) -> str:
    """Where the browser is sent when the merchant has answered."""
    return Http(10).send("GET", attempt.url, unsafe=False).headers["Location"]


def revoke(books: Books) -> None:
    books.sandbox.run(books.emulator.connections.revoke)


def test_a_consent_opens_the_account_to_the_platforms_own_key(books: Books) -> None:
    revoke(books)
    with pytest.raises(Unauthorized, match="Application access may have been revoked"):
        books.platform.whoami()
    attempt = consent(books)
    token = attempt.token(Http(10), agreed(attempt))
    assert token == Token(CONNECTED, None, NEVER), "Stripe's own tokens are not kept"
    opened = books.connected(headers=Stripe.proof(token.access, credentials()))
    assert opened.whoami() == "Demo Company"
    assert issued(opened, orders.simple("SO-1")).total


def test_a_code_is_good_once_for_minutes_and_for_its_platform_only(books: Books) -> None:
    attempt = consent(books)
    came_back = agreed(attempt)
    with pytest.raises(Rejected, match="does not belong to this consent"):
        consent(books).token(Http(10), came_back)
    stranger = consent(books, "sk_test_sandbox2")
    with pytest.raises(Unauthorized, match="invalid_grant"):
        stranger.token(Http(10), agreed(stranger))
    attempt.token(Http(10), came_back)
    with pytest.raises(Unauthorized, match="invalid_grant"):
        attempt.token(Http(10), came_back)
    late = consent(books)
    came_back = agreed(late)
    books.sandbox.pass_time(CODE_LIVES)
    with pytest.raises(Unauthorized, match="invalid_grant"):
        late.token(Http(10), came_back)


def test_a_merchant_who_refuses_is_not_connected(books: Books) -> None:
    revoke(books)
    books.emulator.connections.agrees = False
    attempt = consent(books)
    with pytest.raises(Rejected, match="The user denied your request"):
        attempt.token(Http(10), agreed(attempt))
    with pytest.raises(Unauthorized):
        books.platform.whoami()


@pytest.mark.parametrize("account", [None, "acct_other"])
def test_a_consent_of_another_account_is_refused_and_says_whose_it_is(books: Books, account: str | None) -> None:
    attempt = consent(books, account=account)
    with pytest.raises(Rejected, match=f'set account = "{CONNECTED}" and connect again'):
        attempt.token(Http(10), agreed(attempt))


def test_consent_to_read_is_not_enough(books: Books) -> None:
    revoke(books)
    attempt = consent(books)
    page = attempt.url.replace("scope=read_write", "scope=read_only")
    attempt.token(Http(10), Http(10).send("GET", page, unsafe=False).headers["Location"])
    assert books.platform.whoami()
    with pytest.raises(Unauthorized, match="required permissions"):
        issued(books.platform, orders.simple("SO-1"))
    assert books.ledger() == []


def test_a_platform_reaches_connected_accounts_only_and_their_books_are_apart(books: Books) -> None:
    made = issued(books.platform, orders.simple("SO-1"))
    path = "/v1/invoices?limit=100"
    there = books.sandbox.run(lambda: call(books.emulator, "GET", path, key=OWN_KEY))["data"]
    assert [one["id"] for one in there] == [made.id]
    for key in (KEY, "sk_test_sandbox2"):
        assert books.sandbox.run(lambda key=key: call(books.emulator, "GET", path, key=key))["data"] == []  # type: ignore[misc]
    foreign = books.connected(settings=books.subject.settings(account="acct_sandbox2"))
    with pytest.raises(Unauthorized, match="does not have access to account"):
        foreign.read(made.id)
    own = books.connected(settings=books.subject.settings(account=None))
    with pytest.raises(Rejected, match="No such invoice"):
        own.read(made.id)


def test_an_account_waits_for_consent_only_where_a_client_id_is_given(books: Books) -> None:
    assert Stripe.static_headers(credentials()) is None
    grant = Stripe.grant(books.subject.settings(), credentials())
    assert grant is not None
    with pytest.raises(Unauthorized, match="run `billhook connect`"):
        grant.obtain(Http(10), credentials(), None)
    plain = Stripe.Credentials.model_validate({"api_key": KEY})
    assert Stripe.grant(books.subject.settings(), plain) is None
    assert Stripe.static_headers(plain) == {"Authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize("field", ["refresh_token", "clientid"])
def test_credentials_that_stripe_has_not_are_named(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        Stripe.Credentials.model_validate({"api_key": KEY, field: "x"})
