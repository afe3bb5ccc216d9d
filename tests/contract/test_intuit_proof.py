"""python-quickbooks drives the emulator as an app with jobs: customer, job, batch of invoices, found, read, voided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.sandbox import intuit, qbo_emulator
from tests.contract.running import RunningSandbox

pytestmark = pytest.mark.proof("quickbooks", "intuitlib")


@pytest.fixture
def running() -> Iterator[RunningSandbox]:
    running = RunningSandbox([intuit.Intuit])
    yield running
    running.close()


@pytest.fixture
def client(running: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    from intuitlib.client import AuthClient
    from quickbooks import QuickBooks

    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setattr(QuickBooks, "api_url_v3", f"{running.url}/intuit/v3")
    auth = AuthClient(
        qbo_emulator.CLIENT_ID,
        qbo_emulator.CLIENT_SECRET,
        "https://shop.example/back",
        f"{running.url}/intuit{qbo_emulator.DISCOVERY}",
    )
    return QuickBooks(
        auth_client=auth, refresh_token=qbo_emulator.REFRESH_TOKEN, company_id=qbo_emulator.REALM, minorversion=75
    )


def customer(client: Any, name: str, parent: Any = None) -> Any:
    from quickbooks.objects.customer import Customer

    made = Customer()
    made.DisplayName = name
    if parent is not None:
        made.Job, made.BillWithParent, made.ParentRef = True, True, parent.to_ref()
    return made.save(qb=client)


def invoice(job: Any, number: str, tax: str = "6") -> Any:
    from quickbooks.objects.base import Ref
    from quickbooks.objects.detailline import SalesItemLine, SalesItemLineDetail
    from quickbooks.objects.invoice import Invoice

    made, line, detail = Invoice(), SalesItemLine(), SalesItemLineDetail()
    made.DocNumber, made.TxnDate, made.DueDate = number, "2026-11-22", "2026-12-06"
    made.GlobalTaxCalculation = "TaxExcluded"
    made.CustomerRef, made.CurrencyRef = job.to_ref(), Ref()
    made.CurrencyRef.value = "GBP"
    detail.Qty, detail.UnitPrice, detail.ItemRef, detail.TaxCodeRef = 2, 45, Ref(), Ref()
    detail.ItemRef.value, detail.TaxCodeRef.value = "1", tax
    line.Amount, line.Description, line.SalesItemLineDetail = 90, "Brass plaque", detail
    made.Line.append(line)
    return made


def test_jobs_are_billed_in_a_batch_found_read_and_voided(client: Any, running: RunningSandbox) -> None:
    from quickbooks.batch import batch_create
    from quickbooks.objects.customer import Customer
    from quickbooks.objects.invoice import Invoice

    parent = customer(client, "Analytical Engines Ltd")
    one, other = (customer(client, f"SO-{number} Analytical Engines Ltd", parent) for number in (1, 2))
    assert one.FullyQualifiedName == "Analytical Engines Ltd:SO-1 Analytical Engines Ltd"
    assert [each.Id for each in Customer.filter(DisplayName="SO-2 Analytical Engines Ltd", qb=client)] == [other.Id]
    answer = batch_create([invoice(one, "SO-1"), invoice(other, "SO-2"), invoice(one, "SO-3", "987654")], qb=client)
    assert sorted(saved.DocNumber for saved in answer.successes) == ["SO-1", "SO-2"]
    assert [fault.original_object.DocNumber for fault in answer.faults] == ["SO-3"]
    (hit,) = Invoice.choose(["SO-1"], field="DocNumber", qb=client)
    read = Invoice.get(hit.Id, qb=client)
    assert (read.CustomerRef.value, read.CustomerRef.name) == (one.Id, one.FullyQualifiedName)
    assert (read.TotalAmt, read.Balance) == (108, 108)
    read.void(qb=client)
    emulator = running.sandbox.hosted["intuit"].emulator
    assert [(entry.reference, entry.status) for entry in running.run(emulator.ledger)] == [
        ("SO-1", "void"),
        ("SO-2", "issued"),
    ]


def test_a_job_needs_a_parent_and_a_name_of_its_own(client: Any) -> None:
    from quickbooks.exceptions import QuickbooksException

    parent = customer(client, "Analytical Engines Ltd")
    customer(client, "SO-1", parent)
    with pytest.raises(QuickbooksException) as taken:
        customer(client, "SO-1", parent)
    assert taken.value.error_code == 6240
