"""`billhook doctor` beside real parts that are well, missing, badly set, hanging, or without a worker."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.kit.processes import free_port
from tests.kit.redis_server import RedisServer
from tests.kit.scene import order_event
from tests.kit.world import World

MakeWorld = Callable[..., World]
on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
OLD = datetime.now(UTC) - timedelta(hours=3)


class Report:
    """What it said, and its exit code."""

    def __init__(self, world: World, *options: str) -> None:
        address = world.ingest_url or f"http://127.0.0.1:{free_port()}"
        command = world.billhook("doctor", "--json", "--ingest", address, *options)
        self.exit_code = command.exit_code
        self.found: list[dict[str, Any]] = json.loads(command.output)

    def __getitem__(self, level: str) -> dict[str, str]:
        """What is of this level: what it says by check, several joined."""
        said: dict[str, str] = {}
        for one in self.found:
            if one["level"] == level:
                said[one["check"]] = "; ".join(filter(None, (said.get(one["check"]), one["says"])))
        return said


def test_everything_is_well(make_world: MakeWorld, private_redis: RedisServer) -> None:
    world = make_world(platforms=("xero",), redis_url=private_redis.url).start(ingest=True)
    world.post(order_event(1))
    world.until_settled()

    report = Report(world)

    assert (report["bad"], report["warning"]) == ({}, {})
    assert report.exit_code == 0
    assert {"Redis version", "database", "tables", "disk", "clock", "ingest", "queues", "workers", "dispatch"} <= set(
        report["ok"]
    )
    assert report["ok"]["queues"] == "each of the 3 queues that are needed has a worker"
    assert report["ok"]["workers"].startswith("2 answer: ")
    assert "unknown" not in report["ok"]["workers"]
    compared = "Redis" if world.store.sqlite else "Redis and the database"
    assert report["ok"]["clock"] == f"this machine's clock agrees with {compared}"
    assert all(not one["do"] for one in report.found)


@on_sqlite
def test_nothing_runs(make_world: MakeWorld, private_redis: RedisServer) -> None:
    world = make_world(platforms=("xero",), redis_url=private_redis.url)
    private_redis.stop()

    report = Report(world)

    assert report.exit_code == 1
    assert set(report["bad"]) == {"Redis", "ingest"}
    assert report["bad"]["Redis"].startswith("does not answer: ")
    assert report["bad"]["ingest"].endswith("Connection refused)")
    assert all(one["do"] for one in report.found if one["level"] == "bad")
    assert "work due" in report["ok"], "the store is looked at all the same"


@on_sqlite
def test_a_redis_that_hangs_does_not_hang_the_doctor(make_world: MakeWorld, private_redis: RedisServer) -> None:
    world = make_world(platforms=("xero",), redis_url=private_redis.url)
    private_redis.freeze()

    report = Report(world)

    assert "does not answer" in report["bad"]["Redis"]
    assert "work due" in report["ok"]


@on_sqlite
def test_a_redis_that_may_throw_queues_away(make_world: MakeWorld, private_redis: RedisServer) -> None:
    world = make_world(platforms=("xero",), redis_url=private_redis.url)
    private_redis.config_set("maxmemory-policy", "allkeys-lru")
    private_redis.config_set("appendonly", "no")
    used = private_redis.client().info("memory")["used_memory"]
    private_redis.config_set("maxmemory", str(int(used * 1.25)))

    report = Report(world)

    assert "allkeys-lru" in report["bad"]["Redis eviction"]
    assert "when it is full, no message is taken" in report["bad"]["Redis memory"]
    assert "append-only file is off" in report["warning"]["Redis on disk"]


@on_sqlite
def test_a_redis_that_refuses_the_login(make_world: MakeWorld, private_redis: RedisServer) -> None:
    world = make_world(platforms=("xero",), redis_url=private_redis.url)
    private_redis.config_set("requirepass", "another")

    report = Report(world)

    assert report["bad"]["Redis"] == "refuses the login"


def test_a_database_that_is_away(make_world: MakeWorld, redis_server: RedisServer) -> None:
    world = make_world(platforms=("xero",))
    gone = f"postgresql+psycopg://billhook:secret@127.0.0.1:{free_port()}/billhook"
    if world.store.sqlite:
        gone = f"sqlite:///{world.folder}/nowhere/billhook.db"
    world.config_file.write_text(world.config_file.read_text().replace(world.store_url, gone))

    report = Report(world)

    expected = "does not exist" if world.store.sqlite else "does not answer"
    assert expected in report["bad"]["database"]
    assert "secret" not in json.dumps(report.found)
    assert not (world.folder / "nowhere").exists()


@on_sqlite
def test_a_queue_without_a_worker(make_world: MakeWorld) -> None:
    """Rows for Xero wait; a worker takes everything else. Stripe's queue has nobody, too, but nothing waits there."""
    world = make_world()
    world.start_worker(queues="events,notify")
    world.start_recurring()
    world.push(order_event(1))
    world.until(lambda: world.states()["pending"])

    report = Report(world)

    assert report.exit_code == 1
    assert "no worker takes invoices.xero; " in report["bad"]["queues"]
    assert "due row(s) wait there" in report["bad"]["queues"]
    assert "dispatch" in report["ok"]


