"""What is QuickBooks' own: names unique over three kinds of people, tax by rate, numbers, batches, the US."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.auth import OAuth2
from connectors.errors import Duplicate, Rejected, Throttled, Unauthorized, Unavailable, Uncertain
from connectors.http import Http
from connectors.model import InvoiceDraft
from connectors.platforms.documents import CustomerDraft, PlannedInvoice, Request
from connectors.platforms.qbo_words import QuickBooksSettings, batch_id, display_name
from connectors.platforms.quickbooks import QuickBooks
from connectors.platforms.texts import key_in
from connectors.sandbox import quickbooks as sandbox
from tests.contract import orders
from tests.contract.attempts import Try, found, look, settle
from tests.contract.running import Books, RunningSandbox, subjects
from tests.contract.test_credits import note_of
from tests.contract.walking import attempt, customer_id, issued, packed


@pytest.fixture
def company() -> Iterator[Books]:
    running = RunningSandbox([sandbox.QuickBooks])
    yield Books(subjects()["quickbooks"], running)
    running.close()


def switched(company: Books, **switches: Any) -> None:
    """What the merchant turns on or off."""
    company.sandbox.run(lambda: [setattr(company.emulator.books, name, value) for name, value in switches.items()])


def typed(company: Books, kind: str, **fields: Any) -> dict[str, Any]:
    """Something that the merchant types in."""
    saved: dict[str, Any] = company.sandbox.run(lambda: company.emulator.books.save(kind, fields))
    return saved


def body(platform: QuickBooks, draft: InvoiceDraft) -> dict[str, Any]:
    """The invoice as it is sent."""
    (request,) = platform.invoices.plan(PlannedInvoice(draft=draft, customer_id="58"))
    sent: dict[str, Any] = json.loads(request.body, parse_float=Decimal)
    return sent


# -- customers ---------------------------------------------------------------------------------------------------------


def test_a_company_that_the_merchant_has_already_is_taken(company: Books) -> None:
    theirs = typed(company, "Customer", DisplayName="Analytical Engines Ltd")
    assert customer_id(company.platform, orders.simple("SO-1")) == theirs["Id"]


@pytest.mark.parametrize(("email", "taken"), [("ann@example.com", True), ("another@example.com", False)])
def test_a_person_that_the_merchant_has_already_is_taken_only_by_the_same_address(
    company: Books, email: str, taken: bool
) -> None:
    theirs = typed(company, "Customer", DisplayName="Ann Smith", PrimaryEmailAddr={"Address": email})
    draft = orders.simple("SO-1", customer={"ref": "C-1", "name": "Ann Smith", "email": "ann@example.com"})
    assert (customer_id(company.platform, draft) == theirs["Id"]) == taken


def test_a_customer_in_another_currency_is_not_taken(company: Books) -> None:
    """A customer's currency is for ever."""
    typed(company, "Customer", DisplayName="Analytical Engines Ltd", CurrencyRef={"value": "EUR"})
    assert issued(company.platform, orders.simple("SO-1")).currency == "GBP"


def test_who_orders_in_two_currencies_is_two_customers(company: Books) -> None:
    customers = company.platform.customers
    pounds = customer_id(company.platform, orders.simple("SO-1"))
    euros = orders.simple("SO-2", currency="EUR")
    draft = orders.customer(euros).model_copy(update={"key": "shop-1/C-9:EUR"})
    assert found(customers, draft) is None
    second = customers.create(Try(draft, customers.plan(draft))).document
    assert second.name == "Analytical Engines Ltd (ada@example.com, EUR)"
    assert second.id != pounds
    assert issued(company.platform, euros).customer_id == second.id


def test_a_vendor_of_the_plain_name_is_no_obstacle(company: Books) -> None:
    typed(company, "Vendor", DisplayName="Analytical Engines Ltd")
    assert issued(company.platform, orders.simple("SO-1")).customer_id


