"""The peer as a side of the comparison: Redis, database, endpoint and workers of its own, the same stub."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path

from sqlalchemy import create_engine, func, select

from tests.bench.peer.models import Base, Event, Notice
from tests.bench.world import Side, environment, stub
from tests.kit.processes import free_port
from worker.embedded.machine import HOST, PrivateRedis
from worker.embedded.supervisor import Child, Supervisor
from worker.store.scratch import scratch_database

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Setting:
    """How the peer's workers run: Celery's pool and its size."""

    name: str
    pool: str
    size: int

    @property
    def connections(self) -> int:
        """Of one process, to database and platform."""
        return self.size if self.pool == "threads" else 1


SETTINGS = {
    one.name: one
    for one in (
        Setting("prefork 2", "prefork", 2),
        Setting("prefork 8", "prefork", 8),
        Setting("threads 50", "threads", 50),
    )
}
"""The best of these counts."""


class Peer(Side):
    """The peer, running."""

    def __init__(
        self, supervisor: Supervisor, *, port: int, api_key: str, platform_port: int, database_url: str
    ) -> None:
        super().__init__(supervisor, port=port, api_key=api_key, platform_port=platform_port)
        self.engine = create_engine(database_url)

    def close(self) -> None:
        self.engine.dispose()

    def stored(self) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(Event)).scalar_one())

    def notices(self) -> tuple[int, datetime | None]:
        with self.engine.connect() as connection:
            count, last = connection.execute(select(func.count(), func.max(Notice.created_at))).one()
        return int(count), last


@contextmanager
def peer_running(setting: Setting, *, database_url: str, latency_ms: int = 0, web: int = 1) -> Iterator[Peer]:
    """The peer with everything fresh: `web` processes of uvicorn, its workers as `setting` says.

    `database_url` names the PostgreSQL server, where a database is created and dropped at the end. Raises
    `StartError` when something does not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="billhook-bench-"))
    port, platform_port, api_key = free_port(), free_port(), secrets.token_urlsafe(24)
    try:
        with scratch_database(database_url) as url:
            redis = PrivateRedis(folder)
            env = {
                **environment(),
                "PYTHONPATH": str(ROOT),
                "PYTHONUNBUFFERED": "1",
                "PEER_DATABASE_URL": url,
                "PEER_REDIS_URL": redis.url,
                "PEER_PLATFORM_URL": f"http://{HOST}:{platform_port}",
                "PEER_API_KEY": api_key,
            }
            _create_tables(url)
            supervisor = Supervisor(folder, env, lambda _: None)
            try:
                supervisor.start([redis.child(), stub(platform_port, latency_ms)])
                supervisor.start([_endpoint(port, web)])
                supervisor.env["PEER_CONNECTIONS"] = str(setting.connections)
                supervisor.start([_workers(setting)])
                side = Peer(supervisor, port=port, api_key=api_key, platform_port=platform_port, database_url=url)
                try:
                    yield side
                finally:
                    side.close()
            finally:
                supervisor.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _create_tables(url: str) -> None:
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    engine.dispose()


def _endpoint(port: int, processes: int) -> Child:
    command = ("-m", "uvicorn", "tests.bench.peer.web:app", "--host", HOST, "--port", str(port))
    quiet = ("--workers", str(processes), "--log-level", "warning", "--no-access-log")
    patient = ("--timeout-keep-alive", "65")  # its default of 5 s closes a connection that is in use on a busy machine
    return Child("uvicorn", (*command, *quiet, *patient), lambda _: _answers(port), 8.0)


def _workers(setting: Setting) -> Child:
    command = ("-m", "celery", "-A", "tests.bench.peer.tasks", "worker", "-P", setting.pool, "-c", str(setting.size))
    quiet = ("-l", "WARNING", "--without-gossip", "--without-mingle")
    return Child("celery", (*command, *quiet), lambda printed: "the peer's worker is ready" in printed, 4.0)


def _answers(port: int) -> bool:
    connection = HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/openapi.json")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
