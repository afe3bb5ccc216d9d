"""`retry`, `dismiss` and `reroute` as a person types them, beside the processes that work; and dismissing over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import insert

from tests.kit.processes import Processes
from tests.kit.scene import order_event
from tests.kit.stores import in_both
from tests.kit.world import World
from tests.pipeline.ingesting import KEY, OTHER_KEY, IngestServer
from tests.pipeline.test_completing import Counter
from worker.store.engine import Store
from worker.store.jobs import now
from worker.store.schema import documents, jobs
from worker.store.trail import Entry, append
from worker.store.verify import verify

SAID = {"who": "Grace", "why": "invoiced by hand"}
ROUTE = 'to = ["xero", "stripe"]\n'


def refused(number: int) -> dict[str, Any]:
    """Xero does not know its tax code."""
    line = order_event(number)["order"]["lines"][0] | {"tax": {"name": "VAT", "rate": "17", "amount": "15.30"}}
    return order_event(number, lines=[line], total="108.84")


def references(world: World, platform: str) -> list[str]:
    return [entry.reference for entry in world.sandbox.ledger(platform)]


@in_both
def test_what_a_person_decides_is_done_by_the_processes_that_run(make_world: Callable[..., World]) -> None:
    world = make_world()
    text = world.config_file.read_text()
    world.config_file.write_text(text.replace(ROUTE, 'to = ["xero"]\n'))
    world.start()
    world.push(refused(1), order_event(2))
    world.until_settled()
    assert "May exist on the platform" in world.billhook("dismiss", "SO-1", "--why", "by hand", "--yes").output
    assert "1 dismissed" in world.billhook("dismiss", "SO-1", "--why", "by hand", "--yes", "--even-if-sent").output
    assert world.states() == {"dismissed": 1, "issued": 1}

    told = world.billhook("reroute", "SO-2", "--to", "xero", "--to", "stripe", "--why", "both books").output
    assert "SO-2 on stripe: is due" in told
    world.until(lambda: references(world, "stripe") == ["SO-2"])
    assert "is looked up" in world.billhook("retry", "SO-1", "--dismissed").output
    world.until(lambda: world.states()["held"])
    said = ("--why", "by hand after all", "--yes", "--even-if-sent")
    assert "1 dismissed" in world.billhook("dismiss", "SO-1", *said).output
    assert references(world, "xero") == ["SO-2"]
    assert verify(world.store).ok


class Desk(Counter):
    """Ingest, orders that it knows, and rows of theirs that are held."""

    def holds(self, order_id: str | None, job_id: str, *, sent: bool = False, shop: str = "engraver") -> None:
        row = {
            "id": job_id, "kind": "invoice", "queue": "q", "shop": shop, "account": "books", "order_id": order_id,
            "label": "SO-1", "state": "held", "unsure": sent, "reason": "unknown tax code", "seq": 0,
            "created_at": now(), "changed_at": now(),
        }  # fmt: skip
        store = Store(self.ingest.config.store_url)
        with store.write() as connection:
            connection.execute(insert(jobs), [row])
            connection.execute(insert(documents), [{"id": job_id, "key": job_id, "draft": "{}"}])
            append(connection, [Entry(shop, order_id, f"invoice:{job_id}", 0, "hold", "held", "test")])
        store.close()

    def dismiss(self, ref: str, said: Any = SAID, key: str | None = KEY) -> requests.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return requests.post(f"{self.ingest.url}/orders/{ref}/dismiss", json.dumps(said), headers=headers, timeout=20)

    def trail(self, action: str) -> list[tuple[str, str, dict[str, Any]]]:
        """Subject, actor and detail of each entry of this action."""
        store = Store(self.ingest.config.store_url)
        with store.read() as connection:
            query = f"SELECT subject, actor, detail FROM audit WHERE action = '{action}' ORDER BY id"
            found = [(row[0], row[1], json.loads(row[2])) for row in connection.exec_driver_sql(query)]
        assert verify(store).ok
        store.close()
        return found


@pytest.fixture
def desk(processes: Processes, tmp_path: Path, store_url: str) -> Desk:
    return Desk(IngestServer(processes, tmp_path, store_url))


def test_dismissing_over_http_says_what_was_dismissed_and_twice_is_once(desk: Desk) -> None:
    desk.holds(desk.knows(1), "j1")
    answer = desk.dismiss("SO-1")
    row = {"what": "invoice", "label": "SO-1", "account": "books", "was": "held", "reason": "unknown tax code"}
    assert (answer.status_code, answer.json()) == (200, {"dismissed": [row]})
    again = desk.dismiss("SO-1")
    assert (again.status_code, again.json()) == (200, {"dismissed": []})
    assert desk.trail("dismiss") == [("invoice:j1", "staff:Grace", {**SAID, "was": "held"})]


def test_each_shop_dismisses_only_its_own(desk: Desk) -> None:
    ours = desk.knows(1)
    desk.holds(ours, "j1")
    for name in ("SO-1", "id-1", ours):
        assert desk.dismiss(name, key=OTHER_KEY).status_code == 404
    assert desk.dismiss("SO-1", key=None).status_code == 401
    assert desk.trail("dismiss") == []


def test_what_may_exist_is_dismissed_only_by_who_says_so(desk: Desk) -> None:
    desk.holds(desk.knows(1), "j1", sent=True)
    answer = desk.dismiss("SO-1")
    assert (answer.status_code, answer.json()["error"]) == (409, "may_have_been_sent")
    assert "Nothing was dismissed" in answer.json()["message"]
    assert len(desk.dismiss("SO-1", {**SAID, "even_if_sent": True}).json()["dismissed"]) == 1


def test_who_and_why_are_asked_for(desk: Desk) -> None:
    desk.holds(desk.knows(1), "j1")
    for said in ({"who": "Grace"}, {"why": "x"}, {**SAID, "why": ""}, {**SAID, "when": "now"}):
        assert desk.dismiss("SO-1", said).status_code == 422
    described = desk.ingest.get("/openapi.json").json()["paths"]["/orders/{ref}/dismiss"]["post"]
    assert {"200", "401", "404", "409", "422"} <= described["responses"].keys()
