"""`billhook adopt`: invoices that exist on the platform when Billhook is switched on are not made again."""

from __future__ import annotations

import getpass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.accounts import OfAccount, named
from worker.cli.terminal import MISUSED, AsJson, fail, opened, plain, print_json, say, show

if TYPE_CHECKING:
    from worker.adopting import Adoption, Report
    from worker.config import AccountRef

adopting = typer.Typer()
MEANINGS = {
    "ours": "Billhook has made or adopted them before",
    "claimed": "adopted now: their orders are not invoiced again",
    "uncertain": "for you to decide: --review lists them",
    "unmatched": "no order of their name is known; they are asked before one is invoiced",
    "nobody": "no order's, as you said",
    "void": "void on the platform, ignored",
}


@adopting.command()
def adopt(
    name: OfAccount,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Invoices dated this day or later, as the platform dates them."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be adopted, and change nothing.")] = False,
    review: Annotated[bool, typer.Option("--review", help="List what is uncertain.")] = False,
    claim: Annotated[
        list[str] | None, typer.Option(metavar="NUMBER=ORDER", help="This invoice is that order's. Repeatable.")
    ] = None,
    not_: Annotated[
        list[str] | None, typer.Option("--not", metavar="NUMBER", help="This invoice is no order's. Repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Adopt invoices that exist on the platform already, so that their orders are not invoiced again."""
    decided = bool(claim or not_)
    if [since is not None, review, decided].count(True) != 1 or (dry_run and since is None):
        fail("Give one of: --since DATE (with --dry-run), --review, or --claim and --not.", MISUSED)
    ref = named(name)
    opened(create=True)
    if review:
        _review(ref, as_json)
    elif decided:
        _decide(ref, claim or [], not_ or [])
    elif since is not None:
        _adopt(ref, since, dry_run, as_json)


def _adopt(ref: AccountRef, since: datetime, dry: bool, as_json: bool) -> None:
    from connectors.errors import ConnectorError
    from worker.adopting import Adoption
    from worker.store.engine import StoreError

    title = ref.platform.facts.title
    if "list" not in ref.facts.can:
        fail(
            f"{title} does not list its invoices through its API, so none can be adopted on {ref}. Switch over on a day"
            " instead: tell Billhook only orders that are fulfilled after it."
        )
    if ref.account.mode == "shadow":
        fail(f"{ref} is in shadow mode and makes no invoices. Adopt when you take `mode` out, before the first order.")
    run = Adoption(ref, _who(), dry=dry)
    try:
        report = _with_progress(run, since)
    except ConnectorError as error:
        fail(f"{ref}: {error.message}. Give the command again: it goes on where it was.")
    except StoreError as error:
        fail(f"The store cannot be written ({type(error).__name__}). Give the command again: it goes on where it was.")
    if as_json:
        print_json(_told(report, dry))
    else:
        _show(ref, report, dry)


def _with_progress(run: Adoption, since: datetime) -> Report:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        shown = bar.add_task("invoices", total=None)
        return run.run(since.date(), lambda done, total: bar.update(shown, completed=done, total=total))


def _who() -> str:
    return f"staff:{getpass.getuser()}"


def _told(report: Report, dry: bool) -> dict[str, Any]:
    def listed(found: list[Any]) -> list[dict[str, Any]]:
        return [
            {
                "number": each.invoice.title, "remote_id": each.invoice.remote_id, "total": each.invoice.money,
                "order": each.order.order.ref if each.order else None, "why": each.why,
            }
            for each in found
        ]  # fmt: skip

    counts = {name: report.counts[name] for name in MEANINGS}
    return {"dry_run": dry, **counts, "orders": listed(report.claimed), "to_review": listed(report.uncertain)}


def _show(ref: AccountRef, report: Report, dry: bool) -> None:
    from rich.table import Table

    table = Table("invoices", "", "", box=None, header_style="bold")
    for name, meaning in MEANINGS.items():
        table.add_row(name, str(report.counts[name]), meaning)
    show(table)
    if dry:
        say("Nothing was changed (--dry-run).")
    elif report.uncertain:
        say(f"{len(report.uncertain)} to decide: `billhook adopt {ref} --review`.")


def _review(ref: AccountRef, as_json: bool) -> None:
    from rich.table import Table

    from worker import runtime
    from worker.store import strangers

    with runtime.store().read() as connection:
        kept = [each for each in strangers.of_account(connection, ref.shop, ref.name) if each.decided_as is None]
    if as_json:
        print_json([_row(each) for each in kept])
        return
    uncertain = [each for each in kept if each.why]
    table = Table("number", "reference", "id there", "total", "status", "why it is uncertain", box=None)
    for each in uncertain:
        one = each.invoice
        cells = (one.number or "", one.reference or "", one.remote_id, one.money, one.status, each.why or "")
        table.add_row(*map(plain, cells))
    if uncertain:
        show(table)
        say(f"`billhook adopt {ref} --claim NUMBER=ORDER` says whose it is, `--not NUMBER` that it is no order's.")
    else:
        say(f"Nothing on {ref} is uncertain.")
    if rest := len(kept) - len(uncertain):
        say(f"{rest} more have the name of no order that was known; --json lists them.")


def _row(kept: Any) -> dict[str, Any]:
    one = kept.invoice
    return {
        "number": one.number, "reference": one.reference, "remote_id": one.remote_id, "total": one.money,
        "status": one.status, "order_id": kept.order_id, "why": kept.why,
    }  # fmt: skip


def _decide(ref: AccountRef, claims: list[str], nots: list[str]) -> None:
    from worker.adopting import Refused, claim_by_hand, dismiss_by_hand

    pairs = [text.rpartition("=") for text in claims]
    if not all(number and order for number, _, order in pairs):
        fail("--claim takes NUMBER=ORDER, such as INV-7=SO-1001.", MISUSED)
    try:
        for number, _, order in pairs:
            say(claim_by_hand(ref, number, order, _who()))
        for number in nots:
            say(dismiss_by_hand(ref, number, _who()))
    except Refused as refused:
        fail(str(refused))
    say("What was held because of it goes on with `billhook retry ORDER`.")
