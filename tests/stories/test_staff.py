"""Staff sets an order to completed, on the command line."""

import getpass
import json

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tasks import handle_events as handling
from tests.stories.conftest import MakeTale
from tests.stories.tale import Tale, placed
from worker.cli.main import app
from worker.store import views

COMPLETED = 'trigger = ["order.completed"]'
TWO_SOURCES = "".join(
    f'[shop.engraver.source.{name}]\nkind = "standard"\nsecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"\n'
    for name in ("web", "till")
)


@pytest.fixture(autouse=True)
def no_rings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands ring workers; here the tale itself handles what has come."""
    rung: list[str] = []
    monkeypatch.setattr("worker.bells.ring_events", rung.extend)
    return rung


def complete(tale: Tale, *words: str) -> Result:
    """The command, and what follows from it."""
    done = CliRunner().invoke(app, ["complete", *words])
    handling.handle_events([])
    tale.settle()
    return done


def test_staff_completes_an_order_and_it_is_invoiced(tell: MakeTale, no_rings: list[str]) -> None:
    tale = tell(shop=COMPLETED)
    tale.hears(placed(1))
    assert tale.books == {}
    done = complete(tale, "SO-1", "--who", "Grace", "--why", "picked up at the counter")
    assert done.exit_code == 0, done.output
    assert "SO-1 of engraver (source api) is set to completed" in done.output
    assert tale.books == {"SO-1": "111.54"}
    assert len(no_rings) == 1


def test_who_completed_it_and_why_stand_in_the_trail(tell: MakeTale) -> None:
    tale = tell(shop=COMPLETED)
    tale.hears(placed(1))
    complete(tale, "SO-1", "--who", "Grace", "--why", "picked up")
    [order] = views.order_view(tale.store, "engraver", "SO-1")
    handled = [each["detail"] for each in order["timeline"] if each["action"] == "handle"]
    assert {"who": "Grace", "why": "picked up", "type": "order.completed"}.items() <= handled[-1].items()
    assert "who" not in handled[0]
    told = CliRunner().invoke(app, ["audit", "show", "SO-1"]).output
    assert "Grace" in told
    assert "picked up" in told


def test_who_is_the_login_name_where_nobody_says(tell: MakeTale) -> None:
    tale = tell(shop=COMPLETED)
    tale.hears(placed(1))
    complete(tale, "SO-1")
    (detail,) = (
        json.loads(row[0])
        for row in tale.rows("SELECT detail FROM audit WHERE action = 'handle' ORDER BY at DESC LIMIT 1")
    )
    assert detail["who"] == getpass.getuser()


def test_completing_twice_makes_one_invoice(tell: MakeTale) -> None:
    tale = tell(shop=COMPLETED)
    tale.hears(placed(1))
    for _ in range(2):
        assert complete(tale, "SO-1").exit_code == 0
    assert tale.books == {"SO-1": "111.54"}
    assert tale.states_of_events == ["done", "done", "done"]


@pytest.mark.parametrize("name", ["#1001", "1001", "id-1", "api:1001", "api:id-1"])
def test_an_order_has_several_names(tell: MakeTale, name: str) -> None:
    tale = tell(shop=COMPLETED)
    tale.hears(placed(1, ref="#1001"))
    assert complete(tale, name).exit_code == 0
    assert tale.books == {"#1001": "111.54"}


def test_two_sources_with_one_name_are_refused_and_told_apart(tell: MakeTale) -> None:
    tale = tell(shop=COMPLETED, sources=TWO_SOURCES)
    tale.hears(placed(1), source="web")
    tale.hears(
        placed(1, total="121.54", shipping={"amount": "17.95", "tax": {"rate": "20", "amount": "1.59"}}), source="till"
    )
    refused = complete(tale, "SO-1")
    assert refused.exit_code == 1
    assert "web:SO-1" in refused.output
    assert "till:SO-1" in refused.output
    assert tale.books == {}
    assert complete(tale, "till:SO-1").exit_code == 0
    assert list(tale.books.values()) == ["121.54"]


def test_our_own_id_means_one_order_only(tell: MakeTale) -> None:
    tale = tell(shop=COMPLETED, sources=TWO_SOURCES)
    tale.hears(placed(1), source="web")
    tale.hears(placed(1), source="till")
    ((ours,),) = tale.rows("SELECT id FROM orders WHERE source = ?", "web")
    assert complete(tale, ours).exit_code == 0
    assert len(tale.books) == 1
    assert tale.rows("SELECT order_id FROM invoices") == [(ours,)]


def test_an_order_nobody_has_told_is_refused(tell: MakeTale) -> None:
    tale = tell(shop=COMPLETED)
    refused = complete(tale, "SO-7", "--shop", "engraver")
    assert refused.exit_code == 1
    assert "No order 'SO-7' is known in shop engraver" in refused.output
    assert "POST /events" in refused.output
    assert tale.events == []


def test_a_shop_that_does_not_invoice_on_completion_says_so(tell: MakeTale) -> None:
    tale = tell(shop='trigger = ["shipment.delivered"]')
    tale.hears(placed(1))
    refused = complete(tale, "SO-1")
    assert refused.exit_code == 1
    assert "(the trigger: shipment.delivered)" in refused.output
    assert tale.states_of_events == ["done"]


def test_another_shop_s_order_is_not_found(tell: MakeTale) -> None:
    tale = tell(shop=COMPLETED)
    tale.hears(placed(1))
    assert complete(tale, "SO-1", "--shop", "other").exit_code == 1
    assert tale.books == {}
