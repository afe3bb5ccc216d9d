"""Workers die, or are stopped past their lease, at every point of the code where it matters: one invoice an order.

In each test one world meets all points: every worker of a first crew has a point of its own and is gone when it
passes it; what they leave behind, a healthy worker brings to its end.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any

import psutil
import pytest

from connectors.platforms.base import platforms
from connectors.platforms.documents import PlannedInvoice
from connectors.sandbox.faults import Fault, Faults
from tests.contract import orders
from tests.contract.running import subjects
from tests.contract.test_platforms import offline
from tests.kit.history import check
from tests.kit.processes import Process, eventually
from tests.kit.scene import Clocks, order_event
from tests.kit.world import World

MakeWorld = Callable[..., World]
CLOCKS = Clocks(attempts=100)  # an order may meet every worker of the crew
EVENTS = ["events_claimed", "events_before_commit", "events_after_commit"]
AROUND = ["claimed", "sending", "before_commit", "after_commit"]
LEAVES_NOTHING = {"events_after_commit", "after_commit"}
STEPS = {
    "xero": ["create"],
    "quickbooks": ["create"],
    "stripe": ["customer", "coupon", "draft", "lines", "finalize"],
    "odoo": ["customer", "draft", "issue"],
}
LAST = {("xero", "create"), ("quickbooks", "create"), ("odoo", "customer")}
"""Steps of a packed call that end with the call itself: what comes after them is `before_commit`."""
MOMENT = ("before", "sending")
"""Around the call of any step, packed or not."""
CREATES = {
    "xero": "PUT /api.xro/2.0/Invoices",
    "quickbooks": "POST /v3/company/9130350000000001/invoice?",
    "stripe": "POST /v1/invoices?",
    "odoo": "POST /json/2/account.move/load?",
}


def around(slug: str) -> list[str]:
    """The points around each step's call."""
    moments = ("before", "sending", "after")
    every = [(step, moment) for step in STEPS[slug] for moment in moments]
    return [f"{moment}_{step}" for step, moment in every if (slug, step) not in LAST or moment != "after"]


def rounds(slug: str) -> list[tuple[list[str], int | None]]:
    """Points with the customer whose orders meet them; None: each order has a new customer, who is made first."""
    whole = [*EVENTS, *AROUND, *around(slug)]
    return [(whole, None)] if "customer" in STEPS[slug] else [(around(slug), None), (whole, 1)]


def in_both_stores(slug: str, plain: str) -> Iterator[object]:
    """One store in the plain run (or none), the others among the slow tests."""
    for store in ("sqlite", "postgres"):
        yield pytest.param(store, slug, marks=[] if store == plain else pytest.mark.slow, id=f"{store}-{slug}")


def crew(world: World, points: Sequence[str], how: str, switch_off: str = "quota") -> list[Process]:
    """A worker for each point. No permits: those of a worker that died are kept back for a while.

    One thread each: a second one might be inside a transaction when the process is stopped.
    """
    env = {"BILLHOOK_WITHOUT": switch_off}
    started = [
        world.start_worker({**env, "BILLHOOK_CRASH": f"{point}:{how}"}, wait=False, threads=1) for point in points
    ]
    for worker in started:
        worker.until_prints(" ready.")
    return started


def out_of_action(worker: Process) -> bool:
    return not worker.running or psutil.Process(worker.pid).status() == psutil.STATUS_STOPPED


def feed(world: World, workers: Sequence[Process], numbers: Iterator[int], customer: int | None, **order: Any) -> None:
    """Pushes orders until every worker has met its point; to one alone, the next when this one is settled.

    Two in one turn are worked on by two threads: the other one might be inside a transaction.
    """
    patience = 1.5 if len(workers) > 1 else 30.0
    while left := [worker for worker in workers if not out_of_action(worker)]:
        number = next(numbers)
        assert number < 150, f"never met their points: {[worker.log for worker in left]}\n{world.picture()}"
        world.push(order_event(number, customer=customer, **order))
        with suppress(AssertionError):  # it may be for a worker that is gone: the next one
            eventually(lambda left=left: any(map(out_of_action, left)) or world.settled(), patience)  # type: ignore[misc]


def losses(world: World) -> list[str]:
    """What became of rows whose worker was gone, as the trail tells it."""
    return [row[0] for row in world.rows("SELECT outcome FROM audit WHERE action = 'lease_lost'")]


@pytest.mark.parametrize(
    ("store_url", "slug"),
    [*in_both_stores("xero", "sqlite"), *in_both_stores("stripe", "postgres"), *in_both_stores("quickbooks", "none"),
     *in_both_stores("odoo", "none")],
    indirect=["store_url"],
)  # fmt: skip
def test_killed_anywhere_an_order_still_has_one_invoice(make_world: MakeWorld, slug: str) -> None:
    world = make_world(platforms=(slug,), clocks=CLOCKS).start(workers=0)
    numbers = count(1)
    killed = 0
    for points, customer in rounds(slug):
        workers = crew(world, points, "kill")
        feed(world, workers, numbers, customer)
        assert [worker.exit_code for worker in workers] == [-signal.SIGKILL] * len(points)
        healthy = world.start_worker({"BILLHOOK_WITHOUT": "quota"})
        world.until_settled()
        healthy.kill()
        killed += len(set(points) - LEAVES_NOTHING)
    check(world)
    assert len(losses(world)) >= killed
    assert {"pending", "uncertain"} <= set(losses(world))


