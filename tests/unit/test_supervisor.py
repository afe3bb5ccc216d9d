"""The supervisor with small real processes: together they start, in order they end, and none is left behind."""

import os
import signal
import threading
import time

import psutil
import pytest

from tests.kit.processes import ROOT, eventually, until_gone
from worker.embedded import child
from worker.embedded import supervisor as supervising
from worker.embedded.supervisor import Child, StartError, Supervisor, on_signals

CHILD = ROOT / "worker" / "embedded" / "child.py"


def shell(name: str, script: str, stop_by: float = 5.0, ready: str = "ready") -> Child:
    return Child(name, ("/bin/sh", "-c", script), lambda printed: ready in printed, stop_by)


def stubborn(name: str, stop_by: float) -> Child:
    return shell(name, "trap '' TERM; echo ready; while :; do sleep 0.1; done", stop_by)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path, said):
    started = Supervisor(tmp_path / "data", os.environ, said.append)
    yield started
    started.stop()


def rounds(supervisor: Supervisor, until) -> None:
    """The supervisor looks after its children until the condition holds."""

    def look() -> bool:
        supervisor.look()
        return bool(until())

    eventually(look, within=15)


def test_children_run_in_the_data_directory_in_groups_of_their_own(supervisor, tmp_path):
    supervisor.start([shell("a", "pwd; echo ready; sleep 60"), shell("b", "echo ready; sleep 60")])

    pids = supervisor.pids()
    assert set(pids) == {"a", "b"}
    assert len({os.getpgid(pid) for pid in (*pids.values(), os.getpid())}) == 3
    assert str(tmp_path / "data") in (tmp_path / "data" / "logs" / "a.log").read_text()


def test_a_child_that_does_not_start_is_shown_with_the_end_of_its_log(supervisor):
    with pytest.raises(StartError, match=r"(?s)bad ended with exit code 3 instead of starting.*the port is taken"):
        supervisor.start([shell("bad", "echo the port is taken; exit 3")])


def test_a_child_that_never_gets_ready_is_named(supervisor):
    with pytest.raises(StartError, match=r"slow was not ready within 0\.3 s"):
        supervisor.start([shell("slow", "sleep 60")], within=0.3)


def test_a_child_that_dies_is_started_again_and_what_it_left_is_ended(supervisor, said):
    supervisor.start([shell("a", "sleep 60 & echo ready; wait")])
    first = supervisor.pids()["a"]
    left = eventually(lambda: psutil.Process(first).children())

    os.kill(first, signal.SIGKILL)
    rounds(supervisor, lambda: "a is running again" in said)

    assert any("a was killed by SIGKILL; starting it again in 0.5 s" in line for line in said)
    assert supervisor.pids()["a"] != first
    until_gone(left)


