"""Orders that change after their invoice, and orders that are owed after all: given back, then invoiced anew."""

from __future__ import annotations

from typing import Any

from tests.kit.scene import order_event
from tests.stories.conftest import MakeTale
from tests.stories.tale import Tale, placed
from tests.stories.test_refunds import notes_of, refunded, states

POLICY = 'changed = "credit"'
LATER, STILL_LATER = "2026-11-24T10:00:00Z", "2026-11-25T10:00:00Z"
LESS: dict[str, Any] = {"shipping": None, "total": "102.00"}


def told(when: str = LATER, **order: Any) -> dict[str, Any]:
    return {**placed(1, **order), "occurred_at": when, "id": f"evt-{when}-{order.get('total')}"}


def completed(tale: Tale) -> None:
    """Staff says that it is owed."""
    event = {
        "id": "evt-staff", "type": "order.completed", "occurred_at": STILL_LATER, "order_id": "id-1", "who": "ada",
        "why": "they want it after all",
    }  # fmt: skip
    tale.hears(event)


def test_a_changed_order_is_given_back_and_invoiced_as_it_is_now(tell: MakeTale) -> None:
    tale = tell(shop=POLICY)
    tale.hears(order_event(1), told(**LESS))
    assert notes_of(tale) == {"SO-1-C1": "111.54"}
    assert tale.books == {"SO-1": "111.54", "SO-1-R1": "102.00"}
    assert states(tale, "invoice", "credit") == ["credited", "issued", "issued"]
    assert tale.states_of_events == ["done", "done"]


def test_the_same_change_told_again_changes_nothing(tell: MakeTale) -> None:
    tale = tell(shop=POLICY)
    tale.hears(order_event(1), told(**LESS), {**told(STILL_LATER, **LESS)})
    assert tale.books == {"SO-1": "111.54", "SO-1-R1": "102.00"}
    assert notes_of(tale) == {"SO-1-C1": "111.54"}


def test_changed_twice_is_given_back_twice(tell: MakeTale) -> None:
    tale = tell(shop=POLICY)
    tale.hears(order_event(1), told(**LESS), told(STILL_LATER, discount=None, total="117.54"))
    assert tale.books == {"SO-1": "111.54", "SO-1-R1": "102.00", "SO-1-R2": "117.54"}
    assert notes_of(tale) == {"SO-1-C1": "111.54", "SO-1-R1-C1": "102.00"}


def test_changed_twice_before_the_note_is_made_ends_as_it_was_told_last(tell: MakeTale) -> None:
    tale = tell(shop=POLICY)
    tale.hears(order_event(1))
    tale.hears(told(**LESS), told(STILL_LATER, discount=None, total="117.54"), settle=False)
    tale.settle()
    assert tale.books == {"SO-1": "111.54", "SO-1-R1": "117.54"}
    assert notes_of(tale) == {"SO-1-C1": "111.54"}


def test_changed_before_its_invoice_was_sent_it_is_invoiced_once_as_it_is_now(tell: MakeTale) -> None:
    tale = tell(shop=POLICY)
    tale.hears(order_event(1), told(**LESS), settle=False)
    tale.settle()
    assert tale.books == {"SO-1-R1": "102.00"}
    assert notes_of(tale) == {}
    assert states(tale, "invoice") == ["issued", "void"]


def test_changed_back_is_another_change(tell: MakeTale) -> None:
    tale = tell(shop=POLICY)
    tale.hears(order_event(1), told(**LESS), told(STILL_LATER))
    assert tale.books == {"SO-1": "111.54", "SO-1-R1": "102.00", "SO-1-R2": "111.54"}


def test_where_invoices_are_voided_the_new_one_follows_the_void(tell: MakeTale) -> None:
    tale = tell(shop=POLICY, account='refund = "void"')
    tale.hears(order_event(1), told(**LESS))
    assert tale.books == {"SO-1-R1": "102.00"}
    assert states(tale, "invoice", "credit") == ["done", "issued", "void"]


def test_changed_after_a_part_was_given_back_is_told_to_a_person(tell: MakeTale) -> None:
    tale = tell(shop=POLICY)
    tale.hears(order_event(1), refunded("12.00"), told(STILL_LATER, **LESS))
    assert tale.books == {"SO-1": "111.54"}
    assert "after a part of its invoice SO-1 was given back" in (tale.events[-1][2] or "")


def test_a_cancelled_order_that_staff_completes_has_a_new_invoice(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1), order_event(1, type="order.cancelled"))
    assert states(tale, "invoice") == ["credited"]
    completed(tale)
    assert tale.books == {"SO-1": "111.54", "SO-1-R1": "111.54"}
    assert notes_of(tale) == {"SO-1-C1": "111.54"}


def test_what_a_machine_says_of_it_makes_no_new_invoice(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1), refunded("111.54"))
    tale.hears({**order_event(1, type="order.completed"), "occurred_at": STILL_LATER})
    assert tale.books == {"SO-1": "111.54"}
    assert states(tale, "invoice") == ["credited"]


def test_completing_what_is_invoiced_already_makes_no_second_one(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1))
    completed(tale)
    assert tale.books == {"SO-1": "111.54"}


def test_a_refund_of_the_new_invoice_is_credited_against_that(tell: MakeTale) -> None:
    tale = tell(shop=POLICY)
    tale.hears(order_event(1), told(**LESS), refunded("12.00"))
    assert notes_of(tale) == {"SO-1-C1": "111.54", "SO-1-R1-C1": "12.00"}
