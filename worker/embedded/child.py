"""The first lines of every supervised process: it ends with its supervisor, and imports nobody else's modules.

    python -P …/worker/embedded/child.py SUPERVISOR_PID -m celery -A worker worker …
    python -P …/worker/embedded/child.py SUPERVISOR_PID /path/of/valkey-server redis.conf

It is run by its path and imports only the standard library. Linux ends the process when the supervisor's thread that
started it ends, even by SIGKILL; elsewhere a watch compares the parent's id twice a second.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

EVERY = 0.5
"""Seconds between two looks at the parent, where the system does not tell."""
NOBODY = "0"
"""In place of the supervisor's id: nobody of ours, as in a container; the process ends when it is told to."""
_PR_SET_PDEATHSIG = 1  # prctl(2)


def main() -> None:
    """Ties this process to its supervisor and becomes what the arguments name."""
    supervisor, command = int(sys.argv[1]), sys.argv[2:]
    if sys.argv[1] == NOBODY:
        _run_module(command[1], command[2:])
    elif command[0] == "-m":
        _die_with(supervisor)
        _bind_what_is_forked()
        _run_module(command[1], command[2:])
    elif sys.platform == "linux":
        _die_with(supervisor)
        os.execv(command[0], command)  # noqa: S606 (the binding to the supervisor survives it)
    else:
        _run_program(supervisor, command)


def _bind_what_is_forked() -> None:
    """What we fork ends with us. Whose child it is, it knows from before: we may have died before it could ask."""
    ours = [os.getpid()]

    def forked() -> None:
        parent, ours[0] = ours[0], os.getpid()
        _die_with(parent)

    os.register_at_fork(after_in_child=forked)


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os.kill(os.getpid(), signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(EVERY)
    os.kill(os.getpid(), signal.SIGKILL)


def _run_module(module: str, arguments: list[str]) -> None:
    import runpy

    home = str(Path(__file__).resolve().parents[2])
    if home not in sys.path:  # a checkout that is not installed
        sys.path.insert(0, home)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _run_program(supervisor: int, command: list[str]) -> None:
    import subprocess

    program = subprocess.Popen(command)  # noqa: S603
    signal.signal(signal.SIGTERM, lambda *_: program.terminate())
    while program.poll() is None:
        if os.getppid() != supervisor:
            program.kill()
        time.sleep(EVERY / 5)
    sys.exit(program.returncode if program.returncode >= 0 else 128 - program.returncode)


if __name__ == "__main__":
    main()
