"""Bringing a database to the newest revision of its tables."""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import Connection, func, inspect, select, text

from worker.store.engine import Store

NEWEST = "0007"
_POSTGRES_LOCK = 0x62696C_01
_one_thread = threading.Lock()  # alembic keeps its context in module globals


class NewerStore(Exception):
    """The database was written by a newer Billhook, whose tables this one does not know."""


def prepare(store: Store, inbox: Store | None = None) -> None:
    """Creates or upgrades the tables; any number of processes may do so at once. Quick when nothing is to do.

    On SQLite the inbox is a file of its own, given as `inbox`; on PostgreSQL `inbox` is not looked at, its tables
    stand beside the others.

    Raises:
        NewerStore: the database belongs to a newer version; nothing was changed.
    """
    if not store.sqlite:
        _bring(store, {"main", "inbox"})
        return
    _bring(store, {"main"})
    if inbox is not None:
        _bring(inbox, {"inbox"})


def _bring(store: Store, parts: set[str]) -> None:
    with store.read() as connection:
        if _revision(connection) == NEWEST:
            return
    with _one_thread, store.write() as connection:
        if not store.sqlite:
            connection.execute(select(func.pg_advisory_xact_lock(_POSTGRES_LOCK)))
        if _revision(connection) != NEWEST:
            _upgrade(connection, parts)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def _upgrade(connection: Connection, parts: set[str]) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection, "parts": parts})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    found = _revision(connection)
    if found is not None and found not in known:
        raise NewerStore(
            f"The store at {connection.engine.url.render_as_string()} has tables of revision {found}; this version of "
            f"Billhook knows them up to {NEWEST}. Start the newer version that wrote it, or restore a backup."
        )
    command.upgrade(config, NEWEST)
