"""Switching over: invoices that exist on the platform are claimed for their orders, so that none is made again.

An invoice is known by its name (number or reference), total and currency; a platform's list says no more of it. What
is not certain is kept in mind: for a person to decide, and to be asked before an order of that name is invoiced.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from connectors.model import Order, RemoteInvoice, Status
from worker import runtime, testpoints
from worker.accounts import platform_of
from worker.config_sections import AccountRef
from worker.intending import intent_of
from worker.routing import NoRoute, accounts_for
from worker.store import strangers
from worker.store.engine import StoreError
from worker.store.intents import record_intents
from worker.store.jobs import now
from worker.store.matching import invoiced, wake
from worker.store.naming import Named, orders_named, orders_spelt
from worker.store.orders import Decision, Known, load_orders, record_decisions, total_only
from worker.store.strangers import Kept, Stranger, bare

AT_ONCE = 100
"""Invoices of one commit."""
TRIES = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What an invoice turned out to be. With an order and no `why` it is certain; with neither it is unmatched."""

    invoice: Stranger
    order: Known | None = None
    why: str | None = None

    @property
    def certain(self) -> bool:
        return self.order is not None and self.why is None


@dataclass
class Report:
    """How many invoices are what, and those that were claimed or are uncertain."""

    counts: Counter[str] = field(default_factory=Counter)
    claimed: list[Finding] = field(default_factory=list)
    uncertain: list[Finding] = field(default_factory=list)

    def add(self, found: Iterable[Finding]) -> None:
        for each in found:
            kind = "claimed" if each.certain else "uncertain" if each.why else "unmatched"
            self.counts[kind] += 1
            if kind != "unmatched":
                (self.claimed if kind == "claimed" else self.uncertain).append(each)


def names_of(ref: AccountRef, name: str, source_id: str) -> frozenset[str]:
    """What an invoice of this order may be called: the order's name or id, with or without the shop's prefix."""
    prefix = runtime.config().shop[ref.shop].reference_prefix
    given = (name, source_id, prefix + name, prefix + name.strip().removeprefix("#"))
    return frozenset(map(bare, given)) - {""}


def spellings_of(ref: AccountRef, invoice: Stranger) -> set[str]:
    """How the name or the id of its order may be written in the store."""
    prefix = runtime.config().shop[ref.shop].reference_prefix
    found: set[str] = set()
    for given in (invoice.number, invoice.reference):
        whole = (given or "").strip()
        for name in {whole, whole.removeprefix(prefix)}:
            found |= {name, name.removeprefix("#"), "#" + name.removeprefix("#")}
    return found - {"", "#"}


def judge(
    ref: AccountRef, invoice: Stranger, called: Sequence[Named], order: Known | None, rivals: Sequence[str],
    already: str | None,
) -> Finding:  # fmt: skip
    """Whose the invoice is. `called`: the orders of its name, of which `order` is the only one, where there is one;
    `rivals`: other invoices of that name; `already`: the invoice of ours that the order has on the account."""
    if not called:
        return Finding(invoice)
    if order is None or len(called) > 1:
        listed = ", ".join(f"{each.source}:{each.ref}" for each in called[:5])
        return Finding(invoice, None, f"several orders have its name: {listed}")
    name, money = order.order.ref, f"{order.order.total} {order.order.currency}"
    why = None
    if already:
        why = f"order {name} has an invoice of Billhook's, too ({already}): if both exist, void one of them there"
    elif rivals:
        why = f"other invoices have the name of order {name}, too: {', '.join(rivals[:5])}"
    elif (invoice.total, invoice.currency) != (order.order.total, order.order.currency):
        why = f"order {name} is {money}, and it is {invoice.money}"
    elif invoice.status == Status.DRAFT and ref.account.issue:
        why = f"it is order {name}'s by name and total, but a draft: issue or delete it"
    elif order.decision is not None and order.decision.per == "shipment":
        why = f"order {name} is invoiced by shipment"
    return Finding(invoice, order, why)


