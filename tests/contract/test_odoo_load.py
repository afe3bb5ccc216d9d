"""Odoo 19: `load` under external ids, alone and many at once; totals; mail."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from connectors.errors import Duplicate, Rejected, Uncertain
from connectors.platforms.documents import PlannedInvoice
from connectors.platforms.odoo_words import external_id
from connectors.sandbox import odoo as sandbox
from connectors.sandbox.faults import Fault
from tests.contract import orders, test_sandbox_faults
from tests.contract.attempts import Try, found, settle
from tests.contract.odoo_servers import Server
from tests.contract.running import RunningSandbox
from tests.contract.samples.odoo import call
from tests.contract.walking import attempt, customer_id, issued, packed


@pytest.fixture
def running() -> Iterator[RunningSandbox]:
    made = RunningSandbox([sandbox.Odoo])
    yield made
    made.close()


@pytest.fixture
def server(running: RunningSandbox) -> Server:
    return Server(running, {})


# -- load and its external ids ---------------------------------------------------------------------------------------


def test_the_same_create_changes_the_same_draft(server: Server) -> None:
    platform = server.connected(settings=server.subject.settings(issue=False))
    one = attempt(platform, orders.full("SO-1", "45.00"))
    first, second = platform.invoices.create(one), platform.invoices.create(one.after(None))
    assert first.document == second.document
    (entry,) = server.ledger()
    assert len(entry.lines) == 4, "the lines are not doubled"


def test_a_create_after_posting_is_a_duplicate_and_changes_nothing(server: Server) -> None:
    one = attempt(server.platform, orders.full("SO-1", "45.00"))
    assert server.platform.invoices.create(one).error is None
    before = server.ledger()
    again = one.after(None)
    assert type(server.platform.invoices.create(again).error) is Duplicate
    assert settle(server.platform.invoices, again).error is None
    assert server.ledger() == before


def test_ours_is_found_when_a_person_has_changed_its_reference(server: Server) -> None:
    platform = server.connected(settings=server.subject.settings(issue=False))
    one = attempt(platform, orders.simple("SO-1"))
    document = platform.invoices.create(one).document
    edit = lambda: call(server.emulator, "account.move", "write", ids=[int(document.id)], vals={"ref": "PO 77"})  # noqa: E731
    server.sandbox.run(edit)
    hit = found(platform.invoices, one.draft)
    assert hit is not None
    assert (hit.document.id, hit.document.reference, hit.document.key) == (document.id, "PO 77", one.draft.key)


def test_external_ids_are_short_plain_and_never_meet() -> None:
    keys = ["a.b", "a_b", "a/b", "a b", "ab", "A/b", "a_2fb", "ä", "x" * 200, "x" * 201, "shop-1/books/SO/1"]
    names = [external_id("inv", key) for key in keys]
    assert len(set(names)) == len(keys)
    assert all(name.count(".") == 1 and len(name) < 200 for name in names)
    assert external_id("inv", "a/b") == "billhook.inv_a_2fb"
    assert external_id("inv", "a_2fb") == "billhook.inv_a_5f2fb"


def test_what_load_refuses_is_said_for_each_and_the_rest_is_loaded(server: Server) -> None:
    customer = customer_id(server.platform, orders.simple("SO"))
    tries = [test_sandbox_faults.attempt_of(server.platform, customer, f"SO-{n}") for n in range(6)]
    for at, partner in ((1, "4711"), (4, "4712")):
        planned = PlannedInvoice(draft=tries[at].draft.draft, customer_id=partner)
        tries[at] = Try(planned, server.platform.invoices.plan(planned))
    outcomes = packed(server.platform, tries)
    assert [number for number, outcome in enumerate(outcomes) if outcome.error] == [1, 4]
    for at, partner in ((1, "4711"), (4, "4712")):
        assert type(outcomes[at].error) is Rejected
        assert f"'{partner}'" in str(outcomes[at].error)
    assert {entry.reference for entry in server.ledger()} == {"SO-0", "SO-2", "SO-3", "SO-5"}


def test_one_that_cannot_be_posted_does_not_keep_the_others_from_it(server: Server) -> None:
    """Posting many is all or nothing: refused together, they are posted one by one."""
    customer = customer_id(server.platform, orders.simple("SO"))
    tries = [test_sandbox_faults.attempt_of(server.platform, customer, f"SO-{n}") for n in range(4)]
    server.at_posting(Fault.REFUSE_ELEMENT)
    outcomes = packed(server.platform, tries)
    assert [outcome.error for outcome in outcomes] == [None] * 4
    assert {entry.status for entry in server.ledger()} == {"issued"}


def test_a_lost_answer_to_posting_many_leaves_each_in_doubt_and_none_doubled(server: Server) -> None:
    customer = customer_id(server.platform, orders.simple("SO"))
    tries = [test_sandbox_faults.attempt_of(server.platform, customer, f"SO-{n}") for n in range(4)]
    server.at_posting(Fault.ANSWER_LOST)
    outcomes = packed(server.platform, tries)
    assert {type(outcome.error) for outcome in outcomes} == {Uncertain}
    assert all(one.made.keys() == {"draft"} for one in tries)
    server.heal()
    assert [settle(server.platform.invoices, one).error for one in tries] == [None] * 4
    assert len(server.ledger()) == 4


def test_customers_are_loaded_many_in_one_call(server: Server) -> None:
    drafts = [
        orders.customer(orders.simple(f"SO-{n}", customer={"ref": f"C-{n}", "name": "Ann", "email": f"a{n}@x.example"}))
        for n in range(5)
    ]
    customers = server.platform.customers
    tries = [Try(draft, customers.plan(draft)) for draft in drafts]
    outcomes = customers.create_packed(customers.pack([one.plan for one in tries]), tries, "bulk")
    ids = [outcome.document.id for outcome in outcomes]
    assert len(set(ids)) == 5
    hits = customers.find(drafts)
    assert [hit.document.id for hit in hits] == ids
    assert [hit.document.key for hit in hits] == [draft.key for draft in drafts]


def test_a_merchants_own_contact_is_taken_by_its_email_whatever_its_case(server: Server) -> None:
    def own() -> int:
        vals = [{"name": "Ada", "email": "Ada_L@Example.com"}, {"name": "Near", "email": "AdaXL@example.com"}]
        return int(call(server.emulator, "res.partner", "create", vals_list=vals)[0])

    theirs = server.sandbox.run(own)
    draft = orders.simple("SO-1", customer={"name": "Ada", "email": "ada_l@example.com"})
    assert customer_id(server.platform, draft) == str(theirs), "`_` stands for any character in =ilike"


# -- totals ----------------------------------------------------------------------------------------------------------


def test_a_draft_that_differs_is_not_posted(server: Server) -> None:
    """A company that rounds taxes globally makes another total of three lines of 0.33 at 5 %."""
    server.books.rounding = "round_globally"
    lines = [orders.line({**orders.TAG, "ref": str(n), "unit_price": "0.33"}, "5") for n in range(3)]
    one = attempt(server.platform, orders.draft("SO-1", lines))
    outcome = server.platform.invoices.create(one)
    assert outcome.error is None
    assert outcome.difference is not None
    assert "-0.01 GBP" in outcome.difference
    assert [entry.status for entry in server.ledger()] == ["draft"]
    tries = [test_sandbox_faults.attempt_of(server.platform, one.draft.customer_id, f"SO-{n}") for n in (2, 3)]
    outcomes = packed(server.platform, [one.after(None), *tries])
    assert [bool(outcome.difference) for outcome in outcomes] == [True, False, False]
    assert sorted(entry.status for entry in server.ledger()) == ["draft", "issued", "issued"]


@pytest.mark.parametrize(
    ("part", "off", "shown"),
    [
        ({"quantity": "2", "unit_price": "45.00"}, "9.00", ("2", "45.00", "10.00")),
        ({"quantity": "3", "unit_price": "9.99"}, "1.00", ("1", "28.97", "0")),
        ({"quantity": "1.125", "unit_price": "8.00"}, "0", ("1", "9.00", "0")),
        ({"quantity": "100", "unit_price": "0.125"}, "0", ("1", "12.50", "0")),
    ],
)
def test_a_line_odoo_cannot_hold_becomes_one_of_its_amount(
    server: Server, part: dict[str, str], off: str, shown: tuple[str, str, str]
) -> None:
    draft = orders.draft("SO-1", [orders.line({**orders.PLAQUE, **part}, discount=off)])
    plan = server.platform.invoices.plan(PlannedInvoice(draft=draft, customer_id="100"))
    (row,) = json.loads(plan[0].body)["data"]
    assert tuple(row[-4:-1]) == shown
    if shown[0] == "1":
        assert f"{part['quantity']} × " in row[-5]
    assert issued(server.platform, draft).total == draft.total


def test_an_inactive_currency_is_refused_with_its_name(server: Server) -> None:
    one = attempt(server.platform, orders.simple("SO-1").model_copy(update={"currency": "CHF"}))
    outcome = server.platform.invoices.create(one)
    assert type(outcome.error) is Rejected
    assert "CHF" in str(outcome.error)


# -- mail, and how Odoo says no --------------------------------------------------------------------------------------


def test_a_mail_that_did_not_leave_is_not_taken_for_sent(server: Server) -> None:
    document = issued(server.platform, orders.simple("SO-1"))
    server.emulator.mail_works = False
    with pytest.raises(Rejected, match="mail_smtp"):
        server.platform.send(document.id, "mail")
    server.emulator.mail_works = True
    server.platform.send(document.id, "mail")
    assert server.sandbox.run(server.emulator.mails) == [(int(document.id), "ada@example.com")]
