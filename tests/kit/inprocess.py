"""This process as one of ours: a test calls the code under a scene's configuration, where others start a process.

`inside` is that and no more; an `InProcess` scene plays whole turns, and what happens between two is the test's.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox.faults import Fault
from connectors.sandbox.server import Hosted
from tasks import create_invoices as creating
from tasks import handle_events as handling
from tasks import recurring
from tests.kit.inside import configured_by
from tests.kit.processes import eventually
from tests.kit.scene import FINAL, Clocks, Scene
from worker import accounts, testpoints
from worker.store import jobs
from worker.store.schema import documents as documents_table
from worker.store.schema import jobs as jobs_table

PATIENT = Clocks(deadline=20.0, lease_margin=10.0, quiet_seconds=0.3, linger=0.0)
"""A busy machine is not taken for a fault: what a turn does is the same however long it takes."""
IMPATIENT = Clocks(deadline=1.0, lease_margin=10.0, quiet_seconds=0.3, linger=0.0)
"""For answers that come too late."""
_KEYS = {slug: f"DELETE FROM {slug}_answers" for slug in ("quickbooks", "stripe", "xero")}


@contextmanager
def inside(scene: Scene) -> Iterator[None]:
    """Configuration, store, Redis and accounts of this process are the scene's."""
    with configured_by(scene.config_file):
        yield


class InProcess(Scene):
    """Nobody dispatches: nothing happens but by `handle` and `turn`."""

    def __init__(
        self, folder: Path, store_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, **options: Any
    ) -> None:
        """`options` as of `Scene`."""
        super().__init__(folder, store_url, redis_url, **{"clocks": PATIENT, **options})
        self._monkeypatch = monkeypatch
        self._inside = ExitStack()
        self._inside.enter_context(inside(self))

    def close(self) -> None:
        self._inside.close()
        super().close()

    def without(self, *safeguards: str) -> None:
        """From now on these safeguards are off."""
        self._monkeypatch.setattr(testpoints, "_without", frozenset(safeguards))

    def handle(self, *events: Mapping[str, Any], shop: str = "") -> None:
        """Accepts the events and handles them."""
        handling.handle_events(self.accept(*events, shop=shop))

    def turn(self) -> Counter[str]:
        """Makes everything due that waits, and works on it once. Returns what became of the rows."""
        with self.store.write() as connection:
            waiting = jobs_table.update().where(jobs_table.c.due_at.is_not(None))
            connection.execute(waiting.values(due_at=jobs.now() - timedelta(seconds=1)))
        recurring._credits()
        counts: Counter[str] = Counter()
        for tenant in sorted({ref.tenant for ref in accounts.accounts().values()}):
            counts += creating._once(tenant) or Counter()
        return counts

    def settle(self, within: float = 20.0) -> None:
        """Turn after turn until nothing moves by itself any more."""
        until = time.perf_counter() + within
        while not self.settled():
            assert time.perf_counter() < until, f"not settled within {within:g} s: {self.states()} {self.reasons()}"
            self.turn()

    def settle_but(self, kind: str, within: float = 20.0) -> None:
        """As `settle`; rows of this kind may wait."""
        until = time.perf_counter() + within
        while any(state not in FINAL for state, of in self.rows("SELECT DISTINCT state, kind FROM jobs") if of != kind):
            assert time.perf_counter() < until, f"not settled within {within:g} s: {self.states()} {self.reasons()}"
            self.turn()

    def reasons(self) -> list[str]:
        """Why rows that are not finished stand where they stand."""
        return [row[0] for row in self.rows("SELECT reason FROM jobs WHERE reason IS NOT NULL")]

    def until_struck(self, slug: str, fault: Fault) -> None:
        """The fault has fallen, and the platform is done with what it fell on.

        On a busy machine a call may be given up before the platform has read it, or before it was sent: then it takes
        another turn.
        """

        def struck() -> bool:
            if self.sandbox.report(slug)["faults"].get(fault):
                return True
            self.turn()
            return False

        eventually(struck, 20, saying=f"{fault} falls on {slug}")
        eventually(lambda: not self.sandbox.ask(slug, lambda hosted: hosted.in_flight.total()), 20)

    def outlive_keys(self) -> None:
        """Two days pass for everything sent so far: no platform knows its keys any more, and we know that."""
        with self.store.write() as connection:
            past = datetime.now(UTC) - timedelta(days=2)
            sent = documents_table.update().where(documents_table.c.first_sent_at.is_not(None))
            connection.execute(sent.values(first_sent_at=past))
        for slug in self.platforms:
            self.sandbox.ask(slug, lambda hosted, slug=slug: _forget_keys(hosted, slug))  # type: ignore[misc]

    def sent(self, ref: str) -> list[dict[str, Any]]:
        """What the trail says of each time that the order's invoice was sent, in order."""
        found = self.rows(
            "SELECT detail FROM audit WHERE action = 'send' AND subject = ? ORDER BY seq",
            f"invoice:{self.invoice(ref)[0][0]}",
        )
        return [json.loads(row[0]) for row in found]


def _forget_keys(hosted: Hosted, slug: str) -> None:
    if slug in _KEYS:  # Odoo has no keys to forget: an external id is for ever
        hosted.emulator.db.execute(_KEYS[slug])
