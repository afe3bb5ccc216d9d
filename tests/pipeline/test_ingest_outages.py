"""A 2xx of ingest is kept whatever dies; without its store it says so, and recovers by itself."""

import base64
import json
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import pytest
import requests

from tests.pipeline.ingesting import IngestServer, event, head, status_of
from worker.store.engine import Store


class Shops:
    """Pushes events from several threads until stopped and remembers every answer: the history to check."""

    def __init__(self, ingest: IngestServer, threads: int = 6) -> None:
        self.accepted: list[str] = []
        self.statuses: set[int] = set()
        self._ingest = ingest
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._push, args=(number,)) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def _push(self, number: int) -> None:
        count = 0
        while not self._stop.is_set():
            count += 1
            event_id = f"evt-{number}-{count}"
            try:
                status = self._ingest.push(event(event_id)).status_code
            except requests.RequestException:
                self._stop.wait(0.05)
                continue
            self.statuses.add(status)
            if status == 202:
                self.accepted.append(event_id)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


@pytest.fixture
def shops():
    """`shops(ingest)` starts them; whatever the test does, they end with it."""
    started: list[Shops] = []

    def start(ingest: IngestServer) -> Shops:
        started.append(Shops(ingest))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def ingest(processes, tmp_path, store_url):
    return IngestServer(processes, tmp_path, store_url)


def test_killed_right_after_a_2xx_the_event_is_there(ingest):
    assert ingest.push(event()).status_code == 202
    ingest.process.kill()
    assert ingest.stored() == ["evt-1"]


@pytest.mark.parametrize("switched_off", ["", "commit_before_answer"])
def test_killed_before_the_commit_there_is_no_2xx(processes, tmp_path, store_url, switched_off):
    """Without the safeguard there is one, for an event that nobody has."""
    ingest = IngestServer(
        processes,
        tmp_path,
        store_url,
        BILLHOOK_CRASH="before_inbox_commit:kill",
        BILLHOOK_WITHOUT=switched_off,
    )
    try:
        status = ingest.push(event()).status_code
    except requests.ConnectionError:
        status = None
    assert ingest.process.wait(10) == -9
    assert status == (202 if switched_off else None)
    assert ingest.stored() == []


def test_killed_in_the_middle_of_the_load_every_2xx_is_there(ingest, shops, eventually):
    load = shops(ingest)
    for more in (50, 100):
        eventually(lambda more=more: len(load.accepted) > more)
        ingest.process.kill()
        ingest.start()
    load.stop()
    stored = ingest.stored()
    assert set(load.accepted) <= set(stored)
    assert len(stored) == len(set(stored))
    assert load.statuses == {202} or load.statuses == {202, 200}


def test_told_to_end_it_answers_what_is_in_flight_and_ends_whoever_stays_connected(ingest, shops, eventually):
    load = shops(ingest)
    with ingest.connect() as idle, ingest.connect() as unfinished:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        unfinished.sendall(head(1000) + b"{")
        eventually(lambda: len(load.accepted) > 30)
        ingest.process.terminate()
        ingest.process.wait(30)
    load.stop()
    assert set(load.accepted) <= set(ingest.stored())
    assert load.statuses == {202}


def _hold(ingest: IngestServer, during: Callable[[], None]) -> None:
    """Another process than ingest has an EXCLUSIVE lock on the inbox's file."""
    path = ingest.config.inbox_url.removeprefix("sqlite:///")
    connection = sqlite3.connect(path, isolation_level=None, timeout=10)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        during()
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def _says_503_in_time(ingest: IngestServer) -> None:
    def push(number: int) -> tuple[int, str | None, float]:
        began = perf_counter()
        answer = ingest.push(event(f"during-{number}"))
        return answer.status_code, answer.headers.get("Retry-After"), perf_counter() - began

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(push, range(16)))
    assert {(status, wait) for status, wait, _ in answers} == {(503, "2")}
    assert max(took for *_, took in answers) < 20  # 5, on a machine that is not busy; never for as long as it lasts
    assert ingest.get("/healthz").status_code == 200
    assert ingest.get("/readyz").status_code == 503


def _recovers(ingest: IngestServer, eventually) -> None:
    eventually(lambda: ingest.push(event("after")).status_code in (200, 202), 20)
    again = [ingest.push(event(f"during-{number}")).status_code for number in range(16)]
    assert set(again) <= {200, 202}
    assert sorted(ingest.stored()) == sorted(["before", "after", *(f"during-{number}" for number in range(16))])
    assert ingest.get("/readyz").status_code == 200


