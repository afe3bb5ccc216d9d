"""The commands about accounts: `connect`, `account options`, `preview`, and what `check --online` finds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.terminal import MISUSED, AsJson, configured, fail, opened, plain, print_json, say, show

if TYPE_CHECKING:
    from connectors.consent import Consent
    from worker.config import AccountRef

accounts = typer.Typer()
account = typer.Typer(help="Look at an account.", no_args_is_help=True)

CALLBACK = "http://localhost:8765/callback"
OfAccount = Annotated[
    str, typer.Argument(metavar="SHOP/NAME", help="The account; NAME alone where only one shop has it.")
]


def named(text: str) -> AccountRef:
    """The account of that name; ends the command where there is none, or several."""
    every = list(configured().accounts())
    found = [ref for ref in every if text in (str(ref), ref.name)]
    if len(found) == 1:
        return found[0]
    what = f"There is no account {text!r}" if not found else f"Several shops have an account {text!r}"
    fail(f"{what}; there are: {', '.join(map(str, every)) or 'none'}.", MISUSED)


@accounts.command()
def connect(
    name: OfAccount,
    paste: Annotated[
        bool, typer.Option("--paste", help="For a server without a browser: open the link elsewhere.")
    ] = False,
    redirect: Annotated[
        str,
        typer.Option(
            help="Where the browser comes back to; register it in the platform's app. The account's redirect_uri, where"
            f" it has one, else {CALLBACK}.",
            show_default=False,
        ),
    ] = "",
    seconds: Annotated[float, typer.Option(min=1, help="How long to wait for the browser.")] = 300,
) -> None:
    """Connect an account to its platform, or connect it again; whatever waited for it goes on."""
    from connectors.auth import NEVER
    from connectors.consent import Consent, told
    from connectors.errors import ConnectorError
    from worker.connect import confirm, consents, finish

    ref = named(name)
    opened(create=True)
    try:
        if (grant := consents(ref)) is not None:
            redirect = _redirect(ref, redirect)
            consent = Consent(grant, ref.credentials, redirect)
            elsewhere = paste or redirect.startswith("https:")  # nobody listens there on this machine
            came_back = _pasted(consent) if elsewhere else _called_back(consent, redirect, seconds)
            token = finish(ref, consent, came_back)
            if token.refresh is None and token.expires_at < NEVER:
                title = ref.platform.facts.title
                say(f"{title} gave no refresh token: connect {ref} again before {token.expires_at:%Y-%m-%d %H:%M} UTC.")
            for key, value in told(came_back).items():
                say(f"{ref.platform.facts.title} says {key} = {value}")
        say(f"{ref} is connected: {confirm(ref)}")
    except ConnectorError as error:
        fail(f"{ref} is not connected: {error.message}")


def _redirect(ref: AccountRef, asked: str) -> str:
    """Where the browser comes back to. Some platforms want the same address at every refresh: it is configured."""
    known: str = getattr(ref.credentials, "redirect_uri", "")
    if known and asked not in {"", known}:
        fail(f"{ref} has redirect_uri = {known!r}, which its tokens are refreshed with: leave --redirect out.", MISUSED)
    return known or asked or CALLBACK


def _pasted(consent: Consent) -> str:
    say(f"Open this address in a browser, anywhere, and agree:\n\n{consent.url}\n")
    say("The browser then comes to a page that may not load. Paste that page's whole address here, and press Enter:")
    if not (line := _typed()).strip():
        fail("No address was pasted; nothing has changed.")
    return line


def _typed() -> str:
    return sys.stdin.readline()


def _called_back(consent: Consent, redirect: str, seconds: float) -> str:
    import webbrowser

    from worker.connect import Callback

    try:
        callback = Callback(redirect)
    except OSError as error:
        fail(f"{redirect} cannot be listened on ({error.strerror}): give another --redirect, or --paste.", MISUSED)
    say("Open this address in a browser on this machine and agree (with --paste, in a browser elsewhere):")
    say(f"\n{consent.url}\n")
    webbrowser.open(consent.url)
    came_back = callback.wait(seconds)
    if came_back is None:
        fail(f"Nobody came back within {seconds:g} s; nothing has changed.")
    return came_back


@account.command()
def options(name: OfAccount, as_json: AsJson = False) -> None:
    """What can be chosen for the account's settings, as the platform has it now: taxes, accounts, items, branding."""
    from connectors.errors import ConnectorError
    from worker.accounts import platform_of

    ref = named(name)
    opened(create=True)
    try:
        found = platform_of(ref.shop, ref.name).options()
    except ConnectorError as error:
        fail(f"{ref}: {error.message}")
    if as_json:
        print_json([choice.model_dump() for choice in found])
        return
    from rich.table import Table

    table = Table("setting", "value", "what it is", "chosen", box=None, header_style="bold")
    chosen = _chosen(ref)
    for choice in found:
        setting = f'{choice.setting}."{choice.key}"' if choice.key else choice.setting
        mark = "yes" if choice.value in chosen.get(choice.setting, {}).values() else ""
        table.add_row(plain(setting), plain(choice.value), plain(choice.title), mark)
    if found:
        show(table)
    else:
        say(f"{ref.platform.facts.title} offers nothing to choose.")


