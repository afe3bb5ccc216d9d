"""The recipes of events.md do what they say: each is run as it stands on the page, against a real ingest."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from connectors.model import Event, EventType
from connectors.sources.delivery import Delivery
from connectors.sources.standard import Standard
from tests.contract.running import RunningSandbox
from tests.kit.processes import Processes
from tests.pipeline.erp_stubs import NOTE, SALES_ORDER, CentralOrders, ServiceLayer
from tests.pipeline.ingesting import SIGNING, IngestServer, event
from tests.test_docs import blocks, doc, section

NODE = shutil.which("node")
MODULES = Path(__file__).with_name("netsuite_modules.js")
with_node = pytest.mark.skipif(NODE is None, reason="there is no node here to run a recipe in JavaScript")


@pytest.fixture
def ingest(processes: Processes, tmp_path: Path) -> IngestServer:
    return IngestServer(processes, tmp_path, f"sqlite:///{tmp_path / 'billhook.db'}")


@pytest.fixture
def erps() -> Iterator[RunningSandbox]:
    running = RunningSandbox([ServiceLayer, CentralOrders])
    CentralOrders.here = f"{running.url}/bc"
    yield running
    running.close()


def recipes(heading: str, language: str) -> list[str]:
    return blocks(section(doc("events"), heading), language)


def told(ingest: IngestServer) -> list[Event]:
    """The events in the inbox, as a worker reads them."""
    inbox, source = ingest.inbox(), Standard([SIGNING])
    rows = inbox.waiting(100, datetime.max.replace(tzinfo=UTC))
    return [source.normalise(Delivery(row.event_id, row.topic, row.received_at, row.label), row.body) for row in rows]


class Script:
    """A recipe in Python, saved as the page says, with the environment that it wants."""

    def __init__(self, heading: str, folder: Path, ingest: IngestServer, **env: str) -> None:
        (text,) = recipes(heading, "python")
        self.file = folder / "recipe.py"
        self.file.write_text(text, encoding="utf-8")
        self.env = {"TELL_URL": f"{ingest.url}/in/engraver/erp", "TELL_SECRET": SIGNING, "PATH": "", **env}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(self.file), *arguments]
        return subprocess.run(
            command, env=self.env, cwd=self.file.parent, capture_output=True, text=True, timeout=60, check=False
        )

    def runs(self, *arguments: str) -> None:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr


def put(erps: RunningSandbox, slug: str, *documents: dict[str, Any]) -> None:
    emulator: Any = erps.sandbox.hosted[slug].emulator
    erps.run(lambda: setattr(emulator, "documents", list(documents)))


# -- SAP Business One --------------------------------------------------------------------------------------------------


@pytest.fixture
def business_one(tmp_path: Path, ingest: IngestServer, erps: RunningSandbox) -> Script:
    who = {"B1_COMPANY": "SBODEMOGB", "B1_USER": "billhook", "B1_PASSWORD": "hush"}
    return Script("### SAP Business One", tmp_path, ingest, B1_URL=f"{erps.url}/b1", **who)


def notes(*numbers: int, **changes: Any) -> list[dict[str, Any]]:
    return [copy.deepcopy(NOTE) | {"DocEntry": number, "DocNum": 1000 + number} | changes for number in numbers]


def test_each_delivery_note_of_sap_business_one_is_told_once(
    business_one: Script, ingest: IngestServer, erps: RunningSandbox
) -> None:
    put(erps, "b1", *notes(1, 2, 3))
    business_one.runs()
    put(erps, "b1", *notes(1, 2, 3, 4))
    business_one.runs()
    events = told(ingest)
    assert [each.id for each in events] == [f"b1-delivery-{number}" for number in (1, 2, 3, 4)]
    order = events[0].order
    assert order is not None
    assert (events[0].type, order.id, order.ref, order.total, order.hold) == (
        EventType.ORDER_FULFILLED, "delivery-1", "DN-1001", Decimal("117.54"), None,
    )  # fmt: skip
    assert [(each.description, each.amount("GBP")) for each in order.lines] == [
        ("Brass plaque", 90),
        ("Freight", Decimal("7.95")),
    ]
    assert (order.customer.email, order.customer.company) == ("ada@example.com", "Analytical Engines Ltd")
    asked = erps.run(lambda: list(erps.sandbox.hosted["b1"].emulator.asked))  # type: ignore[attr-defined]
    assert all("UpdateDate ge '20" in each and "CancelStatus eq 'csNo'" in each for each in asked if each)


def test_what_could_not_be_told_of_sap_business_one_is_told_the_next_time(
    business_one: Script, ingest: IngestServer, erps: RunningSandbox
) -> None:
    put(erps, "b1", *notes(1, 2))
    address = business_one.env["TELL_URL"]
    business_one.env["TELL_URL"] = f"{ingest.url}/in/engraver/nobody"
    assert business_one.run().returncode != 0
    business_one.env["TELL_URL"] = address
    business_one.runs()
    assert [each.id for each in told(ingest)] == ["b1-delivery-1", "b1-delivery-2"]


def test_a_note_in_another_currency_is_for_a_person(
    business_one: Script, ingest: IngestServer, erps: RunningSandbox
) -> None:
    put(erps, "b1", *notes(1, DocCurrency="EUR"))
    business_one.runs()
    (event,) = told(ingest)
    assert event.order is not None
    assert event.order.hold == "in SAP Business One it is in EUR"


# -- Business Central --------------------------------------------------------------------------------------------------


@pytest.fixture
def central(tmp_path: Path, ingest: IngestServer, erps: RunningSandbox) -> Script:
    where = {"BC_API": f"{erps.url}/bc", "BC_LOGIN": f"{erps.url}/bc", "BC_TENANT": "t1", "BC_COMPANY": "co1"}
    who = {"BC_CLIENT": "c1", "BC_SECRET": "hush"}
    return Script("### Dynamics 365 Business Central", tmp_path, ingest, **where, **who)


def test_each_shipped_order_of_business_central_is_told_once(
    central: Script, ingest: IngestServer, erps: RunningSandbox
) -> None:
    central.runs()
    put(erps, "bc", *(copy.deepcopy(SALES_ORDER) | {"id": f"id-{number}"} for number in range(3)))
    central.runs()
    central.runs()
    events = told(ingest)
    assert [each.id for each in events] == [f"bc-id-{number}-shipped" for number in range(3)]
    order = events[0].order
    assert order is not None
    assert (events[0].type, order.ref, order.total, len(order.lines)) == (
        EventType.ORDER_FULFILLED, "S-ORD101001", 108, 1,
    )  # fmt: skip
    assert order.lines[0].amount("GBP") == 90, "90.00 for seven"
    asked = erps.run(lambda: list(erps.sandbox.hosted["bc"].emulator.asked))  # type: ignore[attr-defined]
    assert all("fullyShipped eq true" in each for each in asked if each)
    assert "lastModifiedDateTime ge 2099" in asked[-2] + asked[-1]


def test_an_order_that_a_shop_tells_is_only_named(central: Script, ingest: IngestServer, erps: RunningSandbox) -> None:
    central.env["BC_SHOP_ORDERS"] = "yes"
    put(erps, "bc", SALES_ORDER | {"externalDocumentNumber": "#1001"})
    central.runs()
    (event,) = told(ingest)
    assert (event.type, event.order, event.order_ref) == (EventType.ORDER_FULFILLED, None, "#1001")


# -- a job system ------------------------------------------------------------------------------------------------------


def test_a_job_that_is_done_is_told(tmp_path: Path, ingest: IngestServer) -> None:
    script = Script("### A job system: `job.completed`", tmp_path, ingest)
    (tmp_path / "order.json").write_text(json.dumps(event()["order"]), encoding="utf-8")
    script.runs("JOB-17.2", "order.json")
    (done,) = told(ingest)
    assert done.order is not None
    assert (done.id, done.type, done.order.id) == ("job-JOB-17.2-completed", EventType.JOB_COMPLETED, "JOB-17.2")
    script.env["TELL_SECRET"] = "whsec_" + "A" * 32
    refused = script.run("JOB-18", "order.json")
    assert refused.returncode != 0
    assert "401" in refused.stderr


# -- NetSuite ----------------------------------------------------------------------------------------------------------

ORDER: dict[str, Any] = {
    "id": 5567,
    "body": {
        "orderstatus": "F", "tranid": "SO-1001", "currencysymbol": "GBP", "entity": 8421, "email": "ada@example.com",
        "shippingcost": 7.95, "shippingtax1rate": "20.0%", "taxtotal": 18.59, "total": 111.54,
        "custbody_billhook_told": False, "otherrefnum": "#1001",
    },
    "texts": {"entity": "Analytical Engines Ltd"},
    "lines": [
        {"line": 1, "quantity": 2, "quantityfulfilled": 2, "amount": 90, "tax1amt": 18, "taxrate1": "20.0%",
         "description": "Brass plaque, engraved", "item": 12, "texts": {"item": "PLQ-BR"}},
        {"line": 2, "amount": -5, "tax1amt": -1, "taxrate1": "20.0%", "item": 13, "texts": {"item": "Voucher"}},
    ],
}  # fmt: skip
SHIPPED = {"type": "itemfulfillment", "id": 9001, "createdfrom": 5567}


def netsuite(
    tmp_path: Path, ingest: IngestServer, order: dict[str, Any], shop: str = "", **setup: Any
) -> dict[str, Any]:
    """Runs both scripts of the page under node, and sends what they would send."""
    assert NODE is not None
    files = []
    for at, text in enumerate(recipes("### NetSuite", "javascript")):
        files.append(tmp_path / f"script{at}.js")
        files[-1].write_text(text.replace("const SHOP = '';", f"const SHOP = '{shop}';"), encoding="utf-8")
    given = {"order": order, "secret": SIGNING.removeprefix("whsec_"), "codes": [], "saved": [SHIPPED], **setup}
    command = [NODE, str(MODULES), *map(str, files), json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    for post in said["posts"]:
        assert post["url"] == "https://your.host/in/myshop/erp"
        answer = requests.post(
            f"{ingest.url}/in/engraver/erp", post["body"].encode(), headers=post["headers"], timeout=20
        )
        assert answer.status_code in (200, 202), answer.text
    return said


def ns_order(lines: dict[str, Any] | None = None, **body: Any) -> dict[str, Any]:
    made = copy.deepcopy(ORDER)
    made["body"] |= body
    made["lines"][0] |= lines or {}
    return made


@with_node
def test_a_fulfilled_order_of_netsuite_is_told_signed_and_to_the_cent(tmp_path: Path, ingest: IngestServer) -> None:
    said = netsuite(tmp_path, ingest, ns_order(), saved=[SHIPPED, {"type": "salesorder", "id": 5567}], hourly=True)
    assert (len(said["posts"]), said["told"], said["errors"]) == (1, True, [])
    (event,) = told(ingest)
    order = event.order
    assert order is not None
    assert (event.id, event.type, order.id, order.ref) == (
        "netsuite-5567-fulfilled", EventType.ORDER_FULFILLED, "5567", "SO-1001",
    )  # fmt: skip
    assert (order.total, order.shipping and order.shipping.tax and order.shipping.tax.amount) == (
        Decimal("111.54"), Decimal("1.59"),
    )  # fmt: skip
    assert order.discount is not None
    assert (order.discount.amount, order.lines[0].sku, order.hold) == (5, "PLQ-BR", None)


@with_node
@pytest.mark.parametrize("status", ["A", "B", "C", "D", "E"])
def test_an_order_of_netsuite_that_is_not_wholly_fulfilled_is_not_told(
    tmp_path: Path, ingest: IngestServer, status: str
) -> None:
    said = netsuite(tmp_path, ingest, ns_order(orderstatus=status))
    assert (said["posts"], said["errors"]) == ([], [])


@with_node
def test_an_order_of_netsuite_that_was_closed_early_is_for_a_person(tmp_path: Path, ingest: IngestServer) -> None:
    netsuite(tmp_path, ingest, ns_order({"quantityfulfilled": 1}, orderstatus="H"))
    (event,) = told(ingest)
    assert event.order is not None
    assert event.order.hold == "it was closed in NetSuite before all of it was fulfilled"


@with_node
def test_what_netsuite_could_not_tell_does_not_stop_the_saving_and_is_told_by_the_hour(
    tmp_path: Path, ingest: IngestServer
) -> None:
    said = netsuite(tmp_path, ingest, ns_order(), codes=[503])
    assert (said["told"], len(said["errors"])) == (False, 1)
    assert "Billhook answered 503" in said["errors"][0]
    said = netsuite(tmp_path, ingest, ns_order(), codes=[503, 202], hourly=True)
    assert (said["told"], len(said["posts"])) == (True, 2)


@with_node
def test_an_order_of_netsuite_that_a_shop_tells_is_only_named(tmp_path: Path, ingest: IngestServer) -> None:
    netsuite(tmp_path, ingest, ns_order(), shop="otherrefnum")
    (event,) = told(ingest)
    assert (event.order, event.order_ref) == (None, "#1001")


@with_node
def test_a_fulfillment_of_something_else_harms_nothing(tmp_path: Path, ingest: IngestServer) -> None:
    said = netsuite(tmp_path, ingest, ns_order(), saved=[SHIPPED | {"createdfrom": 1}, SHIPPED | {"event": "delete"}])
    assert (said["posts"], len(said["errors"])) == ([], 1)
