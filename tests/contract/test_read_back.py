"""What is asked after a call that has done something may fail: then nobody may say that nothing was done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connectors.errors import ConnectorError, Rejected, Sample, Throttled, Unauthorized, Unavailable, Uncertain
from connectors.platforms.documents import PlannedInvoice
from tests.contract import orders
from tests.contract.attempts import Try
from tests.contract.running import Books
from tests.contract.walking import attempt, customer_id, ends_with_one, packed

ELSEWHERE = Sample("GET", "https://elsewhere.example/1", "", 503, "", 0.1)
FAILURES: dict[str, Callable[[], ConnectorError]] = {
    "is lost": lambda: Unavailable("no answer", sample=ELSEWHERE),
    "cannot leave": lambda: Unavailable("another worker is refreshing the credentials"),
    "has no permit": lambda: Throttled("the account's quota is used up for now"),
    "is throttled": lambda: Throttled("too many", status=429, sample=ELSEWHERE),
    "is refused": lambda: Rejected("not found", status=404, sample=ELSEWHERE),
    "meets an expired token": lambda: Unauthorized("expired", status=401, sample=ELSEWHERE),
}


class Failing:
    """Reads of one platform fail as long as an answer to one of its unsafe calls is being read."""

    def __init__(self, platform: Any, monkeypatch: pytest.MonkeyPatch, failure: Callable[[], ConnectorError]) -> None:
        self.failed = self.reading = 0
        ask = platform.ask

        def asked(*given: Any, **options: Any) -> Any:
            if not self.reading:
                return ask(*given, **options)
            self.failed += 1
            raise failure()

        monkeypatch.setattr(platform, "ask", asked)
        for documents in (platform.customers, platform.invoices):
            for hook in ("made", "unpack"):
                monkeypatch.setattr(documents, hook, self._watched(getattr(documents, hook)))

    def _watched(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*given: Any) -> Any:
            self.reading += 1
            try:
                return hook(*given)
            finally:
                self.reading -= 1

        return watched


@pytest.mark.parametrize("failure", FAILURES)
def test_a_read_that_fails_after_a_create_is_uncertain(
    books: Books, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = attempt(books.platform, orders.simple("SO-1"))
    platform = books.connected()
    failing = Failing(platform, monkeypatch, FAILURES[failure])
    outcome = platform.invoices.create(one)
    assert type(outcome.error) in ({Uncertain, type(None)} if failing.failed else {type(None)}), outcome.error
    ends_with_one(books, one, outcome, books.connected())


@pytest.mark.parametrize("failure", FAILURES)
def test_a_read_that_fails_after_a_packed_create_is_uncertain(
    books: Books, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if books.platform.facts.bulk == 1:
        return
    customer = customer_id(books.platform, orders.simple("SO-1"))
    platform = books.connected()
    tries: list[Try[Any]] = [_of(platform, customer, f"SO-{number}", 10 + number) for number in range(2)]
    failing = Failing(platform, monkeypatch, FAILURES[failure])
    outcomes = packed(platform, tries)
    for one, outcome in zip(tries, outcomes, strict=True):
        assert type(outcome.error) in ({Uncertain, type(None)} if failing.failed else {type(None)}), outcome.error
        ends_with_one(books, one, outcome, books.connected())


def _of(platform: Any, customer: str, reference: str, price: int) -> Try[Any]:
    planned = PlannedInvoice(draft=orders.full(reference, f"{price}.00"), customer_id=customer)
    return Try(planned, platform.invoices.plan(planned))
