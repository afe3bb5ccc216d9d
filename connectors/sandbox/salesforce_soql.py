"""As much of SOQL as clients of an emulated org ask: fields, one object, conditions with =, >=, IN, AND, OR, LIMIT."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from connectors.sandbox.salesforce_books import SCHEMA, Books, Refused
from connectors.sandbox.shelf import Doc

WHOLE = re.compile(
    r"select\s+(?P<fields>[\w.,\s]+?)\s+from\s+(?P<object>\w+)"
    r"(?:\s+where\s+(?P<where>.+?))?(?:\s+order\s+by\s+\w+)?(?:\s+limit\s+(?P<limit>\d+))?\s*",
    re.IGNORECASE | re.DOTALL,
)
TOKEN = re.compile(r"\s*('(?:[^'\\]|\\.)*'|\d{4}-\d\d-\d\d|[\w.]+|>=|[=(),])", re.DOTALL)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def query(books: Books, text: str) -> dict[str, Any]:
    """The answer of `/query`. Raises `Refused` for what is no SOQL, or asks for what is not there."""
    found = WHOLE.fullmatch(text)
    if found is None:
        raise Refused("MALFORMED_QUERY", f"unexpected token: {text[:40]!r}")
    kind = found["object"]
    if kind not in SCHEMA:
        raise Refused("INVALID_TYPE", f"sObject type '{kind}' is not supported.")
    fields = [field.strip() for field in found["fields"].split(",")]
    for field in fields:
        _known(kind, field)
    holds = _Condition(kind, found["where"]).read() if found["where"] else lambda doc: True
    docs = [doc for doc in books.all(kind) if holds(doc)]
    docs = docs[: int(found["limit"])] if found["limit"] else docs
    records = [_shown(books, kind, doc, fields) for doc in docs]
    return {"totalSize": len(records), "done": True, "records": records}


def _known(kind: str, field: str) -> None:
    name = field.replace("Account.", "AccountId.", 1).partition(".")[0] if kind == "Contact" else field
    if name not in SCHEMA[kind] and name not in {"Id", "Name", "CurrencyIsoCode"}:
        raise Refused("INVALID_FIELD", f"No such column '{field}' on entity '{kind}'.")


def _shown(books: Books, kind: str, doc: Doc, fields: list[str]) -> dict[str, Any]:
    shown: dict[str, Any] = {"attributes": {"type": kind, "url": f"/services/data/v67.0/sobjects/{kind}/{doc['Id']}"}}
    for field in fields:
        if field == "Account.Name":
            above = books.get("Account", doc["AccountId"]) if doc.get("AccountId") else None
            shown["Account"] = {"attributes": {"type": "Account"}, "Name": above["Name"]} if above else None
        else:
            shown[field] = doc.get(field)
    return shown


class _Condition:
    """Reads conditions; texts are compared without regard to case, as an org does."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind, self.tokens, at = kind, [], 0
        while at < len(text.rstrip()):
            found = TOKEN.match(text, at)
            if found is None:
                raise Refused(
                    "MALFORMED_QUERY", f"line breaks not allowed or unexpected token at {text[at : at + 20]!r}"
                )
            self.tokens.append(found[1])
            at = found.end()

    def read(self) -> Callable[[Doc], bool]:
        """All joined by AND, or all by OR: a mixture needs brackets in SOQL."""
        conditions, words = [self._one()], set()
        while self.tokens:
            words.add(self.tokens.pop(0).upper())
            conditions.append(self._one())
        if not words <= {"AND"} and not words <= {"OR"}:
            raise Refused("MALFORMED_QUERY", f"unexpected token: {sorted(words)}")
        together = any if words == {"OR"} else all
        return lambda doc: together(one(doc) for one in conditions)

    def _one(self) -> Callable[[Doc], bool]:
        try:
            field, operator = self.tokens.pop(0), self.tokens.pop(0).upper()
            _known(self.kind, field)
            if operator == ">=":
                return self._from(field, self.tokens.pop(0))
            if operator == "=":
                wanted = [self._literal(self.tokens.pop(0))]
            elif operator == "IN" and self.tokens.pop(0) == "(":
                wanted, mark = [], ","
                while mark == ",":
                    wanted.append(self._literal(self.tokens.pop(0)))
                    mark = self.tokens.pop(0)
            else:
                raise Refused("MALFORMED_QUERY", f"unexpected token: {operator}")
        except IndexError:
            raise Refused("MALFORMED_QUERY", "unexpected end of query") from None
        return lambda doc: _folded(doc.get(field)) in wanted

    def _from(self, field: str, token: str) -> Callable[[Doc], bool]:
        """Dates stand without quotes (SOQL reference, date formats)."""
        if SCHEMA[self.kind][field].type != "date" or not re.fullmatch(r"\d{4}-\d\d-\d\d", token):
            raise Refused("INVALID_FIELD", f"value of filter criterion for field '{field}' must be of type date")
        return lambda doc: str(doc.get(field) or "") >= token

    @staticmethod
    def _literal(token: str) -> Any:
        if token.startswith("'"):
            text = re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[1]), token[1:-1], flags=re.DOTALL)
            return text.casefold()
        if token.lower() not in {"true", "false"}:
            raise Refused("MALFORMED_QUERY", f"unexpected token: {token}")
        return token.lower() == "true"


def _folded(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value
