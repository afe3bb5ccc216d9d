"""Who takes part in `billhook bench compare`: Billhook on both databases, the peer in its settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.bench.database import Server
from tests.bench.peer_side import SETTINGS, peer_running
from tests.bench.world import Side, running

OURS, PEER = "billhook", "peer"
POSTGRESQL, SQLITE = "PostgreSQL", "SQLite"


@dataclass(frozen=True)
class Contestant:
    """One way to do the work. `setting`: invoices in a call for ours (single, bulk), the workers' pool for the peer.

    `processes` are worker processes of ours, and the peer's uvicorn processes.
    """

    side: str
    setting: str
    store: str
    processes: int = 1

    @property
    def ours(self) -> bool:
        return self.side == OURS

    @contextmanager
    def running(self, server: Server, latency_ms: int = 0, start_workers: bool = True) -> Iterator[Side]:
        """Starts it with everything fresh, against a stub that takes so long a call. Raises `StartError`."""
        if self.ours:
            with running(
                platform="xero", account="bulk = 1" if self.setting == "single" else "", workers=self.processes,
                database_url=server.url if self.store == POSTGRESQL else None, latency_ms=latency_ms, notices=True,
                start_workers=start_workers,
            ) as ours:  # fmt: skip
                ours.server = server if self.store == POSTGRESQL else None
                yield ours
        else:
            with peer_running(
                SETTINGS[self.setting], database_url=server.url, latency_ms=latency_ms, web=self.processes
            ) as peer:
                peer.server = server
                yield peer


def ours(setting: str, workers: int) -> list[Contestant]:
    """Billhook with so many worker processes, on each database."""
    return [Contestant(OURS, setting, store, workers) for store in (POSTGRESQL, SQLITE)]


def peers(web: int = 1) -> list[Contestant]:
    """The peer in each of its settings, with so many uvicorn processes."""
    return [Contestant(PEER, name, POSTGRESQL, web) for name in SETTINGS]
