"""What is Zoho Books' own: data centres, tokens that are refused with a 200, two ways of rounding, one currency a
contact, credit notes that are applied."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from connectors.auth import OAuth2
from connectors.errors import Rejected, Throttled, Unauthorized
from connectors.http import Http
from connectors.model import InvoiceDraft, RemoteInvoice, Status
from connectors.platforms.documents import Hit, PlannedInvoice
from connectors.platforms.zoho_books import ZohoBooks
from connectors.sandbox import zoho_books as sandbox
from tests.contract import orders
from tests.contract.attempts import Try, look
from tests.contract.running import Books, RunningSandbox, subjects
from tests.contract.walking import attempt, customer_id, issued

SUBJECT = subjects()["zoho_books"]


@pytest.fixture
def organisation() -> Iterator[Books]:
    running = RunningSandbox([sandbox.ZohoBooks])
    yield Books(SUBJECT, running)
    running.close()


def pennies() -> InvoiceDraft:
    """Three lines of 0.12: 20 % of each is 0.02, of all together 0.07."""
    parts = [{"ref": str(n), "description": f"Pin {n}", "quantity": "1", "unit_price": "0.12"} for n in range(3)]
    return orders.draft("SO-1", [orders.line(part) for part in parts])


def rounding_by(organisation: Books, level: str) -> Any:
    """The platform, where organisation and setting both say so."""
    organisation.sandbox.run(lambda: setattr(organisation.emulator.books, "tax_rounding", level))
    return organisation.connected(settings=SUBJECT.settings(tax_rounding=level))


def body(draft: InvoiceDraft, **settings: Any) -> dict[str, Any]:
    """The invoice as it is sent."""
    made = SUBJECT.at("http://127.0.0.1:1", settings=SUBJECT.settings(**settings))
    request = made.invoices.plan(PlannedInvoice(draft=draft, customer_id="1"))[0]
    sent: dict[str, Any] = json.loads(request.body, parse_float=Decimal)
    return sent


def test_tax_rounded_per_invoice_is_made_up_for_and_said(organisation: Books) -> None:
    one = attempt(rounding_by(organisation, "entity_level"), pennies())
    assert "0.07 GBP of tax, the order has 0.06: an adjustment of -0.01" in one.plan[0].remark
    outcome = organisation.connected().invoices.create(one)
    assert (outcome.error, outcome.difference) == (None, None)
    assert (outcome.document.total, outcome.document.tax) == (pennies().total, Decimal("0.07"))


def test_tax_rounded_per_line_needs_nothing(organisation: Books) -> None:
    one = attempt(rounding_by(organisation, "item_level"), pennies())
    assert one.plan[0].remark == ""
    assert issued(organisation.platform, pennies()).tax == Decimal("0.06")


def test_an_organisation_that_rounds_otherwise_than_configured_issues_nothing(organisation: Books) -> None:
    organisation.sandbox.run(lambda: setattr(organisation.emulator.books, "tax_rounding", "entity_level"))
    outcome = organisation.platform.invoices.create(attempt(organisation.platform, pennies()))
    assert "+0.01" in outcome.difference
    assert [entry.status for entry in organisation.ledger()] == ["draft"]


def test_a_tax_that_its_rate_does_not_give_is_not_covered_up() -> None:
    draft = orders.draft("SO-1", [{**orders.line(orders.PLAQUE), "tax": {"rate": "20", "amount": "17.00"}}])
    with pytest.raises(Rejected, match=r"gives 108\.00 GBP, but the order's total is 107\.00"):
        body(draft)


def test_discounts_are_in_the_rates_and_told() -> None:
    lines = body(orders.draft("SO-1", [orders.line(orders.PLAQUE, discount="9.00")]))["line_items"]
    assert [(line["quantity"], line["rate"]) for line in lines] == [(2, Decimal("40.5"))]
    assert "2 × 45.00, discount 9.00" in lines[0]["description"]
    whole = body(orders.full("SO-1", "45.00"))
    assert not {"discount", "shipping_charge"} & set(whole)
    assert sum(line["quantity"] * line["rate"] for line in whole["line_items"]) == Decimal("98.45")


def test_a_line_is_its_own_item_where_its_sku_has_one() -> None:
    lines = body(orders.full("SO-1", "45.00"))["line_items"]
    assert [line["item_id"] for line in lines] == [
        SUBJECT.samples.settings["items"]["PLQ-BR"],
        SUBJECT.samples.settings["item"],
        SUBJECT.samples.settings["item"],
    ]


def test_a_currency_that_is_not_configured_is_named() -> None:
    with pytest.raises(Rejected, match=r"currencies\.CHF"):
        body(orders.simple("SO-1", currency="CHF"))


def test_who_orders_in_two_currencies_is_two_contacts(organisation: Books) -> None:
    pounds = issued(organisation.platform, orders.simple("SO-1"))
    euros = issued(organisation.platform, orders.simple("SO-2", currency="EUR"))
    assert euros.customer_id != pounds.customer_id
    assert [entry.customer for entry in organisation.ledger()] == [
        "Analytical Engines Ltd",
        "Analytical Engines Ltd (EUR)",
    ]


def test_a_contact_of_the_merchant_with_the_same_address_is_taken(organisation: Books) -> None:
    person = {"email": "Ada@Example.com", "is_primary_contact": True}
    typed = {"contact_name": "A. E. Limited", "contact_persons": [person]}
    theirs = organisation.sandbox.run(lambda: organisation.emulator.books.add_contact(typed))
    assert customer_id(organisation.platform, orders.simple("SO-1")) == theirs["contact_id"]


def test_a_name_too_long_to_be_searched_for_is_found_again(organisation: Books) -> None:
    names = [
        "Worshipful Company of Engravers and Die-Sinkers of the Cities of London and Westminster, branch no. 1" + n
        for n in "12"
    ]
    ids = [
        customer_id(organisation.platform, orders.simple("SO-1", customer={"ref": f"C-{name[-1]}", "company": name}))
        for name in [*names, *names]
    ]
    assert ids[:2] == ids[2:]
    assert ids[0] != ids[1]


def test_a_name_longer_than_its_field_is_refused_in_words() -> None:
    draft = orders.simple("SO-1", customer={"name": f"{'W' * 101} Smith", "company": "Bits"})
    with pytest.raises(Rejected, match="the customer's first name is 101 characters long, Zoho Books takes 100"):
        SUBJECT.at("http://127.0.0.1:1").customers.plan(orders.customer(draft))


@pytest.mark.parametrize(
    ("centre", "accounts", "api"),
    [
        ("com", "https://accounts.zoho.com/", "https://www.zohoapis.com"),
        ("com.au", "https://accounts.zoho.com.au/", "https://www.zohoapis.com.au"),
        ("ca", "https://accounts.zohocloud.ca/", "https://www.zohoapis.ca"),
    ],
)
def test_each_data_centre_has_its_hosts(centre: str, accounts: str, api: str) -> None:
    settings = SUBJECT.settings(data_centre=centre)
    grant = ZohoBooks.grant(settings, SUBJECT.credentials())
    assert isinstance(grant, OAuth2)
    assert grant.token_url == accounts + "oauth/v2/token"
    assert grant.authorize_url == accounts + "oauth/v2/auth"
    assert ZohoBooks.address(settings) == api


def test_a_refresh_token_stays_one_that_is_unknown_is_refused_and_haste_is_throttled(organisation: Books) -> None:
    grant = SUBJECT.grant()
    assert grant is not None
    here = grant.at(organisation.url)
    token = here.obtain(Http(10), SUBJECT.credentials(), sandbox.REFRESH_TOKEN)
    assert token.refresh == sandbox.REFRESH_TOKEN
    with pytest.raises(Unauthorized, match="status 200, invalid_code"):
        here.obtain(Http(10), SUBJECT.credentials(), "1000.unknown")
    for _ in range(8):
        here.obtain(Http(10), SUBJECT.credentials(), token.refresh)
    with pytest.raises(Throttled):
        here.obtain(Http(10), SUBJECT.credentials(), token.refresh)


def test_over_the_days_quota_it_is_left_alone_until_the_next_day(organisation: Books) -> None:
    one = attempt(organisation.platform, orders.simple("SO-1"))
    organisation.sandbox.run(lambda: setattr(organisation.emulator.day, "calls", 3))
    refused = [look(organisation.platform.invoices, one.draft) for _ in range(4)][-1]
    assert isinstance(refused, Throttled)
    assert 86_000 < (refused.retry_after or 0) <= 86_400


def test_an_organisation_that_the_login_does_not_see_is_named(organisation: Books) -> None:
    with pytest.raises(Rejected, match=r"do not reach 42, but Demo Engraving Ltd \(927270289\)"):
        organisation.connected(settings=SUBJECT.settings(organization_id="42")).whoami()


def note_of(invoice: RemoteInvoice, reference: str = "SO-1-C1", **line: str) -> PlannedInvoice:
    """One plaque of the order as a credit note of its invoice."""
    draft = orders.draft(reference, [orders.line({**orders.PLAQUE, "quantity": "1", **line})])
    return PlannedInvoice(draft=draft, customer_id=str(invoice.customer_id), credited=invoice)


def credited(organisation: Books, note: PlannedInvoice) -> Any:
    notes = organisation.platform.credits
    return notes.create(Try(note, notes.plan(note)))


def test_a_note_names_its_invoice_and_is_applied_to_it(organisation: Books) -> None:
    note = note_of(issued(organisation.platform, orders.simple("SO-1")))
    made = credited(organisation, note).document
    raw = organisation.platform.one("creditnote", made.id)
    assert (raw["reference_number"], raw["status"]) == ("SO-1", "closed")
    assert [(one["invoice_number"], one["amount"]) for one in raw["invoices"]] == [("SO-1", note.draft.total)]


def test_more_than_is_due_is_not_applied_and_a_person_sees_an_open_note(organisation: Books) -> None:
    """The invoice was read as due; meanwhile another note has settled it."""
    invoice = issued(organisation.platform, orders.simple("SO-1"))
    late = note_of(invoice, "SO-1-C2")
    whole = PlannedInvoice(draft=orders.simple("SO-1-C1"), customer_id=str(invoice.customer_id), credited=invoice)
    assert credited(organisation, whole).error is None
    outcome = credited(organisation, late)
    assert isinstance(outcome.error, Rejected)
    assert "12006" in str(outcome.error.code)
    assert [entry.status for entry in organisation.credits()] == ["paid", "issued"]


def test_an_invoice_that_is_credited_is_not_voided(organisation: Books) -> None:
    invoice = issued(organisation.platform, orders.simple("SO-1"))
    assert credited(organisation, note_of(invoice)).error is None
    with pytest.raises(Rejected):
        organisation.platform.void(invoice.id, "v")


def test_a_note_is_left_as_a_draft_where_a_person_approves(organisation: Books) -> None:
    note = note_of(issued(organisation.platform, orders.simple("SO-1")))
    drafting = organisation.connected(settings=SUBJECT.settings(issue=False))
    assert [request.step for request in drafting.credits.plan(note)] == ["draft"]
    assert drafting.credits.create(Try(note, drafting.credits.plan(note))).error is None
    hit = look(drafting.credits, note)
    assert isinstance(hit, Hit)
    assert (hit.document.status, hit.resume_at) == (Status.DRAFT, None)


def test_a_note_shows_whole_quantities_only(organisation: Books) -> None:
    note = note_of(issued(organisation.platform, orders.simple("SO-1")), quantity="0.5")
    outcome = credited(organisation, note)
    assert (outcome.error, outcome.difference) == (None, None)
    assert "0.5 × 45.00" in organisation.credits()[0].lines[0]
