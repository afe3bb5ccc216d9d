"""What an emulator refuses leaves nothing behind: no half-made document, no claim, no number."""

from __future__ import annotations

import dataclasses
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from connectors.sandbox.base import Emulator, Refusal, Request, Response, Rolling
from connectors.sandbox.server import Hosted
from tests.contract import orders
from tests.contract.running import Books, RunningSandbox, Subject
from tests.contract.walking import attempt, packed

VALUES = {
    "form": re.compile(rb"=([^&]+)"),
    "json": re.compile(rb'("(?:[^"\\]|\\.)*"|-?\d[\d.]*|true|false)(?=\s*[,\]}])'),
    "xml": re.compile(rb">([^<>]+)<"),
}
WRONG = {"form": (b"zz-none", b""), "json": (b'"zz-none"', b"null", b"-7", b'"2020-01-01"'), "xml": (b"zz-none", b"")}
SAYS_NO = re.compile(
    rb'"didSucceed": false|"errors": \[\{|"error": |<fault>|"Fault": |"httpStatusCode": 4|HTTP/1\.1 4|"type": "error"'
)
"""In answers that are a success on the outside."""
SAYS_YES = re.compile(rb'"status": 2\d\d\b|"results": \[\{')
"""Of another element of the same call."""


def refused(response: Response) -> bool:
    """As a whole."""
    body = response.body
    return response.status >= 400 or (SAYS_NO.search(body) is not None and SAYS_YES.search(body) is None)


def spoilt(request: Request) -> Iterator[Request]:
    """The request as it is, and with each value of its body wrong; without its key, so that it is not a replay."""
    headers = {name: value for name, value in request.headers.items() if "idempotency" not in name}
    kind = next((name for name in ("form", "xml") if name in headers.get("content-type", "")), "json")
    yield dataclasses.replace(request, headers=headers)
    for found in VALUES[kind].finditer(request.body):
        for wrong in WRONG[kind]:
            body = request.body[: found.start(1)] + wrong + request.body[found.end(1) :]
            yield dataclasses.replace(request, headers=headers, body=body)


def remembered(database: sqlite3.Connection) -> str:
    """All that is in the books; not the answers that an idempotency layer keeps, errors too."""
    return "\n".join(row for row in database.iterdump() if "_answers" not in row)


def answered(emulator: Emulator, request: Request) -> Response | None:
    """None where the emulator broke on what it was sent."""
    try:
        return emulator.handle(request)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError):
        return None


