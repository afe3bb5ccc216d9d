"""What is particular to Salesforce: three ways of keeping invoices, graphs, two grants, a limit without a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import ValidationError

from connectors.assertions import Asserted
from connectors.errors import ConnectorError, Duplicate, Rejected, Throttled, Unauthorized, Unavailable, Uncertain
from connectors.http import Http
from connectors.model import Status
from connectors.platforms import salesforce_words as words
from connectors.platforms.documents import PlannedInvoice
from connectors.platforms.salesforce import Salesforce
from connectors.sandbox import salesforce as sandbox
from connectors.sandbox.faults import Fault
from tests.contract import orders
from tests.contract import test_platforms as recorded
from tests.contract import test_sandbox_faults as faults
from tests.contract.attempts import Try, found, settle
from tests.contract.running import Books, RunningSandbox, Subject, subjects
from tests.contract.samples.salesforce import MODES
from tests.contract.test_credits import note_of, tried
from tests.contract.walking import attempt, customer_id, issued, packed
from tests.kit.dripping import HostileServer

AFTERWARDS = [fault for fault in Fault if fault not in {Fault.THROTTLE, Fault.EXPIRE_TOKENS, Fault.REFUSE_ELEMENT}]


@pytest.fixture
def org() -> Iterator[Books]:
    sandbox_ = RunningSandbox([sandbox.Salesforce])
    yield Books(subjects()["salesforce"], sandbox_)
    sandbox_.close()


def connected(org: Books, **settings: Any) -> Any:
    return org.connected(settings=org.subject.settings(**settings))


def subject(mode: str) -> Subject:
    return Subject(Salesforce, sandbox.Salesforce, MODES[mode])


# -- the other two ways ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("order", orders.ORDERS)
def test_an_order_in_the_package_and_in_revenue_cloud(org: Books, mode: str, order: str) -> None:
    platform, draft = connected(org, mode=mode), orders.ORDERS[order]()
    too_much = {"three decimals": "amount fields", "300 characters": "name is 300 characters"}
    too_much |= {"250 lines": "needs 503 records"} if mode == "revenue" else {}
    if order in too_much:
        with pytest.raises(Rejected, match=too_much[order]):
            attempt(platform, draft)
        return
    document = issued(platform, draft)
    assert (document.total, document.tax, document.status) == (draft.total, draft.tax_total, Status.ISSUED)
    hit = found(platform.invoices, attempt(platform, draft).draft)
    assert hit is not None
    assert (hit.document, hit.resume_at) == (document, None)
    assert platform.read(document.id) == document
    (entry,) = org.ledger()
    assert (Decimal(entry.total), entry.reference, entry.key) == (draft.total, draft.reference, draft.key)
    assert all(line.description.split(",")[0] in " ".join(entry.lines) for line in draft.lines)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", list(Fault), ids=str)
def test_a_fault_in_the_other_modes_ends_with_exactly_one_invoice(mode: str, fault: Fault) -> None:
    faults.test_a_fault_at_any_step_ends_with_exactly_one_invoice(subject(mode), fault)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", AFTERWARDS, ids=str)
def test_an_ambiguous_bulk_in_the_other_modes_is_settled_one_by_one(org: Books, mode: str, fault: Fault) -> None:
    faults.test_an_ambiguous_bulk_is_settled_element_by_element(Books(subject(mode), org.sandbox), fault)


@pytest.mark.parametrize("mode", MODES)
def test_recorded_answers_in_the_other_modes(mode: str) -> None:
    recorded.test_the_recorded_invoice_is_read_as_expected(subject(mode))
    recorded.test_each_recorded_refusal_becomes_the_named_error(subject(mode))


@pytest.mark.parametrize("mode", MODES)
def test_what_people_did_in_the_other_modes_is_seen(org: Books, mode: str) -> None:
    """Voided or billed again by hand, and somebody else's invoice with our number."""
    books = Books(subject(mode), org.sandbox)
    document = issued(books.platform, orders.simple("SO-1"))
    org.sandbox.run(lambda: MODES[mode].void_by_hand(org.emulator, document.id))
    hit = found(books.platform.invoices, attempt(books.platform, orders.simple("SO-1")).draft)
    assert hit is not None
    assert (hit.document.status, hit.resume_at) == (Status.VOID, None)
    org.sandbox.run(lambda: MODES[mode].steal_number(org.emulator, "SO-2"))
    hit = found(books.platform.invoices, attempt(books.platform, orders.simple("SO-2")).draft)
    assert hit is not None
    assert (hit.document.key, hit.resume_at) == (None, None)


