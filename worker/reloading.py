"""A changed `billhook.toml` takes effect in a running process; one that is broken changes nothing.

Who runs anyway looks at the file now and then (the pulse of a worker, ingest's loop, the supervisor of `billhook up`).
A new version is loaded and checked at once, and is in force some seconds after the file was changed: by then every
process of the machine has seen it, and all begin to use it at the same moment. So no worker knows less than the ingest
that took the event. A turn of work that has begun ends under the version with which it began (`runtime.turn`).
"""

from __future__ import annotations

import gc
import hashlib
import logging
import threading
import time
import tomllib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.config import Config, ConfigError, Runtime, parse, read

log = logging.getLogger(__name__)

EVERY = 2.0
"""Seconds between two looks at the file, at the least."""
AHEAD = 6.0
"""Seconds from a change of the file until it is in force: two looks, loading, and a margin."""
LIVE = {
    "metrics": {"token"},
    "timing": {"deadline", "linger", "attempts", "give_up_after"},
}
"""What may change of `[billhook]` while a process runs. The rest is bound to it: its ports, its threads, its files; and
`lease_margin`, by which a process that was stopped ends itself on waking."""

Signature = tuple[int, int, int, int]
"""Of a file: size, time of the last change of its contents and of the file itself (ns), inode."""


@dataclass(frozen=True, slots=True)
class InForce:
    """One version of the configuration, and what was made from it (`runtime.with_config`), which goes with it."""

    config: Config
    digest: str
    made: dict[Callable[..., Any], Callable[..., Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Coming:
    """A version that is right, and from when on it is in force: by the wall clock, at the latest by our own."""

    version: InForce
    at: float
    latest: float


class Keeper:
    """The configuration of this process. `refused`: why the file as it is now is not used (place, what is wrong and
    what to do); empty: it is. `restart`: settings in the file that this process was not started with. `taken` is called
    with each new configuration before it is in force."""

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises `ConfigError`."""
        self.taken: Callable[[Config], object] = lambda _: None
        self.refused: list[tuple[str, str]] = []
        self.restart: list[str] = []
        self._path, self._clock, self._ticks = path.absolute(), clock, ticks
        self._lock = threading.Lock()
        self._next_look = ticks() + EVERY
        self._seen = self._glimpsed = _signature(self._path)
        text = read(path)
        self._version = InForce(parse(text, path), digest_of(text))
        self._started_with = _flat(text)
        self._coming: deque[Coming] = deque()

    def in_force(self) -> InForce:
        """What is used from now on by whoever begins something."""
        if self._coming:
            with self._lock:
                while self._coming and self._due_in(self._coming[0]) <= 0:
                    self._version = self._coming.popleft().version
                    log.info("a new configuration is in force (%s)", self._version.digest)
        return self._version

    def wait(self) -> float:
        """Seconds until something may change: the next version's moment, or the next look."""
        coming = self._coming[0] if self._coming else None
        return min(EVERY, max(0.0, self._due_in(coming))) if coming else EVERY

    def look(self) -> None:
        """Loads the file if it has changed. Never raises; called again within `EVERY` seconds it does nothing."""
        now = self._ticks()
        if now < self._next_look:
            return
        self._next_look = now + EVERY
        try:
            self._look()
        except Exception as error:  # whoever looks has other things to do, and goes on under what it has
            log.exception("the configuration cannot be loaded")
            self._refuse([(str(self._path), f"cannot be loaded ({type(error).__name__})")])

    def _look(self) -> None:
        signature = _signature(self._path)
        if signature == self._seen:
            return
        in_place = signature is None or (self._seen is not None and signature[-1] == self._seen[-1])
        if in_place and signature != self._glimpsed:
            self._glimpsed = signature  # somebody may be in the middle of writing it: when it has rested, it is read
            return
        try:
            text = read(self._path)
            if _signature(self._path) != signature:
                return
            self._seen = self._glimpsed = signature
            config = parse(text, self._path)
        except ConfigError as error:
            self._seen = self._glimpsed = signature
            self._refuse(error.problems)
            return
        self._accept(text, config, signature)

    def _refuse(self, problems: list[tuple[str, str]]) -> None:
        self.refused = problems
        said = "; ".join(f"{place}: {what}" for place, what in problems)
        log.error("%s cannot be used as it is now; the one before it stays in force: %s", self._path.name, said)

    def _accept(self, text: str, config: Config, signature: Signature | None) -> None:
        digest = digest_of(text)
        newest = self._coming[-1].version if self._coming else self._version
        self.refused = []
        said = _flat(text)
        restart = sorted(
            name for name in {*said, *self._started_with} if said.get(name) != self._started_with.get(name)
        )
        if restart and restart != self.restart:
            log.warning("%s: these settings of [billhook] need a restart: %s", self._path.name, ", ".join(restart))
        self.restart = restart
        bound = _of_this_process(self._version.config.billhook, config.billhook)
        config = config.model_copy(update={"billhook": bound})
        if digest == newest.digest and config == newest.config:
            return
        self.taken(config)
        gc.collect()  # connections that the version before the last one held are in cycles
        changed = signature[2] / 1e9 if signature else self._clock()
        at = min(changed, self._clock()) + AHEAD
        with self._lock:
            self._coming.append(Coming(InForce(config, digest), at, self._ticks() + AHEAD))

    def _due_in(self, coming: Coming) -> float:
        return min(coming.at - self._clock(), coming.latest - self._ticks())

    def standing(self) -> dict[str, Any]:
        """For others to read: which version is in force here, and what is wrong with the file."""
        return {"digest": self.in_force().digest, "refused": self.refused, "restart": self.restart}


def digest_of(text: str) -> str:
    """By which versions of the file are told apart."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _signature(path: Path) -> Signature | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _flat(text: str) -> dict[str, Any]:
    """What the file itself says under `[billhook]` of what cannot change in a running process, by setting."""
    found: dict[str, Any] = {}
    section = tomllib.loads(text).get("billhook", {})
    for name, value in section.items():
        inner = value if isinstance(value, Mapping) else {"": value}
        for key, one in inner.items():
            if key not in LIVE.get(name, ()):
                found[f"{name}.{key}".rstrip(".")] = one
    return found


def _of_this_process(own: Runtime, new: Runtime) -> Runtime:
    """What this process was started with, but for what may change while it runs."""
    changes: dict[str, Any] = {}
    for section, names in LIVE.items():
        fresh = getattr(new, section)
        changes[section] = getattr(own, section).model_copy(update={name: getattr(fresh, name) for name in names})
    return own.model_copy(update=changes)
