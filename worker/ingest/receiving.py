"""Reading a request's body with a bound on its size and on the time it takes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from worker.ingest.answers import Refusal

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
MOST_FOR_ONE = 1024 * 1024
MOST_FOR_ARRAY = 10 * 1024 * 1024
SECONDS = 30.0
_START = re.compile(rb"[ \t\r\n]*(.?)", re.DOTALL)


class ClientGone(Exception):
    """The client hung up before its request was complete; nobody waits for an answer."""


def most_for(body: bytes | bytearray) -> int:
    """How long a body may be, by how it begins: an array of events may be longer than one event."""
    start = _START.match(body)
    return MOST_FOR_ARRAY if start and start[1] == b"[" else MOST_FOR_ONE


async def read_body(receive: Receive, most: int | None = None) -> bytes:
    """The whole body. What the request claims about its length is not looked at.

    Raises:
        Refusal: 413 for more than `most` bytes (None: what `most_for` allows), 408 if it takes longer than 30 s.
        ClientGone: the connection ended before the body did.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):  # nearly always: it came in one piece
        return bytes(_checked(message.get("body", b""), most))
    body = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            while True:
                if message["type"] != "http.request":
                    raise ClientGone
                body += message.get("body", b"")
                _checked(body, most)
                if not message.get("more_body"):
                    return bytes(body)
                message = await receive()
    except TimeoutError:
        raise Refusal(408, "too_slow", f"The body did not arrive within {SECONDS:.0f} seconds.") from None


def _checked(body: bytes | bytearray, most: int | None) -> bytes | bytearray:
    if len(body) <= MOST_FOR_ONE:
        return body
    if len(body) > (most or most_for(body)):
        message = "The body is too large: one event may have 1 MiB, an array of events or a webhook 10 MiB."
        raise Refusal(413, "too_large", message)
    return body
