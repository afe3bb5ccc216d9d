"""The commands by which staff tells of orders: `complete`, `import`."""

from __future__ import annotations

import getpass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.terminal import MISUSED, configured, fail, opened, say

if TYPE_CHECKING:
    from worker.importing.run import Import
    from worker.importing.state import Counts
    from worker.store.inbox import Inbox

staff = typer.Typer()


class Telling(StrEnum):
    """What an order that stands alone in a file is said to be."""

    UPDATED = "order.updated"
    FULFILLED = "order.fulfilled"
    COMPLETED = "order.completed"


@staff.command()
def complete(
    order: Annotated[str, typer.Argument(help="By name, source:name, the source's id, or ours.")],
    shop: Annotated[str | None, typer.Option("--shop", help="Only this shop's.")] = None,
    who: Annotated[str | None, typer.Option(help="Who completes it; default: your login name.")] = None,
    why: Annotated[str | None, typer.Option(help="The reason; stands in the trail.")] = None,
) -> None:
    """Set an order to completed, as staff does: its invoice is due."""
    from worker import bells
    from worker.completing import Refused, completion, order_to_complete
    from worker.store.inbox import RowRefused, StoreUnavailable

    store = opened()
    try:
        found = order_to_complete(store, configured(), order, shop)
        arrival = completion(found, who or getpass.getuser(), why)
        _inbox().keep([arrival])
    except Refused as refused:
        fail(str(refused))
    except (ValueError, RowRefused):
        fail("--who takes up to 200 characters and --why up to 4,000, as text.", MISUSED)
    except StoreUnavailable as error:
        fail(f"The store cannot be written ({error}); nothing was done, or nobody knows: give the command again.")
    bells.ring_events([arrival.id])
    say(f"{found.ref} of {found.shop} (source {found.source}) is set to completed; its invoice is due.")


@staff.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help=".jsonl (an event or order a line) or .csv (a line item a row).")],
    shop: Annotated[str, typer.Option("--shop", help="Whose orders they are.")],
    type: Annotated[
        Telling, typer.Option("--type", help="What the orders are; an event in .jsonl says so itself.")
    ] = Telling.UPDATED,
    source: Annotated[
        str, typer.Option("--source", help="The source that tells these orders otherwise: then they are the same ones.")
    ] = "api",
    restart: Annotated[
        bool, typer.Option("--restart", help="From the beginning, even if an earlier run was ended on its way.")
    ] = False,
) -> None:
    """Take in a file of orders: each whole or not at all, none twice; goes on where an earlier run was ended."""
    from worker.importing.items import Unreadable
    from worker.importing.run import Import
    from worker.store.inbox import StoreUnavailable

    if shop not in configured().shop:
        fail(f"The configuration has no shop {shop!r}; there are: {', '.join(configured().shop) or 'none'}.", MISUSED)
    if source not in (known := ("api", *configured().shop[shop].source)):
        fail(f"Shop {shop!r} has no source {source!r}; there are: {', '.join(known)}.", MISUSED)
    opened(create=True)
    try:
        work = Import(_inbox(), file, shop, type.value, source)
        if not restart and work.resume():
            say(f"Going on after row {work.state.at.row}, where an earlier run was ended (--restart begins again).")
        counts = _with_progress(work, file)
    except Unreadable as error:
        fail(f"{file} cannot be imported: {error}.", MISUSED)
    except StoreUnavailable as error:
        fail(f"The store cannot be written: {error}. Give the same command again: it goes on where it was.")
    except OSError as error:
        fail(f"{error.filename or file}: {error.strerror}.", MISUSED)
    _tell(counts, work)


def _with_progress(work: Import, file: Path) -> Counts:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bar:
        shown = bar.add_task("row 0", total=file.stat().st_size or 1, completed=work.state.at.offset)
        return work.run(lambda state: bar.update(shown, completed=state.at.offset, description=f"row {state.at.row:,}"))


def _tell(counts: Counts, work: Import) -> None:
    say(f"{counts.accepted} accepted, {counts.duplicate} were there before, {counts.rejected} rejected.")
    if counts.rejected:
        say(f"Why, row by row: {work.report}")
        raise typer.Exit(1)


def _inbox() -> Inbox:
    """What is said to be taken is on the disk: SQLite's own setting for workers is laxer."""
    from worker.store.engine import Store
    from worker.store.inbox import Inbox

    return Inbox(Store(configured().inbox_url, busy_seconds=30.0))
