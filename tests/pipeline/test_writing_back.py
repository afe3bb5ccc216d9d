"""The shop's order shows its invoice, as it stands; whatever fails, dies or changes meanwhile."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import Rejected, Unavailable
from connectors.sources.asking import Api, Posted
from tasks import ask_sources as asking
from tests.kit.inprocess import InProcess
from tests.kit.redis_server import RedisServer
from tests.kit.scene import order_event
from tests.pipeline.asking import Toy, ask, books, deliver, toy_shop
from worker import runtime
from worker.store import jobs
from worker.store.schema import jobs as jobs_table


@pytest.fixture
def scene(
    tmp_path: Path, store_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InProcess]:
    yield from toy_shop(tmp_path, store_url, redis_server, monkeypatch)


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
