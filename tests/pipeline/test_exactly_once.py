"""One order, one invoice: whatever comes twice, at once, late, under the same name, or after the routes changed."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import pytest

from connectors.sandbox.faults import Fault
from tasks.handle_events import _turn
from tests.kit.history import check
from tests.kit.inprocess import inside
from tests.kit.scene import order_event
from tests.kit.stores import in_both
from tests.kit.world import World

MakeWorld = Callable[..., World]
only_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
only_postgres = pytest.mark.parametrize("store_url", ["postgres"], indirect=True)


def edit(world: World, old: str, new: str) -> None:
    """Rewrites billhook.toml, as a merchant would."""
    text = world.config_file.read_text()
    assert old in text
    world.config_file.write_text(text.replace(old, new))


def restart_worker(world: World) -> None:
    world.workers[-1].kill()
    world.start_worker()


def details(world: World, subject: str, action: str) -> list[dict[str, Any]]:
    """What the trail's entries of one action say, in order."""
    rows = world.rows("SELECT detail FROM audit WHERE subject = ? AND action = ? ORDER BY seq", subject, action)
    return [json.loads(row[0]) for row in rows]


def test_an_event_that_comes_a_hundred_times_at_once(make_world: MakeWorld) -> None:
    world = make_world().start(workers=2, ingest=True)
    event = order_event(1)
    with ThreadPoolExecutor(25) as threads:
        statuses = list(threads.map(lambda _: world.post(event).status_code, range(100)))
        list(threads.map(lambda _: world.ring("tasks.handle_events", "events", ids=[]), range(20)))
    assert sorted(statuses) == [200] * 99 + [202]
    world.until_settled()
    check(world)


def test_two_events_of_one_order_at_once(make_world: MakeWorld) -> None:
    """Staff complete the order while the warehouse fulfils it; each event reaches whichever worker is faster."""
    world = make_world().start(workers=2)
    events = [order_event(n, type=kind) for n in range(10) for kind in ("order.fulfilled", "order.completed")]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(world.push, events))
    world.until_settled()
    check(world)


def test_the_task_run_by_four_at_once_on_the_same_events(make_world: MakeWorld) -> None:
    """Past the gate that lets in one a process: only rows and unique keys decide."""
    world = make_world(platforms=("xero",))
    kinds = ("order.fulfilled", "order.completed", "order.updated")
    world.accept(*(order_event(n, customer=n % 7, type=kind) for n in range(60) for kind in kinds))

    def turns(_: int) -> None:
        while _turn() is not None:
            pass

    with inside(world), patch("tasks.handle_events.BATCH", 7), ThreadPoolExecutor(4) as threads:
        list(threads.map(turns, range(4)))
    assert world.states("event") == {"done": 180}
    assert world.states("invoice") == {"pending": 60}
    assert world.states("customer") == {"pending": 7}
    assert {row[0] for row in world.rows("SELECT attempts FROM jobs WHERE kind = 'event'")} == {1}
    world.start()
    world.until_settled()
    check(world)


@only_postgres
def test_one_name_for_orders_of_two_sources(make_world: MakeWorld) -> None:
    """Both web shop and till count from #1001: each order has an invoice, under a reference of its own by which it
    is found again after its answer was lost, the replays' too."""
    world = make_world(platforms=("xero",)).start()
    world.sandbox.script("xero", Fault.ANSWER_LOST, match="PUT /api.xro/2.0/Invoices", times=3)
    first, second = order_event(1, ref="#1001"), order_event(2, ref="#1001")
    same_id = order_event(2, ref="#1002", customer=3)  # of the till: its ids are its own
    world.push(first)
    world.accept(second, source="till")
    world.accept(same_id | {"id": "other"})
    world.until_settled()
    check(world)
    references = {entry.reference for entry in world.sandbox.ledger("xero")}
    assert len(references) == 3
    assert {"#1001", "#1002"} < references
    assert world.rows("SELECT 1 FROM audit WHERE action = 'found'"), "nothing was looked up"


def test_orders_of_a_new_customer_at_once(make_world: MakeWorld) -> None:
    """The history checker counts the customers in the platforms' books."""
    world = make_world().start(workers=2)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: world.push(order_event(n, customer=n % 2)), range(16)))
    world.until_settled()
    check(world)
    assert {slug: len(world.sandbox.customers(slug)) for slug in world.platforms} == {"xero": 2, "stripe": 2}


