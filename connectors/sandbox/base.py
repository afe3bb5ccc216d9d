"""What every emulated platform has: state in SQLite, the vendor's quotas, a ledger that others count by.

An emulator is strict: what the real platform would refuse is refused with the platform's own error body.
It is written from the vendor's documentation, never from the connector, and imports none.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from connectors.registry import plug_ins
from connectors.sandbox.shelf import written


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived. Header names are lower-case; `path` is below the emulator's own prefix."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def bearer(self) -> str:
        """The token of the Authorization header."""
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    @property
    def basic(self) -> str | None:
        """Name and password of the Authorization header, joined by a colon; None where it has none (RFC 7617)."""
        scheme, _, proof = self.headers.get("authorization", "").partition(" ")
        try:
            return base64.b64decode(proof, validate=True).decode() if scheme == "Basic" else None
        except ValueError:
            return None

    @property
    def fault(self) -> str | None:
        """What the server wants to go wrong inside: "error_stored" or "refuse_element"."""
        return self.headers.get("x-sandbox-fault")

    def json(self) -> Any:
        """The body, its numbers exact. Raises `ValueError` when it is not JSON."""
        return json.loads(self.body, parse_float=Decimal)

    def form(self) -> list[tuple[str, str]]:
        """The pairs of a form-encoded body, in order."""
        return parse_qsl(self.body.decode(), keep_blank_values=True)

    def object(self, refusal: Callable[[], Exception]) -> dict[str, Any]:
        """The body, which must be a JSON object; raises `refusal()` where it is none."""
        try:
            body = self.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise refusal()
        return body


@dataclass(slots=True)
class Response:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
        """A JSON value; a `Decimal` in it is a number."""
        return cls(status, written(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    @classmethod
    def pdf(cls, *words: object) -> Response:
        """Just enough of a PDF to tell which document it shows."""
        text = " ".join(map(str, words))
        return cls(200, f"%PDF-1.4\n% {text}\n%%EOF\n".encode(), {"Content-Type": "application/pdf"})


class Refusal(Exception):
    """The platform says no, with this answer in its own words."""

    def __init__(self, response: Response, message: str = "") -> None:
        super().__init__(message)
        self.response = response


@dataclass(frozen=True)
class Entry:
    """One invoice or credit note in a platform's books, as a stranger who counts sees it. Amounts in major units,
    as text."""

    id: str
    reference: str
    key: str
    customer: str
    """The customer's name or e-mail: who, not which id."""
    lines: tuple[str, ...]
    """Each line as "description × quantity @ unit price"."""
    currency: str
    total: str
    status: str
    """draft, issued, paid or void."""


class Rolling:
    """At most `calls` in any window of `seconds`; counts what it refuses."""

    heeded: ClassVar[bool] = True
    """False in a process that measures speed: every call fits (`Sandbox.lift_limits`)."""

    def __init__(self, calls: int, seconds: float) -> None:
        self.calls, self.seconds = calls, seconds
        self._times: deque[float] = deque()

    def wait(self, now: float) -> float:
        """0 when a call fits now, else the seconds until one does."""
        while self._times and self._times[0] <= now - self.seconds:
            self._times.popleft()
        return 0.0 if len(self._times) < self.calls or not self.heeded else self._times[0] + self.seconds - now

    def take(self, now: float) -> None:
        self._times.append(now)

    @property
    def remaining(self) -> int:
        return self.calls - len(self._times)


