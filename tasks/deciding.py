"""What an event causes: whether an invoice is due on it, of what, and on which accounts."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connectors.model import Event, EventType, Order, Shipment
from tasks.guarding import Guard
from tasks.placing import Handled, Placed
from tasks.reasons import Held, Nothing, Waits
from tasks.refunding import Refunding
from tasks.splitting import Quantities, TooMuch, added, in_words, part_of, remaining
from worker import runtime, testpoints
from worker.accounts import accounts
from worker.intending import intent_of
from worker.routing import NoRoute, accounts_for, asks, trigger_for
from worker.store import brakes
from worker.store.intents import Intent, record_intents
from worker.store.jobs import Change
from worker.store.matching import invoiced, name_of, park
from worker.store.orders import Decision, Known, cancel, fingerprint, invoiced_as, notice, record_decisions
from worker.store.parts import REST, load_parts, record_parts
from worker.store.stopping import Stopped, stop_invoices

log = logging.getLogger(__name__)
WHOLE_ORDER = {EventType.ORDER_FULFILLED, EventType.ORDER_COMPLETED, EventType.JOB_COMPLETED}
KNOWN_CANCELLED = "cancelled"
"""In the place of the last change that was told: it is known that the order was cancelled after its invoice."""
GIVES_BACK = {EventType.ORDER_CANCELLED, EventType.REFUND_CREATED}


@dataclass(frozen=True, slots=True)
class Part:
    """What is to be invoiced: the order, or a part of it with its name and number."""

    order: Order
    name: str = "order"
    number: int | None = None
    holds: Quantities = field(default_factory=dict)
    """Of a part: how much of each line."""
    also: tuple[str, ...] = ()
    """Other names of what is in it; they hold nothing."""


class Deciding:
    """What is due on the events of one batch, whose orders are locked."""

    def __init__(self, connection: Any, found: Placed, batch: Sequence[Handled]) -> None:
        self._orders = found.orders
        self.decided: dict[str, Decision] = {}
        self.intents: list[Intent] = []
        self.created: list[str] = []
        """Ids of the invoices that are new."""
        self._flushed = 0
        parted = {o.id for o in found.orders.values() if (o.decision.per if o.decision else None) == "shipment"}
        self._taken = load_parts(connection, parted)
        self._new_parts: list[tuple[str, str, Quantities]] = []
        self._noticed: dict[str, str] = {}
        self._cancelled: dict[str, datetime] = {}
        self._connection = connection
        self._this_hour: dict[str, int] = {}
        self._counted: Counter[str] = Counter()
        self._braked: set[str] = set()
        asked = [each for each in batch if each.job.id in found.orders and _asks_for_invoices(each)]
        self._refunding = Refunding(connection, {found.orders[each.job.id].id for each in asked})
        self._invoiced_as: dict[str, str] = {}
        self._guard = Guard(connection, found.orders, batch)
        self._waiting: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.names: list[tuple[str, str]] = []
        """(shop, name) of the orders that are invoiced now: who waits for that wakes."""

    @property
    def due(self) -> list[tuple[str, str, str]]:
        """Tenant, account (`shop/name`) and order of what is new: to be rung for."""
        invoices = [(one.tenant, f"{one.shop}/{one.account}", one.order.ref) for one in self.intents]
        notes = [(one.tenant, f"{one.shop}/{one.account}", one.label) for one in self._refunding.credited]
        return [*(invoices if self.created else ()), *notes]

    def flush(self) -> None:
        """Creates the invoices that are due so far."""
        self.created += record_intents(self._connection, self.intents[self._flushed :])
        self._flushed = len(self.intents)

    def record(self) -> None:
        """Stores what was decided, and creates what is due."""
        self.flush()
        record_decisions(self._connection, self.decided)
        record_parts(self._connection, self._new_parts)
        notice(self._connection, self._noticed)
        invoiced_as(self._connection, self._invoiced_as)
        for shop, invoices in sorted(self._counted.items()):
            brakes.count(self._connection, shop, invoices)
        for shop in sorted(self._braked):
            if brakes.first_alert(self._connection, shop):
                log.error(
                    "the brake holds the orders of a shop", extra={"shop": shop, "invoices": self._this_hour[shop]}
                )
        cancel(self._connection, self._cancelled)
        park(self._connection, self._waiting)
        self._refunding.record()
        self._guard.record()

    def decide(self, each: Handled) -> Change:
        """What becomes of an event; what is due on it is added to `intents`."""
        assert each.event is not None
        order = self._orders[each.job.id]
        detail: dict[str, Any] = {"type": each.event.type.value, "order": order.order.ref}
        detail |= {name: said for name, said in (("who", each.event.who), ("why", each.event.why)) if said}
        try:
            detail |= self._due(each, each.event, order)
        except Nothing as reason:
            return Change(each.job.id, "done", "handle", order_id=order.id, detail=detail | {"effect": str(reason)})
        except Waits as reason:
            self._waiting[each.job.id] = each.job.shop, (invoiced(order.id),)
            return Change(each.job.id, "waiting", "handle", order_id=order.id, reason=str(reason), detail=detail)
        except (Held, NoRoute, TooMuch) as reason:
            return Change(each.job.id, "held", "handle", order_id=order.id, reason=str(reason), detail=detail)
        return Change(each.job.id, "done", "handle", order_id=order.id, detail=detail)

    def _due(self, each: Handled, event: Event, order: Known) -> dict[str, Any]:
        """Adds what is due, and says what that is. Raises `Nothing`, `Waits`, `Held`, `NoRoute` or `TooMuch`."""
        assert each.row is not None
        if event.type is EventType.ORDER_CANCELLED:
            return self._cancel(each, event, order)
        if event.type is EventType.REFUND_CREATED:
            return self._refund(each, event, order)
        if (now := self._change(each, order)) is not None:
            return self._changed(each, order, now)
        if not asks(event.type, _trigger(each, order)):
            raise Nothing("kept for the record")
        self._refuse_cancelled(event, order)
        self._refuse_held(event, order)
        decision = self._guard.decided(each.row.shop, order, self._decision(each, order))
        part = self._part(each, order, decision)
        self._brake(each, event, order, part, self._guard.to_make(order, decision))
        self._take(order, decision, part)
        self.names.append((each.row.shop, invoiced(order.id)))
        for name in decision.accounts:
            ref = accounts()[each.row.shop, name]
            anew = self._refunding.next_revision(order, name, part.name) if event.who is not None else 0
            due = intent_of(ref, order.source, part.order, order.id, each.row.received_at, part.name, part.number, anew)
            self.intents.append(self._guard.adopted(due))
        held = {"part": part.name, "holds": in_words(part.holds, order.order)} if part.holds else {}
        return {"accounts": list(decision.accounts), **held}

    @staticmethod
    def _refuse_held(event: Event, order: Known) -> None:
        """What the shop itself says must be decided by a person, unless its invoice was decided on before."""
        invoiced = order.decision is not None and order.decision.per == "order"
        if order.order.hold and event.who is None and not invoiced:
            raise Held(
                f"order {order.order.ref}: {order.order.hold}. If it is owed as it was placed all the same,"
                " `billhook complete` it"
            )

    # -- where -----------------------------------------------------------------------------------------------------

    def _decision(self, each: Handled, order: Known) -> Decision:
        """Made once per order, with the first intent, and kept."""
        assert each.row is not None
        shop = runtime.config().shop[each.row.shop]
        kept = None if testpoints.without("decided") else order.decision or self.decided.get(order.id)
        if kept is None:
            names = accounts_for(shop, order.source, order.order)
            kept = Decision(names, shop.invoice_per, fingerprint(order.order))
        gone = [name for name in kept.accounts if (each.row.shop, name) not in accounts()]
        if gone:
            raise Held(f"order {order.order.ref} was routed to account {gone[0]}, which no longer exists")
        return kept

    # -- of what ---------------------------------------------------------------------------------------------------

    def _part(self, each: Handled, order: Known, decision: Decision) -> Part:
        """The whole order, or what of it this event makes due."""
        if decision.per == "order":
            return Part(order.order)
        taken = self._taken.get(order.id, {})
        if taken and fingerprint(order.order) != decision.invoiced_as:
            raise Held(_changed(order, decision) + " Its other parts are not made by themselves any more")
        (name, *also), quantities = self._contents(each, order, taken)
        part = part_of(order.order, added(taken.values()), quantities)
        number = None if part is order.order else 1 + sum(1 for holds in taken.values() if holds)
        return Part(part, name, number, quantities, tuple(also))

    def _take(self, order: Known, decision: Decision, part: Part) -> None:
        """What was decided counts from now on."""
        self.decided[order.id] = decision
        named: dict[str, Quantities] = {part.name: part.holds} | {name: {} for name in part.also}
        if part.holds:
            self._taken.setdefault(order.id, {}).update(named)
            self._new_parts += [(order.id, name, holds) for name, holds in named.items()]

    @staticmethod
    def _contents(each: Handled, order: Known, taken: dict[str, Quantities]) -> tuple[tuple[str, ...], Quantities]:
        """Names and quantities of the part. Raises `Nothing` where it is invoiced, or nobody knows its lines."""
        assert each.event is not None
        left = remaining(order.order, added(taken.values()))
        if each.event.type in WHOLE_ORDER:
            if not left:
                raise Nothing("all of it is invoiced already")
            return (REST,), left
        parcel = each.event.shipment
        known = next((one for one in order.order.shipments if parcel and _same(one, parcel)), None)
        lines = (parcel and parcel.lines) or (known.lines if known else ())
        if not parcel:
            raise Nothing("it names no parcel, so nobody knows what of it is due")
        names = _names(each, parcel, order, known)
        if any(name in taken for name in names) or (
            lines and REST in taken and not any(line.ref in left for line in lines)
        ):
            raise Nothing("what is in it is invoiced already")
        if not lines:
            raise _of_unknown_contents(each, order, left)
        return names, added({line.ref: line.quantity} for line in lines)

    def _brake(self, each: Handled, event: Event, order: Known, part: Part, invoices: int) -> None:
        """Over the shop's bounds nothing is invoiced; whoever completes an order by hand has looked at it."""
        assert each.row is not None
        shop, brake = each.row.shop, runtime.config().shop[each.row.shop].brake
        if event.who is not None or order.id in self.decided or order.decision is not None or not invoices:
            return
        if brake.amount is not None and part.order.total > brake.amount:
            raise Held(
                f"order {order.order.ref} is {part.order.total} {part.order.currency}, over the brake of {brake.amount}"
                " for one invoice; if that is right, `billhook complete` it"
            )
        if brake.invoices_an_hour is None:
            return
        if shop not in self._this_hour:
            self._this_hour[shop] = brakes.due_so_far(self._connection, shop)
        if self._this_hour[shop] + invoices > brake.invoices_an_hour:
            self._braked.add(shop)
            raise Held(
                f"the brake: shop {shop} has made {self._this_hour[shop]} invoices this hour, and no more than"
                f" {brake.invoices_an_hour} are wanted. Look whether that is right, raise `brake.invoices_an_hour` or"
                " wait for the next hour, then `billhook retry`"
            )
        self._this_hour[shop] += invoices
        self._counted[shop] += invoices

    # -- changed and cancelled -------------------------------------------------------------------------------------

    def _change(self, each: Handled, order: Known) -> str | None:
        """The fingerprint of an order that is told otherwise than it was invoiced, once for each change."""
        decision = order.decision or self.decided.get(order.id)
        if decision is None or not decision.invoiced_as or each.told is None:
            return None
        now = fingerprint(order.order)
        if decision.is_of(now) or now == self._noticed.get(order.id, order.noticed_as):
            return None
        self._noticed[order.id] = now
        return now

    def _changed(self, each: Handled, order: Known, now: str) -> dict[str, Any]:
        """A person is told; or its invoices are given back, to be made anew, where the shop wants that."""
        assert each.row is not None
        decision = order.decision or self.decided[order.id]
        if runtime.config().shop[each.row.shop].changed == "hold" or decision.per != "order":
            raise Held(_changed(order, decision) + " The invoice is left as it is; correct it on the platform")
        self._invoiced(order)
        self._refunding.reload(order.id)
        stopped = self._stop(order, f"order {order.order.ref} was changed before its invoice was sent", "void")
        self._anew(each, order, stopped)
        if not stopped.others:
            return {"effect": "it was changed before its invoice was sent: that is made as it is now"}
        return self._refunding.changed(each, order, now)

    def _anew(self, each: Handled, order: Known, stopped: Stopped) -> None:
        """What was stopped before it was sent is due as the order is now."""
        assert each.row is not None
        for account in self._refunding.accounts_of(order, stopped.ids):
            if ref := accounts().get((each.row.shop, account)):
                anew = self._refunding.next_revision(order, account, "order")
                self.intents.append(
                    intent_of(ref, order.source, order.order, order.id, each.row.received_at, revision=anew)
                )
                self._invoiced_as[order.id] = fingerprint(order.order)

    def _cancel(self, each: Handled, event: Event, order: Known) -> dict[str, Any]:
        """What was not sent yet is stopped; what was is given back, or a person is told."""
        self._cancelled[order.id] = event.occurred_at
        if not self._invoiced(order):
            raise Nothing("cancelled before anything was due: nothing will be invoiced")
        stopped = self._stop(order, f"order {order.order.ref} was cancelled in the shop before its invoice was sent")
        if not stopped.others:
            raise Nothing("cancelled before its invoice was sent: that is held")
        try:
            return self._refunding.cancelled(each, order, stopped.ids)
        except Held:
            if self._noticed.get(order.id, order.noticed_as) == KNOWN_CANCELLED:
                # each save of a cancelled order says so
                raise Nothing("that it was cancelled is known") from None
            self._noticed[order.id] = KNOWN_CANCELLED
            raise

    def _refund(self, each: Handled, event: Event, order: Known) -> dict[str, Any]:
        """What was given back is credited; before its invoice is sent, an order given back as a whole is stopped."""
        assert event.refund is not None
        money = f"{event.refund.total} {order.order.currency}"
        if not self._invoiced(order):
            if event.refund.total >= order.order.total:
                self._cancelled[order.id] = event.occurred_at
                raise Nothing(f"{money} were refunded before anything was due: nothing will be invoiced")
            raise Waits(
                f"{money} of order {order.order.ref} were refunded before it was invoiced; that is credited once it is"
            )
        stopped = Stopped(frozenset(), ())
        if self._refunding.whole(order, event.refund):
            stopped = self._stop(order, f"order {order.order.ref} was refunded as a whole before its invoice was sent")
            if not stopped.others:
                raise Nothing(f"{money} were refunded before its invoice was sent: that is held")
        return self._refunding.refunded(each, event, order, stopped.ids)

    def _invoiced(self, order: Known) -> bool:
        """Whether anything was made due on it, here or before; then its invoices are known to whoever credits."""
        if order.id in self.decided:
            self.flush()  # what this batch has made due a moment ago is stopped or credited, too
            self._refunding.reload(order.id)
        return order.decision is not None or order.id in self.decided

    def _stop(self, order: Known, reason: str, state: str = "held") -> Stopped:
        decision = order.decision or self.decided[order.id]
        stopped = stop_invoices(self._connection, order.id, decision.accounts, reason, state)
        if stopped.ids:
            self._refunding.reload(order.id)
        return stopped

    def _refuse_cancelled(self, event: Event, order: Known) -> None:
        """Whoever completes it by hand knows what they do."""
        at = self._cancelled.get(order.id, order.cancelled_at)
        if at is not None and event.who is None:
            raise Held(
                f"order {order.order.ref} was cancelled in the shop at {at:%Y-%m-%d %H:%M} UTC; if it is owed all the"
                " same, `billhook complete` it"
            )


