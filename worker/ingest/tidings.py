"""What ingest says in its log about the events it has accepted: a line a second at most, whatever comes in."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from worker.store.inbox import Arrival

log = logging.getLogger(__name__)
EVERY = 1.0
SHOWN = 5
"""How many orders a line names."""


class Tidings:
    """Gathers commits for a second, then writes a line for all of them; to be used on the event loop."""

    def __init__(self) -> None:
        self._shops: Counter[str] = Counter()
        self._orders: list[str] = []
        self._batches = 0

    def add(self, shops: Mapping[str, int], accepted: Sequence[Arrival]) -> None:
        """A commit took these; `shops` counts them."""
        if not accepted:
            return
        if not self._batches:
            asyncio.get_running_loop().call_later(EVERY, self.tell)
        self._batches += 1
        self._shops.update(shops)
        if len(self._orders) < SHOWN:
            self._orders += [each.label for each in accepted[: SHOWN - len(self._orders)]]

    def tell(self) -> None:
        """Writes the line, if there is anything to be said."""
        if not self._batches:
            return
        said: dict[str, Any] = {"count": self._shops.total(), "batches": self._batches}
        if said["count"] == 1:
            said |= {"shop": next(iter(self._shops)), "order": self._orders[0]}
        else:
            said |= {"shops": dict(self._shops), "orders": self._orders}
        log.info("events accepted", extra=said)
        self._shops, self._orders, self._batches = Counter(), [], 0
