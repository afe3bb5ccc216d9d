"""Whatever goes wrong on the wire, or is changed on the platform by hand: settled, and never a second create.

The tasks run in the test, a turn at a time, against the sandbox over real HTTP.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from connectors.sandbox import odoo, xero
from connectors.sandbox.base import Request
from connectors.sandbox.faults import Fault
from tests.kit.history import check
from tests.kit.inprocess import IMPATIENT, PATIENT, InProcess
from tests.kit.redis_server import RedisServer
from tests.kit.scene import Clocks, order_event

MakeScene = Callable[..., InProcess]
AMBIGUOUS = [
    Fault.ANSWER_LOST, Fault.CUT_HEADERS, Fault.TRUNCATED, Fault.GARBAGE, Fault.ERROR_AFTER, Fault.ERROR_BEFORE,
    Fault.ERROR_STORED, Fault.CUT_BEFORE, Fault.SLOW, Fault.LATE, Fault.DRIP,
]  # fmt: skip
CALLS = {
    "xero": {"create": "PUT /api.xro/2.0/Invoices", "customer": "PUT /api.xro/2.0/Contacts"},
    "quickbooks": {"create": "/invoice?", "customer": "/customer?"},
    "stripe": {
        "draft": "POST /v1/invoices",
        "lines": "/add_lines",
        "finalize": "/finalize",
        "coupon": "POST /v1/coupons",
        "customer": "POST /v1/customers",
    },
    "odoo": {
        "draft": "/account.move/load",
        "issue": "/account.move/action_post",
        "customer": "/res.partner/load",
    },
}
LAST = {"xero": "create", "stripe": "finalize", "odoo": "issue"}
"""The step that makes an invoice final."""
STEPS = [(slug, step) for slug, steps in CALLS.items() for step in steps]
SLOWNESS: dict[str, Any] = {"slow_seconds": 20, "late_seconds": 0.1}
"""Longer than the deadline of those who are impatient; shorter than the quiet period."""
TOO_SLOW = {Fault.SLOW, Fault.DRIP}


@pytest.fixture
def scene(
    tmp_path: Path, store_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeScene]:
    made: list[InProcess] = []

    def make(*platforms: str, clocks: Clocks = PATIENT) -> InProcess:
        made.append(InProcess(tmp_path, store_url, redis_server.url, monkeypatch, platforms=platforms, clocks=clocks))
        return made[-1]

    yield make
    for one in made:
        one.close()


on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
either_platform = pytest.mark.parametrize("slug", ["xero", "stripe", "odoo"])
QUICKBOOKS = pytest.param("quickbooks", "create", marks=pytest.mark.slow)
whether_the_key_lives = pytest.mark.parametrize("key", ["under the key", "after the key's life"])
PLAIN = {Fault.ANSWER_LOST, Fault.ERROR_STORED, Fault.CUT_BEFORE, Fault.LATE}
"""Faults of the plain run where many tests would say the same."""


def some_slow(*faults: Fault, plain: set[Fault]) -> list[Any]:
    return [pytest.param(one, id=str(one), marks=[] if one in plain else pytest.mark.slow) for one in faults]


@on_sqlite
@pytest.mark.parametrize("fault", AMBIGUOUS)
@pytest.mark.parametrize(("slug", "step"), [("xero", "create"), ("stripe", "draft"), ("odoo", "draft"), QUICKBOOKS])
def test_an_ambiguous_answer_is_settled_under_the_key(scene: MakeScene, slug: str, step: str, fault: Fault) -> None:
    ambiguous(scene(slug, clocks=clocks_for(fault)), slug, step, fault, "under the key")


@on_sqlite
@pytest.mark.parametrize("fault", some_slow(*AMBIGUOUS, plain=PLAIN))
@pytest.mark.parametrize(("slug", "step"), [("xero", "create"), ("stripe", "draft"), ("odoo", "draft"), QUICKBOOKS])
def test_an_ambiguous_answer_is_settled_after_the_keys_life(
    scene: MakeScene, slug: str, step: str, fault: Fault
) -> None:
    ambiguous(scene(slug, clocks=clocks_for(fault)), slug, step, fault, "after the key's life")


def clocks_for(fault: Fault) -> Clocks:
    return IMPATIENT if fault in TOO_SLOW else PATIENT


def ambiguous(world: InProcess, slug: str, step: str, fault: Fault, key: str) -> None:
    """One create is answered so that nobody can know, and is settled without a second one."""
    world.handle(order_event(1, customer=1))
    world.settle()
    world.sandbox.script(slug, fault, CALLS[slug][step], **SLOWNESS)
    world.handle(order_event(2, customer=1))
    assert world.turn()["uncertain"] == 1
    world.until_struck(slug, fault)
    if key != "under the key":
        world.outlive_keys()
    world.settle()
    check(world)
    assert world.sandbox.report(slug)["faults"] == {fault: 1}


@on_sqlite
@pytest.mark.parametrize(
    "fault", some_slow(Fault.ANSWER_LOST, Fault.CUT_BEFORE, Fault.ERROR_STORED, plain={Fault.ANSWER_LOST})
)
@whether_the_key_lives
@pytest.mark.parametrize(("slug", "step"), STEPS)
def test_each_step_is_settled_for_itself(scene: MakeScene, slug: str, step: str, fault: Fault, key: str) -> None:
    world = scene(slug)
    world.sandbox.script(slug, fault, CALLS[slug][step])
    world.handle(order_event(1))
    world.turn()
    if step != "customer":
        world.turn()
    assert world.sandbox.report(slug)["faults"] == {fault: 1}
    assert world.states("customer" if step == "customer" else "invoice") == {"uncertain": 1}
    if step == "customer":  # the invoice was never sent, so it is not in doubt
        assert world.states("invoice") == {"pending": 1}
    if key != "under the key":
        world.outlive_keys()
    world.settle()
    check(world)


@on_sqlite
@pytest.mark.parametrize("slug", ["xero", "stripe"])
def test_a_stored_500_is_replayed_then_looked_up_then_sent_under_a_new_key(scene: MakeScene, slug: str) -> None:
    world = scene(slug)
    world.sandbox.script(slug, Fault.ERROR_STORED, CALLS[slug]["create" if slug == "xero" else "draft"])
    world.handle(order_event(1))
    world.settle()
    check(world)
    told = [(entry["generation"], entry.get("looked")) for entry in world.sent("SO-1")]
    assert told == [(1, None), (1, None), (2, "not there")]


@on_sqlite
@either_platform
def test_an_expired_token_or_a_429_leaves_no_doubt(scene: MakeScene, slug: str) -> None:
    world = scene(slug)
    world.sandbox.script(slug, Fault.EXPIRE_TOKENS if slug == "xero" else Fault.THROTTLE, CALLS[slug]["customer"])
    world.handle(order_event(1))
    world.settle()
    invoices = {"xero": "Invoices", "stripe": "/v1/invoices", "odoo": "/account.move/"}
    world.sandbox.script(slug, Fault.THROTTLE, invoices[slug])
    world.handle(order_event(2))
    world.settle()
    check(world)
    uncertain = world.rows("SELECT count(*) FROM audit WHERE outcome = 'uncertain'")
    assert uncertain[0][0] == 0


def with_unknown_tax(number: int) -> dict[str, Any]:
    """An order whose tax code the platform does not know."""
    event = order_event(number, discount=None, shipping=None, total="105.30")
    event["order"]["lines"][0]["tax"] = {"name": "VAT", "rate": "17", "amount": "15.30"}
    return event


@on_sqlite
@either_platform
def test_a_refused_invoice_is_held_and_the_others_are_issued(scene: MakeScene, slug: str) -> None:
    world = scene(slug)
    events = [order_event(number, customer=1) for number in range(1, 51)]
    bad = with_unknown_tax(25)
    bad["order"]["customer"] = events[0]["order"]["customer"]
    events[24] = bad
    world.handle(*events)
    world.settle(60)
    check(world, otherwise={"SO-25": "held"})
    (held,) = world.invoice("SO-25")
    assert {"xero": "NOSUCHCODE", "stripe": "txr_NONE", "odoo": "'999' in field 'Taxes'"}[slug] in held.reason


@on_sqlite
@pytest.mark.parametrize("step", ["draft", "issue"])
def test_an_ambiguous_answer_to_many_steps_of_a_bulk_settles_every_element(scene: MakeScene, step: str) -> None:
    """Drafted in one call, posted in another: what is there after either is continued, each for itself."""
    world = scene("odoo")
    world.handle(*(order_event(number, customer=number % 3) for number in range(12)))
    world.turn()
    world.turn()
    calls = sum(CALLS["odoo"]["draft"] in call["target"] for call in world.sandbox.calls("odoo"))
    assert calls == 1, "a bulk"
    world.handle(*(order_event(number, customer=number % 3) for number in range(12, 20)))
    world.sandbox.script("odoo", Fault.ANSWER_LOST, CALLS["odoo"][step])
    assert (world.turn() + world.turn())["uncertain"] >= 8
    world.settle()
    check(world)


@whether_the_key_lives
@on_sqlite
@pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.TRUNCATED, Fault.ERROR_BEFORE])
def test_an_ambiguous_answer_to_a_bulk_settles_every_element(scene: MakeScene, fault: Fault, key: str) -> None:
    world = scene("xero")
    world.sandbox.script("xero", fault, CALLS["xero"]["create"])
    world.handle(*(order_event(number, customer=number % 3) for number in range(20)))
    world.turn()
    world.turn()
    assert world.states() == {"uncertain": 20}
    if key != "under the key":
        world.outlive_keys()
    world.settle()
    check(world)


# -- what people do on the platform by hand --------------------------------------------------------------------------


def by_hand(world: InProcess, slug: str, method: str, path: str, body: dict[str, Any]) -> Any:
    """A call of somebody else's."""
    if slug == "xero":
        headers = {"authorization": f"Bearer {xero.ACCESS_TOKEN}", "xero-tenant-id": xero.TENANT}
        request = Request(method, f"/api.xro/2.0{path}", headers, json.dumps(body).encode())
    elif slug == "odoo":
        headers = {"authorization": f"bearer {odoo.API_KEY}", "content-type": "application/json"}
        request = Request(method, f"/json/2{path}", headers, json.dumps(body).encode())
    else:
        headers = {"authorization": "Bearer sk_live_sandbox", "stripe-version": "2026-06-24.dahlia"}
        request = Request(method, f"/v1{path}", headers, urlencode(body).encode())
    answer = world.sandbox.request(slug, request)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


