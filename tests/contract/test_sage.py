"""What is Sage's own: tokens of five minutes, whose business answers, shipping, drafts, contacts, allocations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from connectors.errors import Rejected, Unauthorized, Unavailable, Uncertain
from connectors.http import Http
from connectors.model import RemoteInvoice, Status
from connectors.platforms.documents import PlannedInvoice
from connectors.sandbox import sage as sandbox
from tests.contract import orders
from tests.contract.attempts import Try, found
from tests.contract.running import Books, RunningSandbox, subjects
from tests.contract.test_platforms import planned, replies
from tests.contract.walking import attempt, customer_id, issued
from tests.kit.dripping import HostileServer, response


@pytest.fixture
def sage() -> Iterator[Books]:
    one = RunningSandbox([subjects()["sage"].emulator])
    yield Books(subjects()["sage"], one)
    one.close()


def body(draft: Any) -> Any:
    """The planned invoice; amounts as they are written."""
    plan = subjects()["sage"].at("http://127.0.0.1:1").invoices.plan(PlannedInvoice(draft=draft, customer_id="c1"))
    return json.loads(plan[0].body, parse_float=str, parse_int=str)["sales_invoice"]


def short(line: Any) -> tuple[str, str, str | None, str | None]:
    return line["quantity"], line["unit_price"], line.get("discount_amount"), line.get("tax_amount")


def test_a_token_lives_five_minutes_and_a_refresh_token_works_once(sage: Books) -> None:
    sage.sandbox.pass_time(301)
    with pytest.raises(Unauthorized):
        sage.platform.whoami()
    assert sage.renewed().whoami() == "Engraver Ltd"
    grant, credentials = sage.subject.grant(), sage.subject.credentials()
    assert grant is not None
    with pytest.raises(Unauthorized, match="invalid_grant"):
        grant.at(sage.url).obtain(Http(10), credentials, sandbox.APP.refresh_token)
    with pytest.raises(Unauthorized, match="billhook connect"):
        grant.at(sage.url).obtain(Http(10), credentials, None)


def test_an_answer_out_of_another_business_is_not_believed() -> None:
    shown = json.dumps(subjects()["sage"].samples.invoice.body).encode()
    extra = "X-Business: 49c196153fb1524b7d888cece84e8b12\r\nConnection: close\r\n"
    server = HostileServer(lambda exchange: exchange.send(response(shown, "201 Created", extra=extra)))
    try:
        made = subjects()["sage"].at(server.url)
        outcome = made.invoices.create(Try(planned(), made.invoices.plan(planned())))
        assert type(outcome.error) is Uncertain
        assert "49c196153fb1524b7d888cece84e8b12" in str(outcome.error)
        with pytest.raises(Unavailable):
            made.read("5d0f2c7b8a1e4f0c9b3a6d7e8f901234")
    finally:
        server.close()


def test_an_answer_about_another_invoice_is_not_believed() -> None:
    other = {**subjects()["sage"].samples.invoice.body, "reference": "SO-7"}
    server = HostileServer(replies(json.dumps(other).encode(), "201 Created"))
    try:
        made = subjects()["sage"].at(server.url)
        outcome = made.invoices.create(Try(planned(), made.invoices.plan(planned())))
        assert type(outcome.error) is Uncertain
        assert "idempotency" in str(outcome.error)
    finally:
        server.close()


def test_the_example_of_the_documentation() -> None:
    """A discount of the order is taken off the lines, shipping is a field of the invoice."""
    raw = body(orders.ORDERS["two lines, discount, shipping"]())
    assert [short(line) for line in raw["invoice_lines"]] == [
        ("2", "45.00", "4.71", "17.06"),
        ("1", "5.50", "0.29", "1.04"),
    ]
    assert (raw["shipping_net_amount"], raw["shipping_tax_rate_id"]) == ("7.95", "GB_STANDARD")
    assert raw["status_id"] == "DRAFT"


def test_shipping_whose_tax_sage_would_compute_otherwise_is_a_line(sage: Books) -> None:
    shipping = {"description": "Courier", "amount": "7.95", "tax": {**orders.vat("7.95"), "amount": "1.60"}}
    draft = orders.draft("SO-1", [orders.line(orders.PLAQUE)], shipping=shipping)
    raw = body(draft)
    assert "shipping_net_amount" not in raw
    assert short(raw["invoice_lines"][1]) == ("1", "7.95", None, "1.60")
    one = attempt(sage.platform, draft)
    assert "shipping is a line" in one.plan[0].remark
    outcome = sage.platform.invoices.create(one)
    assert outcome.error is None
    assert outcome.document.total == draft.total == Decimal("117.55")


def test_prices_with_tax_and_more_decimals_than_two_are_shown_so_that_they_multiply() -> None:
    (line, _) = body(orders.ORDERS["tax included"]())["invoice_lines"]
    assert short(line) == ("2", "45.00", None, "18.00")
    part = {**orders.PLAQUE, "quantity": "3", "unit_price": "1.333"}
    (line,) = body(orders.draft("SO-1", [orders.line(part, discount="0.50")]))["invoice_lines"]
    assert short(line) == ("1", "3.50", None, "0.70")
    assert line["description"].endswith("\n3 × 1.333, discount 0.50")


def test_a_rate_of_zero_states_no_tax() -> None:
    lines = body(orders.ORDERS["a line without tax"]())["invoice_lines"]
    assert [(line["tax_rate_id"], "tax_amount" in line) for line in lines] == [
        ("GB_STANDARD", True),
        ("GB_ZERO", False),
    ]


def test_a_draft_that_is_to_stay_one_is_complete(sage: Books) -> None:
    platform = sage.connected(settings=sage.subject.settings(issue=False))
    one = attempt(platform, orders.simple("SO-1"))
    outcome = platform.invoices.create(one)
    assert (outcome.error, outcome.document.status, outcome.document.number) == (None, Status.DRAFT, None)
    hit = found(platform.invoices, one.draft)
    assert hit is not None
    assert hit.resume_at is None
    issuing = found(sage.platform.invoices, one.draft)
    assert issuing is not None
    assert issuing.resume_at == "release"
    assert platform.void(outcome.document.id, "v").status is Status.VOID
    assert found(platform.invoices, one.draft) is None, "a deleted draft is not there"


def test_what_was_released_meanwhile_is_not_released_again(sage: Books) -> None:
    """The create is replayed as it was answered, a draft; what it is now says the read before the release."""
    one = attempt(sage.platform, orders.simple("SO-1"))
    first = sage.platform.invoices.create(one)
    again = Try(one.draft, one.plan)
    second = sage.platform.invoices.create(again)
    assert second.error is None
    assert second.document == first.document
    assert ("begin", "release") not in again.log


def test_of_one_contact_for_all_orders_a_days_invoices_are_gone_through(
    sage: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the search does not show yet what was made."""
    monkeypatch.setitem(sandbox.SEARCHED, "sales_invoices", ("displayed_as",))
    shown, listed = list[int](), sage.platform.listed
    some = [orders.simple(f"SO-{day}").model_copy(update={"issued_on": date(2026, 11, day)}) for day in (3, 4, 5)]
    made = [issued(sage.platform, one) for one in some]
    assert len({one.customer_id for one in made}) == 1

    def counted(*asked: Any) -> Any:
        rows = listed(*asked)
        shown.append(len(rows))
        return rows

    monkeypatch.setattr(sage.platform, "listed", counted)
    hit = sage.platform.invoices.look(PlannedInvoice(draft=some[1], customer_id=made[1].customer_id))
    assert (hit.document.id, shown) == (made[1].id, [0, 1])


