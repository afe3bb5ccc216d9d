"""Tokens that rotate: refreshed once whoever meets the expired one, saved by the grace after a crash, never shown."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, cast

import pytest

from connectors.errors import Throttled, Unauthorized
from connectors.sandbox import xero
from connectors.sandbox.faults import Fault
from tests.kit.history import check
from tests.kit.inprocess import inside
from tests.kit.redis_server import RedisServer
from tests.kit.scene import Clocks, order_event
from tests.kit.stores import in_both
from tests.kit.world import World
from worker import testpoints
from worker.accounts import platform_of
from worker.credentials import TenantTokens

MakeWorld = Callable[..., World]
on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
TENANT = f"xero:{xero.TENANT}"


DOORS = {
    "xero": "/connect/token",
    "freshbooks": "/auth/oauth/token",
    "bill_com": "/connect/v3/login",
    "sap_business_one": "/b1s/v2/Login",
}
"""Where tokens and sessions are given. BILL allows 200 logins an hour; FreshBooks burns a used refresh token."""


def refreshes(world: World, slug: str = "xero") -> int:
    """How often the platform was asked for a token or session."""
    return sum(call["target"] == DOORS[slug] for call in world.sandbox.calls(slug))


def expire(world: World) -> None:
    world.sandbox.ask("xero", lambda hosted: hosted.emulator.expire_tokens())


def fifty_meet_a_401(world: World, slug: str = "xero") -> int:
    """Fifty threads hold the same token or session, the platform refuses it, and all renew at once. Returns how often
    it was then asked for another."""
    together = Barrier(50)

    def meet(auth: TenantTokens) -> str:
        tokens = TenantTokens(auth.tenant, auth.platform, auth.grant, auth.credentials, auth.http)
        refused = tokens.headers()
        together.wait(20)
        assert tokens.renew(refused)
        return str(tokens.headers())

    with inside(world), ThreadPoolExecutor(50) as threads:
        found = auth_of(slug)
        found.headers()
        before = refreshes(world, slug)
        got = set(threads.map(meet, [found] * 50))
    assert len(got) == 1 or testpoints.without("single_flight")
    return refreshes(world, slug) - before


def auth_of(slug: str) -> TenantTokens:
    found = platform_of("engraver", slug).auth
    assert isinstance(found, TenantTokens)
    return found


def test_fifty_threads_with_a_refused_token_refresh_it_once(make_world: MakeWorld) -> None:
    assert fifty_meet_a_401(make_world(platforms=("xero",))) == 1


@on_sqlite
def test_without_single_flight_they_refresh_it_often(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testpoints, "_without", frozenset({"single_flight"}))
    assert fifty_meet_a_401(make_world(platforms=("xero",))) > 1


@on_sqlite
@pytest.mark.parametrize("slug", ["sap_business_one", "bill_com"])
def test_fifty_threads_with_a_refused_session_log_in_once(make_world: MakeWorld, slug: str) -> None:
    world = make_world(platforms=(slug,))
    assert fifty_meet_a_401(world, slug) == 1
    assert world.rows("SELECT tenant FROM holds") == []


@on_sqlite
@pytest.mark.parametrize("slug", ["sap_business_one", "bill_com"])
def test_a_session_that_ends_under_way_is_renewed_once(make_world: MakeWorld, slug: str) -> None:
    world = make_world(platforms=(slug,)).start(workers=2)
    for number in range(4):
        world.push(order_event(number))
    world.until_settled()
    before = refreshes(world, slug)
    world.sandbox.ask(slug, lambda hosted: hosted.emulator.expire_tokens())
    for number in range(4, 16):
        world.push(order_event(number, customer=number % 4))
    world.until_settled()
    check(world)
    assert refreshes(world, slug) - before == 1


@on_sqlite
def test_a_refresh_token_that_works_once_survives_fifty_threads(make_world: MakeWorld) -> None:
    """Whoever uses it a second time is refused: the token that the first one got must be found by the others."""
    world = make_world(platforms=("freshbooks",))
    assert fifty_meet_a_401(world, "freshbooks") == 1
    with inside(world):
        assert auth_of("freshbooks").renew({}), "and the next one in the chain works too"
    assert world.rows("SELECT tenant FROM holds") == []


@on_sqlite
def test_without_single_flight_a_refresh_token_that_works_once_is_burnt(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(testpoints, "_without", frozenset({"single_flight"}))
    world = make_world(platforms=("freshbooks",))
    with pytest.raises(Unauthorized, match="invalid_grant"):
        fifty_meet_a_401(world, "freshbooks")


@on_sqlite
@pytest.mark.parametrize(("slug", "seconds"), [("bill_com", 60), ("freshbooks", 7)])
def test_a_throttled_login_says_how_long_to_stay_away(make_world: MakeWorld, slug: str, seconds: float) -> None:
    """As long as the vendor's answer asks for, else as long as its documentation does."""
    world = make_world(platforms=(slug,))
    world.sandbox.script(slug, Fault.THROTTLE, DOORS[slug], throttle_seconds=7)
    with inside(world):
        with pytest.raises(Throttled) as refused:
            auth_of(slug).headers()
        assert (refused.value.status, refused.value.retry_after) == (429, seconds)
        assert auth_of(slug).headers(), "and nothing is used up"