@pytest.mark.parametrize("mode", MODES)
def test_many_at_once_in_the_package_and_in_revenue_cloud(org: Books, mode: str) -> None:
    """One of them is refused, and the others are made."""
    platform = connected(org, mode=mode)
    customer = customer_id(platform, orders.simple("SO-1"))
    drafts = [PlannedInvoice(draft=orders.simple(f"SO-{n}"), customer_id=customer) for n in range(4)]
    tries = [Try(draft, platform.invoices.plan(draft)) for draft in drafts]
    nobody = drafts[2].model_copy(update={"customer_id": "001Nobody/003Nobody"})
    tries[2] = Try(nobody, platform.invoices.plan(nobody))
    outcomes = packed(platform, tries)
    assert [type(outcome.error) for outcome in outcomes] == [type(None), type(None), Rejected, type(None)]
    assert "001Nobody" in outcomes[2].error.message
    assert [entry.status for entry in org.ledger()] == ["issued"] * 3
    again = packed(platform, [Try(one.draft, one.plan) for one in tries[:2]])
    assert [type(outcome.error) for outcome in again] == [Duplicate, Duplicate]


BROKEN = [{"errorCode": "UNKNOWN_EXCEPTION", "message": "An unexpected error occurred"}]


@pytest.mark.parametrize(("mode", "means"), [("object", Unavailable), ("revenue", Uncertain)])
def test_a_part_that_broke_is_no_refusal(org: Books, mode: str, means: type[ConnectorError]) -> None:
    """A graph is rolled back then; whether an invoice was ingested is not known."""
    platform = connected(org, mode=mode)
    one = attempt(platform, orders.simple("SO-1"))
    part = {"referenceId": "invoice", "httpStatusCode": 500, "body": BROKEN}
    name = words.graph_id(one.draft.key)
    graph = {"graphId": name, "isSuccessful": False, "graphResponse": {"compositeResponse": [part]}}
    answer = {"graphs": [graph], "results": [{"statusCode": 500, "result": BROKEN}]}
    server = HostileServer(recorded.replies(json.dumps(answer).encode()))
    try:
        (outcome,) = packed(org.subject.at(server.url, settings=platform.settings), [Try(one.draft, one.plan)])
    finally:
        server.close()
    assert type(outcome.error) is means


def test_the_packages_own_sums_are_compared_before_an_invoice_is_posted(org: Books) -> None:
    """And a draft that was left is found and posted."""
    platform = connected(org, mode="package")
    one = attempt(platform, orders.full("SO-1", "45.00"))
    create, _ = one.plan
    half = Try(one.draft, (create,))
    platform.invoices.create(half)
    hit = found(platform.invoices, one.draft)
    assert hit is not None
    assert (hit.resume_at, hit.document.status) == ("issue", Status.DRAFT)
    changed = hit.document.model_copy(update={"total": Decimal("118.15")})
    refused = platform.invoices.create(Try(one.draft, one.plan, made={"create": hit.document.id}, document=changed))
    assert "+0.01 GBP" in refused.difference
    assert settle(platform.invoices, one).document.status is Status.ISSUED
    assert [entry.status for entry in org.ledger()] == ["issued"]


def test_roll_ups_of_an_own_object_are_not_written(org: Books) -> None:
    (create, post) = attempt(connected(org, computed=True), orders.simple("SO-1")).plan
    head = json.loads(create.body)["graphs"][0]["compositeRequest"][0]["body"]
    assert "Total__c" not in head
    assert head["Status__c"] == "Draft"
    assert post.issues


def test_a_credit_note_is_a_record_that_names_its_invoice(org: Books) -> None:
    draft = orders.full("SO-1", "45.00")
    invoice = issued(org.platform, draft)
    note = note_of(org, invoice, draft)
    made = org.platform.credits.create(tried(org, note)).document
    record = org.sandbox.run(lambda: org.emulator.books.get("Billhook_Credit_Note__c", made.id))
    assert (record["Invoice__c"], record["Total__c"], record["Status__c"]) == (invoice.id, Decimal("118.14"), "Issued")
    lines = org.sandbox.run(lambda: org.emulator.books.all("Billhook_Credit_Note_Line__c"))
    assert {line["Credit_Note__c"] for line in lines} == {made.id}
    assert type(org.platform.credits.create(tried(org, note)).error) is Duplicate, "the key is unique"
    roll_ups = connected(org, computed=True).credits.plan(note)
    assert [request.step for request in roll_ups] == ["create", "issue"]


@pytest.mark.parametrize("settings", [{"credit_object": None}, {"mode": "package"}, {"mode": "revenue"}])
def test_without_an_object_for_them_there_are_no_credit_notes(org: Books, settings: dict[str, Any]) -> None:
    platform = connected(org, **settings)
    assert platform.credits is None
    assert "credit" not in platform.facts.can


