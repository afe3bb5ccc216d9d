"""Connections to PostgreSQL: what a question costs, and what becomes of a connection that died in the pool."""

import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, text

from worker.store import engine
from worker.store.engine import Store, StoreError

on_postgres = pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
WHO = text("SELECT pg_backend_pid()")


@pytest.fixture
def store(store_url):
    opened = Store(store_url)
    yield opened
    opened.close()


def status(connection: Connection) -> TransactionStatus:
    return TransactionStatus(connection.connection.driver_connection.info.transaction_status)  # type: ignore[union-attr]


def end(store: Store, process: int) -> None:
    """Ends a connection on the server's side, as an administrator or a restart does."""
    administrator = Store(store.url)
    with administrator.write() as connection:
        assert connection.scalar(text("SELECT pg_terminate_backend(:process, 5000)"), {"process": process})
    administrator.close()


@on_postgres
def test_a_question_opens_no_transaction_and_a_step_does(store):
    with store.read() as connection:
        connection.execute(WHO)
        assert status(connection) is TransactionStatus.IDLE
    with store.write() as connection:
        connection.execute(WHO)
        assert status(connection) is TransactionStatus.INTRANS
    with store.engine.connect() as connection:  # the same connection is not left as the reader had it
        connection.execute(WHO)
        assert status(connection) is TransactionStatus.INTRANS


@on_postgres
def test_a_connection_that_died_while_it_rested_is_replaced_unseen(store, monkeypatch):
    with store.read() as connection:
        died = connection.scalar(WHO)
    end(store, died)
    monkeypatch.setattr(engine, "TRUSTED_SECONDS", 0.0)
    with store.write() as connection:
        assert connection.scalar(WHO) != died


@on_postgres
def test_one_that_was_used_just_now_is_trusted_and_fails_once(store, monkeypatch):
    monkeypatch.setattr(engine, "TRUSTED_SECONDS", 600.0)
    with store.read() as connection:
        died = connection.scalar(WHO)
    end(store, died)
    with pytest.raises(StoreError), store.read() as connection:
        connection.execute(WHO)
    with store.read() as connection:
        assert connection.scalar(WHO) != died