@on_sqlite
def test_somebody_elses_invoice_with_our_number_is_never_adopted_on_xero(scene: MakeScene) -> None:
    world = scene("xero")
    line = {"Description": "Theirs", "Quantity": 1, "UnitAmount": 111.54, "AccountCode": "200", "TaxType": "NONE"}
    theirs = {"Type": "ACCREC", "InvoiceNumber": "SO-1", "Contact": {"Name": "Someone"}, "LineItems": [line]}
    by_hand(world, "xero", "PUT", "/Invoices", {"Invoices": [theirs]})
    world.handle(order_event(1))
    world.settle()
    check(world, otherwise={"SO-1": "held"}, not_ours={"SO-1"})
    assert "not ours" in world.invoice("SO-1")[0].reason


@on_sqlite
def test_somebody_elses_invoice_with_our_reference_is_never_adopted_on_odoo(scene: MakeScene) -> None:
    world = scene("odoo")
    (partner,) = by_hand(world, "odoo", "POST", "/res.partner/create", {"vals_list": [{"name": "Someone"}]})
    theirs = {"move_type": "out_invoice", "partner_id": partner, "ref": "SO-1"}
    by_hand(world, "odoo", "POST", "/account.move/create", {"vals_list": [theirs]})
    world.sandbox.script("odoo", Fault.CUT_BEFORE, CALLS["odoo"]["draft"])
    world.handle(order_event(1))
    world.settle()
    check(world, otherwise={"SO-1": "held"}, not_ours={"SO-1"})
    assert "not ours" in world.invoice("SO-1")[0].reason


