"""What a file of orders is made of: items, each of which is one event or the reason why it is none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from connectors.model import Event
from connectors.sources.base import MalformedBody
from connectors.sources.standard import parse_events
from connectors.sources.wording import FieldError

LONGEST = 1024 * 1024
"""Bytes of one item: what `POST /events` takes, too."""
UNDATED = "1970-01-01T00:00:00Z"
"""When an order was as the file says, where the file does not say when: anything told with a date is newer."""


class Unreadable(Exception):
    """Nothing of the file can be imported; the sentence says why and what to do."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two items: bytes and rows before it."""

    offset: int = 0
    row: int = 0
    doubt: int = 0
    """The row before it that cannot be read, and may belong to the order after it; 0: there is none."""


@dataclass(frozen=True, slots=True)
class Item:
    """An event, or an order told alone, which is an event of the type that was asked for."""

    row: int
    """The first of its rows, counted from 1, the head of a table included."""
    after: Position
    """Where the next one begins; `after.row` is the last row of this."""
    order: str = ""
    """For the reader."""
    event: Event | None = None
    body: bytes = b""
    """Of the event, as POST /events would store it."""
    reason: str = ""
    """Why it is none."""


class Reader(Protocol):
    """A file of one format."""

    def items(self, start: Position) -> Iterator[Item]:
        """What stands after `start` (a new one: in the whole file), in bounded memory. Raises `Unreadable`."""


@dataclass(frozen=True, slots=True)
class Made:
    """What became of the JSON of an event."""

    event: Event | None
    body: bytes
    errors: Sequence[FieldError]


def made(event: bytes) -> Made:
    """Reads one event. Raises `MalformedBody`."""
    batch = parse_events(event)
    if batch.many:
        raise MalformedBody("a row takes one event, not an array of them")
    [parsed] = batch.elements
    return Made(parsed.event, parsed.raw, parsed.errors)


def event_around(order: Mapping[str, Any], type: str, occurred_at: str | None = None) -> bytes:
    """The event that tells of this order. Its id is made of what it says: the same row makes the same event.

    `occurred_at`: default is when the order was placed, else `UNDATED`.
    """
    placed = order.get("placed_at")
    event = {
        "type": type,
        "occurred_at": occurred_at or (placed if isinstance(placed, str) else None) or UNDATED,
        "order": order,
    }
    said = orjson.dumps(event, option=orjson.OPT_SORT_KEYS)
    return orjson.dumps(event | {"id": f"import:{hashlib.sha256(said).hexdigest()[:40]}"})
