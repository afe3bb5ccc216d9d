"""Ringing for committed events, outside the path of any request: a hung Redis must not make a shop wait."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence


class Doorbell:
    """One thread that rings for the ids it is given; ids it has no room for are dropped, `dispatch` finds them.

    `ring` gets up to `at_once` ids and says whether it could. After a ring the thread pauses for a moment, so that a
    stream of small batches becomes a few rings; after a failure it pauses longer.
    """

    def __init__(
        self,
        ring: Callable[[Sequence[str]], bool],
        *,
        at_once: int = 500,
        most: int = 20_000,
        pause: float = 0.05,
        pause_after_failure: float = 1.0,
    ) -> None:
        self._ring = ring
        self._at_once = at_once
        self._pause = pause
        self._pause_after_failure = pause_after_failure
        self._ids: deque[str] = deque(maxlen=most)
        self._called = threading.Event()
        self._closing = threading.Event()
        self.dropped = 0
        self.rung = 0
        self._thread = threading.Thread(target=self._run, name="doorbell", daemon=True)
        self._thread.start()

    def add(self, ids: Sequence[str]) -> None:
        """Never blocks. Called from one thread only."""
        room = (self._ids.maxlen or 0) - len(self._ids)
        self.dropped += max(0, len(ids) - room)
        self._ids.extend(ids)
        self._called.set()

    def close(self, within: float) -> None:
        """Rings for what is left; gives up after so many seconds."""
        self._closing.set()
        self._called.set()
        self._thread.join(within)

    def _run(self) -> None:
        while self._ids or not self._closing.is_set():
            self._called.wait()
            self._called.clear()
            while self._ids:
                if not self._ring_some() and self._closing.is_set():
                    return

    def _ring_some(self) -> bool:
        some = [self._ids.popleft() for _ in range(min(self._at_once, len(self._ids)))]
        rung = self._ring(some)
        if rung:
            self.rung += len(some)
        else:
            self.dropped += len(some)
        self._closing.wait(self._pause if rung else self._pause_after_failure)
        return rung
