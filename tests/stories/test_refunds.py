"""What a shop gives back becomes exactly one credit note, or its unpaid invoice is voided."""

from __future__ import annotations

from typing import Any

from connectors.sandbox.faults import Fault
from tasks import create_invoices as creating
from tests.kit.scene import order_event
from tests.stories.conftest import MakeTale
from tests.stories.tale import Tale, placed
from worker.accounts import accounts

LATER = "2026-11-24T10:00:00Z"


def refunded(total: str, *lines: dict[str, Any], ref: str = "R1", number: int = 1, **more: Any) -> dict[str, Any]:
    """A refund of the order, which it names."""
    refund = {"ref": ref, "total": total, "lines": list(lines), **more}
    return {
        "id": f"evt-{ref}-{number}", "type": "refund.created", "occurred_at": LATER, "order_id": f"id-{number}",
        "refund": refund,
    }  # fmt: skip


def states(tale: Tale, *kinds: str) -> list[str]:
    """Of all rows of these kinds, in alphabetical order."""
    return sorted(state for kind in kinds for state in tale.states(kind).elements())


def notes_of(tale: Tale, platform: str = "xero") -> dict[str, str]:
    """Reference and total of every credit note; there are never two of one reference."""
    entries = tale.sandbox.credits(platform)
    assert len({entry.reference for entry in entries}) == len(entries)
    return {entry.reference: str(entry.total) for entry in entries}


def test_a_refund_of_all_is_one_credit_note_and_the_invoice_is_credited(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1), refunded("111.54"))
    assert notes_of(tale) == {"SO-1-C1": "111.54"}
    assert tale.books == {"SO-1": "111.54"}
    assert states(tale, "invoice", "credit") == ["credited", "issued"]


def test_a_refund_that_comes_twice_is_credited_once(tell: MakeTale) -> None:
    tale = tell()
    again = {**refunded("111.54"), "id": "evt-again"}
    tale.hears(order_event(1), refunded("111.54"), refunded("111.54"), again)
    assert notes_of(tale) == {"SO-1-C1": "111.54"}
    assert tale.states_of_events == ["done"] * 3


def test_parts_are_credited_one_by_one_until_nothing_is_left(tell: MakeTale) -> None:
    """A plaque at its share of the discount, the other one, shipping; a fourth refund is one too many."""
    tale = tell()
    plaque = {"ref": "1", "quantity": "1", "amount": "42.50", "tax": "8.50"}
    tale.hears(
        order_event(1),
        refunded("51.00", plaque, ref="R1"),
        refunded("51.00", plaque, ref="R2"),
        refunded("9.54", ref="R3"),
    )
    assert notes_of(tale) == {"SO-1-C1": "51.00", "SO-1-C2": "51.00", "SO-1-C3": "9.54"}
    assert states(tale, "invoice") == ["credited"]
    tale.hears(refunded("0.01", ref="R4"))
    assert len(notes_of(tale)) == 3
    assert tale.states_of_events[-1] == "done"


def test_more_than_was_invoiced_is_held_with_what_is_left(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1), refunded("100.00", ref="R1"), refunded("20.00", ref="R2"))
    assert notes_of(tale) == {"SO-1-C1": "100.00"}
    assert tale.states_of_events[-1] == "held"
    assert "only 11.54 GBP are left" in (tale.events[-1][2] or "")
    assert states(tale, "invoice") == ["issued"]


def test_a_refund_before_its_order_is_invoiced_waits_and_is_credited_after(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(placed(1), refunded("12.00"))
    assert tale.states_of_events == ["done", "waiting"]
    assert "12.00 GBP of order SO-1 were refunded before it was invoiced" in (tale.events[-1][2] or "")
    tale.hears(order_event(1))
    assert tale.books == {"SO-1": "111.54"}
    assert notes_of(tale) == {"SO-1-C1": "12.00"}
    assert tale.states_of_events == ["done"] * 3


def test_a_refund_before_its_order_is_told_waits_for_it(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(refunded("12.00"))
    assert tale.states_of_events == ["waiting"]
    tale.hears(order_event(1))
    assert notes_of(tale) == {"SO-1-C1": "12.00"}


def test_refunded_as_a_whole_before_it_was_due_is_never_invoiced(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(placed(1), refunded("111.54"), order_event(1))
    assert tale.books == {}
    assert tale.states_of_events == ["done", "done", "held"]


def test_refunded_as_a_whole_before_its_invoice_was_sent_stops_it(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1), refunded("111.54"), settle=False)
    tale.settle()
    assert tale.books == {}
    assert notes_of(tale) == {}
    assert states(tale, "invoice", "credit") == ["held"]


def test_a_part_refunded_before_its_invoice_was_sent_is_credited_once_that_is_issued(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1), refunded("12.00"), settle=False)
    assert states(tale, "credit") == ["pending"]
    tale.settle()
    assert tale.books == {"SO-1": "111.54"}
    assert notes_of(tale) == {"SO-1-C1": "12.00"}


def test_all_in_one_batch_ends_the_same(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1), refunded("12.00", ref="R1"), refunded("9.54", ref="R2"), together=True)
    assert notes_of(tale) == {"SO-1-C1": "12.00", "SO-1-C2": "9.54"}


