"""Processes of ours that start in a tenth of a second: forked from one that has imported everything already.

Each is a process of its own with its own environment, folder and log; only the imports are shared. The first of a
test run waits for them once.
"""

import ctypes
import importlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

IMPORTED = [
    "pytest",
    "celery.__main__",
    "celery.bin.celery",
    "celery.apps.worker",
    "celery.apps.beat",
    "celery.concurrency.thread",
    "celery.fixups.django",
    "kombu.transport.redis",
    "psycopg",
    "connectors.platforms.stripe",
    "connectors.platforms.xero",
    "connectors.sources.standard",
    "tasks.create_invoices",
    "tasks.handle_events",
    "tasks.notify_customers",
    "tasks.recurring",
]

_PR_SET_PDEATHSIG = 1  # prctl(2)


class Forked:
    """As `subprocess.Popen`, as far as the kit needs it: `python -m <module> <arguments>` in a forked process."""

    def __init__(self, arguments: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        self._process = context.Process(
            target=_run, args=(list(arguments), str(log), dict(env), str(cwd)), daemon=False
        )
        self._process.start()
        self.pid: int = self._process.pid or 0

    def poll(self) -> int | None:
        """The exit code, negative after a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end. Raises `subprocess.TimeoutExpired`."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("forked", timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Sends a signal if it still runs."""
        with suppress(ProcessLookupError):
            if self.poll() is None:
                os.kill(self.pid, number)


def _run(arguments: list[str], log: str, env: dict[str, str], cwd: str) -> None:
    os.setsid()
    if sys.platform == "linux":  # it ends with the nursery, as that does with the tests
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - multiprocessing has closed it
    sys.stdout, sys.stderr = (open(n, "w", buffering=1, closefd=False) for n in (1, 2))  # noqa: SIM115
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    importlib.reload(importlib.import_module("worker.testpoints"))  # it has read the environment of the nursery
    flag, module, *rest = arguments
    assert flag == "-m"
    multiprocessing.current_process().name = "MainProcess"
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
