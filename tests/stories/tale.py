"""A shop, its deliveries, and what its books say in the end."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from connectors.sources.base import source as source_of
from tasks import handle_events as handling
from tests.kit.inprocess import InProcess
from tests.kit.scene import order_event
from worker import runtime
from worker.store.inbox import Arrival, Inbox
from worker.store.verify import verify

SHOP = "engraver"


class Tale(InProcess):
    """One shop with one account, on Xero."""

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
    ) -> None:
        """`shop`, `account`: lines of their sections; `sources`: sections of their own."""
        self._lines = {f"[shop.{SHOP}]\n": shop, f"[shop.{SHOP}.account.xero]\n": account}
        super().__init__(folder, store_url, redis_url, monkeypatch, platforms=("xero",), more="\n" + sources)

    def _config(self) -> str:
        text = super()._config()
        for head, lines in self._lines.items():
            text = text.replace(head, f"{head}{lines}\n")
        return text

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

    def gets(self, source: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> None:
        """A delivery of a source's own kind comes in; it is not signed."""
        settings = runtime.config().shop[SHOP].source[source]
        raw = json.dumps(body).encode()
        delivery = source_of(settings.kind)([], settings.options).receive(headers, raw)
        label = delivery.order_ref or ""
        self._arrive([Arrival(SHOP, source, delivery.id, settings.kind, delivery.type, label, raw)])

    def _arrive(self, arrivals: Sequence[Arrival], settle: bool = True) -> None:
        Inbox(self.inbox_store).accept(arrivals)
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
        """Reference and total of every invoice that is owed; there are never two of one reference."""
        owed = [entry for entry in self.sandbox.ledger("xero") if entry.status in ("issued", "paid")]
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
