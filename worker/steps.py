"""Commits the steps of many calls together: while one commit is in flight, the next steps queue up."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache

from worker import runtime
from worker.store import jobs
from worker.store.documents import StepDone, store_steps

MOST = 200


@dataclass
class _Asked:
    step: StepDone
    lease: timedelta
    answer: Future[bool] = field(default_factory=Future)


class StepWriter:
    """One thread that commits what call threads ask for: progress, renewed lease, trail."""

    def __init__(self) -> None:
        self._asked: queue.Queue[_Asked] = queue.Queue()
        threading.Thread(target=self._run, name="steps", daemon=True).start()

    def commit(self, step: StepDone, lease: timedelta) -> bool:
        """Waits for the commit. False when the row is no longer the owner's. Raises what the database raised."""
        asked = _Asked(step, lease)
        self._asked.put(asked)
        return asked.answer.result()

    def _run(self) -> None:
        while True:
            batch = [self._asked.get()]
            while len(batch) < MOST and not self._asked.empty():
                batch.append(self._asked.get_nowait())
            try:
                mine = self._write(batch)
            except Exception as error:  # handed to every caller, who is waiting for it
                for asked in batch:
                    asked.answer.set_exception(error)
            else:
                for asked in batch:
                    asked.answer.set_result(asked.step.job.id in mine)

    def _write(self, batch: list[_Asked]) -> set[str]:
        steps = [asked.step for asked in batch]
        lease = max(asked.lease for asked in batch)
        with runtime.store().write() as connection:
            seqs = jobs.step_on(connection, [(step.job.id, step.owner) for step in steps], lease)
            store_steps(connection, steps, seqs, runtime.process_name())
        return set(seqs)


@cache
def writer() -> StepWriter:
    """The process's own."""
    return StepWriter()
