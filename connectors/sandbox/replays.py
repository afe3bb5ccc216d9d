"""The idempotency layer of an emulated platform: the first answer under a key is given again while the key lives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from connectors.sandbox.base import Emulator, Request, Response


class Replays:
    """Answers of an emulator by key, in a table of their own. `lives`: seconds. Errors are kept too, unless `keeps`
    says otherwise.

    `mark`: the headers that an answer has when it is given again.
    """

    def __init__(
        self,
        emulator: Emulator,
        lives: float,
        keeps: Callable[[Response], bool] = lambda response: True,
        mark: Mapping[str, str] | None = None,
    ) -> None:
        self.emulator, self.table, self.lives = emulator, f"{emulator.slug}_answers", lives
        self.keeps, self.mark = keeps, mark or {}
        emulator.db.execute(
            f"CREATE TABLE IF NOT EXISTS {self.table}"
            " (key TEXT PRIMARY KEY, request TEXT, at REAL, status INTEGER, kind TEXT, body BLOB)"
        )

    def once(
        self,
        key: str | None,
        request: Request,
        answer: Callable[[], Response],
        conflict: Callable[[], Response] | None = None,
    ) -> Response:
        """The kept answer, or `answer()`, which is kept; what it raises is not.

        For another request under a key that lives it is `conflict()`; without that the kept answer, whatever was sent.
        """
        if key is None:
            return answer()
        digest = hashlib.sha256(f"{request.method} {request.target}\n".encode() + request.body).hexdigest()
        now = self.emulator.clock()
        row = self.emulator.db.execute(
            f"SELECT request, at, status, kind, body FROM {self.table} WHERE key = ?",  # noqa: S608
            (key,),
        ).fetchone()
        if row is not None and now < row[1] + self.lives:
            if conflict is not None and row[0] != digest:
                return conflict()
            return Response(row[2], row[4], {"Content-Type": row[3], **self.mark})
        response = answer()
        if self.keeps(response):
            kept = (key, digest, now, response.status, response.headers.get("Content-Type", ""), response.body)
            statement = f"INSERT OR REPLACE INTO {self.table} VALUES (?,?,?,?,?,?)"  # noqa: S608
            self.emulator.lasts(lambda: self.emulator.db.execute(statement, kept))
        return response
