"""Many requests, one commit: while a commit is in flight the next requests queue up and become the next batch.

Shops queue apart and take turns, a request each, so that one that floods delays another by a batch, not by its flood.

Everything but the commit itself runs on the event loop, so nothing here is locked. The commit runs in one thread of
its own, a daemon: a database that hangs for ever must not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from worker import metrics, testpoints
from worker.ingest.tidings import Tidings
from worker.store.inbox import Arrival, Inbox, RowRefused, StoreUnavailable, Verdict

log = logging.getLogger(__name__)

Result = Verdict | RowRefused
"""What became of one arrival; `RowRefused` where the database holds no such row."""


class Overloaded(Exception):
    """More is waiting than the bounds allow. Nothing was queued."""


@dataclass(slots=True, eq=False)
class _Waiting:
    arrivals: list[Arrival]
    answer: asyncio.Future[list[Result]]
    size: int


@dataclass(slots=True)
class _Line:
    """What one shop has waiting."""

    requests: deque[_Waiting] = field(default_factory=deque)
    rows: int = 0
    size: int = 0


Outcome = list[Result] | Exception


class GroupCommit:
    """The one writer of the inbox in this process. To be made, used and closed on one event loop.

    `committed` is called on the loop with the ids of newly accepted rows, after their commit and before the answers.
    """

    def __init__(
        self,
        inbox: Inbox,
        committed: Callable[[list[str]], None],
        *,
        rows_at_once: int = 500,
        most_rows: int = 5_000,
        most_bytes: int = 64 * 1024 * 1024,
        patience: float = 4.5,
    ) -> None:
        self._inbox = inbox
        self._committed = committed
        self._rows_at_once = rows_at_once
        self._most_rows = most_rows
        self._most_bytes = most_bytes
        self._patience = patience
        self._lines: dict[str, _Line] = {}
        """By shop, in the order of their turns; one with nothing waiting has none."""
        self._rows = 0
        self._bytes = 0
        self._busy = False
        self._tidings = Tidings()
        self._loop = asyncio.get_running_loop()
        self._work: queue.SimpleQueue[list[_Waiting] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="inbox-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Rows that wait for a commit to begin."""
        return self._rows

    async def accept(self, arrivals: list[Arrival]) -> list[Result]:
        """Commits the arrivals, all of one shop, with whatever else is waiting; returns after the commit, with a result
        for each.

        Raises:
            Overloaded: too much is waiting already, and this shop has more than its part of it.
            StoreUnavailable: the store did not commit within the patience, or said that it cannot. If the caller is
                cancelled or gives up while the commit is under way, the rows may still be committed; that is harmless,
                since nothing was promised and a repetition is a duplicate.
        """
        size = sum(len(each.body) for each in arrivals)
        waiting = _Waiting(arrivals, self._loop.create_future(), size)
        self._enter(arrivals[0].shop if arrivals else "", waiting)
        if not self._busy:
            self._busy = True
            # not at once: whatever else this turn of the loop has read comes along
            self._loop.call_soon(self._next)
        # a timer each instead of wait_for, which costs a task switch more
        timer = self._loop.call_later(self._patience, self._give_up, waiting)
        try:
            return await waiting.answer
        finally:
            timer.cancel()

    async def close(self, within: float) -> None:
        """Waits until nothing is queued and ends the thread; gives up after so many seconds."""
        end = self._loop.time() + within
        while self._busy and self._loop.time() < end:
            await asyncio.sleep(0.01)
        self._work.put(None)
        self._tidings.tell()

    def _enter(self, shop: str, waiting: _Waiting) -> None:
        """Into the shop's line. Over the bounds a shop is let in up to an equal part of them, so that nobody's flood
        shuts another out."""
        line, rows = self._lines.get(shop) or _Line(), len(waiting.arrivals)
        if self._rows + rows > self._most_rows or self._bytes + waiting.size > self._most_bytes:
            shops = len({*self._lines, shop})
            if line.rows + rows > self._most_rows // shops or line.size + waiting.size > self._most_bytes // shops:
                raise Overloaded
        self._lines[shop] = line
        line.requests.append(waiting)
        line.rows += rows
        line.size += waiting.size
        self._rows += rows
        self._bytes += waiting.size

    def _give_up(self, waiting: _Waiting) -> None:
        if not waiting.answer.done():
            waiting.answer.set_exception(StoreUnavailable("the store did not answer in time"))

    def _next(self) -> None:
        batch: list[_Waiting] = []
        rows = 0
        while self._lines and (not batch or rows + len(self._first().arrivals) <= self._rows_at_once):
            waiting = self._take()
            if not waiting.answer.done():  # whoever hung up or gave up needs no commit
                batch.append(waiting)
                rows += len(waiting.arrivals)
        if batch and testpoints.without("commit_before_answer"):
            self._answer(batch, [Verdict.ACCEPTED for waiting in batch for _ in waiting.arrivals])
            self._loop.call_later(0.5, self._work.put, batch)
        elif batch:
            self._work.put(batch)
        else:
            self._busy = False

    def _first(self) -> _Waiting:
        """The next request of the shop whose turn it is."""
        return next(iter(self._lines.values())).requests[0]

    def _take(self) -> _Waiting:
        """Out of its line; then it is another shop's turn."""
        shop, line = next(iter(self._lines.items()))
        waiting = line.requests.popleft()
        line.rows -= len(waiting.arrivals)
        line.size -= waiting.size
        self._rows -= len(waiting.arrivals)
        self._bytes -= waiting.size
        del self._lines[shop]
        if line.requests:
            self._lines[shop] = line
        return waiting

    def _done(self, batch: list[_Waiting], outcome: Outcome) -> None:
        if isinstance(outcome, Exception):
            # the others have waited as long as this batch has; with the next request the store is tried again
            while self._lines:
                batch = [*batch, self._take()]
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(outcome)
        else:
            self._answer(batch, outcome)
        self._next()

    def _answer(self, batch: list[_Waiting], results: list[Result]) -> None:
        arrivals = [each for waiting in batch for each in waiting.arrivals]
        accepted = [each for each, result in zip(arrivals, results, strict=True) if result is Verdict.ACCEPTED]
        if accepted:
            self._committed([each.id for each in accepted])
        shops = Counter([each.shop for each in accepted])
        metrics.accepted(shops, len(arrivals))
        self._tidings.add(shops, accepted)
        start = 0
        for waiting in batch:
            end = start + len(waiting.arrivals)
            if not waiting.answer.done():
                waiting.answer.set_result(results[start:end])
            start = end

    def _run(self) -> None:
        while (batch := self._work.get()) is not None:
            outcome: Outcome
            testpoints.point("before_inbox_commit")
            try:
                outcome = self._commit([each for waiting in batch for each in waiting.arrivals])
            except StoreUnavailable as error:
                log.warning("the inbox could not be written: %s", error)
                outcome = error
            except Exception as error:
                log.exception("the inbox could not be written")
                outcome = StoreUnavailable(type(error).__name__)
            try:
                self._loop.call_soon_threadsafe(self._done, batch, outcome)
            except RuntimeError:  # the loop is closed: nobody waits for an answer any more
                return

    def _commit(self, arrivals: Sequence[Arrival]) -> list[Result]:
        try:
            return list(self._inbox.accept(arrivals))
        except RowRefused:
            return [self._commit_alone(each) for each in arrivals]

    def _commit_alone(self, arrival: Arrival) -> Result:
        try:
            return self._inbox.accept([arrival])[0]
        except RowRefused as error:
            said = {"shop": arrival.shop, "order": arrival.label}
            log.warning("event %r of %s was refused by the database", arrival.event_id, arrival.source, extra=said)
            return error
