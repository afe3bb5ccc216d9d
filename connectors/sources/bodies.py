"""Reading what was sent: JSON, as strictly as every database needs it."""

from __future__ import annotations

from typing import Any

import orjson


class MalformedBody(Exception):
    """The body is not JSON, or JSON that no database could hold. Answer 400 and store nothing."""


def parse_json(body: bytes) -> Any:
    """The JSON value of `body`; fractions become `float`, whose `repr` is the number as written.

    Raises `MalformedBody` for what is not JSON (nesting over 1,024 levels and lone surrogates
    included) and for a NUL character in any text, which PostgreSQL cannot store.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"the body is not valid JSON: {error}") from None
    if b"\\u0000" in body and _holds_nul(value):
        raise MalformedBody("the body has a NUL character (\\u0000) in a text")
    return value


def _holds_nul(value: Any) -> bool:
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text if "\x00" in text:
                return True
            case dict() as members:
                waiting += [*members.keys(), *members.values()]
            case list() as elements:
                waiting += elements
    return False