@pytest.mark.parametrize("mode", MODES)
def test_what_is_in_the_package_and_in_revenue_cloud_is_listed_by_date(org: Books, mode: str) -> None:
    platform = connected(org, mode=mode)
    org.sandbox.run(lambda: [MODES[mode].steal_number(org.emulator, f"SO-{number}") for number in range(7)])
    mine = issued(platform, orders.simple("SO-77"))
    org.sandbox.run(lambda: setattr(org.emulator, "page", 3))
    listed = platform.since(date(2026, 11, 1))
    assert {one.reference for one in listed} == {"SO-77", *(f"SO-{number}" for number in range(7))}
    assert mine in listed
    assert platform.since(date(2099, 1, 1)) == []


def test_an_ingested_invoice_that_is_not_there_yet_is_uncertain_and_found_later(org: Books) -> None:
    platform = connected(org, mode="revenue")
    org.emulator.working = 12.0
    one = attempt(platform, orders.simple("SO-1"))
    outcome = platform.invoices.create(one)
    assert type(outcome.error) is Uncertain
    assert "still works on it" in outcome.error.message
    org.sandbox.pass_time(15)
    hit = found(platform.invoices, one.draft)
    assert hit is not None
    assert hit.document.key == one.draft.key
    assert type(platform.invoices.create(Try(one.draft, one.plan)).error) is Duplicate
    assert len(org.ledger()) == 1


def test_revenue_cloud_spreads_the_discount_and_wants_a_whole_address(org: Books) -> None:
    platform = connected(org, mode="revenue")
    one = attempt(platform, orders.ORDERS["two lines, discount, shipping"]())
    records = json.loads(one.plan[0].body, parse_float=Decimal)["invoices"][0]["graph"]["records"]
    lines = [each["record"] for each in records if each["record"]["attributes"]["type"] == "InvoiceLine"]
    assert [line["chargeAmount"] for line in lines] == [Decimal("85.29"), Decimal("5.21"), Decimal("7.95")]
    nowhere = orders.simple("SO-2").model_copy(update={"billing_address": None})
    with pytest.raises(Rejected, match="a whole address"):
        platform.invoices.plan(PlannedInvoice(draft=nowhere, customer_id="001/003"))


def test_an_invoice_of_revenue_cloud_is_voided_and_one_of_the_package_is_not(org: Books) -> None:
    revenue, package = connected(org, mode="revenue"), connected(org, mode="package")
    document = issued(revenue, orders.simple("SO-1"))
    assert revenue.void(document.id, "void").status is Status.VOID
    with pytest.raises(Rejected, match="credited there"):
        package.void(issued(package, orders.simple("SO-2")).id, "void")


# -- own objects -------------------------------------------------------------------------------------------------------


def test_more_records_than_a_call_takes_go_in_several(org: Books) -> None:
    platform = org.platform
    customer = customer_id(platform, orders.simple("SO-1"))
    lines = orders.ORDERS["250 lines"]().lines
    drafts = [orders.simple(f"SO-{n}") for n in range(3)]
    drafts = [
        draft.model_copy(update={"lines": lines, "total": Decimal(0), "tax_total": Decimal(0)}) for draft in drafts
    ]
    planned = [PlannedInvoice(draft=draft, customer_id=customer) for draft in drafts]
    outcomes = packed(platform, [Try(draft, platform.invoices.plan(draft)) for draft in planned])
    assert [outcome.error for outcome in outcomes] == [None] * 3
    graphs = [call for call in org.calls() if call["target"].endswith("/composite/graph")]
    assert len(graphs) == 1 + 3, "the customer, and 251 records three times"


def test_after_fourteen_failures_the_rest_of_a_call_may_be_tried_again(org: Books) -> None:
    platform = org.platform
    customer = customer_id(platform, orders.simple("SO-1"))
    planned = [PlannedInvoice(draft=orders.simple(f"SO-{n}"), customer_id="001Nobody") for n in range(15)]
    planned.append(PlannedInvoice(draft=orders.simple("SO-99"), customer_id=customer))
    outcomes = packed(platform, [Try(draft, platform.invoices.plan(draft)) for draft in planned])
    assert [type(outcome.error).__name__ for outcome in outcomes] == ["Rejected"] * 15 + ["Unavailable"]
    assert org.ledger() == []


def test_a_text_that_looks_like_a_reference_is_refused_in_words(org: Books) -> None:
    draft = orders.draft("SO-1", [orders.line({**orders.PLAQUE, "description": "Plate @{engraved}"})])
    with pytest.raises(Rejected, match="for a reference to another record"):
        attempt(org.platform, draft)


def test_a_contact_that_the_merchant_has_already_is_taken_with_its_account(org: Books) -> None:
    def typed() -> str:
        account = org.emulator.books.insert("Account", {"Name": "Analytical Engines"})
        contact = {"LastName": "Lovelace", "Email": "ADA@example.com", "AccountId": account}
        org.emulator.books.insert("Contact", contact)
        return str(account)

    theirs = org.sandbox.run(typed)
    assert customer_id(org.platform, orders.simple("SO-1")) == theirs
    assert org.sandbox.run(org.emulator.customers) == [("Analytical Engines", "ADA@example.com")]


