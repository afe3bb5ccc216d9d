"""What is not certain when Billhook is switched on is for a person, and nothing is invoiced before."""

import json

from click.testing import Result
from typer.testing import CliRunner

from tests.kit.scene import order_event
from tests.stories.commands import said
from tests.stories.conftest import MakeTale
from tests.stories.switching import SINCE, adopt, by_hand, counts, numbers
from tests.stories.tale import Tale, placed
from worker.cli.main import app

TWO_SOURCES = "".join(
    f'[shop.engraver.source.{name}]\nkind = "standard"\nsecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"\n'
    for name in ("web", "till")
)


def test_another_total_is_uncertain_and_the_order_is_held_with_both_ways_out(tell: MakeTale) -> None:
    tale = tell()
    by_hand(tale, "INV-7", "100.00", reference="SO-1")
    tale.hears(placed(1))
    assert counts(tale) == {"uncertain": 1}
    tale.hears(order_event(1))
    state, _, reason = tale.events[-1]
    assert state == "held"
    for part in ("111.54 GBP", "100.00 GBP", "--claim INV-7=SO-1", "--not INV-7", "billhook retry SO-1"):
        assert part in (reason or "")
    assert numbers(tale) == ["INV-7"]


def _retried(tale: Tale, *words: str) -> Result:
    decided = adopt(tale, *words)
    CliRunner().invoke(app, ["retry", "SO-1"])
    tale.hears(placed(99))  # whatever is due again is handled with it
    return decided


def test_a_person_says_that_it_is_the_order_s(tell: MakeTale) -> None:
    tale = tell()
    by_hand(tale, "INV-7", "100.00", reference="SO-1")
    tale.hears(placed(1))
    adopt(tale, *SINCE)
    tale.hears(order_event(1))
    said = _retried(tale, "--claim", "INV-7=SO-1")
    assert said.exit_code == 0, said.output
    assert numbers(tale) == ["INV-7"]
    assert set(tale.states_of_events) == {"done"}
    assert counts(tale) == {"ours": 1}


def test_a_person_says_that_it_is_nobody_s(tell: MakeTale) -> None:
    tale = tell()
    by_hand(tale, "INV-7", "100.00", reference="SO-1")
    tale.hears(placed(1))
    adopt(tale, *SINCE)
    tale.hears(order_event(1))
    said = _retried(tale, "--not", "INV-7")
    assert said.exit_code == 0, said.output
    assert numbers(tale) == ["INV-7", "SO-1"]
    assert counts(tale) == {"ours": 1, "nobody": 1}
    assert tale.books  # and the trail holds


def test_who_said_nobody_s_may_say_whose_it_is_after_all(tell: MakeTale) -> None:
    tale = tell()
    by_hand(tale, "INV-7", "100.00", reference="SO-1")
    tale.hears(placed(1))
    adopt(tale, *SINCE)
    adopt(tale, "--not", "INV-7")
    assert adopt(tale, "--claim", "INV-7=SO-1").exit_code == 0
    tale.hears(order_event(1))
    assert numbers(tale) == ["INV-7"]


def test_an_order_told_later_with_another_total_is_held(tell: MakeTale) -> None:
    tale = tell()
    by_hand(tale, "so-1", "100.00")
    adopt(tale, *SINCE)
    tale.hears(order_event(1))
    assert tale.states_of_events == ["held"]
    assert "order SO-1 is 111.54 GBP, and it is 100.00 GBP" in (tale.events[0][2] or "")


def test_two_invoices_of_one_name_are_for_a_person(tell: MakeTale) -> None:
    tale = tell()
    by_hand(tale, "INV-7", reference="SO-1")
    by_hand(tale, "INV-8", reference="SO-1")
    tale.hears(placed(1))
    assert counts(tale) == {"uncertain": 2}
    tale.hears(order_event(1))
    assert tale.states_of_events[-1] == "held"
    hint = "2 invoice(s) on engraver/xero may be of orders here: `billhook adopt engraver/xero --review`."
    assert hint in said("status")
    listed = adopt(tale, "--review").output
    assert "INV-7" in listed
    assert "other invoices have the name of order SO-1, too: INV-8" in " ".join(listed.split())
    adopt(tale, "--not", "INV-8")
    assert counts(tale) == {"claimed": 1, "nobody": 1}
    assert "may be of orders here" not in said("status")


def test_two_orders_of_one_name_are_for_a_person(tell: MakeTale) -> None:
    tale = tell(sources=TWO_SOURCES)
    by_hand(tale, "SO-1")
    tale.hears(placed(1), source="web")
    tale.hears(placed(1), source="till")
    assert counts(tale) == {"uncertain": 1}
    tale.hears(order_event(1), source="web")
    assert tale.states_of_events[-1] == "held"
    assert adopt(tale, "--claim", "SO-1=SO-1").exit_code == 1
    assert adopt(tale, "--claim", "SO-1=web:SO-1").exit_code == 0


def test_two_orders_of_one_name_told_later_are_for_a_person(tell: MakeTale) -> None:
    tale = tell(sources=TWO_SOURCES)
    by_hand(tale, "SO-1")
    adopt(tale, *SINCE)
    tale.hears(placed(1), source="web")
    tale.hears(order_event(1), source="till")
    assert tale.states_of_events == ["done", "held"]
    assert "several orders have its name" in (tale.events[1][2] or "")


def test_a_draft_is_for_a_person(tell: MakeTale) -> None:
    tale = tell()
    by_hand(tale, "SO-1", Status="DRAFT")
    tale.hears(placed(1))
    assert counts(tale) == {"uncertain": 1}
    assert "a draft: issue or delete it" in " ".join(adopt(tale, "--review").output.split())


def test_an_invoice_that_is_due_already_is_reported_and_not_claimed(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1), settle=False)
    by_hand(tale, "INV-7", reference="SO-1")
    done = CliRunner().invoke(app, ["adopt", "xero", *SINCE, "--json"])
    [found] = json.loads(done.output)["to_review"]
    assert "has an invoice of Billhook's, too (SO-1, pending)" in found["why"]
