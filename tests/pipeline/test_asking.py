"""Sources are asked: what an event points to, what was missed, how parcels fare; whatever fails or dies meanwhile."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import ConnectorError, Rejected, Throttled, Unauthorized, Unavailable
from connectors.http import Http
from connectors.model import Event
from connectors.sources import base
from connectors.sources.asking import Api, Found, Page, Parcel, Posted
from connectors.sources.base import Look, Source, parse_json
from connectors.sources.delivery import Delivery
from tasks import ask_sources as asking
from tasks import handle_events as handling
from tasks import recurring
from tests.kit.inprocess import InProcess
from tests.kit.redis_server import RedisServer
from tests.kit.scene import order_event
from worker import runtime
from worker.store import jobs
from worker.store.engine import StoreError
from worker.store.inbox import Arrival, Inbox, StoreUnavailable
from worker.store.schema import jobs as jobs_table
from worker.store.verify import verify

CONFIG = """
[shop.engraver.source.web]
kind = "toy"
secret = "s"
options = { key = "k" }

[shop.engraver.source.mute]
kind = "toy"
secret = "s"
"""


class ToyOptions(base.Options):
    key: str = ""
    write_back: bool = False


class Toy(Source):
    """A shop whose deliveries only name an order, and whose API is a dict."""

    kind = "toy"
    options_model = ToyOptions
    options: ToyOptions
    orders: dict[str, dict[str, Any]]
    parcels: dict[str, dict[str, Any]]
    fails: list[ConnectorError]
    questions: list[str]
    noted: list[Posted]

    def api(self, http: Http) -> Api | None:
        return Api("Toy", "http://127.0.0.1:1", {}, http) if self.options.key else None

    def normalise(self, delivery: Delivery, body: bytes) -> Event | Look | None:
        said = parse_json(body)
        return Event.model_validate(said) if "type" in said else Look()

    def fetch(self, api: Api, delivery: Delivery, body: bytes) -> Sequence[Found]:
        self._asked("fetch")
        named = self.orders.get(parse_json(body)["look"])
        return [_found(named)] if named else []

    def pull(self, api: Api, cursor: str | None, now: datetime) -> Page | None:
        """One order a page; the cursor is how many were seen."""
        self._asked(f"pull {cursor}")
        seen = int(cursor or 0)
        found = [_found(event) for event in list(self.orders.values())[seen : seen + 1]]
        return Page(tuple(found), str(seen + len(found)), more=seen + 1 < len(self.orders))

    def track(self, api: Api, parcels: Sequence[Parcel]) -> Sequence[Found] | None:
        self._asked("track")
        return [_found(self.parcels[one.tracking_number]) for one in parcels if one.tracking_number in self.parcels]

    def write_back(self, api: Api, posted: Posted) -> bool:
        self._asked("write back")
        self.noted.append(posted)
        return True

    def _asked(self, what: str) -> None:
        self.questions.append(what)
        if self.fails:
            raise self.fails.pop(0)


def _found(event: Mapping[str, Any]) -> Found:
    return Found(Delivery(event["id"], event["type"]), json.dumps(event).encode())


@pytest.fixture
def scene(
    tmp_path: Path, store_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InProcess]:
    Toy.orders, Toy.parcels, Toy.fails, Toy.questions, Toy.noted = {}, {}, [], [], []
    known = {**base.kinds(), "toy": Toy}
    monkeypatch.setattr(base, "kinds", lambda: known)
    made = InProcess(tmp_path, store_url, redis_server.url, monkeypatch, platforms=("xero",), more=CONFIG)
    text = made.config_file.read_text()
    made.config_file.write_text(
        text.replace("[shop.engraver]\n", '[shop.engraver]\ntrigger = ["order.fulfilled", "shipment.delivered"]\n')
    )
    yield made
    made.close()


def deliver(scene: InProcess, ident: str, body: Mapping[str, Any], source: str = "web") -> None:
    Inbox(scene.inbox_store).accept([Arrival("engraver", source, ident, "toy", "", ident, json.dumps(body).encode())])
    handling.handle_events()


def ask(scene: InProcess, *, again: bool = True) -> None:
    """What is due to be asked is asked, and what comes of it handled; `again`: what waits for its time, too."""
    if again:
        with scene.store.write() as connection:
            connection.execute(jobs_table.update().where(jobs_table.c.due_at.is_not(None)).values(due_at=jobs.now()))
    asking.ask_sources("engraver/web")
    handling.handle_events()
    scene.settle()


def events(scene: InProcess) -> list[tuple[str, str | None]]:
    query = "SELECT state, reason FROM jobs WHERE kind = 'event' ORDER BY created_at, id"
    return [tuple(row) for row in scene.rows(query)]


def question(scene: InProcess) -> tuple[str, str | None]:
    ((state, reason),) = scene.rows("SELECT state, reason FROM jobs WHERE kind = 'question'")
    return state, reason


def books(scene: InProcess) -> list[str]:
    assert verify(scene.store).ok
    return sorted(entry.reference for entry in scene.sandbox.ledger("xero"))


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


# -- writing back ------------------------------------------------------------------------------------------------------


@pytest.fixture
def writing(scene: InProcess) -> InProcess:
    text = scene.config_file.read_text()
    scene.config_file.write_text(text.replace('{ key = "k" }', '{ key = "k", write_back = true }'))
    runtime.keeper.cache_clear()
    return scene


def test_the_shop_s_order_shows_its_invoice_once(writing: InProcess) -> None:
    deliver(writing, "d-1", order_event(1))
    writing.settle_but("notice")
    ask(writing)
    ask(writing)
    (told,) = Toy.noted
    assert (told.order_id, told.account, told.part, str(told.total), told.currency) == (
        "id-1", "xero", "order", "111.54", "GBP"
    )  # fmt: skip
    assert told.number == "SO-1"


def test_an_order_of_another_source_is_not_written_back(writing: InProcess) -> None:
    writing.handle(order_event(1))
    writing.settle()
    assert writing.states("notice") == {}


def test_a_shop_that_is_away_is_told_later(writing: InProcess) -> None:
    Toy.fails = [Unavailable("no answer")]
    deliver(writing, "d-1", order_event(1))
    writing.settle_but("notice")
    asking.ask_sources("engraver/web")
    assert writing.states("notice") == {"retry": 1}
    ask(writing)
    assert [told.number for told in Toy.noted] == ["SO-1"]
    assert writing.states("notice") == {"done": 1}


def test_a_shop_that_refuses_is_held_and_the_invoice_stays(writing: InProcess) -> None:
    Toy.fails = [Rejected("the order is gone")]
    deliver(writing, "d-1", order_event(1))
    writing.settle_but("notice")
    ask(writing)
    assert writing.rows("SELECT state, reason FROM jobs WHERE kind = 'notice'") == [("held", "the order is gone")]
    assert books(writing) == ["SO-1"]


def test_killed_after_it_was_written_it_is_written_again(writing: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die(name: str) -> None:
        if name == "after_write_back":
            raise Killed

    deliver(writing, "d-1", order_event(1))
    writing.settle_but("notice")
    with monkeypatch.context() as patched:
        patched.setattr("worker.testpoints.point", die)
        with pytest.raises(Killed):
            asking.ask_sources("engraver/web")
    with writing.store.write() as connection:
        freed = jobs_table.update().where(jobs_table.c.kind == "notice")
        connection.execute(freed.values(lease_owner=None, due_at=jobs.now()))
    ask(writing)
    assert [told.number for told in Toy.noted] == ["SO-1", "SO-1"]
    assert writing.states("notice") == {"done": 1}


def refund(total: str) -> dict[str, Any]:
    return {
        "id": "evt-r1", "type": "refund.created", "occurred_at": "2026-11-24T10:00:00Z", "order_id": "id-1",
        "refund": {"ref": "R1", "total": total},
    }  # fmt: skip


def noted(told: Posted) -> tuple[str, str | None, str]:
    return told.kind, told.number, told.state


def test_with_what_was_given_back_the_shop_is_told_how_the_invoice_stands(writing: InProcess) -> None:
    deliver(writing, "d-1", order_event(1))
    writing.settle_but("notice")
    ask(writing)
    deliver(writing, "d-2", refund("111.54"))
    writing.settle_but("notice")
    ask(writing)
    first, back = Toy.noted
    assert noted(first) == ("invoice", "SO-1", "issued")
    assert back.kind == "credit"
    assert back.of is not None
    assert noted(back.of) == ("invoice", "SO-1", "credited")


def test_what_is_told_late_of_an_invoice_is_how_it_stands_then(writing: InProcess) -> None:
    deliver(writing, "d-1", order_event(1))
    writing.settle_but("notice")
    deliver(writing, "d-2", refund("111.54"))
    writing.settle_but("notice")
    ask(writing)
    assert {noted(one) for told in Toy.noted for one in told.all if one.kind == "invoice"} == {
        ("invoice", "SO-1", "credited")
    }


def test_what_changes_while_it_is_told_is_told_again(writing: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(writing, "d-1", order_event(1))
    writing.settle_but("notice")
    real = Toy.write_back

    def given_back_meanwhile(self: Toy, api: Api, posted: Posted) -> bool:
        if not Toy.noted:
            with writing.store.write() as connection:
                invoice = (jobs_table.c.kind == "invoice", jobs_table.c.state == "issued")
                connection.execute(jobs_table.update().where(*invoice).values(state="credited"))
        return real(self, api, posted)

    monkeypatch.setattr(Toy, "write_back", given_back_meanwhile)
    asking.ask_sources("engraver/web")
    assert [told.state for told in Toy.noted] == ["issued", "credited"]


@pytest.mark.parametrize("first", ["told at once", "told last"])
def test_an_order_that_was_invoiced_anew_shows_its_newest_invoice(writing: InProcess, first: str) -> None:
    text = writing.config_file.read_text()
    writing.config_file.write_text(text.replace("[shop.engraver]\n", '[shop.engraver]\nchanged = "credit"\n'))
    runtime.keeper.cache_clear()
    deliver(writing, "d-1", order_event(1))
    writing.settle_but("notice")
    if first == "told at once":
        ask(writing)
    changed = order_event(1, type="order.updated", shipping=None, total="102.00")
    deliver(writing, "d-2", {**changed, "id": "evt-2", "occurred_at": "2026-11-24T10:00:00Z"})
    writing.settle_but("notice")
    ask(writing)
    last = {one.kind: noted(one) for told in Toy.noted for one in told.all}
    assert last["invoice"] == ("invoice", "SO-1-R1", "issued")
    assert last["credit"][2] == "issued"
