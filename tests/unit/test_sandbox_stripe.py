"""The emulated Stripe is as strict as the documents say, in time that the tests turn."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest

from connectors.sandbox.base import Request, Response
from connectors.sandbox.stripe import Stripe

VERSION = "2026-06-24.dahlia"


class Account:
    """A client of a fresh emulator; `now` is its clock, half a second later with each call."""

    def __init__(self, step: float = 0.5) -> None:
        self.now = 1_795_348_800.0
        self.step = step
        self.database = sqlite3.connect(":memory:", isolation_level=None)
        self.emulator = Stripe(self.database, lambda: self.now)
        self.headers = {"authorization": "Bearer sk_test_sandbox", "stripe-version": VERSION, "host": "sandbox:1"}

    def send(self, method: str, path: str, pairs: Mapping[str, str] | None = None, **headers: str | None) -> Response:
        self.now += self.step
        named = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        kept = {name: value for name, value in named.items() if value is not None}
        return self.emulator.handle(Request(method, path, kept, urlencode(pairs or {}).encode()))

    def call(self, method: str, path: str, pairs: Mapping[str, str] | None = None, **headers: str | None) -> Any:
        response = self.send(method, path, pairs, **headers)
        assert response.status == 200, response.body
        return json.loads(response.body)

    def refused(self, method: str, path: str, pairs: Mapping[str, str] | None = None, **headers: str | None) -> Any:
        """Status, code (or type) and parameter of an error answer."""
        response = self.send(method, path, pairs, **headers)
        error = json.loads(response.body)["error"]
        return response.status, error.get("code", error["type"]), error.get("param")

    def customer(self, email: str = "ada@example.com") -> str:
        return str(self.call("POST", "/v1/customers", {"email": email, "name": "Ada"})["id"])

    def draft(self, customer: str | None = None, **more: str) -> str:
        terms = {"collection_method": "send_invoice", "days_until_due": "14", "currency": "gbp"}
        return str(self.call("POST", "/v1/invoices", {"customer": customer or self.customer(), **terms, **more})["id"])

    def lines(self, invoice: str, *amounts: int) -> Any:
        pairs = {f"lines[{at}][amount]": str(amount) for at, amount in enumerate(amounts)}
        return self.call("POST", f"/v1/invoices/{invoice}/add_lines", pairs)

    def open(self) -> str:
        invoice = self.draft()
        self.lines(invoice, 1000)
        self.call("POST", f"/v1/invoices/{invoice}/finalize")
        return invoice


@pytest.fixture
def account() -> Account:
    return Account()


INVOICE = {"currency": "gbp", "collection_method": "send_invoice", "days_until_due": "14"}


@pytest.mark.parametrize(
    ("path", "pairs", "code", "param"),
    [
        ("/v1/customers", {"nmae": "Ada"}, "parameter_unknown", "nmae"),
        ("/v1/customers", {"address[zip]": "N1"}, "parameter_unknown", "address[zip]"),
        ("/v1/customers", {"email": "nobody"}, "email_invalid", "email"),
        ("/v1/customers", {f"metadata[{'k' * 41}]": "v"}, "parameter_invalid", f"metadata[{'k' * 41}]"),
        ("/v1/customers", {"metadata[k]": "v" * 501}, "parameter_invalid", "metadata[k]"),
        ("/v1/tax_rates", {"display_name": "VAT", "inclusive": "false"}, "parameter_missing", "percentage"),
        ("/v1/tax_rates", {"display_name": "V", "inclusive": "no"}, "parameter_invalid_boolean", "inclusive"),
        ("/v1/coupons", {"amount_off": "5.00", "currency": "gbp"}, "parameter_invalid_integer", "amount_off"),
        ("/v1/coupons", {"amount_off": "500"}, "parameter_missing", "currency"),
        ("/v1/coupons", {"amount_off": "1", "currency": "gbp", "name": "x" * 41}, "parameter_invalid", "name"),
        ("/v1/invoices", INVOICE, "parameter_missing", "customer"),
        ("/v1/invoices", {**INVOICE, "customer": "cus_nobody"}, "resource_missing", "customer"),
    ],
)  # fmt: skip
def test_parameters_are_checked(account: Account, path: str, pairs: dict[str, str], code: str, param: str) -> None:
    assert account.refused("POST", path, pairs) == (400, code, param)


def test_a_key_and_a_version_are_needed(account: Account) -> None:
    assert account.refused("GET", "/v1/customers", authorization=None)[0] == 401
    assert account.refused("GET", "/v1/customers", authorization="Bearer sk_test_other")[0] == 401
    assert account.refused("GET", "/v1/customers", stripe_version=None)[0] == 400
    assert account.refused("GET", "/v1/customers", stripe_account="acct_other") == (403, "account_invalid", None)
    basic = "Basic c2tfdGVzdF9zYW5kYm94Og=="
    assert account.call("GET", "/v1/customers", authorization=basic)["data"] == []
    assert account.refused("GET", "/v1/charges")[0] == 404


def test_accounts_and_modes_do_not_see_each_other(account: Account) -> None:
    account.customer()
    for key in ("sk_test_sandbox2", "sk_live_sandbox", "sk_test_connected"):
        assert account.call("GET", "/v1/customers", authorization=f"Bearer {key}")["data"] == []
    assert len(account.call("GET", "/v1/customers", stripe_account="acct_sandbox")["data"]) == 1


def test_customers_are_listed_by_exact_email_newest_first_in_pages(account: Account) -> None:
    made = [account.customer() for _ in range(5)]
    account.customer("Ada@example.com")
    found, after = [], ""
    for _ in range(3):
        page = account.call("GET", f"/v1/customers?email=ada%40example.com&limit=2{after}")
        found += [raw["id"] for raw in page["data"]]
        after = f"&starting_after={found[-1]}"
    assert found == made[::-1]
    assert page["has_more"] is False
    assert account.refused("GET", "/v1/customers?limit=101") == (400, "parameter_invalid", "limit")


def test_a_coupons_own_id_is_taken_once(account: Account) -> None:
    pairs = {"id": "bh-1", "amount_off": "500", "currency": "gbp"}
    account.call("POST", "/v1/coupons", pairs)
    assert account.refused("POST", "/v1/coupons", pairs) == (400, "resource_already_exists", "id")


def test_an_invoice_to_be_sent_needs_an_email_and_a_term(account: Account) -> None:
    nameless = account.call("POST", "/v1/customers", {"name": "No mail"})["id"]
    response = account.send("POST", "/v1/invoices", {**INVOICE, "customer": nameless})
    assert b"Missing email" in response.body
    without = {name: value for name, value in INVOICE.items() if name != "days_until_due"}
    assert account.refused("POST", "/v1/invoices", {**without, "customer": nameless})[0] == 400


def test_the_first_ten_lines_are_embedded_and_all_are_listed(account: Account) -> None:
    invoice = account.draft()
    shown = account.lines(invoice, *range(1, 13))
    assert (len(shown["lines"]["data"]), shown["lines"]["has_more"]) == (10, True)
    listed = account.call("GET", f"/v1/invoices/{invoice}/lines?limit=100")
    assert [line["amount"] for line in listed["data"]] == list(range(1, 13))


def test_an_invoice_takes_250_lines_all_of_them_or_none(account: Account) -> None:
    invoice = account.draft()
    account.lines(invoice, *[1] * 249)
    pairs = {"lines[0][amount]": "1", "lines[1][amount]": "1"}
    assert account.refused("POST", f"/v1/invoices/{invoice}/add_lines", pairs)[0] == 400
    assert account.call("GET", f"/v1/invoices/{invoice}")["total"] == 249


def test_lines_name_known_tax_rates_and_never_rates_and_amounts_together(account: Account) -> None:
    invoice = account.draft()
    path = f"/v1/invoices/{invoice}/add_lines"
    unknown = {"lines[0][amount]": "100", "lines[0][tax_rates][0]": "txr_nobody"}
    assert account.refused("POST", path, unknown) == (400, "resource_missing", "lines[0][tax_rates]")
    rated = {"lines[0][amount]": "1000", "lines[0][tax_rates][0]": "txr_VAT20"}
    assert account.call("POST", path, rated)["total"] == 1200
    tax = "lines[0][tax_amounts][0]"
    data = {"display_name": "VAT", "percentage": "20", "inclusive": "false"}
    given = {f"{tax}[tax_rate_data][{name}]": value for name, value in data.items()}
    given |= {"lines[0][amount]": "100", f"{tax}[amount]": "21", f"{tax}[taxable_amount]": "100"}
    assert account.refused("POST", path, given)[0] == 400
    other = account.draft()
    assert account.call("POST", f"/v1/invoices/{other}/add_lines", given)["total"] == 121


def test_each_state_takes_only_its_own_steps(account: Account) -> None:
    draft = account.draft()
    assert account.refused("POST", f"/v1/invoices/{draft}/finalize")[1] == "invoice_no_customer_line_items"
    assert account.refused("POST", f"/v1/invoices/{draft}/void")[1] == "status_transition_invalid"
    done = account.open()
    for step in ("finalize", "add_lines"):
        pairs = {"lines[0][amount]": "1"} if step == "add_lines" else {}
        assert account.refused("POST", f"/v1/invoices/{done}/{step}", pairs)[1] == "invoice_not_editable"
    assert account.refused("DELETE", f"/v1/invoices/{done}")[1] == "invoice_not_editable"
    assert account.call("POST", f"/v1/invoices/{done}/mark_uncollectible")["status"] == "uncollectible"
    assert account.call("POST", f"/v1/invoices/{done}/void")["status"] == "void"
    assert account.refused("POST", f"/v1/invoices/{done}/send")[1] == "status_transition_invalid"
    assert account.call("DELETE", f"/v1/invoices/{draft}")["deleted"] is True
    assert account.refused("GET", f"/v1/invoices/{draft}") == (404, "resource_missing", "id")
    paid = account.open()
    assert account.call("POST", f"/v1/invoices/{paid}/pay", {"paid_out_of_band": "true"})["status"] == "paid"
    assert account.refused("POST", f"/v1/invoices/{paid}/void")[1] == "status_transition_invalid"


def test_a_finalised_invoice_has_number_page_and_pdf(account: Account) -> None:
    shown = account.call("GET", f"/v1/invoices/{account.open()}")
    assert shown["number"].endswith("-0001")
    assert shown["hosted_invoice_url"].startswith("http://sandbox:1/stripe/i/in_")
    path = shown["invoice_pdf"].removeprefix("http://sandbox:1/stripe")
    assert account.send("GET", path, authorization=None).body.startswith(b"%PDF")


def test_sending_a_draft_finalises_it(account: Account) -> None:
    invoice = account.draft()
    account.lines(invoice, 1000)
    assert account.call("POST", f"/v1/invoices/{invoice}/send")["status"] == "open"


def test_a_key_answers_again_as_the_first_time_for_a_day(account: Account) -> None:
    pairs = {"email": "ada@example.com"}
    first = account.send("POST", "/v1/customers", pairs, idempotency_key="k")
    again = account.send("POST", "/v1/customers", pairs, idempotency_key="k")
    assert again.body == first.body
    assert again.headers["Idempotent-Replayed"] == "true"
    account.now += 24 * 3600
    later = account.send("POST", "/v1/customers", pairs, idempotency_key="k")
    assert later.body != first.body


def test_a_key_for_another_call_or_other_parameters_is_refused(account: Account) -> None:
    account.call("POST", "/v1/customers", {"name": "Ada"}, idempotency_key="k")
    assert account.refused("POST", "/v1/customers", {"name": "Bob"}, idempotency_key="k")[:2] == (
        400,
        "idempotency_error",
    )
    tax = {"display_name": "VAT", "inclusive": "false", "percentage": "1"}
    assert account.refused("POST", "/v1/tax_rates", tax, idempotency_key="k")[1] == "idempotency_error"


def test_a_key_keeps_refusals_of_what_had_begun_and_forgets_failed_validation(account: Account) -> None:
    invoice = account.draft()
    path = f"/v1/invoices/{invoice}/finalize"
    assert account.refused("POST", path, idempotency_key="k")[1] == "invoice_no_customer_line_items"
    account.lines(invoice, 1000)
    assert account.refused("POST", path, idempotency_key="k")[1] == "invoice_no_customer_line_items"
    assert account.call("POST", path, idempotency_key="other")["status"] == "open"
    assert account.refused("POST", "/v1/customers", {"nmae": "x"}, idempotency_key="v")[1] == "parameter_unknown"
    account.call("POST", "/v1/customers", {"name": "x"}, idempotency_key="v")


def test_a_stored_500_is_replayed_and_nothing_was_done(account: Account) -> None:
    pairs = {"email": "ada@example.com"}
    stored = {"idempotency_key": "k", "x_sandbox_fault": "error_stored"}
    assert account.send("POST", "/v1/customers", pairs, **stored).status == 500
    assert account.send("POST", "/v1/customers", pairs, idempotency_key="k").status == 500
    assert account.call("GET", "/v1/customers")["data"] == []
    assert account.send("POST", "/v1/customers", pairs, idempotency_key="k2").status == 200


def test_the_search_lags_the_list_does_not(account: Account) -> None:
    customer = account.customer()
    invoice = account.draft(customer, **{"metadata[billhook_order]": "SO-1"})
    query = "/v1/invoices/search?query=metadata%5B'billhook_order'%5D%3A'SO-1'"
    assert account.call("GET", query)["data"] == []
    assert [raw["id"] for raw in account.call("GET", f"/v1/invoices?customer={customer}")["data"]] == [invoice]
    account.now += 60
    assert [raw["id"] for raw in account.call("GET", query)["data"]] == [invoice]


def test_calls_over_the_quota_are_refused_until_the_second_is_over() -> None:
    account = Account(step=0.0)
    answers = [account.send("GET", "/v1/customers").status for _ in range(26)]
    assert answers == [200] * 25 + [429]
    assert account.emulator.refused_for_quota == 1
    assert account.refused("GET", "/v1/customers")[:2] == (429, "rate_limit")
    account.now += 1.01
    assert account.send("GET", "/v1/customers").status == 200


def test_the_ledger_shows_every_invoice_as_a_stranger_sees_it(account: Account) -> None:
    invoice = account.draft(**{"metadata[billhook_order]": "SO-1", "metadata[billhook_key]": "k-1"})
    price = {"currency": "gbp", "unit_amount": "4500", "product_data][name": "Plaque"}
    pairs = {f"lines[0][price_data][{name}]": value for name, value in price.items()}
    account.call("POST", f"/v1/invoices/{invoice}/add_lines", {**pairs, "lines[0][quantity]": "2"})
    [entry] = account.emulator.ledger()
    assert (entry.reference, entry.key, entry.customer, entry.currency) == ("SO-1", "k-1", "Ada", "GBP")
    assert (entry.lines, entry.total, entry.status) == (("Plaque × 2 @ 45.00",), "90.00", "draft")


def test_a_deleted_drafts_id_does_not_come_back(account: Account) -> None:
    customer = account.customer()
    first = account.draft(customer)
    account.call("DELETE", f"/v1/invoices/{first}")
    assert account.draft(customer) != first


def test_a_call_takes_about_a_millisecond_whatever_the_books_hold() -> None:
    account = Account(step=1.0)
    for _ in range(300):
        account.open()
    customer = account.customer("one@example.com")
    took = []
    for _ in range(50):
        started = time.perf_counter()
        account.call("GET", f"/v1/invoices?customer={customer}&limit=100")
        account.customer("two@example.com")
        took.append(time.perf_counter() - started)
    assert min(took) < 2 * 0.005  # the others may have waited for the machine
