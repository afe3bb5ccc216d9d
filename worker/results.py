"""A result backend for Celery that only reads: `AsyncResult` and Flower are answered from the audit trail.

Nothing is stored for a task: what it did is in the trail already, committed with the change itself. An id is a task's,
a row's (event, customer, invoice, notice) or an order's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from celery import states
from celery.backends.base import BaseBackend

from worker import runtime
from worker.store import results
from worker.store.engine import StoreError
from worker.store.results import Standing

SHOWN = 100
"""How many rows an answer lists; the counts are of all."""
GRACE = timedelta(seconds=3)
"""A task between two claims may look as if it were over; after so long without an entry it is."""
GOOD = {"issued", "done", "void", "credited", "shadow", "dismissed"}
BAD = {"held", "mismatch", "doubled", "lost"}
_WAITING = {"retry": states.RETRY, "uncertain": states.RETRY, "claimed": states.STARTED, "sending": states.STARTED}


class NothingSucceeded(Exception):
    """Every row of a task was refused, or what was asked for needs a person; the message says which and why."""


class NotYet(Exception):
    """It is tried again by itself; the message says what stood in the way."""


class TrailBackend(BaseBackend):  # type: ignore[misc]
    """For `result_backend`. Every question opens the store of this process's configuration."""

    supports_autoexpire = True  # Celery must plan no clean-up: the trail is never cleaned up
    connection_errors = (StoreError,)  # by which Flower knows that the store does not answer
    channel_errors = ()

    def __init__(self, app: Any, url: str | None = None, **options: Any) -> None:
        super().__init__(app, url=url, max_cached_results=-1, **options)  # a row goes on after it was asked for

    def as_uri(self, include_password: bool = False) -> str:
        return "the audit trail (read-only)"

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **_: Any
    ) -> Any:
        """Stores nothing: the task has committed what it did."""
        return result

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        """Celery's answer for an id: status, result (counts and rows, or an exception), when.

        Raises `StoreError` when the store does not answer.
        """
        claimed = results.of_task(runtime.store(), task_id)
        if claimed:
            return _meta(task_id, *_of_task(claimed, datetime.now(UTC)), claimed)
        standing = results.of_rows(runtime.store(), task_id)
        return _meta(task_id, *_of_rows(standing), standing)

    def forget(self, task_id: str) -> NoReturn:
        raise NotImplementedError("results are the audit trail, which forgets nothing; there is nothing to free")

    def ensure_chords_allowed(self) -> NoReturn:
        raise NotImplementedError("Billhook keeps no results that a chord could wait for; its results are only read")

    def apply_chord(self, *_: Any, **__: Any) -> NoReturn:
        self.ensure_chords_allowed()

    def _no_groups(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError("Billhook keeps no groups of results; ask for each task by its own id")

    _save_group = _restore_group = _delete_group = _no_groups


def _of_task(claimed: Sequence[Standing], now: datetime) -> tuple[str, Any]:
    """A task is over when each row it claimed was let go of; what is tried again later counts for it, not against."""
    counts = Counter(row.state for row in claimed)
    if any(counts[state] for state in results.UNDER_WAY) or now - max(row.at for row in claimed) < GRACE:
        return states.STARTED, _told(claimed)
    if any(counts[state] for state in BAD) and not any(counts[state] for state in GOOD):
        return states.FAILURE, NothingSucceeded(_why(claimed))
    return states.SUCCESS, _told(claimed)


def _of_rows(rows: Sequence[Standing]) -> tuple[str, Any]:
    """Rows are ready when none of them moves by itself any more."""
    waiting = [row for row in rows if row.state not in GOOD | BAD]
    if waiting or not rows:
        now = {_WAITING.get(row.state, states.PENDING) for row in waiting}
        state = next((one for one in (states.RETRY, states.STARTED) if one in now), states.PENDING)
        return state, NotYet(_why(waiting)) if state == states.RETRY else None
    if any(row.state in BAD for row in rows):
        return states.FAILURE, NothingSucceeded(_why(rows))
    return states.SUCCESS, _told(rows)


def _told(rows: Sequence[Standing]) -> dict[str, Any]:
    return {
        "counts": dict(Counter(row.state for row in rows)),
        "rows": [
            {"subject": row.subject, "order": row.order, "state": row.state, "reason": row.reason}
            for row in rows[:SHOWN]
        ],
        "more": max(0, len(rows) - SHOWN),
    }


def _why(rows: Sequence[Standing]) -> str:
    """The counts and the first row with a reason: what somebody must look at."""
    counts = ", ".join(f"{count} {state}" for state, count in Counter(row.state for row in rows).most_common())
    first = next((row for row in rows if row.reason), rows[0])
    return f"{counts}; {first.subject} of {first.order or 'no order'}: {first.reason or first.state}"


def _meta(task_id: str, status: str, result: Any, rows: Sequence[Standing]) -> dict[str, Any]:
    ready = status in states.READY_STATES
    return {
        "task_id": task_id,
        "status": status,
        "result": result,
        "traceback": None,
        "children": [],
        "date_done": max(row.at for row in rows).isoformat() if ready else None,
        "worker": next((row.by for row in rows if row.by), None),
    }
