"""What the doctor makes of queues, workers and rows, and what the store tells it of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.trail_story import add_job, open_store
from worker.config import Config
from worker.doctor import queues, work
from worker.doctor.findings import Finding
from worker.doctor.queues import Workers
from worker.limits import State
from worker.store import checkup
from worker.store.checkup import Group, Still
from worker.store.migrate import NEWEST
from worker.store.schema import holds, tokens

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOTHING = Still((), (), (), (0, 0.0), (0, 0.0), (), {})


def levels(found: Any) -> list[tuple[str, str]]:
    return [(one.check, one.level) for one in found]


# -- queues ------------------------------------------------------------------------------------------------------------

ALL = {"events": ["a@x"], "invoices.xero": ["a@x"], "notify": ["a@x"], "recurring": ["b@x"]}
WANTED = ["events", "invoices.xero", "recurring"]
EMPTY = {**dict.fromkeys(ALL, 0), "invoices.stripe": 0}


def test_a_queue_that_nobody_needs_needs_no_worker():
    found = Workers(ALL, {"a@x": "1", "b@x": "1"})

    assert levels(queues.taken(found, EMPTY, {}, WANTED)) == [("queues", "ok"), ("workers", "ok")]


@pytest.mark.parametrize(("messages", "due"), [(3, 0), (0, 2)])
def test_a_queue_without_a_worker_in_which_something_waits(messages, due):
    found = Workers(ALL, {"a@x": "1", "b@x": "1"})

    first, _ = queues.taken(found, {**EMPTY, "invoices.stripe": messages}, {"invoices.stripe": due}, WANTED)

    what = "3 message(s)" if messages else "2 due row(s)"
    assert (first.level, first.says) == ("bad", f"no worker takes invoices.stripe; {what} wait there")


def test_workers_of_two_versions_are_named():
    found = Workers(ALL, {"a@x": "1.0", "b@x": "1.1"})

    *_, last = queues.taken(found, EMPTY, {}, WANTED)

    assert last.level == "warning"
    assert last.says.endswith("1.0: a@x; 1.1: b@x")


def test_a_worker_that_went_without_a_word_is_named():
    found = Workers(ALL, {"a@x": "1", "b@x": "1"})

    said = list(queues.silent(found, {"a@x": 100.0, "c@x": 600.0, "d@x": 3.0}))

    assert [(one.level, one.says.partition(" and ")[0]) for one in said] == [
        ("warning", "c@x was last heard of 10 min ago")
    ]


# -- work --------------------------------------------------------------------------------------------------------------

GROUP = Group("invoice", "pending", "xero:t", "shop", "books", 7, 1_200.0)
CONFIG = Config.model_validate(
    {
        "shop": {
            "shop": {
                "api_key": "0123456789abcdef",
                "account": {
                    "books": {
                        "platform": "xero", "client_id": "i", "client_secret": "s", "refresh_token": "r",
                        "settings": {"tenant": "t", "sales_account": "200", "tax": {"20": "OUTPUT2"}},
                    }
                },
            }
        }
    }
)  # fmt: skip
REFS = list(CONFIG.accounts())


def still(**changes: Any) -> Still:
    return Still(**{**{name: getattr(NOTHING, name) for name in Still.__slots__}, **changes})


def moving(found: Still, late: float = 600.0, **paused: float) -> dict[str, Finding]:
    return {one.check: one for one in work.moving(found, late, paused, timedelta(seconds=60))}


def test_work_that_is_due_for_too_long():
    assert moving(still(due=(GROUP,)))["work due"].says == "7 invoice(s) for shop/books are due for 20 min"
    assert moving(still(due=(GROUP,)))["work due"].level == "bad"
    assert moving(still(due=(GROUP,)), late=1_800.0)["work due"].level == "ok"
    assert moving(NOTHING)["work due"].level == "ok"


def test_work_of_an_account_that_is_paused_or_on_hold_is_explained():
    paused = {"xero:t": 300.0}
    on_hold = still(due=(GROUP,), holds=(("xero:t", "refused", NOON),))

    assert moving(still(due=(GROUP,)), **paused)["work due"].level == "warning"
    assert moving(on_hold)["work due"].level == "warning"


def test_work_that_fails_for_too_long_is_told_with_its_reason():
    failing = Group("customer", "retry", "xero:t", "shop", "books", 2, 1_200.0, "it cannot be reached")

    told = moving(still(trying=(failing,)))["work tried"]

    assert told.level == "warning"
    assert told.says == "2 customer(s) for shop/books are tried again and again for 20 min: it cannot be reached"
    assert "work tried" not in moving(still(trying=(failing,)), late=1_800.0)


@pytest.mark.parametrize(
    ("changes", "check"), [({"abandoned": (2, 500.0)}, "leases"), ({"unsealed": (9, 500.0)}, "seal")]
)
def test_what_recurs_and_does_not(changes, check):
    assert moving(still(**changes))[check].level == "bad"
    assert moving(still(**dict.fromkeys(changes, (1, 1.0))))[check].level == "ok"


def test_events_that_nobody_handles():
    assert work.handled((3, 400.0)).level == "bad"
    assert work.handled((3, 1.0)).level == "ok"
    assert work.handled((0, 0.0)).level == "ok"


@pytest.mark.parametrize(
    ("changes", "state", "level", "says"),
    [
        ({}, State({}, 0.0, broken=False), "ok", "none of them on hold"),
        ({}, State({}, 200.0, broken=True), "warning", "calls failed in a row"),
        ({}, State({}, 200.0, broken=False), "warning", "asked to wait"),
        ({}, State({}, 20.0, broken=False), "ok", "none of them on hold"),
        ({"holds": ((REFS[0].tenant, "invalid_grant", NOON),)}, None, "bad", "invalid_grant"),
        ({"tokens": {REFS[0].tenant: datetime.now(UTC) - timedelta(days=45)}}, None, "warning", "45 days"),
        ({"tokens": {REFS[0].tenant: datetime.now(UTC) - timedelta(days=5)}}, None, "ok", "none of them on hold"),
    ],
)
def test_accounts(changes, state, level, says):
    first = next(iter(work.accounts(still(**changes), REFS, {REFS[0].tenant: state} if state else {})))

    assert first.level == level
    assert says in first.says


def test_a_hold_of_an_account_that_is_gone_is_told():
    found = work.accounts(still(holds=(("xero:other", "refused", NOON),)), REFS, {})

    assert ("accounts", "warning") in levels(found)


# -- the store's answers -----------------------------------------------------------------------------------------------


def test_the_store_tells_what_stands_still(store_url):
    store = open_store(store_url)
    past = datetime.now(UTC) - timedelta(hours=1)
    with store.write() as connection:
        for number in range(3):
            add_job(connection, tenant="xero:t", account="books", due_at=past + timedelta(minutes=number))
        add_job(connection, state="held", changed_at=past)
        add_job(connection, state="uncertain", created_at=past, reason="no answer")
        add_job(connection, state="claimed", lease_owner="w/1", lease_until=past)
        connection.execute(holds.insert().values(tenant="xero:t", reason="refused", since=past))
        for version in (1, 2):
            stored = past + timedelta(minutes=version)
            row = {"tenant": "xero:t", "version": version, "sealed": b"", "expires_at": past, "stored_at": stored}
            connection.execute(tokens.insert().values(**row))

    found = checkup.still(store)
    vitals = checkup.vitals(store)
    by_queue = checkup.due_by_queue(store)
    store.close()

    assert [(group.kind, group.account, group.count) for group in found.due] == [("invoice", "books", 3)]
    assert 3_590 < found.due[0].oldest < 4_200
    assert [(group.state, group.count) for group in found.stopped] == [("held", 1)]
    assert found.abandoned[0] == 1
    assert [(group.state, group.reason) for group in found.trying] == [("uncertain", "no answer")]
    assert found.unsealed[0] == 6
    assert found.holds == (("xero:t", "refused", past),)
    assert found.tokens == {"xero:t": past + timedelta(minutes=2)}
    assert by_queue == {"q": 3}
    assert (vitals.revision, vitals.own_clock) == (NEWEST, not store.sqlite)
    assert vitals.newest is not None
    assert vitals.newest[1] == "worker-1"