def _asks_for_invoices(each: Handled) -> bool:
    """Whether what becomes of the event depends on the invoices that its order has."""
    return each.event is not None and (each.event.type in GIVES_BACK or each.event.who is not None)


def _trigger(each: Handled, order: Known) -> tuple[str, ...]:
    return trigger_for(runtime.config().shop[each.job.shop], order.source, order.order)


def _same(one: Shipment, other: Shipment) -> bool:
    if one.tracking_number and other.tracking_number:
        return name_of("tracking", one.tracking_number) == name_of("tracking", other.tracking_number)
    return one.ref == other.ref


def _of_unknown_contents(each: Handled, order: Known, left: Quantities) -> Nothing | Held:
    """What to raise where nobody says what is in a parcel: only the end of the order invoices it, if that does."""
    if not left:
        return Nothing("all of it is invoiced already")
    if not WHOLE_ORDER.isdisjoint(_trigger(each, order)):
        return Nothing("nobody says what is in it: it is invoiced when the order is fulfilled or completed")
    return Held(
        f"nobody says what is in this parcel of order {order.order.ref}, and no event of the whole order is in the"
        " trigger that would invoice it: add order.fulfilled or order.completed, then `billhook retry`"
    )


def _names(each: Handled, parcel: Shipment, order: Known, known: Shipment | None) -> tuple[str, ...]:
    """Of its part: by the number that all who speak of it have in common, else by its ref; then by the refs that its
    tellers have for it, which stay while a number comes later or is put right. `known`: it as the order has it."""
    one = known or parcel
    name = name_of("tracking", one.tracking_number) if one.tracking_number else f"shipment:{one.ref}"
    told = [(each.job.account, parcel.ref), *([(order.source, known.ref)] if known else [])]
    return tuple(dict.fromkeys((name, *(f"told:{source}:{ref}" for source, ref in told))))


def _changed(order: Known, decision: Decision) -> str:
    was, is_now = _total(decision.invoiced_as), _total(fingerprint(order.order))
    what = f"was {was} and is now {is_now}" if was != is_now else f"has other lines now, for the same {was}"
    return f"order {order.order.ref} was changed in the shop after it was invoiced: it {what}."


def _total(fingerprinted: str) -> str:
    return " ".join(fingerprinted.split(" ")[:2])


def rings(due: Sequence[tuple[str, str, str]]) -> dict[str, tuple[list[str], list[str]]]:
    """By tenant, the accounts and orders to ring for."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for tenant, account, label in due:
        names, labels = found.setdefault(tenant, ([], []))
        names.append(account)
        labels.append(label)
    return found
