"""A shop, its deliveries, and what its books say in the end."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks import ask_sources as asking
from tasks import handle_events as handling
from tasks import recurring
from tests.kit.inprocess import InProcess
from tests.kit.scene import order_event
from tests.stories.senders import SHOP, Sent
from worker import runtime
from worker.ingest.admission import Admission
from worker.store import jobs
from worker.store.inbox import Arrival, Inbox
from worker.store.questions import QUEUE
from worker.store.schema import jobs as jobs_table
from worker.store.verify import verify


class Tale(InProcess):
    """One shop with one account, on Xero, unless its keywords say otherwise."""

    def __init__(
        self,
        folder: Path,
        store_url: str,
        redis_url: str,
        monkeypatch: pytest.MonkeyPatch,
        *,
        shop: str = "",
        account: str = "",
        sources: str = "",
        routes: str = "",
        platforms: Sequence[str] = ("xero",),
        shops: Sequence[str] = (SHOP,),
    ) -> None:
        """`shop`, `account`: lines of their sections; `sources`: sections of their own; `routes`: instead of the one
        to all `platforms`, on each of which each of the `shops` has an account."""
        self._lines = {f"[shop.{SHOP}]\n": shop, f"[shop.{SHOP}.account.xero]\n": account}
        self._routes = routes
        more = "\n" + sources
        super().__init__(folder, store_url, redis_url, monkeypatch, platforms=platforms, shops=shops, more=more)

    def _config(self) -> str:
        text = super()._config()
        for head, lines in self._lines.items():
            text = text.replace(head, f"{head}{lines}\n")
        to_all = f"[[shop.{SHOP}.route]]\nto = {json.dumps(list(self.platforms))}\n"
        assert to_all in text
        return text.replace(to_all, self._routes or to_all)

    def hears(
        self, *events: Mapping[str, Any], source: str = "api", together: bool = False, settle: bool = True
    ) -> None:
        """Events of Billhook's own kind come in, in this order, each handled before the next; or all `together`.
        `settle`: nothing else happens until all is done that can be."""
        arrivals = [
            Arrival(SHOP, source, event["id"], "standard", event["type"], "", json.dumps(event).encode())
            for event in events
        ]
        for some in [arrivals] if together else [[one] for one in arrivals]:
            self._arrive(some, settle)

    def gets(self, source: str, *sent: Sent, shop: str = SHOP, settle: bool = True) -> None:
        """Requests come in at the source's address, in this order; each is proved, taken apart, kept and handled.

        `settle` as in `hears`. Raises `SignatureError`, and keeps nothing, where the sender cannot prove itself.
        """
        sender = Admission(runtime.config()).sender(shop, source)
        for one in sent:
            sender.source.verify(one.headers, one.body, datetime.now(UTC))
            arrivals = [
                Arrival(shop, source, each.id, sender.kind, each.type, each.order_ref or "", kept)
                for each, kept in sender.source.deliveries(one.headers, one.body)
            ]
            self._arrive(arrivals, settle)

    def asks(self, source: str, *, shop: str = SHOP, later: timedelta = timedelta(0)) -> None:
        """The source is asked whatever it can be asked, `later` by the clock of whoever asks; what comes of it is
        handled."""
        recurring._asking()
        pointing = "SELECT 1 FROM jobs WHERE queue = ? AND kind = 'event' AND state = 'pending'"
        while True:
            self._ask(f"{shop}/{source}", later)
            handling.handle_events()
            if not self.rows(pointing, QUEUE):  # what a list named is fetched, too
                break
        self.settle()

    def _ask(self, source: str, later: timedelta) -> None:
        with self.store.write() as connection:
            asked = jobs_table.update().where(jobs_table.c.queue == QUEUE, jobs_table.c.due_at.is_not(None))
            connection.execute(asked.values(due_at=jobs.now()))
        with self._monkeypatch.context() as patch:
            patch.setattr(jobs, "now", lambda: datetime.now(UTC) + later)
            asking.ask_sources(source)

    def _arrive(self, arrivals: Sequence[Arrival], settle: bool = True) -> None:
        Inbox(self.inbox_store).keep(arrivals)
        handling.handle_events([one.id for one in arrivals])
        if settle:
            self.settle()

    def configure(self, old: str, new: str) -> None:
        """The configuration is changed, and read again."""
        text = self.config_file.read_text()
        assert old in text
        self.config_file.write_text(text.replace(old, new))
        runtime.keeper.cache_clear()

    # -- the end ---------------------------------------------------------------------------------------------------

    @property
    def books(self) -> dict[str, str]:
        """Reference and total of every invoice that is owed on Xero; there are never two of one reference."""
        return self.books_on("xero")

    def books_on(self, platform: str) -> dict[str, str]:
        """As `books`, of another platform."""
        owed = [entry for entry in self.sandbox.ledger(platform) if entry.status in ("issued", "paid")]
        assert len({entry.reference for entry in owed}) == len(owed)
        assert verify(self.store).ok
        return {entry.reference: str(entry.total) for entry in owed}

    @property
    def events(self) -> list[tuple[str, str, str | None]]:
        """State, order or name, and reason of each event, in the order they came."""
        query = "SELECT state, label, reason FROM jobs WHERE kind = 'event' ORDER BY created_at, id"
        return [tuple(row) for row in self.rows(query)]

    @property
    def states_of_events(self) -> list[str]:
        return [state for state, _, _ in self.events]


def placed(number: int, **order: Any) -> dict[str, Any]:
    """The order is told; nothing is due yet."""
    return order_event(number, type="order.updated", **order)


def parcel(
    what: str,
    name: str,
    *,
    at: str = "2026-11-23T10:00:00Z",
    number: str | None = None,
    carrier: str = "ups",
    **more: Any,
) -> dict[str, Any]:
    """An event of a carrier ("shipped", "delivered") that does not carry its order."""
    shipment = {"shipment": {"ref": number, "carrier": carrier, "tracking_number": number}} if number else {}
    return {"id": f"evt-{name}", "type": f"shipment.{what}", "occurred_at": at, **shipment, **more}
