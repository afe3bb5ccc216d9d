"""The sandbox in a thread of the test, over real HTTP, and the platforms as they run against it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

from connectors.auth import Grant, StaticHeaders
from connectors.http import Http
from connectors.platforms.base import Platform, platforms
from connectors.platforms.facts import Facts, Key
from connectors.platforms.inline import InlineCustomers
from connectors.sandbox.base import Emulator, Entry, Rolling, emulators
from connectors.sandbox.faults import Fault, Faults, Scripted
from connectors.sandbox.server import Hosted, Sandbox
from tests.contract import toy, toy_emulator
from tests.contract.samples.base import Samples
from tests.kit.processes import eventually

T = TypeVar("T")


@dataclass(frozen=True)
class Subject:
    """One platform of the suite: the connector, its emulator, its samples."""

    platform: type[Platform]
    emulator: type[Emulator]
    samples: Samples

    @property
    def slug(self) -> str:
        return self.samples.slug

    @property
    def facts(self) -> Facts:
        """Those of an account with the samples' settings."""
        return self.platform.facts_of(self.settings())

    @property
    def key(self) -> Key | None:
        """The idempotency key of a call for one document, where the platform has one."""
        key = self.facts.key
        return None if key is None or key.packed else key

    @property
    def keeps_customers(self) -> bool:
        """Not where who is billed stands in each invoice."""
        return not issubclass(self.platform.Customers, InlineCustomers)

    def settings(self, **changed: Any) -> Any:
        return self.platform.Settings.model_validate({**self.samples.settings, **changed})

    def headers(self) -> dict[str, str]:
        """What proves us to a fresh emulator."""
        static = self.platform.static_headers(self.credentials())
        return dict(self.platform.proof(self.samples.token or "", self.credentials()) if static is None else static)

    def credentials(self) -> Any:
        return self.platform.Credentials.model_validate(dict(self.samples.credentials))

    def grant(self) -> Grant | None:
        """Who gives tokens or sessions, where the platform has them."""
        return self.platform.grant(self.settings(), self.credentials())

    def at(
        self, url: str, *, deadline: float = 10.0, settings: Any = None, headers: Any = None, permit: Any = nullcontext
    ) -> Any:
        """The platform, pointed at an address; its Http is told no secrets beforehand."""
        auth = StaticHeaders(headers or self.headers())
        return self.platform(settings or self.settings(), auth, Http(deadline), url, permit)


def incomplete() -> dict[str, str]:
    """Platforms that cannot be tested, and what they lack."""
    lacking = {}
    for slug in platforms():
        if find_spec(f"tests.contract.samples.{slug}") is None:
            lacking[slug] = f"tests/contract/samples/{slug}.py"
        elif slug not in emulators():
            lacking[slug] = f"connectors/sandbox/{slug}.py"
    return lacking


@cache
def subjects() -> dict[str, Subject]:
    """Every platform that brings what it must, its variants (samples of their own), and two that exist only here."""
    found = {
        slug: Subject(kind, emulators()[slug], import_module(f"tests.contract.samples.{slug}").SAMPLES)
        for slug, kind in platforms().items()
        if slug not in incomplete()
    }
    for slug in list(found):
        variants = getattr(import_module(f"tests.contract.samples.{slug}"), "VARIANTS", {})
        for name, (kind, samples) in variants.items():
            found[f"{slug}_{name}"] = Subject(kind, found[slug].emulator, samples)
    found["toy_bulk"] = Subject(toy.ToyBulk, toy_emulator.ToyBulkBooks, toy.BULK_SAMPLES)
    found["toy_steps"] = Subject(toy.ToySteps, toy_emulator.ToyStepsBooks, toy.STEPS_SAMPLES)
    return found


