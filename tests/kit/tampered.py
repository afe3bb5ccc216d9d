"""`python -m tests.kit.tampered …`: Celery as `python -m celery …`, in surroundings that a test has changed.

BILLHOOK_TEST_TRANSPORT: broker_transport_options to overwrite, as JSON. SIGUSR2: the wall clock jumps an hour ahead,
as it does for all that asks `worker.store.jobs.now`.
"""

import json
import os
import runpy
import signal
from datetime import datetime, timedelta
from typing import Any

from worker.app import celery
from worker.store import jobs

HOUR = timedelta(hours=1)


class Jumped(datetime):
    """The class whose `now` is an hour ahead."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(tz) + HOUR


def jump(*_: Any) -> None:
    jobs.datetime = Jumped  # type: ignore[misc,attr-defined]
    print("an hour has passed", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, jump)
    celery.conf.broker_transport_options |= json.loads(os.environ.get("BILLHOOK_TEST_TRANSPORT", "{}"))
    runpy.run_module("celery", run_name="__main__", alter_sys=True)
