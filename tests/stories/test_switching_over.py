"""Billhook is switched on while invoices exist that others made: none of their orders is invoiced again."""

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from connectors.platforms.xero import Xero
from connectors.sandbox import xero
from connectors.sandbox.faults import Fault
from tests.kit.scene import order_event
from tests.stories.conftest import MakeTale
from tests.stories.switching import SINCE, adopt, by_hand, counts, numbers
from tests.stories.tale import placed
from tests.stories.test_refunds import notes_of, refunded, states
from worker.cli.main import app
from worker.store import views


@pytest.mark.parametrize("spelt", ["SO-1", "#SO-1", "so-1", "id-1"])
def test_an_order_that_was_invoiced_by_hand_is_not_invoiced_again(tell: MakeTale, spelt: str) -> None:
    tale = tell()
    by_hand(tale, spelt)
    tale.hears(placed(1))
    found = counts(tale)
    tale.hears(order_event(1))
    assert len(numbers(tale)) == 1
    assert tale.states() == {"issued": 1}
    assert found == ({"unmatched": 1} if spelt == "so-1" else {"claimed": 1})


def test_the_name_may_stand_in_the_reference_behind_the_shop_s_prefix(tell: MakeTale) -> None:
    tale = tell()
    tale.configure('reference_prefix = ""', 'reference_prefix = "EN-"')
    by_hand(tale, "INV-7", reference="EN-1001")
    tale.hears(placed(1, ref="#1001"))
    assert counts(tale) == {"claimed": 1}
    tale.hears(order_event(1, ref="#1001"))
    assert numbers(tale) == ["INV-7"]


def test_what_was_claimed_stands_in_the_trail_with_number_total_and_who(tell: MakeTale) -> None:
    tale = tell()
    there = by_hand(tale, "INV-7", reference="SO-1")
    tale.hears(placed(1))
    adopt(tale, *SINCE)
    [order] = views.order_view(tale.store, "engraver", "SO-1")
    (invoice,) = order["invoices"]
    assert (invoice["state"], invoice["remote_number"], invoice["remote_id"]) == ("issued", "INV-7", there)
    (entry,) = (each for each in order["timeline"] if each["subject"].startswith("invoice:"))
    assert (entry["action"], entry["outcome"], entry["actor"][:6]) == ("adopt", "issued", "staff:")
    assert (entry["detail"]["number"], entry["detail"]["total_there"]) == ("INV-7", "111.54 GBP")
    assert tale.books == {"INV-7": "111.54"}


def test_nobody_is_mailed_and_no_customer_is_made(tell: MakeTale) -> None:
    tale = tell()
    by_hand(tale, "SO-1")
    tale.hears(placed(1))
    adopt(tale, *SINCE)
    assert tale.states("notice") == {}
    assert tale.states("customer") == {"done": 1}
    assert len(tale.sandbox.customers("xero")) == 1


def test_a_later_order_of_the_customer_goes_to_the_one_that_exists(tell: MakeTale) -> None:
    tale = tell()
    by_hand(tale, "SO-1")
    tale.hears(placed(1, customer=5))
    adopt(tale, *SINCE)
    tale.hears(order_event(2, customer=5))
    assert numbers(tale) == ["SO-1", "SO-2"]
    assert len(tale.sandbox.customers("xero")) == 1


def test_a_refund_is_credited_against_what_was_adopted(tell: MakeTale) -> None:
    tale = tell()
    by_hand(tale, "INV-7", reference="SO-1")
    tale.hears(placed(1))
    adopt(tale, *SINCE)
    tale.hears(refunded("12.00"))
    assert list(notes_of(tale).values()) == ["12.00"]
    assert states(tale, "invoice", "credit") == ["issued", "issued"]


def test_a_refund_that_waited_for_the_invoice_goes_on(tell: MakeTale) -> None:
    tale = tell()
    by_hand(tale, "SO-1")
    tale.hears(placed(1), refunded("12.00"))
    assert tale.states_of_events == ["done", "waiting"]
    CliRunner().invoke(app, ["adopt", "xero", *SINCE])
    tale.hears(placed(2))
    assert list(notes_of(tale).values()) == ["12.00"]


def test_other_lines_of_the_same_total_are_no_change_of_what_somebody_else_made(tell: MakeTale) -> None:
    """A file from before tells an order in other words than the shop does."""
    tale = tell()
    by_hand(tale, "SO-1")
    said = placed(1)["order"]
    tale.hears(placed(1, lines=[{**said["lines"][0], "ref": "row-1", "description": "Plaque"}]))
    adopt(tale, *SINCE)
    tale.hears(order_event(1))
    assert tale.states_of_events == ["done", "done"]
    assert numbers(tale) == ["SO-1"]


def test_a_change_after_it_is_noticed(tell: MakeTale) -> None:
    tale = tell()
    by_hand(tale, "SO-1")
    tale.hears(placed(1))
    adopt(tale, *SINCE)
    changed = placed(
        1, total="121.54", shipping={"amount": "17.95", "tax": {"rate": "20", "amount": "1.59"}}
    ) | {"id": "evt-changed", "occurred_at": "2026-11-23T10:00:00Z"}  # fmt: skip
    tale.hears(changed)
    assert tale.states_of_events[-1] == "held"
    assert "was changed in the shop after it was invoiced" in (tale.events[-1][2] or "")


def test_an_order_that_is_told_later_is_claimed_when_it_becomes_due(tell: MakeTale) -> None:
    tale = tell()
    by_hand(tale, "INV-7", reference="SO-1")
    assert counts(tale) == {"unmatched": 1}
    tale.hears(order_event(1))
    assert numbers(tale) == ["INV-7"]
    assert tale.states() == {"issued": 1}
    tale.hears(order_event(1) | {"id": "again"})
    assert numbers(tale) == ["INV-7"]
    assert counts(tale) == {"ours": 1}


