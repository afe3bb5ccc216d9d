"""A scene with real processes: Celery workers, the recurring tasks and ingest, to be killed, stopped and started."""

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import requests
from celery import Celery
from kombu import Queue

from connectors.platforms.base import platforms
from tests.kit.nursery import Forked
from tests.kit.processes import MARK, ROOT, Process, Processes, eventually, free_port
from tests.kit.scene import Scene, api_key

QUEUES = ",".join(["events", *(f"invoices.{slug}" for slug in platforms()), "notify"])
READY = " ready."


class _OfOurs(Process):
    """A module of ours as a process, from the nursery."""

    def __init__(self, arguments: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path) -> None:
        self.command = ["python", *arguments]
        self.log = log
        self._token = uuid.uuid4().hex
        log.touch()
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **env, MARK: self._token}
        self.popen = Forked(arguments, log=log, env=environment, cwd=cwd)  # type: ignore[assignment]


class World(Scene):
    """Nothing runs until it is started: `World(tmp_path, processes, store_url, redis_url).start()`.

    Processes run in a folder of their own, with the repository on PYTHONPATH.
    """

    def __init__(self, folder: Path, processes: Processes, store_url: str, redis_url: str, **options: Any) -> None:
        """`options` as of `Scene`."""
        super().__init__(folder, store_url, redis_url, **options)
        self.processes = processes
        self.workers: list[Process] = []
        self.recurring: Process | None = None
        self.ingest_url = ""
        self._ingest: Process | None = None
        self._cwd = folder / "elsewhere"
        self._cwd.mkdir(exist_ok=True)

    # -- processes -------------------------------------------------------------------------------------------------

    def start(self, *, workers: int = 1, ingest: bool = False, env: Mapping[str, str] | None = None) -> "World":
        """Starts workers, the recurring tasks and, if wanted, ingest; returns when all are ready."""
        started = [self.start_worker(env, wait=False) for _ in range(workers)]
        started.append(self.start_recurring(env, wait=False))
        if ingest:
            self.start_ingest(env)
        for process in started:
            process.until_prints(READY)
        return self

    def start_worker(
        self,
        env: Mapping[str, str] | None = None,
        *,
        wait: bool = True,
        queues: str = QUEUES,
        module: str = "celery",
        threads: int = 8,
    ) -> Process:
        """A worker for events, invoices and notices, with e.g. `env={"BILLHOOK_CRASH": "sending:kill"}`.

        `module`: `tests.kit.tampered` for one whose clock or transport the test changes.
        """
        worker = self._celery("worker", "-c", str(threads), "-Q", queues, env=env, module=module)
        self.workers.append(worker)
        if wait:
            worker.until_prints(READY)
        return worker

    def keep_up(self) -> None:
        """As whoever runs the services does it: a worker that has ended by itself is started again, beat's too."""
        ended = [worker for worker in self.workers if not worker.running]
        for worker in ended:
            self.workers.remove(worker)
            self.start_worker(wait=False)
        if self.recurring and not self.recurring.running:
            self.start_recurring(wait=False)

    def start_recurring(
        self, env: Mapping[str, str] | None = None, *, wait: bool = True, module: str = "celery"
    ) -> Process:
        """Beat and the worker that dispatches and seals; `module` as of `start_worker`."""
        schedule = self._cwd / f"beat-{uuid.uuid4().hex}"
        self.recurring = self._celery(
            "recurring", "-c", "2", "-Q", "recurring", "-B", "-s", str(schedule), env=env, module=module
        )
        if wait:
            self.recurring.until_prints(READY)
        return self.recurring

    def start_ingest(self, env: Mapping[str, str] | None = None) -> Process:
        """Ingest on a free port, kept over restarts; `ingest_url` says where."""
        port = int(self.ingest_url.rpartition(":")[2] or free_port())
        self.ingest_url = f"http://127.0.0.1:{port}"
        self._ingest = self._python("ingest", "-m", "worker.cli", "ingest", "--port", str(port), env=env)
        self._ingest.until_listening(port)
        return self._ingest

    def billhook(self, *arguments: str) -> Process:
        """A command, `billhook <arguments>`, run to its end."""
        command = self._python("billhook", "-m", "worker.cli", *arguments, env=None)
        command.wait()
        return command

    def _celery(self, name: str, *options: str, env: Mapping[str, str] | None, module: str) -> Process:
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "INFO")
        node = f"{name}-{uuid.uuid4().hex[:8]}@test"
        return self._python(
            name, "-m", module, "-A", "worker", "worker", "-P", "threads", "-n", node, *quiet, *options, env=env
        )

    def _python(self, name: str, *arguments: str, env: Mapping[str, str] | None) -> Process:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        ours = {"BILLHOOK_CONFIG": str(self.config_file), "PYTHONPATH": path, **(env or {})}
        log = self.folder / f"{len(self.processes.started)}-{name}.log"
        process = _OfOurs(arguments, log=log, env=ours, cwd=self._cwd)
        self.processes.started.append(process)
        return process

    def close(self) -> None:
        """Kills what runs, then closes what it used."""
        self.processes.close()
        self._bell.close()
        super().close()

    # -- events ----------------------------------------------------------------------------------------------------

    def push(self, *events: Mapping[str, Any], shop: str = "", ring: bool = True) -> None:
        """Commits events to the inbox and rings, as ingest does; without the ring, dispatch finds them later."""
        ids = self.accept(*events, shop=shop)
        if ring and ids:
            self.ring("tasks.handle_events", "events", ids=ids)

    def post(self, *events: Mapping[str, Any], shop: str = "", timeout: float = 30.0) -> requests.Response:
        """Pushes events over HTTP; the history checker expects what was accepted."""
        shop = shop or self.shops[0]
        body = list(events) if len(events) > 1 else events[0]
        headers = {"Authorization": f"Bearer {api_key(shop)}"}
        answer = requests.post(f"{self.ingest_url}/events", json=body, headers=headers, timeout=timeout)
        if len(events) == 1 and answer.status_code == 202:
            self.promised(events[0], shop=shop)
        elif len(events) > 1 and answer.status_code == 202:
            said = answer.json()["results"]
            self.promised(*(e for e, one in zip(events, said, strict=True) if one["status"] == "accepted"), shop=shop)
        return answer

    def ring(self, task: str, queue: str, **kwargs: Any) -> None:
        """Sends a task's message, as any of our processes would."""
        self._bell.send_task(task, kwargs=kwargs, queue=queue, ignore_result=True)

    @cached_property
    def _bell(self) -> Celery:
        bell = Celery("bell", broker=self.redis_url, set_as_current=False)
        bell.conf.broker_transport_options = {"global_keyprefix": "billhook:", "socket_timeout": 5}
        bell.conf.task_queues = [Queue(name) for name in (*QUEUES.split(","), "recurring")]
        return bell

    # -- waiting ---------------------------------------------------------------------------------------------------

    def until_settled(self, within: float = 60.0) -> None:
        """Waits until nothing moves by itself any more."""
        self.until(self.settled, within, "everything is settled")

    def until(self, condition: Callable[[], Any], within: float = 30.0, saying: str = "") -> Any:
        """Waits for a condition; when the time is over, shows where the rows stand and what the processes said."""
        try:
            return eventually(condition, within, 0.1, saying)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.picture()}") from error

    def picture(self) -> str:
        """Where everything stands, for the reader of a failure."""
        rows = self.rows("SELECT kind, label, account, state, attempts, due_at, reason FROM jobs WHERE kind <> 'event'")
        lines = [" ".join(str(part) for part in row) for row in rows[:40]]
        logs = [f"--- {one.command[-1]} {one.log.name} ({one.exit_code})\n{one.output[-1500:]}" for one in self.workers]
        return "\n".join([*lines, *logs])
