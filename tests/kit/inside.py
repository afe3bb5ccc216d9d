"""This process as one of ours: what follows runs under a configuration, where others start a process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from worker import runtime

_HELD_ONCE = (
    runtime.keeper, runtime.store, runtime.inbox, runtime.redis_url, runtime.redis_client, runtime.process_name,
)  # fmt: skip
_ELSEWHERE = ("BILLHOOK_DATABASE_URL", "BILLHOOK_REDIS_URL", "BILLHOOK_DATA_DIR")
"""What in the environment would lead past the configuration."""


@contextmanager
def configured_by(file: Path) -> Iterator[None]:
    """Configuration, store, Redis and accounts of this process are what the file says."""
    with patch.dict("os.environ", {"BILLHOOK_CONFIG": str(file)}):
        for name in _ELSEWHERE:
            os.environ.pop(name, None)
        _forget()
        _ring_here()
        _forget()  # a test may change the file before it does anything
        try:
            yield
        finally:
            for opened in {runtime.store(), runtime.inbox()}:
                opened.close()
            _forget()


def _ring_here() -> None:
    """The app has its settings from the first test of the process that used it: that one's Redis may be gone."""
    from worker.app import celery

    celery.conf.broker_url = runtime.redis_url()
    celery._after_fork()  # connections that it holds are of before, too


def _forget() -> None:
    for held in _HELD_ONCE:
        held.cache_clear()
