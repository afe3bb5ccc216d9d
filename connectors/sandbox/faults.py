"""Faults on demand, per platform: by rate (seeded) or scripted for the next matching calls."""

from __future__ import annotations

import random
from collections import Counter
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from connectors.sandbox.base import Request


class Fault(StrEnum):
    """What can go wrong around a call. "After" means: the platform has committed."""

    ANSWER_LOST = "answer_lost"
    """Done; then the connection is cut without an answer."""
    CUT_HEADERS = "cut_headers"
    """Done; the answer ends inside its headers."""
    TRUNCATED = "truncated"
    """Done; the JSON is cut in the middle, the connection closed properly; without a body as `cut_headers`."""
    GARBAGE = "garbage"
    """Done; a proxy's HTML page comes back with status 200."""
    ERROR_AFTER = "error_after"
    """Done; answered with a 500."""
    ERROR_BEFORE = "error_before"
    """Not done; answered with a 500."""
    ERROR_STORED = "error_stored"
    """Not done; a 500 that the platform's idempotency layer stores and replays."""
    CUT_BEFORE = "cut_before"
    """Not done; the connection is cut."""
    THROTTLE = "throttle"
    """Not done; 429 with Retry-After."""
    SLOW = "slow"
    """Done; the answer comes `slow_seconds` late, if its client still waits for it."""
    LATE = "late"
    """The connection is cut at once, the call is carried out `late_seconds` later."""
    DRIP = "drip"
    """Done; the answer comes one byte a second."""
    EXPIRE_TOKENS = "expire_tokens"
    """Every access token expires before the call."""
    REFUSE_ELEMENT = "refuse_element"
    """One element of a bulk call is refused."""


class Scripted(BaseModel):
    """The next `times` calls whose "METHOD path" contains `match` get the fault."""

    model_config = ConfigDict(extra="forbid")

    fault: Fault
    match: str = ""
    times: int = 1


class Faults(BaseModel):
    """The faults of one platform."""

    model_config = ConfigDict(extra="forbid")

    rates: dict[Fault, float] = Field(default_factory=dict)
    """Probability per unsafe call of each fault; they exclude one another."""
    script: list[Scripted] = Field(default_factory=list)
    latency: float = 0.0
    """Seconds every answer takes."""
    slow_seconds: float = 2.0
    late_seconds: float = 1.0
    throttle_seconds: float = 1.0
    seed: int = 0


class Injector:
    """Draws the fault of each call and counts what it injected."""

    def __init__(self) -> None:
        self.injected: Counter[str] = Counter()
        self.configure(Faults())

    def configure(self, faults: Faults) -> None:
        self.faults = faults
        self._random = random.Random(faults.seed)

    def draw(self, request: Request, creates: bool) -> Fault | None:
        """The fault for this call, if any; scripted ones fall on any call, rates on unsafe ones only."""
        fault = self._scripted(f"{request.method} {request.target}") or (self._by_rate() if creates else None)
        if fault is not None:
            self.injected[fault] += 1
        return fault

    def _scripted(self, line: str) -> Fault | None:
        for entry in self.faults.script:
            if entry.match in line:
                entry.times -= 1
                if entry.times <= 0:
                    self.faults.script.remove(entry)
                return entry.fault
        return None

    def _by_rate(self) -> Fault | None:
        point = self._random.random()
        for fault, rate in self.faults.rates.items():
            point -= rate
            if point < 0:
                return fault
        return None