class RunningSandbox:
    """Some emulators on a port of their own; everything done to them from a test happens in their thread."""

    def __init__(self, kinds: Iterable[type[Emulator]]) -> None:
        self.loop = asyncio.new_event_loop()
        self.sandbox = Sandbox(slugs=[])
        self.ahead = 0.0
        for kind in kinds:
            self.sandbox.hosted[kind.slug] = Hosted(kind(self.sandbox.database, lambda: time.time() + self.ahead))
        ready: Future[int] = Future()
        self._thread = threading.Thread(target=self._serve, args=(ready,), name="sandbox", daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{ready.result(10)}"

    def _serve(self, ready: Future[int]) -> None:
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(self.sandbox.serve("127.0.0.1", 0))
        ready.set_result(server.sockets[0].getsockname()[1])
        self.loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.sandbox.database.close()

    def run(self, action: Callable[[], T]) -> T:
        """Does something in the sandbox's own thread."""
        done: Future[T] = Future()

        def act() -> None:
            try:
                done.set_result(action())
            except BaseException as error:
                done.set_exception(error)

        self.loop.call_soon_threadsafe(act)
        return done.result(30)

    def pass_time(self, seconds: float) -> None:
        """Moves the platforms' clock on."""
        self.ahead += seconds


class Books:
    """One platform against its emulator."""

    def __init__(self, subject: Subject, sandbox: RunningSandbox) -> None:
        self.subject, self.sandbox = subject, sandbox
        self.hosted = sandbox.sandbox.hosted[subject.slug]
        self.emulator: Any = self.hosted.emulator
        self.url = f"{sandbox.url}/{subject.slug}"
        self.refresh: str | None = subject.samples.credentials.get("refresh_token")
        self.platform = self.connected()

    def connected(self, *, hurried: bool = False, **options: Any) -> Any:
        """The platform, whose calls keep its quotas by the second, as a worker's do; `hurried`: they do not."""
        return self.subject.at(self.url, permit=nullcontext if hurried else self._in_time, **options)

    def _in_time(self, kind: str) -> AbstractContextManager[object]:
        """Nobody waits here: the platform's clock is moved on."""
        for quota in self.subject.facts.quotas:
            if quota.per <= timedelta(seconds=10):
                self.sandbox.pass_time(1.01 * quota.per.total_seconds() / quota.calls)
        return nullcontext()

    def renewed(self, **options: Any) -> Any:
        """The platform with fresh credentials: another token where it has tokens."""
        grant, credentials = self.subject.grant(), self.subject.credentials()
        if grant is None:
            return self.connected(**options)
        token = grant.at(self.url).obtain(Http(10), credentials, self.refresh)
        self.refresh = token.refresh or self.refresh  # some work once only
        return self.connected(headers=self.subject.platform.proof(token.access, credentials), **options)

    def fault(self, fault: Fault, times: int = 1, **options: Any) -> None:
        """The next calls get it."""
        faults = Faults(script=[Scripted(fault=fault, times=times)], **options)
        self.sandbox.run(lambda: self.hosted.injector.configure(faults))

    def heal(self) -> None:
        """Ends all faults and waits for what the platform still works on."""
        self.sandbox.run(lambda: self.hosted.injector.configure(Faults()))
        eventually(lambda: not self.sandbox.run(self.hosted.in_flight.total), within=10, every=0.02)
        self.sandbox.pass_time(61)  # for whatever is counted by the minute; keys live longer

    def nearly_used_up(self, calls: int, left: int = 1000) -> int:
        """Of a quota of very many calls, as if all but some had been made; how many can still be made."""

        def use() -> None:
            for limit in vars(self.emulator).values():
                while isinstance(limit, Rolling) and limit.calls == calls and limit.remaining > left:
                    limit.take(self.emulator.clock())

        self.sandbox.run(use)
        return min(calls, left)

    def ledger(self) -> list[Entry]:
        return self.sandbox.run(self.emulator.ledger)

    def credits(self) -> list[Entry]:
        return self.sandbox.run(self.emulator.credits)

    def customers(self) -> list[tuple[str, str]]:
        return self.sandbox.run(self.emulator.customers)

    def entries(self, reference: str) -> list[Entry]:
        """What a stranger finds in the books under the reference."""
        return [entry for entry in self.ledger() if entry.reference == reference]

    def calls(self) -> list[dict[str, Any]]:
        return self.sandbox.run(lambda: list(self.hosted.calls))