class Emulator:
    """One emulated platform. Registered by existing: a file in this package, nothing to edit.

    `handle` runs in one thread and is atomic: what it did is committed when it returns, and what it refused leaves
    nothing behind. Faults, latency and lost answers happen around it, in the server. `clock` gives Unix seconds.
    """

    slug: ClassVar[str]
    sample: ClassVar[str] = ""
    """Credentials and settings that work here, as the lines of an account in billhook.toml."""
    keyed: ClassVar[bool] = False
    """Whether it has an idempotency layer, which stores errors too: then `answer` heeds the fault `error_stored`."""
    concurrent: ClassVar[int | None] = None
    """Calls in flight at once that the platform allows per tenant; the server counts them."""

    def __init__(self, database: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self.db = database
        self.clock = clock
        self.refused_for_quota = 0
        """How many calls were answered "too many"; a good client has none."""
        self._lasting: list[Callable[[], object]] = []
        self.setup()

    def setup(self) -> None:
        """Creates tables (IF NOT EXISTS, names prefixed with the slug) and standing data."""
        raise NotImplementedError

    def handle(self, request: Request) -> Response:
        """What the server calls: an answer, whose changes of the books are all kept.

        A `Refusal` is an answer. An answer of 400 or more leaves nothing behind but what `lasts`; an exception nothing.
        """
        if not self.keyed and request.fault == "error_stored":
            return self.failure(500)
        self._lasting.clear()
        self.db.execute("BEGIN")
        try:
            response = self.told(lambda: self.answer(request))
            if response.status >= 400:
                self.db.execute("ROLLBACK")
                self.db.execute("BEGIN")
                for act in self._lasting:
                    act()
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")
        return response

    def lasts(self, act: Callable[[], object]) -> None:
        """Does what outlives a refusal of this call: an answer kept under its key, a session that was used."""
        self._lasting.append(act)
        act()

    def told(self, act: Callable[[], Response]) -> Response:
        """What `act` answers; a `Refusal` is an answer, and what is `unreadable` too."""
        try:
            return act()
        except Refusal as refusal:
            return refusal.response
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            return self.unreadable(error)

    def unreadable(self, error: Exception) -> Response:
        """The platform's own answer to a body that is none, or lacks what it must have.

        Raises the error where the platform has none: then it is taken for a bug of the emulator.
        """
        raise error

    def answer(self, request: Request) -> Response:
        """Answers as the platform would, quotas and credentials included; in a transaction of `db`.

        May raise `Refusal`.
        """
        raise NotImplementedError

    def counted(self, *limits: Rolling) -> float:
        """0, and one call more on each limit; or the seconds until there is room on all, and nothing counted."""
        now = self.clock()
        if wait := max((limit.wait(now) for limit in limits), default=0.0):
            self.refused_for_quota += 1
            return wait
        for limit in limits:
            limit.take(now)
        return 0.0

    def carried_out(self, request: Request, act: Callable[[], Response]) -> Response:
        """What an idempotency layer keeps: what `act` answers, a `Refusal` too, or the 500 that is to be stored."""
        return self.failure(500) if request.fault == "error_stored" else self.told(act)

    def creates(self, request: Request) -> bool:
        """Whether the request is an unsafe call on invoices, credit notes or customers: faults fall on these."""
        return request.method in {"POST", "PUT", "PATCH"}

    def tenant(self, request: Request) -> str:
        """Whose quota the request uses."""
        return request.headers.get("authorization", "")

    def too_many(self, retry_after: float) -> Response:
        """The platform's own answer to a call over its quota."""
        raise NotImplementedError

    def failure(self, status: int) -> Response:
        """The platform's own body of a 500 or 503."""
        raise NotImplementedError

    def expire_tokens(self) -> None:
        """Makes every access token invalid from now on (where the platform has tokens)."""

    def refuse_element(self, request: Request) -> Request:
        """The request of a bulk call, one element of which `answer` is to refuse (`Request.fault`). Marked in a header,
        not in the body: an idempotency layer must see the request as it was sent."""
        return dataclasses.replace(request, headers={**request.headers, "x-sandbox-fault": "refuse_element"})

    def ledger(self) -> list[Entry]:
        """Every invoice in the books, drafts and voided ones too."""
        raise NotImplementedError

    def credits(self) -> list[Entry]:
        """Every credit note in the books, drafts and voided ones too; amounts positive. None where there are none."""
        return []

    def customers(self) -> list[tuple[str, str]]:
        """Every living customer in the books: name and e-mail address, as a stranger who counts sees them.

        None where the platform keeps no customers and who is billed stands in each invoice.
        """
        raise NotImplementedError


@cache
def emulators() -> dict[str, type[Emulator]]:
    """Every emulator by slug; a file in this package is one."""
    return plug_ins("connectors.sandbox", Emulator, "slug", lambda found: found.slug)