def two_guests() -> list[CustomerDraft]:
    return [orders.customer(orders.simple("SO-1", customer={"email": f"{who}@example.com"})) for who in ("a", "b")]


@pytest.mark.parametrize("count", [1, 2])
def test_a_vendor_of_our_very_name_is_named_to_the_merchant(company: Books, count: int) -> None:
    typed(company, "Vendor", DisplayName="a@example.com")
    customers = company.platform.customers
    tries = [Try(draft, customers.plan(draft)) for draft in two_guests()[:count]]
    for outcomes in (
        customers.create_packed(customers.pack([one.plan for one in tries]), tries, "bulk"),
        [customers.create(tries[0])],
    ):
        assert type(outcomes[0].error) is Rejected
        assert "vendor or an employee named 'a@example.com'" in outcomes[0].error.message
        assert not any(outcome.error for outcome in outcomes[1:])


@pytest.mark.parametrize("count", [1, 2])
def test_a_customer_that_appeared_between_look_and_create_is_the_one(company: Books, count: int) -> None:
    theirs = typed(company, "Customer", DisplayName="A@example.com")
    customers = company.platform.customers
    tries = [Try(draft, customers.plan(draft)) for draft in two_guests()[:count]]
    outcomes = customers.create_packed(customers.pack([one.plan for one in tries]), tries, "bulk")
    assert outcomes[0].document.id == theirs["Id"]
    alone = Try(tries[0].draft, tries[0].plan)
    assert type(customers.create(alone).error) is Uncertain, "done, but not shown: the look-up says the rest"
    assert alone.made == {"create": theirs["Id"]}
    assert settle(customers, alone).document.id == theirs["Id"]


def test_names_hold_nothing_that_quickbooks_refuses_or_a_query_cannot_say() -> None:
    def named(**party: Any) -> str:
        return display_name(orders.customer(orders.simple("SO-1", customer=party)), subjects()["quickbooks"].settings())

    assert named(name="Ann: the\tfirst\n", email="a@b.c") == "Ann- the first (a@b.c)"
    assert named(company="Back\\slash", ref="C-1") == "Back/slash (C-1)"
    assert named(email="a@b.c") == "a@b.c"


def test_parts_of_a_name_that_have_no_room_are_in_the_display_name(company: Books) -> None:
    name = "Wolfeschlegelstein" * 10 + " Bergerdorff"
    draft = orders.customer(orders.simple("SO-1", customer={"name": name, "email": "w@example.com"}))
    (request,) = company.platform.customers.plan(draft)
    sent = json.loads(request.body)
    assert name in sent["DisplayName"]
    assert "GivenName" not in sent
    assert sent["FamilyName"] == "Bergerdorff"


# -- tax and rounding --------------------------------------------------------------------------------------------------


def pennies(reference: str = "SO-1") -> InvoiceDraft:
    """Three lines of 0.12: 20 % of each is 0.02, of all together 0.07."""
    parts = [{"ref": str(n), "description": f"Pin {n}", "quantity": "1", "unit_price": "0.12"} for n in range(3)]
    return orders.draft(reference, [orders.line(part) for part in parts])


def test_a_tax_that_quickbooks_would_round_otherwise_is_stated(company: Books) -> None:
    draft = pennies()
    assert draft.tax_total == Decimal("0.06")
    document = issued(company.platform, draft)
    assert (document.total, document.tax) == (Decimal("0.42"), Decimal("0.06"))
    sent = body(company.platform, draft)["TxnTaxDetail"]
    assert [line["Amount"] for line in sent["TaxLine"]] == [Decimal("0.06")]
    assert "TxnTaxDetail" not in body(company.platform, orders.simple("SO-2")), "only where it must be"


def test_without_the_rates_id_such_an_order_is_refused_with_what_to_set(company: Books) -> None:
    platform = company.connected(settings=company.subject.settings(tax_rates={}))
    with pytest.raises(Rejected, match=r'make the 20 % tax 0\.07, the order charges 0\.06 GBP.*tax_rates\."20"'):
        body(platform, pennies())


