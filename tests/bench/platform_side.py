"""A platform in virtual time: the emulator behind the door through which every call of a connector goes."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.structures import CaseInsensitiveDict

from connectors.sandbox.base import Emulator, Request, Response, Rolling
from tests.bench.virtual import Virtual


@dataclass(slots=True)
class Call:
    """`begun` and `ended` in Unix seconds, as the platform sees it."""

    begun: float
    creates: bool
    path: str
    ended: float = 0.0
    status: int = 0


class _Watched(Rolling):
    """A limit of the emulator that keeps the times of the calls it counted."""

    def __init__(self, calls: int, seconds: float) -> None:
        super().__init__(calls, seconds)
        self.taken: list[float] = []

    def take(self, now: float) -> None:
        super().take(now)
        self.taken.append(now)


class Door:
    """In place of `requests`' adapter: a call takes `latency` seconds, half of them on the way. `at_once`: calls in
    flight at once that the connector allows itself."""

    def __init__(self, emulator: Emulator, clock: Virtual, latency: float, at_once: int) -> None:
        self.emulator, self._clock, self._latency, self.at_once = emulator, clock, latency, at_once
        self._in_flight: Counter[str] = Counter()
        self.calls: list[Call] = []
        self.limits = {
            name: _Watched(it.calls, it.seconds) for name, it in vars(emulator).items() if type(it) is Rolling
        }
        for name, limit in self.limits.items():
            setattr(emulator, name, limit)

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        """Carries the request to the emulator and its answer back."""
        parts = urlsplit(request.url or "")
        target = "/" + parts.path.lstrip("/").partition("/")[2] + (f"?{parts.query}" if parts.query else "")
        body = request.body or b""
        headers = {name.lower(): str(value) for name, value in request.headers.items()}
        asked = Request(
            str(request.method), str(target), headers, body.encode() if isinstance(body, str) else bytes(body)
        )
        self._clock.sleep(self._latency / 4)
        told = self._at_the_platform(asked)
        self._clock.sleep(self._latency / 4)
        answer = requests.Response()
        answer.status_code, answer._content = told.status, told.body
        answer.headers = CaseInsensitiveDict(told.headers)
        return answer

    def begin(self) -> None:
        """From now on calls are reported."""
        self.calls.clear()

    def _at_the_platform(self, asked: Request) -> Response:
        emulator, tenant = self.emulator, self.emulator.tenant(asked)
        call = Call(self._clock.now, emulator.creates(asked), asked.path)
        self.calls.append(call)
        self._in_flight[tenant] += 1
        if emulator.concurrent is not None and self._in_flight[tenant] > emulator.concurrent:
            emulator.refused_for_quota += 1
            told = emulator.too_many(1.0)
        else:
            told = emulator.handle(asked)
        call.status = told.status
        self._clock.sleep(self._latency / 2)
        self._in_flight[tenant] -= 1
        call.ended = self._clock.now
        return told

    def report(self) -> dict[str, Any]:
        """`calls`, `creates`, `refused` (429), and how full the quotas were while work waited (`used`): over that time,
        the mean of the fullest quota's share; `quota` is the one that was the fullest for longest."""
        used, by_quota = self._used()
        return {
            "calls": len(self.calls),
            "creates": sum(call.creates for call in self.calls),
            "refused": self.emulator.refused_for_quota,
            "used": round(used, 4),
            "quota": max(by_quota, key=lambda name: by_quota[name]) if by_quota else "",
            "fullest_seconds": {name: round(seconds, 1) for name, seconds in by_quota.items()},
        }

    def _used(self) -> tuple[float, dict[str, float]]:
        """From the first call to the last one's beginning; who begins last is waited for by nothing."""
        changes: list[tuple[float, str, int]] = []
        most: dict[str, int] = {}
        for limit in self.limits.values():
            name = f"{limit.calls:,} in {limit.seconds:g} s"
            most[name] = limit.calls
            for at in limit.taken:
                changes += [(at, name, 1), (at + limit.seconds, name, -1)]
        if self.at_once:
            name = f"{self.at_once} at once"
            most[name] = self.at_once
            for call in self.calls:
                changes += [(call.begun - self._latency / 4, name, 1), (call.ended + self._latency / 4, name, -1)]
        return _mean_of_fullest(sorted(changes), most, self.calls[0].begun, self.calls[-1].begun)


def _mean_of_fullest(
    changes: list[tuple[float, str, int]], most: dict[str, int], begins: float, ends: float
) -> tuple[float, dict[str, float]]:
    """The mean over time of the fullest quota's share, and for how many seconds each was the fullest."""
    taken: Counter[str] = Counter()
    seconds: dict[str, float] = defaultdict(float)
    area = 0.0
    for (at, name, change), (until, _, _) in pairwise([*changes, (ends, "", 0)]):
        taken[name] += change
        lasts = min(until, ends) - max(at, begins)
        if lasts > 0:
            fullest = max(most, key=lambda name: taken[name] / most[name])
            area += lasts * taken[fullest] / most[fullest]
            seconds[fullest] += lasts
    return (area / (ends - begins) if ends > begins else 1.0), seconds
