"""Connections to the store: one engine a process, one commit a step.

SQLite: WAL, `synchronous=FULL` (a 2xx promises durability), BEGIN IMMEDIATE for every writer, and one writer at a
time: of this process by a lock, of all processes by a lock on a file beside the database. Who queues in SQLite's own
busy handler instead sleeps in steps of up to 100 ms, while the database stands idle.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, InvalidatePoolError, SQLAlchemyError

StoreError = SQLAlchemyError
"""Whatever the database refuses or fails to do."""
KeyTaken = IntegrityError
"""A unique key was taken by somebody else meanwhile."""

_SILENT: dict[str, Any] = {"hide_parameters": True}  # a row in an error's text would be a customer in the log
IDLE_SECONDS = 15
"""How long a transaction may stand still: a process that was stopped inside one gives up its locks, not its work."""
TRUSTED_SECONDS = 1.0
"""A connection that was of use so lately is not asked whether it still lives."""


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
                pool_timeout=10,
                connect_args=options,
                **_SILENT,
            )
            _ask_rested(self.engine)
        # One question needs no BEGIN and no ROLLBACK: on PostgreSQL each would be a journey of its own.
        self._reader = self.engine if self.sqlite else self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._turn = _Turn(Path(parsed.database or ""), busy_seconds) if self.sqlite else None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that only reads; on PostgreSQL each statement sees what is committed by then."""
        with self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction; commits on leaving, rolls back on an exception."""
        if self._turn is None:
            with self.engine.begin() as connection:
                yield connection
            return
        with (
            self._turn,
            self.engine.connect().execution_options(immediate=True) as connection,
            connection.begin(),
        ):
            yield connection

    def close(self) -> None:
        self.engine.dispose()
        if self._turn is not None:
            self._turn.close()


class _Turn:
    """Entered by one writer at a time, of all threads and processes that share a SQLite database.

    It only orders those who wait: SQLite's own lock is what protects. So who has waited for `patience` seconds (the
    holder may be a stopped process) goes on, and is told by SQLite what it cannot have.
    """

    SOON = 0.0005
    """Seconds between two tries for the file's lock, which cannot be waited for with a time limit."""

    def __init__(self, database: Path, patience: float) -> None:
        self._here = threading.Lock()
        self._file = database.with_name(database.name + "-turn")
        self._patience = patience
        self._descriptor: int | None = None
        self._process = os.getpid()

    def __enter__(self) -> None:
        self._here.acquire()
        try:
            self._stand_in_line()
        except OSError:  # no file can be opened, or locked, there: SQLite itself says what is wrong, if anything is
            pass
        except BaseException:
            self._here.release()
            raise

    def _stand_in_line(self) -> None:
        if self._descriptor is None or self._process != os.getpid():  # a lock of flock is shared with a forked child
            self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._process = os.getpid()
        until = time.monotonic() + self._patience
        while not self._taken() and time.monotonic() < until:
            time.sleep(self.SOON)

    def __exit__(self, *_: object) -> None:
        try:
            if self._descriptor is not None:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            self._here.release()

    def close(self) -> None:
        with self._here:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._descriptor or 0, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _ask_rested(engine: Engine) -> None:
    """As `pool_pre_ping` does it, a connection is asked for a sign of life when it is taken from the pool: but only one
    that has rested, for the journey is as long as a statement's."""

    @event.listens_for(engine, "checkin")
    def put_back(_connection: Any, record: Any) -> None:
        record.info["used"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def taken(connection: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("used", time.monotonic()) < TRUSTED_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except Exception as error:
            raise InvalidatePoolError() from error  # this one and all that are as old are made anew


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