def test_a_company_that_does_not_keep_the_stated_tax_makes_a_mismatch_not_a_second_invoice(company: Books) -> None:
    one = attempt(company.platform, pennies())
    (request,) = one.plan
    forgetful = json.loads(request.body, parse_float=Decimal)
    del forgetful["TxnTaxDetail"]
    one.plan = (request.model_copy(update={"body": json.dumps(forgetful, default=float)}),)
    outcome = company.platform.invoices.create(one)
    assert outcome.error is None
    assert outcome.difference is not None
    assert "+0.01 GBP" in outcome.difference


@pytest.mark.parametrize(
    ("quantity", "price", "discount", "sent"),
    [
        ("2", "45.00", "0", ("2", "45", "")),
        ("2", "45.00", "9.00", ("2", "40.5", "2 × 45.00, discount 9.00")),
        ("3", "10.00", "0.50", ("1", "29.5", "3 × 10.00, discount 0.50")),
        ("1.333333", "9.99", "0", ("1", "13.32", "1.333333 × 9.99")),
        ("7", "0.123456", "0", ("1", "0.86", "7 × 0.123456")),
    ],
)
def test_a_lines_quantity_times_its_price_is_its_amount(
    company: Books, quantity: str, price: str, discount: str, sent: tuple[str, str, str]
) -> None:
    part = {**orders.PLAQUE, "quantity": quantity, "unit_price": price}
    draft = orders.draft("SO-1", [orders.line(part, discount=discount)])
    (line,) = body(company.platform, draft)["Line"]
    detail = line["SalesItemLineDetail"]
    assert (Decimal(detail["Qty"]), Decimal(detail["UnitPrice"])) == (Decimal(sent[0]), Decimal(sent[1]))
    assert line["Description"].endswith(sent[2])
    assert issued(company.platform, draft).total == draft.total


def test_the_us_states_the_tax_and_knows_two_codes(company: Books) -> None:
    switched(company, country="US", home="USD")
    settings = company.subject.settings(automated_sales_tax=True, home_currency="USD", tax={}, tax_rates={})
    platform = company.connected(settings=settings)
    parts = [orders.line(orders.PLAQUE, "8.875"), orders.line(orders.TAG, None)]
    draft = orders.draft("SO-1", parts, currency="USD")
    sent = body(platform, draft)
    assert "GlobalTaxCalculation" not in sent
    assert [line["SalesItemLineDetail"]["TaxCodeRef"]["value"] for line in sent["Line"]] == ["TAX", "NON"]
    document = issued(platform, draft)
    assert (document.total, document.tax) == (draft.total, draft.tax_total)


def test_outside_the_us_tax_codes_are_required_and_drafts_are_refused() -> None:
    given = {"realm_id": "1", "home_currency": "GBP", "item": "1"}
    with pytest.raises(ValidationError, match="set the tax codes"):
        QuickBooksSettings.model_validate(given)
    assert QuickBooksSettings.model_validate({**given, "automated_sales_tax": True}).tax == {}
    with pytest.raises(ValidationError, match="no drafts are left here"):
        QuickBooksSettings.model_validate({**given, "tax": {"20": "6"}, "issue": False})


# -- numbers, currencies, addresses ------------------------------------------------------------------------------------


def test_a_company_that_numbers_by_itself_is_seen_and_never_billed_twice(company: Books) -> None:
    switched(company, custom_numbers=False)
    one = attempt(company.platform, orders.simple("SO-1"))
    outcome = company.platform.invoices.create(one)
    assert outcome.difference is not None
    assert "custom transaction numbers" in outcome.difference
    hit = found(company.platform.invoices, one.draft)
    assert hit is not None, "by customer, day and key, as the number is not ours"
    assert hit.document.id == outcome.document.id