def test_two_customers_of_the_shop_with_one_address_are_two_contacts(sage: Books) -> None:
    one = {"ref": "C-1", "name": "Ann Smith", "email": "office@example.com"}
    other = {"ref": "C-2", "name": "Bob Smith", "email": "office@example.com"}
    first = customer_id(sage.platform, orders.simple("SO-1", customer=one))
    assert customer_id(sage.platform, orders.simple("SO-2", customer=other)) != first
    assert customer_id(sage.platform, orders.simple("SO-3", customer=one)) == first


def test_the_merchants_own_contact_is_taken_if_it_has_the_currency(sage: Books) -> None:
    person = {"name": "Ann Smith", "email": "ann@example.com"}
    raw = {"name": "Ann Smith", "contact_type_ids": ["CUSTOMER"], "reference": "ANN", "main_contact_person": person}
    theirs = sage.sandbox.run(lambda: sage.emulator.books.add_contact(raw)["id"])
    assert customer_id(sage.platform, orders.simple("SO-1", customer={"ref": "C-1", **person})) == theirs
    euros = orders.simple("SO-2", customer={"ref": "C-3", **person}, currency="EUR")
    assert customer_id(sage.platform, euros) != theirs


def test_a_business_that_the_consent_does_not_reach_is_named(sage: Books) -> None:
    raws = [{"id": "b1", "displayed_as": "Other Ltd", "$path": "/businesses/b1"}]
    server = HostileServer(replies(json.dumps({"$items": raws, "$next": None}).encode()))
    try:
        with pytest.raises(Rejected, match=r"Other Ltd \(b1\)"):
            sage.subject.at(server.url).whoami()
    finally:
        server.close()


