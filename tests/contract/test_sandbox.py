"""Every platform against its emulator over real HTTP: the whole way, and only ours is found."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from functools import partial

import pytest

from connectors.auth import OAuth2
from connectors.consent import Consent
from connectors.errors import ConnectorError, Duplicate, Rejected, Throttled, Unauthorized, Uncertain
from connectors.http import Http
from connectors.model import Status
from connectors.platforms.documents import Request
from connectors.sandbox.faults import Fault
from tests.contract import orders
from tests.contract.attempts import Try, found, look, settle
from tests.contract.running import Books, RunningSandbox, Subject
from tests.contract.walking import attempt, customer_id, issued

MAY_BE_TOO_MUCH = {"300 characters", "only an e-mail", "no decimals", "three decimals"}
"""What a platform may refuse in words, if it has no room for it or needs more; nothing is ever cut."""


@pytest.mark.parametrize("order", orders.ORDERS)
def test_the_whole_way_of_an_order(subject: Subject, order: str) -> None:
    sandbox = RunningSandbox([subject.emulator])
    try:
        books = Books(subject, sandbox)
        try:
            _whole_way(books, order)
        except Rejected as refused:
            told = len(refused.message.split()) > 4  # in words, to the merchant
            if order not in MAY_BE_TOO_MUCH or books.ledger() or not told:
                raise
    finally:
        sandbox.close()


def _whole_way(books: Books, order: str) -> None:
    platform, draft, can = books.platform, orders.ORDERS[order](), books.platform.facts.can
    customer = customer_id(platform, draft)
    assert customer_id(platform, draft) == customer, "the second order of a customer finds the first one's"
    one = attempt(platform, draft)
    assert found(platform.invoices, one.draft) is None
    outcome = platform.invoices.create(one)
    if outcome.error:
        raise outcome.error
    assert outcome.difference is None
    assert [what for what, _ in one.log] == ["begin", "done"] * len(one.plan)
    hit = found(platform.invoices, one.draft)
    assert hit is not None
    for document in (outcome.document, platform.read(outcome.document.id), hit.document):
        assert (document.total, document.currency) == (draft.total, draft.currency)
        assert (document.key, document.reference) == (draft.key, draft.reference)
        assert (document.status, document.customer_id) == (Status.ISSUED, customer)
        assert document.tax in {None, draft.tax_total}
        assert document.due in {None, draft.total}
    (entry,) = books.ledger()
    assert (Decimal(entry.total), entry.currency, entry.status) == (draft.total, draft.currency, "issued")
    assert (entry.id, entry.reference) == (outcome.document.id, draft.reference)
    assert draft.key in entry.key
    assert len(entry.lines) >= len(draft.lines)
    assert all(line.description.split(",")[0] in " ".join(entry.lines) for line in draft.lines)
    name = draft.customer.company or draft.customer.name or draft.customer.email or ""
    assert draft.customer.email == entry.customer or name.strip() in entry.customer
    _afterwards(books, outcome.document.id, can)


def _afterwards(books: Books, remote_id: str, can: frozenset[str]) -> None:
    platform = books.platform
    if "mail" in can:
        platform.send(remote_id, "mail-1")
    if "link" in can:
        assert platform.link(remote_id).startswith("http")
    if "pdf" in can:
        assert platform.pdf(remote_id).startswith(b"%PDF")
    if "void" in can:
        assert platform.void(remote_id, "void-1").status is Status.VOID
        assert platform.read(remote_id).status is Status.VOID
        assert [entry.status for entry in books.ledger()] == ["void"]


def test_the_customer_is_created_once(books: Books) -> None:
    first, second = orders.simple("SO-1"), orders.simple("SO-2")
    a, b = issued(books.platform, first), issued(books.platform, second)
    assert a.customer_id == b.customer_id
    assert a.id != b.id
    assert len(books.customers()) == books.subject.keeps_customers


def test_two_customers_of_one_name_are_not_mixed_up(books: Books) -> None:
    one = orders.simple("SO-1", customer={"ref": "C-1", "name": "Ann Smith", "email": "ann@example.com"})
    other = orders.simple("SO-2", customer={"ref": "C-2", "name": "Ann Smith", "email": "smith@example.com"})
    assert issued(books.platform, one).customer_id != issued(books.platform, other).customer_id
    assert len(books.customers()) == 2 * books.subject.keeps_customers


@pytest.mark.parametrize("reference", ["SO-1001", "SO, 1001"])
def test_only_ours_is_found(books: Books, reference: str) -> None:
    """Another case, a beginning, an end: not the same reference."""
    draft = orders.simple("X").model_copy(update={"reference": reference})
    issued(books.platform, draft)
    for near in (
        reference.lower(),
        reference[:-1],
        reference + "1",
        reference[1:],
        reference + "-2",
        "SO_1001",
        "SO%1",
    ):
        one = attempt(books.platform, draft.model_copy(update={"reference": near, "key": f"k/{near}"}))
        assert found(books.platform.invoices, one.draft) is None, near
    assert found(books.platform.invoices, attempt(books.platform, draft).draft) is not None


def test_what_was_voided_is_shown_as_voided(books: Books) -> None:
    """By us or by hand; whoever asks holds it, it is not made again."""
    by_hand = books.subject.samples.void_by_hand
    if by_hand is None:
        assert "void" not in books.platform.facts.can
        return
    for reference in ("SO-1", "SO-2"):
        draft = orders.simple(reference)
        document = issued(books.platform, draft)
        if reference == "SO-1" and "void" in books.platform.facts.can:
            books.platform.void(document.id, "void")
        else:
            books.sandbox.run(partial(by_hand, books.emulator, document.id))
        hit = found(books.platform.invoices, attempt(books.platform, draft).draft)
        assert hit is not None, reference
        assert (hit.document.status, hit.resume_at, hit.document.id) == (Status.VOID, None, document.id)


def test_somebody_elses_document_with_our_number_is_not_ours(books: Books) -> None:
    one = attempt(books.platform, orders.simple("SO-1001"))
    books.sandbox.run(lambda: books.subject.samples.steal_number(books.emulator, "SO-1001"))
    before = books.ledger()
    hit = found(books.platform.invoices, one.draft)
    assert hit is not None, "it has our reference: a person must look"
    assert hit.document.key != one.draft.key
    assert hit.resume_at is None
    if books.platform.facts.reference.unique:
        outcome = books.platform.invoices.create(one)
        assert type(outcome.error) is Duplicate
        assert books.ledger() == before


def test_ours_is_preferred_to_somebody_elses_where_numbers_are_not_unique(books: Books) -> None:
    if books.platform.facts.reference.unique:
        return
    document = issued(books.platform, orders.simple("SO-1001"))
    books.sandbox.run(lambda: books.subject.samples.steal_number(books.emulator, "SO-1001"))
    hit = found(books.platform.invoices, attempt(books.platform, orders.simple("SO-1001")).draft)
    assert hit is not None
    assert hit.document.id == document.id


def test_a_number_that_is_taken_by_ourselves_is_a_duplicate(books: Books) -> None:
    document = issued(books.platform, orders.simple("SO-1001"))
    if books.platform.facts.reference.unique:
        again = attempt(books.platform, orders.simple("SO-1001"), generation=2)
        outcome = books.platform.invoices.create(again)
        assert type(outcome.error) is Duplicate
        settled = settle(books.platform.invoices, again).document
        assert settled is not None
        assert settled.id == document.id
        assert len(books.ledger()) == 1


def test_two_documents_of_one_order_are_an_error_not_a_choice(books: Books) -> None:
    """Whoever made the second one, a person must see both; a unique number does not let it happen."""
    one = attempt(books.platform, orders.simple("SO-1001"))
    assert books.platform.invoices.create(one).error is None
    second = books.platform.invoices.create(one.after(None))
    if books.platform.facts.reference.unique or books.platform.facts.once:
        assert type(second.error) is Duplicate
        assert len(books.ledger()) == 1
    else:
        assert second.error is None
        assert type(look(books.platform.invoices, one.draft)) is Rejected


def test_the_same_bytes_under_the_same_key_give_the_same_document(books: Books) -> None:
    if books.subject.key is None:
        return
    one = attempt(books.platform, orders.simple("SO-1"))
    first = books.platform.invoices.create(one)
    second = books.platform.invoices.create(Try(one.draft, one.plan))
    assert second.error is None
    assert first.document.id == second.document.id
    assert len(books.ledger()) == 1


def test_other_bytes_under_the_same_key_are_uncertain(books: Books) -> None:
    if books.subject.key is None:
        return
    one = attempt(books.platform, orders.simple("SO-1"))
    other = attempt(books.platform, orders.simple("SO-2"))
    assert books.platform.invoices.create(one).error is None
    changed: Request = other.plan[0]
    with pytest.raises(Uncertain):
        books.platform.execute(changed, key=one.key(one.plan[0].step))
    assert Counter(entry.reference for entry in books.ledger()) == {"SO-1": 1}


def test_a_stored_500_is_replayed_under_its_key_and_gone_in_the_next_generation(books: Books) -> None:
    if books.subject.key is None:
        return
    one = attempt(books.platform, orders.simple("SO-1"))
    books.fault(Fault.ERROR_STORED)
    assert type(books.platform.invoices.create(one).error) is Uncertain
    assert type(books.platform.invoices.create(Try(one.draft, one.plan)).error) is Uncertain, "replayed"
    assert found(books.platform.invoices, one.draft) is None
    assert settle(books.platform.invoices, one).error is None
    assert len(books.ledger()) == 1


def test_a_key_is_forgotten_after_its_life(books: Books) -> None:
    """So the durable guard is the look-up, not the key; the emulator must be as forgetful as the platform."""
    key = books.subject.key
    if key is None:
        return
    one = attempt(books.platform, orders.simple("SO-1"))
    books.fault(Fault.ERROR_STORED)
    assert type(books.platform.invoices.create(one).error) is Uncertain
    books.sandbox.pass_time(key.lives.total_seconds() + 60)
    assert books.renewed().invoices.create(Try(one.draft, one.plan)).error is None


def test_it_says_whose_books_these_are_by_a_harmless_read(books: Books) -> None:
    assert books.platform.whoami().strip()
    wrong = {name: f"{value[:7]}wrong" for name, value in books.subject.headers().items()}
    with pytest.raises(Unauthorized):
        books.connected(headers=wrong).whoami()
    assert books.ledger() == []


def test_what_the_merchant_can_choose_are_settings_and_the_sample_is_among_it(books: Books) -> None:
    settings = books.platform.settings
    offered: dict[str, dict[str | None, set[str]]] = {}
    for choice in books.platform.options():
        assert choice.setting in type(settings).model_fields, choice
        assert choice.value
        assert choice.title
        offered.setdefault(choice.setting, {}).setdefault(choice.key, set()).add(choice.value)
    if {"tax", "tax_rates"} & set(type(settings).model_fields):
        assert offered, "there is something to choose, so it can be looked up"
    for name, values in offered.items():
        chosen = getattr(settings, name)
        for key, value in chosen.items() if isinstance(chosen, dict) else [(None, chosen)]:
            rate = f"{key.normalize():f}" if isinstance(key, Decimal) else key
            assert value is None or str(value) in values.get(None, set()) | values.get(rate, set()), (name, key, value)


def test_over_its_quota_the_platform_refuses_and_says_when_to_come_back(books: Books) -> None:
    if not books.platform.facts.quotas:
        return
    quota = min((quota for quota in books.platform.facts.quotas if not quota.of), key=lambda quota: quota.calls)
    hurried = books.connected(hurried=True)
    refused: list[ConnectorError] = []
    one = attempt(books.platform, orders.simple("SO-1"))
    limit = books.nearly_used_up(quota.calls)
    for _ in range(limit + 30):
        result = look(hurried.invoices, one.draft)
        if isinstance(result, ConnectorError):
            refused.append(result)
            break
    assert refused, f"{limit} calls at once are the limit"
    assert type(refused[0]) is Throttled
    assert refused[0].retry_after is None or 0 < refused[0].retry_after <= max(90, quota.per.total_seconds())
    assert books.emulator.refused_for_quota >= 1
    outcome = hurried.invoices.create(one)
    assert type(outcome.error) is Throttled
    assert books.ledger() == []
    hours = quota.per.total_seconds() if quota.per.total_seconds() > 90 else 0  # then it may be asked earlier, in vain
    books.sandbox.pass_time(max(refused[0].retry_after or 1, hours) + 1)
    assert books.renewed().invoices.create(Try(one.draft, one.plan)).error is None


def test_a_throttled_call_says_when_to_come_back(books: Books) -> None:
    one = attempt(books.platform, orders.simple("SO-1"))
    books.fault(Fault.THROTTLE, throttle_seconds=7)
    outcome = books.platform.invoices.create(one)
    assert type(outcome.error) is Throttled
    pause = books.platform.facts.pause
    assert outcome.error.retry_after in {7, pause.total_seconds() if pause else None}


def test_a_merchant_consents_and_the_account_is_connected(books: Books) -> None:
    """The browser is sent to the platform's page, agrees, comes back with a code, and the code becomes a token."""
    grant, credentials = books.subject.grant(), books.subject.credentials()
    if not isinstance(grant, OAuth2) or not grant.authorize_url:
        return
    http, here = Http(10), "http://localhost:8765/callback"
    consent = Consent(grant.at(books.url), credentials, here)
    page = http.send("GET", consent.url, unsafe=False)
    assert page.status == 302, page
    came_back = page.headers["Location"]
    assert came_back.startswith(here)
    with pytest.raises(Rejected):
        Consent(grant.at(books.url), credentials, here).token(http, came_back)
    token = consent.token(http, came_back)
    assert token.refresh
    assert books.connected(headers=books.subject.platform.proof(token.access, credentials)).whoami()
    again = grant.at(books.url).obtain(http, credentials, token.refresh)
    assert again.access != token.access
    with pytest.raises(Unauthorized):
        consent.token(http, came_back)
