"""Accounts as a merchant meets them: connected, looked at, tried without sending, held when refused."""

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from cryptography.fernet import Fernet
from typer.testing import CliRunner

from connectors.auth import OAuth2
from connectors.platforms import qbo_words
from connectors.sandbox import freshbooks, xero
from connectors.sandbox.faults import Fault
from tests.kit.history import check
from tests.kit.inprocess import InProcess
from tests.kit.processes import eventually, free_port
from tests.kit.redis_server import RedisServer
from tests.kit.scene import order_event
from worker import accounts as worker_accounts
from worker import runtime
from worker.cli.main import app
from worker.store import tokens
from worker.store.verify import verify

pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
MakeScene = Callable[..., InProcess]
XERO = f"xero:{xero.TENANT}"


@pytest.fixture
def make_scene(
    tmp_path: Path, store_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeScene]:
    made: list[InProcess] = []

    def make(*platforms: str, **changed: str) -> InProcess:
        """`changed`: TOML lines put into an account, by platform."""
        scene = InProcess(tmp_path, store_url, redis_server.url, monkeypatch, platforms=platforms or ("xero",))
        text = scene.config_file.read_text()
        for slug, lines in changed.items():
            head = f"[shop.engraver.account.{slug}]\n"
            text = text.replace(head, head + lines + "\n")
        scene.config_file.write_text(text)
        runtime.keeper.cache_clear()
        made.append(scene)
        return scene

    yield make
    for scene in made:
        scene.close()


def said(*arguments: str, code: int = 0, typed: str | None = None) -> str:
    done = CliRunner().invoke(app, list(arguments), input=typed)
    assert done.exit_code == code, done.output
    return done.output


def agree(printed: str) -> str:
    """What a merchant does: opens the address, agrees. Returns where the browser is sent to."""
    address = next(line for line in printed.splitlines() if line.startswith("http://127.0.0.1"))
    return requests.get(address, allow_redirects=False, timeout=10).headers["Location"]


# -- shadow, house customer, mismatch ----------------------------------------------------------------------------------


def test_in_the_shadow_orders_are_rendered_and_kept_and_nothing_is_sent(make_scene: MakeScene) -> None:
    scene = make_scene("xero", "stripe", xero='mode = "shadow"')
    scene.handle(order_event(1), order_event(2))
    scene.settle()
    assert scene.sandbox.ledger("xero") == []
    assert len(scene.sandbox.ledger("stripe")) == 2
    assert not scene.sandbox.calls("xero"), "not even a look"
    states = {row[1]: row[2] for row in scene.invoice("SO-1")}
    assert states == {"xero": "shadow", "stripe": "issued"}
    (subject,) = [row[0] for row in scene.invoice("SO-1") if row[1] == "xero"]
    assert scene.story(f"invoice:{subject}")[-1] == ("render", "shadow")
    shown = json.loads(said("audit", "show", "SO-1", "--bodies", "--json"))[0]
    (kept,) = [entry for entry in shown["timeline"] if entry["action"] == "render"]
    assert "Brass plaque for order SO-1." in kept["exchange"]["request"]
    assert "Brass plaque for order SO-1." in said("audit", "show", "SO-1", "--bodies")
    assert verify(scene.store).ok


def test_an_order_taken_in_the_shadow_is_not_sent_when_the_account_goes_live(make_scene: MakeScene) -> None:
    scene = make_scene("xero", xero='mode = "shadow"')
    scene.handle(order_event(1))
    scene.config_file.write_text(scene.config_file.read_text().replace('mode = "shadow"', 'mode = "live"'))
    runtime.keeper.cache_clear()
    scene.handle(order_event(2))
    scene.settle()
    assert [entry.reference for entry in scene.sandbox.ledger("xero")] == ["SO-2"]


def test_all_orders_of_an_account_can_have_one_customer(make_scene: MakeScene) -> None:
    scene = make_scene("xero")
    scene.handle(order_event(1))
    scene.settle()
    house = scene.rows("SELECT remote_id FROM documents JOIN jobs USING (id) WHERE kind = 'customer'")[0][0]
    text = scene.config_file.read_text().replace('platform = "xero"', f'platform = "xero"\ncustomer = "{house}"')
    scene.config_file.write_text(text)
    runtime.keeper.cache_clear()
    scene.handle(*(order_event(number) for number in range(2, 6)))
    scene.settle()
    assert len(scene.sandbox.customers("xero")) == 1
    assert {entry.customer for entry in scene.sandbox.ledger("xero")} == {"c1@x.example"}
    assert len(scene.sandbox.ledger("xero")) == 5
    assert verify(scene.store).ok


