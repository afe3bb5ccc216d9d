"""Connections to the store: one engine a process, one commit a step.

SQLite: WAL, `synchronous=FULL` (a 2xx promises durability), BEGIN IMMEDIATE for every writer, and one writer
of this process at a time (threads that queue in SQLite's own busy handler sleep in steps of up to 100 ms).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

StoreError = SQLAlchemyError
"""Whatever the database refuses or fails to do."""
KeyTaken = IntegrityError
"""A unique key was taken by somebody else meanwhile."""

_SILENT: dict[str, Any] = {"hide_parameters": True}  # a row in an error's text would be a customer in the log
IDLE_SECONDS = 15
"""How long a transaction may stand still: a process that was stopped inside one gives up its locks, not its work."""


class Store:
    """One database. `read()` and `write()` give a connection in a transaction; `write()` commits on leaving."""

    def __init__(self, url: str, *, busy_seconds: float = 10.0, synchronous: str = "FULL") -> None:
        parsed = make_url(url)
        self.url = url
        self.sqlite = parsed.get_backend_name() == "sqlite"
        if self.sqlite:
            Path(parsed.database or "").parent.mkdir(parents=True, exist_ok=True)
            wait = {"timeout": busy_seconds}
            self.engine = create_engine(parsed, pool_size=8, max_overflow=64, connect_args=wait, **_SILENT)
            _prepare_sqlite(self.engine, busy_seconds, synchronous)
        else:
            options: dict[str, Any] = {
                "connect_timeout": 5,
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "options": f"-c idle_in_transaction_session_timeout={IDLE_SECONDS}s",
            }
            self.engine = create_engine(
                parsed,
                pool_size=8,
                max_overflow=56,
                pool_pre_ping=True,
                pool_timeout=10,
                connect_args=options,
                **_SILENT,
            )
        self._one_writer = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that only reads."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction; commits on leaving, rolls back on an exception."""
        if not self.sqlite:
            with self.engine.begin() as connection:
                yield connection
            return
        with (
            self._one_writer,
            self.engine.connect().execution_options(immediate=True) as connection,
            connection.begin(),
        ):
            yield connection

    def close(self) -> None:
        self.engine.dispose()


def _prepare_sqlite(engine: Engine, busy_seconds: float, synchronous: str) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.create_function("unhex", 1, bytes.fromhex, deterministic=True)  # SQLite's own came with 3.41
        connection.isolation_level = None  # we say BEGIN ourselves; the driver would say it too late
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={int(busy_seconds * 1000)}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute(f"PRAGMA synchronous={synchronous}")
        cursor.execute("PRAGMA recursive_triggers=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begins(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