def note_of(invoice: RemoteInvoice, reference: str = "SO-1-C1") -> PlannedInvoice:
    """One plaque of the order as a credit note of its invoice."""
    draft = orders.draft(reference, [orders.line({**orders.PLAQUE, "quantity": "1"})])
    return PlannedInvoice(draft=draft, customer_id=str(invoice.customer_id), credited=invoice)


def credited(platform: Any, note: PlannedInvoice) -> Any:
    return platform.credits.create(Try(note, platform.credits.plan(note)))


def test_an_allocation_takes_from_the_note_what_it_gives_the_invoice(sage: Books) -> None:
    invoice = issued(sage.platform, orders.simple("SO-1"))
    note = note_of(invoice)
    made = credited(sage.platform, note).document
    (allocation,) = sage.sandbox.run(lambda: sage.emulator.shelf.all("contact_allocation"))
    parts = {part["artefact_id"]: part["amount"] for part in allocation["allocated_artefacts"]}
    assert parts == {invoice.id: note.draft.total, made.id: -note.draft.total}
    raw = sage.sandbox.run(lambda: sage.emulator.shelf.get("sales_credit_note", made.id))
    assert (raw["displayed_as"], raw["status"]["id"]) == ("SCN-104", "PAID")
    assert raw["terms_and_conditions"] == f"Credit for invoice {invoice.number}"
    with pytest.raises(Rejected, match="allocations"):
        sage.platform.void(invoice.id, "v")


def test_more_than_is_due_is_not_allocated(sage: Books) -> None:
    """The invoice was read as due; meanwhile another note has settled it."""
    invoice = issued(sage.platform, orders.simple("SO-1"))
    late = note_of(invoice, "SO-1-C2")
    whole = PlannedInvoice(draft=orders.simple("SO-1-C1"), customer_id=str(invoice.customer_id), credited=invoice)
    assert credited(sage.platform, whole).error is None
    assert isinstance(credited(sage.platform, late).error, Rejected)
    assert [entry.status for entry in sage.credits()] == ["paid", "issued"]


def test_where_sage_lets_no_program_allocate_a_released_note_is_complete(sage: Books) -> None:
    platform = sage.connected(settings=sage.subject.settings(allocations=False))
    note = note_of(issued(platform, orders.simple("SO-1")))
    assert credited(platform, note).error is None
    hit = found(platform.credits, note)
    assert hit is not None
    assert (hit.document.status, hit.resume_at) == (Status.ISSUED, None)
    allocating = found(sage.platform.credits, note)
    assert allocating is not None
    assert allocating.resume_at == "allocate"