def test_a_locked_sqlite_file_is_503_until_it_is_free(processes, tmp_path, eventually):
    ingest = IngestServer(processes, tmp_path, f"sqlite:///{tmp_path / 'billhook.db'}")
    assert ingest.push(event("before")).status_code == 202
    _hold(ingest, lambda: _says_503_in_time(ingest))
    _recovers(ingest, eventually)


@pytest.mark.parametrize(
    ("ends", "returns"), [("stop", "start"), ("kill", "start"), pytest.param("freeze", "thaw", marks=pytest.mark.slow)]
)
def test_a_postgres_that_is_away_is_503_until_it_is_back(
    processes, tmp_path, private_postgres, eventually, ends, returns
):
    ingest = IngestServer(processes, tmp_path, private_postgres.url)
    assert ingest.push(event("before")).status_code == 202
    getattr(private_postgres, ends)()
    try:
        _says_503_in_time(ingest)
    finally:
        getattr(private_postgres, returns)()
    _recovers(ingest, eventually)


def test_started_before_its_database_it_waits_for_it(processes, tmp_path, private_postgres, eventually):
    private_postgres.stop()

    def start_it_later() -> None:
        eventually(lambda: len(processes.started) > 0)
        private_postgres.start()

    thread = threading.Thread(target=start_it_later)
    thread.start()
    ingest = IngestServer(processes, tmp_path, private_postgres.url)
    thread.join()
    assert ingest.push(event()).status_code == 202


def test_a_frozen_redis_makes_nobody_wait_and_the_events_are_found_later(processes, tmp_path, private_redis, store_url):
    ingest = IngestServer(processes, tmp_path, store_url, private_redis.url)
    assert ingest.push(event("before")).status_code == 202
    private_redis.freeze()
    took = []
    for number in range(200):
        began = perf_counter()
        assert ingest.push(event(f"during-{number}")).status_code == 202
        took.append(perf_counter() - began)
    assert sorted(took)[len(took) // 2] < 1.0
    assert ingest.get("/readyz").json()["redis"] == "does not answer"
    assert len(ingest.stored()) == 201
    ingest.process.terminate()
    ingest.process.wait(30)


def test_one_ring_names_the_events_of_many_requests(processes, tmp_path, private_redis, eventually):
    ingest = IngestServer(processes, tmp_path, f"sqlite:///{tmp_path / 'billhook.db'}", private_redis.url)
    assert ingest.push([event(f"evt-{number}") for number in range(700)]).status_code == 202

    def rung() -> list[list[str]]:
        with private_redis.client() as client:
            messages = [json.loads(raw) for raw in client.lrange("billhook:events", 0, -1)]
        return [json.loads(base64.b64decode(each["body"]))[1]["ids"] for each in messages]

    eventually(lambda: sum(map(len, rung())) == 700)
    assert max(map(len, rung())) == 500
    inbox = ingest.inbox()
    named = [one for ids in rung() for one in ids]
    assert sorted(row.id for row in inbox.load(named)) == sorted(named)


def test_when_more_comes_in_than_can_be_stored_it_says_so_at_once(processes, tmp_path, eventually):
    ingest = IngestServer(processes, tmp_path, f"sqlite:///{tmp_path / 'billhook.db'}")
    small = {"id": "o", "currency": "GBP", "lines": [{"ref": "1", "description": "x", "quantity": 1, "unit_price": 1}]}
    fields = {"type": "order.updated", "occurred_at": "2026-11-22T10:00:00Z", "order": {**small, "total": 1}}
    thousand = json.dumps([{"id": f"evt-{number}", **fields} for number in range(1000)]).encode()

    def push() -> None:
        def more_than_fits() -> bool:
            with ThreadPoolExecutor(12) as threads:
                answers = list(threads.map(lambda _: ingest.push(thousand), range(12)))
            assert {each.status_code for each in answers} <= {429, 503}
            return "1" in [each.headers["Retry-After"] for each in answers if each.status_code == 429]

        eventually(more_than_fits, 30)

    _hold(ingest, push)
    eventually(lambda: ingest.push(event("after")).status_code == 202)


def test_one_shop_s_store_trouble_is_told_in_the_log_without_data(processes, tmp_path, eventually):
    ingest = IngestServer(processes, tmp_path, f"sqlite:///{tmp_path / 'billhook.db'}")
    with Store(ingest.config.inbox_url).write():
        with ingest.connect() as sock:
            body = b'{"id": "x"}'
            sock.sendall(head(len(body)) + body)
            assert status_of(sock) == 422
        assert ingest.push(event(ref="Lovelace")).status_code == 503
        eventually(lambda: "database is locked" in ingest.process.output, 30)
    assert "Lovelace" not in ingest.process.output
    assert "INSERT" not in ingest.process.output
