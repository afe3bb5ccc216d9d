"""What an examination comes to, and how it is kept from hanging on what does not answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "bad"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what was found in one sentence, and what to do about it ("" where it is ok)."""

    check: str
    level: Level
    says: str
    do: str = ""


Check = Callable[[], Iterable[Finding]]


def ok(check: str, says: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", says)


def warning(check: str, says: str, do: str) -> Finding:
    """It works, but not as it should, or not for long."""
    return Finding(check, "warning", says, do)


def bad(check: str, says: str, do: str) -> Finding:
    """It does not work, or work stands still because of it."""
    return Finding(check, "bad", says, do)


def carry_out(checks: Sequence[tuple[str, Check]], within: float) -> list[Finding]:
    """The findings of all checks, which run side by side, in the order of the checks.

    One that raises, or has not answered `within` seconds, is a finding itself; its thread is left behind (a daemon:
    it does not keep the process).
    """
    until = time.monotonic() + within
    running = [(name, *_begin(name, check)) for name, check in checks]
    found: list[Finding] = []
    for name, thread, answer in running:
        thread.join(max(0.0, until - time.monotonic()))
        if thread.is_alive():
            do = "see whether what it asks hangs: Redis, the database, the disk"
            found.append(bad(name, f"gave no answer within {within:g} s", do))
        else:
            found += answer
    return found


def _begin(name: str, check: Check) -> tuple[threading.Thread, list[Finding]]:
    answer: list[Finding] = []

    def run() -> None:
        try:
            found = list(check())
        except Exception as error:  # whatever the thing that was asked for raises: that it did is the finding
            says = f"could not be looked at ({type(error).__name__}: {first_line(error)})"
            found = [bad(name, says, "look at what is bad above; if nothing is, report this as a defect")]
        answer.extend(found)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, answer


def first_line(error: object) -> str:
    """What an error says, in one line: drivers add statements, hints and addresses of pages."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")


def lasting(seconds: float) -> str:
    """A time as people say it: "40 s", "12 min", "3 h", "5 days"."""
    for unit, length in (("days", 172_800), ("h", 7_200), ("min", 120)):
        if seconds >= length:
            return f"{seconds / {'days': 86_400, 'h': 3_600, 'min': 60}[unit]:.0f} {unit}"
    return f"{seconds:.0f} s"