@pytest.mark.parametrize("told", ["by the answer", "by a look-up"])
@pytest.mark.parametrize(("policy", "left"), [("keep", "issued"), ("void", "void")])
def test_an_invoice_that_does_not_agree_is_kept_or_voided_and_never_made_again(
    make_scene: MakeScene, policy: str, left: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The difference shows only after the invoice is posted; and its answer may be lost."""
    scene = make_scene("quickbooks", quickbooks=f'mismatch = "{policy}"')
    monkeypatch.setattr(qbo_words, "_tax_detail", lambda *_: None)  # as if its books had dropped what we state
    part = {"ref": "1", "description": "Tag", "quantity": "1", "unit_price": "0.02", "discount": "0"}
    tax = {"name": "VAT", "rate": "20", "amount": "0.00"}  # by line; QuickBooks sums 0.10 and makes it 0.02
    lines = [{**part, "ref": str(number), "tax": tax} for number in range(5)]
    scene.handle(order_event(1, lines=lines, discount=None, shipping=None, total="0.10"))
    if told == "by a look-up":
        scene.sandbox.script("quickbooks", Fault.ANSWER_LOST, "/invoice?")
        scene.turn()
        scene.turn()
        assert scene.invoice("SO-1")[0][2] == "uncertain"
        scene.outlive_keys()
    scene.settle()
    scene.turn()
    (row,) = scene.invoice("SO-1")
    assert row[2] == "mismatch"
    assert "+0.02 GBP" in row[3]
    assert ("it was voided" in row[3]) is (policy == "void")
    assert [entry.status for entry in scene.sandbox.ledger("quickbooks")] == [left]
    assert verify(scene.store).ok


# -- connecting --------------------------------------------------------------------------------------------------------


def test_an_account_is_connected_by_a_pasted_address(make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = make_scene("xero")
    printed: list[str] = []
    monkeypatch.setattr("worker.cli.accounts.say", lambda line: printed.append(line.strip()))
    monkeypatch.setattr("worker.cli.accounts._typed", lambda: agree("\n".join(printed)))
    said("connect", "engraver/xero", "--paste")
    assert "engraver/xero is connected: Demo Company (UK)" in printed
    assert tokens.newest(scene.store, XERO) is not None
    assert refreshes(scene) == ["authorization_code"], "the new token is fresh: nothing else was asked for"
    scene.handle(order_event(1))
    scene.settle()
    check(scene)


def test_the_redirect_address_is_the_one_that_tokens_are_refreshed_with(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is https, where nobody listens on this machine: the address is pasted."""
    scene = make_scene("freshbooks")
    printed: list[str] = []
    monkeypatch.setattr("worker.cli.accounts.say", lambda line: printed.append(line.strip()))
    monkeypatch.setattr("worker.cli.accounts._typed", lambda: agree("\n".join(printed)))
    assert "leave --redirect out" in said("connect", "freshbooks", "--redirect", "http://localhost:1/", code=2)
    said("connect", "freshbooks")
    address = next(line for line in "\n".join(printed).splitlines() if line.startswith("http"))
    asked = dict(parse_qsl(urlsplit(address).query))
    assert asked["redirect_uri"] == freshbooks.REDIRECT
    assert printed[-1].startswith("engraver/freshbooks is connected")
    scene.handle(order_event(1))
    scene.settle()
    check(scene)


def test_a_consent_without_a_refresh_token_says_how_long_it_lasts(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_scene("xero")
    printed: list[str] = []
    ask = OAuth2.ask
    monkeypatch.setattr(OAuth2, "ask", lambda *given: dataclasses.replace(ask(*given), refresh=None))
    monkeypatch.setattr("worker.cli.accounts.say", lambda line: printed.append(line.strip()))
    monkeypatch.setattr("worker.cli.accounts._typed", lambda: agree("\n".join(printed)))
    said("connect", "engraver/xero", "--paste")
    assert [line for line in printed if "Xero gave no refresh token: connect engraver/xero again before 20" in line]


def refreshes(scene: InProcess) -> list[str]:
    """What the token endpoint was called for."""
    calls = scene.sandbox.ask("xero", lambda hosted: hosted.emulator.desk.asked)
    return [*calls]


def test_an_account_is_connected_by_a_browser_on_this_machine(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_scene("xero")
    printed: list[str] = []
    monkeypatch.setattr("worker.cli.accounts.say", lambda line: printed.append(line.strip()))
    callback = f"http://127.0.0.1:{free_port()}/callback"

    def browser(address: str) -> bool:
        threading.Thread(target=lambda: requests.get(address, timeout=10), daemon=True).start()
        return True

    monkeypatch.setattr("webbrowser.open", browser)
    said("connect", "xero", "--redirect", callback, "--seconds", "20")
    assert "engraver/xero is connected: Demo Company (UK)" in printed


def test_an_address_of_another_consent_changes_nothing(make_scene: MakeScene) -> None:
    scene = make_scene("xero")
    output = said("connect", "xero", "--paste", typed="http://localhost:8765/callback?code=x&state=y\n", code=1)
    assert "is not connected: the address does not belong to this consent" in output
    assert tokens.newest(scene.store, XERO) is None


def test_an_account_with_a_key_is_connected_by_a_harmless_read(make_scene: MakeScene) -> None:
    make_scene("stripe")
    assert "engraver/stripe is connected: Demo Company" in said("connect", "stripe")


@pytest.mark.parametrize("slug", ["xero", "stripe"])
def test_refused_credentials_hold_the_account_once_and_connecting_releases_everything(
    make_scene: MakeScene, slug: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The merchant takes the consent back, or rolls the key: one alert, not a thousand failed tasks."""
    scene = make_scene(slug)
    revoked = REVOKED[slug]
    scene.sandbox.ask(slug, lambda hosted: revoked(hosted.emulator))
    scene.handle(*(order_event(number) for number in range(12)))
    tenant = next(iter(worker_accounts.accounts().values())).tenant
    eventually(lambda: scene.turn() is not None and tenant in tokens.held(scene.store), within=20)
    alerts = [record for record in caplog.records if "is on hold" in record.getMessage()]
    assert len(alerts) == 1
    calls = len(scene.sandbox.calls(slug))
    for _ in range(3):
        scene.turn()
    assert len(scene.sandbox.calls(slug)) == calls, "nothing is tried while it is on hold"
    restored = RESTORED[slug]
    scene.sandbox.ask(slug, lambda hosted: restored(hosted.emulator))
    printed: list[str] = []
    monkeypatch.setattr("worker.cli.accounts.say", lambda line: printed.append(line.strip()))
    monkeypatch.setattr("worker.cli.accounts._typed", lambda: agree("\n".join(printed)))
    said("connect", slug, "--paste")
    assert tenant not in tokens.held(scene.store)
    scene.settle()
    assert scene.states() == {"issued": 12}
    check(scene)


def test_who_looks_at_an_account_whose_refresh_was_refused_is_told_why(make_scene: MakeScene) -> None:
    """At once and without another call, while nobody may ask; and after that whenever somebody asks."""
    scene = make_scene("xero")
    scene.sandbox.ask("xero", lambda hosted: hosted.emulator.desk.revoke())
    scene.handle(order_event(1))
    eventually(lambda: scene.turn() is not None and tokens.held(scene.store), within=20)
    asked = refreshes(scene)
    assert "invalid_grant" in said("check", "--online", code=1)
    assert refreshes(scene) == asked
    for _ in range(3):
        with scene.store.write() as connection:
            connection.exec_driver_sql("UPDATE refreshes SET deadline = '2020-01-01T00:00:00+00:00'")
        assert "invalid_grant" in said("check", "--online", code=1)
    assert len(refreshes(scene)) == len(asked) + 3


def test_who_waits_for_a_refresh_that_was_refused_holds_nothing_that_was_released_meanwhile(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading of the hold and telling of it, somebody connects the account."""
    scene = make_scene("xero")
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    assert tokens.begin_refresh(scene.store, XERO, 0, "another", in_an_hour) == 1
    with monkeypatch.context() as before:
        before.setattr(tokens, "held", lambda store: {XERO: "it was refused"})
        assert "it was refused" in said("check", "--online", code=1)
    assert tokens.held(scene.store) == {}


REVOKED: dict[str, Callable[[Any], None]] = {
    "xero": lambda emulator: emulator.desk.revoke(),
    "stripe": lambda emulator: setattr(emulator, "refused", True),
}
RESTORED: dict[str, Callable[[Any], None]] = {
    "xero": lambda emulator: None,
    "stripe": lambda emulator: setattr(emulator, "refused", False),
}


def test_the_key_that_encrypts_tokens_can_be_rotated(make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    scene = make_scene("xero")
    monkeypatch.setenv("BILLHOOK_KEY", old)
    scene.handle(order_event(1))
    scene.settle()
    monkeypatch.setenv("BILLHOOK_KEY", f"{new},{old}")
    assert said("account", "reseal") == "1 encrypted anew\n"
    monkeypatch.setenv("BILLHOOK_KEY", new)
    runtime.keeper.cache_clear()
    before = refreshes(scene)
    scene.handle(order_event(2))
    scene.settle()
    check(scene)
    assert refreshes(scene) == before, "the token is still the same"


def test_a_token_under_a_key_that_is_gone_holds_the_account_with_what_to_do(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make_scene("xero")
    monkeypatch.setenv("BILLHOOK_KEY", Fernet.generate_key().decode())
    scene.handle(order_event(1))
    scene.settle()
    monkeypatch.setenv("BILLHOOK_KEY", Fernet.generate_key().decode())
    assert "was encrypted under another key" in said("account", "reseal", code=1)
    runtime.keeper.cache_clear()
    scene.handle(order_event(2))
    scene.turn()
    eventually(lambda: scene.turn() is not None and tokens.held(scene.store), within=20)
    assert "give that one too" in tokens.held(scene.store)[XERO]


# -- looking -----------------------------------------------------------------------------------------------------------


def test_options_show_what_can_be_chosen_and_what_is(make_scene: MakeScene) -> None:
    make_scene("xero")
    output = said("account", "options", "xero")
    assert 'tax."20"' in output
    assert "RROUTPUT" in output
    rows = json.loads(said("account", "options", "xero", "--json"))
    assert {"setting": "sales_account", "value": "200", "title": "Sales", "key": None} in rows


def test_check_online_says_in_plain_words_what_is_wrong(make_scene: MakeScene) -> None:
    scene = make_scene("xero", "stripe")
    output = said("check", "--online", code=1)
    assert "ok: shop.engraver.account.stripe: reaches Demo Company on Stripe" in output
    assert """wrong: shop.engraver.account.xero.settings.tax."17": 'NOSUCHCODE' is not among what Xero""" in output
    scene.sandbox.ask("stripe", lambda hosted: setattr(hosted.emulator, "refused", True))
    assert "wrong: shop.engraver.account.stripe: Stripe: Invalid API Key provided" in said("check", "--online", code=1)


def test_a_preview_prints_the_calls_and_sends_nothing(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene("xero", "stripe")
    file = tmp_path / "event.json"
    file.write_text(json.dumps(order_event(1)))
    output = said("preview", str(file), "--account", "engraver/xero")
    assert "1. customer, create: PUT" in output
    assert '"ContactID": "<customer>"' in output
    assert '"UnitAmount": 45.00' in output, "numbers as they would be sent"
    assert output.endswith("Nothing was sent.\n")
    steps = [call["what"] for call in json.loads(said("preview", str(file), "--account", "stripe", "--json"))]
    assert steps == ["customer, customer", "invoice, coupon", "invoice, draft", "invoice, lines", "invoice, finalize"]
    assert not scene.sandbox.calls("xero")
    assert not scene.sandbox.calls("stripe")


def test_a_preview_shows_the_bytes_that_would_be_sent(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene("xero")
    scene.handle(order_event(1))
    scene.settle()
    file = tmp_path / "event.json"
    file.write_text(json.dumps(order_event(1)))
    calls = json.loads(said("preview", str(file), "--account", "xero", "--json"))
    plan = scene.rows("SELECT plan FROM documents JOIN jobs USING (id) WHERE kind = 'invoice'")[0][0]
    sent = json.loads(plan)[0]
    house = scene.rows("SELECT remote_id FROM documents JOIN jobs USING (id) WHERE kind = 'customer'")[0][0]
    assert json.loads(calls[1]["body"].replace("<customer>", house)) == json.loads(sent["body"])
    assert dict(parse_qsl(urlsplit(calls[1]["url"]).query)) == sent["query"]


def test_a_preview_says_why_an_order_would_be_held(make_scene: MakeScene, tmp_path: Path) -> None:
    make_scene("xero")
    file = tmp_path / "event.json"
    event = order_event(1)
    event["order"]["lines"][0]["tax"]["rate"] = "19"
    file.write_text(json.dumps(event))
    output = said("preview", str(file), "--account", "xero", code=1)
    assert "It would be held: order SO-1: " in output
    assert "19 %" in output


def test_an_unknown_account_is_answered_with_those_that_are_there(make_scene: MakeScene) -> None:
    make_scene("xero")
    assert "There is no account 'nope'; there are: engraver/xero." in said("connect", "nope", code=2)
