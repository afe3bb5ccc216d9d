"""What each process runs: the one place, whether `billhook up` starts it or a container does.

A command is `-m module arguments…` for this Python, never with a secret in it.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from worker.config import Config, Flower
from worker.queues import RECURRING


def ingest(host: str, port: int) -> tuple[str, ...]:
    return ("-m", "worker.cli", "ingest", "--host", host, "--port", str(port))


def worker(name: str, threads: int, queues: Sequence[str] = (), but: Sequence[str] = ()) -> tuple[str, ...]:
    """A worker for `queues`; without any, for all except `but`. It never takes those of `recurring`."""
    taken = ("-Q", ",".join(queues)) if queues else ("--exclude-queues", ",".join((RECURRING, *but)))
    return (*_worker(name), *taken, "-c", str(threads))


def recurring(name: str, schedule: Path | None = None) -> tuple[str, ...]:
    """The worker of dispatch and seal; with `schedule`, the file that beat keeps, it is beat as well."""
    embedded = ("-B", "-s", str(schedule)) if schedule else ()
    return (*_worker(name), "-Q", RECURRING, "-c", "2", *embedded)


def beat(schedule: Path) -> tuple[str, ...]:
    return ("-m", "celery", "-A", "worker", "beat", "-l", "INFO", "--pidfile=", "-s", str(schedule))


def flower(settings: Path) -> tuple[str, ...]:
    """`settings`: as `write_flower_settings` wrote them."""
    return ("-m", "celery", "-A", "worker", "flower", f"--conf={settings}")


def write_flower_settings(data_dir: Path, settings: Flower, host: str) -> Path:
    """Flower's settings as the Python file it wants, readable by its owner only: the password is in no command line.

    Raises:
        ValueError: there is no password, and Flower lets everybody in without one.
    """
    if settings.password is None:
        raise ValueError("Flower does not start without a password: set password under [billhook.flower].")
    file = data_dir / "flowerconfig.py"
    file.unlink(missing_ok=True)
    login = f"{settings.user}:{settings.password.get_secret_value()}"
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(f"basic_auth = {[login]!r}\nread_only = True\naddress = {host!r}\nport = {settings.port}\n")
    return file


def environment(
    environ: Mapping[str, str], config: Config, config_file: Path, data_dir: Path, redis_url: str
) -> dict[str, str]:
    """The environment of such a process. It runs in the data directory, so every path in it is absolute.

    Flower and Celery would take settings from variables named after them; those stay only where the configuration
    itself names them, as in `password = "env:FLOWER_PASSWORD"`.
    """
    named = set(re.findall(r"env:(\w+)", config_file.read_text(encoding="utf-8"))) if config_file.exists() else set()
    kept = {
        name: value for name, value in environ.items() if name in named or not name.startswith(("FLOWER_", "CELERY_"))
    }
    url = config.billhook.database_url or ""
    before, _, database = url.partition(":///")
    if url.startswith("sqlite") and database:
        kept["BILLHOOK_DATABASE_URL"] = f"{before}:///{Path(database).absolute()}"
    return {
        **kept,
        "BILLHOOK_CONFIG": str(config_file.absolute()),
        "BILLHOOK_DATA_DIR": str(data_dir),
        "BILLHOOK_REDIS_URL": redis_url,
        "PYTHONUNBUFFERED": "1",
    }


def _worker(name: str) -> tuple[str, ...]:
    common = ("-P", "threads", "-n", f"{name}@{platform.node() or 'billhook'}", "-l", "INFO", "--without-gossip")
    return ("-m", "celery", "-A", "worker", "worker", *common, "--without-mingle")
