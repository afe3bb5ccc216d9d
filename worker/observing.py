"""A worker's life as seen from outside: its first and last line, its metrics, its pulse."""

from __future__ import annotations

import logging
from collections.abc import Set

from worker import metrics, runtime
from worker.gauges import Shared
from worker.pulse import Pulse
from worker.queues import RECURRING

log = logging.getLogger(__name__)
_ours: list[Pulse] = []
"""At most one: this worker's."""


def started(name: str, queues: Set[str]) -> None:
    """The worker takes tasks from these queues; called again whenever it has found Redis again."""
    if _ours:
        return
    log.info("worker started", extra={"version": runtime.version()})
    metrics.serve(metrics.Page(Shared(everything=RECURRING in queues)))
    _ours.append(Pulse(name))


def stopped() -> None:
    """The worker ends because it was asked to."""
    for pulse in _ours:
        pulse.stop()
    log.info("worker stopped", extra={"version": runtime.version()})