@account.command()
def reseal() -> None:
    """Encrypt all stored tokens anew, under the first key of BILLHOOK_KEY; then the older keys may go."""
    from connectors.errors import Unauthorized
    from worker import credentials

    opened()
    done, lost = 0, []
    for tenant in sorted({ref.tenant for ref in configured().accounts()}):
        try:
            done += credentials.reseal(tenant)
        except Unauthorized as error:
            lost.append(f"{tenant}: {error.message}")
    say(f"{done} encrypted anew")
    if lost:
        fail("\n".join(lost))


def _chosen(ref: AccountRef) -> dict[str, dict[str, str]]:
    """What the settings name, by setting and, of a table, by key."""
    chosen = {}
    for name in type(ref.settings).model_fields:
        value = getattr(ref.settings, name)
        pairs = value.items() if isinstance(value, dict) else [("", value)]
        chosen[name] = {f"{key}": str(one) for key, one in pairs if one is not None}
    return chosen


@accounts.command()
def preview(
    event: Annotated[
        Path, typer.Argument(metavar="EVENT.json", help="An event as POST /events takes it; - reads stdin.")
    ],
    name: Annotated[str, typer.Option("--account", help="SHOP/NAME")],
    as_json: AsJson = False,
) -> None:
    """Print the exact calls that an event's order would become on a platform. Nothing is sent."""
    from connectors.errors import Rejected
    from connectors.sources.base import MalformedBody, NotInvoiceable
    from worker.preview import previewed

    ref = named(name)
    try:
        body = sys.stdin.buffer.read() if str(event) == "-" else event.read_bytes()
    except OSError as error:
        fail(f"{event} cannot be read: {error.strerror}.", MISUSED)
    try:
        found = previewed(ref, body)
    except (MalformedBody, NotInvoiceable) as error:
        fail(f"{event}: {error}", MISUSED)
    except Rejected as error:
        fail(f"It would be held: {error.message}")
    if as_json:
        print_json(found)
        return
    for number, call in enumerate(found, 1):
        _show_call(number, call)
    say("Nothing was sent.")


def _show_call(number: int, call: dict[str, Any]) -> None:
    say(f"{number}. {call['what']}: {call['method']} {call['url']}")
    for header, value in call["headers"].items():
        say(f"   {header}: {value}")
    if call["remark"]:
        say(f"   ({call['remark']})")
    if call["body"]:
        say(f"\n{call['body']}\n")


def online(refs: list[AccountRef]) -> Iterator[tuple[str, str, bool]]:
    """For each account (place, what was found, whether it is well), by harmless reads."""
    from connectors.errors import ConnectorError
    from worker.accounts import platform_of

    for ref in refs:
        place = f"shop.{ref.shop}.account.{ref.name}"
        try:
            platform = platform_of(ref.shop, ref.name)
            yield place, f"reaches {platform.whoami()} on {ref.platform.facts.title}", True
            offered = platform.options()
        except ConnectorError as error:
            yield place, error.message, False
            continue
        yield from _unknown_choices(ref, place, offered)


def _unknown_choices(ref: AccountRef, place: str, offered: list[Any]) -> Iterator[tuple[str, str, bool]]:
    """Settings that name what the platform does not have."""
    values: dict[str, set[str]] = {}
    for choice in offered:
        values.setdefault(choice.setting, set()).add(choice.value)
    for setting, chosen in _chosen(ref).items():
        for key, value in chosen.items() if setting in values else ():
            if value not in values[setting]:
                where = f"{place}.settings.{setting}" + (f'."{key}"' if key else "")
                title = ref.platform.facts.title
                yield where, f"{value!r} is not among what {title} offers: see `billhook account options {ref}`", False
