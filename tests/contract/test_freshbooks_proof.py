"""The SDK that FreshBooks lists (freshbooks-sdk) drives the emulator: what it sends is accepted, what it reads is
there."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.http import Http
from connectors.platforms.documents import CustomerDraft, PlannedInvoice
from connectors.sandbox import freshbooks as sandbox
from tests.contract import orders
from tests.contract.attempts import found
from tests.contract.running import Books, RunningSandbox, subjects
from tests.contract.walking import issued

pytestmark = pytest.mark.proof("freshbooks")
ACCOUNT = sandbox.ACCOUNT


@pytest.fixture
def books() -> Iterator[Books]:
    subject = subjects()["freshbooks"]
    running = RunningSandbox([subject.emulator])
    yield Books(subject, running)
    running.close()


@pytest.fixture
def sdk(books: Books, monkeypatch: pytest.MonkeyPatch) -> Any:
    from freshbooks import Client

    monkeypatch.setenv("FRESHBOOKS_API_URL", books.url)
    monkeypatch.setenv("FRESHBOOKS_AUTH_URL", books.url)
    return Client(
        client_id=sandbox.APP.client_id,
        client_secret=sandbox.APP.client_secret,
        redirect_uri=sandbox.REDIRECT,
        access_token=sandbox.APP.access_token,
        refresh_token=sandbox.APP.refresh_token,
        auto_retry=False,
    )


def client(sdk: Any) -> Any:
    return sdk.clients.create(ACCOUNT, {"fname": "Ada", "lname": "Lovelace", "email": "ada@example.com"})


def draft(sdk: Any, client_id: int, number: str = "SO-1001") -> Any:
    rows = (("Brass plaque", 2, "45.00"), ("Steel tag", 1, "5.50"), ("Shipping", 1, "7.95"), ("Discount", 1, "-5.00"))
    lines = [
        {
            "type": 0, "name": name, "qty": qty, "unit_cost": {"amount": price, "code": "GBP"},
            "taxName1": "VAT", "taxAmount1": 20,
        }
        for name, qty, price in rows
    ]  # fmt: skip
    fields = {"customerid": client_id, "invoice_number": number, "create_date": "2026-11-22", "due_offset_days": 14}
    return sdk.invoices.create(ACCOUNT, {**fields, "currency_code": "GBP", "lines": lines})


def test_an_invoice_is_created_sent_and_read_with_its_lines(sdk: Any) -> None:
    from freshbooks import IncludesBuilder

    made = draft(sdk, client(sdk).id)
    assert (made.status, made.v3_status, made.amount.amount, made.amount.code) == (1, "draft", "118.14", "GBP")
    sent = sdk.invoices.update(ACCOUNT, made.id, {"action_mark_as_sent": True})
    assert (sent.status, sent.v3_status) == (2, "sent")
    read = sdk.invoices.get(ACCOUNT, made.id, includes=IncludesBuilder().include("lines"))
    assert read.due_date == datetime.date(2026, 12, 6)
    assert [line["amount"]["amount"] for line in read.data["lines"]] == ["90.00", "5.50", "7.95", "-5.00"]


def test_invoices_and_clients_are_searched_for_page_by_page(sdk: Any) -> None:
    from freshbooks import FilterBuilder, PaginateBuilder

    who = client(sdk)
    for number in ("SO-1", "SO-2", "XX-1"):
        draft(sdk, who.id, number)
    listed = sdk.invoices.list(ACCOUNT, builders=[FilterBuilder().equals("invoice_number", "SO-2")])
    assert [one.invoice_number for one in listed] == ["SO-2"]
    page = sdk.invoices.list(ACCOUNT, builders=[PaginateBuilder(2, 2)])
    assert (page.pages.page, page.pages.pages, page.pages.total, len(page)) == (2, 2, 3, 1)
    clients = sdk.clients.list(ACCOUNT, builders=[FilterBuilder().equals("email", "ada@example.com")])
    assert [one.id for one in clients] == [who.id]


def test_refusals_are_the_sdks_errors_with_their_numbers(sdk: Any) -> None:
    from freshbooks import FreshBooksError

    who = client(sdk)
    draft(sdk, who.id)
    with pytest.raises(FreshBooksError) as taken:
        draft(sdk, who.id)
    assert (taken.value.error_code, taken.value.error_details[0]["field"]) == (1004, "invoice_number")
    with pytest.raises(FreshBooksError) as missing:
        sdk.invoices.get(ACCOUNT, 1)
    assert (missing.value.status_code, missing.value.error_code) == (404, 1012)
    with pytest.raises(FreshBooksError) as nobody:
        sdk.clients.create(ACCOUNT, {"note": "who?"})
    assert nobody.value.error_code == 7012


def test_it_logs_in_by_code_and_by_a_refresh_token_that_works_once(sdk: Any, books: Books) -> None:
    from freshbooks import FreshBooksError

    answer = Http(10).send("GET", sdk.get_auth_request_url(["user:invoices:read"]), unsafe=False)
    code = answer.headers["Location"].split("code=")[1].split("&")[0]
    token = sdk.get_access_token(code)
    assert token.access_token_expires_at > datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=11)
    sdk.refresh_access_token()
    with pytest.raises(FreshBooksError):
        sdk.refresh_access_token(token.refresh_token)
    (business,) = [one for one in sdk.current_user().business_memberships if one.business.account_id == ACCOUNT]
    assert business.business.name == books.platform.whoami()
    assert [tax.amount for tax in sdk.taxes.list(ACCOUNT)] == ["20", "5", "0"]


def test_what_the_connector_makes_the_sdk_reads_and_the_other_way_round(sdk: Any, books: Books) -> None:
    document = issued(books.platform, orders.ORDERS["two lines, discount, shipping"]())
    read = sdk.invoices.get(ACCOUNT, int(document.id))
    assert (read.invoice_number, read.v3_status, read.amount.amount) == ("SO-1001", "sent", "118.14")
    assert sdk.clients.get(ACCOUNT, read.customerid).organization == "Analytical Engines Ltd"
    who = sdk.clients.create(ACCOUNT, {"fname": "Grace", "email": "grace@example.com"})
    mine = draft(sdk, who.id, "SO-7")
    wanted = PlannedInvoice(draft=orders.simple("SO-7"), customer_id=str(who.id))
    hit = found(books.platform.invoices, wanted)
    assert hit is not None
    assert (hit.document.id, hit.document.key, hit.resume_at) == (str(mine.id), None, None)
    party = CustomerDraft(key="k", party=orders.simple("X").customer.model_copy(update={"email": "Grace@Example.com"}))
    assert found(books.platform.customers, party).document.id == str(who.id)  # type: ignore[union-attr]


def test_a_deleted_invoice_is_void(sdk: Any, books: Books) -> None:
    document = issued(books.platform, orders.simple("SO-1"))
    sdk.invoices.delete(ACCOUNT, int(document.id))
    assert books.platform.read(document.id).status == "void"