def test_the_pauses_grow_and_are_forgotten_after_a_time_of_health(supervisor, said, monkeypatch):
    monkeypatch.setattr(supervising, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(supervising, "LONGEST_PAUSE", 0.15)
    supervisor.start([shell("a", "echo ready; sleep 0.2; exit 1")])

    rounds(supervisor, lambda: sum("starting it again" in line for line in said) == 4)
    monkeypatch.setattr(supervising, "HEALTHY", 0.0)
    rounds(supervisor, lambda: sum("starting it again" in line for line in said) == 5)

    pauses = [line.partition(" in ")[2].split()[0] for line in said if "starting it again" in line]
    assert pauses == ["0.05", "0.1", "0.15", "0.15", "0.05"]


def test_children_end_stage_by_stage(supervisor, tmp_path):
    order = tmp_path / "order"

    def slow_to_end(name: str, stop_by: float) -> Child:
        script = f"trap 'sleep 0.2; echo {name} >> {order}; exit' TERM; echo ready; while :; do sleep 0.05; done"
        return shell(name, script, stop_by)

    supervisor.start([slow_to_end("redis", 50), slow_to_end("worker", 30), slow_to_end("ingest", 40)])
    supervisor.stop()

    assert order.read_text().split() == ["worker", "ingest", "redis"]


def test_a_child_that_does_not_end_is_killed_in_time(supervisor, said):
    supervisor.start([stubborn("worker", 0.4), shell("redis", "echo ready; sleep 60", 2.0)])
    pids = [psutil.Process(pid) for pid in supervisor.pids().values()]

    began = time.monotonic()
    supervisor.stop()

    assert 0.4 <= time.monotonic() - began < 30  # it sleeps for a minute
    assert any("worker was still busy and is killed" in line for line in said)
    until_gone(pids)


def test_a_second_interrupt_ends_everything_at_once(supervisor):
    supervisor.start([stubborn("worker", 60), stubborn("redis", 120)])
    supervisor.interrupt()
    supervisor.run()
    pids = [psutil.Process(pid) for pid in supervisor.pids().values()]
    again = threading.Timer(0.3, supervisor.interrupt)

    again.start()
    began = time.monotonic()
    supervisor.stop()

    assert time.monotonic() - began < 30  # not the minute and two that each was given
    until_gone(pids)


def test_an_interrupted_start_stops_waiting(supervisor):
    supervisor.interrupt()

    with pytest.raises(StartError, match="stopped before everything had started"):
        supervisor.start([shell("slow", "sleep 60")])


def test_signals_reach_the_handler_only_meanwhile(supervisor):
    before = signal.getsignal(signal.SIGTERM)
    with on_signals(supervisor.interrupt):
        os.kill(os.getpid(), signal.SIGTERM)
        eventually(lambda: supervisor.interrupted)

    assert signal.getsignal(signal.SIGTERM) is before


def test_a_folder_has_one_supervisor(supervisor, tmp_path, said):
    with pytest.raises(StartError, match=rf"already running in .*data \(process {os.getpid()}\)"):
        Supervisor(tmp_path / "data", os.environ, said.append)

    supervisor.stop()
    Supervisor(tmp_path / "data", os.environ, said.append).stop()


def test_a_long_log_is_moved_away(supervisor, tmp_path, monkeypatch):
    monkeypatch.setattr(supervising, "LOG_BYTES", 1_000)
    log = tmp_path / "data" / "logs" / "a.log"
    supervisor.start([shell("a", "echo ready; while :; do echo 0123456789 0123456789 0123456789; sleep 0.01; done")])

    rounds(supervisor, lambda: log.with_name("a.log.1").exists())
    rounds(supervisor, lambda: log.stat().st_size > 100)

    assert log.with_name("a.log.1").read_text().startswith("ready")
    assert not log.read_bytes().startswith(b"\0")


def test_what_children_print_is_shown_when_asked_for(tmp_path, said):
    echoing = Supervisor(tmp_path / "data", os.environ, said.append, echo=True)
    echoing.start([shell("a", "echo one; echo ready; sleep 60")])
    echoing.stop()

    assert said[:2] == ["a | one", "a | ready"]


FAMILY = """
import os, sys
sys.path.insert(0, {root!r})
if {elsewhere!r}:
    sys.platform = {elsewhere!r}
from pathlib import Path
from worker.embedded.supervisor import Child, Supervisor
one = Supervisor(Path({folder!r}), {{**os.environ, "ELSEWHERE": {elsewhere!r}}}, print)
one.start([
    Child("module", ("-m", "forking"), lambda printed: "forked" in printed, 5),
    Child("program", ("/bin/sh", "-c", "echo ready; exec sleep 600"), lambda printed: "ready" in printed, 5),
])
print("pids", *one.pids().values(), flush=True)
one.run()
"""
ELSEWHERE = "import os, sys; sys.platform = os.environ.get('ELSEWHERE') or sys.platform"
FORKING = """
import os, signal
child = os.fork()
print("forked", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("elsewhere", ["", "darwin"])
def test_children_end_with_a_supervisor_that_is_killed(processes, tmp_path, elsewhere):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "forking.py").write_text(FORKING)
    # where the system does not tell, as on macOS, the first lines of a child believe that they are there
    (tmp_path / "lib" / "sitecustomize.py").write_text(ELSEWHERE)
    code = FAMILY.format(root=str(ROOT), folder=str(tmp_path / "data"), elsewhere=elsewhere)

    parent = processes.python("-c", code, env={"PYTHONPATH": str(tmp_path / "lib")})
    parent.until_prints("pids")
    family = [one for one in parent.family() if one.pid != parent.pid]
    parent.popen.kill()

    assert len(family) >= 3
    until_gone(family, within=30)


ORPHAN_FIRST = """
import os, select
def until_orphan():
    while os.getppid() == int(os.environ["FORKED_BY"]):
        select.select([], [], [], 0.01)
os.register_at_fork(before=lambda: os.environ.update(FORKED_BY=str(os.getpid())), after_in_child=until_orphan)
"""
FORKING_AND_DYING = """
import os, signal
if os.fork() == 0:
    signal.pause()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("elsewhere", ["", "darwin"])
def test_what_is_forked_by_a_process_that_dies_at_that_moment_ends_too(processes, tmp_path, elsewhere):
    (tmp_path / "forking.py").write_text(FORKING_AND_DYING)
    (tmp_path / "sitecustomize.py").write_text(ELSEWHERE + ORPHAN_FIRST)
    env = {"PYTHONPATH": str(tmp_path), "ELSEWHERE": elsewhere}

    dying = processes.python(str(child.__file__), str(os.getpid()), "-m", "forking", env=env)
    assert dying.wait() == -signal.SIGKILL

    eventually(lambda: not dying.family(), within=30, saying="what it forked has ended")


def test_a_child_that_lost_its_supervisor_before_it_began_ends_at_once(processes):
    orphan = processes.python("-P", str(CHILD), "1", "-m", "this")

    assert orphan.wait() == -signal.SIGKILL
    assert "Zen" not in orphan.output


def test_modules_of_the_folder_it_runs_in_are_not_taken(processes, tmp_path):
    for name in ("worker.py", "tasks.py", "json.py"):
        (tmp_path / name).write_text("raise RuntimeError('a stranger was imported')")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "look.py").write_text("import json, tasks, worker; print(tasks.__file__, worker.__file__)")

    child = processes.python(
        "-P", str(CHILD), str(os.getpid()), "-m", "look", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "lib")}
    )

    assert child.wait() == 0, child.output
    assert child.output.split() == [str(ROOT / "tasks" / "__init__.py"), str(ROOT / "worker" / "__init__.py")]
