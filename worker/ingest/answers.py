"""What ingest answers: the models that the API's documentation shows, and the bytes that go out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from pydantic import BaseModel, Field

JSON = (b"content-type", b"application/json")


class WrongField(BaseModel):
    """A field that must be corrected."""

    path: str = Field(description="Where it is, such as order.lines.0.quantity; empty for the event as a whole")
    message: str


class Taken(BaseModel):
    """The event is in the store."""

    id: str
    status: Literal["accepted", "duplicate"]


class ElementResult(BaseModel):
    """What became of one element of an array."""

    index: int = Field(description="Its place in the array, from 0")
    id: str | None = Field(description="The event's id; null if it has none that can be read")
    status: Literal["accepted", "duplicate", "conflict", "invalid"]
    errors: list[WrongField]


class ArrayResult(BaseModel):
    """What became of an array: how many of each, and one result per element, in its order."""

    accepted: int
    duplicate: int
    conflict: int
    invalid: int
    results: list[ElementResult]


class Problem(BaseModel):
    """Why a request was not done, and what to do about it."""

    error: str = Field(description="A word for programs, such as invalid_event")
    message: str = Field(description="A sentence for people")
    errors: list[WrongField] = Field(default=[], description="The fields to correct, where it is about fields")


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a JSON body; `retry_after` in seconds, `more`: further headers."""

    status: int
    body: bytes
    retry_after: int | None = None
    more: tuple[tuple[str, str], ...] = ()

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        headers = [JSON, (b"content-length", b"%d" % len(self.body))]
        if self.retry_after is not None:
            headers.append((b"retry-after", b"%d" % self.retry_after))
        if self.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        headers += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.more]
        return headers


class Refusal(Exception):
    """The request is answered with a `Problem`."""

    def __init__(
        self,
        status: int,
        error: str,
        message: str,
        *,
        errors: Sequence[dict[str, str]] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.error = error
        self.answer = Answer(
            status, orjson.dumps({"error": error, "message": message, "errors": list(errors)}), retry_after
        )


def taken(event_id: str, status: str) -> Answer:
    """`status` is "accepted" (202) or "duplicate" (200)."""
    return Answer(202 if status == "accepted" else 200, orjson.dumps({"id": event_id, "status": status}))


def conflict(event_id: str) -> Refusal:
    return Refusal(
        409,
        "conflict",
        f"An event with the id {event_id[:200]} was accepted before with another body. The first one counts; "
        "if this one says something new, give it an id of its own.",
    )


def invalid(errors: Sequence[dict[str, str]]) -> Refusal:
    many = "a field is" if len(errors) == 1 else f"{len(errors)} fields are"
    return Refusal(422, "invalid_event", f"The event was not accepted: {many} wrong.", errors=errors)


def unavailable() -> Refusal:
    return Refusal(
        503, "store_unavailable", "The store cannot be written at the moment. Send it again, unchanged.", retry_after=2
    )


def overloaded() -> Refusal:
    return Refusal(
        429, "too_many_requests", "More is coming in than can be stored. Send it again, unchanged.", retry_after=1
    )


def array_answer(results: Iterable[dict[str, Any]]) -> Answer:
    """202 if any element was accepted, 200 if all were there before, else 422."""
    listed = list(results)
    counts = dict.fromkeys(("accepted", "duplicate", "conflict", "invalid"), 0)
    for each in listed:
        counts[each["status"]] += 1
    status = 202 if counts["accepted"] else 200 if counts["duplicate"] == len(listed) else 422
    return Answer(status, orjson.dumps({**counts, "results": listed}))
