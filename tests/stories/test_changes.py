"""Orders that change, are cancelled, come late or twice."""

from typing import Any

from tests.kit.scene import order_event
from tests.stories.conftest import MakeTale
from tests.stories.tale import placed

LATER = "2026-11-24T10:00:00Z"
EARLIER = "2026-11-20T10:00:00Z"
LESS: dict[str, Any] = {"shipping": None, "total": "102.00"}


def at(when: str, event: dict[str, Any], name: str) -> dict[str, Any]:
    return {**event, "occurred_at": when, "id": f"evt-{name}"}


def cancelled(when: str = LATER, name: str = "cancelled") -> dict[str, Any]:
    return at(when, order_event(1, type="order.cancelled"), name)


def test_an_older_telling_that_comes_later_changes_nothing(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(at(LATER, placed(1), "new"), at(EARLIER, placed(1, **LESS), "old"), order_event(1))
    assert tale.books == {"SO-1": "111.54"}
    assert tale.states_of_events == ["done"] * 3


def test_what_is_due_is_what_was_told_last(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(placed(1), at(LATER, order_event(1, **LESS), "done"))
    assert tale.books == {"SO-1": "102.00"}


def test_an_order_changed_after_its_invoice_is_held_with_the_difference_once(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1), at(LATER, placed(1, **LESS), "c1"), at(LATER, placed(1, **LESS), "c2"))
    assert tale.books == {"SO-1": "111.54"}
    assert tale.states_of_events == ["done", "held", "done"]
    assert "was 111.54 GBP and is now 102.00 GBP" in (tale.events[1][2] or "")


def test_other_lines_for_the_same_money_are_a_change_too(tell: MakeTale) -> None:
    tale = tell()
    lines = [{**placed(1)["order"]["lines"][0], "description": "Something else"}]
    tale.hears(order_event(1), at(LATER, placed(1, lines=lines), "c1"))
    assert "has other lines now, for the same 111.54 GBP" in (tale.events[1][2] or "")


def test_a_new_address_is_no_change_of_the_invoice(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1), at(LATER, placed(1, billing_address={"city": "Paris", "country": "FR"}), "c1"))
    assert tale.states_of_events == ["done", "done"]


def test_cancelled_before_it_was_due_is_never_invoiced(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(placed(1), cancelled())
    assert tale.states_of_events == ["done", "done"]
    tale.hears(at(LATER, order_event(1), "late"))
    assert tale.books == {}
    assert "was cancelled in the shop at 2026-11-24 10:00 UTC" in (tale.events[-1][2] or "")


def test_a_cancellation_that_comes_first_holds_what_comes_later(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(cancelled(), order_event(1))
    assert tale.books == {}
    assert tale.states_of_events == ["done", "held"]


def test_cancelled_after_its_invoice_is_told_to_a_person_who_wants_to_give_back_by_hand(tell: MakeTale) -> None:
    tale = tell(account='refund = "hold"')
    tale.hears(order_event(1), cancelled())
    assert tale.books == {"SO-1": "111.54"}
    assert tale.states_of_events == ["done", "held"]
    assert "after its invoice was made (xero: issued)" in (tale.events[1][2] or "")


def test_cancelled_before_its_invoice_was_sent_stops_it(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1), settle=False)
    tale.hears(cancelled())
    assert tale.books == {}
    ((_, _, state, reason, _),) = tale.invoice("SO-1")
    assert (state, "cancelled in the shop before its invoice was sent" in reason) == ("held", True)


def test_fulfilled_and_cancelled_in_one_batch(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1), cancelled(), together=True)
    assert tale.books == {}
    ((_, _, state, _, _),) = tale.invoice("SO-1")
    assert state == "held"


def test_one_event_many_times_is_one_invoice(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(*(at(LATER, order_event(1), f"again-{number}") for number in range(10)))
    assert tale.books == {"SO-1": "111.54"}


def test_fulfilled_and_completed_are_one_invoice(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1), order_event(1, type="order.completed"), order_event(1, type="job.completed"))
    assert tale.books == {"SO-1": "111.54"}


def test_a_job_that_is_completed_is_invoiced(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1, type="job.completed"))
    assert tale.books == {"SO-1": "111.54"}


def test_days_late_is_still_one_invoice(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(at("2026-10-01T00:00:00Z", order_event(1), "late"))
    assert tale.books == {"SO-1": "111.54"}


def test_what_the_shop_says_a_person_must_decide_is_held_until_somebody_does(tell: MakeTale) -> None:
    tale = tell()
    why = "10.00 GBP of it were refunded"
    tale.hears(placed(1, hold=why), order_event(1, type="order.completed", hold=why))
    assert tale.books == {}
    assert "order SO-1: 10.00 GBP of it were refunded. If it is owed as it was placed" in (tale.events[-1][2] or "")
    tale.hears(at(LATER, order_event(1, hold=why), "by-hand") | {"who": "ada", "why": "agreed with the customer"})
    assert tale.books == {"SO-1": "111.54"}


def test_a_refund_after_the_invoice_holds_no_later_event_of_the_order(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1), at(LATER, order_event(1, type="order.completed", hold="refunded"), "later"))
    assert tale.states_of_events == ["done", "done"]
