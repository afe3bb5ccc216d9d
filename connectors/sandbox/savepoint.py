"""What is done in part: one element of many that is refused leaves nothing behind."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def savepoint(db: sqlite3.Connection) -> Iterator[None]:
    """What is done inside is undone where an exception leaves it; what was done before stays. They may be nested."""
    db.execute("SAVEPOINT inside")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK TO inside")
        raise
    finally:
        db.execute("RELEASE inside")
