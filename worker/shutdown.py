"""Whether this process is being shut down: from then on nothing new is claimed, and what is in flight ends.

Celery tells the worker's main process; in the threads pool that is the process in which the tasks run.
"""

from __future__ import annotations

import threading
from typing import Any

from worker.app import signals

_asked = threading.Event()


def stopping() -> bool:
    """True as soon as the worker has been asked to end, for good."""
    return _asked.is_set()


@signals.worker_shutting_down.connect
def _begin(**_: Any) -> None:
    _asked.set()
