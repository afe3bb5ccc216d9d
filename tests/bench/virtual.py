"""Virtual time: the real code, thread by thread, on a clock that is moved on when nobody has anything to do now.

A strand is a thread that runs only while no other strand does; when it waits, the one whose moment is next goes on.
So nothing waits for real, and what happens is the same each time.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future
from datetime import UTC, datetime, tzinfo
from types import SimpleNamespace
from typing import Any, TypeVar

T = TypeVar("T")


class _Strand(threading.Thread):
    def __init__(self, work: Callable[[], object], over: threading.Semaphore) -> None:
        super().__init__(daemon=True)
        self.work, self.over = work, over
        self.turn = threading.Semaphore(0)
        self.failed: BaseException | None = None

    def run(self) -> None:
        self.turn.acquire()
        try:
            self.work()
        except BaseException as error:
            self.failed = error  # raised where the strands are run
        finally:
            self.over.release()


class _Moment:
    """Where a strand goes on; more than one reason may name it, and the first counts."""

    def __init__(self, strand: _Strand) -> None:
        self.strand: _Strand | None = strand


class Virtual:
    """A clock (`now`, Unix seconds) and the strands that live by it. `moved`: told of each new time."""

    def __init__(self, start: float, moved: Callable[[float], object]) -> None:
        self.now, self._moved = start, moved
        self._next: list[tuple[float, int, _Moment]] = []
        self._count = itertools.count()
        self._over = threading.Semaphore(0)
        moved(start)

    def start(self, work: Callable[[], object]) -> None:
        """A strand of its own for `work`, from now on."""
        strand = _Strand(work, self._over)
        strand.start()
        self._at(self.now, _Moment(strand))

    def run(self) -> None:
        """Until every strand has ended. Raises what one of them raised."""
        while self._next:
            at, _, moment = heapq.heappop(self._next)
            strand, moment.strand = moment.strand, None
            if strand is None:
                continue
            if at > self.now:
                self.now = at
                self._moved(at)
            strand.turn.release()
            self._over.acquire()
            if strand.failed is not None:
                raise strand.failed

    def sleep(self, seconds: float) -> None:
        """What `time.sleep` is to a strand."""
        moment = _Moment(_here())
        self._at(self.now + seconds, moment)
        self._rest()

    def wait(
        self, futures: Iterable[Future[T]], timeout: float | None = None, return_when: str = "ALL_COMPLETED"
    ) -> tuple[set[Future[T]], set[Future[T]]]:
        """What `concurrent.futures.wait` is to a strand."""
        every = set(futures)
        until = None if timeout is None else self.now + timeout
        enough = 1 if return_when == FIRST_COMPLETED else len(every)
        while len(done := {one for one in every if one.done()}) < enough and (until is None or self.now < until):
            moment = _Moment(_here())
            for one in every - done:
                one.add_done_callback(lambda _, moment=moment: self._at(self.now, moment))  # type: ignore[misc]
            if until is not None:
                self._at(until, moment)
            self._rest()
        return done, every - done

    def future(self) -> Future[Any]:
        """A future whose `result` waits by this clock."""
        return _Future(self)

    def __call__(self) -> Future[Any]:
        """In place of the class `Future`."""
        return self.future()

    def __getitem__(self, _: Any) -> Virtual:
        """`Future[str]` is written where one is made."""
        return self

    def submit(self, work: Callable[..., T], *arguments: Any) -> Future[T]:
        """What `Executor.submit` is, with room for all."""
        future = self.future()

        def run() -> None:
            try:
                future.set_result(work(*arguments))
            except Exception as error:
                future.set_exception(error)

        self.start(run)
        return future

    def time(self) -> Any:
        """What the module `time` is to those who live by this clock."""
        return SimpleNamespace(
            sleep=self.sleep, time=lambda: self.now, monotonic=lambda: self.now, perf_counter=time.perf_counter,
            monotonic_ns=lambda: int(self.now * 1e9),
        )  # fmt: skip

    def datetime(self) -> type[datetime]:
        """What the class `datetime` is to them."""
        clock = self

        class Here(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Any:
                return datetime.fromtimestamp(clock.now, tz or UTC)

        return Here

    def _at(self, when: float, moment: _Moment) -> None:
        heapq.heappush(self._next, (when, next(self._count), moment))

    def _rest(self) -> None:
        strand = _here()
        self._over.release()
        strand.turn.acquire()


class _Future(Future[Any]):
    def __init__(self, clock: Virtual) -> None:
        super().__init__()
        self._clock = clock

    def result(self, timeout: float | None = None) -> Any:
        self._clock.wait([self], timeout)
        return super().result(0)


class Clerk:
    """Serves the lines for permits as the process's own clerk does, by this clock."""

    def __init__(self, clock: Virtual) -> None:
        self._clock = clock
        self._again: dict[Any, float] = {}

    def serve(self, line: Any) -> None:
        """The line is served now."""
        self._due(line, self._clock.now)

    def _due(self, line: Any, at: float) -> None:
        if self._again.get(line, float("inf")) <= at:
            return
        self._again[line] = at
        self._clock.start(lambda: self._round(line, at))

    def _round(self, line: Any, at: float) -> None:
        if at > self._clock.now:
            self._clock.sleep(at - self._clock.now)
        if self._again.get(line) != at:
            return  # somebody called meanwhile
        del self._again[line]
        pause = line.serve()
        if pause is not None:
            self._due(line, self._clock.now + pause)


def _here() -> _Strand:
    strand = threading.current_thread()
    if not isinstance(strand, _Strand):
        raise RuntimeError("only a strand can wait in virtual time")
    return strand
