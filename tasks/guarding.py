"""Before an order is invoiced on an account: whether an invoice of its name exists there that we did not make."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tasks.placing import Handled
from tasks.reasons import Held
from worker import runtime
from worker.accounts import accounts
from worker.adopting import Finding, judge, names_of
from worker.config_sections import AccountRef
from worker.intending import intent_of
from worker.store import strangers
from worker.store.intents import Intent
from worker.store.jobs import now
from worker.store.naming import Named, orders_spelt
from worker.store.orders import Decision, Known
from worker.store.strangers import Kept, bare


class Guard:
    """The strangers that have names of one batch's orders, which are locked; asked for once, when anything is due."""

    def __init__(self, connection: Any, orders: Mapping[str, Known], batch: Sequence[Handled]) -> None:
        """`orders`: by job id, of events of the batch."""
        self._connection = connection
        pairs = [(each.job.shop, orders[each.job.id]) for each in batch if each.job.id in orders]
        self._orders = {order.id: (shop, order) for shop, order in pairs}
        self._found: dict[tuple[str, str], Finding] | None = None
        self._claimed: dict[tuple[str, str], dict[str, str | None]] = defaultdict(dict)

    def decided(self, shop: str, order: Known, decision: Decision) -> Decision:
        """The decision, if it is certain whether the order's invoices exist on its accounts; an invoice that exists is
        of the whole order, whatever the shop's policy. Raises `Held`."""
        there = self._there(order, decision)
        for name, found in there.items():
            if not found.certain:
                raise Held(_unsure(order, f"{shop}/{name}", found))
        if there and decision.per != "order" and (order.decision is not None or len(there) < len(decision.accounts)):
            listed = ", ".join(f"{found.invoice.title} on {name}" for name, found in there.items())
            raise Held(
                f"order {order.order.ref} is invoiced by shipment, and an invoice of all of it exists ({listed}): void"
                f" that, or say with `billhook adopt` that it is nobody's, then `billhook retry {order.order.ref}`"
            )
        for name, found in there.items():
            self._claimed[shop, name][found.invoice.remote_id] = order.id
        return replace(decision, per="order") if there else decision

    def to_make(self, order: Known, decision: Decision) -> int:
        """How many invoices are to be made."""
        return len(decision.accounts) - len(self._there(order, decision))

    def adopted(self, intent: Intent) -> Intent:
        """The intent, with the invoice that exists already, where one does."""
        found = self._asked.get((intent.order_id, intent.account))
        return replace(intent, adopted=found.invoice) if found and found.certain else intent

    def record(self) -> None:
        """What was claimed is nobody else's any more."""
        for (shop, account), claimed in self._claimed.items():
            strangers.decide(self._connection, shop, account, claimed, strangers.CLAIMED)

    def _there(self, order: Known, decision: Decision) -> dict[str, Finding]:
        asked = self._asked
        return {name: asked[order.id, name] for name in decision.accounts if (order.id, name) in asked}

    @property
    def _asked(self) -> dict[tuple[str, str], Finding]:
        if self._found is None:
            self._found = self._ask()
        return self._found

    def _ask(self) -> dict[tuple[str, str], Finding]:
        """By order id and account; what an account has already is not asked about again."""
        concerned = strangers.shops_with_any(self._connection, sorted({shop for shop, _ in self._orders.values()}))
        if not concerned:
            return {}
        called: dict[tuple[str, str, str], list[Known]] = defaultdict(list)
        for shop, order in self._orders.values():
            for ref in accounts().values() if shop in concerned else ():
                for name in _names(ref, order) if ref.shop == shop else ():
                    called[shop, ref.name, name].append(order)
        found = strangers.undecided(self._connection, {(shop, name) for shop, _, name in called}) if called else []
        by_order: dict[tuple[str, str], dict[str, Kept]] = defaultdict(dict)
        for each in found:
            for name in each.invoice.names:
                for order in called.get((each.shop, each.account, name), ()):
                    by_order[order.id, each.account][each.id] = each
        already = strangers.invoiced_already(self._connection, {order_id for order_id, _ in by_order})
        return {key: self._judged(*key, list(each.values())) for key, each in by_order.items() if key not in already}

    def _judged(self, order_id: str, account: str, those: Sequence[Kept]) -> Finding:
        shop, order = self._orders[order_id]
        ref, invoice = accounts()[shop, account], those[0].invoice
        rivals = [each.invoice.title for each in those[1:]]
        return judge(ref, invoice, self._called(ref, order), order, rivals, None)

    def _called(self, ref: AccountRef, order: Known) -> list[Named]:
        """All orders that are called as this one is; itself first."""
        names = _names(ref, order)
        spelt = {name for bare_one in (order.order.ref, order.order.id) for name in (bare_one, "#" + bare_one)}
        spelt |= {name.removeprefix("#") for name in spelt}
        others = orders_spelt(self._connection, ref.shop, spelt)
        itself = Named(order.id, ref.shop, order.source, order.order.id, order.order.ref)
        alike = [each for each in others if names_of(ref, each.ref, each.source_id) & names and each.id != order.id]
        return [itself, *alike]


def _names(ref: AccountRef, order: Known) -> frozenset[str]:
    """What an invoice of this order may be called there, as Billhook itself would call it among them."""
    names = names_of(ref, order.order.ref, order.order.id)
    whole = runtime.config().shop[ref.shop].reference_prefix + order.order.ref
    if len(whole) <= ref.facts.reference.max_length:
        return names
    return names | {bare(intent_of(ref, order.source, order.order, order.id, now()).reference)}


def _unsure(order: Known, account: str, found: Finding) -> str:
    name, title = order.order.ref, found.invoice.title
    return (
        f"order {name} ({order.order.total} {order.order.currency}) is due on {account}, where an invoice {title} of"
        f" {found.invoice.money} has its name that Billhook did not make: {found.why}. If it is this order's,"
        f" `billhook adopt {account} --claim {title}={name}`; if not, `billhook adopt {account} --not {title}`; then"
        f" `billhook retry {name}`"
    )
