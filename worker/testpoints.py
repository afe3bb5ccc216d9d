"""Where the tests get in: named points at which a process dies or freezes, and safeguards switched off.

Nothing here does anything unless the environment says so; no setting of the configuration reaches it.

- `BILLHOOK_CRASH="after_send:kill"`: the process kills itself (`kill`) or stops itself (`stop`) when it passes the
  point; `after_send@3:kill` only the third time. With BILLHOOK_CRASH_ONCE=<file> only the first process that creates
  the file does.
- `BILLHOOK_WITHOUT="fence,look"`: those safeguards are off, so that a test can show that it fails without them.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter

_passed: Counter[str] = Counter()
_crash = os.environ.get("BILLHOOK_CRASH", "")
_without = frozenset(filter(None, os.environ.get("BILLHOOK_WITHOUT", "").split(",")))


def without(safeguard: str) -> bool:
    """Whether a safeguard is switched off for a test."""
    return safeguard in _without


def point(name: str) -> None:
    """A named point in the code."""
    if not _crash:
        return
    where, _, how = _crash.partition(":")
    wanted, _, nth = where.partition("@")
    if name != wanted:
        return
    _passed[name] += 1
    if _passed[name] != int(nth or 1) or not _first():
        return
    # to this thread: one sent to the process may be taken by another, and this one would go on for a moment
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP if how == "stop" else signal.SIGKILL)


def _first() -> bool:
    marker = os.environ.get("BILLHOOK_CRASH_ONCE")
    if not marker:
        return True
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
