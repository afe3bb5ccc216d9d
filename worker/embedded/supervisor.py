"""Keeps named processes running: starts them together, restarts what dies, stops all of them in order.

Each child has a process group of its own (a Ctrl-C in the terminal reaches only us), a fixed working directory, and a
log file of bounded size. Children end when their supervisor ends, however it ends (`worker/embedded/child.py`); they
must be started by a thread that lives as long as they shall.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
"""Seconds before a child that died is started again; doubled each time."""
HEALTHY = 30.0
"""Seconds after which a child's earlier deaths are forgotten."""
LOG_BYTES = 10_000_000
"""A log beyond this is moved to `<name>.log.1`, over the one before."""
ROUND = 0.2


class StartError(Exception):
    """Something could not be started; the sentence says what to do."""


@dataclass(frozen=True)
class Child:
    """A process to be kept running.

    `command`: `-m module arguments…` for Python, else a program's path and its arguments; never with a secret in it.
    `ready` is given what it has printed since its start. `stop_by`: seconds after the beginning of the end at which
    it is killed if it has not ended; those with the lowest are stopped first, the next when they are gone.
    """

    name: str
    command: tuple[str, ...]
    ready: Callable[[str], bool]
    stop_by: float


class _Running:
    """One child as it is now."""

    def __init__(self, child: Child, folder: Path, env: Mapping[str, str]) -> None:
        self.child = child
        self.folder = folder
        self.env = env
        self.log = folder / "logs" / f"{child.name}.log"
        self.popen: subprocess.Popen[bytes] | None = None
        self.ready = False
        self.pause = 0.0
        self.start_at = 0.0
        self._echoed = self._began_at = self._size()

    def start(self) -> None:
        self.ready = False
        self._began_at = self._size()
        self._started = time.monotonic()
        with open(self.log, "ab") as output:
            self.popen = subprocess.Popen(  # noqa: S603
                [
                    sys.executable,
                    "-P",
                    str(Path(__file__).with_name("child.py")),
                    str(os.getpid()),
                    *self.child.command,
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=dict(self.env),
                start_new_session=True,
            )

    def died(self) -> str | None:
        """How it ended, once, right after it did; plans its next start."""
        if self.popen is None or self.popen.poll() is None:
            return None
        code = self.popen.returncode
        self.signal(signal.SIGKILL)  # what it had started
        if time.monotonic() - self._started > HEALTHY:
            self.pause = 0.0
        self.pause = min(max(self.pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
        self.start_at = time.monotonic() + self.pause
        self.popen = None
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def is_ready(self) -> bool:
        if not self.ready and self.popen is not None:
            self.ready = self.child.ready(self.printed())
        return self.ready

    def signal(self, number: signal.Signals) -> None:
        """To the child and everything in its group."""
        if self.popen is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.popen.pid, number)

    def terminate(self) -> None:
        if self.popen is not None and self.popen.poll() is None:
            self.popen.terminate()

    def gone(self) -> bool:
        return self.popen is None or self.popen.poll() is not None

    def printed(self) -> str:
        """What it has printed since its last start."""
        return self._read(self._began_at).decode(errors="replace")

    def news(self) -> list[str]:
        """Whole lines printed since the last call."""
        whole, end, _ = self._read(self._echoed).rpartition(b"\n")
        self._echoed += len(whole + end)
        return whole.decode(errors="replace").splitlines()

    def rotate(self) -> None:
        if self._size() > LOG_BYTES:  # it appends, so it goes on at the beginning of the emptied file
            shutil.copyfile(self.log, self.log.with_name(f"{self.log.name}.1"))
            os.truncate(self.log, 0)
            self._echoed = self._began_at = 0

    def _size(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def _read(self, start: int) -> bytes:
        with open(self.log, "rb") as file:
            file.seek(start)
            return file.read()


class Supervisor:
    """Owns `folder` (only one supervisor does at a time) and the processes it starts there.

    `env` is the children's whole environment. `say` gets a line for each notable event; with `echo` also every line
    that a child prints.
    """

    def __init__(self, folder: Path, env: Mapping[str, str], say: Callable[[str], None], echo: bool = False) -> None:
        self.folder = folder
        self.env = dict(env)
        self.say = say
        self.echo = echo
        self._running: list[_Running] = []
        self._asked = threading.Event()
        self._signals = 0
        (folder / "logs").mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _own(folder)

    def start(self, children: Sequence[Child], within: float = 60.0) -> None:
        """Starts them all at once and returns when each is ready.

        Raises:
            StartError: one of them ended, was not ready in time, or the start was interrupted. What has been
                started still runs.
        """
        started = [_Running(child, self.folder, self.env) for child in children]
        self._running += started
        for one in started:
            one.start()
        deadline = time.monotonic() + within
        while waiting := [one for one in started if not one.is_ready()]:
            self._relay()
            for one in waiting:
                printed = one.printed()
                if how := one.died():
                    raise StartError(f"{one.child.name} {how} instead of starting.{_tail(printed, one.log)}")
            if self._signals:
                raise StartError("stopped before everything had started")
            if time.monotonic() > deadline:
                slow = waiting[0]
                raise StartError(
                    f"{slow.child.name} was not ready within {within:g} s.{_tail(slow.printed(), slow.log)}"
                )
            time.sleep(0.01)

    def look(self) -> None:
        """One round: starts again what has died and is due, keeps logs short."""
        for one in self._running:
            if how := one.died():
                self.say(f"{one.child.name} {how}; starting it again in {one.pause:g} s (its log: {one.log})")
            elif one.popen is None and time.monotonic() >= one.start_at:
                one.start()
            elif not one.ready and one.is_ready():
                self.say(f"{one.child.name} is running again")
            one.rotate()
        self._relay()

    def run(self, beside: Callable[[], object] = lambda: None) -> None:
        """Looks after the children until `interrupt` is called; see `on_signals`. `beside` is called every round."""
        while not self._asked.wait(ROUND):
            self.look()
            beside()

    @property
    def interrupted(self) -> bool:
        """Whether somebody wants the end."""
        return self._asked.is_set()

    def interrupt(self, *_: object) -> None:
        """Ends `run`; called during `stop`, it ends what still runs by SIGKILL."""
        self._signals += 1
        self._asked.set()

    def stop(self) -> None:
        """Ends every child in order, within the last one's `stop_by`; gives up the folder."""
        began, signals = time.monotonic(), self._signals
        for stop_by in sorted({one.child.stop_by for one in self._running}):
            stage = [one for one in self._running if one.child.stop_by == stop_by]
            for one in stage:
                one.terminate()
            while not all(one.gone() for one in stage):
                if time.monotonic() - began > stop_by or self._signals > signals:
                    break
                time.sleep(0.02)
            for one in stage:
                self._end(one)
        self._relay()
        self._running.clear()
        self._lock.close()

    def pids(self) -> dict[str, int]:
        """Of the children that run now, by name."""
        return {one.child.name: one.popen.pid for one in self._running if one.popen is not None}

    def _end(self, one: _Running) -> None:
        if not one.gone():
            self.say(f"{one.child.name} was still busy and is killed; what it had in hand is settled at the next start")
        one.signal(signal.SIGKILL)
        if one.popen is not None:
            one.popen.wait()

    def _relay(self) -> None:
        if self.echo:
            for one in self._running:
                for line in one.news():
                    self.say(f"{one.child.name} | {line}")


class on_signals:  # noqa: N801 (a context manager, used like a function)
    """While inside, SIGINT, SIGTERM and a terminal that closes call `handler`; for the main thread only."""

    def __init__(self, handler: Callable[[int, FrameType | None], None]) -> None:
        self.handler = handler

    def __enter__(self) -> None:
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
            numbers.append(signal.SIGHUP)
        self.before = {number: signal.signal(number, self.handler) for number in numbers}

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


def _own(folder: Path) -> IO[str]:
    """Takes the folder's lock, which the system frees when this process ends. Raises `StartError` if it is taken."""
    import fcntl

    lock = open(folder / "billhook.lock", "a+", encoding="ascii")  # noqa: SIM115 (held until the supervisor stops)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise StartError(
            f"Billhook is already running in {folder} (process {owner}). Stop that one first, or give this one "
            "another data directory (BILLHOOK_DATA_DIR, or data_dir under [billhook])."
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _tail(printed: str, log: Path) -> str:
    lines = printed.strip().splitlines()[-12:]
    return f" Its log is {log}; it ends with:\n" + "\n".join(f"    {line}" for line in lines) if lines else ""