def claim(connection: Any, ref: AccountRef, found: Sequence[Finding], actor: str) -> set[str]:
    """These orders, which must be locked, have these invoices on the account: as if we had made them, but nobody is
    told. Returns the ids of the orders for which it is so; of others an invoice came to be meanwhile."""
    pairs = [(each.order, each.invoice) for each in found if each.order is not None]
    before = strangers.invoiced_already(connection, [order.id for order, _ in pairs])
    pairs = [(order, invoice) for order, invoice in pairs if (order.id, ref.name) not in before]
    intents = [
        replace(intent_of(ref, order.source, order.order, order.id, now()), adopted=invoice, adopted_by=actor)
        for order, invoice in pairs
    ]
    record_intents(connection, intents)
    record_decisions(connection, {order.id: _decision(ref, order.source, order.order) for order, _ in pairs})
    taken = {invoice.remote_id: order.id for order, invoice in pairs}
    strangers.decide(connection, ref.shop, ref.name, taken, strangers.CLAIMED)
    wake(connection, [(ref.shop, invoiced(order.id)) for order, _ in pairs])
    return {order.id for order, _ in pairs}


def _decision(ref: AccountRef, source: str, order: Order) -> Decision:
    """Where its routes lead, if they lead here; else it is invoiced here and nowhere else."""
    try:
        names = accounts_for(runtime.config().shop[ref.shop], source, order)
    except NoRoute:
        names = ()
    return Decision(names if ref.name in names else (ref.name,), "order", total_only(order))


class Adoption:
    """One run over an account's invoices; run again, or after a kill, it goes on where it was."""

    def __init__(self, ref: AccountRef, actor: str, *, dry: bool = False) -> None:
        """`dry`: everything is found out, and nothing is changed."""
        self.ref, self.actor, self.dry = ref, actor, dry
        self.report = Report()
        self._named: dict[str, set[str]] = defaultdict(set)
        self._titles: dict[str, str] = {}

    def run(self, since: date, progress: Callable[[int, int], None] = lambda done, total: None) -> Report:
        """Reads what the platform has since that day and settles it, `AT_ONCE` a commit. Raises `ConnectorError`,
        `StoreError`."""
        listed = platform_of(self.ref.shop, self.ref.name).since(since)
        todo = self._strange(listed)
        for start in range(0, len(todo), AT_ONCE):
            self.report.add(self._committed(todo[start : start + AT_ONCE]))
            testpoints.point("adopted")
            progress(min(start + AT_ONCE, len(todo)), len(todo))
        return self.report

    def _strange(self, listed: Sequence[RemoteInvoice]) -> list[Stranger]:
        """Those that are not ours, not void and not dismissed; what is no stranger any more is noted."""
        void = {one.id for one in listed if one.status is Status.VOID}
        with self._writing() as connection:
            mine = strangers.ours(connection, self.ref.tenant, listed)
            kept = strangers.of_account(connection, self.ref.shop, self.ref.name)
            open_yet = {each.invoice.remote_id for each in kept if each.decided_as is None}
            for ids, what in ((mine, strangers.OURS), (void - mine, strangers.VOID)):
                done = dict.fromkeys(sorted(ids & open_yet))
                strangers.decide(connection, self.ref.shop, self.ref.name, done, what)
        nobody = {each.invoice.remote_id for each in kept if each.decided_as == strangers.NOBODY} - mine - void
        todo = [Stranger.of(one) for one in listed if one.id not in mine | void | nobody]
        counted = Counter("void" if one.id in void else "nobody" for one in listed if one.id in (void | nobody) - mine)
        self.report.counts.update(counted + Counter(ours=len(mine)))
        before = [each.invoice for each in kept if each.decided_as is None]
        for one in [*(old for old in before if old.remote_id not in mine | void), *todo]:
            self._titles[one.remote_id] = one.title
            for name in one.names:
                self._named[name].add(one.remote_id)
        return todo

    def _committed(self, some: Sequence[Stranger]) -> list[Finding]:
        for left in reversed(range(TRIES)):
            try:
                return self._settled(some)
            except StoreError:  # another writer took a key or a lock meanwhile: now it is seen
                if not left:
                    raise
        raise AssertionError

    def _settled(self, some: Sequence[Stranger]) -> list[Finding]:
        with self._writing() as connection:
            found = self._judged(connection, some)
            claimed = claim(connection, self.ref, [each for each in found if each.certain], self.actor)
            found = [_not_meanwhile(each, claimed) for each in found]
            rest = [
                (each.invoice, each.order.id if each.order else None, each.why) for each in found if not each.certain
            ]
            strangers.keep(connection, self.ref.shop, self.ref.name, rest)
            testpoints.point("adopting")
        return found

    def _judged(self, connection: Any, some: Sequence[Stranger]) -> list[Finding]:
        spelt = {name for one in some for name in spellings_of(self.ref, one)}
        by_name: dict[str, list[Named]] = defaultdict(list)
        for named in orders_spelt(connection, self.ref.shop, spelt):
            for name in names_of(self.ref, named.ref, named.source_id):
                by_name[name].append(named)
        called = [_each_once(by_name, one) for one in some]
        only = {each[0].id for each in called if len(each) == 1}
        orders = load_orders(connection, only)
        already = strangers.invoiced_already(connection, only)
        found = []
        for one, those in zip(some, called, strict=True):
            order = orders[those[0].id] if len(those) == 1 else None
            rivals = self._rivals(one, those[0]) if order else []
            ours = already.get((order.id, self.ref.name)) if order else None
            found.append(judge(self.ref, one, those, order, rivals, ours))
        return found

    def _rivals(self, one: Stranger, order: Named) -> list[str]:
        """Other invoices that are called as this order is."""
        names = names_of(self.ref, order.ref, order.source_id)
        others = set().union(*(self._named.get(name, set()) for name in names)) - {one.remote_id}
        return sorted(self._titles[each] for each in others)

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        """A transaction; of a dry run nothing remains."""
        with suppress(_Dry), runtime.store().write() as connection:
            yield connection
            if self.dry:
                raise _Dry