def test_orders_without_such_a_name_are_invoiced_as_ever(tell: MakeTale) -> None:
    tale = tell()
    by_hand(tale, "INV-7", "100.00")
    adopt(tale, *SINCE)
    tale.hears(order_event(1), order_event(2), together=True)
    assert numbers(tale) == ["INV-7", "SO-1", "SO-2"]


def test_void_and_our_own_invoices_are_left_alone(tell: MakeTale) -> None:
    tale = tell()
    gone = by_hand(tale, "SO-2")
    tale.sandbox.ask(
        "xero",
        lambda hosted: hosted.emulator.books.save_invoice(
            xero.TENANT, {"InvoiceID": gone, "Status": "VOIDED"}, False, 2
        ),
    )
    tale.hears(order_event(1))
    tale.hears(placed(2))
    assert counts(tale) == {"ours": 1, "void": 1}
    assert len(tale.rows("SELECT id FROM invoices")) == 1


def test_twice_claims_nothing_twice(tell: MakeTale) -> None:
    tale = tell()
    by_hand(tale, "SO-1")
    by_hand(tale, "SO-2", "100.00")
    by_hand(tale, "SO-3")
    tale.hears(placed(1), placed(2))
    assert counts(tale) == {"claimed": 1, "uncertain": 1, "unmatched": 1}
    assert counts(tale) == {"ours": 1, "uncertain": 1, "unmatched": 1}
    tale.hears(placed(3))
    assert counts(tale) == {"ours": 1, "claimed": 1, "uncertain": 1}
    assert len(tale.rows("SELECT id FROM strangers")) == 2


def test_a_dry_run_says_the_same_and_changes_nothing(tell: MakeTale) -> None:
    tale = tell()
    by_hand(tale, "SO-1")
    by_hand(tale, "SO-2", "100.00")
    tale.hears(placed(1), placed(2))
    assert counts(tale, "--dry-run") == {"claimed": 1, "uncertain": 1}
    assert tale.rows("SELECT id FROM strangers") == tale.rows("SELECT id FROM invoices") == []
    assert tale.rows("SELECT accounts FROM orders WHERE accounts IS NOT NULL") == []
    assert counts(tale) == {"claimed": 1, "uncertain": 1}


def test_an_order_on_two_accounts_is_made_only_where_it_is_not(tell: MakeTale) -> None:
    tale = tell(platforms=("xero", "stripe"))
    by_hand(tale, "SO-1")
    tale.hears(placed(1))
    assert counts(tale) == {"claimed": 1}
    tale.hears(order_event(1))
    assert numbers(tale) == ["SO-1"]
    assert tale.books_on("stripe") == {"SO-1": "111.54"}


def test_an_order_that_goes_elsewhere_now_is_not_invoiced_there_either(tell: MakeTale) -> None:
    routes = '[[shop.engraver.route]]\nto = ["stripe"]\n'
    tale = tell(platforms=("xero", "stripe"), routes=routes)
    by_hand(tale, "SO-1")
    tale.hears(placed(1))
    adopt(tale, *SINCE)
    tale.hears(order_event(1))
    assert (numbers(tale), tale.books_on("stripe")) == (["SO-1"], {})


def test_by_shipment_an_order_that_is_adopted_is_invoiced_as_a_whole(tell: MakeTale) -> None:
    tale = tell(shop='invoice_per = "shipment"')
    by_hand(tale, "SO-1")
    by_hand(tale, "SO-2")
    tale.hears(placed(1))
    adopt(tale, *SINCE)
    tale.hears(order_event(1), order_event(2))
    assert numbers(tale) == ["SO-1", "SO-2"]
    assert tale.states_of_events == ["done"] * 3


def test_the_brake_does_not_hold_what_is_not_made(tell: MakeTale) -> None:
    tale = tell(sources="[shop.engraver.brake]\namount = 50\n")
    by_hand(tale, "SO-1")
    adopt(tale, *SINCE)
    tale.hears(order_event(1))
    assert tale.states_of_events == ["done"]


def test_a_platform_that_lists_nothing_says_so(tell: MakeTale, monkeypatch: pytest.MonkeyPatch) -> None:
    tale = tell()
    facts = Xero.facts
    monkeypatch.setattr(Xero, "facts", replace(facts, can=facts.can - {"list"}))
    refused = adopt(tale, *SINCE)
    assert refused.exit_code == 1
    assert "Xero does not list its invoices through its API" in refused.output


def test_an_account_in_shadow_mode_is_not_adopted(tell: MakeTale) -> None:
    tale = tell(account='mode = "shadow"')
    refused = adopt(tale, *SINCE)
    assert refused.exit_code == 1
    assert "is in shadow mode" in refused.output


def test_a_platform_that_does_not_answer_changes_nothing(tell: MakeTale) -> None:
    tale = tell()
    by_hand(tale, "SO-1")
    tale.hears(placed(1))
    tale.sandbox.script("xero", Fault.ERROR_BEFORE, "GET", times=5)
    refused = adopt(tale, *SINCE)
    assert refused.exit_code == 1
    assert "Give the command again" in refused.output
    tale.sandbox.heal("xero")
    assert counts(tale) == {"claimed": 1}


@pytest.mark.parametrize("words", [(), ("--review", *SINCE), ("--review", "--not", "X"), ("--dry-run", "--review")])
def test_one_thing_is_asked_at_a_time(tell: MakeTale, words: tuple[str, ...]) -> None:
    tell()
    refused = CliRunner().invoke(app, ["adopt", "xero", *words])
    assert refused.exit_code == 2
    assert "Give one of: --since DATE" in refused.output
