"""Putting held work back: what was surely never sent begins anew, what may have been sent is looked up first."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, select

from worker.store.documents import DOUBTS
from worker.store.engine import Store
from worker.store.migrate import prepare
from worker.store.retry import PutBack, put_back
from worker.store.schema import audit, documents, jobs, orders, sightings
from worker.store.trail import Entry, append
from worker.store.verify import verify

AT = datetime(2026, 11, 22, 10, tzinfo=UTC)


@pytest.fixture
def store(store_url):
    opened = Store(store_url)
    prepare(opened)
    yield opened
    opened.close()


def add(store: Store, job_id: str, kind: str = "invoice", **columns) -> None:
    """A row with one trail entry; held, unless said otherwise, and never sent."""
    sent, generation = columns.pop("sent", None), columns.pop("generation", 1)
    row = {
        "id": job_id, "kind": kind, "queue": "q", "shop": "engraver", "account": "books", "label": f"SO-{job_id}",
        "state": "held", "reason": "unknown tax code", "attempts": 5, "seq": 0, "created_at": AT, "changed_at": AT,
        **columns,
    }  # fmt: skip
    with store.write() as connection:
        connection.execute(insert(jobs), [row])
        if kind in ("invoice", "customer"):
            document = {"id": job_id, "key": job_id, "draft": "{}", "plan": "[]", "generation": generation}
            connection.execute(insert(documents), [{**document, "first_sent_at": sent}])
        subject = f"{kind}:{job_id}"
        append(connection, [Entry(row["shop"], row.get("order_id"), subject, 0, "hold", row["state"], "test")])


def add_order(store: Store, order_id: str, ref: str, shop: str = "engraver") -> None:
    with store.write() as connection:
        row = {"id": order_id, "shop": shop, "source": "web", "source_id": f"s-{order_id}", "ref": ref}
        connection.execute(insert(orders), [{**row, "document": "{}", "as_of": AT, "created_at": AT}])


def job(store: Store, job_id: str):
    with store.read() as connection:
        query = select(jobs, documents.c.plan, documents.c.generation)
        return connection.execute(
            query.outerjoin(documents, documents.c.id == jobs.c.id).where(jobs.c.id == job_id)
        ).one()


def labels(found: list[PutBack]) -> set[str]:
    return {one.label for one in found}


def test_what_was_never_sent_is_rendered_anew_under_its_generation(store):
    add(store, "1", generation=2)

    assert put_back(store, actor="staff:ada") == [PutBack("SO-1", "invoice", "pending")]

    row = job(store, "1")
    assert (row.state, row.unsure, row.attempts, row.reason, row.seq) == ("pending", False, 0, None, 1)
    assert row.due_at <= datetime.now(UTC)
    assert (row.plan, row.generation) == (None, 2)


@pytest.mark.parametrize("columns", [{"sent": AT}, {"unsure": True}])
@pytest.mark.parametrize("kind", ["invoice", "customer"])
def test_what_may_have_been_sent_is_looked_up_and_keeps_its_bytes(store, kind, columns):
    add(store, "1", kind, **columns)

    assert put_back(store, actor="staff:ada") == [PutBack("SO-1", kind, "uncertain")]

    row = job(store, "1")
    assert (row.state, row.unsure, row.plan) == ("uncertain", True, "[]")


def test_a_notice_is_sent_again_because_a_person_says_so(store):
    add(store, "1", "notice", unsure=True)

    put_back(store, actor="staff:ada")

    assert (job(store, "1").state, job(store, "1").unsure) == ("pending", False)


def test_an_invoice_that_waits_for_its_customer_goes_on_waiting(store):
    add(store, "1", waits_for="c")

    put_back(store, actor="staff:ada")

    assert (job(store, "1").state, job(store, "1").due_at) == ("pending", None)


@pytest.mark.parametrize("state", ["pending", "sending", "uncertain", "issued", "mismatch", "void", "doubled"])
def test_only_what_is_held_is_put_back(store, state):
    add(store, "1", state=state)

    assert put_back(store, actor="staff:ada") == []
    assert job(store, "1").seq == 0


def test_each_row_has_its_entry_and_the_trail_holds(store):
    add(store, "1")
    add(store, "2", sent=AT)

    put_back(store, actor="staff:ada")

    with store.read() as connection:
        query = select(audit.c.subject, audit.c.seq, audit.c.actor, audit.c.outcome).where(audit.c.action == "put_back")
        told = sorted(tuple(row) for row in connection.execute(query))
    assert told == [("invoice:1", 1, "staff:ada", "pending"), ("invoice:2", 1, "staff:ada", "uncertain")]
    assert verify(store).first_problem is None


@pytest.mark.parametrize("name", ["SO-7", "s-o7", "o7"])
def test_an_order_brings_all_that_hangs_on_it(store, name):
    add_order(store, "o7", "SO-7")
    add(store, "invoice", order_id="o7", waits_for="customer", label="SO-7")
    add(store, "customer", "customer", label="Ada")
    add(store, "other", order_id="o8")

    assert labels(put_back(store, actor="staff:ada", order=name)) == {"SO-7", "Ada"}
    assert job(store, "other").state == "held"


def test_an_event_that_never_became_an_order_goes_by_its_label(store):
    add(store, "1", "event", label="SO-7")

    assert labels(put_back(store, actor="staff:ada", order="SO-7")) == {"SO-7"}


FILTERS = [
    ({"shop": "other"}, {"2"}),
    ({"account": "cards"}, {"3"}),
    ({"account": "engraver/books"}, {"1", "4"}),
    ({"kind": "notice"}, set()),
    ({"reason_contains": "TAX code"}, {"1", "2", "3"}),
    ({"reason_contains": "100%"}, {"4"}),
    ({"shop": "engraver", "account": "books", "reason_contains": "tax"}, {"1"}),
]


@pytest.mark.parametrize(("wanted", "ids"), FILTERS)
def test_all_filters_must_match(store, wanted, ids):
    add(store, "1")
    add(store, "2", shop="other")
    add(store, "3", account="cards")
    add(store, "4", reason="a discount of 100% is refused")

    assert labels(put_back(store, actor="staff:ada", **wanted)) == {f"SO-{one}" for one in ids}


@pytest.mark.parametrize("state", ["mismatch", "doubled"])
@pytest.mark.parametrize("named", [{"order": "SO-7"}, {"account": "engraver/books"}])
def test_what_was_put_right_on_the_platform_is_looked_up_not_sent_again(store, state, named):
    add_order(store, "o7", "SO-7")
    add(store, "1", state=state, order_id="o7", sent=AT)
    with store.write() as connection:
        seen = {"id": "s1", "job_id": "1", "remote_id": "another", "seen_at": AT}
        connection.execute(insert(sightings), [seen])

    assert put_back(store, actor="staff:ada", **named) == [PutBack("SO-1", "invoice", "uncertain")]

    with store.read() as connection:
        assert connection.execute(select(documents.c.replays)).scalar() == DOUBTS
        assert connection.execute(select(sightings.c.id)).all() == []
    assert (job(store, "1").unsure, job(store, "1").plan) == (True, "[]")
    assert verify(store).first_problem is None


def test_what_was_held_and_may_have_been_sent_may_be_replayed_under_its_key(store):
    add(store, "1", sent=AT)

    put_back(store, actor="staff:ada", account="books")

    with store.read() as connection:
        assert connection.execute(select(documents.c.replays)).scalar() == 0


def test_thousands_are_put_back_in_one_go(store):
    with store.write() as connection:
        for start in range(0, 2_500, 500):
            rows = [
                {
                    "id": f"{number:05}", "kind": "event", "queue": "q", "shop": "s", "label": str(number),
                    "state": "held", "seq": 0, "created_at": AT, "changed_at": AT,
                }
                for number in range(start, start + 500)
            ]  # fmt: skip
            connection.execute(insert(jobs), rows)

    assert len(put_back(store, actor="staff:ada")) == 2_500
    assert put_back(store, actor="staff:ada") == []
