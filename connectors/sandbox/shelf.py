"""The documents of an emulated platform: JSON by kind and id, numbers exact, in the order they were made."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

Doc = dict[str, Any]


class Shelf:
    """All documents of one emulator, in a table of its own."""

    def __init__(self, db: sqlite3.Connection, slug: str) -> None:
        self.db, self.table = db, f"{slug}_documents"
        db.execute(
            f"CREATE TABLE IF NOT EXISTS {self.table}"
            " (seq INTEGER PRIMARY KEY, kind TEXT, id TEXT, doc TEXT, UNIQUE (kind, id))"
        )

    def put(self, kind: str, ident: str, doc: Mapping[str, Any]) -> Doc:
        """Keeps the document, in the place of one of that id if there is one; as it will be read."""
        text = written(doc)
        self.db.execute(
            f"INSERT INTO {self.table} (kind, id, doc) VALUES (?,?,?)"  # noqa: S608
            " ON CONFLICT (kind, id) DO UPDATE SET doc = excluded.doc",
            (kind, ident, text),
        )
        return _read(text)

    def get(self, kind: str, ident: str) -> Doc | None:
        query = f"SELECT doc FROM {self.table} WHERE kind = ? AND id = ?"  # noqa: S608
        row = self.db.execute(query, (kind, ident)).fetchone()
        return _read(row[0]) if row else None

    def need(self, kind: str, ident: str, otherwise: Exception) -> Doc:
        """The document; raises `otherwise` where there is none."""
        found = self.get(kind, ident)
        if found is None:
            raise otherwise
        return found

    def drop(self, kind: str, ident: str) -> None:
        self.db.execute(f"DELETE FROM {self.table} WHERE kind = ? AND id = ?", (kind, ident))  # noqa: S608

    def all(self, kind: str, **fields: Any) -> list[Doc]:
        """Oldest first; only those whose top-level fields have these values (texts, whole numbers)."""
        conditions = "".join(" AND json_extract(doc, ?) = ?" for _ in fields)
        values = [part for name, value in fields.items() for part in (f'$."{name}"', value)]
        query = f"SELECT doc FROM {self.table} WHERE kind = ?{conditions} ORDER BY seq"  # noqa: S608
        return [_read(row[0]) for row in self.db.execute(query, (kind, *values))]

    def count(self, kind: str) -> int:
        query = f"SELECT count(*) FROM {self.table} WHERE kind = ?"  # noqa: S608
        return int(self.db.execute(query, (kind,)).fetchone()[0])


def _read(text: str) -> Doc:
    doc: Doc = json.loads(text, parse_float=Decimal)
    return doc


def written(value: Any) -> str:
    """As JSON; a `Decimal` is a number."""
    return json.dumps(value, default=_number)


def floats(value: Any) -> Any:
    """The value with each `Decimal` as a float, however many decimals it has."""
    if isinstance(value, dict):
        return {name: floats(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [floats(inner) for inner in value]
    return float(value) if isinstance(value, Decimal) else value


def _number(value: Any) -> float | int:
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} is not JSON")
    return int(value) if value == value.to_integral_value() and value.as_tuple().exponent == 0 else float(value)
