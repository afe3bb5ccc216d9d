"""Xero's `where` and `order` parameters as SQL over JSON documents.

Grammar from developer.xero.com, "Requests and responses": `==`, `!=`, `<`, `>`, `AND`/`&&`, `OR`/`||`, parentheses,
strings in double quotes, numbers, `null`, `true`, `false`, `Guid("…")`, `DateTime(2026, 11, 22)`, and
`.Contains`, `.StartsWith`, `.EndsWith`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from connectors.sandbox.base import Refusal, Response

_TOKEN = re.compile(
    r'\s*(?:(?P<text>"[^"]*")|(?P<number>-?\d+(?:\.\d+)?)|(?P<op>==|!=|<=|>=|<|>|=)|(?P<and>&&|AND\b)'
    r"|(?P<or>\|\||OR\b)|(?P<name>[A-Za-z][\w.]*)|(?P<open>\()|(?P<close>\))|(?P<comma>,))",
    re.IGNORECASE,
)
_METHODS = {"Contains": "%{}%", "StartsWith": "{}%", "EndsWith": "%{}"}


class BadQuery(Refusal):
    """The expression cannot be parsed; Xero answers 400 QueryParseException."""

    def __init__(self, message: str) -> None:
        body = {"ErrorNumber": 16, "Type": "QueryParseException", "Message": message}
        super().__init__(Response.json(400, body), message)


class _Parser:
    def __init__(self, text: str, columns: Mapping[str, str], document: str) -> None:
        self.columns, self.document = columns, document
        self.values: list[Any] = []
        self.tokens: list[tuple[str, str]] = []
        position, text = 0, text.strip()
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None or found.lastgroup is None:
                raise BadQuery(f"No property or field at index {position}")
            self.tokens.append((found.lastgroup, found[found.lastgroup]))
            position = found.end()
        self.tokens.append(("end", ""))

    def take(self, *kinds: str) -> str:
        kind, text = self.tokens[0]
        if kind not in kinds:
            raise BadQuery(f"Expression expected near '{text}'")
        self.tokens.pop(0)
        return text

    def either(self) -> str:
        parts = [self.both()]
        while self.tokens[0][0] == "or":
            self.take("or")
            parts.append(self.both())
        return f"({' OR '.join(parts)})"

    def both(self) -> str:
        parts = [self.term()]
        while self.tokens[0][0] == "and":
            self.take("and")
            parts.append(self.term())
        return f"({' AND '.join(parts)})"

    def term(self) -> str:
        if self.tokens[0][0] == "open":
            self.take("open")
            inner = self.either()
            self.take("close")
            return inner
        name = self.take("name")
        field, _, method = name.rpartition(".")
        if method in _METHODS:
            self.take("open")
            wanted = _METHODS[method].format(self.take("text")[1:-1])
            self.take("close")
            self.values.append(wanted)
            return f"{self.column(field)} LIKE ?"
        operator = self.take("op").replace("==", "=")
        value = self.value()
        if value is None:
            return f"{self.column(name)} IS {'NOT ' if operator == '!=' else ''}NULL"
        self.values.append(value)
        return f"{self.column(name)} {operator} ?"

    def value(self) -> Any:
        kind, text = self.tokens.pop(0)
        if kind == "text":
            return text[1:-1]
        if kind == "number":
            return float(text)
        if kind == "name" and text.lower() in {"true", "false"}:
            return int(text.lower() == "true")
        if kind == "name" and text == "null":
            return None
        if kind == "name" and text.lower() == "guid":
            self.take("open")
            inner = self.take("text")[1:-1]
            self.take("close")
            return inner
        if kind == "name" and text.lower() == "datetime":
            self.take("open")
            year, month, day = int(self.take("number")), self._next(), self._next()
            self.take("close")
            return f"{year:04}-{month:02}-{day:02}T00:00:00"
        raise BadQuery(f"Expression expected near '{text}'")

    def _next(self) -> int:
        self.take("comma")
        return int(self.take("number"))

    def column(self, field: str) -> str:
        return self.columns.get(field) or f"json_extract({self.document}, '$.{field}')"


def where(text: str, columns: Mapping[str, str], document: str = "doc") -> tuple[str, list[Any]]:
    """An SQL condition and its values. `columns` gives fields that have a column of their own.

    Raises `BadQuery`."""
    parser = _Parser(text, columns, document)
    condition = parser.either()
    parser.take("end")
    return condition, parser.values


def order(text: str) -> str:
    """An ORDER BY list from Xero's `InvoiceNumber ASC, Date DESC`. Raises `BadQuery`."""
    parts = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\w+)(?:\s+(ASC|DESC))?\s*", part, re.IGNORECASE)
        if found is None:
            raise BadQuery(f"cannot order by '{part}'")
        parts.append(f"json_extract(doc, '$.{found[1]}') {found[2] or 'ASC'}")
    return ", ".join(parts)
