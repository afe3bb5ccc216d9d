"""What the commands share: how they fail, what they print, where the configuration comes from."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from worker.config import Config
    from worker.store.engine import Store

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
MISUSED = 2
"""Exit code where the configuration or the call is wrong; 1: it is right, but what was asked for did not come true."""


def say(line: str) -> None:
    """Prints a line at once; the terminal may be gone, the work is not."""
    with suppress(OSError):
        print(line, flush=True)


def fail(sentence: str, code: int = 1) -> NoReturn:
    """Ends the command with a sentence for the person who must act."""
    typer.echo(sentence, err=True)
    raise typer.Exit(code)


def configured(also: str = "") -> Config:
    """The configuration; ends the command with its problems if there are any, and with what is `also` to be said of a
    file that is there."""
    from worker import runtime
    from worker.config import ConfigError, config_path

    try:
        return runtime.config()
    except ConfigError as error:
        more = also if config_path().exists() else ""
        fail("\n".join(filter(None, (listed(error.problems), more))), MISUSED)


def listed(problems: Iterable[tuple[str, str]]) -> str:
    """One line for each (place, what is wrong and what to do)."""
    return "\n".join(f"{place}: {what}" for place, what in problems)


def opened(*, create: bool = False) -> Store:
    """The store, its tables up to date; ends the command if there is none yet, unless it may `create` one."""
    from worker import runtime
    from worker.embedded.machine import prepare_store
    from worker.embedded.supervisor import StartError

    config = configured()
    if create:
        config.billhook.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    elif not config.billhook.database_url and not config.billhook.data_dir.exists():
        fail(f"There is no store in {config.billhook.data_dir.absolute()} yet; `billhook up` creates it.")
    try:
        prepare_store(config)
    except StartError as error:
        fail(str(error))
    return runtime.store()


def print_json(value: Any) -> None:
    """Indented JSON; dates and decimals as text."""
    import orjson

    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str).decode())


def show(renderable: Any) -> None:
    """Prints a table; into a file or a pipe it is not cut to a terminal's width."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(renderable)


def plain(text: str) -> str:
    """Text for a table's cell, in which brackets are brackets and not markup."""
    from rich.markup import escape

    return escape(text)
