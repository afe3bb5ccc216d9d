"""The safeguards before anything is sent, each seen to be needed: what makes two events, or two orders, one thing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import deciding
from tests.kit.inprocess import InProcess
from tests.kit.redis_server import RedisServer
from tests.kit.scene import order_event

with_and_without = pytest.mark.parametrize("needed", [True, False], ids=["with", "without"])


@pytest.fixture
def scene(
    tmp_path: Path, store_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InProcess]:
    made = InProcess(tmp_path, store_url, redis_server.url, monkeypatch, platforms=("xero", "stripe"))
    yield made
    made.close()


def books(scene: InProcess) -> dict[str, int]:
    return {slug: len(scene.sandbox.ledger(slug)) for slug in ("xero", "stripe")}


@with_and_without
def test_the_business_key_makes_two_events_of_an_order_one_invoice(scene: InProcess, needed: bool) -> None:
    scene.without(*(() if needed else ("unique",)))
    scene.handle(order_event(1))
    scene.settle()
    scene.handle(order_event(1, type="order.completed"))
    scene.settle()
    assert books(scene) == ({"xero": 1, "stripe": 1} if needed else {"xero": 2, "stripe": 2})


@with_and_without
def test_an_older_event_does_not_overwrite_a_newer_one(scene: InProcess, needed: bool) -> None:
    line = order_event(1)["order"]["lines"][0] | {"description": "Brass plaque, corrected."}
    scene.without(*(() if needed else ("newest",)))
    scene.handle(order_event(1, type="order.updated", lines=[line]) | {"occurred_at": "2026-11-22T11:00:00Z"})
    scene.handle(order_event(1))
    scene.settle()
    (entry,) = scene.sandbox.ledger("xero")
    assert any("corrected" in text for text in entry.lines) is needed


@with_and_without
def test_accounts_are_decided_once_per_order(scene: InProcess, needed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The route is edited between two events of one order."""
    scene.without(*(() if needed else ("decided",)))
    monkeypatch.setattr(deciding, "accounts_for", lambda *_: ("xero",))
    scene.handle(order_event(1))
    scene.settle()
    monkeypatch.setattr(deciding, "accounts_for", lambda *_: ("stripe",))
    scene.handle(order_event(1, type="order.completed"))
    scene.settle()
    assert books(scene) == ({"xero": 1, "stripe": 0} if needed else {"xero": 1, "stripe": 1})


@with_and_without
def test_two_orders_of_one_new_customer_make_one_customer(scene: InProcess, needed: bool) -> None:
    scene.without(*(() if needed else ("one_customer",)))
    scene.handle(order_event(1, customer=7), order_event(2, customer=7))
    scene.settle()
    assert len(scene.sandbox.customers("stripe")) == (1 if needed else 2)
