"""An order is decided anew: `billhook reroute`, the only thing that moves an order to other accounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from connectors.model import Order
from worker import runtime
from worker.accounts import accounts
from worker.adopting import names_of
from worker.completing import Refused
from worker.intending import intent_of
from worker.routing import NoRoute, accounts_for
from worker.store.engine import KeyTaken, Store
from worker.store.intents import Intent, record_intents
from worker.store.moving import HARMLESS, Made, come_back, decide_anew, leave, made_of
from worker.store.naming import Named
from worker.store.orders import Known, load_orders
from worker.store.strangers import bare, undecided


@dataclass(frozen=True, slots=True)
class Moved:
    """Where the order went before and goes now; `dismissed`, `due`: invoices, each as "reference on account"."""

    was: tuple[str, ...]
    now: tuple[str, ...]
    dismissed: tuple[str, ...] = ()
    due: tuple[str, ...] = ()


def reroute(store: Store, order: Named, to: Sequence[str], *, who: str, why: str | None) -> Moved:
    """Decides the order anew, in one commit: by the routes of today, or for the accounts `to`. Twice is once.

    On an account that is left, what was never sent is dismissed; on one that is new, whatever of the order was made
    due before is due now, to the same amounts. Nothing is rung, `dispatch` does.

    Raises `Refused` with the sentence that says what to do first; then nothing was changed.
    """
    for again in (True, False):
        try:
            return _reroute(store, order, to, who, why)
        except KeyTaken:  # another transaction took a reference meanwhile: now it is seen
            if not again:
                raise
    raise AssertionError


def _reroute(store: Store, order: Named, to: Sequence[str], who: str, why: str | None) -> Moved:
    with store.write() as connection:
        known = load_orders(connection, [order.id])[order.id]
        if known.decision is None:
            raise Refused(
                f"Nothing of order {order.ref} is due yet, so nothing is decided and nothing was changed: its next"
                " event decides, by the routes of then."
            )
        was, now = known.decision.accounts, _wanted(order, known, to)
        if set(was) == set(now):
            return Moved(was, was)
        if known.cancelled_at is not None:
            raise Refused(
                f"Order {order.ref} was cancelled in the shop at {known.cancelled_at:%Y-%m-%d %H:%M} UTC; it stays"
                " where it is. If it is owed all the same, invoice it by hand."
            )
        made = made_of(connection, order.id)
        left = [one for one in made if one.account not in now and not one.given_back and one.state not in HARMLESS]
        _refuse_sent(order, left)
        leave(connection, left, who=who, why=why or f"the order goes to {', '.join(now)} now")
        back = [one for one in made if one.account in now and one.account not in was and one.state == "dismissed"]
        come_back(connection, back, f"staff:{who}")
        intents = _due(order, known, made, was, now)
        _refuse_strangers(connection, order, intents)
        created = record_intents(connection, intents)
        due = [f"{one.reference} on {one.account}" for one in back]
        due += [f"{one.reference} on {one.account}" for one in made_of(connection, order.id) if one.id in created]
        detail = {"who": who, "from": list(was), "to": list(now), "due": due} | ({"why": why} if why else {})
        decide_anew(connection, order.shop, order.id, now, f"staff:{who}", detail)
    return Moved(was, now, tuple(f"{one.reference} on {one.account}" for one in left), tuple(due))


def _wanted(order: Named, known: Known, to: Sequence[str]) -> tuple[str, ...]:
    shop = runtime.config().shop.get(order.shop)
    if shop is None:
        raise Refused(f"The configuration has no shop {order.shop!r} any more, so nothing is done with its orders.")
    if not to:
        try:
            return accounts_for(shop, known.source, known.order)
        except NoRoute as error:
            raise Refused(f"Order {order.ref} stays where it is: {error}; or name the accounts with --to.") from None
    names = tuple(dict.fromkeys(name.removeprefix(f"{order.shop}/") for name in to))
    if unknown := [name for name in names if name not in shop.account]:
        there = ", ".join(shop.account) or "none"
        raise Refused(f"Shop {order.shop} has no account {', '.join(unknown)}; there are: {there}.")
    return names


def _refuse_sent(order: Named, left: Sequence[Made]) -> None:
    """What is on an account that is left must be off its books first."""
    for one in left:
        what = f"Order {order.ref} stays where it is: its invoice {one.reference} on {one.account}"
        if one.leased:
            raise Refused(f"{what} is with a worker at this moment. Give the command again in a minute.")
        if one.state == "issued":
            raise Refused(
                f"{what} is issued. Give it back first: refund the order in the shop as a whole, and Billhook credits"
                " or voids it there; then give the command again."
            )
        if one.state in ("mismatch", "doubled"):
            raise Refused(
                f"{what} exists there ({one.state}). Void or credit it on the platform, then `billhook dismiss"
                f" {order.ref} --account {one.account} --even-if-sent --why …`, then give the command again."
            )
        if one.may_be_sent:
            raise Refused(
                f"{what} was sent, or nobody knows ({one.state}). `billhook retry {order.ref}` looks it up, if it is"
                " held; or look there yourself, and if it is not there, or voided, `billhook dismiss"
                f" {order.ref} --account {one.account} --even-if-sent --why …`. Then give the command again."
            )
        if one.stopped:
            raise Refused(
                f"{what} was stopped: {one.reason}. If it is owed all the same, `billhook retry {order.ref}` first."
            )
        if one.credited:
            raise Refused(
                f"{what} is to be credited in part as soon as it is issued, and that cannot be moved. Wait until both"
                " are issued, or dismiss it and invoice the order by hand."
            )


def _due(order: Named, known: Known, made: Sequence[Made], was: Sequence[str], now: Sequence[str]) -> list[Intent]:
    """What was made due before, for the new accounts: every part once, as it was invoiced then. A part that was given
    back on an account where the order stays is owed no more."""
    parts: dict[str, Made] = {}
    for one in made:
        if one.account in was:
            parts.setdefault(one.part, one)
    in_pieces = len(parts) > 1 or any(one.draft.total != known.order.total for one in parts.values())
    over = {one.part for one in made if one.given_back and one.account in was and one.account in now}
    return [
        intent_of(
            accounts()[order.shop, name],
            known.source,
            _as_invoiced(known.order, one),
            order.id,
            one.accepted_at,
            part,
            number if part != "order" and in_pieces else None,
            _revision(made, name, part),
        )
        for name in now
        if name not in was
        for number, (part, one) in enumerate(parts.items(), 1)
        if part not in over
    ]


def _refuse_strangers(connection: Any, order: Named, intents: Sequence[Intent]) -> None:
    """Where an invoice of the order's name exists already, a person says first whose it is."""
    called: dict[str, set[str]] = {}
    for intent in intents:
        names = names_of(accounts()[order.shop, intent.account], order.ref, order.source_id)
        called.setdefault(intent.account, set()).update(names, {bare(intent.reference)})
    for kept in undecided(connection, {(order.shop, name) for names in called.values() for name in names}):
        if kept.invoice.names & called.get(kept.account, set()):
            title, account = kept.invoice.title, f"{order.shop}/{kept.account}"
            raise Refused(
                f"Order {order.ref} stays where it is: on {account} an invoice {title} of {kept.invoice.money} has its"
                f" name that Billhook did not make. If that is another order's, or nobody's, `billhook adopt {account}"
                f" --not {title}`, then give the command again; if it is this order's, it is invoiced there already."
            )


def _revision(made: Sequence[Made], account: str, part: str) -> int:
    """Of the next invoice of this part there: one that was given back is followed by another."""
    last = next((one for one in made if (one.account, one.part) == (account, part)), None)
    return 0 if last is None else last.revision + last.given_back


def _as_invoiced(order: Order, one: Made) -> Order:
    """The customer as they are told now, the amounts as they were invoiced: an order says the same on all accounts."""
    names = ("currency", "tax_included", "lines", "discount", "shipping", "total")
    return order.model_copy(update={name: getattr(one.draft, name) for name in names})
