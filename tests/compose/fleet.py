"""Machines that run services of compose.yaml, each in directories of its own; to be lost, and started anew."""

from pathlib import Path
from typing import Any

from tests.compose.running import Service, Services
from tests.kit.processes import Processes
from tests.kit.scene import Clocks
from tests.kit.world import World


class Fleet:
    """A Redis and a PostgreSQL that are there, a world of orders and platforms, and no machine yet."""

    def __init__(self, folder: Path, processes: Processes, store_url: str, **options: Any) -> None:
        """`options` as of `World`."""
        self.services = Services(folder, processes, store_url, WORKER_THREADS="8")
        self.services.start_redis()
        options.setdefault("clocks", Clocks(deadline=4.0, lease_margin=6.0, linger=0.02))
        self.world = World(folder, processes, store_url, self.services.redis_url, **options)
        self.services.toml = self.world.config_file.read_text()
        self.machines: dict[str, list[Service]] = {}

    def start(self, machine: str, *names: str) -> list[Service]:
        """Starts these services on a machine; see `until_healthy`."""
        # a container has a host name of its own, which tells apart what here only a name can
        named = {name: ("--name", f"{name}-{machine}") for name in ("worker", "recurring", "beat")}
        started = [self.services.service(name, machine, *named.get(name, ())).start() for name in names]
        self.machines.setdefault(machine, []).extend(started)
        self.world.workers += [one.process for one in started if one.name == "worker"]
        return started

    def until_healthy(self) -> None:
        """Waits for the health check of every service of every machine."""
        for service in self.running():
            service.until_healthy(120)

    def running(self) -> list[Service]:
        return [service for machine in self.machines.values() for service in machine]

    def lose(self, machine: str) -> None:
        """SIGKILL to everything on it, as if its plug were pulled."""
        for service in self.machines.pop(machine):
            service.process.kill()

    def idle(self, pids: dict[str, int]) -> list[str]:
        """Those of the processes (title and id) that no entry of the trail names."""
        actors = [actor for (actor,) in self.world.rows("SELECT DISTINCT actor FROM audit")]
        return [title for title, pid in pids.items() if not any(f"-{pid}-" in actor for actor in actors)]

    def close(self) -> None:
        self.world.close()
