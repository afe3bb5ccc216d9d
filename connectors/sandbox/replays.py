"""The idempotency layer of an emulated platform: the first answer under a key is given again while the key lives."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable

from connectors.sandbox.base import Request, Response


class Replays:
    """Answers by key, in a table of their own. `lives`: seconds. Errors are kept too, unless `keeps` says otherwise."""

    def __init__(
        self,
        db: sqlite3.Connection,
        slug: str,
        clock: Callable[[], float],
        lives: float,
        keeps: Callable[[Response], bool] = lambda response: True,
    ) -> None:
        self.db, self.table, self.clock, self.lives, self.keeps = db, f"{slug}_answers", clock, lives, keeps
        db.execute(
            f"CREATE TABLE IF NOT EXISTS {self.table}"
            " (key TEXT PRIMARY KEY, request TEXT, at REAL, status INTEGER, kind TEXT, body BLOB)"
        )

    def once(
        self, key: str | None, request: Request, answer: Callable[[], Response], conflict: Callable[[], Response]
    ) -> Response:
        """The kept answer, or `answer()`, which is kept; `conflict()` for another request under a key that lives."""
        if key is None:
            return answer()
        digest = hashlib.sha256(f"{request.method} {request.target}\n".encode() + request.body).hexdigest()
        now = self.clock()
        row = self.db.execute(
            f"SELECT request, at, status, kind, body FROM {self.table} WHERE key = ?",  # noqa: S608
            (key,),
        ).fetchone()
        if row is not None and now < row[1] + self.lives:
            return conflict() if row[0] != digest else Response(row[2], row[4], {"Content-Type": row[3]})
        response = answer()
        if self.keeps(response):
            kept = (key, digest, now, response.status, response.headers.get("Content-Type", ""), response.body)
            self.db.execute(f"INSERT OR REPLACE INTO {self.table} VALUES (?,?,?,?,?,?)", kept)  # noqa: S608
        return response
