"""What an emulated Stripe account holds: JSON documents, newest first."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Mapping
from typing import Any

from connectors.sandbox.stripe_forms import Refused, invalid

Document = dict[str, Any]

TABLES = """
CREATE TABLE IF NOT EXISTS stripe_objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, book TEXT, kind TEXT, id TEXT, owner TEXT, created INTEGER, document TEXT,
    UNIQUE (book, kind, id));
CREATE INDEX IF NOT EXISTS stripe_by_owner ON stripe_objects (book, kind, owner, seq);
CREATE INDEX IF NOT EXISTS stripe_by_kind ON stripe_objects (book, kind, seq);
"""
NAMES = {"tax_rate": "tax rate", "credit_note": "credit note"}
"""Of kinds whose name is written otherwise."""
PREFIXES = {"customer": "cus_", "invoice": "in_", "coupon": "", "tax_rate": "txr_", "credit_note": "cn_"}


class Books:
    """The documents of one account in one mode. Times are whole Unix seconds."""

    def __init__(self, database: sqlite3.Connection, book: str, now: float) -> None:
        self.db, self.book, self.now = database, book, now

    @property
    def livemode(self) -> bool:
        return self.book.endswith("/live")

    def new_id(self, kind: str) -> str:
        row = self.db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'stripe_objects'").fetchone()
        count = row[0] if row else 0  # never falls, so that the id of a deleted draft does not come back
        return PREFIXES[kind] + hashlib.sha256(f"{self.book} {kind} {count}".encode()).hexdigest()[:24]

    def add(self, kind: str, document: Document, owner: str | None = None) -> Document:
        """Stores a new document under its `id`."""
        self.db.execute(
            "INSERT INTO stripe_objects (book, kind, id, owner, created, document) VALUES (?, ?, ?, ?, ?, ?)",
            (self.book, kind, document["id"], owner, int(self.now), json.dumps(document)),
        )
        return document

    def save(self, kind: str, document: Document) -> Document:
        self.db.execute(
            "UPDATE stripe_objects SET document = ? WHERE book = ? AND kind = ? AND id = ?",
            (json.dumps(document), self.book, kind, document["id"]),
        )
        return document

    def delete(self, kind: str, identifier: str) -> None:
        self.db.execute(
            "DELETE FROM stripe_objects WHERE book = ? AND kind = ? AND id = ?", (self.book, kind, identifier)
        )

    def find(self, kind: str, identifier: str) -> Document | None:
        row = self.db.execute(
            "SELECT document FROM stripe_objects WHERE book = ? AND kind = ? AND id = ?", (self.book, kind, identifier)
        ).fetchone()
        return json.loads(row[0]) if row else None

    def get(self, kind: str, identifier: str, param: str | None = None) -> Document:
        """The document; refused with 404 where the path names it, with 400 where a parameter does."""
        if (found := self.find(kind, identifier)) is None:
            message = f"No such {NAMES.get(kind, kind)}: '{identifier}'"
            raise Refused(message, "resource_missing", param or "id", 400 if param else 404)
        return found

    def page(self, kind: str, query: Mapping[str, Any], owner: str | None, url: str) -> Document:
        """A list as Stripe answers it: newest first, `limit` (1 to 100, 10 if not given), `starting_after`."""
        limit = _limit(query)
        where, values = ["book = ?", "kind = ?"], [self.book, kind]
        if owner is not None:
            where.append("owner = ?")
            values.append(owner)
        for sign, operator in (("gt", ">"), ("gte", ">="), ("lt", "<"), ("lte", "<=")):
            if (query.get("created") or {}).get(sign) is not None:
                where.append(f"created {operator} ?")
                values.append(query["created"][sign])
        for field in ("status", "invoice"):
            if query.get(field) is not None:
                where.append(f"json_extract(document, '$.{field}') = ?")
                values.append(query[field])
        if query.get("starting_after") is not None:
            self.get(kind, query["starting_after"], "starting_after")
            where.append("seq < (SELECT seq FROM stripe_objects WHERE book = ? AND kind = ? AND id = ?)")
            values += [self.book, kind, query["starting_after"]]
        statement = f"SELECT document FROM stripe_objects WHERE {' AND '.join(where)} ORDER BY seq DESC LIMIT ?"  # noqa: S608
        found = [json.loads(row[0]) for row in self.db.execute(statement, (*values, limit + 1))]
        return {"object": "list", "url": url, "has_more": len(found) > limit, "data": found[:limit]}

    def search(self, kind: str, query: Mapping[str, Any], lag: float, url: str) -> Document:
        """What the search index shows: documents made `lag` seconds ago or earlier (docs.stripe.com/search)."""
        where, values = ["book = ?", "kind = ?", "created <= ?"], [self.book, kind, self.now - lag]
        for clause in re.split(r"\s+AND\s+", query["query"]):
            known = re.fullmatch(r"""(?:metadata\[["']([^"'\]]+)["']\]|(\w+)):["'](.*)["']""", clause.strip())
            if known is None:
                raise invalid("We were unable to parse your search query.", None, "query")
            name, field, value = known.groups()
            where.append("json_extract(document, ?) = ?")
            values += [f'$.metadata."{name}"' if name else f"$.{field}", value]
        statement = f"SELECT document FROM stripe_objects WHERE {' AND '.join(where)} ORDER BY seq DESC LIMIT ?"  # noqa: S608
        found = [json.loads(row[0]) for row in self.db.execute(statement, (*values, _limit(query)))]
        return {"object": "search_result", "url": url, "has_more": False, "next_page": None, "data": found}


def _limit(query: Mapping[str, Any]) -> int:
    limit = 10 if query.get("limit") is None else int(query["limit"])
    if not 1 <= limit <= 100:
        raise invalid(f"Invalid integer: limit must be between 1 and 100, not {limit}", "parameter_invalid", "limit")
    return limit
