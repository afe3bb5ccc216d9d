"""The commands that ask the store: `status`, `audit show`, `audit verify`; and `release`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from worker.cli.terminal import MISUSED, AsJson, configured, fail, opened, plain, print_json, say, show

orders = typer.Typer()
audit = typer.Typer(help="Read and check the audit trail.", no_args_is_help=True)

OfShop = Annotated[str | None, typer.Option("--shop", help="Only this shop's.")]


@orders.command()
def status(
    as_json: AsJson = False,
    held: Annotated[bool, typer.Option("--held", help="List each row that a person must look at.")] = False,
    shop: OfShop = None,
) -> None:
    """How things stand: what is done, due, and held, and why."""
    from worker import canary, forecast, pulse
    from worker.store import jobs, views

    if held:
        rows = views.held(opened(), shop=shop)
        (print_json if as_json else _show_held)(rows)
        return
    if shop:
        fail("--shop goes with --held.", MISUSED)
    configured("What runs goes on under the configuration that it has; `billhook doctor` says more.")
    found = views.status(opened())
    expected = forecast.forecasts(jobs.now())
    refused = pulse.refusals()
    ahead = canary.standings(opened())
    if as_json:
        print_json(
            found
            | {
                "canaries": [asdict(one) for one in ahead],
                "forecasts": [asdict(one) for one in expected],
                "configuration_refused": refused,
            }
        )
        return
    _show_status(found)
    for name, why in refused.items():
        say(f"{name} cannot use billhook.toml as it is now, the one before it stays in force: {why}")
    for standing in ahead:
        say(standing.sentence())
    for one in expected:
        say(one.sentence())


def _show_status(found: dict[str, Any]) -> None:
    from rich.table import Table

    if not found["jobs"]:
        say("Nothing has arrived yet.")
        return
    states = sorted({state for numbers in found["jobs"].values() for state in numbers})
    table = Table("", *states, box=None, header_style="bold")
    for kind, numbers in found["jobs"].items():
        table.add_row(
            "credit notes" if kind == "credit" else f"{kind}s", *(str(numbers.get(state, "")) for state in states)
        )
    show(table)
    waited, unsealed = found["oldest_due_seconds"], found["unsealed"]
    say("\nNothing is due now." if waited is None else f"\nThe oldest work that is due has waited {waited:.0f} s.")
    if unsealed["entries"]:
        say(f"{unsealed['entries']} entries of the trail wait for a seal, up to {unsealed['oldest_seconds']:.0f} s.")
    if unmatched := found["unmatched"]["events"]:
        names, since = ", ".join(found["unmatched"]["names"]), found["unmatched"]["oldest_seconds"]
        say(f"{unmatched} event(s) wait for an order that nobody has told, up to {since:.0f} s: {names}.")
    for account, number in found["to_review"].items():
        say(f"{number} invoice(s) on {account} may be of orders here: `billhook adopt {account} --review`.")
    for row in found["held"]:
        say(f"{row['count']} {row['kind']}(s) {row['state']} since {row['since']}: {row['reason']}")
    _show_holds(found["holds"])
    if found["held"]:
        say("`billhook status --held` lists them; `billhook retry` puts them back, `billhook dismiss` ends them.")


def _show_holds(holds: list[dict[str, Any]]) -> None:
    for hold in holds:
        names = [str(ref) for ref in configured().accounts() if ref.tenant == hold["tenant"]]
        who, waiting = ", ".join(names) or hold["tenant"], f"{hold['waiting']} rows wait"
        say(f"{who}: on hold since {hold['since']}, {waiting}: {hold['reason']}")
        if names:
            say(f"Connect it again: `billhook connect {names[0]}`.")


def _show_held(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table("order", "what", "shop", "account", "state", "since", "reason", box=None, header_style="bold")
    for row in rows:
        order = row["order_ref"] or row["label"]
        cells = (order, row["kind"], row["shop"], row["account"], row["state"], row["changed_at"], row["reason"] or "")
        table.add_row(*(plain(str(cell)) for cell in cells))
    if rows:
        show(table)
    else:
        say("Nothing is held.")


@audit.command("show")
def show_order(
    order: Annotated[str, typer.Argument(help="By name, the source's id, or ours.")],
    as_json: AsJson = False,
    bodies: Annotated[bool, typer.Option("--bodies", help="Also what was sent and answered.")] = False,
    shop: OfShop = None,
) -> None:
    """What happened to an order, entry by entry."""
    from worker.store import views

    found = views.order_view(opened(), shop, order)
    if bodies:
        views.add_bodies(opened(), found)
    if not found:
        fail(f"No order {order!r} is known" + (f" in shop {shop!r}." if shop else "."))
    if as_json:
        print_json(found)
        return
    for one in found:
        _show_order(one)


def _show_order(one: dict[str, Any]) -> None:
    from rich.table import Table

    say(f"Order {one['ref']} of {one['shop']} (source {one['source']}, id there {one['source_id']})")
    for invoice in one["invoices"]:
        number = invoice["remote_number"] or invoice["remote_id"] or "no number yet"
        why = f": {invoice['reason']}" if invoice["reason"] else ""
        total = f"{invoice['total']} {invoice['currency']}"
        what = "credit note" if invoice["kind"] == "credit" else "invoice"
        say(f"  {what} {number} on {invoice['account']}, {total}: {invoice['state']}{why}")
    _show_lines(one["lines"])
    for notice in one["notices"]:
        why = f": {notice['reason']}" if notice["reason"] else ""
        say(f"  {notice['purpose']} by {notice['channel']}: {notice['state']}{why}")
    table = Table("time (UTC)", "what", "action", "outcome", "by", "took", "detail", box=None, header_style="bold")
    for entry in one["timeline"]:
        took = "" if entry["duration_us"] is None else f"{entry['duration_us'] / 1000:.0f} ms"
        detail = ", ".join(f"{name}={value}" for name, value in entry["detail"].items() if name != "body")
        subject = entry["subject"].partition(":")[0]
        who = entry["actor"].partition("/")[0]  # without the id of its task
        cells = (entry["at"], f"{subject} {entry['seq']}", entry["action"], entry["outcome"], who, took)
        table.add_row(*(plain(str(cell)) for cell in cells), plain(detail))
    show(table)
    for entry in one["timeline"]:
        if exchange := entry.get("exchange"):
            say(f"\n{entry['subject']} {entry['seq']}: {exchange['url']}\n\n{exchange['request']}")
            say(f"\nanswered:\n{exchange['response']}" if exchange["response"] else "\nnot sent")


def _show_lines(lines: list[dict[str, Any]]) -> None:
    """Where not just everything was invoiced once, or nothing yet."""
    counts = [(line["ordered"], n["invoiced"], n["credited"]) for line in lines for n in line["accounts"].values()]
    if all(n == (n[0], n[0], "0") for n in counts) or all(n[1:] == ("0", "0") for n in counts):
        return
    for line in lines:
        shipped = "" if line["shipped"] is None else f", {line['shipped']} shipped"
        counted = (
            f"; {account}: {n['invoiced']} invoiced, {n['credited']} credited"
            for account, n in line["accounts"].items()
        )
        say(f"  {line['ref']} {line['description']}: {line['ordered']} ordered{shipped}{''.join(counted)}")


@audit.command()
def verify(as_json: AsJson = False) -> None:
    """Recompute the whole audit trail and compare it with the state; exit code 1 if anything differs."""
    from dataclasses import asdict

    from worker.store.verify import verify as verify_trail

    verdict = verify_trail(opened())
    if as_json:
        print_json(asdict(verdict))
    elif verdict.ok:
        waiting = f"; {verdict.unsealed} newer ones wait for the next seal" if verdict.unsealed else ""
        typer.echo(f"The trail is whole: {verdict.sealed} entries under {verdict.seals} seals{waiting}.")
    else:
        typer.echo(f"The trail does not hold: {verdict.first_problem}")
    raise typer.Exit(0 if verdict.ok else 1)


@orders.command()
def release(account: Annotated[str, typer.Argument(metavar="SHOP/NAME", help="An account that is on hold.")]) -> None:
    """Use an account again whose credentials were refused, after it was connected again."""
    from worker.credentials import reconnect

    opened()
    accounts = {str(ref): ref for ref in configured().accounts()}
    if account not in accounts:
        fail(f"There is no account {account!r}; there are: {', '.join(accounts) or 'none'}.", MISUSED)
    if not reconnect(accounts[account].tenant, accounts[account].credentials):
        fail(f"{account} is not on hold.")
    typer.echo(f"{account} is released; what waits for it goes on by itself.")