def test_two_processes_with_an_expired_token_refresh_it_once(make_world: MakeWorld) -> None:
    world = make_world(platforms=("xero",)).start(workers=2)
    for number in range(4):
        world.push(order_event(number))
    world.until_settled()
    assert refreshes(world) == 1
    expire(world)
    for number in range(4, 24):
        world.push(order_event(number, customer=number % 4))
    world.until_settled()
    check(world)
    assert refreshes(world) == 2


@pytest.mark.parametrize("point", ["before_refresh", "after_refresh"])
@in_both
def test_killed_during_a_refresh_the_grace_saves_the_account(make_world: MakeWorld, point: str) -> None:
    world = make_world(platforms=("xero",)).start(workers=0)
    dying = world.start_worker({"BILLHOOK_CRASH": f"{point}:kill"})
    world.push(order_event(1))
    assert dying.wait(20) == -9
    world.start_worker()
    world.until_settled()
    check(world)
    assert world.rows("SELECT tenant FROM holds") == []


def lose_two_answers(world: World) -> None:
    """Two workers in a row die with the answer in hand, a third one comes."""
    world.start(workers=0)
    for _ in range(2):
        dying = world.start_worker({"BILLHOOK_CRASH": "after_refresh:kill"})
        world.push(order_event(len(world.accepted)))
        assert dying.wait(30) == -9
    world.start_worker()
    world.until(lambda: world.rows("SELECT tenant FROM holds"), 30)


@pytest.mark.slow
@on_sqlite
def test_a_second_lost_answer_puts_the_account_on_hold_once(make_world: MakeWorld) -> None:
    """Rows wait where a person sees them; other accounts go on; a new refresh token and a word release them."""
    world = make_world(clocks=Clocks(attempts=100))
    lose_two_answers(world)
    world.push(*(order_event(number) for number in range(10, 30)))
    world.until(lambda: len(world.sandbox.ledger("stripe")) == 22, 60)
    worker = world.workers[-1]
    world.until(lambda: worker.output.count("is on hold"), 10)  # said after the commit
    assert worker.output.count("is on hold") == 1
    assert worker.output.count("raised") == 0
    found = json.loads(world.billhook("status", "--json").output)["holds"]
    assert [(hold["tenant"], hold["waiting"]) for hold in found] == [(TENANT, 44)]
    said = world.billhook("status").output
    assert "engraver/xero: on hold" in said
    assert "the answer was lost" in said
    assert "billhook connect engraver/xero" in said
    assert "is not on hold" in world.billhook("release", "engraver/stripe").output
    connect_again(world)
    assert "engraver/xero is released" in world.billhook("release", "engraver/xero").output
    world.workers[-1].kill()
    world.start_worker()
    world.until_settled(90)
    check(world)


def connect_again(world: World) -> None:
    """The merchant logs in at the platform and puts the new refresh token into billhook.toml."""
    world.sandbox.ask(
        "xero", lambda hosted: cast(Any, hosted.emulator).desk.grant("a-new-refresh-token", "refresh", 3600)
    )
    text = world.config_file.read_text()
    world.config_file.write_text(text.replace(xero.REFRESH_TOKEN, "a-new-refresh-token"))


def test_no_secret_is_shown_anywhere(make_world: MakeWorld, redis_server: RedisServer) -> None:
    """Not in the database, in a log, in a message, in the trail or its bodies."""
    world = make_world()
    messages: list[str] = []
    with redis_server.client() as client, client.monitor() as monitor:
        world.start()
        world.push(order_event(1))
        world.until_settled()
        expire(world)
        world.push(order_event(2))
        world.until_settled()
        client.set("the end", 1)
        for command in monitor.listen():
            messages.append(command["command"])
            if "the end" in command["command"]:
                break
    asked = "SELECT token FROM xero_tokens"
    tokens = world.sandbox.ask("xero", lambda hosted: [row[0] for row in hosted.emulator.db.execute(asked)])
    secrets = {*tokens, xero.CLIENT_SECRET, "sk_live_sandbox"}
    assert len(secrets) >= 6
    assert any("tasks.create_invoices" in message for message in messages)
    places = {"Redis": "\n".join(messages), "logs": "\n".join(one.output for one in world.processes.started)}
    for table in ("jobs", "documents", "audit", "audit_bodies", "bulks", "tokens", "refreshes"):
        places[table] = "\n".join(str(tuple(row)) for row in world.rows(f"SELECT * FROM {table}"))
    if world.store.sqlite:
        files = world.folder.glob("billhook*.db*")
        places |= {str(file): file.read_bytes().decode("latin-1") for file in files}
    shown = [(place, secret) for place, text in places.items() for secret in secrets if secret in text]
    assert shown == []
    assert world.rows("SELECT count(*) FROM tokens")[0][0] == 2
