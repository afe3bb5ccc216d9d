"""Processes are started, watched and ended for real."""

import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest

from tests.kit.processes import ROOT, answers, eventually, free_port

SLEEPER = "import signal; print('ready', flush=True); signal.pause()"
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {SLEEPER!r}], start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""


def test_eventually_returns_what_the_condition_gives():
    answers_to_come = [None, 0, "here"]
    assert eventually(lambda: answers_to_come.pop(0), every=0) == "here"


def test_eventually_takes_an_exception_for_not_yet():
    outcomes = iter([ValueError("early"), "late"])

    def condition():
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert eventually(condition, every=0) == "late"


def test_eventually_says_what_it_waited_for_and_what_it_saw():
    with pytest.raises(AssertionError, match=r"not within 0 s: all are issued; it last gave \[\]"):
        eventually(lambda: [], within=0, every=0, saying="all are issued")
    with pytest.raises(AssertionError, match=r"test_kit_processes\.py:\d+.* raised ZeroDivisionError") as caught:
        eventually(lambda: 1 / 0, within=0, every=0)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_free_port_is_given_once_and_to_one_process_only():
    mine = [free_port() for _ in range(50)]
    assert len(set(mine)) == 50
    refused = f"from tests.kit import processes as p; print([p._lock_port(port) for port in {mine[:3]}])"
    answer = subprocess.run([sys.executable, "-c", refused], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[False, False, False]"


def test_a_port_somebody_listens_on_is_not_free(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        busy = server.getsockname()[1]
        good = free_port()
        choices = iter([busy, good + 1 if good + 1 != busy else good + 2])
        monkeypatch.setattr("random.SystemRandom.choice", lambda self, ports: next(choices))
        assert free_port() != busy


def test_output_and_exit_code_are_kept(processes):
    process = processes.python(
        "-c",
        "import os, sys; print(os.environ['GREETING']); print('also', file=sys.stderr); sys.exit(3)",
        env={"GREETING": "hello"},
    )
    assert process.wait() == 3
    assert process.output.splitlines() == ["hello", "also"]
    assert not process.running


def test_waiting_for_readiness(processes):
    port = free_port()
    process = processes.python("-m", "http.server", str(port), "--bind", "127.0.0.1")
    process.until_listening(port)
    assert answers(port)


def test_one_that_ends_before_it_is_ready_is_reported_with_its_output(processes):
    process = processes.python("-c", "raise SystemExit('no configuration')")
    with pytest.raises(AssertionError, match="ended before it was ready") as caught:
        process.until_prints("listening")
    assert "no configuration" in str(caught.value)


def test_kill_takes_the_children_even_those_in_their_own_session(processes):
    process = processes.python("-c", PARENT)
    process.until_prints("ready")
    child = psutil.Process(int(process.output.split()[0]))
    process.kill()
    assert process.exit_code == -signal.SIGKILL
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_close_finds_strays_whose_parent_is_gone(processes):
    process = processes.python("-c", PARENT)
    process.until_prints("ready")
    child = psutil.Process(int(process.output.split()[0]))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert child.is_running()
    processes.close()
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_freeze_and_thaw(processes):
    process = processes.python("-c", SLEEPER)
    process.until_prints("ready")
    process.freeze()
    eventually(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    process.thaw()
    eventually(lambda: psutil.Process(process.pid).status() != psutil.STATUS_STOPPED)


@pytest.mark.parametrize(("act", "number"), [("terminate", signal.SIGTERM), ("interrupt", signal.SIGINT)])
def test_polite_signals(processes, act, number):
    handle = "import signal; [signal.signal(number, lambda number, _: exit(number)) for number in (2, 15)];"
    script = handle + SLEEPER
    process = processes.python("-c", script)
    process.until_prints("ready")
    getattr(process, act)()
    assert process.wait() == number
