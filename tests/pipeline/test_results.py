"""`AsyncResult` and Flower answer from the audit trail: in another process, on both stores."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.kit.processes import ROOT, eventually, free_port
from tests.kit.scene import order_event
from tests.kit.stores import in_both
from tests.kit.world import World
from worker.store.ids import new_id

MakeWorld = Callable[..., World]
ASK = """
import json, sys
from worker import celery
for name in sys.argv[2:]:
    answer = celery.AsyncResult(name)
    try:
        said = {"result": answer.get(timeout=float(sys.argv[1]))}
    except Exception as error:
        said = {"raised": type(error).__name__, "said": str(error)}
    print(json.dumps({**said, "state": answer.state}))
"""
FLOWER = """
basic_auth = ["ops:secret"]
read_only = True
address = "127.0.0.1"
port = {}
"""
NO_SUCH_TAX: dict[str, Any] = {
    "lines": [
        {
            "ref": "1",
            "sku": "PLQ-BR",
            "description": "Brass plaque.",
            "quantity": "1",
            "unit_price": "100.00",
            "discount": "0",
            "tax": {"name": "VAT", "rate": "7", "amount": "7.00"},
        }
    ],
    "discount": None,
    "shipping": None,
    "total": "107.00",
}


def asked(world: World, *names: str, timeout: float = 20.0) -> list[dict[str, Any]]:
    """What `AsyncResult(name).get(timeout)` gives in a process of its own."""
    env = {"BILLHOOK_CONFIG": str(world.config_file), "PYTHONPATH": str(ROOT)}
    process = world.processes.start(sys.executable, "-c", ASK, str(timeout), *names, name="ask", env=env)
    assert process.wait(60) == 0, process.output
    return [json.loads(line) for line in process.output.splitlines() if line.startswith("{")]


def task_of(world: World, subject: str) -> str:
    """The id of the task that claimed a subject last, as the trail says."""
    rows = world.rows("SELECT actor FROM audit WHERE outcome = 'claimed' AND subject = ? ORDER BY seq", subject)
    return str(rows[-1][0].partition("/")[2])


def ready(answer: dict[str, Any]) -> dict[str, Any] | None:
    """Flower's answer, unless its state is one from before the task's end."""
    return answer if answer["state"] in ("SUCCESS", "FAILURE") else None


def invoice_of(world: World, ref: str) -> str:
    return f"invoice:{world.invoice(ref)[0][0]}"


@in_both
def test_another_process_learns_what_tasks_did_and_how_rows_stand(make_world: MakeWorld) -> None:
    world = make_world(platforms=("xero",)).start()
    world.push(order_event(1), ring=False)  # dispatch rings, so the task that handles it has an id of ours
    world.until_settled()
    world.push(order_event(2, customer=1, **NO_SUCH_TAX))
    world.until(lambda: world.states()["held"])
    issued, refused = invoice_of(world, "SO-1"), invoice_of(world, "SO-2")
    event = world.rows("SELECT id, order_id FROM jobs WHERE kind = 'event' AND label = 'SO-1'")[0]
    handled = f"event:{event[0]}"

    did, did_nothing, handling, row, bare, order, held = asked(
        world, task_of(world, issued), task_of(world, refused), task_of(world, handled), issued,
        issued.partition(":")[2], event[1], refused,
    )  # fmt: skip

    assert did["state"] == "SUCCESS"
    assert did["result"]["counts"]["issued"] == 1
    assert {"subject": issued, "order": "SO-1", "state": "issued", "reason": None} in did["result"]["rows"]
    assert (did_nothing["state"], did_nothing["raised"]) == ("FAILURE", "NothingSucceeded")
    assert "1 held" in did_nothing["said"]
    assert "SO-2" in did_nothing["said"]
    assert "tax" in did_nothing["said"]
    assert handling["result"]["rows"] == [{"subject": handled, "order": "SO-1", "state": "done", "reason": None}]
    assert row == bare
    assert row["result"]["counts"] == {"issued": 1}
    assert order["result"]["counts"] == {"done": 1, "issued": 1}
    assert (held["state"], held["raised"]) == ("FAILURE", "NothingSucceeded")


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_who_asks_early_waits_and_who_asks_for_nothing_is_told_in_time(make_world: MakeWorld) -> None:
    world = make_world(platforms=("xero",)).start()
    event = world.accept(order_event(1))[0]

    (early,) = asked(world, event)
    (unknown,) = asked(world, new_id(), timeout=0.5)

    assert early["state"] == "SUCCESS"
    assert early["result"]["rows"][0]["subject"] == f"event:{event}"
    assert (unknown["state"], unknown["raised"]) == ("PENDING", "TimeoutError")


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_flower_shows_a_task_and_its_result(make_world: MakeWorld, tmp_path: Path) -> None:
    world = make_world(platforms=("xero",), more='[billhook.flower]\npassword = "secret"\n')
    port = free_port()
    settings = tmp_path / "flowerconfig.py"
    settings.write_text(FLOWER.format(port))
    flower = world._python("flower", "-m", "celery", "-A", "worker", "flower", f"--conf={settings}", env=None)
    flower.until_listening(port)
    world.start()
    world.push(order_event(1))
    world.until_settled()
    task = task_of(world, invoice_of(world, "SO-1"))

    def get(path: str) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{port}{path}", auth=("ops", "secret"), timeout=10)

    # the invoice is there before its task has ended
    seen = eventually(lambda: ready(get(f"/api/task/info/{task}").json()), within=20)
    result = eventually(lambda: ready(get(f"/api/task/result/{task}?timeout=20").json()), within=20)

    assert (seen["name"], seen["state"]) == ("tasks.create_invoices", "SUCCESS")
    assert get(f"/task/{task}").status_code == 200
    assert result["state"] == "SUCCESS"
    assert result["result"]["counts"]["issued"] == 1
    assert result["task-id"] == task
