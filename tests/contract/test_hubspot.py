"""HubSpot's own rules: what the account must have, lines that are sent twice, many invoices in few calls."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.errors import Duplicate, Rejected, Throttled
from connectors.model import Status
from connectors.platforms import hubspot_words as words
from connectors.platforms.documents import CustomerDraft, PlannedInvoice
from connectors.platforms.hubspot import HubSpot
from connectors.sandbox import hubspot as sandbox
from tests.contract import orders
from tests.contract.attempts import Try, found
from tests.contract.running import Books, RunningSandbox, subjects
from tests.contract.samples.hubspot import OBJECTS, call
from tests.contract.walking import attempt, issued, packed
from tests.kit.dripping import HostileServer, response


@pytest.fixture
def books() -> Iterator[Books]:
    subject = subjects()["hubspot"]
    running = RunningSandbox([subject.emulator])
    yield Books(subject, running)
    running.close()


def line_inputs(books: Books, draft: Any) -> tuple[list[dict[str, str]], str]:
    """The properties of the lines that would be sent, and the remark."""
    plan = books.platform.invoices.plan(PlannedInvoice(draft=draft, customer_id="501"))
    lines = [request for request in plan if request.step.startswith("lines")]
    inputs = [one for request in lines for one in json.loads(request.body, strict=False)["inputs"]]
    return [one["properties"] for one in inputs], lines[0].remark


def contact(key: str, email: str) -> CustomerDraft:
    party = orders.simple("SO-1").customer.model_copy(update={"email": email})
    return CustomerDraft(key=key, party=party)


def posts(books: Books) -> Counter[str]:
    return Counter(call["target"].rpartition("2026-03/")[2] for call in books.calls() if call["method"] == "POST")


def test_many_orders_take_a_call_each_for_drafts_lines_and_opening(books: Books) -> None:
    tries = [attempt(books.platform, orders.full(f"SO-{number}", "45.00")) for number in range(20)]
    before = posts(books)
    outcomes = packed(books.platform, tries)
    assert [(one.error, one.difference) for one in outcomes] == [(None, None)] * 20
    assert {one.document.status for one in outcomes if one.document} == {Status.ISSUED}
    made = posts(books) - before
    assert made == {
        "invoices/batch/create": 1,
        "line_items/batch/create": 1,
        "invoices/batch/read": 1,
        "invoices/batch/update": 1,
    }
    assert all([what for what, _ in one.log] == ["begin", "done"] * 3 for one in tries)


def test_lines_that_are_there_already_are_not_doubled(books: Books) -> None:
    one = attempt(books.platform, orders.ORDERS["two tax rates"]())
    draft, lines, _ = one.plan
    made = books.platform.execute(draft).json()["results"][0]["id"]
    some = json.loads(lines.body.replace("\x1adraft\x1a", made))
    only = lines.model_copy(update={"body": json.dumps({"inputs": some["inputs"][:1]})})
    books.platform.execute(only)
    hit = found(books.platform.invoices, one.draft)
    assert hit is not None
    assert hit.resume_at == "lines"
    outcome = books.platform.invoices.create(one.after(hit))
    assert (outcome.error, outcome.difference) == (None, None)
    (entry,) = books.ledger()
    assert (len(entry.lines), entry.status) == (2, "issued")


def test_a_discount_comes_off_the_lines_and_tax_that_might_be_rounded_otherwise_is_a_line(books: Books) -> None:
    lines, remark = line_inputs(books, orders.full("SO-1", "45.00"))
    assert [one["price"] for one in lines] == ["85.29", "5.21", "7.95"]
    assert {one["hs_tax_rate_group_id"] for one in lines} == {"901"}
    assert "2 × 45.00, discount 4.71" in lines[0]["description"]
    assert remark == ""
    odd = [orders.line({**orders.TAG, "ref": f"{number}", "unit_price": "0.12"}) for number in range(3)]
    lines, remark = line_inputs(books, orders.draft("SO-2", odd))
    assert (lines[-1]["name"], lines[-1]["price"]) == ("VAT 20 %", "0.06")
    assert not [one for one in lines if "hs_tax_rate_group_id" in one]
    assert "stated as a line" in remark


def test_the_account_must_be_the_one_named_and_have_our_properties(books: Books) -> None:
    assert books.platform.whoami() == "HubSpot account 4711001 (app-eu1.hubspot.com)"
    other = books.connected(settings=books.subject.settings(account="1"))
    with pytest.raises(Rejected, match="account 4711001, not 1"):
        other.whoami()
    books.sandbox.run(lambda: books.emulator.shelf.drop("properties", "line_items/billhook_line_ref"))
    with pytest.raises(Rejected, match='"billhook_line_ref" on line items with unique values: add it'):
        books.platform.whoami()
    plain = {"name": "billhook_line_ref", "hasUniqueValue": False}
    books.sandbox.run(lambda: books.emulator.shelf.put("properties", "line_items/billhook_line_ref", plain))
    with pytest.raises(Rejected, match="delete it and add it anew"):
        books.platform.whoami()


def test_a_refused_contact_leaves_nothing_that_leads_to_another_one(books: Books) -> None:
    """Its e-mail address is taken: a look-up finds who has that, not whoever is made next."""
    drafts = [contact("C-1", "ada@x.example"), contact("C-2", "ada@x.example"), contact("C-3", "grace@x.example")]
    customers = books.platform.customers
    ended = [customers.create(Try(one, customers.plan(one))) for one in drafts]
    assert [type(one.error) for one in ended] == [type(None), Duplicate, type(None)]
    hits = [found(customers, one) for one in drafts]
    assert [hit.document.id for hit in hits if hit] == [ended[place].document.id for place in (0, 0, 2)]  # type: ignore[union-attr]


def test_a_contact_that_is_not_the_one_asked_for_is_not_taken(books: Books) -> None:
    draft, other = contact("C-1", "ada@x.example"), contact("C-2", "grace@x.example")
    customers = books.platform.customers
    made = customers.create(Try(other, customers.plan(other))).document
    assert made is not None
    claim = f"{words.CUSTOMER}={words.trace(draft.key)}"
    books.sandbox.run(lambda: books.emulator.shelf.put("unique/contacts", claim, {"id": made.id}))
    assert found(customers, draft) is None


def test_an_unprepared_account_refuses_in_words_that_name_the_property(books: Books) -> None:
    one = attempt(books.platform, orders.simple("SO-1"))
    books.sandbox.run(lambda: books.emulator.shelf.drop("properties", "invoices/billhook_key"))
    outcome = books.platform.invoices.create(one)
    assert type(outcome.error) is Rejected
    assert "billhook_key" in outcome.error.message


def test_a_service_key_does_without_oauth(books: Books) -> None:
    given = HubSpot.Credentials.model_validate({"service_key": sandbox.SERVICE_KEY})
    headers = HubSpot.static_headers(given)
    assert headers is not None
    assert HubSpot.grant(books.platform.settings, given) is None
    assert issued(books.connected(headers=headers), orders.simple("SO-1")).total == Decimal("108.00")
    with pytest.raises(ValidationError, match="service_key"):
        HubSpot.Credentials.model_validate({"client_id": "only"})


def test_after_the_day_s_quota_it_stays_away_longer(books: Books) -> None:
    pauses = []
    for policy in ("TEN_SECONDLY_ROLLING", "DAILY"):
        body = json.dumps({"status": "error", "message": "limit", "errorType": "RATE_LIMIT", "policyName": policy})
        answer = response(body.encode(), "429 Too Many Requests", extra="Connection: close\r\n")
        server = HostileServer(lambda exchange, answer=answer: exchange.send(answer))
        try:
            with pytest.raises(Throttled) as caught:
                subjects()["hubspot"].at(server.url).read("700")
        finally:
            server.close()
        pauses.append(timedelta(seconds=caught.value.retry_after or 0))
    assert pauses == [timedelta(seconds=10), timedelta(hours=1)]


def test_what_is_paid_in_part_cannot_be_taken_back_by_anybody(books: Books) -> None:
    """HubSpot's API has no void, and deletes no finalized invoice as the account stands."""
    document = issued(books.platform, orders.simple("SO-1"))

    def pay() -> None:
        raw = books.emulator.shelf.get("invoices", document.id)
        paid = {"hs_amount_paid": "50.00", "hs_balance_due": "58.00"}
        books.emulator.shelf.put("invoices", document.id, {**raw, "properties": {**raw["properties"], **paid}})

    books.sandbox.run(pay)
    with pytest.raises(Rejected, match="HubSpot cannot void invoices through its API"):
        books.platform.void(document.id, "v")
    path, voided = f"{OBJECTS}/invoices/{document.id}", {"properties": {"hs_invoice_status": "voided"}}
    for method, body, code in (("DELETE", None, "INVOICE_NOT_DELETABLE"), ("PATCH", voided, "INVOICE_NOT_EDITABLE")):
        with pytest.raises(AssertionError, match=code):
            books.sandbox.run(partial(call, books.emulator, method, path, body))
    now = books.platform.read(document.id)
    assert (now.status, now.due) == (Status.ISSUED, Decimal("58.00"))


