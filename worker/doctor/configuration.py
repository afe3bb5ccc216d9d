"""Whether all who work do so under the configuration file as it is now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from worker.doctor.findings import Finding, bad, ok, warning

CHECK = "configuration"
BEFORE = "the one before it stays in force"


def unusable(problems: Sequence[tuple[str, str]]) -> list[Finding]:
    """The file cannot be read here; so nothing else can be looked at."""
    do = "correct it; `billhook check` says when it is right. What runs goes on under the configuration that it has"
    return [bad(CHECK, f"{place}: {what}", do) for place, what in problems]


def standing(said: Mapping[str, Mapping[str, Any]], names: Sequence[str], digest: str) -> Iterator[Finding]:
    """What workers say of theirs (`Keeper.standing`, by name). `names`: of those that live; `digest`: of the file."""
    theirs = {name: said[name] for name in sorted(names) if name in said}
    well = 0
    for name, one in theirs.items():
        if one["refused"]:
            why = "; ".join(f"{place}: {what}" for place, what in one["refused"])
            do = "correct the file, or what it names in that process's environment; it is looked at every two seconds"
            yield bad(CHECK, f"{name} cannot use the file as it is now, {BEFORE}: {why}", do)
        elif one["restart"]:
            says = (
                f"{name} was started with other settings of [billhook] than the file has: {', '.join(one['restart'])}"
            )
            yield warning(CHECK, says, "restart it; these settings do not change in a running process")
        elif one["digest"] != digest:
            says = f"{name} works under another version of the file ({one['digest']}; here it is {digest})"
            yield warning(
                CHECK, says, "nothing, if it was changed just now; on another machine, put the same file there"
            )
        else:
            well += 1
    if well:
        yield ok(CHECK, f"{well} worker(s) work under the file as it is now ({digest})")


def refused_by_ingest(url: str) -> Finding:
    """Ingest takes events, but by an older file."""
    return bad(CHECK, f"ingest at {url} cannot use the file as it is now, {BEFORE}", "its log says why; correct it")
