"""One try at one document, as the connector sees it: keys, steps, and the clock that guards each send."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from connectors.errors import Unavailable
from connectors.platforms.documents import Plan
from worker import testpoints
from worker.steps import writer
from worker.store.documents import StepDone, Work
from worker.store.engine import StoreError

MARGIN = 1.0
"""Seconds of lease that must remain beyond a call's own deadline."""


class Try:
    """An `Attempt` over a claimed row. "sending" is committed before it; later steps commit through the writer."""

    def __init__(self, work: Work, owner: str, lease: timedelta, leased_at: float, deadline: float) -> None:
        self.work = work
        self.draft: Any = work.draft
        self.plan: Plan = work.plan or ()
        self.made: dict[str, str] = dict(work.made)
        self.document = work.document
        self.began = False
        """Whether any call left in this try."""
        self.finished_a_step = False
        self._owner = owner
        self._lease = lease
        self._ends = leased_at + lease.total_seconds()
        self._deadline = deadline
        self._uncommitted = False

    def key(self, step: str) -> str:
        return self.work.step_key(step)

    def begin(self, step: str) -> None:
        """Right before the call leaves: the step before is committed, and the lease outlasts the call."""
        testpoints.point(f"before_{step}")
        if self._uncommitted or (self._too_short() and not testpoints.without("lease_check")):
            self._commit(step)
        if self._too_short() and not testpoints.without("lease_check"):
            raise Unavailable("no lease time is left for the call; nothing was sent")
        self.began = True
        testpoints.point(f"sending_{step}")

    def done(self, step: str, remote_id: str) -> None:
        testpoints.point(f"after_{step}")
        self.made[step] = remote_id
        self.finished_a_step = self._uncommitted = True

    def _too_short(self) -> bool:
        return time.monotonic() + self._deadline + MARGIN > self._ends

    def _commit(self, step: str) -> None:
        before = time.monotonic()
        try:
            mine = writer().commit(
                StepDone(self.work.job, self._owner, dict(self.made), step, self.key(step)), self._lease
            )
        except StoreError as error:
            raise Unavailable(f"the step could not be recorded, nothing was sent: {type(error).__name__}") from None
        if not mine:
            raise Unavailable("the lease was lost to another worker; nothing was sent")
        self._ends = before + self._lease.total_seconds()
        self._uncommitted = False