@on_sqlite
def test_a_queue_that_will_be_needed(make_world: MakeWorld) -> None:
    world = make_world(platforms=("xero",))
    world.start_worker(queues="events,invoices.xero,recurring")

    report = Report(world, "--late", "1")

    assert "queues" not in report["bad"]
    assert "does not tick" in report["bad"]["dispatch"], "nobody has started beat"


@on_sqlite
def test_no_worker_at_all(make_world: MakeWorld) -> None:
    world = make_world(platforms=("xero",))
    world.push(order_event(1))

    report = Report(world)

    assert report["bad"]["workers"] == "no worker answers"
    assert "queues" not in report["bad"]


@on_sqlite
def test_work_that_stands_still(make_world: MakeWorld) -> None:
    """Rows as they stand after hours without workers: due, held, doubled, left by the dead, not sealed."""
    world = make_world(platforms=("xero",)).start()
    for number in range(5):
        world.push(order_event(number))
    world.until_settled()
    assert world.recurring is not None
    world.recurring.kill()
    for worker in world.workers:
        worker.kill()
    world.accept(order_event(9))
    ids = [row[0] for row in world.rows("SELECT id FROM jobs WHERE kind = 'invoice' ORDER BY id")]
    changes = [
        "state = 'pending', due_at = :old",
        "state = 'held', reason = 'no tax type'",
        "state = 'doubled'",
        "state = 'sending', lease_owner = 'w/1', lease_until = :old",
        "state = 'retry', created_at = :old, reason = 'it cannot be reached'",
    ]
    for job_id, change in zip(ids, changes, strict=True):
        set_row(world, job_id, change)

    report = Report(world)

    assert report["bad"]["work due"] == "1 invoice(s) for engraver/xero is due for 3 h"
    assert "1 invoice(s) for engraver/xero is doubled" in report["bad"]["doubled"]
    assert "1 row(s) belong to workers that are gone, for 3 h" in report["bad"]["leases"]
    assert report["warning"]["work tried"].endswith("is tried again and again for 3 h: it cannot be reached")
    assert "1 invoice(s) for engraver/xero is held" in report["warning"]["held"]
    assert "due row(s)" not in report["bad"]["workers"]
    assert "no worker answers, and 1 row(s) are due" in report["bad"]["workers"]
    assert Report(world, "--late", "240")["ok"]["work due"] == "nothing has been due for over 4 h; 1 due"


def set_row(world: World, job_id: str, change: str) -> None:
    from sqlalchemy import bindparam, text

    from worker.store.schema import jobs

    statement = text(f"UPDATE jobs SET {change} WHERE id = :id")
    if ":old" in change:
        statement = statement.bindparams(bindparam("old", OLD, type_=jobs.c.due_at.type))
    with world.store.write() as connection:
        connection.execute(statement, {"id": job_id})
