"""PayPal for a partner: the partner's app acts for merchants who agreed, and keeps their books apart."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.errors import Rejected, Unauthorized
from connectors.platforms.paypal import PayPal
from connectors.platforms.paypal_words import assertion
from connectors.sandbox import paypal as sandbox
from connectors.sandbox.base import Request
from tests.contract import orders
from tests.contract.running import Books, RunningSandbox, subjects
from tests.contract.samples.paypal import ASSERTION
from tests.contract.walking import issued

EMAIL = sandbox.PROFILES[sandbox.MERCHANT][0]


@pytest.fixture
def books() -> Iterator[Books]:
    running = RunningSandbox([sandbox.PayPal])
    yield Books(subjects()["paypal_partner"], running)
    running.close()


def acting_for(books: Books, merchant: str | None) -> Any:
    return books.connected(settings=books.subject.settings(merchant=merchant, invoicer_email=None))


def test_the_assertion_names_the_app_and_the_merchant_and_is_unsigned() -> None:
    assert assertion(sandbox.CLIENT_ID, sandbox.MERCHANT) == ASSERTION
    head, claims, signature = assertion("app", "engraver@example.com").split(".")
    assert json.loads(base64.urlsafe_b64decode(head + "==")) == {"alg": "none"}
    assert json.loads(base64.urlsafe_b64decode(claims + "==")) == {"iss": "app", "email": "engraver@example.com"}
    assert signature == ""


@pytest.mark.parametrize("merchant", [sandbox.MERCHANT, EMAIL])
def test_a_partner_bills_for_a_merchant_named_by_id_or_by_email(books: Books, merchant: str) -> None:
    platform = acting_for(books, merchant)
    assert platform.whoami() == EMAIL
    assert issued(platform, orders.simple("SO-1")).number == "SO-1"


def test_books_are_apart_and_the_same_number_is_free_in_each(books: Books) -> None:
    made = issued(books.platform, orders.simple("SO-1"))
    own = acting_for(books, None)
    assert own.searched({"invoice_number": "SO-1"}) == []
    with pytest.raises(Rejected, match="INVALID_RESOURCE_ID"):
        own.read(made.id)
    assert issued(own, orders.simple("SO-1")).id != made.id
    assert [one["id"] for one in books.platform.searched({"invoice_number": "SO-1"})] == [made.id]
    assert len(books.entries("SO-1")) == 2


@pytest.mark.parametrize("merchant", [sandbox.OTHER_MERCHANT, "nobody@example.com"])
def test_without_the_merchants_consent_nothing_is_done(books: Books, merchant: str) -> None:
    platform = acting_for(books, merchant)
    for act in (platform.whoami, lambda: issued(platform, orders.simple("SO-1"))):
        with pytest.raises(Unauthorized, match="PERMISSION_DENIED"):
            act()
    assert books.ledger() == []


def test_a_consent_taken_back_ends_it(books: Books) -> None:
    assert books.platform.whoami() == EMAIL
    books.emulator.agreed.clear()
    with pytest.raises(Unauthorized, match="PERMISSION_DENIED"):
        books.platform.whoami()


@pytest.mark.parametrize(
    "given",
    [
        assertion("another-app", sandbox.MERCHANT),
        ASSERTION.rstrip("."),
        ASSERTION.replace("eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzI1NiJ9") + "c2ln",
        "garbage",
    ],
    ids=["of another app", "without its end", "signed", "none at all"],
)
def test_the_emulator_takes_no_other_assertion(books: Books, given: str) -> None:
    headers = {"authorization": f"Bearer {sandbox.ACCESS_TOKEN}", "paypal-auth-assertion": given}
    asked = Request("GET", "/v2/invoicing/templates", headers, b"")
    answer = books.sandbox.run(lambda: books.emulator.handle(asked))
    assert (answer.status, json.loads(answer.body)["error"]) == (401, "invalid_subject")


def test_tokens_of_two_merchants_are_not_shared_and_what_is_no_merchant_is_named() -> None:
    subject = subjects()["paypal_partner"]
    partner, own = subject.settings(), subject.settings(merchant=None)
    credentials = subject.credentials()
    assert PayPal.tenant(own, credentials) == sandbox.CLIENT_ID
    assert PayPal.tenant(partner, credentials) == f"{sandbox.CLIENT_ID}:{sandbox.MERCHANT}"
    with pytest.raises(ValidationError, match="merchant"):
        subject.settings(merchant="Engraver Ltd")