def test_an_order_cancelled_after_its_invoice_is_given_back_once(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1), order_event(1, type="order.cancelled"))
    tale.hears({**order_event(1, type="order.cancelled"), "id": "evt-saved-again", "occurred_at": LATER})
    assert notes_of(tale) == {"SO-1-C1": "111.54"}
    assert states(tale, "invoice", "credit") == ["credited", "issued"]
    assert tale.states_of_events == ["done"] * 3


def test_the_refund_of_a_cancelled_order_is_not_credited_again(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1), order_event(1, type="order.cancelled"), refunded("111.54"))
    assert notes_of(tale) == {"SO-1-C1": "111.54"}
    assert tale.states_of_events == ["done"] * 3


def test_a_cancelled_order_of_which_less_was_refunded_is_told_to_a_person(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1), order_event(1, type="order.cancelled"), refunded("80.00"))
    assert notes_of(tale) == {"SO-1-C1": "111.54"}
    assert "111.54 GBP of invoice SO-1 were credited; but the shop says now that 80.00 GBP" in (
        tale.events[-1][2] or ""
    )


def test_cancelled_after_a_part_was_refunded_asks_about_the_rest(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1), refunded("80.00"), order_event(1, type="order.cancelled"))
    assert notes_of(tale) == {"SO-1-C1": "80.00"}
    assert "the remaining 31.54 GBP" in (tale.events[-1][2] or "")


def test_an_account_may_want_a_person_to_give_back(tell: MakeTale) -> None:
    tale = tell(account='refund = "hold"')
    tale.hears(order_event(1), refunded("12.00"), order_event(1, type="order.cancelled"))
    assert notes_of(tale) == {}
    assert tale.states_of_events == ["done", "held", "held"]
    assert "12.00 GBP were refunded (xero: issued)" in (tale.events[1][2] or "")


def test_an_account_may_want_unpaid_invoices_voided(tell: MakeTale) -> None:
    tale = tell(account='refund = "void"')
    tale.hears(order_event(1), refunded("111.54"))
    assert notes_of(tale) == {}
    assert tale.books == {}
    assert states(tale, "invoice", "credit") == ["done", "void"]


def test_a_part_is_credited_even_where_invoices_are_voided(tell: MakeTale) -> None:
    tale = tell(account='refund = "void"')
    tale.hears(order_event(1), refunded("12.00"))
    assert notes_of(tale) == {"SO-1-C1": "12.00"}


def test_a_platform_without_credit_notes_voids_what_is_unpaid(tell: MakeTale) -> None:
    tale = tell(platforms=("square",))
    tale.hears(order_event(1), refunded("111.54"))
    assert tale.books_on("square") == {}
    assert states(tale, "invoice", "credit") == ["done", "void"]


def test_where_neither_can_be_done_a_person_is_told_what_to_do(tell: MakeTale) -> None:
    tale = tell(platforms=("square",))
    tale.hears(order_event(1), refunded("12.00"))
    assert tale.books_on("square") == {"SO-1": "111.54"}
    assert states(tale, "invoice", "credit") == ["held", "issued"]
    (reason,) = tale.reasons()
    assert "Square has no credit notes in its API" in reason
    assert "only a part of it is given back: give 12.00 GBP of order SO-1 back there by hand" in reason


def test_each_account_of_a_dual_run_gets_its_own_note(tell: MakeTale) -> None:
    tale = tell(platforms=("xero", "square"))
    tale.hears(order_event(1), refunded("111.54"))
    assert notes_of(tale) == {"SO-1-C1": "111.54"}
    assert tale.books_on("square") == {}


def test_of_an_order_in_parts_the_invoice_that_holds_what_came_back_is_credited(tell: MakeTale) -> None:
    tale = tell(shop='invoice_per = "shipment"\ntrigger = ["shipment.shipped", "order.fulfilled"]')
    first = {"ref": "P1", "carrier": "ups", "tracking_number": "1Z1", "lines": [{"ref": "1", "quantity": "1"}]}
    tale.hears(
        placed(1),
        {"id": "evt-p1", "type": "shipment.shipped", "occurred_at": LATER, "order_id": "id-1", "shipment": first},
        {**order_event(1), "occurred_at": LATER},
    )
    assert tale.books == {"SO-1-1": "55.78", "SO-1-2": "55.76"}
    tale.hears(refunded("55.78", {"ref": "1", "quantity": "1"}, ref="R1"))
    tale.hears(refunded("55.76", {"ref": "1", "quantity": "1"}, ref="R2"))
    assert notes_of(tale) == {"SO-1-1-C1": "55.78", "SO-1-2-C1": "55.76"}
    assert states(tale, "invoice") == ["credited", "credited"]


