"""What is Dynamics' own: two systems behind one slug, batches of two kinds, capitals, comment lines, rounding."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.errors import Rejected
from connectors.model import Status
from connectors.platforms.documents import PlannedInvoice
from connectors.sandbox import dynamics365 as sandbox
from connectors.sandbox.faults import Fault, Faults, Scripted
from tests.contract import orders
from tests.contract.attempts import Try, found, settle
from tests.contract.running import Books, RunningSandbox, subjects
from tests.contract.test_credits import note_of, tried
from tests.contract.walking import attempt, issued, packed


@pytest.fixture
def central() -> Iterator[Books]:
    running = RunningSandbox([sandbox.Dynamics365])
    yield Books(subjects()["dynamics365"], running)
    running.close()


@pytest.fixture
def finops() -> Iterator[Books]:
    running = RunningSandbox([sandbox.Dynamics365])
    yield Books(subjects()["dynamics365_finops"], running)
    running.close()


def sent_lines(platform: Any, draft: Any) -> list[dict[str, Any]]:
    request = platform.invoices.plan(PlannedInvoice(draft=draft, customer_id="C00120"))[0]
    lines: list[dict[str, Any]] = json.loads(request.body, parse_float=Decimal)["requests"][0]["body"][
        "salesInvoiceLines"
    ]
    return lines


def pennies() -> Any:
    """Three lines of 0.12: 20 % of each is 0.02, of all together 0.07."""
    parts = [{"ref": str(n), "description": f"Pin {n}", "quantity": "1", "unit_price": "0.12"} for n in range(3)]
    return orders.draft("SO-1", [orders.line(part) for part in parts])


def test_the_variant_is_chosen_by_the_settings_and_signs_in_for_itself() -> None:
    central, finops = (subjects()[name] for name in ("dynamics365", "dynamics365_finops"))
    made = central.platform(finops.settings(), auth=None)  # type: ignore[arg-type]
    assert type(made) is finops.platform
    assert made.base_url == "https://contoso.operations.dynamics.com"
    scopes = [subject.grant().scopes for subject in (central, finops)]  # type: ignore[union-attr]
    assert scopes == [
        ("https://api.businesscentral.dynamics.com/.default",),
        ("https://contoso.operations.dynamics.com/.default",),
    ]
    assert central.grant().token_url == f"https://login.microsoftonline.com{sandbox.TOKENS}"  # type: ignore[union-attr]


def test_what_one_variant_needs_the_other_does_not() -> None:
    finops = subjects()["dynamics365_finops"]
    with pytest.raises(ValidationError, match="business_central needs it"):
        finops.settings(variant="business_central")
    assert finops.settings(issue=False, post_service="").post_service == ""


def test_fifty_invoices_take_two_calls_of_business_central(central: Books) -> None:
    tries = [attempt(central.platform, orders.simple(f"SO-{number}")) for number in range(50)]
    before = len(central.calls())
    outcomes = packed(central.platform, tries)
    assert [outcome.error or outcome.difference for outcome in outcomes] == [None] * 50
    assert {outcome.document.status for outcome in outcomes if outcome.document} == {Status.ISSUED}
    assert [call["target"].rpartition("/")[2] for call in central.calls()[before:]] == ["$batch", "$batch"]
    assert tries[0].log == [("begin", "draft"), ("done", "draft"), ("begin", "issue"), ("done", "issue")]


@pytest.mark.parametrize("name", ["central", "finops"])
def test_a_refused_posting_leaves_a_draft_that_is_continued(name: str, request: pytest.FixtureRequest) -> None:
    books: Books = request.getfixturevalue(name)
    tries = [attempt(books.platform, orders.simple(f"SO-{number}")) for number in range(3)]
    calls = [f"POST {books.platform.invoices.plan(tries[0].draft)[-1].path}"] * 2
    script = [Scripted(fault=Fault.SLOW, match="never"), Scripted(fault=Fault.REFUSE_ELEMENT, match=calls[0])]
    if name == "central":  # both calls are batches: the first passes
        script[0] = Scripted(fault=Fault.SLOW, match=calls[0])
    faults = Faults(script=script, slow_seconds=0)
    books.sandbox.run(lambda: books.hosted.injector.configure(faults))
    outcomes = packed(books.platform, tries)
    refused = [one for one, outcome in zip(tries, outcomes, strict=True) if outcome.error]
    assert [type(outcome.error) for outcome in outcomes if outcome.error] == [Rejected]
    books.heal()
    hit = found(books.platform.invoices, refused[0].draft)
    assert hit is not None
    assert (hit.document.status, hit.resume_at) == (Status.DRAFT, "issue")
    assert settle(books.platform.invoices, refused[0]).error is None
    assert [entry.status for entry in books.ledger()] == ["issued"] * 3


def test_a_total_that_would_be_rounded_otherwise_is_evened_out_and_said(central: Books) -> None:
    one = attempt(central.platform, pennies())
    assert "a line of -0.01 GBP evens it out" in one.plan[0].remark
    document = central.platform.invoices.create(one).document
    assert (document.total, document.tax) == (Decimal("0.42"), None)
    (entry,) = central.ledger()
    assert entry.lines[-1] == "Rounding × -1 @ 0.01"


def test_without_an_account_for_rounding_such_an_order_is_held_with_what_to_set(central: Books) -> None:
    platform = central.connected(settings=central.subject.settings(rounding_account=None))
    with pytest.raises(Rejected, match=r"total would be 0\.43 GBP, the order's is 0\.42: set rounding_account"):
        sent_lines(platform, pennies())


def test_a_discount_is_taken_off_the_lines(central: Books) -> None:
    lines = sent_lines(central.platform, orders.ORDERS["two lines, discount, shipping"]())
    assert [line.get("discountAmount") for line in lines] == [Decimal("4.71"), Decimal("0.29"), None, None]
    assert all(line.get("quantity", 1) > 0 for line in lines)


def test_a_long_description_goes_on_in_comment_lines(central: Books) -> None:
    text = "Engraved: " + "a word and another " * 12
    draft = orders.draft("SO-1", [orders.line({**orders.PLAQUE, "description": text.strip()})])
    lines = sent_lines(central.platform, draft)
    assert [line["lineType"] for line in lines] == ["Item", "Comment", "Comment", "Comment"]
    assert " ".join(line["description"] for line in lines[:-1]) == f"{text.strip()} (PLQ-BR)"
    assert issued(central.platform, draft).total == draft.total


def test_a_reference_in_small_letters_is_kept_in_capitals_and_found_by_its_key(central: Books) -> None:
    draft = orders.simple("X").model_copy(update={"reference": "so-1a", "key": "k" * 80})
    document = issued(central.platform, draft)
    hit = found(central.platform.invoices, attempt(central.platform, draft).draft)
    assert hit is not None
    assert (hit.document.id, hit.document.reference, hit.document.key) == (document.id, "SO-1A", "k" * 80)
    other = attempt(central.platform, draft.model_copy(update={"reference": "SO-1A", "key": "other"}))
    assert found(central.platform.invoices, other.draft).document.key != "other"  # type: ignore[union-attr]


def test_who_has_no_address_is_found_by_a_name_of_its_own(central: Books) -> None:
    ann, other = ({"ref": ref, "name": "Ann Smith"} for ref in ("C-1", "C-2"))
    one, same = (issued(central.platform, orders.simple(f"SO-{n}", customer=ann)) for n in (1, 2))
    another = issued(central.platform, orders.simple("SO-3", customer=other))
    assert one.customer_id == same.customer_id != another.customer_id


def test_unposted_invoices_are_left_to_the_posting_batch(finops: Books) -> None:
    platform = finops.connected(settings=finops.subject.settings(issue=False, post_service=""))
    document = issued(platform, orders.simple("SO-1"))
    assert (document.status, document.total) == (Status.DRAFT, Decimal("108.00"))
    outcomes = packed(platform, [attempt(platform, orders.simple(f"SO-{n}")) for n in (2, 3)])
    assert [outcome.error or outcome.difference for outcome in outcomes] == [None, None]
    hit = found(platform.invoices, attempt(platform, orders.simple("SO-2")).draft)
    assert hit is not None
    assert hit.resume_at is None
    assert {entry.status for entry in finops.ledger()} == {"draft"}


def test_a_wildcard_in_a_number_is_refused(finops: Books) -> None:
    draft = orders.simple("X").model_copy(update={"reference": "SO-*"})
    with pytest.raises(Rejected, match=r"has a \*"):
        finops.platform.invoices.plan(PlannedInvoice(draft=draft, customer_id="1"))


def test_the_emulator_refuses_what_business_central_refuses(central: Books) -> None:
    platform, path = central.platform, f"{sandbox.API}/companies({sandbox.COMPANY})"
    for wanted, said in (
        ({"$filter": "email eq 'a' or displayName eq 'a'"}, "not supported"),
        ({"$filter": "email has 'a'"}, "has is not known"),
    ):
        with pytest.raises(Rejected, match=said):
            platform.ask(f"{path}/customers", wanted)
    document = issued(platform, orders.simple("SO-1"))
    for given, said in (
        ({"pricesIncludeTax": True}, "read-only"),
        ({"colour": "brass"}, "does not exist on type"),
        ({"externalDocumentNumber": "x" * 36}, "less than or equal to 35"),
        ({}, "customerNumber or a customerID"),
    ):
        with pytest.raises(Rejected, match=said):
            platform.ask(f"{path}/salesInvoices", body=json.dumps(given))
    with pytest.raises(Rejected, match="post is not possible"):
        platform._act(document.id, "post", "key")
    many = {"requests": [{"id": str(n), "method": "GET", "url": f"companies({sandbox.COMPANY})"} for n in range(101)]}
    with pytest.raises(Rejected, match="at most 100"):
        platform.ask(f"{sandbox.API}/$batch", body=json.dumps(many))


def test_a_credit_memo_names_the_posted_invoice_and_takes_off_what_is_due_there(central: Books) -> None:
    draft = orders.simple("SO-1")
    invoice = issued(central.platform, draft)
    note = note_of(central, invoice, orders.draft("SO-1", [orders.line(orders.TAG)]))
    document = central.platform.credits.create(tried(central, note)).document
    raw = central.sandbox.run(lambda: central.emulator.memos.need(document.id))
    assert (raw["invoiceId"], raw["invoiceNumber"]) == (invoice.id, invoice.number)
    assert (document.status, document.total) == (Status.PAID, Decimal("6.60"))
    assert central.platform.read(invoice.id).due == draft.total - document.total
    with pytest.raises(Rejected, match="fully or partially paid"):
        central.platform.void(invoice.id, "void")


def test_what_is_more_than_the_invoice_is_due_stays_the_customers(central: Books) -> None:
    """Paid in part by hand since: the memo applies as far as both reach."""
    invoice = issued(central.platform, orders.simple("SO-1"))
    central.sandbox.run(lambda: central.emulator.company._change(central.emulator.company.need(invoice.id),
                                                                 remainingAmount=Decimal("8.00")))  # fmt: skip
    note = note_of(central, invoice, orders.simple("SO-1"))
    assert central.platform.credits.create(tried(central, note)).document.status is Status.ISSUED
    after = central.platform.read(invoice.id)
    assert (after.due, after.status) == (0, Status.PAID)


def test_an_invoice_that_was_paid_meanwhile_is_nothing_to_apply_to(central: Books) -> None:
    """A draft is left, which a person posts without the invoice; a paid invoice is not named from the beginning."""
    draft = orders.simple("SO-1")
    invoice = issued(central.platform, draft)
    late = tried(central, note_of(central, invoice, draft))
    change = {"remainingAmount": 0, "status": "Paid"}
    central.sandbox.run(lambda: central.emulator.company._change(central.emulator.company.need(invoice.id), **change))
    error = central.platform.credits.create(late).error
    assert type(error) is Rejected
    assert "no Cust. Ledger Entry" in str(error)
    hit = found(central.platform.credits, late.draft)
    assert hit is not None
    assert (hit.document.status, hit.resume_at) == (Status.DRAFT, "issue")
    in_time = tried(central, note_of(central, invoice, draft, "C2"))
    assert "invoiceId" not in in_time.plan[0].body
    assert central.platform.credits.create(in_time).document.status is Status.ISSUED


def test_many_credit_memos_take_two_calls_too(central: Books) -> None:
    invoices = [issued(central.platform, orders.simple(f"SO-{number}")) for number in range(3)]
    tries = [tried(central, note_of(central, one, orders.simple(str(one.reference)))) for one in invoices]
    before = len(central.calls())
    request = central.platform.credits.pack([one.plan for one in tries])
    outcomes = central.platform.credits.create_packed(request, tries, "bulk-1")
    assert [outcome.error or outcome.difference for outcome in outcomes] == [None] * 3
    assert [call["target"].rpartition("/")[2] for call in central.calls()[before:]] == ["$batch", "$batch"]
    assert {central.platform.read(one.id).due for one in invoices} == {0}


def test_a_credit_memo_for_approval_stays_a_draft_and_takes_nothing_off(central: Books) -> None:
    invoice = issued(central.platform, orders.simple("SO-1"))
    platform = central.connected(settings=central.subject.settings(issue=False))
    note = note_of(central, invoice, orders.simple("SO-1"))
    one = Try(note, platform.credits.plan(note))
    assert platform.credits.create(one).document.status is Status.DRAFT
    assert central.platform.read(invoice.id).due == invoice.total
    assert found(platform.credits, note).resume_at is None


def test_a_draft_is_no_invoice_that_a_credit_memo_can_name(central: Books) -> None:
    platform = central.connected(settings=central.subject.settings(issue=False))
    invoice = issued(platform, orders.simple("SO-1"))
    note = note_of(central, invoice, orders.simple("SO-1"))
    assert "invoiceId" not in platform.credits.plan(note)[0].body
    given = json.dumps({"customerNumber": invoice.customer_id, "invoiceId": invoice.id})
    with pytest.raises(Rejected, match='"invoiceId" does not match'):
        platform.ask(platform.credits.path, body=given)


def test_finance_and_operations_has_no_credit_notes(finops: Books) -> None:
    assert "credit" not in finops.platform.facts.can
    assert finops.platform.credits is None


@pytest.mark.parametrize("name", ["central", "finops"])
def test_a_list_is_read_from_link_to_link(name: str, request: pytest.FixtureRequest) -> None:
    books: Books = request.getfixturevalue(name)
    books.emulator.central_rows = books.emulator.finops_rows = 3
    made = {issued(books.platform, orders.simple(f"SO-{number}")).id for number in range(4)}
    before = len(books.calls())
    assert {one.id for one in books.platform.since(date(2026, 11, 22))} == made
    asked = [call["target"] for call in books.calls()[before:]]
    assert "%24skiptoken=3" in asked[1]
    assert books.platform.since(date(2026, 11, 23)) == []
    with pytest.raises(Rejected, match="is not supported"):
        books.platform.ask(asked[0].partition("?")[0].removeprefix("/dynamics365"), {"$colour": "1"})


def test_a_correction_is_not_listed_but_what_it_cancels_is_void(finops: Books) -> None:
    invoice = issued(finops.platform, orders.simple("SO-1"))
    finops.sandbox.run(lambda: finops.subject.samples.void_by_hand(finops.emulator, invoice.id))
    (one,) = finops.platform.since(date(2026, 11, 1))
    assert (one.id, one.status) == (invoice.id, Status.VOID)
