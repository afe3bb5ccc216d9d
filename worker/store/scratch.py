"""A database that lives as long as a measurement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from worker.store.ids import new_id


@contextmanager
def scratch_database(url: str) -> Iterator[str]:
    """An empty database on the PostgreSQL server that `url` names, as a URL; dropped on leaving.

    Raises whatever the server says when it cannot be reached, or `url`'s user may not create databases.
    """
    parsed = make_url(url)
    name = f"billhook_bench_{new_id().replace('-', '')}"
    engine = create_engine(parsed, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))  # a name of our own
        try:
            yield parsed.set(database=name).render_as_string(hide_password=False)
        finally:
            with engine.connect() as connection:
                connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        engine.dispose()