@on_sqlite
def test_somebody_elses_invoice_with_our_reference_is_never_adopted_on_stripe(scene: MakeScene) -> None:
    world = scene("stripe")
    world.handle(order_event(1, customer=1))
    world.settle()
    customer = by_hand(world, "stripe", "GET", "/invoices", {})["data"][0]["customer"]
    world.sandbox.script("stripe", Fault.CUT_BEFORE, CALLS["stripe"]["draft"])
    world.handle(order_event(2, customer=1))
    world.turn()
    theirs = {"customer": customer, "metadata[billhook_order]": "SO-2", "collection_method": "send_invoice"}
    by_hand(world, "stripe", "POST", "/invoices", {**theirs, "days_until_due": 14})
    world.outlive_keys()
    world.settle()
    check(world, otherwise={"SO-2": "held"}, not_ours={"SO-2"})
    assert "not ours" in world.invoice("SO-2")[0].reason


@on_sqlite
@either_platform
def test_an_invoice_voided_by_hand_is_held_and_not_repeated(scene: MakeScene, slug: str) -> None:
    world = scene(slug)
    world.sandbox.script(slug, Fault.ANSWER_LOST, CALLS[slug][LAST[slug]])
    world.handle(order_event(1))
    world.turn()
    world.turn()
    (there,) = world.sandbox.ledger(slug)
    if slug == "xero":
        by_hand(world, slug, "POST", f"/Invoices/{there.id}", {"InvoiceID": there.id, "Status": "VOIDED"})
    elif slug == "odoo":
        for method in ("button_draft", "button_cancel"):
            by_hand(world, slug, "POST", f"/account.move/{method}", {"ids": [int(there.id)]})
    else:
        by_hand(world, slug, "POST", f"/invoices/{there.id}/void", {})
    world.outlive_keys()
    world.settle()
    check(world, otherwise={"SO-1": "held"})
    assert "voided" in world.invoice("SO-1")[0].reason
    assert [entry.status for entry in world.sandbox.ledger(slug)] == ["void"]
