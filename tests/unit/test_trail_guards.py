"""The database itself refuses to change, remove or overwrite what stands in the trail."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tests.unit.trail_story import open_store, tell
from worker.store.seal import seal

TABLES = ("audit", "audit_leaves", "seals")
KEYS = {
    "audit": "id",
    "audit_leaves": "leaf_index",
    "seals": "size",
    "unsealed": "entry_id",
    "audit_bodies": "entry_id",
}
CHANGED = {
    "audit": "actor",
    "audit_leaves": "entry_id",
    "seals": "edge",
    "unsealed": "entry_id",
    "audit_bodies": "body",
}


@pytest.fixture
def store(store_url):
    store = open_store(store_url)
    tell(store, 2)
    seal(store)
    tell(store, 1)
    yield store
    store.close()


@pytest.fixture
def sqlite_store(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/billhook.db")
    tell(store, 2)
    seal(store)
    tell(store, 1)
    yield store
    store.close()


def contents(store):
    with store.read() as connection:
        return {
            table: connection.execute(text(f"SELECT * FROM {table} ORDER BY {KEYS[table]}")).all() for table in KEYS
        }


def refused(store, statement):
    """The statement fails and leaves everything as it was."""
    before = contents(store)
    with pytest.raises(IntegrityError, match=r"append-only|unsealed"), store.write() as connection:
        connection.exec_driver_sql(statement)
    assert contents(store) == before


@pytest.mark.parametrize("table", KEYS)
def test_an_update_is_refused(store, table):
    refused(store, f"UPDATE {table} SET {CHANGED[table]} = 'other'")
    refused(store, f"UPDATE {table} SET {KEYS[table]} = {KEYS[table]}")


@pytest.mark.parametrize("table", TABLES)
def test_a_delete_is_refused(store, table):
    refused(store, f"DELETE FROM {table}")
    refused(store, f"DELETE FROM {table} WHERE {KEYS[table]} = (SELECT max({KEYS[table]}) FROM {table})")


@pytest.mark.parametrize("table", KEYS)
def test_a_truncate_is_refused(postgres_url, table):
    store = open_store(postgres_url)
    tell(store, 1)
    refused(store, f"TRUNCATE {table}")
    refused(store, f"TRUNCATE {table} CASCADE")
    store.close()


@pytest.mark.parametrize("table", KEYS)
@pytest.mark.parametrize("recursive", ["ON", "OFF"])
@pytest.mark.parametrize("verb", ["INSERT OR REPLACE", "REPLACE", "INSERT OR IGNORE", "INSERT"])
def test_an_insert_over_an_existing_id_is_refused(sqlite_store, table, verb, recursive):
    before = contents(sqlite_store)
    raw = sqlite_store.engine.raw_connection()
    try:
        raw.execute(f"PRAGMA recursive_triggers={recursive}")
        with pytest.raises(Exception, match=r"append-only|unsealed"):
            raw.execute(f"{verb} INTO {table} SELECT * FROM {table} LIMIT 1")
    finally:
        raw.invalidate()
    assert contents(sqlite_store) == before


REPLACED = [
    ("audit", "SELECT 'new', at, shop, order_id, subject, seq, action, actor, 'x', 1, detail, leaf"),
    ("audit_leaves", "SELECT 999, entry_id"),
]


@pytest.mark.parametrize(("table", "columns"), REPLACED)
def test_no_replace_over_another_unique_column(sqlite_store, table, columns):
    raw = sqlite_store.engine.raw_connection()
    before = contents(sqlite_store)
    try:
        raw.execute("PRAGMA recursive_triggers=OFF")
        with pytest.raises(Exception, match="append-only"):
            raw.execute(f"REPLACE INTO {table} {columns} FROM {table} LIMIT 1")
    finally:
        raw.invalidate()
    assert contents(sqlite_store) == before


def test_no_replace_over_the_hidden_rowid(sqlite_store):
    raw = sqlite_store.engine.raw_connection()
    before = contents(sqlite_store)
    columns = "at, shop, order_id, subject, seq, action, actor, outcome, duration_us, detail, leaf"
    try:
        raw.execute("PRAGMA recursive_triggers=OFF")
        with pytest.raises(Exception, match="append-only"):
            raw.execute(
                f"REPLACE INTO audit (rowid, id, {columns}) "
                f"SELECT rowid, 'new', {columns.replace('seq', '999')} FROM audit LIMIT 1"
            )
    finally:
        raw.invalidate()
    assert contents(sqlite_store) == before


@pytest.mark.parametrize("table", KEYS)
def test_an_upsert_is_refused(store, table):
    refused(
        store,
        f"INSERT INTO {table} SELECT * FROM {table} WHERE true "
        f"ON CONFLICT ({KEYS[table]}) DO UPDATE SET {CHANGED[table]} = 'other'",
    )


def test_only_sealed_entries_leave_unsealed(store):
    refused(store, "DELETE FROM unsealed")


def test_only_entries_without_a_place_enter_unsealed(store):
    refused(store, "INSERT INTO unsealed (entry_id) VALUES ('nobody')")
    refused(store, "INSERT INTO unsealed (entry_id) SELECT entry_id FROM audit_leaves LIMIT 1")


def test_personal_data_can_be_erased(store):
    with store.write() as connection:
        connection.execute(text("DELETE FROM audit_bodies"))
        assert connection.execute(text("SELECT count(*) FROM audit_bodies")).scalar() == 0


def test_the_role_of_a_replica_does_not_switch_the_guards_off(postgres_url):
    store = open_store(postgres_url)
    tell(store, 1)
    refused(store, "SET LOCAL session_replication_role = replica; DELETE FROM audit")
    store.close()