def test_a_list_is_read_to_its_end_and_shows_what_others_named_by_their_order_number(books: Books) -> None:
    """A page may hold nothing of the time asked for; a mirror of another program's invoice is none."""
    old = {"hs_currency": "GBP", "hs_invoice_date": "2025-05-01T00:00:00Z"}
    theirs = {"hs_currency": "GBP", "hs_purchase_order_number": "SO-77", "hs_invoice_date": "2026-11-21T23:00:00Z"}

    def make() -> None:
        for group in ([old] * 100, [*[old] * 20, theirs, theirs]):
            inputs = [{"properties": fields, "associations": []} for fields in group]
            call(books.emulator, "POST", f"{OBJECTS}/invoices/batch/create", {"inputs": inputs})
        raw = books.emulator.shelf.all("invoices")[-1]
        mirrored = {name: value for name, value in raw["properties"].items() if name != "hs_invoice_status"}
        books.emulator.shelf.put("invoices", raw["id"], {**raw, "properties": mirrored})

    books.sandbox.run(make)
    (listed,) = books.platform.since(date(2026, 11, 22))
    assert (listed.reference, listed.key, listed.status) == ("SO-77", None, Status.DRAFT)
    assert listed.number == "INV-1121"
    assert len(books.platform.since(date(2025, 1, 1))) == 121
