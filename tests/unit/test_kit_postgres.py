"""The PostgreSQL of the kit is real: one server for the run, a database for each test, private ones to break."""

import psycopg
import pytest
import sqlalchemy as sa

from tests.kit.postgres import SharedPostgres, ask, create_database, plain
from tests.kit.processes import answers


def test_a_database_of_its_own(postgres_url):
    engine = sa.create_engine(postgres_url)
    with engine.begin() as connection:
        assert connection.execute(sa.text("SELECT current_database()")).scalar() == postgres_url.rpartition("/")[2]
        connection.execute(sa.text("CREATE TABLE only_here (id int)"))
    engine.dispose()


@pytest.mark.parametrize("turn", [1, 2])
def test_the_database_is_empty_each_time(postgres_url, turn):
    assert ask(postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    with psycopg.connect(plain(postgres_url), autocommit=True) as connection:
        connection.execute("CREATE TABLE left_over (id int)")


def test_a_database_can_be_copied(postgres_url, postgres_server_url):
    with psycopg.connect(plain(postgres_url), autocommit=True) as connection:
        connection.execute("CREATE TABLE ready (id int)")
    copy = create_database(postgres_server_url, template=postgres_url.rpartition("/")[2])
    assert ask(copy, "SELECT count(*) FROM ready") == [(0,)]


def test_an_external_server_is_used_when_named(tmp_path, monkeypatch):
    monkeypatch.setenv("BILLHOOK_TEST_POSTGRES_URL", "postgresql+psycopg://me@elsewhere/postgres")
    shared = SharedPostgres(tmp_path)
    assert shared.url() == "postgresql+psycopg://me@elsewhere/postgres"
    shared.close()


def test_store_url_comes_for_both_databases(store_url):
    engine = sa.create_engine(store_url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE something (id int)"))
    engine.dispose()
    assert store_url.startswith(("sqlite:////", "postgresql+psycopg://"))


def test_a_private_server_can_be_stopped_killed_and_frozen(private_postgres):
    server = private_postgres
    with psycopg.connect(plain(server.url), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (id int)")
    server.stop()
    assert not answers(server.port)
    server.start()
    with psycopg.connect(plain(server.url), autocommit=True) as connection:
        connection.execute("INSERT INTO kept VALUES (1)")
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    server.start()
    assert ask(server.url, "SELECT id FROM kept") == [(1,)]
    server.freeze()
    with pytest.raises(psycopg.errors.ConnectionTimeout):
        psycopg.connect(plain(server.url), connect_timeout=2)
    server.thaw()
    assert ask(server.url, "SELECT id FROM kept") == [(1,)]
