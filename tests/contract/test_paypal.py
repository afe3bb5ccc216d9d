"""PayPal's own rules: lines that stand together, whole currencies, a search that matches too much, scheduled ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from connectors.errors import Rejected, Uncertain
from connectors.model import Status
from connectors.platforms.documents import PlannedInvoice
from connectors.sandbox import paypal as sandbox
from connectors.sandbox.base import Response
from connectors.sandbox.paypal_books import Refused
from tests.contract import orders
from tests.contract.attempts import Try, found, settle
from tests.contract.running import Books, RunningSandbox, subjects
from tests.contract.samples.paypal import call, steal_number
from tests.contract.test_platforms import replies
from tests.contract.walking import attempt, issued
from tests.kit.dripping import HostileServer


@pytest.fixture
def books() -> Iterator[Books]:
    running = RunningSandbox([sandbox.PayPal])
    yield Books(subjects()["paypal"], running)
    running.close()


def rendered(books: Books, draft: Any) -> tuple[Any, str]:
    """The invoice as our plan sends it, and what the trail says."""
    plan = books.platform.invoices.plan(PlannedInvoice(draft=draft, customer_id="ada@example.com"))
    return json.loads(plan[0].body), plan[0].remark


def test_more_than_a_hundred_lines_stand_together_with_all_their_texts(books: Books) -> None:
    draft = orders.ORDERS["250 lines"]()
    body, remark = rendered(books, draft)
    assert len(body["items"]) <= 100
    assert body["items"][0]["description"].split("\n")[1] == "Tag no. 1 (2 × 2.01)"
    assert "lines stand together in items" in remark
    assert issued(books.platform, draft).total == draft.total


def test_a_draft_has_an_id_of_its_request_which_nothing_relies_on(books: Books) -> None:
    """The same for the same bytes; another one once a look-up has said that nothing is there."""
    server = HostileServer(replies(b"", "500 Oops"))
    one = attempt(books.platform, orders.simple("SO-1"))
    platform = subjects()["paypal"].at(server.url)
    for again in (one, one, one.after(None)):
        assert type(platform.invoices.create(again).error) is Uncertain
    sent = [re.search(rb"PayPal-Request-Id: ([0-9a-f-]{36})\r\n", request) for request in server.requests]
    server.close()
    first, second, third = (found and found[1] for found in sent)
    assert first
    assert first == second != third
    assert books.platform.facts.key is None, "after a lost answer it is looked for, not sent again"


def test_taxes_of_many_rates_have_names_of_their_own(books: Books) -> None:
    body, remark = rendered(books, orders.ORDERS["two tax rates"]())
    assert [item["tax"]["name"] for item in body["items"]] == ["VAT 20%", "VAT 5%"]
    assert (body["configuration"]["tax_inclusive"], remark) == (False, "")
    rates = [orders.line({**orders.PLAQUE, "ref": str(rate)}, str(rate)) for rate in range(1, 12)]
    with pytest.raises(Rejected, match="11 tax rates, a PayPal invoice at most 10"):
        rendered(books, orders.draft("SO-1", rates))


def test_where_rounding_could_differ_prices_are_sent_with_their_tax(books: Books) -> None:
    plain, _ = rendered(books, orders.ORDERS["the event's example"]())
    assert plain["configuration"]["tax_inclusive"] is False
    draft = orders.draft("SO-2", [orders.line({**orders.TAG, "unit_price": "0.05"}, "10")])
    body, remark = rendered(books, draft)
    assert body["configuration"]["tax_inclusive"] is True
    assert body["items"][0]["unit_amount"]["value"] == "0.06"
    assert "prices are sent with their tax" in remark
    assert issued(books.platform, draft).total == Decimal("0.06")


def test_whole_currencies_take_no_decimals_and_others_are_refused_by_name(books: Books) -> None:
    whole = orders.draft("SO-1", [orders.line({**orders.PLAQUE, "unit_price": "100.00"})], currency="HUF")
    body, _ = rendered(books, whole)
    assert body["items"][0]["unit_amount"] == {"currency_code": "HUF", "value": "120"}
    assert issued(books.platform, whole).total == Decimal(240)
    broken = orders.draft("SO-2", [orders.line({**orders.TAG, "unit_price": "5.50"})], currency="HUF")
    with pytest.raises(Rejected, match="PayPal takes whole HUF only"):
        rendered(books, broken)
    with pytest.raises(Rejected, match="PayPal does not bill in KWD"):
        rendered(books, orders.ORDERS["three decimals"]())


def test_a_search_that_matches_too_much_is_read_exactly(books: Books) -> None:
    for number in range(120):
        books.sandbox.run(partial(steal_number, books.emulator, f"SO-1{number}"))
    one = attempt(books.platform, orders.simple("SO-1"))
    assert found(books.platform.invoices, one.draft) is None
    pages = [call["target"] for call in books.calls() if "search-invoices" in call["target"]]
    assert len(pages) == 2
    assert books.platform.invoices.create(one).error is None


def test_an_invoice_dated_ahead_is_scheduled_and_deleted_when_voided(books: Books) -> None:
    books.sandbox.run(lambda: setattr(books.emulator, "today", "2026-11-21"))
    document = issued(books.platform, orders.simple("SO-1"))
    assert [entry.status for entry in books.ledger()] == ["issued"]
    assert books.platform.void(document.id, "k").status is Status.VOID
    assert books.ledger() == []


def test_a_draft_that_is_not_found_yet_is_looked_for(books: Books) -> None:
    one = attempt(books.platform, orders.simple("SO-1"))
    route = books.emulator.route

    def missing(request: Any) -> Response:
        return Refused(404).response if request.path.endswith("/send") else route(request)

    books.sandbox.run(lambda: setattr(books.emulator, "route", missing))
    outcome = books.platform.invoices.create(one)
    assert type(outcome.error) is Uncertain
    books.sandbox.run(lambda: setattr(books.emulator, "route", route))
    assert settle(books.platform.invoices, one).error is None
    assert [entry.status for entry in books.ledger()] == ["issued"]


def test_what_was_sent_already_is_done(books: Books) -> None:
    """By a person, between our draft and our send."""
    one = attempt(books.platform, orders.simple("SO-1"))
    draft = books.platform.execute(one.plan[0])
    made, document = books.platform.invoices.made(one.plan[0], draft)
    books.sandbox.run(lambda: call(books.emulator, f"invoices/{made}/send", {}))
    outcome = books.platform.invoices.create(Try(one.draft, one.plan, made={"draft": made}, document=document))
    assert (outcome.error, outcome.document.status) == (None, Status.ISSUED)


def test_without_a_representation_the_draft_is_read_before_it_is_sent(books: Books) -> None:
    one = attempt(books.platform, orders.simple("SO-1"))
    bare = one.plan[0].model_copy(update={"headers": {"Content-Type": "application/json"}})
    outcome = books.platform.invoices.create(Try(one.draft, (bare, one.plan[1])))
    assert outcome.error is None
    assert outcome.document.total == Decimal("108.00")


def test_paypal_mails_only_where_it_is_to(books: Books) -> None:
    issued(books.platform, orders.simple("SO-1"))
    assert books.sandbox.run(books.emulator.mails) == []
    books.platform = books.connected(settings=books.subject.settings(mail=True))
    document = issued(books.platform, orders.simple("SO-2"))
    assert books.sandbox.run(books.emulator.mails) == [(document.id, "ada@example.com")]
    with pytest.raises(Rejected, match="no e-mail address"):
        rendered(books, orders.simple("SO-3", customer={"name": "Nobody"}))


def test_an_address_without_a_country_is_in_the_note(books: Books) -> None:
    draft = orders.simple("SO-1")
    assert draft.billing_address is not None
    place = draft.billing_address.model_copy(update={"country": None})
    body, _ = rendered(books, draft.model_copy(update={"billing_address": place}))
    assert body["detail"]["note"] == "Billing address: 12 Engine Row, London, N1 7AA"
    assert "address" not in body["primary_recipients"][0]["billing_info"]


@pytest.mark.parametrize(("paid", "status"), [("50.00", Status.ISSUED), ("108.00", Status.PAID)])
def test_what_is_paid_or_partly_paid_cannot_be_cancelled(books: Books, paid: str, status: Status) -> None:
    document = issued(books.platform, orders.simple("SO-1"))
    payment = {"method": "BANK_TRANSFER", "amount": {"currency_code": "GBP", "value": paid}}
    books.sandbox.run(partial(call, books.emulator, f"invoices/{document.id}/payments", payment))
    with pytest.raises(Rejected, match="CANNOT_CANCEL_PAID_INVOICE Cannot cancel a paid or partially paid invoice"):
        books.platform.void(document.id, "v")
    now = books.platform.read(document.id)
    assert (now.status, now.due) == (status, Decimal(108) - Decimal(paid))
    payment["amount"] = {"currency_code": "GBP", "value": "108.01"}
    with pytest.raises(AssertionError, match=r"GREATER_THAN_AMOUNT_DUE|CANNOT_PROCESS_PAYMENTS"):
        books.sandbox.run(partial(call, books.emulator, f"invoices/{document.id}/payments", payment))


def test_a_list_holds_what_is_dated_since_that_day_in_any_state(books: Books) -> None:
    """The day itself too; with the key, which a search does not show. A draft that was deleted is gone."""
    drafting = books.connected(settings=books.subject.settings(issue=False))
    dated = {"SO-1": date(2026, 1, 31), "SO-2": date(2026, 2, 1), "SO-3": date(2026, 2, 2), "SO-4": date(2026, 2, 2)}
    drafts = [orders.simple(name).model_copy(update={"issued_on": day, "due_on": day}) for name, day in dated.items()]
    sent, draft = issued(books.platform, drafts[1]), issued(drafting, drafts[2])
    issued(books.platform, drafts[0])
    drafting.void(issued(drafting, drafts[3]).id, "v")
    listed = {one.id: (one.status, one.key) for one in books.platform.since(date(2026, 2, 1))}
    assert listed == {sent.id: (Status.ISSUED, sent.key), draft.id: (Status.DRAFT, draft.key)}
    with pytest.raises(AssertionError, match="MISSING_REQUIRED_PARAMETER"):
        books.sandbox.run(
            partial(call, books.emulator, "search-invoices", {"invoice_date_range": {"start": "2026-02-01"}})
        )
