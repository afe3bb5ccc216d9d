"""Our processes as real subprocesses, ended with real signals; and the only way of waiting in a test."""

import fcntl
import os
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeVar

import psutil

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
MARK = "BILLHOOK_TEST_PROCESS"  # in the environment of everything we start, so that strays are found
PORTS = range(15000, 32000)  # below the range from which the kernel gives ports to clients
PORT_LOCKS = Path("/tmp")  # one folder for all test processes of the machine, whatever TMPDIR each was given
_taken_ports: set[int] = set()
_port_locks: dict[int, IO[bytes]] = {}


def eventually(condition: Callable[[], T], within: float = 10.0, every: float = 0.05, saying: str = "") -> T:
    """Polls until the condition gives something true, and returns that.

    An exception inside the condition means "not yet"; the last one is shown when the time is over.
    """
    began = time.perf_counter()  # not time.monotonic: a test may have stopped that clock
    while True:
        answer, problem = None, None
        try:
            answer = condition()
        except Exception as error:
            problem = error
        if answer:
            return answer
        if time.perf_counter() - began > within:
            last = f"raised {problem!r}" if problem else f"gave {answer!r}"
            raise AssertionError(
                f"not within {within:g} s: {saying or _described(condition)}; it last {last}"
            ) from problem
        time.sleep(every)


def _described(condition: Callable[[], object]) -> str:
    """The name of a condition and where it stands."""
    code = getattr(condition, "__code__", None)
    where = f" ({Path(code.co_filename).name}:{code.co_firstlineno})" if code else ""
    return f"{getattr(condition, '__qualname__', repr(condition))}{where}"


def free_port() -> int:
    """A port that nobody listens on and no other test process will be given while this one lives."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        if port not in _taken_ports and _lock_port(port) and not _listening(port):
            _taken_ports.add(port)
            return port


def _lock_port(port: int) -> bool:
    """Locks one byte of a file all test processes share; the kernel frees it when this process ends."""
    pid = os.getpid()
    if pid not in _port_locks:
        _port_locks[pid] = open(PORT_LOCKS / f"billhook-test-ports-{os.getuid()}", "ab")  # noqa: SIM115
    try:
        fcntl.lockf(_port_locks[pid], fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections there."""
    with suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def until_gone(processes: Sequence[psutil.Process], within: float = 10.0) -> None:
    """Waits until they have ended; in a container, orphans may stay as zombies, and that is ended too."""

    def gone(one: psutil.Process) -> bool:
        with suppress(psutil.NoSuchProcess):
            return not one.is_running() or one.status() == psutil.STATUS_ZOMBIE
        return True

    eventually(lambda: all(gone(one) for one in processes), within, saying=f"these have ended: {processes}")


class Process:
    """One started command, its children included; everything it prints goes to one file."""

    def __init__(self, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path = ROOT):
        self.command = list(command)
        self.log = log
        self._token = uuid.uuid4().hex
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {}), MARK: self._token}
        with open(log, "ab") as output:
            self.popen = subprocess.Popen(
                self.command,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment,
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self.popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """As `subprocess` gives it: -9 after SIGKILL, None while running."""
        return self.popen.poll()

    def until(self, ready: Callable[[], T], within: float = 30.0) -> T:
        """Waits for a condition, and fails at once, with the output, when the process ends before it holds."""

        def ready_or_over() -> T | bool:
            return self.exit_code is not None or ready()

        try:
            answer = eventually(ready_or_over, within)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._story()}") from error.__cause__
        if answer is True and self.exit_code is not None:
            raise AssertionError(f"ended before it was ready\n{self._story()}")
        return answer  # type: ignore[return-value]

    def until_prints(self, text: str, within: float = 30.0) -> None:
        """Waits until the text stands in the output."""
        self.until(lambda: text in self.output, within)

    def until_listening(self, port: int, within: float = 30.0) -> None:
        """Waits until the port answers."""
        self.until(lambda: answers(port), within)

    def wait(self, within: float = 30.0) -> int:
        """Waits for the end and returns the exit code."""
        try:
            return self.popen.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within:g} s\n{self._story()}") from None

    def terminate(self) -> None:
        """SIGTERM to the process alone, as a supervisor sends it."""
        self.popen.send_signal(signal.SIGTERM)

    def interrupt(self) -> None:
        """SIGINT to the whole group, as Ctrl-C in a terminal does."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGINT)

    def freeze(self) -> None:
        """SIGSTOP to the process and its children."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT to the process and its children."""
        self._signal_all(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL to the process and all it started, and waits until they are gone."""
        family = self._signal_all(signal.SIGKILL)
        self.popen.wait(10)
        until_gone(family)

    def family(self) -> list[psutil.Process]:
        """The process and what it started, also what has lost its parent or opened a session of its own."""
        found = {}
        with suppress(psutil.Error):
            top = psutil.Process(self.pid)
            found = {one.pid: one for one in (top, *top.children(recursive=True))}
        for one in psutil.process_iter():
            with suppress(psutil.Error):
                if one.pid not in found and one.environ().get(MARK) == self._token:
                    found[one.pid] = one
        return list(found.values())

    def _signal_all(self, number: int) -> list[psutil.Process]:
        family = self.family()
        for one in family:
            with suppress(psutil.Error):
                one.send_signal(number)
        return family

    def _story(self) -> str:
        return f"$ {' '.join(self.command)} (exit code {self.exit_code})\n{self.output[-4000:]}"


class Processes:
    """Starts processes for one test and leaves none behind."""

    def __init__(self, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.env = dict(env or {})
        self.started: list[Process] = []

    def start(self, *command: str, name: str = "", env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> Process:
        """Starts a command; its output goes to `<folder>/<number>-<name>.log`."""
        name = name or Path(command[0]).name
        log = self.folder / f"{len(self.started)}-{name}.log"
        process = Process(command, log=log, env={**self.env, **(env or {})}, cwd=cwd)
        self.started.append(process)
        return process

    def python(
        self, *arguments: str, name: str = "", env: Mapping[str, str] | None = None, cwd: Path = ROOT
    ) -> Process:
        """Starts this Python with arguments, such as `-m celery -A worker worker`."""
        return self.start(sys.executable, *arguments, name=name or "python", env=env, cwd=cwd)

    def close(self) -> None:
        """Kills what still runs, strays of processes that ended on their own included."""
        for process in reversed(self.started):
            process.kill()
