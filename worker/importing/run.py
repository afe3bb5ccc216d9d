"""Orders of a file go into the inbox, in batches, in bounded memory.

Killed anywhere it goes on where it was: the state is written after the commit of each batch, and what was committed
without it is a duplicate of itself, since events have ids that are made of what they say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from worker import bells, testpoints
from worker.importing.items import Item, Position, Reader, Unreadable
from worker.importing.lines import JsonLines
from worker.importing.report import Report
from worker.importing.state import Counts, State, StateFile
from worker.importing.table import Table
from worker.store.inbox import Arrival, Inbox, RowRefused

BATCH = 500
BYTES = 4 * 1024 * 1024
API = "api"
"""The source of POST /events: an order that was posted and is imported is one order."""
READERS: dict[str, Callable[[BinaryIO, str], Reader]] = {".csv": Table, ".jsonl": JsonLines}


class Import:
    """One file into one shop."""

    def __init__(self, inbox: Inbox, file: Path, shop: str, type: str, source: str = API) -> None:
        """`source`: the one that tells these orders otherwise. `type`: of the event that an order alone becomes.

        Raises `OSError`, and `Unreadable` for a suffix that nobody can read.
        """
        self._make = READERS.get(file.suffix.lower())
        if self._make is None:
            raise Unreadable("its name must end in .csv or .jsonl, which says what is in it")
        self._inbox, self._file, self._shop, self._source, self._type = inbox, file, shop, source, type
        self._kept = StateFile(file, shop, source, type)
        self.state = State(Position(), Counts())
        self.report = Path()

    def resume(self) -> bool:
        """Goes on where an earlier run of the same file was ended; False if there was none."""
        earlier = self._kept.load()
        self.state = earlier or self.state
        return earlier is not None

    def run(self, progress: Callable[[State], None]) -> Counts:
        """Imports what is left; `progress` is told after each batch.

        Raises `Unreadable`, `StoreUnavailable` and `OSError`; what was done is kept, and `resume` goes on there.
        """
        with self._file.open("rb") as file, Report(self._file, self.state.report) as report:
            self.report = report.path
            assert self._make is not None
            newest: list[str] = []
            for batch in _batches(self._make(file, self._type).items(self.state.at)):
                testpoints.point("import_before_commit")
                newest = self._keep(batch, report) or newest
                testpoints.point("import_before_state")
                self.state.at, self.state.report = batch[-1].after, report.flush()
                self._kept.save(self.state)
                testpoints.point("import_after_state")
                progress(self.state)
        self._kept.remove()
        if newest:
            bells.ring_events(newest)
        return self.state.counts

    def _keep(self, batch: list[Item], report: Report) -> list[str]:
        good = [(item, arrival) for item in batch if (arrival := self._arrival(item)) is not None]
        counts = self.state.counts
        refused: list[Item] = []
        try:
            new = self._inbox.keep([arrival for _, arrival in good])
        except RowRefused:
            new, refused = self._one_by_one(good)
        spoiled = {item.row: item for item in refused}
        for item in batch:
            if item.event is None or item.row in spoiled:
                report.add(spoiled.get(item.row, item))
                counts.rejected += 1
        counts.accepted += len(new)
        counts.duplicate += len(good) - len(refused) - len(new)
        return new

    def _one_by_one(self, good: list[tuple[Item, Arrival]]) -> tuple[list[str], list[Item]]:
        """For a batch of which the database refuses a row: it spoils only itself."""
        new: list[str] = []
        refused: list[Item] = []
        for item, arrival in good:
            try:
                new += self._inbox.keep([arrival])
            except RowRefused:
                why = "it has something in it that the database cannot hold"
                refused.append(Item(item.row, item.after, item.order, reason=why))
        return new, refused

    def _arrival(self, item: Item) -> Arrival | None:
        event = item.event
        if event is None:
            return None
        return Arrival(
            shop=self._shop,
            source=self._source,
            event_id=event.id,
            kind="standard",
            topic=event.type.value,
            label=event.about,
            body=item.body,
        )


def _batches(items: Iterator[Item]) -> Iterator[list[Item]]:
    """At most `BATCH` items, and not many more bytes than `BYTES`."""
    batch: list[Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.body)
        if len(batch) >= BATCH or size >= BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
