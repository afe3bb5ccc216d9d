"""The sandbox platforms in a thread of the test, spoken to over real HTTP: faults, ledgers and calls at hand."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from connectors.sandbox.base import Entry, Request, Response, Rolling
from connectors.sandbox.faults import Fault, Faults, Scripted
from connectors.sandbox.server import Hosted, Sandbox

T = TypeVar("T")


@dataclass(frozen=True)
class RemoteCustomer:
    """A customer in a platform's books."""

    name: str
    email: str


class SandboxServer:
    """Listens at `url` from the start. Whatever is asked of the books is asked between two calls, never within one."""

    def __init__(self, file: Path | None = None) -> None:
        self._sandbox = Sandbox(file)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandbox", daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._sandbox.serve("127.0.0.1", 0), self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, slug: str, question: Callable[[Hosted], T]) -> T:
        """What the question says of a platform; asked in the thread that serves it."""

        async def asked() -> T:
            return question(self._sandbox.hosted[slug])

        return asyncio.run_coroutine_threadsafe(asked(), self._loop).result(30)

    def faults(self, slug: str, faults: Faults) -> None:
        """From now on these faults, and no others, on the platform."""
        self.ask(slug, lambda hosted: hosted.injector.configure(faults.model_copy(deep=True)))

    def script(self, slug: str, fault: Fault, match: str = "", times: int = 1, **more: float) -> None:
        """The next `times` calls whose "METHOD path" contains `match` get the fault; nothing else goes wrong."""
        self.faults(slug, Faults.model_validate({"script": [Scripted(fault=fault, match=match, times=times)], **more}))

    def heal(self, slug: str) -> None:
        """Ends all faults of the platform."""
        self.faults(slug, Faults())

    def ledger(self, slug: str) -> list[Entry]:
        """Every invoice in the books, drafts and voided ones too."""
        return self.ask(slug, lambda hosted: hosted.emulator.ledger())

    def credits(self, slug: str) -> list[Entry]:
        """Every credit note in the books."""
        return self.ask(slug, lambda hosted: hosted.emulator.credits())

    def report(self, slug: str) -> dict[str, Any]:
        """Calls, faults injected, refused for quota, most in flight at once."""
        return self.ask(slug, Hosted.report)

    def calls(self, slug: str) -> list[dict[str, Any]]:
        """The last 10,000 calls, oldest first: at, method, target, status, fault."""
        return self.ask(slug, lambda hosted: [dict(call) for call in hosted.calls])

    def customers(self, slug: str) -> list[RemoteCustomer]:
        """The customers in the books."""
        return self.ask(slug, lambda hosted: [RemoteCustomer(*one) for one in hosted.emulator.customers()])

    def request(self, slug: str, request: Request) -> Response:
        """Carries a request out on the platform, as a person working there by hand would."""
        return self.ask(slug, lambda hosted: hosted.emulator.handle(request))

    def quota(self, slug: str, **limits: Rolling) -> None:
        """Sets attributes of the emulator, such as Xero's `per_minute`."""

        def changed(hosted: Hosted) -> None:
            for name, limit in limits.items():
                setattr(hosted.emulator, name, limit)

        self.ask(slug, changed)

    def close(self) -> None:
        """Ends the server; connections that stand are cut."""

        async def closed() -> None:
            self._server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        asyncio.run_coroutine_threadsafe(closed(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