def test_where_duplicates_are_not_refused_ours_is_found_and_two_of_ours_are_said(company: Books) -> None:
    switched(company, warns_of_duplicates=False)
    company.sandbox.run(lambda: company.subject.samples.steal_number(company.emulator, "SO-1"))
    one = attempt(company.platform, orders.simple("SO-1"))
    ours = company.platform.invoices.create(one).document
    assert found(company.platform.invoices, one.draft).document.id == ours.id
    assert company.platform.invoices.create(one.after(None)).error is None
    assert type(look(company.platform.invoices, one.draft)) is Rejected


def test_without_multicurrency_other_currencies_are_refused_before_anything_is_sent(company: Books) -> None:
    switched(company, multicurrency=False)
    platform = company.connected(settings=company.subject.settings(multicurrency=False))
    assert "CurrencyRef" not in body(platform, orders.simple("SO-1"))
    assert issued(platform, orders.simple("SO-1")).currency == "GBP"
    with pytest.raises(Rejected, match="is in EUR, the company has GBP only"):
        body(platform, orders.simple("SO-2", currency="EUR"))


def test_countries_are_written_in_three_letters(company: Books) -> None:
    assert body(company.platform, orders.simple("SO-1"))["BillAddr"] == {
        "Line1": "Analytical Engines Ltd",
        "Line2": "12 Engine Row",
        "City": "London",
        "PostalCode": "N1 7AA",
        "Country": "GBR",
    }


def test_the_key_is_read_back_from_a_note_that_was_voided() -> None:
    assert key_in("Voided - Order SO-1 · bh-abc") == "bh-abc"
    assert key_in("typed in by hand") is None
    assert key_in(None) is None


# -- batches, keys, tokens ---------------------------------------------------------------------------------------------


def several(platform: Any, count: int) -> list[Try[PlannedInvoice]]:
    return [attempt(platform, orders.simple(f"SO-{number}")) for number in range(count)]


def test_one_alone_is_no_batch_and_several_are_one(company: Books) -> None:
    tries = several(company.platform, 4)
    assert [outcome.error for outcome in packed(company.platform, tries[:1], "a")] == [None]
    assert [outcome.error for outcome in packed(company.platform, tries[1:], "b" * 44)] == [None] * 3
    posted = [call["target"].split("?")[0].split("/")[-1] for call in company.calls() if call["method"] == "POST"]
    assert posted[-2:] == ["invoice", "batch"]
    request: Request = company.platform.invoices.pack([one.plan for one in tries[1:]])
    assert request.quota == "batch"
    sent = json.loads(request.body)["BatchItemRequest"]
    assert [item["bId"] for item in sent] == [batch_id(one.draft.key) for one in tries[1:]]
    assert all(len(item["bId"]) == 10 for item in sent)


def test_an_answer_for_another_document_is_uncertain(company: Books) -> None:
    """The requestid was used before: the first answer comes, whatever is asked."""
    first, other = (orders.customer(orders.simple("SO-1", customer={"email": f"{who}@example.com"})) for who in "ab")
    customers = company.platform.customers

    def create(draft: CustomerDraft) -> Any:
        (request,) = customers.plan(draft)
        return company.platform.execute(request, key="the same")

    create(first)
    with pytest.raises(Uncertain, match="another document"):
        create(other)


def test_more_batches_than_a_minute_takes_are_refused_for_a_minute(company: Books) -> None:
    tries = several(company.platform, 2)
    for number in range(41):
        outcomes = packed(company.platform, tries, f"bulk-{number}")
    assert {type(outcome.error) for outcome in outcomes} == {Throttled}
    assert {outcome.error.retry_after for outcome in outcomes} == {60.0}
    assert type(company.platform.invoices.create(tries[0]).error) is Duplicate, "other calls are not counted with them"


