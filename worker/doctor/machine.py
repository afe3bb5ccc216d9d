"""This machine: disk, clock, what is installed, and the database's own version and tables."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from importlib.metadata import PackageNotFoundError, requires
from importlib.metadata import version as installed
from pathlib import Path

from worker.doctor.findings import Finding, Level, bad, lasting, ok, warning
from worker.runtime import version
from worker.store.checkup import Vitals
from worker.store.jobs import now
from worker.store.migrate import NEWEST

OLDEST_SQLITE, OLDEST_POSTGRES = (3, 35), (13,)
"""RETURNING came to SQLite with 3.35; PostgreSQL 13 is the oldest that was still maintained in 2025."""
LITTLE, SCARCE = 2**30, 200 * 2**20
"""Bytes free on a disk: less than these is a warning, or bad."""
LARGE_WAL = 512 * 2**20
APART, FAR_APART = 2.0, 30.0
"""Seconds between two clocks: more than these is a warning, or bad."""

Clock = Callable[[], tuple[datetime, float]]
"""A clock's time (UTC), and how far off (s) it may be because of the way the question took."""


def disk(data_dir: Path, databases: list[Path]) -> Iterator[Finding]:
    """Room for the data directory and the SQLite files, and the size of their write-ahead logs."""
    folders = {file.parent for file in databases} | {data_dir}
    for folder in sorted(folder for folder in folders if folder.exists()):
        room = shutil.disk_usage(folder)
        says = f"{_gib(room.free)} of {_gib(room.total)} are free under {folder}"
        do = "make room or move the data directory; when it is full, ingest answers 503 and nothing is recorded"
        level: Level = (
            "bad" if room.free < SCARCE else "warning" if room.free < max(LITTLE, room.total * 0.02) else "ok"
        )
        yield Finding("disk", level, says, "" if level == "ok" else do)
    for file in databases:
        log = file.with_name(file.name + "-wal")
        if log.exists() and log.stat().st_size > LARGE_WAL:
            says = f"{log.name} has grown to {_gib(log.stat().st_size)}: somebody reads for very long"
            yield warning("disk", says, "end long readings of the store (back-ups, reports); then it shrinks")


def packages() -> Iterator[Finding]:
    """Python and what is installed, against what Billhook declares."""
    here = f"Billhook {version()}, Python {sys.version.split()[0]}, Celery {_of('celery')}, kombu {_of('kombu')}"
    wrong = [problem for name in _declared() if (problem := _problem(name))]
    if wrong:
        do = "install Billhook into a virtualenv of its own, with nothing beside it"
        yield bad("versions", f"{here}: {'; '.join(wrong)}", do)
    else:
        yield ok("versions", f"{here}, redis-py {_of('redis')}")


def _declared() -> list[str]:
    try:
        return requires("billhook") or []
    except PackageNotFoundError:
        return ["celery>=5.7,<5.8", "kombu>=5.7,<5.8", "redis>=8.1", "sqlalchemy>=2.1"]


def _problem(declared: str) -> str | None:
    from packaging.requirements import Requirement

    wanted = Requirement(declared)
    if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
        return None
    found = _of(wanted.name)
    if found == "missing":
        return f"{wanted.name} is missing"
    return None if wanted.specifier.contains(found, prereleases=True) else f"{wanted.name} {found} is not {wanted}"


def _of(package: str) -> str:
    try:
        return installed(package)
    except PackageNotFoundError:
        return "missing"


def database(found: Vitals) -> Iterator[Finding]:
    """The server's version and the revision of the tables."""
    oldest = OLDEST_POSTGRES if found.server.startswith("PostgreSQL") else OLDEST_SQLITE
    if found.version < oldest:
        least = ".".join(map(str, oldest))
        yield bad("database", f"{found.server} answers; Billhook needs {least} or newer", "upgrade it")
    else:
        yield ok("database", f"{found.server} answers")
    if found.revision == NEWEST:
        yield ok("tables", f"the tables are of this version's revision, {NEWEST}")
    elif found.revision is None:
        yield bad("tables", "the database has no tables of Billhook's", "start it once: `billhook up` makes them")
    elif found.revision < NEWEST:
        says = f"the tables are of revision {found.revision}, this version wants {NEWEST}"
        yield warning("tables", says, "restart Billhook with this version; its first process brings them up to date")
    else:
        says = f"the tables are of revision {found.revision}; this version of Billhook knows them up to {NEWEST}"
        yield bad("tables", says, "install the newer version here, too")


def clocks(
    others: dict[str, Clock], newest: tuple[datetime, str] | None, here: Callable[[], datetime] = now
) -> Iterator[Finding]:
    """This machine's clock against others' (by name), and against the trail's newest entry, which cannot be to come."""
    agreed = []
    for name, clock in others.items():
        before = here()
        there, unsure = clock()
        apart = abs((there - (before + (here() - before) / 2)).total_seconds()) - unsure
        if apart > APART:
            yield _apart(f"this machine's clock and that of {name} differ by {lasting(apart)}", apart)
        else:
            agreed.append(name)
    if newest is not None and (ahead := (newest[0] - here()).total_seconds()) > APART:
        process = newest[1].partition("/")[0]
        yield _apart(f"the clock of {process}, which wrote to the trail, is {lasting(ahead)} ahead of this one", ahead)
    elif len(agreed) == len(others):
        if agreed:
            yield ok("clock", f"this machine's clock agrees with {' and '.join(agreed)}")
        else:
            yield ok("clock", "there is no other clock to compare this machine's with")


def _apart(says: str, seconds: float) -> Finding:
    do = "run a time service (chrony, systemd-timesyncd) on both; due times and tokens depend on it, leases do not"
    return Finding("clock", "bad" if seconds > FAR_APART else "warning", says, do)


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
