"""Dismissing held work: what is meant, what is refused, what the trail says, what comes back."""

import json

import pytest
from sqlalchemy import insert, select

from tests.unit.test_retry import AT, add, add_order, job
from worker.store.choosing import Choice
from worker.store.dismissing import MayHaveBeenSent, StillNeeded, dismiss, dismissible
from worker.store.engine import Store
from worker.store.migrate import prepare
from worker.store.retry import put_back
from worker.store.schema import audit, awaited, documents, jobs
from worker.store.trail import Entry, append
from worker.store.verify import verify

ALL, OF_ACCOUNT = Choice(), Choice(account="books")
SAID = {"who": "ada", "why": "by hand"}


@pytest.fixture
def store(store_url):
    opened = Store(store_url)
    prepare(opened)
    yield opened
    opened.close()


def add_note(store: Store, job_id: str, **columns) -> None:
    row = {
        "id": job_id, "kind": "credit", "queue": "q", "shop": "engraver", "account": "books", "label": f"SO-{job_id}",
        "state": "pending", "seq": 0, "created_at": AT, "changed_at": AT, **columns,
    }  # fmt: skip
    with store.write() as connection:
        connection.execute(insert(jobs), [row])
        connection.execute(insert(documents), [{"id": job_id, "key": job_id, "draft": "{}"}])
        append(connection, [Entry("engraver", None, f"credit:{job_id}", 0, "intend", row["state"], "test")])


def states(store: Store) -> dict[str, str]:
    with store.read() as connection:
        return {row.id: row.state for row in connection.execute(select(jobs.c.id, jobs.c.state))}


@pytest.mark.parametrize("kind", ["event", "customer", "invoice", "notice"])
def test_what_is_held_is_dismissed_with_who_and_why(store, kind):
    add(store, "1", kind)

    (done,) = dismiss(store, [ALL], **SAID)

    assert (done.label, done.kind, done.was, done.reason) == ("SO-1", kind, "held", "unknown tax code")
    row = job(store, "1")
    assert (row.state, row.due_at, row.seq, row.reason) == ("dismissed", None, 1, "dismissed by ada: by hand")
    with store.read() as connection:
        query = select(audit.c.action, audit.c.outcome, audit.c.actor, audit.c.detail).where(audit.c.seq == 1)
        action, outcome, actor, detail = connection.execute(query).one()
    assert (action, outcome, actor) == ("dismiss", "dismissed", "staff:ada")
    assert json.loads(detail) == {**SAID, "was": "held"}
    assert verify(store).first_problem is None


def test_twice_is_once(store):
    add(store, "1")

    assert len(dismiss(store, [ALL], **SAID)) == 1
    assert dismiss(store, [ALL], **SAID) == []
    assert job(store, "1").seq == 1


@pytest.mark.parametrize("state", ["pending", "claimed", "sending", "retry", "uncertain", "issued", "done", "void"])
def test_what_goes_on_or_is_finished_stays(store, state):
    add(store, "1", state=state)

    assert dismiss(store, [OF_ACCOUNT], **SAID, even_if_sent=True) == []
    assert states(store) == {"1": state}


@pytest.mark.parametrize("columns", [{"sent": AT}, {"unsure": True}])
def test_an_invoice_that_may_have_been_sent_refuses_all_of_it(store, columns):
    add(store, "1")
    add(store, "2", **columns)

    with pytest.raises(MayHaveBeenSent, match="invoice of SO-2"):
        dismiss(store, [ALL], **SAID)
    assert states(store) == {"1": "held", "2": "held"}

    assert len(dismiss(store, [ALL], **SAID, even_if_sent=True)) == 2


def test_a_notice_or_a_customer_that_was_sent_needs_no_more_words(store):
    add(store, "1", "notice", unsure=True)
    add(store, "2", "customer", sent=AT)

    assert len(dismiss(store, [ALL], **SAID)) == 2


@pytest.mark.parametrize(("kind", "state"), [("invoice", "mismatch"), ("invoice", "doubled"), ("event", "waiting")])
def test_only_who_names_it_means_what_differs_or_waits(store, kind, state):
    add(store, "1", kind, state=state)

    assert dismissible(store, [ALL]) == []
    assert [one.was for one in dismiss(store, [OF_ACCOUNT], **SAID, even_if_sent=True)] == [state]


def test_a_dismissed_event_waits_under_no_name(store):
    add(store, "1", "event", state="waiting")
    with store.write() as connection:
        waits = {"job_id": "1", "shop": "engraver", "name": "ref:7", "since": AT}
        connection.execute(insert(awaited), [waits])

    dismiss(store, [Choice(order="no such order", events=("1",))], **SAID)

    with store.read() as connection:
        assert connection.execute(select(awaited)).all() == []


def test_a_customer_is_dismissed_with_all_that_wait_for_it_or_not_at_all(store):
    add_order(store, "o1", "SO-1")
    add_order(store, "o2", "SO-2")
    add(store, "c", "customer")
    add(store, "1", state="pending", waits_for="c", order_id="o1")
    add(store, "2", state="pending", waits_for="c", order_id="o2")

    with pytest.raises(StillNeeded, match="SO-2 on books"):
        dismiss(store, [Choice(order="SO-1")], **SAID)
    assert [one.id for one in dismiss(store, [Choice(order="SO-1", kind="invoice")], **SAID)] == ["1"]
    assert {one.id for one in dismiss(store, [Choice(order="SO-1"), Choice(order="SO-2")], **SAID)} == {"2", "c"}
    assert verify(store).first_problem is None


def test_credit_notes_go_with_the_invoice_for_which_they_wait(store):
    add(store, "1")
    add_note(store, "n", waits_for="1")

    assert [one.kind for one in dismiss(store, [ALL], **SAID)] == ["invoice", "credit"]


def test_nothing_but_what_was_shown_is_dismissed(store):
    add(store, "1")
    seen = {one.id for one in dismissible(store, [ALL])}
    add(store, "2")

    dismiss(store, [ALL], **SAID, only=seen)

    assert states(store) == {"1": "dismissed", "2": "held"}


@pytest.mark.parametrize(("columns", "state"), [({}, "pending"), ({"sent": AT}, "uncertain")])
def test_it_comes_back_as_what_is_held_does_and_only_by_its_name(store, columns, state):
    add(store, "1", **columns)
    dismiss(store, [ALL], **SAID, even_if_sent=True)

    assert put_back(store, actor="staff:ada", account="books") == []
    (again,) = put_back(store, actor="staff:ada", dismissed=True)

    assert (again.state, job(store, "1").state) == (state, state)
    assert job(store, "1").due_at is not None
    assert verify(store).first_problem is None
