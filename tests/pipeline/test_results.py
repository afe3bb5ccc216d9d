"""`AsyncResult` and Flower answer from the audit trail: from another process, on both stores, and nothing is written."""

import base64
import json
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kit.processes import ROOT, free_port
from tests.kit.scene import order_event
from tests.kit.world import World

MakeWorld = Callable[..., World]
ASK = """
import json, sys
from worker import celery
answer = celery.AsyncResult(sys.argv[1])
try:
    print(json.dumps({"result": answer.get(timeout=float(sys.argv[2])), "state": answer.state}))
except Exception as error:
    print(json.dumps({"raised": type(error).__name__, "said": str(error), "state": answer.state}))
"""


def asked(world: World, name: str, timeout: float = 20.0) -> dict[str, Any]:
    """What `AsyncResult(name).get(timeout)` gives in a process of its own."""
    env = {"BILLHOOK_CONFIG": str(world.config_file), "PYTHONPATH": str(ROOT)}
    process = world.processes.start(sys.executable, "-c", ASK, name, str(timeout), name="ask", env=env)
    assert process.wait(timeout + 30) == 0, process.output
    answer: dict[str, Any] = json.loads(process.output.splitlines()[-1])
    return answer


def tasks_of(world: World, subject: str) -> list[str]:
    """The ids of the tasks that claimed a subject, as the trail says."""
    rows = world.rows("SELECT actor FROM audit WHERE action = 'claim' AND subject = ? ORDER BY seq", subject)
    return [row[0].partition("/")[2] for row in rows]


@pytest.fixture
def settled(make_world: MakeWorld) -> World:
    """A world in which an order has its invoice and another one is held."""
    world = make_world(platforms=("xero",)).start()
    world.push(order_event(1))
    world.until_settled()
    return world


def test_another_process_gets_what_a_task_did(settled: World) -> None:
    invoice = f"invoice:{settled.invoice('SO-1')[0][0]}"
    (task,) = tasks_of(settled, invoice)

    answer = asked(settled, task)

    assert answer["state"] == "SUCCESS"
    assert answer["result"]["counts"]["issued"] == 1
    assert {"subject": invoice, "order": "SO-1", "state": "issued", "reason": None} in answer["result"]["rows"]
    assert answer["result"]["more"] == 0
