"""`billhook up` for real: it starts, heals, and leaves nothing behind, however it ends."""

import os
import signal
from pathlib import Path

import psutil
import pytest
import requests

from tests.kit.processes import ROOT, Process, Processes, eventually, free_port, until_gone
from worker.embedded.machine import OTHERS_BY, REDIS_BY, WORKERS_BY

STRANGER = "raise RuntimeError('a stranger was imported')"
CHILDREN = {"redis", "worker-1", "recurring", "ingest", "flower"}
LOGIN = ("ops", "pass, word:'1")


class Running:
    """`billhook up` in a folder that holds someone else's modules."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        folder.mkdir()
        for name in ("worker.py", "tasks.py", "celeryconfig.py", "flowerconfig.py"):
            (folder / name).write_text(STRANGER)
        self.folder, self.port, self.flower = folder, free_port(), free_port()
        (folder / "billhook.toml").write_text(
            f"[billhook]\nport = {self.port}\nthreads = 4\n[billhook.flower]\nport = {self.flower}\n"
            f'password = "{LOGIN[1]}"\n[shop.engraver]\napi_key = "0123456789abcdef"\n'
        )
        self.processes = processes
        self.process = self.start()
        self.process.until_prints("Billhook is running", within=60)

    def start(self) -> Process:
        code = "from worker.cli.main import main; main()"
        environ = {"PYTHONPATH": str(ROOT), "FLOWER_UNAUTHENTICATED_API": "true", "FLOWER_READ_ONLY": "false"}
        return self.processes.python("-P", "-c", code, "up", name="up", cwd=self.folder, env=environ)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def children(self) -> dict[str, psutil.Process]:
        """Those that the supervisor started, by the name of their log."""
        found = {}
        for one in psutil.Process(self.process.pid).children():
            found[Path(os.readlink(f"/proc/{one.pid}/fd/1")).stem] = one
        return found

    def healthy(self) -> bool:
        return requests.get(f"{self.url}/healthz", timeout=2).status_code == 200


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """One that several tests look at; none of them ends it."""
    folder = tmp_path_factory.mktemp("up")
    processes = Processes(folder)
    yield Running(processes, folder / "shop")
    processes.close()


@pytest.fixture
def own(processes, tmp_path):
    """One for a test that ends it."""
    return Running(processes, tmp_path / "shop")


def test_it_says_where_everything_is(running):
    said = running.process.output

    assert set(running.children()) == CHILDREN
    assert f"{running.url}/events" in said
    assert f"http://127.0.0.1:{running.flower} (user ops, read-only)" in said
    assert str(running.folder / "billhook-data" / "logs") in said
    assert "stranger" not in said


def test_it_answers_and_everything_runs_in_the_data_directory(running):
    assert running.healthy()
    data = running.folder / "billhook-data"  # the real Redis goes on to its own folder in it
    assert all(Path(one.cwd()).is_relative_to(data) for one in running.children().values())


def test_a_second_one_on_the_same_data_is_refused(running):
    second = running.start()

    assert second.wait() == 1
    assert f"already running in {running.folder / 'billhook-data'} (process {running.process.pid})" in second.output
    assert running.healthy()


def test_a_port_that_is_taken_is_said(running, processes, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "billhook.toml").write_text(f"[billhook]\nport = {running.port}\n")

    late = processes.python("-P", "-m", "worker.cli", "up", cwd=other, env={"PYTHONPATH": str(ROOT)})

    assert late.wait() == 1
    assert f"Something listens on 127.0.0.1:{running.port} already." in late.output


def test_no_secret_is_on_a_command_line_or_in_a_log(running):
    secrets = [LOGIN[1], "0123456789abcdef"]
    environ = running.children()["worker-1"].environ()
    secrets.append(environ["BILLHOOK_REDIS_URL"].split(":")[2].partition("@")[0])
    lines = [" ".join(one.cmdline()) for one in running.children().values()]
    logs = [file.read_text() for file in (running.folder / "billhook-data" / "logs").iterdir()]

    assert not [text for text in (*lines, *logs, running.process.output) for secret in secrets if secret in text]


CHANGING = [
    "/api/worker/shutdown/worker-1@x", "/api/worker/pool/restart/worker-1@x", "/api/worker/queue/cancel-consumer/x",
    "/api/task/async-apply/tasks.seal", "/api/task/send-task/tasks.seal", "/api/task/revoke/x",
    "/api/task/rate-limit/tasks.seal",
]  # fmt: skip


@pytest.mark.parametrize("path", ["/", "/workers", "/tasks", "/api/workers", "/api/tasks"])
def test_flower_shows_nothing_without_the_login(running, path):
    flower = f"http://127.0.0.1:{running.flower}"

    assert requests.get(flower + path, timeout=10).status_code == 401
    assert requests.get(flower + path, auth=("ops", "wrong"), timeout=10).status_code == 401
    assert requests.get(flower + path, auth=LOGIN, timeout=10).status_code == 200


@pytest.mark.parametrize("path", CHANGING)
def test_flower_changes_nothing_even_with_the_login(running, path):
    flower = f"http://127.0.0.1:{running.flower}"

    assert requests.post(flower + path, json={}, timeout=10).status_code == 401
    assert requests.post(flower + path, json={}, auth=LOGIN, timeout=10).status_code in (403, 405)


def test_flower_sees_the_workers(running):
    def workers() -> set[str]:
        found = requests.get(f"http://127.0.0.1:{running.flower}/api/workers?refresh=1", auth=LOGIN, timeout=10)
        return {name.partition("@")[0] for name in found.json()}

    eventually(lambda: workers() == {"worker-1", "recurring"}, within=20)


@pytest.mark.parametrize("name", ["ingest", "redis", "worker-1"])
def test_a_child_that_is_killed_is_running_again(running, name):
    before = running.children()[name]
    already = running.process.output.count(f"{name} is running again")

    before.kill()
    running.process.until(lambda: running.process.output.count(f"{name} is running again") > already, within=30)

    assert f"{name} was killed by SIGKILL; starting it again" in running.process.output
    assert running.children()[name].pid != before.pid
    assert eventually(running.healthy)
    assert set(running.children()) == CHILDREN


def test_all_it_starts_is_given_ten_seconds_to_end_workers_first():
    assert WORKERS_BY < OTHERS_BY < REDIS_BY < 10


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_order(own, number):
    family = own.process.family()
    own.process.interrupt() if number == signal.SIGINT else own.process.terminate()

    assert own.process.wait(60) == 0
    assert own.process.output.rstrip().endswith("Stopped.")
    assert "is killed" not in own.process.output
    until_gone(family)


@pytest.mark.slow  # its time to end is waited for
def test_a_frozen_worker_does_not_hold_up_the_end(own):
    family = own.process.family()
    worker = own.children()["worker-1"]
    worker.suspend()

    own.process.interrupt()

    assert own.process.wait(60) == 0
    assert "worker-1 was still busy and is killed" in own.process.output
    until_gone(family)


def test_nothing_outlives_a_supervisor_that_is_killed(own):
    family = own.process.family()
    assert len(family) > len(CHILDREN)  # beat is a process of its own

    os.kill(own.process.pid, signal.SIGKILL)

    until_gone(family)
    again = own.start()
    again.until_prints("Billhook is running", within=60)
