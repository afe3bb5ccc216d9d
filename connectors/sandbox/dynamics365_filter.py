"""Filters of OData, as far as both systems take them: eq, and, or, parentheses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from connectors.sandbox.base import Refusal, Response

Row = Mapping[str, Any]
_TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<punct>[()])|(?P<word>[\w.\-]+))")


class Invalid(Refusal):
    """A request that the platform refuses: status, code, message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        super().__init__(Response.json(status, {"error": {"code": code, "message": message}}), message)


def matching(text: str | None, same: Callable[[str, Any, str], bool], *, one_field: bool) -> Callable[[Row], bool]:
    """Whether a row is in the filter. `same` compares a field with a literal; `one_field`: "or" joins only conditions
    on one field. Raises `Invalid`."""
    if not text:
        return lambda row: True
    tokens: list[str] = []
    position = 0
    while position < len(text.rstrip()):
        found = _TOKEN.match(text, position)
        if found is None:
            raise Invalid(400, "BadRequest_NotFound", f"Bad Request - Error in query syntax at position {position}")
        tokens.append(found[0].strip())
        position = found.end()
    test, fields = _either(tokens, same)
    if tokens or (one_field and len(fields) > 1):
        raise Invalid(400, "BadRequest_NotFound", "The filter is not supported")
    return test


def _either(tokens: list[str], same: Callable[[str, Any, str], bool]) -> tuple[Callable[[Row], bool], set[str]]:
    first, fields = _both(tokens, same)
    tests = [first]
    while tokens and tokens[0] == "or":
        tokens.pop(0)
        test, more = _both(tokens, same)
        tests.append(test)
        fields |= more
    return (lambda row: any(test(row) for test in tests)), fields


def _both(tokens: list[str], same: Callable[[str, Any, str], bool]) -> tuple[Callable[[Row], bool], set[str]]:
    first, fields = _one(tokens, same)
    tests = [first]
    while tokens and tokens[0] == "and":
        tokens.pop(0)
        tests.append(_one(tokens, same)[0])
    return (lambda row: all(test(row) for test in tests)), fields


def _one(tokens: list[str], same: Callable[[str, Any, str], bool]) -> tuple[Callable[[Row], bool], set[str]]:
    try:
        if tokens[0] == "(":
            tokens.pop(0)
            inside = _either(tokens, same)
            if tokens.pop(0) != ")":
                raise IndexError
            return inside
        field, operator, value = tokens.pop(0), tokens.pop(0), tokens.pop(0)
    except IndexError:
        raise Invalid(400, "BadRequest_NotFound", "Expression expected") from None
    if operator != "eq":
        raise Invalid(400, "BadRequest_NotFound", f"{operator} is not known here")
    wanted = value[1:-1].replace("''", "'") if value.startswith("'") else value
    return (lambda row: same(field, row.get(field), wanted)), {field}
