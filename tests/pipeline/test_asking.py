"""Sources are asked: what an event points to, what was missed, how parcels fare; whatever fails or dies meanwhile."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.errors import ConnectorError, Rejected, Throttled, Unauthorized, Unavailable
from connectors.sources.asking import Api
from tasks import ask_sources as asking
from tasks import recurring
from tests.kit.inprocess import InProcess
from tests.kit.redis_server import RedisServer
from tests.kit.scene import order_event
from tests.pipeline.asking import Toy, ask, books, deliver, events, question, toy_shop
from worker import runtime
from worker.store import jobs
from worker.store.engine import StoreError
from worker.store.inbox import Inbox, StoreUnavailable
from worker.store.schema import jobs as jobs_table


@pytest.fixture
def scene(
    tmp_path: Path, store_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InProcess]:
    yield from toy_shop(tmp_path, store_url, redis_server, monkeypatch)


def test_what_an_event_points_to_is_fetched_and_invoiced_once(scene: InProcess) -> None:
    Toy.orders["A"] = order_event(1)
    for ident in ("d-1", "d-2"):
        deliver(scene, ident, {"look": "A"})
    ask(scene)
    assert books(scene) == ["SO-1"]
    assert [state for state, _ in events(scene)] == ["done"] * 3
    assert Toy.questions == ["fetch", "fetch"]


def test_what_is_gone_at_the_shop_is_done(scene: InProcess) -> None:
    deliver(scene, "d-1", {"look": "A"})
    ask(scene)
    assert books(scene) == []
    assert [state for state, _ in events(scene)] == ["done"]


def test_without_credentials_of_the_api_it_is_held_with_what_to_do(scene: InProcess) -> None:
    deliver(scene, "d-1", {"look": "A"}, source="mute")
    ((state, reason),) = events(scene)
    assert state == "held"
    assert "give source mute credentials of its API, then `billhook retry`" in (reason or "")


@pytest.mark.parametrize("error", [Unavailable("no answer"), Throttled("slow down", retry_after=30.0)])
def test_a_shop_that_does_not_answer_is_asked_again(scene: InProcess, error: ConnectorError) -> None:
    Toy.orders["A"], Toy.fails = order_event(1), [error]
    deliver(scene, "d-1", {"look": "A"})
    asking.ask_sources("engraver/web")
    assert events(scene) == [("retry", error.message)]
    ask(scene)
    assert books(scene) == ["SO-1"]


@pytest.mark.parametrize("error", [Unauthorized("the key is wrong"), Rejected("no such store")])
def test_what_a_person_must_put_right_is_held(scene: InProcess, error: ConnectorError) -> None:
    Toy.fails = [error]
    deliver(scene, "d-1", {"look": "A"})
    ask(scene)
    assert events(scene) == [("held", error.message)]


def test_what_was_missed_is_pulled_page_by_page_and_once(scene: InProcess) -> None:
    Toy.orders = {name: order_event(number) for number, name in enumerate("ABC", start=1)}
    recurring._asking()
    ask(scene)
    assert books(scene) == ["SO-1", "SO-2", "SO-3"]
    assert question(scene) == ("pending", None)
    Toy.orders["D"] = order_event(4)
    Toy.questions.clear()
    ask(scene)
    assert books(scene) == ["SO-1", "SO-2", "SO-3", "SO-4"]
    assert Toy.questions[0] == "pull 3", "it goes on where it ended"


def test_after_it_went_well_its_failures_are_forgotten(scene: InProcess) -> None:
    """A shop that was away for a day is asked again at once when it is away for a minute."""
    recurring._asking()
    for _ in range(3):
        Toy.fails = [Unavailable("no answer")]
        ask(scene)
    attempts = "SELECT attempts FROM jobs WHERE kind = 'question' AND account = 'web'"
    assert [row[0] for row in scene.rows(attempts)] == [3]
    ask(scene)
    assert [row[0] for row in scene.rows(attempts)] == [0]


def told_of_webhooks(scene: InProcess) -> list[str] | None:
    """What the trail says of the last question."""
    last = "SELECT detail FROM audit WHERE subject LIKE 'question:%' AND action = 'ask' ORDER BY seq DESC LIMIT 1"
    ((detail,),) = scene.rows(last)
    found: list[str] | None = json.loads(detail).get("webhooks")
    return found


def test_webhooks_switched_on_again_are_in_the_trail(scene: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [["webhook 7 is active again"], []]
    monkeypatch.setattr(Toy, "wake", lambda self, api: said.pop(0))
    recurring._asking()
    ask(scene)
    assert told_of_webhooks(scene) == ["webhook 7 is active again"]
    ask(scene)
    assert told_of_webhooks(scene) is None


def test_that_nobody_may_look_at_the_webhooks_does_not_stop_the_questions(
    scene: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Toy, api: Api) -> list[str]:
        raise Unauthorized("the key may only read")

    monkeypatch.setattr(Toy, "wake", refused)
    Toy.orders["A"] = order_event(1)
    recurring._asking()
    ask(scene)
    assert (books(scene), question(scene)) == (["SO-1"], ("pending", None))
    assert told_of_webhooks(scene) == ["whether its webhooks were switched off is not known: the key may only read"]


def test_it_waits_for_its_time(scene: InProcess) -> None:
    recurring._asking()
    ask(scene)
    Toy.questions.clear()
    ask(scene, again=False)
    assert Toy.questions == []


def test_one_that_was_killed_before_its_cursor_was_stored_asks_again_and_doubles_nothing(
    scene: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    Toy.orders = {name: order_event(number) for number, name in enumerate("AB", start=1)}
    recurring._asking()

    class Killed(BaseException):
        pass

    def die(name: str) -> None:
        if name == "page_kept":
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("worker.testpoints.point", die)
        with pytest.raises(Killed):
            asking.ask_sources("engraver/web")
    assert question(scene)[0] == "claimed"
    with scene.store.write() as connection:
        connection.execute(
            jobs_table.update().where(jobs_table.c.kind == "question").values(lease_owner=None, due_at=jobs.now())
        )
    ask(scene)
    assert Toy.questions[:2] == ["pull None", "pull None"]
    assert books(scene) == ["SO-1", "SO-2"]


def test_each_source_has_one_question_however_often_it_is_made(scene: InProcess) -> None:
    for _ in range(3):
        runtime.keeper.cache_clear()
        recurring._asking()
    assert scene.rows("SELECT account FROM jobs WHERE kind = 'question'") == [("web",)]


def test_a_parcel_that_the_carrier_knows_to_be_delivered_is_invoiced(scene: InProcess) -> None:
    parcel = {"ref": "P", "carrier": "ups", "tracking_number": "1Z 999"}
    scene.handle(order_event(1, type="order.updated", shipments=[parcel]))
    recurring._asking()
    ask(scene)
    assert books(scene) == []
    Toy.parcels["1Z999"] = {
        "id": "t-1",
        "type": "shipment.delivered",
        "occurred_at": "2026-11-23T10:00:00Z",
        "shipment": {**parcel, "tracking_number": "1Z999"},
    }
    ask(scene)
    assert books(scene) == ["SO-1"]
    Toy.questions.clear()
    ask(scene)
    assert "track" not in Toy.questions, "its order is invoiced"


def test_credentials_that_are_refused_hold_the_question_and_retry_asks_again(scene: InProcess) -> None:
    Toy.fails = [Unauthorized("the key is wrong")]
    recurring._asking()
    ask(scene)
    assert question(scene) == ("held", "the key is wrong")


@pytest.mark.parametrize("error", [StoreUnavailable("locked"), StoreError("locked")])
def test_a_store_that_does_not_answer_stops_no_question_for_good(
    scene: InProcess, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    Toy.orders["A"] = order_event(1)
    recurring._asking()

    def fails(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Inbox, "keep", fails)
        ask(scene)
    state, reason = question(scene)
    assert state == "retry"
    assert "the store did not answer" in (reason or "")
    ask(scene)
    assert books(scene) == ["SO-1"]
