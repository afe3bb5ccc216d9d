"""Filters of OData (`$filter`), as far as emulated platforms take them: eq, ne, ge, and, or, parentheses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Row = Mapping[str, Any]
Test = Callable[[Row], bool]
_TOKEN = re.compile(r"\s*(?P<all>'(?:[^']|'')*'|[()]|[^\s()']+)")


class _Filter:
    """Reads one filter from its beginning."""

    def __init__(
        self, text: str, same: Callable[[str, Any, str], bool], wrong: Callable[[str], Exception], operators: set[str]
    ) -> None:
        self.same, self.wrong, self.operators = same, wrong, operators
        self.tokens: list[str] = []
        position, text = 0, text.rstrip()
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None:
                raise wrong(f"Bad Request - Error in query syntax at position {position}")
            self.tokens.append(found["all"])
            position = found.end()

    def next_is(self, token: str) -> bool:
        """Whether it comes next; then it is taken."""
        if self.tokens[:1] != [token]:
            return False
        self.tokens.pop(0)
        return True

    def either(self) -> tuple[Test, set[str]]:
        """Conditions joined by "or", and the fields they look at."""
        test, fields = self.both()
        tests = [test]
        while self.next_is("or"):
            test, more = self.both()
            tests.append(test)
            fields = fields | more
        return (lambda row: any(test(row) for test in tests)), fields

    def both(self) -> tuple[Test, set[str]]:
        """Conditions joined by "and", and the field that the first looks at."""
        test, fields = self.one()
        tests = [test]
        while self.next_is("and"):
            tests.append(self.one()[0])
        return (lambda row: all(test(row) for test in tests)), fields

    def one(self) -> tuple[Test, set[str]]:
        if self.next_is("("):
            inside = self.either()
            if not self.next_is(")"):
                raise self.wrong("Expression expected")
            return inside
        if len(self.tokens) < 3:
            raise self.wrong("Expression expected")
        field, operator, value = (self.tokens.pop(0) for _ in range(3))
        if operator not in self.operators:
            raise self.wrong(f"{operator} is not known here")
        wanted = value[1:-1].replace("''", "'") if value.startswith("'") else value
        if operator == "ge":
            return (lambda row: str(row.get(field)) >= wanted), {field}
        return (lambda row: self.same(field, row.get(field), wanted) == (operator == "eq")), {field}


def matching(
    text: str | None,
    same: Callable[[str, Any, str], bool],
    wrong: Callable[[str], Exception],
    *,
    operators: set[str] | None = None,
    one_field: bool = False,
) -> Test:
    """Whether a row is in the filter; every row where there is none.

    `same` compares a field's value with a literal. `operators`: eq alone, if nothing is said; ge compares as texts,
    which is right for dates. `one_field`: "or" joins only conditions on one field. Raises `wrong(message)` for what is
    not taken.
    """
    if not text:
        return lambda row: True
    read = _Filter(text, same, wrong, operators or {"eq"})
    test, fields = read.either()
    if read.tokens or (one_field and len(fields) > 1):
        raise wrong("The filter is not supported")
    return test
