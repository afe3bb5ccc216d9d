"""Which order an event means: the one that it carries, or one that it names and that was told before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.model import Event
from worker import runtime
from worker.completing import orders_of
from worker.store.inbox import Held
from worker.store.jobs import Change, Job
from worker.store.matching import Match, Pointer, find_orders, name_of, names_of, park, record_parcels
from worker.store.orders import Known, Told, load_orders, record_orders


@dataclass(frozen=True, slots=True)
class Handled:
    """An event on its way: what it tells, or why it tells nothing."""

    job: Job
    row: Held | None
    event: Event | None = None
    problem: str | None = None
    look: bool = False
    """It says only where to look: its source is to be asked."""
    hold_unless_invoiced: tuple[str, str, str] | None = None
    """Held only if this order (shop, source, source's id) has no invoice yet."""

    @property
    def told(self) -> Told | None:
        """What it tells of the order that it carries."""
        if self.event is None or self.event.order is None or self.row is None:
            return None
        return Told(self.row.shop, self.row.source, self.event.order, self.event.occurred_at)

    @property
    def pointer(self) -> Pointer | None:
        """The order it means without carrying it."""
        if self.event is None or self.event.order is not None or self.row is None:
            return None
        settings = runtime.config().shop[self.row.shop].source.get(self.row.source)
        whose = settings.orders if settings else orders_of(self.row.source)
        return Pointer(self.row.shop, self.row.source, self.event, whose)


@dataclass
class Placed:
    """A batch's events with their orders."""

    orders: dict[str, Known] = field(default_factory=dict)
    """By job id."""
    unplaced: list[Change] = field(default_factory=list)
    """Of events that wait for their order, or whose order nobody can tell."""
    names: list[tuple[str, str]] = field(default_factory=list)
    """(shop, name) of every order that was told or that a parcel was matched with: who waits for one wakes."""


def placed(connection: Any, batch: Sequence[Handled]) -> Placed:
    """Stores the orders that are told, and finds those that are meant; who means none that is known is parked."""
    found = Placed()
    told = {each.job.id: each.told for each in batch if each.told is not None}
    known = record_orders(connection, told.values())
    found.orders = {job_id: known[item.identity] for job_id, item in told.items()}
    found.names = [(item.shop, name) for item in told.values() for name in names_of(item.order)]
    _learn(connection, found, [each for each in batch if each.job.id in told])
    pointing = {each.job.id: each for each in batch if each.pointer is not None}
    pointers = {job_id: each.pointer for job_id, each in pointing.items() if each.pointer is not None}
    matches = dict(zip(pointers, find_orders(connection, list(pointers.values())), strict=True))
    meant = load_orders(connection, {match.order_id for match in matches.values() if isinstance(match, Match)})
    waiting: dict[str, tuple[str, tuple[str, ...]]] = {}
    for job_id, match in matches.items():
        if isinstance(match, Match):
            found.orders[job_id] = meant[match.order_id]
        elif match is None:
            waiting[job_id] = pointers[job_id].shop, pointers[job_id].names
            found.unplaced.append(_waits(pointing[job_id]))
        else:
            found.unplaced.append(Change(job_id, "held", "match", reason=str(match)))
    _learn(connection, found, [pointing[job_id] for job_id in pointing if job_id in found.orders])
    park(connection, waiting)
    return found


def _learn(connection: Any, found: Placed, batch: Sequence[Handled]) -> None:
    """Keeps which order a tracking number belongs to, as its shop or its sender has said."""
    parcels = []
    for each in batch:
        assert each.event is not None
        own = each.event.order.shipments if each.event.order else ()
        sent = (each.event.shipment,) if each.event.shipment else ()
        parcels.append((each.job.shop, found.orders[each.job.id].id, (*own, *sent)))
        if each.event.shipment and each.event.shipment.tracking_number:
            found.names.append((each.job.shop, name_of("tracking", each.event.shipment.tracking_number)))
    record_parcels(connection, parcels)


def _waits(each: Handled) -> Change:
    assert each.event is not None
    reason = f"nobody has told an order {each.event.about} yet; it is matched as soon as one is"
    return Change(each.job.id, "waiting", "match", reason=reason, detail={"type": each.event.type.value})
