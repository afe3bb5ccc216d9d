"""The command about the first invoices under a new mapping: `canary`."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from worker.cli.accounts import OfAccount, named
from worker.cli.terminal import MISUSED, fail, opened, say

canarying = typer.Typer()


@canarying.command()
def canary(
    name: OfAccount,
    open_: Annotated[
        bool, typer.Option("--open", help="Let the others follow, though the first ones have not proved it.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Let the first ones go ahead once more.")] = False,
    who: Annotated[str | None, typer.Option(help="Who says so; default: your login name.")] = None,
) -> None:
    """How the first invoices under an account's mapping go (`canary = 3`), and what a person decides about them."""
    from worker.canary import standings
    from worker.store import canaries

    ref = named(name)
    if open_ and again:
        fail("--open or --again, not both.", MISUSED)
    if not ref.account.canary:
        fail(f"{ref} has no canary: set `canary = 3`, say, in its section.", MISUSED)
    if open_ or again:
        with opened().write() as connection:
            done = canaries.reopen(connection, (ref.shop, ref.name), f"staff:{who or getpass.getuser()}", again=again)
        if not done:
            fail(f"{ref}: no invoice has been due since it has a canary, so there is nothing to decide yet.")
    found = next((one for one in standings(opened()) if one.account == str(ref)), None)
    say(found.sentence() if found else f"{ref}: all invoices go.")
