"""What processes cost: CPU time and memory of each with all that it started, from /proc (Linux; elsewhere nothing)."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("celery", "kombu", "redis", "sqlalchemy", "psycopg", "requests", "pydantic", "uvicorn", "fastapi")


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """CPU time of each process and of all in its group (proc(5): fields 5, 14 and 15 of `stat`)."""
    ticks: dict[int, int] = {}
    for _, fields in _stats():
        group = int(fields[2])
        ticks[group] = ticks.get(group, 0) + int(fields[11]) + int(fields[12])
    second = os.sysconf("SC_CLK_TCK")
    return {name: ticks[pid] / second for name, pid in pids.items() if pid in ticks}


def family_cpu_seconds(pid: int) -> float:
    """CPU time of a process, of its children that live and of those that ended (fields 14 to 17): for PostgreSQL,
    each of whose backends is a process group of its own."""
    ticks = 0
    for number, fields in _stats():
        if number == pid:
            ticks += sum(int(fields[place]) for place in (11, 12, 13, 14))
        elif int(fields[1]) == pid:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def own_cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended (a client's)."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def busy_seconds() -> float:
    """CPU time of the whole machine that was not idle (proc(5), `stat`; guests are in user time); 0 where unknown."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    except OSError:
        return 0.0
    ticks = [int(field) for field in fields]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def memory_mib(pids: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """Memory of each process and of all in its group, in MiB: `rss` counts shared pages in every process that has
    them, `pss` only this one's share of them (proc(5), `smaps_rollup`)."""
    names = {pid: name for name, pid in pids.items()}
    found: dict[str, dict[str, float]] = {}
    for number, fields in _stats():
        if (name := names.get(int(fields[2]))) is None:
            continue
        mine = found.setdefault(name, {"rss": 0.0, "pss": 0.0, "processes": 0})
        mine["processes"] += 1
        with suppress(OSError):
            for line in Path(f"/proc/{number}/smaps_rollup").read_text(encoding="ascii").splitlines():
                if line.startswith(("Rss:", "Pss:")):
                    mine[line[:3].lower()] += int(line.split()[1]) / 1024
    return {name: {what: round(value, 1) for what, value in mine.items()} for name, mine in found.items()}


def versions() -> dict[str, str]:
    """Of Python and of the packages that do the work on either side."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def _stats() -> Iterator[tuple[int, list[str]]]:
    """Every process: its id, and the fields of its `stat` from the third (state) on."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            text = stat.read_text(encoding="utf-8", errors="replace")
            yield int(stat.parent.name), text.rpartition(")")[2].split()
