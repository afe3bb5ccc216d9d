"""What only Wave has: GraphQL, errors inside a 200, a discount taken off the lines, mails that need an address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from connectors.errors import Rejected, Unavailable, Uncertain
from connectors.model import Status
from connectors.platforms import wave_words as words
from connectors.sandbox import wave as sandbox
from connectors.sandbox.base import Request
from connectors.sandbox.faults import Fault
from connectors.sandbox.graphql import Invalid, parsed
from connectors.sandbox.wave_books import SCHEMA, money
from tests.contract import orders
from tests.contract.attempts import found, look
from tests.contract.running import Books, RunningSandbox, subjects
from tests.contract.samples.wave import SAMPLES, mutate
from tests.contract.walking import attempt, issued

SETTINGS = words.WaveSettings.model_validate(SAMPLES.settings)


@pytest.fixture
def books() -> Iterator[Books]:
    subject = subjects()["wave"]
    running = RunningSandbox([subject.emulator])
    yield Books(subject, running)
    running.close()


def ask(books: Books, document: str, token: str = sandbox.APP.access_token, **variables: Any) -> Any:
    """One document, asked of the emulator itself."""
    body = json.dumps({"query": document, "variables": variables}).encode()
    request = Request("POST", "/graphql/public", {"authorization": f"Bearer {token}"}, body)
    return json.loads(books.sandbox.run(lambda: books.emulator.handle(request)).body)


def documents() -> list[str]:
    return [text for text in vars(words).values() if isinstance(text, str) and text.startswith(("query ", "mutation "))]


def test_every_document_of_ours_fits_the_schema() -> None:
    assert len(documents()) == 12
    for document in documents():
        SCHEMA.check(parsed(document))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ('query { business(name: "Personal") { id } }', 'Unknown argument "name" on field "business" of type "Query"'),
        ("query { business { id colour } }", 'Cannot query field "colour" on type "Business"'),
        ("query { business }", "must have a selection"),
        ("query { user { id { x } } }", "must not have a selection"),
        ("query { business(id: $b) { id } }", r"\$b"),
        ("query { business(id: ", "found"),
        ("query { user { id } } }", "unexpected"),
    ],
)
def test_a_document_that_does_not_fit_is_invalid(document: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        SCHEMA.check(parsed(document))


def test_a_document_is_validated_before_anybody_is_asked_who_they_are(books: Books) -> None:
    def code(document: str, **variables: Any) -> str:
        return str(ask(books, document, "nobody", **variables)["errors"][0]["extensions"]["code"])

    assert code("query { user { colour } }") == "GRAPHQL_VALIDATION_FAILED"
    assert code("query { user { id } }") == "UNAUTHENTICATED"
    assert code(words.APPROVE_INVOICE, input={}) == "BAD_USER_INPUT"
    assert code(words.APPROVE_INVOICE, input={"invoiceId": "x", "colour": "red"}) == "BAD_USER_INPUT"
    assert code(words.APPROVE_INVOICE, input={"invoiceId": "x"}) == "UNAUTHENTICATED"
    assert ask(books, words.APPROVE_INVOICE, input={"invoiceId": "x"})["data"] == {"invoiceApprove": None}


def test_a_discount_is_taken_off_the_lines_and_said_in_the_trail(books: Books) -> None:
    one = attempt(books.platform, orders.ORDERS["two lines, discount, shipping"]())
    assert one.plan[0].remark == "the order's discount is taken off its lines"
    assert "discounts" not in one.plan[0].body
    outcome = books.platform.invoices.create(one)
    assert (outcome.error, outcome.difference) == (None, None)
    (entry,) = books.ledger()
    assert entry.lines[0].startswith("Brass plaque, engraved (PLQ-BR)\n2 × 45.00, discount 4.71 × 2 @ 42.645")


def test_a_cent_of_rounding_is_a_line_of_its_own(books: Books) -> None:
    lines = [orders.line({**orders.TAG, "ref": str(n), "unit_price": "0.03"}) for n in range(3)]
    lines[0]["tax"] = {**lines[0]["tax"], "amount": "0.02"}
    one = attempt(books.platform, orders.draft("SO-1", lines))
    assert one.plan[0].remark == "a line of 0.01 makes up for how Wave rounds tax"
    assert books.platform.invoices.create(one).difference is None
    assert books.ledger()[0].total == "0.13"


def test_a_line_without_tax_does_not_take_the_products_own(books: Books) -> None:
    draft = orders.draft("SO-1", [orders.line(orders.PLAQUE, None)])
    assert issued(books.platform, draft).total == Decimal("90.00")


def test_a_total_of_thousands_is_read_as_a_number(books: Books) -> None:
    draft = orders.draft("SO-1", [orders.line({**orders.PLAQUE, "unit_price": "1234567.89"})])
    assert issued(books.platform, draft).total == Decimal("2962962.94")


def test_an_invoice_that_does_not_exist_is_refused_in_words(books: Books) -> None:
    refused = ask(books, words.GET_INVOICE, b=sandbox.BUSINESS, id="none")
    assert refused["errors"][0]["path"] == ["business"]
    with pytest.raises(Rejected, match="could not be found"):
        books.platform.read("none")


def test_an_invoice_that_somebody_deleted_is_not_there(books: Books) -> None:
    document = issued(books.platform, orders.simple("SO-1"))
    given = {"invoiceId": document.id}
    books.sandbox.run(partial(mutate, books.emulator, "invoiceDelete", "InvoiceDeleteInput", given))
    assert look(books.platform.invoices, attempt(books.platform, orders.simple("SO-1")).draft) is None


@pytest.mark.parametrize("paid", ["50.00", "108.00"])
def test_what_is_paid_cannot_be_taken_back_by_anybody(books: Books, paid: str) -> None:
    """Wave has no void, and deletes nothing that has payments."""
    document = issued(books.platform, orders.simple("SO-1"))

    def pay() -> None:
        doc = books.emulator.shelf.get("invoice", document.id)
        left = document.total - Decimal(paid)
        sums = {"amountPaid": money(Decimal(paid), "GBP"), "amountDue": money(left, "GBP")}
        books.emulator.shelf.put("invoice", document.id, {**doc, **sums, "status": "PARTIAL" if left else "PAID"})

    books.sandbox.run(pay)
    with pytest.raises(Rejected, match="Wave cannot void invoices through its API"):
        books.platform.void(document.id, "v")
    with pytest.raises(AssertionError, match="with payments cannot be deleted"):
        books.sandbox.run(
            partial(mutate, books.emulator, "invoiceDelete", "InvoiceDeleteInput", {"invoiceId": document.id})
        )
    assert books.platform.read(document.id).due == document.total - Decimal(paid)


def test_a_list_holds_drafts_and_what_is_dated_later_but_nothing_deleted(books: Books) -> None:
    drafting = books.connected(settings=SETTINGS.model_copy(update={"issue": False}))
    drafts = [
        orders.simple(name).model_copy(update={"issued_on": day, "due_on": day})
        for name, day in (("SO-1", date(2026, 1, 31)), ("SO-2", date(2026, 2, 1)), ("SO-3", date(2026, 2, 2)))
    ]
    made = [issued(drafting, draft).id for draft in drafts]
    listed = books.platform.since(date(2026, 2, 1))
    assert [(one.id, one.status) for one in listed] == [(ident, Status.DRAFT) for ident in made[1:]]
    given = {"invoiceId": made[2]}
    books.sandbox.run(partial(mutate, books.emulator, "invoiceDelete", "InvoiceDeleteInput", given))
    assert [one.id for one in books.platform.since(date(2026, 2, 1))] == made[1:2]
    refused = ask(books, words.LIST_INVOICES, **{"b": sandbox.BUSINESS, "page": 1, "from": "yesterday"})
    assert refused["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


def test_a_draft_that_was_left_is_approved_later(books: Books) -> None:
    drafting = books.connected(settings=SETTINGS.model_copy(update={"issue": False}))
    document = issued(drafting, orders.simple("SO-1"))
    one = attempt(books.platform, orders.simple("SO-1"))
    hit = found(books.platform.invoices, one.draft)
    assert hit is not None
    assert hit.resume_at == "approve"
    outcome = books.platform.invoices.create(one.after(hit))
    assert (outcome.document.id, outcome.document.status) == (document.id, Status.ISSUED)


def test_a_mail_goes_to_the_customers_address_and_its_own_faults_have_their_names(books: Books) -> None:
    document = issued(books.platform, orders.simple("SO-1"))
    assert books.sandbox.run(books.emulator.customers) == [("Analytical Engines Ltd", "ada@example.com")]
    books.platform.send(document.id, "m")
    assert books.sandbox.run(books.emulator.mails) == [(document.id, "ada@example.com")]
    question = books.platform._raw(document.id)
    mailing = books.connected()
    mailing._raw = lambda remote_id: question
    for fault, error in ((Fault.ANSWER_LOST, Uncertain), (Fault.ERROR_AFTER, Uncertain), (Fault.GARBAGE, Uncertain)):
        books.fault(fault)
        with pytest.raises(error):
            mailing.send(document.id, "m")
    books.fault(Fault.ERROR_BEFORE)
    with pytest.raises(Unavailable):
        books.platform.send(document.id, "m")


def test_a_draft_is_not_mailed_and_a_customer_without_an_address_neither(books: Books) -> None:
    drafting = books.connected(settings=SETTINGS.model_copy(update={"issue": False}))
    with pytest.raises(Rejected, match="must be approved"):
        drafting.send(issued(drafting, orders.simple("SO-1")).id, "m")
    nobody = orders.simple("SO-2", customer={"ref": "C-1", "name": "Ada Lovelace"})
    with pytest.raises(Rejected, match="no e-mail address"):
        books.platform.send(issued(books.platform, nobody).id, "m")


def test_a_business_on_classic_invoicing_is_named(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    classic = {"id": sandbox.BUSINESS, "name": "Old Ltd", "isClassicInvoicing": True}
    monkeypatch.setattr(books.emulator, "_root", lambda name, arguments: classic)
    with pytest.raises(Rejected, match="Old Ltd still uses Wave's classic invoicing"):
        books.platform.whoami()