def left_behind(emulator: Emulator, asked: list[tuple[Request, bytes]]) -> tuple[int, list[tuple[bytes, bytes]]]:
    """How many requests were refused, before and after the good ones; and those that left something behind."""
    count, wrong, last = 0, [], emulator.db.serialize()
    for request, state in ((request, state) for request, first in asked for state in (first, last)):
        emulator.db.deserialize(state)
        before = remembered(emulator.db)
        for one in spoilt(request):
            response = answered(emulator, one)
            no = response is None or refused(response)
            count += no
            if no and remembered(emulator.db) != before:
                wrong.append((one.body, response.body if response else b""))
            if not no or wrong:
                emulator.db.deserialize(state)
    return count, wrong


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands still: a quota would be used up, and say no to everything."""
    monkeypatch.setattr(Rolling, "heeded", False)


@contextmanager
def watched(subject: Subject) -> Iterator[tuple[Books, list[tuple[Request, bytes]]]]:
    """The platform on an emulator whose clock stands still; each unsafe call, and the database before it."""
    sandbox, now = RunningSandbox([]), time.time()
    emulator = sandbox.run(lambda: subject.emulator(sandbox.sandbox.database, lambda: now))
    sandbox.sandbox.hosted[subject.slug] = Hosted(emulator)
    asked, good = list[tuple[Request, bytes]](), emulator.handle

    def handle(request: Request) -> Response:
        if emulator.creates(request):
            asked.append((request, emulator.db.serialize()))
        return good(request)

    emulator.handle = handle
    try:
        yield Books(subject, sandbox), asked
    finally:
        sandbox.close()


def test_what_is_refused_leaves_nothing_behind(subject: Subject) -> None:
    """Every unsafe call of a customer and an invoice, with every value of it wrong, and once more as it was."""
    with watched(subject) as (books, asked):
        draft = orders.ORDERS["two lines, discount, shipping"]()
        assert books.platform.invoices.create(attempt(books.platform, draft)).error is None
        calls = list(asked)
        count, wrong = books.sandbox.run(lambda: left_behind(books.emulator, calls))
    assert count >= len(calls), "some calls must have been refused"
    assert not wrong, f"{len(wrong)} of {count} refused calls left something behind; the first: {wrong[0]}"


def rows(database: sqlite3.Connection) -> Counter[tuple[str, str]]:
    """How many there are of each kind; not the answers that an idempotency layer keeps."""
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return Counter(
        {
            (table, kind): count
            for table in tables
            if not table.endswith("_answers")
            for kind, count in database.execute(
                f"SELECT {'kind' if table.endswith('_documents') else repr('')}, count(*) FROM {table} GROUP BY 1"
            )
        }
    )


def added(emulator: Emulator, request: Request, state: bytes) -> tuple[Response | None, Counter[tuple[str, str]]]:
    """The answer, and what a call made in a database that was in this state."""
    emulator.db.deserialize(state)
    before = rows(emulator.db)
    response = answered(emulator, request)
    return response, rows(emulator.db) - before


def is_share(made: Counter[tuple[str, str]], whole: Counter[tuple[str, str]], elements: int) -> bool:
    """Whether that is what so many of two elements make; what is made once for a call is not counted."""
    return made.keys() <= whole.keys() and all(
        2 * made[kind] == n * elements for kind, n in whole.items() if n % 2 == 0
    )


def test_a_refused_element_of_many_leaves_nothing_behind(subject: Subject) -> None:
    """With any value of a packed call wrong, there is what none, one or all of its elements make: never a half."""
    if subject.facts.bulk <= 1:
        return
    with watched(subject) as (books, asked):
        tries = [attempt(books.platform, orders.simple(f"SO-{n}")) for n in (1, 2)]
        asked.clear()
        assert [outcome.error for outcome in packed(books.platform, tries)] == [None, None]
        calls = list(asked)

        def check() -> int:
            count = 0
            for request, state in calls:
                whole = added(books.emulator, request, state)[1]
                for bad in spoilt(request):
                    response, made = added(books.emulator, bad, state)
                    if response is None or response.status >= 400 or SAYS_NO.search(response.body):
                        count += 1
                        assert any(is_share(made, whole, n) for n in (0, 1, 2)), (bad.body, response and response.body)
            return count

        assert books.sandbox.run(check), "some calls must have been refused"


class Careless(Emulator):
    """Writes before it refuses; what it keeps under a key is to stay."""

    slug = "careless"
    keyed = True

    def setup(self) -> None:
        self.db.execute("CREATE TABLE careless (note TEXT)")

    def answer(self, request: Request) -> Response:
        self.lasts(lambda: self.db.execute("INSERT INTO careless VALUES ('kept under its key')"))
        self.db.execute("INSERT INTO careless VALUES (?)", (request.path,))
        match request.path:
            case "/raises":
                raise Refusal(Response(409))
            case "/breaks":
                raise ValueError("broken")
        return Response(int(request.path.removeprefix("/")))


@pytest.mark.parametrize(("path", "stays"), [("/200", 2), ("/302", 2), ("/400", 1), ("/500", 1), ("/raises", 1)])
def test_only_what_lasts_outlives_a_refusal(path: str, stays: int) -> None:
    emulator = Careless(sqlite3.connect(":memory:", isolation_level=None), time.time)
    emulator.handle(Request("POST", path, {}, b""))
    kept = [note for (note,) in emulator.db.execute("SELECT note FROM careless")]
    assert kept == ["kept under its key", path][:stays]
    with pytest.raises(ValueError, match="broken"):
        emulator.handle(Request("POST", "/breaks", {}, b""))
    emulator.handle(Request("POST", "/400", {}, b""))
    kept = [note for (note,) in emulator.db.execute("SELECT note FROM careless")]
    assert kept == [*["kept under its key", path][:stays], "kept under its key"], "one call's is not another's"
