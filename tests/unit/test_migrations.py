"""The migrated database is the one that schema.py describes, whoever prepares it, however many at once."""

from importlib.resources import files

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

from tests.kit.postgres import create_database, drop_database
from worker.store import migrate
from worker.store.engine import Store
from worker.store.migrate import NEWEST, NewerStore, prepare
from worker.store.schema import inbox_metadata, metadata

SHAPE = {
    "sqlite": ["SELECT type, tbl_name, name, sql FROM sqlite_master WHERE tbl_name <> 'alembic_version'"],
    "postgresql": [
        """SELECT table_name, column_name, ordinal_position, column_default, is_nullable, data_type
           FROM information_schema.columns WHERE table_schema = 'public'""",
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
           WHERE connamespace = 'public'::regnamespace""",
    ],
}


def shape(store: Store) -> set[str]:
    """Tables, columns, indexes and constraints as the database itself describes them, without alembic's own."""
    with store.read() as connection:
        rows = [row for query in SHAPE[connection.dialect.name] for row in connection.execute(text(query))]
    # as tuples: a row of SQLAlchemy leaves out the middle of a long text
    kept = [tuple(row) for row in rows if "alembic_version" not in str(tuple(row)) and row[0] != "trigger"]
    return {" ".join(str(row).replace("\\n", " ").replace("\\t", " ").split()) for row in kept}


def test_no_drift_on_sqlite(tmp_path):
    migrated, inbox = Store(f"sqlite:///{tmp_path}/a.db"), Store(f"sqlite:///{tmp_path}/inbox.db")
    prepare(migrated, inbox)
    described, described_inbox = Store(f"sqlite:///{tmp_path}/b.db"), Store(f"sqlite:///{tmp_path}/c.db")
    metadata.create_all(described.engine)
    inbox_metadata.create_all(described_inbox.engine)
    assert shape(migrated) == shape(described)
    assert shape(inbox) == shape(described_inbox)


def test_no_drift_on_postgres(postgres_url, postgres_server_url):
    migrated = Store(postgres_url)
    prepare(migrated)
    other = create_database(postgres_server_url)
    described = Store(other)
    try:
        metadata.create_all(described.engine)
        inbox_metadata.create_all(described.engine)
        assert shape(migrated) == shape(described)
    finally:
        described.close()
        drop_database(other)
    migrated.close()


def test_the_newest_revision_is_the_head():
    config = Config()
    config.set_main_option("script_location", str(files("worker.store") / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [NEWEST]


def test_preparing_again_changes_nothing_and_imports_no_alembic(store_url, processes):
    store = Store(store_url)
    prepare(store)
    before = shape(store)
    script = (
        "import sys; from worker.store.engine import Store; from worker.store.migrate import prepare;"
        f"prepare(Store({store_url!r})); assert 'alembic' not in sys.modules"
    )
    assert processes.python("-c", script).wait() == 0
    assert shape(store) == before
    store.close()


def test_preparing_again_only_reads(store_url, monkeypatch):
    """So that a process that starts waits for no writer."""
    store = Store(store_url)
    prepare(store)

    def write():
        raise AssertionError("it writes")

    monkeypatch.setattr(store, "write", write)
    prepare(store)
    store.close()


def test_eight_processes_prepare_at_once(store_url, processes):
    script = (
        "from worker.store.engine import Store; from worker.store.migrate import prepare;"
        f"store = Store({store_url!r});"
        f"inbox = Store({store_url!r}.replace('billhook.db', 'inbox.db')) if store.sqlite else None;"
        "prepare(store, inbox)"
    )
    started = [processes.python("-c", script, name=f"prepare-{number}") for number in range(8)]
    assert [(one.wait(60), one.output) for one in started] == [(0, "")] * 8


def test_a_store_of_a_newer_version_is_left_alone(store_url):
    store = Store(store_url)
    prepare(store)
    with store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NewerStore, match="revision 9999"):
        prepare(store)
    store.close()


def test_an_upgrade_that_fails_leaves_nothing_behind(store_url, monkeypatch):
    store = Store(store_url)
    with store.write() as connection:
        connection.execute(text("CREATE TABLE seals (id INTEGER)"))  # in the way of the first revision
    with pytest.raises(Exception, match="seals"):
        prepare(store)
    with store.write() as connection:
        assert migrate._revision(connection) is None
        connection.execute(text("DROP TABLE seals"))
    prepare(store)
    store.close()
