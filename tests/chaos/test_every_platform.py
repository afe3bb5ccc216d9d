"""Every platform, in one process: ended at every point, and answered badly in every way; still one invoice an order.

What the first platforms prove with real processes and signals is repeated here for all, a turn at a time.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from connectors.platforms.base import platforms
from connectors.sandbox.faults import Fault, Faults
from tests.kit.history import check
from tests.kit.inprocess import IMPATIENT, PATIENT, InProcess
from tests.kit.redis_server import RedisServer
from tests.kit.scene import Clocks, order_event
from worker import runtime, testpoints
from worker.store import jobs
from worker.store.schema import documents
from worker.store.schema import jobs as table

MakeScene = Callable[..., InProcess]
pytestmark = [
    pytest.mark.parametrize("store_url", ["sqlite"], indirect=True),
    pytest.mark.parametrize("slug", sorted(platforms())),
]
SLOWNESS: dict[str, Any] = {"slow_seconds": 20, "late_seconds": 0.1, "throttle_seconds": 0.1}
"""Longer than the deadline of those who are impatient; shorter than the quiet period."""


PLAIN = [Fault.ANSWER_LOST, Fault.ERROR_BEFORE, Fault.TRUNCATED, Fault.LATE, Fault.THROTTLE, Fault.EXPIRE_TOKENS]
REST = [fault for fault in Fault if fault not in {*PLAIN, Fault.REFUSE_ELEMENT}]


class Ended(BaseException):
    """The process ends here: nothing catches it, and nothing after it happens."""


@pytest.fixture
def make_scene(
    tmp_path: Path, store_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeScene]:
    made: list[InProcess] = []

    def make(slug: str, clocks: Clocks = PATIENT) -> InProcess:
        made.append(InProcess(tmp_path, store_url, redis_server.url, monkeypatch, platforms=(slug,), clocks=clocks))
        return made[-1]

    yield make
    for one in made:
        one.close()


def free_leases(scene: InProcess) -> None:
    """The lease of whoever ended is over, as dispatch sees it."""
    with scene.store.write() as connection:
        columns = (table.c.id, table.c.lease_owner, table.c.fence, table.c.lease_until)
        found = connection.execute(select(*columns).where(table.c.lease_owner.is_not(None)))
        jobs.free(connection, {row[0]: (row[1], row[2], row[3]) for row in found}, attempts=100)
    pass_quiet_period(scene)
    forget_quota()


def pass_quiet_period(scene: InProcess) -> None:
    """An hour passes for everything sent so far: what is not there now will not come any more."""
    with scene.store.write() as connection:
        sent = documents.update().where(documents.c.last_possible_send.is_not(None))
        connection.execute(sent.values(last_possible_send=jobs.now() - timedelta(hours=1)))


def forget_quota() -> None:
    """Permits of whoever ended, and pauses a platform asked for, would be waited for; they are in Redis alone."""
    runtime.redis_client().flushdb()


def end_at(scene: InProcess, monkeypatch: pytest.MonkeyPatch, place: str, event: dict[str, Any]) -> None:
    """The event is handled until the process ends at this point; then another one goes on with what it left."""

    def end(name: str) -> None:
        if name == place:
            raise Ended(name)

    monkeypatch.setattr(testpoints, "point", end)
    ended = False
    try:
        scene.handle(event)
        while not scene.settled():
            scene.turn()
    except Ended:
        ended = True
    monkeypatch.setattr(testpoints, "point", lambda name: None)
    assert ended, f"nothing passed {place} again"
    free_leases(scene)
    scene.handle()
    scene.settle()


def test_ended_anywhere_an_order_still_has_one_invoice(
    make_scene: MakeScene, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make_scene(slug)
    passed: list[str] = []
    monkeypatch.setattr(testpoints, "point", passed.append)
    scene.handle(order_event(0))
    scene.settle()
    check(scene)
    points = [name for name in dict.fromkeys(passed) if "refresh" not in name]  # tokens have a test of their own
    assert {"events_claimed", "claimed", "sending", "before_commit", "after_commit"} <= set(points)
    for number, place in enumerate(points, 1):
        end_at(scene, monkeypatch, place, order_event(number))
    check(scene)


@pytest.mark.parametrize(
    "faults", [pytest.param(PLAIN, id="some"), pytest.param(REST, id="rest", marks=pytest.mark.slow)]
)
def test_whatever_is_answered_an_order_still_has_one_invoice(
    make_scene: MakeScene, slug: str, faults: list[Fault]
) -> None:
    """Each fault falls on the first call that makes the invoice, then on the first that makes its customer."""
    scene = make_scene(slug, IMPATIENT if Fault.SLOW in faults else PATIENT)
    number = 0
    for fault in faults:
        for at_customer in (False, True):
            number += 1
            if not at_customer:  # the customer is there already
                scene.handle(order_event(1000 + number, customer=number))
                scene.settle()
            scene.sandbox.faults(slug, Faults(rates={fault: 1.0}, **SLOWNESS))
            scene.handle(order_event(number, customer=number))
            scene.turn()
            scene.until_struck(slug, fault)
            scene.sandbox.heal(slug)
            pass_quiet_period(scene)
            forget_quota()
            scene.settle()
    check(scene)
