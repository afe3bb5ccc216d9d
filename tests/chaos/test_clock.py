"""The wall clock jumps an hour: no lease ends for it. Leases end when `dispatch` itself has seen them stand still."""

import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.sandbox.faults import Fault, Faults
from tests.kit.history import check
from tests.kit.scene import Clocks, order_event
from tests.kit.world import World
from worker import leases
from worker.leases import LeaseWatch
from worker.store import jobs, schema
from worker.store.engine import Store
from worker.store.migrate import prepare

MakeWorld = Callable[..., World]
CALL = 4.0  # seconds that a call is in flight
CLOCKS = Clocks(deadline=20.0, lease_margin=10.0)


def an_hour_passes_during_a_call(world: World, env: dict[str, str]) -> list[tuple[str, str]]:
    """The clock of `dispatch` jumps while a worker waits for its answer. Returns the invoice's story."""
    world.start_worker()
    recurring = world.start_recurring(env, module="tests.kit.tampered")
    world.push(order_event(1))
    world.until_settled()
    world.sandbox.faults("xero", Faults(rates={Fault.SLOW: 1.0}, slow_seconds=CALL))
    world.push(order_event(2, customer=1))
    world.until(lambda: world.states()["sending"], 20)
    os.kill(recurring.pid, signal.SIGUSR2)
    recurring.until_prints("an hour has passed")
    dispatched = recurring.output.count("tasks.dispatch[")
    world.until(lambda: recurring.output.count("tasks.dispatch[") > dispatched + 3, 10)
    world.until(lambda: not world.states()["sending"], 20)
    return world.story(f"invoice:{world.invoice('SO-2')[0][0]}")


def test_a_lease_outlives_an_hour_that_never_passed(make_world: MakeWorld) -> None:
    world = make_world(platforms=("xero",), clocks=CLOCKS)
    story = an_hour_passes_during_a_call(world, {})
    assert story == [("intend", "pending"), ("claim", "claimed"), ("send", "sending"), ("create", "issued")]
    check(world)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_without_its_own_clock_dispatch_ends_a_lease_that_is_alive(make_world: MakeWorld) -> None:
    world = make_world(platforms=("xero",), clocks=CLOCKS)
    story = an_hour_passes_during_a_call(world, {"BILLHOOK_WITHOUT": "lease_watch"})
    assert ("lease_lost", "uncertain") in story


# -- the parts ---------------------------------------------------------------------------------------------------------

AT = datetime(2026, 11, 22, 10, tzinfo=UTC)
LEASE = timedelta(seconds=60)


class Clock:
    """`time.monotonic` by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(leases, "time", made)
    return made


def test_a_lease_is_over_when_it_stood_still_for_its_whole_length(clock: Clock) -> None:
    watch, held = LeaseWatch(), {"job": ("owner", 1, AT)}  # its end is long past by the wall clock
    assert watch.over(held, LEASE) == {}
    clock.seconds += 59
    assert watch.over(held, LEASE) == {}
    clock.seconds += 1
    assert watch.over(held, LEASE) == held


@pytest.mark.parametrize("now", [("other", 1, AT), ("owner", 2, AT), ("owner", 1, AT + LEASE)])
def test_a_lease_that_changed_begins_anew(clock: Clock, now: tuple[str, int, datetime]) -> None:
    watch = LeaseWatch()
    watch.over({"job": ("owner", 1, AT)}, LEASE)
    clock.seconds += 59
    assert watch.over({"job": now}, LEASE) == {}
    clock.seconds += 59
    assert watch.over({"job": now}, LEASE) == {}
    clock.seconds += 1
    assert watch.over({"job": now}, LEASE) == {"job": now}


def test_a_lease_that_ended_and_came_back_begins_anew(clock: Clock) -> None:
    watch, held = LeaseWatch(), {"job": ("owner", 1, AT)}
    watch.over(held, LEASE)
    clock.seconds += 59
    watch.over({}, LEASE)
    clock.seconds += 1
    assert watch.over(held, LEASE) == {}


@pytest.fixture
def claimed(store_url: str) -> Any:
    """A store with one claimed row, and its lease."""
    store = Store(store_url)
    prepare(store)
    row = {"id": "job", "kind": "invoice", "queue": "q", "tenant": "t", "shop": "s", "state": "pending", "due_at": AT}
    with store.write() as connection:
        connection.execute(schema.jobs.insert().values(**row, created_at=AT, changed_at=AT))
        jobs.claim(
            connection, queue="q", kinds=("invoice",), tenant="t", limit=1, owner="me", lease=LEASE, actor="me"
        )  # fmt: skip
        lease = jobs.leased(connection)["job"]
    yield store, lease
    store.close()


@pytest.mark.parametrize("other", [("you", 0, 0), ("me", 1, 0), ("me", 0, 1)], ids=["owner", "fence", "end"])
def test_a_lease_that_is_another_by_now_is_not_ended(claimed: Any, other: tuple[str, int, int]) -> None:
    store, (_, fence, until) = claimed
    stale = (other[0], fence + other[1], until + timedelta(seconds=other[2]))
    with store.write() as connection:
        assert jobs.free(connection, {"job": stale}, attempts=12) == []
        assert "job" in jobs.leased(connection)


def test_a_lease_that_is_the_same_is_ended(claimed: Any) -> None:
    store, lease = claimed
    with store.write() as connection:
        assert jobs.free(connection, {"job": lease}, attempts=12) == ["job"]
        assert jobs.leased(connection) == {}
