"""Rows as one parameter: what goes in comes out the same, on both databases, whatever it holds."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from sqlalchemy import select

from worker.store.engine import Store
from worker.store.jobs import _settling as settling
from worker.store.migrate import prepare
from worker.store.rows import among, among_keys, insert_new, insert_rows, packed, update_rows
from worker.store.schema import audit_bodies, documents, invoices, jobs, orders

AT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
HOSTILE = 'Ada "Countess" Lovelace \\ <b>&amp;</b> 🖋 עדה \\u0000 \n\t'


@pytest.fixture
def store(store_url):
    opened = Store(store_url)
    prepare(opened)
    yield opened
    opened.close()


def order(number: int, **other: object) -> dict[str, object]:
    return {
        "id": f"o{number}", "shop": "s", "source": "web", "source_id": f"{number}", "ref": f"SO-{number}",
        "document": "{}", "as_of": AT, "accounts": None, "created_at": AT, **other,
    }  # fmt: skip


def job(number: int, **other: object) -> dict[str, object]:
    return {
        "id": f"j{number}", "kind": "event", "queue": "events", "shop": "s", "state": "pending", "due_at": AT,
        "created_at": AT, "changed_at": AT, **other,
    }  # fmt: skip


def test_text_of_any_kind_and_nothing_at_all(store):
    with store.write() as connection:
        insert_rows(connection, orders, [order(1, document=HOSTILE), order(2, accounts='["books"]')])
        insert_rows(connection, orders, [])
        found = connection.execute(select(orders.c.document, orders.c.accounts).order_by(orders.c.id)).all()
    assert found == [(HOSTILE, None), ("{}", '["books"]')]


@pytest.mark.parametrize(
    "moment",
    [AT, AT + timedelta(microseconds=1), datetime(2026, 11, 22, 23, 30, tzinfo=timezone(timedelta(hours=13)))],
)
def test_a_time_is_the_same_however_it_was_written(store, moment):
    with store.write() as connection:
        insert_rows(connection, jobs, [job(1, due_at=moment)])
        connection.execute(jobs.insert().values(**job(2, due_at=moment)))
        told = connection.execute(select(jobs.c.due_at).order_by(jobs.c.id)).scalars().all()
        due = connection.execute(select(jobs.c.id).where(jobs.c.due_at == moment).order_by(jobs.c.id)).scalars().all()
    assert told == [moment, moment]
    assert due == ["j1", "j2"]


def test_times_sort_as_they_follow_each_other(store):
    moments = [AT, AT + timedelta(microseconds=1), AT + timedelta(seconds=1), AT + timedelta(hours=20)]
    with store.write() as connection:
        insert_rows(connection, jobs, [job(n, due_at=moment) for n, moment in enumerate(moments)])
        told = connection.execute(select(jobs.c.due_at).order_by(jobs.c.due_at)).scalars().all()
        late = connection.execute(select(jobs.c.id).where(jobs.c.due_at <= AT)).scalars().all()
    assert told == moments
    assert late == ["j0"]


def test_amounts_bytes_and_flags_are_exact(store):
    invoice = {
        "id": "i1", "shop": "s", "account": "a", "order_id": "o1", "part": "order", "kind": "invoice", "revision": 0,
        "tenant": "t", "reference": "SO-1", "customer_id": "c1", "currency": "KWD", "total": Decimal("0.100"),
        "event_at": AT,
    }  # fmt: skip
    with store.write() as connection:
        insert_rows(connection, invoices, [invoice])
        insert_rows(connection, audit_bodies, [{"entry_id": "e1", "salt": bytes(range(16)), "body": "{}"}])
        insert_rows(connection, jobs, [job(1, unsure=True), job(2, unsure=False)])
        total = connection.execute(select(invoices.c.total)).scalar_one()
        salt = connection.execute(select(audit_bodies.c.salt)).scalar_one()
        unsure = connection.execute(select(jobs.c.unsure).order_by(jobs.c.id)).scalars().all()
    assert (str(total), salt, unsure) == ("0.100", bytes(range(16)), [True, False])


def test_only_what_is_new_is_inserted(store):
    with store.write() as connection:
        assert insert_new(connection, orders, [order(1), order(2)], ("shop", "source", "source_id")) == {"o1", "o2"}
        again = [order(2, id="other"), order(3), order(3, id="twice")]
        assert insert_new(connection, orders, again, ("shop", "source", "source_id")) == {"o3"}


def test_each_row_gets_its_own_values_and_no_other_row_is_touched(store):
    with store.write() as connection:
        insert_rows(connection, documents, [{"id": f"d{n}", "key": f"k{n}", "draft": "{}"} for n in range(4)])
        changed = [{"id": f"d{n}", "remote_id": f"r{n}", "remote_url": None, "replays": n} for n in (1, 2)]
        update_rows(connection, documents, [*changed, {**changed[0], "id": "nobody"}])
        query = select(documents.c.remote_id, documents.c.replays).order_by(documents.c.id)
        found = [tuple(row) for row in connection.execute(query)]
    assert found == [(None, 0), ("r1", 1), ("r2", 2), (None, 0)]


def test_looking_among_many(store):
    with store.write() as connection:
        insert_rows(connection, orders, [order(n, ref=HOSTILE if n == 7 else f"SO-{n}") for n in range(1200)])
        ids = [f"o{n}" for n in range(0, 1200, 2)]
        found = connection.execute(select(orders.c.id).where(among(connection, orders.c.id, ids))).scalars()
        assert sorted(found) == sorted(ids)
        keys = [("s", HOSTILE), ("s", "SO-8"), ("other", "SO-9")]
        here = among_keys(connection, (orders.c.shop, orders.c.ref), keys)
        assert set(connection.execute(select(orders.c.id).where(here)).scalars()) == {"o7", "o8"}
        assert connection.execute(select(orders.c.id).where(among(connection, orders.c.id, []))).all() == []


def test_what_has_no_place_in_a_table_is_refused(store):
    with store.read() as connection, pytest.raises(TypeError, match="set"):
        packed(connection, [{"id": {1}}])


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_many_rows_are_settled_one_lookup_each(store):
    """By the index of the lease's owner SQLite would read the whole list of what is told for each row of a claim."""
    with store.read() as connection:
        statement = settling("sqlite", False).compile(connection)
        told = tuple("[]" for _ in statement.positiontup)
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", told)
        steps = " ".join(str(row[3]) for row in plan)
    assert "(id=?)" in steps
    assert "jobs_leased" not in steps