def test_a_refresh_token_changes_once_a_day_and_the_old_one_ends(company: Books) -> None:
    endpoint = OAuth2(company.url + sandbox.TOKENS, rotates=True)

    def refreshed(token: str) -> Any:
        return endpoint.obtain(Http(10), company.subject.credentials(), token)

    assert refreshed(sandbox.REFRESH_TOKEN).refresh == sandbox.REFRESH_TOKEN
    company.sandbox.pass_time(86_401)
    assert type(look(company.platform.customers, orders.customer(orders.simple("SO-1")))) is Unauthorized
    newer = refreshed(sandbox.REFRESH_TOKEN)
    assert newer.refresh != sandbox.REFRESH_TOKEN
    with pytest.raises(Unauthorized):
        refreshed(sandbox.REFRESH_TOKEN)
    assert refreshed(newer.refresh).refresh == newer.refresh


def test_somebody_elses_change_makes_a_void_come_back_later(company: Books) -> None:
    document = issued(company.platform, orders.simple("SO-1"))
    stale = Request(
        step="void", path=company.platform.invoices.address, query={"operation": "void"},
        headers={"Content-Type": "application/json"}, body=json.dumps({"Id": document.id, "SyncToken": "7"}),
    )  # fmt: skip
    with pytest.raises(Unavailable, match="working on this at the same time"):
        company.platform.execute(stale, key="void")
    assert company.platform.void(document.id, "again").status == "void"


def test_an_invoice_without_an_address_has_no_link_and_cannot_be_mailed(company: Books) -> None:
    document = issued(company.platform, orders.simple("SO-1", customer={"ref": "C-7", "name": "No Mail"}))
    assert company.platform.link(document.id) is None
    with pytest.raises(Rejected, match="BillEmail"):
        company.platform.send(document.id, "mail")


# -- credit memos ------------------------------------------------------------------------------------------------------


def credited(company: Books, draft: InvoiceDraft) -> Try[PlannedInvoice]:
    """A first try at giving back all of the order, which has just been invoiced."""
    note = note_of(company, issued(company.platform, draft), draft)
    return Try(note, company.platform.credits.plan(note))


def of_kind(company: Books, kind: str) -> list[Any]:
    return list(company.platform.invoices.rows(f"select * from {kind}", kind))


def test_a_credit_memo_is_set_off_by_a_payment_of_nothing_that_links_both(company: Books) -> None:
    one = credited(company, orders.simple("SO-1"))
    assert company.platform.credits.create(one).error is None
    (invoice,), (memo,), (payment,) = (of_kind(company, kind) for kind in ("Invoice", "CreditMemo", "Payment"))
    assert (payment["TotalAmt"], payment["UnappliedAmt"]) == (0, 0)
    links = [(line["Amount"], line["LinkedTxn"][0]) for line in payment["Line"]]
    assert links == [
        (invoice["TotalAmt"], {"TxnId": invoice["Id"], "TxnType": "Invoice"}),
        (invoice["TotalAmt"], {"TxnId": memo["Id"], "TxnType": "CreditMemo"}),
    ]
    assert invoice["LinkedTxn"] == memo["LinkedTxn"] == [{"TxnId": payment["Id"], "TxnType": "Payment"}]
    with pytest.raises(Rejected, match="linked to others"):
        company.platform.void(invoice["Id"], "void")


def test_a_company_that_applies_credits_by_itself_is_not_told_to_do_it_again(company: Books) -> None:
    switched(company, applies_credits=True)
    one = credited(company, orders.simple("SO-1"))
    assert company.platform.credits.create(one).error is None
    assert len(of_kind(company, "Payment")) == 1
    assert found(company.platform.credits, one.draft).resume_at is None
    assert company.platform.read(one.draft.credited.id).due == 0


def test_more_than_is_due_by_now_is_not_set_off(company: Books) -> None:
    """Somebody has paid meanwhile: the credit memo is there, and a person says what it is for."""
    draft = orders.simple("SO-1")
    late = credited(company, draft)
    other = note_of(company, late.draft.credited, draft, "C2")
    assert company.platform.credits.create(Try(other, company.platform.credits.plan(other))).error is None
    outcome = company.platform.credits.create(late)
    assert type(outcome.error) is Rejected
    assert "more than is open" in outcome.error.message
    assert found(company.platform.credits, late.draft).resume_at == "apply"
