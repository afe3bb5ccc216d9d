"""The log lines of real processes: JSON with shop and order, and never a secret or a customer, whatever goes wrong."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

from connectors.sandbox import xero
from connectors.sandbox.faults import Fault
from tests.kit.processes import Process
from tests.kit.redis_server import RedisServer
from tests.kit.scene import api_key, order_event
from tests.kit.smtp import SmtpCatcher
from tests.kit.stores import in_both
from tests.kit.world import World
from tests.pipeline.test_metrics import refused_event

MakeWorld = Callable[..., World]
Line = dict[str, Any]
on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
DEBUG = {"BILLHOOK_LOG_LEVEL": "debug"}


@pytest.fixture
def smtp():
    catcher = SmtpCatcher()
    yield catcher
    catcher.close()


def lines(process: Process) -> list[Line]:
    """Everything that the process printed: a line that is not JSON fails."""
    # runpy's remark comes from how the kit starts processes, before there is a log
    return [json.loads(line) for line in process.output.splitlines() if not line.startswith("<frozen runpy>")]


def said(process: Process, event: str) -> list[Line]:
    return [line for line in lines(process) if line["event"].startswith(event)]


def ingest_of(world: World) -> Process:
    (process,) = (one for one in world.processes.started if "ingest" in one.command)
    return process


@on_sqlite
def test_each_line_is_json_and_says_whose_it_is(make_world: MakeWorld) -> None:
    world = make_world(platforms=("xero",)).start(ingest=True)
    world.post(order_event(1))
    world.post(refused_event(2), order_event(3), order_event(4))
    world.until_settled()
    worker, ingest = world.workers[0], ingest_of(world)
    world.until(lambda: sum(line["count"] for line in said(ingest, "events accepted")) == 4, 10)

    (held,) = world.until(lambda: said(worker, "invoice held"))  # said after the commit that settles it
    (row,) = world.invoice("SO-2")
    assert held["level"] == "warning"
    assert (held["shop"], held["order"], held["account"]) == ("engraver", "SO-2", "engraver/xero")
    assert (held["tenant"], held["platform"]) == (f"xero:{xero.TENANT}", "xero")
    assert (held["subject"], held["state"], held["reason"]) == (f"invoice:{row[0]}", "held", row[3])
    assert held["task"] == "tasks.create_invoices"
    accepted = said(ingest, "events accepted")
    assert sum(line["count"] for line in accepted) == 4
    assert {line["shop"] for line in accepted if line["count"] == 1} <= {"engraver"}
    assert not [line for line in lines(worker) if line["level"] == "info" and line.get("order") == "SO-1"]
    for process in (worker, ingest, world.recurring):
        assert process
        assert all({"time", "level", "event", "logger", "process"} <= set(line) for line in lines(process))
        assert all(line["time"].endswith("Z") for line in lines(process))
        (started,) = [line for line in lines(process) if line["event"] in ("worker started", "ingest started")]
        assert started["version"]
    done = "Task tasks.create_invoices["
    world.until(lambda: {line["task_id"] for line in said(worker, done)} >= {held["task_id"]}, 10)
    worker.terminate()
    world.until(lambda: said(worker, "worker stopped"), 20)


@on_sqlite
def test_text_is_for_people(make_world: MakeWorld) -> None:
    world = make_world(platforms=("xero",)).start(env={"BILLHOOK_LOG_FORMAT": "text"})
    world.push(refused_event(2))
    world.until_settled()
    (held,) = world.until(lambda: [line for line in world.workers[0].output.splitlines() if "invoice held" in line], 10)
    assert "WARNING invoice held" in held
    assert "shop=engraver order=SO-2" in held


def troubled(world: World, smtp: SmtpCatcher) -> None:
    """Success, a 401, a refused and a lost call, a garbled answer, a refused mail, a dead token, broken credentials."""
    sandbox = world.sandbox
    world.push(order_event(1))
    world.until_settled()
    sandbox.ask("xero", lambda hosted: hosted.emulator.expire_tokens())
    smtp.refuse("550 5.1.1 <c2@x.example> Ada 2 is unknown", times=1, at="rcpt")
    world.push(order_event(2), refused_event(3))
    world.until_settled()
    sandbox.script("stripe", Fault.ANSWER_LOST, "POST /v1/invoices", times=2)
    sandbox.script("xero", Fault.GARBAGE, "Invoices", times=2)
    world.push(order_event(4))
    world.until_settled()
    for slug in ("xero", "stripe"):
        sandbox.heal(slug)


def refused_for_good(world: World) -> None:
    """The platform takes neither the access token nor the refresh token any more: the account is put on hold."""
    world.sandbox.ask("xero", lambda hosted: hosted.emulator.db.execute("DELETE FROM xero_tokens"))
    world.push(order_event(5))
    world.until(lambda: world.rows("SELECT tenant FROM holds"), 40)


@in_both
def test_no_secret_and_no_customer_is_in_any_line_at_debug(
    make_world: MakeWorld, private_redis_with_password: RedisServer, smtp: SmtpCatcher
) -> None:
    world = make_world(redis_url=private_redis_with_password.url, smtp_url=smtp.url)
    world.start(ingest=True, env=DEBUG)
    bad = {"Authorization": "Bearer wrong-key-of-somebody-99"}
    assert requests.post(f"{world.ingest_url}/events", json={}, headers=bad, timeout=15).status_code == 401
    assert world.post(order_event(8)).status_code == 202
    troubled(world, smtp)
    asked = "SELECT token FROM xero_tokens"
    tokens = world.sandbox.ask("xero", lambda hosted: [row[0] for row in hosted.emulator.db.execute(asked)])
    refused_for_good(world)

    assert len(tokens) >= 4
    secrets = {*tokens, xero.CLIENT_SECRET, xero.REFRESH_TOKEN, "sk_live_sandbox", api_key("engraver")}
    secrets |= {str(private_redis_with_password.password), "wrong-key-of-somebody-99"}
    customers = {"@x.example", "Ada", "Engines", "Engine Row", "Brass plaque"}
    worker = world.workers[0]
    assert [line for line in lines(worker) if line["level"] == "debug"]
    assert said(worker, "notice held")
    assert said(worker, "invoice uncertain")
    (hold,) = world.until(lambda: [line for line in lines(worker) if "is on hold" in line["event"]], 10)
    assert hold["tenant"] == f"xero:{xero.TENANT}"
    for process in (worker, world.recurring, ingest_of(world)):
        assert process
        assert lines(process)
        assert not [word for word in secrets | customers if word in process.output]


@pytest.fixture
def private_redis_with_password(tmp_path):
    server = RedisServer(tmp_path / "redis", password="redis-pass-word-55").start()
    yield server
    server.stop()
