"""How long a lease is, and who notices that one is over.

`dispatch` frees a lease only after it has seen the same owner, fence and end for a whole lease on its own
monotonic clock: a jump of the wall clock frees nothing. A worker process that was stopped for longer than
lease − deadline is killed by its own timer on waking, before it can send.
"""

from __future__ import annotations

import signal
import threading
import time
from datetime import datetime, timedelta

from worker import runtime, testpoints
from worker.store import jobs

DEADLINE = 30.0
"""Seconds for a call (or a batch of events) where nothing else is said."""
BEAT = 1.0

Lease = tuple[str, int, datetime]


def lease(deadline: float | None = None) -> timedelta:
    """The length of a lease under which calls of that deadline (seconds) are made."""
    timing = runtime.config().billhook.timing
    return timedelta(seconds=(deadline or timing.deadline or DEADLINE) + timing.lease_margin)


def longest() -> timedelta:
    """The longest lease that any row can have."""
    timing = runtime.config().billhook.timing
    deadlines = [ref.facts.deadline for ref in runtime.config().accounts()]
    return lease(timing.deadline or max([DEADLINE, *deadlines]))


class LeaseWatch:
    """Remembers since when each lease has stood as it does."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Lease, float]] = {}
        self._length = timedelta(0)
        self._lock = threading.Lock()

    def over(self, leased: dict[str, Lease], length: timedelta) -> dict[str, Lease]:
        """Those of the leases that have not changed for `length`, or for what it was under an earlier configuration:
        a turn may still go on under that one."""
        self._length = max(self._length, length)
        if testpoints.without("lease_watch"):
            return {job_id: held for job_id, held in leased.items() if held[2] < jobs.now()}
        now = time.monotonic()
        with self._lock:
            self._seen = {
                job_id: seen if (seen := self._seen.get(job_id)) and seen[0] == held else (held, now)
                for job_id, held in leased.items()
            }
            return {i: held for i, (held, since) in self._seen.items() if now - since >= self._length.total_seconds()}


def fence_self() -> None:
    """Starts this process's heartbeat: it re-arms a timer that kills the process if it ever stops beating.

    The kernel's timer runs on while the process is stopped; its signal ends the process on waking, before any
    Python code runs.
    """
    if testpoints.without("self_fence"):
        return
    margin = runtime.config().billhook.timing.lease_margin
    signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def beat() -> None:
        while True:
            signal.setitimer(signal.ITIMER_REAL, margin)
            time.sleep(min(BEAT, margin / 4))

    threading.Thread(target=beat, name="self-fence", daemon=True).start()
