"""Independent proof: Stripe's own SDK drives the emulator, and the connector a third party's server, localstripe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from connectors.auth import StaticHeaders
from connectors.http import Http
from connectors.model import Address, Party, Status
from connectors.platforms.documents import CustomerDraft, Hit
from connectors.platforms.stripe import Stripe
from connectors.platforms.stripe_words import StripeCredentials, StripeSettings, form
from connectors.sandbox.stripe_accounts import CLIENT_ID, CONNECTED
from tests.contract.samples.stripe import KEY, VERSION
from tests.kit.processes import Processes, free_port
from tests.unit.served_stripe import Served, Try

sdk = pytest.mark.proof("stripe")
third_party = pytest.mark.proof("localstripe")


@pytest.fixture
def served() -> Iterator[Served]:
    server = Served()
    yield server
    server.close()


@pytest.fixture
def client(served: Served) -> Any:
    import stripe

    return stripe.StripeClient(
        KEY, base_addresses={"api": served.url}, stripe_version=VERSION, max_network_retries=0
    ).v1


def draft(client: Any, customer: str, **more: Any) -> Any:
    terms = {"collection_method": "send_invoice", "days_until_due": 14, "currency": "gbp", "auto_advance": False}
    return client.invoices.create({"customer": customer, **terms, **more})


LINES = [
    {
        "description": "Brass plaque, engraved",
        "quantity": 2,
        "price_data": {"currency": "gbp", "unit_amount": 4500, "product_data": {"name": "Brass plaque, engraved"}},
        "tax_rates": ["txr_VAT20"],
        "metadata": {"sku": "PLQ-BR"},
    },
    {"description": "Shipping", "amount": 795, "discountable": False, "tax_rates": ["txr_VAT20"]},
]


@sdk
def test_the_sdk_connects_an_account_and_acts_for_it(served: Served) -> None:
    import stripe

    addresses: Any = {"api": served.url, "connect": served.url}
    client = stripe.StripeClient(
        KEY, base_addresses=addresses, stripe_version=VERSION, max_network_retries=0, client_id=CLIENT_ID
    )
    here = "http://localhost:8765/callback"
    page = client.oauth.authorize_url({"scope": "read_write", "redirect_uri": here, "state": "s"})
    came_back = Http(10.0).send("GET", page, unsafe=False).headers["Location"]
    answered = dict(parse_qsl(urlsplit(came_back).query))
    assert answered["state"] == "s"
    given = client.oauth.token({"grant_type": "authorization_code", "code": answered["code"]})
    assert given["stripe_user_id"] == CONNECTED
    made = client.v1.customers.create({"email": "ada@example.com"}, {"stripe_account": CONNECTED})
    assert client.v1.customers.list(options={"stripe_account": CONNECTED}).data[0].id == made.id
    assert client.v1.customers.list().data == []
    with pytest.raises(stripe.PermissionError):
        client.v1.customers.list(options={"stripe_account": "acct_sandbox2"})
    with pytest.raises(stripe.oauth_error.InvalidGrantError):
        client.oauth.token({"grant_type": "authorization_code", "code": answered["code"]})


@sdk
def test_the_sdk_takes_an_invoice_from_draft_to_void(client: Any) -> None:
    customer = client.customers.create(
        {"email": "ada@example.com", "name": "Analytical Engines Ltd", "address": {"line1": "12 Engine Row"}}
    )
    assert client.customers.list({"email": "ada@example.com"}).data[0].id == customer.id
    coupon = client.coupons.create({"id": "bh-1", "amount_off": 500, "currency": "gbp", "duration": "once"})
    invoice = draft(client, customer.id, discounts=[{"coupon": coupon.id}], metadata={"billhook_order": "SO-1001"})
    assert (invoice.status, invoice.number, invoice.hosted_invoice_url) == ("draft", None, None)
    invoice = client.invoices.add_lines(invoice.id, {"lines": LINES})
    assert (invoice.subtotal, invoice.total) == (9795, 11154)
    assert invoice.total_taxes[0].taxable_amount == 9295
    invoice = client.invoices.finalize_invoice(invoice.id, {"auto_advance": False})
    assert (invoice.status, invoice.amount_remaining) == ("open", 11154)
    assert invoice.due_date - invoice.created == 14 * 86400
    assert [line.amount for line in client.invoices.line_items.list(invoice.id).data] == [9000, 795]
    assert client.invoices.retrieve(invoice.id).metadata["billhook_order"] == "SO-1001"
    assert [found.id for found in client.invoices.list({"customer": customer.id}).data] == [invoice.id]
    assert client.invoices.send_invoice(invoice.id).status == "open"
    assert client.invoices.void_invoice(invoice.id).status == "void"


@sdk
def test_the_sdk_pages_through_lists_and_deletes_drafts(client: Any) -> None:
    customer = client.customers.create({"email": "ada@example.com"}).id
    made = [draft(client, customer).id for _ in range(5)]
    found = [invoice.id for invoice in client.invoices.list({"customer": customer, "limit": 2}).auto_paging_iter()]
    assert found == made[::-1]
    assert client.invoices.delete(made[0]).deleted is True
    assert len(client.invoices.list({"customer": customer}).data) == 4


@sdk
def test_the_sdk_reads_tax_rates_and_tax_amounts(client: Any) -> None:
    rate = client.tax_rates.create({"display_name": "VAT", "percentage": 20, "inclusive": True, "country": "GB"})
    assert rate.id in [found.id for found in client.tax_rates.list({"active": True, "inclusive": True}).data]
    invoice = draft(client, client.customers.create({"email": "ada@example.com"}).id)
    data = {"display_name": "VAT", "percentage": 20, "inclusive": False}
    tax = {"amount": 21, "taxable_amount": 100, "tax_rate_data": data}
    added = client.invoices.add_lines(invoice.id, {"lines": [{"amount": 100, "tax_amounts": [tax]}]})
    assert (added.total, added.total_taxes[0].amount) == (121, 21)


@sdk
def test_the_sdk_takes_credit_notes_until_nothing_is_left(client: Any) -> None:
    import stripe

    invoice = draft(client, client.customers.create({"email": "ada@example.com"}).id)
    client.invoices.add_lines(invoice.id, {"lines": LINES})
    invoice = client.invoices.finalize_invoice(invoice.id, {"auto_advance": False})
    line = {"type": "custom_line_item", "description": "Brass plaque", "quantity": 1, "unit_amount": 4500}
    given: Any = {"invoice": invoice.id, "lines": [{**line, "tax_rates": ["txr_VAT20"]}], "email_type": "none"}
    note = client.credit_notes.create(given)
    assert (note.total, note.total_taxes[0].amount, note.status) == (5400, 900, "issued")
    assert (note.pre_payment_amount, note.type, note.number) == (5400, "pre_payment", f"{invoice.number}-CN-01")
    assert client.invoices.retrieve(invoice.id).amount_remaining == invoice.total - 5400
    assert [found.id for found in client.credit_notes.list({"invoice": invoice.id}).data] == [note.id]
    client.invoices.pay(invoice.id, {"paid_out_of_band": True})
    with pytest.raises(stripe.InvalidRequestError, match="must equal the post_payment_amount"):
        client.credit_notes.create(given)
    assert client.credit_notes.create({**given, "out_of_band_amount": 5400}).type == "post_payment"
    assert client.credit_notes.retrieve(note.id).lines.data[0].unit_amount_decimal == 4500


@sdk
def test_the_sdk_sees_a_replay_and_a_conflict_of_keys(client: Any) -> None:
    import stripe

    options = {"idempotency_key": "one"}
    first = client.customers.create({"email": "ada@example.com"}, options)
    again = client.customers.create({"email": "ada@example.com"}, options)
    assert again.id == first.id
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        client.customers.create({"email": "bob@example.com"}, options)


@sdk
def test_the_sdk_raises_its_own_exceptions(served: Served, client: Any) -> None:
    import stripe

    with pytest.raises(stripe.InvalidRequestError) as missing:
        client.invoices.retrieve("in_nobody")
    assert (missing.value.code, missing.value.http_status) == ("resource_missing", 404)
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        client.customers.create({"nmae": "Ada"})
    assert (unknown.value.code, unknown.value.param) == ("parameter_unknown", "nmae")
    other = stripe.StripeClient("sk_test_other", base_addresses={"api": served.url}, max_network_retries=0).v1
    with pytest.raises(stripe.AuthenticationError):
        other.customers.list()


@sdk
def test_the_sdk_sees_the_rate_limit(served: Served, client: Any) -> None:
    import stripe

    served.emulator.test_calls = 1
    client.customers.list()
    with pytest.raises(stripe.RateLimitError):
        client.customers.list()


@pytest.fixture
def localstripe(processes: Processes) -> str:
    """The address of a localstripe server of this test alone."""
    port = free_port()
    server = processes.start(sys.executable, "-m", "localstripe", "--port", str(port), "--from-scratch")
    server.until_listening(port)
    return f"http://127.0.0.1:{port}"


def connector(url: str) -> Stripe:
    headers = Stripe.proof("", StripeCredentials.model_validate({"api_key": KEY}))
    return Stripe(StripeSettings(tax_rates={}), StaticHeaders(headers), Http(10.0), base_url=url)


@third_party
def test_the_connectors_customer_calls_work_on_localstripe(localstripe: str) -> None:
    stripe = connector(localstripe)
    party = Party(name="Ada Lovelace", company="Analytical Engines Ltd", email="ada@example.com", phone="+44 20 1")
    home = Address(line1="12 Engine Row", city="London", postcode="N1 7AA", country="GB")
    wanted = CustomerDraft(key="engraver/C-9", party=party, billing_address=home)
    assert stripe.customers.find([wanted]) == [None]
    made = stripe.customers.create(Try(wanted, stripe.customers.plan(wanted))).document
    assert made is not None
    assert (made.name, made.key) == ("Analytical Engines Ltd", "engraver/C-9")
    [hit] = stripe.customers.find([wanted])
    assert isinstance(hit, Hit)
    assert hit.document == made


@third_party
def test_the_connectors_tax_rate_listing_and_void_calls_work_on_localstripe(localstripe: str) -> None:
    stripe = connector(localstripe)
    rate = form("rate", "/v1/tax_rates", [("display_name", "VAT"), ("percentage", "20"), ("inclusive", "false")])
    rate_id = stripe.execute(rate).json()["id"]
    assert [(found.id, found.percentage) for found in stripe.tax_rates()] == [(rate_id, Decimal(20))]
    customer = subscriber(stripe, rate_id)
    item = [("customer", customer), ("amount", "500"), ("currency", "gbp")]
    stripe.execute(form("item", "/v1/invoiceitems", item))
    draft_id = stripe.execute(form("i", "/v1/invoices", [("customer", customer)])).json()["id"]
    listed = stripe.pages("/v1/invoices", {"customer": customer})
    [opened] = [raw["id"] for raw in listed if raw["id"] != draft_id]
    stripe.execute(form("m", f"/v1/invoices/{opened}", [("metadata[billhook_key]", "k-1")]))
    assert len(stripe.pages(f"/v1/invoices/{opened}/lines", {})) == 1
    read = stripe.read(opened)
    assert (read.status, read.total, read.key) == (Status.ISSUED, Decimal("108.00"), "k-1")
    assert stripe.void(opened, "void-1").status is Status.VOID
    assert stripe.read(draft_id).status is Status.DRAFT
    assert stripe.void(draft_id, "void-2").status is Status.VOID
    assert [raw["id"] for raw in stripe.pages("/v1/invoices", {"customer": customer})] == [opened]


def subscriber(stripe: Stripe, rate: str) -> str:
    """A customer with an unpaid subscription: the only way to an open invoice on localstripe."""

    def made(path: str, **pairs: str) -> str:
        return str(stripe.execute(form("made", path, pairs.items())).json()["id"])

    customer = made("/v1/customers", email="ada@example.com")
    card = made("/v1/payment_methods/pm_card_chargeCustomerFail/attach", customer=customer)
    default = [("invoice_settings[default_payment_method]", card)]
    stripe.execute(form("card", f"/v1/customers/{customer}", default))
    product = made("/v1/products", name="Plaques", type="service")
    plan = made("/v1/plans", amount="9000", currency="gbp", interval="month", product=product)
    pairs = [("customer", customer), ("items[0][plan]", plan), ("default_tax_rates[0]", rate)]
    stripe.execute(form("subscription", "/v1/subscriptions", pairs))
    return customer