class _Dry(Exception):
    """Ends a transaction of which nothing is to remain."""


class Refused(Exception):
    """What a person said cannot be so; the sentence says why and what to do."""


def claim_by_hand(ref: AccountRef, number: str, order_name: str, actor: str) -> str:
    """The account's invoice `number` (reference, the platform's id) is this order's, as a person says; its total may
    be another one. Returns a sentence. Raises `Refused`."""
    found = orders_named(runtime.store(), order_name, ref.shop)
    if len(found) != 1:
        listed = ", ".join(f"{each.source}:{each.ref} (our id {each.id})" for each in found[:5])
        told = f"means several orders: {listed}" if found else "is no order that is known: tell it first"
        raise Refused(f"{order_name!r} {told}. Nothing was done.")
    with runtime.store().write() as connection:
        order = load_orders(connection, [found[0].id])[found[0].id]
        kept = _called(connection, ref, number)
        already = strangers.invoiced_already(connection, [order.id]).get((order.id, ref.name))
        if already:
            raise Refused(f"Order {order.order.ref} has an invoice of Billhook's there already: {already}.")
        if order.decision is not None and order.decision.per == "shipment":
            raise Refused(f"Order {order.order.ref} is invoiced by shipment; it cannot have one invoice for all of it.")
        claim(connection, ref, [Finding(kept.invoice, order)], actor)
    return f"{kept.invoice.title} ({kept.invoice.money}) is order {order.order.ref}'s: no other is made on {ref}."


def dismiss_by_hand(ref: AccountRef, number: str, actor: str) -> str:
    """The account's invoice `number` is no order's, as a person says: nobody asks about it again. Returns a sentence.
    Raises `Refused`."""
    with runtime.store().write() as connection:
        kept = _called(connection, ref, number)
        if kept.decided_as is None:
            strangers.dismiss(connection, kept, actor)
    return f"{kept.invoice.title} ({kept.invoice.money}) is no order's: what is due there is invoiced in spite of it."


def _called(connection: Any, ref: AccountRef, number: str) -> Kept:
    found = strangers.called(connection, ref.shop, ref.name, number)
    if len(found) == 1:
        return found[0]
    if not found:
        raise Refused(f"No invoice {number!r} is to be decided on {ref}; `billhook adopt {ref} --review` lists them.")
    listed = "; ".join(f"{each.invoice.remote_id} ({each.invoice.title}, {each.invoice.money})" for each in found[:5])
    raise Refused(f"{number!r} means several invoices on {ref}. Say which by the platform's id: {listed}.")


def _each_once(by_name: Mapping[str, Sequence[Named]], invoice: Stranger) -> list[Named]:
    return list({order.id: order for name in sorted(invoice.names) for order in by_name.get(name, ())}.values())


def _not_meanwhile(found: Finding, claimed: set[str]) -> Finding:
    if not found.certain or found.order is None or found.order.id in claimed:
        return found
    return replace(found, why=f"order {found.order.order.ref} was made due at the same moment: look at both")
