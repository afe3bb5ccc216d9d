"""A shop tells an order with its parcel, and the carrier says how the parcel fares: pushed, asked, or both."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox.source_apis.dhl import API_KEY, DhlTracking
from connectors.sandbox.source_apis.ups import APP, UpsTracking
from tasks import ask_sources as asking
from tasks import handle_events as handling
from tasks import recurring
from tests.contract.running import RunningSandbox
from tests.kit.inprocess import InProcess
from tests.kit.redis_server import RedisServer
from tests.kit.scene import order_event
from tests.unit.test_sources_dhl import HANDSHAKE
from tests.unit.test_sources_ups import HISTORY, PUSH, package, status
from worker.sources import source_of
from worker.store import jobs
from worker.store.inbox import Arrival, Inbox
from worker.store.schema import jobs as jobs_table
from worker.store.verify import verify

NUMBER = PUSH["trackingNumber"]
PARCEL = {"ref": "P-1", "carrier": "UPS", "tracking_number": NUMBER}


@pytest.fixture
def carriers() -> Iterator[RunningSandbox]:
    running = RunningSandbox([UpsTracking, DhlTracking])
    yield running
    running.close()


@pytest.fixture
def scene(
    tmp_path: Path, store_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, carriers: RunningSandbox
) -> Iterator[InProcess]:
    sources = f"""
[shop.engraver.source.ups]
kind = "ups"
secret = "push-token-0123456789"
[shop.engraver.source.ups.options]
client_id = "{APP.client_id}"
client_secret = "{APP.client_secret}"
base_url = "{carriers.url}/ups"

[shop.engraver.source.dhl]
kind = "dhl"
secret = "push-token-0123456789"
[shop.engraver.source.dhl.options]
api_key = "{API_KEY}"
base_url = "{carriers.url}/dhl"
"""
    made = InProcess(tmp_path, store_url, redis_server.url, monkeypatch, platforms=("xero",), more=sources)
    trigger = '[shop.engraver]\ntrigger = ["shipment.shipped", "shipment.delivered"]\n'
    made.config_file.write_text(made.config_file.read_text().replace("[shop.engraver]\n", trigger))
    yield made
    made.close()


def pushed(scene: InProcess, name: str, body: dict[str, Any]) -> None:
    """The carrier's push, stored as ingest stores it, is handled."""
    source, raw = source_of("engraver", name), json.dumps(body).encode()
    arrivals = [
        Arrival("engraver", name, delivery.id, source.kind, delivery.type, delivery.order_ref or "", kept)
        for delivery, kept in source.deliveries({}, raw)
    ]
    Inbox(scene.inbox_store).accept(arrivals)
    handling.handle_events()


def ask(scene: InProcess, name: str) -> None:
    recurring._asking()
    with scene.store.write() as connection:
        connection.execute(jobs_table.update().where(jobs_table.c.due_at.is_not(None)).values(due_at=jobs.now()))
    asking.ask_sources(f"engraver/{name}")
    handling.handle_events()


def books(scene: InProcess) -> list[str]:
    scene.settle()
    assert verify(scene.store).ok
    return sorted(entry.reference for entry in scene.sandbox.ledger("xero"))


def told(scene: InProcess) -> None:
    scene.handle(order_event(1, type="order.updated", shipments=[PARCEL]))


def test_a_parcel_on_its_way_is_invoiced_once_whatever_follows(scene: InProcess) -> None:
    told(scene)
    pushed(scene, "ups", status("M", "MP"))
    assert books(scene) == []
    for body in (status("I", "OR"), status("I", "OR"), status("I", "DP", gmtActivityTime="110000"), PUSH):
        pushed(scene, "ups", body)
    assert books(scene) == ["SO-1"]


def test_a_push_that_comes_before_the_order_waits_for_it(scene: InProcess) -> None:
    pushed(scene, "ups", PUSH)
    assert books(scene) == []
    assert scene.states("event")["waiting"] == 1
    told(scene)
    handling.handle_events()
    assert books(scene) == ["SO-1"]


def test_what_nobody_heard_is_asked_and_what_was_heard_too_doubles_nothing(
    scene: InProcess, carriers: RunningSandbox
) -> None:
    told(scene)
    emulator: Any = carriers.sandbox.hosted["ups"].emulator
    emulator.packages[NUMBER] = [package(HISTORY, delivered=True)]
    ask(scene, "ups")
    assert books(scene) == ["SO-1"]
    pushed(scene, "ups", PUSH)
    ask(scene, "ups")
    assert books(scene) == ["SO-1"]


def test_dhl_s_handshake_is_answered_by_a_worker(scene: InProcess, carriers: RunningSandbox) -> None:
    emulator: Any = carriers.sandbox.hosted["dhl"].emulator
    ident = HANDSHAKE["self"].rpartition("/")[2]
    emulator.pending[ident] = HANDSHAKE["secret"]
    pushed(scene, "dhl", HANDSHAKE)
    ask(scene, "dhl")
    assert emulator.active == {ident}
    assert scene.states("event") == {"done": 2}
