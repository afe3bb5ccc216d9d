"""The services one by one, for containers and for several machines: each command becomes the process it names."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from worker.cli.terminal import MISUSED, configured, fail

if TYPE_CHECKING:
    from worker.config import Config

services = typer.Typer()

Name = Annotated[str, typer.Option(help="Of its own on a machine: the node's name and that of its file.")]
Host = Annotated[str, typer.Option(help="Where it listens; it speaks no TLS, so put a proxy in front.")]
HTTP = {"ingest": (8080, "/readyz"), "flower": (5555, "/healthcheck")}
"""What is asked whether it is well by address: usual port, path."""


@services.command()
def ingest(
    host: Annotated[
        str, typer.Option(help="Where it listens; it speaks no TLS, so put a proxy in front.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
) -> None:
    """Run the endpoint that takes events, alone."""
    configured()
    from worker.ingest.endpoint import serve

    serve(host, port)


@services.command()
def worker(
    queues: Annotated[str, typer.Option(help='"all", or some, such as "events,notify,invoices.xero".')] = "all",
    but: Annotated[str, typer.Option("--except", help='With "all": not these, such as "invoices.xero".')] = "",
    threads: Annotated[int | None, typer.Option(min=1, max=200, help="Default: threads of the configuration.")] = None,
    name: Name = "worker",
) -> None:
    """Run a worker that handles events, creates invoices and tells customers, alone; start as many as you like."""
    if threads is not None:
        os.environ["BILLHOOK_THREADS"] = str(threads)
    config = _ready_for(name)
    wanted, left_out = _queues(queues), _queues(but)
    if wanted and left_out:
        fail('--except goes with --queues "all"; leave the queue out of the list instead.', MISUSED)
    _needs_the_shared_key(config)
    from worker.embedded import commands

    _prepare(config)
    _become(config, name, commands.worker(name, config.billhook.threads, wanted, left_out))


@services.command()
def recurring(name: Name = "recurring") -> None:
    """Run the worker that looks for what is due and seals the trail, alone; it needs beat beside it."""
    config = _ready_for(name)
    from worker.embedded import commands

    _prepare(config)
    _become(config, name, commands.recurring(name))


@services.command()
def beat(name: Name = "beat") -> None:
    """Run the clock that rings for the recurring tasks, alone; a second one does no harm."""
    config = _ready_for(name)
    from worker.embedded import commands

    _become(config, name, commands.beat(config.billhook.data_dir / f"{name}-schedule"))


@services.command()
def flower(
    host: Annotated[
        str, typer.Option(help="Where it listens; it speaks no TLS, so put a proxy in front.")
    ] = "127.0.0.1",
) -> None:
    """Run Flower alone: tasks and workers to look at, with the login of [billhook.flower], read-only."""
    config = _ready_for("flower")
    from worker.embedded import commands

    try:
        settings = commands.write_flower_settings(config.billhook.data_dir, config.billhook.flower, host)
    except ValueError as error:
        fail(str(error), MISUSED)
    _become(config, "flower", commands.flower(settings))


@services.command()
def healthy(
    name: Annotated[str, typer.Argument(help='"ingest", "flower", or the --name of another service.')],
    port: Annotated[int | None, typer.Option(help="Where ingest or Flower listens. Default: 8080, 5555.")] = None,
) -> None:
    """Whether a service on this machine is well: exit code 0, or 1 and the reason. For health checks."""
    if name in HTTP:
        usual, path = HTTP[name]
        trouble = _no_good_answer(f"http://127.0.0.1:{port or usual}{path}")
    else:
        from worker import alive

        folder = os.environ.get("BILLHOOK_DATA_DIR")
        trouble = alive.trouble(alive.file_of(Path(folder) if folder else configured().billhook.data_dir, name))
    if trouble:
        fail(f"{name} is not well: {trouble}.")


def _no_good_answer(url: str) -> str | None:
    from http.client import HTTPException
    from urllib.request import ProxyHandler, build_opener

    try:
        with build_opener(ProxyHandler({})).open(url, timeout=4):
            return None
    except (OSError, HTTPException) as error:  # refused, too slow, or an answer of 400 and above
        return f"{url}: {error}"


def _ready_for(name: str) -> Config:
    """The configuration of a service that shares Redis with others; ends the command where it cannot be one."""
    import re

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}", name):
        fail(f"{name!r} cannot be a service's name: it takes letters, digits, - _ and .", MISUSED)
    config = configured()
    if config.billhook.redis_url is None:
        fail("billhook.redis_url: is missing; services share one Redis (BILLHOOK_REDIS_URL).", MISUSED)
    config.billhook.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    return config


def _queues(wanted: str) -> list[str]:
    """The queues of a list; none for "all"."""
    if wanted.strip() in ("", "all"):
        return []
    from worker.queues import queue_names

    names = [one.strip() for one in wanted.split(",") if one.strip()]
    if unknown := [one for one in names if one not in queue_names()]:
        fail(f"There is no queue {', '.join(unknown)}; there are {', '.join(queue_names())}.", MISUSED)
    return names


def _needs_the_shared_key(config: Config) -> None:
    if not (os.environ.get("BILLHOOK_KEY") or config.billhook.key_file):
        fail(
            "Workers share the key that encrypts tokens: set BILLHOOK_KEY to the same for all of them (or key_file "
            "under [billhook]). Without it each would make one in its data directory and could not read the others'.",
            MISUSED,
        )


def _prepare(config: Config) -> None:
    """Brings the tables up to date; any number of services may do so at once."""
    from worker.embedded.machine import prepare_store
    from worker.embedded.supervisor import StartError

    try:
        prepare_store(config)
    except StartError as error:
        fail(str(error))


def _become(config: Config, name: str, command: tuple[str, ...]) -> NoReturn:
    """This process goes on as the command, in the data directory, under the same process id."""
    from worker import alive, runtime
    from worker.config import config_path
    from worker.embedded import child, commands

    data_dir = config.billhook.data_dir
    env = commands.environment(os.environ, config, config_path(), data_dir, runtime.redis_url())
    env[alive.VARIABLE] = str(alive.file_of(data_dir, name))
    os.chdir(data_dir)
    os.execve(sys.executable, [sys.executable, "-P", child.__file__, child.NOBODY, *command], env)  # noqa: S606
