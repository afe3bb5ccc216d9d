"""After every fault at every step, the look-up finds exactly one or none, and what is missing is completed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from connectors.errors import ConnectorError, Rejected, Throttled, Unauthorized, Uncertain
from connectors.platforms.documents import PlannedInvoice
from connectors.sandbox.faults import Fault
from tests.contract import orders
from tests.contract.attempts import Try, found, look, settle
from tests.contract.running import Books, RunningSandbox, Subject
from tests.contract.walking import attempt, customer_id, ends_with_one, halved, issued, packed
from tests.kit.processes import eventually

WAITS = {Fault.SLOW, Fault.DRIP}
"""Faults that last until the deadline."""
TIMES: dict[str, Any] = {"slow_seconds": 20, "late_seconds": 0.3}
CERTAIN = {Fault.THROTTLE: Throttled, Fault.EXPIRE_TOKENS: Unauthorized, Fault.REFUSE_ELEMENT: Rejected}
AMBIGUOUS = [fault for fault in Fault if fault not in CERTAIN]


def deadline(fault: Fault) -> float:
    """Seconds: short only where it is waited for, so that a busy machine is not taken for a fault."""
    return 0.5 if fault in WAITS else 10.0


def breaks(books: Books, platform: Any, fault: Fault) -> None:
    """From now on, not before: calls get the fault, and are waited for as long as it takes to see it."""
    platform.http.deadline = deadline(fault)
    books.fault(fault, **TIMES)


def until_struck(books: Books, fault: Fault, times: int = 1) -> None:
    """The fault has fallen: on a busy machine a call may be given up before the platform has read it."""
    drawn = books.hosted.injector.injected
    eventually(lambda: books.sandbox.run(lambda: drawn[fault]) == times, 20)


def expected(fault: Fault, subject: Subject) -> type[ConnectorError] | None:
    """What the call ends with; None where the platform does not know that fault."""
    if fault is Fault.EXPIRE_TOKENS and subject.grant() is None:
        return None
    if fault is Fault.REFUSE_ELEMENT and subject.facts.bulk == 1:
        return None
    return CERTAIN.get(fault, Uncertain)


@pytest.mark.parametrize("fault", list(Fault), ids=str)
def test_a_fault_at_any_step_ends_with_exactly_one_invoice(subject: Subject, fault: Fault) -> None:
    sandbox = RunningSandbox([subject.emulator])
    try:
        books = Books(subject, sandbox)
        plan = attempt(books.platform, orders.full("SO", "45.00")).plan
        for number, request in enumerate(plan):
            _break_at(books, fault, request.step, orders.full(f"SO-{number}", f"{number + 20}.00"))
    finally:
        sandbox.close()


def _break_at(books: Books, fault: Fault, step: str, draft: Any) -> None:
    books.heal()
    before = books.hosted.injector.injected[fault]
    platform = books.renewed()

    def on_begin(begun: str) -> None:
        if begun == step:
            breaks(books, platform, fault)

    one = attempt(platform, draft, on_begin=on_begin)
    outcome = platform.invoices.create(one)
    until_struck(books, fault, before + 1)
    kind = expected(fault, books.subject)
    assert type(outcome.error) is (kind or type(None)), (step, outcome.error)
    books.heal()
    if outcome.error is not None:
        assert ("done", step) not in one.log
        assert outcome.error.sample is not None
    ends_with_one(books, one, outcome, books.renewed())


@pytest.mark.parametrize("fault", list(Fault), ids=str)
def test_a_fault_at_the_customer_ends_with_exactly_one_customer(subject: Subject, fault: Fault) -> None:
    if not subject.keeps_customers:
        return
    sandbox = RunningSandbox([subject.emulator])
    try:
        books = Books(subject, sandbox)
        draft = orders.simple("SO-1")
        wanted = orders.customer(draft)
        platform = books.connected()
        one = Try(wanted, platform.customers.plan(wanted), on_begin=lambda step: breaks(books, platform, fault))
        outcome = platform.customers.create(one)
        if expected(fault, subject) is Uncertain:
            until_struck(books, fault)
            assert type(outcome.error) is Uncertain
        books.heal()
        platform = books.renewed()
        settled = settle(platform.customers, one)
        assert settled.error is None
        assert settled.document is not None
        assert customer_id(platform, draft) == settled.document.id
        assert issued(platform, draft).customer_id == settled.document.id
        assert len(books.customers()) == 1
    finally:
        sandbox.close()


@pytest.mark.parametrize("fault", sorted(set(AMBIGUOUS) - {Fault.ERROR_STORED}), ids=str)  # reads have no key
def test_a_fault_at_a_look_up_says_that_nothing_is_known(books: Books, fault: Fault) -> None:
    one = attempt(books.platform, orders.simple("SO-1"))
    assert books.platform.invoices.create(one).error is None
    books.fault(fault, times=20, **TIMES)
    result = look(books.connected(deadline=deadline(fault)).invoices, one.draft)
    assert isinstance(result, ConnectorError), result
    assert not isinstance(result, Uncertain)
    books.heal()
    assert found(books.platform.invoices, one.draft) is not None


def _fifty(books: Books) -> list[Try[Any]]:
    """As many tries as one call takes, all of one customer."""
    count = books.platform.facts.bulk
    customer = customer_id(books.platform, orders.simple("SO-1"))
    tries = []
    for number in range(count):
        one = attempt_of(books.platform, customer, f"SO-{number}", unit_price=f"{10 + number}.00")
        tries.append(one)
    return tries


def attempt_of(platform: Any, customer: str, reference: str, **line: str) -> Try[Any]:
    draft = orders.draft(reference, [orders.line({**orders.PLAQUE, **line})])
    planned = PlannedInvoice(draft=draft, customer_id=customer)
    return Try(planned, platform.invoices.plan(planned))


def test_one_refused_element_does_not_hold_up_the_others(books: Books) -> None:
    if books.platform.facts.bulk == 1:
        return
    tries = _fifty(books)
    samples = books.subject.samples
    wrong = books.connected(
        settings=books.subject.platform.Settings.model_validate(samples.unknown_tax(samples.settings))
    )
    at = len(tries) // 3
    bad = Try(tries[at].draft, wrong.invoices.plan(tries[at].draft))
    tries[at] = bad
    outcomes = halved(books.platform, tries)
    assert [number for number, outcome in enumerate(outcomes) if outcome.error] == [at]
    refused = outcomes[at].error
    assert type(refused) is Rejected
    assert "tax" in refused.message.lower(), refused.message
    for one, outcome in zip(tries, outcomes, strict=True):
        if outcome.document:
            assert outcome.document.reference == one.draft.draft.reference, "matched by reference, never by position"
            assert outcome.document.total == one.draft.draft.total
            assert outcome.difference is None
    assert [entry.status for entry in books.ledger()].count("issued") == len(tries) - 1
    left = [request.step for request in bad.plan if not request.apart and ("done", request.step) not in bad.log]
    half_built = len(left) < sum(not request.apart for request in bad.plan)  # it was refused in a later step
    assert len(books.ledger()) == len(tries) - 1 + half_built
    hit = found(books.platform.invoices, bad.draft)
    assert (hit.resume_at if hit else None) == (left[0] if half_built else None)
    assert all(one.log[0] == ("begin", one.plan[0].step) for one in tries)


@pytest.mark.parametrize("fault", AMBIGUOUS, ids=str)
def test_an_ambiguous_bulk_is_settled_element_by_element(books: Books, fault: Fault) -> None:
    if books.platform.facts.bulk == 1:
        return
    tries = _fifty(books)
    books.fault(fault, **TIMES)
    platform = books.connected(deadline=deadline(fault))
    outcomes = packed(platform, tries)
    until_struck(books, fault)
    assert {type(outcome.error) for outcome in outcomes} == {Uncertain}
    books.heal()
    hits = books.platform.invoices.find([one.draft for one in tries])
    assert len(hits) == len(tries)
    missing = [one for one, hit in zip(tries, hits, strict=True) if hit is None]
    assert len(missing) in {0, len(tries)}
    if missing:
        assert not any(outcome.error for outcome in packed(books.platform, missing, "bulk-2"))
    for one, hit in zip(tries, hits, strict=True):
        if hit is not None and hit.resume_at is not None:
            assert books.platform.invoices.create(one.after(hit)).error is None
    assert Counter(entry.reference for entry in books.ledger()) == {one.draft.draft.reference: 1 for one in tries}
    assert {entry.status for entry in books.ledger()} == {"issued"}


def test_a_bulk_that_is_replayed_whole_makes_nothing_new(books: Books) -> None:
    if books.platform.facts.bulk == 1 or books.platform.facts.key is None:
        return
    tries = _fifty(books)
    first, second = packed(books.platform, tries), packed(books.platform, tries)
    assert not any(outcome.error for outcome in [*first, *second])
    assert [outcome.document for outcome in first] == [outcome.document for outcome in second]
    assert len(books.ledger()) == len(tries)
