"""Each safeguard is seen to be needed: the same story with it, and without it, where the history does not add up."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.sandbox.base import Request, Response
from connectors.sandbox.faults import Fault
from connectors.sandbox.server import Hosted
from tests.chaos.test_crash_points import CLOCKS, crew, feed
from tests.chaos.test_every_platform import pass_quiet_period
from tests.kit.history import findings
from tests.kit.inprocess import PATIENT, InProcess
from tests.kit.redis_server import RedisServer
from tests.kit.scene import order_event
from tests.kit.world import World
from worker.store import jobs

DRAFT = "POST /v1/invoices"
"""Stripe: it has no unique number that would refuse a double."""
with_and_without = pytest.mark.parametrize("needed", [True, False], ids=["with", "without"])
on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


@pytest.fixture
def scene(
    tmp_path: Path, store_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InProcess]:
    quiet = replace(PATIENT, quiet_seconds=600.0)
    made = InProcess(tmp_path, store_url, redis_server.url, monkeypatch, platforms=("stripe",), clocks=quiet)
    made.handle(order_event(1, customer=1))
    made.settle()
    yield made
    made.close()


def seen(world: InProcess | World, safeguard_on: bool) -> None:
    """With the safeguard the history adds up; without it the checker finds what is wrong."""
    found = list(findings(world))
    assert safeguard_on == (not found), found or "nothing went wrong without the safeguard: the story proves nothing"


@on_sqlite
@with_and_without
def test_a_lost_answer_makes_a_create_uncertain(scene: InProcess, needed: bool) -> None:
    scene.without(*(() if needed else ("uncertain",)))
    scene.sandbox.script("stripe", Fault.ANSWER_LOST, DRAFT)
    scene.handle(order_event(2, customer=1))
    scene.turn()
    scene.outlive_keys()
    pass_quiet_period(scene)
    scene.settle()
    seen(scene, needed)


@on_sqlite
@with_and_without
def test_what_is_uncertain_is_looked_up_before_it_is_sent_again(scene: InProcess, needed: bool) -> None:
    scene.sandbox.script("stripe", Fault.ANSWER_LOST, DRAFT)
    scene.handle(order_event(2, customer=1))
    scene.turn()
    scene.outlive_keys()
    pass_quiet_period(scene)
    scene.without(*(() if needed else ("look",)))
    scene.settle()
    seen(scene, needed)


@on_sqlite
@with_and_without
def test_not_there_is_believed_only_after_the_quiet_period(
    scene: InProcess, needed: bool, eventually: Callable[..., object]
) -> None:
    """The call is carried out after its connection was cut, and after the first look-up."""
    held = hold_back(scene)
    scene.handle(order_event(2, customer=1))
    scene.without(*(() if needed else ("quiet",)))
    scene.turn()
    eventually(lambda: held)
    with scene.store.write() as connection:  # the key has died, so it is looked up at once
        connection.exec_driver_sql("UPDATE documents SET first_sent_at = '2020-01-01T00:00:00+00:00'")
    scene.turn()
    assert scene.states()["issued"] == (1 if needed else 2)
    scene.sandbox.request("stripe", held[0])
    pass_quiet_period(scene)
    scene.settle()
    assert len(scene.sandbox.ledger("stripe")) == (2 if needed else 3)
    seen(scene, needed)


def hold_back(scene: InProcess) -> list[Request]:
    """The connection of the next draft is cut; the call itself is here, to be carried out whenever the test says."""
    held: list[Request] = []

    def held_back(hosted: Hosted) -> None:
        carry_out = hosted.emulator.handle

        def handle(request: Request) -> Response:
            if held or request.path != DRAFT.split()[1]:
                return carry_out(request)
            held.append(request)
            return Response(200)

        hosted.emulator.handle = handle  # type: ignore[method-assign]

    scene.sandbox.ask("stripe", held_back)
    scene.sandbox.script("stripe", Fault.LATE, DRAFT, late_seconds=0)
    return held


@with_and_without
def test_a_worker_whose_lease_is_over_records_nothing(scene: InProcess, needed: bool) -> None:
    """The one it was taken from was refused; the other one issued it."""
    scene.handle(order_event(2, customer=1))
    ((tenant,),) = scene.rows("SELECT DISTINCT tenant FROM jobs WHERE kind = 'invoice'")
    with scene.store.write() as connection:
        late = jobs.claim(
            connection, queue="invoices.stripe", kinds=("invoice",), tenant=tenant, limit=1,
            owner="late", lease=timedelta(seconds=5), actor="late",
        )  # fmt: skip
        assert len(jobs.free(connection, jobs.leased(connection), attempts=12)) == 1
    scene.settle()
    scene.without(*(() if needed else ("fence",)))
    with scene.store.write() as connection:
        change = jobs.Change(late[0].id, "held", "refused", reason="told to somebody whose lease was over")
        recorded = jobs.settle(connection, {late[0].id: late[0]}, [change], owner="late", actor="late")
    assert bool(recorded) is not needed
    seen(scene, needed)


@on_sqlite
@pytest.mark.parametrize(
    ("point", "off", "adds_up"),
    [
        pytest.param("sending_draft", "", True, id="dies-on-waking"),
        pytest.param("sending_draft", "self_fence", False, id="without-self_fence"),
        pytest.param("before_draft", "self_fence", True, id="looks-at-its-lease", marks=pytest.mark.slow),
        pytest.param("before_draft", "self_fence,lease_check", False, id="without-lease_check", marks=pytest.mark.slow),
    ],
)
def test_a_worker_that_slept_past_its_lease_sends_nothing(
    make_world: Callable[..., World], point: str, off: str, adds_up: bool
) -> None:
    """It wakes when another one has looked, found nothing and issued under a new key."""
    world = make_world(platforms=("stripe",), clocks=CLOCKS).start(workers=0)
    (sleeper,) = crew(world, [point], "stop", f"quota,{off}")
    feed(world, [sleeper], iter(range(1, 9)), None, discount=None, total="117.54")
    with world.store.write() as connection:  # what was sent so far is older than any key
        connection.exec_driver_sql("UPDATE documents SET first_sent_at = '2020-01-01T00:00:00+00:00'")
    world.start_worker({"BILLHOOK_WITHOUT": "quota"})
    world.until_settled()
    calls = len(world.sandbox.calls("stripe"))
    os.kill(sleeper.pid, signal.SIGCONT)
    if "self_fence" not in off:
        assert sleeper.wait(10) == -signal.SIGALRM
    elif adds_up:
        world.until(lambda: "succeeded in" in sleeper.output, 10, "the sleeper has ended its task")
    else:
        world.until(lambda: len(world.sandbox.calls("stripe")) > calls, 10, "the sleeper has sent")
    seen(world, adds_up)
