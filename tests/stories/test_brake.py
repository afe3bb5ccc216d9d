"""The runaway brake: over a shop's bounds nothing is invoiced until a person has looked."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.kit.scene import order_event
from tests.stories.conftest import MakeTale
from worker.store import brakes


def test_an_invoice_over_the_bound_is_held_and_the_others_go_on(tell: MakeTale) -> None:
    tale = tell(shop='brake = { amount = "110.00" }')
    less: dict[str, Any] = {"shipping": None, "total": "102.00"}
    tale.hears(order_event(1), order_event(2, **less))
    assert tale.books == {"SO-2": "102.00"}
    state, _, reason = tale.events[0]
    assert state == "held"
    assert "order SO-1 is 111.54 GBP, over the brake of 110.00 for one invoice" in (reason or "")


def test_whoever_completes_it_by_hand_has_looked(tell: MakeTale) -> None:
    tale = tell(shop='brake = { amount = "110.00" }')
    tale.hears(order_event(1), order_event(1, type="order.completed") | {"who": "ada", "why": "a large one"})
    assert tale.books == {"SO-1": "111.54"}


def test_more_invoices_an_hour_than_the_bound_are_held_with_one_alert(
    tell: MakeTale, caplog: pytest.LogCaptureFixture
) -> None:
    tale = tell(shop="brake = { invoices_an_hour = 3 }")
    with caplog.at_level(logging.ERROR, "tasks.deciding"):
        tale.hears(*(order_event(number) for number in range(1, 3)))
        tale.hears(*(order_event(number) for number in range(3, 7)), together=True)
        tale.hears(order_event(7))
    assert len(tale.books) == 3
    assert tale.states_of_events == ["done"] * 3 + ["held"] * 4
    assert "has made 3 invoices this hour, and no more than 3 are wanted" in (tale.events[-1][2] or "")
    assert [record.message for record in caplog.records] == ["the brake holds the orders of a shop"]


def test_the_next_hour_begins_anew(tell: MakeTale, monkeypatch: pytest.MonkeyPatch) -> None:
    tale = tell(shop="brake = { invoices_an_hour = 1 }")
    tale.hears(order_event(1), order_event(2))
    later = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    monkeypatch.setattr(brakes, "this_hour", lambda: later)
    tale.hears(order_event(3))
    assert sorted(tale.books) == ["SO-1", "SO-3"]


def test_what_was_decided_before_is_not_counted_again(tell: MakeTale) -> None:
    tale = tell(shop="brake = { invoices_an_hour = 1 }")
    tale.hears(order_event(1), order_event(1, type="order.completed"))
    assert tale.states_of_events == ["done", "done"]


def test_without_bounds_nothing_is_counted(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1))
    assert tale.rows("SELECT * FROM brakes") == []