def test_an_org_of_one_currency_gets_no_currency_and_no_other(org: Books) -> None:
    platform = connected(org, home_currency="GBP")
    assert "CurrencyIsoCode" not in attempt(platform, orders.simple("SO-1")).plan[0].body
    assert issued(platform, orders.simple("SO-1")).currency == "GBP"
    with pytest.raises(Rejected, match="is in EUR, the Salesforce org has GBP only"):
        attempt(platform, orders.simple("SO-2", currency="EUR"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"fields": {"key": "Total__c"}}, "Total__c must be there and be Unique"),
        ({"customer_key": "Email"}, "Contact.Email must be there and be Unique"),
        ({"fields": {"line_price": "Amount__c"}}, "have 4 decimals"),
    ],
)
def test_an_object_that_cannot_keep_an_order_once_is_said_before_anything_is_sent(
    org: Books, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(Rejected, match=said):
        connected(org, **settings).whoami()
    assert connected(org, mode="revenue").whoami() == "Analytical Engines Org"


def test_what_revenue_cloud_offers_are_its_tax_treatments(org: Books) -> None:
    offered = connected(org, mode="revenue").options()
    assert [(choice.setting, choice.title) for choice in offered] == [
        ("tax_treatments", "Standard VAT"),
        ("tax_treatments", "Reduced VAT"),
    ]


def test_fields_and_statuses_are_checked_when_they_are_configured(org: Books) -> None:
    with pytest.raises(ValidationError, match=r"unknown names \['totl'\]"):
        org.subject.settings(fields={"totl": "X__c"})
    with pytest.raises(ValidationError, match="draft, issued and void"):
        org.subject.settings(statuses={"Open": "issued"})


def test_over_the_limit_of_a_day_it_is_asked_again_after_a_pause(org: Books) -> None:
    one = attempt(org.platform, orders.simple("SO-1"))
    org.emulator.per_day.calls = 0
    outcome = org.platform.invoices.create(one)
    assert type(outcome.error) is Throttled
    assert outcome.error.retry_after == Salesforce.facts.pause.total_seconds()
    assert org.ledger() == []


# -- tokens ------------------------------------------------------------------------------------------------------------


def signed(org: Books, username: str = sandbox.USERNAME) -> tuple[Any, Asserted]:
    """Credentials with a fresh key whose certificate the app has, and the endpoint."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    org.emulator.certificate = public.decode()
    given = {"client_id": sandbox.CLIENT_ID, "username": username, "private_key": pem.decode()}
    credentials = Salesforce.Credentials.model_validate(given)
    return credentials, Salesforce.grant(org.subject.settings(), credentials).at(org.url)


def test_a_signed_assertion_gives_a_token_that_works(org: Books) -> None:
    credentials, endpoint = signed(org)
    token = endpoint.obtain(Http(10), credentials, None)
    assert token.refresh is None
    assert org.connected(headers=Salesforce.proof(token.access, credentials)).whoami()


def test_an_assertion_for_a_user_who_has_not_agreed_is_refused(org: Books) -> None:
    credentials, endpoint = signed(org, "somebody@else.example")
    with pytest.raises(Unauthorized, match="invalid_grant"):
        endpoint.obtain(Http(10), credentials, None)


def test_the_apps_own_secret_gives_a_token(org: Books) -> None:
    credentials = org.subject.credentials()
    token = Salesforce.grant(org.subject.settings(), credentials).at(org.url).obtain(Http(10), credentials, None)
    assert org.connected(headers=Salesforce.proof(token.access, credentials)).whoami()


def test_tokens_are_asked_of_the_orgs_own_host_and_a_sandboxs_are_for_another_audience() -> None:
    given = {**subjects()["salesforce"].samples.settings, "my_domain": "acme.my.salesforce.com"}
    settings = Salesforce.Settings.model_validate(given)
    sandboxed = settings.model_copy(update={"my_domain": "acme--uat.sandbox.my.salesforce.com"})
    credentials = subjects()["salesforce"].credentials()
    live, test = Salesforce.grant(settings, credentials), Salesforce.grant(sandboxed, credentials)
    assert live.token_url == "https://acme.my.salesforce.com/services/oauth2/token"
    assert (live.audience, test.audience) == ("https://login.salesforce.com", "https://test.salesforce.com")


@pytest.mark.parametrize("given", [{}, {"username": "a@b.c"}, {"private_key": "PEM", "client_secret": "s"}])
def test_half_a_set_of_credentials_is_said(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=r"belong together|set client_secret"):
        Salesforce.Credentials.model_validate({"client_id": "c", **given})
