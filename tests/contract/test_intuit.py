"""What is intuit's own: an order is a job, jobs and invoices go in two batches, half of each may be refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.errors import Duplicate, Rejected, Uncertain
from connectors.model import Status
from connectors.platforms.qbo_words import batch_id
from connectors.sandbox import intuit as sandbox
from connectors.sandbox.faults import Fault, Faults, Scripted
from tests.contract import orders
from tests.contract.attempts import Try, found
from tests.contract.running import Books, RunningSandbox, subjects
from tests.contract.test_credits import note_of
from tests.contract.test_platforms import replies
from tests.contract.walking import attempt, customer_id, issued, packed
from tests.kit.dripping import HostileServer

NAME = "SO-1 Analytical Engines Ltd"


@pytest.fixture
def company() -> Iterator[Books]:
    running = RunningSandbox([sandbox.Intuit])
    yield Books(subjects()["intuit"], running)
    running.close()


def typed(company: Books, **fields: Any) -> dict[str, Any]:
    """A customer that the merchant types in."""
    saved: dict[str, Any] = company.sandbox.run(lambda: company.emulator.books.save("Customer", fields))
    return saved


def jobs(company: Books) -> dict[str, dict[str, Any]]:
    rows = company.platform.invoices.jobs.rows("select * from Customer", "Customer")
    return {row["DisplayName"]: row for row in rows if row["Job"]}


def several(company: Books, count: int) -> list[Try[Any]]:
    return [attempt(company.platform, orders.simple(f"SO-{number}")) for number in range(count)]


def test_an_order_is_a_job_of_its_customer_and_the_invoice_is_the_jobs(company: Books) -> None:
    one = attempt(company.platform, orders.simple("SO-1"))
    document = company.platform.invoices.create(one).document
    (job,) = jobs(company).values()
    assert (job["DisplayName"], job["ParentRef"]["value"]) == (NAME, one.draft.customer_id)
    assert (job["BillWithParent"], job["Level"], job["CurrencyRef"]["value"]) == (True, 1, "GBP")
    assert job["FullyQualifiedName"] == f"Analytical Engines Ltd (ada@example.com):{NAME}"
    sent = company.platform.ask(f"{company.platform.invoices.address}/{document.id}").json()["Invoice"]
    assert sent["CustomerRef"] == {"value": job["Id"], "name": job["FullyQualifiedName"]}
    assert document.customer_id == one.draft.customer_id


def test_a_job_with_a_balance_of_its_own_says_so(company: Books) -> None:
    platform = company.connected(settings=company.subject.settings(bill_with_parent=False))
    assert platform.invoices.create(attempt(platform, orders.simple("SO-1"))).error is None
    assert jobs(company)[NAME]["BillWithParent"] is False


def test_jobs_go_in_one_batch_and_their_invoices_in_the_next(company: Books) -> None:
    tries = several(company, 4)
    before = len(company.calls())
    outcomes = packed(company.platform, tries, "b" * 44)
    assert [outcome.error or outcome.difference for outcome in outcomes] == [None] * 4
    assert [call["target"].split("?")[0].split("/")[-1] for call in company.calls()[before:]] == ["batch", "batch"]
    assert [one.log for one in tries] == [[(w, s) for s in ("job", "invoice") for w in ("begin", "done")]] * 4
    request = company.platform.invoices.pack([one.plan for one in tries])
    assert request.quota == "batch"
    items = json.loads(request.body)["BatchItemRequest"]
    assert [item["bId"] for item in items] == [batch_id(one.draft.key) for one in tries]
    assert [outcome.error for outcome in packed(company.platform, several(company, 5)[4:], "alone")] == [None]


def test_a_job_that_the_merchant_made_is_used(company: Books) -> None:
    parent = customer_id(company.platform, orders.simple("SO-1"))
    currency = {"value": "GBP"}
    typed(company, DisplayName=NAME, Job=True, ParentRef={"value": parent}, CurrencyRef=currency)
    one = attempt(company.platform, orders.simple("SO-1"))
    assert company.platform.invoices.create(one).error is None
    assert len(jobs(company)) == 1


@pytest.mark.parametrize("count", [1, 3])
def test_a_name_that_is_not_the_job_of_this_customer_is_told_to_the_merchant(company: Books, count: int) -> None:
    """And holds up nobody else."""
    typed(company, DisplayName=NAME)
    tries = [attempt(company.platform, orders.simple(f"SO-{number}")) for number in range(1, count + 1)]
    outcomes = packed(company.platform, tries)
    assert type(outcomes[0].error) is Rejected
    assert f"named '{NAME}'" in outcomes[0].error.message
    assert [outcome.error for outcome in outcomes[1:]] == [None] * (count - 1)
    assert [entry.reference for entry in company.ledger()] == [f"SO-{n}" for n in range(2, count + 1)]


def test_a_lost_answer_to_the_invoices_is_looked_up_and_no_job_is_doubled(company: Books) -> None:
    tries = several(company, 3)
    second = "requestid=" + company.platform.facts.key.fitting("bulk-1-invoices")
    lost = Faults(script=[Scripted(fault=Fault.ANSWER_LOST, match=second)])
    company.sandbox.run(lambda: company.hosted.injector.configure(lost))
    outcomes = packed(company.platform, tries)
    assert {type(outcome.error) for outcome in outcomes} == {Uncertain}
    assert all(one.made for one in tries), "the jobs are known"
    company.heal()
    hits = [found(company.platform.invoices, one.draft) for one in tries]
    assert [hit.document.reference for hit in hits if hit] == ["SO-0", "SO-1", "SO-2"]
    assert len(jobs(company)) == len(company.ledger()) == 3


def test_a_company_that_numbers_by_itself_is_seen_and_its_invoice_found_by_its_job(company: Books) -> None:
    company.sandbox.run(lambda: setattr(company.emulator.books, "custom_numbers", False))
    one = attempt(company.platform, orders.simple("SO-1"))
    outcome = company.platform.invoices.create(one)
    assert "custom transaction numbers" in (outcome.difference or "")
    hit = found(company.platform.invoices, one.draft)
    assert hit is not None
    assert hit.document.id == outcome.document.id


ITEMS = {  # developer.intuit.com, API reference, Batch: sample items, with bIds and notes of ours
    "good": {
        "Invoice": {
            "Id": "155", "SyncToken": "0", "DocNumber": "SO-0", "TotalAmt": 108.00, "Balance": 108.00,
            "TxnTaxDetail": {"TotalTax": 18.00}, "CurrencyRef": {"value": "GBP"},
            "CustomerRef": {"value": "91", "name": "Analytical Engines Ltd:SO-0 Analytical Engines Ltd"},
            "EmailStatus": "NotSet",
        }
    },
    "bad": {
        "Fault": {
            "type": "ValidationFault",
            "Error": [
                {
                    "Message": "Duplicate Document Number Error", "Detail": "Duplicate Document Number Error : …",
                    "code": "6140", "element": "",
                }
            ],
        }
    },
}  # fmt: skip


def test_the_items_of_an_answer_are_told_apart_by_their_ids(company: Books) -> None:
    good, bad, silent = several(company, 3)
    note = json.loads(good.plan[1].body, strict=False)["PrivateNote"]
    items = [
        {"bId": batch_id(bad.draft.key), **ITEMS["bad"]},
        {"bId": batch_id(good.draft.key), "Invoice": {**ITEMS["good"]["Invoice"], "PrivateNote": note}},
    ]
    body = json.dumps({"BatchItemResponse": items, "time": "2026-11-22T03:31:02.101-08:00"})
    server = HostileServer(replies(body.encode()))
    try:
        drafts = [good.draft, bad.draft, silent.draft]
        made = company.subject.at(server.url)
        outcomes = made.invoices.unpack(made.ask("/batch"), drafts)
    finally:
        server.close()
    assert (outcomes[0].document.id, outcomes[0].document.status) == ("155", Status.ISSUED)
    assert outcomes[0].document.customer_id == good.draft.customer_id
    assert [type(outcome.error) for outcome in outcomes] == [type(None), Duplicate, Uncertain]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"Job": True}, "2020"),
        ({"Job": True, "ParentRef": {"value": "999"}}, "2500"),
        ({"Job": True, "ParentRef": {"value": "58"}, "CurrencyRef": {"value": "EUR"}}, "6000"),
    ],
)
def test_a_job_that_is_not_valid_is_refused(company: Books, fields: dict[str, Any], code: str) -> None:
    assert typed(company, DisplayName="Parent")["Id"] == "58"
    with pytest.raises(Exception, match=r".") as refused:
        typed(company, DisplayName="Job", **fields)
    assert refused.value.error["code"] == code


def test_a_credit_memo_is_the_jobs_whose_invoice_it_is(company: Books) -> None:
    """Where each job has a balance of its own, its customer could not set it off."""
    platform = company.connected(settings=company.subject.settings(bill_with_parent=False))
    draft = orders.simple("SO-1")
    note = note_of(company, issued(platform, draft), draft)
    document = platform.credits.create(Try(note, platform.credits.plan(note))).document
    (job,) = jobs(company).values()
    for kind in ("Invoice", "CreditMemo", "Payment"):
        (row,) = platform.invoices.rows(f"select * from {kind}", kind)
        assert row["CustomerRef"]["value"] == job["Id"], kind
    assert document.customer_id == note.customer_id != job["Id"]
    assert platform.read(note.credited.id).due == 0


def test_a_credit_memo_that_the_company_numbered_by_itself_is_found_by_its_job(company: Books) -> None:
    draft = orders.simple("SO-1")
    note = note_of(company, issued(company.platform, draft), draft)
    company.sandbox.run(lambda: setattr(company.emulator.books, "custom_numbers", False))
    outcome = company.platform.credits.create(Try(note, company.platform.credits.plan(note)))
    assert "custom transaction numbers" in (outcome.difference or "")
    hit = found(company.platform.credits, note)
    assert hit is not None
    assert (hit.document.id, hit.resume_at) == (outcome.document.id, None)