@only_sqlite
def test_shops_that_share_the_accounts_of_a_platform(make_world: MakeWorld) -> None:
    """Their prefixes keep the references apart; where they do not, a suffix does."""
    world = make_world(shops=("engraver", "florist")).start()
    world.push(order_event(1), order_event(2, ref="florist-SO-3"), shop="engraver")
    world.push(order_event(3), order_event(4, id="id-1", ref="SO-1"), shop="florist")
    world.until_settled()
    check(world)
    assert {entry.reference[:12] for entry in world.sandbox.ledger("xero")} == {"SO-1", "florist-SO-3", "florist-SO-1"}


@in_both
def test_a_route_edited_between_two_events_moves_no_order(make_world: MakeWorld) -> None:
    world = make_world()
    edit(world, 'to = ["xero", "stripe"]', 'to = ["xero"]')
    world.start()
    world.push(order_event(1))
    world.until_settled()
    edit(world, 'to = ["xero"]', 'to = ["stripe"]')
    restart_worker(world)
    world.push(order_event(1, type="order.completed"))
    world.push(order_event(2))
    world.until_settled()
    assert [len(world.sandbox.ledger(slug)) for slug in ("xero", "stripe")] == [1, 1]
    assert [row[1] for row in world.invoice("SO-1")] == ["xero"]
    assert [row[1] for row in world.invoice("SO-2")] == ["stripe"]


def test_an_older_event_overwrites_nothing(make_world: MakeWorld) -> None:
    """The order was corrected at 11, its fulfilment of 10 o'clock comes late and still tells the old lines."""
    world = make_world(platforms=("xero",)).start()
    line = order_event(1)["order"]["lines"][0] | {"description": "Brass plaque, corrected."}
    corrected = order_event(1, type="order.updated", lines=[line]) | {"occurred_at": "2026-11-22T11:00:00Z"}
    world.push(corrected)
    world.until_settled()
    world.push(order_event(1))
    world.until_settled()
    check(world)
    (entry,) = world.sandbox.ledger("xero")
    assert any("corrected" in text for text in entry.lines)


@only_sqlite
def test_an_order_without_a_route_waits_for_one(make_world: MakeWorld) -> None:
    world = make_world()
    route = 'to = ["xero", "stripe"]\n'
    edit(world, route, route + 'when = { currency = "EUR" }\n')
    world.start()
    world.push(order_event(1))
    world.until(lambda: world.states("event")["held"], 20)
    (reason,) = world.rows("SELECT reason FROM jobs WHERE kind = 'event'")[0]
    assert "no route matches order SO-1 (source api, currency GBP, country GB)" in reason
    assert "billhook retry" in reason
    edit(world, 'currency = "EUR"', 'currency = "GBP"')
    restart_worker(world)
    assert "SO-1: event is tried again" in world.billhook("retry", "SO-1").output
    world.until_settled()
    check(world)


def at_5_percent(number: int) -> dict[str, Any]:
    """An order whose every tax is 5 percent: 92.95 and 4.65 of tax."""
    event = order_event(number, total="97.60")
    order = event["order"]
    for part, amount in ((order["lines"][0], "4.50"), (order["discount"], "0.25"), (order["shipping"], "0.40")):
        part["tax"] = {"name": "VAT", "rate": "5", "amount": amount}
    return event


@in_both
def test_a_refused_invoice_is_held_and_put_back_after_a_look(make_world: MakeWorld) -> None:
    """The platform does not know its tax code; the others of its bulk do not wait. A new generation only after the
    look that found nothing."""
    world = make_world(platforms=("xero",))
    edit(world, '"RROUTPUT"', '"NOSUCHTAX"')
    world.start()
    world.push(at_5_percent(0), *(order_event(n, customer=1) for n in range(1, 50)))
    world.until_settled()
    [(invoice, _, state, reason, _)] = world.invoice("SO-0")
    assert state == "held"
    assert "NOSUCHTAX" in reason or "Tax" in reason
    check(world, otherwise={"SO-0": "held"})
    edit(world, '"NOSUCHTAX"', '"RROUTPUT"')
    restart_worker(world)
    said = world.billhook("retry", "--held", "--account", "engraver/xero").output
    assert "SO-0: invoice is looked up, then tried again" in said
    world.until_settled()
    check(world)
    sends = details(world, f"invoice:{invoice}", "send")
    assert sends[0]["generation"] == 1
    assert (sends[-1]["generation"], sends[-1]["looked"]) == (2, "not there")
