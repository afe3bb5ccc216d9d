"""An account's quota is shared by all workers: the platform never sees a call too many, and shops share it fairly."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from connectors.sandbox.base import Rolling
from connectors.sandbox.faults import Fault, Faults
from tests.kit.history import check
from tests.kit.inprocess import inside
from tests.kit.scene import order_event
from tests.kit.world import World

MakeWorld = Callable[..., World]
on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
pytestmark = on_sqlite


def strict(world: World) -> World:
    """The platforms allow exactly what their connectors declare: Stripe 25 calls a second, Xero 60 a minute."""
    world.sandbox.ask("stripe", lambda hosted: setattr(hosted.emulator, "live_calls", 25))
    world.sandbox.quota("xero", per_minute=Rolling(60, 60))
    world.sandbox.faults("xero", Faults(latency=0.1))
    return world


def test_two_workers_never_send_a_call_too_many(make_world: MakeWorld) -> None:
    world = strict(make_world()).start(workers=2)
    for number in range(40):
        world.push(order_event(number, customer=number % 10))
    world.until_settled(90)
    check(world)
    for slug, most in (("stripe", 10), ("xero", 5)):
        report = world.sandbox.report(slug)
        assert report["refused_for_quota"] == 0, slug
        assert report["most_in_flight"] <= most, slug
    assert not world.rows("SELECT 1 FROM audit WHERE detail LIKE '%\"http_status\":429%'")
    busiest = max(calls_within_a_second(world))
    assert 10 <= busiest <= 25, "the quota is used, not only kept"


def calls_within_a_second(world: World) -> list[int]:
    at = [call["at"] for call in world.sandbox.calls("stripe")]
    return [sum(begin <= other < begin + 1 for other in at) for begin in at]


def test_without_permits_the_platform_refuses(make_world: MakeWorld) -> None:
    world = strict(make_world(platforms=("stripe",))).start(workers=2, env={"BILLHOOK_WITHOUT": "quota"})
    for number in range(20):
        world.push(order_event(number))
    world.until(lambda: world.sandbox.report("stripe")["refused_for_quota"], 30)


def gap_after_429(world: World, pause: float) -> float:
    """Seconds from the 429 to the next call, while other orders of the account come in."""
    world.push(order_event(1))
    world.until_settled()
    world.sandbox.script("stripe", Fault.THROTTLE, throttle_seconds=pause)
    world.push(order_event(2))
    world.until(lambda: throttled(world), 10)
    for number in range(3, 6):
        world.push(order_event(number))
    world.until_settled()
    check(world)
    calls = world.sandbox.calls("stripe")
    return next(after["at"] - before["at"] for before, after in pairwise(calls) if before["status"] == 429)


def throttled(world: World) -> bool:
    return any(call["status"] == 429 for call in world.sandbox.calls("stripe"))


def test_retry_after_is_obeyed_by_all_workers(make_world: MakeWorld) -> None:
    world = make_world(platforms=("stripe",)).start(workers=2)
    assert gap_after_429(world, 3.0) >= 3.0


def test_without_permits_others_call_while_they_should_wait(make_world: MakeWorld) -> None:
    world = make_world(platforms=("stripe",)).start(workers=2, env={"BILLHOOK_WITHOUT": "quota"})
    assert gap_after_429(world, 10.0) < 10.0


def backlog(world: World, shop: str, orders: int) -> None:
    """The rows of so many orders of new customers, as `handle_events` makes them; nobody is rung for."""
    from tasks.handle_events import _turn

    world.accept(*(order_event(number) for number in range(orders)), shop=shop)
    with inside(world):
        while _turn() is not None:
            pass


@pytest.mark.parametrize("orders", [1_000, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(300)])])
def test_a_shop_with_a_backlog_does_not_delay_another_shops_order(make_world: MakeWorld, orders: int) -> None:
    """Both use one account, and each order needs a new customer there."""
    world = make_world(platforms=("stripe",), shops=("engraver", "florist"))
    backlog(world, "engraver", orders)
    world.start()
    world.until(lambda: world.states()["issued"] + world.states("customer")["done"] > 3, 30)
    world.push(order_event(orders + 1), shop="florist")
    world.until(lambda: florist(world) == "issued", 30)
    assert world.states()["pending"] > orders * 0.8, "the backlog was gone already"


def florist(world: World) -> Any:
    rows = world.rows("SELECT state FROM jobs WHERE kind = 'invoice' AND shop = 'florist'")
    return rows[0][0] if rows else None
