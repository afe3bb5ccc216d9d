"""The PostgreSQL server of a measurement: one for both sides, as durable as in production."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from tests.bench.processes import family_cpu_seconds

DURABLE = """
fsync = on
full_page_writes = on
synchronous_commit = on
shared_buffers = 128MB
"""
"""PostgreSQL's own defaults, over what the tests' server has."""
SHOWN = ("server_version", "fsync", "synchronous_commit", "shared_buffers")


@dataclass(frozen=True)
class Server:
    """A running server. `pid` is its first process', None where it was started by others."""

    url: str
    pid: int | None = None

    def cpu_seconds(self) -> float:
        """CPU time of all its processes so far; 0 where it is not ours."""
        return family_cpu_seconds(self.pid) if self.pid else 0.0

    def settings(self) -> dict[str, str]:
        """Those a reader must know to judge the numbers."""
        with psycopg.connect(self.url.replace("+psycopg", "", 1), connect_timeout=10) as connection:
            shown = {name: connection.execute(f"SHOW {name}".encode()).fetchone() for name in SHOWN}
        return {name: str(row[0]) for name, row in shown.items() if row}


@contextmanager
def postgresql(url: str | None = None) -> Iterator[Server]:
    """The server that `url` names, else one from its wheel with data of its own, removed on leaving."""
    if url is not None:
        yield Server(url)
        return
    from tests.kit.postgres import PrivatePostgres

    private = PrivatePostgres()
    try:
        with open(private.folder / "data" / "postgresql.conf", "a", encoding="utf-8") as settings:
            settings.write(DURABLE)
        private.start()
        yield Server(private.url, private.pid)
        private.stop()
    finally:
        private.remove()
