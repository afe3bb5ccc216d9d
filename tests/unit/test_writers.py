"""Writers of one SQLite database stand in line, whatever process they belong to; nobody waits for ever."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from worker.store.engine import Store, StoreError

ADD = """
import sys
from sqlalchemy import text
from worker.store.engine import Store
store = Store(sys.argv[1], busy_seconds=60, synchronous="OFF")
for _ in range(100):
    with store.write() as connection:
        connection.execute(text("UPDATE counter SET n = n + 1"))
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/counted.db"
    with Store(url).write() as connection:
        connection.execute(text("CREATE TABLE counter (n INTEGER)"))
        connection.execute(text("INSERT INTO counter VALUES (0)"))
    return url


def test_processes_that_write_at_once_lose_nothing(url):
    command = [sys.executable, "-c", ADD, url]
    writers = [subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.getcwd()}) for _ in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    with Store(url).read() as connection:
        assert connection.execute(text("SELECT n FROM counter")).scalar_one() == 400


def test_who_holds_the_line_without_writing_holds_nobody_up_for_long(url, tmp_path):
    """The line only orders those who wait; a process that was stopped in it must not stop the others."""
    with open(tmp_path / "counted.db-turn") as line:
        fcntl.flock(line, fcntl.LOCK_EX)
        with Store(url, busy_seconds=0.1).write() as connection:
            connection.execute(text("UPDATE counter SET n = 5"))
    with Store(url).read() as connection:
        assert connection.execute(text("SELECT n FROM counter")).scalar_one() == 5


def test_who_holds_the_database_is_named_by_sqlite(url):
    other = Store(url, busy_seconds=0.1)
    with Store(url).write(), pytest.raises(StoreError, match="database is locked"), other.write():
        pass


def test_a_failed_writer_leaves_the_line(url):
    store = Store(url, busy_seconds=0.1)
    with pytest.raises(ZeroDivisionError), store.write():
        raise ZeroDivisionError
    with store.write() as connection:
        connection.execute(text("UPDATE counter SET n = 3"))


def test_where_no_line_can_be_made_the_database_is_written_all_the_same(url, tmp_path):
    (tmp_path / "counted.db-turn").unlink()
    (tmp_path / "counted.db-turn").mkdir()
    store = Store(url, busy_seconds=0.1)
    for n in (7, 8):  # a failure to stand in line must not leave the writers' own lock taken
        with store.write() as connection:
            connection.execute(text("UPDATE counter SET n = :n"), {"n": n})
    with store.read() as connection:
        assert connection.execute(text("SELECT n FROM counter")).scalar_one() == 8


def test_a_closed_store_keeps_no_file_open_and_may_be_used_again(url):
    store = Store(url)
    with store.write():
        pass
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    store.close()
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) < before
    with store.write() as connection:
        connection.execute(text("UPDATE counter SET n = 9"))
