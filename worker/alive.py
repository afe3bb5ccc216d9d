"""Whether a service without an address lives: it touches a file whenever Redis has taken something from it.

A worker's heartbeat and a tick of beat are such things; a process that has lost Redis, or hangs, touches nothing.
Only the standard library is imported: `billhook healthy` runs twice a minute in every container.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

VARIABLE = "BILLHOOK_ALIVE"
"""Names the file in the environment of a service; without it nothing is touched."""
FRESH = 60.0
"""Seconds after which a file that was not touched tells of a service that does nothing."""


def file_of(data_dir: Path, name: str) -> Path:
    """The file of the service called `name`; each service on a machine has a name of its own."""
    return data_dir / f"{name}.alive"


def touch() -> None:
    """Called when Redis has taken something from this process."""
    if path := os.environ.get(VARIABLE):
        Path(path).touch()


def trouble(file: Path) -> str | None:
    """Why the service that touches `file` is not well, in words for a person; None if it is."""
    try:
        age = time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return f"{file} is not there: it has not started yet, or has another --name or data directory"
    if age > FRESH:
        return f"it last reached Redis {age:.0f} s ago; read its log, and see whether Redis is up"
    return None
