"""How an order is written for Stripe, and what is found there, checked against the emulator's own arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest

from connectors.auth import StaticHeaders
from connectors.errors import Rejected, Uncertain
from connectors.model import Address, Adjustment, Charge, InvoiceDraft, Line, Party, RemoteInvoice, Status, Tax
from connectors.platforms.documents import CustomerDraft, Hit, Outcome, PlannedInvoice
from connectors.platforms.stripe import Stripe
from connectors.platforms.stripe_words import StripeCredentials, StripeSettings
from tests.contract.samples.stripe import SAMPLES, call, steal_number, void_by_hand
from tests.unit.served_stripe import Served, Try

ADA = Party(ref="C-9", name="Ada Lovelace", company="Analytical Engines Ltd", email="ada@example.com")
HOME = Address(line1="12 Engine Row", city="London", postcode="N1 7AA", country="GB")


@pytest.fixture
def served() -> Iterator[Served]:
    server = Served()
    yield server
    server.close()


def vat(amount: str, rate: str = "20") -> Tax:
    return Tax(name="VAT", rate=Decimal(rate), amount=Decimal(amount))


def line(ref: str, price: str, quantity: str, tax: Tax | None, **more: Any) -> Line:
    text = more.pop("description", f"Item {ref}")
    return Line(ref=ref, description=text, quantity=Decimal(quantity), unit_price=Decimal(price), tax=tax, **more)


def order(lines: list[Line], tax_total: str, total: str, **more: Any) -> InvoiceDraft:
    values = {
        "key": "engraver/books/8a61f0/whole/invoice/1",
        "reference": "SO-1001",
        "order_ref": "SO-1001",
        "currency": "GBP",
        "issued_on": date(2026, 11, 22),
        "due_on": date(2026, 12, 6),
        "customer": ADA,
        "billing_address": HOME,
        **more,
    }
    return InvoiceDraft(lines=tuple(lines), tax_total=Decimal(tax_total), total=Decimal(total), **values)


PLAQUE = line("1", "45.00", "2", vat("18.00"), sku="PLQ-BR", description="Brass plaque, engraved")
TAG = line("2", "5.50", "1", vat("1.10"), sku="TAG-ST", description="Steel tag")
OFF = Adjustment(amount=Decimal("5.00"), tax=vat("1.00"))
COURIER = Charge(description="Courier", amount=Decimal("7.95"), tax=vat("1.59"))
ISSUE_EXAMPLE = order([PLAQUE], "18.59", "111.54", discount=OFF, shipping=COURIER)
TWO_LINES = order([PLAQUE, TAG], "19.69", "118.14", discount=OFF, shipping=COURIER, shipping_address=HOME)


def customer(stripe: Stripe, party: Party = ADA) -> str:
    draft = CustomerDraft(key="engraver/C-9", party=party, billing_address=HOME)
    outcome = stripe.customers.create(Try(draft, stripe.customers.plan(draft)))
    assert outcome.document is not None, outcome.error
    return outcome.document.id


def created(stripe: Stripe, draft: InvoiceDraft) -> Outcome[RemoteInvoice]:
    planned = PlannedInvoice(draft=draft, customer_id=customer(stripe))
    return stripe.invoices.create(Try(planned, stripe.invoices.plan(planned)))


def offline(settings: Mapping[str, Any] = SAMPLES.settings) -> Stripe:
    return Stripe(StripeSettings.model_validate(settings), StaticHeaders({}))


def planned(draft: InvoiceDraft, settings: Mapping[str, Any] = SAMPLES.settings) -> dict[str, dict[str, str]]:
    plan = offline(settings).invoices.plan(PlannedInvoice(draft=draft, customer_id="cus_Q1"))
    return {request.step: dict(parse_qsl(request.body, keep_blank_values=True)) for request in plan}


def test_the_plan_of_the_example_of_two_lines_is_what_stripe_documents() -> None:
    steps = planned(TWO_LINES)
    assert list(steps) == ["coupon", "draft", "lines", "finalize"]
    coupon = steps["coupon"]
    assert (coupon["amount_off"], coupon["currency"], coupon["duration"]) == ("500", "gbp", "once")
    draft = steps["draft"]
    assert draft["collection_method"] == "send_invoice"
    assert draft["days_until_due"] == "14"
    assert draft["discounts[0][coupon]"] == coupon["id"]
    assert draft["metadata[billhook_order]"] == "SO-1001"
    assert draft["shipping_details[address][postal_code]"] == "N1 7AA"
    lines = steps["lines"]
    assert lines["lines[0][price_data][unit_amount]"] == "4500"
    assert lines["lines[0][quantity]"] == "2"
    assert lines["lines[0][tax_rates][0]"] == "txr_VAT20"
    assert lines["lines[2][amount]"] == "795"
    assert lines["lines[2][discountable]"] == "false"
    assert steps["finalize"] == {"auto_advance": "false"}


def test_the_plan_is_the_same_bytes_each_time() -> None:
    invoices, draft = offline().invoices, PlannedInvoice(draft=TWO_LINES, customer_id="cus_Q1")
    assert invoices.plan(draft) == invoices.plan(draft)


EXAMPLES = {
    "the issue's example": (ISSUE_EXAMPLE, "111.54", "18.59"),
    "two lines": (TWO_LINES, "118.14", "19.69"),
    "tax included": (
        order([line("1", "54.00", "2", vat("18.00"))], "17.00", "102.00", tax_included=True,
              discount=Adjustment(amount=Decimal("6.00"), tax=vat("1.00"))), "102.00", "17.00",
    ),
    "no decimals": (
        order([line("1", "1200", "3", vat("360", "10"))], "360", "3960", currency="JPY"), "3960", "360",
    ),
    "rounded by line in the shop, by total at the platform": (
        order([line(str(n), "0.12", "1", vat("0.02")) for n in range(3)], "0.06", "0.42"), "0.42", "0.06",
    ),
    "rounded by total in the shop": (
        order([line("1", "0.12", "1", vat("0.03")), line("2", "0.12", "1", vat("0.02")),
               line("3", "0.12", "1", vat("0.02"))], "0.07", "0.43"), "0.43", "0.07",
    ),
    "a fraction of a unit": (order([line("1", "3.33", "1.5", vat("1.00"))], "1.00", "6.00"), "6.00", "1.00"),
    "a line's own discount": (
        order([line("1", "10.00", "2", vat("3.60"), discount=Decimal("2.00"))], "3.60", "21.60"), "21.60", "3.60",
    ),
    "no tax": (order([line("1", "10.00", "1", None)], "0", "10.00"), "10.00", "0"),
    "two rates and a discount at one of them": (
        order([line("1", "10.00", "1", vat("2.00")), line("2", "10.00", "1", vat("0.50", "5"))], "1.90", "18.90",
              discount=Adjustment(amount=Decimal("3.00"), tax=vat("0.60"))), "18.90", "1.90",
    ),
    "a discount larger than the goods": (
        order([line("1", "5.00", "1", vat("1.00"))], "1.09", "6.54", shipping=COURIER,
              discount=Adjustment(amount=Decimal("7.50"), tax=vat("1.50"))), "6.54", "1.09",
    ),
    "nothing to pay": (
        order([line("1", "5.00", "1", vat("1.00"))], "0", "0",
              discount=Adjustment(amount=Decimal("5.00"), tax=vat("1.00"))), "0", "0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_invoice_agrees_with_the_order_to_the_cent(served: Served, name: str) -> None:
    draft, total, tax = EXAMPLES[name]
    settings = SAMPLES.settings
    if draft.currency == "JPY":
        rate = {"display_name": "JCT", "percentage": "10", "inclusive": "false"}
        settings = {"tax_rates": {"10": call(served.emulator, "POST", "/v1/tax_rates", rate)["id"]}}
    outcome = created(served.stripe(settings), draft)
    assert outcome.error is None, outcome.error
    assert outcome.difference is None
    assert outcome.document is not None
    assert (outcome.document.total, outcome.document.tax) == (Decimal(total), Decimal(tax))
    assert outcome.document.status is (Status.PAID if not draft.total else Status.ISSUED)


def test_where_rounding_could_differ_the_taxes_are_given_as_amounts_and_no_coupon_is_made() -> None:
    draft, _, _ = EXAMPLES["two rates and a discount at one of them"]
    steps = planned(draft)
    assert list(steps) == ["draft", "lines", "finalize"]
    assert steps["draft"]["discounts"] == ""
    lines = steps["lines"]
    assert lines["lines[0][amount]"] == "700"
    assert lines["lines[0][description]"] == "Item 1 (order discount −3.00)"
    assert lines["lines[0][tax_amounts][0][amount]"] == "140"
    assert lines["lines[1][price_data][unit_amount]"] == "1000"
    assert not any("tax_rates" in name for name in lines)


def refused(draft: InvoiceDraft, settings: Mapping[str, Any] = SAMPLES.settings) -> str:
    with pytest.raises(Rejected) as caught:
        planned(draft, settings)
    return caught.value.message


def test_a_tax_rate_that_is_not_configured_is_named() -> None:
    draft = order([line("1", "10.00", "1", vat("2.10", "21"))], "2.10", "12.10")
    assert "21 %" in refused(draft)
    assert '"tax_rates"' in refused(draft)
    included = draft.model_copy(update={"tax_included": True})
    assert '"inclusive_tax_rates"' in refused(included)


def test_what_stripe_cannot_carry_is_refused_and_not_cut() -> None:
    ten = order([line("1", "10.00", "1", None)], "0", "10.00")
    assert "501 characters" in refused(ten.model_copy(update={"reference": "x" * 501}))
    assert "e-mail" in refused(ten.model_copy(update={"customer": Party(name="Nobody")}))
    assert "at most 250" in refused(order([line(str(n), "1.00", "1", None) for n in range(251)], "0", "251.00"))
    assert "UGX" in refused(ten.model_copy(update={"currency": "UGX"}))
    assert "decimals" in refused(order([line("1", "10.50", "1", None)], "0", "10.50", currency="MGA"))
    assert "larger" in refused(
        order([line("1", "1.00", "1", None)], "0", "0", discount=Adjustment(amount=Decimal("9.00")))
    )


def test_a_customer_is_ours_by_key_else_the_oldest_that_nobody_claimed(served: Served) -> None:
    stripe = served.stripe()
    draft = CustomerDraft(key="engraver/C-9", party=ADA)
    assert stripe.customers.find([draft]) == [None]
    first = call(served.emulator, "POST", "/v1/customers", {"email": "ada@example.com", "name": "Ada"})
    call(served.emulator, "POST", "/v1/customers", {"email": "ada@example.com", "name": "Ada again"})
    other = {"email": "ada@example.com", "metadata[billhook_customer]": "another/C-1"}
    call(served.emulator, "POST", "/v1/customers", other)
    [hit] = stripe.customers.find([draft])
    assert isinstance(hit, Hit)
    assert hit.document.id == first["id"]
    mine = customer(stripe)
    [hit] = stripe.customers.find([draft])
    assert isinstance(hit, Hit)
    assert (hit.document.id, hit.document.key) == (mine, "engraver/C-9")


class Died(BaseException):
    """The process ends here."""


@pytest.mark.parametrize(("dies_before", "resumes_at"), [("draft", None), ("lines", "lines"), ("finalize", "finalize")])
def test_a_half_built_invoice_is_found_and_continued(served: Served, dies_before: str, resumes_at: str | None) -> None:
    stripe = served.stripe()
    draft = PlannedInvoice(draft=TWO_LINES, customer_id=customer(stripe))
    plan = stripe.invoices.plan(draft)

    def stop(step: str) -> None:
        if step == dies_before:
            raise Died

    with pytest.raises(Died):
        stripe.invoices.create(Try(draft, plan, stop=stop))
    [hit] = stripe.invoices.find([draft])
    if resumes_at is None:
        assert hit is None
        again = Try(draft, plan)
    else:
        assert isinstance(hit, Hit)
        assert hit.resume_at == resumes_at
        steps = [request.step for request in plan]
        done = dict.fromkeys(steps[: steps.index(resumes_at)], hit.document.id)
        again = Try(draft, plan, made=done, document=hit.document)
    outcome = stripe.invoices.create(again)
    assert outcome.error is None
    assert outcome.difference is None
    assert [(entry.total, entry.status) for entry in served.emulator.ledger()] == [("118.14", "issued")]


def test_a_coupon_that_is_there_already_is_taken(served: Served) -> None:
    stripe = served.stripe()
    draft = PlannedInvoice(draft=TWO_LINES, customer_id=customer(stripe))
    plan = stripe.invoices.plan(draft)
    coupon = plan[0]
    call(served.emulator, "POST", coupon.path, dict(parse_qsl(coupon.body)))
    outcome = stripe.invoices.create(Try(draft, plan))
    assert outcome.error is None
    assert outcome.document is not None
    assert outcome.document.total == Decimal("118.14")


def test_two_invoices_with_one_key_are_an_error_that_names_both(served: Served) -> None:
    stripe = served.stripe()
    draft = PlannedInvoice(draft=ISSUE_EXAMPLE, customer_id=customer(stripe))
    coupon, body = (dict(parse_qsl(request.body)) for request in stripe.invoices.plan(draft)[:2])
    call(served.emulator, "POST", "/v1/coupons", coupon)
    two = [call(served.emulator, "POST", "/v1/invoices", body)["id"] for _ in range(2)]
    [error] = stripe.invoices.find([draft])
    assert isinstance(error, Rejected)
    assert all(identifier in error.message for identifier in two)


def test_a_draft_with_some_of_its_lines_is_left_to_a_person(served: Served) -> None:
    stripe = served.stripe()
    draft = PlannedInvoice(draft=TWO_LINES, customer_id=customer(stripe))
    coupon, body = (dict(parse_qsl(request.body)) for request in stripe.invoices.plan(draft)[:2])
    call(served.emulator, "POST", "/v1/coupons", coupon)
    there = call(served.emulator, "POST", "/v1/invoices", body)["id"]
    some = {"lines[0][description]": "One", "lines[0][amount]": "1"}
    call(served.emulator, "POST", f"/v1/invoices/{there}/add_lines", some)
    [error] = stripe.invoices.find([draft])
    assert isinstance(error, Rejected)
    assert "1 of 3 lines" in error.message


def test_what_is_found_is_told_apart_ours_voided_and_somebody_elses(served: Served) -> None:
    stripe = served.stripe()
    outcome = created(stripe, ISSUE_EXAMPLE)
    assert outcome.document is not None
    customer_id = outcome.document.customer_id or ""
    ours = PlannedInvoice(draft=ISSUE_EXAMPLE, customer_id=customer_id)
    other = ISSUE_EXAMPLE.model_copy(update={"key": "another", "reference": "SO-1002"})
    theirs = PlannedInvoice(draft=other, customer_id=customer_id)
    void_by_hand(served.emulator, outcome.document.id)
    steal_number(served.emulator, "SO-1002")
    before = served.sandbox.hosted["stripe"].count
    [voided, foreign] = stripe.invoices.find([ours, theirs])
    assert served.sandbox.hosted["stripe"].count == before + 1, "one customer is listed once"
    assert isinstance(voided, Hit)
    assert voided.document.status is Status.VOID
    assert isinstance(foreign, Hit)
    assert (foreign.document.key, foreign.resume_at) == (None, None)


def test_an_issued_invoice_is_read_mailed_shown_and_voided(served: Served) -> None:
    stripe = served.stripe()
    document = created(stripe, ISSUE_EXAMPLE).document
    assert document is not None
    assert stripe.read(document.id) == document
    stripe.send(document.id, "send-1")
    assert stripe.pdf(document.id).startswith(b"%PDF")
    assert (stripe.link(document.id) or "").startswith(served.url)
    assert stripe.void(document.id, "void-1").status is Status.VOID
    assert stripe.void(document.id, "void-2").status is Status.VOID


def test_voiding_a_draft_deletes_it(served: Served) -> None:
    stripe = served.stripe()
    draft = PlannedInvoice(draft=ISSUE_EXAMPLE, customer_id=customer(stripe))
    plan = stripe.invoices.plan(draft)

    def stop(step: str) -> None:
        if step == "lines":
            raise Died

    attempt = Try(draft, plan, stop=stop)
    with pytest.raises(Died):
        stripe.invoices.create(attempt)
    assert stripe.void(attempt.made["draft"], "void-1").status is Status.VOID
    assert stripe.invoices.find([draft]) == [None]


def test_one_key_with_other_parameters_is_uncertain(served: Served) -> None:
    stripe = served.stripe()
    draft = PlannedInvoice(draft=ISSUE_EXAMPLE, customer_id=customer(stripe))
    request = stripe.invoices.plan(draft)[0]
    stripe.execute(request, key="one")
    with pytest.raises(Uncertain):
        stripe.execute(request.model_copy(update={"body": request.body.replace("500", "501")}), key="one")


def test_the_tax_rates_to_choose_from_are_listed(served: Served) -> None:
    rates = served.stripe().tax_rates()
    assert {(rate.id, rate.percentage, rate.inclusive) for rate in rates} >= {
        ("txr_VAT20", Decimal(20), False),
        ("txr_VAT20_inclusive", Decimal(20), True),
    }


def test_the_tenant_is_the_account_or_a_hash_of_the_key_and_never_the_key() -> None:
    credentials = StripeCredentials.model_validate({"api_key": "sk_test_secretsecret"})
    named = StripeSettings(tax_rates={}, account="acct_1")
    assert Stripe.tenant(named, credentials) == "acct_1-test"
    unnamed = Stripe.tenant(StripeSettings(tax_rates={}), credentials)
    assert "secretsecret" not in unnamed
    assert unnamed == Stripe.tenant(StripeSettings(tax_rates={}), credentials)
    assert Stripe(named, StaticHeaders({})).tenant_headers() == {"Stripe-Account": "acct_1"}
