"""`billhook adopt` as a process, while workers run: one invoice an order, whoever was first, killed anywhere."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from connectors.sandbox import xero
from connectors.sandbox.server import Hosted
from tests.kit.processes import Process
from tests.kit.scene import order_event
from tests.kit.world import World
from worker.adopting import AT_ONCE
from worker.store.verify import verify

MakeWorld = Callable[..., World]
MANY = AT_ONCE * 2 + 20
SINCE = ("engraver/xero", "--since", "2026-11-01", "--json")


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(platforms=("xero",))


def by_hand(world: World, numbers: range) -> None:
    """For each order somebody types its invoice in on Xero, with a number of its own."""

    def typed(hosted: Hosted) -> None:
        for number in numbers:
            line = {"Description": "As agreed", "Quantity": 1, "UnitAmount": 92.95, "AccountCode": "200"}
            raw = {
                "Type": "ACCREC", "InvoiceNumber": f"INV-{number}", "Reference": f"SO-{number}", "Date": "2026-11-20",
                "DueDate": "2026-12-24", "Contact": {"Name": f"Somebody {number}"}, "Status": "AUTHORISED",
                "CurrencyCode": "GBP", "LineItems": [line | {"TaxType": "OUTPUT2"}],
            }  # fmt: skip
            hosted.emulator.books.save_invoice(xero.TENANT, raw, True, 2)

    world.sandbox.ask("xero", typed)


def told(world: World, numbers: range, type: str = "order.updated") -> None:
    world.push(*(order_event(number, type=type) for number in numbers))
    world.until_settled()


def begin(world: World, env: Mapping[str, str] | None = None) -> Process:
    return world._python("billhook", "-m", "worker.cli", "adopt", *SINCE, env=env)


def said(process: Process) -> dict[str, Any]:
    assert process.wait(60) == 0, process.output
    report: dict[str, Any] = json.loads(process.output[process.output.index("{") :])
    return report


def counts(report: Mapping[str, Any]) -> dict[str, int]:
    return {name: value for name, value in report.items() if type(value) is int and value}


def numbers_there(world: World) -> list[str]:
    return sorted(entry.reference for entry in world.sandbox.ledger("xero"))


def test_what_was_made_by_hand_is_adopted_and_not_made_again(world: World) -> None:
    by_hand(world, range(1, 4))
    world.start()
    told(world, range(1, 5))
    assert counts(said(begin(world))) == {"claimed": 3}
    told(world, range(1, 5), "order.fulfilled")
    assert numbers_there(world) == ["INV-1", "INV-2", "INV-3", "SO-4"]
    assert world.states() == {"issued": 4}
    assert verify(world.store).ok


@pytest.mark.parametrize("point", ["adopted@1", "adopting@2"], ids=["between two commits", "before a commit"])
def test_killed_between_two_commits_it_goes_on_where_it_was(world: World, point: str) -> None:
    everything = range(MANY)
    by_hand(world, everything)
    world.start()
    told(world, everything)
    killed = begin(world, {"BILLHOOK_CRASH": f"{point}:kill"})
    assert killed.wait(60) != 0
    assert world.states() == {"issued": AT_ONCE}
    assert counts(said(begin(world))) == {"ours": AT_ONCE, "claimed": MANY - AT_ONCE}
    told(world, everything, "order.fulfilled")
    assert numbers_there(world) == sorted(f"INV-{number}" for number in everything)
    assert world.states() == {"issued": MANY}
    assert verify(world.store).ok


def test_where_an_order_becomes_due_at_the_same_moment_one_of_the_two_wins(world: World) -> None:
    everything = range(MANY)
    by_hand(world, everything)
    world.start()
    told(world, everything)
    running = begin(world)
    told(world, everything, "order.fulfilled")
    said(running)
    rows = world.rows("SELECT label, count(*) FROM jobs WHERE kind = 'invoice' GROUP BY label")
    assert len(rows) == MANY
    assert {row[1] for row in rows} == {1}
    made = {number for number in numbers_there(world) if number.startswith("SO-")}
    report = said(begin(world))
    assert {each["order"] for each in report["to_review"]} == made
    assert Counter(counts(report)) == Counter({"ours": MANY, "uncertain": len(made)}) - Counter()
    assert verify(world.store).ok
