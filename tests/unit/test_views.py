"""The questions of the command line and the HTTP API, asked of a small shop's store."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import event, insert, update

from tests.unit.trail_story import add_job, entry, move, open_store
from worker.store.engine import Store
from worker.store.migrate import prepare
from worker.store.schema import customers, documents, inbox, invoices, jobs, notices, orders
from worker.store.seal import seal
from worker.store.trail import append
from worker.store.views import event_view, held, order_view, status

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def store(store_url):
    store = open_store(store_url)
    yield store
    store.close()


@pytest.fixture
def inbox_store(store, tmp_path):
    """Where the inbox is: a file of its own on SQLite, the same database on PostgreSQL."""
    if not store.sqlite:
        yield None
        return
    other = Store(f"sqlite:///{tmp_path}/inbox.db", synchronous="OFF")
    prepare(store, other)
    yield other
    other.close()


def add_order(connection, order_id="order-1", *, shop="shop", source="web", ref="SO-1", accounts='["books"]'):
    row = {"id": order_id, "shop": shop, "source": source, "source_id": f"src-{order_id}", "ref": ref}
    row |= {"document": '{"total": "111.54"}', "as_of": NOON, "accounts": accounts, "created_at": NOON}
    connection.execute(insert(orders).values(row))


def add_document(connection, job_id, **columns):
    connection.execute(insert(documents).values({"id": job_id, "key": f"key-{job_id}", "draft": "{}", **columns}))


def add_customer(connection, order_id="order-1", shop="shop"):
    job_id = add_job(connection, "customer", order_id, shop=shop, label="C-9")
    add_document(connection, job_id, remote_id="cus-1")
    connection.execute(insert(customers).values(id=job_id, tenant="t", identity=f"C-9/{job_id}"))
    return job_id


def add_invoice(connection, customer_id, order_id="order-1", account="books", shop="shop", **remote):
    job_id = add_job(connection, "invoice", order_id, account=account, label="SO-1", shop=shop)
    add_document(connection, job_id, **remote)
    row = {"id": job_id, "shop": shop, "account": account, "order_id": order_id, "part": "order", "kind": "invoice"}
    row |= {"revision": 0, "tenant": "t", "reference": f"ref-{job_id}", "customer_id": customer_id, "currency": "GBP"}
    connection.execute(insert(invoices).values({**row, "total": Decimal("111.54"), "event_at": NOON}))
    return job_id


def add_notice(connection, invoice_id, order_id="order-1"):
    job_id = add_job(connection, "notice", order_id)
    row = {"id": job_id, "invoice_id": invoice_id, "channel": "email", "purpose": "invoice", "message_id": "<m@x>"}
    connection.execute(insert(notices).values(row))
    return job_id


def told(answer):
    """The timeline in short."""
    return [(one["subject"].split(":")[0], one["outcome"]) for one in answer["timeline"]]


def test_an_order_with_all_that_came_of_it(store):
    with store.write() as connection:
        event_id = add_job(connection, "event", None)
    with store.write() as connection:
        add_order(connection)
        connection.execute(update(jobs).where(jobs.c.id == event_id).values(order_id="order-1"))
        move(connection, "event", event_id, 1, "done")
        customer_id = add_customer(connection)
        remote = {"remote_id": "inv-1", "remote_number": "INV-0001", "remote_url": "https://books.example/inv-1"}
        invoice_id = add_invoice(connection, customer_id, **remote)
        paid = {"remote_total": Decimal("111.54"), "issued_at": NOON}
        connection.execute(update(invoices).where(invoices.c.id == invoice_id).values(paid))
    with store.write() as connection:
        move(connection, "invoice", invoice_id, 1, "issued")
        notice_id = add_notice(connection, invoice_id)
    (answer,) = order_view(store, "shop", "SO-1")
    assert json.loads(json.dumps(answer)) == answer
    assert answer["ref"] == "SO-1"
    assert answer["as_of"] == "2026-11-22T12:00:00Z"
    assert answer["accounts"] == ["books"]
    assert answer["document"] == {"total": "111.54"}
    assert [(one["id"], one["state"]) for one in answer["events"]] == [(event_id, "done")]
    assert [(one["id"], one["remote_id"]) for one in answer["customers"]] == [(customer_id, "cus-1")]
    (invoice,) = answer["invoices"]
    assert (invoice["state"], invoice["account"], invoice["kind"]) == ("issued", "books", "invoice")
    assert (invoice["total"], invoice["remote_total"], invoice["currency"]) == ("111.54", "111.54", "GBP")
    assert {name: invoice[name] for name in remote} == remote
    assert invoice["issued_at"] == "2026-11-22T12:00:00Z"
    assert [(one["id"], one["channel"], one["message_id"]) for one in answer["notices"]] == [
        (notice_id, "email", "<m@x>")
    ]
    assert told(answer) == [
        ("event", "pending"),
        ("event", "done"),
        ("customer", "pending"),
        ("invoice", "pending"),
        ("invoice", "issued"),
        ("notice", "pending"),
    ]
    assert answer["timeline"][0]["detail"]["attempt"] == 0


@pytest.mark.parametrize("name", ["SO-1", "order-1", "src-order-1"])
def test_an_order_is_found_by_any_of_its_names(store, name):
    with store.write() as connection:
        add_order(connection)
    assert [one["id"] for one in order_view(store, "shop", name)] == ["order-1"]
    assert [one["id"] for one in order_view(store, None, name)] == ["order-1"]
    assert order_view(store, "shop", "SO-2") == []


def test_a_shop_sees_only_its_own_orders(store):
    with store.write() as connection:
        add_order(connection)
        add_order(connection, "order-2", shop="other")
    assert [one["id"] for one in order_view(store, "other", "SO-1")] == ["order-2"]
    assert order_view(store, "other", "order-1") == []
    assert [one["id"] for one in order_view(store, None, "SO-1")] == ["order-1", "order-2"]


def test_two_orders_of_one_ref_keep_their_things_apart(store):
    with store.write() as connection:
        add_order(connection)
        add_order(connection, "order-2", source="market", accounts=None)
        invoice_id = add_invoice(connection, add_customer(connection))
    first, second = order_view(store, "shop", "SO-1")
    assert [one["id"] for one in first["invoices"]] == [invoice_id]
    assert (second["invoices"], second["customers"], second["timeline"], second["accounts"]) == ([], [], [], None)


def test_a_shared_customer_tells_each_shop_only_its_own(store):
    with store.write() as connection:
        add_order(connection)
        add_order(connection, "order-2", shop="other")
        customer_id = add_customer(connection)
        add_invoice(connection, customer_id)
        add_invoice(connection, customer_id, "order-2", shop="other")
        append(connection, [entry("customer", customer_id, 1, "claimed", "order-2", shop="other")])
    (mine,), (theirs,) = order_view(store, "shop", "SO-1"), order_view(store, "other", "SO-1")
    assert told(mine) == [("customer", "pending"), ("invoice", "pending")]
    assert told(theirs) == [("invoice", "pending"), ("customer", "claimed")]


def test_entries_that_are_of_no_job_are_told_too(store):
    with store.write() as connection:
        add_order(connection)
        append(connection, [entry("order", "order-1", 0, "rerouted", "order-1")])
    assert told(order_view(store, None, "SO-1")[0]) == [("order", "rerouted")]


def test_the_number_of_queries_does_not_grow_with_the_orders(store):
    statements = []
    event.listen(store.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))

    def asked():
        statements.clear()
        order_view(store, None, "SO-1")
        return len([one for one in statements if one.startswith("SELECT")])

    with store.write() as connection:
        add_order(connection)
        add_invoice(connection, add_customer(connection))
    of_one = asked()
    with store.write() as connection:
        for number in range(2, 6):
            add_order(connection, f"order-{number}", source=f"s{number}")
            add_invoice(connection, add_customer(connection, f"order-{number}"), f"order-{number}")
    assert asked() == of_one


def add_delivery(store, row_id="in-1", shop="shop", source="web", event_id="evt-1"):
    row = {"id": row_id, "shop": shop, "source": source, "event_id": event_id, "kind": "standard", "topic": "t"}
    with store.write() as connection:
        connection.execute(insert(inbox).values({**row, "body": b"{}", "digest": "d", "received_at": NOON}))


def test_an_event_that_only_the_inbox_knows(store, inbox_store):
    add_delivery(inbox_store or store)
    (answer,) = event_view(store, inbox_store, "shop", "evt-1")
    assert json.loads(json.dumps(answer)) == answer
    assert (answer["state"], answer["order"], answer["timeline"]) == ("accepted", None, [])
    assert answer["received_at"] == "2026-11-22T12:00:00Z"
    assert event_view(store, inbox_store, "shop", "in-1") == [answer]
    assert event_view(store, inbox_store, "other", "evt-1") == []
    assert event_view(store, inbox_store, "shop", "evt-2") == []


def test_an_event_that_was_taken(store, inbox_store):
    add_delivery(inbox_store or store)
    add_delivery(inbox_store or store, "in-2", source="market")
    with store.write() as connection:
        add_order(connection)
        add_job(connection, "event", "order-1", id="in-1", reason="no route", attempts=2)
        move(connection, "event", "in-1", 1, "held")
    first, second = event_view(store, inbox_store, "shop", "evt-1")
    assert (first["state"], first["reason"], first["attempts"]) == ("held", "no route", 2)
    assert first["order"] == {"id": "order-1", "ref": "SO-1"}
    assert told(first) == [("event", "pending"), ("event", "held")]
    assert second["state"] == "accepted"


def test_the_status_of_an_empty_store(store):
    nothing = {"entries": 0, "oldest_seconds": None}
    counts = {"jobs": {}, "oldest_due_seconds": None, "held": [], "doubled": 0}
    unmatched = {"events": 0, "oldest_seconds": None, "names": []}
    assert status(store) == counts | {"holds": [], "unmatched": unmatched, "to_review": {}, "unsealed": nothing}


def test_the_status_of_a_busy_store(store):
    now = datetime.now(UTC)
    with store.write() as connection:
        for _ in range(3):
            add_job(connection, state="held", reason="unknown tax code")
        add_job(connection, state="held", reason="no route", kind="event")
        add_job(connection, state="doubled", reason="two ids")
        add_job(connection, due_at=now - timedelta(minutes=5))
        add_job(connection, due_at=now + timedelta(minutes=5))
    answer = status(store)
    assert json.loads(json.dumps(answer)) == answer
    assert answer["jobs"] == {"event": {"held": 1}, "invoice": {"doubled": 1, "held": 3, "pending": 2}}
    assert 300 <= answer["oldest_due_seconds"] < 360
    assert [(one["kind"], one["reason"], one["count"]) for one in answer["held"]] == [
        ("invoice", "unknown tax code", 3),
        ("event", "no route", 1),
        ("invoice", "two ids", 1),
    ]
    assert answer["doubled"] == 1
    assert answer["unsealed"]["entries"] == 7
    assert 0 <= answer["unsealed"]["oldest_seconds"] < 60
    seal(store)
    assert status(store)["unsealed"] == {"entries": 0, "oldest_seconds": None}


def test_only_the_commonest_reasons_are_shown(store):
    with store.write() as connection:
        for number in range(25):
            add_job(connection, state="held", reason=f"reason {number}")
    assert len(status(store)["held"]) == 20


FILTERS = [
    ({}, {"tax", "route", "number"}),
    ({"shop": "other"}, {"route"}),
    ({"account": "books"}, {"tax"}),
    ({"kind": "event"}, {"route"}),
    ({"order": "SO-1"}, {"tax"}),
    ({"order": "src-order-1"}, {"tax"}),
    ({"reason_contains": "TAX"}, {"tax"}),
    ({"reason_contains": "%"}, set()),
    ({"shop": "shop", "account": "nobody"}, set()),
]


@pytest.mark.parametrize(("filters", "found"), FILTERS)
def test_held_rows_by_filter(store, filters, found):
    with store.write() as connection:
        add_order(connection)
        add_job(connection, state="held", label="tax", account="books", reason="unknown tax code")
        add_job(connection, "event", None, state="held", label="route", shop="other", reason="no route")
        add_job(connection, order_id=None, state="mismatch", label="number", reason="differs by 0.01")
        add_job(connection, label="not held")
    answer = held(store, **filters)
    assert json.loads(json.dumps(answer)) == answer
    assert {one["label"] for one in answer} == found


def test_held_rows_longest_waiting_first(store):
    with store.write() as connection:
        add_order(connection)
        for minutes in (1, 3, 2):
            add_job(connection, state="held", label=str(minutes), changed_at=NOON - timedelta(minutes=minutes))
    assert [one["label"] for one in held(store, limit=2)] == ["3", "2"]
    assert held(store)[0]["order_ref"] == "SO-1"
    assert held(store)[0]["kind"] == "invoice"
