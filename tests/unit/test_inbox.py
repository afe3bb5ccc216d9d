"""The inbox: what is accepted, what is a repetition, and what waits for a worker."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, func, select

from worker.store.engine import Store
from worker.store.inbox import Arrival, Inbox, RowRefused, StoreUnavailable, Verdict
from worker.store.migrate import prepare
from worker.store.schema import inbox as table

ACCEPTED, DUPLICATE, CONFLICT = Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.CONFLICT


@pytest.fixture
def store(store_url):
    opened = Store(store_url, busy_seconds=0.2)
    if opened.sqlite:  # a file of its own there
        opened.close()
        opened = Store(store_url.removesuffix(".db") + "-inbox.db", busy_seconds=0.2)
        prepare(Store(store_url), opened)
    else:
        prepare(opened)
    yield opened
    opened.close()


@pytest.fixture
def inbox(store):
    return Inbox(store)


def arrival(event_id="evt-1", body=b"{}", shop="engraver", source="api", **more):
    return Arrival(shop, source, event_id, kind="standard", topic="order.fulfilled", label="SO-1", body=body, **more)


def count(store):
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(table))


def later():
    return datetime.now(UTC) + timedelta(minutes=1)


def test_nothing_is_accepted_of_nothing(inbox):
    assert inbox.accept([]) == []


def test_the_second_copy_is_a_duplicate_and_another_body_a_conflict(inbox, store):
    assert inbox.accept([arrival()]) == [ACCEPTED]
    assert inbox.accept([arrival()]) == [DUPLICATE]
    assert inbox.accept([arrival(body=b"[]")]) == [CONFLICT]
    assert count(store) == 1


def test_what_a_repetition_costs_does_not_grow_with_what_was_stored(inbox, store):
    inbox.accept([arrival(f"evt-{number}") for number in range(10)])
    asked = []
    event.listen(store.engine, "before_cursor_execute", lambda *said: asked.append(said[2:4]))
    assert inbox.accept([arrival(f"evt-{number}") for number in range(10)]) == [DUPLICATE] * 10
    [(sql, values)] = [each for each in asked if each[0].startswith("SELECT")]
    with store.engine.connect() as connection:
        if not store.sqlite:  # so few rows are read faster than an index
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN " if store.sqlite else "EXPLAIN "
        plan = " ".join(str(tuple(row)) for row in connection.exec_driver_sql(explain + sql, values))
    assert "Seq Scan" not in plan
    assert "event_id=?" in plan if store.sqlite else "Index" in plan, plan


def test_within_one_batch_the_first_wins(inbox, store):
    batch = [arrival("b"), arrival("a"), arrival("b"), arrival("a", b"[]"), arrival("c")]
    assert inbox.accept(batch) == [ACCEPTED, ACCEPTED, DUPLICATE, CONFLICT, ACCEPTED]
    assert count(store) == 3


def test_an_id_is_unique_within_shop_and_source_only(inbox):
    batch = [arrival(), arrival(shop="other"), arrival(source="web")]
    assert inbox.accept(batch) == [ACCEPTED] * 3


def test_the_same_arrivals_given_again_are_not_duplicates_of_themselves(inbox):
    batch = [arrival("a"), arrival("b")]
    assert inbox.accept(batch) == [ACCEPTED] * 2
    assert inbox.accept(batch) == [ACCEPTED] * 2


def test_a_batch_longer_than_one_statement_is_one_commit(inbox, store):
    batch = [arrival(f"evt-{number % 1200}") for number in range(1500)]
    assert inbox.accept(batch) == [ACCEPTED] * 1200 + [DUPLICATE] * 300
    assert count(store) == 1200


def test_what_the_database_cannot_hold_is_refused_and_nothing_of_the_batch_stays(inbox, store):
    with pytest.raises(RowRefused):
        inbox.accept([arrival("a"), arrival("lone \ud800 surrogate")])
    assert count(store) == 0


def test_bytes_come_back_as_they_came(inbox):
    body = bytes(range(256))
    [row] = _accept_and_load(inbox, arrival(body=body))
    assert (row.body, row.label, row.topic, row.kind) == (body, "SO-1", "order.fulfilled", "standard")
    assert row.received_at.tzinfo is UTC
    assert not row.taken


def _accept_and_load(inbox, *arrivals):
    inbox.accept(list(arrivals))
    return inbox.load([each.id for each in arrivals])


def test_times_are_kept_to_the_microsecond(inbox):
    moment = datetime(2026, 11, 22, 10, 0, 0, 123456, UTC)
    [row] = _accept_and_load(inbox, arrival(received_at=moment))
    assert row.received_at == moment


def test_untaken_rows_come_oldest_first_until_they_are_marked(inbox):
    now = datetime.now(UTC)
    rows = [arrival(f"evt-{age}", received_at=now - timedelta(seconds=age)) for age in (10, 30, 20, 0)]
    inbox.accept(rows)
    ten, thirty, twenty, _new = (row.id for row in rows)
    assert inbox.untaken(10, now - timedelta(seconds=5)) == [thirty, twenty, ten]
    assert inbox.untaken(2, now - timedelta(seconds=5)) == [thirty, twenty]
    assert [[row.id for row in inbox.waiting(most, now - timedelta(seconds=5))] for most in (10, 2)] == [
        [thirty, twenty, ten], [thirty, twenty],
    ]  # fmt: skip
    inbox.mark_taken([thirty, ten])
    inbox.mark_taken([thirty])
    assert inbox.untaken(10, now - timedelta(seconds=5)) == [twenty]
    assert [row.taken for row in inbox.load([thirty, twenty, "unknown"])] == [True, False]


def test_a_locked_file_is_unavailable_and_takes_the_same_batch_later(tmp_path):
    first, second = (Store(f"sqlite:///{tmp_path / 'inbox.db'}", busy_seconds=0.1) for _ in range(2))
    prepare(Store(f"sqlite:///{tmp_path / 'main.db'}"), first)
    inbox, batch = Inbox(first), [arrival()]
    with second.write():
        with pytest.raises(StoreUnavailable, match="locked"):
            inbox.accept(batch)
        with pytest.raises(StoreUnavailable):
            inbox.probe()
    assert inbox.accept(batch) == [ACCEPTED]
    inbox.probe()


def test_a_store_without_tables_is_unavailable_and_says_no_data(tmp_path):
    inbox = Inbox(Store(f"sqlite:///{tmp_path / 'empty.db'}"))
    with pytest.raises(StoreUnavailable) as caught:
        inbox.accept([arrival(body=b"of the customer")])
    assert "customer" not in str(caught.value)
    assert "evt-1" not in str(caught.value)


def test_a_row_of_a_frozen_clock_is_not_lost(inbox):
    """Rows of one moment are told apart by their ids."""
    moment = datetime.now(UTC)
    inbox.accept([arrival(f"evt-{number}", received_at=moment) for number in range(5)])
    assert len(inbox.untaken(10, later())) == 5


def test_shops_are_taken_in_equal_parts_and_what_one_does_not_need_is_the_others(inbox):
    """A flood of one shop does not stand before the event of another."""
    inbox.accept([arrival(f"{number:02}", shop="flood") for number in range(50)])
    inbox.accept([arrival(f"{number:02}", shop="small") for number in range(3)])
    found = inbox.waiting(20, later())
    assert found == inbox.load(inbox.untaken(20, later()))
    assert Counter(row.shop for row in found) == {"flood": 17, "small": 3}
    inbox.mark_taken([row.id for row in found])
    assert Counter(row.shop for row in inbox.waiting(20, later())) == {"flood": 20}
    inbox.mark_taken(inbox.untaken(100, later()))
    assert inbox.untaken(20, later()) == []
