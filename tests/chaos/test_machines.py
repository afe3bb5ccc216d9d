"""Several machines drain one backlog; they share Redis and PostgreSQL and nothing else, and one of them is lost."""

from collections.abc import Callable

import pytest

from connectors.sandbox.faults import Fault, Faults
from tests.compose.fleet import Fleet
from tests.kit.history import check
from tests.kit.scene import order_event

FAULTS = Faults(
    rates={Fault.ANSWER_LOST: 0.02, Fault.ERROR_AFTER: 0.02, Fault.CUT_BEFORE: 0.02, Fault.THROTTLE: 0.02},
    latency=0.15,  # so that no machine can do it all before the others have begun
)


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.parametrize(("machines", "orders"), [(2, 120), (4, 240)])
def test_a_backlog_is_drained_once_although_a_machine_is_lost(
    make_fleet: Callable[..., Fleet], machines: int, orders: int
) -> None:
    """The machine that is lost has the recurring tasks and beat; so has the second: twice the ticks do no harm."""
    fleet = make_fleet()
    world = fleet.world
    for slug in world.platforms:
        world.sandbox.faults(slug, FAULTS)
    for start in range(0, orders, 50):
        world.push(*(order_event(number, customer=number % 40) for number in range(start, start + 50)), ring=False)
    for number in range(machines):
        fleet.start(f"m{number}", "worker", *(("recurring", "beat") if number < 2 else ()))
    fleet.until_healthy()
    workers = {one.title: one.process.pid for one in fleet.running() if one.name == "worker"}

    def under_way() -> bool:
        return world.states("invoice")["issued"] >= orders // 3 and not fleet.idle(workers)

    world.until(under_way, 120, "a third is issued, and every machine has had a part in it")
    still = world.rows("SELECT count(*) FROM jobs WHERE state NOT IN ('issued', 'done')")[0][0]
    assert still, "everything was over before the machine was lost"
    fleet.lose("m0")
    world.until_settled(240)
    check(world)
