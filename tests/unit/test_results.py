"""What the trail answers for a task and for a row, and that the backend only reads."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery, chord, states

from tests.unit.trail_story import add_job, open_store
from worker import results, runtime
from worker.results import TrailBackend, _of_rows, _of_task
from worker.store import jobs
from worker.store.ids import new_id
from worker.store.jobs import Change
from worker.store.results import LASTS, WAITS, Standing, of_rows, of_task

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LEASE = timedelta(seconds=30)


@pytest.fixture
def store(store_url):
    store = open_store(store_url)
    yield store
    store.close()


def due(store: Any, *labels: str, kind: str = "invoice", order_id: str = "order-1") -> list[str]:
    with store.write() as connection:
        return [add_job(connection, kind, order_id, label=label, tenant="t", due_at=jobs.now()) for label in labels]


def claim(store: Any, task: str, limit: int = 10) -> dict[str, jobs.Job]:
    with store.write() as connection:
        held = jobs.claim(
            connection, queue="q", kinds=("invoice",), tenant="t", limit=limit, owner=f"w/{task}", lease=LEASE,
            actor=f"w/{task}",
        )  # fmt: skip
    return {job.id: job for job in held}


def settle(store: Any, held: dict[str, jobs.Job], task: str, *changes: Change) -> None:
    with store.write() as connection:
        jobs.settle(connection, held, changes, owner=f"w/{task}", actor=f"w/{task}")


def stand(*rows_in: str, reason: str | None = None, at: datetime = NOW) -> list[Standing]:
    return [Standing(f"invoice:{n}", f"SO-{n}", state, reason, at, "w") for n, state in enumerate(rows_in)]


def test_a_task_is_told_by_the_rows_it_claimed_as_it_left_them(store):
    task = new_id()
    good, bad, late = due(store, "SO-1", "SO-2", "SO-3")
    held = claim(store, task)
    settle(store, held, task, Change(good, "issued", "create"), Change(bad, "held", "refused", reason="no tax type"))

    found = {row.order: row for row in of_task(store, task)}

    assert {order: (row.state, row.reason) for order, row in found.items()} == {
        "SO-1": ("issued", None), "SO-2": ("held", "no tax type"), "SO-3": ("claimed", None)
    }  # fmt: skip
    assert found["SO-3"].subject == f"invoice:{late}"
    assert {row.by for row in found.values()} == {"w"}


def test_what_others_did_with_the_row_later_is_not_its(store):
    first, second = new_id(), new_id()
    (job,) = due(store, "SO-1")
    settle(store, claim(store, first), first, Change(job, "retry", "not_done", due_at=jobs.now(), reason="it was down"))
    settle(store, claim(store, second), second, Change(job, "issued", "create"))

    assert [(row.state, row.reason) for row in of_task(store, first)] == [("retry", "it was down")]
    assert [row.state for row in of_task(store, second)] == ["issued"]


def test_a_row_claimed_twice_by_one_task_counts_once_as_it_was_left_last(store):
    task = new_id()
    (job,) = due(store, "SO-1")
    settle(store, claim(store, task), task, Change(job, "retry", "not_done", due_at=jobs.now()))
    settle(store, claim(store, task), task, Change(job, "issued", "create"))

    assert [row.state for row in of_task(store, task)] == ["issued"]


def test_a_row_of_a_worker_that_died_is_lost_to_its_task(store):
    task = new_id()
    due(store, "SO-1")
    claim(store, task)
    with store.write() as connection:
        assert jobs.free(connection, jobs.leased(connection), attempts=12)

    assert [row.state for row in of_task(store, task)] == ["lost"]


def test_more_rows_than_one_question_takes(store, monkeypatch):
    monkeypatch.setattr("worker.store.results._AT_ONCE", 3)
    task = new_id()
    due(store, *(f"SO-{number}" for number in range(8)))
    held = claim(store, task)
    settle(store, held, task, *(Change(job, "issued", "create") for job in held))

    found = of_task(store, task)

    assert [row.order for row in found] == [f"SO-{number}" for number in range(8)]
    assert {row.state for row in found} == {"issued"}


@pytest.mark.parametrize("name", ["", "SO-1", "0", "c60be250-fe52-48df-befb-ac66174076e6", "%", "'"])
def test_other_names_are_no_task(store, name):
    due(store, "SO-1")
    claim(store, new_id())

    assert of_task(store, name) == []


def test_a_task_is_looked_for_in_the_hour_after_its_ring_only(store, monkeypatch):
    task = new_id()
    due(store, "SO-1")
    claim(store, task)

    monkeypatch.setattr("worker.store.results._born", lambda _: jobs.now() - WAITS - LASTS)

    assert of_task(store, task) == []


def test_rows_are_found_by_id_by_subject_and_by_order(store):
    (invoice,) = due(store, "SO-1")
    (event,) = due(store, "SO-1", kind="event")
    due(store, "SO-2", order_id="order-2")

    assert [row.subject for row in of_rows(store, invoice)] == [f"invoice:{invoice}"]
    assert [row.state for row in of_rows(store, f"invoice:{invoice}")] == ["pending"]
    assert of_rows(store, f"event:{invoice}") == []
    assert {row.subject for row in of_rows(store, "order-1")} == {f"invoice:{invoice}", f"event:{event}"}
    assert of_rows(store, "nothing") == []


@pytest.mark.parametrize(
    ("left", "state"),
    [
        (["issued"], states.SUCCESS),
        (["issued", "held"], states.SUCCESS),
        (["retry", "uncertain"], states.SUCCESS),
        (["pending"], states.SUCCESS),
        (["held", "mismatch"], states.FAILURE),
        (["held", "retry"], states.FAILURE),
        (["lost"], states.FAILURE),
        (["issued", "claimed"], states.STARTED),
        (["sending"], states.STARTED),
    ],
)
def test_the_state_of_a_task(left, state):
    assert _of_task(stand(*left), NOW + timedelta(minutes=1))[0] == state


def test_a_task_that_did_something_a_moment_ago_may_go_on():
    assert _of_task(stand("issued"), NOW + timedelta(seconds=1))[0] == states.STARTED


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        ([], states.PENDING),
        (["pending"], states.PENDING),
        (["done", "pending"], states.PENDING),
        (["done", "sending"], states.STARTED),
        (["sending", "uncertain"], states.RETRY),
        (["retry"], states.RETRY),
        (["done", "held"], states.FAILURE),
        (["doubled"], states.FAILURE),
        (["done", "issued"], states.SUCCESS),
        (["void"], states.SUCCESS),
    ],
)
def test_the_state_of_rows(rows, state):
    assert _of_rows(stand(*rows))[0] == state


def test_a_failure_names_the_first_row_with_a_reason():
    error = _of_rows([*stand("done"), *stand("held", reason="no tax type")])[1]

    assert str(error) == "1 done, 1 held; invoice:0 of SO-0: no tax type"


def test_an_answer_lists_so_many_rows_and_counts_all():
    answer = _of_task(stand(*["issued"] * (results.SHOWN + 7)), NOW + timedelta(minutes=1))[1]

    assert (len(answer["rows"]), answer["more"], answer["counts"]) == (results.SHOWN, 7, {"issued": results.SHOWN + 7})


@pytest.fixture
def app(monkeypatch):
    """An application with the backend, in a process that could not reach a store."""

    def no_store() -> None:
        raise AssertionError("the store was asked")

    monkeypatch.setattr(runtime, "store", no_store)
    return Celery("results", backend="worker.results:TrailBackend", broker="memory://", set_as_current=False)


def test_nothing_is_stored(app):
    assert isinstance(app.backend, TrailBackend)
    assert app.backend.store_result("task", {"issued": 1}, states.SUCCESS) == {"issued": 1}
    app.backend.mark_as_done("task", {"issued": 1})
    app.backend.mark_as_failure("task", ValueError("no"))
    app.backend.cleanup()


def test_what_needs_stored_results_is_refused_with_the_reason(app):
    @app.task(name="one")
    def task() -> int:
        return 1

    with pytest.raises(NotImplementedError, match="forgets nothing"):
        app.AsyncResult("task").forget()
    with pytest.raises(NotImplementedError, match="chord"):
        chord([task.s(), task.s()], app=app)(task.s())
    with pytest.raises(NotImplementedError, match="groups"):
        app.GroupResult("group", []).save()


def test_it_says_what_it_is(app):
    assert app.backend.as_uri() == "the audit trail (read-only)"
    assert app.backend.supports_autoexpire
