"""What a person decides about work that stands still: `retry`, `dismiss`, `reroute`."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.terminal import MISUSED, configured, fail, opened, plain, show

if TYPE_CHECKING:
    from worker.store.choosing import Choice
    from worker.store.dismissing import Dismissed
    from worker.store.engine import Store
    from worker.store.retry import PutBack

decisions = typer.Typer()
LONGEST_WHO, LONGEST_WHY = 200, 4_000


class Kind(StrEnum):
    """What a row is."""

    EVENT = "event"
    CUSTOMER = "customer"
    INVOICE = "invoice"
    CREDIT = "credit"
    NOTICE = "notice"


Held = Annotated[bool, typer.Option("--held", help="Everything that is held and matches the options.")]
OfShop = Annotated[str | None, typer.Option("--shop", help="Only this shop's.")]
OfAccount = Annotated[str | None, typer.Option("--account", help="Only this account's, shop/name.")]
OfKind = Annotated[Kind | None, typer.Option("--kind", help="Only rows of this kind; a credit note is a credit.")]
Saying = Annotated[str | None, typer.Option("--reason-contains", help="Only where the reason says this.")]
Who = Annotated[str | None, typer.Option(help="Who decides it; default: your login name.")]


@decisions.command()
def retry(
    names: Annotated[list[str] | None, typer.Argument(metavar="[ORDER]...", help="Orders, by name or id.")] = None,
    held: Held = False,
    account: OfAccount = None,
    kind: OfKind = None,
    reason_contains: Saying = None,
    dismissed: Annotated[bool, typer.Option("--dismissed", help="Of the orders: also what was dismissed.")] = False,
    shop: OfShop = None,
) -> None:
    """Put held work back: what was never sent is sent, what may have been sent is looked up first.

    Where an order or an account is named, this goes for `mismatch` and `doubled`, too: once you have put it right on
    the platform, it is looked up there and compared again.
    """
    from worker.store.retry import put_back

    _refuse_vague(names, held)
    if dismissed and not names:
        fail("--dismissed goes with the names of orders: what was dismissed comes back one by one.", MISUSED)
    store, actor = opened(), f"staff:{getpass.getuser()}"
    found: list[PutBack] = []
    wanted: list[str | None] = [*names] if names else [None]
    tenants = {(ref.shop, ref.name): ref.tenant for ref in configured().accounts()}
    for name in wanted:
        again = put_back(
            store, actor=actor, shop=shop, order=name, account=account, kind=kind, reason_contains=reason_contains,
            dismissed=dismissed, tenants=tenants,
        )  # fmt: skip
        if name and not again:
            elsewhere = "; on an account that it has left, `billhook reroute` brings it back" if dismissed else ""
            typer.echo(f"{name}: nothing of it is held{elsewhere}", err=True)
        found += again
    for one in found:
        then = "is looked up, then tried again" if one.state == "uncertain" else "is tried again"
        typer.echo(f"{one.label}: {one.kind} {then}")
    typer.echo(f"{len(found)} put back")
    raise typer.Exit(0 if found or held else 1)


@decisions.command()
def dismiss(
    why: Annotated[str, typer.Option("--why", help="What you did about it instead; stands in the trail.")],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[ORDER|EVENT]...", help="Orders, by name or id; events, by id.")
    ] = None,
    held: Held = False,
    account: OfAccount = None,
    kind: OfKind = None,
    reason_contains: Saying = None,
    shop: OfShop = None,
    who: Who = None,
    even_if_sent: Annotated[
        bool, typer.Option("--even-if-sent", help="Also invoices and credit notes that may exist on the platform.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
) -> None:
    """End held work that you have dealt with elsewhere: nothing is done about it, and it counts as held no more.

    What would be dismissed is listed first, and you are asked. `billhook retry --dismissed ORDER` takes it back.
    """
    from worker.completing import Refused
    from worker.store.dismissing import NotDismissed
    from worker.store.dismissing import dismiss as end

    _refuse_vague(names, held)
    store, said_by = opened(), _said(who, why)
    try:
        choices = _choices(store, names or [], shop, account, kind, reason_contains)
        listed = _listed(store, choices)
        if not listed:
            typer.echo("nothing was dismissed")
            raise typer.Exit(0 if held else 1)
        if not yes and not typer.confirm(f"Dismiss {len(listed)} row(s)?"):
            fail("Nothing was dismissed.")
        ids = {one.id for one in listed}
        done = end(store, [*choices.values()], who=said_by, why=why, even_if_sent=even_if_sent, only=ids)
    except (Refused, NotDismissed) as refused:
        fail(str(refused))
    typer.echo(f"{len(done)} dismissed")


def _choices(
    store: Store, names: list[str], shop: str | None, account: str | None, kind: str | None, reason: str | None
) -> dict[str, Choice]:
    """What is chosen, by the name that chose it; raises `Refused` for one that means several orders."""
    from worker import runtime
    from worker.dismissing import choice_of
    from worker.store.choosing import Choice

    if not names:
        return {"": Choice(shop, None, account, kind, reason)}
    return {name: choice_of(store, runtime.inbox(), name, shop, account, kind, reason) for name in names}


def _listed(store: Store, choices: Mapping[str, Choice]) -> list[Dismissed]:
    """Shows what would be dismissed."""
    from rich.table import Table

    from worker.dismissing import nothing_of
    from worker.store.dismissing import dismissible

    for name, choice in choices.items():
        if name and not dismissible(store, [choice]):
            typer.echo(nothing_of(name, choice.shop), err=True)
    found = dismissible(store, [*choices.values()])
    table = Table("order", "what", "account", "state", "reason", box=None, header_style="bold")
    for one in found:
        table.add_row(*(plain(cell) for cell in (one.label, one.kind, one.account, one.was, one.reason or "")))
    if found:
        show(table)
    return found


@decisions.command()
def reroute(
    order: Annotated[str, typer.Argument(help="By name, source:name, the source's id, or ours.")],
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="ACCOUNT", help="Where it goes; default: by today's routes."),
    ] = None,
    why: Annotated[str | None, typer.Option("--why", help="The reason; stands in the trail.")] = None,
    who: Who = None,
    shop: OfShop = None,
) -> None:
    """Move an order to other accounts than were decided with its first invoice.

    By the routes as they are now, or to each --to. What was never sent to an account that it leaves is dismissed, and
    the invoice is due on the new one. An invoice that exists must be given back first.
    """
    from worker.completing import Refused, order_meant
    from worker.rerouting import reroute as move

    store = opened()
    configured()
    try:
        moved = move(store, order_meant(store, order, shop), to or (), who=_said(who, why), why=why)
    except Refused as refused:
        fail(str(refused))
    if set(moved.was) == set(moved.now):
        typer.echo(f"{order} goes to {', '.join(moved.now)} already; nothing was changed.")
        return
    for one in moved.dismissed:
        typer.echo(f"{one}: is not sent any more")
    for one in moved.due:
        typer.echo(f"{one}: is due")
    typer.echo(f"{order} goes to {', '.join(moved.now)} now; it went to {', '.join(moved.was)} before.")


def _refuse_vague(names: list[str] | None, held: bool) -> None:
    if bool(names) == held:
        fail("Name the orders, or give --held (with --account, --kind, --reason-contains, --shop).", MISUSED)


def _said(who: str | None, why: str | None) -> str:
    """Who says it; ends the command where that, or why, cannot be kept."""
    name = (who or getpass.getuser()).strip()
    texts = (name, why or "")
    if not name or len(name) > LONGEST_WHO or len(texts[1]) > LONGEST_WHY or any("\0" in text for text in texts):
        fail("--who takes up to 200 characters and --why up to 4,000, as text.", MISUSED)
    if why is not None and not why.strip():
        fail("--why is empty: say in a few words what was done, for whoever reads the trail.", MISUSED)
    return name
