"""`billhook …`: the command line. What is heavy is imported by the command that needs it; tasks never are."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import accounts, adopt, canary, decisions, services, staff, store
from worker.cli.doctor import doctor
from worker.cli.terminal import MISUSED, AsJson, configured, fail, listed, opened, plain, print_json, say, show

if TYPE_CHECKING:
    from connectors.sandbox.faults import Faults
    from worker.embedded.machine import Machine

app = typer.Typer(
    help="An order is fulfilled, and exactly one invoice appears on the accounting platform.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(services.services)
app.add_typer(store.orders)
app.add_typer(decisions.decisions)
app.add_typer(staff.staff)
app.add_typer(store.audit, name="audit")
app.add_typer(accounts.accounts)
app.add_typer(accounts.account, name="account")
app.add_typer(adopt.adopting)
app.add_typer(canary.canarying)
app.command()(doctor)


def main() -> None:
    """What the `billhook` script runs."""
    app()


@app.callback()
def everywhere(
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Default: BILLHOOK_CONFIG, else ./billhook.toml.")
    ] = None,
) -> None:
    if config is not None:
        os.environ["BILLHOOK_CONFIG"] = str(config.absolute())


@app.command()
def up(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what the processes print.")] = False,
) -> None:
    """Run everything on this machine: Redis, ingest, workers, recurring tasks, Flower."""
    began = time.monotonic()
    config = configured()
    from worker import runtime
    from worker.config import config_path
    from worker.embedded.machine import Machine
    from worker.embedded.supervisor import StartError, on_signals

    try:
        machine = Machine(config, config_path(), say, echo=verbose)
        with on_signals(machine.supervisor.interrupt):
            machine.start()
            say(_banner(machine, time.monotonic() - began))
            machine.supervisor.run(runtime.keeper().look)
            say("Stopping; calls in flight may take up to 8 seconds (Ctrl-C again: at once).")
            machine.stop()
            say("Stopped.")
    except StartError as error:
        fail(str(error))


def _banner(machine: Machine, seconds: float) -> str:
    config = machine.config.billhook
    flower = f"{machine.flower_url} (user {config.flower.user}, read-only)" if machine.flower_url else None
    rows = {
        "events": f"{machine.ingest_url}/events (described at {machine.ingest_url}/docs)",
        "Flower": flower or "not started: it has no password (set password under [billhook.flower])",
        "Redis": f"{machine.redis.title}; private, port {machine.redis.port}" if machine.redis else "as configured",
        "store": f"SQLite in {machine.data_dir}" if machine.config.store_url.startswith("sqlite") else "PostgreSQL",
        "metrics": ", ".join(machine.metrics_urls) or "off (see [billhook.metrics])",
        "logs": str(machine.supervisor.folder / "logs"),
    }
    lines = (f"  {name:<8}{value}" for name, value in rows.items())
    return "\n".join((f"Billhook is running (started in {seconds:.1f} s; Ctrl-C stops it)", *lines))


@app.command()
def check(
    online: Annotated[bool, typer.Option("--online", help="Also try each account with a harmless read.")] = False,
) -> None:
    """Say what is wrong in the configuration, and where."""
    from worker import runtime
    from worker.config import ConfigError

    try:
        config = runtime.config()
    except ConfigError as error:
        typer.echo(listed(error.problems))
        raise typer.Exit(1) from None
    from worker.cli.starter import advice, summary

    for place, what in advice(config):
        typer.echo(f"warning: {place}: {what}")
    if online:
        opened(create=True)
        found = list(accounts.online(list(config.accounts())))
        for place, what, well in found:
            typer.echo(f"{'ok' if well else 'wrong'}: {place}: {what}")
        if not all(well for _, _, well in found):
            raise typer.Exit(1)
    typer.echo(f"ok: {summary(config)}")


@app.command()
def init(
    shop: Annotated[str, typer.Option(help="The shop's name: lower-case letters, digits, - and _.")] = "myshop",
) -> None:
    """Write a commented billhook.toml to start from."""
    import re

    from worker.cli.starter import VARIABLES, starting_file
    from worker.config import NAME, config_path

    if not re.fullmatch(NAME, shop):
        fail(f"{shop!r} cannot be a shop's name: it takes lower-case letters, digits, - and _.", MISUSED)
    file = config_path()
    try:
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            out.write(starting_file(shop))
    except FileExistsError:
        fail(f"{file} is there already and stays as it is; give another name with --config.")
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}.")
    typer.echo(f"{file} is written, with fresh keys; only you can read it.")
    typer.echo(f"Set these in the environment: {', '.join(VARIABLES)}. Then: billhook check, billhook up.")


@app.command()
def platforms(
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table that stands in the docs.")] = False,
    pages: Annotated[bool, typer.Option("--pages", help="Print each platform's section of the docs.")] = False,
) -> None:
    """What each platform can do."""
    from connectors.platforms.base import platforms as all_platforms
    from worker.cli import capabilities

    every = sorted(all_platforms().values(), key=lambda kind: str(kind.facts.title).casefold())
    rows = [capabilities.capabilities(kind) for kind in every]
    if as_json:
        print_json(rows)
        return
    if markdown or pages:
        typer.echo(capabilities.markdown(rows) if markdown else "\n\n".join(map(capabilities.page, every)))
        return
    from rich.table import Table

    table = Table("platform", "login", "can", "reference", "key lives", "bulk", "quota", box=None)
    for row in rows:
        unique = " (unique)" if row["reference_unique"] else ""
        table.add_row(
            row["platform"], row["auth"], " ".join(row["can"]), plain(row["reference"]) + unique,
            row["key_lives"] or "none", str(row["bulk"]), ", ".join(row["quotas"]) or "none known",
        )  # fmt: skip
    show(table)


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8300,
    host: str = "127.0.0.1",
    data: Annotated[Path | None, typer.Option(help="SQLite file that keeps the books; default: in memory.")] = None,
    faults: Annotated[str, typer.Option(help='Rates of faults, such as "answer_lost=0.02,throttle=0.01".')] = "",
    limits: Annotated[bool, typer.Option(help="Whether the platforms' quotas are kept.")] = True,
) -> None:
    """Serve emulators of the platforms, to try everything before connecting a real account."""
    import asyncio

    wanted = _faults(faults)
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve_sandbox(host, port, data, wanted, limits))


def _faults(text: str) -> Faults:
    from pydantic import ValidationError

    from connectors.sandbox.faults import Fault, Faults

    try:
        pairs = [pair.split("=") for pair in filter(None, text.replace(" ", "").split(","))]
        rates = Faults.model_validate({"rates": {name: float(rate) for name, rate in pairs}})
    except (ValueError, ValidationError):
        fail(f'--faults takes name=rate pairs, such as "answer_lost=0.02"; names: {", ".join(Fault)}', MISUSED)
    if not all(0 <= rate <= 1 for rate in rates.rates.values()) or sum(rates.rates.values()) > 1:
        fail("--faults: each rate is a share of the calls; together they are at most 1", MISUSED)
    return rates


async def _serve_sandbox(host: str, port: int, data: Path | None, faults: Faults, limits: bool) -> None:
    from connectors.sandbox.server import Sandbox

    books = Sandbox(data)
    if not limits:
        books.lift_limits()
    for hosted in books.hosted.values():
        hosted.injector.configure(faults.model_copy(deep=True))
    try:
        server = await books.serve(host, port)
    except OSError as error:
        fail(f"{host}:{port} cannot be listened on: {error.strerror}. Give another --port.")
    address = "http://{}:{}".format(*server.sockets[0].getsockname()[:2])
    say(f"The sandbox listens on {address}; Ctrl-C stops it. What happened: {address}/_sandbox/report")
    for slug, hosted in books.hosted.items():
        say(f'\n[shop.myshop.account.{slug}]\nplatform = "{slug}"\nbase_url = "{address}/{slug}"')
        if sample := getattr(hosted.emulator, "sample", ""):  # TOML: credentials and settings that work here
            say(str(sample).strip())
    async with server:
        await server.serve_forever()


@app.command()
def demo(
    orders: Annotated[int, typer.Option(min=1, help="How many sample orders.")] = 200,
    seed: Annotated[int | None, typer.Option(help="Repeat a run: same orders, same faults.")] = None,
    as_json: AsJson = False,
    keep: Annotated[bool, typer.Option(help="Leave it running and print the addresses.")] = False,
) -> None:
    """See it work: sample orders through sandbox platforms that fail on purpose."""
    from worker.demo.run import run

    raise typer.Exit(run(orders=orders, seed=seed, as_json=as_json, keep=keep))


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def bench(context: typer.Context) -> None:
    """Measure the speed on this machine; needs the source checkout."""
    if not Path("tests/bench/__main__.py").is_file():
        fail("The benchmarks are a part of the source checkout: run this in its folder.")
    command = [sys.executable, "-m", "tests.bench", *context.args]
    raise typer.Exit(subprocess.run(command, check=False).returncode)  # noqa: S603


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        typer.echo(f"billhook {installed('billhook')}, Python {sys.version.split()[0]}")
    except PackageNotFoundError:
        typer.echo(f"billhook from a checkout, Python {sys.version.split()[0]}")
