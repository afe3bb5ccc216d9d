"""Sales of Cin7 Core: an order of its own, or news of the order that the shop told; one invoice either way."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox.source_apis.cin7 import ACCOUNT, KEY, Cin7Sales
from tasks import ask_sources as asking
from tasks import handle_events as handling
from tasks import recurring
from tests.contract.running import RunningSandbox
from tests.kit.inprocess import InProcess
from tests.kit.redis_server import RedisServer
from tests.kit.scene import order_event
from tests.unit.cin7_bodies import SALE, WEBHOOK
from worker.sources import source_of
from worker.store import jobs
from worker.store.inbox import Arrival, Inbox
from worker.store.schema import jobs as jobs_table
from worker.store.verify import verify


@pytest.fixture
def company() -> Iterator[RunningSandbox]:
    running = RunningSandbox([Cin7Sales])
    yield running
    running.close()


@pytest.fixture
def scene(
    tmp_path: Path, store_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, company: RunningSandbox
) -> Iterator[InProcess]:
    source = f"""
[shop.engraver.source.stock]
kind = "cin7"
secret = "token-of-cin7-0123456789"
[shop.engraver.source.stock.options]
account_id = "{ACCOUNT}"
application_key = "{KEY}"
order_field = "CustomerReference"
base_url = "{company.url}/cin7/ExternalApi/v2"
"""
    made = InProcess(tmp_path, store_url, redis_server.url, monkeypatch, platforms=("xero",), more=source)
    trigger = '[shop.engraver]\ntrigger = ["order.fulfilled", "shipment.shipped"]\n'
    made.config_file.write_text(made.config_file.read_text().replace("[shop.engraver]\n", trigger))
    yield made
    made.close()


def put(company: RunningSandbox, **changes: Any) -> None:
    emulator: Any = company.sandbox.hosted["cin7"].emulator
    document = copy.deepcopy(SALE) | changes
    company.run(lambda: emulator.sales.update({document["ID"]: document}))


def pushed(scene: InProcess, **changes: Any) -> None:
    """A webhook, stored as ingest stores it, is handled, and what it points to is asked for."""
    source, raw = source_of("engraver", "stock"), json.dumps(WEBHOOK | changes).encode()
    delivery = source.receive({}, raw)
    Inbox(scene.inbox_store).accept([Arrival("engraver", "stock", delivery.id, "cin7", delivery.type, "", raw)])
    handling.handle_events()
    ask(scene)


def ask(scene: InProcess) -> None:
    recurring._asking()
    with scene.store.write() as connection:
        connection.execute(jobs_table.update().where(jobs_table.c.due_at.is_not(None)).values(due_at=jobs.now()))
    asking.ask_sources("engraver/stock")
    handling.handle_events()


def books(scene: InProcess) -> list[str]:
    scene.settle()
    assert verify(scene.store).ok
    return sorted(entry.reference for entry in scene.sandbox.ledger("xero"))


def test_a_sale_of_an_order_that_the_shop_told_makes_no_second_invoice(
    scene: InProcess, company: RunningSandbox
) -> None:
    scene.handle(order_event(1, type="order.updated"))
    put(company, CustomerReference="#SO-1", CombinedShippingStatus="PARTIALLY SHIPPED", FulFilmentStatus="")
    pushed(scene)
    assert books(scene) == []
    put(company, CustomerReference="#SO-1")
    pushed(scene, EventType="Sale/InvoiceAuthorised")
    assert books(scene) == ["SO-1"]
    scene.handle(order_event(1))
    assert books(scene) == ["SO-1"]


def test_a_sale_without_an_order_in_the_shop_is_invoiced_for_itself(scene: InProcess, company: RunningSandbox) -> None:
    put(company, CustomerReference="")
    pushed(scene)
    pushed(scene, EventType="Sale/InvoiceAuthorised")
    assert books(scene) == ["SO-00042"]


def test_a_sale_whose_webhook_was_lost_is_found_by_asking(scene: InProcess, company: RunningSandbox) -> None:
    ask(scene)
    ahead = f"{jobs.now():%Y-%m-%d}T23:59:59.000Z"
    put(company, CustomerReference="", LastModifiedOn=ahead, Fulfilments=[])
    ask(scene)  # finds it
    ask(scene)  # reads it
    assert books(scene) == ["SO-00042"]
