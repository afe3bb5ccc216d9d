"""What the metrics ask of the store: right, from indexes of what is unfinished, and not more often than meant."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import event, insert, text

from tests.kit.processes import eventually
from tests.unit.trail_story import open_store
from worker import gauges as shown
from worker import logs
from worker.gauges import Kept
from worker.metrics import MeasuredHttp
from worker.store.engine import Store
from worker.store.gauges import gauges
from worker.store.inbox import Inbox
from worker.store.jobs import now
from worker.store.migrate import prepare
from worker.store.schema import holds, inbox, jobs

FINISHED = 20_000


@pytest.fixture
def store(store_url):
    store = open_store(store_url)
    yield store
    store.close()


@pytest.fixture
def inbox_store(store, tmp_path):
    if not store.sqlite:
        return store
    other = Store(f"sqlite:///{tmp_path}/inbox.db", synchronous="OFF")
    prepare(store, other)
    return other


def job(number, state, *, kind="invoice", due=None, account="books"):
    queue = "invoices.xero" if kind == "invoice" else "events"
    at = now()
    return {
        "id": f"{kind}-{state}-{number}", "kind": kind, "queue": queue, "tenant": "xero:t", "shop": "engraver",
        "account": account, "state": state, "due_at": due, "created_at": at, "changed_at": at,
    }  # fmt: skip


def arrived(number, *, taken, ago=0):
    row = dict.fromkeys(("shop", "source", "kind", "topic", "label", "digest"), "x")
    row |= {"id": f"row-{number}", "event_id": str(number), "body": b"{}", "taken": taken}
    return row | {"received_at": now() - timedelta(seconds=ago)}


@pytest.fixture
def full(store, inbox_store):
    """Many finished rows and a few that are not."""
    late = now() - timedelta(seconds=90)
    with store.write() as connection:
        connection.execute(insert(jobs), [job(number, "issued") for number in range(FINISHED)])
        rows = [job(1, "retry", due=late), job(2, "pending", due=now()), job(3, "retry", due=now() + timedelta(1))]
        rows += [job(1, "held"), job(2, "held", account="cards"), job(1, "doubled"), job(1, "claimed", kind="event")]
        connection.execute(insert(jobs), rows)
        connection.execute(insert(holds).values(tenant="xero:t", reason="refused", since=now()))
    with inbox_store.write() as connection:
        connection.execute(insert(inbox), [arrived(number, taken=True) for number in range(FINISHED)])
        connection.execute(insert(inbox), [arrived(FINISHED + 1, taken=False, ago=60)])
    for one in {store, inbox_store}:
        with one.write() as connection:
            connection.execute(text("ANALYZE"))
    return store, inbox_store


def test_it_counts_what_waits_and_what_stands(full):
    found = gauges(*full)

    (waiting,) = found.waiting.values()
    assert (set(found.waiting), waiting.due, waiting.later) == ({("invoices.xero", "xero:t", "engraver")}, 2, 1)
    assert 90 <= waiting.oldest < 600
    assert found.on_the_way == {("invoice", "retry"): 2, ("invoice", "pending"): 1, ("event", "claimed"): 1}
    assert found.stopped == {
        ("invoice", "held", "engraver", "books"): 1,
        ("invoice", "held", "engraver", "cards"): 1,
        ("invoice", "doubled", "engraver", "books"): 1,
    }
    assert found.inbox[0] == 1
    assert 60 <= found.inbox[1] < 600
    assert found.on_hold == {"xero:t"}


def test_no_question_goes_through_the_finished_rows(full):
    store, inbox_store = full
    asked = []
    for one in {store, inbox_store}:
        event.listen(one.engine, "before_cursor_execute", lambda *said: asked.append(said[2:4]))
    gauges(store, inbox_store)
    inbox = Inbox(inbox_store)
    inbox.untaken(10, now())
    inbox.waiting(10, now())
    inbox.load(["one", "two"])
    inbox.mark_taken(["one", "two"])

    assert len(asked) >= 9
    explain = "EXPLAIN QUERY PLAN " if store.sqlite else "EXPLAIN "
    for sql, values in list(asked):
        if "BEGIN" in sql or "holds" in sql or "unsealed" in sql:  # tables that hold only what is unfinished
            continue
        with (inbox_store if "FROM inbox" in sql or "UPDATE inbox" in sql else store).read() as connection:
            plan = " ".join(str(tuple(row)) for row in connection.exec_driver_sql(explain + sql, values))
        assert "Seq Scan" not in plan
        assert not store.sqlite or ("USING" in plan and "INDEX" in plan), plan


def test_an_empty_store_has_no_ages(store, inbox_store):
    found = gauges(store, inbox_store)
    assert (found.waiting, found.on_the_way, found.stopped) == ({}, {}, {})
    assert (found.inbox, found.unsealed, found.on_hold) == ((0, 0.0), (0, 0.0), frozenset())


def test_an_answer_is_used_again_until_it_is_old():
    asked = []
    kept = Kept(lambda: asked.append(1) or len(asked), least=3600)
    assert [kept.get() for _ in range(20)] == [1] * 20
    eager = Kept(lambda: asked.append(1) or len(asked), least=0)
    eventually(lambda: eager.get() >= 4)


def test_many_scrapes_at_once_ask_once():
    asked, go = [], threading.Event()
    kept = Kept(lambda: (asked.append(1), go.wait(10)), least=3600)
    threads = [threading.Thread(target=kept.get) for _ in range(10)]
    for thread in threads:
        thread.start()
    eventually(lambda: asked)
    go.set()
    for thread in threads:
        thread.join(10)
    assert asked == [1]


def test_a_part_that_fails_or_hangs_has_no_answer_and_comes_back(monkeypatch):
    answers = iter([1, OSError("away"), 3])

    def ask():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    kept = Kept(ask, least=0)
    assert kept.get() == 1
    eventually(lambda: kept.get() is None)
    eventually(lambda: kept.get() == 3)
    monkeypatch.setattr(shown, "PATIENCE", 0.01)
    monkeypatch.setattr(shown, "HANGS", 0.0)
    hung, go = threading.Event(), threading.Event()
    slow = Kept(lambda: (hung.set(), go.wait(10)), least=0)
    assert slow.get() is None
    assert hung.wait(10)
    go.set()


def test_what_a_call_hides_the_log_hides_too():
    http = MeasuredHttp("xero", 1.0, ["a-secret-of-this-account"])
    http.hide("a-fresh-token")
    for text_ in (http.redact("a-fresh-token a-secret-of-this-account"), logs.redacted("a-fresh-token")):
        assert text_.replace("«redacted»", "").strip() == ""
    assert logs.redacted("a-secret-of-this-account") == "«redacted»"
