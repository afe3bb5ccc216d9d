"""POST /orders/{ref}/complete, over real HTTP: what staff's own tools send."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from connectors.model import Event, Order
from tests.kit.processes import Processes
from tests.kit.scene import order_event
from tests.pipeline import ingesting
from tests.pipeline.ingesting import KEY, OTHER_KEY, IngestServer
from worker.store.engine import Store
from worker.store.inbox import Held
from worker.store.jobs import now
from worker.store.orders import Told, record_orders

SAID = {"who": "Grace", "why": "picked up at the counter"}
DELIVERED = '\n[shop.late]\napi_key = "key-of-the-late-0123456789"\ntrigger = ["shipment.delivered"]\n'


class Counter:
    """Ingest, and the orders that it knows."""

    def __init__(self, ingest: IngestServer) -> None:
        self.ingest = ingest

    def knows(self, number: int, source: str = "api", shop: str = "engraver", **order: Any) -> str:
        """Returns our id of it."""
        told = Order.model_validate(order_event(number, **order)["order"])
        store = Store(self.ingest.config.store_url)
        with store.write() as connection:
            [known] = record_orders(connection, [Told(shop, source, told, datetime.now(UTC))]).values()
        store.close()
        return known.id

    def complete(self, ref: str, said: Any = SAID, key: str | None = KEY) -> requests.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        return requests.post(f"{self.ingest.url}/orders/{ref}/complete", body, headers=headers, timeout=20)

    def stored(self) -> list[Held]:
        inbox = self.ingest.inbox()
        return inbox.waiting(100, now())


@pytest.fixture
def counter(processes: Processes, tmp_path: Path, store_url: str) -> Counter:
    return Counter(IngestServer(processes, tmp_path, store_url))


@pytest.fixture
def on_sqlite(processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counter:
    """For what has nothing to do with the store; with a shop that invoices on delivery."""
    monkeypatch.setattr(ingesting, "CONFIG", ingesting.CONFIG + DELIVERED)
    return Counter(IngestServer(processes, tmp_path, f"sqlite:///{tmp_path / 'billhook.db'}"))


def test_completing_stores_an_event_that_says_who_and_why(counter: Counter) -> None:
    counter.knows(1, source="web")
    answer = counter.complete("SO-1")
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    (row,) = counter.stored()
    assert (row.shop, row.source, row.kind, row.topic, row.label) == (
        "engraver", "staff:web", "standard", "order.completed", "SO-1",
    )  # fmt: skip
    event = Event.model_validate_json(row.body)
    assert (event.id, event.order_id, event.who, event.why) == (answer.json()["id"], "id-1", *SAID.values())


def test_the_order_has_several_names(on_sqlite: Counter) -> None:
    on_sqlite.knows(1, source="web", ref="#1001")
    names = ("%231001", "1001", "id-1", "web:1001")
    assert {name: on_sqlite.complete(name).status_code for name in names} == dict.fromkeys(names, 202)


def test_a_name_of_two_orders_is_refused_and_both_are_named(on_sqlite: Counter) -> None:
    ours = on_sqlite.knows(1, source="web")
    on_sqlite.knows(1, source="woo")
    answer = on_sqlite.complete("SO-1")
    assert (answer.status_code, answer.json()["error"]) == (409, "ambiguous")
    assert "web:SO-1" in answer.json()["message"]
    assert "woo:SO-1" in answer.json()["message"]
    assert on_sqlite.stored() == []
    assert on_sqlite.complete("woo:SO-1").status_code == on_sqlite.complete(ours).status_code == 202
    assert [row.source for row in on_sqlite.stored()] == ["staff:woo", "staff:web"]


def test_another_shop_s_order_is_not_there(on_sqlite: Counter) -> None:
    ours = on_sqlite.knows(1)
    for name in ("SO-1", "id-1", ours):
        theirs, nobody_s = on_sqlite.complete(name, key=OTHER_KEY), on_sqlite.complete("SO-9", key=OTHER_KEY)
        assert theirs.status_code == nobody_s.status_code == 404
        assert theirs.json()["message"] == nobody_s.json()["message"].replace("SO-9", name)
    assert on_sqlite.stored() == []


def test_a_shop_that_does_not_invoice_on_completion_is_told_what_to_do(on_sqlite: Counter) -> None:
    on_sqlite.knows(1, shop="late")
    answer = on_sqlite.complete("SO-1", key="key-of-the-late-0123456789")
    assert (answer.status_code, answer.json()["error"]) == (409, "not_wanted")
    assert 'Add "order.completed" to trigger under [shop.late]' in answer.json()["message"]
    assert on_sqlite.stored() == []


WRONG: list[tuple[Callable[[Counter], requests.Response], int, str]] = [
    (lambda at: at.complete("SO-1", key=None), 401, "API key"),
    (lambda at: at.complete("SO-1", key="wrong-key-0123456789"), 401, "API key"),
    (lambda at: at.complete("SO-9"), 404, "No order 'SO-9' is known in shop engraver"),
    (lambda at: at.complete("SO-1", b"Grace"), 400, "must be JSON"),
    (lambda at: at.complete("SO-1", b""), 400, "must be JSON"),
    (lambda at: at.complete("SO-1", {"who": "Grace"}), 422, "why"),
    (lambda at: at.complete("SO-1", {"why": "x"}), 422, "who"),
    (lambda at: at.complete("SO-1", {**SAID, "why": ""}), 422, "why"),
    (lambda at: at.complete("SO-1", {**SAID, "who": None}), 422, "who"),
    (lambda at: at.complete("SO-1", {**SAID, "who": "\0"}), 422, "NUL"),
    (lambda at: at.complete("SO-1", {**SAID, "when": "now"}), 422, "when"),
    (lambda at: at.complete("SO-1", [SAID]), 422, "JSON object"),
    (lambda at: at.complete("SO-1", b" " * 1_100_000), 413, "too large"),
]


def test_what_is_wrong_with_a_request_is_said(on_sqlite: Counter) -> None:
    on_sqlite.knows(1)
    for send, status, saying in WRONG:
        answer = send(on_sqlite)
        assert (answer.status_code, saying in answer.text) == (status, True), answer.text
    assert on_sqlite.stored() == []


def test_the_address_takes_only_post_and_orders_only_get(on_sqlite: Counter) -> None:
    on_sqlite.knows(1)
    assert on_sqlite.ingest.get("/orders/SO-1", KEY).status_code == 200
    assert on_sqlite.ingest.get("/orders/SO-1/complete", KEY).status_code == 404
    assert requests.post(f"{on_sqlite.ingest.url}/orders/SO-1", timeout=20).status_code == 405


def test_the_description_of_the_api_has_it(on_sqlite: Counter) -> None:
    described = on_sqlite.ingest.get("/openapi.json").json()["paths"]["/orders/{ref}/complete"]["post"]
    assert described["requestBody"]["content"]["application/json"]["example"].keys() == SAID.keys()
    assert {"202", "401", "404", "409", "422"} <= described["responses"].keys()
