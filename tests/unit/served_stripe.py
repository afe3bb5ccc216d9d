"""Stripe's emulator over real HTTP, and an attempt as the worker would make it; for the tests about Stripe."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.auth import StaticHeaders
from connectors.http import Http
from connectors.platforms.documents import Plan
from connectors.platforms.stripe import Stripe
from connectors.platforms.stripe_words import StripeCredentials, StripeSettings
from connectors.sandbox.server import Sandbox
from connectors.sandbox.stripe import Stripe as Emulated
from tests.contract.samples.stripe import SAMPLES


class Served:
    """The sandbox over real HTTP, in a thread of this test."""

    def __init__(self) -> None:
        self.sandbox = Sandbox(slugs=["stripe"])
        emulator = self.sandbox.hosted["stripe"].emulator
        assert isinstance(emulator, Emulated)
        self.emulator = emulator
        self.emulator.test_calls = self.emulator.endpoint_calls = 10_000
        self.loop = asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(self.sandbox.serve("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/stripe"
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def stripe(self, settings: Mapping[str, Any] = SAMPLES.settings) -> Stripe:
        credentials = StripeCredentials.model_validate(SAMPLES.credentials)
        auth = StaticHeaders(Stripe.proof("", credentials))
        return Stripe(StripeSettings.model_validate(settings), auth, Http(10.0), base_url=self.url)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.server.close()
        self.loop.close()


@dataclass
class Try:
    """An attempt as the worker would make it; `stop` runs before each step and may end the process."""

    draft: Any
    plan: Plan
    made: Mapping[str, str] = field(default_factory=dict)
    document: Any = None
    stop: Callable[[str], None] = lambda step: None

    def key(self, step: str) -> str:
        return f"{self.draft.key}-{step}"

    def begin(self, step: str) -> None:
        self.stop(step)

    def done(self, step: str, remote_id: str) -> None:
        self.made = {**self.made, step: remote_id}