def of_the_day() -> str:
    """One of the other platforms, another one every day; BILLHOOK_TEST_PLATFORM names it to repeat a run."""
    others = sorted(set(platforms()) - set(STEPS))
    return os.environ.get("BILLHOOK_TEST_PLATFORM") or others[datetime.now(UTC).date().toordinal() % len(others)]


def steps_of(slug: str) -> list[str]:
    """What each order of the scene is made by there, its new customer first."""
    made, draft = offline(subjects()[slug]), orders.ORDERS["the event's example"]()
    planned = PlannedInvoice(draft=draft, customer_id="customer-1")
    plans = (made.customers.plan(orders.customer(draft)), made.invoices.plan(planned))
    return [request.step for plan in plans for request in plan]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_killed_anywhere_on_the_platform_of_the_day(make_world: MakeWorld) -> None:
    """What all platforms go through in one process, one of them does with real processes and PostgreSQL."""
    slug = of_the_day()
    world = make_world(platforms=(slug,), clocks=CLOCKS).start(workers=0)
    points = [*EVENTS, *AROUND, *(f"{moment}_{step}" for step in dict.fromkeys(steps_of(slug)) for moment in MOMENT)]
    workers = crew(world, points, "kill")
    feed(world, workers, count(1), None)
    assert [worker.exit_code for worker in workers] == [-signal.SIGKILL] * len(points), slug
    world.start_worker({"BILLHOOK_WITHOUT": "quota"})
    world.until_settled(120)
    check(world)
    assert {"pending", "uncertain"} <= set(losses(world))


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("store_url", "slug"),
    [*in_both_stores("xero", "none"), *in_both_stores("stripe", "postgres"), *in_both_stores("quickbooks", "none"),
     *in_both_stores("odoo", "none")],
    indirect=["store_url"],
)  # fmt: skip
def test_stopped_past_its_lease_anywhere_an_order_still_has_one_invoice(make_world: MakeWorld, slug: str) -> None:
    world = make_world(platforms=(slug,), clocks=CLOCKS).start(workers=0)
    numbers = count(1)
    for points, customer in groups(world, slug):
        stopped = crew(world, points, "stop")
        feed(world, stopped, numbers, customer)
        since = time.monotonic()
        healthy = world.start_worker({"BILLHOOK_WITHOUT": "quota"})
        world.until_settled()
        eventually(lambda since=since: time.monotonic() - since > CLOCKS.lease)  # type: ignore[misc]
        wake(world, stopped)
        world.until_settled()
        healthy.kill()
    check(world)
    assert {"pending", "uncertain"} <= set(losses(world))


def groups(world: World, slug: str) -> Iterator[tuple[list[str], int | None]]:
    """On SQLite one at a time: whoever is stopped inside a transaction holds the only write lock, and all wait."""
    for points, customer in rounds(slug):
        if world.store.sqlite:
            yield from (([point], customer) for point in points if point != "events_before_commit")
        else:
            yield points, customer


def wake(world: World, stopped: Sequence[Process]) -> None:
    """Each is killed by its own timer before it can do anything."""
    for worker in stopped:
        os.kill(worker.pid, signal.SIGCONT)
    assert {worker.wait(10) for worker in stopped} == {-signal.SIGALRM}


@pytest.mark.slow
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_stopped_inside_a_transaction_it_lets_go_on_waking(make_world: MakeWorld) -> None:
    world = make_world(platforms=("stripe",), clocks=CLOCKS).start(workers=0)
    (worker,) = crew(world, ["events_before_commit"], "stop")
    feed(world, [worker], count(1), None)
    healthy = world.start_worker()
    since = healthy.output
    world.push(order_event(50))
    world.until(lambda: "database is locked" in healthy.output.removeprefix(since) or world.states()["issued"], 30)
    wake(world, [worker])
    world.until_settled()
    check(world)


MOMENTS = {
    "before the platform commits": Faults(latency=0.7),
    "after the platform committed": Faults(rates={Fault.SLOW: 1.0}, slow_seconds=1.0),
}


@pytest.mark.parametrize(
    ("store_url", "slug"),
    [*in_both_stores("xero", "sqlite"), *in_both_stores("stripe", "postgres"), *in_both_stores("quickbooks", "none"),
     *in_both_stores("odoo", "none")],
    indirect=["store_url"],
)  # fmt: skip
def test_killed_during_the_call_an_order_still_has_one_invoice(make_world: MakeWorld, slug: str) -> None:
    """With the quotas on: the permits of the dead come back."""
    world = make_world(platforms=(slug,), clocks=CLOCKS).start(workers=1)
    world.push(order_event(1))
    world.until_settled()
    for number, faults in enumerate(MOMENTS.values(), 2):
        world.sandbox.faults(slug, faults)
        world.push(order_event(number, customer=1))
        world.until(lambda: in_flight(world, slug), 20)
        world.workers[-1].kill()
        world.sandbox.heal(slug)
        world.start_worker()
        world.until_settled()
    check(world)
    for ref in ("SO-2", "SO-3"):
        assert ("lease_lost", "uncertain") in world.story(f"invoice:{world.invoice(ref)[0][0]}")


def in_flight(world: World, slug: str) -> bool:
    """Whether a call that creates an invoice is unanswered."""
    return any(
        call["status"] is None and f"{call['method']} {call['target']}?".startswith(CREATES[slug])
        for call in world.sandbox.calls(slug)[-3:]
    )