def in_two_parts(tell: MakeTale) -> Tale:
    """A plaque each: 55.78 and 55.76."""
    tale = tell(shop='invoice_per = "shipment"\ntrigger = ["shipment.shipped", "order.fulfilled"]')
    first = {"ref": "P1", "carrier": "ups", "tracking_number": "1Z1", "lines": [{"ref": "1", "quantity": "1"}]}
    event = {"id": "evt-p1", "type": "shipment.shipped", "occurred_at": LATER, "order_id": "id-1", "shipment": first}
    tale.hears(placed(1), event, {**order_event(1), "occurred_at": LATER})
    assert tale.books == {"SO-1-1": "55.78", "SO-1-2": "55.76"}
    return tale


def test_what_came_back_of_two_shipments_is_credited_on_both_invoices(tell: MakeTale) -> None:
    """Both plaques at what the shop says of them; nothing of the shipping."""
    tale = in_two_parts(tell)
    both = {"ref": "1", "quantity": "2", "amount": "85.00", "tax": "17.00"}
    tale.hears(refunded("102.00", both), {**refunded("102.00", both), "id": "evt-again"})
    assert notes_of(tale) == {"SO-1-1-C1": "51.00", "SO-1-2-C1": "51.00"}
    assert tale.states_of_events[-2:] == ["done", "done"]
    tale.hears(refunded("9.54", ref="R2"))
    assert notes_of(tale) == {"SO-1-1-C1": "51.00", "SO-1-2-C1": "51.00", "SO-1-1-C2": "4.78", "SO-1-2-C2": "4.76"}
    assert states(tale, "invoice") == ["credited", "credited"]


def test_all_that_is_left_of_two_invoices_is_credited_on_both(tell: MakeTale) -> None:
    tale = in_two_parts(tell)
    tale.hears(refunded("111.54"))
    assert notes_of(tale) == {"SO-1-1-C1": "55.78", "SO-1-2-C1": "55.76"}
    assert states(tale, "invoice") == ["credited", "credited"]


def test_an_order_in_parts_that_is_cancelled_is_given_back_part_by_part(tell: MakeTale) -> None:
    tale = in_two_parts(tell)
    tale.hears({**order_event(1, type="order.cancelled"), "occurred_at": "2026-11-25T10:00:00Z"})
    assert notes_of(tale) == {"SO-1-1-C1": "55.78", "SO-1-2-C1": "55.76"}
    assert states(tale, "invoice", "credit") == ["credited", "credited", "issued", "issued"]


def test_the_refund_of_a_cancelled_order_in_parts_is_not_credited_again(tell: MakeTale) -> None:
    tale = in_two_parts(tell)
    tale.hears({**order_event(1, type="order.cancelled"), "occurred_at": "2026-11-25T10:00:00Z"}, refunded("111.54"))
    assert notes_of(tale) == {"SO-1-1-C1": "55.78", "SO-1-2-C1": "55.76"}
    assert tale.states_of_events[-1] == "done"
    tale.hears(refunded("80.00", ref="R2"))
    assert "111.54 GBP of invoice SO-1-1, SO-1-2 were credited; but the shop says now that 80.00 GBP" in (
        tale.events[-1][2] or ""
    )


def test_where_one_invoice_was_sent_and_the_other_stopped_only_the_sent_one_is_given_back(tell: MakeTale) -> None:
    tale = tell(platforms=("xero", "square"))
    tale.hears(order_event(1), settle=False)
    for _ in range(4):  # Square is not asked meanwhile
        creating._once(next(ref.tenant for ref in accounts().values() if ref.name == "xero"))
    tale.hears(refunded("111.54"))
    assert notes_of(tale) == {"SO-1-C1": "111.54"}
    assert tale.books_on("square") == {}
    assert states(tale, "credit") == ["issued"]
    assert states(tale, "invoice") == ["credited", "held"]


def test_a_note_whose_answer_was_lost_is_looked_up_and_made_once(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1))
    tale.sandbox.script("xero", Fault.ANSWER_LOST, match="CreditNotes")
    tale.hears(refunded("12.00"))
    assert notes_of(tale) == {"SO-1-C1": "12.00"}
    assert states(tale, "credit") == ["issued"]


def test_a_void_whose_answer_was_lost_is_seen_to_be_done(tell: MakeTale) -> None:
    tale = tell(account='refund = "void"')
    tale.hears(order_event(1))
    tale.sandbox.script("xero", Fault.ANSWER_LOST, match="Invoices/")
    tale.hears(refunded("111.54"))
    assert tale.books == {}
    assert states(tale, "invoice", "credit") == ["done", "void"]


def test_in_shadow_mode_nothing_was_sent_and_nothing_is_given_back(tell: MakeTale) -> None:
    tale = tell(account='mode = "shadow"')
    tale.hears(order_event(1), refunded("12.00"))
    assert tale.states_of_events == ["done", "done"]
    assert (states(tale, "invoice", "credit"), notes_of(tale)) == (["shadow"], {})
